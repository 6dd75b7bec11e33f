//! Many plain submissions, for an instruction count: `.ci/instructions` runs this program under
//! callgrind.
//!
//! `instructions submit N` submits N closures and joins each of them. `instructions execute N`
//! executes N closures and joins none of them.
//!
//! An instruction count shows what a time on a shared machine hides: a change that makes the path
//! of every task longer. The one worker is held until the main thread has submitted all tasks.
//! The main thread then joins the last task first. So the main thread waits only once, the worker
//! is never woken in between, and the count is the same in each run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// The sum that the executed closures count up.
static SUM: AtomicU64 = AtomicU64::new(0);

fn main() {
    // `cargo bench` adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_execute = arguments.iter().any(|argument| argument == "execute");
    let count = arguments.iter().find_map(|argument| argument.parse().ok());
    let tasks: u64 = count.unwrap_or(10_000);

    let pool = millhand::ThreadPool::new(1).unwrap();
    // The main thread parks here for the first time. parking_lot allocates its table then. Later,
    // with the memory of all tasks free, that large allocation would make the allocator merge it,
    // in some runs and not in others.
    let nap = pool.submit(|| std::thread::sleep(Duration::from_millis(20)));
    nap.join().unwrap();
    let (here, is_here) = mpsc::channel::<()>();
    let (go, wait) = mpsc::channel::<()>();
    let held = pool.submit(move || here.send(()).is_ok() && wait.recv().is_err());
    is_here.recv().unwrap();
    let words = std::hint::black_box([1_u64, 2, 3]);
    let sum = if is_execute {
        for _ in 0..tasks {
            let body = move || {
                SUM.fetch_add(words[0] + words[2], Ordering::Relaxed);
            };
            pool.execute(body);
        }
        // The queue is first in, first out, so this task runs behind all the others.
        let last = pool.submit(|| SUM.load(Ordering::Relaxed));
        drop(go);
        last.join().unwrap()
    } else {
        let handles: Vec<_> = (0..tasks)
            .map(|_| pool.submit(move || words[0] + words[2]))
            .collect();
        drop(go);
        let last_first = handles.into_iter().rev();
        last_first.map(|handle| handle.join().unwrap()).sum()
    };
    assert_eq!((sum, held.join().unwrap()), (4 * tasks, true));
}
