//! The schedules of a consumer.
//!
//! Layer: jobs.

use crate::jobs::error::JobsError;
use crate::jobs::record::Tick;
use crate::jobs::schedule::JobSchedule;
use crate::jobs::storage::Storage;
use crate::jobs::time::StoredTime;
use crate::pool::ServiceHost;
use std::time::Duration;

/// The schedules, each with the last time that is done.
pub(super) struct Ticking<'a>(Vec<(&'a JobSchedule, Option<StoredTime>)>);

impl<'a> Ticking<'a> {
    pub(super) fn new(schedules: &'a [JobSchedule]) -> Self {
        Self(schedules.iter().map(|schedule| (schedule, None)).collect())
    }

    /// Each schedule with the queue of its jobs.
    pub(super) fn queues(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter();
        all.map(|(schedule, _)| (&*schedule.name, &*schedule.queue))
    }

    /// Stores the jobs whose times have come, unless another process has done so. Returns how long
    /// there is none. After an error the next round does the same again, which harms nothing.
    pub(super) fn round(
        &mut self,
        storage: &dyn Storage,
        host: &ServiceHost,
    ) -> Result<Duration, JobsError> {
        let mut wait = Duration::MAX;
        for (schedule, done) in &mut self.0 {
            let last = match *done {
                Some(last) => last,
                None => {
                    let rule = schedule.rule.to_string();
                    storage.register_schedule(&schedule.name, &rule)?.last_tick
                }
            };
            let now = storage.now()?;
            let due = schedule.due(last, now);
            for &at in &due {
                fire(storage, host, schedule, at)?;
            }
            // The clock may have been set back: what is done stays done.
            let last = due.last().copied().unwrap_or(last);
            *done = Some(last);
            if let Some(next) = schedule.rule.next_after(last.max(now)) {
                wait = wait.min(next.since(now));
            }
        }
        Ok(wait)
    }
}

fn fire(
    storage: &dyn Storage,
    host: &ServiceHost,
    schedule: &JobSchedule,
    at: StoredTime,
) -> Result<(), JobsError> {
    let name = &schedule.name;
    let what = format!("the schedule {name:?}, of which a time is left out,");
    let job = match host.catch_panic(&what, || schedule.job(at)) {
        None => return Ok(()),
        Some(Ok(job)) => job,
        Some(Err(error)) => {
            host.warn(&format!(
                "a time of the schedule {name:?} is left out: {error}"
            ));
            return Ok(());
        }
    };
    let tick = Tick {
        schedule: name,
        at,
        job: &job,
    };
    match storage.tick(&tick) {
        Err(error) if !error.is_transient() => {
            host.warn(&format!(
                "a time of the schedule {name:?} is left out: {error}"
            ));
            Ok(())
        }
        answer => answer.map(drop),
    }
}
