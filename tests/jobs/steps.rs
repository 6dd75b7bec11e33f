//! Steps that the tests of storages share.

use millhand::jobs::{Ended, Exchange, Exchanged, JobId, SessionId, Storage, Verdict, Want};

/// Exchanges ends for jobs of the queue `mail` and the kind `welcome`.
pub(crate) fn exchange(
    storage: &impl Storage,
    session: SessionId,
    number: u64,
    ended: &[Ended],
    most: usize,
) -> Exchanged {
    let wanted = [Want {
        queue: "mail".into(),
        kinds: vec!["welcome".into()],
        most,
    }];
    let exchange = Exchange {
        session,
        number,
        ended,
        wanted: &wanted,
    };
    storage.exchange(&exchange).unwrap()
}

pub(crate) fn done(id: JobId, claim: u64) -> Ended {
    let verdict = Verdict::Done {
        output: b"1".to_vec(),
        keep: None,
    };
    Ended { id, claim, verdict }
}

/// How many jobs wait for a consumer.
pub(crate) fn ready(storage: &impl Storage) -> u64 {
    let queues = storage.counts().unwrap().queues;
    queues.iter().map(|queue| queue.ready).sum()
}
