//! What is measured: one row each, and what the rows share.

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

/// In the order of the table.
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
    &map::MAP,
    &map::MAP_SKEWED,
    &delayed::DELAYED,
    &delayed::DELAYED_CPU,
    &gate::GATE,
    &gate::GATE_JOIN,
];

/// One thing that is measured, alike for all who can do it.
pub struct Row {
    pub key: &'static str,
    pub title: &'static str,
    pub unit: Unit,
    /// Those that can do it. The first is ours: what the others are compared with.
    pub contenders: &'static [&'static str],
    /// Of them, those that are printed but are no peers. (The bare channel never is one.)
    pub yardsticks: &'static [&'static str],
    pub aims: &'static [Aim],
    /// Measures one contender, once, warm, in a process that does nothing else. Gives the figure, in the row's unit.
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

/// What we want of our figure.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    pub against: Against,
    /// Against somebody: the greatest ratio of our cost to theirs. By itself: the worst figure.
    pub bound: f64,
}

#[derive(Clone, Copy, Debug)]
pub enum Against {
    BestPeer,
    Contender(&'static str),
    /// The figure itself is what counts.
    Itself,
}

/// What a task's closure carries: 24 bytes, as much as a `String`. Without, a boxed closure would take no memory at all.
pub type Words = [u64; 3];

pub fn words() -> Words {
    black_box([1, 2, 3])
}

/// Once as a whole before it counts: a process clears the pages of a backlog once in its life, and that is the system's work
/// and not a pool's.
pub fn warm_up<T>(run: impl FnOnce() -> T) {
    run();
}

pub fn use_up(words: Words) {
    black_box(words);
}

/// How many tasks a contender gets where pools get 300,000: the figures are per task, and a thread each takes its time.
pub fn tasks(contender: &str) -> u64 {
    if contender == THREADS { 3_000 } else { 300_000 }
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub fn nanos_each(time: Duration, count: u64) -> f64 {
    time.as_nanos() as f64 / count as f64
}

/// The mean of the middle half: what the machine's other work fell into does not count, and of the rest no single figure
/// decides alone, as a median would have it when there are two ways that things may go.
pub fn middle_half(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let quarter = figures.len() / 4;
    let middle = &figures[quarter..figures.len() - quarter];
    middle.iter().sum::<f64>() / middle.len() as f64
}

/// How many tasks have run, counted so that the counting costs next to nothing and is no meeting point: each of the first
/// threads has a cache line of its own, and somebody who has time adds them up. What all pools have in common to wait for
/// their last task by, without a word from the pool.
pub struct Ran;

const LINES: usize = 64;

#[repr(align(128))]
struct Line(AtomicU64);

/// Written by the thread that has the line, but for the first, which all threads share that came too late for their own.
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

    /// Waits until so many have run since the program began. Looks again and again with a nap between, since a waiter that
    /// spins would take a core from the workers; the nap is short beside what is measured.
    pub fn wait_for(total: u64) {
        while Self::total() < total {
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    /// How long `f` takes, and then so many tasks that it has sent off.
    pub fn time(tasks: u64, f: impl FnOnce()) -> Duration {
        let before = Self::total();
        let start = Instant::now();
        f();
        Self::wait_for(before + tasks);
        start.elapsed()
    }
}
