//! The consumer over the storage in memory, in simulated time.

use crate::faulty::Faulty;
use millhand::jobs::{
    Consumer, ConsumerBuilder, Filter, Handler, Job, JobContext, JobError, JobHandle, JobState,
    Jobs, JobsErrorKind, Memory, Storage,
};
use millhand::testing::Simulation;
use millhand::{Retry, Shutdown, ThreadPool};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Serialize, Deserialize)]
struct Work {
    n: u64,
}

impl Job for Work {
    const NAME: &'static str = "work";
    const ALIASES: &'static [&'static str] = &["labour"];
    type Output = u64;
}

/// A pool and jobs in one simulated world.
struct World {
    pool: ThreadPool,
    simulation: Simulation,
    jobs: Jobs,
}

fn world(seed: u64) -> World {
    let (pool, simulation) = ThreadPool::simulated(seed);
    let jobs = Jobs::open(Memory::options().clock(simulation.clock()).build()).unwrap();
    World {
        pool,
        simulation,
        jobs,
    }
}

impl World {
    fn consumer(&self) -> ConsumerBuilder<'_> {
        self.jobs.consumer(&self.pool).queue("default", 4)
    }

    fn handle<E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static>(
        &self,
        f: impl Fn(u64, &JobContext) -> Result<u64, E> + Send + Sync + 'static,
    ) -> Consumer {
        self.consumer()
            .handle(move |work: Work, context: &JobContext| f(work.n, context))
            .start()
            .unwrap()
    }

    fn enqueue(&self, n: u64) -> JobHandle<u64> {
        let job = self.jobs.job().keep(10_000 * HOUR);
        job.enqueue(&Work { n }).unwrap().into_handle()
    }

    /// Ends the pool. Nothing is leased then, and nothing is wrong.
    fn end(self, how: Shutdown) -> Jobs {
        self.pool.shutdown(how).unwrap();
        assert_eq!(self.jobs.sessions().unwrap(), []);
        assert_eq!(self.jobs.check(false).unwrap(), []);
        let counts = self.jobs.counts().unwrap();
        assert!(
            counts.queues.iter().all(|queue| queue.running == 0),
            "{counts:?}"
        );
        self.jobs
    }
}

fn dead(handle: &JobHandle<u64>) -> String {
    match handle.try_join() {
        Some(Err(JobError::Dead(text))) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_job_runs_and_its_output_comes_back() {
    let world = world(1);
    let consumer = world.handle(|n, context| {
        assert_eq!((context.kind(), context.queue()), ("work", "default"));
        assert_eq!((context.failures(), context.crashes()), (0, 0));
        assert_eq!(context.meta()["request"], "r17");
        Ok::<_, String>(2 * n)
    });
    let job = world.jobs.job().meta("request", "r17");
    let job = job.enqueue(&Work { n: 21 }).unwrap();
    assert_eq!(job.handle().join().unwrap(), 42);
    assert_eq!(consumer.report().done, 1);
    // Nothing has asked to keep it, and the wait is over.
    world.simulation.advance(2 * HOUR);
    assert!(matches!(
        job.handle().try_join(),
        Some(Err(JobError::Forgotten))
    ));
    world.end(Shutdown::drain());
}

#[test]
fn a_job_that_fails_is_tried_again_after_pauses() {
    let world = world(2);
    let retry = Retry::fixed(2, 10 * SECOND);
    let handler = Handler::new(
        |work: Work, context: &JobContext| match context.failures() {
            2 => Ok(work.n),
            n => {
                assert_eq!(context.last_error(), (n == 1).then_some("no: 0"));
                Err(format!("no: {n}"))
            }
        },
    );
    let consumer = world
        .consumer()
        .handler(handler.retry(retry))
        .start()
        .unwrap();
    let job = world.enqueue(7);
    assert_eq!(job.join().unwrap(), 7);
    assert_eq!(world.simulation.elapsed(), 20 * SECOND);
    assert_eq!((consumer.report().retried, consumer.report().done), (2, 1));
    world.end(Shutdown::drain());
}

#[test]
fn a_job_that_fails_too_often_is_dead_and_can_be_tried_again_by_hand() {
    let world = world(3);
    let left = AtomicUsize::new(3);
    let handler = Handler::new(move |work: Work, _: &JobContext| {
        match left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
            Ok(left) => Err(format!("{left} left")),
            Err(_) => Ok(work.n),
        }
    });
    let retry = Retry::fixed(2, SECOND);
    world
        .consumer()
        .handler(handler.retry(retry))
        .start()
        .unwrap();
    let job = world.enqueue(7);
    assert!(matches!(job.join(), Err(JobError::Dead(text)) if text == "1 left"));
    let filter = Filter {
        state: Some(JobState::Dead),
        kind: Some("work".into()),
        ..Filter::default()
    };
    assert_eq!(world.jobs.retry_dead(&filter).unwrap(), 1);
    assert_eq!(job.join().unwrap(), 7);
    world.end(Shutdown::drain());
}

#[test]
fn errors_that_are_not_worth_it_and_payloads_that_cannot_be_read_are_dead_at_once() {
    let world = world(4);
    let handler = Handler::new(|work: Work, _: &JobContext| {
        Err::<u64, _>(std::io::Error::other(format!("n is {}", work.n)))
    })
    .retry_if(|error| error.to_string() != "n is 1")
    .retry_after(|_| Some(HOUR))
    .retry(Retry::fixed(1, SECOND));
    world.consumer().handler(handler).start().unwrap();
    let (first, second) = (world.enqueue(1), world.enqueue(2));
    let mut raw = world.jobs.job().build(&Work { n: 3 }).unwrap();
    raw.payload = b"{\"n\": -1}".to_vec();
    let batch = millhand::jobs::Batch {
        number: None,
        jobs: &[raw],
    };
    let third = world.jobs.storage().enqueue(&batch).unwrap()[0].id();
    world.simulation.advance(SECOND);
    assert_eq!(dead(&first), "n is 1");
    let third = world.jobs.get(third).unwrap().unwrap();
    assert_eq!(
        (third.state, &*third.payload),
        (JobState::Dead, &b"{\"n\": -1}"[..])
    );
    assert!(third.error.unwrap().contains("cannot be read"));
    assert!(second.try_join().is_none());
    world.simulation.advance(HOUR);
    assert_eq!(dead(&second), "n is 2");
    world.end(Shutdown::drain());
}

#[test]
fn a_panic_is_a_failure_that_is_tried_again_unless_the_handler_says_otherwise() {
    for retries in [true, false] {
        let world = world(5);
        let handler = Handler::new(|work: Work, context: &JobContext| {
            assert!(context.failures() > 0, "the first time");
            Ok::<_, String>(work.n)
        });
        let handler = handler.retry_panics(retries).retry(Retry::fixed(1, SECOND));
        world.consumer().handler(handler).start().unwrap();
        let job = world.enqueue(7);
        world.simulation.advance(2 * SECOND);
        match retries {
            true => assert_eq!(job.join().unwrap(), 7),
            false => assert_eq!(dead(&job), "panicked: the first time"),
        }
        world.end(Shutdown::drain());
    }
}

#[test]
fn a_job_that_is_postponed_has_not_failed() {
    let world = world(6);
    let asked = AtomicUsize::new(0);
    let consumer = world.handle(move |n, context| {
        assert_eq!(context.failures(), 0);
        match asked.fetch_add(1, SeqCst) {
            0 | 1 => Err(context.postpone(HOUR)),
            _ => Ok(n),
        }
    });
    let job = world.enqueue(7);
    assert_eq!(job.join().unwrap(), 7);
    assert_eq!(world.simulation.elapsed(), 2 * HOUR);
    assert_eq!(
        (consumer.report().postponed, consumer.report().retried),
        (2, 0)
    );
    world.end(Shutdown::drain());
}

#[test]
fn a_time_limit_asks_a_job_to_stop_and_is_a_failure() {
    let world = world(7);
    let handler = Handler::new(|work: Work, _: &JobContext| {
        millhand::sleep(HOUR)?;
        Ok::<_, millhand::error::Stopped>(work.n)
    });
    let handler = handler
        .attempt_timeout(SECOND)
        .retry(Retry::fixed(1, SECOND));
    let consumer = world.consumer().handler(handler).start().unwrap();
    let job = world.enqueue(7);
    world.simulation.advance(4 * SECOND);
    assert!(dead(&job).contains("stopped"), "{}", dead(&job));
    assert_eq!((consumer.report().retried, consumer.report().dead), (1, 1));
    world.end(Shutdown::drain());
}

#[test]
fn a_job_that_runs_is_cancelled_by_the_next_sign_of_life() {
    let world = world(8);
    let consumer = world.handle(|n, _| millhand::sleep(HOUR).map(|()| n));
    let (first, second) = (world.enqueue(1), world.enqueue(2));
    world.simulation.advance(SECOND);
    assert_eq!(first.state().unwrap(), Some(JobState::Running));
    assert_eq!(
        first.cancel().unwrap(),
        millhand::task::CancelOutcome::Requested
    );
    world.simulation.advance(10 * SECOND);
    assert!(matches!(first.try_join(), Some(Err(JobError::Cancelled))));
    assert_eq!(second.join().unwrap(), 2);
    assert_eq!(
        (consumer.report().cancelled, consumer.report().done),
        (1, 1)
    );
    world.end(Shutdown::drain());
}

#[test]
fn what_no_handler_is_for_stays_and_an_alias_is_worked_on() {
    let world = world(9);
    world.handle(|n, context| {
        assert_eq!(context.kind(), "labour");
        Ok::<_, String>(n)
    });
    let enqueue = |kind: &str| {
        let mut job = world.jobs.job().build(&Work { n: 7 }).unwrap();
        job.kind = kind.into();
        let batch = millhand::jobs::Batch {
            number: None,
            jobs: &[job],
        };
        let placed = world.jobs.storage().enqueue(&batch).unwrap();
        world.jobs.handle::<Work>(placed[0].id())
    };
    let (old, unknown) = (enqueue("labour"), enqueue("of-tomorrow"));
    assert_eq!(old.join().unwrap(), 7);
    world.simulation.advance(HOUR);
    assert_eq!(unknown.state().unwrap(), Some(JobState::Ready));
    world.end(Shutdown::drain());
}

#[derive(Serialize, Deserialize)]
struct Other;

impl Job for Other {
    const NAME: &'static str = "other";
    const QUEUE: &'static str = "others";
    type Output = ();
}

#[test]
fn slots_and_limits_are_kept_and_starve_nothing() {
    let world = world(10);
    let most = Arc::new(AtomicUsize::new(0));
    let others = Arc::new(AtomicUsize::new(0));
    let count = others.clone();
    let (inside, seen) = (AtomicUsize::new(0), most.clone());
    let limited = Handler::new(move |work: Work, _: &JobContext| {
        seen.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
        millhand::sleep(SECOND).unwrap();
        inside.fetch_sub(1, SeqCst);
        Ok::<_, String>(work.n)
    });
    world
        .consumer()
        .queue("others", 1)
        .handler(limited.limit(2))
        .handle(move |_: Other, _: &JobContext| {
            millhand::sleep(SECOND).unwrap();
            count.fetch_add(1, SeqCst);
            Ok::<_, String>(())
        })
        .start()
        .unwrap();
    // The limited kind in both queues.
    let mine: Vec<_> = (0..20).map(|n| world.enqueue(n)).collect();
    let there = world.jobs.job().queue("others").keep(HOUR);
    let there: Vec<_> = (0..5)
        .map(|n| there.enqueue(&Work { n }).unwrap().into_handle())
        .collect();
    (0..5).for_each(|_| drop(world.jobs.enqueue(&Other).unwrap()));
    world.simulation.advance(30 * SECOND);
    assert_eq!(most.load(SeqCst), 2);
    assert_eq!(others.load(SeqCst), 5);
    for job in mine.iter().chain(&there) {
        assert!(job.try_join().is_some(), "{job:?}");
    }
    world.end(Shutdown::drain());
}

#[test]
fn a_drain_finishes_what_runs_and_gives_the_rest_back() {
    let world = world(11);
    let consumer = world.handle(|n, _| millhand::sleep(HOUR).map(|()| n));
    let jobs: Vec<_> = (0..6).map(|n| world.enqueue(n)).collect();
    world.simulation.advance(SECOND);
    let jobs_left = world.end(Shutdown::drain());
    assert_eq!(jobs[0].try_join().unwrap().unwrap(), 0);
    let counts = jobs_left.counts().unwrap();
    assert_eq!((counts.queues[0].ready, consumer.report().done), (2, 4));
}

#[test]
fn a_cancel_asks_what_runs_to_stop_and_nothing_is_lost() {
    for how in [Shutdown::cancel(), Shutdown::drain().cancel_after(MS)] {
        let world = world(12);
        let consumer = world.handle(|n, _| millhand::sleep(HOUR).map(|()| n));
        let jobs: Vec<_> = (0..6).map(|n| world.enqueue(n)).collect();
        world.simulation.advance(SECOND);
        let left = world.end(how);
        assert_eq!(left.counts().unwrap().queues[0].ready, 6);
        let info = left.get(jobs[0].id()).unwrap().unwrap();
        assert_eq!((info.failures, info.crashes, info.claims), (0, 0, 1));
        assert_eq!(consumer.report().given_back, 4);
    }
}

#[test]
fn a_consumer_whose_lease_was_lost_asks_its_jobs_to_stop_and_goes_on() {
    let world = world(13);
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let seen = reasons.clone();
    let consumer = world.handle(move |n, context| {
        if context.crashes() > 0 {
            return Ok(n);
        }
        let stopped = millhand::sleep(HOUR).unwrap_err();
        seen.lock().unwrap().push(stopped.reason());
        Err(stopped)
    });
    let job = world.enqueue(7);
    world.simulation.advance(SECOND);
    // As if it had been silent for too long.
    let session = world.jobs.sessions().unwrap()[0].id;
    let storage = world.jobs.storage();
    assert_eq!(storage.close_session(session).unwrap(), 1);
    world.simulation.advance(20 * SECOND);
    assert_eq!(
        *reasons.lock().unwrap(),
        [millhand::cancel::CancelReason::Lease]
    );
    assert!(world.jobs.sessions().unwrap()[0].id > session);
    drop(job);
    assert_eq!(consumer.report().retried, 0);
    world.end(Shutdown::cancel());
}

#[test]
fn what_may_begin_once_only_is_dead_if_it_left_since_its_lease_had_ended() {
    let (pool, simulation) = ThreadPool::simulated(19);
    let memory = Memory::options().clock(simulation.clock()).build();
    let faulty = Faulty::new(memory, 0);
    let jobs = Jobs::open(faulty.clone()).unwrap();
    let consumer = jobs.consumer(&pool).queue("default", 1);
    let runs = Arc::new(AtomicUsize::new(0));
    let begun = runs.clone();
    let handler = move |work: Work, _: &JobContext| {
        begun.fetch_add(1, SeqCst);
        millhand::sleep(HOUR).map(|()| work.n)
    };
    consumer.handle(handler).start().unwrap();
    let job = jobs.job().at_most_once().keep(10 * HOUR);
    let job = job.enqueue(&Work { n: 7 }).unwrap();
    simulation.advance(SECOND);
    // Nothing sweeps meanwhile, so the session lives when the storage is back.
    faulty.set_percent(100);
    simulation.advance(60 * SECOND);
    faulty.set_percent(0);
    simulation.advance(60 * SECOND);
    assert_eq!(dead(job.handle()), "its lease was lost; at most once");
    assert_eq!(runs.load(SeqCst), 1);
    pool.shutdown(Shutdown::drain()).unwrap();
}

#[test]
fn a_callback_that_panics_ends_neither_the_consumer_nor_its_other_schedules() {
    let world = world(20);
    let seen = Arc::new(AtomicUsize::new(0));
    let ticks = seen.clone();
    let template = world.jobs.job();
    let panics = template.every("panics", 60 * SECOND, |_| -> Tick {
        panic!("no tick today")
    });
    let broken = Handler::new(|work: Work, _: &JobContext| Ok::<_, String>(work.n));
    let consumer = world
        .consumer()
        .schedule(panics)
        .schedule(template.every("ticks", 60 * SECOND, tick))
        .handle(move |_: Tick, _: &JobContext| {
            ticks.fetch_add(1, SeqCst);
            Ok::<_, String>(())
        })
        .handler(broken.task(|_| panic!("no task today")))
        .start()
        .unwrap();
    let job = world.enqueue(7);
    world.simulation.advance(HOUR);
    assert!(dead(&job).contains("an option of its task panicked"));
    assert!(seen.load(SeqCst) >= 59);
    assert_eq!((consumer.report().running, consumer.report().dead), (0, 1));
    world.end(Shutdown::drain());
}

/// Does not heed its token for a minute.
struct Deaf;

impl Drop for Deaf {
    fn drop(&mut self) {
        let _ = millhand::CancelToken::new().wait_timeout(60 * SECOND);
    }
}

#[test]
fn a_job_that_was_claimed_again_while_its_first_body_runs_gives_both_slots_back() {
    let world = world(16);
    let runs = AtomicUsize::new(0);
    let consumer = world.handle(move |n, _| match (n, runs.fetch_add(1, SeqCst)) {
        (7, 0) => {
            let _deaf = Deaf;
            std::panic::resume_unwind(Box::new("it ends long after its lease"));
        }
        (7, _) => Ok(7),
        _ => millhand::sleep(SECOND).map(|()| n),
    });
    let job = world.enqueue(7);
    world.simulation.advance(SECOND);
    let session = world.jobs.sessions().unwrap()[0].id;
    let storage = world.jobs.storage();
    assert_eq!(storage.close_session(session).unwrap(), 1);
    assert_eq!(job.join().unwrap(), 7);
    assert!(world.simulation.elapsed() < 60 * SECOND);
    world.simulation.advance(120 * SECOND);
    assert_eq!((consumer.report().running, consumer.report().gone), (0, 1));

    // All four slots are free.
    let before = world.simulation.elapsed();
    let jobs: Vec<_> = (0..4).map(|n| world.enqueue(n)).collect();
    for job in jobs {
        job.join().unwrap();
    }
    assert_eq!(world.simulation.elapsed() - before, SECOND);
    world.end(Shutdown::drain());
}

#[test]
fn a_paused_consumer_claims_nothing() {
    let world = world(14);
    let consumer = world.handle(|n, _| Ok::<_, String>(n));
    consumer.pause();
    let job = world.enqueue(7);
    world.simulation.advance(HOUR);
    assert_eq!(job.state().unwrap(), Some(JobState::Ready));
    consumer.resume();
    assert_eq!(job.join().unwrap(), 7);
    world.end(Shutdown::drain());
}

#[test]
fn a_start_names_what_is_not_allowed() {
    let world = world(15);
    let kind = |builder: ConsumerBuilder<'_>| builder.start().unwrap_err().kind();
    let jobs = &world.jobs;
    let work = |builder: ConsumerBuilder<'_>| {
        kind(builder.handle(|work: Work, _: &JobContext| Ok::<_, String>(work.n)))
    };
    assert_eq!(work(jobs.consumer(&world.pool)), JobsErrorKind::Invalid);
    assert_eq!(kind(world.consumer()), JobsErrorKind::Invalid);
    assert_eq!(
        work(world.consumer().queue("default", 1)),
        JobsErrorKind::Invalid
    );
    assert_eq!(
        work(world.consumer().queue("none", 0)),
        JobsErrorKind::Invalid
    );
    assert_eq!(
        work(world.consumer().queue("two words", 1)),
        JobsErrorKind::Name
    );
    assert_eq!(work(world.consumer().lease(MS)), JobsErrorKind::Invalid);
    assert_eq!(
        work(world.consumer().lease(Duration::MAX)),
        JobsErrorKind::Invalid
    );
    let twice = world.consumer();
    let twice = twice.handle(|work: Work, _: &JobContext| Ok::<_, String>(work.n));
    assert_eq!(work(twice), JobsErrorKind::Invalid);
    world.pool.close();
    assert_eq!(work(world.consumer()), JobsErrorKind::Closed);
}

/// Huey's issue 915, and its relatives: the storage fails at any call, before it has done what was
/// asked, or after.
#[test]
fn nothing_is_lost_or_run_twice_when_the_storage_fails() {
    for seed in 0..20 {
        let (pool, simulation) = ThreadPool::simulated(seed);
        let memory = Memory::options().clock(simulation.clock()).build();
        let faulty = Faulty::new(memory.clone(), 0);
        let jobs = Jobs::open(faulty.clone()).unwrap();
        let runs = Arc::new(Mutex::new(BTreeMap::<u64, u32>::new()));
        let seen = runs.clone();
        let count = move |work: Work, _: &JobContext| {
            *seen.lock().unwrap().entry(work.n).or_default() += 1;
            Ok::<_, String>(work.n)
        };
        let consumer = jobs.consumer(&pool).queue("default", 16).handle(count);
        let consumer = consumer.start().unwrap();
        let later = jobs.job().delay(SECOND);
        drop(later.enqueue_all((0..503).map(|n| Work { n })).unwrap());
        simulation.advance(SECOND / 2);
        faulty.set_percent(15);
        simulation.advance(HOUR);
        faulty.set_percent(0);
        simulation.advance(HOUR);
        let runs = runs.lock().unwrap();
        assert_eq!(runs.len(), 503, "all have run");
        assert!(faulty.failed.load(SeqCst) > 10);
        assert_eq!(memory.counts().unwrap().totals.done, 503);
        let again: u32 = runs.values().map(|n| n - 1).sum();
        // A claim whose answer was lost is given back by a sign of life, and begins once. Nothing
        // begins twice, since no lease was lost.
        assert_eq!(again, 0, "{:?}", consumer.report());
        pool.shutdown(Shutdown::drain()).unwrap();
        assert_eq!(memory.check(false).unwrap(), []);
    }
}

#[derive(Serialize, Deserialize)]
struct Tick {
    at: u64,
}

impl Job for Tick {
    const NAME: &'static str = "tick";
    type Output = ();
}

fn tick(at: std::time::SystemTime) -> Tick {
    let since = at
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    Tick {
        at: since.as_secs(),
    }
}

#[test]
fn a_day_of_schedules_retries_and_crashes_in_two_processes() {
    for seed in 0..3 {
        let world = world(seed);
        let other = ThreadPool::builder()
            .workers(2)
            .clock(world.simulation.clock())
            .build()
            .unwrap();
        let ticks = Arc::new(Mutex::new(BTreeMap::<u64, u32>::new()));
        let start = |pool: &ThreadPool| {
            let seen = ticks.clone();
            let ticked = move |tick: Tick, context: &JobContext| {
                if tick.at % 7 == 0 && context.failures() == 0 {
                    return Err("every seventh fails once");
                }
                *seen.lock().unwrap().entry(tick.at).or_default() += 1;
                Ok(())
            };
            let minutely = world.jobs.job().every("minutely", 60 * SECOND, tick);
            let consumer = world
                .jobs
                .consumer(pool)
                .queue("default", 4)
                .schedule(minutely);
            let handler = Handler::new(ticked).retry(Retry::fixed(3, SECOND));
            consumer.handler(handler).start().unwrap()
        };
        let (first, second) = (start(&world.pool), start(&other));
        world.simulation.advance(12 * HOUR);
        // One of them is taken for dead, again and again.
        for _ in 0..20 {
            world.simulation.advance(HOUR / 2);
            let sessions = world.jobs.sessions().unwrap();
            world.jobs.storage().close_session(sessions[0].id).unwrap();
        }
        world.simulation.advance(2 * HOUR);
        other.shutdown(Shutdown::drain()).unwrap();
        let ticks = ticks.lock().unwrap();
        let times: Vec<u64> = ticks.keys().copied().collect();
        assert!(
            times.windows(2).all(|pair| pair[1] - pair[0] == 60),
            "{times:?}"
        );
        assert!(ticks.values().all(|runs| *runs == 1));
        assert!(
            (24 * 60 - 1..=24 * 60 + 1).contains(&times.len()),
            "{}",
            times.len()
        );
        assert!(first.report().done > 100 || second.report().done > 100);
        let schedules = world.jobs.schedules().unwrap();
        assert_eq!(
            (&*schedules[0].name, &*schedules[0].rule),
            ("minutely", "every 60s")
        );
        assert_eq!(schedules[0].runs, times.len() as u64);
        world.end(Shutdown::drain());
    }
}

#[test]
fn one_job_stands_for_the_times_at_which_nothing_ran() {
    let world = world(16);
    let ticks = Arc::new(Mutex::new(Vec::new()));
    let run = |pool: &ThreadPool| {
        let seen = ticks.clone();
        let hourly = world.jobs.job().every("hourly", HOUR, tick);
        let consumer = world
            .jobs
            .consumer(pool)
            .queue("default", 1)
            .schedule(hourly);
        consumer
            .handle(move |tick: Tick, _: &JobContext| {
                seen.lock().unwrap().push(tick.at / 3600);
                Ok::<_, String>(())
            })
            .start()
            .unwrap();
    };
    let pool = || {
        let pool = ThreadPool::builder().workers(1);
        pool.clock(world.simulation.clock()).build().unwrap()
    };
    let before = pool();
    run(&before);
    world.simulation.advance(3 * HOUR);
    before.shutdown(Shutdown::drain()).unwrap();
    world.simulation.advance(10 * HOUR);
    run(&world.pool);
    world.simulation.advance(2 * HOUR);
    let gaps: Vec<u64> = ticks
        .lock()
        .unwrap()
        .windows(2)
        .map(|w| w[1] - w[0])
        .collect();
    assert!(
        matches!(gaps[..], [1, 1, 10 | 9, 1, 1] | [1, 1, 10, 1]),
        "{gaps:?}"
    );
    world.end(Shutdown::drain());
}

#[test]
fn a_schedule_that_is_not_allowed_is_refused_at_the_start() {
    let world = world(17);
    let start = |names: &[&str], period| {
        let mut consumer = world
            .consumer()
            .handle(|_: Tick, _: &JobContext| Ok::<_, String>(()));
        for name in names {
            consumer = consumer.schedule(world.jobs.job().every(*name, period, tick));
        }
        consumer.start().map(drop).map_err(|error| error.kind())
    };
    assert_eq!(start(&["a", "a"], HOUR), Err(JobsErrorKind::Invalid));
    assert_eq!(start(&["two words"], HOUR), Err(JobsErrorKind::Name));
    assert_eq!(start(&["a"], Duration::ZERO), Err(JobsErrorKind::Invalid));
    let strange = world.jobs.job().every("a", HOUR, |_| Work { n: 1 });
    let consumer = world
        .consumer()
        .handle(|_: Tick, _: &JobContext| Ok::<_, String>(()));
    let refused = consumer.schedule(strange).start().unwrap_err();
    assert!(refused.to_string().contains("no handler"), "{refused}");
    assert_eq!(start(&["a", "b"], HOUR), Ok(()));
    world.end(Shutdown::drain());
}

#[test]
fn a_stop_gives_up_on_a_storage_that_answers_only_errors() {
    let (pool, simulation) = ThreadPool::simulated(18);
    let memory = Memory::options().clock(simulation.clock()).build();
    let faulty = Faulty::new(memory.clone(), 0);
    let jobs = Jobs::open(faulty.clone()).unwrap();
    let consumer = jobs.consumer(&pool).queue("default", 1);
    let consumer = consumer.handle(|work: Work, _: &JobContext| {
        millhand::sleep(SECOND).unwrap();
        Ok::<_, String>(work.n)
    });
    let consumer = consumer.start().unwrap();
    let job = jobs.enqueue(&Work { n: 7 }).unwrap();
    simulation.advance(SECOND / 2);
    faulty.set_percent(100);
    let begun = simulation.elapsed();
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    let took = simulation.elapsed() - begun;
    assert!((30 * SECOND..40 * SECOND).contains(&took), "{took:?}");
    assert!(
        faulty.failed.load(SeqCst) < 50,
        "it pauses between two attempts"
    );
    assert_eq!(consumer.report().unsaved, [job.id()]);
    assert!(!report.is_clean());
    // The lease does the rest.
    simulation.advance(HOUR);
    memory.sweep(10).unwrap();
    let info = jobs_of(&memory, job.id());
    assert_eq!((info.state, info.crashes), (JobState::Ready, 1));
}

fn jobs_of(memory: &Memory, id: millhand::jobs::JobId) -> millhand::jobs::JobInfo {
    Jobs::open(memory.clone())
        .unwrap()
        .get(id)
        .unwrap()
        .unwrap()
}

#[test]
fn a_sweep_that_always_fails_keeps_no_job_from_running() {
    let (pool, simulation) = ThreadPool::simulated(19);
    let memory = Memory::options().clock(simulation.clock()).build();
    let jobs = Jobs::open(Faulty::new(memory.clone(), 0).breaking("sweep")).unwrap();
    let consumer = jobs.consumer(&pool).queue("default", 1);
    let consumer = consumer.handle(|work: Work, _: &JobContext| Ok::<_, String>(work.n));
    let consumer = consumer.start().unwrap();
    for n in 0..10 {
        drop(jobs.job().delay(n * HOUR).enqueue(&Work { n: 7 }).unwrap());
    }
    simulation.advance(10 * HOUR);
    assert_eq!(consumer.report().done, 10);
    assert_eq!(memory.sessions().unwrap().len(), 1, "its lease is extended");
    pool.shutdown(Shutdown::drain()).unwrap();
}
