//! Cancelling: stop work that is not needed any more. What a request to stop reaches, which waits
//! it ends, and what they return.
//!
//! A cancel asks, and does not force: no thread is killed. A task that has not begun is settled at
//! once. A body that runs is *asked to stop* when
//!
//! - its handle is cancelled, or dropped with
//!   [`cancel_on_drop`](crate::TaskHandle::cancel_on_drop);
//! - its [token](crate::TaskBuilder::token), or one above it, is cancelled or reaches its deadline;
//! - its [`attempt_timeout`](crate::TaskBuilder::attempt_timeout),
//!   [`total_timeout`](crate::TaskBuilder::total_timeout) or
//!   [`deadline`](crate::TaskBuilder::deadline) is over;
//! - its scope is cancelled: a task of a [fail-fast](crate::ScopeOptions::fail_fast) scope has
//!   failed, the time of the scope is over, or its closure has panicked;
//! - it has lost a [`race`], its [group](crate::join_all_ok) has failed, or the iterator of its
//!   pipeline or lazy map was dropped;
//! - its pool [cancels](crate::Shutdown::cancel_after) what has not ended.
//!
//! A value that the body returns after that is still its outcome. So is an `Err` that is a value
//! for its verb. Where an `Err` counts as a failure, the task is cancelled instead, or timed out:
//! see [errors](crate::guide::errors).
//!
//! # A body that computes
//!
//! It asks now and then whether it is to stop. [`check`](crate::check) returns an error for `?`,
//! [`checkpoint`](crate::checkpoint) leaves the body by unwinding, and
//! [`is_cancelled`](crate::is_cancelled) returns a `bool`.
//!
//! ```
//! use millhand::ThreadPool;
//! use std::fs::File;
//! use std::io::{self, Read};
//!
//! fn count_zeros(mut file: File) -> io::Result<usize> {
//!     let (mut zeros, mut buffer) = (0, [0; 8192]);
//!     loop {
//!         millhand::check()?; // becomes an `io::Error`
//!         match file.read(&mut buffer)? {
//!             0 => return Ok(zeros),
//!             n => zeros += buffer[..n].iter().filter(|byte| **byte == 0).count(),
//!         }
//!     }
//! }
//!
//! let pool = ThreadPool::new(1)?;
//! let file = File::open("Cargo.toml")?;
//! assert_eq!(pool.submit(|| count_zeros(file)).join_flat()?, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A body that waits in the library
//!
//! Each of these waits ends when its body is asked to stop. An outcome, a permit, a place or a
//! message that is there is taken all the same, and nothing is taken and lost.
//!
//! | wait | what else ends it | what it returns when its body is asked to stop |
//! | --- | --- | --- |
//! | `join`, `join_ok`, `join_flat`, `join_all`, [`join_each`] | the task settles | [`TaskError::Interrupted`]; the handle is given up |
//! | `join_timeout` | the task settles; the time is over | the same |
//! | `wait`, `wait_timeout` of a handle | the same | [`TaskError::Interrupted`]; the handle stays |
//! | `join`, `join_ok`, `join_flat`, `join_timeout` of a [`SharedHandle`] | the same | [`TaskError::Interrupted`]; a later call returns the outcome |
//! | [`wait_any`], [`wait_until`], [`wait_until_timeout`] | the first, or enough of the tasks settle; the time is over | [`Stopped`]; the handles stay |
//! | [`as_completed`] | the next task settles; its time is over | [`TaskError::Interrupted`] for each handle that is left |
//! | [`join_all_ok`], [`join_each_ok`] | all bodies succeed, or one fails | [`TaskError::Interrupted`]; the tasks that are left are cancelled |
//! | [`race`] | one body returns `Ok`, or all fail | the same, for each handle that is left |
//! | results of a [`Pipeline`]; `map_iter`, `map`, `for_each` of a template | the next result | [`TaskError::Interrupted`], and no more results |
//! | results of a pool's `map_iter` | the next result | it leaves the body as a checkpoint does |
//! | the end of a [`Scope`] or a pool's `map` | all its tasks are released | it cancels its tasks, waits for them, and then leaves the body as a checkpoint does, if any was cancelled for it; `scope_with` returns those as failures |
//! | [`sleep`] | the time is over | [`Stopped`] |
//! | `wait`, `wait_timeout` of a [`CancelToken`] | the token is cancelled; the time is over | [`Stopped`] |
//! | [`recv`] | a message; the end of the channel | [`RecvError::Stopped`] |
//! | `child::wait`, `child::wait_with_output`, with the feature `child` | the child process ends | `WaitError::Stopped`, with the status of the child, which is ended |
//! | `acquire`, `acquire_timeout`, `run` of a gate, `run` of a lane | its turn; the time is over | [`AcquireError::Stopped`] |
//! | [`Retry::run`] | the next attempt | the error of the last attempt: no other follows |
//! | `submit` into a full queue | a place is free; the pool closes | the handle settles as rejected, with [`Rejection::Interrupted`] |
//! | `execute`, `execute_ok` into a full queue | the same | nothing: the refusal is logged, counted and passed to [`on_unread`] |
//! | `submit_timeout` into a full queue | the same; the time is over | the closure, with that reason |
//! | `wait_idle`, `shutdown` of another pool | that pool is idle, or over | [`PoolError::Interrupted`] |
//! | `run_until` of another pool | its token, a signal; that pool is closed | the same; that pool stays open |
//!
//! These go on to their end: the drop of a [`ThreadPool`], and `Signals::wait`, which belong on a
//! main thread.
//!
//! A join may run a task that is still queued on the stack of its body. Then a request to stop the
//! body reaches that task as well; see [`TaskHandle::join`]. A wait in the closure of a scope also
//! ends when that scope is cancelled. A wait in a destructor that runs while its thread unwinds
//! does not end early: it may be there to clean up.
//!
//! # A body that blocks elsewhere
//!
//! The library cannot see a read of a socket or a foreign lock.
//!
//! - **A socket**: [`on_cancel`](crate::CancelToken::on_cancel) can shut it down, which ends the
//!   read. Or give the socket a time limit, and [`check`](crate::check) between two reads.
//! - **An HTTP client**: what ends its requests. For ureq that is `agent.shutdown()` in an
//!   `on_cancel`, which ends all requests of that agent: it suits the token of a scope or of a
//!   batch. For one request, hand [`remaining`](crate::pool::Current::remaining) on as its limit.
//! - **A channel of std**: use one of `crossbeam_channel` with [`recv`], or `recv_timeout` in a
//!   loop with [`check`](crate::check).
//! - **A child process**: wait for it with `child::wait`, which ends it with the processes that it
//!   has started. That needs the feature `child`. A read of its output is no such wait, but
//!   `child::wait_with_output` is one.
//! - **A lock**: keep it for moments only. There is nothing to wake a thread that waits for it.
//!
//! In each case [`blocking`](crate::blocking) releases the run slot meanwhile.
//!
//! ```
//! use millhand::ThreadPool;
//! use std::io::Read;
//! use std::net::{Shutdown, TcpListener, TcpStream};
//! use std::sync::mpsc::channel;
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let mut silent = TcpStream::connect(listener.local_addr()?)?;
//! let _peer = listener.accept()?;
//!
//! let pool = ThreadPool::new(1)?;
//! let (started, has_started) = channel();
//! let reads = pool.submit(move || {
//!     let socket = silent.try_clone()?;
//!     let token = millhand::current().unwrap().token();
//!     let _hook = token.on_cancel(move |_| drop(socket.shutdown(Shutdown::Both)));
//!     started.send(()).unwrap();
//!     millhand::blocking(|| silent.read(&mut [0; 16]))
//! });
//! has_started.recv()?;
//! reads.cancel();
//! assert_eq!(reads.join_flat()?, 0); // the end of the stream
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`AcquireError::Stopped`]: crate::limit::AcquireError::Stopped
//! [`CancelToken`]: crate::CancelToken
//! [`Pipeline`]: crate::compose::Pipeline
//! [`PoolError::Interrupted`]: crate::pool::PoolError::Interrupted
//! [`RecvError::Stopped`]: crate::cancel::RecvError::Stopped
//! [`Rejection::Interrupted`]: crate::error::Rejection::Interrupted
//! [`Retry::run`]: crate::Retry::run
//! [`Scope`]: crate::Scope
//! [`SharedHandle`]: crate::SharedHandle
//! [`Stopped`]: crate::error::Stopped
//! [`TaskError::Interrupted`]: crate::TaskError::Interrupted
//! [`TaskHandle::join`]: crate::TaskHandle::join
//! [`ThreadPool`]: crate::ThreadPool
//! [`as_completed`]: crate::as_completed
//! [`join_all_ok`]: crate::join_all_ok
//! [`join_each`]: crate::compose::join_each
//! [`join_each_ok`]: crate::compose::join_each_ok
//! [`on_unread`]: crate::pool::PoolBuilder::on_unread
//! [`race`]: crate::race
//! [`recv`]: crate::recv
//! [`sleep`]: crate::sleep
//! [`wait_any`]: crate::wait_any
//! [`wait_until`]: crate::compose::wait_until
//! [`wait_until_timeout`]: crate::compose::wait_until_timeout
