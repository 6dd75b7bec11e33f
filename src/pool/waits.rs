//! The wait graph: which task waits, for ever, for which.
//!
//! Layer 3. One graph for the process, since tasks wait across pools; under one lock, on the slow path only.
//
// An edge stands for an untimed wait for one task. Of the bodies on one stack (a body that waits for a queued task runs
// it on top of itself) each waits for the next above it, and the topmost for the task in question. Every edge is checked before it is drawn, so the
// graph has no circle, and following it from any task ends.
//
// The target of an edge may have settled while its waiter has not woken yet. That makes no false circle: a settled
// task's body has returned, so it has no edge of its own.
//
// A task that continues others waits for each of them that has not settled. This is no edge either but asked for on the
// way: it only ever shrinks, so what was once followed without a circle has none later but through another wait. A chain of
// a hundred thousand takes as many steps, with the lock held; each task is visited once. A task whose time ends keeps nobody
// waiting for ever, and the way ends there.
//
// A task that only one worker may run (a broadcast's) and that is still queued waits for whatever the body on top of that
// worker waits for. This edge is not drawn but found on the way, since the task is posted while the worker is waiting or
// before; `waiting` has the topmost bodies.

use crate::error::Deadlock;
use crate::id::TaskId;
use crate::seat::{Awaited, Place};
use crate::task::TaskRef;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};

struct Graph {
    /// Which task waits for which.
    edges: BTreeMap<TaskId, Awaited>,
    /// The topmost body of each worker that waits.
    waiting: BTreeMap<Place, Awaited>,
}

static GRAPH: Mutex<Graph> = Mutex::new(Graph {
    edges: BTreeMap::new(),
    waiting: BTreeMap::new(),
});

impl Graph {
    /// What `task` waits for; `top` is the topmost body on the worker at `here`, which is about to wait.
    fn further(&self, task: &Awaited, here: Place, top: &Awaited) -> Vec<Awaited> {
        if let Some(next) = self.edges.get(&task.id) {
            return vec![next.clone()];
        }
        match task.task.pinned_to() {
            Some(worker) if worker == here => vec![top.clone()],
            Some(worker) => self.waiting.get(&worker).cloned().into_iter().collect(),
            None => task.task.behind(),
        }
    }
}

/// A task that `target` waits for, and the place of the one through which: the way back.
struct Step(Awaited, Option<usize>);

/// The bodies `frames` on the worker at `here`, the topmost last, wait for `target`; refused when `target` waits for one
/// of them.
pub(crate) fn enter(here: Place, frames: &[TaskRef], target: &Awaited) -> Result<(), Deadlock> {
    let Some(top) = frames.last().cloned().map(|task| task.awaited()) else {
        return Ok(());
    };
    // What was come by may hold the last of a task: it is let go when nobody waits for the lock.
    let mut steps = vec![Step(target.clone(), None)];
    let mut seen = BTreeSet::new();
    let mut graph = GRAPH.lock();
    let mut at = 0;
    while let Some(Step(task, _)) = steps.get(at) {
        if seen.insert(task.id) && !task.task.is_limited() {
            if let Some(frame) = frames.iter().position(|body| body.id() == task.id) {
                drop(graph);
                return Err(circle(&frames[frame..], &steps, at));
            }
            let further = graph.further(task, here, &top);
            steps.extend(further.into_iter().map(|next| Step(next, Some(at))));
        }
        at += 1;
    }
    for pair in frames.windows(2) {
        graph.edges.insert(pair[0].id(), pair[1].clone().awaited());
    }
    graph.edges.insert(top.id, target.clone());
    graph.waiting.insert(here, top);
    drop(graph);
    Ok(())
}

/// `frames` wait for the first step, from which it goes on to the one at `end`: the first of `frames`.
fn circle(frames: &[TaskRef], steps: &[Step], end: usize) -> Deadlock {
    let mut back = Vec::new();
    let mut at = steps[end].1;
    while let Some(place) = at {
        let Step(task, before) = &steps[place];
        back.push(task.task.told());
        at = *before;
    }
    let bodies = frames
        .iter()
        .map(|task| (task.id(), task.name(), task.site()));
    Deadlock::circle(bodies.chain(back.into_iter().rev()).collect())
}

/// Their wait is over.
pub(crate) fn leave(here: Place, frames: &[TaskRef]) {
    let mut graph = GRAPH.lock();
    graph.waiting.remove(&here);
    let ended: Vec<_> = frames
        .iter()
        .filter_map(|task| graph.edges.remove(&task.id()))
        .collect();
    // What they hold may be the last of a task: dropped when nobody waits for the lock.
    drop(graph);
    drop(ended);
}
