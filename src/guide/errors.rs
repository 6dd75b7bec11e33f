//! Errors: what can go wrong with a task, and one `?` for all of it.
//!
//! # Two kinds of failure
//!
//! A body may fail, by its own `Err`. And a task may end without a value: its body panicked, it was
//! cancelled, its time was over, its pool refused it. [`join`](crate::TaskHandle::join) keeps the
//! two apart: it returns `Result<Result<T, E>, TaskError>` for a body that returns `Result<T, E>`.
//! Two other verbs merge them:
//!
//! | verb | error | for |
//! | --- | --- | --- |
//! | `join_ok` | [`JoinError<E>`](crate::JoinError): `Failed(E)` or `Task(TaskError)` | code that treats the two differently, and a `main` with `?` |
//! | `join_flat` | `E`, where `E: From<TaskError>` | functions whose errors are `anyhow::Error`, a box, [`std::io::Error`] or a type of the program's |
//!
//! The wait itself may fail, too: the body that joins is asked to stop
//! ([`TaskError::Interrupted`]), or the wait could never end ([`TaskError::WouldDeadlock`]).
//!
//! # With each type of errors
//!
//! **`anyhow`**, and others like it: each error here is a `std` error, `Send`, `Sync` and
//! `'static`.
//!
//! ```
//! use anyhow::Context;
//! use millhand::{Semaphore, ThreadPool, join_all_ok};
//!
//! fn main() -> anyhow::Result<()> {
//!     let pool = ThreadPool::new(2)?;
//!     let two = Semaphore::new(2)?;
//!     let read = |path: &'static str| {
//!         let reads = move || std::fs::read_to_string(path).context(path);
//!         pool.task().gate(&two).submit(reads)
//!     };
//!     let manifest = read("Cargo.toml").join_flat()?;
//!     let all = join_all_ok([read("Cargo.toml"), read("README.md")])?;
//!     anyhow::ensure!(all[0] == manifest, "it has changed");
//!     Ok(())
//! }
//! ```
//!
//! **Boxes of std.** A body's box must be `Send + Sync`, so that it can come back. `join_ok` also
//! serves where `main` returns `Box<dyn Error>`, to which such a box does not convert.
//!
//! ```
//! use millhand::ThreadPool;
//! use std::error::Error;
//!
//! fn main() -> Result<(), Box<dyn Error>> {
//!     let pool = ThreadPool::new(2)?;
//!     let parse = || -> Result<u32, Box<dyn Error + Send + Sync>> { Ok("17".parse()?) };
//!     assert_eq!(pool.submit(parse).join_ok()?, 17);
//!     Ok(())
//! }
//! ```
//!
//! **An enum of the program's own** needs `From<TaskError>`, and nothing else.
//!
//! ```
//! use millhand::{TaskError, ThreadPool};
//! use std::num::ParseIntError;
//!
//! #[derive(Debug)]
//! enum AppError {
//!     Number(ParseIntError),
//!     Task(TaskError),
//! }
//!
//! impl From<ParseIntError> for AppError {
//!     fn from(error: ParseIntError) -> Self {
//!         Self::Number(error)
//!     }
//! }
//!
//! impl From<TaskError> for AppError {
//!     fn from(error: TaskError) -> Self {
//!         Self::Task(error)
//!     }
//! }
//!
//! fn number(pool: &ThreadPool, text: &'static str) -> Result<u32, AppError> {
//!     let parse = move || -> Result<u32, AppError> { Ok(text.parse()?) };
//!     pool.submit(parse).join_flat()
//! }
//!
//! let pool = ThreadPool::new(1)?;
//! assert!(matches!(number(&pool, "17"), Ok(17)));
//! assert!(matches!(number(&pool, "x"), Err(AppError::Number(_))));
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! **`std::io::Error`.** [`Stopped`](crate::error::Stopped), [`TaskError`],
//! [`AcquireError`](crate::limit::AcquireError) and the failures of groups of such bodies convert
//! to it, with the kind `TimedOut` where a time limit passed or a permit was not to be had, and
//! never with `Interrupted`, for which functions of std try again. Other errors, as that of
//! [`recv`](crate::recv), convert by `map_err(io::Error::other)`.
//!
//! # Causes of causes
//!
//! [`JoinError`](crate::JoinError), [`Failure`](crate::compose::Failure) and
//! [`Failures`](crate::compose::Failures) take any error that can be printed, so they cannot ask it
//! for its `source()`. Their text has what the body's error prints with `{:#}`: for `anyhow` the
//! whole chain, for most other errors the text of the error alone. Where the chain matters, use
//! `join_flat`, or take the error out with [`into_failed`](crate::JoinError::into_failed).
//!
//! Scopes, pipelines and the collections of a template keep an error as a box, of which `{:#}`
//! prints the outermost text alone, also for `anyhow`. The box still has its
//! [`source`](std::error::Error::source).
//!
//! `examples/errors.rs` has a whole program for each of the four.
//!
//! # Which failure is it?
//!
//! [`TaskError`] answers the common questions: [`is_panic`](crate::TaskError::is_panic),
//! [`is_cancelled`](crate::TaskError::is_cancelled), [`is_timeout`](crate::TaskError::is_timeout),
//! [`is_rejected`](crate::TaskError::is_rejected). [`into_panic`](crate::TaskError::into_panic)
//! takes a panic out, to [resume](crate::error::TaskPanic::resume) it. Several failures come as
//! [`Failures`](crate::compose::Failures), each with its index, the name of its task and where that
//! was submitted; [`pick`](crate::compose::Failures::pick) finds those of one type.
//!
//! # What counts as a failure
//!
//! One rule holds for scopes, for [`Until::FirstError`](crate::compose::Until::FirstError), for
//! groups, for schedules, for statistics and for the log. A task has failed if
//!
//! - its body returned an `Err` to a verb or a template that asks for a `Result`:
//!   [`execute_ok`](crate::Pool::execute_ok), [`fallible`](crate::TaskBuilder::fallible),
//!   [`retry`](crate::TaskBuilder::retry),
//!   [`GatherScope::submit`](crate::compose::GatherScope::submit),
//!   [`stage_ok`](crate::compose::Pipeline::stage_ok), a schedule, a wait whose name ends in `_ok`;
//! - it panicked;
//! - a time limit of its own passed;
//! - the pool did not take it.
//!
//! To `submit`, a `Result` is a value like any other: its handle is there to be looked into. A task
//! that was cancelled has not failed. Nor has one that returned an `Err` after it was asked to
//! stop: it has ended for that, whatever the type of its error, and settles as cancelled (or as
//! timed out, if a time limit asked). An `Ok` stands.
//!
//! ```
//! use millhand::{Retry, Shutdown, TaskError, ThreadPool};
//!
//! let pool = ThreadPool::new(1)?;
//! let copy = pool.task().retry(Retry::default()).submit(|| {
//!     while millhand::check().is_ok() {}
//!     Err::<(), _>("half a file") // `retry` would try again, but the task was asked to stop
//! });
//! copy.cancel();
//! assert!(matches!(copy.join(), Err(TaskError::Cancelled(_))));
//! assert_eq!(pool.shutdown(Shutdown::drain())?.failed(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Nothing is lost in silence
//!
//! | the task | its failure is in | and if no code reads that |
//! | --- | --- | --- |
//! | `submit` | the handle | a panic, a time-out or a refusal is logged, and the hook is called; a value is dropped, also an `Err` |
//! | `submit` of a `fallible` or `retry` template | the handle | so it is with an `Err` |
//! | `execute` | | a panic, a time-out or a refusal is logged, and the hook is called; there is no other failure |
//! | `execute_ok` | | an `Err`, a panic, a time-out or a refusal is logged, and the hook is called |
//! | `try_submit`, `submit_timeout`, `try_execute`, `try_execute_ok` | a refusal: in the error, which gives the closure back | the compiler warns |
//! | in a [`Scope`](crate::Scope) | the handle | a panic goes on in the thread that opened the scope; a refusal panics there |
//! | in a [`GatherScope`](crate::compose::GatherScope) | the handle | the scope returns it |
//! | an item of a pipeline, or of a template's `map_iter`, `map`, `for_each` | the results | of an iterator that is dropped: as with `execute_ok` |
//! | a run of a schedule | | an `Err`, a panic or a time-out is logged, the hook is called, and the schedule counts it |
//!
//! The record in the log is an error, with the name and the submit site of the task. The hook is
//! [`on_unread`](crate::pool::PoolBuilder::on_unread), which can count, alert, or end the program.
//! The [report](crate::pool::ShutdownReport) of a shutdown has one count for each kind of end.
//!
//! # Bad input
//!
//! Values that may come from a configuration (numbers of workers, rates, time limits) give a
//! `Result`: they are checked where they are used, and the error names the option and what is
//! allowed. Options of a task that contradict each other make its submission a rejected one, and
//! [`check`](crate::TaskBuilder::check) finds them when the program starts. Two time limits of
//! which one always comes first do not contradict each other: the earlier one counts. The rest is a
//! mistake in the program itself. It panics, at the line of the caller, and the docs say so.
//!
//! [`TaskError`]: crate::TaskError
//! [`TaskError::Interrupted`]: crate::TaskError::Interrupted
//! [`TaskError::WouldDeadlock`]: crate::TaskError::WouldDeadlock
