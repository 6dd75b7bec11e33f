//! The wait graph: which task waits for which, so that a wait that would close a circle is refused.
//!
//! Layer: task. One graph for all pools of the process, since a task may wait for a task of another
//! pool. It is used on the slow path only: where a body is about to block for ever on one task.
//
// A node is a task. An edge stands for an untimed wait for one task. Of the bodies on one stack (a
// body that waits for a queued task may run it on top of itself) each waits for the next above it,
// and the topmost for the target. Every edge is checked before it is added, so the graph has no
// circle, and following it from any task ends.
//
// The target of an edge may have settled while its waiter has not woken yet. That makes no false
// circle: the body of a settled task has returned, so it has no edge of its own.
//
// A task that continues others waits for each of them that has not settled. These waits are not
// stored as edges, but looked up while edges are followed. They only become fewer, so a path that
// had no circle once has none later, except through another wait. A chain of 100,000 takes as many
// steps, with the lock held; each task is visited once. A task whose time ends keeps no body
// waiting for ever, so the path ends there.
//
// A task that only one worker may run (a broadcast's) and that has not begun waits for whatever
// the topmost body on that worker waits for. This edge is not stored but found on the way, since
// the task is posted while the worker waits, or before; `waiting` has the topmost bodies.

use crate::error::{Deadlock, Stuck};
use crate::sync::number_map::NumberMap;
use crate::task::stack::Stack;
use crate::task::task::{Task, TaskRef};
use parking_lot::Mutex;

/// A worker: the tag of its pool, and its index.
type WorkerId = (u32, usize);

fn key((owner, index): WorkerId) -> u64 {
    u64::from(owner) << 32 | index as u64
}

struct Graph {
    /// Which task waits for which.
    edges: NumberMap<TaskRef>,
    /// The topmost body of each worker that waits.
    waiting: NumberMap<TaskRef>,
}

static GRAPH: Mutex<Graph> = Mutex::new(Graph {
    edges: NumberMap::new(),
    waiting: NumberMap::new(),
});

impl Graph {
    /// What `task` waits for; `top` is the topmost body on the worker `here`, which is about to
    /// wait.
    fn next(&self, task: &TaskRef, here: WorkerId, top: &TaskRef) -> Vec<TaskRef> {
        if let Some(next) = self.edges.get(task.head.id().number()) {
            return vec![next.clone()];
        }
        match task.pinned_to() {
            Some(worker) if worker == here => vec![top.clone()],
            Some(worker) => self.waiting.get(key(worker)).cloned().into_iter().collect(),
            None => task.predecessors(usize::MAX),
        }
    }
}

impl Task {
    /// The worker that alone may run it and has not begun.
    fn pinned_to(&self) -> Option<WorkerId> {
        let index = self.pinned()?;
        let waits = !self.head.is_settled() && !self.head.has_begun();
        waits.then_some((self.head.owner, index))
    }

    /// The worker of its pool that alone may run it.
    pub(crate) fn pinned(&self) -> Option<usize> {
        // Such a task has had extras from the start.
        let pinned = self.head.has_extras_or_waiters();
        let pinned = pinned.then(|| self.head.peek(|extras| extras.pinned))??;
        pinned.map(|index| index as usize)
    }

    fn stuck(&self) -> Stuck {
        (self.head.id(), self.head.name(), self.head.site)
    }
}

/// A task that the target waits for, and the index of the step before it. The indices lead back to
/// the target.
struct Step(TaskRef, Option<usize>);

/// The edges of one wait, until it is over.
#[must_use]
pub(crate) struct Edges {
    worker: WorkerId,
    bodies: Vec<TaskRef>,
}

/// The bodies of this worker are about to wait for `target`. Refused if `target` waits for one of
/// them.
pub(crate) fn enter(stack: &Stack, target: &TaskRef) -> Result<Edges, Deadlock> {
    let worker = (stack.owner, stack.index);
    let bodies = stack.bodies();
    let Some(top) = bodies.last().cloned() else {
        return Ok(Edges { worker, bodies });
    };
    // The steps may hold the last reference to a task, so they are dropped without the lock.
    let mut steps = vec![Step(target.clone(), None)];
    let mut seen = NumberMap::new();
    let mut graph = GRAPH.lock();
    let mut at = 0;
    while let Some(Step(task, _)) = steps.get(at) {
        let is_new = seen.insert(task.head.id().number(), task.clone()).is_none();
        if is_new && !task.is_limited() {
            if let Some(first) = bodies
                .iter()
                .position(|body| body.head.id() == task.head.id())
            {
                drop(graph);
                return Err(circle(&bodies[first..], &steps, at));
            }
            let next = graph.next(task, worker, &top);
            steps.extend(next.into_iter().map(|next| Step(next, Some(at))));
        }
        at += 1;
    }
    for pair in bodies.windows(2) {
        graph
            .edges
            .insert(pair[0].head.id().number(), pair[1].clone());
    }
    graph.edges.insert(top.head.id().number(), target.clone());
    graph.waiting.insert(key(worker), top);
    drop(graph);
    Ok(Edges { worker, bodies })
}

/// `bodies` wait for the task of the first step. The steps from there to `end` close the circle at
/// the first of `bodies`.
#[cold]
fn circle(bodies: &[TaskRef], steps: &[Step], end: usize) -> Deadlock {
    let mut back = Vec::new();
    let mut at = steps[end].1;
    while let Some(index) = at {
        let Step(task, before) = &steps[index];
        back.push(task.stuck());
        at = *before;
    }
    let bodies = bodies.iter().map(|task| task.stuck());
    Deadlock::circle(bodies.chain(back.into_iter().rev()).collect())
}

impl Drop for Edges {
    fn drop(&mut self) {
        if self.bodies.is_empty() {
            return;
        }
        let mut graph = GRAPH.lock();
        let top = graph.waiting.remove(key(self.worker));
        let targets: Vec<_> = self
            .bodies
            .iter()
            .filter_map(|task| graph.edges.remove(task.head.id().number()))
            .collect();
        // They may be the last references to a task: dropped without the lock.
        drop(graph);
        drop((top, targets));
    }
}
