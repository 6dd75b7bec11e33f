//! The trait behind which jobs are stored.
//!
//! Layer: jobs.

use crate::jobs::error::JobsError;
use crate::jobs::id::{JobId, SessionId};
use crate::jobs::look::{
    Counts, Facts, Fate, Fault, Filter, JobInfo, Page, QueueChange, QueueSettings, ScheduleChange,
    StoredSchedule,
};
use crate::jobs::notifier::Notifier;
use crate::jobs::record::{Batch, Exchange, Exchanged, Placed, Tick};
use crate::jobs::session::{Heartbeat, Pulse, Session, SessionInfo, Swept};
use crate::jobs::time::StoredTime;
use crate::task::CancelOutcome;
use std::fmt;
use std::time::Duration;

/// Keeps jobs. A program that wants another store than those here implements this, and has the
/// suite of the feature `conformance` test it.
///
/// Every method blocks, may be called from any thread, and happens as a whole or not at all: after
/// an error nothing has changed. Times are those of the storage's own clock. It never calls a
/// consumer; it uses [notifiers](Notifier).
///
/// Guide: [jobs](crate::guide::jobs).
///
/// # States of a job
///
/// | from | to | when | together with it |
/// | --- | --- | --- | --- |
/// | | ready, scheduled, blocked | [`enqueue`](Self::enqueue) | its unique key is taken |
/// | scheduled | ready, blocked | it is due: in an exchange, at most [`MOST_DUE`] at once, oldest first | |
/// | blocked | ready, scheduled | its lane is free, and what it follows has ended | it has the lane |
/// | ready | running | it is claimed | `claims` is one more; a key until `Started` is free |
/// | running | scheduled | [`Retry`], [`Postponed`], unless a cancel was asked for | `failures` is one more for a retry |
/// | running | ready | [`Back`]; the session ended; its lease did; unless a cancel was asked for | `crashes` is one more for a lease |
/// | running | ended | [`Done`], [`Dead`], [`Cancelled`]; one crash too many; in place of a wait after a cancel | its key until `Ended` is free; `failures` is one more for `Dead` |
/// | scheduled, blocked, ready | ended | [`cancel`](Self::cancel); it expired | the same |
/// | blocked | ended | a job that it follows ended otherwise than done | the same |
/// | dead | ready, blocked | [`retry_dead`](Self::retry_dead) | failures and crashes are 0 again |
///
/// Within a queue, a job with a higher priority comes first, and of two with the same one that with
/// the smaller id. So a job that comes back takes its old place. So that nothing starves, every
/// 32nd claim from a queue takes the oldest job of the lowest priority there.
///
/// A blocked job has its unique key as other jobs that wait, and expires as they do. Where one call
/// ends several jobs, they end one after another, each with all that its end brings about: by their
/// ids, sessions by the ends of their leases, and what has expired by the time at which it did.
///
/// # Lanes
///
/// Of the jobs with one lane, in whatever queues, at most one has the lane. A job takes it when it
/// would become ready and no other job has it; otherwise it is blocked. It keeps the lane while it
/// runs, while it waits for another attempt, and when it comes back, and leaves it when it ends.
/// Then the blocked job of the lane with the smallest id takes it. So a job that is due later joins
/// the lane at that time, and a dead one that is made ready joins it anew. One that waits for the
/// end of others has not joined it, either. Of two that are due in one exchange the one that was
/// due earlier joins first.
///
/// A job that has expired when it takes its lane ends in the same step, with all that its end
/// brings about, and the lane goes on. Of several of them the one with the smallest id ends first.
/// All that are due in an exchange have joined their lanes by then. If more than [`MOST_DUE`] would
/// end so in one call, the call may leave the rest to later exchanges and sweeps. A job that has
/// its lane, and expires while it waits for a consumer, ends when an exchange would claim it, and
/// in a sweep at the latest.
///
/// # Jobs that follow others
///
/// A job that is `after` others is blocked until all of them have ended, and then waits for its
/// time, its lane, or a consumer. If one of them does not succeed, is removed, or had ended without
/// success before, the job is cancelled at once, unless it is `even_if_failed`. What follows that
/// job is then cancelled as well. A job that had ended before and whose outcome was forgotten
/// counts as one that succeeded.
///
/// All of this is one step with the end, in this order: jobs are cancelled; those that wait for no
/// other any more go on, by their ids; the lane of the job that ended goes to the next one; jobs
/// that had expired when they took their lanes end.
///
/// The outcomes of what a job follows are kept until that job has ended: [`parents`](Self::parents)
/// returns them, and they count for another job that is stored meanwhile.
/// [`outcome`](Self::outcome), [`list`](Self::list) and [`counts`](Self::counts) show them for the
/// usual time only. A dead job that is made ready follows nothing any more. What had followed it
/// does not wait for it again.
///
/// # Outcomes
///
/// An outcome is kept as long as the job asks for, or else the verdict, or else not at all. It is
/// kept for a minute at least if [`watch`](Self::watch) was called before the end. What ends at a
/// time is over exactly then. Dead jobs are kept
/// for 30 days, payload and all, and at most 100,000 of them.
///
/// [`Retry`]: crate::jobs::Verdict::Retry
/// [`Postponed`]: crate::jobs::Verdict::Postponed
/// [`Back`]: crate::jobs::Verdict::Back
/// [`Done`]: crate::jobs::Verdict::Done
/// [`Dead`]: crate::jobs::Verdict::Dead
/// [`Cancelled`]: crate::jobs::Verdict::Cancelled
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Says what the storage is.
    ///
    /// # Errors
    /// It cannot be reached.
    fn facts(&self) -> Result<Facts, JobsError>;

    /// Returns the time of its clock.
    ///
    /// # Errors
    /// It cannot be reached.
    fn now(&self) -> Result<StoredTime, JobsError>;

    /// Stores jobs: all of them or none. Returns what became of each, in their order. Ids rise in
    /// that order. Of two jobs with one unique key the second is `Existing`. When this returns,
    /// they are as safe as the storage promises.
    ///
    /// With `replace`, the job that has the unique key gets payload, meta, due time and expiry of
    /// the new one, as of now, if it waits and has never been claimed. It keeps its id and
    /// everything else, also its lane, unless it is due later now: then it waits for that time, and
    /// joins the lane again. If it waits for the end of others, it goes on waiting for them.
    ///
    /// A job that follows one that has failed is `New`, though it is cancelled at once. It never
    /// has its unique key, not even for a time.
    ///
    /// A batch with the number of the last one of its producer is that one, sent again: for at
    /// least an hour this answers the same, and stores nothing.
    ///
    /// # Errors
    /// [`TooLarge`], [`Name`] or [`Invalid`] if a job is not allowed; the text says which, by its
    /// place. [`Invalid`] also if one is to follow a job that has never been: that is one that
    /// [`outcome`](Self::outcome) does not know, or one of the same batch. [`Stale`] if the number
    /// is smaller than the last one of the producer. [`Full`] and others.
    ///
    /// [`TooLarge`]: crate::jobs::JobsErrorKind::TooLarge
    /// [`Name`]: crate::jobs::JobsErrorKind::Name
    /// [`Invalid`]: crate::jobs::JobsErrorKind::Invalid
    /// [`Stale`]: crate::jobs::JobsErrorKind::Stale
    /// [`Full`]: crate::jobs::JobsErrorKind::Full
    fn enqueue(&self, batch: &Batch<'_>) -> Result<Vec<Placed>, JobsError>;

    /// Opens a session, whose lease ends so long from now. Its number was never given before, also
    /// not before a crash.
    ///
    /// # Errors
    /// It could not be stored.
    fn open_session(&self, info: &SessionInfo, lease: Duration) -> Result<SessionId, JobsError>;

    /// Extends the lease of a session. A lease that has ended is extended, too, if no sweep has
    /// noticed it. Jobs that the session claimed in exchanges up to `settled`, and that are not
    /// among `held`, are ready again: their consumer does not know of them. The caller takes both
    /// under one lock.
    ///
    /// # Errors
    /// It could not be stored. The call may be repeated.
    fn heartbeat(&self, sign: &Heartbeat<'_>) -> Result<Pulse, JobsError>;

    /// Ends a session. What it runs is ready again, and counts as nothing; a job that is never to
    /// begin twice is dead. Returns how many are ready: 0 if there is no such session.
    ///
    /// # Errors
    /// It could not be stored. The call may be repeated.
    fn close_session(&self, session: SessionId) -> Result<u64, JobsError>;

    /// Takes the ends of jobs, and gives new ones, in one step. In this order:
    ///
    /// 1. The ends, each judged for itself. One counts if it names the latest claim of the job, and
    ///    the job runs, or waits since the lease of its session ended. Also for a session that is
    ///    gone.
    /// 2. At most 10 sessions whose leases have ended are swept.
    /// 3. At most [`MOST_DUE`] jobs that are due become ready.
    /// 4. Claims: of the kinds asked for, not more than asked for, none from a paused queue, none
    ///    beyond the settings of a queue, none that has expired, and none for a session that is
    ///    gone. One that would be claimed if it had not expired ends. What its end makes ready may
    ///    be claimed.
    ///
    /// # Errors
    /// [`Stale`](crate::jobs::JobsErrorKind::Stale) if the number is not larger than the last one
    /// of the session. After any other error the consumer sends the ends again, under a new number.
    fn exchange(&self, exchange: &Exchange<'_>) -> Result<Exchanged, JobsError>;

    /// Does what time asks for, for a storage that no consumer uses: ends leases that are over,
    /// ends jobs that have expired, and forgets outcomes, dead jobs and unique keys whose time is
    /// over. At most `most` of each. Jobs that had expired when they took the lanes of these end as
    /// well.
    ///
    /// # Errors
    /// It could not be stored.
    fn sweep(&self, most: usize) -> Result<Swept, JobsError>;

    /// Registers a schedule, if it is not. Its last time is then now. If the rule is another than
    /// before, the new one is stored. Returns what is known of it.
    ///
    /// # Errors
    /// It could not be stored.
    fn register_schedule(&self, name: &str, rule: &str) -> Result<StoredSchedule, JobsError>;

    /// Stores the job of a time of a schedule, unless that was done. Of all that call it for one
    /// time, one gets true. It is false also if the time is not after the last one, or not yet
    /// there, or if the schedule is paused or not registered. A job whose unique key is taken is
    /// not stored, and the time counts as done. So it does if the job takes the place of another.
    ///
    /// # Errors
    /// It could not be stored.
    fn tick(&self, tick: &Tick<'_>) -> Result<bool, JobsError>;

    /// Cancels a job. One that waits ends now (`Settled`). For one that runs, the next heartbeat of
    /// its session says so (`Requested`), and those that [watch](Self::watch_session) that session
    /// are notified. One that has ended, or does not exist, is left as it is
    /// (`AlreadyFinished`). A running one that was to be cancelled and would wait again is
    /// cancelled then.
    ///
    /// # Errors
    /// It could not be stored.
    fn cancel(&self, id: JobId) -> Result<CancelOutcome, JobsError>;

    /// Returns what has become of a job.
    ///
    /// # Errors
    /// It cannot be read.
    fn outcome(&self, id: JobId) -> Result<Fate, JobsError>;

    /// Returns the jobs that a job follows, in the order in which it names them, each once, and
    /// what has become of them: [`Forgotten`](Fate::Forgotten) if its outcome was not kept when the
    /// job was stored, or was removed since. Nothing for a job that has ended, or does not exist.
    ///
    /// # Errors
    /// It cannot be read.
    fn parents(&self, id: JobId) -> Result<Vec<(JobId, Fate)>, JobsError>;

    /// From now on the outcome of the job is kept for at least a minute after its end, and the
    /// notifier is used then, until what this returns is dropped, or `patience` is over. The caller
    /// looks after this call, and then waits for the notifier.
    ///
    /// # Errors
    /// It could not be stored.
    fn watch(
        &self,
        id: JobId,
        notifier: &Notifier,
        patience: Duration,
    ) -> Result<Watching, JobsError>;

    /// The notifier is used at least once after each change by which a job of one of these queues
    /// becomes ready, or the next one is due earlier, in whatever process, until what this returns
    /// is dropped. It may be used for nothing. A notification may be lost: a caller that waits
    /// looks once a second.
    ///
    /// # Errors
    /// It could not be stored.
    fn subscribe(&self, queues: &[&str], notifier: &Notifier) -> Result<Watching, JobsError>;

    /// The notifier is used at least once after each [`cancel`](Self::cancel) of a job that the
    /// session runs, in whatever process, until what this returns is dropped: a heartbeat then
    /// brings the cancellation. It may be used for nothing. Without it, cancellations come with the
    /// heartbeats that time asks for.
    ///
    /// # Errors
    /// It could not be stored.
    fn watch_session(&self, session: SessionId, notifier: &Notifier)
    -> Result<Watching, JobsError>;

    /// Returns what holds for a queue.
    ///
    /// # Errors
    /// It cannot be read.
    fn queue(&self, name: &str) -> Result<QueueSettings, JobsError>;

    /// Changes what holds for a queue, in all processes.
    ///
    /// # Errors
    /// [`Invalid`](crate::jobs::JobsErrorKind::Invalid) for a rate of nothing. It could not be
    /// stored.
    fn set_queue(&self, name: &str, change: QueueChange) -> Result<(), JobsError>;

    /// Counts the jobs.
    ///
    /// # Errors
    /// It cannot be read.
    fn counts(&self) -> Result<Counts, JobsError>;

    /// Lists jobs by their ids, a page at a time. Each page is one consistent look. A job that
    /// changes between two pages may be in both, or in none.
    ///
    /// # Errors
    /// It cannot be read.
    fn list(&self, filter: &Filter, page: Page) -> Result<Vec<JobInfo>, JobsError>;

    /// Dead jobs to which the filter applies are ready again, at most so many, or blocked if
    /// another job has their lane. They keep their ids. One whose unique key another job has got
    /// meanwhile stays dead. Returns how many are not dead any more: fewer than `most` if there are
    /// no more.
    ///
    /// # Errors
    /// It could not be stored.
    fn retry_dead(&self, filter: &Filter, most: usize) -> Result<u64, JobsError>;

    /// Removes jobs to which the filter applies, at most so many. Those that run stay. A job that
    /// follows one that has ended stays as it is. Returns how many: fewer than `most` if there are
    /// no more. It looks for them first, and also removes those of them that the removal of another
    /// one cancels.
    ///
    /// # Errors
    /// It could not be stored.
    fn purge(&self, filter: &Filter, most: usize) -> Result<u64, JobsError>;

    /// Lists the schedules, by their names.
    ///
    /// # Errors
    /// It cannot be read.
    fn schedules(&self) -> Result<Vec<StoredSchedule>, JobsError>;

    /// Changes a schedule. Times that pass while it is paused are not made up for. Returns whether
    /// there is one of this name.
    ///
    /// # Errors
    /// It could not be stored.
    fn set_schedule(&self, name: &str, change: ScheduleChange) -> Result<bool, JobsError>;

    /// Lists the sessions, by their numbers.
    ///
    /// # Errors
    /// It cannot be read.
    fn sessions(&self) -> Result<Vec<Session>, JobsError>;

    /// Looks for what no crash may leave behind, in all that is stored: a job that runs without a
    /// session, the key of a job that has ended, and the like. Mends that if `mends` is set.
    ///
    /// # Errors
    /// It cannot be read, or not be written.
    fn check(&self, mends: bool) -> Result<Vec<Fault>, JobsError>;

    /// Returns the storage in a SQLite file that it is, if it is one:
    /// [`JobBuilder::enqueue_in`](crate::jobs::JobBuilder::enqueue_in) and
    /// [`JobContext::complete_in`](crate::jobs::JobContext::complete_in) need that.
    #[cfg(feature = "sqlite")]
    fn sqlite(&self) -> Option<&crate::jobs::Sqlite> {
        None
    }
}

/// At most so many jobs that are due become ready in one exchange.
///
/// Guide: [jobs](crate::guide::jobs).
pub const MOST_DUE: usize = 200;

/// Ends a registration with a storage when it is dropped.
///
/// Guide: [jobs](crate::guide::jobs).
#[must_use = "it ends when it is dropped"]
pub struct Watching(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Watching {
    /// Makes one that runs `end` when it is dropped.
    pub fn new(end: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(end)))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end();
        }
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.debug_struct("Watching").finish_non_exhaustive()
    }
}
