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
//! # Ok::<(), millhand::BuildError>(())
//! ```
//!
//! **`std::io::Error`.** [`Stopped`](crate::Stopped), [`TaskError`],
//! [`AcquireError`](crate::AcquireError) and the failures of groups of such bodies convert to it,
//! with the kind `TimedOut` where a time limit passed or a permit was not to be had, and never with
//! `Interrupted`, for which functions of std try again. Other errors, as that of
//! [`recv`](crate::recv), convert by `map_err(io::Error::other)`.
//!
//! # Causes of causes
//!
//! [`JoinError`](crate::JoinError), [`Failure`](crate::Failure) and
//! [`Failures`](crate::Failures) take any error that can be printed, so they cannot ask it for its
//! `source()`. Their text has what the body's error prints with `{:#}`: for `anyhow` the whole
//! chain, for most other errors the text of the error alone. Where the chain matters, use
//! `join_flat`, or take the error out with [`into_failed`](crate::JoinError::into_failed).
//!
//! `examples/errors.rs` has a whole program for each of the four.
//!
//! # Which failure is it?
//!
//! [`TaskError`] answers the common questions: [`is_panic`](crate::TaskError::is_panic),
//! [`is_cancelled`](crate::TaskError::is_cancelled), [`is_timeout`](crate::TaskError::is_timeout),
//! [`is_rejected`](crate::TaskError::is_rejected). [`into_panic`](crate::TaskError::into_panic)
//! takes a panic out, to [resume](crate::TaskPanic::resume) it. Several failures come as
//! [`Failures`](crate::Failures), each with its index, the name of its task and where that was
//! submitted; [`pick`](crate::Failures::pick) finds those of one type.
//!
//! # Bad input
//!
//! Values that may come from a configuration (numbers of workers, rates, time limits) are checked
//! where they are used, and the error names the option and what is allowed. Contradicting options
//! of a task make its submission a rejected one. Only what is a mistake in the program itself
//! panics, and its docs say so.
//!
//! [`TaskError`]: crate::TaskError
//! [`TaskError::Interrupted`]: crate::TaskError::Interrupted
//! [`TaskError::WouldDeadlock`]: crate::TaskError::WouldDeadlock
