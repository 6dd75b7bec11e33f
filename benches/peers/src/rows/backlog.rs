//! A backlog of tasks from outside that each wait for two children: all of them are submitted
//! before most have begun, so a pool that begins them all needs a thread for each.

use super::{Against, Aim, Ran, Row, Unit, cores, steps, warm_up, work};
use crate::contenders::{MILLHAND, RAYON};
use crate::proc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub const BACKLOG: Row = Row {
    key: "backlog",
    title: "20,000 tasks that each wait for two children of 5 µs",
    unit: Unit::Millis,
    contenders: &[MILLHAND, RAYON],
    yardsticks: &[],
    aims: &[Aim {
        against: Against::BestPeer,
        bound: 1.25,
    }],
    measure: |contender| {
        let (took, threads) = backlog(contender);
        println!("at most {threads} threads");
        assert!(threads <= MOST_THREADS, "{contender}: {threads} threads");
        1e3 * took.as_secs_f64()
    },
};

const TASKS: u64 = 20_000;
const CHILD: Duration = Duration::from_micros(5);
const MOST_THREADS: usize = 32;

/// How long it takes, and how many threads the process had at most.
fn backlog(contender: &str) -> (Duration, usize) {
    let steps = steps(CHILD);
    let run: Box<dyn Fn(u64)> = match contender {
        MILLHAND => {
            let pool = millhand::ThreadPool::new(cores()).unwrap();
            Box::new(move |tasks| {
                for _ in 0..tasks {
                    pool.execute(move || by_millhand(steps));
                }
            })
        }
        RAYON => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(cores());
            let pool = pool.build().unwrap();
            Box::new(move |tasks| {
                for _ in 0..tasks {
                    pool.spawn(move || by_rayon(steps));
                }
            })
        }
        other => panic!("no backlog by {other:?}"),
    };
    let time = |tasks| Ran::time(tasks, || run(tasks));
    warm_up(|| time(TASKS / 10));
    let took = time(TASKS);
    (took, MOST.load(Ordering::Relaxed))
}

fn by_millhand(steps: u64) {
    let pool = millhand::current().unwrap().pool();
    let children = [(); 2].map(|()| pool.submit(move || work(steps)));
    for done in millhand::join_all(children) {
        done.unwrap();
    }
    done();
}

fn by_rayon(steps: u64) {
    rayon::join(|| work(steps), || work(steps));
    done();
}

/// The most threads that were seen.
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Now and then the threads are counted, which takes longer than the task.
fn done() {
    static TASK: AtomicUsize = AtomicUsize::new(0);
    if TASK.fetch_add(1, Ordering::Relaxed).is_multiple_of(1_000) {
        // Without the main thread.
        MOST.fetch_max(proc::threads().len() - 1, Ordering::Relaxed);
    }
    Ran::one();
}
