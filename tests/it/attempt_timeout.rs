//! `attempt_timeout`: an attempt is asked to stop, and what comes late is a time-out only if it is no success.

use crate::handle::{keep_busy, must_join};
use crate::manual::{HOUR, Manual, NS, S, due_of, until};
use crate::support::must_recv;
use millhand::cancel::CancelReason;
use millhand::error::WaitedFor;
use millhand::limit::AcquireError;
use millhand::task::{OutcomeKind, TaskState};
use millhand::{CancelToken, Retry, Semaphore, Shutdown, TaskError};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// The two ends of a body that says when it has begun, and goes on when it is told.
struct Led {
    told: Receiver<()>,
    go: Sender<()>,
}

struct Leash {
    tell: Sender<()>,
    wait: Receiver<()>,
}

impl Leash {
    fn wait(&self) {
        self.tell.send(()).unwrap();
        must_recv(&self.wait);
    }
}

impl Led {
    fn begun(&self) {
        must_recv(&self.told);
    }

    fn go(&self) {
        self.go.send(()).unwrap();
    }
}

fn leash() -> (Leash, Led) {
    let ((tell, told), (go, wait)) = (mpsc::channel(), mpsc::channel());
    (Leash { tell, wait }, Led { told, go })
}

/// What `body`, which is called when its time is over, comes to.
fn late<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> Result<T, TaskError> {
    let pool = Manual::new(1);
    let (leash, led) = leash();
    let handle = pool.task().attempt_timeout(S).submit(move || {
        leash.wait();
        assert!(!millhand::is_cancelled(), "not before the time");
        leash.wait();
        body()
    });
    led.begun();
    pool.turn(S - NS);
    led.go();
    led.begun();
    pool.turn(NS);
    assert_eq!(handle.state(), TaskState::Running);
    led.go();
    must_join(handle)
}

#[test]
fn a_body_sees_that_its_time_is_over() {
    const DEADLINE: CancelReason = CancelReason::Deadline;
    assert!(late(millhand::is_cancelled).unwrap());
    assert_eq!(
        late(millhand::check).unwrap().unwrap_err().reason(),
        DEADLINE
    );
    assert_eq!(
        late(|| millhand::sleep(HOUR))
            .unwrap()
            .unwrap_err()
            .reason(),
        DEADLINE
    );
    let token = || millhand::current().unwrap().token();
    assert_eq!(late(move || token().reason()).unwrap(), Some(DEADLINE));
    assert_eq!(
        late(move || token().child().reason()).unwrap(),
        Some(DEADLINE)
    );
    late(move || token().wait().unwrap()).unwrap();
    assert!(matches!(
        late(millhand::checkpoint),
        Err(TaskError::TimedOut)
    ));
    let acquired = late(|| {
        let semaphore = Semaphore::new(1).unwrap();
        let _permit = semaphore.acquire();
        semaphore.acquire().map(drop)
    });
    assert_eq!(acquired.unwrap(), Err(AcquireError::Stopped(DEADLINE)));
    let left = late(|| millhand::current().unwrap().remaining());
    assert_eq!(left.unwrap(), Some(Duration::ZERO));
}

#[test]
fn a_body_that_waits_is_woken_when_its_time_is_over() {
    let bodies: [fn() -> CancelReason; 4] = [
        || millhand::sleep(HOUR).unwrap_err().reason(),
        || {
            let token = millhand::current().unwrap().token();
            token.wait().unwrap();
            token.reason().unwrap()
        },
        || {
            let (tell, told) = mpsc::channel();
            let token = millhand::current().unwrap().token();
            let _guard = token.on_cancel(move |why| tell.send(why).unwrap());
            must_recv(&told)
        },
        || {
            let semaphore = Semaphore::new(1).unwrap();
            let _permit = semaphore.acquire();
            match semaphore.acquire().unwrap_err() {
                AcquireError::Stopped(why) => why,
                other => panic!("{other}"),
            }
        },
    ];
    for body in bodies {
        let pool = Manual::new(1);
        let (tell, told) = mpsc::channel();
        let handle = pool.task().attempt_timeout(S).submit(move || {
            tell.send(()).unwrap();
            body()
        });
        must_recv(&told);
        pool.advance(S);
        assert_eq!(must_join(handle).unwrap(), CancelReason::Deadline);
    }
}

#[test]
fn what_comes_late_is_a_time_out_only_if_it_is_no_success() {
    crate::stress::silence();
    // A plain task's value is a value, whatever it is.
    assert_eq!(late(|| 7).unwrap(), 7);
    assert_eq!(late(|| Err::<(), _>("a value")).unwrap(), Err("a value"));
    assert!(matches!(
        late(|| panic!("{} all the same", crate::stress::EXPECTED)),
        Err::<(), _>(TaskError::Panicked(_))
    ));
    for (returned, kind) in [
        (Ok(1), OutcomeKind::Succeeded),
        (Err(1), OutcomeKind::TimedOut),
    ] {
        for retried in [false, true] {
            let pool = Manual::new(1);
            let (leash, led) = leash();
            let task = pool.task().attempt_timeout(S);
            let body = move || {
                leash.wait();
                returned
            };
            let handle = match retried {
                false => task.fallible().submit(body),
                true => task.retry(Retry::fixed(0, S)).submit(body),
            };
            let (tell, told) = mpsc::channel();
            handle.on_finish(move |summary| tell.send(summary.outcome).unwrap());
            led.begun();
            pool.turn(S);
            led.go();
            assert_eq!(must_recv(&told), kind);
            match must_join(handle) {
                Ok(outcome) => assert_eq!((outcome, kind), (returned, OutcomeKind::Succeeded)),
                Err(TaskError::TimedOut) => assert_eq!(kind, OutcomeKind::TimedOut),
                Err(other) => panic!("{other}"),
            }
            let report = pool.shutdown(Shutdown::drain()).unwrap();
            let counts = (report.failed(), report.timed_out());
            assert_eq!(counts, (0, u64::from(returned.is_err())), "{report}");
        }
    }
}

#[test]
fn an_error_that_comes_after_the_time_is_a_time_out_however_late_the_timer_is() {
    for _ in 0..300 {
        let pool = Manual::new(1);
        let clock = pool.clock.clone();
        let handle = pool.task().attempt_timeout(S).fallible().submit(move || {
            clock.advance(S);
            Err::<(), _>("late")
        });
        assert!(matches!(must_join(handle), Err(TaskError::TimedOut)));
    }
}

#[test]
fn each_attempt_has_its_time_and_a_token_of_its_own() {
    let pool = Manual::new(1);
    let (leash, led) = leash();
    let (send, tokens) = mpsc::channel::<CancelToken>();
    let task = pool
        .task()
        .attempt_timeout(10 * S)
        .retry(Retry::fixed(3, S));
    let handle = task.submit(move || {
        let me = millhand::current().unwrap();
        send.send(me.token()).unwrap();
        leash.wait();
        match me.attempt() {
            4 => Ok(millhand::is_cancelled()),
            n => Err(n),
        }
    });
    let whole = handle.token();
    // The first is in time, by a nanosecond.
    led.begun();
    let first = must_recv(&tokens);
    pool.turn(10 * S - NS);
    led.go();
    assert_eq!(due_of(&handle, 2), pool.now() + S);
    // Its end is not the second's: that has all its time.
    pool.advance(S);
    led.begun();
    let second = must_recv(&tokens);
    assert!(!first.is_cancelled() && !second.is_cancelled());
    pool.turn(10 * S - NS);
    assert!(!second.is_cancelled());
    pool.turn(NS);
    assert_eq!(second.reason(), Some(CancelReason::Deadline));
    assert!(!first.is_cancelled() && !whole.is_cancelled());
    led.go();
    assert_eq!(due_of(&handle, 3), pool.now() + S);
    pool.advance(S);
    led.begun();
    let third = must_recv(&tokens);
    assert!(!third.is_cancelled());
    pool.turn(10 * S);
    assert!(third.is_cancelled());
    led.go();
    due_of(&handle, 4);
    pool.advance(S);
    led.begun();
    let fourth = must_recv(&tokens);
    led.go();
    assert_eq!(must_join(handle).unwrap(), Ok(false));
    assert!(!fourth.is_cancelled() && !whole.is_cancelled());
}

#[test]
fn a_cancel_reaches_the_token_of_the_attempt() {
    let pool = Manual::new(1);
    let (tell, told) = mpsc::channel();
    let (hear, heard) = mpsc::channel();
    let task = pool.task().attempt_timeout(S).retry(Retry::fixed(3, S));
    let handle = task.submit(move || {
        let token = millhand::current().unwrap().token();
        tell.send(()).unwrap();
        token.wait().unwrap();
        hear.send(token.reason()).unwrap();
        Err::<(), _>("stopped")
    });
    must_recv(&told);
    handle.cancel();
    assert_eq!(must_recv(&heard), Some(CancelReason::User));
    let outcome = must_join(handle);
    let Err(TaskError::Cancelled(CancelReason::User)) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(heard.recv().is_err(), "there was no other attempt");
}

#[test]
fn a_time_out_is_retried_unless_that_is_switched_off() {
    for (retries, timeouts, attempts) in [(2, true, 3), (2, false, 1), (0, true, 1)] {
        for by_checkpoint in [false, true] {
            let pool = Manual::new(1);
            let (leash, led) = leash();
            let task = pool
                .task()
                .attempt_timeout(S)
                .retry(Retry::fixed(retries, S));
            // What says no to errors has no say here.
            let task = task.retry_timeouts(timeouts).retry_if(|_: &u32| false);
            let handle = task.submit(move || {
                leash.wait();
                if by_checkpoint {
                    millhand::checkpoint();
                }
                Err::<(), _>(1)
            });
            for attempt in 1..=attempts {
                led.begun();
                pool.turn(S);
                led.go();
                if attempt < attempts {
                    assert_eq!(due_of(&handle, attempt + 1), pool.now() + S);
                    pool.advance(S);
                }
            }
            assert!(matches!(must_join(handle), Err(TaskError::TimedOut)));
            assert!(led.told.recv().is_err(), "the body is gone");
        }
    }
}

#[test]
fn the_time_runs_from_the_start_of_the_attempt_and_is_handed_on() {
    let pool = Manual::new(1);
    let semaphore = Semaphore::new(1).unwrap();
    let permit = semaphore.try_acquire().unwrap();
    let task = pool.task().attempt_timeout(10 * S);
    let remaining = || millhand::current().unwrap().remaining();
    let busy = keep_busy(&pool);
    let queued = task.submit(remaining);
    let delayed = task.clone().delay(S).submit(remaining);
    let gated = task.clone().gate(&semaphore).submit(remaining);
    pool.turn(HOUR);
    drop(busy);
    until("it is in the line", || gated.state() == TaskState::Gated);
    for handle in [queued, delayed] {
        assert_eq!(must_join(handle).unwrap(), Some(10 * S));
    }
    pool.turn(HOUR);
    drop(permit);
    assert_eq!(must_join(gated).unwrap(), Some(10 * S));
    // The first of all limits counts.
    let clock = pool.clock.clone();
    let table = [
        (task.clone().deadline(20 * S), Some(10 * S), Some(7 * S)),
        (pool.task().deadline(10 * S), Some(10 * S), Some(7 * S)),
        (
            pool.task().total_timeout(10 * S).deadline(20 * S),
            Some(10 * S),
            Some(7 * S),
        ),
        (
            task.clone().total_timeout(20 * S),
            Some(10 * S),
            Some(7 * S),
        ),
        (task.clone().total_timeout(4 * S), Some(4 * S), Some(S)),
        (task.token(&CancelToken::with_timeout(LONG_AGO)), None, None),
        (pool.task(), None, None),
    ];
    let is_expired = |error: &TaskError| matches!(error, TaskError::Expired(WaitedFor::Worker));
    for (task, first, second) in table {
        let clock = clock.clone();
        let handle = task.submit(move || {
            let first = millhand::current().unwrap().remaining();
            clock.advance(3 * S);
            (first, millhand::current().unwrap().remaining())
        });
        match handle.join() {
            Ok(left) => assert_eq!(left, (first, second)),
            Err(error) => assert!(is_expired(&error) && first.is_none()),
        }
    }
}

/// A token with this has run out when it is made.
const LONG_AGO: Duration = Duration::ZERO;

#[test]
fn a_queue_takes_nothing_of_what_is_left_in_all() {
    let pool = Manual::new(1);
    let busy = keep_busy(&pool);
    let task = pool.task().attempt_timeout(10 * S).deadline(30 * S);
    let handle = task.submit(|| millhand::current().unwrap().remaining());
    pool.turn(25 * S);
    drop(busy);
    assert_eq!(must_join(handle).unwrap(), Some(5 * S));
}
