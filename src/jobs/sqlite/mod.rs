//! Jobs in a SQLite file.
//!
//! - `storage`: the type, and the trait's methods.
//! - `options`, `open`, `schema`: how a file is opened, and what is in it.
//! - `writer`, `waits`, `work`: the thread that writes, and what an operation works with.
//! - `enqueue`, `claim`, `limits`, `end`, `sessions`: the path of a job.
//! - `lanes`, `follow`: what waits for other jobs.
//! - `read`, `change`, `check`: what one sees, and changes by hand.
//! - `within`: the same in a transaction of the user's own.
//! - `listen`: wakes what waits, also in other processes.
//! - `statements`, `fault`, `shared`, `threads`: every statement, errors, what the threads share.
//!
//! Layer: jobs.

mod change;
mod check;
mod claim;
mod end;
mod enqueue;
mod fault;
mod follow;
mod lanes;
mod limits;
mod listen;
mod open;
mod options;
mod read;
mod schema;
mod sessions;
mod shared;
mod statements;
mod storage;
mod threads;
mod waits;
mod within;
mod work;
mod writer;

pub use options::{Durability, SqliteOptions};
pub use storage::Sqlite;
