//! Reads the counts of a pool.

use crate::observe::Stats;
use crate::pool::core::Core;
use crate::pool::lifecycle::Phase;
use crate::pool::slot_counts::Overview;
use std::sync::Arc;

impl Core {
    /// How many tasks have succeeded.
    pub(crate) fn succeeded(&self) -> u64 {
        self.workers.lock().succeeded() + self.counts.succeeded.sum()
    }

    pub(crate) fn name(&self) -> Arc<str> {
        self.options.name_prefix.as_str().into()
    }

    /// What has ended is read before what was submitted: so it never exceeds that.
    pub(crate) fn stats(&self) -> Stats {
        let counts = &self.counts;
        let succeeded = self.succeeded();
        let [failed, panicked, cancelled, expired, timed_out, rejected] = counts.outcomes();
        // Of two numbers of which the first grows before the second, the second is read first.
        let due = counts.due.sum();
        let delayed = counts.delayed.sum();
        let Overview {
            workers,
            threads,
            busy,
            blocked,
            idle,
        } = self.run_slots.overview();
        // Each lock is released before the next is taken.
        let queued = self.queued();
        let gated = self.parked.lock().len();
        let waiting = self.continuations.lock().len();
        let states = self.workers();
        let running = states.iter().map(|one| one.stack.running()).sum();
        let now = self.clock().now();
        let oldest_queued = match self.options.track_queue {
            true => self.oldest_queued(),
            false => None,
        };
        let oldest_queued = oldest_queued.map(|(due, _)| now.saturating_duration_since(due));
        let small = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Stats {
            pool: self.name(),
            succeeded,
            failed,
            panicked,
            cancelled,
            expired,
            timed_out,
            rejected,
            submitted: self.lifecycle.submitted(),
            retries: counts.retries.sum(),
            unread: counts.unread.sum(),
            spares_started: counts.spares_started.sum(),
            queued,
            delayed: small(delayed.saturating_sub(due)),
            gated,
            waiting,
            running,
            workers,
            threads,
            busy,
            blocked,
            idle,
            uptime: now.saturating_duration_since(self.began),
            // The sampler ends with the pool.
            rates: self
                .watch
                .rates()
                .filter(|_| self.lifecycle.phase() < Phase::Over),
            oldest_queued,
            #[cfg(feature = "histograms")]
            times: self.times(),
        }
    }
}
