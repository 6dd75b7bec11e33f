//! The wait graph: which task waits, for ever, for which.
//!
//! Layer 3. One graph for the process, since tasks wait across pools; under one lock, on the slow path only.
//
// An edge stands for an untimed wait for one task. The bodies on one stack (a body that waits for a queued task runs
// it on top of itself) all wait for whatever the topmost waits for. Every edge is checked before it is drawn, so the
// graph has no circle, and following it from any task ends.
//
// The target of an edge may have settled while its waiter has not woken yet. That makes no false circle: a settled
// task's body has returned, so it has no edge of its own.

use crate::error::Deadlock;
use crate::id::TaskId;
use crate::seat::Awaited;
use crate::task::TaskRef;
use parking_lot::Mutex;
use std::collections::BTreeMap;

static EDGES: Mutex<BTreeMap<TaskId, Awaited>> = Mutex::new(BTreeMap::new());

/// The bodies `frames`, the topmost last, wait for `target`; refused when `target` waits for one of them.
pub(crate) fn enter(frames: &[TaskRef], target: &Awaited) -> Result<(), Deadlock> {
    let mut edges = EDGES.lock();
    let mut path = Vec::new();
    let mut next = target;
    loop {
        if let Some(at) = frames.iter().position(|task| task.id() == next.id) {
            let mut circle: Vec<_> = frames[at..]
                .iter()
                .map(|task| (task.id(), task.name()))
                .collect();
            circle.extend(path);
            return Err(Deadlock::circle(circle));
        }
        path.push((next.id, next.name.clone()));
        match edges.get(&next.id) {
            Some(further) => next = further,
            None => break,
        }
    }
    for task in frames {
        edges.insert(task.id(), target.clone());
    }
    Ok(())
}

/// Their wait is over.
pub(crate) fn leave(frames: &[TaskRef]) {
    let mut edges = EDGES.lock();
    for task in frames {
        edges.remove(&task.id());
    }
}
