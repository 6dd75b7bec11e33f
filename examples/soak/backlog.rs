//! A backlog of tasks that wait for their children, and a tree of them, by each kind of wait: a
//! handful of threads must be enough, whatever the bound is.
//
// The waits and the trees are those of `tests/it/inner.rs`, which has most of them in small.

use millhand::{
    PoolRef, Retry, TaskHandle, ThreadPool, as_completed, current, join_all, race, wait_any,
};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

const OUTER: u64 = 100_000;
const DEPTH: u32 = 5;
const NODES: u64 = 111_111;

/// What a handful of threads is: more than were ever seen, on a loaded machine, too.
const FEW: usize = 32;

/// Far more than a wait takes. Where it is too short, the body panics.
const LONG: Duration = Duration::from_secs(600);

pub(crate) fn run() -> ExitCode {
    let mut are_few = true;
    let mut print = |what: &str, kind: &str, spares: usize, begun: Instant, most: usize| {
        let seconds = begun.elapsed().as_secs_f64();
        println!("{what:<8} {kind:<24} {spares:>6} spares {most:>6} threads {seconds:>8.2} s");
        are_few &= most <= FEW;
    };
    for spares in [256, 0] {
        for (kind, wait) in WAITS {
            let begun = Instant::now();
            let most = backlog(wait, spares);
            print("backlog", kind, spares, begun, most);
        }
        for (kind, wait) in TREES {
            let begun = Instant::now();
            let most = whole_tree(kind, wait, spares);
            print("tree", kind, spares, begun, most);
        }
    }
    if are_few {
        return ExitCode::SUCCESS;
    }
    eprintln!("broken: more than {FEW} threads");
    ExitCode::FAILURE
}

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
}

/// Returns how many threads there were at most.
fn backlog(wait: Wait, max_spares: usize) -> usize {
    let (pool, watched) = Watched::new(max_spares);
    let me = pool.downgrade();
    let tasks = (0..OUTER).map(|n| {
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
        assert_eq!(task.join().unwrap(), 2 * n + 1);
    }
    pool.wait_idle().unwrap();
    watched.most.load(SeqCst)
}

/// Every node waits for its children.
fn tree(watched: &Watched, wait: WaitForNodes, depth: u32) -> u64 {
    watched.look();
    if depth == 0 {
        return 1;
    }
    let below = watched.clone();
    let node: Node = Arc::new(move || tree(&below, wait, depth - 1));
    1 + wait(&current().unwrap().pool(), &node)
}

fn whole_tree(kind: &str, wait: WaitForNodes, max_spares: usize) -> usize {
    let (pool, watched) = Watched::new(max_spares);
    let inside = watched.clone();
    let root = pool.submit(move || tree(&inside, wait, DEPTH));
    let sum = root.join().unwrap();
    if kind != "race" {
        assert_eq!(sum, NODES, "{kind}");
    }
    pool.wait_idle().unwrap();
    watched.most.load(SeqCst)
}

/// What a body does to wait for two children, and their sum.
type Wait = fn(&PoolRef, u64) -> u64;

const AWHILE: Duration = Duration::from_micros(100);

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
        wait_any(&children).unwrap();
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

/// What the nodes of a tree run.
type Node = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Submits ten nodes, waits for them, and returns the sum of what they return.
type WaitForNodes = fn(&PoolRef, &Node) -> u64;

fn nodes(pool: &PoolRef, node: &Node) -> Vec<TaskHandle<u64>> {
    let nodes = (0..10).map(|_| {
        let node = node.clone();
        pool.submit(move || node())
    });
    nodes.collect()
}

const TREES: [(&str, WaitForNodes); 9] = [
    ("join", |pool, node| {
        sum(nodes(pool, node).into_iter().map(|n| n.join().unwrap()))
    }),
    ("join_timeout in a loop", |pool, node| {
        sum(nodes(pool, node).into_iter().map(in_a_loop))
    }),
    ("is_finished", |pool, node| {
        sum(nodes(pool, node).into_iter().map(sleeping_between))
    }),
    ("join_all", |pool, node| {
        sum(join_all(nodes(pool, node)).into_iter().map(|o| o.unwrap()))
    }),
    ("as_completed", |pool, node| {
        sum(as_completed(nodes(pool, node)).map(|(_, outcome)| outcome.unwrap()))
    }),
    ("race", |pool, node| {
        // The others are cancelled, or their values dropped.
        // So are the races in their bodies.
        race(nodes(pool, node)).unwrap_or(0)
    }),
    ("wait_any", |pool, node| {
        let nodes = nodes(pool, node);
        wait_any(&nodes).unwrap();
        sum(nodes
            .into_iter()
            .map(|n| n.join_timeout(LONG).unwrap().unwrap()))
    }),
    ("scope", |pool, node| {
        pool.scope(|s| {
            let nodes: Vec<_> = (0..10).map(|_| s.submit(|| node())).collect();
            sum(nodes.into_iter().map(|n| n.join().unwrap()))
        })
    }),
    ("pipeline", |pool, node| {
        let node = node.clone();
        let results = pool.pipeline(0..10).stage(10, move |_| node());
        sum(results.into_iter().map(|r| r.unwrap()))
    }),
];
