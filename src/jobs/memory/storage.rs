//! The storage in memory, as a program sees it.
//!
//! Layer: jobs.
//
// One lock around plain data. Under it nothing is called that is not of this folder, but for the
// clock. The time is read under the lock, so that the changes have the order of their times, unless
// the clock was set back. They notify after the lock is released.

use super::table::Table;
use crate::jobs::{
    Batch, Counts, Exchange, Exchanged, Facts, Fate, Fault, Filter, Heartbeat, JobId, JobInfo,
    JobsError, MAX_PAYLOAD, Notifier, Page, Placed, Pulse, QueueChange, QueueSettings,
    ScheduleChange, Session, SessionId, SessionInfo, Storage, StoredSchedule, StoredTime, Swept,
    Tick, Watching, check_batch, check_name,
};
use crate::task::CancelOutcome;
use crate::testing::Clock;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Stores jobs in the memory of this process: for tests, and for programs that do not need more.
/// They are gone when the process ends. Clones are the same storage.
///
/// To enqueue, to claim and to end a job each take a time that grows with the logarithm of the
/// number of jobs. Jobs that wait for their time, and jobs of other kinds, do not slow a claim.
/// [`check`](Storage::check), [`purge`](Storage::purge) and a long list look at all jobs, and
/// [`retry_dead`](Storage::retry_dead) at all dead ones.
///
/// ```
/// use millhand::jobs::{Batch, Fate, JobState, Memory, NewJob, Storage};
///
/// let storage = Memory::new();
/// let jobs = [NewJob::new("mail", "welcome", r#"{"to":"ann"}"#)];
/// let placed = storage.enqueue(&Batch { number: None, jobs: &jobs })?;
/// assert_eq!(storage.outcome(placed[0].id())?, Fate::Live(JobState::Ready));
/// # Ok::<(), millhand::jobs::JobsError>(())
/// ```
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone)]
pub struct Memory(Arc<Shared>);

struct Shared {
    table: Mutex<Table>,
    clock: Clock,
    max_payload: usize,
}

/// Sets the options of a [`Memory`]. From [`Memory::options`].
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug)]
#[must_use = "it does nothing before `build`"]
pub struct MemoryOptions {
    clock: Clock,
    max_payload: usize,
}

impl Memory {
    /// Makes an empty storage, with the defaults of all options.
    pub fn new() -> Self {
        Self::options().build()
    }

    /// Begins an empty storage with other options.
    ///
    /// ```
    /// use millhand::jobs::{Memory, Storage};
    /// use millhand::testing::ManualClock;
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let storage = Memory::options().clock(&clock).max_payload(1000).build();
    /// let before = storage.now()?;
    /// clock.advance(Duration::from_secs(3600));
    /// assert_eq!(storage.now()?.since(before), Duration::from_secs(3600));
    /// # Ok::<(), millhand::jobs::JobsError>(())
    /// ```
    pub fn options() -> MemoryOptions {
        MemoryOptions {
            clock: Clock::system(),
            max_payload: MAX_PAYLOAD,
        }
    }

    /// Does something with the table at the present time. The notifiers come after that,
    /// without the lock.
    fn with<R>(&self, act: impl FnOnce(&mut Table, StoredTime) -> R) -> R {
        let (result, notifiers) = {
            let mut table = self.0.table.lock();
            let now = self.0.clock.wall().into();
            let result = act(&mut table, now);
            (result, table.notifiers.take())
        };
        notifiers.iter().for_each(Notifier::notify);
        result
    }
}

impl MemoryOptions {
    /// The clock whose time of day is that of the storage. Default: the system's.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// A payload has at most so many bytes. Default: [`MAX_PAYLOAD`].
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Makes the storage.
    pub fn build(self) -> Memory {
        Memory(Arc::new(Shared {
            table: Mutex::default(),
            clock: self.clock,
            max_payload: self.max_payload,
        }))
    }
}

impl Storage for Memory {
    fn facts(&self) -> Result<Facts, JobsError> {
        Ok(Facts {
            name: "Memory".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            warnings: vec!["jobs are gone when the process ends".to_owned()],
            repeats: false,
            is_shared: false,
            max_payload: Some(self.0.max_payload),
        })
    }

    fn now(&self) -> Result<StoredTime, JobsError> {
        Ok(self.0.clock.wall().into())
    }

    fn enqueue(&self, batch: &Batch<'_>) -> Result<Vec<Placed>, JobsError> {
        check_batch(batch, self.0.max_payload)?;
        let jobs = batch.jobs.to_vec();
        self.with(|table, now| table.enqueue(batch.number, jobs, now))
    }

    fn open_session(&self, info: &SessionInfo, lease: Duration) -> Result<SessionId, JobsError> {
        Ok(self.with(|table, now| table.open_session(info, lease, now)))
    }

    fn heartbeat(&self, sign: &Heartbeat<'_>) -> Result<Pulse, JobsError> {
        Ok(self.with(|table, now| table.heartbeat(sign, now)))
    }

    fn close_session(&self, session: SessionId) -> Result<u64, JobsError> {
        Ok(self.with(|table, now| table.close_session(session, now)))
    }

    fn exchange(&self, exchange: &Exchange<'_>) -> Result<Exchanged, JobsError> {
        self.with(|table, now| table.exchange(exchange, now))
    }

    fn sweep(&self, most: usize) -> Result<Swept, JobsError> {
        Ok(self.with(|table, now| table.sweep(most, now)))
    }

    fn register_schedule(&self, name: &str, rule: &str) -> Result<StoredSchedule, JobsError> {
        check_name("schedule", name)?;
        Ok(self.with(|table, now| table.register_schedule(name, rule, now)))
    }

    fn tick(&self, tick: &Tick<'_>) -> Result<bool, JobsError> {
        let jobs = std::slice::from_ref(tick.job);
        check_batch(&Batch { number: None, jobs }, self.0.max_payload)?;
        let job = tick.job.clone();
        self.with(|table, now| table.tick(tick.schedule, tick.at, job, now))
    }

    fn cancel(&self, id: JobId) -> Result<CancelOutcome, JobsError> {
        Ok(self.with(|table, now| table.cancel(id, now)))
    }

    fn outcome(&self, id: JobId) -> Result<Fate, JobsError> {
        Ok(self.with(|table, now| table.fate(id, now)))
    }

    fn parents(&self, id: JobId) -> Result<Vec<(JobId, Fate)>, JobsError> {
        Ok(self.with(|table, _| table.parents(id)))
    }

    fn watch(
        &self,
        id: JobId,
        notifier: &Notifier,
        patience: Duration,
    ) -> Result<Watching, JobsError> {
        let number = self.with(|table, now| table.watch(id, notifier, now + patience));
        let shared = Arc::clone(&self.0);
        Ok(Watching::new(move || {
            if let Some(number) = number {
                let _notifier = shared.table.lock().notifiers.unwatch(id, number);
            }
        }))
    }

    fn subscribe(&self, queues: &[&str], notifier: &Notifier) -> Result<Watching, JobsError> {
        let queues: Vec<String> = queues.iter().map(|queue| (*queue).to_owned()).collect();
        let number = self.with(|table, _| table.notifiers.subscribe(&queues, notifier));
        let shared = Arc::clone(&self.0);
        Ok(Watching::new(move || {
            let _notifiers = shared.table.lock().notifiers.unsubscribe(&queues, number);
        }))
    }

    fn watch_session(
        &self,
        session: SessionId,
        notifier: &Notifier,
    ) -> Result<Watching, JobsError> {
        let number = self.with(|table, _| table.notifiers.watch_session(session, notifier));
        let shared = Arc::clone(&self.0);
        Ok(Watching::new(move || {
            let _notifier = shared
                .table
                .lock()
                .notifiers
                .unwatch_session(session, number);
        }))
    }

    fn queue(&self, name: &str) -> Result<QueueSettings, JobsError> {
        let settings = |table: &mut Table, _| table.limits.get(name).map(|it| it.settings);
        Ok(self.with(settings).unwrap_or_default())
    }

    fn set_queue(&self, name: &str, change: QueueChange) -> Result<(), JobsError> {
        check_name("queue", name)?;
        self.with(|table, now| table.set_queue(name, change, now))
    }

    fn counts(&self) -> Result<Counts, JobsError> {
        Ok(self.with(|table, now| table.counts(now)))
    }

    fn list(&self, filter: &Filter, mut page: Page) -> Result<Vec<JobInfo>, JobsError> {
        loop {
            match self.with(|table, now| table.list(filter, page, now)) {
                (found, Some(last)) if found.is_empty() => page.after = last,
                (found, _) => return Ok(found),
            }
        }
    }

    fn retry_dead(&self, filter: &Filter, most: usize) -> Result<u64, JobsError> {
        Ok(self.with(|table, now| table.retry_dead(filter, most, now)))
    }

    fn purge(&self, filter: &Filter, most: usize) -> Result<u64, JobsError> {
        Ok(self.with(|table, now| table.purge(filter, most, now)))
    }

    fn schedules(&self) -> Result<Vec<StoredSchedule>, JobsError> {
        Ok(self.with(|table, _| table.schedules.values().cloned().collect()))
    }

    fn set_schedule(&self, name: &str, change: ScheduleChange) -> Result<bool, JobsError> {
        Ok(self.with(|table, now| table.set_schedule(name, change, now)))
    }

    fn sessions(&self) -> Result<Vec<Session>, JobsError> {
        Ok(self.with(|table, _| table.list_sessions()))
    }

    fn check(&self, mends: bool) -> Result<Vec<Fault>, JobsError> {
        Ok(self.with(|table, now| table.check(mends, now)))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared {
            table: _,
            clock,
            max_payload,
        } = &*self.0;
        f.debug_struct("Memory")
            .field("clock", clock)
            .field("max_payload", max_payload)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::NewJob;

    #[test]
    fn a_dropped_watching_leaves_nothing_behind() {
        let storage = Memory::new();
        let jobs = [NewJob::new("q", "k", "")];
        let number = None;
        let placed = storage
            .enqueue(&Batch {
                number,
                jobs: &jobs,
            })
            .unwrap();
        let notifier = Notifier::new();
        let is_empty = || storage.0.table.lock().notifiers.is_empty();
        let subscribed = storage.subscribe(&["q", "q", "other"], &notifier).unwrap();
        let watch = || storage.watch(placed[0].id(), &notifier, Duration::MAX);
        let (first, second) = (watch().unwrap(), watch().unwrap());
        let of_session = storage.watch_session(SessionId(1), &notifier).unwrap();
        drop(first);
        drop(second);
        drop(of_session);
        assert!(!is_empty());
        drop(subscribed);
        assert!(is_empty());
    }
}
