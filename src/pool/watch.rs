//! The sampler of a pool: a thread that looks at what runs, for the watchdog, for rates and ages.
//
// It runs while something asks for it: an option of the pool, or a dashboard. Between its looks it
// waits on a channel, as the timer does.
//
// A plain task reads no clock. So the sampler notes when it first saw a body. It knows a body by
// its worker and the number of tasks that the worker has finished: a task that only its worker has,
// has no id. Where that is not enough, it takes the id and the attempt.

use crate::clock::spawn::{Thread, spawn};
use crate::id::TaskId;
use crate::observe::{Age, Event, Rates};
use crate::panic::{self, Level};
use crate::pool::core::Core;
use crate::pool::lifecycle::Phase;
use crate::pool::live::LOGGED;
#[cfg(feature = "dashboard")]
use crate::pool::pool::Pool;
use crate::pool::seen::{BodyKey, Found, Seen};
use crate::sync::waiter::ClockWaiter;
use crate::task::label::TaskLabel;
use crate::task::{OutcomeKind, Summary};
use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use std::fmt::Display;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

pub(crate) struct Watch {
    /// How many ask for the sampler. Raised with `thread` locked.
    users: AtomicUsize,
    /// How many of them are dashboards. Changed beside `users`.
    #[cfg(feature = "dashboard")]
    dashboards: AtomicUsize,
    /// `None` while it does not run.
    thread: Mutex<Option<Thread>>,
    seen: Mutex<Seen>,
    sender: Sender<()>,
    receiver: Receiver<()>,
}

/// How many failures are kept.
const FAILURES: usize = 32;

impl Watch {
    pub(crate) fn new() -> Arc<Self> {
        let (sender, receiver) = unbounded();
        Arc::new(Self {
            users: AtomicUsize::new(0),
            #[cfg(feature = "dashboard")]
            dashboards: AtomicUsize::new(0),
            thread: Mutex::new(None),
            seen: Mutex::default(),
            sender,
            receiver,
        })
    }

    pub(crate) fn is_on(&self) -> bool {
        self.users.load(Ordering::Relaxed) > 0
    }

    /// Whether something may read failures: a watchdog does not.
    pub(crate) fn keeps_failures(&self) -> bool {
        #[cfg(feature = "dashboard")]
        return self.dashboards.load(Ordering::Relaxed) > 0;
        #[cfg(not(feature = "dashboard"))]
        false
    }

    /// For how long a body has run, as far as the sampler has seen it.
    pub(crate) fn age_of(&self, body: BodyKey, now: Instant) -> Option<Age> {
        let seen = self.seen.lock();
        let (since, _) = seen.bodies.get(&body)?;
        Some(Age::at_least(now.saturating_duration_since(*since)))
    }

    /// How many tasks end each second. A sampler that has looked once knows no rate: 0.
    pub(crate) fn rates(&self) -> Option<Rates> {
        if !self.is_on() {
            return None;
        }
        Some(self.seen.lock().rates())
    }

    #[cfg(feature = "dashboard")]
    pub(crate) fn failures(&self) -> Vec<Summary> {
        self.seen.lock().failures.iter().cloned().collect()
    }

    /// Has the sampler look again, or end.
    pub(crate) fn check(&self) {
        // Cannot fail: the receiver is beside the sender.
        let _ = self.sender.send(());
    }

    /// Waits for its end, which is near.
    pub(crate) fn join(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // It ends by a panic only through a fault of the library.
            let _ = thread.join();
        }
    }
}

/// For the sampler's thread.
impl ClockWaiter for Watch {
    fn wake(self: Arc<Self>) {
        self.check();
    }

    fn waits_for(&self) -> String {
        "the time of its next look".to_owned()
    }

    fn is_blocked(&self) -> bool {
        self.receiver.is_empty()
    }
}

/// While there is one, the sampler of the pool runs.
#[cfg(feature = "dashboard")]
pub(crate) struct Sampling(Arc<Core>);

#[cfg(feature = "dashboard")]
impl Drop for Sampling {
    fn drop(&mut self) {
        let watch = &self.0.watch;
        if watch.dashboards.fetch_sub(1, Ordering::Relaxed) == 1 {
            // The next dashboard has not seen what comes between.
            watch.seen.lock().failures.clear();
        }
        watch.users.fetch_sub(1, Ordering::Relaxed);
        watch.check();
    }
}

#[cfg(feature = "dashboard")]
impl Pool {
    /// Has the sampler run until what this returns is dropped.
    pub(crate) fn keep_sampling(&self) -> Sampling {
        self.core().start_sampling();
        let dashboards = &self.core().watch.dashboards;
        dashboards.fetch_add(1, Ordering::Relaxed);
        Sampling(self.core().clone())
    }

    /// The last failures while there was a dashboard, the oldest first.
    pub(crate) fn recent_failures(&self) -> Vec<Summary> {
        self.core().watch.failures()
    }
}

impl Core {
    /// Starts the sampler if its options ask for it.
    pub(crate) fn start_watchdog(self: &Arc<Self>) {
        if self.options.slow_task.is_some() || self.options.stalled.is_some() {
            self.start_sampling();
        }
    }

    /// One more asks for the sampler. In a simulation there is none: simulated time would never
    /// come to rest.
    fn start_sampling(self: &Arc<Self>) {
        if self.clock().is_simulated() {
            return;
        }
        let mut thread = self.watch.thread.lock();
        self.watch.users.fetch_add(1, Ordering::Relaxed);
        if thread.is_some() || self.lifecycle.phase() == Phase::Over {
            return;
        }
        let core = self.clone();
        let name = format!("{}-watch", self.options.name_prefix);
        let run = move || {
            core.watch_on();
            core.lifecycle.thread_ends();
        };
        self.lifecycle.thread_starts();
        match spawn(self.clock(), name, None, Box::new(run)) {
            Ok(started) => *thread = Some(started),
            Err(error) => {
                drop(thread);
                self.lifecycle.thread_ends();
                self.log(
                    Level::Warn,
                    format_args!("no thread for the watchdog of a pool: {error}"),
                );
            }
        }
    }

    /// How far apart the looks are.
    fn period(&self) -> Duration {
        let limits = [self.options.slow_task, self.options.stalled];
        let least = limits.into_iter().flatten().min();
        let quarter = least.map_or(Duration::from_millis(250), |limit| limit / 4);
        quarter.clamp(Duration::from_millis(20), Duration::from_millis(250))
    }

    /// The main function of the sampler's thread.
    fn watch_on(&self) {
        let watch = &self.watch;
        loop {
            let now = self.clock().now();
            self.look(now);
            let me = || {
                let weak: Weak<Watch> = Arc::downgrade(watch);
                weak as Weak<dyn ClockWaiter>
            };
            let next = now.checked_add(self.period());
            self.clock().receive(&watch.receiver, next, me);
            while watch.receiver.try_recv().is_ok() {}
            if self.lifecycle.phase() == Phase::Over {
                return;
            }
            // With the list of users locked: one that comes now starts another thread.
            let mut thread = watch.thread.lock();
            if !watch.is_on() {
                *thread = None;
                *watch.seen.lock() = Seen::default();
                return;
            }
        }
    }

    fn look(&self, now: Instant) {
        let found = self.found(now);
        let ended = self.ended();
        let taken = ended + self.counts.retries.sum();
        let queued = self.queued();
        let oldest = match self.options.track_queue {
            true => Some(self.oldest_queued()),
            false => None,
        };
        let since = |due| now.saturating_duration_since(due);
        let oldest = oldest.map(|oldest| oldest.map_or(Duration::ZERO, |(due, _)| since(due)));
        let mut seen = self.watch.seen.lock();
        seen.note_ended(now, ended);
        let (slow, has_moved) = seen.note_bodies(found, now, self.options.slow_task);
        let has_moved = has_moved || seen.last != taken || queued == 0;
        seen.last = taken;
        let stalled = seen.note_queue(now, has_moved, oldest, self.options.stalled);
        drop(seen);
        for Found {
            who, worker, age, ..
        } in slow
        {
            who.log(
                Level::Warn,
                format_args!("{who} has run for {age} on worker {worker}"),
            );
            self.emit(|| Event::Slow {
                task: who,
                worker,
                running: age,
            });
        }
        if let Some(waited) = stalled {
            self.report_stall(queued, waited);
        }
    }

    fn report_stall(&self, queued: usize, waited: Age) {
        let head = self.oldest_queued().map(|(_, head)| head);
        self.log(
            Level::Warn,
            format_args!(
                "the head of the queue has waited for {waited}; the oldest that is listed: {}\n{}",
                head.as_ref().map_or(&"none" as &dyn Display, |head| head),
                self.dump(LOGGED)
            ),
        );
        self.emit(|| Event::Stalled {
            head,
            queued,
            waited,
        });
    }

    /// How many tasks have ended that the pool had taken.
    fn ended(&self) -> u64 {
        let [others @ .., _rejected] = self.counts.outcomes();
        self.succeeded() + others.iter().sum::<u64>()
    }

    /// The bodies that run now.
    fn found(&self, now: Instant) -> Vec<Found> {
        let mut found = Vec::new();
        for worker in self.workers() {
            let (tasks, owned) = worker.stack.snapshot();
            for (depth, task) in tasks.iter().enumerate() {
                let age = task.started().map(|at| now.saturating_duration_since(at));
                found.push(Found {
                    body: BodyKey::of(&worker.stack, depth, task),
                    who: task.head.label(),
                    worker: worker.stack.index,
                    age: age.map_or(Age::at_least(Duration::ZERO), Age::exactly),
                });
            }
            found.extend(owned.map(|site| Found {
                body: BodyKey::first(&worker.stack),
                who: TaskLabel::new(TaskId::next(), None, site),
                worker: worker.stack.index,
                age: Age::at_least(Duration::ZERO),
            }));
            panic::discard(tasks);
        }
        found
    }

    /// Whether the failure is kept, for a dashboard.
    pub(crate) fn is_failure_kept(&self, kind: OutcomeKind) -> bool {
        use OutcomeKind::{Expired, Failed, Panicked, TimedOut};
        self.watch.keeps_failures() && matches!(kind, Failed | Panicked | TimedOut | Expired)
    }

    pub(crate) fn keep_failure(&self, summary: &Summary) {
        if self.is_failure_kept(summary.outcome) {
            let mut seen = self.watch.seen.lock();
            if seen.failures.len() == FAILURES {
                seen.failures.pop_front();
            }
            seen.failures.push_back(summary.clone());
        }
    }
}
