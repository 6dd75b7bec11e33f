//! Inner before outer: what a body submits runs before older tasks from outside, so a backlog of
//! tasks that wait for their children needs few threads, whatever they wait by.

use crate::handle::must_join;
use crate::support::{LONG, must_recv};
use millhand::{
    PoolRef, Retry, TaskHandle, ThreadPool, as_completed, current, join_all, race, wait_any,
};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::thread;
use std::time::Duration;

/// What a body does to wait for two children, and their sum.
type Wait = fn(&PoolRef, u64) -> u64;

const AWHILE: Duration = Duration::from_millis(1);

fn children(pool: &PoolRef, n: u64) -> [TaskHandle<u64>; 2] {
    [n, n + 1].map(|n| pool.submit(move || n))
}

fn sum(results: impl IntoIterator<Item = u64>) -> u64 {
    results.into_iter().sum()
}

/// Waits until the task is finished by many short waits.
fn in_a_loop(mut handle: TaskHandle<u64>) -> u64 {
    loop {
        match handle.join_timeout(AWHILE) {
            Ok(outcome) => return outcome.unwrap(),
            Err(unfinished) => handle = unfinished,
        }
    }
}

fn sleeping_between(handle: TaskHandle<u64>) -> u64 {
    while !handle.is_finished() {
        millhand::sleep(AWHILE).unwrap();
    }
    handle.join().unwrap()
}

const WAITS: [(&str, Wait); 14] = [
    ("join", |pool, n| {
        sum(children(pool, n).map(|c| c.join().unwrap()))
    }),
    ("join_timeout", |pool, n| {
        sum(children(pool, n).map(|c| c.join_timeout(LONG).unwrap().unwrap()))
    }),
    ("join_timeout in a loop", |pool, n| {
        sum(children(pool, n).map(in_a_loop))
    }),
    ("is_finished", |pool, n| {
        sum(children(pool, n).map(sleeping_between))
    }),
    ("join_all", |pool, n| {
        sum(join_all(children(pool, n)).map(|outcome| outcome.unwrap()))
    }),
    ("as_completed", |pool, n| {
        sum(as_completed(children(pool, n)).map(|(_, outcome)| outcome.unwrap()))
    }),
    ("race", |pool, n| {
        let won = race(children(pool, n)).unwrap();
        assert!(won == n || won == n + 1);
        2 * n + 1
    }),
    ("wait_any", |pool, n| {
        let children = children(pool, n);
        wait_any(&children);
        sum(children.map(|c| c.join().unwrap()))
    }),
    ("scope", |pool, n| {
        let (a, b) = (n, n + 1);
        pool.scope(|s| {
            let children = [&a, &b].map(|n| s.task().priority(-1).submit(move || *n));
            sum(children.map(|c| c.join().unwrap()))
        })
    }),
    ("pipeline", |pool, n| {
        sum(pool
            .pipeline([n, n + 1])
            .stage(1, |n| n)
            .into_iter()
            .map(|r| r.unwrap()))
    }),
    ("priorities", |pool, n| {
        let of = |priority: i32, n| pool.task().priority(priority).submit(move || n);
        sum([of(-1, n), of(1, n + 1)].map(|c| c.join().unwrap()))
    }),
    ("name and token", |pool, n| {
        let token = millhand::CancelToken::new();
        let tasks = pool.task().name("child").token(&token);
        sum([n, n + 1].map(|n| tasks.submit(move || n).join_timeout(LONG).unwrap().unwrap()))
    }),
    ("time limit", |pool, n| {
        let tasks = pool.task().total_timeout(LONG);
        sum([n, n + 1].map(|n| tasks.submit(move || n).join().unwrap()))
    }),
    ("retry that succeeds", |pool, n| {
        let tasks = pool.task().retry::<()>(Retry::fixed(1, Duration::ZERO));
        sum([n, n + 1].map(|n| {
            let mut attempts = 0;
            let child = tasks.submit(move || {
                attempts += 1;
                if attempts == 2 { Ok(n) } else { Err(()) }
            });
            child.join().unwrap().unwrap()
        }))
    }),
];

/// A pool of two workers, and the most threads that it had when a body looked.
#[derive(Clone)]
struct Watched {
    pool: Weak<ThreadPool>,
    most: Arc<AtomicUsize>,
}

impl Watched {
    fn new(max_spares: usize) -> (Arc<ThreadPool>, Self) {
        let builder = ThreadPool::builder().workers(2).max_spares(max_spares);
        let pool = Arc::new(builder.build().unwrap());
        let most = Arc::default();
        let watched = Self {
            pool: Arc::downgrade(&pool),
            most,
        };
        (pool, watched)
    }

    fn look(&self) {
        let threads = self.pool.upgrade().map_or(0, |pool| pool.threads());
        self.most.fetch_max(threads, SeqCst);
    }

    fn most(&self) -> usize {
        self.most.load(SeqCst)
    }
}

/// With 2 workers, so many tasks that each wait for two children. Returns how many threads there
/// were at most.
fn backlog(wait: Wait, outer: u64, max_spares: usize) -> usize {
    let (pool, watched) = Watched::new(max_spares);
    let me = pool.downgrade();
    let tasks = (0..outer).map(|n| {
        let (me, watched) = (me.clone(), watched.clone());
        pool.submit(move || {
            watched.look();
            let sum = wait(&me, n);
            watched.look();
            sum
        })
    });
    let tasks: Vec<_> = tasks.collect();
    for (n, task) in (0..).zip(tasks) {
        assert_eq!(must_join(task).unwrap(), 2 * n + 1);
    }
    pool.wait_idle().unwrap();
    watched.most()
}

// How many threads there are at once depends on how soon the system runs a thread that is woken: a
// handful on an idle machine, some dozens on a loaded one. Before what is inner came first, each of
// these grew to the bound and stood still.

#[test]
fn a_backlog_of_tasks_that_wait_for_children_stays_below_the_bound_by_any_kind_of_wait() {
    for (kind, wait) in WAITS {
        let most = backlog(wait, 1000, 256);
        assert!(most < 258, "{kind}: {most} threads");
    }
}

#[test]
fn it_finishes_at_the_smallest_bound_of_spares() {
    for (_, wait) in WAITS {
        backlog(wait, 300, 0);
    }
}

#[test]
fn a_hundred_thousand_tasks_that_wait_for_children_finish() {
    let (_, as_completed) = WAITS[5];
    assert!(backlog(as_completed, 100_000, 256) < 258);
}

/// Waits for the nodes of a tree, and returns the sum of what they return.
type JoinNodes = fn(Vec<TaskHandle<u64>>) -> u64;

/// Every node waits for its children, by `wait`.
fn tree(watched: &Watched, wait: JoinNodes, depth: u32) -> u64 {
    watched.look();
    if depth == 0 {
        return 1;
    }
    let pool = current().unwrap().pool();
    let nodes = (0..10).map(|_| {
        let watched = watched.clone();
        pool.submit(move || tree(&watched, wait, depth - 1))
    });
    1 + wait(nodes.collect())
}

#[test]
fn a_tree_of_tasks_that_wait_for_their_children_stays_below_the_bound() {
    let waits: [JoinNodes; 4] = [
        |nodes| sum(nodes.into_iter().map(|node| node.join().unwrap())),
        |nodes| {
            sum(nodes
                .into_iter()
                .map(|node| node.join_timeout(LONG).unwrap().unwrap()))
        },
        |nodes| sum(as_completed(nodes).map(|(_, outcome)| outcome.unwrap())),
        |nodes| sum(join_all(nodes).into_iter().map(|outcome| outcome.unwrap())),
    ];
    for (kind, wait) in waits.into_iter().enumerate() {
        for max_spares in [0, 256] {
            let (pool, watched) = Watched::new(max_spares);
            let inside = watched.clone();
            let root = pool.submit(move || tree(&inside, wait, 5));
            assert_eq!(must_join(root).unwrap(), 111_111);
            pool.wait_idle().unwrap();
            let most = watched.most();
            assert!(
                most < 258,
                "wait {kind}, at most {max_spares} spares: {most} threads"
            );
        }
    }
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
        pool.execute(inside.note("inner")).unwrap();
        pool.task()
            .priority(1)
            .execute(inside.note("inner, above"))
            .unwrap();
    })
    .unwrap();
    must_recv(&begun);
    pool.execute(trace.note("outer")).unwrap();
    pool.task()
        .priority(9)
        .execute(trace.note("outer, above"))
        .unwrap();
    drop(go);
    pool.wait_idle().unwrap();
    let ran = trace.0.lock().unwrap().clone();
    assert_eq!(ran, ["inner, above", "inner", "outer, above", "outer"]);
}

/// A body that submits itself again and again starves neither tasks from outside nor other bodies'.
#[test]
fn a_body_that_submits_itself_starves_nobody() {
    fn again(stop: Arc<Mutex<mpsc::Receiver<()>>>) {
        if stop.lock().unwrap().try_recv().is_err() {
            let pool = current().unwrap().pool();
            pool.execute(move || again(stop)).unwrap();
            thread::yield_now();
        }
    }
    let pool = ThreadPool::new(1).unwrap();
    let (stop, stopped) = mpsc::channel();
    let stopped = Arc::new(Mutex::new(stopped));
    pool.execute(move || again(stopped)).unwrap();
    // From outside, and what its body submits in turn.
    let outer = pool.submit(|| {
        let pool = current().unwrap().pool();
        pool.submit(inner_of_inner)
            .join_timeout(LONG)
            .unwrap()
            .unwrap()
    });
    assert_eq!(must_join(outer).unwrap(), 2);
    stop.send(()).unwrap();
    pool.wait_idle().unwrap();
}

fn inner_of_inner() -> u32 {
    current()
        .unwrap()
        .pool()
        .submit(|| 2)
        .join_timeout(LONG)
        .unwrap()
        .unwrap()
}
