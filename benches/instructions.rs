//! So many plain submits and joins, for an instruction count: `.ci/instructions` runs this under callgrind.
//!
//! A count says what a time on a shared machine does not: that a change has made the path of every task longer. The worker is
//! held until all is submitted, and the last task is joined first, so that nobody waits, spins or is woken in between and the
//! count is the same each time.

use std::sync::mpsc;

fn main() {
    // `cargo bench` adds `--bench`.
    let count = std::env::args().find_map(|argument| argument.parse().ok());
    let tasks: u64 = count.unwrap_or(10_000);
    let pool = millhand::ThreadPool::new(1).unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let held = pool.submit(move || wait.recv().is_err());
    let words = std::hint::black_box([1_u64, 2, 3]);
    let handles: Vec<_> = (0..tasks)
        .map(|_| pool.submit(move || words[0] + words[2]))
        .collect();
    drop(go);
    let last_first = handles.into_iter().rev();
    let sum: u64 = last_first.map(|handle| handle.join().unwrap()).sum();
    assert_eq!((sum, held.join().unwrap()), (4 * tasks, true));
}
