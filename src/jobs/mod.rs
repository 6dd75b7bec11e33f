//! Durable jobs: tasks that outlive the process.
//!
//! - `id`, `time`, `names`, `error`: the small words.
//! - `record`: what goes into a storage and comes out of it, on the path of a job.
//! - `session`, `look`: consumers as a storage knows them; what one sees and changes by hand.
//! - `notifier`: wakes those that wait for news.
//! - `storage`: the trait, and what it promises.
//! - `job`, `face`, `builder`, `handle`: what a program says of its jobs, stores, and waits for.
//! - `panel`: jobs on the page of a dashboard.
//! - `handler`, `context`, `schedule`, `consumer/`: how a program runs them.
//! - `memory`: the storage in the memory of the process.
//! - `conformance`: the tests that every storage must pass.
//! - `sqlite`: jobs in a SQLite file.
//! - `redis`: jobs on a Redis server.

mod builder;
#[cfg(feature = "conformance")]
pub mod conformance;
mod consumer;
mod context;
mod error;
mod face;
mod gather;
mod handle;
mod handler;
mod id;
mod job;
mod look;
mod memory;
mod names;
mod notifier;
#[cfg(feature = "dashboard")]
mod panel;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod schedule;
mod session;
#[cfg(feature = "sqlite")]
mod sqlite;
mod storage;
mod time;

pub use builder::{Enqueued, JobBuilder};
pub use consumer::{Consumer, ConsumerBuilder, ConsumerReport};
pub use context::{JobContext, Postponed};
pub use error::{JobsError, JobsErrorKind};
pub use face::Jobs;
pub use handle::{JobError, JobHandle};
pub use handler::Handler;
pub use id::{JobId, SessionId};
pub use job::Job;
pub use look::{Counts, Facts, Fate, Fault, Filter, JobInfo, JobState, Outcome, Page};
pub use look::{QueueChange, QueueCounts, QueueSettings, ScheduleChange, StoredSchedule, Totals};
pub use memory::{Memory, MemoryOptions};
pub use names::{MAX_PAYLOAD, check_batch, check_name, cut_error};
pub use notifier::{Listening, Notifier};
#[cfg(feature = "dashboard")]
pub use panel::{ConsumersPanel, JobsPanel};
pub use record::{Batch, BatchNumber, Claimed, Due, Ended, Exchange, Exchanged, Judged, Meta};
pub use record::{NewJob, Placed, Tick, Unique, UniqueUntil, Verdict, Want};
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisOptions};
pub use schedule::JobSchedule;
pub use session::{Heartbeat, Pulse, Session, SessionInfo, Swept};
pub use storage::{MOST_DUE, Storage, Watching};
pub use time::StoredTime;

#[cfg(feature = "sqlite")]
pub use rusqlite;
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, Sqlite, SqliteOptions};
