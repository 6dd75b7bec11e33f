//! Lanes: one after the other for each key, in the order of submission, through whatever happens to a task.

use crate::gate_kit::{Busy, HOUR, SECOND, pool_on, until};
use crate::keyed::left;
use crate::stress::{EXPECTED, silence};
use crate::support::must_recv;
use millhand::limit::{AcquireError, Lanes};
use millhand::task::TaskState;
use millhand::testing::ManualClock;
use millhand::{CancelToken, Retry, Shutdown, TaskBuilder, TaskError, TaskHandle, ThreadPool};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, mpsc};

/// What ran, in the order in which it began; and that no two of a key did at once.
#[derive(Default)]
struct Log {
    ran: Mutex<Vec<(usize, usize)>>,
    inside: [AtomicUsize; 8],
}

impl Log {
    /// The body of number `n` of `key`.
    fn visit(&self, key: usize, n: usize) {
        assert_eq!(self.inside[key].fetch_add(1, SeqCst), 0, "one at a time");
        self.ran.lock().unwrap().push((key, n));
        std::thread::yield_now();
        self.inside[key].fetch_sub(1, SeqCst);
    }

    fn of(&self, key: usize) -> Vec<usize> {
        let ran = self.ran.lock().unwrap();
        let mine = ran.iter().filter(|(k, _)| *k == key);
        mine.map(|(_, n)| *n).collect()
    }
}

#[test]
fn a_key_s_tasks_run_one_by_one_in_order_whatever_their_priority() {
    let pool = ThreadPool::new(4).unwrap();
    let lanes = Lanes::new();
    let log = Arc::new(Log::default());
    let handles: Vec<_> = (0..800_usize)
        .map(|n| {
            let (log, key) = (log.clone(), n % 8);
            let priority = (n * 7919 % 13) as i32 - 6;
            let task = pool.task().priority(priority).gate(&lanes.key(key));
            task.submit(move || log.visit(key, n))
        })
        .collect();
    for handle in handles {
        handle.join().unwrap();
    }
    for key in 0..8 {
        let expected: Vec<_> = (0..800).filter(|n| n % 8 == key).collect();
        assert_eq!(log.of(key), expected);
    }
    until("a worker lets go of the last", || left(&lanes, || 99) == 0);
}

#[test]
fn different_keys_run_side_by_side() {
    const KEYS: usize = 4;
    let pool = ThreadPool::new(KEYS).unwrap();
    let lanes = Lanes::new();
    let all = Arc::new(Barrier::new(KEYS));
    for _ in 0..20 {
        for key in 0..KEYS {
            let all = all.clone();
            // All of a round must meet, and none of the next round is there before that.
            let body = move || {
                all.wait();
            };
            pool.task().gate(&lanes.key(key)).execute(body);
        }
    }
    pool.wait_idle().unwrap();
}

#[test]
fn the_key_is_held_between_attempts() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 2);
    let lanes = Lanes::new();
    let task = pool.task().gate(&lanes.key("ann"));
    let (tell, told) = mpsc::channel();
    let first = tell.clone();
    let retried = task.clone().retry(Retry::fixed(2, HOUR)).submit(move || {
        let attempt = millhand::attempt();
        first.send(attempt).unwrap();
        if attempt < 3 { Err(attempt) } else { Ok(()) }
    });
    task.priority(9).execute(move || tell.send(99).unwrap());
    for attempt in 1..=3 {
        assert_eq!(must_recv(&told), attempt);
        if attempt < 3 {
            until(
                "it waits for its next attempt, and the other for it",
                || {
                    matches!(retried.state(), TaskState::Retrying { .. })
                        && lanes.key("ann").waiting() == 1
                },
            );
            assert_eq!(
                pool.task()
                    .gate(&lanes.key("bob"))
                    .submit(|| 7)
                    .join()
                    .unwrap(),
                7
            );
            assert!(told.try_recv().is_err());
            clock.advance(HOUR);
        }
    }
    assert_eq!(must_recv(&told), 99);
}

/// Submits the first task of a key, and gives what makes it end.
type End = fn(&ManualClock, Arc<ThreadPool>, TaskBuilder) -> Box<dyn FnOnce()>;

/// Both workers have something else to do.
fn hold(pool: &ThreadPool) -> [Busy; 2] {
    [Busy::start(&pool.task()), Busy::start(&pool.task())]
}

fn is_retrying<T>(handle: &TaskHandle<T>) -> bool {
    matches!(handle.state(), TaskState::Retrying { .. })
}

/// A body that says that it has begun and goes on until its sender is dropped, and the ends of both channels.
fn held_body() -> (
    impl FnOnce() + Send + 'static,
    mpsc::Receiver<()>,
    mpsc::Sender<()>,
) {
    let (tell, told) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let body = move || {
        tell.send(()).unwrap();
        let _ = wait.recv();
    };
    (body, told, go)
}

const ENDS: [(&str, End); 13] = [
    ("succeeds", |_, _, task| {
        let busy = Busy::start(&task);
        Box::new(|| busy.end())
    }),
    ("fails", |_, _, task| {
        let (body, told, go) = held_body();
        let handle = task.fallible().submit(move || {
            let _: () = body();
            Err::<(), _>("no")
        });
        must_recv(&told);
        Box::new(|| {
            drop(go);
            handle.join_ok().unwrap_err();
        })
    }),
    ("panics", |_, _, task| {
        let (body, told, go) = held_body();
        let handle = task.submit(move || {
            body();
            panic!("{EXPECTED}");
        });
        must_recv(&told);
        Box::new(|| {
            drop(go);
            handle.join().map(|(): ()| ()).unwrap_err();
        })
    }),
    ("is cancelled while it runs", |_, _, task| {
        let (tell, told) = mpsc::channel();
        let handle = task.submit(move || {
            tell.send(()).unwrap();
            millhand::sleep(HOUR)
        });
        must_recv(&told);
        Box::new(move || {
            handle.cancel();
            assert!(handle.join().unwrap().is_err());
        })
    }),
    ("is cancelled while it is queued", |_, pool, task| {
        let busy = hold(&pool);
        let handle = task.submit(|| ());
        Box::new(move || {
            handle.cancel();
            busy.into_iter().for_each(Busy::end);
        })
    }),
    ("is cancelled by its token", |_, pool, task| {
        let busy = hold(&pool);
        let token = CancelToken::new();
        task.token(&token).execute(|| ());
        Box::new(move || {
            token.cancel();
            busy.into_iter().for_each(Busy::end);
        })
    }),
    ("is cancelled between two attempts", |_, _, task| {
        let handle = task
            .retry(Retry::fixed(1, HOUR))
            .submit(|| Err::<(), _>("no"));
        until("it waits", || is_retrying(&handle));
        Box::new(move || drop(handle.cancel_on_drop()))
    }),
    ("is cancelled before it is due", |_, _, task| {
        let handle = task.delay(HOUR).submit(|| ());
        Box::new(move || drop(handle.cancel_on_drop()))
    }),
    (
        "is cancelled when it has just become due",
        |clock, pool, task| {
            let busy = hold(&pool);
            let handle = task.delay(HOUR).submit(|| ());
            clock.advance(HOUR);
            Box::new(move || {
                handle.cancel();
                busy.into_iter().for_each(Busy::end);
            })
        },
    ),
    ("expires", |clock, pool, task| {
        let busy = hold(&pool);
        let handle = task.expires(SECOND).submit(|| ());
        let clock = clock.clone();
        Box::new(move || {
            clock.advance(SECOND);
            assert!(matches!(handle.join(), Err(TaskError::Expired(_))));
            busy.into_iter().for_each(Busy::end);
        })
    }),
    ("is out of time before it begins", |clock, pool, task| {
        let busy = hold(&pool);
        let handle = task.deadline(SECOND).submit(|| ());
        let clock = clock.clone();
        Box::new(move || {
            clock.advance(SECOND);
            assert!(matches!(handle.join(), Err(TaskError::Expired(_))));
            busy.into_iter().for_each(Busy::end);
        })
    }),
    ("is out of time while it runs", |clock, _, task| {
        let (body, told, go) = held_body();
        let handle = task.deadline(SECOND).submit(body);
        must_recv(&told);
        let clock = clock.clone();
        Box::new(move || {
            clock.advance(SECOND);
            assert!(matches!(handle.join(), Err(TaskError::TimedOut)));
            drop(go);
        })
    }),
    ("is out of time between two attempts", |clock, _, task| {
        let task = task.deadline(SECOND).retry(Retry::fixed(1, HOUR));
        let handle = task.submit(|| Err::<(), _>("no"));
        until("it waits", || is_retrying(&handle));
        let clock = clock.clone();
        Box::new(move || {
            clock.advance(SECOND);
            assert!(matches!(handle.join(), Err(TaskError::TimedOut)));
        })
    }),
];

#[test]
fn the_key_is_released_however_its_holder_ends() {
    silence();
    for (name, end) in ENDS {
        let clock = ManualClock::new();
        let pool = Arc::new(pool_on(&clock, 2));
        let lanes = Lanes::new();
        let task = pool.task().gate(&lanes.key(1));
        let end = end(&clock, pool.clone(), task.clone());
        // One that comes while it holds the key, and one that comes after it.
        let behind = task.submit(|| 7);
        end();
        assert_eq!(behind.join().unwrap(), 7, "behind one that {name}");
        let after = task.submit(|| 8);
        assert_eq!(after.join().unwrap(), 8, "after one that {name}");
        assert_eq!(lanes.key(1).waiting(), 0, "after one that {name}");
        pool.wait_idle().unwrap();
        drop(task);
        // What is dead in the timer goes when it is due.
        clock.advance(HOUR);
        until("nobody has the key any more", || left(&lanes, || 99) == 0);
    }
}

#[test]
fn a_hung_task_holds_its_key_until_its_body_returns() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 1);
    let lanes = Lanes::new();
    let task = pool.task().gate(&lanes.key(1));
    let (body, told, go) = held_body();
    let hung = task.clone().deadline(SECOND).submit(body);
    must_recv(&told);
    let behind = task.submit(|| 7);
    clock.advance(SECOND);
    assert!(matches!(hung.join(), Err(TaskError::TimedOut)));
    until("the next one is in line", || lanes.key(1).waiting() == 1);
    assert_eq!(pool.submit(|| 5).join().unwrap(), 5);
    assert_eq!(behind.state(), TaskState::Gated);
    drop(go);
    assert_eq!(behind.join().unwrap(), 7);
}

#[test]
fn keys_are_released_by_a_shutdown() {
    for how in [Shutdown::drain(), Shutdown::cancel()] {
        let drains = how == Shutdown::drain();
        let lanes = Lanes::new();
        let pool = ThreadPool::new(2).unwrap();
        let other = ThreadPool::new(1).unwrap();
        let task = pool.task().gate(&lanes.key(1));
        let (tell, told) = mpsc::channel();
        let first = task.submit(move || {
            tell.send(()).unwrap();
            // A drain lets it end, and what is cancelled wakes up.
            if drains {
                Ok(())
            } else {
                millhand::sleep(HOUR)
            }
        });
        must_recv(&told);
        let behind: Vec<_> = (0..50).map(|n| task.submit(move || n)).collect();
        let elsewhere = other.task().gate(&lanes.key(1)).submit(|| 7);
        let report = pool.shutdown(how).unwrap();
        assert_eq!(report.is_clean(), drains);
        assert_eq!(first.join().unwrap().is_ok(), drains);
        for (n, handle) in behind.into_iter().enumerate() {
            match handle.join() {
                // One that a worker had taken up just before may run still.
                Ok(value) => assert_eq!(value, n),
                Err(error) => assert!(!drains && matches!(error, TaskError::Cancelled(_))),
            }
        }
        assert_eq!(elsewhere.join().unwrap(), 7);
        assert_eq!(lanes.key(1).waiting(), 0);
    }
}

// By hand.

#[test]
fn a_thread_and_tasks_of_a_key_take_turns() {
    let pool = ThreadPool::new(2).unwrap();
    let lanes = Lanes::new();
    let (begun, begins) = mpsc::channel();
    let (hold, held) = mpsc::channel::<()>();
    let task = pool.task().gate(&lanes.key("file"));
    task.execute(move || {
        begun.send(()).unwrap();
        let _ = held.recv();
    });
    must_recv(&begins);
    let order = Arc::new(Mutex::new(Vec::new()));
    let (noted, lane) = (order.clone(), lanes.key("file"));
    let by_hand = std::thread::spawn(move || lane.run(|| noted.lock().unwrap().push("thread")));
    until("the thread waits", || lanes.key("file").waiting() == 1);
    let noted = order.clone();
    let after = task.submit(move || noted.lock().unwrap().push("task"));
    // Another key is free.
    assert_eq!(lanes.key("other").run(|| 7), Ok(7));
    drop(hold);
    assert_eq!(by_hand.join().unwrap(), Ok(()));
    after.join().unwrap();
    assert_eq!(*order.lock().unwrap(), ["thread", "task"]);
}

#[test]
fn a_turn_by_hand_is_given_back_by_a_panic_and_by_a_body_that_is_asked_to_stop() {
    let pool = ThreadPool::new(2).unwrap();
    let lanes = Lanes::new();
    let lane = lanes.key(1);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        lane.run(|| std::panic::panic_any(7))
    }));
    assert!(panicked.is_err());
    let (begun, begins) = mpsc::channel();
    let waits = lane.run(|| {
        let lane = lanes.key(1);
        let waits = pool.submit(move || {
            begun.send(()).unwrap();
            lane.run(|| unreachable!("its turn has not come"))
        });
        must_recv(&begins);
        until("the body waits", || lanes.key(1).waiting() == 1);
        waits.cancel();
        waits.join().unwrap()
    });
    assert!(matches!(waits, Ok(Err(AcquireError::Stopped(_)))));
    assert_eq!(lane.run(|| "free"), Ok("free"));
}
