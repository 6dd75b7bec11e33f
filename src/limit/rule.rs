//! The rule of a gate: may this task pass now, and if not, when.
//!
//! Layer: limit. A rule is a pure decision: time is an argument, and a rule never waits, locks or
//! calls back. The gate keeps the rule under a lock, and the queue of those that wait for it.

use crate::limit::bucket::Bucket;
use crate::limit::lanes::Fifo;
use crate::limit::semaphore::Permits;
use crate::limit::window::Window;
use std::time::{Duration, Instant};

/// Why a task cannot pass now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The task passes at this instant if nothing else changes, and not before.
    Until(Instant),
    /// The task passes when another one returns something. The rule cannot name an instant.
    Later,
}

/// The decision of a gate. `order` is the place of a task in the order of all tasks, and `weight`
/// is how much the task asks for.
///
/// A caller refuses a weight above [`Rule::max_weight`], since it would never pass. A rule that is
/// asked for one answers [`Refusal::Later`]. A `now` before one that the rule has seen is harmless:
/// then no time has passed for the rule.
#[derive(Debug)]
pub(crate) enum Rule {
    Bucket(Bucket),
    Window(Window),
    Permits(Permits),
    Fifo(Fifo),
}

/// What never changes about a rule. A gate keeps it where it can be read without the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuleKind {
    /// A bucket or a window: what is taken never comes back, and time brings more.
    Rate,
    /// What is taken is returned, and time changes nothing.
    Permits,
    /// As permits. Besides, each task enters the order of the rule before it asks.
    Fifo,
}

impl Rule {
    pub(crate) fn kind(&self) -> RuleKind {
        match self {
            Self::Bucket(_) | Self::Window(_) => RuleKind::Rate,
            Self::Permits(_) => RuleKind::Permits,
            Self::Fifo(_) => RuleKind::Fifo,
        }
    }

    /// Whether `weight` can be taken now.
    pub(crate) fn ask(&self, now: Instant, order: u64, weight: u32) -> Result<(), Refusal> {
        match self {
            Self::Bucket(bucket) => bucket.ask(now, weight),
            Self::Window(window) => window.ask(now, weight),
            Self::Permits(permits) => permits.ask(weight),
            Self::Fifo(fifo) => fifo.ask(order),
        }
    }

    /// Takes `weight` if that can be done now. A refusal takes nothing.
    pub(crate) fn try_take(
        &mut self,
        now: Instant,
        order: u64,
        weight: u32,
    ) -> Result<(), Refusal> {
        match self {
            Self::Bucket(bucket) => bucket.try_take(now, weight),
            Self::Window(window) => window.try_take(now, weight),
            Self::Permits(permits) => permits.try_take(weight),
            Self::Fifo(fifo) => fifo.ask(order),
        }
    }

    /// Takes what the caller has just asked for with the same arguments, and may take.
    pub(crate) fn take(&mut self, now: Instant, order: u64, weight: u32) {
        let taken = self.try_take(now, order, weight);
        debug_assert_eq!(taken, Ok(()), "taken without being allowed");
    }

    /// A task enters the order of a FIFO rule.
    pub(crate) fn enter(&mut self, order: u64) {
        if let Self::Fifo(fifo) = self {
            fifo.enter(order);
        }
    }

    /// The body of a task has returned, or a permit was dropped. `last`: the task does not run
    /// again.
    pub(crate) fn release(&mut self, order: u64, weight: u32, last: bool) {
        match self {
            Self::Permits(permits) => permits.release(weight),
            Self::Fifo(fifo) if last => fifo.leave(order),
            _ => {}
        }
    }

    /// Whether nothing is taken and time would bring nothing more, so that a new rule in place of
    /// this one would behave the same.
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        match self {
            Self::Bucket(bucket) => bucket.is_fresh(now),
            Self::Window(window) => window.is_fresh(now),
            Self::Permits(permits) => permits.is_fresh(),
            Self::Fifo(fifo) => fifo.is_empty(),
        }
    }

    /// The most that one request may ask for.
    pub(crate) fn max_weight(&self) -> u32 {
        match self {
            Self::Bucket(bucket) => bucket.burst(),
            Self::Window(window) => window.max_weight(),
            // A request is for one, which passes once there are permits.
            Self::Permits(_) | Self::Fifo(_) => u32::MAX,
        }
    }

    /// How much could be taken now.
    pub(crate) fn available(&self, now: Instant) -> u32 {
        match self {
            Self::Bucket(bucket) => bucket.available(now),
            Self::Window(window) => window.available(now),
            Self::Permits(permits) => permits.available(),
            Self::Fifo(fifo) => u32::from(fifo.is_empty()),
        }
    }

    /// Lower bound for when `wanted` units in total can have been taken, one by one, starting now.
    /// `None` if that depends on others returning something. `acquire_timeout` fails at once if
    /// its deadline is earlier.
    pub(crate) fn earliest(&self, now: Instant, wanted: u64) -> Option<Instant> {
        match self {
            Self::Bucket(bucket) => Some(bucket.earliest(now, wanted)),
            Self::Window(window) => window.earliest(now, wanted),
            Self::Permits(_) | Self::Fifo(_) => None,
        }
    }

    /// Changes the number of permits of a semaphore.
    pub(crate) fn set_permits(&mut self, number: u32) {
        if let Self::Permits(permits) = self {
            permits.set(number);
        }
    }

    /// Changes the rate of a bucket from `now` on. Returns false if the new rate makes no sense,
    /// and for all other rules.
    pub(crate) fn set_rate(&mut self, now: Instant, rate: u32, per: Duration) -> bool {
        match self {
            Self::Bucket(bucket) => bucket.set_rate(now, rate, per),
            _ => false,
        }
    }
}
