//! Queues, handlers, the start.
//!
//! Layer: jobs.

use crate::ThreadPool;
use crate::jobs::consumer::consumer::Consumer;
use crate::jobs::consumer::handlers::{Handlers, Slots};
use crate::jobs::consumer::heartbeats::Heartbeats;
use crate::jobs::consumer::service::Loop;
use crate::jobs::consumer::state::Shared;
use crate::jobs::context::JobContext;
use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::face::Jobs;
use crate::jobs::handler::{ErasedHandler, Handler};
use crate::jobs::job::Job;
use crate::jobs::names::check_name;
use crate::jobs::schedule::JobSchedule;
use crate::pool::AttachError;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The shortest lease: a third of it is between two signs of life.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// The longest: jobs of a process that was killed wait for so long.
const LONGEST_LEASE: Duration = Duration::from_secs(3600);

/// Sets up a consumer: which queues, how many jobs at once, and what to do with each kind. Made by
/// [`Jobs::consumer`].
///
/// Guide: [jobs](crate::guide::jobs).
#[must_use]
pub struct ConsumerBuilder<'p> {
    jobs: Jobs,
    pool: &'p ThreadPool,
    queues: Vec<Slots>,
    handlers: Vec<ErasedHandler>,
    schedules: Vec<JobSchedule>,
    lease: Duration,
}

impl Jobs {
    /// Makes a builder for a consumer, which runs jobs on the pool.
    ///
    /// ```
    /// use millhand::jobs::{Job, JobContext, Jobs, Memory};
    /// use millhand::{Shutdown, ThreadPool};
    /// use serde::{Deserialize, Serialize};
    /// use std::time::Duration;
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Add(u32, u32);
    ///
    /// impl Job for Add {
    ///     const NAME: &'static str = "add";
    ///     type Output = u32;
    /// }
    ///
    /// let jobs = Jobs::open(Memory::new())?; // or a storage that outlives the process
    /// let pool = ThreadPool::new(4)?;
    /// jobs.consumer(&pool)
    ///     .queue("default", 4)
    ///     .handle(|Add(a, b), _: &JobContext| Ok::<_, String>(a + b))
    ///     .start()?;
    ///
    /// let kept = jobs.job().keep(Duration::from_secs(60)); // it may end before the wait begins
    /// let sum = kept.enqueue(&Add(3, 4))?;
    /// assert_eq!(sum.handle().join()?, 7);
    /// pool.shutdown(Shutdown::drain())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn consumer<'p>(&self, pool: &'p ThreadPool) -> ConsumerBuilder<'p> {
        ConsumerBuilder {
            jobs: self.clone(),
            pool,
            queues: Vec::new(),
            handlers: Vec::new(),
            schedules: Vec::new(),
            lease: Duration::from_secs(30),
        }
    }
}

impl ConsumerBuilder<'_> {
    /// Runs jobs of this queue, at most so many at once. Jobs of queues that are not named are left
    /// where they are, so name each [`Job::QUEUE`]. Each queue has slots of its own, so that none
    /// starves another. A job that runs keeps its slot while it waits. More slots than the pool has
    /// workers are of use for jobs that wait.
    pub fn queue(mut self, name: impl Into<String>, slots: usize) -> Self {
        self.queues.push(Slots {
            name: name.into(),
            most: slots,
        });
        self
    }

    /// Sets how long the storage waits for a sign of life before it gives the jobs of this process
    /// to another. A second to an hour. Default: 30 seconds. It says nothing about how long a job
    /// may run. There is a sign of life each third of it.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets the function for the jobs of one kind, with the defaults of [`Handler`].
    pub fn handle<J, E>(
        self,
        run: impl Fn(J, &JobContext) -> Result<J::Output, E> + Send + Sync + 'static,
    ) -> Self
    where
        J: Job,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        self.handler(Handler::new(run))
    }

    /// Sets the handler for the jobs of one kind. Jobs of other kinds are left where they are.
    pub fn handler<J, E>(mut self, handler: Handler<J, E>) -> Self
    where
        J: Job,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        self.handlers.push(handler.erase());
        self
    }

    /// Stores jobs by a schedule, as long as it runs. Its kind must be one for which this consumer
    /// has a handler.
    pub fn schedule(mut self, schedule: JobSchedule) -> Self {
        self.schedules.push(schedule);
        self
    }

    /// Starts the consumer, as a [service](crate::pool::Service) of the pool: it lives as long as
    /// the pool. Dropping its handle does nothing.
    ///
    /// # Errors
    /// [`Invalid`](JobsErrorKind::Invalid) if there is no queue or no handler, if two handlers are
    /// for the same name, for a queue without slots, and for a lease that is too short.
    /// [`Name`](JobsErrorKind::Name) for a name that is not allowed.
    /// [`Closed`](JobsErrorKind::Closed) if the pool is closed.
    pub fn start(self) -> Result<Consumer, JobsError> {
        self.check()?;
        let handlers = Handlers::new(self.handlers)?;
        let shared = Arc::new(Shared::new(self.jobs, handlers, self.queues, self.lease));
        let consumer = Loop::new(shared.clone(), self.schedules);
        let signs = self.pool.attach(Heartbeats(shared.clone()));
        let started = signs.and_then(|()| self.pool.attach(consumer));
        started.map_err(|error| {
            // The thread of the signs of life ends then, if it is there.
            shared.end();
            let kind = match error {
                AttachError::Closed => JobsErrorKind::Closed,
                AttachError::Forked => JobsErrorKind::Forked,
                AttachError::Spawn(_) => JobsErrorKind::Other,
            };
            JobsError::new(kind, format!("a consumer did not start: {error}")).with_source(error)
        })?;
        Ok(Consumer::new(shared))
    }

    fn check(&self) -> Result<(), JobsError> {
        let invalid = |text: String| Err(JobsError::new(JobsErrorKind::Invalid, text));
        if self.queues.is_empty() {
            return invalid("a consumer without a queue; one or more are allowed".into());
        }
        for (at, queue) in self.queues.iter().enumerate() {
            check_name("queue", &queue.name)?;
            if queue.most == 0 {
                let name = &queue.name;
                return invalid(format!(
                    "the queue {name:?} without slots; 1 or more are allowed"
                ));
            }
            if self.queues[..at]
                .iter()
                .any(|other| other.name == queue.name)
            {
                return invalid(format!("the queue {:?} twice in a consumer", queue.name));
            }
        }
        if !(SHORTEST_LEASE..=LONGEST_LEASE).contains(&self.lease) {
            let lease = self.lease;
            return invalid(format!(
                "a lease of {lease:?}; a second to an hour is allowed"
            ));
        }
        for (at, schedule) in self.schedules.iter().enumerate() {
            let name = &schedule.name;
            check_name("schedule", name)?;
            if !self.handlers.iter().any(|one| one.name == schedule.kind) {
                let kind = schedule.kind;
                return invalid(format!(
                    "the schedule {name:?} stores jobs of the kind {kind:?}, for which there is no \
                     handler; one with a handler is allowed"
                ));
            }
            if self.schedules[..at].iter().any(|other| other.name == *name) {
                return invalid(format!("two schedules with the name {name:?}"));
            }
            schedule.check()?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConsumerBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self.handlers.iter().map(|handler| handler.name).collect();
        f.debug_struct("ConsumerBuilder")
            .field("queues", &self.queues)
            .field("kinds", &kinds)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
