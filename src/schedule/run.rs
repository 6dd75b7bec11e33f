//! The ending of a task's template that makes a schedule of it.
//!
//! Layer 5.

use crate::context_var::Context;
use crate::error::{InvalidTask, Rejection, SubmitError};
use crate::event::Summary;
use crate::extras::Callback;
use crate::gate;
use crate::here;
use crate::pool::{Core, Fallible, Plain, Retrying, Site, Spec, TaskBuilder};
use crate::schedule::answer::{Answer, Verdict};
use crate::schedule::beat::Beat;
#[cfg(feature = "cron")]
use crate::schedule::cron::Cron;
use crate::schedule::every::Every;
use crate::schedule::handle::Schedule;
use crate::schedule::series::Series;
use crate::schedule::shell::{Launch, Over, Shell};
use crate::task::{FallibleWork, RetryWork};
use parking_lot::Mutex;
use std::any::Any;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

impl<K> TaskBuilder<K> {
    /// Makes a schedule: runs a body again and again, each run a task of this template, with its name, priority, gates,
    /// retries and time limits. The end of a run is that of its last attempt; a run over its
    /// [`total_timeout`](Self::total_timeout) is over, though its body may still hang.
    ///
    /// ```
    /// use millhand::{Every, Overlap, Retry, ThreadPool};
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
    pub fn every(self, rule: Every) -> ScheduleBuilder<K> {
        ScheduleBuilder {
            task: self,
            rule: Rule::Every(rule),
        }
    }

    /// As [`every`](Self::every), at the times of a [`Cron`] expression.
    ///
    /// ```
    /// use millhand::{Cron, Missed, ThreadPool};
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

/// A schedule that only lacks its body; from [`TaskBuilder::every`] and, with the feature `cron`, `TaskBuilder::cron`.
///
/// The body is shared by all runs, so it is an `Fn`; what it returns is an [`Answer`]. Runs take no place in a bounded
/// [queue](crate::PoolBuilder::queue_capacity), and are not held up or refused when that is full.
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
    /// Starts the schedule. An `Err` that the body returns is a failure, as with [`fallible`](TaskBuilder::fallible).
    ///
    /// # Errors
    /// The body, when the pool is closed, or when options are nonsense or contradict each other.
    ///
    /// ```
    /// use millhand::{Every, InvalidTask, Rejection, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let refused = pool.task().every(Every::new(Duration::from_secs(1)).times(0)).run(|| ()).unwrap_err();
    /// assert_eq!(refused.reason(), Rejection::Invalid(InvalidTask::ZeroTimes));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    #[track_caller]
    pub fn run<F, A>(self, f: F) -> Result<Schedule, SubmitError<F>>
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Answer + 'static,
    {
        let (core, spec, _) = self.task.into_parts();
        start(&core, spec, self.rule, A::PACES, f, once)
    }
}

impl ScheduleBuilder<Fallible> {
    /// Starts the schedule; the body returns a `Result`.
    ///
    /// # Errors
    /// The body, when the pool is closed, or when options are nonsense or contradict each other.
    #[track_caller]
    pub fn run<F, A, E>(self, f: F) -> Result<Schedule, SubmitError<F>>
    where
        F: Fn() -> Result<A, E> + Send + Sync + 'static,
        A: Answer + 'static,
        E: 'static,
    {
        let (core, spec, _) = self.task.into_parts();
        start(&core, spec, self.rule, A::PACES, f, once)
    }
}

impl<E: Send + 'static> ScheduleBuilder<Retrying<E>> {
    /// Starts the schedule; the body returns a `Result`, and a run is tried again when it fails.
    ///
    /// # Errors
    /// The body, when the pool is closed, or when options are nonsense or contradict each other.
    ///
    /// ```
    /// use millhand::{Every, Retry, ThreadPool};
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let attempts = AtomicU32::new(0);
    /// let rule = Every::new(Duration::from_millis(1)).times(1);
    /// let schedule = pool.task().retry(Retry::fixed(3, Duration::ZERO)).every(rule).run(move || {
    ///     match attempts.fetch_add(1, Relaxed) {
    ///         0 => Err("the server is busy"),
    ///         _ => Ok(()),
    ///     }
    /// })?;
    /// # while !schedule.is_ended() { std::thread::yield_now(); }
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
        let rules = kind.0;
        let launch = move |core: &Arc<Core>, site: Site, spec: &Spec, body: Arc<F>, over: Over| {
            let (said, over) = listen(over);
            let attempt = move || {
                let verdict = body()?.verdict();
                *said.lock() = Some(verdict);
                Ok(())
            };
            core.launch(site, spec, RetryWork(attempt, rules.clone()), over)
        };
        start(&core, spec, self.rule, A::PACES, f, launch)
    }
}

/// The way of a run whose failure is final.
fn once<F, A>(core: &Arc<Core>, site: Site, spec: &Spec, body: Arc<F>, over: Over) -> bool
where
    F: Fn() -> A + Send + Sync + 'static,
    A: Answer + 'static,
{
    let (said, over) = listen(over);
    let attempt = move || {
        let verdict = body().verdict();
        *said.lock() = Some(verdict);
        match verdict {
            Verdict::Failed => Err(()),
            _ => Ok(()),
        }
    };
    core.launch(site, spec, FallibleWork(attempt), over)
}

/// Where a run puts what its body says, and what reads it when the run is over.
fn listen(over: Over) -> (Arc<Mutex<Option<Verdict>>>, Callback) {
    let said = Arc::new(Mutex::new(None));
    let heard = said.clone();
    let over = Box::new(move |summary: &Summary| {
        let verdict = *heard.lock();
        over(summary.outcome, verdict);
    });
    (said, over)
}

struct Launcher<F, L> {
    body: Arc<F>,
    spec: Spec,
    /// That of the place where the schedule was started: its runs inherit it, whoever submits them.
    context: Context,
    launch: L,
}

impl<F, L> Launch for Launcher<F, L>
where
    F: Send + Sync + 'static,
    L: Fn(&Arc<Core>, Site, &Spec, Arc<F>, Over) -> bool + Send + Sync + 'static,
{
    fn launch(&self, core: &Arc<Core>, site: Site, over: Over) -> bool {
        let run = || (self.launch)(core, site, &self.spec, self.body.clone(), over);
        self.context.run(run)
    }

    fn last(self: Arc<Self>) -> Option<Box<dyn Any + Send>> {
        Some(Box::new(Arc::into_inner(self)?))
    }
}

#[track_caller]
fn start<F, L>(
    core: &Arc<Core>,
    spec: Spec,
    rule: Rule,
    paces: bool,
    body: F,
    launch: L,
) -> Result<Schedule, SubmitError<F>>
where
    F: Send + Sync + 'static,
    L: Fn(&Arc<Core>, Site, &Spec, Arc<F>, Over) -> bool + Send + Sync + 'static,
{
    if let Err(refusal) = check(core, &spec, &rule) {
        return Err(SubmitError::new(refusal, body));
    }
    let name = spec.name.clone();
    let by_wall = rule.is_by_wall();
    let series = |now| rule.series(now, paces);
    let shell = Shell::new(core, name, Location::caller(), by_wall, series);
    if shell.read(Series::is_ended) {
        // A period has no last time.
        let refusal = Rejection::Invalid(InvalidTask::CronIsOver);
        return Err(SubmitError::new(refusal, body));
    }
    if !shell.enlist(core) {
        return Err(SubmitError::new(Rejection::Closed, body));
    }
    let hook = spec.token.as_ref().map(|token| {
        let shell = Arc::downgrade(&shell);
        token.on_cancel(move |_| {
            if let Some(shell) = shell.upgrade() {
                shell.cancel();
            }
        })
    });
    let body = Arc::new(body);
    let launcher = Launcher {
        body,
        spec,
        context: Context::capture(),
        launch,
    };
    shell.begin(Arc::new(launcher), hook);
    Ok(Schedule::new(shell))
}

fn check(core: &Core, spec: &Spec, rule: &Rule) -> Result<(), Rejection> {
    if core.is_foreign() {
        return Err(Rejection::Forked);
    }
    rule.check().map_err(Rejection::Invalid)?;
    let Some(plan) = &spec.plan else {
        return Ok(());
    };
    if plan.delay.is_some() || plan.delay_until.is_some() {
        return Err(Rejection::Invalid(InvalidTask::DelayedSchedule));
    }
    plan.check(core.clock()).map_err(Rejection::Invalid)
}

impl Rule {
    /// Whether it goes by the time of day.
    fn is_by_wall(&self) -> bool {
        match self {
            Self::Every(_) => false,
            #[cfg(feature = "cron")]
            Self::Cron(_) => true,
        }
    }

    fn check(&self) -> Result<(), InvalidTask> {
        match self {
            Self::Every(every) => every.check(),
            #[cfg(feature = "cron")]
            Self::Cron(cron) => cron.rules.check(),
        }
    }

    /// `paces`: the body says when the next run is due.
    fn series(self, now: Duration, paces: bool) -> Series {
        let seed = here::seed(gate::next_order());
        match self {
            Self::Every(every) => {
                let spaced = every.fixed_delay || paces;
                let beat = Beat::Period(every.period);
                Series::new(beat, every.rules, spaced, every.start_in, now, seed)
            }
            #[cfg(feature = "cron")]
            Self::Cron(cron) => {
                let beat = Beat::Cron(cron.times);
                Series::new(beat, cron.rules, paces, None, now, seed)
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
