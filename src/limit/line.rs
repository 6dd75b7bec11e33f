//! Who waits at a gate, whose turn it is, and when the gate is asked again.
//!
//! Layer: limit. All of it is guarded by the lock of the gate; see `gate.rs`.

use crate::clock::later;
use crate::limit::gate::{GateQueue, Notice, Notices, Waiter};
use crate::limit::rule::{Refusal, Rule};
use crate::sync::number_map::NumberMap;
use crate::sync::waiter::ClockWaiter;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a pool without an idle worker is waited for, once or twice, before others may pass.
pub(crate) const PATIENCE: Duration = Duration::from_millis(10);

/// The owner of all threads that block at a gate. The owner of a task is the address of its pool.
pub(crate) const THREADS: usize = 0;

pub(crate) struct State {
    pub(crate) rule: Rule,
    /// One for each owner that has something in line or called here. A few, and in any order.
    lines: Vec<Line>,
    /// The waiters whose turn it is, and which have not taken yet.
    granted: NumberMap<Granted>,
    /// The weight of those for which it is reserved.
    reserved: u64,
    alarm: Option<Filed>,
}

/// The waiters of one owner, by their orders.
struct Line {
    owner: usize,
    entries: NumberMap<GateEntry>,
    /// The weight of the entries.
    weight: u64,
    /// How many of this owner's grants are `Called`.
    called: usize,
    /// The weight of this owner's grants that are only offered.
    offered: u64,
}

/// A waiter in the line.
pub(crate) struct GateEntry {
    pub(crate) owner: usize,
    pub(crate) weight: u32,
    /// Whether the waiter asks no other gate.
    pub(crate) only_gate: bool,
    /// Whether it was its turn here before, and others have passed it.
    pub(crate) was_passed: bool,
    pub(crate) waiter: Arc<dyn Waiter>,
}

struct Granted {
    owner: usize,
    weight: u32,
    grant: Grant,
    waiter: Arc<dyn Waiter>,
}

/// What a waiter has whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// It is notified, and its weight is reserved. `late`: an alarm has fired since.
    Called { late: bool },
    /// It was called, and no worker of its pool was idle for long. Waiters of other owners may pass
    /// it. Those of its own pool may not.
    Offered,
    /// It was passed before. It is notified, and its weight is reserved until it comes.
    Reserved,
    /// It has come, and waits for its other gates. Its weight is reserved.
    Kept,
}

/// The alarm of the gate, and the waiter that it is filed with.
struct Filed {
    /// `None`: about `PATIENCE` after it was filed.
    at: Option<Instant>,
    owner: usize,
    /// The order of a thread, which keeps the alarm itself. The alarm of a pool serves all of it.
    thread: Option<u64>,
    alarm: Option<Arc<dyn ClockWaiter>>,
}

impl Filed {
    /// Whether it still fires, and not after `at`, if it was filed with this waiter.
    fn serves(&self, order: u64, owner: usize, at: Option<Instant>, now: Instant) -> bool {
        let is_kept = self.owner == owner && self.thread.is_none_or(|thread| thread == order);
        let is_in_time = match (self.at, at) {
            (Some(filed), Some(at)) => now < filed && filed <= at,
            (filed, _) => filed.is_none(),
        };
        is_kept && is_in_time
    }
}

impl Line {
    fn first(&self) -> Option<u64> {
        self.entries.first()
    }
}

impl State {
    pub(crate) fn new(rule: Rule) -> Self {
        Self {
            rule,
            lines: Vec::new(),
            granted: NumberMap::new(),
            reserved: 0,
            alarm: None,
        }
    }

    /// Whether nothing waits here.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.granted.is_empty()
    }

    pub(crate) fn has_line(&self) -> bool {
        !self.lines.is_empty()
    }

    /// How many wait, those included whose turn it is.
    pub(crate) fn waiting(&self) -> usize {
        let in_line: usize = self.lines.iter().map(|line| line.entries.len()).sum();
        in_line + self.granted.len()
    }

    /// What could be taken now if nothing waited, without what is reserved.
    pub(crate) fn available(&self, now: Instant) -> u32 {
        let reserved = u32::try_from(self.reserved).unwrap_or(u32::MAX);
        self.rule.available(now).saturating_sub(reserved)
    }

    pub(crate) fn is_granted(&self, order: u64) -> bool {
        self.granted.contains(order)
    }

    /// Why `order` cannot pass now, if so.
    pub(crate) fn refusal(
        &self,
        now: Instant,
        order: u64,
        owner: usize,
        weight: u32,
        only_gate: bool,
    ) -> Option<Refusal> {
        // The lines of pools without a free worker are passed.
        let would_overtake = self.lines.iter().any(|line| {
            let goes_on = line.offered == 0 || line.owner == owner;
            goes_on && line.first().is_some_and(|first| first < order)
        });
        if would_overtake || self.must_wait(order, owner, only_gate) {
            return Some(Refusal::Later);
        }
        let wanted = self.reserved_before(order, owner) + u64::from(weight);
        self.ask(now, order, wanted)
    }

    /// What is reserved for the waiters before `order`. What is offered counts for its owner only.
    fn reserved_before(&self, order: u64, owner: usize) -> u64 {
        if self.granted.last().is_none_or(|last| last < order) {
            let line = self.lines.iter().find(|line| line.owner == owner);
            return self.reserved + line.map_or(0, |line| line.offered);
        }
        let before = self.granted.before(order);
        let counted = before
            .filter(|granted| granted.grant != Grant::Offered || granted.owner == owner)
            .map(|granted| u64::from(granted.weight));
        counted.sum()
    }

    /// Whether a waiter that has other gates to pass must wait for one of its pool that was
    /// notified before it, however much there is to be had. So tasks with the same gates pass in
    /// their order.
    fn must_wait(&self, order: u64, owner: usize, only_gate: bool) -> bool {
        let mut before = self.granted.before(order);
        let comes_first =
            |granted: &Granted| granted.owner == owner && granted.grant != Grant::Kept;
        !only_gate && before.any(comes_first)
    }

    fn ask(&self, now: Instant, order: u64, wanted: u64) -> Option<Refusal> {
        match u32::try_from(wanted) {
            Ok(wanted) if wanted <= self.rule.max_weight() => {
                self.rule.ask(now, order, wanted).err()
            }
            _ => Some(Refusal::Later),
        }
    }

    /// Grants the waiters that could pass now, in their order. The first one that could not has
    /// the gate ask again at the instant that the rule names.
    pub(crate) fn grant(&mut self, gate: &Arc<GateQueue>, now: Instant, notices: &mut Notices) {
        // The owners whose lines cannot go on and are passed.
        let mut passed = Vec::new();
        loop {
            let Some((order, at)) = self.head(|line| !passed.contains(&line.owner)) else {
                return;
            };
            let line = &self.lines[at];
            let head = &line.entries[order];
            let (owner, weight, is_passed) = (line.owner, head.weight, line.offered > 0);
            let refusal = if self.must_wait(order, owner, head.only_gate) {
                Some(Refusal::Later)
            } else {
                let wanted = self.reserved_before(order, owner) + u64::from(weight);
                self.ask(now, order, wanted)
            };
            match refusal {
                None => {
                    if let Some(entry) = self.leave_line(at, order) {
                        let grant = match entry.was_passed {
                            true => Grant::Reserved,
                            false => Grant::Called { late: false },
                        };
                        notices.granted.push(entry.waiter.clone());
                        self.insert_grant(order, owner, weight, grant, entry.waiter);
                    }
                }
                Some(_) if is_passed => passed.push(owner),
                Some(refusal) => {
                    let until = match refusal {
                        Refusal::Until(instant) => Some(instant),
                        Refusal::Later => None,
                    };
                    return self.set_alarm(gate, (order, at), until, now, notices);
                }
            }
        }
    }

    /// The first waiter in the selected lines, and the place of its line.
    fn head(&self, which: impl Fn(&Line) -> bool) -> Option<(u64, usize)> {
        let lines = self.lines.iter().enumerate();
        let heads = lines
            .filter(|(_, line)| which(line))
            .filter_map(|(at, line)| Some((line.first()?, at)));
        heads.min()
    }

    /// Sets the alarm for `head`, which waits until an instant if the rule has named one, and for
    /// those that wait for a task of another pool to come.
    fn set_alarm(
        &mut self,
        gate: &Arc<GateQueue>,
        head: (u64, usize),
        until: Option<Instant>,
        now: Instant,
        notices: &mut Notices,
    ) {
        let waits_for_pool = |line: &Line| {
            let mut lines = self.lines.iter();
            lines.any(|other| other.called > 0 && other.owner != line.owner)
        };
        let (head, at) = match self.head(waits_for_pool) {
            None if until.is_none() => return,
            None => (head, until),
            Some(head) if gate.is_timed() => {
                let soon = later(now, PATIENCE);
                (head, Some(until.map_or(soon, |until| until.min(soon))))
            }
            Some(head) => (head, None),
        };
        let (order, line) = head;
        let line = &self.lines[line];
        let (owner, waiter) = (line.owner, line.entries[order].waiter.clone());
        let filed = self.alarm.as_ref();
        if filed.is_some_and(|filed| filed.serves(order, owner, at, now)) {
            return;
        }
        let alarm = waiter.alarm(gate);
        let before = self.alarm.replace(Filed {
            at,
            owner,
            thread: (owner == THREADS).then_some(order),
            alarm: alarm.clone(),
        });
        notices.alarms.push(Notice {
            waiter,
            at,
            alarm,
            replaced: before.and_then(|filed| filed.alarm),
        });
    }

    /// An alarm has fired. Returns it to the caller, which drops it with no gate locked.
    #[must_use]
    pub(crate) fn alarm_fires(&mut self) -> Option<Arc<dyn ClockWaiter>> {
        let called: usize = self.lines.iter().map(|line| line.called).sum();
        if called > 0 {
            for granted in self.granted.values_mut() {
                let lines = &mut self.lines;
                match granted.grant {
                    Grant::Called { late: true } if !granted.waiter.is_ready() => {
                        granted.grant = Grant::Offered;
                        self.reserved -= u64::from(granted.weight);
                        if let Some(line) = lines.iter_mut().find(|l| l.owner == granted.owner) {
                            line.called -= 1;
                            line.offered += u64::from(granted.weight);
                        }
                    }
                    Grant::Called { .. } => granted.grant = Grant::Called { late: true },
                    _ => {}
                }
            }
        }
        self.alarm.take()?.alarm
    }

    fn line(&mut self, owner: usize) -> &mut Line {
        let at = self.lines.iter().position(|line| line.owner == owner);
        let at = at.unwrap_or_else(|| {
            self.lines.push(Line {
                owner,
                entries: NumberMap::new(),
                weight: 0,
                called: 0,
                offered: 0,
            });
            self.lines.len() - 1
        });
        &mut self.lines[at]
    }

    /// Drops the line of an owner that has nothing here any more.
    fn drop_if_empty(&mut self, owner: usize) {
        let is_used = |line: &Line| line.called > 0 || line.offered > 0 || !line.entries.is_empty();
        self.lines
            .retain(|line| line.owner != owner || is_used(line));
    }

    pub(crate) fn join_line(&mut self, order: u64, entry: GateEntry) {
        let line = self.line(entry.owner);
        line.weight += u64::from(entry.weight);
        line.entries.insert(order, entry);
    }

    fn leave_line(&mut self, at: usize, order: u64) -> Option<GateEntry> {
        let line = &mut self.lines[at];
        let entry = line.entries.remove(order)?;
        line.weight -= u64::from(entry.weight);
        Some(entry)
    }

    fn insert_grant(
        &mut self,
        order: u64,
        owner: usize,
        weight: u32,
        grant: Grant,
        waiter: Arc<dyn Waiter>,
    ) {
        let line = self.line(owner);
        match grant {
            Grant::Called { .. } => line.called += 1,
            Grant::Offered => line.offered += u64::from(weight),
            Grant::Reserved | Grant::Kept => {}
        }
        if grant != Grant::Offered {
            self.reserved += u64::from(weight);
        }
        self.drop_if_empty(owner);
        let granted = Granted {
            owner,
            weight,
            grant,
            waiter,
        };
        self.granted.insert(order, granted);
    }

    /// Reserves `weight` for a waiter that has come, and waits for its other gates.
    pub(crate) fn keep(&mut self, order: u64, owner: usize, weight: u32, waiter: Arc<dyn Waiter>) {
        self.insert_grant(order, owner, weight, Grant::Kept, waiter);
    }

    /// Takes `order` out of its line, and drops what it was granted.
    pub(crate) fn remove(&mut self, order: u64) {
        // A thread that leaves keeps no alarm.
        self.alarm.take_if(|filed| filed.thread == Some(order));
        if let Some(granted) = self.granted.remove(order) {
            let weight = u64::from(granted.weight);
            let line = self.line(granted.owner);
            match granted.grant {
                Grant::Called { .. } => line.called -= 1,
                Grant::Offered => line.offered -= weight,
                Grant::Reserved | Grant::Kept => {}
            }
            if granted.grant != Grant::Offered {
                self.reserved -= weight;
            }
            self.drop_if_empty(granted.owner);
        }
        for at in 0..self.lines.len() {
            if let Some(entry) = self.leave_line(at, order) {
                self.drop_if_empty(entry.owner);
                return;
            }
        }
    }

    /// Lower bound for the wait of a waiter that joins the line now.
    pub(crate) fn min_wait(&self, now: Instant, weight: u32) -> Refusal {
        let goes_on = self.lines.iter().filter(|line| line.offered == 0);
        let in_line: u64 = goes_on.map(|line| line.weight).sum();
        let wanted = u64::from(weight) + in_line + self.reserved;
        let earliest = self.rule.earliest(now, wanted);
        earliest.map_or(Refusal::Later, Refusal::Until)
    }
}

#[cfg(all(test, not(loom)))]
#[path = "../../tests/props/line.rs"]
mod tests;
