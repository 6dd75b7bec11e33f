//! The live tasks of a pool: which there are, and what each of them does.
//
// Tasks with a name or options are listed from their submission until they have settled: weakly, so
// that the list changes nothing about when a task is dropped. Continuations are in the pool's list
// of those, and running bodies on the stacks.

use crate::id::TaskId;
use crate::observe::{Age, TaskInfo, TaskTable, WaitsFor, WorkerInfo, WorkerState as State};
use crate::panic;
use crate::pool::core::Core;
use crate::pool::seen::BodyKey;
use crate::pool::slot_counts::Wait;
use crate::pool::worker_state::WorkerState;
use crate::reason::CancelReason;
use crate::task::label::TaskLabel;
use crate::task::{CancelOutcome, TaskRef, TaskState, TaskWeak};
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// In several maps by the ids of the tasks, so that few threads want the same lock.
#[derive(Default)]
pub(crate) struct LiveTasks([CachePadded<Mutex<LiveMap>>; MAPS]);

const MAPS: usize = 16;

#[derive(Default)]
struct LiveMap {
    tasks: HashMap<TaskId, TaskWeak>,
    /// How many there were at most since the map last got its room. `HashMap::capacity` does not
    /// say how much room that is: it leaves out what removed tasks still occupy.
    most: usize,
}

/// A map that had more than four times as many gives the room for the others back.
const FEW: usize = 16;

impl LiveMap {
    fn insert(&mut self, id: TaskId, task: TaskWeak) {
        self.tasks.insert(id, task);
        self.most = self.most.max(self.tasks.len());
    }

    fn remove(&mut self, id: TaskId) {
        self.tasks.remove(&id);
        // Memory follows what waits.
        let len = self.tasks.len();
        if self.most > 4 * FEW.max(len) {
            self.tasks.shrink_to(FEW.max(2 * len));
            self.most = len;
        }
    }
}

/// At most so many predecessors of a task are named.
const NAMED: usize = 8;

impl LiveTasks {
    fn map(&self, id: TaskId) -> &Mutex<LiveMap> {
        &self.0[id.number() as usize % MAPS]
    }

    /// The task is to be removed when it has settled.
    pub(crate) fn add(&self, task: &TaskRef) {
        let id = task.head.id();
        // With the task locked: the thread that settles it finds it listed, or nothing is added.
        task.head.listen(|extras, is_settled| {
            extras.is_listed = !is_settled;
            if !is_settled {
                self.map(id).lock().insert(id, Arc::downgrade(task));
            }
        });
    }

    pub(crate) fn remove(&self, id: TaskId) {
        self.map(id).lock().remove(id);
    }

    fn get(&self, id: TaskId) -> Option<TaskRef> {
        self.map(id).lock().tasks.get(&id)?.upgrade()
    }

    /// Those that may not have settled. The references may be the last: they are to be discarded
    /// with no lock held.
    fn all(&self) -> Vec<TaskRef> {
        let mut all = Vec::new();
        for map in &self.0 {
            all.extend(map.lock().tasks.values().filter_map(TaskWeak::upgrade));
        }
        all
    }
}

impl Core {
    /// All live tasks that are listed, those that run included.
    fn listed(&self) -> Vec<TaskRef> {
        let mut tasks = self.live.all();
        let continuations = self.continuations.lock();
        let others: Vec<_> = continuations.iter().map(|(_, task)| task.clone()).collect();
        drop(continuations);
        let is_among_them = |task: &TaskRef| task.head.peek(|extras| extras.is_listed);
        let (known, others): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|task| is_among_them(task) == Some(true));
        panic::discard(known);
        tasks.extend(others);
        tasks
    }

    /// The task with this id, if it is listed, continues others or runs.
    fn task_with(&self, id: TaskId) -> Option<TaskRef> {
        let is_it = |task: &TaskRef| (task.head.id() == id).then(|| task.clone());
        self.live.get(id).or_else(|| self.search(is_it))
    }

    /// Calls `look` with each listed task until it returns something. Drops the references with no
    /// lock held.
    fn search<R>(&self, look: impl FnMut(&TaskRef) -> Option<R>) -> Option<R> {
        let mut tasks = self.listed();
        tasks.extend(self.running());
        let found = tasks.iter().find_map(look);
        panic::discard(tasks);
        found
    }

    /// The oldest queued task of those that are listed and timed, and since when it is queued.
    pub(crate) fn oldest_queued(&self) -> Option<(Instant, TaskLabel)> {
        let mut oldest: Option<(Instant, TaskRef)> = None;
        self.search(|task| {
            let is_queued = task.state() == TaskState::Queued;
            if let Some(since) = is_queued.then(|| task.waits_since()).flatten() {
                if oldest.as_ref().is_none_or(|(before, _)| since < *before) {
                    panic::discard(oldest.replace((since, task.clone())));
                }
            }
            None::<()>
        });
        let (since, task) = oldest?;
        let label = task.head.label();
        panic::discard(task);
        Some((since, label))
    }

    /// How many tasks wait for a worker, those in mailboxes included.
    pub(crate) fn queued(&self) -> usize {
        let workers = self.workers();
        let mail = workers.iter().map(|worker| worker.mail.len());
        self.queue.waiting() + mail.sum::<usize>()
    }

    /// At most so many rows.
    pub(crate) fn task_table(&self, most: usize) -> TaskTable {
        let now = self.clock().now();
        // Before the stacks are read: a task that moves on from here in between is on one of them,
        // or shows as running.
        let tasks = self.listed();
        let workers = self.workers();
        let workers: Vec<_> = workers
            .iter()
            .map(|one| self.worker_info(one, now))
            .collect();
        let running = workers.iter().flat_map(|worker| &worker.tasks);
        // A task that goes from one worker to another meanwhile may be on both stacks.
        let mut are_known = HashSet::new();
        let running = running.filter(|task| {
            task.state != TaskState::Finished && task.id.is_none_or(|id| are_known.insert(id))
        });
        let mut rows: Vec<TaskInfo> = running.cloned().collect();
        let room = most.saturating_sub(rows.len());
        let (chosen, queued, others) = first_waiting(tasks, &are_known, room);
        rows.extend(chosen.iter().filter_map(|task| self.info(task, now)));
        panic::discard(chosen);
        let beyond = others + rows.len().saturating_sub(most);
        rows.truncate(most);
        TaskTable {
            rows,
            workers,
            unlisted: self.queued().saturating_sub(queued) + beyond,
        }
    }

    fn worker_info(&self, worker: &WorkerState, now: Instant) -> WorkerInfo {
        let index = worker.stack.index;
        let (stack, owned) = worker.stack.snapshot();
        let awaited = worker.stack.awaits();
        let describe = |(depth, task): (usize, &TaskRef)| TaskInfo {
            worker: Some(index),
            attempt: task.attempt(),
            age: match task.started() {
                Some(since) => Some(Age::exactly(now.saturating_duration_since(since))),
                None => self
                    .watch
                    .age_of(BodyKey::of(&worker.stack, depth, task), now),
            },
            ..describe(task)
        };
        let mut tasks: Vec<_> = stack.iter().enumerate().map(describe).collect();
        tasks.extend(owned.map(|site| TaskInfo {
            id: None,
            name: None,
            site,
            state: TaskState::Running,
            attempt: 1,
            age: self.watch.age_of(BodyKey::first(&worker.stack), now),
            worker: Some(index),
            waits_for: Vec::new(),
            progress: None,
        }));
        panic::discard(stack);
        if let (Some(last), Some(id)) = (tasks.last_mut(), awaited) {
            last.waits_for.push(WaitsFor::Task(id));
        }
        let state = match worker.waits() {
            None if tasks.is_empty() => State::Idle,
            None => State::Busy,
            Some(Wait::Hung) => State::Hung,
            Some(_) => State::Blocked,
        };
        WorkerInfo {
            index,
            state,
            tasks,
        }
    }

    /// Describes a task that waits, or that has just begun to run; `None` if it has settled.
    fn info(&self, task: &TaskRef, now: Instant) -> Option<TaskInfo> {
        let mut info = describe(task);
        match info.state {
            TaskState::Finished => return None,
            // A worker has claimed it, or is done with its body.
            TaskState::Running => {}
            TaskState::Queued => info.waits_for.push(WaitsFor::Worker),
            TaskState::Delayed { due } | TaskState::Retrying { due, .. } => {
                let left = due.saturating_duration_since(now);
                info.waits_for.push(WaitsFor::Time(left));
            }
            TaskState::Waiting => {
                let tasks = task.predecessors(NAMED);
                let ids = tasks.iter().map(|task| WaitsFor::Task(task.head.id()));
                info.waits_for.extend(ids);
                panic::discard(tasks);
            }
            TaskState::Gated => {
                let gates = task.head.progress(|progress, _| progress.options.clone());
                let requests = gates.iter().flat_map(|options| &options.gates);
                let all = requests.map(|request| (request.gate.waiting(), &request.gate));
                // It is in the lines of those that have refused it.
                info.waits_for
                    .extend(
                        all.filter(|(waiting, _)| *waiting > 0)
                            .map(|(waiting, gate)| WaitsFor::Gate {
                                id: gate.id(),
                                kind: gate.kind(),
                                waiting,
                            }),
                    );
                panic::discard(gates);
            }
        }
        let since = match info.state {
            TaskState::Running => task.started(),
            _ => task.waits_since(),
        };
        let since = since.filter(|since| *since <= now);
        info.age = since.map(|since| Age::exactly(now.saturating_duration_since(since)));
        Some(info)
    }

    pub(crate) fn find_task(&self, id: TaskId) -> Option<TaskInfo> {
        let now = self.clock().now();
        let task = self.task_with(id)?;
        // Before the stacks are read, as in the table.
        let info = self.info(&task, now);
        panic::discard(task);
        let workers = self.workers();
        let mut running = workers
            .iter()
            .flat_map(|one| self.worker_info(one, now).tasks);
        let running = running.find(|task| task.id == Some(id));
        running
            .filter(|task| task.state != TaskState::Finished)
            .or(info)
    }

    pub(crate) fn cancel_task(&self, id: TaskId) -> Option<CancelOutcome> {
        let task = self.task_with(id)?;
        let is_live = !task.head.is_settled();
        let outcome = is_live.then(|| task.cancel(CancelReason::User));
        panic::discard(task);
        outcome
    }

    /// The text of `Pool::dump`, with so many rows at most.
    pub(crate) fn dump(&self, most: usize) -> Dump<'_> {
        Dump(self, most)
    }
}

/// How many rows a log has.
pub(crate) const LOGGED: usize = 200;

/// Made when it is written.
pub(crate) struct Dump<'a>(&'a Core, usize);

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(core, most) = self;
        write!(f, "{}{}", core.stats(), core.task_table(*most))
    }
}

/// Of the listed tasks that are not known from the stacks, the `most` with the smallest ids, in
/// their order. Then how many of all are queued, and how many there are beside those returned. A
/// long list costs a look at each state, and no description and no full sort.
fn first_waiting(
    listed: Vec<TaskRef>,
    are_known: &HashSet<TaskId>,
    most: usize,
) -> (Vec<TaskRef>, usize, usize) {
    let mut queued = 0;
    let waits = |task: &TaskRef| {
        let state = task.state();
        let waits = state != TaskState::Finished && !are_known.contains(&task.head.id());
        queued += usize::from(waits && state == TaskState::Queued);
        waits
    };
    let (mut chosen, mut rest): (Vec<_>, Vec<_>) = listed.into_iter().partition(waits);
    let others = chosen.len().saturating_sub(most);
    let id = |task: &TaskRef| task.head.id().number();
    if others > 0 {
        chosen.select_nth_unstable_by_key(most, id);
        rest.extend(chosen.drain(most..));
    }
    chosen.sort_unstable_by_key(id);
    panic::discard(rest);
    (chosen, queued, others)
}

/// What is the same for all tasks.
fn describe(task: &TaskRef) -> TaskInfo {
    TaskInfo {
        id: Some(task.head.id()),
        name: task.head.name(),
        site: task.head.site,
        state: task.state(),
        attempt: task.attempts(),
        age: None,
        worker: None,
        waits_for: Vec::new(),
        progress: task
            .head
            .peek(|extras| extras.notes.as_ref()?.reported)
            .flatten(),
    }
}
