//! Which job has a unique key.
//!
//! Layer: jobs.

use crate::jobs::{JobId, NewJob, StoredTime, UniqueUntil};
use std::collections::{BTreeSet, HashMap};

#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) held: HashMap<Key, Holder>,
    /// The keys that are free at a time, by these times.
    by_time: BTreeSet<(StoredTime, Key)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) kind: String,
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Holder {
    pub(super) job: JobId,
    /// The key is free at this time. Without one the state of the job decides.
    pub(super) until: Option<StoredTime>,
}

impl Key {
    pub(super) fn of(new: &NewJob) -> Option<Self> {
        let unique = new.unique.as_ref()?;
        Some(Self {
            kind: new.kind.clone(),
            text: unique.key.clone(),
        })
    }
}

impl Keys {
    pub(super) fn holder(&self, key: &Key, now: StoredTime) -> Option<JobId> {
        let holder = self.held.get(key)?;
        let is_free = holder.until.is_some_and(|until| until <= now);
        (!is_free).then_some(holder.job)
    }

    /// Gives the key of the job to the job.
    pub(super) fn take(&mut self, id: JobId, new: &NewJob, now: StoredTime) {
        let (Some(key), Some(unique)) = (Key::of(new), &new.unique) else {
            return;
        };
        let until = match unique.until {
            UniqueUntil::Elapsed(time) => Some(now + time),
            UniqueUntil::Ended | UniqueUntil::Started => None,
        };
        self.free(&key);
        self.by_time.extend(until.map(|until| (until, key.clone())));
        self.held.insert(key, Holder { job: id, until });
    }

    /// Frees the key of the job, if it has it and no time decides.
    pub(super) fn release(&mut self, id: JobId, new: &NewJob) {
        let own = Holder {
            job: id,
            until: None,
        };
        if let Some(key) = Key::of(new).filter(|key| self.held.get(key) == Some(&own)) {
            self.free(&key);
        }
    }

    pub(super) fn free(&mut self, key: &Key) {
        if let Some(until) = self.held.remove(key).and_then(|holder| holder.until) {
            self.by_time.remove(&(until, key.clone()));
        }
    }

    /// Forgets at most so many keys that are free by now. Returns how many.
    pub(super) fn forget(&mut self, most: usize, now: StoredTime) -> u64 {
        let mut forgotten = 0;
        while forgotten < most as u64 && self.has_old(now) {
            if let Some((_, key)) = self.by_time.pop_first() {
                self.held.remove(&key);
            }
            forgotten += 1;
        }
        forgotten
    }

    pub(super) fn has_old(&self, now: StoredTime) -> bool {
        self.by_time.first().is_some_and(|(until, _)| *until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Unique;
    use std::time::Duration;

    fn new(until: UniqueUntil) -> NewJob {
        let mut new = NewJob::new("q", "k", "");
        new.unique = Some(Unique {
            key: "key".to_owned(),
            until,
        });
        new
    }

    #[test]
    fn a_job_frees_no_key_but_its_own() {
        let mut keys = Keys::default();
        let new = new(UniqueUntil::Ended);
        let key = Key::of(&new).unwrap();
        keys.take(JobId(1), &new, StoredTime(0));
        keys.release(JobId(2), &new);
        assert_eq!(keys.holder(&key, StoredTime(0)), Some(JobId(1)));
        keys.release(JobId(1), &new);
        assert_eq!(keys.holder(&key, StoredTime(0)), None);
    }

    #[test]
    fn a_key_for_a_time_is_free_then_and_forgotten_once() {
        let mut keys = Keys::default();
        let new = new(UniqueUntil::Elapsed(Duration::from_millis(5)));
        let key = Key::of(&new).unwrap();
        keys.take(JobId(1), &new, StoredTime(0));
        keys.release(JobId(1), &new);
        assert_eq!(keys.holder(&key, StoredTime(4)), Some(JobId(1)));
        assert_eq!(keys.holder(&key, StoredTime(5)), None);
        // Taken again, it is that of the second job, for its time.
        keys.take(JobId(2), &new, StoredTime(5));
        assert_eq!(keys.forget(9, StoredTime(9)), 0);
        assert_eq!(keys.holder(&key, StoredTime(9)), Some(JobId(2)));
        assert_eq!(keys.forget(9, StoredTime(10)), 1);
        assert!(keys.held.is_empty() && keys.by_time.is_empty());
    }
}
