//! A pipeline at work: what its belt says may begin becomes tasks, and what these come to goes back onto the belt.
//!
//! Layer 6. Items and errors are boxed here, so that this is written once for all types; the face knows them.
//
// Nobody waits here but whoever takes the results. Each task that settles, however it does, tells the flow (`Watch`), and
// whoever told it, or took a result, goes on to begin what may begin now. So while one waits for a result, something is at
// work that will tell.
//
// The lock is held for the belt's decisions alone: items, sources and closures are moved out and run or dropped after it.

use crate::cancel::CancelToken;
use crate::compose::belt::{Belt, Manner, Scrap, Step};
use crate::context_var::Context;
use crate::error::{JoinError, Rejection, TaskError};
use crate::extras::{Watch, Watcher, Who};
use crate::flat;
use crate::id::TaskId;
use crate::panic;
use crate::pool::{Core, Site, Spec};
use crate::reason::CancelReason;
use crate::seat;
use crate::sim;
use crate::sync::{Condvar, Mutex};
use crate::task::{FallibleWork, TaskHandle};
use crate::wake::Wake;
use std::any::Any;
use std::mem;
use std::panic::resume_unwind;
use std::sync::{Arc, Weak};

pub(crate) type Item = Box<dyn Any + Send>;
pub(crate) type Source = Box<dyn Iterator<Item = Item> + Send>;
/// What a task comes to; `None` when there was no item to be read.
type End = Result<Option<Item>, Item>;
type Work = Arc<dyn Fn(Item) -> Result<Item, Item> + Send + Sync>;

/// A stage, as it was asked for.
pub(crate) struct StageSpec {
    pub(crate) width: usize,
    pub(crate) buffer: usize,
    pub(crate) site: Site,
    pub(crate) work: Work,
}

/// What went wrong with an item.
pub(crate) struct Failed {
    pub(crate) who: Who,
    pub(crate) error: JoinError<Item>,
}

pub(crate) struct Flow {
    core: Arc<Core>,
    /// Whether it was begun by a task of the pool's, and so goes on while that one drains.
    is_inside: bool,
    manner: Manner,
    stages: Vec<StageSpec>,
    token: CancelToken,
    context: Context,
    belt: Mutex<Belt<Source, Item, Failed>>,
    /// There is something to take, or there will be nothing.
    news: Condvar,
}

impl Flow {
    /// `stages`: at least one.
    pub(crate) fn start(
        core: Arc<Core>,
        source: Source,
        stages: Vec<StageSpec>,
        manner: Manner,
    ) -> Arc<Self> {
        let sizes = stages.iter().map(|stage| (stage.width, stage.buffer));
        let flow = Arc::new(Self {
            is_inside: core.is_here(),
            belt: Mutex::new(Belt::new(source, sizes, manner)),
            news: Condvar::new(),
            token: CancelToken::new(),
            context: Context::capture(),
            core,
            manner,
            stages,
        });
        flow.drive();
        flow
    }

    /// The next result with its place; waits for it. `None`: there will be no other.
    pub(crate) fn next(self: &Arc<Self>) -> Option<(usize, Result<Item, Failed>)> {
        sim::pause();
        let (place, end) = self.try_next().or_else(|| self.wait())?;
        if end.is_err() && (!self.manner.collects_all || self.belt.lock().is_closed()) {
            self.close(CancelReason::Group);
        } else {
            self.drive();
        }
        Some((place, end))
    }

    fn try_next(&self) -> Option<(usize, Result<Item, Failed>)> {
        self.belt.lock().take()
    }

    fn wait(self: &Arc<Self>) -> Option<(usize, Result<Item, Failed>)> {
        if self.core.is_foreign() {
            self.give_up(0, TaskError::Forked);
        }
        let _left = seat::leave_open();
        let me = || {
            let weak: Weak<Self> = Arc::downgrade(self);
            weak as Weak<dyn Wake>
        };
        let mut belt = self.belt.lock();
        let clock = self.core.clock();
        clock.wait_while(&self.news, &mut belt, None, me, |belt| !belt.has_news());
        belt.take()
    }

    /// Ends it: what waits is dropped, what is at work is asked to stop.
    pub(crate) fn close(&self, reason: CancelReason) {
        let scrap = self.belt.lock().close(None);
        self.news.notify_all();
        discard(scrap);
        self.token.cancel(reason);
    }

    /// Begins all that may begin.
    fn drive(self: &Arc<Self>) {
        loop {
            let mut belt = self.belt.lock();
            let Some(step) = belt.step() else {
                let has_news = belt.has_news();
                drop(belt);
                if has_news {
                    self.news.notify_all();
                }
                return;
            };
            drop(belt);
            self.begin(step);
        }
    }

    fn begin(self: &Arc<Self>, step: Step<Source, Item>) {
        let (stage, place) = match &step {
            Step::Read(place, _) => (0, *place),
            Step::Work { stage, place, .. } => (*stage, *place),
        };
        if self.core.is_closed() && !self.is_inside {
            // A draining pool would take it from a worker, so that an endless source kept it from ever ending.
            self.give_up(place, TaskError::Rejected(Rejection::Closed));
            return panic::discard(step);
        }
        let flow = self.clone();
        let body = move || match step {
            Step::Read(_, source) => flow.read(source).map(|item| flow.work(0, item)).transpose(),
            Step::Work { stage, item, .. } => flow.work(stage, item).map(Some),
        };
        let spec = Spec {
            token: Some(self.token.clone()),
            ..Spec::default()
        };
        let site = self.stages[stage].site;
        let submit = || self.core.submit(site, &spec, FallibleWork(body));
        let handle = self.context.run(submit);
        let task = handle.as_task();
        let flight = Arc::new(Flight {
            flow: self.clone(),
            stage,
            handle: Mutex::new(Some(handle)),
        });
        let watcher = Watcher { who: flight, place };
        if let Err(Watcher { who, place }) = task.watch(watcher) {
            who.settled(place);
        }
    }

    /// In a task: reads one item, and lets the next one be read.
    fn read(self: &Arc<Self>, mut source: Source) -> Option<Item> {
        let item = match panic::catch(|| source.next()) {
            Ok(item) => item,
            Err(payload) => {
                panic::discard(source);
                resume_unwind(payload);
            }
        };
        let back = match &item {
            Some(_) => self.belt.lock().give_back(source),
            None => Err(source),
        };
        match back {
            Ok(()) => self.drive(),
            Err(source) => panic::discard(source),
        }
        item
    }

    fn work(&self, stage: usize, item: Item) -> Result<Item, Item> {
        (self.stages[stage].work)(item)
    }

    /// A task has settled.
    fn settled(self: &Arc<Self>, stage: usize, place: usize, end: Result<Option<Item>, Failed>) {
        let is_fatal = matches!(&end, Err(failed) if is_of_pool(&failed.error));
        let mut belt = self.belt.lock();
        let was_closed = belt.is_closed();
        let scrap = belt.finished(stage, place, end, is_fatal);
        let closes = belt.is_closed() && !was_closed;
        drop(belt);
        discard(scrap);
        if closes {
            self.token.cancel(CancelReason::Group);
        }
        self.drive();
    }

    /// The pool takes no more.
    fn give_up(&self, place: usize, error: TaskError) {
        let who = Who {
            id: TaskId::next(),
            name: None,
            site: self.stages[0].site,
        };
        let error = JoinError::Task(error);
        let failed = Failed { who, error };
        let mut belt = self.belt.lock();
        let last = (!belt.is_closed()).then_some((place, failed));
        let scrap = last.map(|last| belt.close(Some(last)));
        drop(belt);
        self.news.notify_all();
        if let Some(scrap) = scrap {
            discard(scrap);
        }
    }
}

/// Whether it is the pool that takes no more, and not this item that failed.
fn is_of_pool(error: &JoinError<Item>) -> bool {
    use TaskError::{Cancelled, Forked, Rejected};
    let of_task = match error {
        JoinError::Failed(_) => return false,
        JoinError::Task(error) => error,
    };
    matches!(
        of_task,
        Rejected(_) | Forked | Cancelled(CancelReason::Shutdown)
    )
}

fn discard(scrap: Scrap<Source, Item, Failed>) {
    panic::discard(scrap.source);
    scrap.ends.into_iter().for_each(panic::discard);
}

impl Drop for Flow {
    fn drop(&mut self) {
        // The last to have it may be a worker, between two tasks.
        discard(self.belt.get_mut().close(None));
        mem::take(&mut self.stages)
            .into_iter()
            .for_each(panic::discard);
        mem::take(&mut self.context).discard();
    }
}

impl Wake for Flow {
    fn wake(self: Arc<Self>) {
        drop(self.belt.lock());
        self.news.notify_all();
    }

    fn what(&self) -> String {
        "the next result of a pipeline".to_owned()
    }
}

/// One task of a pipeline, as the flow hears of it.
struct Flight {
    flow: Arc<Flow>,
    stage: usize,
    handle: Mutex<Option<TaskHandle<End>>>,
}

impl Watch for Flight {
    fn settled(self: Arc<Self>, place: usize) {
        // What it begins may have settled, too, before it is watched, and so on.
        flat::run(move || {
            let Some(handle) = self.handle.lock().take() else {
                return;
            };
            let who = handle.as_task().who();
            let end = match handle.join() {
                Ok(Ok(item)) => Ok(item),
                Ok(Err(error)) => Err(JoinError::Failed(error)),
                Err(error) => Err(JoinError::Task(error)),
            };
            let end = end.map_err(|error| Failed { who, error });
            self.flow.settled(self.stage, place, end);
        });
    }
}
