//! Bodies that wait for tasks that wait behind them: answered in place of hanging.

use crate::handle::must_join;
use crate::manual::{HOUR, Manual, S, until};
use crate::support::must_recv;
use millhand::error::Deadlock;
use millhand::task::TaskState;
use millhand::{TaskError, TaskHandle, ThreadPool, blocking, promise, when_all};
use std::sync::mpsc::{self, Sender};

type Answer = Result<u32, TaskError>;

/// A body that joins what it is sent, and gives the answer.
fn joiner(pool: &ThreadPool, name: &'static str) -> (TaskHandle<Answer>, Sender<TaskHandle<u32>>) {
    let (send, comes) = mpsc::channel::<TaskHandle<u32>>();
    // Its seat is free until it joins.
    let body = move || blocking(|| must_recv(&comes)).join();
    (pool.task().name(name).submit(body), send)
}

fn names(answer: Answer) -> Vec<String> {
    let circle: Box<Deadlock> = match answer {
        Err(TaskError::WouldDeadlock(circle)) => circle,
        other => panic!("{other:?}"),
    };
    let names = circle
        .tasks()
        .map(|(_, name)| name.unwrap_or("-").to_owned());
    names.collect()
}

#[test]
fn a_body_that_joins_what_continues_it_is_answered() {
    let pool = ThreadPool::new(1).unwrap();
    let (body, send) = joiner(&pool, "body");
    let (tell, told) = mpsc::channel();
    let next = pool
        .task()
        .name("next")
        .submit_after([body], move |[answer]| {
            tell.send(names(answer.unwrap())).unwrap();
            1
        });
    send.send(next).unwrap();
    assert_eq!(must_recv(&told), ["body", "next"]);
}

#[test]
fn so_is_one_through_a_long_chain_and_through_chords() {
    let pool = ThreadPool::new(1).unwrap();
    let (body, send) = joiner(&pool, "body");
    let (tell, told) = mpsc::channel();
    let (kept, other) = promise::<u32>();
    let task = pool.task().name("chord");
    let mut last = task.submit_after((other, body), move |(_, answer)| {
        tell.send(names(answer.unwrap())).unwrap();
        1
    });
    for _ in 0..1_000 {
        last = last.map(|n| n);
    }
    // Each of forty is there in two ways: not to be looked at two to the forty times.
    let mut last = last.share();
    for _ in 0..40 {
        let both = [last.clone(), last.clone()].map(|last| last.map(|n| n));
        last = when_all(both).then(|_| 1).share();
    }
    send.send(last.map(|n| n)).unwrap();
    kept.complete(1).unwrap();
    let told_of = must_recv(&told);
    assert_eq!(&told_of[..1], ["body"]);
    assert_eq!(told_of.last().unwrap(), "chord");
    assert_eq!(told_of.len(), 1 + 1 + 2 * 40 + 1_000 + 1);
}

#[test]
fn two_bodies_that_join_what_continues_the_other_are_answered() {
    for workers in [1, 2] {
        let pools = [(); 2].map(|()| ThreadPool::new(workers).unwrap());
        let [(a, to_a), (b, to_b)] = [joiner(&pools[0], "a"), joiner(&pools[1], "b")];
        let (tell, told) = mpsc::channel();
        let go_on = |pool: &ThreadPool, name, handle: TaskHandle<Answer>| {
            let tell = tell.clone();
            pool.task()
                .name(name)
                .submit_after([handle], move |[answer]| {
                    tell.send(answer.unwrap()).unwrap();
                    1
                })
        };
        let after_a = go_on(&pools[0], "after a", a);
        let after_b = go_on(&pools[1], "after b", b);
        to_a.send(after_b).unwrap();
        to_b.send(after_a).unwrap();
        let answers = [must_recv(&told), must_recv(&told)];
        // One is answered, by which the other goes on.
        let (refused, fine): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_err);
        assert_eq!(
            fine.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
            [1]
        );
        let mut circle = names(refused.into_iter().next().unwrap());
        circle.sort_unstable();
        assert_eq!(circle, ["a", "after a", "after b", "b"]);
    }
}

#[test]
fn a_continuation_that_joins_who_waits_for_it_is_answered() {
    let pool = ThreadPool::new(1).unwrap();
    let (kept, above) = promise::<()>();
    let (body, send) = joiner(&pool, "body");
    let (send_body, comes) = mpsc::channel::<TaskHandle<Answer>>();
    let (tell, told) = mpsc::channel();
    let task = pool.task().name("next");
    let next = task.submit_after([above], move |_| {
        let body = blocking(|| must_recv(&comes));
        // Whichever of the two begins to wait last is answered, by which the other goes on.
        tell.send(body.join().and_then(|answer| answer)).unwrap();
        5
    });
    send.send(next).unwrap();
    send_body.send(body).unwrap();
    kept.complete(()).unwrap();
    let mut circle = names(must_recv(&told));
    circle.sort_unstable();
    assert_eq!(circle, ["body", "next"]);
}

#[test]
fn waits_that_can_end_are_let_alone() {
    let pool = ThreadPool::new(1).unwrap();
    // Behind another body that only takes its time.
    let (kept, late) = promise::<u32>();
    let slow = pool.submit(move || late.join().unwrap());
    let (body, send) = joiner(&pool, "body");
    send.send(slow.map(|n| n + 1)).unwrap();
    kept.complete(1).unwrap();
    assert_eq!(must_join(body).unwrap().unwrap(), 2);
}

#[test]
fn a_body_whose_time_ends_may_wait_for_what_goes_on_then() {
    let pool = Manual::new(1);
    let (send, comes) = mpsc::channel::<TaskHandle<u32>>();
    let (tell, told) = mpsc::channel();
    let (begin, begun) = mpsc::channel();
    let limited = pool.task().deadline(HOUR).submit(move || {
        begin.send(()).unwrap();
        let next = blocking(|| must_recv(&comes));
        tell.send(next.join()).unwrap();
    });
    must_recv(&begun);
    let next = limited.then(|outcome| u32::from(matches!(outcome, Err(TaskError::TimedOut))));
    let (_unkept, never) = promise::<()>();
    let state = pool.task().submit_after([never], |_| ());
    send.send(next).unwrap();
    pool.turn(HOUR - S);
    assert!(told.try_recv().is_err());
    pool.advance(S);
    // Its wait ends with its time. What it waits for may have come just then.
    let joined = must_recv(&told);
    assert!(
        matches!(joined, Ok(1) | Err(TaskError::Interrupted(_))),
        "{joined:?}"
    );
    assert_eq!(state.state(), TaskState::Waiting);
    until("it is over", || {
        state.cancel() != millhand::task::CancelOutcome::Requested
    });
}
