//! loom models of a task that continues others: the threads that settle those, that watch them, that
//! cancel it and that end the pool meet.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// The tasks, their bodies and their handles are the real ones; the submission has the steps of
// `Core::submit_after`. The pool is a double that counts entries and announcements.

use super::*;
use crate::cancel::CancelToken;
use crate::task::body::PlainBody;
use crate::task::double::{Captured, Count, Pool, Tally, order_of, owner};
use crate::task::options::{Extras, Progress, TaskOptions};
use crate::task::pool::Level;
use crate::task::watch::Watch;
use crate::task::{CancelOutcome, Head, Promise, TaskHandle, promise};
use loom::thread;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What is continued.
struct Above {
    task: TaskRef,
    /// Settles it; `None` if a worker does, that runs its body.
    promise: Mutex<Option<Promise<()>>>,
}

struct Scene {
    pool: Arc<Pool>,
    above: Vec<Above>,
    below: TaskRef,
    handle: Mutex<Option<TaskHandle<bool>>>,
    tally: Arc<Tally>,
}

impl Scene {
    /// Submitted, and not a watcher of those above yet.
    fn new(count: usize, token: Option<&CancelToken>) -> Arc<Self> {
        let (above, handles) = (0..count).map(|_| by_promise()).unzip();
        Self::below(above, handles, token)
    }

    fn watching(count: usize) -> Arc<Self> {
        let scene = Self::new(count, None);
        scene.watch();
        scene
    }

    fn below(
        above: Vec<Above>,
        handles: Vec<TaskHandle<()>>,
        token: Option<&CancelToken>,
    ) -> Arc<Self> {
        let pool = Pool::new(false);
        let tally = Arc::new(Tally::default());
        let captured = Captured(tally.clone());
        // Returns whether what it continues has settled.
        let body = move || {
            captured.0.bodies_run.add();
            handles.iter().all(TaskHandle::is_finished)
        };
        let below = Task::new(Head::new(owner(), Location::caller()), PlainBody::new(body));
        let tasks: Vec<_> = above.iter().map(|above| above.task.clone()).collect();
        let options = Arc::new(TaskOptions::default());
        let mut extras = Extras::new(None, None);
        let after = After::new(tasks);
        extras.progress = Some(Progress::after(
            &options,
            pool.clone(),
            after,
            Level::default(),
        ));
        below.head.set_extras(extras);
        if let Some(token) = token {
            below.obey(token.child());
        }
        if !below.head.is_settled() {
            let order = order_of(&below).unwrap();
            pool.behind.lock().unwrap().push((order, below.clone()));
        }
        Arc::new(Self {
            pool,
            above,
            handle: Mutex::new(Some(TaskHandle::new(below.clone()))),
            below,
            tally,
        })
    }

    /// The rest of the submission.
    fn watch(&self) {
        let tasks: Vec<_> = self.above.iter().map(|above| above.task.clone()).collect();
        self.below.watch_predecessors(&tasks);
    }

    fn settle(&self, index: usize) {
        let promise = self.above[index].promise.lock().unwrap().take();
        match promise {
            Some(promise) => drop(promise.complete(())),
            // A worker of some pool.
            None => drop(self.above[index].task.run(&self.pool.stack(0))),
        }
    }

    fn cancel(&self) -> CancelOutcome {
        self.below.cancel(CancelReason::User)
    }

    /// A drain that begins now. `None`: it has to wait.
    fn ends(&self) -> Option<()> {
        let pool = &self.pool;
        *pool.is_open.lock() = false;
        for _ in 0..2 {
            let some_wait = !pool.behind.lock().unwrap().is_empty();
            if !pool.is_idle() {
                return None;
            }
            if !some_wait {
                return Some(());
            }
            let all = std::mem::take(&mut *pool.behind.lock().unwrap());
            for (_, task) in &all {
                task.cancel(CancelReason::Shutdown);
            }
        }
        None
    }

    /// When all threads are through.
    fn check(&self) {
        let pool = &self.pool;
        let is_settled = self.below.head.is_settled();
        let entries = pool.entries.lock().unwrap().len();
        assert!(entries <= 1, "it is sent off once");
        assert!(is_settled || entries == 1 || !self.is_ready());
        // The worker that pops the entry counts it, whichever thread settled it.
        let pending = pool.announced.get() - pool.taken_back.get() - pool.finished.get();
        assert_eq!(pending, entries);
        assert_eq!(self.tally.bodies_dropped.get(), usize::from(is_settled));
        if is_settled {
            assert!(self.above.iter().all(|above| watchers(&above.task) == 0));
        }
        if is_settled || entries == 1 {
            assert!(pool.behind.lock().unwrap().is_empty(), "it is not listed");
        }
        // The worker.
        if let Some(task) = pool.pop() {
            pool.take_on(&task, &pool.stack(0));
            assert!(pool.is_idle());
            assert!(self.below.head.is_settled());
        }
        let handle = self.handle.lock().unwrap().take();
        if let Some(Ok(Ok(were_settled))) = handle.map(TaskHandle::try_join) {
            assert!(were_settled, "it ran before its time");
            assert_eq!(self.tally.bodies_run.get(), 1);
        }
    }

    /// Whether what it continues has settled.
    fn is_ready(&self) -> bool {
        let mut above = self.above.iter();
        above.all(|above| above.task.head.is_settled())
    }
}

fn by_promise() -> (Above, TaskHandle<()>) {
    let (promise, handle) = promise();
    let above = Above {
        task: handle.task().clone(),
        promise: Mutex::new(Some(promise)),
    };
    (above, handle)
}

fn with_body() -> (Above, TaskHandle<()>) {
    let head = Head::new(owner(), Location::caller());
    let task = Task::new(head, PlainBody::new(|| ()));
    let above = Above {
        task: task.clone(),
        promise: Mutex::new(None),
    };
    (above, TaskHandle::new(task))
}

fn watchers(task: &Task) -> usize {
    let watchers = task.head.peek(|extras| extras.listeners().watchers.len());
    watchers.unwrap_or(0)
}

fn apart<R: Send + 'static>(
    scene: &Arc<Scene>,
    f: impl FnOnce(&Scene) -> R + Send + 'static,
) -> thread::JoinHandle<R> {
    let scene = scene.clone();
    thread::spawn(move || f(&scene))
}

/// With a promise above, and with a body that a worker runs.
fn one_above(model: fn(Arc<Scene>)) {
    for make in [by_promise, with_body] {
        loom::model(move || {
            let (above, handle) = make();
            model(Scene::below(vec![above], vec![handle], None));
        });
    }
}

#[test]
fn settling_meets_watching() {
    one_above(|scene| {
        let settling = apart(&scene, |scene| scene.settle(0));
        scene.watch();
        settling.join().unwrap();
        assert_eq!(scene.pool.entries.lock().unwrap().len(), 1);
        scene.check();
    });
}

#[test]
fn the_last_two_settle_at_the_same_time() {
    loom::model(|| {
        let scene = Scene::watching(2);
        let settling = apart(&scene, |scene| scene.settle(0));
        scene.settle(1);
        settling.join().unwrap();
        assert_eq!(scene.pool.entries.lock().unwrap().len(), 1);
        scene.check();
    });
}

#[test]
fn a_cancel_meets_readiness() {
    one_above(|scene| {
        scene.watch();
        let settling = apart(&scene, |scene| scene.settle(0));
        assert_eq!(scene.cancel(), CancelOutcome::Settled);
        settling.join().unwrap();
        scene.check();
        assert!(scene.is_ready(), "it settled, or was cancelled with it");
    });
}

#[test]
fn a_cancel_leaves_alone_what_has_another_handle() {
    for make in [by_promise, with_body] {
        loom::model(move || {
            // The body below captures no handle.
            let (above, handle) = make();
            let scene = Scene::below(vec![above], Vec::new(), None);
            scene.watch();
            let settling = apart(&scene, |scene| scene.settle(0));
            assert_eq!(scene.cancel(), CancelOutcome::Settled);
            assert_eq!(watchers(&scene.above[0].task), 0);
            settling.join().unwrap();
            scene.check();
            handle.join().unwrap();
        });
    }
}

#[test]
fn a_cancel_meets_the_worker_that_runs_it() {
    loom::model(|| {
        let scene = Scene::watching(1);
        let settling = apart(&scene, |scene| {
            scene.settle(0);
            if let Some(task) = scene.pool.pop() {
                scene.pool.take_on(&task, &scene.pool.stack(0));
            }
        });
        scene.cancel();
        settling.join().unwrap();
        assert!(scene.below.head.is_settled());
        scene.check();
    });
}

#[test]
fn a_cancel_meets_watching() {
    loom::model(|| {
        let token = CancelToken::new();
        let scene = Scene::new(1, Some(&token));
        let cancelling = thread::spawn(move || token.cancel());
        scene.watch();
        assert!(cancelling.join().unwrap());
        assert!(scene.below.head.is_settled());
        scene.check();
    });
}

#[test]
fn a_cancel_meets_watching_and_settling() {
    loom::model(|| {
        let scene = Scene::new(1, None);
        let cancelling = apart(&scene, Scene::cancel);
        let settling = apart(&scene, |scene| scene.settle(0));
        scene.watch();
        cancelling.join().unwrap();
        settling.join().unwrap();
        scene.check();
    });
}

#[test]
fn two_cancels_meet_readiness() {
    loom::model(|| {
        let scene = Scene::watching(1);
        let settling = apart(&scene, |scene| scene.settle(0));
        let cancelling = apart(&scene, Scene::cancel);
        let cancelled = scene.cancel();
        let both = [cancelled, cancelling.join().unwrap()];
        settling.join().unwrap();
        let did = both.iter().filter(|did| **did == CancelOutcome::Settled);
        assert_eq!(did.count(), 1);
        scene.check();
    });
}

#[test]
fn a_chain_is_cancelled_at_its_end_while_its_start_settles() {
    loom::model(|| {
        let (start, handle) = by_promise();
        let middle = Scene::below(vec![start], vec![handle], None);
        middle.watch();
        let its_handle = middle.handle.lock().unwrap().take();
        let (its_handle, end_captures) = (its_handle.unwrap(), Arc::new(Count::default()));
        let end = {
            let captures = end_captures.clone();
            // The last task of the chain, without a pool of its own: all that matters is what it
            // continues.
            let body = move || {
                captures.add();
                drop(its_handle);
            };
            let task = Task::new(Head::new(owner(), Location::caller()), PlainBody::new(body));
            let options = Arc::new(TaskOptions::default());
            let after = After::new(vec![middle.below.clone()]);
            let mut extras = Extras::new(None, None);
            extras.progress = Some(Progress::after(
                &options,
                middle.pool.clone(),
                after,
                Level::default(),
            ));
            task.head.set_extras(extras);
            task
        };
        end.watch_predecessors(std::slice::from_ref(&middle.below));
        let settling = apart(&middle, |scene| scene.settle(0));
        assert_eq!(end.cancel(CancelReason::User), CancelOutcome::Settled);
        settling.join().unwrap();
        // By the time that the cancel has returned, all before it are settled.
        assert!(middle.below.head.is_settled());
        assert!(middle.is_ready());
        assert_eq!(end_captures.get(), 0);
        assert_eq!(watchers(&middle.below), 0);
        assert_eq!(watchers(&middle.above[0].task), 0);
    });
}

#[test]
fn the_end_of_the_pool_meets_readiness() {
    loom::model(|| {
        let scene = Scene::watching(1);
        let settling = apart(&scene, |scene| scene.settle(0));
        if scene.ends().is_some() {
            assert!(
                scene.below.head.is_settled(),
                "nothing is left behind by a pool that has ended"
            );
            assert!(scene.pool.entries.lock().unwrap().is_empty());
        }
        settling.join().unwrap();
        scene.check();
    });
}

#[test]
fn unwatching_meets_settling() {
    /// Counts how often it is notified. With whether it is over, a flag of std's.
    struct Board(Count, AtomicBool);
    impl Watch for Board {
        fn settled(self: Arc<Self>, _: usize, _: OutcomeKind) {
            self.0.add();
        }
        fn is_over(&self) -> bool {
            self.1.load(Ordering::Relaxed)
        }
    }
    for make in [by_promise, with_body] {
        loom::model(move || {
            let (above, handle) = make();
            let task = above.task.clone();
            let scene = Scene::below(vec![above], vec![handle], None);
            let board = Arc::new(Board(Count::default(), false.into()));
            for index in 0..2 {
                let watcher = Watcher::Set(board.clone(), index);
                assert!(task.watch(watcher).is_ok());
            }
            let settling = apart(&scene, |scene| scene.settle(0));
            board.1.store(true, Ordering::Relaxed);
            task.unwatch();
            let notified = board.0.get();
            settling.join().unwrap();
            assert_eq!(watchers(&task), 0);
            assert!(board.0.get() == 0 || board.0.get() == 2, "of both or none");
            assert!(notified <= 2);
            assert_eq!(Arc::strong_count(&board), 1, "nothing keeps it");
        });
    }
}
