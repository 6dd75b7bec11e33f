//! Scopes: tasks that borrow; that nothing of them is left when their scope ends, however they end; panics; nesting.

use crate::handle::{TellDrop, keep_busy};
use crate::manual::{Drops, Manual, S, hang};
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::compose::{ScopedHandle, join_each};
use millhand::error::WaitedFor;
use millhand::limit::Lanes;
use millhand::task::{CancelOutcome, TaskState};
use millhand::{
    CancelToken, JoinError, OnFull, Retry, Semaphore, Shutdown, TaskError, ThreadPool, current,
    join_all, race,
};
use std::any::Any;
use std::cell::Cell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

/// The payload of a panic in `f`.
fn panic_of<T>(f: impl FnOnce() -> T) -> Box<dyn Any + Send> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it did not panic"),
        Err(payload) => payload,
    }
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| text.to_string()))
        .expect("a payload that is text")
}

/// Keeps a body running until it is let go, and tells when it has begun.
struct Held {
    begun: mpsc::Receiver<()>,
    go: mpsc::Sender<()>,
}

/// A body's part of it.
struct Hold(mpsc::Sender<()>, mpsc::Receiver<()>);

fn held() -> (Hold, Held) {
    let ((begin, begun), (go, wait)) = (mpsc::channel(), mpsc::channel());
    (Hold(begin, wait), Held { begun, go })
}

impl Hold {
    fn wait(self) {
        self.0.send(()).unwrap();
        must_recv(&self.1);
    }
}

impl Held {
    fn begun(&self) {
        must_recv(&self.begun);
    }

    fn go(&self) {
        self.go.send(()).unwrap();
    }
}

// What tasks may borrow.

#[test]
fn tasks_borrow_what_lies_around_the_scope() {
    let pool = ThreadPool::new(2).unwrap();
    let mut rows = vec![[0; 4]; 100];
    let calls = Cell::new(0);
    let ended = pool.scope(|s| {
        for (n, row) in rows.iter_mut().enumerate() {
            calls.set(calls.get() + 1); // not `Sync`, and only the scope's closure has it
            s.submit(move || row.fill(n));
        }
        "ended"
    });
    assert_eq!((ended, calls.get()), ("ended", 100));
    assert!(rows.iter().enumerate().all(|(n, row)| *row == [n; 4]));
}

#[test]
fn results_may_borrow_too() {
    let pool = ThreadPool::new(2).unwrap();
    let text = String::from("the longest of these words");
    let longest = pool.scope(|s| {
        let words = s.submit(|| text.split(' ').collect::<Vec<_>>());
        let words = words.join().unwrap();
        s.submit(move || words.into_iter().max_by_key(|word| word.len()))
            .join()
            .unwrap()
    });
    assert_eq!(longest, Some("longest"));
}

#[test]
fn an_empty_scope_just_ends() {
    let pool = ThreadPool::new(1).unwrap();
    assert_eq!(pool.scope(|_| 7), 7);
}

#[test]
fn a_scope_ends_after_its_tasks_and_not_before() {
    let pool = ThreadPool::new(1).unwrap();
    let (hold, held) = held();
    let ended = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            pool.scope(|s| {
                s.submit(move || hold.wait());
            });
            ended.store(true, SeqCst);
        });
        held.begun();
        assert!(!ended.load(SeqCst));
        held.go();
    });
    assert!(ended.load(SeqCst));
}

#[test]
fn tasks_submit_to_their_own_scope() {
    let pool = ThreadPool::new(2).unwrap();
    let count = AtomicUsize::new(0);
    pool.scope(|s| {
        for _ in 0..10 {
            s.submit(|| {
                for _ in 0..10 {
                    s.submit(|| count.fetch_add(1, SeqCst));
                }
            });
        }
    });
    assert_eq!(count.into_inner(), 100);
}

#[test]
fn a_template_serves_many_submissions() {
    let pool = ThreadPool::new(2).unwrap();
    let numbers = [1, 2, 3];
    let sum: i32 = pool.scope(|s| {
        let square = s.task().name("square").priority(1);
        let handles: Vec<_> = numbers
            .iter()
            .map(|n| square.submit(move || n * n))
            .collect();
        assert!(
            handles
                .iter()
                .all(|handle| handle.name().as_deref() == Some("square"))
        );
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .sum()
    });
    assert_eq!(sum, 14);
}

#[test]
fn a_body_that_is_run_again_borrows_as_well() {
    let pool = ThreadPool::new(1).unwrap();
    let (mut attempts, limit) = (0, 3);
    let outcome = pool.scope(|s| {
        let retried = s.task().retry(Retry::fixed(5, Duration::ZERO));
        let handle = retried.submit(|| {
            attempts += 1;
            if attempts < limit {
                Err("not yet")
            } else {
                Ok(&limit)
            }
        });
        handle.join_ok()
    });
    assert_eq!(*outcome.unwrap(), 3);
    assert_eq!(attempts, 3);
}

#[test]
fn gates_and_limits_are_for_scoped_tasks_too() {
    let pool = ThreadPool::new(4).unwrap();
    let one = Semaphore::new(1).unwrap();
    let lanes = Lanes::new();
    let (inside, most, order) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        Mutex::new(Vec::new()),
    );
    pool.scope(|s| {
        let gated = s.task().gate(&one).gate(&lanes.key("k")).deadline(LONG);
        for n in 0..20 {
            let (inside, most, order) = (&inside, &most, &order);
            gated.submit(move || {
                most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                order.lock().unwrap().push(n);
                inside.fetch_sub(1, SeqCst);
            });
        }
    });
    assert_eq!(most.into_inner(), 1);
    assert!(order.into_inner().unwrap().is_sorted());
}

// Handles.

#[test]
fn a_scoped_handle_does_what_handles_do() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let text = String::from("text");
    pool.scope(|s| {
        let handle = s.task().name("length").submit(|| text.len());
        assert_eq!(handle.state(), TaskState::Queued);
        assert!(!handle.is_finished());
        assert!(!handle.wait_timeout(Duration::from_millis(1)).unwrap());
        let handle = handle.try_join().unwrap_err();
        let handle = handle.join_timeout(Duration::from_millis(1)).unwrap_err();
        assert!(format!("{handle:?}").contains("length"));
        drop(busy);
        handle.wait().unwrap();
        assert_eq!(handle.try_join().unwrap().unwrap(), 4);

        let failed: ScopedHandle<'_, Result<u8, _>> = s.submit(|| text.parse::<u8>());
        assert!(matches!(failed.join_ok(), Err(JoinError::Failed(_))));
    });
}

#[test]
fn a_queued_task_is_cancelled_and_its_closure_dropped_there_and_then() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let drops = Drops::default();
    pool.scope(|s| {
        let drop = drops.one();
        let handle = s.submit(move || drop.keep());
        assert_eq!(handle.cancel(), CancelOutcome::Settled);
        assert_eq!(drops.count(), 1);
        let outcome = handle.join();
        assert!(matches!(
            outcome,
            Err(TaskError::Cancelled(CancelReason::User))
        ));
        mem::drop(busy);
    });
}

#[test]
fn handles_of_a_scope_are_joined_and_raced_with_others() {
    let pool = ThreadPool::new(2).unwrap();
    let numbers = [1, 2, 3];
    pool.scope(|s| {
        let handles: Vec<_> = numbers.iter().map(|n| s.submit(move || n * n)).collect();
        let squares: Result<Vec<_>, _> = join_all(handles).into_iter().collect();
        assert_eq!(squares.unwrap(), [1, 4, 9]);
        let mixed = join_each((s.submit(|| numbers.len()), pool.submit(|| "plain")));
        assert!(matches!(mixed, (Ok(3), Ok("plain"))));
        let slow = s.submit(|| millhand::sleep(LONG).map(|()| true));
        let quick = s.submit(|| Ok(numbers.contains(&7)));
        assert!(!race([slow, quick]).unwrap());
    });
}

#[test]
fn a_forgotten_handle_holds_nothing_up() {
    let pool = ThreadPool::new(1).unwrap();
    let number = 5;
    pool.scope(|s| mem::forget(s.submit(|| &number)));
}

// However a task ends, nothing of it is left when the scope ends.

/// What a body captures, counted when it is gone; and a value of it, likewise.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

type End = for<'s, 'e> fn(&Manual, &CancelToken, ScopedHandle<'s, Counted<'e>>);

#[test]
fn closures_and_results_are_dropped_before_the_scope_ends() {
    let ends: [(&str, End); 7] = [
        ("joined", |_, _, handle| drop(handle.join())),
        ("dropped at once", |_, _, handle| drop(handle)),
        ("dropped when finished", |_, _, handle| {
            handle.wait().unwrap();
        }),
        ("cancelled", |_, _, handle| {
            handle.cancel();
        }),
        ("cancelled by its token", |_, token, handle| {
            token.cancel();
            drop(handle);
        }),
        ("out of time", |pool, _, handle| {
            pool.advance(S);
            drop(handle);
        }),
        ("cancelled by a shutdown", |pool, _, handle| {
            pool.shutdown(Shutdown::cancel()).unwrap();
            let _ = handle.join(); // else the scope panics
        }),
    ];
    for (how, end) in ends {
        for wait_for_start in [false, true] {
            let pool = Manual::new(1);
            let (captured, values) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let begun = AtomicBool::new(false);
            let token = CancelToken::new();
            pool.scope(|s| {
                let (hold, held) = held();
                if wait_for_start {
                    s.submit(move || hold.wait());
                    held.begun();
                } else {
                    drop(hold);
                }
                let capture = Counted(&captured);
                let task = s.task().token(&token).deadline(S);
                let handle = task.submit(|| {
                    let _capture = capture;
                    begun.store(true, SeqCst);
                    Counted(&values)
                });
                if wait_for_start {
                    // The other body still runs: this one is queued.
                    if how == "joined" || how == "dropped when finished" || how.contains("shutdown")
                    {
                        held.go();
                    }
                    end(&pool, &token, handle);
                    let _ = held.go.send(());
                } else {
                    end(&pool, &token, handle);
                }
            });
            assert_eq!(captured.into_inner(), 1, "{how}");
            let made = usize::from(begun.into_inner());
            assert_eq!(values.into_inner(), made, "{how}");
        }
    }
}

#[test]
fn a_scope_waits_for_a_body_that_is_out_of_time() {
    let pool = Manual::new(1);
    let (mut hung, hang) = hang();
    let mut returned = false;
    let (tell, told) = mpsc::channel();
    thread::scope(|threads| {
        let pool = &pool;
        let returned = &mut returned;
        threads.spawn(move || {
            pool.scope(|s| {
                let handle = s.task().deadline(S).submit(move || {
                    hung();
                    *returned = true;
                });
                let outcome = handle.join();
                tell.send(()).unwrap();
                assert!(matches!(outcome, Err(TaskError::TimedOut)));
            });
        });
        hang.started();
        pool.advance(S);
        must_recv(&told); // settled, and its body runs on
        drop(hang);
    });
    assert!(returned);
}

#[test]
fn tasks_that_expire_or_run_out_of_time_in_the_queue_are_dropped_before_the_scope_ends() {
    let pool = Manual::new(1);
    let (hold, held) = held();
    let dropped = AtomicUsize::new(0);
    pool.scope(|s| {
        s.submit(move || hold.wait());
        held.begun();
        let (one, two) = (Counted(&dropped), Counted(&dropped));
        let expires = s.task().expires(S).submit(move || drop(one));
        let ends = s.task().deadline(S).submit(move || drop(two));
        pool.advance(S);
        for late in [expires.join(), ends.join()] {
            assert!(matches!(late, Err(TaskError::Expired(WaitedFor::Worker))));
        }
        held.go();
    });
    assert_eq!(dropped.into_inner(), 2);
}

#[test]
fn a_closure_whose_drop_panics_holds_nothing_up() {
    struct Grenade<'a>(&'a AtomicUsize);
    impl Drop for Grenade<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
            panic!("from a drop");
        }
    }
    let pool = ThreadPool::new(1).unwrap();
    let dropped = AtomicUsize::new(0);
    let busy = keep_busy(&pool);
    pool.scope(|s| {
        let grenade = Grenade(&dropped);
        let handle = s.submit(move || mem::forget(grenade));
        handle.cancel();
        drop(handle);
        drop(busy);
        // A result, with its handle gone.
        s.submit(|| Grenade(&dropped)).wait().unwrap();
    });
    assert_eq!(dropped.into_inner(), 2);
}

#[test]
fn a_scope_in_the_drop_of_a_closure_that_is_cancelled_ends() {
    struct Scoped(Arc<ThreadPool>, mpsc::Sender<usize>);
    impl Drop for Scoped {
        fn drop(&mut self) {
            let number = 7;
            self.0.scope(|s| {
                // Its closure is dropped in the drop of another, which puts that off.
                s.submit(|| number).cancel();
            });
            self.1.send(number).unwrap();
        }
    }
    let pool = Arc::new(ThreadPool::new(1).unwrap());
    let busy = keep_busy(&pool);
    let (tell, told) = mpsc::channel();
    let scoped = Scoped(pool.clone(), tell);
    let handle = pool.submit(move || drop(scoped));
    thread::scope(|threads| {
        threads.spawn(|| handle.cancel());
        assert_eq!(must_recv(&told), 7);
    });
    drop(busy);
}

// Panics.

#[test]
fn the_first_panic_comes_through_when_all_have_retired() {
    let pool = ThreadPool::new(1).unwrap();
    let ran = AtomicUsize::new(0);
    let payload = panic_of(|| {
        pool.scope(|s| {
            s.submit(|| panic_any(41));
            s.submit(|| panic_any(42));
            s.submit(|| ran.fetch_add(1, SeqCst));
        });
    });
    assert_eq!(payload.downcast_ref(), Some(&41));
    assert_eq!(ran.into_inner(), 1);
    // The second is nobody's.
    assert_eq!(pool.stats().unread, 1);
}

#[test]
fn a_panic_comes_through_whenever_its_handle_is_dropped() {
    let pool = ThreadPool::new(1).unwrap();
    type Drops = for<'s> fn(ScopedHandle<'s, ()>);
    let drops: [Drops; 2] = [|handle| drop(handle), |handle| handle.wait().unwrap()];
    for drop in drops {
        let payload = panic_of(|| pool.scope(|s| drop(s.submit(|| panic_any(7)))));
        assert_eq!(payload.downcast_ref(), Some(&7));
    }
    assert_eq!(pool.stats().unread, 0);
}

#[test]
fn a_panic_that_is_read_is_the_readers() {
    let pool = ThreadPool::new(1).unwrap();
    pool.scope(|s| {
        let outcome = s.submit(|| panic!("read")).join();
        assert!(matches!(outcome, Err::<(), _>(TaskError::Panicked(_))));
    });
    assert_eq!(pool.stats().unread, 0);
}

/// Adds one before and one after.
fn wait_until_cancelled(count: &AtomicUsize) {
    count.fetch_add(1, SeqCst);
    let _ = millhand::sleep(Duration::MAX);
    count.fetch_add(1, SeqCst);
}

#[test]
fn the_closures_own_panic_comes_first_and_after_its_tasks() {
    let pool = ThreadPool::new(1).unwrap();
    let ran = AtomicUsize::new(0);
    let payload = panic_of(|| {
        pool.scope(|s| {
            s.submit(|| panic!("a task's"));
            let _ = s.submit(|| ran.fetch_add(1, SeqCst)).join();
            // One that has begun is asked to stop, and is not left behind.
            s.submit(|| wait_until_cancelled(&ran));
            while ran.load(SeqCst) < 2 {
                thread::yield_now();
            }
            panic_any("the closure's");
        });
    });
    assert_eq!(text_of(&*payload), "the closure's");
    assert_eq!(ran.into_inner(), 3);
    assert_eq!(pool.stats().unread, 1);
}

#[test]
fn a_panic_of_a_body_that_was_out_of_time_is_nobodys() {
    let pool = Manual::new(1);
    let (mut hung, hang) = hang();
    pool.scope(|s| {
        let handle = s.task().deadline(S).submit(move || {
            hung();
            panic!("too late for anybody");
        });
        hang.started();
        pool.advance(S);
        assert!(matches!(handle.join(), Err::<(), _>(TaskError::TimedOut)));
        drop(hang);
    });
    pool.wait_idle().unwrap();
    assert_eq!(pool.stats().unread, 1);
}

// Nesting.

fn sum(pool: &millhand::PoolHandle, numbers: &[u64]) -> u64 {
    if numbers.len() < 3 {
        return numbers.iter().sum();
    }
    let (left, right) = numbers.split_at(numbers.len() / 2);
    let (mut a, mut b) = (0, 0);
    pool.scope(|s| {
        s.submit(|| a = sum(pool, left));
        s.submit(|| b = sum(pool, right));
    });
    a + b
}

#[test]
fn scopes_nest_in_tasks_whatever_the_number_of_workers() {
    for workers in [1, 2, 4] {
        let pool = ThreadPool::builder()
            .workers(workers)
            .max_threads(workers + 2)
            .build()
            .unwrap();
        let numbers: Vec<_> = (0..1000).collect();
        let there = pool.handle();
        assert_eq!(sum(&there, &numbers), 499_500);
        let inside = pool.submit(move || sum(&current().unwrap().pool(), &numbers));
        assert_eq!(inside.join_timeout(LONG).unwrap().unwrap(), 499_500);
    }
}

#[test]
fn scopes_nest_deeper_than_there_are_spares() {
    fn depth(n: usize) -> usize {
        let mut below = 0;
        if n > 0 {
            current().unwrap().pool().scope(|s| {
                s.submit(|| below = 1 + depth(n - 1));
            });
        }
        below
    }
    let pool = ThreadPool::builder()
        .workers(1)
        .max_threads(1)
        .build()
        .unwrap();
    let deep = pool.submit(|| depth(100));
    assert_eq!(deep.join_timeout(LONG).unwrap().unwrap(), 100);
}

#[test]
fn a_scope_in_a_scopes_closure_ends_first() {
    let pool = ThreadPool::new(2).unwrap();
    let mut numbers = [1, 2, 3];
    let (first, third) = numbers.split_at_mut(2);
    pool.scope(|outer| {
        let total = AtomicUsize::new(0);
        outer.submit(move || third[0] = 30);
        pool.scope(|inner| {
            for n in &*first {
                inner.submit(|| total.fetch_add(*n, SeqCst));
            }
        });
        assert_eq!(total.into_inner(), 3);
    });
    assert_eq!(numbers, [1, 2, 30]);
}

#[test]
fn a_task_of_one_pool_scopes_in_another() {
    let (one, other) = (
        ThreadPool::new(1).unwrap(),
        Arc::new(ThreadPool::new(1).unwrap()),
    );
    let there = other;
    let handle = one.submit(move || {
        let numbers = [1, 2, 3];
        there.scope(|s| s.submit(|| numbers.iter().sum::<i32>()).join().unwrap())
    });
    assert_eq!(handle.join_timeout(LONG).unwrap().unwrap(), 6);
}

#[test]
fn a_scope_waiting_on_a_worker_gives_up_the_seat() {
    let pool = ThreadPool::new(1).unwrap();
    let gate = Semaphore::new(1).unwrap();
    let permit = gate.acquire().unwrap();
    let (hold, held) = held();
    let behind = gate;
    let around = pool.submit(move || {
        let text = String::from("seen");
        current().unwrap().pool().scope(|s| {
            // Cannot be run by the waiter, and does not get a permit yet.
            s.task().gate(&behind).submit(|| assert_eq!(text, "seen"));
            hold.wait();
        });
    });
    held.begun();
    held.go();
    // The only seat is free for this one.
    assert_eq!(pool.submit(|| 5).join_timeout(LONG).unwrap().unwrap(), 5);
    drop(permit);
    around.join_timeout(LONG).unwrap().unwrap();
}

#[test]
fn a_scoped_task_that_waits_for_the_task_around_it_is_told_so() {
    let pool = ThreadPool::new(1).unwrap();
    let (send, receive) = mpsc::channel::<millhand::TaskHandle<()>>();
    let (tell, told) = mpsc::channel();
    let (hold, held) = held();
    let around = pool.submit(move || {
        current().unwrap().pool().scope(|s| {
            s.submit(move || {
                let around = receive.recv().unwrap();
                tell.send(around.join()).unwrap();
            });
            hold.wait();
        });
    });
    held.begun();
    send.send(around).unwrap();
    held.go();
    assert!(matches!(must_recv(&told), Err(TaskError::WouldDeadlock(_))));
    pool.wait_idle_timeout(LONG).unwrap();
}

#[test]
fn many_tasks_in_a_scope_on_a_worker_all_run() {
    let pool = ThreadPool::new(2).unwrap();
    let handle = pool.submit(|| {
        let count = AtomicUsize::new(0);
        current().unwrap().pool().scope(|s| {
            for _ in 0..10_000 {
                s.submit(|| count.fetch_add(1, SeqCst));
            }
        });
        count.into_inner()
    });
    assert_eq!(handle.join_timeout(LONG).unwrap().unwrap(), 10_000);
}

// Cancelling.

#[test]
fn the_scopes_token_is_above_all_its_tasks() {
    let pool = ThreadPool::new(2).unwrap();
    pool.scope(|s| {
        let running = s.submit(|| millhand::sleep(LONG).is_err());
        let own = CancelToken::new();
        let with_own = s
            .task()
            .token(&own)
            .submit(|| millhand::sleep(LONG).is_err());
        let queued = s.task().token(&own).delay(LONG).submit(|| ());
        s.token().cancel();
        // A wait of this closure would end before they do, since its scope is cancelled.
        for task in [running, with_own] {
            while !task.is_finished() {
                thread::yield_now();
            }
            assert!(matches!(
                task.join(),
                Ok(true) | Err(TaskError::Cancelled(CancelReason::User))
            ));
        }
        assert!(matches!(
            queued.join(),
            Err(TaskError::Cancelled(CancelReason::User))
        ));
        assert!(!own.is_cancelled());
        // Too late.
        assert!(matches!(
            s.submit(|| ()).join(),
            Err(TaskError::Cancelled(_))
        ));
    });
}

#[test]
fn a_tasks_own_token_cancels_it_alone() {
    let pool = ThreadPool::new(2).unwrap();
    let own = CancelToken::new();
    pool.scope(|s| {
        let with_own = s.task().token(&own).delay(LONG).submit(|| ());
        let other = s.submit(|| 5);
        own.cancel_with(CancelReason::Race);
        assert!(matches!(
            with_own.join(),
            Err(TaskError::Cancelled(CancelReason::Race))
        ));
        assert_eq!(other.join().unwrap(), 5);
        assert!(!s.token().is_cancelled());
    });
}

#[test]
fn cancelling_a_task_cancels_the_scope_in_it_and_the_task_ends_there() {
    let pool = ThreadPool::new(2).unwrap();
    let (hold, held) = held();
    let (tell, told) = mpsc::channel();
    let around = pool.submit(move || {
        let text = String::from("borrowed");
        current().unwrap().pool().scope(|s| {
            s.submit(|| {
                hold.wait();
                tell.send(text.len()).unwrap();
                millhand::checkpoint();
            });
        });
        unreachable!("its scope did not do its work");
    });
    held.begun();
    assert_eq!(around.cancel(), CancelOutcome::Requested);
    held.go();
    assert_eq!(must_recv(&told), 8);
    let outcome = around.join_timeout(LONG).unwrap();
    assert!(matches!(
        outcome,
        Err::<(), _>(TaskError::Cancelled(CancelReason::User))
    ));
}

#[test]
fn a_cancelled_task_whose_scope_lost_nothing_goes_on() {
    let pool = ThreadPool::new(1).unwrap();
    let handle = pool.submit(|| {
        current().unwrap().token().cancel();
        let text = String::from("borrowed");
        current().unwrap().pool().scope(|s| {
            let outcome = s.submit(|| text.len()).join();
            assert!(matches!(outcome, Err(TaskError::Cancelled(_))));
        });
        "went on"
    });
    assert_eq!(handle.join().unwrap(), "went on");
}

// A pool that does not take them.

#[test]
fn a_scope_on_a_closed_pool_does_not_lose_its_tasks_in_silence() {
    let pool = ThreadPool::new(1).unwrap();
    pool.shutdown(Shutdown::drain()).unwrap();
    let dropped = AtomicUsize::new(0);
    let payload = panic_of(|| {
        pool.scope(|s| {
            let counted = Counted(&dropped);
            s.task().name("lost").submit(move || drop(counted));
        });
    });
    let text = text_of(&*payload);
    assert!(
        text.contains("`lost`") && text.ends_with("the pool is closed"),
        "{text}"
    );
    assert_eq!(dropped.load(SeqCst), 1);
    // Who asks is told.
    pool.scope(|s| {
        let outcome = s.submit(|| dropped.load(SeqCst)).join();
        assert!(matches!(outcome, Err(TaskError::Rejected(_))));
    });
}

#[test]
fn a_full_pool_that_rejects_is_told_of_as_well() {
    let builder = ThreadPool::builder().workers(1).queue_capacity(1);
    let pool = builder.on_full(OnFull::Reject).build().unwrap();
    let busy = keep_busy(&pool);
    let ran = AtomicUsize::new(0);
    let payload = panic_of(|| {
        pool.scope(|s| {
            let two = [
                s.submit(|| ran.fetch_add(1, SeqCst)),
                s.submit(|| ran.fetch_add(1, SeqCst)),
            ];
            drop(busy);
            drop(two);
        });
    });
    assert!(text_of(&*payload).ends_with("the queue is full"));
    assert_eq!(ran.into_inner(), 1);
}

#[test]
fn a_full_pool_that_waits_takes_them_one_by_one() {
    let pool = ThreadPool::builder()
        .workers(1)
        .queue_capacity(1)
        .build()
        .unwrap();
    let ran = AtomicUsize::new(0);
    pool.scope(|s| {
        for _ in 0..100 {
            s.submit(|| ran.fetch_add(1, SeqCst));
        }
    });
    assert_eq!(ran.into_inner(), 100);
}

#[test]
fn a_shutdown_that_cancels_ends_the_scope_and_says_so() {
    let pool = ThreadPool::new(1).unwrap();
    let (hold, held) = held();
    let (tell, told) = mpsc::channel();
    let dropped = AtomicUsize::new(0);
    thread::scope(|threads| {
        let (pool, dropped) = (&pool, &dropped);
        let scoping = threads.spawn(move || {
            let payload = panic_of(|| {
                pool.scope(|s| {
                    s.submit(move || hold.wait());
                    let counted = Counted(dropped);
                    s.submit(move || drop(counted));
                    tell.send(()).unwrap();
                });
            });
            text_of(&*payload)
        });
        held.begun();
        must_recv(&told);
        threads.spawn(|| pool.shutdown(Shutdown::cancel()).unwrap());
        while dropped.load(SeqCst) == 0 {
            thread::yield_now();
        }
        held.go();
        let text = scoping.join().unwrap();
        assert!(text.ends_with("task cancelled: shutdown"), "{text}");
    });
}

#[test]
fn a_callback_free_scope_tells_no_thread_but_its_own_of_a_cancelled_closure() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let (tell, told) = mpsc::channel();
    pool.scope(|s| {
        let tells = TellDrop(tell);
        let handle = s.submit(move || drop(tells));
        handle.cancel();
        assert_eq!(told.try_recv(), Ok(thread::current().id()));
        drop(busy);
    });
}

#[test]
fn scopes_from_many_threads_at_once_are_kept_apart() {
    let pool = ThreadPool::new(2).unwrap();
    thread::scope(|threads| {
        for seed in 0..4_usize {
            let pool = &pool;
            threads.spawn(move || {
                for round in 0..50 {
                    let mut cells = [0; 20];
                    pool.scope(|s| {
                        for (n, cell) in cells.iter_mut().enumerate() {
                            let handle = s.submit(move || *cell = seed + round + n);
                            if n % 3 == 0 {
                                handle.join().unwrap();
                            }
                        }
                    });
                    assert!(
                        cells
                            .iter()
                            .enumerate()
                            .all(|(n, cell)| *cell == seed + round + n)
                    );
                }
            });
        }
    });
}
