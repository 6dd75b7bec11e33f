//! What holds for a queue: a pause, how many jobs run at once, and how many begin in a time.
//!
//! Layer: jobs.

use crate::jobs::time::millis;
use crate::jobs::{JobsError, JobsErrorKind, QueueChange, QueueSettings, StoredTime};
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) settings: QueueSettings,
    /// Full at the beginning. `None` without a rate.
    bucket: Option<Bucket>,
}

/// A token bucket. The tokens are counted in parts: a job takes `cost`, and a millisecond brings
/// `gain`. So the count is exact for every rate.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    parts: u128,
    most: u128,
    gain: u128,
    cost: u128,
    refilled_at: StoredTime,
}

impl Limits {
    /// Makes the change, or refuses it.
    pub(super) fn change(&mut self, change: QueueChange, now: StoredTime) -> Result<(), JobsError> {
        match change {
            QueueChange::Pause => self.settings.paused = true,
            QueueChange::Resume => self.settings.paused = false,
            QueueChange::MaxRunning(most) => self.settings.max_running = most,
            QueueChange::Rate(Some((0, _)) | Some((_, Duration::ZERO))) => {
                return Err(JobsError::new(
                    JobsErrorKind::Invalid,
                    "a rate of no jobs, or in no time; one job or more in a millisecond or more is \
                     allowed",
                ));
            }
            // Every consumer may set it at its start. That is no reason for another burst.
            QueueChange::Rate(rate) if rate == self.settings.rate => {}
            QueueChange::Rate(rate) => {
                self.settings.rate = rate;
                self.bucket = rate.map(|(jobs, period)| Bucket::new(jobs, period, now));
            }
        }
        Ok(())
    }

    pub(super) fn is_default(&self) -> bool {
        self.settings == QueueSettings::default()
    }

    /// Whether another job may begin while so many run.
    pub(super) fn allow_one_more(&mut self, running: u64, now: StoredTime) -> bool {
        let settings = &self.settings;
        let has_room = settings
            .max_running
            .is_none_or(|most| running < u64::from(most));
        let has_token = |bucket: &mut Bucket| bucket.has_token(now);
        !settings.paused && has_room && self.bucket.as_mut().is_none_or(has_token)
    }

    /// A job begins that was allowed to.
    pub(super) fn count(&mut self) {
        if let Some(bucket) = &mut self.bucket {
            bucket.parts = bucket.parts.saturating_sub(bucket.cost);
        }
    }
}

impl Bucket {
    fn new(jobs: u32, period: Duration, now: StoredTime) -> Self {
        let (gain, cost) = (u128::from(jobs), millis(period).unsigned_abs().into());
        Self {
            parts: gain * cost,
            most: gain * cost,
            gain,
            cost,
            refilled_at: now,
        }
    }

    fn has_token(&mut self, now: StoredTime) -> bool {
        let passed = now.since(self.refilled_at).as_millis();
        self.parts = self.most.min(self.parts + passed * self.gain);
        // A clock that was set back begins here.
        self.refilled_at = now;
        self.parts >= self.cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(limits: &mut Limits, now: i64) -> u32 {
        let mut begun = 0;
        while limits.allow_one_more(0, StoredTime(now)) {
            limits.count();
            begun += 1;
        }
        begun
    }

    #[test]
    fn a_rate_gives_a_burst_and_then_its_pace() {
        let mut limits = Limits::default();
        let rate = QueueChange::Rate(Some((3, Duration::from_secs(1))));
        limits.change(rate, StoredTime(0)).unwrap();
        assert_eq!(begun(&mut limits, 0), 3);
        assert_eq!(begun(&mut limits, 333), 0);
        assert_eq!(begun(&mut limits, 334), 1);
        // Set again, it goes on. In 10 s it never passes 30 and the burst.
        limits.change(rate, StoredTime(334)).unwrap();
        let later: u32 = (335..=10_000).map(|now| begun(&mut limits, now)).sum();
        assert_eq!(later, 29);
        assert_eq!(begun(&mut limits, 1_000_000), 3);
    }

    #[test]
    fn a_clock_that_is_set_back_neither_gives_nor_takes() {
        let mut limits = Limits::default();
        let rate = QueueChange::Rate(Some((1, Duration::from_secs(1))));
        limits.change(rate, StoredTime(0)).unwrap();
        assert_eq!(begun(&mut limits, 5_000), 1);
        assert_eq!(begun(&mut limits, 0), 0);
        assert_eq!(begun(&mut limits, 999), 0);
        assert_eq!(begun(&mut limits, 1_000), 1);
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let mut limits = Limits::default();
        let rate = QueueChange::Rate(Some((u32::MAX, Duration::MAX)));
        limits.change(rate, StoredTime(i64::MIN)).unwrap();
        assert!(limits.allow_one_more(0, StoredTime(i64::MAX)));
    }

    #[test]
    fn a_limit_of_running_jobs_counts_those_that_run() {
        let mut limits = Limits::default();
        let now = StoredTime(0);
        limits
            .change(QueueChange::MaxRunning(Some(2)), now)
            .unwrap();
        assert!(limits.allow_one_more(1, now));
        assert!(!limits.allow_one_more(2, now));
        limits.change(QueueChange::Pause, now).unwrap();
        assert!(!limits.allow_one_more(0, now));
    }
}
