//! What is measured: one file per row, and what the rows share.

mod backlog;
mod delayed;
mod execute;
mod fork_join;
mod gate;
mod map;
mod round_trip;
mod submit_join;
mod ten_us;
mod work;

pub use work::{steps, work};

use crate::contenders::{BARE, THREADS};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// All rows, in the order of the table.
pub const ALL: &[&Row] = &[
    &execute::EXECUTE,
    &execute::EXECUTE_1,
    &submit_join::SUBMIT_JOIN,
    &submit_join::SUBMIT_JOIN_2,
    &round_trip::ROUND_TRIP,
    &round_trip::ROUND_TRIP_1,
    &execute::FOUR_PRODUCERS,
    &ten_us::TEN_US,
    &fork_join::FORK_JOIN,
    &backlog::BACKLOG,
    &map::MAP,
    &map::MAP_SKEWED,
    &delayed::DELAYED,
    &delayed::DELAYED_CPU,
    &gate::GATE,
    &gate::GATE_JOIN,
];

/// One measurement, alike for all contenders that can do it.
pub struct Row {
    pub key: &'static str,
    pub title: &'static str,
    pub unit: Unit,
    /// The contenders. The first one is ours: the others are compared with it.
    pub contenders: &'static [&'static str],
    /// The contenders that are printed but are no peers. (The bare channel never is one.)
    pub yardsticks: &'static [&'static str],
    pub aims: &'static [Aim],
    /// Measures one contender once, warmed up, in a process that does nothing else. Returns the
    /// figure in the row's unit.
    pub measure: fn(contender: &str) -> f64,
}

impl Row {
    pub fn ours(&self) -> &'static str {
        self.contenders[0]
    }

    pub fn peers(&self) -> impl Iterator<Item = &'static str> {
        let no_peer = |name: &&str| *name == BARE || self.yardsticks.contains(name);
        self.contenders[1..]
            .iter()
            .copied()
            .filter(move |name| !no_peer(name))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    NanosPerTask,
    NanosPerItem,
    Micros,
    Millis,
    ShareOfIdeal,
}

impl Unit {
    pub fn name(self) -> &'static str {
        match self {
            Self::NanosPerTask => "ns per task",
            Self::NanosPerItem => "ns per item",
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::ShareOfIdeal => "share of ideal",
        }
    }

    pub fn less_is_better(self) -> bool {
        self != Self::ShareOfIdeal
    }
}

/// What we aim at with our figure.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    pub against: Against,
    /// The greatest ratio of our cost to theirs. For an aim without an opponent, the worst
    /// figure.
    pub bound: f64,
}

#[derive(Clone, Copy, Debug)]
pub enum Against {
    BestPeer,
    Contender(&'static str),
    /// The figure itself is what counts.
    Itself,
}

/// What a task's closure carries: 24 bytes, as much as a `String`. A closure that carries nothing
/// is boxed without an allocation.
pub type Words = [u64; 3];

pub fn words() -> Words {
    black_box([1, 2, 3])
}

/// Runs once in full before it counts. A process clears the pages of a backlog once in its life,
/// and that is the system's work and not a pool's.
pub fn warm_up<T>(run: impl FnOnce() -> T) {
    run();
}

pub fn use_up(words: Words) {
    black_box(words);
}

/// How many tasks a contender gets where pools get 300,000. The figures are per task, and a
/// thread per task is slow.
pub fn tasks(contender: &str) -> u64 {
    if contender == THREADS { 3_000 } else { 300_000 }
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub fn nanos_each(time: Duration, count: u64) -> f64 {
    time.as_nanos() as f64 / count as f64
}

/// The mean of the middle half. The figures that the machine's other work disturbed do not count.
/// No single one of the others decides alone, as it would in a median when there are two typical
/// results.
pub fn middle_half(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let quarter = figures.len() / 4;
    let middle = &figures[quarter..figures.len() - quarter];
    middle.iter().sum::<f64>() / middle.len() as f64
}

/// Counts the tasks that have run, so that counting costs next to nothing and causes no
/// contention: each of the first threads has a cache line of its own, and the waiting thread adds
/// them up. All contenders wait for their last task in this way.
pub struct Ran;

const LINES: usize = 64;

#[repr(align(128))]
struct Line(AtomicU64);

/// Each line is written by one thread. The first line is shared by all threads that found no free
/// one.
static LINE: [Line; LINES] = [const { Line(AtomicU64::new(0)) }; LINES];
static TAKEN: AtomicUsize = AtomicUsize::new(1);

impl Ran {
    /// Counts one task, on the thread that ran it.
    pub fn one() {
        thread_local!(static MINE: Cell<usize> = const { Cell::new(usize::MAX) });
        let mut mine = MINE.get();
        if mine == usize::MAX {
            let next = TAKEN.fetch_add(1, Ordering::Relaxed);
            mine = if next < LINES { next } else { 0 };
            MINE.set(mine);
        }
        let line = &LINE[mine].0;
        if mine == 0 {
            line.fetch_add(1, Ordering::Relaxed);
        } else {
            line.store(line.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    pub fn total() -> u64 {
        LINE.iter().map(|line| line.0.load(Ordering::Relaxed)).sum()
    }

    /// Waits until so many tasks have run since the program began. It looks again and again with
    /// a nap between. A waiter that spins would take a core from the workers, and the nap is
    /// short beside what is measured.
    pub fn wait_for(total: u64) {
        while Self::total() < total {
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    /// How long it takes until `f` has returned and the tasks that it submitted have run.
    pub fn time(tasks: u64, f: impl FnOnce()) -> Duration {
        let before = Self::total();
        let start = Instant::now();
        f();
        Self::wait_for(before + tasks);
        start.elapsed()
    }
}
