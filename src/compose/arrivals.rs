//! Waiting for several tasks: who asks registers once with each, and hears of them in the order in which they settle.
//!
//! Layer 6. A completion costs the same however many are waited for; nothing stays behind when the wait is dropped.

use crate::clock::Clock;
use crate::compose::handles::Link;
use crate::extras::{Watch, Watcher};
use crate::fork;
use crate::here;
use crate::seat;
use crate::sim;
use crate::sync::{Condvar, Mutex};
use crate::task::{self, TaskState};
use crate::wake::Wake;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The tasks that have not been heard of yet.
pub(crate) struct Arrivals {
    board: Arc<Board>,
    links: Vec<Link>,
    left: usize,
}

/// Where settled tasks write themselves down.
struct Board {
    /// The places of those that nobody has read yet.
    arrived: Mutex<VecDeque<usize>>,
    told: Condvar,
}

impl Watch for Board {
    fn settled(self: Arc<Self>, place: usize) {
        self.arrived.lock().push_back(place);
        self.told.notify_one();
    }

    fn is_light(&self) -> bool {
        true
    }
}

impl Wake for Board {
    fn wake(self: Arc<Self>) {
        drop(self.arrived.lock());
        self.told.notify_all();
    }

    fn what(&self) -> String {
        "any of several tasks".to_owned()
    }
}

impl Arrivals {
    pub(crate) fn new(links: Vec<Link>) -> Self {
        let board = Arc::new(Board {
            arrived: Mutex::new(VecDeque::new()),
            told: Condvar::new(),
        });
        let mut arrivals = Self {
            board,
            links: Vec::with_capacity(links.len()),
            left: 0,
        };
        for link in links {
            arrivals.add(arrivals.links.len(), link);
        }
        arrivals
    }

    /// One more task, at the next place or at that of one that has been heard of.
    pub(crate) fn add(&mut self, place: usize, link: Link) {
        let watcher = Watcher {
            who: self.board.clone(),
            place,
        };
        let Link { task, .. } = &link;
        // Of one that came through a `fork` there is nothing to hear: its handle says so at once.
        if fork::is_foreign(task.owner()) || task.watch(watcher).is_err() {
            self.board.clone().settled(place);
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

    /// The place of the next that has settled; waits for it. `None` when all have been heard of, or at the deadline.
    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        sim::pause();
        let place = self.try_next().or_else(|| self.wait(deadline))?;
        self.left -= 1;
        Some(place)
    }

    /// As `next`, for one who waits for all of them: what is queued still he runs here, as a join would, one at a time from
    /// place `at` on.
    pub(crate) fn next_of_all(&mut self, at: &mut usize) -> Option<usize> {
        while self.board.arrived.lock().is_empty() && *at < self.links.len() {
            let task = &self.links[*at].task;
            *at += 1;
            if task.state() == TaskState::Queued {
                task::run_here(task);
            }
        }
        self.next(None)
    }

    fn try_next(&self) -> Option<usize> {
        self.board.arrived.lock().pop_front()
    }

    fn wait(&self, deadline: Option<Instant>) -> Option<usize> {
        let _left = seat::leave_open();
        let board = &self.board;
        let me = || {
            let weak: Weak<Board> = Arc::downgrade(board);
            weak as Weak<dyn Wake>
        };
        let nobody = |arrived: &mut VecDeque<usize>| arrived.is_empty();
        let mut arrived = board.arrived.lock();
        let clock = self.clock();
        clock.wait_while(&board.told, &mut arrived, deadline, me, nobody);
        arrived.pop_front()
    }

    /// When a wait that may last so long from now on is over.
    pub(crate) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        self.clock().deadline(timeout)
    }

    /// Several tasks are waited for by the clock of the first one's pool.
    fn clock(&self) -> Clock {
        let first = self.links.first();
        here::clock_of(first.map_or(fork::NOBODY, |link| link.task.owner()))
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        if self.left == 0 {
            return;
        }
        let address = Arc::as_ptr(&self.board).addr();
        for Link { task, .. } in &self.links {
            task.unwatch(address);
        }
    }
}
