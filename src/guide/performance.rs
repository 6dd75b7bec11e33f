//! What costs what, and what to do about it.
//!
//! All figures here are from one machine, with other pools measured beside millhand in the same run: `benches/peers/` in the
//! repository holds the program, its results and the chart. They say which of two things is dearer, and by how much; what
//! they are on your machine, the same program tells.
//!
//! # What a task costs
//!
//! On 2 cores of a virtual machine (Xeon, Linux, Rust 1.95), as measured for this version; the medians move by a third from run to run
//! there, so take them for orders of magnitude:
//!
//! | what | glibc's allocator | mimalloc |
//! | --- | ---: | ---: |
//! | `execute`, an empty task | 0.24 to 0.45 µs | 0.11 to 0.16 µs |
//! | `submit` and `join`, an empty task among 300,000 | 0.4 to 0.6 µs | 0.15 to 0.35 µs |
//! | there and back, one task at a time | 0.9 µs | 0.9 µs |
//! | `submit` and `join` behind an open rate limiter | 1.0 to 1.4 µs | 0.6 to 0.7 µs |
//! | a delayed task, pushed and fired among 100,000 | 3 to 4 µs | 2 to 2.5 µs |
//! | `map`, per item of 50 ns on 2 workers | + 40 to 70 ns | + 40 to 70 ns |
//! | starting a pool of 1, 8, 64 workers | 0.08, 0.2, 2.5 ms | |
//! | ending it, when the last task has ended | 0.5, 0.7, 4 ms | |
//!
//! Behind these figures:
//!
//! - **`execute` is cheaper than `submit`.** What is fire-and-forget and has no option is a closure in a box: no handle, no lock, no
//!   number. A body that asks who it is, waits or wants a token gets all that when it asks. (In a bounded queue, under a context
//!   variable, with an `around_task` hook and in a simulation it is a task like others.)
//! - **A handle is one allocation**, closure, state and result in one place; beside it the channel takes one for 31 messages.
//! - **A queued task takes about 140 bytes** with a closure of 24, its place in the channel included; a fire-and-forget one about 90.
//!   What a closure owns comes on top.
//! - **An option is paid for by the tasks that have one.** A name, a delay, a priority, a gate, a limit or a retry policy is one
//!   allocation more, a callback or a token a few; all but a name take some locks more on the way. A gate costs about as much again
//!   as the plain task with its handle, and three to five times what `execute` does without.
//! - **Waiting is cheap while it is short.** Who joins, and a worker that has nothing to do, spins for some microseconds before it
//!   sleeps. So one task there and back takes about a microsecond while both threads run, and some ten where the system has to wake one.
//! - **An idle pool does nothing**: 64 workers and a timer that is due in an hour wake up not once in 10 seconds.
//!
//! # How small may a task be?
//!
//! A microsecond of work is where a task of its own begins to pay; ten are comfortable. Below that, put several into one
//! task: [`map`](crate::ThreadPool::map) does that by itself, at half the cost of rayon's `par_bridge` and up to twice that of its
//! `par_iter`, which knows where its items lie.
//!
//! ```
//! let pool = millhand::ThreadPool::new(2)?;
//! let lengths = pool.map(["a", "bb", "ccc"], |word| word.len()); // as many tasks as workers, not as words
//! assert_eq!(lengths, [1, 2, 3]);
//! # Ok::<(), millhand::BuildError>(())
//! ```
//!
//! Where there is nothing to map over, send slices of the work:
//!
//! ```
//! # let pool = millhand::ThreadPool::new(2)?;
//! let numbers: Vec<u64> = (0..10_000).collect();
//! let sums: Vec<_> = numbers
//!     .chunks(1_000)
//!     .map(|chunk| chunk.to_vec())
//!     .map(|chunk| pool.submit(move || chunk.iter().sum::<u64>()))
//!     .collect();
//! let total: u64 = millhand::join_all(sums).into_iter().map(|sum| sum.unwrap()).sum();
//! assert_eq!(total, 49_995_000);
//! # Ok::<(), millhand::BuildError>(())
//! ```
//!
//! # How many workers?
//!
//! As many as there are processors, which is what the builder takes unless told, for work that computes. More, for work that
//! waits: eight workers that each wait nine tenths of their time keep one processor busy. A wait inside the library gives its seat
//! up (a join, a `sleep`, a permit, [`blocking`](crate::blocking)), so these need no workers to spare; a read from a socket or a
//! disk needs one, or `blocking` around it. Idle workers cost their stacks and nothing else: with 64 workers on 2 processors an empty
//! task costs about what it does with 2, since whoever pushes wakes nobody while somebody is looking for work already.
//!
//! # The allocator
//!
//! A task is made on one thread and freed on another, which is the dearest thing to ask of many an allocator. With mimalloc in
//! place of glibc's, the same tasks cost half and less; the change is two lines in a program's `main.rs`, and worth a try before
//! any other (there is no better way to make `execute` cheaper than every other pool measured here; with glibc's allocator
//! `threadpool` and `rusty_pool` are a quarter to a half ahead of it):
//!
//! ```text
//! #[global_allocator]
//! static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;
//! ```
//!
//! # A loaded machine
//!
//! Spinning takes a few microseconds of a processor that others may want, from about two idle workers of a pool and from whoever
//! waits, and never with `yield_now`. With as many busy processes as processors, a round trip is the system's scheduling and
//! little else: between 1.1 and 1.9 times that of a bare channel in the mean, in the runs that were made.
//!
//! # When something else is the better choice
//!
//! - **[rayon](https://docs.rs/rayon)**, for computing alone: `join` and `par_iter` steal work from each other's ends with less than a
//!   tenth of what a task costs here, recursion with small leaves most of all. millhand has one queue, first in, first out: that is what a
//!   service wants, and not what divide and conquer wants. With leaves of 10 µs it takes 1.2 to 1.4 times as long as rayon.
//! - **[tokio](https://docs.rs/tokio)**, for tens of thousands of connections that mostly wait: a task that waits there takes no thread.
//!   Its `spawn_blocking` is not for small tasks: see the table.
//! - **A bare channel**, `crossbeam_channel::unbounded::<Box<dyn FnOnce() + Send>>()` and a few threads, where there is nothing but
//!   empty tasks to be handed over, and nobody wants a result, a panic's message or an orderly end: it is the limit of what this
//!   design can reach, and takes about two thirds of what `execute` does.
//! - **[scheduled-thread-pool](https://docs.rs/scheduled-thread-pool)**, for hundreds of thousands of pending timers that are never cancelled
//!   and have no limits: its entry is a closure in a heap and no more, and cheaper to fire.
