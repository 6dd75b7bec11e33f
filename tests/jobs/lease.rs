//! The lease of a consumer: what keeps it, and what its end does. In simulated time.

use crate::faulty::Faulty;
use millhand::cancel::CancelReason;
use millhand::jobs::{
    Consumer, Handler, Job, JobContext, JobError, JobHandle, JobState, Jobs, JobsErrorKind, Memory,
};
use millhand::task::CancelOutcome;
use millhand::testing::Simulation;
use millhand::{Retry, Shutdown, ThreadPool};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Serialize, Deserialize)]
struct Work(u64);

impl Job for Work {
    const NAME: &'static str = "work";
    type Output = String;
}

/// A pool, and jobs in a storage that can be slow or broken.
struct World {
    pool: ThreadPool,
    simulation: Simulation,
    storage: Faulty<Memory>,
    jobs: Jobs,
}

impl World {
    fn new(seed: u64) -> Self {
        let (pool, simulation) = ThreadPool::simulated(seed);
        let memory = Memory::options().clock(simulation.clock());
        let storage = Faulty::new(memory.max_payload(1000).build(), 0);
        let jobs = Jobs::open(storage.clone()).unwrap();
        Self {
            pool,
            simulation,
            storage,
            jobs,
        }
    }

    fn start<E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static>(
        &self,
        handler: Handler<Work, E>,
    ) -> Consumer {
        let consumer = self.jobs.consumer(&self.pool).queue("default", 2);
        consumer.handler(handler).start().unwrap()
    }

    fn enqueue(&self, n: u64) -> JobHandle<String> {
        let kept = self.jobs.job().keep(100 * HOUR);
        kept.enqueue(&Work(n)).unwrap().into_handle()
    }

    fn end(self) {
        self.pool.shutdown(Shutdown::drain()).unwrap();
        assert_eq!(self.jobs.sessions().unwrap(), []);
        assert_eq!(self.jobs.check(false).unwrap(), []);
    }
}

/// Sleeps for so many seconds. Notes the reason if it was asked to stop.
fn sleeper(seen: &Arc<Mutex<Vec<CancelReason>>>) -> Handler<Work, millhand::error::Stopped> {
    let seen = seen.clone();
    Handler::new(move |Work(seconds), _: &JobContext| {
        millhand::sleep(Duration::from_secs(seconds))
            .inspect_err(|stopped| seen.lock().unwrap().push(stopped.reason()))?;
        Ok("slept".to_owned())
    })
}

#[test]
fn an_exchange_that_takes_long_costs_no_lease() {
    let world = World::new(1);
    let seen = Arc::default();
    let consumer = world.start(sleeper(&seen));
    let long = world.enqueue(200);
    let short = world.enqueue(1);
    world.simulation.advance(SECOND / 2);
    // The end of the short one is on its way for five leases.
    world.storage.set_slow(Some(("exchange", 150 * SECOND)));
    world.simulation.advance(100 * SECOND);
    world.storage.set_slow(None);
    let session = &world.jobs.sessions().unwrap()[0];
    assert_eq!(session.running, 2);
    assert_eq!(short.join().unwrap(), "slept");
    assert_eq!(long.join().unwrap(), "slept");
    assert_eq!((consumer.report().done, consumer.report().gone), (2, 0));
    assert_eq!(world.jobs.counts().unwrap().totals.crashed, 0);
    assert!(seen.lock().unwrap().is_empty());
    world.end();
}

#[test]
fn what_runs_is_asked_to_stop_when_the_lease_may_have_ended_though_every_thread_waits() {
    let world = World::new(2);
    let seen = Arc::default();
    world.start(sleeper(&seen));
    let job = world.enqueue(1000);
    world.simulation.advance(SECOND);
    world.storage.set_slow(Some(("heartbeat", HOUR)));
    world.simulation.advance(40 * SECOND);
    assert_eq!(*seen.lock().unwrap(), [CancelReason::Lease]);
    assert!(world.simulation.elapsed() < HOUR);
    world.storage.set_slow(None);
    world.simulation.advance(2 * HOUR);
    assert_eq!(job.join().unwrap(), "slept");
    world.end();
}

#[test]
fn a_cancel_of_a_running_job_does_not_wait_for_the_next_heartbeat() {
    let world = World::new(3);
    let seen = Arc::default();
    world.start(sleeper(&seen));
    let job = world.enqueue(1000);
    world.simulation.advance(SECOND);
    assert_eq!(job.cancel().unwrap(), CancelOutcome::Requested);
    let before = world.simulation.elapsed();
    assert!(matches!(job.join(), Err(JobError::Cancelled)));
    assert!(world.simulation.elapsed() - before < SECOND);
    assert_eq!(*seen.lock().unwrap(), [CancelReason::User]);
    world.end();
}

#[test]
fn a_cancel_right_after_the_start_does_not_wait_for_the_next_heartbeat() {
    // In whatever order the two threads of the consumer begin.
    for seed in 0..20 {
        let world = World::new(seed);
        let seen = Arc::default();
        world.start(sleeper(&seen));
        let job = world.enqueue(1000);
        world.simulation.advance(50 * MS);
        assert_eq!(job.cancel().unwrap(), CancelOutcome::Requested);
        world.simulation.advance(SECOND);
        assert_eq!(*seen.lock().unwrap(), [CancelReason::User], "{seed}");
        world.end();
    }
}

#[test]
fn a_cancel_is_asked_for_again_after_an_error() {
    let world = World::new(9);
    let seen = Arc::default();
    world.start(sleeper(&seen));
    let job = world.enqueue(1000);
    world.simulation.advance(SECOND);
    assert_eq!(job.cancel().unwrap(), CancelOutcome::Requested);
    world.storage.set_percent(100);
    world.simulation.advance(50 * MS);
    assert!(world.storage.failed.load(SeqCst) > 0);
    world.storage.set_percent(0);
    world.simulation.advance(2 * SECOND);
    assert_eq!(*seen.lock().unwrap(), [CancelReason::User]);
    world.end();
}

#[test]
fn heartbeats_that_take_a_third_of_a_lease_and_more_cost_no_lease() {
    let world = World::new(10);
    let seen = Arc::default();
    world.start(sleeper(&seen));
    let job = world.enqueue(200);
    world.simulation.advance(SECOND);
    world.storage.set_slow(Some(("heartbeat", 12 * SECOND)));
    assert_eq!(job.join().unwrap(), "slept");
    assert!(seen.lock().unwrap().is_empty());
    world.storage.set_slow(None);
    world.end();
}

#[test]
fn a_heartbeat_that_panics_is_tried_again() {
    let world = World::new(11);
    let seen = Arc::default();
    let consumer = world.start(sleeper(&seen));
    let job = world.enqueue(200);
    world.simulation.advance(SECOND);
    world.storage.set_panicking(Some("heartbeat"));
    world.simulation.advance(15 * SECOND);
    world.storage.set_panicking(None);
    assert_eq!(job.join().unwrap(), "slept");
    assert!(seen.lock().unwrap().is_empty());
    assert_eq!(consumer.report().done, 1);
    world.end();
}

#[test]
fn a_consumer_whose_thread_has_panicked_says_so_and_its_jobs_stop_with_the_lease() {
    let world = World::new(12);
    let seen = Arc::default();
    let consumer = world.start(sleeper(&seen));
    let _ = world.enqueue(1000);
    world.simulation.advance(SECOND);
    world.storage.set_panicking(Some("exchange"));
    let _ = world.enqueue(1000);
    world.simulation.advance(SECOND);
    let failing = consumer.report().failing.unwrap();
    assert!(failing.contains("panicked"), "{failing}");
    world.simulation.advance(40 * SECOND);
    assert_eq!(*seen.lock().unwrap(), [CancelReason::Lease]);
    let report = world.pool.shutdown(Shutdown::drain()).unwrap();
    assert!(!report.is_clean(), "{report}");
}

#[test]
fn a_stop_with_nothing_to_save_does_not_wait_for_a_storage_that_fails() {
    let world = World::new(13);
    world.storage.set_percent(100);
    world.start(sleeper(&Arc::default()));
    world.simulation.advance(SECOND);
    let before = world.simulation.elapsed();
    let report = world.pool.shutdown(Shutdown::drain()).unwrap();
    assert!(!report.is_clean(), "{report}");
    assert!(world.simulation.elapsed() - before < 10 * SECOND);
}

#[test]
fn a_consumer_says_what_its_storage_answers() {
    let world = World::new(4);
    let consumer = world.start(sleeper(&Arc::default()));
    world.simulation.advance(SECOND);
    assert_eq!(consumer.report().failing, None);
    world.storage.set_percent(100);
    world.simulation.advance(60 * SECOND);
    assert_eq!(consumer.report().failing.as_deref(), Some("cut off"));
    assert!(consumer.report().to_string().ends_with("fails: cut off"));
    world.storage.set_percent(0);
    world.simulation.advance(60 * SECOND);
    assert_eq!(consumer.report().failing, None);

    world.storage.set_percent(100);
    let report = world.pool.shutdown(Shutdown::drain()).unwrap();
    assert!(!report.is_clean(), "{report}");
}

#[test]
fn a_consumer_whose_signs_of_life_fail_says_so_while_its_jobs_go_on() {
    let world = World::new(14);
    let consumer = world.start(sleeper(&Arc::default()));
    world.simulation.advance(SECOND);
    let failing = || consumer.report().failing;
    // Long enough for a sign of life, and too short for the end of the lease.
    for signs_again in [true, false] {
        world.storage.set_broken(Some("heartbeat"));
        world.simulation.advance(12 * SECOND);
        assert_eq!(failing().as_deref(), Some("broken"));
        assert_eq!(world.enqueue(1).join().unwrap(), "slept");
        assert_eq!(failing().as_deref(), Some("broken"));
        if signs_again {
            world.storage.set_broken(None);
            world.simulation.advance(10 * SECOND);
            assert_eq!(failing(), None);
        }
    }
    // The session was closed in time, so nothing is wrong.
    let report = world.pool.shutdown(Shutdown::drain()).unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(failing(), None);
}

#[test]
fn a_consumer_that_ends_since_its_signs_of_life_fail_is_not_clean() {
    let world = World::new(15);
    let seen = Arc::default();
    let consumer = world.start(sleeper(&seen));
    let _ = world.enqueue(1000);
    world.simulation.advance(SECOND);
    world.storage.set_broken(Some("heartbeat"));
    world.simulation.advance(60 * SECOND);
    assert_eq!(*seen.lock().unwrap(), [CancelReason::Lease]);
    let report = world.pool.shutdown(Shutdown::drain()).unwrap();
    assert!(!report.is_clean(), "{report}");
    assert_eq!(consumer.report().failing.as_deref(), Some("broken"));
}

#[test]
fn an_attempt_is_abandoned_though_its_body_has_not_returned() {
    let world = World::new(5);
    let runs = AtomicUsize::new(0);
    let handler = Handler::new(move |Work(n), _: &JobContext| {
        if n == 7 && runs.fetch_add(1, SeqCst) == 0 {
            let _ = std::panic::catch_unwind(|| hang(10 * HOUR));
        }
        Ok::<_, String>("ran".to_owned())
    });
    let retry = Retry::fixed(1, SECOND);
    let consumer = world.start(handler.retry(retry).abandon_after(60 * SECOND));
    let job = world.enqueue(7);
    assert_eq!(job.join().unwrap(), "ran");
    assert!(world.simulation.elapsed() < 70 * SECOND);
    let info = world.jobs.get(job.id()).unwrap().unwrap();
    assert_eq!((info.failures, info.claims), (1, 2));
    assert_eq!((consumer.report().running, consumer.report().done), (0, 1));
    world.end();
}

/// Waits, and looks at no request to stop.
fn hang(time: Duration) {
    struct Hangs(Duration);

    impl Drop for Hangs {
        fn drop(&mut self) {
            let _ = millhand::CancelToken::new().wait_timeout(self.0);
        }
    }

    let _hangs = Hangs(time);
    std::panic::resume_unwind(Box::new("to its drop"));
}

#[test]
fn an_output_that_is_too_large_is_dead_with_a_text() {
    let world = World::new(6);
    world.start(Handler::new(|Work(n), _: &JobContext| {
        Ok::<_, String>("x".repeat(n as usize))
    }));
    let (fits, large) = (world.enqueue(998), world.enqueue(999));
    assert_eq!(fits.join().unwrap().len(), 998);
    match large.join() {
        Err(JobError::Dead(text)) => {
            assert_eq!(text, "its output has 1001 bytes; 1000 are allowed");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(large.state().unwrap(), Some(JobState::Dead));
    world.end();
}

#[test]
fn a_session_says_where_and_since_when_it_runs() {
    let world = World::new(7);
    world.simulation.advance(SECOND);
    let now = world.jobs.storage().now().unwrap();
    world.start(sleeper(&Arc::default()));
    world.simulation.advance(MS);
    let info = &world.jobs.sessions().unwrap()[0].info;
    assert_eq!(info.pid, std::process::id());
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(info.began_at, now);
    assert!(!info.host.is_empty() || cfg!(not(target_os = "linux")));
    assert_eq!(
        (&*info.queues, &*info.kinds),
        (&["default".to_owned()][..], &["work".to_owned()][..])
    );
    world.end();
}

#[test]
fn the_name_of_a_state_is_read_back() {
    for state in JobState::ALL {
        assert_eq!(state.to_string().parse::<JobState>().unwrap(), state);
    }
    let error = "asleep".parse::<JobState>().unwrap_err();
    assert_eq!(error.kind(), JobsErrorKind::Invalid);
    assert!(
        error.to_string().contains("blocked, scheduled, ready"),
        "{error}"
    );
}
