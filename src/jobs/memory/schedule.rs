//! Schedules: which times were stored.
//!
//! Layer: jobs.

use super::table::Table;
use crate::jobs::{JobsError, NewJob, ScheduleChange, StoredSchedule, StoredTime};

impl Table {
    pub(super) fn register_schedule(
        &mut self,
        name: &str,
        rule: &str,
        now: StoredTime,
    ) -> StoredSchedule {
        let new = || StoredSchedule {
            name: name.to_owned(),
            last_tick: now,
            ..StoredSchedule::default()
        };
        let schedule = self.schedules.entry(name.to_owned()).or_insert_with(new);
        if schedule.rule != rule {
            schedule.rule = rule.to_owned();
        }
        schedule.clone()
    }

    /// Returns whether the time was not stored before, and is now.
    pub(super) fn tick(
        &mut self,
        name: &str,
        at: StoredTime,
        job: NewJob,
        now: StoredTime,
    ) -> Result<bool, JobsError> {
        self.check_parents(std::slice::from_ref(&job))?;
        match self.schedules.get_mut(name) {
            Some(schedule) if !schedule.paused && schedule.last_tick < at && at <= now => {
                schedule.last_tick = at;
            }
            _ => return Ok(false),
        }
        let is_new = self.place(job, now).is_new();
        if let Some(schedule) = self.schedules.get_mut(name) {
            schedule.runs += u64::from(is_new);
        }
        Ok(true)
    }

    /// Returns whether there is one of this name.
    pub(super) fn set_schedule(
        &mut self,
        name: &str,
        change: ScheduleChange,
        now: StoredTime,
    ) -> bool {
        let paused = match change {
            ScheduleChange::Forget => return self.schedules.remove(name).is_some(),
            ScheduleChange::Pause => true,
            ScheduleChange::Resume => false,
        };
        let Some(schedule) = self.schedules.get_mut(name) else {
            return false;
        };
        if schedule.paused && !paused {
            // What was due meanwhile is not made up for.
            schedule.last_tick = schedule.last_tick.max(now);
        }
        schedule.paused = paused;
        true
    }
}
