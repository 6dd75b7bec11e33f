//! What one asks of a gate, or of several at once: all of them admit, or none is taken from.
//!
//! Layer 1.

use crate::gate::line::{Calls, Entry, Gate, State, Waiter, next_order};
use crate::sync::MutexGuard;
use std::fmt;
use std::sync::Arc;

/// What one asks of a gate.
#[derive(Clone)]
pub(crate) struct Claim {
    pub(crate) gate: Arc<Gate>,
    pub(crate) weight: u32,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gate, weight } = self;
        f.debug_struct("Gate")
            .field("id", &gate.id)
            .field("weight", weight)
            .finish()
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    Passed,
    /// In the line of the first gate that refused.
    Waits,
    /// It was taken away meanwhile.
    Gone,
}

/// Takes the place of one who will come to these gates, where order is kept from the start; gives his order.
pub(crate) fn enter(claims: &[Claim]) -> u64 {
    let ordered = claims.iter().filter(|claim| claim.gate.nature.ordered);
    // The number is drawn under all the locks: whoever is earlier in one is earlier in all.
    let mut locked: Vec<_> = ordered.map(|claim| claim.gate.state.lock()).collect();
    let order = next_order();
    locked.iter_mut().for_each(|state| state.rule.enter(order));
    order
}

/// Asks all of `claims`, which are sorted by their gates' ids and have no gate twice. If all admit, and `commit` says
/// so, takes from all; otherwise, if `park` gives a waiter, it joins the line of the first that refused.
///
/// One of the two is called, once, with the gates locked.
pub(crate) fn claim(
    claims: &[Claim],
    order: u64,
    commit: &mut dyn FnMut() -> bool,
    park: &mut dyn FnMut() -> Option<Arc<dyn Waiter>>,
) -> Passage {
    let mut calls = Calls::default();
    // One gate is the common case, and no list is made for it.
    let passage = match claims {
        [one] => pass(&mut [one.lock()], order, commit, park, &mut calls),
        _ => {
            let mut locked: Vec<_> = claims.iter().map(Claim::lock).collect();
            pass(&mut locked, order, commit, park, &mut calls)
        }
    };
    calls.make();
    passage
}

type Locked<'a> = (&'a Claim, MutexGuard<'a, State>);

impl Claim {
    fn lock(&self) -> Locked<'_> {
        (self, self.gate.state.lock())
    }
}

/// With all of them locked.
fn pass(
    locked: &mut [Locked<'_>],
    order: u64,
    commit: &mut dyn FnMut() -> bool,
    park: &mut dyn FnMut() -> Option<Arc<dyn Waiter>>,
    calls: &mut Calls,
) -> Passage {
    // Those that look at it go by the same clock.
    let timed = locked.iter().find(|(claim, _)| claim.gate.nature.timed);
    let now = timed.or(locked.first()).map(|(claim, _)| claim.gate.now());
    let Some(now) = now else {
        return if commit() {
            Passage::Passed
        } else {
            Passage::Gone
        };
    };
    let alone = locked.len() == 1;
    let mut refused = None;
    for (at, (claim, state)) in locked.iter_mut().enumerate() {
        if state.refusal(now, order, claim.weight, alone).is_some() {
            refused = Some(at);
            break;
        }
    }
    let passage = match refused {
        None if commit() => Passage::Passed,
        None => Passage::Gone,
        Some(at) => match park() {
            None => Passage::Gone,
            Some(waiter) => {
                let (claim, state) = &mut locked[at];
                state.remove(order);
                let weight = claim.weight;
                let entry = Entry {
                    weight,
                    alone,
                    waiter,
                };
                state.join(order, entry);
                Passage::Waits
            }
        },
    };
    if passage != Passage::Gone {
        for (at, (claim, state)) in locked.iter_mut().enumerate() {
            if passage == Passage::Passed {
                state.rule.take(now, order, claim.weight);
            }
            if refused != Some(at) {
                state.remove(order);
            }
            if !state.line.is_empty() {
                state.pump(&claim.gate, now, calls);
            }
        }
    }
    passage
}

/// He will not come, or not again: his places are given up. What he has taken is another matter.
pub(crate) fn forget(claims: &[Claim], order: u64) {
    for claim in claims {
        claim.gate.change(|state, _| {
            state.remove(order);
            state.rule.give_back(order, 0, true);
        });
    }
}

/// Gives back what was taken; `last`: for good.
pub(crate) fn release(claims: &[Claim], order: u64, last: bool) {
    for claim in claims.iter().filter(|claim| claim.gate.nature.returns) {
        let weight = claim.weight;
        claim
            .gate
            .change(|state, _| state.rule.give_back(order, weight, last));
    }
}
