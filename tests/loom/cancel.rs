//! loom models of the cancel token: cancelling meets everything else that can be done with it.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// Assertions stay out of hooks: the token shields itself from their panics, and with them from ours.

use super::*;
use loom::thread;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

const A: CancelReason = CancelReason::User;
const B: CancelReason = CancelReason::Scope;

/// How often a hook ran and was dropped. std's counts: loom must not see an order in them.
#[derive(Clone, Default)]
struct Watch(Arc<(AtomicUsize, AtomicUsize)>);

impl Watch {
    fn hook(&self) -> impl FnOnce(CancelReason) + Send + 'static {
        struct Held(Watch);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0.0.1.fetch_add(1, Relaxed);
            }
        }
        let held = Held(self.clone());
        move |_| {
            held.0.0.0.fetch_add(1, Relaxed);
        }
    }

    fn ran(&self) -> usize {
        self.0.0.load(Relaxed)
    }

    fn dropped(&self) -> usize {
        self.0.1.load(Relaxed)
    }
}

fn is_empty(token: &CancelToken) -> bool {
    let inner = token.node.inner.lock();
    inner.below.is_empty() && inner.hooks == 0
}

/// Cancels `token` on a thread of its own.
fn cancelling(token: &CancelToken, reason: CancelReason) -> thread::JoinHandle<bool> {
    let token = token.clone();
    thread::spawn(move || token.cancel_with(reason))
}

#[test]
fn a_child_born_while_its_parent_is_cancelled() {
    loom::model(|| {
        let parent = CancelToken::new();
        let canceller = cancelling(&parent, A);
        let child = parent.child();
        assert!(canceller.join().unwrap());
        assert_eq!(child.reason(), Some(A));
        assert!(is_empty(&parent));
    });
}

#[test]
fn two_children_born_at_once_and_dropped() {
    loom::model(|| {
        let parent = CancelToken::new();
        let other = thread::spawn({
            let parent = parent.clone();
            move || drop(parent.child())
        });
        drop(parent.child());
        other.join().unwrap();
        assert!(is_empty(&parent));
    });
}

#[test]
fn a_hook_registered_while_the_token_is_cancelled() {
    loom::model(|| {
        let token = CancelToken::new();
        let watch = Watch::default();
        let canceller = cancelling(&token, A);
        let guard = token.on_cancel(watch.hook());
        assert!(canceller.join().unwrap());
        assert_eq!((watch.ran(), watch.dropped()), (1, 1));
        drop(guard);
        assert!(is_empty(&token));
    });
}

#[test]
fn a_hook_taken_out_while_the_token_is_cancelled() {
    loom::model(|| {
        let token = CancelToken::new();
        let watch = Watch::default();
        let guard = token.on_cancel(watch.hook());
        let canceller = cancelling(&token, A);
        drop(guard);
        assert!(canceller.join().unwrap());
        assert!(watch.ran() <= 1);
        assert_eq!(watch.dropped(), 1);
        assert!(is_empty(&token));
    });
}

#[test]
fn a_hook_taken_out_while_another_is_registered() {
    loom::model(|| {
        let token = CancelToken::new();
        let (first, second) = (Watch::default(), Watch::default());
        let guard = token.on_cancel(first.hook());
        let other = thread::spawn({
            let (token, hook) = (token.clone(), second.hook());
            move || token.on_cancel(hook)
        });
        drop(guard);
        let other = other.join().unwrap();
        assert_eq!((first.ran(), first.dropped()), (0, 1));
        token.cancel_with(A);
        assert_eq!((first.ran(), second.ran()), (0, 1));
        drop(other);
        assert!(is_empty(&token));
    });
}

#[test]
fn a_hook_taken_out_while_the_token_goes() {
    loom::model(|| {
        let token = CancelToken::new();
        let watch = Watch::default();
        let guard = token.on_cancel(watch.hook());
        let dropper = thread::spawn(move || drop(token));
        drop(guard);
        dropper.join().unwrap();
        assert_eq!((watch.ran(), watch.dropped()), (0, 1));
    });
}

#[test]
fn a_hook_that_cancels_and_registers_again() {
    loom::model(|| {
        let token = CancelToken::new();
        let watch = Watch::default();
        let guard = token.on_cancel({
            let (token, first, second) = (token.clone(), watch.hook(), watch.hook());
            move |reason| {
                token.cancel_with(B);
                drop(token.on_cancel(second));
                first(reason);
            }
        });
        let canceller = cancelling(&token, A);
        token.cancel_with(A);
        canceller.join().unwrap();
        assert_eq!(token.reason(), Some(A));
        assert_eq!((watch.ran(), watch.dropped()), (2, 2));
        drop(guard);
        assert!(is_empty(&token));
    });
}

#[test]
fn a_wait_while_the_token_is_cancelled() {
    loom::model(|| {
        let token = CancelToken::new();
        let canceller = cancelling(&token, A);
        token.wait().unwrap();
        assert_eq!(token.reason(), Some(A));
        canceller.join().unwrap();
    });
}

#[test]
fn two_waits_while_the_token_is_cancelled() {
    loom::model(|| {
        let token = CancelToken::new();
        let canceller = cancelling(&token, A);
        let other = thread::spawn({
            let token = token.clone();
            move || token.wait().unwrap()
        });
        token.wait().unwrap();
        other.join().unwrap();
        canceller.join().unwrap();
    });
}

#[test]
fn a_wait_that_times_out_while_the_token_is_cancelled() {
    loom::model(|| {
        let token = CancelToken::new();
        let canceller = cancelling(&token, A);
        let told = token.wait_timeout(Duration::from_secs(1)).unwrap();
        assert!(!told || token.reason() == Some(A));
        canceller.join().unwrap();
        assert!(token.wait_timeout(Duration::from_secs(1)).unwrap());
    });
}

#[test]
fn two_cancels_at_once_and_one_did_it() {
    loom::model(|| {
        let token = CancelToken::new();
        let watch = Watch::default();
        let guard = token.on_cancel(watch.hook());
        let other = cancelling(&token, A);
        let mine = token.cancel_with(B);
        let other = other.join().unwrap();
        assert!(mine != other);
        assert_eq!(token.reason(), Some(if mine { B } else { A }));
        assert_eq!((watch.ran(), watch.dropped()), (1, 1));
        drop(guard);
    });
}

#[test]
fn a_deadline_that_is_noticed_while_the_alarm_rings() {
    loom::model(|| {
        let token = CancelToken::with_timeout(Duration::ZERO);
        let watch = Watch::default();
        let guard = token.on_cancel(watch.hook());
        let alarm = thread::spawn({
            let node = token.node.clone();
            move || node.wake()
        });
        // Who asks sees the deadline, and leaves the hook to the alarm.
        assert_eq!(token.reason(), Some(CancelReason::Deadline));
        alarm.join().unwrap();
        assert_eq!((watch.ran(), watch.dropped()), (1, 1));
        drop(guard);
    });
}

#[test]
fn a_deadline_that_is_noticed_while_the_token_is_cancelled() {
    loom::model(|| {
        let token = CancelToken::with_timeout(Duration::ZERO);
        let canceller = cancelling(&token, A);
        let noticed = token.reason();
        assert!(noticed.is_some());
        let did = canceller.join().unwrap();
        assert_eq!(token.reason(), noticed, "a reason stays");
        assert_eq!(noticed == Some(A), did);
    });
}

#[test]
fn a_child_dropped_while_its_parent_is_cancelled() {
    loom::model(|| {
        let parent = CancelToken::new();
        let child = parent.child();
        let watch = Watch::default();
        let guard = child.on_cancel(watch.hook());
        let canceller = cancelling(&parent, A);
        drop(child);
        assert!(canceller.join().unwrap());
        assert!(watch.ran() <= 1);
        assert_eq!(watch.dropped(), 1);
        assert!(is_empty(&parent));
        drop(guard);
    });
}

#[test]
fn a_child_and_its_parent_cancelled_at_once() {
    loom::model(|| {
        let parent = CancelToken::new();
        let child = parent.child();
        let watch = Watch::default();
        let guard = child.on_cancel(watch.hook());
        let canceller = cancelling(&parent, A);
        let mine = child.cancel_with(B);
        assert!(canceller.join().unwrap());
        assert_eq!(parent.reason(), Some(A));
        assert_eq!(child.reason(), Some(if mine { B } else { A }));
        assert_eq!((watch.ran(), watch.dropped()), (1, 1));
        drop(guard);
    });
}

#[test]
fn a_child_outlives_its_parents_handle_and_both_are_let_go_at_once() {
    loom::model(|| {
        let root = CancelToken::new();
        let parent = root.child();
        let child = parent.child();
        let dropper = thread::spawn(move || drop(parent));
        drop(child);
        dropper.join().unwrap();
        assert!(is_empty(&root));
        assert_eq!(Arc::strong_count(&root.node), 1);
        assert_eq!(Arc::weak_count(&root.node), 0);
    });
}

#[test]
fn a_chain_of_three_cancelled_at_the_top_and_in_the_middle() {
    loom::model(|| {
        let root = CancelToken::new();
        let middle = root.child();
        let leaf = middle.child();
        let watch = Watch::default();
        let guard = leaf.on_cancel(watch.hook());
        let top = cancelling(&root, A);
        let mid = cancelling(&middle, B);
        leaf.wait().unwrap();
        assert!(top.join().unwrap());
        let mid = mid.join().unwrap();
        assert_eq!(middle.reason(), Some(if mid { B } else { A }));
        assert_eq!(leaf.reason(), middle.reason(), "it comes down one way");
        assert_eq!((watch.ran(), watch.dropped()), (1, 1));
        drop(guard);
    });
}

#[test]
fn a_chain_of_three_that_is_dropped_while_its_top_is_cancelled() {
    loom::model(|| {
        let root = CancelToken::new();
        let middle = root.child();
        let leaf = middle.child();
        let watch = Watch::default();
        let guard = leaf.on_cancel(watch.hook());
        let canceller = cancelling(&root, A);
        let dropper = thread::spawn(move || drop(middle));
        drop(leaf);
        dropper.join().unwrap();
        assert!(canceller.join().unwrap());
        assert!(watch.ran() <= 1);
        assert_eq!(watch.dropped(), 1);
        assert!(is_empty(&root));
        drop(guard);
        assert_eq!(Arc::strong_count(&root.node), 1);
        assert_eq!(Arc::weak_count(&root.node), 0);
    });
}

#[test]
fn a_leaf_born_while_the_top_of_its_chain_is_cancelled() {
    loom::model(|| {
        let root = CancelToken::new();
        let middle = root.child();
        let canceller = cancelling(&root, A);
        let leaf = middle.child();
        let watch = Watch::default();
        let guard = leaf.on_cancel(watch.hook());
        assert!(canceller.join().unwrap());
        assert_eq!(leaf.reason(), Some(A));
        assert_eq!((watch.ran(), watch.dropped()), (1, 1));
        drop(guard);
    });
}

#[test]
fn what_was_done_before_the_cancel_is_seen_by_who_sees_it() {
    loom::model(|| {
        let token = CancelToken::new();
        #[allow(clippy::arc_with_non_send_sync)] // loom's threads take turns on one
        let trace = Arc::new(loom::cell::Cell::new(0));
        // The reader is the one apart: loom tries too few schedules the other way round.
        let reader = thread::spawn({
            let (token, trace) = (token.clone(), trace.clone());
            move || assert!(!token.is_cancelled() || trace.get() == 7)
        });
        trace.set(7);
        token.cancel_with(A);
        reader.join().unwrap();
    });
}
