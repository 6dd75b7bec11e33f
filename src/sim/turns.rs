//! Whose turn it is: who takes part, who can go on, and when the clock does.
//!
//! Layer 0. It decides; handing over is `world`'s.

use crate::random::random;
use crate::sim::baton::Baton;
use crate::sim::hand::Hand;
use crate::sim::trace::Trace;
use crate::wake::Wake;
use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Weak};
use std::time::Instant;

pub(crate) struct Turns {
    seed: u64,
    pub(crate) members: BTreeMap<u64, Member>,
    next_member: u64,
    pub(crate) epoch: u64,
    /// How many random numbers were drawn.
    draws: u64,
    alarms: BTreeMap<(Instant, u64), Weak<dyn Wake>>,
    next_alarm: u64,
    /// So many alarms are looked through for those that are gone.
    sweep_at: usize,
    /// The owner gets the next turn.
    pub(crate) stepping: bool,
    /// The owner was given the turn because nobody can go on.
    pub(crate) stuck: bool,
    pub(crate) trace: Trace,
    clock_name: Arc<str>,
}

pub(crate) struct Member {
    pub(crate) name: Arc<str>,
    pub(crate) baton: Arc<Baton>,
    pub(crate) stand: Stand,
}

/// What a thread does that has not the turn.
pub(crate) enum Stand {
    Ready,
    Blocked {
        since: u64,
        until: Option<Instant>,
        at: At,
    },
    /// The owner's: until nobody can go on without time passing further than this.
    Idle(Instant),
}

#[derive(Clone)]
pub(crate) enum At {
    Wake(Weak<dyn Wake>),
    End(u64),
    Polling,
}

pub(crate) enum Next {
    Run(u64),
    /// These alarms are due.
    Ring(Vec<Weak<dyn Wake>>),
}

/// The thread that made the simulation.
pub(crate) const OWNER: u64 = 0;

const SWEEP_FROM: usize = 64;

impl Turns {
    pub(crate) fn new(seed: u64, owner: Arc<Baton>) -> Self {
        let mut turns = Self {
            seed,
            members: BTreeMap::new(),
            next_member: OWNER,
            epoch: 0,
            draws: 0,
            alarms: BTreeMap::new(),
            next_alarm: 0,
            sweep_at: SWEEP_FROM,
            stepping: false,
            stuck: false,
            trace: Trace::default(),
            clock_name: "clock".into(),
        };
        turns.join("owner", owner);
        turns
    }

    /// One more that takes part, ready for its first turn.
    pub(crate) fn join(&mut self, name: &str, baton: Arc<Baton>) -> u64 {
        let id = self.next_member;
        self.next_member += 1;
        let member = Member {
            name: name.into(),
            baton,
            stand: Stand::Ready,
        };
        self.members.insert(id, member);
        id
    }

    pub(crate) fn set(&mut self, id: u64, stand: Stand) {
        if let Some(member) = self.members.get_mut(&id) {
            member.stand = stand;
        }
    }

    /// One of those who can go on now.
    pub(crate) fn draw(&mut self, now: Instant) -> Option<u64> {
        let can_go_on = |member: &Member| match &member.stand {
            Stand::Ready => true,
            Stand::Idle(_) => false,
            Stand::Blocked { since, until, at } => {
                until.is_some_and(|until| until <= now)
                    || *since < self.epoch
                        && match at {
                            At::Wake(at) => at.upgrade().is_none_or(|at| !at.stays()),
                            At::End(id) => !self.members.contains_key(id),
                            At::Polling => true,
                        }
            }
        };
        let ids = self.members.iter().filter(|(_, member)| can_go_on(member));
        let ids: Vec<u64> = ids.map(|(id, _)| *id).collect();
        match ids.len() {
            0 => None,
            1 => Some(ids[0]),
            n => {
                self.draws += 1;
                let drawn = random(self.seed, self.draws) % n as u64;
                Some(ids[drawn as usize])
            }
        }
    }

    /// Who gets the turn, after the clock has gone on if it has to.
    pub(crate) fn next(&mut self, hand: &Hand) -> Next {
        if mem::take(&mut self.stepping) {
            return Next::Run(OWNER);
        }
        loop {
            if let Some(id) = self.draw(hand.now()) {
                return Next::Run(id);
            }
            let limit = match self.members.get(&OWNER).map(|owner| &owner.stand) {
                Some(Stand::Idle(until)) => Some(*until),
                _ => None,
            };
            match (limit, self.next_event(hand)) {
                (Some(limit), at) if at.is_none_or(|at| at > limit) => {
                    self.jump(hand, limit);
                    return Next::Run(OWNER);
                }
                (_, Some(at)) => self.jump(hand, at),
                (_, None) => {
                    self.stuck = true;
                    return Next::Run(OWNER);
                }
            }
            let due = self.take_due(hand.now());
            if !due.is_empty() {
                return Next::Ring(due);
            }
        }
    }

    /// The earliest instant at which somebody or something is due.
    pub(crate) fn next_event(&mut self, hand: &Hand) -> Option<Instant> {
        while let Some(first) = self.alarms.first_entry() {
            if first.get().strong_count() > 0 {
                break;
            }
            first.remove();
        }
        let alarm = self.alarms.first_key_value().map(|((at, _), _)| *at);
        let deadlines = self
            .members
            .values()
            .filter_map(|member| match member.stand {
                Stand::Blocked { until, .. } => until,
                _ => None,
            });
        // Centuries later is never.
        deadlines.chain(alarm).min().filter(|at| hand.reaches(*at))
    }

    fn take_due(&mut self, now: Instant) -> Vec<Weak<dyn Wake>> {
        let mut due = Vec::new();
        while let Some(first) = self
            .alarms
            .first_entry()
            .filter(|first| first.key().0 <= now)
        {
            due.push(first.remove());
        }
        due
    }

    fn jump(&mut self, hand: &Hand, to: Instant) {
        if let Some(by) = hand.go_to(to) {
            let clock = self.clock_name.clone();
            self.trace
                .add(hand.passed(), clock, format!("goes on by {by:?}"));
        }
    }

    /// Rings `whom` at `instant`, which is to come.
    pub(crate) fn add_alarm(&mut self, instant: Instant, whom: Weak<dyn Wake>) {
        if self.alarms.len() >= self.sweep_at {
            self.alarms.retain(|_, whom| whom.strong_count() > 0);
            self.sweep_at = SWEEP_FROM.max(2 * self.alarms.len());
        }
        self.next_alarm += 1;
        self.alarms.insert((instant, self.next_alarm), whom);
    }
}
