//! A running pipeline: submits what its state lets begin as tasks, and hands their results back to
//! the state.
//!
//! Layer: compose. Items and errors are boxed, so that nothing here depends on the user's types.
//
// Only the consumer of the results ever waits. Each task that settles, in whatever way, notifies
// the driver (`Watch`). The notifying thread, and the consumer after each result that it takes,
// submits what may begin now. So while the consumer waits, some task is at work that will notify
// the driver.
//
// The lock is held for the decisions of the state only: items, sources and closures are moved out,
// and run or dropped after it is released.

use crate::cancel::blocking::{self, Interrupt, Target};
use crate::cancel::{CancelGuard, CancelToken};
use crate::clock::{self, Monitor};
use crate::compose::pipeline::state::{Failed, Item, Leftovers, PipelineState, Source, Step};
use crate::compose::scope::below_both;
use crate::context_var::Context;
use crate::error::{JoinError, Rejection, TaskError, ok_value};
use crate::id::TaskId;
use crate::panic;
use crate::pool::{Core, PLAIN, Spec};
use crate::reason::CancelReason;
use crate::sync::Mutex;
use crate::sync::trampoline;
use crate::task::Rules;
use crate::task::body::{FallibleBody, RetryBody};
use crate::task::current::{self, Place};
use crate::task::group_error::{BoxedError, shown};
use crate::task::label::TaskLabel;
use crate::task::unread;
use crate::task::watch::{Watch, Watcher};
use crate::task::{OutcomeKind, Site, TaskHandle};
use std::mem;
use std::panic::resume_unwind;
use std::sync::Arc;

/// What a task returns; `Ok(None)`: the source was exhausted.
type TaskEnd = Result<Option<Item>, BoxedError>;
/// The closure of a stage, around the user's.
pub(crate) enum StageBody {
    Once(Arc<dyn Fn(Item) -> Result<Item, BoxedError> + Send + Sync>),
    /// It may run again, so the item is kept until its last attempt.
    Retried(Arc<KeepingBody>, Arc<Rules<BoxedError>>),
}

type KeepingBody = dyn Fn(&Item) -> Result<Item, BoxedError> + Send + Sync;

/// A stage as it was asked for.
pub(crate) struct StageSpec {
    pub(crate) width: usize,
    pub(crate) buffer: usize,
    pub(crate) site: Site,
    pub(crate) body: StageBody,
    /// The options of its tasks. The token is that of the pipeline, or below it.
    spec: Spec,
    /// Cancels the token of a template with the pipeline.
    _hook: Option<CancelGuard>,
}

/// How a pipeline goes on.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    /// Whether items come out, and begin each stage, in the order of the source.
    pub(crate) is_ordered: bool,
    /// Whether the pipeline goes on after a failure.
    pub(crate) collects_all: bool,
}

/// A pipeline as it was asked for.
pub(crate) struct PipelineSpec {
    pub(crate) core: Arc<Core>,
    pub(crate) site: Site,
    pub(crate) source: Source,
    pub(crate) stages: Vec<StageSpec>,
    /// The buffer of the stages to come; `None`: as large as the stage is wide.
    pub(crate) buffer: Option<usize>,
    pub(crate) mode: Mode,
}

impl PipelineSpec {
    #[track_caller]
    pub(crate) fn add_stage(&mut self, width: usize, site: Site, body: StageBody, spec: &Spec) {
        assert!(
            width > 0,
            "a stage's width is not allowed: it must be at least 1"
        );
        if self.stages.is_empty() && !spec.is_plain() {
            // A task of a first stage reads its item. With options it would read it at a gate, or
            // again at each attempt.
            self.add_stage(1, self.site, pass_on(), &PLAIN);
        }
        self.stages.push(StageSpec {
            width,
            buffer: self.buffer.unwrap_or(width),
            site,
            body,
            spec: spec.clone(),
            _hook: None,
        });
    }
}

/// The body of a stage that only reads.
fn pass_on() -> StageBody {
    StageBody::Once(Arc::new(Ok))
}

pub(crate) struct Driver {
    core: Arc<Core>,
    /// Whether a task of the pool began the pipeline. It then goes on while the pool drains.
    is_inside: bool,
    /// What that task submits stands here in the run queue. So do the tasks of the pipeline,
    /// whichever of them submits the next: it does not wait for that one.
    place: Place,
    mode: Mode,
    /// Gone when the pipeline has ended: a task that has reported its result may keep the driver a
    /// little longer. Each task shares it until its closure has returned.
    stages: Mutex<Option<Arc<Vec<StageSpec>>>>,
    site: Site,
    token: CancelToken,
    context: Context,
    /// Notified when an item can be taken, or none will come any more.
    state: Monitor<PipelineState>,
}

impl Driver {
    pub(crate) fn start(mut spec: PipelineSpec) -> Arc<Self> {
        if spec.stages.is_empty() {
            spec.add_stage(1, spec.site, pass_on(), &PLAIN);
        }
        let PipelineSpec {
            core,
            source,
            mut stages,
            mode,
            site,
            ..
        } = spec;
        let token = CancelToken::new();
        for stage in &mut stages {
            let own = stage.spec.token.as_ref();
            let (below, hook) = match own {
                Some(own) => below_both(own, Some(&token)),
                None => (token.clone(), None),
            };
            stage.spec.token = Some(below);
            stage._hook = hook;
        }
        let sizes = stages.iter().map(|stage| (stage.width, stage.buffer));
        let driver = Arc::new(Self {
            is_inside: core.is_here(),
            place: current::place_here(core.owner()),
            state: Monitor::new(PipelineState::new(source, sizes, mode)),
            token,
            context: Context::capture(),
            core,
            mode,
            stages: Mutex::new(Some(Arc::new(stages))),
            site,
        });
        driver.drive();
        driver
    }

    /// Waits for the next result and returns it with the index of its item. Returns `None` when
    /// there are no more results.
    pub(crate) fn next(self: &Arc<Self>) -> Option<(usize, Result<Item, Failed>)> {
        clock::pause();
        let (index, end) = self.try_next().or_else(|| self.wait())?;
        if end.is_err() && (!self.mode.collects_all || self.state.lock().is_closed()) {
            self.close(CancelReason::Group);
        } else {
            self.drive();
        }
        Some((index, end))
    }

    fn try_next(&self) -> Option<(usize, Result<Item, Failed>)> {
        self.state.lock().take()
    }

    fn wait(self: &Arc<Self>) -> Option<(usize, Result<Item, Failed>)> {
        if self.core.is_foreign() {
            self.give_up(TaskError::Forked);
        }
        if let Some(stopped) = current::interrupted() {
            self.give_up(TaskError::Interrupted(stopped));
        }
        let driver = self.clone();
        let interrupt = Interrupt::here(move || driver.state.lock_and_notify_all());
        let _blocking = blocking::begin_for(Target::Tasks(self.core.owner()));
        let mut state = self.state.lock();
        let clock = self.core.clock();
        let what = "the next result of a pipeline";
        self.state
            .wait_while(&mut state, clock, None, &what, &mut |state| {
                !state.has_news() && !interrupt.has_come()
            });
        let result = state.take();
        drop(state);
        match interrupt.stopped() {
            Some(stopped) if result.is_none() => {
                self.give_up(TaskError::Interrupted(stopped));
                self.try_next()
            }
            _ => result,
        }
    }

    /// Ends the pipeline: drops the items that wait and the closures of the stages, and asks the
    /// running tasks to stop.
    pub(crate) fn close(&self, reason: CancelReason) {
        let leftovers = self.state.lock().close(None);
        self.state.notify_all();
        self.discard(leftovers);
        self.token.cancel_with(reason);
        let stages = self.stages.lock().take();
        panic::discard(stages);
    }

    /// Begins all that may begin. If another thread does so, leaves it to that one: two would
    /// submit their items in either order.
    fn drive(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if !mem::replace(&mut state.is_driven, true) {
            while let Some(step) = state.step() {
                drop(state);
                self.begin(step);
                state = self.state.lock();
            }
            state.is_driven = false;
        }
        let has_news = state.has_news();
        drop(state);
        if has_news {
            self.state.notify_all();
        }
    }

    fn begin(self: &Arc<Self>, step: Step) {
        let (stage, index) = match &step {
            Step::Read(index, _) => (0, *index),
            Step::Run { stage, index, .. } => (*stage, *index),
        };
        let Some(stages) = self.stages.lock().clone() else {
            return panic::discard(step);
        };
        let StageSpec {
            site, body, spec, ..
        } = &stages[stage];
        if self.core.is_closed() && !self.is_inside {
            // A draining pool would accept it from a worker, so an endless source would keep the
            // pool from ever ending. What has begun goes on, and its results come out.
            self.core.count_refused();
            let who = TaskLabel {
                id: TaskId::next(),
                name: spec.name.clone(),
                site,
            };
            let error = JoinError::Task(TaskError::Rejected(Rejection::Closed));
            panic::discard(step);
            panic::discard(stages);
            return self.finished(stage, index, Err(Failed { who, error }));
        }
        let (core, place) = (&self.core, &self.place);
        let submit: Box<dyn FnOnce() -> TaskHandle<TaskEnd> + '_> = match (body, step) {
            (StageBody::Once(f), Step::Read(_, source)) => {
                let (driver, f) = (self.clone(), f.clone());
                let body = move || driver.read(source).map(|item| f(item)).transpose();
                Box::new(|| core.submit_body_at(place, site, spec, FallibleBody::new(body)))
            }
            (StageBody::Once(f), Step::Run { item, .. }) => {
                let f = f.clone();
                let body = move || f(item).map(Some);
                Box::new(|| core.submit_body_at(place, site, spec, FallibleBody::new(body)))
            }
            (StageBody::Retried(f, rules), Step::Run { item, .. }) => {
                let (f, rules) = (f.clone(), rules.clone());
                let body = move || f(&item).map(Some);
                Box::new(|| core.submit_body_at(place, site, spec, RetryBody::new(body, rules)))
            }
            (StageBody::Retried(..), Step::Read(..)) => unreachable!("see `add_stage`"),
        };
        let handle = self.context.run(submit);
        let task = handle.task().clone();
        let watch = Arc::new(TaskWatch {
            driver: self.clone(),
            stage,
            handle: Mutex::new(Some(handle)),
        });
        if let Err(watcher) = task.watch(Watcher::Set(watch, index)) {
            watcher.settled(OutcomeKind::Succeeded);
        }
        // The pipeline may have ended in between. Then these are the closures of the user.
        panic::discard(stages);
    }

    /// Reads one item, in a task, and lets the next task read.
    fn read(self: &Arc<Self>, mut source: Source) -> Option<Item> {
        let item = match panic::catch(|| source.next()) {
            Ok(item) => item,
            Err(payload) => {
                panic::discard(source);
                resume_unwind(payload);
            }
        };
        let back = match &item {
            Some(_) => self.state.lock().put_back(source),
            None => Err(source),
        };
        match back {
            Ok(()) => self.drive(),
            Err(source) => panic::discard(source),
        }
        item
    }

    /// A task has ended, or was refused. More may begin now.
    fn finished(&self, stage: usize, index: usize, end: Result<Option<Item>, Failed>) {
        let mut state = self.state.lock();
        let was_closed = state.is_closed();
        let leftovers = state.finished(stage, index, end);
        let closes = state.is_closed() && !was_closed;
        drop(state);
        if closes {
            // First: what follows may run code of the user.
            self.state.notify_all();
            self.token.cancel_with(CancelReason::Group);
        }
        self.discard(leftovers);
    }

    /// Ends the pipeline at once with this error, which is that of no item: the consumer cannot
    /// wait any more.
    fn give_up(&self, error: TaskError) {
        let who = TaskLabel {
            id: TaskId::next(),
            name: None,
            site: self.site,
        };
        let error = JoinError::Task(error);
        let failed = Failed { who, error };
        let mut state = self.state.lock();
        let last = (!state.is_closed()).then_some((0, failed));
        let leftovers = last.map(|last| state.close(Some(last)));
        drop(state);
        self.state.notify_all();
        if let Some(leftovers) = leftovers {
            self.discard(leftovers);
        }
    }

    /// Drops what no consumer will take. A failure among it is reported, but not that the pool is
    /// closed: the consumer has that from the first item.
    fn discard(&self, leftovers: Leftovers) {
        panic::discard(leftovers.source);
        for item in leftovers.items {
            match item {
                Ok(item) => panic::discard(item),
                Err(Failed {
                    error: JoinError::Task(TaskError::Rejected(Rejection::Closed)),
                    ..
                }) => {}
                Err(Failed { who, error }) => unread::report_boxed(self.core.owner(), who, error),
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The last owner may be a worker between two tasks, which a panic in a drop must not reach.
        let leftovers = self.state.get_mut().close(None);
        self.discard(leftovers);
        panic::discard(self.stages.get_mut().take());
        mem::take(&mut self.context).discard();
        panic::discard(self.place.parent.take());
    }
}

/// Hands the outcome of a task to the driver when the task settles.
struct TaskWatch {
    driver: Arc<Driver>,
    stage: usize,
    handle: Mutex<Option<TaskHandle<TaskEnd>>>,
}

impl Watch for TaskWatch {
    fn settled(self: Arc<Self>, index: usize, _: OutcomeKind) {
        // Deferred, so that it does not recurse: a task that the driver submits here may have
        // settled before it is watched, and so may the tasks that this one lets begin.
        trampoline::run(move || {
            let Some(handle) = self.handle.lock().take() else {
                return;
            };
            let who = handle.task().head.label();
            let end = ok_value(handle.join()).map_err(|error| Failed {
                who,
                error: shown(error),
            });
            self.driver.finished(self.stage, index, end);
            self.driver.drive();
        });
    }
}
