//! Semaphores: by hand, before tasks, and both in one line.

use crate::gate_kit::{Busy, HOUR, NANO, SECOND, apart, line_up, pool_on, until};
use crate::handle::must_join;
use crate::stress::{EXPECTED, silence};
use crate::support::must_recv;
use millhand::cancel::CancelReason;
use millhand::limit::{AcquireError, LimitError};
use millhand::task::TaskState;
use millhand::testing::ManualClock;
use millhand::{Retry, Semaphore, Shutdown, TaskError, ThreadPool};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const NONE: AcquireError = AcquireError::NotYet { wait: None };

/// How many are inside, and how many were at once at the most.
#[derive(Default)]
struct Gauge {
    inside: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

impl Gauge {
    fn visit(&self) {
        let inside = self.inside.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(inside, SeqCst);
        std::thread::yield_now();
        self.inside.fetch_sub(1, SeqCst);
        self.all.fetch_add(1, SeqCst);
    }
}

#[test]
fn no_more_than_so_many_are_inside_at_once() {
    for permits in [1, 2, 3] {
        let semaphore = Semaphore::new(permits).unwrap();
        let gauge = Arc::new(Gauge::default());
        let pools = [ThreadPool::new(4).unwrap(), ThreadPool::new(4).unwrap()];
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    for _ in 0..300 {
                        let permit = semaphore.acquire().unwrap();
                        gauge.visit();
                        drop(permit);
                    }
                });
            }
            for n in 0..600 {
                let gauge = gauge.clone();
                let task = pools[n % 2].task().gate(&semaphore);
                task.execute(move || gauge.visit());
            }
        });
        pools.iter().for_each(|pool| pool.wait_idle().unwrap());
        assert_eq!(gauge.all.load(SeqCst), 1200);
        assert!(gauge.most.load(SeqCst) <= permits as usize);
        assert_eq!((semaphore.available(), semaphore.waiting()), (permits, 0));
    }
}

#[test]
fn as_many_as_there_are_permits_run_side_by_side() {
    let semaphore = Semaphore::new(3).unwrap();
    let pool = ThreadPool::new(4).unwrap();
    let busy: Vec<_> = (0..3)
        .map(|_| Busy::start(&pool.task().gate(&semaphore)))
        .collect();
    let fourth = pool.task().gate(&semaphore).submit(|| 4);
    until("the fourth waits", || semaphore.waiting() == 1);
    assert_eq!(fourth.state(), TaskState::Gated);
    assert_eq!(semaphore.available(), 0);
    let mut busy = busy.into_iter();
    busy.next().unwrap().end();
    assert_eq!(fourth.join().unwrap(), 4);
    busy.for_each(Busy::end);
    assert_eq!(semaphore.available(), 3);
}

#[test]
fn none_is_no_number_of_permits() {
    let refused = |error: LimitError| {
        assert!(matches!(
            error,
            LimitError::Invalid {
                option: "permits",
                ..
            }
        ));
    };
    refused(Semaphore::new(0).unwrap_err());
    refused(Semaphore::keyed::<u32>(0).unwrap_err());
}

#[test]
fn without_permits_all_wait_until_there_are_some() {
    let pool = ThreadPool::new(2).unwrap();
    let semaphore = Semaphore::new(2).unwrap();
    let held = semaphore.acquire().unwrap();
    semaphore.set_permits(0);
    assert_eq!(semaphore.available(), 0);
    assert_eq!(semaphore.try_acquire().unwrap_err(), NONE);
    assert_eq!(semaphore.acquire_timeout(Duration::ZERO).unwrap_err(), NONE);
    let gated = pool.task().gate(&semaphore);
    let tasks: Vec<_> = (0..3).map(|n| gated.submit(move || n)).collect();
    until("the tasks wait", || semaphore.waiting() == 3);
    let by_hand = semaphore.clone();
    let thread = apart(move || drop(by_hand.acquire().unwrap()));
    until("the thread waits", || semaphore.waiting() == 4);
    // The permit that comes back is none for them.
    drop(held);
    assert_eq!((semaphore.available(), semaphore.waiting()), (0, 4));
    semaphore.set_permits(1);
    for (n, task) in (0..).zip(tasks) {
        assert_eq!(task.join().unwrap(), n);
    }
    must_recv(&thread);
    assert_eq!((semaphore.available(), semaphore.waiting()), (1, 0));
}

#[test]
fn a_drain_waits_until_there_are_permits_again() {
    let pool = ThreadPool::new(1).unwrap();
    let semaphore = Semaphore::new(1).unwrap();
    semaphore.set_permits(0);
    let waits = pool.task().gate(&semaphore).submit(|| 7);
    std::thread::scope(|s| {
        let drain = s.spawn(|| pool.shutdown(Shutdown::drain()).unwrap());
        until("the pool is closed", || pool.is_closed());
        until("it waits", || semaphore.waiting() == 1);
        assert_eq!(waits.state(), TaskState::Gated);
        semaphore.set_permits(1);
        assert_eq!(drain.join().unwrap().succeeded(), 1);
    });
    assert_eq!(waits.join().unwrap(), 7);
}

#[test]
fn a_shutdown_that_cancels_ends_what_waits_for_permits_that_are_not_there() {
    let pool = ThreadPool::new(1).unwrap();
    let semaphore = Semaphore::new(1).unwrap();
    semaphore.set_permits(0);
    let waits = pool.task().gate(&semaphore).submit(|| ());
    pool.shutdown(Shutdown::cancel()).unwrap();
    assert!(waits.join().unwrap_err().is_cancelled());
    assert_eq!(semaphore.waiting(), 0);
}

#[test]
fn a_permit_comes_back_however_its_holder_ends() {
    silence();
    let semaphore = Semaphore::new(1).unwrap();
    let pool = ThreadPool::new(1).unwrap();
    let by_hand = semaphore.clone();
    let panics = pool.submit(move || {
        let _permit = by_hand.acquire().unwrap();
        panic!("{EXPECTED} with a permit");
    });
    assert!(matches!(
        panics.join(),
        Err::<(), _>(TaskError::Panicked(_))
    ));
    assert_eq!(semaphore.available(), 1);
    let by_hand = semaphore.clone();
    let stops = pool.submit(move || {
        let _permit = by_hand.acquire().unwrap();
        loop {
            millhand::checkpoint();
        }
    });
    until("it has the permit", || semaphore.available() == 0);
    stops.cancel();
    assert!(matches!(
        stops.join(),
        Err::<(), _>(TaskError::Cancelled(_))
    ));
    assert_eq!(semaphore.available(), 1);
    // To another thread, or out as a task's value that nobody wants.
    let permit = semaphore.try_acquire().unwrap();
    std::thread::spawn(move || drop(permit)).join().unwrap();
    assert_eq!(semaphore.available(), 1);
    let by_hand = semaphore.clone();
    drop(pool.submit(move || by_hand.acquire()));
    pool.wait_idle().unwrap();
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn more_permits_let_as_many_more_through_at_once() {
    let pool = ThreadPool::new(1).unwrap();
    let semaphore = Semaphore::new(1).unwrap();
    let held = semaphore.acquire().unwrap();
    let (tell, told) = mpsc::channel();
    line_up(
        || semaphore.waiting(),
        5,
        |n| {
            let (semaphore, tell) = (semaphore.clone(), tell.clone());
            let pass = move || tell.send((n, semaphore.acquire())).unwrap();
            if n % 2 == 0 {
                drop(apart(pass));
            } else {
                pool.execute(pass);
            }
        },
    );
    semaphore.set_permits(4);
    let mut passed: Vec<_> = (0..3).map(|_| must_recv(&told)).collect();
    passed.sort_by_key(|(n, _)| *n);
    let first: Vec<_> = passed.iter().map(|(n, _)| *n).collect();
    assert_eq!(first, [0, 1, 2]);
    assert_eq!((semaphore.waiting(), semaphore.available()), (2, 0));
    // Fewer: what is out stays out, and comes back to fewer.
    semaphore.set_permits(2);
    passed.truncate(2);
    assert_eq!((semaphore.waiting(), semaphore.available()), (2, 0));
    passed.pop();
    assert_eq!(
        (semaphore.waiting(), semaphore.available()),
        (2, 0),
        "two are still out"
    );
    assert_eq!(semaphore.try_acquire().unwrap_err(), NONE);
    passed.pop();
    let (n, fourth) = must_recv(&told);
    assert_eq!((n, semaphore.waiting()), (3, 1));
    drop(held);
    let (n, fifth) = must_recv(&told);
    assert_eq!((n, semaphore.available()), (4, 0));
    drop((fourth, fifth));
    assert_eq!(semaphore.available(), 2);
    semaphore.set_permits(1);
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn those_who_wait_pass_first_in_first_out_whether_threads_or_tasks() {
    const N: usize = 9;
    let pools = [ThreadPool::new(2).unwrap(), ThreadPool::new(3).unwrap()];
    let semaphore = Semaphore::new(1).unwrap();
    let held = semaphore.acquire().unwrap();
    let (tell, told) = mpsc::channel();
    line_up(
        || semaphore.waiting(),
        N,
        |n| {
            let (by_hand, tell) = (semaphore.clone(), tell.clone());
            // Told while the permit is held.
            let body = move || tell.send(n).unwrap();
            match n % 3 {
                0 => drop(apart(move || {
                    let permit = by_hand.acquire().unwrap();
                    body();
                    drop(permit);
                })),
                // A priority decides about workers, not about the line.
                k => pools[k - 1]
                    .task()
                    .priority(n as i32)
                    .gate(&semaphore)
                    .execute(body),
            }
        },
    );
    drop(held);
    let order: Vec<_> = (0..N).map(|_| must_recv(&told)).collect();
    assert_eq!(order, (0..N).collect::<Vec<_>>());
}

#[test]
fn a_free_permit_goes_to_who_waits_and_not_to_who_tries() {
    let pool = ThreadPool::new(1).unwrap();
    let semaphore = Semaphore::new(1).unwrap();
    let held = semaphore.acquire().unwrap();
    let waits = pool.task().gate(&semaphore).submit(|| ());
    until("it waits", || semaphore.waiting() == 1);
    let busy = Busy::start(&pool.task());
    drop(held);
    // It is called, but no worker is free: the permit is reserved.
    assert_eq!((semaphore.available(), semaphore.waiting()), (0, 1));
    assert_eq!(semaphore.try_acquire().unwrap_err(), NONE);
    assert_eq!(semaphore.acquire_timeout(Duration::ZERO).unwrap_err(), NONE);
    // A second permit is for whoever comes.
    semaphore.set_permits(2);
    drop(semaphore.acquire().unwrap());
    busy.end();
    waits.join().unwrap();
    assert_eq!((semaphore.available(), semaphore.waiting()), (2, 0));
}

#[test]
fn a_wait_is_given_up_at_its_deadline_and_not_before() {
    let clock = ManualClock::new();
    let semaphore = Semaphore::new(1).unwrap();
    let held = semaphore.acquire().unwrap();
    // In a task the clock is the pool's.
    let pool = pool_on(&clock, 1);
    let waits = line_up(
        || semaphore.waiting(),
        2,
        |n| {
            let semaphore = semaphore.clone();
            let timeout = if n == 0 { SECOND } else { HOUR };
            pool.submit(move || semaphore.acquire_timeout(timeout).map(drop))
        },
    );
    clock.advance(SECOND - NANO);
    assert_eq!(semaphore.waiting(), 2);
    clock.advance(NANO);
    let mut waits = waits.into_iter().map(must_join);
    assert_eq!(waits.next().unwrap().unwrap(), Err(NONE));
    assert_eq!(semaphore.waiting(), 1);
    drop(held);
    assert_eq!(waits.next().unwrap().unwrap(), Ok(()));
    assert_eq!((semaphore.available(), semaphore.waiting()), (1, 0));
    assert!(semaphore.acquire_timeout(Duration::MAX).is_ok());
}

#[test]
fn between_two_attempts_a_task_holds_nothing() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 1);
    let semaphore = Semaphore::new(1).unwrap();
    let task = pool.task().gate(&semaphore).retry(Retry::fixed(1, HOUR));
    let task = task.submit(|| {
        let attempt = millhand::attempt();
        if attempt == 1 {
            Err(attempt)
        } else {
            Ok(attempt)
        }
    });
    until("it waits for a retry", || {
        matches!(task.state(), TaskState::Retrying { attempt: 2, .. })
    });
    assert_eq!((semaphore.available(), semaphore.waiting()), (1, 0));
    let permit = semaphore.try_acquire().unwrap();
    clock.advance(HOUR);
    until("its second attempt waits for a permit", || {
        task.state() == TaskState::Gated
    });
    drop(permit);
    assert_eq!(task.join().unwrap(), Ok(2));
    assert_eq!((semaphore.available(), semaphore.waiting()), (1, 0));
}

#[test]
fn a_hung_task_keeps_its_permit_until_its_body_returns() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 1);
    let semaphore = Semaphore::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let hung = pool
        .task()
        .gate(&semaphore)
        .deadline(SECOND)
        .submit(move || {
            tell.send(()).unwrap();
            let _ = wait.recv();
        });
    must_recv(&told);
    let next = pool.task().gate(&semaphore).submit(|| 7);
    clock.advance(SECOND);
    assert!(matches!(hung.join(), Err(TaskError::TimedOut)));
    until("a spare takes the next one up", || semaphore.waiting() == 1);
    assert_eq!(semaphore.available(), 0);
    assert_eq!(pool.submit(|| 5).join().unwrap(), 5);
    assert_eq!(next.state(), TaskState::Gated);
    drop(go);
    assert_eq!(next.join().unwrap(), 7);
    assert_eq!((semaphore.available(), semaphore.waiting()), (1, 0));
}

#[test]
fn a_body_that_waits_gives_its_seat_up_and_stops_when_asked_to() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 1);
    let semaphore = Semaphore::new(1).unwrap();
    let held = semaphore.acquire().unwrap();
    let inside = semaphore.clone();
    let body = move || inside.acquire().map(drop);
    let tasks = line_up(
        || semaphore.waiting(),
        4,
        |n| match n {
            1 => pool.task().attempt_timeout(SECOND).submit(body.clone()),
            _ => pool.submit(body.clone()),
        },
    );
    assert_eq!(
        pool.submit(|| 5).join().unwrap(),
        5,
        "the only worker goes on"
    );
    tasks[2].cancel();
    clock.advance(SECOND);
    until("two have left the line", || semaphore.waiting() == 2);
    drop(held);
    let ends: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
    let stopped = |reason| Err(AcquireError::Stopped(reason));
    assert_eq!(ends[0], Ok(()));
    assert_eq!(ends[1], stopped(CancelReason::Deadline));
    assert_eq!(ends[2], stopped(CancelReason::User));
    assert_eq!(ends[3], Ok(()));
    assert_eq!((semaphore.available(), semaphore.waiting()), (1, 0));
}

#[test]
fn a_body_may_take_by_hand_what_other_tasks_wait_for() {
    let pool = ThreadPool::new(2).unwrap();
    let semaphore = Semaphore::new(2).unwrap();
    let gauge = Arc::new(Gauge::default());
    let handles: Vec<_> = (0..400)
        .map(|n| {
            let (inside, gauge) = (semaphore.clone(), gauge.clone());
            if n % 2 == 0 {
                return pool.task().gate(&semaphore).submit(move || gauge.visit());
            }
            pool.submit(move || {
                let permit = inside.acquire().unwrap();
                gauge.visit();
                drop(permit);
            })
        })
        .collect();
    handles
        .into_iter()
        .for_each(|handle| handle.join().unwrap());
    assert!(gauge.most.load(SeqCst) <= 2);
    assert_eq!((semaphore.available(), semaphore.waiting()), (2, 0));
}
