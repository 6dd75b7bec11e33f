//! Steps that the tests of storages share.

use millhand::jobs::{
    Batch, Ended, Exchange, Exchanged, JobId, JobsErrorKind, MOST_DUE, NewJob, SessionId,
    SessionInfo, Storage, Tick, Verdict, Want,
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

/// Whatever the storage, a job that is to follow one that never was is refused by one text.
pub(crate) fn assert_unknown_parents_are_named(storage: &impl Storage) {
    let job = |after: &[u64]| {
        let mut job = NewJob::new("mail", "welcome", "1");
        job.after.extend(after.iter().copied().map(JobId));
        job
    };
    let (known, unknown) = (job(&[]), job(&[8, 1, 9, 7]));
    let jobs = std::slice::from_ref(&known);
    let stored = storage.enqueue(&Batch { number: None, jobs }).unwrap();
    assert_eq!(stored[0].id(), JobId(1));
    let text = |id: u64| {
        format!("a job that follows job {id}, which has never been; one that was stored before")
    };
    let of_batch = format!("job 1 of the batch: {}", text(9));
    let enqueue = |jobs: &[NewJob]| {
        let error = storage.enqueue(&Batch { number: None, jobs }).unwrap_err();
        assert_eq!(error.kind(), JobsErrorKind::Invalid, "{error}");
        error.to_string()
    };
    let found = enqueue(&[known, unknown.clone()]);
    assert!(found.contains(&of_batch), "{found}");
    let schedule = storage.register_schedule("daily", "at 8").unwrap();
    for (job, id) in [(&unknown, 9), (&job(&[1, 0, 9]), 0)] {
        let tick = Tick {
            schedule: "daily",
            // Also at a time that is over.
            at: schedule.last_tick,
            job,
        };
        let ticked = storage.tick(&tick).unwrap_err().to_string();
        for found in [enqueue(std::slice::from_ref(job)), ticked] {
            assert!(found.contains(&text(id)), "{found}");
            assert!(!found.contains("of the batch"), "{found}");
        }
    }
}
