//! Compares jobs with those for which they wait: those that they follow, and those of their lanes.
//!
//! Layer: jobs.

use super::check::{of_job, of_none};
use super::job::{Job, State};
use super::table::Table;
use crate::jobs::{Fault, JobId, Outcome, StoredTime};
use std::collections::{BTreeMap, HashMap, HashSet};

impl Table {
    pub(super) fn check_waits(&mut self, mends: bool, now: StoredTime) -> Vec<Fault> {
        let mut faults = self.check_children(mends, now);
        faults.extend(self.check_kept(mends, now));
        faults.extend(self.check_parents_of_blocked(mends, now));
        faults.extend(self.check_holders_of_lanes(mends, now));
        faults.extend(self.check_free_lanes(mends, now));
        faults
    }

    /// A child is a job that lives and names its parent.
    fn check_children(&mut self, mends: bool, now: StoredTime) -> Vec<Fault> {
        let after = |(id, job): (&JobId, &Job)| (*id, job.new.after.iter().copied().collect());
        let with_parents = self
            .jobs
            .iter()
            .filter(|(_, job)| !job.new.after.is_empty());
        let parents: HashMap<JobId, HashSet<JobId>> = with_parents.map(after).collect();
        let links = self.jobs.iter();
        let links = links.flat_map(|(id, job)| job.children.iter().map(|child| (*id, *child)));
        let is_wrong = |(parent, child): &(JobId, JobId)| {
            let named = parents.get(child);
            !named.is_some_and(|named| named.contains(parent))
        };
        let wrong: Vec<_> = links.filter(is_wrong).collect();
        let fault = |(parent, child)| {
            if mends {
                self.let_go(parent, child, now);
            }
            let text =
                format!("it is kept for job {child}, which does not live or does not follow it");
            of_job(parent, &text, mends)
        };
        wrong.into_iter().map(fault).collect()
    }

    /// A job whose time is over is kept for a child.
    fn check_kept(&mut self, mends: bool, now: StoredTime) -> Vec<Fault> {
        let kept = self.jobs.iter().filter(|(_, job)| job.is_kept_for_none());
        let kept: Vec<JobId> = kept.map(|(id, _)| *id).collect();
        let fault = |id| {
            if mends {
                self.remove(id, now);
            }
            of_job(
                id,
                "its outcome is kept, and no job lives that follows it",
                mends,
            )
        };
        kept.into_iter().map(fault).collect()
    }

    /// A job that follows others waits for some that live, and that know it.
    fn check_parents_of_blocked(&mut self, mends: bool, now: StoredTime) -> Vec<Fault> {
        let mut wrong: BTreeMap<JobId, Vec<JobId>> = BTreeMap::new();
        for (id, job) in &self.jobs {
            let State::Following { open } = &job.state else {
                continue;
            };
            let is_lost = |parent: &&JobId| {
                let parent = self.jobs.get(parent);
                !parent.is_some_and(|parent| !parent.has_ended() && parent.children.contains(id))
            };
            let lost: Vec<JobId> = open.iter().filter(is_lost).copied().collect();
            if !lost.is_empty() || open.is_empty() {
                wrong.insert(*id, lost);
            }
        }
        let fault = |(id, lost)| {
            if mends {
                self.mend_parents(id, lost, now);
            }
            of_job(id, "it waits for jobs that do not end any more", mends)
        };
        wrong.into_iter().map(fault).collect()
    }

    fn mend_parents(&mut self, id: JobId, lost: Vec<JobId>, now: StoredTime) {
        for parent in lost {
            match self.jobs.get_mut(&parent) {
                Some(job) if !job.has_ended() => drop(job.children.insert(id)),
                job => {
                    let outcome = job.as_ref().and_then(|job| job.outcome());
                    let is_done = matches!(outcome, Some(Outcome::Done(_)));
                    self.pass_on(parent, id, is_done, now);
                    self.settle(now);
                }
            }
        }
        let job = self.jobs.get(&id).map(|job| &job.state);
        if matches!(job, Some(State::Following { open }) if open.is_empty()) {
            self.change(id, now, |job| job.go_on(now));
        }
    }

    /// A job that is ready or runs has its lane, and no other job has. Of two that have it, the one
    /// with the smaller id keeps it, as in the index.
    fn check_holders_of_lanes(&mut self, mends: bool, now: StoredTime) -> Vec<Fault> {
        let mut holders = HashMap::new();
        let mut wrong = Vec::new();
        for (id, job) in &self.jobs {
            let Some(lane) = &job.new.lane else {
                continue;
            };
            let is_right = match job.state {
                State::Ready { .. } | State::Running { .. } => job.has_lane,
                State::Scheduled => true,
                _ => !job.has_lane,
            };
            let is_first = !job.has_lane || *holders.entry(lane).or_insert(*id) == *id;
            if !is_right || !is_first {
                wrong.push(*id);
            }
        }
        let fault = |id| {
            if mends {
                self.change(id, now, |job| job.leave_lane(now));
            }
            of_job(
                id,
                "it has the lane of another job, or begins without its lane",
                mends,
            )
        };
        wrong.into_iter().map(fault).collect()
    }

    /// A lane for which jobs wait is that of a job.
    fn check_free_lanes(&mut self, mends: bool, now: StoredTime) -> Vec<Fault> {
        let free = self.index.lanes.free();
        let fault = |lane: String| {
            let text = format!("jobs wait for the lane {lane:?}, and no job has it");
            if mends {
                self.left.note_lane(lane);
                self.settle(now);
            }
            of_none(text, mends)
        };
        free.into_iter().map(fault).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{JobState, NewJob};

    const NOW: StoredTime = StoredTime(0);

    /// Three jobs of one lane, of which the first has it, and two that follow the first.
    fn table() -> Table {
        let mut table = Table::default();
        for place in 0..5 {
            let mut new = NewJob::new("q", "k", "");
            match place {
                0..3 => new.lane = Some("lane".to_owned()),
                _ => new.after = vec![JobId(1)],
            }
            table.place(new, NOW);
        }
        table
    }

    fn state(table: &Table, id: u64) -> JobState {
        table.jobs[&JobId(id)].state()
    }

    #[test]
    fn what_is_whole_has_no_faults() {
        let mut table = table();
        assert_eq!(table.check(false, NOW), []);
        table.change(JobId(1), NOW, |job| {
            job.end(Outcome::Done(Vec::new()), None, NOW);
        });
        assert_eq!(table.check(false, NOW), []);
    }

    #[test]
    fn what_is_broken_is_found_and_mended() {
        type Break = fn(&mut Table);
        let breaks: [(&str, Break); 8] = [
            ("no job has it", |table| {
                let job = table.jobs.remove(&JobId(1)).unwrap();
                table.index.remove(JobId(1), &job);
            }),
            ("begins without its lane", |table| {
                table.jobs.get_mut(&JobId(1)).unwrap().has_lane = false;
            }),
            ("lane of another", |table| {
                table.step(JobId(2), NOW, Job::take_lane);
            }),
            ("index of lanes", |table| {
                table.index.lanes = Default::default();
            }),
            ("do not end any more", |table| {
                let job = table.jobs.get_mut(&JobId(4)).unwrap();
                job.state = State::Following { open: [].into() };
            }),
            ("do not end any more", |table| {
                let job = table.jobs.get_mut(&JobId(1)).unwrap();
                job.children.remove(&JobId(4));
            }),
            ("kept for job 2", |table| {
                let job = table.jobs.get_mut(&JobId(1)).unwrap();
                job.children.insert(JobId(2));
            }),
            ("no job lives", |table| {
                table.step(JobId(3), NOW, |job| {
                    job.children.insert(JobId(4));
                    job.end(Outcome::Cancelled, None, NOW);
                });
                let job = table.jobs.get_mut(&JobId(3)).unwrap();
                job.children.clear();
            }),
        ];
        for (word, break_it) in breaks {
            let mut table = table();
            break_it(&mut table);
            let seen = table.check(false, NOW);
            let is_seen = |fault: &Fault| fault.text.contains(word) && !fault.is_mended;
            assert!(seen.iter().any(is_seen), "{word}: {seen:?}");
            let mended = table.check(true, NOW);
            assert!(mended.iter().all(|fault| fault.is_mended), "{mended:?}");
            assert_eq!(table.check(false, NOW), [], "{word}");
        }
    }

    #[test]
    fn of_two_that_have_a_lane_the_second_begins_again() {
        let mut table = table();
        let session = table.open_session(&Default::default(), std::time::Duration::MAX, NOW);
        table.step(JobId(2), NOW, Job::take_lane);
        for id in [1, 2] {
            table.change(JobId(id), NOW, |job| job.begin(session, 1, NOW));
        }
        table.check(true, NOW);
        assert_eq!(state(&table, 1), JobState::Running);
        assert_eq!(state(&table, 2), JobState::Blocked);
        assert_eq!(table.jobs[&JobId(2)].claims, 1);
        assert_eq!(table.check(false, NOW), []);
    }

    #[test]
    fn a_job_that_lost_what_it_follows_is_cancelled() {
        let mut table = table();
        let job = table.jobs.remove(&JobId(1)).unwrap();
        table.index.remove(JobId(1), &job);
        table.check(true, NOW);
        assert!(!table.jobs.contains_key(&JobId(4)));
        assert_eq!(table.totals.cancelled, 2);
        assert_eq!(state(&table, 2), JobState::Ready);
    }
}
