//! What time asks for.
//!
//! Layer: jobs.

use super::table::Table;
use crate::jobs::{JobId, StoredTime, Swept};
use std::collections::BTreeSet;

impl Table {
    pub(super) fn sweep(&mut self, most: usize, now: StoredTime) -> Swept {
        let expired_before = self.totals.expired;
        let lapsed = self.end_leases(most, now);
        for id in first_of(&self.index.expiring, most, now) {
            // The end of another one may have ended it.
            if self.jobs.get(&id).is_some_and(|job| job.has_expired(now)) {
                self.expire(id, now);
            }
        }
        let old = first_of(&self.index.kept, most, now);
        for id in &old {
            self.forget(*id, now);
        }
        let free_keys = self.keys.forget(most, now);
        self.batches.forget(most, now);
        Swept {
            sessions: lapsed.sessions,
            returned: lapsed.returned,
            died: lapsed.dead,
            expired: self.totals.expired - expired_before,
            forgotten: old.len() as u64 + free_keys,
            more: self.sessions.has_lapsed(now)
                || !first_of(&self.index.expiring, 1, now).is_empty()
                || !first_of(&self.index.kept, 1, now).is_empty()
                || self.keys.has_old(now),
        }
    }
}

/// The first jobs whose time has come.
fn first_of(by_time: &BTreeSet<(StoredTime, JobId)>, most: usize, now: StoredTime) -> Vec<JobId> {
    let come = by_time.iter().take_while(|(time, _)| *time <= now);
    come.take(most).map(|(_, id)| *id).collect()
}
