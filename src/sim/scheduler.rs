//! Which thread of a simulation runs next, and when the clock moves. The simulator hands the turns
//! over.

use crate::random::random;
use crate::sim::token::TurnToken;
use crate::sim::trace::Trace;
use crate::sync::manual_time::ManualTime;
use crate::sync::number_map::NumberMap;
use crate::sync::waiter::ClockWaiter;
use std::mem;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

pub(crate) struct Scheduler {
    seed: u64,
    pub(crate) threads: NumberMap<SimThread>,
    next_id: u64,
    /// See `simulator`.
    pub(crate) epoch: u64,
    /// How many random numbers were used.
    picks: u64,
    start: Instant,
    pub(crate) time: ManualTime,
    /// The next turn is the owner's.
    pub(crate) is_step: bool,
    /// The owner was given the turn because no thread can go on.
    pub(crate) is_deadlock: bool,
    pub(crate) trace: Trace,
    clock_name: Arc<str>,
}

pub(crate) struct SimThread {
    pub(crate) name: Arc<str>,
    pub(crate) token: Arc<TurnToken>,
    pub(crate) state: ThreadState,
}

/// The state of a thread that does not have the turn.
pub(crate) enum ThreadState {
    Ready,
    Blocked {
        /// The epoch in which it last checked what it waits for.
        since: u64,
        until: Option<Instant>,
        on: WaitsFor,
    },
    /// The owner waits until no other thread can go on before this instant has passed.
    Idle(Instant),
}

#[derive(Clone)]
pub(crate) enum WaitsFor {
    Waiter(Weak<dyn ClockWaiter>),
    /// The end of the thread with this id.
    End(u64),
    /// A change that the thread looks for itself, again and again.
    Polling,
}

pub(crate) enum Next {
    /// The thread with this id has the turn.
    Run(u64),
    /// The clock has moved, and these are to be woken.
    Wake(Vec<Arc<dyn ClockWaiter>>),
}

/// The thread that made the simulation.
pub(crate) const OWNER: u64 = 0;

/// The time of day at the start, the same in each run: the first of January 2026, midnight UTC.
const WALL: Duration = Duration::from_secs(1_767_225_600);

/// How far the clock can move: 584 years.
const MOST_TIME: Duration = Duration::from_nanos(u64::MAX);

impl Scheduler {
    pub(crate) fn new(start: Instant, seed: u64, owner: Arc<TurnToken>) -> Self {
        let mut scheduler = Self {
            seed,
            threads: NumberMap::new(),
            next_id: OWNER,
            epoch: 0,
            picks: 0,
            start,
            time: ManualTime::new(start, SystemTime::UNIX_EPOCH + WALL),
            is_step: false,
            is_deadlock: false,
            trace: Trace::default(),
            clock_name: "clock".into(),
        };
        scheduler.add("owner", owner);
        scheduler
    }

    /// Adds a thread that is ready for its first turn. Returns its id.
    pub(crate) fn add(&mut self, name: &str, token: Arc<TurnToken>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let thread = SimThread {
            name: name.into(),
            token,
            state: ThreadState::Ready,
        };
        self.threads.insert(id, thread);
        id
    }

    pub(crate) fn set(&mut self, id: u64, state: ThreadState) {
        if let Some(thread) = self.threads.get_mut(id) {
            thread.state = state;
        }
    }

    /// Picks one of the threads that can go on now.
    pub(crate) fn pick(&mut self) -> Option<u64> {
        let now = self.time.now();
        let can_go_on = |thread: &SimThread| match &thread.state {
            ThreadState::Ready => true,
            ThreadState::Idle(_) => false,
            ThreadState::Blocked { since, until, on } => {
                until.is_some_and(|until| until <= now)
                    || *since < self.epoch
                        && match on {
                            WaitsFor::Waiter(waiter) => {
                                waiter.upgrade().is_none_or(|waiter| !waiter.is_blocked())
                            }
                            WaitsFor::End(id) => !self.threads.contains(*id),
                            WaitsFor::Polling => true,
                        }
            }
        };
        let ids = self.threads.iter().filter(|(_, thread)| can_go_on(thread));
        let ids: Vec<u64> = ids.map(|(id, _)| id).collect();
        match ids.len() {
            0 => None,
            1 => Some(ids[0]),
            n => {
                self.picks += 1;
                let picked = random(self.seed, self.picks) % n as u64;
                Some(ids[picked as usize])
            }
        }
    }

    /// What happens next. Moves the clock if no thread can go on otherwise.
    pub(crate) fn next(&mut self) -> Next {
        if mem::take(&mut self.is_step) {
            return Next::Run(OWNER);
        }
        loop {
            if let Some(id) = self.pick() {
                return Next::Run(id);
            }
            let limit = match self.threads.get(OWNER).map(|owner| &owner.state) {
                Some(ThreadState::Idle(until)) => Some(*until),
                _ => None,
            };
            let due = match (limit, self.next_event()) {
                (Some(limit), at) if at.is_none_or(|at| at > limit) => {
                    // Nothing is due up to the limit.
                    drop(self.move_clock(limit));
                    return Next::Run(OWNER);
                }
                (_, Some(at)) => self.move_clock(at),
                (_, None) => {
                    self.is_deadlock = true;
                    return Next::Run(OWNER);
                }
            };
            if !due.is_empty() {
                return Next::Wake(due);
            }
        }
    }

    /// The earliest instant at which a wait ends or something is due.
    pub(crate) fn next_event(&mut self) -> Option<Instant> {
        let registered = self.time.next();
        let deadlines = self
            .threads
            .iter()
            .filter_map(|(_, thread)| match thread.state {
                ThreadState::Blocked { until, .. } => until,
                _ => None,
            });
        // An instant that the clock cannot reach never comes.
        let first = deadlines.chain(registered).min();
        first.filter(|at| self.reaches(*at))
    }

    /// Whether the clock can move to this instant.
    pub(crate) fn reaches(&self, at: Instant) -> bool {
        at.saturating_duration_since(self.start) <= MOST_TIME
    }

    /// The simulated time since the start.
    pub(crate) fn passed(&self) -> Duration {
        self.time.now() - self.start
    }

    fn move_clock(&mut self, to: Instant) -> Vec<Arc<dyn ClockWaiter>> {
        let by = to.saturating_duration_since(self.time.now());
        let due = self.time.advance_to(to);
        if !by.is_zero() {
            let clock = self.clock_name.clone();
            self.trace
                .add(self.passed(), clock, format!("goes on by {by:?}"));
        }
        due
    }
}
