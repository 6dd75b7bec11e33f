//! Context variables: what is set where, who inherits it, when its values go.

use crate::handle::{keep_busy, must_join};
use crate::support::must_recv;
use millhand::limit::Lanes;
use millhand::task::Context;
use millhand::testing::ManualClock;
use millhand::{
    CancelToken, ContextVar, Every, Retry, Semaphore, TaskBuilder, TaskHandle, ThreadPool, current,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicIsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

static NUMBER: ContextVar<u32> = ContextVar::new(0);
static NAME: ContextVar<String> = ContextVar::new(String::new());

const HOUR: Duration = Duration::from_secs(3600);

fn seen() -> (u32, String) {
    (NUMBER.get(), NAME.get())
}

fn with_both<R>(number: u32, name: &str, f: impl FnOnce() -> R) -> R {
    NUMBER.with(number, || NAME.with(name.to_owned(), f))
}

#[test]
fn a_variable_is_its_default_where_it_is_not_set() {
    assert_eq!(seen(), (0, String::new()));
    NUMBER.with(1, || assert_eq!(seen(), (1, String::new())));
    thread::spawn(|| assert_eq!(seen(), (0, String::new())))
        .join()
        .unwrap();
}

#[test]
fn with_sets_it_back_on_return_and_on_a_panic() {
    with_both(1, "a", || {
        with_both(2, "b", || assert_eq!(seen(), (2, "b".to_owned())));
        assert_eq!(seen(), (1, "a".to_owned()));
        let end = catch_unwind(|| NUMBER.with(3, || panic!("in the middle of it")));
        assert!(end.is_err());
        assert_eq!(seen(), (1, "a".to_owned()));
    });
    assert_eq!(seen(), (0, String::new()));
}

#[test]
fn a_variable_of_a_function_s_own_is_told_from_all_others() {
    let first = ContextVar::new(1);
    let second = ContextVar::new(2);
    first.with(10, || {
        assert_eq!((first.get(), second.get()), (10, 2));
        second.with(20, || assert_eq!((first.get(), second.get()), (10, 20)));
        assert_eq!(ContextVar::new(1).get(), 1);
    });
    // A place in memory may be another variable's later.
    let own = |default| {
        (
            ContextVar::new(default).with(10, Context::capture),
            ContextVar::new(1),
        )
    };
    let (context, other) = own(3);
    context.run(|| assert_eq!(other.get(), 1));
}

type Submit = fn(&ThreadPool, &ManualClock) -> TaskHandle<(u32, String)>;

#[test]
fn a_task_inherits_from_where_it_was_submitted_however_it_comes_to_run() {
    let submitted: [(&str, Submit); 14] = [
        ("submit", |pool, _| pool.submit(seen)),
        ("try_submit", |pool, _| pool.try_submit(seen).unwrap()),
        ("submit_timeout", |pool, _| {
            pool.submit_timeout(HOUR, seen).unwrap()
        }),
        ("weak", |pool, _| pool.handle().submit(seen)),
        ("named", |pool, _| pool.task().name("it").submit(seen)),
        ("with a token", |pool, _| {
            pool.task().token(&CancelToken::new()).submit(seen)
        }),
        ("urgent", |pool, _| pool.task().priority(1).submit(seen)),
        ("delayed", |pool, _| pool.task().delay(HOUR).submit(seen)),
        ("expiring", |pool, _| pool.task().expires(HOUR).submit(seen)),
        ("limited", |pool, _| {
            let limited = pool.task().attempt_timeout(HOUR / 2).deadline(HOUR);
            limited.submit(seen)
        }),
        ("gated", |pool, _| {
            let gate = Semaphore::new(1).unwrap();
            pool.task().gate(&gate).submit(seen)
        }),
        ("keyed", |pool, _| {
            pool.task().gate(&Lanes::new().key(1)).submit(seen)
        }),
        ("fallible", |pool, _| {
            let parts = pool.task().fallible().submit(|| Ok::<_, &str>(seen()));
            let relay = pool.task().name("relay");
            Context::default().run(|| relay.submit(|| parts.join().unwrap().unwrap()))
        }),
        ("a task's task", |pool, _| {
            pool.submit(|| {
                let pool = current().unwrap().pool();
                let inner = pool.submit(|| current().unwrap().pool().submit(seen));
                inner.join().unwrap().join().unwrap()
            })
        }),
    ];
    let clock = ManualClock::new();
    let builder = ThreadPool::builder().workers(1).clock(&clock);
    let pool = builder.queue_capacity(100).build().unwrap();
    let busy = keep_busy(&pool);
    let handles: Vec<_> = (1..)
        .zip(submitted)
        .map(|(number, (how, submit))| {
            let handle = with_both(number, how, || submit(&pool, &clock));
            (number, how, handle)
        })
        .collect();
    drop(busy);
    // Twice: one may be due for the first time now and be limited from then on.
    clock.advance(HOUR / 4);
    pool.submit(|| ()).join().unwrap();
    clock.advance(HOUR);
    for (number, how, handle) in handles {
        assert_eq!(must_join(handle).unwrap(), (number, how.to_owned()));
    }
    assert_eq!(must_join(pool.submit(seen)).unwrap(), (0, String::new()));
}

#[test]
fn what_is_executed_or_broadcast_inherits_too() {
    let pool = ThreadPool::new(3).unwrap();
    let (tell, told) = mpsc::channel();
    NUMBER.with(1, || {
        let also = tell.clone();
        pool.execute(move || also.send(NUMBER.get()).unwrap());
        pool.try_execute(move || tell.send(NUMBER.get()).unwrap())
            .unwrap();
    });
    assert_eq!((must_recv(&told), must_recv(&told)), (1, 1));
    let handles = NUMBER.with(2, || pool.broadcast(|| NUMBER.get()).unwrap());
    for handle in handles {
        assert_eq!(must_join(handle).unwrap(), 2);
    }
}

#[test]
fn a_task_that_waits_at_a_gate_keeps_its_context() {
    let pool = ThreadPool::new(1).unwrap();
    let gate = Semaphore::new(1).unwrap();
    let permit = gate.acquire().unwrap();
    let task = pool.task().gate(&gate);
    let handles: Vec<_> = (1..=3)
        .map(|n| NUMBER.with(n, || task.submit(|| NUMBER.get())))
        .collect();
    drop(permit);
    let values: Vec<_> = handles.into_iter().map(|h| must_join(h).unwrap()).collect();
    assert_eq!(values, [1, 2, 3]);
}

#[test]
fn every_attempt_and_the_classifier_are_in_the_task_s_context() {
    let clock = ManualClock::new();
    let builder = ThreadPool::builder().workers(1).clock(&clock);
    let pool = builder.build().unwrap();
    let (tell, told) = mpsc::channel();
    let tell_too = Mutex::new(tell.clone());
    let task = pool
        .task()
        .retry(Retry::fixed(2, HOUR))
        .retry_if(move |_: &&str| {
            tell_too
                .lock()
                .unwrap()
                .send(("classifier", NUMBER.get()))
                .unwrap();
            true
        });
    let handle = NUMBER.with(7, || {
        task.submit(move || {
            tell.send(("attempt", NUMBER.get())).unwrap();
            // It is its own: the next attempt begins as this one did.
            NUMBER.with(8, || Err::<(), _>("no"))
        })
    });
    for _ in 0..2 {
        assert_eq!(must_recv(&told), ("attempt", 7));
        assert_eq!(must_recv(&told), ("classifier", 7));
        while !matches!(handle.state(), millhand::task::TaskState::Retrying { .. }) {
            thread::yield_now();
        }
        clock.advance(HOUR);
    }
    assert_eq!(must_recv(&told), ("attempt", 7));
    assert_eq!(must_join(handle).unwrap(), Err("no"));
}

#[test]
fn what_continues_a_task_inherits_from_where_that_was_asked_for() {
    let pool = ThreadPool::new(2).unwrap();
    let (promise, first) = millhand::promise();
    let first = first.share();
    let _named_pool = NUMBER.with(1, || {
        let number = |_| NUMBER.get();
        let then = pool.task().submit_after([first.clone()], number);
        let all = NUMBER.with(2, || pool.task().submit_after([first.clone()], number));
        (then.map(|n| (n, NUMBER.get())), all)
    });
    let outside = NUMBER.with(3, || {
        pool.task().submit_after([first.clone()], |_| NUMBER.get())
    });
    let outside = outside.map(|n| (n, NUMBER.get()));
    NUMBER.with(9, || promise.complete(()).unwrap());
    let (then, all) = _named_pool;
    assert_eq!(must_join(then).unwrap(), (1, 1));
    assert_eq!(must_join(all).unwrap(), 2);
    assert_eq!(must_join(outside).unwrap(), (3, 0));
}

#[test]
fn the_runs_of_a_schedule_inherit_from_where_it_was_started() {
    let clock = ManualClock::new();
    let builder = ThreadPool::builder().workers(1).clock(&clock);
    let pool = builder.build().unwrap();
    let (tell, told) = mpsc::channel();
    let hourly = || pool.task().every(Every::new(HOUR));
    let schedule = NUMBER.with(5, || {
        let body = move || tell.send(NUMBER.get()).unwrap();
        hourly().run(body).unwrap()
    });
    for _ in 0..3 {
        clock.advance(HOUR);
        assert_eq!(must_recv(&told), 5);
        // One that overlaps with another is skipped.
        pool.wait_idle().unwrap();
    }
    assert!(NUMBER.with(6, || schedule.trigger_now()));
    assert_eq!(must_recv(&told), 5);
}

#[test]
fn what_a_scope_or_a_map_submits_inherits_too() {
    let pool = ThreadPool::new(2).unwrap();
    NUMBER.with(4, || {
        let scoped = pool.scope(|s| s.submit(|| NUMBER.get()).join().unwrap());
        assert_eq!(scoped, 4);
        let mapped = pool.map(0..100, |_| NUMBER.get());
        assert_eq!(mapped, [4; 100]);
        let lazily = pool.map_iter(0..100, |_| NUMBER.get());
        assert!(lazily.into_iter().take(50).all(|n| n == 4));
    });
}

#[test]
fn siblings_do_not_see_what_one_of_them_sets() {
    let pool = ThreadPool::new(1).unwrap();
    let sibling = |set: u32| {
        pool.submit(move || {
            let before = NUMBER.get();
            let (inner, under) = NUMBER.with(set, || {
                let under = current().unwrap().pool().submit(|| NUMBER.get());
                (NUMBER.get(), under.join().unwrap())
            });
            (before, inner, under, NUMBER.get())
        })
    };
    let handles = NUMBER.with(1, || [2, 3, 4].map(sibling));
    for (set, handle) in (2..).zip(handles) {
        assert_eq!(must_join(handle).unwrap(), (1, set, set, 1));
    }
}

/// Says what a task sees that is submitted in `context` and runs on the stack of a body that has set the number to 1.
fn seen_on_the_stack_of_another(context: &Context) -> (u32, u32) {
    let pool = ThreadPool::new(1).unwrap();
    let (send, receive) = mpsc::channel::<TaskHandle<(u32, ThreadId)>>();
    let waiter = NUMBER.with(1, || {
        pool.submit(move || {
            let (inner, thread) = must_recv(&receive).join().unwrap();
            assert_eq!(thread, thread::current().id(), "it ran right here");
            (inner, NUMBER.get())
        })
    });
    let task = || pool.submit(|| (NUMBER.get(), thread::current().id()));
    send.send(context.run(task)).unwrap();
    must_join(waiter).unwrap()
}

#[test]
fn a_task_that_runs_on_a_waiter_s_stack_sees_its_own_context_or_none() {
    let other = NUMBER.with(2, Context::capture);
    assert_eq!(seen_on_the_stack_of_another(&other), (2, 1));
    assert_eq!(seen_on_the_stack_of_another(&Context::default()), (0, 1));
}

#[test]
fn a_callback_is_in_the_context_in_which_it_was_left() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let leave = |handle: &TaskHandle<()>| {
        let tell = tell.clone();
        handle.on_finish(move |_| tell.send(NUMBER.get()).unwrap());
    };
    let busy = keep_busy(&pool);
    let [runs, cancelled] = NUMBER.with(1, || [(); 2].map(|()| pool.submit(|| ())));
    for handle in [&runs, &cancelled] {
        leave(handle);
        NUMBER.with(2, || leave(handle));
    }
    NUMBER.with(3, || cancelled.cancel());
    assert_eq!((must_recv(&told), must_recv(&told)), (0, 2));
    drop(busy);
    assert_eq!((must_recv(&told), must_recv(&told)), (0, 2));
    // Called on the spot.
    runs.wait().unwrap();
    NUMBER.with(4, || leave(&runs));
    assert_eq!(must_recv(&told), 4);
}

#[test]
fn a_context_is_carried_to_a_thread() {
    let context = with_both(1, "a", Context::capture);
    let thread = thread::spawn({
        let context = context.clone();
        move || {
            NUMBER.with(2, || {
                let inside = context.run(|| (seen(), NUMBER.with(3, || NUMBER.get())));
                (inside, NUMBER.get())
            })
        }
    });
    assert_eq!(thread.join().unwrap(), (((1, "a".to_owned()), 3), 2));
    let end = catch_unwind(AssertUnwindSafe(|| context.run(|| panic!("in there"))));
    assert!(end.is_err());
    assert_eq!(NUMBER.get(), 0);
    NUMBER.with(9, || {
        let none = Context::default().run(|| NUMBER.get());
        assert_eq!((none, NUMBER.get()), (0, 9));
    });
    assert_eq!(format!("{context:?}"), "Context { variables: 2, .. }");
    assert_eq!(format!("{NUMBER:?}"), "ContextVar<u32>");
}

#[test]
fn a_template_submits_in_the_context_of_each_submission() {
    let pool = ThreadPool::new(1).unwrap();
    let task: TaskBuilder = NUMBER.with(1, || pool.task().name("many"));
    assert_eq!(must_join(task.submit(|| NUMBER.get())).unwrap(), 0);
    let handle = NUMBER.with(2, || task.submit(|| NUMBER.get()));
    assert_eq!(must_join(handle).unwrap(), 2);
}

/// A value that tells where it was dropped.
#[derive(Clone)]
struct Told(#[expect(dead_code, reason = "held for its drop")] Option<Arc<TellDrop>>);

struct TellDrop(Sender<(ThreadId, Option<String>)>);

impl Drop for TellDrop {
    fn drop(&mut self) {
        let here = thread::current();
        let _ = self.0.send((here.id(), here.name().map(String::from)));
    }
}

static TOLD: ContextVar<Told> = ContextVar::new(Told(None));

fn told() -> (Told, mpsc::Receiver<(ThreadId, Option<String>)>) {
    let (tell, told) = mpsc::channel();
    (Told(Some(Arc::new(TellDrop(tell)))), told)
}

#[test]
fn a_value_goes_when_the_last_task_that_has_it_has_retired_handles_or_not() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let (value, dropped) = told();
    let mut handles: Vec<_> = TOLD.with(value, || {
        let task = pool.task().name("one of many");
        (0..3).map(|_| task.submit(|| ())).collect()
    });
    handles[1].cancel();
    assert!(dropped.try_recv().is_err());
    drop(busy);
    let (thread, _) = must_recv(&dropped);
    let worker = pool.submit(|| thread::current().id()).join().unwrap();
    assert_eq!(thread, worker);
    handles.clear();
}

#[test]
fn the_value_of_a_task_that_is_never_run_goes_with_it_and_not_on_the_timer_s_thread() {
    let clock = ManualClock::new();
    let builder = ThreadPool::builder().workers(1).clock(&clock);
    let pool = builder.name_prefix("own").build().unwrap();
    let cases: [fn(&ThreadPool) -> TaskHandle<()>; 3] = [
        |pool| pool.task().delay(HOUR * 2).deadline(HOUR).submit(|| ()),
        |pool| {
            let gate = Semaphore::new(1).unwrap();
            let permit = gate.acquire().unwrap();
            let handle = pool.task().gate(&gate).expires(HOUR).submit(|| ());
            // Kept from its gate until it has expired.
            std::mem::forget(permit);
            handle
        },
        |pool| {
            let limited = pool.task().deadline(HOUR);
            limited.submit(|| assert!(millhand::sleep(HOUR * 100).is_err()))
        },
    ];
    for (n, submit) in cases.into_iter().enumerate() {
        let (value, dropped) = told();
        let handle = TOLD.with(value, || submit(&pool));
        while !handle.is_finished() {
            clock.advance(HOUR);
            thread::yield_now();
        }
        let (_, thread) = must_recv(&dropped);
        let thread = thread.unwrap();
        assert!(["own-0", "own-1"].contains(&&*thread), "case {n}: {thread}");
        drop(handle);
    }
    let (value, dropped) = told();
    let handle = TOLD.with(value, || pool.task().delay(HOUR).submit(|| ()));
    handle.cancel();
    assert_eq!(must_recv(&dropped).0, thread::current().id());
}

#[test]
fn a_refused_task_leaves_no_value_behind() {
    let pool = ThreadPool::new(1).unwrap();
    let weak = pool.handle();
    drop(pool);
    let (value, dropped) = told();
    let handle = TOLD.with(value, || weak.task().name("too late").submit(|| ()));
    assert_eq!(must_recv(&dropped).0, thread::current().id());
    assert!(must_join(handle).is_err());
}

struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("the drop of a value");
    }
}

#[test]
fn a_value_whose_drop_panics_harms_nobody() {
    static GRENADE: ContextVar<Option<Arc<Grenade>>> = ContextVar::new(None);
    let grenade = || Some(Arc::new(Grenade));
    assert_eq!(GRENADE.with(grenade(), || 7), 7);
    let end = catch_unwind(|| GRENADE.with(grenade(), || panic!("with a grenade in the hand")));
    let said = *end.unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(said, "with a grenade in the hand");
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let handle = GRENADE.with(grenade(), || pool.submit(|| 7));
    let cancelled = GRENADE.with(grenade(), || pool.submit(|| 7));
    cancelled.cancel();
    drop(busy);
    assert_eq!(must_join(handle).unwrap(), 7);
    assert_eq!(must_join(pool.submit(|| 8)).unwrap(), 8);
}

static ALIVE: AtomicIsize = AtomicIsize::new(0);

/// Counts how many of it there are.
struct Counted;

impl Counted {
    fn new() -> Self {
        ALIVE.fetch_add(1, SeqCst);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, SeqCst);
    }
}

#[test]
fn a_chain_of_tasks_that_each_set_a_variable_does_not_grow() {
    static COUNTED: ContextVar<Option<Arc<Counted>>> = ContextVar::new(None);
    fn next(left: u32, most: isize, end: Sender<isize>) {
        let most = most.max(ALIVE.load(SeqCst));
        if left == 0 {
            return end.send(most).unwrap();
        }
        COUNTED.with(Some(Arc::new(Counted::new())), || {
            let pool = current().unwrap().pool();
            pool.execute(move || next(left - 1, most, end));
        });
    }
    let pool = ThreadPool::new(1).unwrap();
    let (end, ended) = mpsc::channel();
    pool.execute(move || next(10_000, 0, end));
    assert!(must_recv(&ended) <= 2);
    drop(pool);
    assert_eq!(ALIVE.load(SeqCst), 0);
}

#[test]
fn many_threads_and_tasks_keep_their_contexts_apart() {
    fn down(left: u32) -> u32 {
        if left == 0 {
            return NUMBER.get();
        }
        let pool = current().unwrap().pool();
        let task = || pool.submit(move || down(left - 1));
        // Half of them with a value of their own beside it.
        if left % 2 == 0 {
            NAME.with("other".to_owned(), task).join().unwrap()
        } else {
            task().join().unwrap()
        }
    }
    let pool = &ThreadPool::new(3).unwrap();
    thread::scope(|s| {
        for n in 1..=4 {
            s.spawn(move || {
                let numbers = (0..50).map(|k| n * 100 + k);
                let submit = |number| NUMBER.with(number, || pool.submit(|| down(3)));
                let handles: Vec<_> = numbers.map(|n| (n, submit(n))).collect();
                for (number, handle) in handles {
                    assert_eq!(must_join(handle).unwrap(), number);
                }
            });
        }
    });
}

#[test]
fn a_token_s_hooks_and_a_worker_s_hooks_inherit_nothing() {
    let (tell, told) = mpsc::channel();
    let also = tell.clone();
    let pool = NUMBER.with(5, || {
        let builder = ThreadPool::builder().workers(1);
        let builder = builder.on_worker_start(move |_| tell.send(NUMBER.get()).unwrap());
        builder.build().unwrap()
    });
    assert_eq!(must_recv(&told), 0);
    let token = CancelToken::new();
    let _hook = NUMBER.with(5, || {
        token.on_cancel(move |_| also.send(NUMBER.get()).unwrap())
    });
    token.cancel();
    assert_eq!(must_recv(&told), 0);
    drop(pool);
}
