//! The kinds of waits of a body for its children, a backlog and a tree by each of them, and how
//! many threads these need.
//
// The tests in `tests/it/inner.rs` include this file, and run them in small.

use millhand::{
    PoolHandle, Retry, TaskHandle, ThreadPool, as_completed, current, join_all, race, wait_any,
};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Far more than a wait takes. If it is too short, the body panics.
const LONG: Duration = Duration::from_secs(600);

/// What a handful of threads is: more than were ever seen, on a loaded machine, too. Before what is
/// inner came first, each of these grew to the bound, and stood still.
pub(crate) const FEW: usize = 32;

/// What a body does to wait for two children, and their sum.
pub(crate) type Wait = fn(&PoolHandle, u64) -> u64;

pub(crate) const AWHILE: Duration = Duration::from_micros(100);

fn children(pool: &PoolHandle, n: u64) -> [TaskHandle<u64>; 2] {
    [n, n + 1].map(|n| pool.submit(move || n))
}

pub(crate) fn sum(results: impl IntoIterator<Item = u64>) -> u64 {
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

pub(crate) fn sleeping_between(handle: TaskHandle<u64>) -> u64 {
    while !handle.is_finished() {
        millhand::sleep(AWHILE).unwrap();
    }
    handle.join().unwrap()
}

pub(crate) const WAITS: [(&str, Wait); 14] = [
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
        sum(join_all(children(pool, n)).into_iter().map(|o| o.unwrap()))
    }),
    ("as_completed", |pool, n| {
        sum(as_completed(children(pool, n)).map(|(_, outcome)| outcome.unwrap()))
    }),
    ("race", |pool, n| {
        let fallible = [n, n + 1].map(|n| pool.submit(move || Ok::<_, String>(n)));
        let won = race(fallible).unwrap();
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
        let tasks = pool.task().deadline(LONG);
        sum([n, n + 1].map(|n| tasks.submit(move || n).join().unwrap()))
    }),
    ("retry that succeeds", |pool, n| {
        let tasks = pool.task().retry::<&str>(Retry::fixed(1, Duration::ZERO));
        sum([n, n + 1].map(|n| {
            let mut attempts = 0;
            let child = tasks.submit(move || {
                attempts += 1;
                if attempts == 2 { Ok(n) } else { Err("again") }
            });
            child.join().unwrap().unwrap()
        }))
    }),
];

/// A pool of two workers, and the most threads that it had when a body looked.
#[derive(Clone)]
pub(crate) struct Watched {
    pool: Weak<ThreadPool>,
    most: Arc<AtomicUsize>,
}

impl Watched {
    pub(crate) fn new(spares: usize) -> (Arc<ThreadPool>, Self) {
        let builder = ThreadPool::builder().workers(2).max_threads(2 + spares);
        let pool = Arc::new(builder.build().unwrap());
        let most = Arc::default();
        let watched = Self {
            pool: Arc::downgrade(&pool),
            most,
        };
        (pool, watched)
    }

    pub(crate) fn look(&self) {
        let threads = self.pool.upgrade().map_or(0, |pool| pool.threads());
        self.most.fetch_max(threads, SeqCst);
    }

    pub(crate) fn most(&self) -> usize {
        self.most.load(SeqCst)
    }
}

/// With 2 workers, so many tasks that each wait for two children. Returns how many threads there
/// were at most.
pub(crate) fn backlog(wait: Wait, outer: u64, spares: usize) -> usize {
    let (pool, watched) = Watched::new(spares);
    let me = pool.handle();
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
        assert_eq!(task.join_timeout(LONG).unwrap().unwrap(), 2 * n + 1);
    }
    pool.wait_idle().unwrap();
    watched.most()
}

/// What the nodes of a tree run.
type Node = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Submits ten nodes, waits for them, and returns the sum of what they return.
pub(crate) type WaitForNodes = fn(&PoolHandle, &Node) -> u64;

fn nodes(pool: &PoolHandle, node: &Node) -> Vec<TaskHandle<u64>> {
    let nodes = (0..10).map(|_| {
        let node = node.clone();
        pool.submit(move || node())
    });
    nodes.collect()
}

pub(crate) const TREES: [(&str, WaitForNodes); 9] = [
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
        let fallible = (0..10).map(|_| {
            let node = node.clone();
            pool.submit(move || Ok::<_, String>(node()))
        });
        race(fallible).unwrap_or_else(|failures| {
            // This node has lost a race itself.
            assert!(millhand::is_cancelled(), "{failures}");
            0
        })
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

/// Runs a tree of this depth. Returns the number of its nodes, and how many threads there were at
/// most.
pub(crate) fn whole_tree(wait: WaitForNodes, depth: u32, spares: usize) -> (u64, usize) {
    let (pool, watched) = Watched::new(spares);
    let inside = watched.clone();
    let root = pool.submit(move || tree(&inside, wait, depth));
    let nodes = root.join_timeout(LONG).unwrap().unwrap();
    pool.wait_idle().unwrap();
    (nodes, watched.most())
}
