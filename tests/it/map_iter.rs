//! `map_iter`: a window of an iterator's items at a time, in order or as they come, in scopes and outside.

use crate::handle::keep_busy;
use crate::manual::{Drops, until};
use crate::support::{LONG, must_recv};
use millhand::{ScopeOptions, Shutdown, ThreadPool, current, is_cancelled};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;

#[test]
fn results_come_in_order_from_items_without_end() {
    for workers in [1, 4] {
        let pool = ThreadPool::new(workers).unwrap();
        let squares = pool.map_iter(0_u64.., |n| n * n).take(1_000);
        assert!(squares.eq((0..1_000).map(|n| n * n)));
    }
}

#[test]
fn unordered_results_are_all_there() {
    let pool = ThreadPool::new(3).unwrap();
    for window in [1, 2, 100] {
        let squares = pool.map_iter(0..1_000, |n| n * n).window(window);
        let mut squares: Vec<_> = squares.unordered().collect();
        squares.sort();
        assert!(squares.into_iter().eq((0..1_000).map(|n| n * n)));
    }
}

#[test]
fn nothing_is_begun_before_it_is_asked_for_and_no_more_than_the_window_ahead() {
    let pool = ThreadPool::new(2).unwrap();
    for unordered in [false, true] {
        let taken = Rc::new(AtomicUsize::new(0)); // stays on this thread
        let counted = taken.clone();
        let items = (0..100).inspect(move |_| {
            counted.fetch_add(1, SeqCst);
        });
        let mut mapped = pool.map_iter(items, |n| n).window(5);
        if unordered {
            mapped = mapped.unordered();
        }
        assert_eq!((taken.load(SeqCst), pool.queued()), (0, 0));
        assert_eq!(mapped.size_hint(), (100, Some(100)));
        for given in 0..95 {
            assert!(mapped.next().is_some());
            assert_eq!(taken.load(SeqCst), given + 5);
        }
        assert_eq!(mapped.size_hint(), (5, Some(5)));
        assert_eq!(mapped.by_ref().count(), 5);
        assert_eq!((mapped.next(), taken.load(SeqCst)), (None, 100));
    }
}

#[test]
fn a_slow_item_delays_no_other_if_the_order_is_left_open() {
    let pool = ThreadPool::new(2).unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let mapped = pool.map_iter(0..100, move |n| {
        if n == 0 {
            let _ = wait.lock().unwrap().recv();
        }
        n
    });
    let mut mapped = mapped.unordered();
    let others: Vec<_> = mapped.by_ref().take(99).collect();
    assert!(!others.contains(&0));
    drop(go);
    assert_eq!(mapped.next(), Some(0));
    assert_eq!(mapped.next(), None);
}

#[test]
fn what_is_ahead_is_kept_when_the_order_is_given_up_on_the_way() {
    let pool = ThreadPool::new(2).unwrap();
    let mut mapped = pool.map_iter(0..50, |n| n);
    assert_eq!(mapped.next(), Some(0));
    let mut rest: Vec<_> = mapped.unordered().collect();
    rest.sort();
    assert!(rest.into_iter().eq(1..50));
}

#[test]
fn dropping_it_cancels_what_is_queued_and_asks_what_runs() {
    for unordered in [false, true] {
        let pool = ThreadPool::new(1).unwrap();
        let drops = Drops::default();
        let (begin, begun) = mpsc::channel();
        let noticed = Arc::new(AtomicBool::new(false));
        let notices = noticed.clone();
        let counted = drops.clone();
        let items = (0..).map(move |n| (n, counted.one()));
        let mapped = pool.map_iter(items, move |(n, _one)| {
            if n == 1 {
                begin.send(()).unwrap();
                until("it is cancelled", is_cancelled);
                notices.store(true, SeqCst);
            }
        });
        let mut mapped = mapped.window(10);
        if unordered {
            mapped = mapped.unordered();
        }
        mapped.next();
        must_recv(&begun);
        drop(mapped);
        pool.wait_idle_timeout(LONG).unwrap();
        assert!(noticed.load(SeqCst));
        assert_eq!(
            drops.count(),
            10,
            "one given out, one asked to stop, eight gone"
        );
    }
}

#[test]
fn a_panic_comes_through_where_its_result_was_to_be_and_the_rest_goes_on() {
    let pool = ThreadPool::new(2).unwrap();
    let mut mapped = pool.map_iter(0..5, |n| if n == 2 { panic_any(n) } else { n });
    let mut seen = Vec::new();
    loop {
        match catch_unwind(AssertUnwindSafe(|| mapped.next())) {
            Ok(Some(n)) => seen.push(n),
            Ok(None) => break,
            Err(payload) => seen.push(10 * payload.downcast_ref::<i32>().unwrap()),
        }
    }
    assert_eq!(seen, [0, 1, 20, 3, 4]);
    assert_eq!(pool.unread_panics(), 0);
}

#[test]
fn it_may_be_consumed_in_a_task_on_a_pool_of_one_worker() {
    for unordered in [false, true] {
        let pool = ThreadPool::new(1).unwrap();
        let sum = pool.submit(move || {
            let mapped = current().unwrap().pool().map_iter(1..=100, |n| n);
            if unordered {
                mapped.unordered().sum::<i32>()
            } else {
                mapped.sum()
            }
        });
        assert_eq!(sum.join_timeout(LONG).unwrap().unwrap(), 5050);
    }
}

#[test]
fn in_a_scope_it_borrows() {
    let pool = ThreadPool::new(2).unwrap();
    let words: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    let suffix = String::from("!");
    let marked = pool.scope(|s| {
        let marked = s.map_iter(&words, |word| word.clone() + &suffix);
        marked.collect::<Vec<_>>()
    });
    assert_eq!(marked[99], "99!");
    let lengths: usize = pool.scope(|s| {
        s.map_iter(words.iter(), |word| word.len())
            .unordered()
            .sum()
    });
    assert_eq!(lengths, 190);
}

#[test]
fn in_a_scope_what_is_left_over_is_gone_at_its_end_and_no_failure() {
    let pool = ThreadPool::new(1).unwrap();
    let ran = AtomicUsize::new(0);
    let busy = keep_busy(&pool);
    let mut busy = Some(busy);
    pool.scope(|s| {
        let mut mapped = s.map_iter(0.., |n: usize| {
            ran.fetch_add(1, SeqCst);
            n
        });
        busy.take();
        assert_eq!(mapped.next(), Some(0));
        std::mem::forget(s.map_iter([1, 2, 3], |n: usize| n)); // never asked
    });
    let dropped = ran.load(SeqCst);
    let gathered = pool.scope_with(ScopeOptions::fail_fast(), |s| {
        s.map_iter(0.., |n: usize| {
            ran.fetch_add(1, SeqCst);
            n
        })
        .take(10)
        .sum::<usize>()
    });
    assert_eq!(gathered.unwrap(), 45);
    assert!(ran.into_inner() >= dropped + 10);
}

#[test]
fn a_forgotten_one_in_a_scope_holds_its_end_back() {
    let pool = ThreadPool::new(2).unwrap();
    let ran = AtomicUsize::new(0);
    pool.scope(|s| {
        let mut mapped = s
            .map_iter(0..10, |n| {
                thread::yield_now();
                ran.fetch_add(1, SeqCst);
                n
            })
            .window(10);
        mapped.next();
        std::mem::forget(mapped);
    });
    assert_eq!(ran.into_inner(), 10);
}

#[test]
fn a_window_of_nothing_is_refused() {
    let pool = ThreadPool::new(1).unwrap();
    let refused = catch_unwind(AssertUnwindSafe(|| pool.map_iter(0..3, |n| n).window(0)));
    let payload = refused.err().unwrap();
    let text = payload.downcast_ref::<&str>().unwrap();
    assert!(text.contains("at least 1 item"), "{text}");
}

#[test]
fn a_closed_pool_says_so_where_the_result_was_to_be() {
    let pool = ThreadPool::new(1).unwrap();
    pool.shutdown(Shutdown::drain()).unwrap();
    let payload = catch_unwind(AssertUnwindSafe(|| pool.map_iter(0..3, |n| n).next()));
    let payload = payload.unwrap_err();
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(text.ends_with("the pool is closed"), "{text}");
}
