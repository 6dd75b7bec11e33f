//! The copies of jobs in the store to which `move` takes them.

use crate::survey::{FROM, HELD};
use millhand::jobs::{
    Due, Filter, JobId, JobInfo, JobState, Jobs, JobsError, NewJob, Placed, StoredTime, Unique,
    UniqueUntil,
};
use std::time::Duration;

/// For so long a copy is held. Then it begins, so that a move that was killed, and is never run
/// again, loses nothing.
pub(crate) const HOLD: Duration = Duration::from_secs(600);

/// So many jobs are copied at once, or so many bytes.
pub(crate) const MOST: usize = 100;
pub(crate) const MOST_BYTES: usize = 8 << 20;

/// What the target has of a job of the source.
pub(crate) enum Copied {
    Held(JobId),
    /// It is free there: its time has come before the source removed the job.
    Free,
    Taken,
}

pub(crate) struct Copies<'a> {
    target: &'a Jobs,
    /// The name of the store from which the jobs come.
    from: String,
    /// That of the name, for keys, which are short.
    hash: String,
}

impl<'a> Copies<'a> {
    pub(crate) fn new(target: &'a Jobs, from: String) -> Self {
        let hash = blake3::hash(from.as_bytes()).to_hex()[..16].to_owned();
        Self { target, from, hash }
    }

    /// Makes copies that are held, or finds them.
    pub(crate) fn copy(&self, jobs: &[JobInfo]) -> Result<Vec<Copied>, JobsError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let copies: Vec<_> = jobs.iter().map(|job| self.held_copy(job)).collect();
        let placed = self.target.enqueue_records(&copies)?;
        let found = jobs.iter().zip(placed).map(|(job, placed)| match placed {
            Placed::New(id) => Ok(Copied::Held(id)),
            Placed::Existing(id) | Placed::Replaced(id) => {
                let holder = self.target.get(id)?;
                let mark = self.mark(job);
                let copy = holder.filter(|copy| copy.meta.get(FROM) == Some(&mark));
                Ok(match copy {
                    None => Copied::Taken,
                    Some(copy) if is_held(&copy) => Copied::Held(id),
                    Some(_) => Copied::Free,
                })
            }
        });
        found.collect()
    }

    /// Names a job of the source. A store that was made anew has the same ids at other times.
    fn mark(&self, job: &JobInfo) -> String {
        format!("{}#{}@{}", self.from, job.id, job.enqueued_at.0)
    }

    fn held_copy(&self, job: &JobInfo) -> NewJob {
        let mut copy = again(job);
        let key = match &job.unique_key {
            Some(key) if !(job.meta.contains_key(FROM) && key.starts_with("move:")) => key.clone(),
            _ => format!("move:{}:{}:{}", self.hash, job.id, job.enqueued_at.0),
        };
        copy.unique = Some(Unique {
            key,
            until: UniqueUntil::Ended,
        });
        copy.due = Due::After(HOLD);
        copy.meta.insert(FROM.to_owned(), self.mark(job));
        let times = [Some(job.due_at), job.expires_at];
        let times = times.into_iter().flatten().map(|time| time.0.to_string());
        let times: Vec<_> = times.collect();
        copy.meta.insert(HELD.to_owned(), times.join(" "));
        copy
    }

    pub(crate) fn cancel(&self, copy: JobId) -> Result<(), JobsError> {
        self.target.cancel(copy).map(drop)
    }

    /// These are due and expire when their jobs would. In their order.
    pub(crate) fn free(&self, copies: &[JobId]) -> Result<(), JobsError> {
        let now = self.target.storage().now()?;
        self.replace(copies, |copy| {
            let held = copy.meta.remove(HELD).unwrap_or_default();
            let mut times = held.split(' ').map(|time| time.parse().map(StoredTime));
            let due = times.next().and_then(Result::ok).unwrap_or(now);
            // What was due before is due now.
            copy.due = Due::At(due.max(now));
            let expires = times.next().and_then(Result::ok);
            copy.expires = expires.map(|at| at.since(due.max(now)));
        })
    }

    /// Changes copies that are held.
    fn replace(&self, copies: &[JobId], change: impl Fn(&mut NewJob)) -> Result<(), JobsError> {
        for part in copies.chunks(MOST) {
            let (mut changed, mut bytes) = (Vec::new(), 0);
            for copy in part {
                let copy = self.target.get(*copy)?.filter(is_held);
                // Without a copy that is held, its time has come.
                let Some(copy) = copy else { continue };
                let mut record = again(&copy);
                let Some(key) = copy.unique_key else { continue };
                record.unique = Some(Unique {
                    key,
                    until: UniqueUntil::Ended,
                });
                record.replace = true;
                change(&mut record);
                bytes += record.payload.len();
                changed.push(record);
                if bytes > MOST_BYTES {
                    self.target.enqueue_records(&changed)?;
                    (changed, bytes) = (Vec::new(), 0);
                }
            }
            if !changed.is_empty() {
                self.target.enqueue_records(&changed)?;
            }
        }
        Ok(())
    }

    /// They are held for as long again.
    pub(crate) fn hold_on(&self, copies: &[JobId]) -> Result<(), JobsError> {
        self.replace(copies, |copy| copy.due = Due::After(HOLD))
    }

    /// All that are held, each with the id of its job in the source.
    pub(crate) fn held(&self) -> Result<Vec<(JobInfo, JobId)>, JobsError> {
        let filter = Filter {
            state: Some(JobState::Scheduled),
            ..Filter::default()
        };
        let mut held = Vec::new();
        for copy in self.target.list(filter) {
            let copy = copy?;
            if let Some(id) = self.origin(&copy).filter(|_| is_held(&copy)) {
                held.push((copy, id));
            }
        }
        Ok(held)
    }

    /// The id in the source of the job of a copy, if the copy comes from there.
    fn origin(&self, copy: &JobInfo) -> Option<JobId> {
        let mark = copy.meta.get(FROM)?.strip_prefix(self.from.as_str())?;
        let (id, _) = mark.strip_prefix('#')?.split_once('@')?;
        id.parse().ok()
    }
}

fn is_held(copy: &JobInfo) -> bool {
    copy.state == JobState::Scheduled && copy.claims == 0 && copy.meta.contains_key(HELD)
}

/// A job with what is known of another one, but for its unique key.
fn again(job: &JobInfo) -> NewJob {
    let mut again = NewJob::new(&job.queue, &job.kind, job.payload.clone());
    again.priority = job.priority;
    again.due = Due::At(job.due_at);
    again.expires = job.expires_at.map(|at| at.since(job.due_at));
    again.keep = job.keep;
    again.max_crashes = job.max_crashes;
    again.at_most_once = job.at_most_once;
    again.lane.clone_from(&job.lane);
    again.meta.clone_from(&job.meta);
    again
}
