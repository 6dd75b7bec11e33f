//! loom models of a task that waits behind others: those that settle, those that watch, who cancels and who ends the pool
//! meet.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// The cells are the real ones, the steps those of `compose::after` and `pool::follow`; the pool is a double that counts
// tickets and announcements. The counts are std's atomics: loom must not see an order in them that the locks do not make.

use super::*;
use crate::cancel::CancelToken;
use crate::clock;
use crate::event::OutcomeKind;
use crate::extras::Watcher;
use crate::fork::NOBODY;
use crate::gate::Gate;
use crate::id::TaskId;
use crate::panic::Payload;
use crate::reason::CancelReason;
use crate::sync::Mutex;
use crate::task::any::{AnyTask, CancelOutcome, Home, OnTime, Plan, Rank, TaskRef};
use crate::task::course::set_out;
use loom::thread;
use std::panic::Location;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn get(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// The pool: its phase, its list of those that wait, and its counts.
struct Pool {
    is_open: Mutex<bool>,
    behind: Mutex<Vec<TaskRef>>,
    tickets: Count,
    announced: Count,
    done: Count,
    taken_back: Count,
}

impl Pool {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            is_open: Mutex::new(true),
            behind: Mutex::new(Vec::new()),
            tickets: Count::default(),
            announced: Count::default(),
            done: Count::default(),
            taken_back: Count::default(),
        })
    }

    fn is_quiet(&self) -> bool {
        let done = self.done.get() + self.taken_back.get();
        done == self.announced.get()
    }

    fn unlist(&self, task: TaskId) {
        let mut behind = self.behind.lock();
        let at = behind.iter().position(|listed| listed.id() == task);
        let was_there = at.map(|at| behind.swap_remove(at));
        drop(behind);
        drop(was_there);
    }

    /// A drain that begins now. `None`: it has to wait for somebody.
    fn ends(&self) -> Option<()> {
        *self.is_open.lock() = false;
        for _ in 0..2 {
            let somebody_waits = !self.behind.lock().is_empty();
            if !self.is_quiet() {
                return None;
            }
            if !somebody_waits {
                return Some(());
            }
            let all = std::mem::take(&mut *self.behind.lock());
            for task in &all {
                task.cancel(CancelReason::Shutdown);
            }
        }
        None
    }
}

impl Home for Pool {
    fn now(&self) -> Instant {
        clock::now()
    }

    fn ready(&self, _: TaskRef, _: Rank) {
        self.tickets.add();
    }

    fn at(&self, _: Instant, _: TaskRef, _: OnTime) {}

    fn stale(&self, _: usize) {}

    fn ring_at(&self, _: Instant, _: Arc<Gate>) {}

    fn parked(&self, _: u64, _: TaskRef) {}

    fn unparked(&self, _: u64) -> bool {
        false
    }

    fn settled_away(&self, kind: OutcomeKind) {
        assert_eq!(kind, OutcomeKind::Cancelled);
        self.done.add();
    }

    fn follow(self: Arc<Self>, task: TaskRef) {
        self.announced.add();
        self.unlist(task.id());
        let is_open = *self.is_open.lock();
        if is_open {
            if !task.set_off() {
                self.taken_back.add();
            }
            return;
        }
        task.cancel(CancelReason::Shutdown);
        self.taken_back.add();
    }

    fn unannounced(&self, task: TaskId) {
        self.announced.add();
        self.unlist(task);
    }

    fn hung(&self, _: TaskId) {}
}

/// What is continued: settled by hand.
struct Above;

impl Work for Above {
    type Output = ();

    fn attempt(self) -> (Result<(), Payload>, Option<Self>) {
        unreachable!("nobody runs it")
    }
}

fn above() -> Arc<Cell<Above>> {
    Cell::new(NOBODY, Location::caller(), Above, None, false)
}

fn settle(cell: &Cell<Above>) -> bool {
    let claimed = cell.claim();
    if claimed {
        cell.settle(Ok(())).retire();
    }
    claimed
}

/// Nobody waits for this one any more.
fn has_no_watchers(cell: &Cell<Above>) -> bool {
    let none = cell.slot.peek_extras(|extras| {
        let rest = extras.rest.as_ref();
        rest.is_none_or(|rest| rest.watchers.is_empty())
    });
    none != Some(false)
}

/// What continues it, as `After` is.
struct Below(Vec<Arc<Cell<Above>>>, Arc<Count>);

impl Work for Below {
    type Output = ();

    fn attempt(self) -> (Result<(), Payload>, Option<Self>) {
        unreachable!("nobody runs it")
    }

    fn abandon(self, reason: CancelReason, task: usize) {
        self.1.add();
        for above in &self.0 {
            above.unwatch(task);
            AnyTask::cancel(&**above, reason);
        }
    }
}

struct Scene {
    pool: Arc<Pool>,
    above: Vec<Arc<Cell<Above>>>,
    below: Arc<Cell<Below>>,
    abandoned: Arc<Count>,
}

impl Scene {
    /// Submitted, and not on the lists of those above yet.
    fn new(count: usize, token: Option<&CancelToken>) -> Arc<Self> {
        let pool = Pool::new();
        let above: Vec<_> = (0..count).map(|_| above()).collect();
        let plan = Arc::new(Plan::default());
        let extras = set_out(&plan, pool.clone(), None, None, count + 1);
        let abandoned = Arc::new(Count::default());
        let work = Below(above.clone(), abandoned.clone());
        let below = Cell::new(NOBODY, Location::caller(), work, Some(extras), false);
        if let Some(token) = token {
            below.obey(token.child());
        }
        let mut list = pool.behind.lock();
        if below.outcome_kind().is_none() {
            list.push(below.clone());
        }
        drop(list);
        Arc::new(Self {
            pool,
            above,
            below,
            abandoned,
        })
    }

    fn watching(count: usize) -> Arc<Self> {
        let scene = Self::new(count, None);
        scene.watch();
        scene
    }

    /// The rest of `submit_after`.
    fn watch(&self) {
        for (place, above) in self.above.iter().enumerate() {
            let who = self.below.clone();
            if let Err(Watcher { who, place }) = above.watch(Watcher { who, place }) {
                who.settled(place);
            }
        }
        if self.below.outcome_kind().is_some() {
            let address = Arc::as_ptr(&self.below).addr();
            self.above.iter().for_each(|above| above.unwatch(address));
        }
        self.below.clone().settled(self.above.len());
    }

    fn cancel(&self) -> CancelOutcome {
        AnyTask::cancel(&*self.below, CancelReason::User)
    }

    /// What must hold when all have acted.
    fn assert_sound(&self) {
        let is_settled = self.below.outcome_kind().is_some();
        let tickets = self.pool.tickets.get();
        assert!(tickets <= 1, "it is sent off once");
        assert!(is_settled || tickets == 1 || !self.are_all_settled());
        assert_eq!(self.abandoned.get(), usize::from(is_settled));
        // The ticket's reader counts it, whoever settled it.
        let open = self.pool.announced.get() - self.pool.taken_back.get() - self.pool.done.get();
        assert_eq!(open, tickets);
        if is_settled {
            assert!(self.above.iter().all(|above| has_no_watchers(above)));
        }
        if is_settled || tickets == 1 {
            assert!(self.pool.behind.lock().is_empty(), "nobody lists it still");
        }
    }

    fn are_all_settled(&self) -> bool {
        self.above
            .iter()
            .all(|above| above.outcome_kind().is_some())
    }
}

fn model(f: impl Fn() + Send + Sync + 'static) {
    loom::model(f);
}

fn apart<R: 'static>(
    scene: &Arc<Scene>,
    f: impl FnOnce(&Scene) -> R + 'static,
) -> thread::JoinHandle<R> {
    let scene = scene.clone();
    thread::spawn(move || f(&scene))
}

#[test]
fn settling_meets_watching() {
    model(|| {
        let scene = Scene::new(1, None);
        let settling = apart(&scene, |scene| settle(&scene.above[0]));
        scene.watch();
        assert!(settling.join().unwrap());
        assert_eq!(scene.pool.tickets.get(), 1);
        scene.assert_sound();
    });
}

#[test]
fn the_last_two_settle_at_the_same_time() {
    model(|| {
        let scene = Scene::watching(2);
        let settling = apart(&scene, |scene| settle(&scene.above[0]));
        assert!(settle(&scene.above[1]));
        assert!(settling.join().unwrap());
        assert_eq!(scene.pool.tickets.get(), 1);
        scene.assert_sound();
    });
}

#[test]
fn a_cancel_meets_readiness() {
    model(|| {
        let scene = Scene::watching(1);
        let settling = apart(&scene, |scene| settle(&scene.above[0]));
        assert_eq!(scene.cancel(), CancelOutcome::Settled);
        settling.join().unwrap();
        scene.assert_sound();
        assert!(
            scene.are_all_settled(),
            "it settled, or was cancelled with it"
        );
    });
}

#[test]
fn a_cancel_meets_watching() {
    model(|| {
        let token = CancelToken::new();
        let scene = Scene::new(1, Some(&token));
        let cancelling = thread::spawn(move || token.cancel(CancelReason::User));
        scene.watch();
        assert!(cancelling.join().unwrap());
        assert!(scene.below.outcome_kind().is_some());
        scene.assert_sound();
    });
}

#[test]
fn two_cancels_meet_readiness() {
    model(|| {
        let scene = Scene::watching(1);
        let settling = apart(&scene, |scene| settle(&scene.above[0]));
        let cancelling = apart(&scene, Scene::cancel);
        let cancelled = scene.cancel();
        let both = [cancelled, cancelling.join().unwrap()];
        settling.join().unwrap();
        let did = both.iter().filter(|did| **did == CancelOutcome::Settled);
        assert_eq!(did.count(), 1);
        scene.assert_sound();
    });
}

#[test]
fn the_end_of_the_pool_meets_readiness() {
    model(|| {
        let scene = Scene::watching(1);
        let settling = apart(&scene, |scene| settle(&scene.above[0]));
        if scene.pool.ends().is_some() {
            assert!(
                scene.below.outcome_kind().is_some(),
                "nothing is left behind by a pool that has ended"
            );
            assert_eq!(scene.pool.tickets.get(), 0);
        }
        settling.join().unwrap();
        scene.assert_sound();
    });
}

#[test]
fn unwatching_meets_settling() {
    /// Counts what it is told.
    struct Board(Count);
    impl Watch for Board {
        fn settled(self: Arc<Self>, _: usize) {
            self.0.add();
        }
    }
    model(|| {
        let cell = above();
        let board = Arc::new(Board(Count::default()));
        for place in 0..2 {
            let who = board.clone();
            assert!(cell.watch(Watcher { who, place }).is_ok());
        }
        let settling = {
            let cell = cell.clone();
            thread::spawn(move || settle(&cell))
        };
        cell.unwatch(Arc::as_ptr(&board).addr());
        let told = board.0.get();
        settling.join().unwrap();
        assert!(has_no_watchers(&cell));
        assert!(board.0.get() == 0 || board.0.get() == 2, "of both or none");
        assert!(told <= 2);
        assert_eq!(Arc::strong_count(&board), 1, "nobody keeps it");
    });
}
