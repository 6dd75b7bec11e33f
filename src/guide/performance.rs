//! Performance: what each feature costs, and how to make a program faster.
//!
//! | what you see, in [`stats`](crate::Pool::stats) and in the processor load | what it means | what helps |
//! | --- | --- | --- |
//! | tasks are queued, no worker is idle, the processors are busy | the pool does what the machine can | less work in the bodies |
//! | tasks are queued, no worker is idle, the processors are not busy | bodies wait for something that the library cannot see | [`blocking`](crate::blocking) around the wait, or [more workers](#how-many-workers) |
//! | workers are idle, and little is queued | what submits is too slow, or tasks are too small | [more work for each task](#how-small-may-a-task-be), [`map`](crate::Pool::map), several submitters |
//! | many tasks are gated | a [gate](super::limits) is the limit | that may be what it is for |
//! | many workers are blocked, and threads come and go | bodies wait for other tasks | [continuations](super::composition#continue-or-join) in place of joins |
//! | more workers make it slower | the bodies share a lock, or the allocator | [a value for each worker](crate::WorkerLocal), [another allocator](#the-allocator) |
//! | a few tasks take much longer than the others | they wait behind long ones | [`priority`](crate::TaskBuilder::priority), a pool of their own |
//!
//! [`observability`](super::observability) shows how to see it. Measure a release build: in a debug
//! build the bodies are slower by far more than any pool.
//!
//! # The figures
//!
//! The figures show which of two things costs more, and by how much. They come from two virtual
//! machines with 2 cores, Linux and Rust 1.95:
//!
//! - an AMD EPYC: what a task costs, and what it costs to look into a pool;
//! - an Intel Xeon: what a pool costs from its start to its end, and all comparisons with other
//!   pools, which were measured beside millhand 0.1 in the same run.
//!
//! `benches/peers/` in the repository holds the program, the results of the Xeon and the chart. To
//! get the figures of your machine, run the same program there.
//!
//! # What a task costs
//!
//! Measured for this version on the EPYC, but for the two last rows. The medians vary by a third
//! from run to run, so take them as orders of magnitude:
//!
//! | what | glibc's allocator | mimalloc |
//! | --- | ---: | ---: |
//! | `execute`, an empty task | 0.13 to 0.16 µs | 0.06 to 0.11 µs |
//! | `submit` and `join`, an empty task among 300,000 | 0.13 to 0.16 µs | 0.07 to 0.11 µs |
//! | round trip, one task at a time | 0.45 µs | 0.45 µs |
//! | `submit` and `join` behind an open rate limiter | 0.4 to 0.5 µs | 0.25 to 0.4 µs |
//! | a delayed task, submitted and fired, among 100,000 | 1.3 to 1.6 µs | 1.3 to 1.6 µs |
//! | `map`, per item of 50 ns on 2 workers | + 40 to 70 ns | + 40 to 70 ns |
//! | to start a pool of 1, 8, 64 workers (Xeon) | 0.08, 0.2, 2.5 ms | |
//! | to shut it down, after the last task has ended (Xeon) | 0.6, 0.7, 4 ms | |
//!
//! Behind these figures:
//!
//! - **`execute` costs less than `submit`**: it makes no handle, keeps no result, and wakes no
//!   waiting thread.
//! - **A task is one allocation**, which holds the closure, the state and the result. The channel
//!   adds one allocation per 31 messages.
//! - **A queued task takes about 140 bytes** with a closure of 24 bytes, its entry in the channel
//!   included. What the closure owns on the heap comes on top.
//! - **Only tasks that have an option pay for it.** A name, a delay, a priority, a gate, a time
//!   limit or a retry policy is one more allocation. A callback or a token is a few. All options
//!   except a name take some more locks. A task behind an open gate costs three to four times as
//!   much as a plain task.
//! - **A short wait is cheap.** A thread that joins a task, and a worker that has nothing to do,
//!   spin for some microseconds before they sleep. So one round trip takes half a microsecond while
//!   both threads run, and about ten microseconds if the system must wake one of them.
//! - **An idle pool does nothing**: with 64 workers and a timer that is due in an hour, no thread
//!   wakes up in 10 seconds.
//!
//! # What it costs to look into a pool
//!
//! `benches/criterion/observed.rs` prints this table: medians of 15 rounds of 100,000 empty tasks
//! on one worker, in which all rows take turns, and the ratios to the first row. glibc's allocator.
//!
//! | | `execute` | | `submit` and `join` | |
//! | --- | ---: | ---: | ---: | ---: |
//! | nothing on, tasks without names | 95 ns | 1.0 | 132 ns | 1.0 |
//! | nothing on, with names | 532 ns | 5.6 | 633 ns | 4.8 |
//! | watchdog and histograms, without names | 69 ns | 0.7 | 129 ns | 1.0 |
//! | watchdog and histograms, with names | 715 ns | 7.5 | 986 ns | 7.5 |
//! | `track_queue` | 565 ns | 5.9 | 646 ns | 4.9 |
//! | an observer that counts | 450 ns | 4.7 | 804 ns | 6.1 |
//! | the same behind a `Buffered` | 580 ns | 6.1 | 845 ns | 6.4 |
//! | `metrics` without a recorder | 453 ns | 4.8 | 798 ns | 6.1 |
//! | `tracing`, nothing listens | 486 ns | 5.1 | 870 ns | 6.6 |
//! | `tracing`, a subscriber on the submitter | 870 ns | 9.2 | 1446 ns | 11.0 |
//!
//! A plain task pays nothing for a watchdog and for histograms: the difference in the third row is
//! noise. The counts that are always on are 6 instructions of about 1,180. A name is an allocation,
//! an entry in the list of live tasks and two readings of the clock: half a microsecond, which a
//! task of a millisecond does not notice.
//!
//! # How small may a task be?
//!
//! A task of its own pays from about a microsecond of work; ten microseconds are comfortable. If
//! there is less work, put several items into one task. [`map`](crate::Pool::map) does that
//! by itself. With items of 100 ns it takes half as long as rayon's `par_bridge`, and about twice
//! as long as rayon's `par_iter`, which knows in advance where the items are. With items of 1 µs
//! all three take about as long.
//!
//! ```
//! let pool = millhand::ThreadPool::new(2)?;
//! let lengths = pool.map(["a", "bb", "ccc"], |word| word.len()); // as many tasks as workers, not as words
//! assert_eq!(lengths, [1, 2, 3]);
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! [`map_iter`](crate::Pool::map_iter), the collections of a template and each stage of a
//! [`Pipeline`](crate::compose::Pipeline) make every item a task of its own, which has a token, and
//! whose end lets the next begin. With the narrow window that is the default, an item costs 6 to 9
//! microseconds, and with a [window](crate::compose::MapIter::window) of 64 about 2.
//!
//! If there is no collection to map over, submit slices of the work:
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
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # How many workers?
//!
//! For work that computes, as many as there are processors. That is the default of the builder. For
//! work that waits, more: eight workers that each wait nine tenths of their time keep one processor
//! busy.
//!
//! A body that waits inside the library releases its run slot: in a join, a `sleep`, for a permit,
//! or in [`blocking`](crate::cancel::blocking). Such waits need no additional workers. A read from
//! a socket or a disk occupies a worker, unless `blocking` is around it.
//!
//! The number can [change](crate::ThreadPool::set_workers) while the pool runs. Work that computes
//! and work that waits are better in two pools: then neither takes all workers from the other.
//!
//! Idle workers cost their stacks and nothing else. With 64 workers on 2 processors an empty task
//! costs about the same as with 2 workers, because a submitter wakes no worker while another worker
//! already looks for tasks.
//!
//! # The allocator
//!
//! A task is allocated on one thread and freed on another, which is expensive in many allocators.
//! With mimalloc in place of glibc's allocator, the same tasks cost about half. The change is two
//! lines in the `main.rs` of a program, and worth a try before any other. With mimalloc, `execute`
//! is cheaper than in every other pool that was measured. With glibc's allocator, `threadpool` and
//! `rusty_pool` take an eighth to a quarter less.
//!
//! ```text
//! #[global_allocator]
//! static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;
//! ```
//!
//! # Spinning, and a loaded machine
//!
//! A thread that has nothing to do spins for some microseconds before it sleeps, since waking it
//! takes longer than a small task. A thread that waits for tasks, and has often spun in vain, spins
//! for a shorter time. On a machine with one processor no thread spins. There is no option for it.
//!
//! A thread that spins uses a processor for some microseconds that other threads may need. At most
//! two idle workers per pool spin, and each thread that waits. None of them calls `yield_now`. If
//! there are as many busy processes as processors, a round trip is little more than the scheduling
//! of the system. In the runs that were made it took between 1.1 and 1.9 times as long as with a
//! bare channel, on average.
//!
//! # When something else is the better choice
//!
//! - **[rayon](https://docs.rs/rayon)**, for computing alone. Its `join` and `par_iter` steal work
//!   from each other for less than a tenth of what a task costs here, above all in recursion with
//!   small leaves. millhand has one queue for all workers, which fits a service and not divide
//!   and conquer. With leaves of 10 µs it takes 1.2 to 1.3 times as long as rayon.
//! - **[tokio](https://docs.rs/tokio)**, for tens of thousands of connections that mostly wait:
//!   there, a task that waits occupies no thread. Its `spawn_blocking` is not made for small tasks,
//!   as the results in `benches/peers/` show.
//! - **A bare channel**, `crossbeam_channel::unbounded::<Box<dyn FnOnce() + Send>>()` and a few
//!   threads, if you need neither results, nor the messages of panics, nor an orderly shutdown. It
//!   is the limit of what this design can reach, and takes about 0.7 of the time of `execute`.
//! - **[scheduled-thread-pool](https://docs.rs/scheduled-thread-pool)**, for hundreds of thousands
//!   of pending timers that are never cancelled and have no limits. Its entry is only a closure in
//!   a heap, and is cheaper to fire.
