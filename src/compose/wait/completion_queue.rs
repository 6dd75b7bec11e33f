//! Waiting for several tasks: a queue that receives each of them when it settles.
//!
//! Layer: compose. The waiter registers once with each task. The cost of a completion does not
//! depend on the number of tasks, and no registration stays behind when the queue is dropped.

use crate::cancel::blocking::{self, Interrupt, Target};
use crate::clock::{self, Clock, Monitor};
use crate::compose::wait::handles::Link;
use crate::error::Stopped;
use crate::process;
use crate::task::current::{self, Awaited};
use crate::task::watch::{Watch, Watcher};
use crate::task::{self, OutcomeKind, TaskRef};
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A set of tasks, and the places of those that have settled, in the order in which they did.
pub(crate) struct CompletionQueue {
    settled: Arc<SettledPlaces>,
    links: Vec<Link>,
    /// Those of the tasks that one worker alone can run. Most sets have none.
    pinned: Vec<TaskRef>,
    /// Whether `next` has returned the place.
    returned: Vec<bool>,
    /// How many tasks `next` has not returned yet.
    left: usize,
}

/// The places of the settled tasks that `next` has not returned yet. The thread that settles a task
/// adds its place.
struct SettledPlaces {
    places: Monitor<VecDeque<usize>>,
    /// Whether the queue is gone.
    is_over: AtomicBool,
}

impl Watch for SettledPlaces {
    fn settled(self: Arc<Self>, place: usize, _: OutcomeKind) {
        self.places.lock().push_back(place);
        // All: one thread waits here, and as a worker it is to get its run slot back.
        self.places.notify_all();
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn is_light(&self) -> bool {
        true
    }
}

impl CompletionQueue {
    pub(crate) fn new(links: Vec<Link>) -> Self {
        let mut queue = Self {
            settled: Arc::new(SettledPlaces {
                places: Monitor::new(VecDeque::new()),
                is_over: AtomicBool::new(false),
            }),
            links: Vec::with_capacity(links.len()),
            pinned: Vec::new(),
            returned: Vec::with_capacity(links.len()),
            left: 0,
        };
        for link in links {
            queue.add(queue.links.len(), link);
        }
        queue
    }

    /// Adds a task at the next place, or at the place of a task that `next` has returned.
    pub(crate) fn add(&mut self, place: usize, link: Link) {
        let watcher = Watcher::Set(self.settled.clone(), place);
        let Link { task, .. } = &link;
        if task.pinned().is_some() {
            self.pinned.push(task.clone());
        }
        // A task of the parent process of a fork notifies this process of nothing. Its handle
        // returns that as its error at once.
        if process::is_foreign(task.head.owner) || task.watch(watcher).is_err() {
            self.settled.clone().settled(place, OutcomeKind::Succeeded);
        }
        if place == self.links.len() {
            self.links.push(link);
            self.returned.push(false);
        } else {
            self.links[place] = link;
            self.returned[place] = false;
        }
        self.left += 1;
    }

    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    /// Waits for the next task that settles and returns its place. Returns `None` at the deadline,
    /// and when each task has been returned.
    ///
    /// For a caller that joins the task next. If the wait is to end early, this returns the place
    /// of a task that has not settled, whose join ends early, too.
    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> Option<usize> {
        match self.try_next_until(deadline) {
            Ok(place) => place,
            Err(_) => {
                let place = self.returned.iter().position(|returned| !returned)?;
                self.is_returned(place).then_some(place)
            }
        }
    }

    /// The same for a caller that only waits: an error if the wait is to end early.
    pub(crate) fn try_next_until(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<usize>, Stopped> {
        clock::pause();
        while self.left > 0 {
            let settled = self.settled.places.lock().pop_front();
            let Some(place) = settled.map_or_else(|| self.wait(deadline), |at| Ok(Some(at)))?
            else {
                break;
            };
            if self.is_returned(place) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Notes that a place is returned. Returns whether this is the first time: a task whose place
    /// was returned early settles later.
    fn is_returned(&mut self, place: usize) -> bool {
        let is_new = !mem::replace(&mut self.returned[place], true);
        self.left -= usize::from(is_new);
        is_new
    }

    fn wait(&self, deadline: Option<Instant>) -> Result<Option<usize>, Stopped> {
        if let Some(stopped) = current::interrupted() {
            return Err(stopped);
        }
        // While this worker waits, no other one could run them.
        if deadline.is_none() {
            self.run_pinned_here();
        }
        let waker = self.settled.clone();
        let interrupt = Interrupt::here(move || waker.places.lock_and_notify_all());
        // One that is left of the pool of this worker stands for all.
        let mut left = self.links.iter().map(|link| &link.task);
        let own = left.find(|task| !task.head.is_settled() && task::is_worker_of(task.head.owner));
        let _awaited = own.map(Awaited::begin);
        let owner = own.map_or(process::NO_POOL, |task| task.head.owner);
        let _blocking = blocking::begin_for(Target::Tasks(owner));
        let (settled, clock) = (&self.settled.places, self.clock());
        let what = "any of several tasks";
        let mut places = settled.lock();
        settled.wait_while(&mut places, &clock, deadline, &what, &mut |places| {
            places.is_empty() && !interrupt.has_come()
        });
        let place = places.pop_front();
        drop(places);
        match interrupt.stopped() {
            Some(stopped) if place.is_none() => Err(stopped),
            _ => Ok(place),
        }
    }

    fn run_pinned_here(&self) {
        let is_here = |task: &&TaskRef| !task.head.is_claimed() && task::is_pinned_here(task);
        if let Some(task) = self.pinned.iter().find(is_here) {
            task::run_here(task);
        }
    }

    /// The instant at which a wait of this length that begins now is over.
    pub(crate) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        self.clock().deadline(timeout)
    }

    /// The clock of the wait: that of the pool of the first task.
    fn clock(&self) -> Clock {
        let first = self.links.first();
        process::clock_of(first.map_or(process::NO_POOL, |link| link.task.head.owner))
    }
}

impl Drop for CompletionQueue {
    fn drop(&mut self) {
        if self.left == 0 {
            return;
        }
        // Relaxed: the same thread reads it next, or a later one after it has locked the task.
        self.settled.is_over.store(true, Ordering::Relaxed);
        for Link { task, .. } in &self.links {
            task.unwatch();
        }
    }
}
