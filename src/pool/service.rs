//! Services: threads of the program that live as long as a pool, and feed it.
//
// A service that runs holds the pool from its close on, as a task that runs does. That is counted
// before the phase moves, with the list locked: otherwise the pool could be idle, and over, before
// its services know of the end. What holds the pool is released when the thread ends.

use crate::clock::current;
use crate::clock::spawn::{Thread, spawn};
use crate::panic::{self, Level};
use crate::pool::core::Core;
use crate::pool::lifecycle::Phase;
use crate::pool::pool::{PoolHandle, ThreadPool};
use crate::process::NO_POOL;
use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

thread_local! {
    /// The tag of the pool for which this thread is a service. It has no destructor.
    static SERVES: Cell<u32> = const { Cell::new(NO_POOL) };
}

/// A loop of the program that lives with a pool, on a thread of its own: it reads a socket, a
/// directory or a queue, and submits what it finds. [`ThreadPool::attach`] starts it.
///
/// The pool owns it. A shutdown notifies it of each phase, waits for its end, and has its section
/// in the report. What its thread submits is like what a body submits: it waits for no place in a
/// bounded queue, and a drain takes it. It is queued like what comes from outside.
///
/// In a [simulation](crate::testing) its thread is part of that, as workers are.
///
/// ```
/// use millhand::pool::{Phase, Service, ServiceHost, ServiceReport};
/// use millhand::{CancelToken, Shutdown, ThreadPool};
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::time::Duration;
///
/// #[derive(Default)]
/// struct Poller {
///     stop: CancelToken,
///     rounds: AtomicU32,
/// }
///
/// impl Service for Poller {
///     fn name(&self) -> &str {
///         "poller"
///     }
///
///     fn run(&self, host: &ServiceHost) {
///         while host.phase() == Phase::Open {
///             host.pool().execute(|| { /* what there was to do */ });
///             self.rounds.fetch_add(1, Ordering::Relaxed);
///             let _ = self.stop.wait_timeout(Duration::from_millis(10));
///         }
///     }
///
///     fn phase_changed(&self, _: Phase) {
///         self.stop.cancel();
///     }
///
///     fn report(&self) -> ServiceReport {
///         let rounds = self.rounds.load(Ordering::Relaxed);
///         ServiceReport::new(format!("{rounds} rounds"))
///     }
/// }
///
/// let pool = ThreadPool::new(1)?;
/// pool.attach(Poller::default())?;
/// let report = pool.shutdown(Shutdown::drain())?;
/// let (name, section) = report.services().next().unwrap();
/// assert_eq!(name, "poller");
/// assert!(section.text().ends_with("rounds"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [shutdown](crate::guide::shutdown).
pub trait Service: Send + Sync + 'static {
    /// Returns its name, for its thread and for the report.
    fn name(&self) -> &str;

    /// What its thread does. It is to return soon after the pool has closed, when all is done that
    /// it wants to save. A shutdown waits for it. A panic is logged, and ends the service.
    fn run(&self, host: &ServiceHost);

    /// The pool has moved on to this phase: [`Draining`](Phase::Draining) or a later one, but not
    /// [`Over`](Phase::Over). It wakes the thread of the service, and must not block. Called by a
    /// thread that closes the pool, also for a service whose thread has ended.
    fn phase_changed(&self, phase: Phase);

    /// Returns its section of the report of a shutdown. Called at the end, when its thread has
    /// ended, or the shutdown has given up. One that is clean and has no text is left out: that is
    /// the default.
    fn report(&self) -> ServiceReport {
        ServiceReport::default()
    }
}

/// What a service sees of its pool.
///
/// Guide: [shutdown](crate::guide::shutdown).
pub struct ServiceHost {
    core: Arc<Core>,
}

/// The section of a service in a [`ShutdownReport`](crate::pool::ShutdownReport).
///
/// ```
/// use millhand::pool::ServiceReport;
///
/// let section = ServiceReport::new("3 jobs not saved").unclean();
/// assert!(!section.is_clean());
/// ```
///
/// Guide: [shutdown](crate::guide::shutdown).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceReport {
    text: String,
    is_unclean: bool,
}

/// Why a pool did not take a service.
///
/// Guide: [errors](crate::guide::errors).
#[derive(Debug)]
#[non_exhaustive]
pub enum AttachError {
    /// The pool is closed.
    Closed,
    /// The pool belongs to the process that this one was forked from.
    Forked,
    /// The system refused a thread.
    Spawn(io::Error),
}

impl ServiceHost {
    /// Returns the phase of the pool.
    pub fn phase(&self) -> Phase {
        self.core.lifecycle.phase()
    }

    /// Returns the pool, to submit to.
    pub fn pool(&self) -> PoolHandle {
        PoolHandle::new(self.core.clone())
    }

    /// Writes a warning to the log, with the name of the pool.
    pub fn warn(&self, text: &str) {
        self.core.log(Level::Warn, format_args!("{text}"));
    }

    /// Runs a callback that is not the service's own, so that a panic in it does not end the
    /// service. Returns `None` then, and the panic is logged as one of `what`.
    pub fn catch_panic<T>(&self, what: &str, callback: impl FnOnce() -> T) -> Option<T> {
        let mut returned = None;
        panic::shield(what, || returned = Some(callback()));
        returned
    }

    /// Writes a piece of information to the log, with the name of the pool.
    pub fn info(&self, text: &str) {
        self.core.log(Level::Info, format_args!("{text}"));
    }
}

impl ServiceReport {
    /// Makes one with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_unclean: false,
        }
    }

    /// Says that work was lost: the report of the shutdown is not clean then.
    #[must_use]
    pub fn unclean(mut self) -> Self {
        self.is_unclean = true;
        self
    }

    /// Returns its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns whether no work was lost.
    pub fn is_clean(&self) -> bool {
        !self.is_unclean
    }
}

impl ThreadPool {
    /// Starts a service, which lives as long as the pool.
    ///
    /// # Errors
    /// See [`AttachError`]. The service is dropped then.
    pub fn attach(&self, service: impl Service) -> Result<(), AttachError> {
        self.core().attach(Arc::new(service))
    }
}

/// The services of a pool, in the order in which they were attached.
#[derive(Default)]
pub(crate) struct Services {
    is_closed: bool,
    list: Vec<Attached>,
}

struct Attached {
    service: Arc<dyn Service>,
    /// `None` once it is taken, to be joined.
    thread: Option<Thread>,
    /// Whether its thread runs. If the pool is closed, that holds it.
    runs: bool,
}

impl Core {
    fn attach(self: &Arc<Self>, service: Arc<dyn Service>) -> Result<(), AttachError> {
        if self.is_foreign() {
            return Err(AttachError::Forked);
        }
        self.check_thread();
        // Locked until the service is listed: its thread may end at once, and the pool may close.
        let mut services = self.services.lock();
        if services.is_closed {
            return Err(AttachError::Closed);
        }
        let place = services.list.len();
        let (core, own) = (self.clone(), service.clone());
        let name = format!("{}-{}", self.options.name_prefix, service.name());
        self.lifecycle.thread_starts();
        let main = move || core.serve_as(place, &*own);
        let thread = spawn(self.clock(), name, None, Box::new(main)).inspect_err(|_| {
            self.lifecycle.thread_ends();
        });
        services.list.push(Attached {
            service,
            thread: Some(thread.map_err(AttachError::Spawn)?),
            runs: true,
        });
        Ok(())
    }

    /// The main function of the thread of a service.
    fn serve_as(self: Arc<Self>, place: usize, service: &dyn Service) {
        current::set(self.clock().clone());
        self.own_thread();
        SERVES.set(self.owner());
        let host = ServiceHost { core: self.clone() };
        let what = format!("the service {}", service.name());
        panic::shield(&what, || service.run(&host));
        drop(host);
        let mut services = self.services.lock();
        services.list[place].runs = false;
        let held = services.is_closed;
        drop(services);
        if held {
            self.release();
        }
        self.lifecycle.thread_ends();
    }

    /// Whether this thread is one of the pool's services.
    pub(crate) fn is_service_here(&self) -> bool {
        SERVES.get() == self.owner()
    }

    /// From now on the pool takes no service, and is not over before those that run have ended.
    /// Called before the phase moves.
    pub(crate) fn hold_services(&self) {
        let mut services = self.services.lock();
        if !services.is_closed {
            services.is_closed = true;
            let running = services.list.iter().filter(|one| one.runs);
            running.for_each(|_| self.lifecycle.hold());
        }
    }

    fn all_services(&self) -> Vec<Arc<dyn Service>> {
        let services = self.services.lock();
        let all = services.list.iter().map(|one| one.service.clone());
        all.collect()
    }

    /// Called with no lock held, since this is code of the user.
    pub(crate) fn notify_services(&self, phase: Phase) {
        for service in self.all_services() {
            panic::shield("phase_changed of a service", || {
                service.phase_changed(phase);
            });
        }
    }

    pub(crate) fn report_services(&self) -> Vec<(String, ServiceReport)> {
        let mut reports = Vec::new();
        for service in self.all_services() {
            panic::shield("report of a service", || {
                let report = service.report();
                if report != ServiceReport::default() {
                    reports.push((service.name().to_owned(), report));
                }
            });
        }
        reports
    }

    /// Takes the threads of the services, to be joined.
    pub(crate) fn take_service_threads(&self) -> Vec<Thread> {
        let mut services = self.services.lock();
        let all = services.list.iter_mut();
        all.filter_map(|one| one.thread.take()).collect()
    }
}

impl fmt::Debug for ServiceHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { core } = self;
        f.debug_struct("ServiceHost")
            .field("phase", &core.lifecycle.phase())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ServiceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "a closed pool takes no service",
            Self::Forked => {
                "the pool belongs to the process that this one was forked from: build a pool in the child"
            }
            Self::Spawn(_) => "the system refused a thread for the service",
        })
    }
}

impl Error for AttachError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Closed | Self::Forked => None,
            Self::Spawn(error) => Some(error),
        }
    }
}
