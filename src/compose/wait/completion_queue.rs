//! Waiting for several tasks: a queue that receives each of them when it settles.
//!
//! Layer: compose. The waiter registers once with each task. The cost of a completion does not
//! depend on the number of tasks, and no registration stays behind when the queue is dropped.

use crate::cancel::blocking;
use crate::clock::{self, Clock, Monitor};
use crate::compose::wait::handles::Link;
use crate::process;
use crate::task::options::{Watch, Watcher};
use crate::task::{self, OutcomeKind, TaskState};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A set of tasks, and the places of those that have settled, in the order in which they did.
pub(crate) struct CompletionQueue {
    settled: Arc<SettledPlaces>,
    links: Vec<Link>,
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
        self.places.notify_one();
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
        // A task of the parent process of a fork notifies this process of nothing. Its handle
        // returns that as its error at once.
        if process::is_foreign(task.head.owner) || task.watch(watcher).is_err() {
            self.settled.clone().settled(place, OutcomeKind::Completed);
        }
        if place == self.links.len() {
            self.links.push(link);
        } else {
            self.links[place] = link;
        }
        self.left += 1;
    }

    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    /// Waits for the next task that settles and returns its place. Returns `None` at the deadline,
    /// and when each task has been returned.
    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        clock::pause();
        let place = self.try_next().or_else(|| self.wait(deadline))?;
        self.left -= 1;
        Some(place)
    }

    /// As `next`, for a caller that waits for all of the tasks. On a worker it first runs tasks
    /// that are still queued, as a join does: one at a time, from the place `at` on, and only as
    /// long as no task is there to be returned.
    pub(crate) fn next_of_all(&mut self, at: &mut usize) -> Option<usize> {
        while self.settled.places.lock().is_empty() && *at < self.links.len() {
            let task = &self.links[*at].task;
            *at += 1;
            if task.state() == TaskState::Queued {
                task::run_here(task);
            }
        }
        self.next(None)
    }

    fn try_next(&self) -> Option<usize> {
        self.settled.places.lock().pop_front()
    }

    fn wait(&self, deadline: Option<Instant>) -> Option<usize> {
        // Whether one of the tasks that are left is of the pool of this worker.
        let left = self.links.iter().map(|link| &link.task.head);
        let left = left.filter(|head| !head.is_settled());
        let mut owners = left.map(|head| head.owner);
        let owner = owners.find(|owner| task::is_worker_of(*owner));
        let owner = owner.unwrap_or(process::NO_POOL);
        let _blocking = blocking::begin_for(owner);
        let (settled, clock) = (&self.settled.places, self.clock());
        let what = "any of several tasks";
        let mut places = settled.lock();
        settled.wait_while(&mut places, &clock, deadline, &what, &mut |places| {
            places.is_empty()
        });
        places.pop_front()
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
