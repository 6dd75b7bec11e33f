//! Inner before outer: what a body submits runs before older tasks from outside, so a backlog of
//! tasks that wait for their children needs few threads, whatever they wait by.

// Shared with the soak, which runs each kind at full size.
#[path = "../../examples/soak/waits.rs"]
mod waits;

use crate::handle::must_join;
use crate::support::{LONG, must_recv};
use millhand::testing::ManualClock;
use millhand::{
    PoolHandle, RateLimiter, Semaphore, TaskError, TaskHandle, ThreadPool, as_completed, current,
    join_all, when_all,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;
use waits::{AWHILE, FEW, TREES, WAITS, Watched, backlog, sleeping_between, sum, whole_tree};

#[test]
fn a_backlog_of_tasks_that_wait_for_children_needs_few_threads_by_any_kind_of_wait() {
    for (kind, wait) in WAITS {
        let most = backlog(wait, 10_000, 256);
        assert!(most <= FEW, "{kind}: {most} threads");
    }
}

#[test]
fn it_does_so_at_the_smallest_bound_of_spares() {
    for (kind, wait) in WAITS {
        let most = backlog(wait, 300, 0);
        assert!(most <= FEW, "{kind}: {most} threads");
    }
}

#[test]
fn a_hundred_thousand_tasks_that_wait_for_children_need_few_threads() {
    let (_, join) = WAITS[0];
    let (_, as_completed) = WAITS[5];
    for wait in [join, as_completed] {
        let most = backlog(wait, 100_000, 256);
        assert!(most <= FEW, "{most} threads");
    }
}

#[test]
fn a_tree_of_tasks_that_wait_for_their_children_needs_few_threads() {
    // The soak test has each kind in full depth.
    for (kind, wait) in TREES {
        let (depth, nodes) = match kind {
            "join" | "as_completed" => (5, 111_111),
            _ => (4, 11_111),
        };
        for spares in [0, 256] {
            let (sum, most) = whole_tree(wait, depth, spares);
            if kind != "race" {
                assert_eq!(sum, nodes, "{kind}");
            }
            assert!(most <= FEW, "{kind}, {spares} spares: {most} threads");
        }
    }
}

/// Where a child waits for time or a gate, more tasks from outside begin meanwhile, up to the bound.
#[test]
fn tasks_whose_children_wait_for_time_or_a_gate_use_threads_up_to_the_bound_and_no_further() {
    const SPARES: usize = 6;
    let one_at_a_time = Semaphore::new(1).unwrap();
    let limiter = RateLimiter::token_bucket(2_000, Duration::from_secs(1)).burst(1);
    let limiter = limiter.build().unwrap();
    let pause = Duration::from_millis(1);
    let (pool, watched) = Watched::new(SPARES);
    let me = pool.handle();
    let children = [
        me.task().delay(pause),
        me.task().gate(&limiter),
        me.task().gate(&one_at_a_time),
    ];
    for child in children {
        let tasks = (0..200_u32).map(|n| {
            let (child, watched) = (child.clone(), watched.clone());
            pool.submit(move || {
                watched.look();
                let child = child.submit(move || n);
                let outcome = match n % 3 {
                    0 => child.join(),
                    1 => child.join_timeout(LONG).unwrap(),
                    _ => as_completed([child]).next().unwrap().1,
                };
                watched.look();
                outcome.unwrap()
            })
        });
        let tasks: Vec<_> = tasks.collect();
        for (n, task) in (0..).zip(tasks) {
            assert_eq!(must_join(task).unwrap(), n);
        }
    }
    // One more where no body runs and a child is ready.
    let most = watched.most();
    assert!(most <= 2 + SPARES + 1, "{most} threads");
}

#[test]
fn short_waits_do_not_start_and_end_a_thread_each() {
    let started = Arc::new(AtomicUsize::new(0));
    let counter = started.clone();
    let pool = ThreadPool::builder()
        .workers(2)
        .on_worker_start(move |_| {
            counter.fetch_add(1, SeqCst);
        })
        .build()
        .unwrap();
    let sleeps = (0..500).map(|_| pool.submit(|| millhand::sleep(AWHILE).unwrap()));
    for sleep in sleeps.collect::<Vec<_>>() {
        must_join(sleep).unwrap();
    }
    // And waits for a child each.
    let tasks = (0..3_000).map(|_| {
        pool.submit(|| {
            let pool = current().unwrap().pool();
            must_join(pool.submit(|| ())).unwrap();
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        must_join(task).unwrap();
    }
    let started = started.load(SeqCst);
    assert!(started <= 300, "{started} threads for 3,500 short waits");
}

/// What ran, in order.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<&'static str>>>);

impl Trace {
    fn note(&self, what: &'static str) -> impl FnOnce() + Send + 'static {
        let trace = self.0.clone();
        move || trace.lock().unwrap().push(what)
    }
}

#[test]
fn what_a_body_submits_runs_before_older_tasks_from_outside() {
    let pool = ThreadPool::new(1).unwrap();
    let trace = Trace::default();
    let (go, gone) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let inside = trace.clone();
    pool.execute(move || {
        begin.send(()).unwrap();
        let _ = gone.recv();
        let pool = current().unwrap().pool();
        pool.execute(inside.note("inner"));
        pool.task().priority(1).execute(inside.note("inner, above"));
    });
    must_recv(&begun);
    pool.execute(trace.note("outer"));
    pool.task().priority(9).execute(trace.note("outer, above"));
    drop(go);
    pool.wait_idle().unwrap();
    let ran = trace.0.lock().unwrap().clone();
    assert_eq!(ran, ["inner, above", "inner", "outer, above", "outer"]);
}

/// Something that goes on until it is told to stop.
#[derive(Clone)]
struct Endless(Arc<AtomicBool>);

impl Endless {
    /// A body that submits itself again and again.
    fn again(self) {
        if !self.0.load(SeqCst) {
            let pool = current().unwrap().pool();
            pool.execute(move || self.again());
            thread::yield_now();
        }
    }

    /// The same, from a body above which as many others wait.
    fn again_below(self, waiting: u32) {
        let pool = current().unwrap().pool();
        if waiting == 0 {
            for _ in 0..4 {
                let load = self.clone();
                pool.execute(move || load.again());
            }
            while !self.0.load(SeqCst) {
                millhand::sleep(AWHILE).unwrap();
            }
        } else {
            let below = pool.submit(move || self.again_below(waiting - 1));
            must_join(below).unwrap();
        }
    }
}

/// A task that waits for a child, which waits for a child, and so on.
fn chain(pool: &PoolHandle, length: u32) -> u32 {
    let below = pool.clone();
    match length {
        0 => 0,
        _ => 1 + must_join(pool.submit(move || chain(&below, length - 1))).unwrap(),
    }
}

#[test]
fn a_body_that_submits_itself_starves_nobody() {
    let pool = ThreadPool::new(1).unwrap();
    let load = Endless(Arc::default());
    let endless = load.clone();
    pool.execute(move || endless.again());
    let me = pool.handle();
    // From outside, and what its body submits in turn.
    let outer = pool.submit(move || chain(&me, 2));
    assert_eq!(must_join(outer).unwrap(), 2);
    load.0.store(true, SeqCst);
    pool.wait_idle().unwrap();
}

/// What has a turn before deeper tasks must end, or its turn is never another's: so what it submits
/// has its turn, too.
#[test]
fn an_endless_load_of_deep_tasks_starves_no_task_that_waits_for_children() {
    let pool = ThreadPool::new(1).unwrap();
    let load = Endless(Arc::default());
    let endless = load.clone();
    pool.execute(move || endless.again_below(5));
    let me = pool.handle();
    let outer = (0..20).map(|_| {
        let me = me.clone();
        pool.submit(move || chain(&me, 3))
    });
    for outer in outer.collect::<Vec<_>>() {
        assert_eq!(must_join(outer).unwrap(), 3);
    }
    load.0.store(true, SeqCst);
    pool.wait_idle().unwrap();
}

/// Its sleeps are short, and release the run slot to its children first.
#[test]
fn a_body_that_polls_for_a_task_from_outside_sees_it_finish() {
    let pool = ThreadPool::new(1).unwrap();
    let (begin, begun) = mpsc::channel::<TaskHandle<u64>>();
    let polls = pool.submit(move || sleeping_between(must_recv(&begun)));
    begin.send(pool.submit(|| 7)).unwrap();
    assert_eq!(must_join(polls).unwrap(), 7);
}

// At the bound of threads.

fn smallest() -> (ThreadPool, PoolHandle) {
    let pool = ThreadPool::builder().workers(1).max_threads(1);
    let pool = pool.build().unwrap();
    let me = pool.handle();
    (pool, me)
}

/// The gate has called a task from outside, which stands in the queue. A body waits for a child behind it at the same gate.
#[test]
fn a_child_behind_a_task_that_its_gate_had_called_stood_still_at_the_bound() {
    let waits: [fn(TaskHandle<u64>) -> u64; 5] = [
        |child| child.join().unwrap(),
        |child| child.join_timeout(LONG).unwrap().unwrap(),
        |child| as_completed([child]).next().unwrap().1.unwrap(),
        |child| sum(join_all([child]).into_iter().map(|o| o.unwrap())),
        sleeping_between,
    ];
    for wait in waits {
        let (pool, me) = smallest();
        let gate = Semaphore::new(1).unwrap();
        let held = gate.acquire().unwrap();
        let outer = pool.task().gate(&gate).submit(|| 1);
        let inside = gate.clone();
        let (begin, begun) = mpsc::channel();
        let waits = pool.submit(move || {
            let child = me.task().gate(&inside).submit(|| 2);
            begin.send(()).unwrap();
            wait(child)
        });
        must_recv(&begun);
        drop(held);
        assert_eq!(must_join(waits).unwrap(), 2);
        assert_eq!(must_join(outer).unwrap(), 1);
    }
}

#[test]
fn a_body_that_took_a_permit_by_hand_waited_for_one_that_a_queued_task_had_been_given() {
    let (pool, me) = smallest();
    let gate = Semaphore::new(1).unwrap();
    let held = gate.acquire().unwrap();
    let (go, gone) = mpsc::channel::<()>();
    let inside = gate.clone();
    let (begin, begun) = mpsc::channel();
    let outer = pool.task().gate(&gate).submit(|| 1);
    must_join(pool.submit(|| ())).unwrap();
    let by_hand = me.submit(move || {
        begin.send(()).unwrap();
        let _ = gone.recv();
        drop(inside.acquire().unwrap());
        2
    });
    must_recv(&begun);
    drop(held);
    drop(go);
    assert_eq!(must_join(by_hand).unwrap(), 2);
    assert_eq!(must_join(outer).unwrap(), 1);
}

#[test]
fn a_body_that_polls_for_a_task_from_outside_sees_it_finish_at_the_bound() {
    let (pool, _) = smallest();
    let (begin, begun) = mpsc::channel::<TaskHandle<u64>>();
    let polls = pool.submit(move || sleeping_between(must_recv(&begun)));
    begin.send(pool.submit(|| 7)).unwrap();
    assert_eq!(must_join(polls).unwrap(), 7);
}

/// A body that is not over though its time is may never end. It kept all threads at the bound from
/// tasks from outside: where it ran on, and where it waited for what the library does not know.
#[test]
fn a_hung_body_stopped_a_task_that_another_body_waits_for_at_the_bound() {
    let hangs: [fn(&mpsc::Receiver<()>); 2] = [
        |held| assert!(held.recv().is_err()),
        |held| millhand::blocking(|| assert!(held.recv().is_err())),
    ];
    let [runs, waits] = hangs;
    for (hang, is_first) in [(runs, false), (waits, false), (waits, true)] {
        let clock = ManualClock::new();
        let pool = ThreadPool::builder().workers(1).max_threads(2);
        let pool = pool.clock(&clock).build().unwrap();
        let (hold, held) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let begins = begin.clone();
        let hangs = pool.task().deadline(LONG).submit(move || {
            begins.send(()).unwrap();
            hang(&held);
        });
        must_recv(&begun);
        let time_ends = || {
            clock.advance(LONG);
            assert!(matches!(must_join(hangs), Err(TaskError::TimedOut)));
        };
        let (send, receive) = mpsc::channel::<TaskHandle<u64>>();
        let waits = pool.submit(move || {
            begin.send(()).unwrap();
            let outer = receive.recv().unwrap();
            as_completed([outer]).next().unwrap().1.unwrap()
        });
        if is_first {
            // A body that waits in `blocking` has released its run slot before its time is over.
            must_recv(&begun);
            send.send(pool.submit(|| 7)).unwrap();
            time_ends();
        } else {
            time_ends();
            must_recv(&begun);
            send.send(pool.submit(|| 7)).unwrap();
        }
        assert_eq!(must_join(waits).unwrap(), 7);
        drop(hold);
    }
}

#[test]
fn children_that_sleep_each_took_a_thread_beyond_the_bound() {
    let (pool, watched) = Watched::new(0);
    let inside = watched.clone();
    let parent = pool.submit(move || {
        let pool = current().unwrap().pool();
        let children = (0..100).map(|_| {
            let inside = inside.clone();
            pool.submit(move || {
                inside.look();
                millhand::sleep(Duration::from_millis(3)).unwrap();
                inside.look();
            })
        });
        join_all(children.collect::<Vec<_>>()).len()
    });
    assert_eq!(must_join(parent).unwrap(), 100);
    // One more than the bound, where no body ran.
    assert!(watched.most() <= 3, "{} threads", watched.most());
}

/// Tasks from outside and children of others share a limiter, whose line has the former first.
#[test]
fn children_that_share_a_limiter_with_tasks_from_outside_finish_at_the_bound() {
    let builder = ThreadPool::builder().workers(2).max_threads(8);
    let pool = builder.build().unwrap();
    let limiter = RateLimiter::token_bucket(2_000, Duration::from_secs(1)).burst(1);
    let limiter = limiter.burst(1).build().unwrap();
    let fetch = pool.task().gate(&limiter);
    let me = pool.handle();
    let mut all = Vec::new();
    for n in 0..100_u32 {
        let child = me.task().gate(&limiter);
        all.push(pool.submit(move || child.submit(move || n).join().unwrap()));
        all.push(fetch.submit(move || n));
    }
    for (n, task) in (0..).zip(all) {
        assert_eq!(must_join(task).unwrap(), n / 2);
    }
}

/// What waits for time behind something else was taken for what needs a thread beyond the bound.
#[test]
fn bodies_that_wait_for_time_behind_a_continuation_or_a_second_gate_took_a_thread_each() {
    let rate = RateLimiter::token_bucket(1_000, Duration::from_secs(1))
        .burst(1)
        .build()
        .unwrap();
    let one = Semaphore::new(1).unwrap();
    let millis = Duration::from_millis(1);
    type Wait = Arc<dyn Fn(&PoolHandle) + Send + Sync>;
    let waits: [Wait; 3] = [
        Arc::new(move |pool| {
            let delayed = pool.task().delay(millis).submit(|| 1);
            assert_eq!(delayed.then(|n| n.unwrap() + 1).join().unwrap(), 2);
        }),
        Arc::new(move |pool| {
            let delayed = [1, 2].map(|n| pool.task().delay(millis).submit(move || n));
            let all = when_all(delayed).then(|all| all.len());
            assert_eq!(all.join().unwrap(), 2);
        }),
        Arc::new(move |pool| {
            let gated = pool.task().gate(&one).gate(&rate).submit(|| 1);
            assert_eq!(gated.join().unwrap(), 1);
        }),
    ];
    for (n, wait) in waits.into_iter().enumerate() {
        let (pool, watched) = Watched::new(1);
        let outer = (0..100).map(|_| {
            let (inside, wait) = (watched.clone(), wait.clone());
            pool.submit(move || {
                inside.look();
                wait(&current().unwrap().pool());
            })
        });
        let outer: Vec<_> = outer.collect();
        outer
            .into_iter()
            .for_each(|outer| must_join(outer).unwrap());
        // The bound, and one more where no body runs.
        assert!(watched.most() <= 4, "{n}: {} threads", watched.most());
    }
}
