//! Requests and replies come later than anything waits for them.

use super::proxy::{Held, Proxy};
use super::{
    Ledger, Ran, SECOND, Work, Worker, all_go_on, all_is_at_rest, counts, cuts, open, until,
};
use crate::redis_server::Server;
use millhand::jobs::{
    Batch, BatchNumber, Exchange, Fate, Job, Jobs, JobsErrorKind, NewJob, Outcome, Redis,
    SessionInfo, Storage, Want,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

/// Stores jobs and asks for them, until it may stop. Each answer must be about the job that was
/// asked for.
fn ask(jobs: &Jobs, ledger: &Ledger, numbers: &AtomicU64, is_over: &AtomicBool) {
    while !is_over.load(SeqCst) {
        let n = numbers.fetch_add(1, SeqCst);
        let Ok(ids) = ledger.enqueue(jobs, &[n]) else {
            continue;
        };
        if let Ok(job) = jobs.get(ids[0]) {
            let job = job.unwrap();
            let work: Work = serde_json::from_slice(&job.payload).unwrap();
            assert_eq!((job.id, work.n), (ids[0], n));
        }
        match jobs.outcome(ids[0]) {
            Ok(Fate::Ended(Outcome::Done(output))) => {
                assert_eq!(output, n.to_string().into_bytes());
            }
            Ok(Fate::Live(_)) | Err(_) => {}
            Ok(other) => panic!("{n}: {other:?}"),
        }
    }
}

#[test]
fn a_reply_that_comes_late_is_taken_for_no_other_and_a_late_request_does_nothing_twice() {
    let server = Server::start(&[]);
    let (proxy, direct) = (Proxy::new(&server), open(&server.url()));
    let (ran, ledger) = (Ran::default(), Ledger::default());
    let workers = [0, 1].map(|_| Worker::start(&open(&proxy.url()), &ran));
    let (numbers, is_over) = (AtomicU64::new(1), AtomicBool::new(false));
    let stores: Vec<_> = (0..6).map(|_| open(&proxy.url())).collect();
    let askers = 4 * stores.len();
    let mut rounds = 0;
    let given_up = thread::scope(|scope| {
        for n in 0..askers {
            let (jobs, ledger) = (&stores[n / 4], &ledger);
            let (numbers, is_over) = (&numbers, &is_over);
            scope.spawn(move || ask(jobs, ledger, numbers, is_over));
        }
        let over = Over(&is_over);
        let most = cuts() as u64 / 4;
        while proxy.given_up() < most {
            let enough = ran.count() + 10;
            until("jobs run", || ran.count() >= enough);
            let enough = proxy.given_up() + askers as u64;
            proxy.hold(Held {
                requests: rounds % 3 != 0,
                replies: rounds % 3 != 1,
            });
            // For longer than the time-outs.
            until("requests are given up", || proxy.given_up() >= enough);
            proxy.hold(Held::default());
            rounds += 1;
        }
        all_go_on(&workers);
        drop(over);
        proxy.given_up()
    });
    assert_eq!(ledger.settle(&direct, &ran, |_| false).len(), 0);
    workers.into_iter().for_each(Worker::end);
    all_is_at_rest(&direct);
    eprintln!(
        "{} jobs, {given_up} requests that were given up, in {rounds} rounds; {} lost claims, {} \
         bodies again",
        ran.count(),
        direct.counts().unwrap().totals.crashed,
        ran.again()
    );
}

/// Lets the other threads end, also if this one panics.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn an_exchange_and_a_batch_that_come_after_later_ones_are_stale() {
    let server = Server::start(&[]);
    let (proxy, direct) = (Proxy::new(&server), open(&server.url()));
    let hasty = [0, 1].map(|_| {
        let options = Redis::options(proxy.url()).patience(SECOND);
        options.open().unwrap()
    });
    let storage = direct.storage();
    let info = SessionInfo::default();
    let session = storage.open_session(&info, 600 * SECOND).unwrap();
    let id = direct.enqueue(&Work { n: 1 }).unwrap().id();
    let wanted = [Want {
        queue: Work::QUEUE.into(),
        kinds: vec![Work::NAME.into()],
        most: 1,
    }];
    let exchange = |number, wanted| Exchange {
        session,
        number,
        ended: &[],
        wanted,
    };
    let jobs = [NewJob::new(Work::QUEUE, "other", "1")];
    let batch = |number| Batch {
        number: Some(BatchNumber {
            producer: 1,
            number,
        }),
        jobs: &jobs,
    };

    proxy.hold(Held {
        requests: true,
        replies: false,
    });
    let errors = thread::scope(|scope| {
        let exchanged = scope.spawn(|| hasty[0].exchange(&exchange(1, &wanted)).unwrap_err());
        let stored = scope.spawn(|| hasty[1].enqueue(&batch(1)).unwrap_err());
        [exchanged.join().unwrap(), stored.join().unwrap()]
    });
    for error in errors {
        assert_eq!(error.kind(), JobsErrorKind::Unreachable, "{error}");
    }
    // Others do not wait for that. These have later numbers.
    assert_eq!(storage.exchange(&exchange(2, &[])).unwrap().claimed, []);
    assert_eq!(storage.enqueue(&batch(2)).unwrap().len(), 1);

    drop(hasty);
    proxy.hold(Held::default());
    until("all that was sent has come", || proxy.links() == 0);
    let job = direct.get(id).unwrap().unwrap();
    assert_eq!((job.claims, job.session), (0, None));
    assert_eq!(counts(&direct).ready, 2);
    assert_eq!(storage.check(false).unwrap(), []);
}
