//! What millhand costs by itself, and how that grows: memory, allocations, queues, workers, start
//! and stop, an idle pool, a loaded machine. Each figure is measured in a process of its own, as
//! those of the rows are.

mod allocations;
mod chart;
mod drive;
mod growth;
mod hold;
mod idle;
mod life;
mod loaded;
mod memory;
mod origin;
mod report;
mod spinning;

pub use drive::{drive, measure};
pub use loaded::burn;

use crate::options::ALLOCATORS;

/// All costs, in the order of the report.
const ALL: &[&Cost] = &[
    &memory::EXECUTE,
    &memory::JOIN,
    &allocations::EXECUTE,
    &allocations::JOIN,
    &allocations::BYTES,
    &growth::QUEUED_EXECUTE,
    &growth::QUEUED_JOIN,
    &growth::WORKERS_EXECUTE,
    &growth::WORKERS_JOIN,
    &life::START,
    &life::STOP,
    &life::SHUTDOWN,
    &idle::IDLE,
    &spinning::MOST,
    &spinning::PROCESSOR,
    &loaded::MEAN,
    &loaded::MEDIAN,
    &origin::THROUGHPUT,
    &origin::ROUND_TRIP,
];

/// One cost that is measured for one size or for several. Less is better in all of them.
struct Cost {
    key: &'static str,
    title: &'static str,
    unit: &'static str,
    /// The contenders, ours first.
    contenders: &'static [&'static str],
    /// The name of the size that the figure depends on, and the sizes. A single size if the
    /// figure depends on none.
    sizes: &'static [u64],
    of: &'static str,
    /// The allocators. One if the allocator makes no difference.
    allocators: &'static [&'static str],
    /// The largest number of rounds, for a figure that takes long or is always the same.
    most_rounds: usize,
    aim: Option<Aim>,
    /// Measures the figure. None if it cannot be measured here.
    measure: fn(contender: &str, size: u64) -> Option<f64>,
}

const BOTH: &[&str] = &ALLOCATORS;
const SYSTEM: &[&str] = &[ALLOCATORS[0]];

/// What we aim at with our figures.
#[derive(Clone, Copy)]
enum Aim {
    AtMost(f64),
    /// At most so many times the second contender's figure of the same round.
    OfTheOther(f64),
    /// The greatest figure over all sizes is at most so many times the least.
    FlatWithin(f64),
}
