//! `map`, `map_ok` and `for_each`: results in order, whatever the items; failures, panics, and who does the work.

use crate::handle::keep_busy;
use crate::manual::until;
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::task::CancelOutcome;
use millhand::{OnFull, Shutdown, TaskError, ThreadPool, current, is_cancelled};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

// Results.

#[test]
fn results_come_in_order_whatever_the_number_of_items_and_workers() {
    for workers in [1, 2, 4] {
        let pool = ThreadPool::new(workers).unwrap();
        for items in [0, 1, 2, 3, 7, 100, 10_000] {
            let doubled = pool.map(0..items, |n| 2 * n);
            assert!(doubled.into_iter().eq((0..items).map(|n| 2 * n)), "{items}");
        }
    }
}

#[test]
fn items_results_and_body_may_borrow_and_be_moved() {
    let pool = ThreadPool::new(2).unwrap();
    let words: Vec<_> = (0..1000).map(|n| n.to_string()).collect();
    let suffix = String::from("!");
    let first = pool.map(&words, |word| &word[..1]);
    assert!(
        first
            .iter()
            .zip(&words)
            .all(|(first, word)| word.starts_with(first))
    );
    let marked = pool.map(words, |word| word + &suffix);
    assert_eq!(marked[999], "999!");
    let mut counts = vec![0; 1000];
    pool.for_each(counts.iter_mut().enumerate(), |(n, count)| *count = n);
    assert!(counts.into_iter().eq(0..1000));
    assert_eq!(pool.map(vec![(); 10], |()| ()).len(), 10);
}

#[test]
fn items_of_very_different_sizes_come_in_order_too() {
    let pool = ThreadPool::new(3).unwrap();
    let spin = |n: u64| {
        let rounds = if n % 100 == 7 { 20_000 } else { 20 };
        (0..rounds).fold(n, |x, _| std::hint::black_box(x))
    };
    assert!(pool.map(0..5_000, spin).into_iter().eq(0..5_000));
}

#[test]
fn big_items_are_done_at_once_on_all_workers() {
    let pool = ThreadPool::new(4).unwrap();
    let barrier = Barrier::new(4);
    // Ends only if four are at work at the same time.
    pool.for_each(0..4, |_| {
        barrier.wait();
    });
    let threads: HashSet<_> = pool
        .map(0..4, |_| {
            barrier.wait();
            thread::current().id()
        })
        .into_iter()
        .collect();
    assert_eq!(threads.len(), 4);
    assert!(
        !threads.contains(&thread::current().id()),
        "a foreign caller only waits"
    );
}

#[test]
fn one_slow_item_at_the_end_of_a_long_line_keeps_nothing_else_waiting() {
    let pool = ThreadPool::new(2).unwrap();
    let (others, slow) = (AtomicUsize::new(0), AtomicBool::new(false));
    pool.for_each(0..1_000, |n| {
        if n == 0 {
            // The first chunk is one item: all the others are done by the other worker.
            while others.load(SeqCst) < 999 {
                thread::yield_now();
            }
            slow.store(true, SeqCst);
        } else {
            others.fetch_add(1, SeqCst);
        }
    });
    assert!(slow.into_inner());
}

// Inside tasks.

#[test]
fn a_map_in_a_task_works_along_on_any_number_of_workers() {
    for workers in [1, 2] {
        let builder = ThreadPool::builder().workers(workers).max_threads(workers);
        let pool = builder.build().unwrap();
        let sums = pool.submit(|| {
            let pool = current().unwrap().pool();
            pool.map(0..10_u64, |n| {
                let inner = current().unwrap().pool();
                inner.map(0..100, |m| n * m).into_iter().sum::<u64>()
            })
        });
        let sums = sums.join_timeout(LONG).unwrap().unwrap();
        assert!(sums.into_iter().eq((0..10).map(|n| n * 4950)), "{workers}");
    }
}

#[test]
fn a_map_goes_on_where_all_other_workers_are_busy() {
    let pool = ThreadPool::new(2).unwrap();
    let busy = keep_busy(&pool);
    assert_eq!(pool.map(0..100, |n| n).len(), 100);
    let inside = pool.submit(|| current().unwrap().pool().map(0..100, |n| n).len());
    assert_eq!(inside.join_timeout(LONG).unwrap().unwrap(), 100);
    drop(busy);
}

#[test]
fn a_task_of_one_pool_maps_in_another() {
    let (one, other) = (ThreadPool::new(1).unwrap(), ThreadPool::new(2).unwrap());
    let there = other.handle();
    let mapped = one.submit(move || there.map(0..100, |n| n + 1));
    assert_eq!(mapped.join_timeout(LONG).unwrap().unwrap()[99], 100);
}

// Failures.

#[test]
fn the_first_error_in_order_is_the_one() {
    let pool = ThreadPool::new(4).unwrap();
    for failing in [vec![0], vec![999], vec![500, 501, 998], vec![3, 700]] {
        for _ in 0..20 {
            let outcome = pool.map_ok(
                0..1_000,
                |n| if failing.contains(&n) { Err(n) } else { Ok(n) },
            );
            assert_eq!(outcome, Err(failing[0]));
        }
    }
    assert_eq!(pool.map_ok(0..3, Ok::<_, ()>), Ok(vec![0, 1, 2]));
}

#[test]
fn an_earlier_item_that_fails_later_is_the_first_error() {
    let pool = ThreadPool::new(2).unwrap();
    let second_failed = AtomicBool::new(false);
    let outcome = pool.map_ok(0..2, |n| {
        if n == 0 {
            while !second_failed.load(SeqCst) {
                thread::yield_now();
            }
        } else {
            second_failed.store(true, SeqCst);
        }
        Err::<(), _>(n)
    });
    assert_eq!(outcome, Err(0));
}

#[test]
fn nothing_is_begun_after_a_failure() {
    let pool = ThreadPool::new(1).unwrap();
    let tried = AtomicUsize::new(0);
    let outcome = pool.map_ok(0..100_000, |n| {
        tried.fetch_add(1, SeqCst);
        if n == 0 { Err("first") } else { Ok(()) }
    });
    assert_eq!(outcome, Err("first"));
    assert_eq!(tried.into_inner(), 1);
}

#[test]
fn the_first_panic_comes_through_and_stops_the_rest() {
    struct Item<'a>(usize, &'a AtomicUsize);
    impl Drop for Item<'_> {
        fn drop(&mut self) {
            self.1.fetch_add(1, SeqCst);
        }
    }
    for workers in [1, 2] {
        let pool = ThreadPool::new(workers).unwrap();
        let (tried, dropped) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let items: Vec<_> = (0..10_000).map(|n| Item(n, &dropped)).collect();
        let mapped = catch_unwind(AssertUnwindSafe(|| {
            pool.map(items, |item| {
                tried.fetch_add(1, SeqCst);
                if item.0 == 0 {
                    panic_any("item 0");
                }
                item
            })
        }));
        assert_eq!(mapped.err().unwrap().downcast_ref(), Some(&"item 0"));
        // Another worker may be at work, and may be fast.
        assert!(tried.into_inner() == 1 || workers > 1);
        assert_eq!(dropped.into_inner(), 10_000, "items and results, all");
        assert_eq!(pool.stats().unread, 0);
    }
}

#[test]
fn a_panic_in_a_map_in_a_task_is_the_tasks() {
    let pool = ThreadPool::new(1).unwrap();
    let handle = pool.submit(|| current().unwrap().pool().map([1], |_| panic!("no")));
    match handle.join() {
        Err::<Vec<()>, _>(TaskError::Panicked(panic)) => assert_eq!(panic.message(), "no"),
        other => panic!("{other:?}"),
    }
}

// Ends that come from outside.

#[test]
fn a_cancelled_task_leaves_its_map() {
    let pool = ThreadPool::new(2).unwrap();
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(Some(tell));
    let handle = pool.submit(move || {
        current().unwrap().pool().for_each(0..1_000, |_| {
            if let Some(tell) = tell.lock().unwrap().take() {
                tell.send(()).unwrap();
            }
            until("it is cancelled", is_cancelled);
        });
        unreachable!("its map was not run to its end");
    });
    must_recv(&told);
    assert_eq!(handle.cancel(), CancelOutcome::Requested);
    let outcome = handle.join_timeout(LONG).unwrap();
    assert!(matches!(
        outcome,
        Err::<(), _>(TaskError::Cancelled(CancelReason::User))
    ));
}

#[test]
fn a_map_that_the_pool_does_not_do_says_so() {
    let pool = ThreadPool::new(2).unwrap();
    pool.shutdown(Shutdown::drain()).unwrap();
    let payload = catch_unwind(AssertUnwindSafe(|| pool.map(0..10, |n| n)));
    let payload = payload.unwrap_err();
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(text.ends_with("the pool is closed"), "{text}");
    assert_eq!(pool.map(0..0, |n: u32| n), [0; 0], "nothing was to be done");
}

#[test]
fn a_pool_that_takes_only_some_of_its_hands_does_it_all_the_same() {
    let builder = ThreadPool::builder().workers(4).queue_capacity(1);
    let pool = Arc::new(builder.on_full(OnFull::Reject).build().unwrap());
    for _ in 0..50 {
        assert_eq!(pool.map(0..1_000, |n| n).len(), 1_000);
    }
}

#[test]
fn a_shutdown_that_cancels_ends_a_map() {
    let pool = ThreadPool::new(2).unwrap();
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    thread::scope(|threads| {
        let mapping = threads.spawn(|| {
            let mapped = catch_unwind(AssertUnwindSafe(|| {
                pool.for_each(0..1_000, |_| {
                    let _ = tell.lock().unwrap().send(());
                    until("it is cancelled", is_cancelled);
                });
            }));
            *mapped.unwrap_err().downcast::<String>().unwrap()
        });
        // Both workers are at it: neither is refused.
        must_recv(&told);
        must_recv(&told);
        pool.shutdown(Shutdown::cancel()).unwrap();
        let text = mapping.join().unwrap();
        assert!(text.ends_with("task cancelled: shutdown"), "{text}");
    });
}
