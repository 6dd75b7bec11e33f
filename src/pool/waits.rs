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
// A task that only one worker may run (a broadcast's) and that is still queued waits for whatever the body on top of that
// worker waits for. This edge is not drawn but found on the way, since the task is posted while the worker is waiting or
// before; `waiting` has the topmost bodies.

use crate::error::Deadlock;
use crate::id::TaskId;
use crate::seat::{Awaited, Pinned, Place};
use crate::task::TaskRef;
use parking_lot::Mutex;
use std::collections::BTreeMap;

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

fn awaited(task: &TaskRef) -> Awaited {
    Awaited {
        id: task.id(),
        name: task.name(),
        site: task.site(),
        owner: task.owner(),
        pinned: None,
    }
}

/// The bodies `frames` on the worker at `here`, the topmost last, wait for `target`; refused when `target` waits for one
/// of them.
pub(crate) fn enter(here: Place, frames: &[TaskRef], target: &Awaited) -> Result<(), Deadlock> {
    let Some(top) = frames.last().map(awaited) else {
        return Ok(());
    };
    let mut graph = GRAPH.lock();
    let mut path = Vec::new();
    let mut next = target;
    loop {
        if let Some(at) = frames.iter().position(|task| task.id() == next.id) {
            let mut circle: Vec<_> = frames[at..]
                .iter()
                .map(|task| (task.id(), task.name(), task.site()))
                .collect();
            circle.extend(path);
            return Err(Deadlock::circle(circle));
        }
        path.push((next.id, next.name.clone(), next.site));
        let further = graph.edges.get(&next.id).or_else(|| {
            let Pinned { worker, is_queued } = next.pinned.as_ref()?;
            let body = if *worker == here {
                Some(&top)
            } else {
                graph.waiting.get(worker)
            };
            body.filter(|_| is_queued())
        });
        match further {
            Some(further) => next = further,
            None => break,
        }
    }
    for pair in frames.windows(2) {
        graph.edges.insert(pair[0].id(), awaited(&pair[1]));
    }
    graph.edges.insert(top.id, target.clone());
    graph.waiting.insert(here, top);
    Ok(())
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
