//! Retried tasks: when the next attempt is due, who decides whether there is one, and what an attempt knows.

use crate::handle::{keep_busy, must_join};
use crate::manual::{HOUR, Manual, NS, S, due_of};
use crate::support::must_recv;
use millhand::task::{Jitter, TaskState};
use millhand::{JoinError, Retry, TaskBuilder, TaskError};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Fails each time, with the number of the attempt.
fn failing() -> impl FnMut() -> Result<(), u32> + Send + 'static {
    || Err(millhand::attempt())
}

/// How long each attempt of a task that fails for ever waits, and the number of the last.
fn delays(policy: Retry) -> (Vec<Duration>, u32) {
    let pool = Manual::new(1);
    let handle = pool.task().retry(policy).submit(failing());
    let mut delays = Vec::new();
    // One that is due at once is not seen to wait.
    loop {
        let mut due = None;
        crate::manual::until("it waits or has finished", || match handle.state() {
            TaskState::Retrying { due: at, .. } => {
                due = Some(at);
                true
            }
            state => state == TaskState::Finished,
        });
        let Some(due) = due else { break };
        let delay = due - pool.now();
        if !delay.is_zero() {
            delays.push(delay);
            pool.advance(delay);
        }
    }
    match handle.join_ok() {
        Err(JoinError::Failed(attempt)) => (delays, attempt),
        other => panic!("it came to {other:?}"),
    }
}

#[test]
fn attempts_are_due_when_the_policy_says() {
    let seconds = |list: &[u64]| list.iter().map(|s| *s as u32 * S).collect::<Vec<_>>();
    let exponential = |n, base| Retry::exponential(n, base).jitter(Jitter::None);
    let default = || Retry::default().jitter(Jitter::None);
    let table = [
        (default(), seconds(&[1, 2, 4])),
        (Retry::fixed(3, 90 * S), seconds(&[90, 90, 90])),
        (Retry::linear(4, 20 * S), seconds(&[20, 40, 60, 60])),
        (
            Retry::linear(3, 20 * S).max_delay(30 * S),
            seconds(&[20, 30, 30]),
        ),
        (exponential(8, S), seconds(&[1, 2, 4, 8, 16, 32, 60, 60])),
        (exponential(3, S).factor(3.0), seconds(&[1, 3, 9])),
        (exponential(3, 4 * S).factor(0.5), seconds(&[4, 2, 1])),
        (exponential(2, 600 * S), seconds(&[60, 60])),
        (
            exponential(2, 600 * S).max_delay(HOUR),
            seconds(&[600, 1200]),
        ),
        (Retry::from_fn(3, |k| (k + 5) * S), seconds(&[5, 6, 7])),
        (Retry::from_fn(3, |k| (k % 2) * S), seconds(&[1])),
        (Retry::fixed(1, NS), vec![NS]),
        (Retry::fixed(0, S), vec![]),
        (default().max_elapsed(6 * S), seconds(&[1, 2])),
        (default().max_elapsed(7 * S), seconds(&[1, 2, 4])),
        (
            Retry::fixed(u32::MAX, S).max_elapsed(3 * S),
            seconds(&[1, 1, 1]),
        ),
        (Retry::fixed(9, S).max_elapsed(S - NS), vec![]),
    ];
    for (policy, expected) in table {
        let text = format!("{policy:?}");
        let (waited, attempts) = delays(policy);
        assert_eq!(waited, expected, "{text}");
        // Two of these have retries without a wait.
        assert!(attempts as usize > waited.len(), "{text}");
    }
}

#[test]
fn jitter_only_shortens_and_the_default_one_by_half_at_most() {
    let most = [8, 16, 30, 30, 30, 30].map(|s| s * S);
    let policy = Retry::exponential(6, 8 * S).max_delay(30 * S);
    for (policy, shortest) in [
        (policy.clone().jitter(Jitter::None), 1.0),
        (policy.clone().jitter(Jitter::Equal), 0.5),
        (policy.clone(), 0.5),
        (policy.jitter(Jitter::Full), 0.0),
    ] {
        let text = format!("{policy:?}");
        let (waited, attempts) = delays(policy);
        assert_eq!((waited.len(), attempts), (6, 7), "{text}");
        for (delay, most) in waited.into_iter().zip(most) {
            assert!(delay <= most, "{text}: {delay:?}");
            assert!(delay >= most.mul_f64(shortest), "{text}: {delay:?}");
        }
    }
}

#[test]
fn tasks_do_not_come_back_together() {
    let pool = Manual::new(1);
    let task = pool
        .task()
        .retry(Retry::fixed(1, HOUR).jitter(Jitter::Full));
    let handles: Vec<_> = (0..8).map(|_| task.submit(failing())).collect();
    let mut dues: Vec<_> = handles.iter().map(|handle| due_of(handle, 2)).collect();
    assert!(dues.iter().all(|due| *due <= pool.now() + HOUR));
    dues.sort();
    dues.dedup();
    // Two equal ones among eight of 3.6e12 nanoseconds come once in 10^11 runs.
    assert_eq!(dues.len(), 8);
    pool.advance(HOUR);
    handles
        .into_iter()
        .for_each(|handle| assert_eq!(must_join(handle).unwrap(), Err(2)));
}

#[test]
fn elapsed_time_counts_what_the_attempts_took() {
    let pool = Manual::new(1);
    let clock = pool.clock.clone();
    let policy = Retry::fixed(9, S).max_elapsed(10 * S);
    let handle = pool.task().delay(HOUR).retry(policy).submit(move || {
        clock.advance(5 * S);
        Err::<(), _>(millhand::attempt())
    });
    // The time before the first attempt does not count.
    pool.advance(HOUR);
    assert_eq!(due_of(&handle, 2), pool.now() + S);
    pool.advance(S);
    // 11 s have passed since it began.
    assert_eq!(must_join(handle).unwrap(), Err(2));
}

#[test]
fn the_delay_runs_from_the_failure_and_the_state_tells_of_it() {
    let pool = Manual::new(1);
    let (tell, told) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let handle = pool.task().retry(Retry::fixed(3, 10 * S)).submit(move || {
        tell.send(()).unwrap();
        must_recv::<Result<u8, u8>>(&wait)
    });
    for attempt in 2..=3 {
        must_recv(&told);
        assert_eq!(handle.state(), TaskState::Running);
        pool.advance(HOUR);
        go.send(Err(attempt)).unwrap();
        assert_eq!(due_of(&handle, attempt.into()), pool.now() + 10 * S);
        assert!(!handle.is_finished());
        pool.turn(10 * S - NS);
        assert!(matches!(handle.state(), TaskState::Retrying { .. }));
        pool.advance(NS);
    }
    must_recv(&told);
    go.send(Ok(9)).unwrap();
    assert_eq!(must_join(handle).unwrap(), Ok(9));
}

#[test]
fn other_tasks_run_while_one_waits_for_its_retry() {
    let pool = Manual::new(1);
    let waiting: Vec<_> = (0..20)
        .map(|_| pool.task().retry(Retry::fixed(1, HOUR)).submit(failing()))
        .collect();
    for handle in &waiting {
        due_of(handle, 2);
    }
    assert_eq!(must_join(pool.submit(|| 7)).unwrap(), 7);
    assert_eq!((pool.threads(), pool.queued()), (1, 0));
    pool.advance(HOUR);
    waiting
        .into_iter()
        .for_each(|handle| assert_eq!(must_join(handle).unwrap(), Err(2)));
}

#[test]
fn a_retry_keeps_its_priority() {
    let pool = Manual::new(1);
    let (tell, told) = mpsc::channel();
    let again = tell.clone();
    let urgent = pool
        .task()
        .priority(1)
        .retry(Retry::fixed(1, S))
        .submit(move || {
            again.send("urgent").unwrap();
            Err::<(), _>("no")
        });
    due_of(&urgent, 2);
    must_recv(&told);
    let busy = keep_busy(&pool);
    pool.execute(move || tell.send("normal").unwrap());
    pool.turn(S);
    drop(busy);
    assert_eq!([must_recv(&told), must_recv(&told)], ["urgent", "normal"]);
}

// Who decides.

/// Runs a task that always fails so, with `options`, whatever it waits for; says how often it ran.
fn attempts<E: Send + fmt::Debug + fmt::Display + 'static>(
    error: impl Fn(u32) -> E + Send + 'static,
    options: impl FnOnce(
        TaskBuilder<millhand::pool::Retrying<E>>,
    ) -> TaskBuilder<millhand::pool::Retrying<E>>,
) -> u32 {
    let pool = Manual::new(1);
    let ran = Arc::new(AtomicU32::new(0));
    let counter = ran.clone();
    let task = options(pool.task().retry(Retry::fixed(3, Duration::ZERO)));
    let handle = task.submit(move || Err::<(), E>(error(counter.fetch_add(1, SeqCst))));
    drop(must_join(handle));
    ran.load(SeqCst)
}

#[test]
fn a_classifier_says_which_errors_are_retried() {
    crate::stress::silence();
    fn expected() -> ! {
        panic!("{} a classifier", crate::stress::EXPECTED)
    }
    assert_eq!(attempts(|n| n, |task| task), 4);
    assert_eq!(attempts(|n| n, |task| task.retry_if(|_| true)), 4);
    assert_eq!(attempts(|n| n, |task| task.retry_if(|_| false)), 1);
    assert_eq!(attempts(|n| n, |task| task.retry_if(|n| *n < 1)), 2);
    // The last one given counts.
    assert_eq!(
        attempts(|n| n, |task| task.retry_if(|_| false).retry_if(|_| true)),
        4
    );
    // One that panics has not said yes.
    assert_eq!(attempts(|n| n, |task| task.retry_if(|_| expected())), 1);
    assert_eq!(attempts(|n| n, |task| task.retry_after(|_| expected())), 1);
    // An error is nothing that the other two decide about.
    assert_eq!(
        attempts(|n| n, |task| task.retry_panics(false).retry_timeouts(false)),
        4
    );
    // A hint does not stand in for a yes.
    assert_eq!(
        attempts(
            |n| n,
            |task| task
                .retry_if(|_| false)
                .retry_after(|_| Some(Duration::ZERO))
        ),
        1
    );
}

#[test]
fn a_function_of_delays_that_panics_ends_the_attempts() {
    crate::stress::silence();
    let pool = Manual::new(1);
    let policy = Retry::from_fn(3, |_| panic!("{} a policy", crate::stress::EXPECTED));
    let handle = pool.task().retry(policy).submit(failing());
    assert_eq!(must_join(handle).unwrap(), Err(1));
    assert_eq!(must_join(pool.submit(|| 7)).unwrap(), 7);
}

#[test]
fn a_server_s_hint_stands_in_for_the_delay() {
    #[derive(Debug, PartialEq)]
    struct Busy {
        hint: Option<Duration>,
    }
    impl fmt::Display for Busy {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "busy; {:?}", self.hint)
        }
    }
    let pool = Manual::new(1);
    let policy = Retry::fixed(3, HOUR)
        .max_delay(2 * HOUR)
        .jitter(Jitter::None);
    let own = policy.delay(1);
    let task = pool
        .task()
        .retry(policy)
        .retry_after(|error: &Busy| error.hint);
    let mut hints = [Some(5 * S), None, Some(24 * HOUR)].into_iter();
    let handle = task.submit(move || match hints.next() {
        Some(hint) => Err(Busy { hint }),
        None => Ok("done"),
    });
    for (attempt, delay) in [(2, 5 * S), (3, own), (4, 24 * HOUR)] {
        assert_eq!(due_of(&handle, attempt), pool.now() + delay);
        pool.advance(delay);
    }
    assert_eq!(must_join(handle).unwrap(), Ok("done"));
    // But the hint is held against the time that there is.
    let brief = pool
        .task()
        .retry(Retry::fixed(3, S).max_elapsed(10 * S))
        .retry_after(|_: &u32| Some(11 * S));
    assert_eq!(must_join(brief.submit(failing())).unwrap(), Err(1));
}

#[test]
fn panics_are_retried_only_when_asked() {
    crate::stress::silence();
    let pool = Manual::new(1);
    let task = pool.task().retry(Retry::fixed(2, S));
    let body = || {
        let attempt = millhand::attempt();
        match attempt {
            3 => Ok::<_, u32>(attempt),
            n => panic!("{} attempt {n}", crate::stress::EXPECTED),
        }
    };
    let not_asked = must_join(task.submit(body));
    assert!(matches!(not_asked, Err(TaskError::Panicked(_))));
    let asked = task.clone().retry_panics(true).submit(body);
    for attempt in [2, 3] {
        due_of(&asked, attempt);
        pool.advance(S);
    }
    assert_eq!(must_join(asked).unwrap(), Ok(3));
    // What was retried was not lost on anybody.
    assert_eq!(pool.stats().unread, 0);
    // The last one is the handle's.
    let last = task
        .retry_panics(true)
        .retry_if(|_| false)
        .submit(|| -> Result<(), u32> {
            panic!("{} {}", crate::stress::EXPECTED, millhand::attempt())
        });
    for attempt in [2, 3] {
        due_of(&last, attempt);
        pool.advance(S);
    }
    match must_join(last) {
        Err(TaskError::Panicked(panic)) => assert!(panic.message().ends_with(" 3")),
        other => panic!("it came to {other:?}"),
    }
}

#[test]
fn a_classifier_needed_the_type_of_the_error_and_nothing_said_where_to_name_it() {
    let pool = millhand::ThreadPool::new(1).unwrap();
    let retried = pool
        .task()
        .retry::<std::io::Error>(Retry::fixed(5, Duration::ZERO));
    let read = retried.retry_if(|error| error.kind() != std::io::ErrorKind::NotFound);
    assert!(
        read.submit(|| std::fs::read("no such file"))
            .join_ok()
            .is_err()
    );
}
