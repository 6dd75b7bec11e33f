//! The steps of an exchange with the model.
//!
//! Layer: jobs.

use crate::jobs::conformance::model::job::Job;
use crate::jobs::conformance::model::state::State;
use crate::jobs::{
    Claimed, Ended, Exchange, Exchanged, JobId, JobState, JobsError, JobsErrorKind, Judged,
    MOST_DUE, Outcome, StoredTime, Verdict, Want, cut_error,
};
use std::collections::VecDeque;

impl State {
    pub(crate) fn exchange(
        &mut self,
        exchange: &Exchange<'_>,
        now: StoredTime,
    ) -> Result<Exchanged, JobsError> {
        if let Some(lease) = self.lease(exchange.session) {
            if exchange.number <= lease.number {
                let text = format!("exchange {} is not a new one", exchange.number);
                return Err(JobsError::new(JobsErrorKind::Stale, text));
            }
            lease.number = exchange.number;
        }
        let ended = exchange.ended.iter();
        let judged = ended.map(|ended| self.judge(ended, now)).collect();
        self.forget_dead();
        let lapsed = self.lapse_all(10, now);
        let more_due = self.move_due(now);
        let alive = self.lease(exchange.session).is_some();
        let mut claimed = Vec::new();
        if alive {
            for want in exchange.wanted {
                self.claim(exchange, want, now, &mut claimed);
            }
        }
        let waits = |job: &&Job| job.state == JobState::Scheduled;
        Ok(Exchanged {
            alive,
            now,
            next_due: self.jobs.iter().filter(waits).map(|job| job.due_at).min(),
            judged,
            claimed,
            more: lapsed.more || more_due,
        })
    }

    fn judge(&mut self, ended: &Ended, now: StoredTime) -> Judged {
        let judged = self.judge_one(ended, now);
        if judged == Judged::Ended {
            self.settle(ended.id, now);
        }
        judged
    }

    fn judge_one(&mut self, ended: &Ended, now: StoredTime) -> Judged {
        let Some(job) = self.job(ended.id) else {
            return Judged::Gone;
        };
        let has_it = job.state == JobState::Running || job.has_lapsed;
        if !has_it || job.claims != ended.claim {
            return Judged::Gone;
        }
        let wait_until = |job: &mut Job, after| {
            job.wait_or_end(JobState::Scheduled, now);
            if !job.state.has_ended() {
                job.due_at = now + after;
            }
        };
        match ended.verdict.clone() {
            Verdict::Done { output, keep } => {
                job.end(Outcome::Done(output), keep, now);
                self.totals.done += 1;
            }
            Verdict::Retry { after, error } => {
                wait_until(job, after);
                job.failures += 1;
                job.error = Some(cut_error(&error).to_owned());
                if !job.state.has_ended() {
                    self.totals.retried += 1;
                    return Judged::Waits;
                }
                self.totals.cancelled += 1;
            }
            Verdict::Postponed { after } => {
                wait_until(job, after);
                if !job.state.has_ended() {
                    return Judged::Waits;
                }
                self.totals.cancelled += 1;
            }
            Verdict::Back => {
                job.wait_or_end(JobState::Ready, now);
                if !job.state.has_ended() {
                    return Judged::Waits;
                }
                self.totals.cancelled += 1;
            }
            Verdict::Dead { error } => {
                let error = cut_error(&error).to_owned();
                job.failures += 1;
                job.error = Some(error.clone());
                job.end(Outcome::Dead(error), None, now);
                self.totals.dead += 1;
            }
            Verdict::Cancelled => {
                job.end(Outcome::Cancelled, None, now);
                self.totals.cancelled += 1;
            }
        }
        Judged::Ended
    }

    /// Returns whether there are more.
    fn move_due(&mut self, now: StoredTime) -> bool {
        let is_due = |job: &&Job| job.state == JobState::Scheduled && job.due_at <= now;
        let due = self.jobs.iter().filter(is_due);
        let mut due: Vec<_> = due.map(|job| (job.due_at, job.id)).collect();
        due.sort();
        for &(_, id) in due.iter().take(MOST_DUE) {
            self.join(id, now);
        }
        self.end_late(now);
        due.len() > MOST_DUE
    }

    /// A job that would be claimed if it had not expired.
    fn expired_in_line(&self, want: &Want, now: StoredTime) -> Option<JobId> {
        let is_in_line = |job: &&Job| {
            job.new.queue == want.queue
                && job.state == JobState::Ready
                && want.kinds.contains(&job.new.kind)
                && want.most > 0
        };
        let mut line = self.jobs.iter().filter(is_in_line);
        line.find(|job| job.has_expired(now)).map(|job| job.id)
    }

    fn claim(
        &mut self,
        exchange: &Exchange<'_>,
        want: &Want,
        now: StoredTime,
        claimed: &mut Vec<Claimed>,
    ) {
        let settings = self.queues.get(&want.queue).copied().unwrap_or_default();
        if settings.paused {
            return;
        }
        while let Some(id) = self.expired_in_line(want, now) {
            self.expire(id, now);
        }
        let of_queue = |job: &&mut Job| job.new.queue == want.queue;
        let runs = |job: &&mut Job| of_queue(job) && job.state == JobState::Running;
        let running = self.jobs.iter_mut().filter(runs).count();
        let can_begin = |job: &&mut Job| {
            of_queue(job)
                && job.state == JobState::Ready
                && want.kinds.contains(&job.new.kind)
                && !job.has_expired(now)
        };
        let limit = settings
            .max_running
            .map_or(usize::MAX, |most| usize::try_from(most).unwrap());
        let mut most = want.most.min(limit.saturating_sub(running));
        if let Some((rate, period)) = settings.rate {
            // In thousandths of a claim.
            let full = u128::from(rate) * 1000;
            let (left, at) = self.tokens.get(&want.queue).copied().unwrap_or((full, now));
            let more = full * now.since(at).as_nanos() / period.as_nanos();
            let left = full.min(left + more);
            most = most.min(usize::try_from(left / 1000).unwrap());
            self.tokens.insert(want.queue.clone(), (left, now));
        }
        let mut line: Vec<&mut Job> = self.jobs.iter_mut().filter(can_begin).collect();
        line.sort_by_key(|job| (std::cmp::Reverse(job.new.priority), job.id));
        let mut line = VecDeque::from(line);
        let count = self.claims.entry(want.queue.clone()).or_default();
        for _ in 0..most {
            let Some(last) = line.back().map(|job| job.new.priority) else {
                break;
            };
            *count += 1;
            let place = match *count % 32 {
                0 => line.partition_point(|job| job.new.priority > last),
                _ => 0,
            };
            let job = line.remove(place).unwrap();
            job.state = JobState::Running;
            job.claims += 1;
            job.has_lapsed = false;
            job.runs_in = Some((exchange.session, exchange.number));
            let began_at = *job.began_at.get_or_insert(now);
            if let Some((left, _)) = self.tokens.get_mut(&want.queue) {
                *left -= 1000;
            }
            claimed.push(Claimed {
                id: job.id,
                claim: job.claims,
                kind: job.new.kind.clone(),
                queue: job.new.queue.clone(),
                priority: job.new.priority,
                at_most_once: job.new.at_most_once,
                failures: job.failures,
                crashes: job.crashes,
                enqueued_at: job.enqueued_at,
                began_at,
                error: job.error.clone(),
                meta: job.new.meta.clone(),
                payload: job.new.payload.clone(),
            });
        }
    }
}
