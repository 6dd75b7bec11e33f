//! Compares what the table finds jobs by with the jobs themselves.
//!
//! Layer: jobs.
//
// What follows from the jobs is made anew, and compared with what is there. To mend is to take the
// new one.

use super::index::Index;
use super::keys::{Holder, Key};
use super::table::Table;
use crate::jobs::{Fault, JobId, StoredTime};
use std::collections::BTreeSet;

impl Table {
    pub(super) fn check(&mut self, mends: bool, now: StoredTime) -> Vec<Fault> {
        let mut faults = self.check_index(mends);
        faults.extend(self.check_sessions(mends, now));
        faults.extend(self.check_waits(mends, now));
        faults.extend(self.check_holders(mends));
        faults.extend(self.check_keys(mends, now));
        faults
    }

    /// Each job is in the index of its state, and in no other.
    fn check_index(&mut self, mends: bool) -> Vec<Fault> {
        let mut right = Index::default();
        for (id, job) in &self.jobs {
            right.add(*id, job);
        }
        for (queue, line) in &mut right.lines {
            line.claims = self.index.lines.get(queue).map_or(0, |line| line.claims);
        }
        let Index {
            lines,
            due,
            lanes,
            expiring,
            running,
            kept,
            dead,
        } = &self.index;
        let mut faults = Vec::new();
        for (name, is, should) in [
            ("scheduled", due, &right.due),
            ("expiring", expiring, &right.expiring),
            ("kept", kept, &right.kept),
            ("dead", dead, &right.dead),
        ] {
            let text = format!("the index of {name} jobs does not have it as it is");
            let wrong: BTreeSet<_> = is.symmetric_difference(should).collect();
            faults.extend(wrong.iter().map(|(_, id)| of_job(*id, &text, mends)));
        }
        let queues: BTreeSet<_> = lines.keys().chain(right.lines.keys()).collect();
        for queue in queues {
            if lines.get(queue) != right.lines.get(queue) {
                faults.push(of_none(
                    format!("the index of the queue {queue} is wrong"),
                    mends,
                ));
            }
        }
        if *running != right.running {
            faults.push(of_none("the index of running jobs is wrong", mends));
        }
        if *lanes != right.lanes {
            faults.push(of_none("the index of lanes is wrong", mends));
        }
        if mends {
            self.index = right;
        }
        faults
    }

    /// A job runs in a session that is open.
    fn check_sessions(&mut self, mends: bool, now: StoredTime) -> Vec<Fault> {
        let running = self.jobs.iter();
        let running = running.filter_map(|(id, job)| Some((*id, job.session()?)));
        let alone = running.filter(|(_, session)| !self.sessions.contains(*session));
        let alone: Vec<_> = alone.collect();
        let fault = |(id, session)| {
            if mends {
                self.change(id, now, |job| job.leave_session(now));
            }
            let text = format!("it runs in session {session}, which is not open");
            of_job(id, &text, mends)
        };
        alone.into_iter().map(fault).collect()
    }

    /// A key without a time is that of a job that holds it.
    fn check_holders(&mut self, mends: bool) -> Vec<Fault> {
        let is_wrong = |(key, holder): &(&Key, &Holder)| {
            let job = self.jobs.get(&holder.job);
            let holds = job.filter(|job| job.holds_key());
            holder.until.is_none() && holds.and_then(|job| Key::of(&job.new)).as_ref() != Some(*key)
        };
        let wrong = self.keys.held.iter().filter(is_wrong);
        let wrong: Vec<_> = wrong.map(|(key, held)| (key.clone(), held.job)).collect();
        let fault = |(key, id): (Key, JobId)| {
            if mends {
                self.keys.free(&key);
            }
            let text = format!("it has the unique key {:?}, which is not its own", key.text);
            of_job(id, &text, mends)
        };
        wrong.into_iter().map(fault).collect()
    }

    /// A job that is to hold a key has it. If another job has it, that is left as it is.
    fn check_keys(&mut self, mends: bool, now: StoredTime) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (id, job) in self.jobs.iter().filter(|(_, job)| job.holds_key()) {
            let Some(key) = Key::of(&job.new) else {
                continue;
            };
            let holder = self.keys.holder(&key, now);
            if holder == Some(*id) {
                continue;
            }
            let is_mended = mends && holder.is_none();
            if is_mended {
                self.keys.take(*id, &job.new, now);
            }
            let text = format!("it has not its unique key {:?}", key.text);
            faults.push(of_job(*id, &text, is_mended));
        }
        faults
    }
}

pub(super) fn of_job(job: JobId, text: &str, is_mended: bool) -> Fault {
    Fault {
        job: Some(job),
        text: text.to_owned(),
        is_mended,
    }
}

pub(super) fn of_none(text: impl Into<String>, is_mended: bool) -> Fault {
    Fault {
        job: None,
        text: text.into(),
        is_mended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Exchange, NewJob, SessionInfo, Unique, UniqueUntil, Want};
    use std::time::Duration;

    const NOW: StoredTime = StoredTime(0);

    /// A running job, a ready one and a scheduled one, each with a key.
    fn table() -> Table {
        let mut table = Table::default();
        let jobs = [0, 0, 1].map(|minutes| {
            let mut new = NewJob::new("q", "k", "");
            new.due = crate::jobs::Due::After(Duration::from_secs(60 * minutes));
            new
        });
        for (place, mut new) in jobs.into_iter().enumerate() {
            new.unique = Some(Unique {
                key: place.to_string(),
                until: UniqueUntil::Ended,
            });
            table.place(new, NOW);
        }
        let info = SessionInfo::default();
        let session = table.open_session(&info, Duration::from_secs(60), NOW);
        let want = Want {
            queue: "q".to_owned(),
            kinds: vec!["k".to_owned()],
            most: 1,
        };
        let exchange = Exchange {
            session,
            number: 1,
            ended: &[],
            wanted: &[want],
        };
        assert_eq!(table.exchange(&exchange, NOW).unwrap().claimed.len(), 1);
        table
    }

    #[test]
    fn what_is_whole_has_no_faults() {
        assert_eq!(table().check(false, NOW), []);
    }

    #[test]
    fn a_job_without_its_session_does_not_begin_twice_if_it_must_not() {
        let mut table = table();
        table.jobs.get_mut(&JobId(1)).unwrap().new.at_most_once = true;
        table.sessions = Default::default();
        table.check(true, NOW);
        assert_eq!(table.jobs[&JobId(1)].state(), crate::jobs::JobState::Dead);
    }

    #[test]
    fn what_is_broken_is_found_and_mended() {
        type Break = fn(&mut Table);
        let breaks: [(&str, Break); 6] = [
            ("scheduled", |table| table.index.due.clear()),
            ("queue", |table| table.index.lines.clear()),
            ("running", |table| table.index.running.clear()),
            ("session", |table| table.sessions = Default::default()),
            ("not its own", |table| {
                table.jobs.remove(&JobId(2));
            }),
            ("has not", |table| table.keys = Default::default()),
        ];
        for (word, break_it) in breaks {
            let mut table = table();
            break_it(&mut table);
            let seen = table.check(false, NOW);
            let is_seen = |fault: &Fault| fault.text.contains(word) && !fault.is_mended;
            assert!(seen.iter().any(is_seen), "{word}: {seen:?}");
            let mended = table.check(true, NOW);
            assert_eq!(mended.len(), seen.len());
            assert!(mended.iter().all(|fault| fault.is_mended), "{mended:?}");
            assert_eq!(table.check(false, NOW), [], "{word}");
        }
    }
}
