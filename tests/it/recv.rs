//! `recv`: messages of crossbeam's channels, for a body that hears that it is to stop.

use crate::handle::must_join;
use crate::support::must_recv;
use crossbeam_channel::{Receiver, bounded, unbounded};
use millhand::cancel::{CancelReason, RecvError};
use millhand::{ScopeOptions, ThreadPool, current, recv};
use std::sync::mpsc;
use std::thread;

fn is_stopped<T>(received: Result<T, RecvError>, why: CancelReason) -> bool {
    matches!(received, Err(RecvError::Stopped(stopped)) if stopped.reason() == why)
}

#[test]
fn messages_come_in_order_and_then_the_end() {
    let (sender, receiver) = unbounded();
    (0..3).for_each(|n| sender.send(n).unwrap());
    drop(sender);
    let all = move || [(); 4].map(|()| recv(&receiver));
    let expected = [Ok(0), Ok(1), Ok(2), Err(RecvError::Disconnected)];
    let pool = ThreadPool::new(1).unwrap();
    assert_eq!(pool.submit(all.clone()).join().unwrap(), expected);
    let ended = [Err(RecvError::Disconnected); 4];
    assert_eq!(all(), ended, "on a thread that is no worker");
}

#[test]
fn the_run_slot_is_free_while_it_waits() {
    for capacity in [0, 1] {
        let pool = ThreadPool::new(1).unwrap();
        let (sender, receiver) = bounded(capacity);
        let waits = pool.submit(move || recv(&receiver));
        let sends = pool.submit(move || millhand::blocking(|| sender.send(7).unwrap()));
        assert_eq!(must_join(waits).unwrap(), Ok(7));
        must_join(sends).unwrap();
    }
}

#[test]
fn a_thread_that_is_no_worker_waits_for_a_message_and_for_the_end() {
    let (sender, receiver) = bounded(0);
    let sends = thread::spawn(move || sender.send(7).unwrap());
    assert_eq!(recv(&receiver), Ok(7));
    sends.join().unwrap();
    assert_eq!(recv(&receiver), Err(RecvError::Disconnected));
}

#[test]
fn a_sender_that_does_not_wait_did_not_meet_a_body_at_a_channel_without_room() {
    let pool = ThreadPool::new(1).unwrap();
    let (sender, receiver) = bounded(0);
    let waits = pool.submit(move || recv(&receiver));
    while sender.try_send(7).is_err() {
        assert!(!waits.is_finished());
        thread::yield_now();
    }
    assert_eq!(must_join(waits).unwrap(), Ok(7));
}

#[test]
fn a_body_that_was_asked_to_stop_takes_what_is_there() {
    let pool = ThreadPool::new(1).unwrap();
    let (sender, receiver) = unbounded();
    let body = pool.submit(move || {
        current().unwrap().token().cancel();
        sender.send(7).unwrap();
        let first = recv(&receiver);
        (first, is_stopped(recv(&receiver), CancelReason::User))
    });
    assert_eq!(must_join(body).unwrap(), (Ok(7), true));
}

#[test]
fn the_closure_of_a_scope_leaves_it_when_the_scope_fails() {
    let pool = ThreadPool::new(1).unwrap();
    let failed = pool.scope_with(ScopeOptions::fail_fast(), |s| {
        let (_sender, receiver) = unbounded::<()>();
        s.submit(|| Err::<(), _>("no"));
        assert!(is_stopped(recv(&receiver), CancelReason::Scope));
    });
    failed.unwrap_err();
}

/// The message comes before, while or after the body is asked to stop.
#[test]
fn no_message_is_taken_and_lost() {
    let pool = ThreadPool::new(1).unwrap();
    for capacity in [Some(1), None] {
        for _ in 0..500 {
            let (sender, receiver): (_, Receiver<u32>) = match capacity {
                Some(capacity) => bounded(capacity),
                None => unbounded(),
            };
            let ours = receiver.clone();
            let (begin, begun) = mpsc::channel();
            let waits = pool.submit(move || {
                begin.send(()).unwrap();
                recv(&ours)
            });
            must_recv(&begun);
            let sends = thread::spawn(move || sender.send(7).unwrap());
            waits.cancel();
            let received = must_join(waits).unwrap();
            sends.join().unwrap();
            let left = receiver.try_recv();
            match received {
                Ok(7) => assert!(left.is_err()),
                received => {
                    assert!(is_stopped(received, CancelReason::User));
                    assert_eq!(left, Ok(7));
                }
            }
        }
    }
}
