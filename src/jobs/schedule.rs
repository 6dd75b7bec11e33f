//! Jobs that are stored at certain times, once for all processes.
//!
//! Layer: jobs.
//
// No process is the leader. Each computes the times by the rule alone, so all find the same ones.
// The storage takes each time once, from whichever process comes first.

#[cfg(feature = "cron")]
use crate::Cron;
use crate::jobs::builder::JobBuilder;
use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::job::Job;
use crate::jobs::record::{NewJob, Unique, UniqueUntil};
use crate::jobs::time::StoredTime;
use crate::schedule::{Missed, Overlap};
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, SystemTime};

/// Stores a job again and again, by a rule: made by [`JobBuilder::every`] and `JobBuilder::cron`,
/// and given to a consumer ([`ConsumerBuilder::schedule`]).
///
/// Any number of processes may have it. Each time of the rule stores one job in all of them. A
/// schedule fires while a consumer runs that has it. It is new when the first one starts, and its
/// first time is the next after that. If none ran for a while, one job stands for all the times
/// that were missed.
///
/// The function that makes the jobs runs on the thread of the consumer: it should be quick. If it
/// panics, or makes a job that is not allowed, its time is left out, and that is logged.
///
/// [`ConsumerBuilder::schedule`]: crate::jobs::ConsumerBuilder::schedule
///
/// Guide: [jobs](crate::guide::jobs).
#[must_use]
pub struct JobSchedule {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) queue: String,
    pub(super) rule: Rule,
    overlap: Overlap,
    missed: Missed,
    make: Box<Make>,
}

type Make = dyn Fn(SystemTime) -> Result<NewJob, JobsError> + Send + Sync;

/// Which times there are.
pub(super) enum Rule {
    Every(Duration),
    #[cfg(feature = "cron")]
    Cron(Cron),
}

impl JobBuilder {
    /// Stores a job each time that a period is over, counted from 1970: one of a day at midnight in
    /// UTC. `make` gets the time. `name` is that of the schedule in the storage.
    ///
    /// ```
    /// # use millhand::jobs::{Job, JobContext, Jobs, Memory};
    /// # use millhand::ThreadPool;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Sweep;
    /// # impl Job for Sweep { const NAME: &'static str = "sweep"; type Output = (); }
    /// use std::time::Duration;
    ///
    /// # let (jobs, pool) = (Jobs::open(Memory::new())?, ThreadPool::new(1)?);
    /// let hourly = jobs.job().every("sweep", Duration::from_secs(3600), |_| Sweep);
    /// jobs.consumer(&pool)
    ///     .queue("default", 1)
    ///     .handle(|_: Sweep, _: &JobContext| Ok::<_, String>(()))
    ///     .schedule(hourly)
    ///     .start()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn every<J: Job>(
        &self,
        name: impl Into<String>,
        period: Duration,
        make: impl Fn(SystemTime) -> J + Send + Sync + 'static,
    ) -> JobSchedule {
        JobSchedule::new(self, name.into(), Rule::Every(period), make)
    }

    /// Stores a job at the times of a cron expression. `make` gets the time. `name` is that of the
    /// schedule in the storage. The rules of the expression itself about overlap and missed times
    /// do not count here.
    ///
    /// ```
    /// # use millhand::jobs::{Job, Jobs, Memory};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Report;
    /// # impl Job for Report { const NAME: &'static str = "report"; type Output = (); }
    /// use millhand::Cron;
    ///
    /// # let jobs = Jobs::open(Memory::new())?;
    /// let at_two = Cron::parse("0 2 * * *", "Europe/Zurich")?;
    /// let nightly = jobs.job().cron("nightly", at_two, |_| Report); // for `schedule` of a consumer
    /// # let _ = nightly;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "cron")]
    pub fn cron<J: Job>(
        &self,
        name: impl Into<String>,
        cron: Cron,
        make: impl Fn(SystemTime) -> J + Send + Sync + 'static,
    ) -> JobSchedule {
        JobSchedule::new(self, name.into(), Rule::Cron(cron), make)
    }
}

impl JobSchedule {
    fn new<J: Job>(
        template: &JobBuilder,
        name: String,
        rule: Rule,
        make: impl Fn(SystemTime) -> J + Send + Sync + 'static,
    ) -> Self {
        let template = template.clone();
        Self {
            name,
            kind: J::NAME,
            queue: template.queue_or(J::QUEUE),
            rule,
            overlap: Overlap::default(),
            missed: Missed::default(),
            make: Box::new(move |time| template.build(&make(time))),
        }
    }

    /// Sets what happens at a time when the job of an earlier time has not ended. Default:
    /// [`Skip`](Overlap::Skip) stores none. [`Queue`](Overlap::Queue) stores one, unless another
    /// has not begun. [`Parallel`](Overlap::Parallel) stores each; limit the queue or the handler.
    /// A template that is unique by itself follows that in any case.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// Sets what happens to times that were missed, beside the last one, which is always made up
    /// for. Default: [`Skip`](Missed::Skip). With [`CatchUp`](Missed::CatchUp) the jobs of several
    /// times are stored together, so they overlap.
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    pub(super) fn check(&self) -> Result<(), JobsError> {
        match self.rule {
            Rule::Every(period) if period < Duration::from_millis(1) => Err(JobsError::new(
                JobsErrorKind::Invalid,
                format!(
                    "the schedule {:?} with a period of {period:?}; a millisecond or more is allowed",
                    self.name
                ),
            )),
            _ => Ok(()),
        }
    }

    /// The times after `last` and up to `now` for which a job is due.
    pub(super) fn due(&self, last: StoredTime, now: StoredTime) -> Vec<StoredTime> {
        let most = match self.missed {
            Missed::CatchUp(others) => others.saturating_add(1),
            _ => 1,
        };
        let mut due = VecDeque::new();
        let mut time = match &self.rule {
            // Not one by one: there may be millions.
            Rule::Every(period) => before_the_last(*period, most, last, now),
            #[cfg(feature = "cron")]
            Rule::Cron(_) => last,
        };
        while let Some(next) = self.rule.next_after(time).filter(|next| *next <= now) {
            if due.len() == most {
                due.pop_front();
            }
            due.push_back(next);
            time = next;
        }
        due.into()
    }

    /// The job for a time.
    pub(super) fn job(&self, time: StoredTime) -> Result<NewJob, JobsError> {
        let mut job = (self.make)(time.into())?;
        let until = match self.overlap {
            Overlap::Skip => Some(UniqueUntil::Ended),
            Overlap::Queue => Some(UniqueUntil::Started),
            Overlap::Parallel(_) => None,
        };
        if let (None, Some(until)) = (&job.unique, until) {
            let key = format!("schedule:{}", self.name);
            job.unique = Some(Unique { key, until });
        }
        job.meta.insert("schedule".into(), self.name.clone());
        job.meta.insert("tick".into(), time.0.to_string());
        Ok(job)
    }
}

/// A time from which at most `most` others lie before `now`, and that is not before `last`.
fn before_the_last(period: Duration, most: usize, last: StoredTime, now: StoredTime) -> StoredTime {
    let millis = i64::try_from(period.as_millis()).unwrap_or(i64::MAX);
    let span = i64::try_from(most)
        .unwrap_or(i64::MAX)
        .saturating_mul(millis);
    last.max(StoredTime(now.0.saturating_sub(span)))
}

impl Rule {
    /// The first time after this one.
    pub(super) fn next_after(&self, time: StoredTime) -> Option<StoredTime> {
        match self {
            Self::Every(period) => {
                let millis = i64::try_from(period.as_millis()).ok()?;
                let periods = time.0.div_euclid(millis).checked_add(1)?;
                periods.checked_mul(millis).map(StoredTime)
            }
            #[cfg(feature = "cron")]
            Self::Cron(cron) => cron.next_after(time.into()).map(StoredTime::from),
        }
    }
}

/// For people.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(period) => write!(f, "every {period:?}"),
            #[cfg(feature = "cron")]
            Self::Cron(cron) => write!(f, "{cron}"),
        }
    }
}

impl fmt::Debug for JobSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            kind,
            queue,
            rule,
            overlap,
            missed,
            make: _,
        } = self;
        f.debug_struct("JobSchedule")
            .field("name", name)
            .field("kind", kind)
            .field("queue", queue)
            .field("rule", &format_args!("{rule}"))
            .field("overlap", overlap)
            .field("missed", missed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Jobs, Memory};
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Tick;

    impl Job for Tick {
        const NAME: &'static str = "tick";
        type Output = ();
    }

    fn schedule(period: u64) -> JobSchedule {
        let jobs = Jobs::open(Memory::new()).unwrap();
        jobs.job()
            .every("t", Duration::from_millis(period), |_| Tick)
    }

    fn due(schedule: &JobSchedule, last: i64, now: i64) -> Vec<i64> {
        let due = schedule.due(StoredTime(last), StoredTime(now));
        due.into_iter().map(|time| time.0).collect()
    }

    #[test]
    fn times_are_multiples_of_the_period_and_one_stands_for_those_that_were_missed() {
        let skips = schedule(100);
        assert_eq!(due(&skips, 250, 299), [0; 0]);
        assert_eq!(due(&skips, 250, 300), [300]);
        assert_eq!(due(&skips, 300, 399), [0; 0]);
        assert_eq!(due(&skips, 250, 1_000_000_050), [1_000_000_000]);
        let catches_up = schedule(100).missed(Missed::CatchUp(2));
        assert_eq!(due(&catches_up, 250, 450), [300, 400]);
        assert_eq!(due(&catches_up, 250, 999), [700, 800, 900]);
        assert_eq!(due(&catches_up, 250, 1_000), [800, 900, 1_000]);
    }

    #[test]
    fn the_overlap_is_a_unique_key() {
        let until = |schedule: JobSchedule| {
            let job = schedule.job(StoredTime(5)).unwrap();
            assert_eq!(job.meta["tick"], "5");
            job.unique.map(|unique| (unique.key, unique.until))
        };
        let key = || "schedule:t".to_owned();
        assert_eq!(until(schedule(9)), Some((key(), UniqueUntil::Ended)));
        let queues = schedule(9).overlap(Overlap::Queue);
        assert_eq!(until(queues), Some((key(), UniqueUntil::Started)));
        assert_eq!(until(schedule(9).overlap(Overlap::Parallel(2))), None);
    }
}
