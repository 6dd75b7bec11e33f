//! Bodies that wait: what they free, what they run meanwhile, and which waits are answered in place of hanging.

use crate::handle::{keep_busy, must_join};
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::error::Deadlock;
use millhand::task::CancelOutcome;
use millhand::{
    CancelToken, PoolHandle, SharedHandle, Shutdown, TaskError, TaskHandle, ThreadPool, blocking,
    current, promise,
};
use std::cell::RefCell;
use std::collections::HashSet;
use std::hint::black_box;
use std::mem;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

/// A pool that a failed test does not wait for: its tasks may hang, and the failure is to be told.
struct Guarded(Option<ThreadPool>);

fn guarded(pool: ThreadPool) -> Guarded {
    Guarded(Some(pool))
}

fn pool_of(workers: usize) -> Guarded {
    guarded(ThreadPool::new(workers).unwrap())
}

impl Deref for Guarded {
    type Target = ThreadPool;

    fn deref(&self) -> &ThreadPool {
        self.0.as_ref().expect("it is taken by the drop alone")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if thread::panicking() {
            mem::forget(self.0.take());
        }
    }
}

/// A task that joins whatever handle it is sent, and tells what came of that.
struct Joiner {
    name: &'static str,
    handle: TaskHandle<()>,
    to_join: Sender<TaskHandle<()>>,
}

impl Joiner {
    fn on(pool: &ThreadPool, name: &'static str, answers: &Sender<Answer>) -> Self {
        let (to_join, comes) = mpsc::channel();
        let answers = answers.clone();
        let body = move || {
            // Its seat is free until it joins, so that a pool of one gets to all of them.
            let handle: TaskHandle<()> = blocking(|| must_recv(&comes));
            answers.send((name, handle.join())).unwrap();
        };
        Self {
            name,
            handle: pool.task().name(name).submit(body),
            to_join,
        }
    }
}

/// Who joined, and what came of it.
type Answer = (&'static str, Result<(), TaskError>);

/// Lets each join the next and the last the first: one is answered, and by that all others end. Gives the circle.
fn close(joiners: Vec<Joiner>, answers: &Receiver<Answer>) -> Box<Deadlock> {
    let (mut handles, doors): (Vec<_>, Vec<_>) = joiners
        .into_iter()
        .map(|joiner| ((joiner.name, joiner.handle), joiner.to_join))
        .unzip();
    handles.rotate_left(1);
    let ids: HashSet<_> = handles
        .iter()
        .map(|(name, handle)| (handle.id(), *name))
        .collect();
    for (door, (_, handle)) in doors.iter().zip(handles) {
        door.send(handle).unwrap();
    }
    let mut errors: Vec<_> = (0..ids.len())
        .filter_map(|_| must_recv(answers).1.err())
        .collect();
    assert_eq!(
        errors.len(),
        1,
        "one is answered and the others end: {errors:?}"
    );
    let circle = deadlock(errors.remove(0));
    let named: HashSet<_> = circle
        .tasks()
        .map(|(id, name)| (id, name.unwrap()))
        .collect();
    assert!(named.is_subset(&ids), "{named:?}");
    assert_eq!(named.len(), circle.tasks().count(), "each is named once");
    circle
}

/// Whether `names` go round the circle from wherever it was closed.
fn goes_round(circle: &Deadlock, names: &[&str]) -> bool {
    let found: Vec<_> = circle
        .tasks()
        .map(|(_, name)| name.unwrap_or("-"))
        .collect();
    (0..names.len()).any(|n| [&names[n..], &names[..n]].concat() == found)
}

fn deadlock(error: TaskError) -> Box<Deadlock> {
    match error {
        TaskError::WouldDeadlock(deadlock) => deadlock,
        other => panic!("not a deadlock but: {other}"),
    }
}

// Depth.

fn nest(depth: u32) -> u32 {
    if depth == 0 {
        return 0;
    }
    let pool = current().unwrap().pool();
    pool.submit(move || nest(depth - 1)).join().unwrap() + 1
}

fn nest_with_frames(depth: u32) -> Result<u32, TaskError> {
    let frame = black_box([depth as u8; 4096]);
    if depth == 0 {
        return Ok(0);
    }
    let pool = current().unwrap().pool();
    let below = pool.submit(move || nest_with_frames(depth - 1)).join()??;
    // Looked at afterwards, so that it stays on the stack meanwhile.
    assert!(black_box(&frame).iter().all(|byte| *byte == depth as u8));
    Ok(below + 1)
}

#[test]
fn one_worker_gets_through_submit_and_join_a_thousand_deep() {
    let pool = pool_of(1);
    assert_eq!(must_join(pool.submit(|| nest(1000))).unwrap(), 1000);
}

#[test]
fn two_workers_get_through_submit_and_join_a_thousand_deep() {
    let pool = pool_of(2);
    assert_eq!(must_join(pool.submit(|| nest(1000))).unwrap(), 1000);
}

#[test]
fn one_worker_gets_a_thousand_deep_with_frames_of_four_kilobytes() {
    let pool = pool_of(1);
    let depth = must_join(pool.submit(|| nest_with_frames(1000))).unwrap();
    assert_eq!(depth.unwrap(), 1000);
}

#[test]
fn two_workers_get_a_thousand_deep_with_frames_of_four_kilobytes() {
    let pool = pool_of(2);
    let depth = must_join(pool.submit(|| nest_with_frames(1000))).unwrap();
    assert_eq!(depth.unwrap(), 1000);
}

#[test]
fn several_deep_chains_at_once_end() {
    let pool = pool_of(2);
    let chains: Vec<_> = (0..4)
        .map(|_| pool.submit(|| nest_with_frames(300)))
        .collect();
    for chain in chains {
        assert_eq!(must_join(chain).unwrap().unwrap(), 300);
    }
}

// Siblings.

#[test]
fn one_worker_gets_through_a_task_that_waits_for_its_elder_sibling_in_the_queue() {
    let pool = pool_of(1);
    let parent = pool.submit(|| {
        let pool = current().unwrap().pool();
        let elder = pool.submit(|| 20);
        let younger = pool.submit(move || elder.join().unwrap() + 1);
        younger.join().unwrap() * 2
    });
    assert_eq!(must_join(parent).unwrap(), 42);
}

#[test]
fn one_worker_gets_through_a_task_that_waits_for_its_elder_sibling_that_runs() {
    let pool = pool_of(1);
    let (go_on, gone_on) = mpsc::channel();
    let parent = pool.submit(move || {
        let pool = current().unwrap().pool();
        let elder = pool.submit(move || blocking(|| must_recv(&gone_on)));
        let (tell, told) = mpsc::channel();
        // It runs once the elder, which runs here first, waits.
        let younger = pool.submit(move || {
            tell.send(()).unwrap();
            elder.join().unwrap() + 1
        });
        blocking(|| must_recv(&told));
        go_on.send(20).unwrap();
        younger.join().unwrap() * 2
    });
    assert_eq!(must_join(parent).unwrap(), 42);
}

#[test]
fn a_task_that_waits_for_its_elder_sibling_that_keeps_its_seat_is_woken() {
    let pool = pool_of(2);
    let (go_on, gone_on) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let elder = pool.submit(move || {
        tell.send(()).unwrap();
        must_recv(&gone_on)
    });
    must_recv(&told);
    let younger = pool.submit(move || elder.join().unwrap() + 1);
    // Runs when the younger's seat is free: the younger waits.
    must_join(pool.submit(|| ())).unwrap();
    go_on.send(20).unwrap();
    assert_eq!(must_join(younger).unwrap(), 21);
}

// Circles.

#[test]
fn two_tasks_that_join_each_other_are_answered() {
    let pool = pool_of(2);
    let (answers, answered) = mpsc::channel();
    let left = Joiner::on(&pool, "left", &answers);
    let right = Joiner::on(&pool, "right", &answers);
    let says = |joiner: &Joiner| {
        let (id, site) = (joiner.handle.id(), joiner.handle.site());
        let name = joiner.handle.name().unwrap();
        (id, format!("{id} `{name}` (submitted at {site})"))
    };
    let (left_says, right_says) = (says(&left), says(&right));
    let circle = close(vec![left, right], &answered);
    assert!(goes_round(&circle, &["left", "right"]), "{circle}");
    let (a, b) = match circle.tasks().next() {
        Some((id, _)) if id == left_says.0 => (left_says.1, right_says.1),
        _ => (right_says.1, left_says.1),
    };
    let said = format!(
        "waiting would deadlock: task {a}, which waits for task {b}, which waits for the first"
    );
    assert_eq!(TaskError::WouldDeadlock(circle).to_string(), said);
    // The pool is whole again.
    assert_eq!(must_join(pool.submit(|| nest(10))).unwrap(), 10);
}

#[test]
fn two_tasks_of_one_worker_that_join_each_other_are_answered() {
    let pool = pool_of(1);
    let (answers, answered) = mpsc::channel();
    let joiners = ["left", "right"].map(|name| Joiner::on(&pool, name, &answers));
    let circle = close(joiners.into(), &answered);
    assert!(goes_round(&circle, &["left", "right"]), "{circle}");
}

#[test]
fn a_task_that_joins_itself_is_answered() {
    let pool = pool_of(1);
    let (answers, answered) = mpsc::channel();
    let narcissus = Joiner::on(&pool, "narcissus", &answers);
    let (id, site) = (narcissus.handle.id(), narcissus.handle.site());
    let circle = close(vec![narcissus], &answered);
    assert_eq!(
        circle.to_string(),
        format!(
            "waiting would deadlock: task {id} `narcissus` (submitted at {site}) waits for itself"
        )
    );
}

#[test]
fn a_circle_of_three_is_answered() {
    let pool = pool_of(3);
    let (answers, answered) = mpsc::channel();
    let names = ["rock", "paper", "scissors"];
    let joiners = names.map(|name| Joiner::on(&pool, name, &answers));
    let circle = close(joiners.into(), &answered);
    assert!(goes_round(&circle, &names), "{circle}");
}

#[test]
fn a_circle_across_two_pools_is_answered() {
    let (here, there) = (pool_of(1), pool_of(1));
    let (answers, answered) = mpsc::channel();
    let joiners = vec![
        Joiner::on(&here, "here", &answers),
        Joiner::on(&there, "there", &answers),
        Joiner::on(&here, "here too", &answers),
    ];
    let circle = close(joiners, &answered);
    assert!(
        goes_round(&circle, &["here", "there", "here too"]),
        "{circle}"
    );
}

#[test]
fn a_circle_through_a_task_that_runs_on_its_waiter_s_stack_is_answered() {
    // `outer` joins the queued `inner` and so runs it on its own stack; `inner` joins `other`, which joins `outer`.
    for other_waits_first in [false, true] {
        let (here, there) = (pool_of(1), pool_of(1));
        let (answers, answered) = mpsc::channel();
        let other = Joiner::on(&there, "other", &answers);
        let (start, started) = mpsc::channel::<()>();
        let (its_turn, other_s_turn) = (other.to_join.clone(), other.handle);
        let outer = here.task().name("outer").submit(move || {
            blocking(|| must_recv(&started));
            let pool = current().unwrap().pool();
            let inner = pool.task().name("inner").submit(move || {
                answers.send(("inner", other_s_turn.join())).unwrap();
            });
            inner.join().unwrap();
        });
        // A task behind the one that waits runs only when the seat is free: the wait has begun.
        let waits = |pool: &ThreadPool| must_join(pool.submit(|| ())).unwrap();
        if other_waits_first {
            its_turn.send(outer).unwrap();
            waits(&there);
            start.send(()).unwrap();
        } else {
            start.send(()).unwrap();
            waits(&here);
            its_turn.send(outer).unwrap();
        }
        let mut errors: Vec<_> = (0..2)
            .filter_map(|_| must_recv(&answered).1.err())
            .collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        let circle = deadlock(errors.remove(0));
        assert!(
            goes_round(&circle, &["outer", "inner", "other"]),
            "other waits first: {other_waits_first}: {circle}"
        );
    }
}

#[test]
fn a_task_run_on_its_waiter_s_stack_that_joins_its_waiter_is_answered() {
    let pool = pool_of(1);
    let (send, comes) = mpsc::channel::<TaskHandle<()>>();
    let (answer, answered) = mpsc::channel();
    let outer = pool.task().name("outer").submit(move || {
        let me = blocking(|| must_recv(&comes));
        let pool = current().unwrap().pool();
        let inner = pool
            .task()
            .name("inner")
            .submit(move || answer.send(me.join()).unwrap());
        inner.join().unwrap();
    });
    send.send(outer).unwrap();
    let circle = deadlock(must_recv(&answered).unwrap_err());
    assert!(goes_round(&circle, &["outer", "inner"]), "{circle}");
}

#[test]
fn every_way_to_wait_for_ever_is_answered_and_a_timed_one_ends_by_itself() {
    let pool = pool_of(1);
    let (send, comes) = mpsc::channel::<SharedHandle<()>>();
    let (tell, told) = mpsc::channel();
    let task = pool.submit(move || {
        let me = blocking(|| must_recv(&comes));
        assert!(!me.wait_timeout(Duration::from_millis(1)).unwrap());
        assert!(me.join_timeout(Duration::from_millis(1)).is_none());
        tell.send(me.wait().unwrap_err().to_string()).unwrap();
        let refused = me.join().as_ref().unwrap_err();
        tell.send(refused.to_string()).unwrap();
        // The wait's answer is not the task's outcome.
        assert!(me.try_join().is_none());
    });
    let (id, site) = (task.id(), task.site());
    let shared = task.share();
    send.send(shared.clone()).unwrap();
    for _ in 0..2 {
        assert_eq!(
            must_recv(&told),
            format!("waiting would deadlock: task {id} (submitted at {site}) waits for itself")
        );
    }
    assert!(shared.join_timeout(LONG).unwrap().is_ok());
}

#[test]
fn a_clone_that_was_answered_shows_the_outcome_once_it_is_there() {
    let pool = pool_of(1);
    let (send, comes) = mpsc::channel::<SharedHandle<()>>();
    let (give_back, given_back) = mpsc::channel();
    let task = pool.submit(move || {
        let me = blocking(|| must_recv(&comes));
        assert!(matches!(me.join(), Err(TaskError::WouldDeadlock(_))));
        give_back.send(me).unwrap();
    });
    send.send(task.share()).unwrap();
    let me = must_recv(&given_back);
    me.wait().unwrap();
    assert!(me.join().is_ok());
}

#[test]
fn a_wait_that_is_no_circle_is_not_answered_as_one() {
    // A lozenge: two wait for one, and one waits for both.
    let pool = pool_of(4);
    let (start, started) = mpsc::channel();
    let bottom = pool.submit(move || must_recv(&started)).share();
    let sides: Vec<_> = (0..2)
        .map(|_| {
            let bottom = bottom.clone();
            pool.submit(move || *bottom.join().as_ref().unwrap())
        })
        .collect();
    let top = pool.submit(move || {
        let sum: i32 = sides.into_iter().map(|side| side.join().unwrap()).sum();
        sum
    });
    start.send(21).unwrap();
    assert_eq!(must_join(top).unwrap(), 42);
}

// Seats.

/// A pool of one, whose stop hook tells.
fn one_worker_that_tells_of_leaving() -> (Guarded, Receiver<usize>) {
    let (tell, told) = mpsc::channel();
    let pool = guarded(
        ThreadPool::builder()
            .workers(1)
            .on_worker_stop(move |index| tell.send(index).unwrap())
            .build()
            .unwrap(),
    );
    (pool, told)
}

/// Waits, by the stop hook, until all spares have left: how many come and go on the way is not determined.
fn spares_leave(pool: &ThreadPool, stopped: &Receiver<usize>) {
    // A thread is counted out before its hook tells.
    while pool.threads() > pool.workers() {
        must_recv(stopped);
    }
    assert_eq!(pool.threads(), pool.workers());
}

#[test]
fn four_workers_that_all_wait_for_a_fifth_task_let_it_run() {
    for timed in [false, true] {
        let pool = pool_of(4);
        let (tell, told) = mpsc::channel();
        let (waiters, doors): (Vec<_>, Vec<_>) = (0..4)
            .map(|_| {
                let (send, comes) = mpsc::channel::<SharedHandle<u32>>();
                let tell = tell.clone();
                let waiter = pool.submit(move || {
                    tell.send(()).unwrap();
                    let fifth = must_recv(&comes);
                    let outcome = match timed {
                        true => fifth.join_timeout(LONG).expect("it must run"),
                        false => fifth.join(),
                    };
                    *outcome.as_ref().unwrap()
                });
                (waiter, send)
            })
            .unzip();
        (0..4).for_each(|_| must_recv(&told));
        let fifth = pool.submit(|| 5).share();
        doors
            .iter()
            .for_each(|door| door.send(fifth.clone()).unwrap());
        for waiter in waiters {
            assert_eq!(must_join(waiter).unwrap(), 5);
        }
    }
}

#[test]
fn a_body_inside_blocking_frees_its_seat_and_the_spare_leaves_afterwards() {
    let (pool, left) = one_worker_that_tells_of_leaving();
    let (send, comes) = mpsc::channel();
    let waiting = pool.submit(move || blocking(|| must_recv(&comes)));
    // The only worker is taken: a spare runs this.
    must_join(pool.submit(move || send.send(5).unwrap())).unwrap();
    assert_eq!(must_join(waiting).unwrap(), 5);
    spares_leave(&pool, &left);
    assert_eq!(pool.workers(), 1);
    assert_eq!(must_join(pool.submit(|| 6)).unwrap(), 6);
}

#[test]
fn the_spare_leaves_while_the_woken_body_goes_on() {
    let (pool, left) = one_worker_that_tells_of_leaving();
    let (send, comes) = mpsc::channel();
    let (go_on, gone_on) = mpsc::channel();
    let waiting = pool.submit(move || {
        blocking(|| must_recv(&comes));
        // Seated again, and in no hurry to reach its end.
        must_recv(&gone_on);
    });
    must_join(pool.submit(|| ())).unwrap();
    // The spare has nothing to do by now: it is told to look, and leaves.
    send.send(()).unwrap();
    must_recv(&left);
    assert_eq!(pool.threads(), 1);
    go_on.send(()).unwrap();
    must_join(waiting).unwrap();
}

#[test]
fn a_sleeping_body_frees_its_seat() {
    let (pool, left) = one_worker_that_tells_of_leaving();
    let sleeping = pool.submit(|| millhand::sleep(LONG));
    // Runs only if the sleeper's seat is free.
    assert_eq!(must_join(pool.submit(|| 5)).unwrap(), 5);
    assert_eq!(sleeping.cancel(), CancelOutcome::Requested);
    let stopped = must_join(sleeping).unwrap().unwrap_err();
    assert_eq!(stopped.reason(), CancelReason::User);
    spares_leave(&pool, &left);
}

#[test]
fn a_body_that_waits_for_a_token_frees_its_seat() {
    let (pool, left) = one_worker_that_tells_of_leaving();
    for timed in [false, true] {
        let token = CancelToken::new();
        let awaited = token.clone();
        let waiting = pool.submit(move || match timed {
            true => assert!(awaited.wait_timeout(LONG).unwrap()),
            false => awaited.wait().unwrap(),
        });
        must_join(pool.submit(move || token.cancel())).unwrap();
        must_join(waiting).unwrap();
        spares_leave(&pool, &left);
    }
}

#[test]
fn a_body_that_waits_for_a_place_in_a_queue_frees_its_seat() {
    let pool = pool_of(1);
    let narrow = guarded(
        ThreadPool::builder()
            .workers(1)
            .queue_capacity(1)
            .build()
            .unwrap(),
    );
    let busy = keep_busy(&narrow);
    narrow.execute(|| ());
    let door = narrow.handle();
    let (tell, told) = mpsc::channel();
    let waiting = pool.submit(move || {
        tell.send(()).unwrap();
        must_join(door.submit(|| 5)).unwrap()
    });
    must_recv(&told);
    must_join(pool.submit(move || drop(busy))).unwrap();
    assert_eq!(must_join(waiting).unwrap(), 5);
}

#[test]
fn a_body_that_waits_for_another_pool_to_be_idle_frees_its_seat() {
    let pool = pool_of(1);
    let other = Arc::new(ThreadPool::new(1).unwrap());
    let busy = keep_busy(&other);
    let awaited = other.clone();
    let (tell, told) = mpsc::channel();
    let waiting = pool.submit(move || {
        tell.send(()).unwrap();
        awaited.wait_idle().unwrap();
    });
    must_recv(&told);
    must_join(pool.submit(move || drop(busy))).unwrap();
    must_join(waiting).unwrap();
    // It is dropped here, and not by the last task that holds it.
    assert!(!other.is_closed());
}

#[test]
fn a_body_took_its_run_slot_back_while_the_shutdown_of_another_pool_waited_on() {
    for _ in 0..20 {
        let pool = pool_of(1);
        let other = Arc::new(ThreadPool::new(1).unwrap());
        let (ask, asked) = mpsc::channel();
        let (hold, held) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let busy = move || {
            begin.send(()).unwrap();
            let _hook = current()
                .unwrap()
                .token()
                .on_cancel(move |_| ask.send(()).unwrap());
            assert!(held.recv().is_err());
        };
        other.execute(busy);
        must_recv(&begun);
        let (drains, cancels) = (other.clone(), other.clone());
        let drains = pool.submit(move || drains.shutdown(Shutdown::drain()).unwrap());
        must_join(pool.submit(|| ())).unwrap();
        // This wakes the wait of the body, which then begins another one.
        let cancels = thread::spawn(move || cancels.shutdown(Shutdown::cancel()).unwrap());
        must_recv(&asked);
        must_join(pool.submit(move || drop(hold))).unwrap();
        must_join(drains).unwrap();
        cancels.join().unwrap();
        assert!(other.is_closed());
    }
}

#[test]
fn a_body_had_its_run_slot_while_a_shutdown_joined_the_threads_of_another_pool() {
    /// Waits for a task, in the destructor of a thread-local.
    struct Waits(PoolHandle);
    impl Drop for Waits {
        fn drop(&mut self) {
            must_join(self.0.submit(|| ())).unwrap();
        }
    }
    thread_local!(static WAITS: RefCell<Option<Waits>> = const { RefCell::new(None) });
    let pool = pool_of(1);
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let stops = move |_| assert!(gone.lock().unwrap().recv().is_err());
    let other = ThreadPool::builder().workers(1).on_worker_stop(stops);
    let other = other.build().unwrap();
    let me = pool.handle();
    must_join(other.submit(|| WAITS.set(Some(Waits(me))))).unwrap();
    let (begin, begun) = mpsc::channel();
    let shuts = pool.submit(move || {
        begin.send(()).unwrap();
        other.shutdown(Shutdown::drain()).unwrap();
    });
    must_recv(&begun);
    // The body waits for the threads of the other pool.
    must_join(pool.submit(|| ())).unwrap();
    drop(go);
    must_join(shuts).unwrap();
}

#[test]
fn waits_within_blocking_free_one_seat_and_give_one_back() {
    let (pool, left) = one_worker_that_tells_of_leaving();
    let nested = pool.submit(move || {
        let pool = current().unwrap().pool();
        let inner = blocking(|| {
            millhand::sleep(Duration::from_millis(1)).unwrap();
            blocking(|| pool.submit(|| 20).join().unwrap())
        });
        // The spare that ran it leaves.
        must_recv(&left);
        // Seated again: a queued task is run right here.
        let here = thread::current().id();
        let there = pool.submit(|| thread::current().id()).join().unwrap();
        (inner, here == there)
    });
    assert_eq!(must_join(nested).unwrap(), (20, true));
    assert_eq!(pool.threads(), pool.workers());
}

#[test]
fn a_panic_inside_blocking_takes_the_seat_back() {
    let (pool, left) = one_worker_that_tells_of_leaving();
    let (send, comes) = mpsc::channel();
    let panicking = pool.submit(move || {
        blocking(|| {
            must_recv(&comes);
            panic!("while waiting");
        })
    });
    must_join(pool.submit(move || send.send(()).unwrap())).unwrap();
    assert!(matches!(must_join(panicking), Err(TaskError::Panicked(_))));
    spares_leave(&pool, &left);
    assert_eq!(must_join(pool.submit(|| nest(10))).unwrap(), 10);
}

#[test]
fn blocking_on_a_thread_that_is_no_worker_just_runs() {
    assert_eq!(blocking(|| blocking(|| 5)), 5);
}

// Bounds.

fn one_worker_without_spares() -> Guarded {
    guarded(
        ThreadPool::builder()
            .workers(1)
            .max_threads(1)
            .build()
            .unwrap(),
    )
}

#[test]
fn a_wait_at_the_bound_of_spares_gets_a_thread_for_what_it_waits_for() {
    // Too deep to be run on the waiter's stack.
    let pool = one_worker_without_spares();
    let nested = must_join(pool.submit(|| nest_with_frames(1000)));
    assert_eq!(nested.unwrap().unwrap(), 1000);
    pool.wait_idle().unwrap();
    assert_eq!(must_join(pool.submit(|| nest(10))).unwrap(), 10);
}

#[test]
fn a_wait_within_blocking_at_the_bound_of_spares_that_could_never_end_is_answered() {
    let pool = guarded(
        ThreadPool::builder()
            .workers(1)
            .max_threads(1)
            .build()
            .unwrap(),
    );
    let (tell, told) = mpsc::channel();
    let waiting = pool.submit(move || {
        let part = current().unwrap().pool().submit(|| 5);
        tell.send(part.token()).unwrap();
        blocking(|| part.join())
    });
    let part = must_recv(&told);
    let outcome = waiting.join_timeout(LONG);
    if outcome.is_err() {
        // So that the pool can be dropped.
        part.cancel();
    }
    let outcome = outcome.expect("it must be answered");
    // Answered, or run right there: but not hung.
    match outcome.unwrap() {
        Ok(5) | Err(TaskError::WouldDeadlock(_)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn there_are_never_more_spares_than_may_be() {
    let (live, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (up, peak, down) = (live.clone(), most.clone(), live);
    let (tell_stop, stopped) = mpsc::channel();
    let pool = guarded(
        ThreadPool::builder()
            .workers(1)
            .max_threads(3)
            .on_worker_start(move |_| {
                peak.fetch_max(up.fetch_add(1, SeqCst) + 1, SeqCst);
            })
            .on_worker_stop(move |index| {
                down.fetch_sub(1, SeqCst);
                tell_stop.send(index).unwrap();
            })
            .build()
            .unwrap(),
    );
    let (tell, told) = mpsc::channel();
    let (doors, waiters): (Vec<_>, Vec<_>) = (0..6)
        .map(|n| {
            let tell = tell.clone();
            let (send, comes) = mpsc::channel::<()>();
            let waiter = pool.submit(move || {
                tell.send(n).unwrap();
                blocking(|| must_recv(&comes));
            });
            (send, waiter)
        })
        .unzip();
    // Three bodies wait; three more are queued, and no thread may come for them.
    let first: HashSet<usize> = (0..3).map(|_| must_recv(&told)).collect();
    assert_eq!(first, HashSet::from([0, 1, 2]));
    assert_eq!(pool.threads(), 3);
    assert!(told.try_recv().is_err());
    // Each that ends makes room for one.
    for (n, door) in doors.iter().enumerate() {
        door.send(()).unwrap();
        if n < 3 {
            assert_eq!(must_recv(&told), n + 3);
        }
    }
    for waiter in waiters {
        must_join(waiter).unwrap();
    }
    spares_leave(&pool, &stopped);
    assert_eq!(most.load(SeqCst), 3);
}

#[test]
fn a_timed_wait_at_the_bound_gets_a_thread_or_ends_by_itself() {
    let pool = one_worker_without_spares();
    let body = pool.submit(|| {
        let part = current().unwrap().pool().submit(|| 5);
        let (_promise, never) = promise::<()>();
        drop(never.join_timeout(Duration::from_millis(1)).unwrap_err());
        part.join_timeout(LONG).unwrap().unwrap()
    });
    assert_eq!(must_join(body).unwrap(), 5);
}

// On the waiter's stack.

fn thread_of_a_part(
    join: impl FnOnce(TaskHandle<thread::ThreadId>) -> thread::ThreadId + Send + 'static,
) -> (bool, bool) {
    let pool = pool_of(1);
    let body = pool.submit(move || {
        let part = current().unwrap().pool().submit(|| thread::current().id());
        (thread::current().id(), join(part))
    });
    let (here, there) = must_join(body).unwrap();
    (here == there, pool.threads() >= 1)
}

#[test]
fn a_join_of_a_queued_task_runs_it_on_the_waiter_s_thread() {
    assert!(thread_of_a_part(|part| part.join().unwrap()).0);
}

#[test]
fn a_timed_wait_and_one_that_borrows_run_nothing_on_the_waiter_s_thread() {
    assert!(!thread_of_a_part(|part| must_join(part).unwrap()).0);
    let borrows: [fn(&TaskHandle<_>); 2] = [
        |part| assert!(part.wait_timeout(LONG).unwrap()),
        |part| part.wait().unwrap(),
    ];
    for borrow in borrows {
        let part = move |part| {
            borrow(&part);
            part.join().unwrap()
        };
        assert!(!thread_of_a_part(part).0);
    }
    assert!(!thread_of_a_part(|part| *part.share().join().as_ref().unwrap()).0);
}

#[test]
fn a_wait_for_a_queued_task_of_another_pool_runs_nothing_here() {
    let (pool, other) = (pool_of(1), pool_of(1));
    let busy = keep_busy(&other);
    let part = other.submit(|| thread::current().id());
    let (tell, told) = mpsc::channel();
    let waiting = pool.submit(move || {
        tell.send(()).unwrap();
        (thread::current().id(), part.join().unwrap())
    });
    must_recv(&told);
    must_join(pool.submit(|| ())).unwrap();
    drop(busy);
    let (here, there) = must_join(waiting).unwrap();
    assert_ne!(here, there);
}

#[test]
fn a_waiter_runs_the_task_it_waits_for_and_no_stranger() {
    let pool = pool_of(1);
    let (tell, told) = mpsc::channel();
    let body = pool.submit(move || {
        let pool = current().unwrap().pool();
        let stranger = pool.submit(move || tell.send(thread::current().id()).unwrap());
        let part = pool.submit(|| ());
        part.join().unwrap();
        // First in the queue, and still there.
        assert!(stranger.try_join().is_err());
    });
    must_join(body).unwrap();
    must_recv(&told);
}

#[test]
fn what_runs_on_the_waiter_s_stack_settles_like_any_other() {
    let pool = pool_of(1);
    let body = pool.submit(|| {
        let pool = current().unwrap().pool();
        assert!(matches!(
            pool.submit(|| panic!("within")).join(),
            Err(TaskError::Panicked(_))
        ));
        let stopped = pool.submit(|| {
            current().unwrap().token().cancel_with(CancelReason::Race);
            millhand::checkpoint();
        });
        assert!(matches!(
            stopped.join(),
            Err(TaskError::Cancelled(CancelReason::Race))
        ));
        let told = pool.submit(|| 5);
        let (tell, heard) = mpsc::channel();
        told.on_finish(move |summary| tell.send(summary.id).unwrap());
        let id = told.id();
        assert_eq!(told.join().unwrap(), 5);
        assert_eq!(heard.try_recv(), Ok(id));
        assert!(millhand::check().is_ok(), "none of this is the waiter's");
    });
    must_join(body).unwrap();
    pool.wait_idle().unwrap();
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!(
        (report.succeeded(), report.panicked(), report.cancelled()),
        (2, 1, 1)
    );
}

// Callbacks.

#[test]
fn a_callback_on_a_worker_may_submit_and_join() {
    let pool = pool_of(1);
    let busy = keep_busy(&pool);
    let door = pool.handle();
    let (tell, told) = mpsc::channel();
    let handle = pool.submit(|| 5);
    handle.on_finish(move |_| {
        assert!(current().is_none(), "its task is over");
        tell.send(door.submit(|| nest(3)).join().unwrap()).unwrap();
    });
    drop(busy);
    assert_eq!(must_recv(&told), 3);
    assert_eq!(must_join(handle).unwrap(), 5);
}

#[test]
fn a_callback_on_a_worker_may_wait_for_what_another_thread_settles() {
    let (pool, left) = one_worker_that_tells_of_leaving();
    let busy = keep_busy(&pool);
    let (promise, kept) = promise();
    let handle = pool.submit(|| ());
    let (tell, told) = mpsc::channel();
    handle.on_finish(move |_| tell.send(kept.join().unwrap()).unwrap());
    drop(busy);
    // The callback's thread frees its seat like any body's.
    must_join(pool.submit(move || promise.complete(7).unwrap())).unwrap();
    assert_eq!(must_recv(&told), 7);
    spares_leave(&pool, &left);
}

#[test]
fn a_callback_that_joins_the_body_whose_stack_it_is_on_is_answered() {
    let pool = pool_of(1);
    let (send, comes) = mpsc::channel::<TaskHandle<()>>();
    let (tell, told) = mpsc::channel();
    let outer = pool.submit(move || {
        let me = blocking(|| must_recv(&comes));
        let part = current().unwrap().pool().submit(|| ());
        part.on_finish(move |_| tell.send(me.join()).unwrap());
        part.join().unwrap();
    });
    send.send(outer).unwrap();
    deadlock(must_recv(&told).unwrap_err());
}

// Between pools.

#[test]
fn tasks_of_two_pools_that_join_each_other_s_get_through_under_load() {
    let pools = [pool_of(1), pool_of(2)];
    let doors = [pools[0].handle(), pools[1].handle()];
    let handles: Vec<_> = (0..60)
        .map(|n| {
            let (near, far) = (doors[n % 2].clone(), doors[1 - n % 2].clone());
            pools[n % 2].submit(move || {
                let there = far.submit(move || {
                    let back = near.submit(move || n);
                    back.join().unwrap() + 1
                });
                there.join().unwrap() + 1
            })
        })
        .collect();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(must_join(handle).unwrap(), n + 2);
    }
}

#[test]
fn a_bundle_of_tasks_that_wait_for_each_other_in_a_line_ends() {
    // Each waits for the one before it, which another thread runs or which is still queued.
    let pool = pool_of(2);
    let start = Arc::new(Barrier::new(2));
    let gate = start.clone();
    let mut last = pool.submit(move || {
        gate.wait();
        0
    });
    for _ in 0..200 {
        last = pool.submit(move || last.join().unwrap() + 1);
    }
    start.wait();
    assert_eq!(must_join(last).unwrap(), 200);
}
