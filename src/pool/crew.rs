//! The crew: the threads that a pool has, and what others can reach of each.
//!
//! Layer 3. Plain data under one lock, and under one more for each worker what it has given up.

use crate::counters::Unsaid;
use crate::id::TaskId;
use crate::pool::queue::Mailbox;
use crate::pool::seats::Seats;
use crate::spawn::Thread;
use crate::task::{Frames, TaskRef};
use parking_lot::Mutex;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What others reach of a worker: its mail, and what it runs.
pub(crate) struct Desk {
    pub(crate) index: usize,
    pub(crate) frames: Frames,
    pub(crate) mail: Mailbox,
    /// What was done here and is not in the pool's sum yet.
    pub(crate) done: Unsaid,
    /// Whether a seat is forfeited; written under the lock below.
    forfeits: AtomicBool,
    sitting: Mutex<Sitting>,
}

/// What a worker has given its seat up for.
#[derive(Default)]
struct Sitting {
    /// Its waits, the innermost last.
    waits: Vec<Waiting>,
    /// The bodies on its stack whose time is over: while there are any, it has no seat.
    forfeited: Vec<TaskId>,
}

pub(crate) struct Waiting {
    /// The bodies that wait for one task; see `waits`.
    pub(crate) bodies: Vec<TaskRef>,
    /// Whether only a task of this pool can end the wait; see `seats`.
    pub(crate) for_ever: bool,
    /// Whether it is this wait that the seat was given up for.
    held: bool,
}

/// What the end of a wait came to.
pub(crate) enum Back {
    /// The seat is taken again; whether an idle thread must be told to look, since one is too many.
    Sits(bool),
    /// It had been given up before, or is forfeited meanwhile.
    StaysAway,
}

impl Desk {
    fn new(index: usize) -> Self {
        Self {
            index,
            frames: Frames::new(),
            mail: Mailbox::new(),
            done: Unsaid::default(),
            forfeits: AtomicBool::new(false),
            sitting: Mutex::new(Sitting::default()),
        }
    }

    /// Whether the body here has its seat.
    pub(crate) fn is_seated(&self) -> bool {
        let sitting = self.sitting.lock();
        sitting.waits.is_empty() && sitting.forfeited.is_empty()
    }

    /// A wait begins; says whether the seat is still to be given up.
    pub(crate) fn wait_begins(&self, bodies: Vec<TaskRef>, for_ever: bool) -> bool {
        let mut sitting = self.sitting.lock();
        let held = sitting.waits.is_empty() && sitting.forfeited.is_empty();
        sitting.waits.push(Waiting {
            bodies,
            for_ever,
            held,
        });
        held
    }

    /// The innermost wait is over: the seat is taken again if it was given up for it, unless it is forfeited. In one step
    /// with that decision, as `forfeit` gives it up in one: each seat is given up once and taken once.
    pub(crate) fn wait_ends(&self, seats: &Seats) -> (Waiting, Back) {
        let mut sitting = self.sitting.lock();
        let Some(wait) = sitting.waits.pop() else {
            unreachable!("a seat is retaken as often as it was left")
        };
        let back = match wait.held && sitting.forfeited.is_empty() {
            true => Back::Sits(seats.retake(wait.for_ever)),
            false => Back::StaysAway,
        };
        (wait, back)
    }

    /// The innermost wait is not to be; says whether the seat is forfeited meanwhile.
    pub(crate) fn wait_refused(&self) -> (Waiting, bool) {
        let mut sitting = self.sitting.lock();
        let Some(wait) = sitting.waits.pop() else {
            unreachable!("a wait is refused after it began")
        };
        (wait, !sitting.forfeited.is_empty())
    }

    /// `task`, if its body is on this worker's stack, takes the worker's seat away; says whether it did.
    pub(crate) fn forfeit(&self, task: TaskId, seats: &Seats) -> bool {
        let mut sitting = self.sitting.lock();
        // ORDERING: before the look at the frames; pairs with `left`.
        self.forfeits.store(true, Ordering::SeqCst);
        if !self.frames.has(task) {
            self.forfeits
                .store(!sitting.forfeited.is_empty(), Ordering::SeqCst);
            return false;
        }
        let had_it = sitting.forfeited.is_empty() && sitting.waits.is_empty();
        sitting.forfeited.push(task);
        if had_it {
            // Never refused: this wait ends by itself.
            let _ = seats.leave(false);
        }
        had_it
    }

    /// The body of `task` has left the frames, and the seat is taken again if it was forfeited by that body; says whether
    /// an idle thread must be told to look.
    pub(crate) fn left(&self, task: &TaskRef, seats: &Seats) -> bool {
        // ORDERING: after the frames were changed, under their lock; pairs with `forfeit`: either the flag is seen here,
        // or the body is not seen there.
        if !self.forfeits.load(Ordering::SeqCst) {
            return false;
        }
        let mut sitting = self.sitting.lock();
        let before = sitting.forfeited.len();
        let task = task.id();
        sitting.forfeited.retain(|body| *body != task);
        let regains = before > 0 && sitting.forfeited.is_empty();
        self.forfeits
            .store(!sitting.forfeited.is_empty(), Ordering::SeqCst);
        regains && sitting.waits.is_empty() && seats.retake(false)
    }
}

/// The threads of a pool.
#[derive(Default)]
pub(crate) struct Crew {
    /// By index; a spare takes the lowest that is free.
    members: Vec<Option<Member>>,
    /// Threads that have left, or are about to: kept for a shutdown to join, thrown out once they have ended.
    leaving: Vec<Thread>,
}

struct Member {
    desk: Arc<Desk>,
    /// `None` once a shutdown has taken it to join.
    thread: Option<Thread>,
}

impl Crew {
    /// A desk for a thread that is about to be started.
    pub(crate) fn free_desk(&self) -> Arc<Desk> {
        let vacant = self.members.iter().position(Option::is_none);
        Arc::new(Desk::new(vacant.unwrap_or(self.members.len())))
    }

    /// The thread was started.
    pub(crate) fn join(&mut self, desk: Arc<Desk>, thread: Thread) {
        let index = desk.index;
        if index == self.members.len() {
            self.members.push(None);
        }
        self.members[index] = Some(Member {
            desk,
            thread: Some(thread),
        });
    }

    /// A thread leaves; says whether it was the last.
    pub(crate) fn leave(&mut self, index: usize) -> bool {
        self.leaving.retain(|thread| !thread.is_finished());
        let member = self.members[index].take();
        self.leaving.extend(member.and_then(|member| member.thread));
        self.members.iter().all(Option::is_none)
    }

    pub(crate) fn desks(&self) -> impl Iterator<Item = &Arc<Desk>> {
        self.members.iter().flatten().map(|member| &member.desk)
    }

    /// Takes all threads, to be joined.
    pub(crate) fn take_threads(&mut self) -> Vec<Thread> {
        let mut threads = mem::take(&mut self.leaving);
        let members = self.members.iter_mut().flatten();
        threads.extend(members.filter_map(|member| member.thread.take()));
        threads
    }
}
