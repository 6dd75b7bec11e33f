//! The exchange: ends, leases, what is due, claims. In this order, under one lock.
//!
//! Layer: jobs.

use super::job::Job;
use super::table::Table;
use crate::jobs::{
    Claimed, Ended, Exchange, Exchanged, JobId, JobsError, Judged, MOST_DUE, StoredTime, Verdict,
    Want,
};

/// At most so many sessions are swept in an exchange.
const MOST_SESSIONS: usize = 10;

impl Table {
    pub(super) fn exchange(
        &mut self,
        exchange: &Exchange<'_>,
        now: StoredTime,
    ) -> Result<Exchanged, JobsError> {
        self.sessions.count(exchange.session, exchange.number)?;
        let ends = exchange.ended.iter();
        let judged = ends.map(|ended| self.judge(ended, now)).collect();
        self.end_leases(MOST_SESSIONS, now);
        let has_more_due = self.move_due(now);
        let alive = self.sessions.contains(exchange.session);
        let mut claimed = Vec::new();
        let mut more = has_more_due || self.sessions.has_lapsed(now);
        for want in exchange.wanted.iter().filter(|_| alive) {
            more |= self.claim(exchange, want, now, &mut claimed);
        }
        Ok(Exchanged {
            alive,
            now,
            next_due: self.index.due.first().map(|(due_at, _)| *due_at),
            judged,
            claimed,
            more,
        })
    }

    fn judge(&mut self, ended: &Ended, now: StoredTime) -> Judged {
        let job = self.jobs.get(&ended.id);
        if !job.is_some_and(|job| job.takes_end_of(ended.claim)) {
            return Judged::Gone;
        }
        let has_ended = self.change(ended.id, now, |job| {
            job.judge(&ended.verdict, now);
            job.has_ended()
        });
        match has_ended {
            Some(true) => Judged::Ended,
            Some(false) => {
                let is_retry = matches!(ended.verdict, Verdict::Retry { .. });
                self.totals.retried += u64::from(is_retry);
                Judged::Waits
            }
            None => Judged::Gone,
        }
    }

    /// Returns whether more jobs are due.
    fn move_due(&mut self, now: StoredTime) -> bool {
        for _ in 0..MOST_DUE {
            match self.index.due.first() {
                Some(&(due_at, id)) if due_at <= now => {
                    self.step(id, now, Job::become_ready);
                    self.hand_on(now);
                }
                _ => break,
            }
        }
        // Now that all of them have joined their lanes.
        self.settle(now);
        let first = self.index.due.first();
        first.is_some_and(|(due_at, _)| *due_at <= now)
    }

    /// Claims from one queue. Returns whether another claim would find more.
    fn claim(
        &mut self,
        exchange: &Exchange<'_>,
        want: &Want,
        now: StoredTime,
        claimed: &mut Vec<Claimed>,
    ) -> bool {
        for _ in 0..want.most {
            let Some(id) = self.next_to_claim(want, now) else {
                return false;
            };
            claimed.extend(self.change(id, now, |job| {
                job.begin(exchange.session, exchange.number, now);
                job.claimed(id)
            }));
            if let Some(line) = self.index.lines.get_mut(&want.queue) {
                line.claims += 1;
            }
            if let Some(limits) = self.limits.get_mut(&want.queue) {
                limits.count();
            }
        }
        want.most > 0 && self.next_to_claim(want, now).is_some()
    }

    /// Ends the jobs in front of it that have expired.
    fn next_to_claim(&mut self, want: &Want, now: StoredTime) -> Option<JobId> {
        loop {
            let line = self.index.lines.get(&want.queue)?;
            let id = line.next(&want.kinds)?;
            if let Some(limits) = self.limits.get_mut(&want.queue) {
                if !limits.allow_one_more(line.running_count, now) {
                    return None;
                }
            }
            if !self.jobs.get(&id)?.has_expired(now) {
                return Some(id);
            }
            self.expire(id, now);
        }
    }

    pub(super) fn expire(&mut self, id: JobId, now: StoredTime) {
        self.change(id, now, |job| job.expire(now));
    }
}
