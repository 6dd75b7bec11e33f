//! What is seen of a schedule from outside: its description, what it reports, and its end in the
//! log.
//!
//! Layer: schedule.

use crate::observe::{Event, ScheduleInfo};
use crate::panic::{self, Level};
use crate::pool::Core;
use crate::schedule::planner::{ScheduleCounts, ScheduleEnd};
use crate::schedule::runner::Runner;
use std::sync::Arc;

impl Runner {
    /// Describes it.
    pub(super) fn info(&self) -> ScheduleInfo {
        let state = self.state.lock();
        let counts = state.planner.counts();
        let (due, last_run) = (state.planner.due(), state.last_run);
        let is_paused = state.planner.is_paused();
        drop(state);
        ScheduleInfo {
            id: self.key,
            name: self.name.clone(),
            site: self.site,
            next_run: due.and_then(|due| self.timeline.time_of_day(due)),
            last_run,
            is_paused,
            runs: counts.runs,
            left_out: counts.skips + counts.misses,
            failures: counts.failures,
        }
    }

    /// Pauses the schedule, or else resumes it.
    pub(crate) fn set_paused(self: &Arc<Self>, is_paused: bool) {
        self.apply(|planner, now| planner.set_paused(is_paused, now));
    }

    /// Reports to observers that runs were left out. The timer leaves that to a worker.
    pub(super) fn report_left_out(
        &self,
        core: &Arc<Core>,
        before: ScheduleCounts,
        now: ScheduleCounts,
        on_timer: bool,
    ) {
        let (skips, misses) = (now.skips - before.skips, now.misses - before.misses);
        if skips + misses == 0 || !core.is_observed() {
            return;
        }
        let (name, site) = (self.name.clone(), self.site);
        let pool = core.clone();
        let emit = move || {
            if skips > 0 {
                let (name, runs) = (name.clone(), skips);
                pool.emit(|| Event::ScheduleSkipped { name, site, runs });
            }
            if misses > 0 {
                let runs = misses;
                pool.emit(|| Event::ScheduleMissed { name, site, runs });
            }
        };
        if on_timer {
            core.serve_later(Box::new(emit));
        } else {
            emit();
        }
    }

    /// Logs that the schedule has ended, if that is an error.
    pub(super) fn log_end(&self, reason: Option<ScheduleEnd>) {
        let why = match reason {
            Some(ScheduleEnd::Panicked) => "a run panicked",
            Some(ScheduleEnd::Failed) => "the search for its next time panicked",
            _ => return,
        };
        let (open, name, close) = match &self.name {
            Some(name) => ("`", &**name, "` "),
            None => ("", "", ""),
        };
        panic::log(
            Level::Error,
            format_args!(
                "the schedule {open}{name}{close}made at {} has ended: {why}",
                self.site
            ),
        );
    }
}
