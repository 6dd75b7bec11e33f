//! Tokens: the tree, reasons, deadlines, hooks, and tasks put under them.

use crate::allocations::Meter;
use crate::handle::{TellDrop, keep_busy, must_join};
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::error::WaitedFor;
use millhand::task::CancelOutcome;
use millhand::{CancelToken, TaskError, ThreadPool, check, current};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

fn past() -> CancelToken {
    CancelToken::with_timeout(Duration::ZERO)
}

// The tree.

#[test]
fn a_token_is_live_until_it_is_cancelled() {
    for token in [CancelToken::new(), CancelToken::default()] {
        assert!(!token.is_cancelled());
        assert_eq!(token.reason(), None);
        assert_eq!(token.deadline(), None);
        assert_eq!(token.remaining(), None);
        assert!(token.cancel());
        assert!(token.is_cancelled());
        assert_eq!(token.reason(), Some(CancelReason::User));
    }
}

#[test]
fn clones_are_the_same_token() {
    let token = CancelToken::new();
    let clone = token.clone();
    clone.cancel_with(CancelReason::Race);
    assert_eq!(token.reason(), Some(CancelReason::Race));
}

#[test]
fn the_first_reason_stays() {
    let token = CancelToken::new();
    assert!(token.cancel_with(CancelReason::Scope));
    assert!(!token.cancel());
    assert_eq!(token.reason(), Some(CancelReason::Scope));

    // In the tree too: what was cancelled alone keeps its own reason.
    let root = CancelToken::new();
    let (alone, with_it) = (root.child(), root.child());
    assert!(alone.cancel_with(CancelReason::Race));
    assert!(root.cancel_with(CancelReason::Shutdown));
    assert_eq!(alone.reason(), Some(CancelReason::Race));
    assert_eq!(with_it.reason(), Some(CancelReason::Shutdown));
}

#[test]
fn cancelling_reaches_all_below_and_none_above_or_beside() {
    let root = CancelToken::new();
    let (left, right) = (root.child(), root.child());
    let (below_left, below_right) = (left.child(), right.child());
    left.cancel();
    assert_eq!(below_left.reason(), Some(CancelReason::User));
    assert!(!root.is_cancelled() && !right.is_cancelled() && !below_right.is_cancelled());
    root.cancel_with(CancelReason::Shutdown);
    assert_eq!(below_right.reason(), Some(CancelReason::Shutdown));
    assert_eq!(left.reason(), Some(CancelReason::User));
}

#[test]
fn a_link_that_nobody_holds_still_passes_the_cancel_on() {
    let root = CancelToken::new();
    let leaf = root.child().child().child();
    root.cancel();
    assert!(leaf.is_cancelled());
}

#[test]
fn a_child_outlives_its_parent_s_handle() {
    let child = CancelToken::new().child();
    assert!(!child.is_cancelled());
    assert!(child.cancel());
}

#[test]
fn a_child_of_a_cancelled_token_is_cancelled_with_its_reason() {
    let token = CancelToken::new();
    token.cancel_with(CancelReason::Scope);
    for child in [
        token.child(),
        token.child().child(),
        token.child_with_timeout(LONG),
    ] {
        assert_eq!(child.reason(), Some(CancelReason::Scope));
    }
}

#[test]
fn of_many_that_cancel_at_once_one_did_it() {
    for _ in 0..100 {
        let (root, start) = (CancelToken::new(), Barrier::new(3));
        let child = root.child();
        let reasons = [CancelReason::User, CancelReason::Race, CancelReason::Scope];
        let did: Vec<_> = thread::scope(|s| {
            let threads = reasons.map(|reason| {
                let (child, start) = (&child, &start);
                s.spawn(move || {
                    start.wait();
                    child.cancel_with(reason).then_some(reason)
                })
            });
            threads
                .into_iter()
                .filter_map(|t| t.join().unwrap())
                .collect()
        });
        assert_eq!(did.len(), 1);
        assert_eq!(child.reason(), Some(did[0]));
    }
}

#[test]
fn no_child_slips_through_a_cancel_at_the_same_time() {
    for _ in 0..100 {
        let (root, start) = (CancelToken::new(), Barrier::new(2));
        let children: Vec<_> = thread::scope(|s| {
            let grower = s.spawn(|| {
                start.wait();
                // Some before, some after; some dropped meanwhile.
                (0..100)
                    .filter_map(|n| Some(root.child()).filter(|_| n % 3 != 0))
                    .collect::<Vec<_>>()
            });
            start.wait();
            root.cancel();
            grower.join().unwrap()
        });
        assert!(
            children
                .iter()
                .all(|child| child.reason() == Some(CancelReason::User))
        );
    }
}

#[test]
fn a_million_children_of_a_long_lived_parent_leave_nothing_behind() {
    let meter = Meter::of_this_thread();
    let root = CancelToken::new();
    let few = || {
        let some: Vec<_> = (0..8).map(|_| root.child()).collect();
        let guard = some[0].on_cancel(|_| ());
        drop((guard, some));
    };
    few();
    let before = meter.bytes();
    for n in 0..125_000 {
        few();
        assert_eq!(meter.bytes(), before, "after {n} rounds");
    }
    assert!(root.cancel());
}

#[test]
fn a_crowd_of_children_gives_back_what_it_needed() {
    let meter = Meter::of_this_thread();
    let root = CancelToken::new();
    drop(root.child());
    let before = meter.bytes();
    let crowd: Vec<_> = (0..20_000).map(|_| root.child()).collect();
    assert!(meter.bytes() > before + 1_000_000, "the meter works");
    drop(crowd);
    let left = meter.bytes() - before;
    assert!(left < 8_192, "{left} bytes are left");
    // The same for those that were cancelled, alone or together.
    let crowd: Vec<_> = (0..1_000).map(|_| root.child()).collect();
    for child in crowd.iter().step_by(2) {
        child.cancel();
    }
    root.cancel();
    drop(crowd);
    let left = meter.bytes() - before;
    assert!(left < 8_192, "{left} bytes are left");
}

#[test]
fn hooks_that_are_taken_out_leave_nothing_behind() {
    let meter = Meter::of_this_thread();
    let token = CancelToken::new();
    drop(token.on_cancel(|_| ()));
    let before = meter.bytes();
    for n in 0..10_000_u64 {
        drop(token.on_cancel(move |_| _ = n + 1));
    }
    assert_eq!(meter.bytes(), before);
}

/// Runs `f` where recursion would not get far.
fn on_a_small_stack(f: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(128 << 10);
    thread.spawn(f).unwrap().join().unwrap();
}

fn chain(length: usize) -> Vec<CancelToken> {
    let mut chain = vec![CancelToken::new()];
    for n in 0..length {
        chain.push(chain[n].child());
    }
    chain
}

#[test]
fn a_chain_of_a_hundred_thousand_is_cancelled_and_dropped() {
    on_a_small_stack(|| {
        let chain = chain(100_000);
        let leaf = &chain[100_000];
        let (tell, told) = mpsc::channel();
        let _guard = leaf.on_cancel(move |reason| tell.send(reason).unwrap());
        chain[0].cancel_with(CancelReason::Shutdown);
        assert_eq!(told.try_recv(), Ok(CancelReason::Shutdown));
        assert!(chain.iter().all(CancelToken::is_cancelled));
    });
}

#[test]
fn a_long_chain_is_dropped_from_either_end() {
    on_a_small_stack(|| {
        // From the root: each is still held by the one below.
        drop(chain(100_000));
        // From the leaf.
        chain(100_000).into_iter().rev().for_each(drop);
        // By the leaf alone, which holds all.
        let leaf = chain(100_000).pop();
        drop(leaf);
        // From the middle, with both ends live.
        let mut long = chain(100_000);
        let (root, leaf) = (long[0].clone(), long.pop().unwrap());
        drop(long);
        root.cancel();
        assert!(leaf.is_cancelled());
    });
}

// Deadlines.

#[test]
fn a_deadline_in_the_past_cancels() {
    for token in [past(), CancelToken::with_timeout(Duration::ZERO)] {
        assert!(token.is_cancelled());
        assert_eq!(token.reason(), Some(CancelReason::Deadline));
        assert_eq!(token.remaining(), Some(Duration::ZERO));
        assert!(!token.cancel(), "it was first");
        token.wait().unwrap();
        assert!(token.wait_timeout(Duration::ZERO).unwrap());
    }
}

#[test]
fn a_deadline_to_come_does_not() {
    let earliest = Instant::now() + LONG;
    let token = CancelToken::with_timeout(LONG);
    assert!(!token.is_cancelled());
    let at = token.deadline().unwrap();
    assert!(earliest <= at && at <= Instant::now() + LONG);
    assert!(token.remaining().unwrap() <= LONG);
    assert!(!token.wait_timeout(Duration::ZERO).unwrap());
    assert!(token.cancel(), "by hand before its time");
    assert_eq!(token.reason(), Some(CancelReason::User));
}

#[test]
fn a_timeout_that_overflows_the_clock_is_for_ever() {
    let token = CancelToken::with_timeout(Duration::MAX);
    assert_eq!(token.deadline(), None);
    assert_eq!(token.child_with_timeout(Duration::MAX).deadline(), None);
    assert!(!token.is_cancelled());
}

#[test]
fn the_earliest_deadline_up_to_the_root_counts() {
    let root = CancelToken::with_timeout(LONG);
    let soon = root.deadline();
    assert!(soon.is_some());
    assert_eq!(root.child().deadline(), soon);
    assert_eq!(root.child_with_timeout(2 * LONG).deadline(), soon);
    let root = CancelToken::with_timeout(2 * LONG);
    let late = root.deadline();
    let child = root.child_with_timeout(LONG);
    assert!(child.deadline() < late);
    assert_eq!(child.child().deadline(), child.deadline());
    assert_eq!(root.deadline(), late);
}

#[test]
fn a_child_s_deadline_cancels_the_child_alone() {
    let root = CancelToken::new();
    let child = root.child_with_timeout(Duration::ZERO);
    let below = child.child();
    assert_eq!(child.reason(), Some(CancelReason::Deadline));
    assert_eq!(below.reason(), Some(CancelReason::Deadline));
    assert!(!root.is_cancelled());
    // Whoever is asked first.
    let child = root.child_with_timeout(Duration::ZERO);
    assert_eq!(child.child().reason(), Some(CancelReason::Deadline));
    assert!(child.is_cancelled() && !root.is_cancelled());
}

#[test]
fn a_wait_ends_at_the_deadline() {
    let token = CancelToken::with_timeout(Duration::from_millis(5));
    let child = token.child();
    child.wait().unwrap();
    assert_eq!(child.reason(), Some(CancelReason::Deadline));
    assert_eq!(token.reason(), Some(CancelReason::Deadline));
    let token = CancelToken::with_timeout(Duration::from_millis(5));
    assert!(token.wait_timeout(LONG).unwrap());
}

#[test]
fn the_hooks_of_a_deadline_are_called_once_whoever_sees_it_first() {
    let token = past();
    let (tell, told) = mpsc::channel();
    let _guard = token.on_cancel(move |reason| tell.send(reason).unwrap());
    assert!(token.is_cancelled());
    assert_eq!(must_recv(&told), CancelReason::Deadline);
    assert!(token.is_cancelled());
    assert!(told.recv().is_err(), "once");
}

// Waiting.

#[test]
fn a_timed_wait_says_whether_it_was_cancelled() {
    let token = CancelToken::new();
    assert!(!token.wait_timeout(Duration::ZERO).unwrap());
    assert!(!token.wait_timeout(Duration::from_millis(1)).unwrap());
    token.cancel();
    assert!(token.wait_timeout(Duration::ZERO).unwrap());
    assert!(token.wait_timeout(Duration::MAX).unwrap());
}

#[test]
fn a_cancel_wakes_all_who_wait() {
    let root = CancelToken::new();
    let (tell, told) = mpsc::channel();
    thread::scope(|s| {
        for n in 0..4 {
            let (token, tell) = (root.child(), tell.clone());
            s.spawn(move || {
                tell.send(()).unwrap();
                match n % 3 {
                    0 => token.wait().unwrap(),
                    1 => assert!(token.wait_timeout(LONG).unwrap()),
                    _ => assert!(token.wait_timeout(Duration::MAX).unwrap()),
                }
                tell.send(()).unwrap();
            });
        }
        (0..4).for_each(|_| must_recv(&told));
        root.cancel();
        (0..4).for_each(|_| must_recv(&told));
    });
}

// Hooks.

#[test]
fn a_hook_is_called_once_on_the_thread_that_cancels() {
    let token = CancelToken::new();
    let (tell, told) = mpsc::channel();
    let _guard = token
        .child()
        .on_cancel(|_| unreachable!("its token is dropped with the child"));
    let child = token.child();
    let _guard =
        child.on_cancel(move |reason| tell.send((reason, thread::current().id())).unwrap());
    assert!(told.try_recv().is_err());
    token.cancel_with(CancelReason::Scope);
    token.cancel();
    child.cancel();
    let called: Vec<_> = told.into_iter().collect();
    assert_eq!(called, [(CancelReason::Scope, thread::current().id())]);
}

#[test]
fn a_hook_that_comes_late_is_called_here_and_now() {
    let token = CancelToken::new();
    token.cancel_with(CancelReason::Race);
    let (tell, told) = mpsc::channel();
    let guard = token.on_cancel(move |reason| tell.send(reason).unwrap());
    assert_eq!(told.try_recv(), Ok(CancelReason::Race));
    assert!(format!("{guard:?}").contains("registered: false"));
}

#[test]
fn dropping_the_guard_takes_the_hook_out_and_drops_it() {
    let token = CancelToken::new();
    let (tell, told) = mpsc::channel();
    let captured = TellDrop(tell);
    let guard = token.on_cancel(move |_| {
        let _captured = captured;
        unreachable!("it was taken out");
    });
    assert!(format!("{guard:?}").contains("registered: true"));
    drop(guard);
    assert_eq!(told.try_recv(), Ok(thread::current().id()));
    token.cancel();
}

#[test]
fn a_guard_may_outlive_its_token() {
    let token = CancelToken::new();
    let (tell, told) = mpsc::channel();
    let captured = TellDrop(tell);
    let guard = token.on_cancel(move |_| drop(captured));
    drop(token);
    assert_eq!(told.try_recv(), Ok(thread::current().id()));
    drop(guard);
}

#[test]
fn hooks_are_called_in_the_order_in_which_they_came() {
    let token = CancelToken::new();
    let (tell, told) = mpsc::channel();
    let mut guards: Vec<_> = (0..5)
        .map(|n| {
            let tell = tell.clone();
            token.on_cancel(move |_| tell.send(n).unwrap())
        })
        .collect();
    drop(guards.remove(2));
    token.cancel();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [0, 1, 3, 4]);
}

#[test]
fn a_hook_that_panics_harms_neither_the_others_nor_who_cancels() {
    let token = CancelToken::new();
    let (tell, told) = mpsc::channel();
    let _first = token.on_cancel(|_| panic!("in a hook"));
    let _second = token.on_cancel(move |_| tell.send(()).unwrap());
    assert!(token.cancel());
    must_recv(&told);
    let _late = token.on_cancel(|_| panic!("in a late hook"));
}

#[test]
fn a_hook_may_use_its_own_token() {
    let token = CancelToken::new();
    let inside = token.clone();
    let (tell, told) = mpsc::channel();
    let guard = token.on_cancel(move |_| {
        // None of this is under a lock.
        assert!(inside.is_cancelled() && !inside.cancel_with(CancelReason::Race));
        assert!(inside.child().is_cancelled());
        inside.wait().unwrap();
        let also = tell.clone();
        drop(inside.on_cancel(move |reason| also.send(reason).unwrap()));
        tell.send(CancelReason::Race).unwrap();
    });
    token.cancel();
    drop(guard);
    assert_eq!(
        told.into_iter().collect::<Vec<_>>(),
        [CancelReason::User, CancelReason::Race]
    );
}

#[test]
fn all_are_marked_before_the_first_hook_runs() {
    let root = CancelToken::new();
    let (child, other) = (root.child(), root.child());
    let (tell, told) = mpsc::channel();
    let seen = [root.clone(), child.clone(), other.clone()];
    let guards = [&root, &child, &other].map(|token| {
        let (seen, tell) = (seen.clone(), tell.clone());
        token.on_cancel(move |_| {
            tell.send(seen.iter().all(CancelToken::is_cancelled))
                .unwrap();
        })
    });
    root.cancel();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [true; 3]);
    drop(guards);
}

#[test]
fn a_hook_that_comes_while_another_thread_cancels_is_called_once() {
    for _ in 0..200 {
        let (token, start) = (CancelToken::new(), Barrier::new(2));
        let calls = Arc::new(AtomicUsize::new(0));
        let guard = thread::scope(|s| {
            let hooker = s.spawn(|| {
                let calls = calls.clone();
                start.wait();
                token.on_cancel(move |_| _ = calls.fetch_add(1, SeqCst))
            });
            start.wait();
            token.cancel();
            hooker.join().unwrap()
        });
        assert_eq!(calls.load(SeqCst), 1);
        drop(guard);
    }
}

#[test]
fn a_token_is_printed_with_its_reason() {
    let token = CancelToken::new();
    assert!(format!("{token:?}").contains("reason: None"));
    token.cancel_with(CancelReason::Race);
    assert!(format!("{token:?}").contains("Race"));
}

// Tasks under a token.

#[test]
fn a_token_on_the_builder_cancels_the_queued_at_once_and_asks_the_running() {
    let pool = ThreadPool::new(1).unwrap();
    let token = CancelToken::new();
    let task = pool.task().token(&token);
    let (tell, told) = mpsc::channel();
    let (go_on, gone_on) = mpsc::channel();
    let running = task.submit(move || {
        tell.send(()).unwrap();
        must_recv(&gone_on);
        check().unwrap_err().reason()
    });
    must_recv(&told);
    let queued: Vec<_> = (0..3).map(|_| task.submit(|| ())).collect();
    let stranger = pool.submit(|| 5);
    token.cancel_with(CancelReason::Race);
    for handle in queued {
        assert!(matches!(
            handle.try_join().unwrap(),
            Err(TaskError::Cancelled(CancelReason::Race))
        ));
    }
    assert!(!running.is_finished());
    go_on.send(()).unwrap();
    assert_eq!(must_join(running).unwrap(), CancelReason::Race);
    assert_eq!(must_join(stranger).unwrap(), 5);
}

#[test]
fn cancelling_one_task_leaves_its_siblings_and_the_token_alone() {
    let pool = ThreadPool::new(1).unwrap();
    let token = CancelToken::new();
    let task = pool.task().token(&token);
    let busy = keep_busy(&pool);
    let (one, two, other) = (task.submit(|| 1), task.submit(|| 2), task.submit(|| 3));
    assert_eq!(one.cancel(), CancelOutcome::Settled);
    assert!(two.token().cancel_with(CancelReason::Scope));
    assert!(!token.is_cancelled());
    drop(busy);
    assert!(matches!(
        must_join(one),
        Err(TaskError::Cancelled(CancelReason::User))
    ));
    assert!(matches!(
        must_join(two),
        Err(TaskError::Cancelled(CancelReason::Scope))
    ));
    assert_eq!(must_join(other).unwrap(), 3);
}

#[test]
fn cancelling_a_queued_task_cancels_its_token_too() {
    let pool = ThreadPool::new(1).unwrap();
    let _busy = keep_busy(&pool);
    let handle = pool.submit(|| ());
    let token = handle.token();
    handle.cancel();
    assert_eq!(token.reason(), Some(CancelReason::User));
    let parent = CancelToken::new();
    let handle = pool.task().token(&parent).submit(|| ());
    let token = handle.token();
    handle.cancel();
    assert_eq!(token.reason(), Some(CancelReason::User));
    assert!(!parent.is_cancelled());
}

#[test]
fn a_task_put_under_a_cancelled_token_never_runs() {
    let pool = ThreadPool::new(1).unwrap();
    let token = CancelToken::new();
    token.cancel_with(CancelReason::Scope);
    let (tell, told) = mpsc::channel();
    let captured = TellDrop(tell);
    let handle = pool.task().token(&token).submit(move || {
        let _captured = captured;
        unreachable!("it must not run");
    });
    assert_eq!(told.try_recv(), Ok(thread::current().id()));
    assert!(matches!(
        handle.try_join().unwrap(),
        Err(TaskError::Cancelled(CancelReason::Scope))
    ));
    pool.wait_idle().unwrap();
}

#[test]
fn a_task_whose_token_s_deadline_passed_before_the_start_never_runs() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let (tell, told) = mpsc::channel();
    let captured = TellDrop(tell);
    let handle = pool.task().token(&past()).submit(move || {
        let _captured = captured;
        unreachable!("it must not run");
    });
    drop(busy);
    assert!(matches!(
        must_join(handle),
        Err(TaskError::Expired(WaitedFor::Worker))
    ));
    must_recv(&told);
    pool.wait_idle().unwrap();
    assert_eq!(pool.stats().unread, 0);
}

#[test]
fn a_deadline_settles_the_queued_tasks_under_it_while_no_worker_is_free() {
    let pool = ThreadPool::new(1).unwrap();
    let _busy = keep_busy(&pool);
    let token = past();
    let handle = pool.task().token(&token).submit(|| ());
    assert!(token.is_cancelled());
    assert!(matches!(
        must_join(handle),
        Err(TaskError::Expired(WaitedFor::Worker))
    ));
}

#[test]
fn a_task_submitted_inside_a_task_is_under_its_token_only_if_asked() {
    let pool = ThreadPool::new(1).unwrap();
    let outer = pool.submit(|| {
        let me = current().unwrap();
        let under = me.pool().task().token(&me.token()).submit(|| ());
        let free = me.pool().submit(|| 5);
        // The worker is here, so both are queued still.
        me.token().cancel_with(CancelReason::Race);
        assert!(matches!(
            under.try_join().unwrap(),
            Err(TaskError::Cancelled(CancelReason::Race))
        ));
        free
    });
    let free = must_join(outer).unwrap();
    assert_eq!(must_join(free).unwrap(), 5);
}

#[test]
fn finished_tasks_leave_nothing_on_the_token_they_were_under() {
    let meter = Meter::new();
    let pool = ThreadPool::builder()
        .workers(1)
        .on_worker_start(move |_| meter.watch_this_thread())
        .build()
        .unwrap();
    meter.watch_this_thread();
    let token = CancelToken::new();
    let task = pool.task().token(&token);
    let round = || {
        for _ in 0..1_000 {
            task.execute(|| ());
        }
        pool.wait_idle().unwrap();
    };
    (0..5).for_each(|_| round());
    let before = meter.bytes();
    (0..20).for_each(|_| round());
    let left = meter.bytes() - before;
    meter.leave_this_thread();
    // What is left by a thousand tasks kept would be a hundred thousand bytes and more; the queue keeps a block or two.
    assert!(left < 20_000, "{left} bytes are left");
}

#[test]
fn a_token_asked_for_after_the_task_was_cancelled_is_cancelled() {
    let pool = ThreadPool::new(1).unwrap();
    let (release, held) = mpsc::channel::<()>();
    let busy = pool.submit(move || held.recv().is_ok());
    let queued = pool.submit(|| ());
    assert_eq!(queued.cancel(), CancelOutcome::Settled);
    assert_eq!(queued.token().reason(), Some(CancelReason::User));
    release.send(()).unwrap();
    assert!(busy.join().unwrap());
}
