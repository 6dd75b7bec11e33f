//! Simulated pools: one thread at a time, and a clock that jumps when nobody can go on.

use crate::support::wait_deafly;
use millhand::cancel::CancelReason;
use millhand::compose::{Until, wait_until_timeout};
use millhand::error::Rejection;
use millhand::task::{OutcomeKind, TaskState};
use millhand::testing::Simulation;
use millhand::{
    CancelToken, Every, RateLimiter, Retry, Semaphore, Shutdown, TaskError, ThreadPool,
    as_completed, promise,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const NS: Duration = Duration::from_nanos(1);
const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A pool with so many workers, in a simulation of its own.
fn simulated(workers: usize) -> (ThreadPool, Simulation) {
    let simulation = Simulation::new(7);
    let pool = ThreadPool::builder().workers(workers).build().unwrap();
    (pool, simulation)
}

/// The text of the panic that `f` ends with.
fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(|| drop(f()))).unwrap_err();
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast_ref::<&str>().unwrap()).to_owned(),
    }
}

/// When things happened, for tests that tell of it.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<(Duration, &'static str)>>>);

impl Diary {
    fn note(&self, at: Duration, what: &'static str) {
        self.0.lock().unwrap().push((at, what));
    }

    fn read(&self) -> Vec<(Duration, &'static str)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn a_join_waits_through_hours_that_take_no_time() {
    let (pool, simulation) = ThreadPool::simulated(1);
    let sleeper = pool.submit(|| millhand::sleep(HOUR).map(|()| 1));
    let delayed = pool.task().delay(10 * HOUR).submit(|| 2);
    assert_eq!(sleeper.join().unwrap(), Ok(1));
    assert_eq!(simulation.elapsed(), HOUR);
    assert_eq!(delayed.join().unwrap(), 2);
    assert_eq!(simulation.elapsed(), 10 * HOUR);
}

#[test]
fn nobody_runs_while_the_owner_does_and_the_clock_stands() {
    let (pool, simulation) = simulated(2);
    let handle = pool.submit(|| 7);
    thread::yield_now();
    assert_eq!((handle.state(), pool.queued()), (TaskState::Queued, 1));
    simulation.run_until_idle();
    assert!(handle.is_finished());
    assert_eq!(simulation.elapsed(), Duration::ZERO);
}

#[test]
fn advance_is_exact_and_fires_all_that_is_due_on_the_way_in_order() {
    let (pool, simulation) = simulated(1);
    let diary = Diary::default();
    let begun = simulation.now();
    let clock = simulation.clock();
    for (delay, name) in [(3 * S, "c"), (S, "a"), (2 * S, "b"), (4 * S, "d")] {
        let (diary, clock) = (diary.clone(), clock.clone());
        let body = move || diary.note(clock.now() - begun, name);
        drop(pool.task().delay(delay).submit(body));
    }
    simulation.advance(S - NS);
    assert_eq!(diary.read(), []);
    assert_eq!(simulation.elapsed(), S - NS);
    simulation.advance(NS);
    assert_eq!(diary.read(), [(S, "a")]);
    simulation.advance(2 * S + NS);
    assert_eq!(diary.read(), [(2 * S, "b"), (3 * S, "c")]);
    assert_eq!(simulation.elapsed(), 3 * S + NS);
    simulation.run_until_idle();
    assert_eq!(simulation.elapsed(), 3 * S + NS, "it stands");
    pool.wait_idle().unwrap();
    assert_eq!(diary.read(), [(4 * S, "d")]);
    assert_eq!(simulation.elapsed(), 4 * S);
}

#[test]
fn what_follows_from_what_is_due_happens_in_the_same_advance() {
    let (pool, simulation) = simulated(1);
    let again = pool.task().retry(Retry::fixed(9, S));
    let attempts = Arc::new(AtomicUsize::new(0));
    let count = attempts.clone();
    let handle = again.submit(move || {
        count.fetch_add(1, SeqCst);
        Err::<(), _>("no")
    });
    simulation.run_until_idle();
    assert_eq!(attempts.load(SeqCst), 1);
    simulation.advance(5 * S);
    assert_eq!(attempts.load(SeqCst), 6);
    assert!(handle.join().unwrap().is_err());
    assert_eq!(simulation.elapsed(), 9 * S);
}

#[test]
fn step_lets_one_go_on_until_its_next_wait() {
    let (pool, simulation) = simulated(1);
    let reached = Arc::new(AtomicUsize::new(0));
    let at = reached.clone();
    let handle = pool.submit(move || {
        for n in 1..=3 {
            at.store(n, SeqCst);
            millhand::sleep(S).unwrap();
        }
    });
    // To its first look for work, and to the sleep.
    while reached.load(SeqCst) == 0 {
        assert!(simulation.step());
    }
    while simulation.step() {}
    assert_eq!(
        (reached.load(SeqCst), simulation.elapsed()),
        (1, Duration::ZERO)
    );
    simulation.advance(S);
    assert_eq!(reached.load(SeqCst), 2);
    assert!(!simulation.step(), "nobody can without time");
    handle.join().unwrap();
    assert_eq!(simulation.elapsed(), 3 * S);
}

#[test]
fn timed_waits_of_the_owner_end_at_their_instant() {
    let (pool, simulation) = simulated(1);
    let (go, gate) = promise::<()>();
    let handle = pool.submit(move || gate.join());
    assert!(!handle.wait_timeout(S).unwrap());
    assert_eq!(simulation.elapsed(), S);
    assert!(!pool.wait_idle_timeout(S).unwrap());
    assert_eq!(simulation.elapsed(), 2 * S);
    millhand::sleep(S).unwrap();
    let token = CancelToken::new();
    assert!(!token.wait_timeout(S).unwrap());
    assert!(token.child_with_timeout(S).wait_timeout(HOUR).unwrap());
    assert_eq!(simulation.elapsed(), 5 * S);
    let semaphore = Semaphore::new(1).unwrap();
    let _permit = semaphore.acquire().unwrap();
    assert!(semaphore.acquire_timeout(S).is_err());
    assert_eq!(simulation.elapsed(), 6 * S);
    go.complete(()).unwrap();
    assert!(handle.join().unwrap().is_ok());
    let policy = Retry::fixed(3, S).max_elapsed(2 * S);
    assert_eq!(policy.run(Err::<(), _>), Err(3));
    assert_eq!(simulation.elapsed(), 8 * S);
}

#[test]
fn a_full_queue_holds_its_submitter_until_there_is_a_place_or_the_time_is_over() {
    let simulation = Simulation::new(3);
    let pool = ThreadPool::builder()
        .workers(1)
        .queue_capacity(1)
        .build()
        .unwrap();
    let sleeper = || {
        let _ = millhand::sleep(HOUR);
    };
    // A sleeping body keeps no other from running, one that computes does: here by holding the only permit.
    let one = Semaphore::new(1).unwrap();
    let task = pool.task().gate(&one);
    drop(task.submit(sleeper));
    simulation.run_until_idle();
    drop(task.submit(sleeper));
    let refused = task.submit_timeout(S, sleeper).unwrap_err();
    assert_eq!(refused.reason(), Rejection::Full);
    assert_eq!(simulation.elapsed(), S);
    drop(task.submit(sleeper));
    assert_eq!(simulation.elapsed(), HOUR);
}

#[test]
fn deadlines_and_limits_act_on_time() {
    let (pool, simulation) = simulated(1);
    let late = pool
        .task()
        .attempt_timeout(S)
        .submit(|| millhand::sleep(HOUR));
    assert!(late.join().unwrap().is_err());
    assert_eq!(simulation.elapsed(), S);
    // Deaf to it: the handle is settled, the seat free for others, the body goes on.
    let (go, gate) = promise::<()>();
    let hung = pool.task().deadline(S).submit(move || drop(gate.join()));
    let next = pool.submit(|| 7);
    assert!(matches!(hung.join(), Err(TaskError::TimedOut)));
    assert_eq!(simulation.elapsed(), 2 * S);
    assert_eq!(next.join().unwrap(), 7);
    let expired = pool.task().expires(S);
    let gated = Semaphore::new(1).unwrap();
    let permit = gated.acquire().unwrap();
    let expired = expired.gate(&gated).submit(|| ());
    assert!(matches!(expired.join(), Err(TaskError::Expired(_))));
    assert_eq!(simulation.elapsed(), 3 * S);
    drop((permit, go));
    // A hook of a token's deadline has a thread of its own, in its turn.
    let token = CancelToken::with_timeout(S);
    let (tell, told) = promise();
    let _guard = token.on_cancel(move |reason| tell.complete(reason).unwrap());
    assert_eq!(told.join().unwrap(), CancelReason::Deadline);
    assert_eq!(simulation.elapsed(), 4 * S);
    drop(pool);
}

#[test]
fn a_limiter_spreads_starts_over_simulated_time() {
    let (pool, simulation) = simulated(3);
    let limit = RateLimiter::sliding_window(10, S).build().unwrap();
    let begun = simulation.now();
    let clock = simulation.clock();
    let starts: Vec<_> = (0..100)
        .map(|_| {
            let clock = clock.clone();
            pool.task().gate(&limit).submit(move || clock.now() - begun)
        })
        .collect();
    let starts: Vec<_> = starts
        .into_iter()
        .map(|handle| handle.join().unwrap())
        .collect();
    for (n, at) in (0..).zip(starts) {
        assert_eq!(at, S * (n / 10), "{n}");
    }
}

#[test]
fn an_hour_of_ticks_takes_no_hour() {
    let (pool, simulation) = simulated(2);
    let ticks = Arc::new(AtomicUsize::new(0));
    let count = ticks.clone();
    let ticking = pool.task().retry(Retry::fixed(3_600, S)).submit(move || {
        count.fetch_add(1, SeqCst);
        Err::<(), _>("no")
    });
    simulation.advance(HOUR - NS);
    assert_eq!(ticks.load(SeqCst), 3_600);
    simulation.advance(NS);
    assert_eq!(ticks.load(SeqCst), 3_601);
    assert!(ticking.is_finished());
}

#[test]
fn shutdown_goes_through_its_phases_in_simulated_time() {
    let (pool, simulation) = simulated(2);
    let deaf = pool.submit(|| while millhand::sleep(S).is_ok() {});
    let gate = CancelToken::new();
    let hung = pool.task().name("hung").submit(move || wait_deafly(&gate));
    let later = pool.task().delay(2 * HOUR).submit(|| ());
    simulation.advance(S);
    let how = Shutdown::drain().cancel_after(HOUR).give_up_after(2 * HOUR);
    let report = pool.shutdown(how).unwrap();
    assert_eq!(simulation.elapsed(), 2 * HOUR + S);
    assert!(deaf.join().is_ok());
    assert!(later.join().is_err());
    let [running] = report.still_running() else {
        panic!("{report}")
    };
    assert_eq!(running.name.as_deref(), Some("hung"));
    assert!(!hung.is_finished());
}

#[test]
fn a_clean_shutdown_joins_its_threads() {
    let (pool, simulation) = simulated(3);
    let handles: Vec<_> = (0..10)
        .map(|n| pool.task().delay(S * n).submit(move || n))
        .collect();
    let report = pool
        .shutdown(Shutdown::drain().including_delayed())
        .unwrap();
    assert_eq!((report.succeeded(), simulation.elapsed()), (10, 9 * S));
    assert!(handles.iter().all(|handle| handle.is_finished()));
    let trace = simulation.trace();
    let count = |what| trace.iter().filter(|entry| entry.what == what).count();
    assert_eq!(count("starts"), 4, "three workers and the timer");
    assert_eq!(count("ends"), 4);
}

#[test]
fn callbacks_tell_simulated_times() {
    let (pool, _simulation) = simulated(1);
    let (tell, told) = promise();
    let handle = pool.task().name("x").submit(|| millhand::sleep(HOUR));
    let _callback = handle.on_finish(move |summary| drop(tell.complete(summary.clone())));
    let summary = told.join().unwrap();
    assert_eq!(
        (summary.outcome, summary.ran),
        (OutcomeKind::Succeeded, Some(HOUR))
    );
}

#[test]
fn a_body_that_only_asks_is_taken_to_wait() {
    let (pool, simulation) = simulated(2);
    let asks: [fn(); 3] = [
        || while !millhand::is_cancelled() {},
        || while millhand::check().is_ok() {},
        || loop {
            millhand::checkpoint();
        },
    ];
    for (n, ask) in (1..).zip(asks) {
        let handle = pool.task().attempt_timeout(S).submit(ask);
        drop(handle.join());
        assert_eq!(simulation.elapsed(), S * n);
    }
    // What is not for time is heard of as well.
    let token = CancelToken::new();
    let other = token.clone();
    let asks = pool.submit(move || while !other.is_cancelled() {});
    let tells = pool.submit(move || token.cancel());
    asks.join().unwrap();
    assert!(tells.join().unwrap());
}

#[test]
fn spares_serve_what_bodies_wait_for() {
    let (pool, _simulation) = simulated(1);
    let handle = pool.submit(|| {
        let pool = millhand::current().unwrap().pool();
        let tasks: Vec<_> = (0..10)
            .map(|n| pool.submit(move || millhand::sleep(S).map(|()| n)))
            .collect();
        tasks
            .into_iter()
            .map(|task| task.join_timeout(HOUR).unwrap().unwrap().unwrap())
            .sum::<u32>()
    });
    assert_eq!(handle.join().unwrap(), 45);
}

#[test]
fn several_pools_can_be_part_of_one_simulation() {
    let (outer, simulation) = simulated(1);
    let inner = outer.submit(|| ThreadPool::new(2).unwrap()).join().unwrap();
    let handle = outer.submit({
        let inner = inner.handle();
        move || inner.submit(|| millhand::sleep(HOUR)).join().unwrap()
    });
    assert_eq!(handle.join().unwrap(), Ok(()));
    assert_eq!(simulation.elapsed(), HOUR);
    // A pool that a task drops is shut down there.
    outer.submit(move || drop(inner)).join().unwrap();
}

#[test]
fn a_deadlock_is_told_with_who_waits_for_what() {
    let text = panic_of(|| {
        let (pool, _simulation) = simulated(1);
        let (never, gate) = promise::<()>();
        let stuck = pool.task().name("stuck").submit(move || gate.join());
        let joined = stuck.join();
        drop(never);
        joined
    });
    for part in [
        "the simulation cannot go on after 0ns: no thread can run, and nothing is due.",
        "owner waits for task",
        "`stuck` (submitted at tests/it/simulation.rs:",
        "millhand-0 waits for task",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // The thread is free for another one.
    let (pool, _simulation) = simulated(1);
    assert_eq!(pool.submit(|| 1).join().unwrap(), 1);
}

#[test]
fn a_pool_that_cannot_be_drained_says_so_when_it_is_dropped() {
    let (pool, simulation) = simulated(1);
    let (_never, gate) = promise::<()>();
    let stuck = pool.submit(move || gate.join());
    let text = panic_of(|| drop(pool));
    let why = "owner waits for a pool to have nothing left to do";
    assert!(text.contains(why), "{text}");
    drop((simulation, stuck));
    drop(simulated(1));
}

#[test]
fn a_failed_assertion_does_not_hang_in_the_pools_drop() {
    let text = panic_of(|| {
        let (pool, simulation) = simulated(2);
        let (_never, gate) = promise::<()>();
        let _stuck = pool.submit(move || gate.join());
        let _sleeps = pool.submit(|| millhand::sleep(HOUR));
        simulation.run_until_idle();
        panic!("as asserted");
    });
    assert_eq!(text, "as asserted");
}

#[test]
fn a_thread_that_is_no_part_of_it_is_told_so() {
    let (pool, _simulation) = simulated(1);
    let token = pool.submit(CancelToken::new).join().unwrap();
    let handle = pool.submit(|| 7);
    let foreign: [&(dyn Fn() + Sync); 5] = [
        &|| drop(pool.submit(|| ())),
        &|| drop(pool.try_execute(|| ())),
        &|| {
            let _ = pool.wait_idle();
        },
        &|| drop(pool.broadcast(|| ())),
        &|| {
            token.wait_timeout(S).unwrap();
        },
    ];
    for call in foreign {
        let text = thread::scope(|s| s.spawn(|| panic_of(call)).join().unwrap());
        assert!(text.contains("not part of the simulation"), "{text}");
    }
    let text = thread::scope(|s| s.spawn(|| panic_of(|| handle.join())).join().unwrap());
    assert!(text.contains("not part of the simulation"), "{text}");
}

#[test]
fn a_thread_owns_one_simulation_at_a_time() {
    let (pool, simulation) = simulated(1);
    assert!(panic_of(|| Simulation::new(1)).contains("one at a time"));
    let inside = pool.submit(|| panic_of(|| Simulation::new(1)));
    assert!(inside.join().unwrap().contains("one at a time"));
    drop(simulation);
    assert!(
        panic_of(|| Simulation::new(1)).contains("one at a time"),
        "its pool is there"
    );
    drop(pool);
    let (pool, simulation) = simulated(1);
    drop(pool);
    drop(simulation);
    // From here on the thread's clock is the system's again.
    let pool = ThreadPool::new(1).unwrap();
    thread::scope(|s| {
        s.spawn(|| pool.submit(|| 1).join().unwrap())
            .join()
            .unwrap()
    });
    assert!(format!("{:?}", ThreadPool::builder()).contains("Clock::system"));
}

#[test]
fn the_trace_tells_of_threads_attempts_outcomes_and_time() {
    let (pool, simulation) = simulated(1);
    let mut fails = true;
    let task = pool.task().name("x").retry(Retry::fixed(1, S));
    let handle = task.submit(move || {
        if std::mem::take(&mut fails) {
            Err("once more")
        } else {
            Ok(())
        }
    });
    handle.join().unwrap().unwrap();
    let unrun = pool.task().delay(HOUR).submit(|| ());
    unrun.cancel();
    drop(pool);
    let lines: Vec<_> = simulation.trace().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "0.000000 millhand-0: starts",
            "0.000000 millhand-0: task 1 `x`: attempt 1",
            "0.000000 millhand-0: task 1 `x`: goes for another attempt",
            "0.000000 millhand-timer: starts",
            "1.000000 clock: goes on by 1s",
            "1.000000 millhand-0: task 1 `x`: attempt 2",
            "1.000000 millhand-0: task 1 `x`: Succeeded",
            "1.000000 millhand-0: ends",
            "1.000000 millhand-timer: ends",
        ]
    );
}

#[test]
fn schedules_combinators_and_scopes_take_part() {
    let (pool, simulation) = simulated(2);
    let runs = Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    let ticks = pool.task().every(Every::new(MS * 100)).run(move || {
        count.fetch_add(1, SeqCst);
    });
    simulation.advance(60 * S);
    assert_eq!(runs.load(SeqCst), 600);
    ticks.unwrap().cancel();
    let begun = simulation.elapsed();
    let sleep = |n| move || millhand::sleep(S * n).map(|()| n).unwrap();
    let handles = [3, 1, 2].map(|n| pool.submit(sleep(n)));
    let order: Vec<_> = as_completed(handles)
        .map(|(_, outcome)| outcome.unwrap())
        .collect();
    assert_eq!(order, [1, 2, 3]);
    assert_eq!(simulation.elapsed() - begun, 3 * S);
    let handles = [3, 1, 2].map(|n| pool.submit(sleep(n)));
    let (done, pending) = wait_until_timeout(&handles[..], Until::All, 2 * S + NS).unwrap();
    assert_eq!((done, pending), (vec![1, 2], vec![0]));
    assert_eq!(simulation.elapsed() - begun, 5 * S + NS);
    pool.scope(|s| {
        for n in 1..=3 {
            let _ = s.submit(sleep(n));
        }
    });
    assert_eq!(simulation.elapsed() - begun, 8 * S + NS);
}
