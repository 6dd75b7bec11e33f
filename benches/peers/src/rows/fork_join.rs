//! Tasks that join tasks: Fibonacci's numbers by definition, down to a cut-off below which a plain
//! recursion goes on.

use super::{Against, Aim, Row, Unit, cores};
use crate::contenders::{MILLHAND, RAYON};
use crate::proc;
use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub const FORK_JOIN: Row = Row {
    key: "fork-join",
    title: "nested fork-join: fib, leaves of about 10 µs",
    unit: Unit::Millis,
    contenders: &[MILLHAND, RAYON],
    yardsticks: &[],
    aims: &[Aim {
        against: Against::BestPeer,
        bound: 1.10,
    }],
    measure: |contender| {
        let found = fork_join(contender);
        let Watched { threads, stack } = found.watched;
        println!("at most {threads} threads, {} KiB of a stack", stack / 1024);
        found.millis
    },
};

/// A leaf below this takes 5 to 15 µs on today's machines. It is a constant, because all
/// contenders must cut the same tree, and one more or less is a factor of 1.6.
const CUT_OFF: u32 = 19;

/// 10,946 leaves: 0.1 s of work.
const N: u32 = CUT_OFF + 20;

/// Far above what is reasonable, and far below a thread per fork.
const MOST_THREADS_PER_CORE: usize = 32;
const MOST_STACK: usize = 256 * 1024;

struct Found {
    millis: f64,
    watched: Watched,
}

/// The greatest use of one run.
struct Watched {
    /// The threads of the process, without the one that counts.
    threads: usize,
    /// The stack in bytes, from a thread's first leaf or fork down to its deepest.
    stack: usize,
}

fn fork_join(contender: &str) -> Found {
    let run: Box<dyn Fn(u32) -> u64 + Send> = match contender {
        MILLHAND => {
            let pool = millhand::ThreadPool::new(cores()).unwrap();
            Box::new(move |n| pool.submit(move || by_millhand(n)).join().unwrap())
        }
        RAYON => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(cores());
            let pool = pool.build().unwrap();
            Box::new(move |n| pool.install(|| by_rayon(n)))
        }
        other => panic!("no fork-join by {other:?}"),
    };
    run(N - 5);
    let start = Instant::now();
    black_box(run(N));
    let took = start.elapsed();
    let watched = watch(run);
    assert!(
        watched.threads <= MOST_THREADS_PER_CORE * cores() && watched.stack <= MOST_STACK,
        "{contender}: {} threads, {} bytes of a stack",
        watched.threads,
        watched.stack
    );
    Found {
        millis: 1e3 * took.as_secs_f64(),
        watched,
    }
}

fn by_millhand(n: u32) -> u64 {
    sight();
    if n <= CUT_OFF {
        return fib(n);
    }
    let me = millhand::current().unwrap();
    let other = me.pool().submit(move || by_millhand(n - 1));
    let mine = by_millhand(n - 2);
    mine + other.join().unwrap()
}

fn by_rayon(n: u32) -> u64 {
    sight();
    if n <= CUT_OFF {
        return fib(n);
    }
    let (one, other) = rayon::join(|| by_rayon(n - 1), || by_rayon(n - 2));
    one + other
}

/// What a leaf does.
fn fib(n: u32) -> u64 {
    if n < 2 {
        u64::from(black_box(n))
    } else {
        fib(n - 1) + fib(n - 2)
    }
}

/// The deepest stack so far, and where this thread's stack was first seen. The part above that is
/// the thread's own: a few hundred bytes.
static DEEPEST: AtomicUsize = AtomicUsize::new(0);

fn sight() {
    thread_local!(static FIRST: Cell<usize> = const { Cell::new(0) });
    let here = 0_u8;
    let here = (&raw const here).addr();
    if FIRST.get() < here {
        FIRST.set(here);
    }
    let depth = FIRST.get() - here;
    // This is nearly always only read, and all cores have the cache line then.
    if depth > DEEPEST.load(Ordering::Relaxed) {
        DEEPEST.fetch_max(depth, Ordering::Relaxed);
    }
}

/// Runs once more, while another thread counts the threads.
fn watch(run: Box<dyn Fn(u32) -> u64 + Send>) -> Watched {
    let running = thread::spawn(move || {
        black_box(run(N));
        run // The pool lives until its threads have been counted.
    });
    let mut threads = 0;
    while !running.is_finished() {
        // The counting thread and the thread that waits for the result are left out.
        threads = threads.max(proc::threads().len() - 2);
        thread::sleep(Duration::from_micros(500));
    }
    drop(running.join().unwrap());
    Watched {
        threads,
        stack: DEEPEST.load(Ordering::Relaxed),
    }
}
