//! Steps that the tests of storages share.

use millhand::jobs::{
    Batch, Ended, Exchange, Exchanged, JobId, MOST_DUE, NewJob, SessionId, SessionInfo, Storage,
    Verdict, Want,
};
use millhand::testing::ManualClock;
use std::time::Duration;

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

/// A lane goes to more jobs that have expired than one call ends. The next exchange goes on there.
pub(crate) fn pass_a_lane_on_in_parts(storage: &impl Storage, clock: &ManualClock) {
    let mut job = NewJob::new("mail", "welcome", "");
    job.lane = Some("account".into());
    let mut jobs = vec![job; MOST_DUE + 51];
    for late in &mut jobs[1..MOST_DUE + 50] {
        late.expires = Some(Duration::from_secs(1));
    }
    let batch = Batch {
        number: None,
        jobs: &jobs,
    };
    let first = storage.enqueue(&batch).unwrap()[0].id();
    let last = JobId(first.0 + jobs.len() as u64 - 1);
    clock.advance(Duration::from_secs(1));
    storage.cancel(first).unwrap();
    let counts = storage.counts().unwrap();
    assert_eq!(counts.totals.expired, MOST_DUE as u64);
    assert_eq!((counts.queues[0].ready, counts.queues[0].blocked), (1, 49));
    let info = SessionInfo::default();
    let session = storage.open_session(&info, Duration::MAX).unwrap();
    let claimed = exchange(storage, session, 1, &[], 5).claimed;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].id, last);
    assert_eq!(storage.check(false).unwrap(), []);
}
