//! A gate: a rule under a lock, and the line of those who wait before it.
//!
//! Layer 1, below the tasks: it knows who waits only as a [`Waiter`]. A rate limiter, a semaphore and a keyed lane differ
//! in their rule alone.
//
// Who asks brings his order, a number that is drawn once: a late comer with an earlier number waits in front. He passes
// if nobody with an earlier number stands in the line and the rule admits him; else he joins the line.
//
// Whenever something may have changed (a permit came back, an instant was reached, somebody left) the line is looked
// through from its head: who could pass is *called*, which reserves what he needs until he comes and takes it, or leaves.
// Taken is only by who is about to run: a rate is a promise about starts. Nobody but the head of the line asks the rule;
// if it names an instant, the head has the gate rung then.
//
// Several gates are asked under all their locks, taken in the order of their ids, and taken from all or none. Who has
// more than one passes none of them while anybody earlier, called or not, waits there: so those with the same gates
// pass in their order.
//
// Locks: gates in the order of their ids, then a task's slot, then a pool's own; nobody locks a gate while he holds one
// of these. Calls are made when no gate is locked.

use crate::clock::Clock;
use crate::gate::rule::{Refusal, Rule};
use crate::here;
use crate::sim;
use crate::sync::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(crate) struct Gate {
    /// In which order gates are locked.
    pub(crate) id: u64,
    clock: Clock,
    pub(crate) nature: Nature,
    pub(crate) state: Mutex<State>,
}

/// What about a rule never changes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Nature {
    /// It goes by the clock.
    pub(crate) timed: bool,
    /// What was taken comes back.
    pub(crate) returns: bool,
    /// It wants to know of everybody in order, before they come.
    pub(crate) ordered: bool,
}

pub(crate) struct State {
    pub(crate) rule: Box<dyn Rule>,
    pub(crate) line: BTreeMap<u64, Entry>,
    /// What those in the line want, together.
    standing: u64,
    /// Who was called and has not come yet, and what is reserved for each.
    called: BTreeMap<u64, u32>,
    /// All of that together.
    reserved: u64,
    /// For whom, and when, the gate is to be rung.
    alarm: Option<(u64, Instant)>,
}

pub(crate) struct Entry {
    pub(crate) weight: u32,
    /// Whether this is the only gate that he comes to.
    pub(crate) alone: bool,
    pub(crate) waiter: Arc<dyn Waiter>,
}

/// Who waits: a task, or a thread. Neither call runs anything of the user's.
pub(crate) trait Waiter: Send + Sync {
    /// It could pass now: it is to come and ask again.
    fn called(self: Arc<Self>);
    /// It is the head of the line: it is to have the gate rung at `instant`.
    fn ring_at(&self, instant: Instant, gate: &Arc<Gate>);
}

/// Who is to be told, once no gate is locked.
#[derive(Default)]
pub(crate) struct Calls {
    called: Vec<Arc<dyn Waiter>>,
    alarms: Vec<(Arc<dyn Waiter>, Instant, Arc<Gate>)>,
}

impl Calls {
    pub(crate) fn make(self) {
        for (waiter, instant, gate) in self.alarms {
            waiter.ring_at(instant, &gate);
        }
        self.called.into_iter().for_each(Waiter::called);
    }
}

/// The next number of all that are drawn in this process.
pub(crate) fn next_order() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // A simulation has its own, the same each time: what is random of a task hangs on it.
    sim::here().map_or_else(
        || NEXT.fetch_add(1, Ordering::Relaxed),
        |sim| sim.next_order(),
    )
}

impl State {
    /// Why `order` cannot pass now, if so.
    pub(crate) fn refusal(
        &mut self,
        now: Instant,
        order: u64,
        weight: u32,
        alone: bool,
    ) -> Option<Refusal> {
        let first = self.line.first_key_value();
        let overtakes = first.is_some_and(|(&at, _)| at < order);
        if overtakes || self.must_wait(order, alone) {
            return Some(Refusal::Later);
        }
        let is_last = self
            .called
            .last_key_value()
            .is_none_or(|(&at, _)| at < order);
        let earlier = if is_last {
            self.reserved
        } else {
            let earlier = self.called.range(..order);
            earlier.map(|(_, weight)| u64::from(*weight)).sum()
        };
        self.ask(now, order, earlier + u64::from(weight))
    }

    /// Whether somebody who was called before must come first, whatever there is: for one who has more gates to pass.
    fn must_wait(&self, order: u64, alone: bool) -> bool {
        let first = self.called.first_key_value();
        !alone && first.is_some_and(|(&at, _)| at < order)
    }

    fn ask(&mut self, now: Instant, order: u64, wanted: u64) -> Option<Refusal> {
        match u32::try_from(wanted) {
            Ok(wanted) if wanted <= self.rule.heaviest() => self.rule.ask(now, order, wanted).err(),
            _ => Some(Refusal::Later),
        }
    }

    /// Calls whoever could pass; lets the head of the rest have the gate rung.
    pub(crate) fn pump(&mut self, gate: &Arc<Gate>, now: Instant, calls: &mut Calls) {
        while let Some(head) = self.line.first_entry() {
            let order = *head.key();
            let Entry { weight, alone, .. } = *head.get();
            let wanted = self.reserved + u64::from(weight);
            if self.must_wait(order, alone) {
                return;
            }
            match self.ask(now, order, wanted) {
                None => {
                    if let Some(Entry { weight, waiter, .. }) = self.leave(order) {
                        self.called.insert(order, weight);
                        self.reserved += u64::from(weight);
                        calls.called.push(waiter);
                    }
                }
                Some(Refusal::Until(instant)) => {
                    let alarm = Some((order, instant));
                    if self.alarm != alarm {
                        self.alarm = alarm;
                        if let Some(head) = self.line.get(&order) {
                            calls
                                .alarms
                                .push((head.waiter.clone(), instant, gate.clone()));
                        }
                    }
                    return;
                }
                Some(Refusal::Later) => return,
            }
        }
        self.alarm = None;
    }

    pub(crate) fn join(&mut self, order: u64, entry: Entry) {
        self.standing += u64::from(entry.weight);
        self.line.insert(order, entry);
    }

    fn leave(&mut self, order: u64) -> Option<Entry> {
        let entry = self.line.remove(&order)?;
        self.standing -= u64::from(entry.weight);
        Some(entry)
    }

    /// `order` is neither in the line nor called any more.
    pub(crate) fn remove(&mut self, order: u64) {
        self.leave(order);
        if let Some(weight) = self.called.remove(&order) {
            self.reserved -= u64::from(weight);
        }
    }

    /// What keeps one who would join the line now, at the least.
    fn least_wait(&self, now: Instant, weight: u32) -> Refusal {
        let wanted = u64::from(weight) + self.standing + self.reserved;
        let earliest = self.rule.earliest(now, wanted);
        earliest.map_or(Refusal::Later, Refusal::Until)
    }
}

impl Gate {
    pub(crate) fn new(clock: Clock, nature: Nature, rule: Box<dyn Rule>) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            clock,
            nature,
            state: Mutex::new(State {
                rule,
                line: BTreeMap::new(),
                standing: 0,
                called: BTreeMap::new(),
                reserved: 0,
                alarm: None,
            }),
        })
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The clock that a thread here waits by: a rule that knows of time has its own; else a worker's is its pool's.
    pub(crate) fn clock_here(&self) -> Clock {
        if self.nature.timed {
            return self.clock.clone();
        }
        here::clock().or(&self.clock)
    }

    pub(crate) fn is_timed(&self) -> bool {
        self.nature.timed
    }

    /// The present instant, for a rule that asks for it: the others are spared the reading.
    pub(crate) fn now(&self) -> Instant {
        if self.nature.timed {
            return self.clock.now();
        }
        // Any instant: such a rule never looks.
        static SOME: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *SOME.get_or_init(|| self.clock.now())
    }

    /// Changes something, and looks who could pass now.
    pub(crate) fn change<R>(self: &Arc<Self>, change: impl FnOnce(&mut State, Instant) -> R) -> R {
        let mut calls = Calls::default();
        let mut state = self.state.lock();
        let now = self.now();
        let result = change(&mut state, now);
        state.pump(self, now, &mut calls);
        drop(state);
        calls.make();
        result
    }

    /// The instant that the head of the line waited for has come, or may have.
    pub(crate) fn ring(self: &Arc<Self>) {
        self.change(|state, _| state.alarm = None);
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        let state = self.state.lock();
        state.line.len() + state.called.len()
    }

    /// Whether nobody waits and nothing is taken: a new one would be just like it.
    pub(crate) fn is_fresh(&self) -> bool {
        let mut state = self.state.lock();
        let now = self.now();
        state.line.is_empty() && state.called.is_empty() && state.rule.is_fresh(now)
    }

    pub(crate) fn heaviest(&self) -> u32 {
        self.state.lock().rule.heaviest()
    }

    /// What could be taken at once if nobody waited.
    pub(crate) fn available(&self) -> u32 {
        let mut state = self.state.lock();
        let now = self.now();
        state.rule.available(now)
    }

    /// Says whether the rule has a rate.
    pub(crate) fn set_rate(self: &Arc<Self>, rate: u32, per: Duration) -> bool {
        self.change(|state, now| {
            state.alarm = None;
            state.rule.set_rate(now, rate, per)
        })
    }

    pub(crate) fn set_permits(self: &Arc<Self>, permits: u32) {
        self.change(|state, _| state.rule.set_permits(permits));
    }

    /// Takes `weight` for `order` if that can be done at once: the quick way for one gate.
    pub(crate) fn try_take(&self, order: u64, weight: u32) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        let now = self.now();
        if !state.line.is_empty() || !state.called.is_empty() {
            return Err(state.least_wait(now, weight));
        }
        state.rule.try_take(now, order, weight)
    }

    /// How long one who joins the line now waits at the least.
    pub(crate) fn least_wait(&self, weight: u32) -> Refusal {
        let state = self.state.lock();
        let now = self.now();
        state.least_wait(now, weight)
    }
}
