//! Crashes: processes that share a file are killed, stopped and cut off, and nothing is lost or
//! ended twice.
//!
//! - `child`: copies of this program, and what one does to them.
//! - `book`: what the children have done, written to a file that is not the storage's.
//! - `kills`: workers and enqueuers are killed.
//! - `stops`: workers are stopped for a while, or asked to end.
//! - `schedules`: processes that share schedules are killed.
//! - `copies`: a file from any moment of a process, and with any part of the WAL.
//! - `files`: a lock that others hold, a file that two open at once, a disk that is full.
//! - `worlds`: clocks that jump, calls that fail, and a deploy of another version.
//!
//! No verdict depends on time. A lease may end too early on a machine that is slow, so the bounds
//! are those of the leases that have ended, and not those of the kills.
//!
//! `MILLHAND_KILLS` sets how often the tests kill, stop and copy. Default: 100.

pub(crate) mod book;
pub(crate) mod child;
mod copies;
mod files;
mod kills;
mod schedules;
#[cfg(feature = "signals")]
mod stops;
mod worlds;

use crate::support::Folder;
use millhand::jobs::{Job, Jobs, Sqlite};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// How long a test waits for what must come. Never decides a test that passes.
const LONG: Duration = Duration::from_secs(120);

/// What the children run. Nothing when this is not a child.
#[test]
fn the_child() {
    match child::role().as_deref() {
        None => {}
        Some("worker") => kills::worker(),
        Some("enqueuer") => kills::enqueuer(),
        Some("busy") => copies::busy(),
        Some("noter full") => copies::noter_full(),
        Some("noter normal") => copies::noter_normal(),
        Some("opener") => files::opener(),
        #[cfg(feature = "signals")]
        Some("full") => files::full(),
        Some("version 1") => worlds::version_1(),
        Some("version 2") => worlds::version_2(),
        Some("scheduler") => schedules::scheduler(),
        #[cfg(feature = "signals")]
        Some("sleeper") => stops::sleeper(),
        #[cfg(feature = "signals")]
        Some("graceful") => stops::graceful(),
        #[cfg(all(target_os = "linux", feature = "redis"))]
        Some(role) if role.starts_with("redis ") => crate::redis_crash::run_child(role),
        Some(other) => panic!("no such child: {other}"),
    }
}

/// How often to kill.
fn kills() -> usize {
    let set = std::env::var("MILLHAND_KILLS").ok();
    set.map_or(100, |kills| kills.parse().unwrap())
}

/// A job that names itself, in its payload and in its output.
#[derive(Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) n: u64,
}

impl Job for Work {
    const NAME: &'static str = "work";
    type Output = u64;
}

fn file(folder: &Path) -> PathBuf {
    folder.join("jobs.db")
}

fn open(folder: &Path) -> Jobs {
    Jobs::open(Sqlite::open(file(folder)).unwrap()).unwrap()
}

/// Waits until it holds, or fails in place of hanging.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "in vain: {what}");
        std::thread::sleep(5 * MS);
    }
}

/// Waits until every lease has ended. Then nothing runs, and nothing is wrong.
pub(crate) fn all_is_at_rest(jobs: &Jobs) {
    until("all leases end", || {
        jobs.storage().sweep(1000).unwrap();
        jobs.sessions().unwrap().is_empty()
    });
    let counts = jobs.counts().unwrap();
    let running: u64 = counts.queues.iter().map(|queue| queue.running).sum();
    assert_eq!(running, 0, "{counts:?}");
    assert_eq!(jobs.check(false).unwrap(), []);
}

/// Random numbers: splitmix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self(RandomState::new().hash_one(0))
    }

    pub(crate) fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut n = self.0;
        n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((n ^ (n >> 31)) % most as u64).unwrap()
    }

    /// Up to so many milliseconds, so that a kill comes at any moment of what is under way.
    pub(crate) fn pause(&mut self, most: usize) {
        let micros = self.below(1000 * most + 1) as u64;
        std::thread::sleep(Duration::from_micros(micros));
    }
}
