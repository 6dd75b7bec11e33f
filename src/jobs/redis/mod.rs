//! Jobs on a Redis server.
//!
//! - `storage`: the type, and the trait's methods.
//! - `options`, `open`: how a server is reached, and what is looked at first.
//! - `lua/`, `scripts`: what the server does in each step. `lua/prelude.lua` lists all keys.
//! - `line`, `fault`: connections, and what goes wrong with them; `tls`: those that are encrypted.
//! - `ask`, `reply`: what goes into a script and comes out of it.
//! - `look`, `queues`: filters and pages; settings, schedules, sessions.
//! - `check`: looks for what is wrong.
//! - `listen`, `notifiers`: wakes what waits, by news of all processes.
//!
//! Layer: jobs.

mod ask;
mod check;
mod fault;
mod line;
mod listen;
mod look;
mod notifiers;
mod open;
mod options;
mod queues;
mod reply;
mod scripts;
mod shared;
mod storage;
#[cfg(feature = "redis-tls")]
mod tls;

pub use options::RedisOptions;
pub use storage::Redis;
