//! Deadlines that nobody waits for: they come by themselves.

use crate::support::must_recv;
use millhand::cancel::CancelReason;
use millhand::error::WaitedFor;
use millhand::task::OutcomeKind;
use millhand::{CancelToken, TaskError, ThreadPool};
use std::sync::mpsc;
use std::time::Duration;

const SOON: Duration = Duration::from_millis(1);

#[test]
fn a_hook_runs_when_the_deadline_comes_though_nobody_looks() {
    let (tell, told) = mpsc::channel();
    let token = CancelToken::with_timeout(SOON);
    let _guard = token.on_cancel(move |reason| tell.send(reason).unwrap());
    assert_eq!(must_recv(&told), CancelReason::Deadline);
    assert_eq!(token.reason(), Some(CancelReason::Deadline));
}

#[test]
fn a_queued_task_is_settled_at_the_deadline_while_the_only_worker_is_busy() {
    let pool = ThreadPool::new(1).unwrap();
    let (release, held) = mpsc::channel::<()>();
    let busy = pool.submit(move || held.recv().is_ok());
    let task = pool.task().token(&CancelToken::with_timeout(SOON));
    let (tell, told) = mpsc::channel();
    let queued = task.submit(|| ());
    queued.on_finish(move |summary| tell.send(summary.outcome).unwrap());
    assert!(matches!(
        queued.join(),
        Err(TaskError::Expired(WaitedFor::Worker))
    ));
    assert_eq!(must_recv(&told), OutcomeKind::Expired);
    release.send(()).unwrap();
    assert!(busy.join().unwrap());
}

#[test]
fn a_child_hears_of_its_parents_deadline_and_of_an_earlier_one_of_its_own() {
    let far = CancelToken::with_timeout(Duration::from_secs(3600));
    let near = CancelToken::with_timeout(SOON);
    for child in [far.child_with_timeout(SOON), near.child()] {
        let (tell, told) = mpsc::channel();
        let _guard = child.on_cancel(move |reason| tell.send(reason).unwrap());
        assert_eq!(must_recv(&told), CancelReason::Deadline);
    }
    assert!(!far.is_cancelled());
}

#[test]
fn a_hook_that_hangs_does_not_stop_the_clock_for_others() {
    let (release, held) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let stuck = CancelToken::with_timeout(SOON);
    let (stuck_tell, stuck_told) = mpsc::channel();
    let _stuck = stuck.on_cancel(move |_| {
        stuck_tell.send(()).unwrap();
        let _ = held.recv();
    });
    must_recv(&stuck_told);
    let other = CancelToken::with_timeout(SOON);
    let _other = other.on_cancel(move |_| tell.send(()).unwrap());
    must_recv(&told);
    drop(release);
}

#[test]
fn what_was_dropped_before_its_deadline_does_not_ring_and_the_rest_does() {
    let (tell, told) = mpsc::channel();
    let hook = |n: u32| {
        let tell = tell.clone();
        move |_| tell.send(n).unwrap()
    };
    let tokens = [3, 1, 2].map(|n| (n, CancelToken::with_timeout(n * Duration::from_millis(20))));
    let guards = tokens
        .each_ref()
        .map(|(n, token)| token.on_cancel(hook(*n)));
    // Far more than a sweep's worth of tokens that are gone before their time.
    for n in 0..1000 {
        let gone = CancelToken::with_timeout(Duration::from_millis(5));
        drop(gone.on_cancel(hook(100 + n)));
    }
    drop(tell);
    let rung = [must_recv(&told), must_recv(&told), must_recv(&told)];
    assert!(rung.iter().all(|n| *n <= 3), "{rung:?}");
    drop(guards);
}
