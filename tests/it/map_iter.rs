//! `map_iter` and the collections of a template: a window of an iterator's items at a time, in order or as they come, with
//! the options of the template.

use crate::handle::keep_busy;
use crate::manual::{Drops, Manual, S, until};
use crate::support::{LONG, must_recv};
use millhand::error::{Rejection, WaitedFor};
use millhand::limit::Gate;
use millhand::{
    JoinError, Retry, Semaphore, Shutdown, TaskError, ThreadPool, current, is_cancelled,
};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

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
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = taken.clone();
        let items = (0..100).inspect(move |_| {
            counted.fetch_add(1, SeqCst);
        });
        let mut mapped = pool.map_iter(items, |n| n).window(5);
        if unordered {
            mapped = mapped.unordered();
        }
        assert_eq!((taken.load(SeqCst), pool.queued()), (0, 0));
        for given in 1..=95 {
            assert!(mapped.next().is_some());
            until("the window is full", || taken.load(SeqCst) == given + 5);
            pool.wait_idle().unwrap();
            assert_eq!(taken.load(SeqCst), given + 5);
        }
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
fn what_is_set_after_the_first_result_changes_nothing() {
    let pool = ThreadPool::new(2).unwrap();
    let mut mapped = pool.map_iter(0..50, |n| n);
    assert_eq!(mapped.next(), Some(0));
    assert!(mapped.unordered().window(1).eq(1..50));
}

// What the source does.

#[test]
fn a_slow_source_held_back_results_that_were_ready() {
    for (workers, unordered) in [(1, false), (1, true), (2, false), (2, true)] {
        let pool = ThreadPool::new(workers).unwrap();
        let (go, wait) = mpsc::channel();
        let source = (0..8).inspect(move |n| {
            if *n > 0 {
                must_recv(&wait);
            }
        });
        let mut mapped = pool.map_iter(source, |n| n);
        if unordered {
            mapped = mapped.unordered();
        }
        for n in 0..8 {
            assert_eq!(mapped.next(), Some(n));
            // The next item comes after the result before it was taken.
            let _ = go.send(());
        }
        assert_eq!(mapped.next(), None);
    }
}

#[test]
fn a_source_that_needs_the_results_hung() {
    for workers in [1, 2] {
        let pool = ThreadPool::new(workers).unwrap();
        let (found, find) = mpsc::channel();
        found.send(1_u64).unwrap();
        let source = std::iter::from_fn(move || find.recv_timeout(LONG).ok());
        let mut seen = Vec::new();
        // Each result makes the next item, as the pages of a crawl do.
        let mut found = Some(found);
        for doubled in pool.map_iter(source, |n| 2 * n) {
            seen.push(doubled);
            if doubled < 100 {
                found.as_ref().unwrap().send(doubled).unwrap();
            } else {
                found = None;
            }
        }
        assert_eq!(seen, [2, 4, 8, 16, 32, 64, 128]);
    }
}

#[test]
fn the_results_before_a_panic_of_the_source_were_lost() {
    for window in [1, 2, 100] {
        let pool = ThreadPool::new(2).unwrap();
        let source = (0..).inspect(|n| {
            if *n == 5 {
                panic_any("no more")
            }
        });
        let mut mapped = pool.map_iter(source, |n| n).window(window);
        let before: Vec<_> = mapped.by_ref().take(5).collect();
        assert_eq!(before, [0, 1, 2, 3, 4]);
        let payload = catch_unwind(AssertUnwindSafe(|| mapped.next())).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"no more"));
        assert_eq!(mapped.next(), None);
        assert_eq!(pool.stats().unread, 0);
    }
}

// Its end.

#[test]
fn dropping_it_cancels_what_is_queued_and_asks_what_runs() {
    for unordered in [false, true] {
        let pool = ThreadPool::new(1).unwrap();
        let drops = Drops::default();
        let (begin, begun) = mpsc::channel();
        let noticed = Arc::new(AtomicBool::new(false));
        let notices = noticed.clone();
        let (counted, made) = (drops.clone(), Arc::new(AtomicUsize::new(0)));
        let makes = made.clone();
        let items = (0..).map(move |n| {
            makes.fetch_add(1, SeqCst);
            (n, counted.one())
        });
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
        let made = made.load(SeqCst);
        assert_eq!((made, drops.count()), (2, 2), "the others were not read");
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
    assert_eq!(pool.stats().unread, 0);
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
fn in_a_cancelled_task_it_ends_the_task() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let (hold, held) = mpsc::channel::<()>();
    let task = pool.submit(move || {
        let held = std::sync::Mutex::new(held);
        let pool = current().unwrap().pool();
        let mut mapped = pool.map_iter(0..3, move |_| {
            tell.send(()).unwrap();
            let _ = held.lock().unwrap().recv();
        });
        let _ = mapped.next();
        unreachable!("it leaves as at a checkpoint");
    });
    must_recv(&told);
    task.cancel();
    assert!(task.join_timeout(LONG).unwrap().unwrap_err().is_cancelled());
    drop(hold);
    pool.wait_idle().unwrap();
    assert_eq!(pool.stats().unread, 0);
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
    let mut mapped = pool.map_iter(0..3, |n| n);
    let payload = catch_unwind(AssertUnwindSafe(|| mapped.next())).unwrap_err();
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(text.ends_with("the pool is closed"), "{text}");
    let outcomes: Vec<_> = pool.task().map_iter(0..3, |n| n).collect();
    assert!(matches!(
        outcomes[0].as_ref().unwrap_err().error(),
        JoinError::Task(TaskError::Rejected(Rejection::Closed))
    ));
}

// With a template.

#[cfg(feature = "simulation")]
#[test]
fn one_expression_limits_retries_and_names_each_item() {
    let (pool, simulation) = ThreadPool::simulated(1);
    let api = millhand::RateLimiter::token_bucket(1, S).burst(1);
    let api = api.build().unwrap();
    let again = Retry::fixed(2, 10 * S);
    let fetch = pool.task().name("fetch").gate(&api).retry(again);
    let outcomes: Vec<_> = fetch
        .map_iter(0..6, |n| match (n, millhand::attempt()) {
            (1 | 4, 1) => Err("not yet"),
            (5, _) => Err("never"),
            _ => Ok(n * n),
        })
        .window(4)
        .collect();
    // Items 0 to 4 begin one a second. In the window of 4, item 5 waits for the second attempt of item 1.
    assert_eq!(simulation.elapsed(), 32 * S);
    let (values, failures): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    let values: Vec<_> = values.into_iter().flatten().collect();
    assert_eq!(values, [0, 1, 4, 9, 16]);
    let failure = failures[0].as_ref().unwrap_err();
    assert_eq!((failure.index(), failure.name()), (5, Some("fetch")));
    assert!(failure.to_string().ends_with("never"), "{failure}");
    assert_eq!(failures.len(), 1);
}

#[test]
fn a_template_s_failures_are_outcomes_in_their_places() {
    let pool = ThreadPool::new(2).unwrap();
    let task = pool.task().name("halve");
    let plain = task.map(0..4, |n| if n == 2 { panic_any("two") } else { n / 2 });
    assert!(plain[2].as_ref().is_err_and(|failure| failure.index() == 2
        && matches!(failure.error(), JoinError::Task(TaskError::Panicked(_)))));
    assert_eq!(plain.into_iter().flatten().collect::<Vec<_>>(), [0, 0, 1]);
    let even = |n: i32| match n % 2 {
        0 => Ok(n / 2),
        _ => Err(format!("{n} is odd")),
    };
    let fallible = task.clone().fallible();
    let retried = task.clone().retry(Retry::fixed(1, Duration::ZERO));
    let attempts = Arc::new(AtomicUsize::new(0));
    let counts = attempts.clone();
    let mapped = [
        fallible.map(0..4, even),
        fallible.map_iter(0..4, even).window(1).collect(),
        retried.map(0..4, move |n| {
            counts.fetch_add(1, SeqCst);
            even(*n)
        }),
        retried.map_iter(0..4, move |n| even(*n)).collect(),
    ];
    assert_eq!(attempts.load(SeqCst), 6, "two of them twice");
    for outcomes in mapped {
        let places: Vec<_> = outcomes.iter().map(Result::is_ok).collect();
        assert_eq!(places, [true, false, true, false]);
        let failures: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
        for (failure, index) in failures.iter().zip([1, 3]) {
            assert_eq!((failure.index(), failure.name()), (index, Some("halve")));
            let text = failure.to_string();
            assert!(text.ends_with(&format!("{index} is odd")), "{text}");
        }
    }
    assert_eq!(pool.stats().unread, 0);
}

#[test]
fn for_each_of_a_template_tells_of_all_that_failed() {
    let pool = ThreadPool::new(2).unwrap();
    let task = pool.task().name("odd");
    let indices = |failures: millhand::compose::Failures| {
        failures.iter().map(|failure| failure.index()).collect()
    };
    let check = |n: usize| match n % 2 {
        0 => Err(format!("{n}")),
        _ => Ok(()),
    };
    let ends: [Vec<usize>; 3] = [
        indices(task.for_each(0..5, move |n| check(n).unwrap()).unwrap_err()),
        indices(task.clone().fallible().for_each(0..5, check).unwrap_err()),
        indices(
            task.clone()
                .retry(Retry::fixed(1, Duration::ZERO))
                .for_each(0..5, move |n| check(*n))
                .unwrap_err(),
        ),
    ];
    assert_eq!(ends, [[0, 2, 4]; 3]);
    let ran = Arc::new(AtomicUsize::new(0));
    let counts = ran.clone();
    let counted = task.for_each(0..100, move |_| {
        counts.fetch_add(1, SeqCst);
    });
    counted.unwrap();
    assert_eq!(ran.load(SeqCst), 100);
}

#[test]
fn the_items_of_a_template_keep_to_its_gate_and_all_of_a_map_wait_there_at_once() {
    let pool = ThreadPool::new(3).unwrap();
    let one = Semaphore::new(1).unwrap();
    let held = one.acquire().unwrap();
    let visits = Arc::new(AtomicUsize::new(0));
    let task = pool.task().gate(&one);
    let visit = move |n: usize| {
        assert_eq!(visits.fetch_add(1, SeqCst), 0, "one at a time");
        visits.fetch_sub(1, SeqCst);
        n
    };
    std::thread::scope(|s| {
        let mapped = s.spawn(|| task.map(0..50, visit.clone()));
        until("all wait", || one.waiting() == 50);
        drop(held);
        let mapped: Vec<_> = mapped.join().unwrap().into_iter().flatten().collect();
        assert!(mapped.into_iter().eq(0..50));
    });
    let held = one.acquire().unwrap();
    let mut mapped = task.map_iter(0..50, visit).window(4);
    std::thread::scope(|s| {
        let first = s.spawn(|| mapped.next().unwrap().unwrap());
        until("a window waits", || one.waiting() == 4);
        // One of the four could come after another has gone only.
        assert_eq!(one.waiting(), 4);
        drop(held);
        assert_eq!(first.join().unwrap(), 0);
    });
    assert_eq!(mapped.flatten().count(), 49);
    fn is_gate(_: &impl Gate) {}
    is_gate(&one);
}

#[test]
fn the_limits_and_the_token_of_a_template_are_those_of_each_item() {
    let pool = Manual::new(1);
    let busy = keep_busy(&pool);
    std::thread::scope(|s| {
        let late = s.spawn(|| pool.task().expires(S).map(0..3, |n| n));
        until("all are queued, and one is read", || pool.queued() > 0);
        drop(busy);
        // Whatever the clock does, each has its outcome.
        assert_eq!(late.join().unwrap().len(), 3);
    });
    let one = Semaphore::new(1).unwrap();
    let held = one.acquire().unwrap();
    std::thread::scope(|s| {
        let late = s.spawn(|| pool.task().gate(&one).deadline(S).map(0..3, |n| n));
        until("all wait", || one.waiting() == 3);
        pool.advance(S);
        for outcome in late.join().unwrap() {
            let failure = outcome.unwrap_err();
            assert!(matches!(
                failure.error(),
                JoinError::Task(TaskError::Expired(WaitedFor::Gate))
            ));
        }
    });
    let token = millhand::CancelToken::new();
    std::thread::scope(|s| {
        let cancelled = s.spawn(|| pool.task().gate(&one).token(&token).map(0..3, |n| n));
        until("all wait", || one.waiting() == 3);
        token.cancel();
        for outcome in cancelled.join().unwrap() {
            let failure = outcome.unwrap_err();
            assert!(
                matches!(failure.error(), JoinError::Task(error) if error.is_cancelled()),
                "{failure}"
            );
        }
    });
    drop(held);
}
