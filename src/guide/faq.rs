//! Questions that users ask, and short answers.
//!
//! - [Is it for me?](#is-it-for-me): async, rayon, persistence, platforms
//! - [It does not compile](#it-does-not-compile): `'static`, `Send`, types, retries
//! - [It does not run](#it-does-not-run): not started, rejected, cancelled, silent
//! - [Waiting](#waiting): tasks that wait for tasks, locks, deadlocks, several pools
//! - [It does not stop](#it-does-not-stop): bodies that hang, drops, exits
//! - [Threads and memory](#threads-and-memory): how many, names, stacks, growth
//! - [With other things](#with-other-things): tokio, rayon, windows, Python, C, `fork`
//!
//! # Is it for me?
//!
//! ## Why no async?
//!
//! Because most programs need none: a few hundred threads that wait cost little, blocking code is
//! plain code, and a library that asks for a runtime decides for all that use it. A handle is a
//! future all the same, so [async code can await it](super::bridges#await-a-handle). For tens of
//! thousands of connections that wait at once, [tokio is the better
//! choice](super::performance#when-something-else-is-the-better-choice).
//!
//! ## Is it rayon?
//!
//! No. rayon divides one computation among cores, and steals work down to a microsecond. Here a
//! task is a unit that may block, fail, be retried, limited, cancelled and looked at.
//! [The same page](super::performance#when-something-else-is-the-better-choice) has figures, and
//! [both go together](super::bridges#rayon).
//!
//! ## Does the queue survive the process?
//!
//! No, it is in memory. A process that is killed loses what is queued. A shutdown loses nothing
//! [without saying so](super::guarantees). What must survive is a job, with the feature `sqlite`:
//! see the page `jobs` of this guide.
//!
//! ## Which Rust, which platforms?
//!
//! Rust 1.85, on Linux, macOS and Windows; it is tested on Linux. It needs std, threads and a
//! clock, so neither `no_std` nor WebAssembly in a browser will do.
//!
//! ## Is there a global pool?
//!
//! No: a pool is a value, and its end is the end of its work. One in a `static` works, but Rust
//! drops no statics, so `main` must shut it down:
//!
//! ```
//! use millhand::{Shutdown, ThreadPool};
//! use std::sync::LazyLock;
//!
//! static POOL: LazyLock<ThreadPool> = LazyLock::new(|| ThreadPool::new(4).expect("threads"));
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     POOL.execute(|| println!("somewhere"));
//!     let report = POOL.shutdown(Shutdown::drain())?;
//!     assert_eq!(report.succeeded(), 1);
//!     Ok(())
//! }
//! ```
//!
//! # It does not compile
//!
//! ## "closure may outlive the current function", "does not live long enough"
//!
//! The closure borrows a local variable, and the task may run when that is gone. Write `move`, with
//! a clone or an `Arc` of what is still needed outside. Or use what waits for its tasks and so may
//! borrow: [`scope`](crate::Pool::scope), [`map`](crate::Pool::map),
//! [`for_each`](crate::Pool::for_each).
//!
//! ```
//! # let pool = millhand::ThreadPool::new(2)?;
//! let words = vec!["mill".to_owned(), "hand".to_owned()];
//! // let handle = pool.submit(|| words.len()); // E0373
//! let copy = words.clone();
//! let handle = pool.submit(move || copy.len()); // owns it
//! let longest = pool.scope(|s| {
//!     s.submit(|| words.iter().map(|word| word.len()).max()).join() // borrows it
//! });
//! assert_eq!((handle.join()?, longest?), (2, Some(4)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## "cannot be sent between threads safely"
//!
//! Something that the closure owns, or its result, belongs to one thread. In place of `Rc` use
//! `Arc`, in place of `RefCell` a `Mutex` or an atomic, in place of `Box<dyn Error>` a
//! `Box<dyn Error + Send + Sync>`. A value that can never leave its thread is made there, by a
//! [`WorkerLocal`](crate::WorkerLocal).
//!
//! ## "type annotations needed"
//!
//! A closure with `?` does not say which error it returns. Name the type:
//! `|| -> io::Result<usize> { .. }`. For [`retry_if`](crate::TaskBuilder::retry_if) and
//! [`retry_after`](crate::TaskBuilder::retry_after), write `|error: &MyError| ..`.
//!
//! ## "expected a closure that implements `FnMut`, but only implements `FnOnce`"
//!
//! A retried body runs several times, and moves something out at the first. Clone it in the body,
//! or let the body borrow it.
//!
//! ## "`()` does not implement `Display`"
//!
//! Errors that count are written into logs. Return a text or an error type in place of `()`.
//! [`errors`](super::errors) has each kind, and one `?` for all.
//!
//! # It does not run
//!
//! ## Why does my task not start?
//!
//! `println!("{}", pool.tasks())` says what each worker and each task does, and for what it waits:
//! [`observability`](super::observability). The usual reasons are a delay, a gate, other tasks
//! before it, and workers that are busy with bodies that wait
//! [where the library cannot see it](#how-many-workers). In a test with a
//! [manual clock](crate::testing::ManualClock), nothing is due until the clock is turned.
//!
//! ## Why `TaskError::Rejected`?
//!
//! The [`Rejection`](crate::error::Rejection) in it says why: the pool is closed (shut down,
//! dropped, or ended by a signal), its queue is full and [rejects](crate::OnFull::Reject), a body
//! was asked to stop while it waited for a place in the queue of another pool, options contradict
//! each other, a promise without a pool is continued, or the process has forked.
//! [`check`](crate::TaskBuilder::check) finds wrong options when the program starts.
//!
//! ## Why was it cancelled?
//!
//! [`TaskError::Cancelled`](crate::TaskError::Cancelled) has a
//! [reason](crate::cancel::CancelReason): on request, by a shutdown, its scope, a race, a group,
//! the deadline of a token, or the drop of what it belonged to. A common one is the end of `main`:
//! the drop of the pool runs what is due, and cancels what is delayed. To run that too, shut down
//! with [`including_delayed`](crate::Shutdown::including_delayed).
//!
//! ## It fails, and I see nothing
//!
//! A failure without a reader is an error in the log, so install a logger, such as `env_logger`.
//! An `Err` of a plain `submit` is a value: it counts as a failure only where a `Result` is asked
//! for. [`errors`](super::errors#nothing-is-lost-in-silence) has the table.
//!
//! ## In which order do tasks run?
//!
//! From outside, with equal priority: first in, first out. What a body submits comes before that.
//! [`guarantees`](super::guarantees) has the rule. With several workers, the order in which tasks
//! *end* is open. For an order per key use [`Lanes`](crate::limit::Lanes), for results in order a
//! [map](crate::Pool::map_iter) or a [pipeline](crate::Pool::pipeline).
//!
//! ## Can I join a handle twice?
//!
//! No, a join takes the value. [`share()`](crate::TaskHandle::share) makes a handle for many
//! readers, and [`wait`](crate::TaskHandle::wait) only waits.
//!
//! # Waiting
//!
//! ## May a task wait for another task?
//!
//! Yes, on a pool of any size, as deep as you like: a body that waits
//! [releases its run slot](super::how_it_works#run-slots-and-a-body-that-waits).
//!
//! ## May it hold a lock meanwhile?
//!
//! Only a lock that the other task does not want. The library does not see locks of std, nor
//! permits that are held by hand. So that is a deadlock as it would be between any two threads.
//!
//! ## What if two tasks wait for each other?
//!
//! The wait that closes the circle returns [`WouldDeadlock`](crate::TaskError::WouldDeadlock),
//! which names the tasks. [`guarantees`](super::guarantees) says where that ends.
//!
//! ## May pools be nested?
//!
//! Yes: a body may build a pool, or wait for tasks of another one. Only `wait_idle` and `shutdown`
//! of the *own* pool return an error in its tasks, since they would wait for themselves.
//!
//! ## How do I wait for everything?
//!
//! For tasks that belong together, by a [`scope`](crate::Pool::scope) or
//! [`join_all`](crate::join_all). For the whole pool, by
//! [`wait_idle`](crate::ThreadPool::wait_idle), or by a [shutdown](crate::ThreadPool::shutdown) if
//! that is its end.
//!
//! # It does not stop
//!
//! ## I cancelled it, and it goes on
//!
//! A cancel asks. A body stops where it [looks](crate::check) or waits in the library.
//! `std::thread::sleep` is no such wait, [`millhand::sleep`](crate::sleep) is.
//! [`cancelling`](super::cancelling) has them all, and what to do about sockets.
//!
//! ## How do I stop a body that hangs?
//!
//! No safe program can stop a thread from outside. A
//! [`total_timeout`](crate::TaskBuilder::total_timeout) settles its handle and gives its place to
//! others, [`give_up_after`](crate::Shutdown::give_up_after) leaves it behind at the end, and
//! [`slow_task`](crate::pool::PoolBuilder::slow_task) names it in the log. Code that must be
//! killed belongs in [a child process](super::cookbook#a-child-process-with-a-time-limit).
//!
//! ## Why does the drop of the pool wait?
//!
//! It runs all that is due, so that nothing is lost.
//! [`on_drop(Shutdown::cancel())`](crate::pool::PoolBuilder::on_drop) changes that. For the same
//! reason `let _ = ThreadPool::new(4)?` is of no use: it drops the pool at once.
//!
//! ## The program exits before its tasks have run
//!
//! `std::process::exit` and the end of `main` with a pool in a `static` or a forgotten one drop
//! nothing. Shut the pool down first. Where signals end the program, see
//! [`daemons`](super::daemons).
//!
//! ## What does a panic do?
//!
//! It settles its task, and the worker goes on. With `panic = "abort"` it ends the process, and
//! [`checkpoint`](crate::checkpoint) cannot leave a body: use [`check`](crate::check) there.
//!
//! # Threads and memory
//!
//! ## How many workers?
//!
//! As many as cores, which is the default, for bodies that compute. For bodies that block on files,
//! sockets and databases: as many as may do so at once. Waits in the library, and in
//! [`blocking`](crate::blocking), do not count.
//! [`performance`](super::performance#how-many-workers) says more, and
//! [`set_workers`](crate::ThreadPool::set_workers) changes it.
//!
//! ## Why are there more threads than workers?
//!
//! Spare threads run tasks while bodies wait.
//! [`max_threads`](crate::pool::PoolBuilder::max_threads) bounds them. There is also a timer thread
//! once something has an instant, and a sampler with a watchdog or a dashboard. Some threads are of
//! the process, and not of a pool: those for signals (`millhand-signal`), for the deadlines of
//! tokens (`millhand-alarm`) and for hooks after a time limit (`millhand-deadline`).
//!
//! ## What are the threads called?
//!
//! `millhand-0`, `millhand-1` and so on, `millhand-timer` and `millhand-watch` (the sampler), or
//! with the builder's [`name_prefix`](crate::pool::PoolBuilder::name_prefix) in place of
//! `millhand`. Linux shows the first 15 bytes.
//!
//! ## The stack overflows
//!
//! A worker's stack has 2 MiB, as a thread of std. The builder's
//! [`stack_size`](crate::pool::PoolBuilder::stack_size) changes that; `RUST_MIN_STACK` does not. A
//! large result is better returned in a `Box`.
//!
//! ## The memory grows
//!
//! The queue is unbounded, and a producer may be faster than the workers. Bound it by
//! [`queue_capacity`](crate::pool::PoolBuilder::queue_capacity), or read lazily by
//! [`map_iter`](crate::Pool::map_iter). A queued task takes
//! [about 140 bytes](super::performance#what-a-task-costs), and what its closure owns. A handle
//! keeps its result until it is joined or dropped.
//!
//! ## Do thread-locals stay?
//!
//! Yes, from task to task on the same thread, until the thread exits. A spare thread exits when no
//! run slot is left for it. A [`WorkerLocal`](crate::WorkerLocal) lives as long, and goes
//! earlier if its last clone is dropped. What belongs to a task is a
//! [`ContextVar`](crate::ContextVar).
//!
//! # With other things
//!
//! ## tokio and other runtimes
//!
//! Await the handle, and never `join` on a thread of the runtime. In a body, wait for async code by
//! a promise. [`bridges`](super::bridges) shows both.
//!
//! ## egui, winit, GTK and other windows
//!
//! The pool works, and the loop draws: a task sends its outcome and wakes the loop.
//! [`bridges`](super::bridges#a-window-with-a-main-loop) has two ways.
//!
//! ## Python, by PyO3
//!
//! Release the interpreter around each join (`py.detach(..)`, formerly `allow_threads`), and attach
//! in the body. A thread that holds the interpreter and joins a body that wants it waits for ever,
//! which the library cannot see.
//!
//! ## C libraries that block
//!
//! Call them in [`blocking`](crate::blocking), so that the worker's place is free meanwhile. One
//! that is bound to its thread belongs in [a pool of
//! one](super::bridges#libraries-that-are-bound-to-threads), one that calls back
//! [completes a promise](super::bridges#callbacks).
//!
//! ## `fork`
//!
//! A forked child has none of the threads. Waits return
//! [`Forked`](crate::TaskError::Forked) there. Build a new pool in the child;
//! `std::process::Command` needs none of this.
