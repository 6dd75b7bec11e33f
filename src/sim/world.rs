//! The simulation: threads that run one at a time, and a time that passes only when none of them can go on.
//!
//! Layer 0, below the clock, which is the face of it that the rest of the library sees.
//
// The threads are real, and the code that they run is the same as in life. Each waits for its turn; whoever has it runs
// until it comes to a call that may wait, and there gives it away: to one of those who can go on, drawn by the seed. So
// there is one order of events for a seed, and nothing happens at the same time.
//
// What a thread waits for is a condition that it alone can ask. So it is given the turn to ask again, and gives it back
// if in vain. Whoever ran and did not merely ask in vain may have changed what others wait for: that begins a new *epoch*
// when it gives the turn away, and one that is blocked since an earlier epoch than the present one is worth asking. When
// all have asked in vain in the same epoch, nobody can go on without time passing. (`Wake::stays` tells of most that they
// would ask in vain, and spares them the turn.)
//
//   can go on: is ready; or blocked since an earlier epoch; or its deadline has come.
//   nobody can, and the owner waits: the clock jumps to the earliest deadline or alarm; there is none: that is a
//     deadlock, told to the owner, whose call panics with a list of who waits for what.
//   nobody can, and the owner is idle (`advance`): as above, but no further than the instant that it named.
//
// The owner is the thread that made the simulation. While it does something else than wait, nobody runs.
//
// Nothing here calls anything of the library's with the turns locked but `stays`, which takes no lock.

use crate::sim::baton::Baton;
use crate::sim::hand::Hand;
use crate::sim::stuck::Waits;
use crate::sim::trace::TraceEntry;
use crate::sim::turns::{At, Next, OWNER, Stand, Turns};
use crate::wake::Wake;
use parking_lot::{Mutex, MutexGuard};
use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub(crate) struct Sim {
    hand: Hand,
    seed: u64,
    /// Numbers that tasks are ordered by. No other simulation or thread draws of them: they are the same each time.
    orders: AtomicU64,
    /// Whether the owner goes by another clock again.
    over: AtomicBool,
    turns: Mutex<Turns>,
    users: Mutex<Users>,
}

/// Who keeps it going.
struct Users {
    /// Whether the user still holds its face.
    is_held: bool,
    pools: usize,
}

/// Above all numbers that are drawn outside of simulations.
const FIRST_ORDER: u64 = 1 << 62;

thread_local! {
    static ENLISTED: RefCell<Option<(Arc<Sim>, u64)>> = const { RefCell::new(None) };
    static POLLS: Cell<u32> = const { Cell::new(0) };
    /// How often others were let go first though nothing was to come.
    static LETS: Cell<u32> = const { Cell::new(0) };
}

/// How many simulations there were: while it is none, to ask for one costs a load.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// Asked so often in vain, a thread waits for what it asks.
const VAIN_POLLS: u32 = 1_000;

/// The simulation that this thread runs in.
pub(crate) fn here() -> Option<Arc<Sim>> {
    if MADE.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let enlisted = ENLISTED.try_with(|mine| mine.borrow().clone()).ok()??;
    let (sim, _) = enlisted;
    (!sim.over.load(Ordering::Relaxed)).then_some(sim)
}

/// This call may wait: in a simulation others may go first.
pub(crate) fn pause() {
    if let Some(sim) = here() {
        sim.pause();
    }
}

/// This thread asks for something that it would go on asking for: without a simulation that takes time by itself. Here
/// it does from some number on.
pub(crate) fn poll() {
    let Some(sim) = here() else { return };
    let polls = POLLS.get() + 1;
    POLLS.set(polls % VAIN_POLLS);
    if polls == VAIN_POLLS {
        sim.wait_for_anything();
    }
}

impl Sim {
    /// A simulation whose owner is this thread; `None` if it belongs to one that is not over.
    pub(crate) fn begin(origin: Instant, seed: u64) -> Option<Arc<Self>> {
        if here().is_some() {
            return None;
        }
        let baton = Baton::default();
        baton.belongs_to(thread::current());
        let sim = Arc::new(Self {
            hand: Hand::new(origin),
            seed,
            orders: AtomicU64::new(FIRST_ORDER),
            over: AtomicBool::new(false),
            turns: Mutex::new(Turns::new(seed, Arc::new(baton))),
            users: Mutex::new(Users {
                is_held: true,
                pools: 0,
            }),
        });
        MADE.fetch_add(1, Ordering::Relaxed);
        ENLISTED.set(Some((sim.clone(), OWNER)));
        Some(sim)
    }

    pub(crate) fn now(&self) -> Instant {
        self.hand.now()
    }

    pub(crate) fn passed(&self) -> Duration {
        self.hand.passed()
    }

    pub(crate) fn hand(&self) -> &Hand {
        &self.hand
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn next_order(&self) -> u64 {
        self.orders.fetch_add(1, Ordering::Relaxed)
    }

    /// This thread's number here, if it has one.
    fn my_number(&self) -> Option<u64> {
        ENLISTED
            .try_with(|mine| match &*mine.borrow() {
                Some((sim, me)) if std::ptr::eq(&**sim, self) => Some(*me),
                _ => None,
            })
            .unwrap_or(None)
    }

    pub(crate) fn is_mine(&self) -> bool {
        self.my_number().is_some()
    }

    /// # Panics
    /// On a thread that is none of this simulation's.
    pub(crate) fn me(&self) -> u64 {
        match self.my_number() {
            Some(me) => me,
            None => panic!(
                "this thread is not part of the simulation whose pool it uses: only the thread that made the simulation, \
                 and the tasks in it, may submit to its pools and wait for them"
            ),
        }
    }

    // Giving the turn away.

    /// Blocks until it is worth looking at the condition again, or `until` has come. `first` says that the thread has done
    /// something else since its last turn than to look at it.
    ///
    /// # Panics
    /// On the owner, if nobody can ever go on.
    pub(crate) fn block(self: &Arc<Self>, first: bool, until: Option<Instant>, at: Weak<dyn Wake>) {
        self.block_at(first, until, At::Wake(at));
    }

    fn block_at(self: &Arc<Self>, first: bool, until: Option<Instant>, at: At) {
        let me = self.me();
        let mut turns = self.turns.lock();
        turns.epoch += u64::from(first);
        let since = turns.epoch;
        turns.set(me, Stand::Blocked { since, until, at });
        self.pass(turns, me);
        POLLS.set(0);
        LETS.set(0);
        if me == OWNER {
            self.panic_if_stuck();
        }
    }

    /// Others may go first.
    pub(crate) fn pause(self: &Arc<Self>) {
        let me = self.me();
        let mut turns = self.turns.lock();
        turns.epoch += 1;
        turns.set(me, Stand::Ready);
        self.pass(turns, me);
    }

    fn wait_for_anything(self: &Arc<Self>) {
        let me = self.me();
        let mut turns = self.turns.lock();
        // What it waited for last time does not count.
        turns.set(me, Stand::Ready);
        let until = turns.next_event(&self.hand);
        drop(turns);
        if until.is_none() && LETS.get() < VAIN_POLLS {
            // A body at work that asks now and then waits for nothing; only one that never ends is stuck.
            LETS.set(LETS.get() + 1);
            return self.pause();
        }
        self.block_at(true, until, At::Polling);
    }

    /// Comes back when it is the turn of `me`; at once if that has left.
    fn pass<'a>(self: &'a Arc<Self>, mut turns: MutexGuard<'a, Turns>, me: u64) {
        loop {
            match turns.next(&self.hand) {
                Next::Run(next) if next == me => return,
                Next::Run(next) => {
                    let baton_of = |id| turns.members.get(id).map(|member| member.baton.clone());
                    let (theirs, mine) = (baton_of(&next), baton_of(&me));
                    drop(turns);
                    theirs.into_iter().for_each(|baton| baton.give());
                    mine.into_iter().for_each(|baton| baton.wait());
                    return;
                }
                Next::Ring(due) => {
                    drop(turns);
                    self.ring(due);
                    turns = self.turns.lock();
                }
            }
        }
    }

    /// On a thread of its own, as in life: what is rung may run hooks, and they may wait.
    fn ring(self: &Arc<Self>, due: Vec<Weak<dyn Wake>>) {
        let ring = move || {
            due.iter().filter_map(Weak::upgrade).for_each(Wake::wake);
        };
        if let Err(error) = self.spawn("millhand-deadline".to_owned(), None, ring) {
            log::error!("no thread for the hooks of a deadline ({error}): they do not run");
        }
    }

    fn panic_if_stuck(&self) {
        let mut turns = self.turns.lock();
        if mem::take(&mut turns.stuck) {
            let waits = Waits::of(&turns);
            drop(turns);
            panic!("{}", waits.tell(self.passed()));
        }
    }

    // The threads.

    /// Starts a thread that is one of the simulation's until `f` returns.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        name: String,
        stack_size: Option<usize>,
        f: impl FnOnce() + Send + 'static,
    ) -> io::Result<Enlisted> {
        self.me();
        let baton = Arc::new(Baton::default());
        let id = self.turns.lock().join(&name, baton.clone());
        let mut builder = thread::Builder::new().name(name);
        if let Some(bytes) = stack_size {
            builder = builder.stack_size(bytes);
        }
        let (sim, its_baton) = (self.clone(), baton.clone());
        let started = builder.spawn(move || {
            its_baton.wait();
            ENLISTED.set(Some((sim.clone(), id)));
            sim.note(|_| "starts".to_owned());
            // Also when it unwinds.
            let _leaves = Leaves(sim, id);
            f();
        });
        match started {
            Ok(handle) => {
                // Before it can have a turn: that is the present thread's to give.
                baton.belongs_to(handle.thread().clone());
                let sim = self.clone();
                Ok(Enlisted { sim, id, handle })
            }
            Err(error) => {
                self.turns.lock().members.remove(&id);
                Err(error)
            }
        }
    }

    fn leave(self: &Arc<Self>, me: u64) {
        self.note(|_| "ends".to_owned());
        let mut turns = self.turns.lock();
        turns.members.remove(&me);
        turns.epoch += 1;
        self.pass(turns, me);
    }

    fn has_left(&self, id: u64) -> bool {
        !self.turns.lock().members.contains_key(&id)
    }

    /// A pool is part of it until this is dropped.
    pub(crate) fn pool_begins(self: &Arc<Self>) -> Pool {
        self.change_users(|users| users.pools += 1);
        Pool(self.clone())
    }

    pub(crate) fn let_go(&self) {
        self.change_users(|users| users.is_held = false);
    }

    /// Threads may be left without a pool: those that a shutdown gave up, and that never get a turn again.
    fn change_users(&self, change: impl FnOnce(&mut Users)) {
        let mut users = self.users.lock();
        change(&mut users);
        let is_over = !users.is_held && users.pools == 0;
        self.over.store(is_over, Ordering::Relaxed);
    }

    // The owner's.

    /// Lets the others go on until none of them can without time passing further than `until`.
    pub(crate) fn idle(self: &Arc<Self>, until: Instant) {
        let me = self.me();
        assert!(
            self.hand.reaches(until),
            "the clock of a simulation cannot go on by more than 584 years"
        );
        let mut turns = self.turns.lock();
        turns.epoch += 1;
        turns.set(me, Stand::Idle(until));
        self.pass(turns, me);
        self.turns.lock().set(me, Stand::Ready);
    }

    /// Lets one of the others go on until it gives the turn away; says whether one could.
    pub(crate) fn step(self: &Arc<Self>) -> bool {
        let me = self.me();
        let mut turns = self.turns.lock();
        turns.epoch += 1;
        turns.set(me, Stand::Idle(self.now()));
        let Some(next) = turns.draw(self.now()) else {
            turns.set(me, Stand::Ready);
            return false;
        };
        turns.stepping = true;
        let (theirs, mine) = (
            turns.members[&next].baton.clone(),
            turns.members[&me].baton.clone(),
        );
        drop(turns);
        theirs.give();
        mine.wait();
        self.turns.lock().set(me, Stand::Ready);
        true
    }

    // What is told.

    /// Rings `whom` at `instant`, unless that has passed: then it says so.
    pub(crate) fn call(&self, instant: Instant, whom: Weak<dyn Wake>) -> bool {
        if instant <= self.now() {
            return true;
        }
        self.turns.lock().add_alarm(instant, whom);
        false
    }

    pub(crate) fn note(&self, what: impl FnOnce(&mut dyn FnMut(u64) -> usize) -> String) {
        let me = self.my_number();
        let mut turns = self.turns.lock();
        let what = what(&mut |task| turns.trace.number(task));
        let name = me.and_then(|me| turns.members.get(&me));
        let name = name.map_or_else(|| "elsewhere".into(), |member| member.name.clone());
        turns.trace.add(self.passed(), name, what);
    }

    pub(crate) fn trace(&self) -> Vec<TraceEntry> {
        self.turns.lock().trace.entries()
    }
}

/// A thread of a simulation's.
pub(crate) struct Enlisted {
    sim: Arc<Sim>,
    id: u64,
    handle: JoinHandle<()>,
}

impl Enlisted {
    pub(crate) fn has_left(&self) -> bool {
        self.sim.has_left(self.id)
    }

    /// Waits for its end. It has none of the turns any more when that comes, so no turn is held up by the wait.
    pub(crate) fn join(self) -> thread::Result<()> {
        let mut first = true;
        while !self.has_left() {
            self.sim.block_at(first, None, At::End(self.id));
            first = false;
        }
        self.handle.join()
    }
}

pub(crate) struct Pool(Arc<Sim>);

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.change_users(|users| users.pools -= 1);
    }
}

struct Leaves(Arc<Sim>, u64);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}
