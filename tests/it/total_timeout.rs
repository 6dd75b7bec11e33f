//! `deadline` and `total_timeout`: the handle is settled on time whatever the body does, and a body that hangs costs the pool
//! nothing.

use crate::handle::{keep_busy, must_join};
use crate::lifecycle::Census;
use crate::manual::{Drops, HOUR, Hang, Manual, NS, S, due_of, hang, until};
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::error::WaitedFor;
use millhand::task::{CancelOutcome, TaskState};
use millhand::{Retry, Semaphore, TaskError, TaskHandle};
use std::sync::mpsc;
use std::time::Duration;

pub(crate) fn timed_out<T: std::fmt::Debug + 'static>(handle: TaskHandle<T>) {
    match must_join(handle) {
        Err(TaskError::TimedOut) => {}
        other => panic!("not timed out but {other:?}"),
    }
}

/// Its time was over before it began.
pub(crate) fn expired<T: std::fmt::Debug + 'static>(handle: TaskHandle<T>, waited: WaitedFor) {
    match must_join(handle) {
        Err(TaskError::Expired(w)) if w == waited => {}
        other => panic!("not expired for {waited} but {other:?}"),
    }
}

/// A task whose body has begun, and hangs.
pub(crate) fn hanging(pool: &Manual) -> (TaskHandle<()>, Hang) {
    let (body, hung) = hang();
    let handle = pool.task().name("deaf").deadline(S).submit(body);
    hung.started();
    (handle, hung)
}

/// Exactly so many bodies run at once, of as many as one likes.
pub(crate) fn runs_at_once(pool: &Manual, bodies: usize) {
    let (start, started) = mpsc::channel();
    let (mut goes, mut handles) = (Vec::new(), Vec::new());
    for _ in 0..bodies + 2 {
        let start = start.clone();
        let (go, wait) = mpsc::channel::<()>();
        goes.push(go);
        handles.push(pool.submit(move || {
            start.send(()).unwrap();
            let _ = wait.recv();
        }));
    }
    for _ in 0..bodies {
        must_recv(&started);
    }
    // What a pool says of its queue is about right: a look that is on its way may be in it for a moment.
    until("the others are queued", || pool.queued() == 2);
    assert!(started.try_recv().is_err());
    drop(goes);
    handles
        .into_iter()
        .for_each(|handle| must_join(handle).unwrap());
}

pub(crate) fn has_threads(pool: &Manual, threads: usize) {
    until("the threads are as many as they should be", || {
        pool.threads() == threads
    });
}

// On time, wherever the task is.

#[test]
fn a_queued_task_is_settled_on_time() {
    let pool = Manual::new(1);
    let busy = keep_busy(&pool);
    let drops = Drops::default();
    let one = drops.one();
    let handle = pool.task().deadline(S).submit(move || one.keep());
    let token = handle.token();
    pool.turn(S - NS);
    assert_eq!(handle.state(), TaskState::Queued);
    pool.turn(NS);
    assert_eq!(handle.state(), TaskState::Finished);
    assert_eq!(token.reason(), Some(CancelReason::Deadline));
    assert_eq!(drops.count(), 0, "that is a worker's");
    expired(handle, WaitedFor::Worker);
    drop(busy);
    pool.wait_idle().unwrap();
    assert_eq!(drops.count(), 1);
}

#[test]
fn it_is_counted_from_when_the_task_is_due() {
    let pool = Manual::new(1);
    let busy = keep_busy(&pool);
    let handle = pool.task().delay(HOUR).deadline(S).submit(|| ());
    pool.turn(HOUR);
    pool.turn(S - NS);
    assert_eq!(handle.state(), TaskState::Queued);
    pool.turn(NS);
    expired(handle, WaitedFor::Worker);
    drop(busy);
}

#[test]
fn a_task_in_a_gate_s_line_is_settled_on_time_and_leaves_it() {
    let pool = Manual::new(1);
    let semaphore = Semaphore::new(1).unwrap();
    let permit = semaphore.try_acquire().unwrap();
    let task = pool.task().gate(&semaphore);
    let (first, second) = (task.clone().deadline(S).submit(|| 1), task.submit(|| 2));
    until("both are in the line", || semaphore.waiting() == 2);
    assert_eq!(first.state(), TaskState::Gated);
    pool.turn(S);
    expired(first, WaitedFor::Gate);
    assert_eq!(semaphore.waiting(), 1);
    drop(permit);
    assert_eq!(must_join(second).unwrap(), 2);
}

#[test]
fn a_retrying_task_is_settled_on_time() {
    let pool = Manual::new(1);
    let drops = Drops::default();
    for (delay, total) in [(HOUR, 10 * S), (4 * S, 10 * S)] {
        let one = drops.one();
        let task = pool.task().deadline(total).retry(Retry::fixed(9, delay));
        let handle = task.submit(move || {
            one.keep();
            Err::<(), _>("no")
        });
        // Two attempts more fit in where the delay is short.
        for attempt in 2..=if delay < total { 4 } else { 2 } {
            due_of(&handle, attempt);
            if attempt < 4 && delay < total {
                pool.advance(delay);
            }
        }
        pool.turn(if delay < total { 2 * S } else { total } - NS);
        assert!(matches!(handle.state(), TaskState::Retrying { .. }));
        pool.turn(NS);
        assert!(handle.is_finished());
        timed_out(handle);
        pool.wait_idle().unwrap();
    }
    assert_eq!(drops.count(), 2);
}

// A body that hangs.

#[test]
fn a_hung_body_costs_the_pool_nothing() {
    for workers in [1, 3] {
        let census = Census::new();
        let pool = Manual::with(workers, |builder| census.watch(builder));
        let (handle, hung) = hanging(&pool);
        let queued = pool.submit(|| 7);
        pool.turn(S - NS);
        assert_eq!(handle.state(), TaskState::Running);
        pool.turn(NS);
        assert_eq!(handle.state(), TaskState::Finished);
        assert_eq!(handle.cancel(), CancelOutcome::AlreadyFinished);
        timed_out(handle);
        assert_eq!(must_join(queued).unwrap(), 7);
        runs_at_once(&pool, workers);
        assert_eq!(
            pool.wait_idle_timeout(Duration::ZERO),
            Ok(false),
            "the body still runs"
        );
        drop(hung);
        pool.wait_idle().unwrap();
        has_threads(&pool, workers);
        runs_at_once(&pool, workers);
        has_threads(&pool, workers);
        drop(pool);
        assert_eq!(census.live(), 0);
    }
}

#[test]
fn several_hung_bodies_at_once_cost_nothing_either() {
    let pool = Manual::new(2);
    for round in 1..=3 {
        let mut hung: Vec<_> = (0..2).map(|_| hanging(&pool)).collect();
        pool.turn(S);
        // Those that run now hang as well.
        hung.extend((0..2).map(|_| hanging(&pool)));
        pool.turn(S);
        let hung: Vec<Hang> = hung
            .into_iter()
            .map(|(handle, hang)| {
                timed_out(handle);
                hang
            })
            .collect();
        runs_at_once(&pool, 2);
        // One after the other, in either order, or all together.
        match round {
            1 => hung.into_iter().for_each(drop),
            2 => hung.into_iter().rev().for_each(|hang| {
                drop(hang);
                runs_at_once(&pool, 2);
            }),
            _ => drop(hung),
        }
        pool.wait_idle().unwrap();
        has_threads(&pool, 2);
        runs_at_once(&pool, 2);
    }
}

#[test]
fn at_the_bound_of_spares_the_pool_waits_for_a_body_to_return() {
    let pool = Manual::with(1, |builder| builder.max_threads(2));
    let (first, hung) = hanging(&pool);
    pool.turn(S);
    let (second, also) = hanging(&pool);
    pool.advance(S);
    timed_out(first);
    timed_out(second);
    let queued = pool.submit(|| 7);
    // One more has dropped what the timer left of the two tasks, and takes nothing from outside.
    has_threads(&pool, 2);
    assert!(!queued.is_finished());
    drop(also);
    assert_eq!(must_join(queued).unwrap(), 7);
    drop(hung);
    has_threads(&pool, 1);
}

#[test]
fn the_number_of_workers_may_change_while_a_body_hangs() {
    let pool = Manual::new(2);
    let (handle, hung) = hanging(&pool);
    pool.turn(S);
    timed_out(handle);
    for workers in [1, 4, 2] {
        pool.set_workers(workers).unwrap();
        runs_at_once(&pool, workers);
    }
    drop(hung);
    has_threads(&pool, 2);
    runs_at_once(&pool, 2);
}

#[test]
fn a_body_whose_time_is_over_when_it_begins_takes_no_seat_for_good() {
    // The two race: the system's clock, and limits about as long as the way to a worker.
    let pool = millhand::ThreadPool::new(1).unwrap();
    for round in 0..3000_u64 {
        let (body, hung) = hang();
        let limit = Duration::from_nanos(500 * (1 + round % 40));
        let handle = pool.task().deadline(limit).submit(body);
        // Before it began, or after that.
        assert!(must_join(handle).unwrap_err().is_timeout());
        assert_eq!(must_join(pool.submit(|| 7)).unwrap(), 7, "{limit:?}");
        drop(hung);
    }
    pool.wait_idle().unwrap();
    until("the spares are gone", || pool.threads() == 1);
}

// A body that waits inside the library when its time is over.

#[test]
fn a_body_that_waits_when_its_time_is_over_keeps_the_seats_right() {
    type Body = fn(mpsc::Receiver<TaskHandle<()>>, Semaphore);
    let bodies: [(&str, Body); 6] = [
        ("sleep", |_, _| assert!(millhand::sleep(HOUR).is_err())),
        ("token", |_, _| {
            millhand::current().unwrap().token().wait().unwrap();
        }),
        ("acquire", |_, semaphore| {
            assert!(semaphore.acquire().is_err());
        }),
        ("join", |handle, _| drop(must_recv(&handle).join())),
        ("timed join", |handle, _| {
            drop(must_recv(&handle).join_timeout(LONG));
        }),
        ("blocking", |handle, _| {
            millhand::blocking(|| while handle.recv().is_ok() {});
        }),
    ];
    for (what, body) in bodies {
        for workers in [1, 2] {
            let pool = Manual::new(workers);
            let (foreign, (awaited, other)) = (Manual::new(1), hang());
            let semaphore = Semaphore::new(1).unwrap();
            let permit = semaphore.try_acquire();
            let (tell, told) = mpsc::channel();
            let (give, take) = mpsc::channel();
            give.send(foreign.submit(awaited)).unwrap();
            let asks = semaphore.clone();
            let handle = pool.task().deadline(S).submit(move || {
                tell.send(()).unwrap();
                body(take, asks);
            });
            must_recv(&told);
            // It waits, or will before long: either way its seat goes once, and comes back once.
            pool.turn(S);
            timed_out(handle);
            runs_at_once(&pool, workers);
            drop((give, other, permit));
            pool.wait_idle().unwrap();
            has_threads(&pool, workers);
            runs_at_once(&pool, workers);
            has_threads(&pool, workers);
            assert_eq!(pool.workers(), workers, "{what}");
        }
    }
}

#[test]
fn a_body_goes_on_to_wait_after_its_time_is_over() {
    let pool = Manual::new(1);
    let (go, wait) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let handle = pool.task().deadline(S).submit(move || {
        tell.send(0).unwrap();
        let _ = wait.recv();
        let me = millhand::current().unwrap().pool();
        // It may submit. Its waits end at once; it has no seat to give up.
        me.execute(|| ());
        let (_kept, never) = millhand::promise::<()>();
        assert!(matches!(never.join(), Err(TaskError::Interrupted(_))));
        tell.send(1).unwrap();
        assert!(millhand::sleep(HOUR).is_err());
        millhand::blocking(|| tell.send(2).unwrap());
        millhand::checkpoint();
        unreachable!("its token is set");
    });
    assert_eq!(must_recv(&told), 0);
    pool.turn(S);
    timed_out(handle);
    drop(go);
    assert_eq!((must_recv(&told), must_recv(&told)), (1, 2));
    pool.wait_idle().unwrap();
    has_threads(&pool, 1);
    runs_at_once(&pool, 1);
    assert_eq!(pool.stats().unread, 0, "leaving at a checkpoint is none");
}

#[test]
fn a_body_on_another_one_s_stack_may_hang_and_the_whole_stack_loses_its_seat() {
    let pool = Manual::new(1);
    let (inner, hung) = hang();
    let outer = pool.task().deadline(S).submit(move || {
        let me = millhand::current().unwrap().pool();
        // The end of the scope runs it right here, on this stack.
        me.scope(|s| drop(s.submit(inner)));
    });
    hung.started();
    pool.turn(S);
    timed_out(outer);
    runs_at_once(&pool, 1);
    drop(hung);
    pool.wait_idle().unwrap();
    has_threads(&pool, 1);
    runs_at_once(&pool, 1);
}

#[test]
fn a_body_that_joins_one_that_hangs_goes_on_when_that_is_settled() {
    let pool = Manual::new(1);
    let (body, hung) = hang();
    let outer = pool.submit(move || {
        let me = millhand::current().unwrap().pool();
        matches!(
            me.task().deadline(S).submit(body).join(),
            Err(TaskError::TimedOut)
        )
    });
    hung.started();
    pool.advance(S);
    assert!(must_join(outer).unwrap());
    drop(hung);
    pool.wait_idle().unwrap();
    has_threads(&pool, 1);
}

#[test]
fn both_bodies_of_a_wait_may_time_out() {
    let pool = Manual::new(1);
    let ((inner, first), (mut rest, second)) = (hang(), hang());
    let outer = pool.task().deadline(2 * S).submit(move || {
        let me = millhand::current().unwrap().pool();
        assert!(me.task().deadline(S).submit(inner).join().is_err());
        rest();
    });
    first.started();
    pool.turn(S);
    second.started();
    pool.turn(S);
    timed_out(outer);
    runs_at_once(&pool, 1);
    drop((first, second));
    pool.wait_idle().unwrap();
    has_threads(&pool, 1);
    runs_at_once(&pool, 1);
}

// `total_timeout` counts from the start of the first attempt.

#[test]
fn what_a_task_waits_for_before_its_first_attempt_is_not_in_the_total() {
    let pool = Manual::new(1);
    let semaphore = Semaphore::new(1).unwrap();
    let (kept, above) = millhand::promise::<()>();
    let (busy, permit) = (keep_busy(&pool), semaphore.try_acquire().unwrap());
    let limited = || pool.task().total_timeout(S);
    let at = |handle: &TaskHandle<()>, state| {
        until("it waits", || handle.state() == state);
        pool.turn(HOUR);
        assert_eq!(handle.state(), state);
    };
    let is_limited = |handle: TaskHandle<()>, hung: Hang| {
        hung.started();
        pool.turn(S - NS);
        assert_eq!(handle.state(), TaskState::Running);
        pool.turn(NS);
        timed_out(handle);
        drop(hung);
        pool.wait_idle().unwrap();
    };

    let (body, hung) = hang();
    let handle = limited().submit(body);
    at(&handle, TaskState::Queued);
    drop(busy);
    is_limited(handle, hung);

    let (body, hung) = hang();
    let handle = limited().gate(&semaphore).submit(body);
    at(&handle, TaskState::Gated);
    drop(permit);
    is_limited(handle, hung);

    let (body, hung) = hang();
    let due = pool.now() + 2 * HOUR;
    let handle = limited().delay(2 * HOUR).submit(body);
    at(&handle, TaskState::Delayed { due });
    pool.turn(HOUR);
    is_limited(handle, hung);

    let (mut body, hung) = hang();
    let handle = limited().submit_after([above], move |_| body());
    at(&handle, TaskState::Waiting);
    kept.complete(()).unwrap();
    is_limited(handle, hung);
}

#[test]
fn the_total_spans_attempts_and_back_off() {
    let pool = Manual::new(1);
    let drops = Drops::default();
    let one = drops.one();
    let task = pool.task().total_timeout(10 * S);
    let task = task.retry(Retry::fixed(9, 4 * S));
    let handle = task.submit(move || {
        one.keep();
        Err::<(), _>("no")
    });
    for attempt in 2..=4 {
        due_of(&handle, attempt);
        pool.turn(if attempt < 4 { 4 * S } else { 2 * S - NS });
    }
    assert!(matches!(
        handle.state(),
        TaskState::Retrying { attempt: 4, .. }
    ));
    pool.turn(NS);
    assert_eq!(handle.token().reason(), Some(CancelReason::Deadline));
    timed_out(handle);
    pool.wait_idle().unwrap();
    assert_eq!(drops.count(), 1);

    // An attempt that runs is cut off, too.
    let (mut body, hung) = hang();
    let handle = task.submit(move || match millhand::attempt() {
        1 => Err("no"),
        _ => {
            body();
            Ok(())
        }
    });
    due_of(&handle, 2);
    pool.turn(4 * S);
    hung.started();
    pool.turn(6 * S - NS);
    assert_eq!(handle.state(), TaskState::Running);
    pool.turn(NS);
    timed_out(handle);
    drop(hung);
    pool.wait_idle().unwrap();
}

#[test]
fn the_total_spans_gates_and_the_queue_between_attempts() {
    let pool = Manual::new(1);
    let semaphore = Semaphore::new(1).unwrap();
    let failing = || {
        let task = pool.task().gate(&semaphore).total_timeout(10 * S);
        let task = task.retry(Retry::fixed(9, 4 * S));
        let handle = task.submit(|| Err::<(), _>("no"));
        due_of(&handle, 2);
        handle
    };
    let handle = failing();
    let permit = semaphore.try_acquire().unwrap();
    pool.turn(4 * S);
    until("it is in the line", || semaphore.waiting() == 1);
    pool.turn(6 * S - NS);
    assert_eq!(handle.state(), TaskState::Gated);
    pool.turn(NS);
    timed_out(handle);
    assert_eq!(semaphore.waiting(), 0);
    drop(permit);

    let handle = failing();
    let busy = keep_busy(&pool);
    pool.turn(4 * S);
    pool.turn(6 * S - NS);
    assert_eq!(handle.state(), TaskState::Queued);
    pool.turn(NS);
    timed_out(handle);
    drop(busy);
    pool.wait_idle().unwrap();
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn of_a_deadline_and_a_total_the_earlier_one_counts() {
    // The deadline, the total, the time in the queue, and when it ends.
    for (deadline, total, queued, end) in [
        (3, 1, 0, 1),
        (1, 3, 0, 1),
        (2, 2, 0, 2),
        (10, 2, 2, 4),
        (3, 2, 2, 3),
        (4, 2, 2, 4),
    ] {
        let pool = Manual::new(1);
        let busy = keep_busy(&pool);
        let (mut body, hung) = hang();
        let (tell, told) = mpsc::channel();
        let task = pool.task().deadline(deadline * S).total_timeout(total * S);
        let handle = task.submit(move || {
            let left = millhand::current().unwrap().remaining();
            tell.send(left).unwrap();
            body();
        });
        if queued > 0 {
            pool.turn(queued * S);
        }
        drop(busy);
        hung.started();
        assert_eq!(must_recv(&told), Some((end - queued) * S));
        pool.turn((end - queued) * S - NS);
        assert_eq!(handle.state(), TaskState::Running);
        pool.turn(NS);
        assert_eq!(handle.state(), TaskState::Finished);
        timed_out(handle);
        drop(hung);
        pool.wait_idle().unwrap();
    }
    // Before it begins only the deadline runs.
    let pool = Manual::new(1);
    let busy = keep_busy(&pool);
    let handle = pool.task().deadline(2 * S).total_timeout(S).submit(|| ());
    pool.turn(2 * S - NS);
    assert_eq!(handle.state(), TaskState::Queued);
    pool.turn(NS);
    expired(handle, WaitedFor::Worker);
    drop(busy);
}

#[test]
fn a_task_that_ends_within_its_total_is_left_alone() {
    let pool = Manual::new(1);
    let task = pool.task().total_timeout(S);
    let (one, two) = (task.submit(|| 1), task.clone().deadline(HOUR).submit(|| 2));
    let again = task.retry(Retry::fixed(1, S - NS));
    let again = again.submit(|| match millhand::attempt() {
        1 => Err("no"),
        _ => Ok(3),
    });
    assert_eq!(must_join(one).unwrap() + must_join(two).unwrap(), 3);
    due_of(&again, 2);
    pool.advance(S - NS);
    assert_eq!(must_join(again).unwrap(), Ok(3));
    pool.advance(2 * HOUR);
    let report = pool.shut_down(millhand::Shutdown::drain(), || (), NS);
    assert_eq!((report.succeeded(), report.timed_out()), (3, 0));
}
