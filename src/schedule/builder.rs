//! The methods of a template that make a schedule of it.
//!
//! Layer: schedule. A body is boxed in `run`; from there on nothing is generic over its closure.

use crate::clock::current;
use crate::context_var::Context;
use crate::error::{Mistake, Rejection, SubmitError};
use crate::limit;
use crate::pool::{Core, Fallible, Plain, Retrying, Spec, TaskBuilder};
#[cfg(feature = "cron")]
use crate::schedule::cron::Cron;
use crate::schedule::every::Every;
use crate::schedule::outcome::{Answer, Verdict};
use crate::schedule::planner::Planner;
use crate::schedule::recurrence::Recurrence;
use crate::schedule::runner::{Launcher, NewTask, Runner};
use crate::schedule::schedule::Schedule;
use crate::schedule::timeline::Timeline;
use crate::task::body::{FallibleBody, RetryBody};
use crate::task::{Rules, Site, Task};
use std::fmt::{self, Display};
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

impl<K> TaskBuilder<K> {
    /// Makes a schedule, which runs a body again and again. Each run is a task of this template,
    /// with its name, priority, gates, retries and time limits.
    ///
    /// A run ends with its last attempt. A run that exceeds its
    /// [`total_timeout`](Self::total_timeout) has ended, even if its body still hangs.
    ///
    /// ```
    /// use millhand::schedule::Overlap;
    /// use millhand::{Every, Retry, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(2)?;
    /// let hourly = Every::new(Duration::from_secs(3600)).jitter(Duration::from_secs(60)).overlap(Overlap::Queue);
    /// let backup = pool
    ///     .task()
    ///     .name("backup")
    ///     .retry(Retry::default())
    ///     .total_timeout(Duration::from_secs(1800))
    ///     .every(hourly)
    ///     .run(|| std::fs::copy("data.db", "backup.db").map(drop))?;
    /// println!("the first backup is due at {:?}", backup.next_run());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "setInterval")]
    pub fn every(self, rule: impl Into<Every>) -> ScheduleBuilder<K> {
        ScheduleBuilder {
            task: self,
            rule: Rule::Every(rule.into()),
        }
    }

    /// Makes a schedule like [`every`](Self::every), which runs at the times of a [`Cron`]
    /// expression.
    ///
    /// ```
    /// use millhand::schedule::Missed;
    /// use millhand::{Cron, ThreadPool};
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let nightly = Cron::parse("30 2 * * *", "America/New_York")?.missed(Missed::CatchUp(1));
    /// let report = pool.task().name("report").cron(nightly).run(|| println!("yesterday's figures"))?;
    /// assert!(report.next_run().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "cron")]
    pub fn cron(self, rule: Cron) -> ScheduleBuilder<K> {
        ScheduleBuilder {
            task: self,
            rule: Rule::Cron(rule),
        }
    }
}

/// Gives a schedule its body, with [`run`](Self::run); from [`TaskBuilder::every`] and, with the
/// feature `cron`, `TaskBuilder::cron`.
///
/// All runs share the body, so it is an `Fn`. What it returns is an [`Answer`]. Runs take no place
/// in a bounded [queue](crate::pool::PoolBuilder::queue_capacity): a full queue neither delays nor
/// refuses them.
///
/// ```
/// use millhand::{Every, ThreadPool};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(1)?;
/// let hourly = pool.task().every(Every::new(Duration::from_secs(3600)));
/// let schedule = hourly.run(|| println!("every hour"))?;
/// # drop(schedule);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [time](crate::guide::time).
#[must_use = "a schedule does nothing before it has a body to run"]
pub struct ScheduleBuilder<K = Plain> {
    task: TaskBuilder<K>,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    Every(Every),
    #[cfg(feature = "cron")]
    Cron(Cron),
}

impl ScheduleBuilder<Plain> {
    /// Starts the schedule. An `Err` that the body returns is a failure, as with
    /// [`fallible`](TaskBuilder::fallible).
    ///
    /// # Errors
    /// Returns the body if the pool is closed, or if options are invalid or contradict each other.
    ///
    /// ```
    /// use millhand::error::Rejection;
    /// use millhand::{Every, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let refused = pool.task().every(Every::new(Duration::from_secs(1)).times(0)).run(|| ()).unwrap_err();
    /// assert!(matches!(refused.reason(), Rejection::Invalid(mistake) if mistake.option() == "times"));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn run<F, A>(self, f: F) -> Result<Schedule, SubmitError<F>>
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Answer + 'static,
    {
        let (core, spec, _) = self.task.into_parts();
        match prepare(&core, &spec, self.rule, A::SETS_DELAY, Location::caller()) {
            Ok(runner) => Ok(start(runner, spec, runs(Arc::new(move || f().verdict())))),
            Err(reason) => Err(SubmitError::new(reason, f)),
        }
    }
}

impl ScheduleBuilder<Fallible> {
    /// Starts the schedule. The body returns a `Result`.
    ///
    /// # Errors
    /// Returns the body if the pool is closed, or if options are invalid or contradict each other.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let hourly = pool.task().fallible().every(Duration::from_secs(3600));
    /// let schedule = hourly.run(|| std::fs::read("backup").map(drop))?; // an error is logged
    /// # drop(schedule);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn run<F, A, E>(self, f: F) -> Result<Schedule, SubmitError<F>>
    where
        F: Fn() -> Result<A, E> + Send + Sync + 'static,
        A: Answer + 'static,
        E: Display + 'static,
    {
        let (core, spec, _) = self.task.into_parts();
        match prepare(&core, &spec, self.rule, A::SETS_DELAY, Location::caller()) {
            Ok(runner) => Ok(start(runner, spec, runs(Arc::new(move || f().verdict())))),
            Err(reason) => Err(SubmitError::new(reason, f)),
        }
    }
}

impl<E: Display + Send + 'static> ScheduleBuilder<Retrying<E>> {
    /// Starts the schedule. The body returns a `Result`, and a run that fails is retried.
    ///
    /// # Errors
    /// Returns the body if the pool is closed, or if options are invalid or contradict each other.
    ///
    /// ```
    /// use millhand::{Every, Retry, ThreadPool};
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let attempts = AtomicU32::new(0);
    /// let hourly = Every::new(Duration::from_secs(3600));
    /// let schedule = pool.task().retry(Retry::fixed(3, Duration::ZERO)).every(hourly).run(move || {
    ///     match attempts.fetch_add(1, Relaxed) {
    ///         0 => Err("the server is busy"),
    ///         _ => Ok(()),
    ///     }
    /// })?;
    /// schedule.trigger_now();
    /// pool.wait_idle()?;
    /// assert_eq!((schedule.counts().runs, schedule.counts().failures), (1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn run<F, A>(self, f: F) -> Result<Schedule, SubmitError<F>>
    where
        F: Fn() -> Result<A, E> + Send + Sync + 'static,
        A: Answer + 'static,
    {
        let (core, spec, kind) = self.task.into_parts();
        match prepare(&core, &spec, self.rule, A::SETS_DELAY, Location::caller()) {
            Ok(runner) => {
                const {
                    assert!(!A::MAY_FAIL, "a retried run returns one `Result`");
                }
                let body = Arc::new(move || f().map(|answer| answer.verdict().ok()));
                Ok(start(runner, spec, retried_runs(body, kind.0)))
            }
            Err(reason) => Err(SubmitError::new(reason, f)),
        }
    }
}

/// Runs of one attempt each.
fn runs(body: Arc<dyn Fn() -> Result<Verdict, String> + Send + Sync>) -> NewTask {
    Box::new(move |head, run| {
        let body = body.clone();
        let attempt = move || body().map(|verdict| run.returned(verdict));
        Task::new(head, FallibleBody::new(attempt))
    })
}

/// Runs that are retried by these rules.
fn retried_runs<E: Display + Send + 'static>(
    body: Arc<dyn Fn() -> Result<Option<Verdict>, E> + Send + Sync>,
    rules: Arc<Rules<E>>,
) -> NewTask {
    Box::new(move |head, run| {
        let body = body.clone();
        let attempt = move || {
            body().map(|verdict| {
                if let Some(verdict) = verdict {
                    run.returned(verdict);
                }
            })
        };
        Task::new(head, RetryBody::new(attempt, rules.clone()))
    })
}

/// Makes a schedule that still needs its body. `sets_delay`: the body decides when the next run is
/// due.
fn prepare(
    core: &Arc<Core>,
    spec: &Spec,
    rule: Rule,
    sets_delay: bool,
    site: Site,
) -> Result<Arc<Runner>, Rejection> {
    check(core, spec, &rule)?;
    let clock = core.clock().clone();
    let timeline = match rule {
        Rule::Every(_) => Timeline::from_now(clock),
        #[cfg(feature = "cron")]
        Rule::Cron(_) => Timeline::by_time_of_day(clock),
    };
    let planner = rule.planner(timeline.now(), sets_delay);
    let runner = Runner::new(core, spec.name.clone(), site, timeline, planner);
    if runner.read(Planner::is_ended) {
        // Only a cron expression can have a last time.
        return Err(Mistake::CronIsOver.into());
    }
    if !runner.enlist(core) {
        return Err(Rejection::Closed);
    }
    Ok(runner)
}

fn check(core: &Core, spec: &Spec, rule: &Rule) -> Result<(), Rejection> {
    if core.is_foreign() {
        return Err(Rejection::Forked);
    }
    rule.check()?;
    let Some(options) = &spec.options else {
        return Ok(());
    };
    if options.delay.is_some() || options.delay_until.is_some() {
        return Err(Mistake::DelayedSchedule.into());
    }
    Ok(options.check(core.clock())?)
}

fn start(runner: Arc<Runner>, spec: Spec, new_task: NewTask) -> Schedule {
    let hook = spec.token.as_ref().map(|token| {
        let runner = Arc::downgrade(&runner);
        token.on_cancel(move |_| {
            if let Some(runner) = runner.upgrade() {
                runner.cancel();
            }
        })
    });
    runner.start(Launcher {
        _hook: hook,
        new_task,
        spec,
        context: Context::capture(),
    });
    Schedule::new(runner)
}

impl Rule {
    fn check(&self) -> Result<(), Mistake> {
        match self {
            Self::Every(every) => every.check(),
            #[cfg(feature = "cron")]
            Self::Cron(cron) => cron.rules.check(),
        }
    }

    fn planner(self, now: Duration, sets_delay: bool) -> Planner {
        let seed = current::seed(limit::next_order());
        match self {
            Self::Every(every) => {
                let fixed_delay = every.fixed_delay || sets_delay;
                let period = Recurrence::Period(every.period);
                Planner::new(period, every.rules, fixed_delay, every.start_in, now, seed)
            }
            #[cfg(feature = "cron")]
            Self::Cron(cron) => {
                let times = Recurrence::Cron(cron.times);
                Planner::new(times, cron.rules, sets_delay, None, now, seed)
            }
        }
    }
}

impl<K: fmt::Debug> fmt::Debug for ScheduleBuilder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, rule } = self;
        f.debug_struct("ScheduleBuilder")
            .field("task", task)
            .field("rule", rule)
            .finish()
    }
}
