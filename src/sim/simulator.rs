//! A simulation: its threads run one at a time, and its time moves only when none of them can go
//! on.
//!
//! The rest of the library reaches it through the clock.
//
// The threads are real, and the code that they run is the same as without a simulation. Each
// thread waits for its turn. The thread that has the turn runs until it comes to a call that may
// wait, and passes the turn on there: to one of the threads that can go on, picked by the seed. So
// a seed has one order of events, and no two threads run at the same time.
//
// A thread waits for a condition that only the thread itself can check. So it is given the turn to
// check the condition again, and passes the turn on if the condition is still false. A thread that
// did more than such a check may have changed what other threads wait for. When it passes the turn
// on, a new *epoch* begins. A thread that checked its condition in an earlier epoch is worth
// another check. When all have checked in the same epoch, no thread can go on before time passes.
// `ClockWaiter::is_blocked` spares most threads the turn: it returns whether the check would fail.
//
//   A thread can go on if it is ready; if it checked its condition in an earlier epoch; or if its
//   deadline has come.
//   If no thread can go on and the owner waits, the clock moves to the earliest deadline or
//   registered instant. If there is none, that is a deadlock: the owner is given the turn, and its
//   call panics with a list of what each thread waits for.
//   If no thread can go on and the owner is idle (`advance`), the same happens, but the clock moves
//   no further than the instant that the owner named.
//
// The owner is the thread that made the simulation. While it has the turn, no other thread runs.
//
// With the scheduler locked, nothing is called that takes a lock.

use crate::panic::{self, Level};
use crate::sim::calls::Calls;
use crate::sim::deadlock::DeadlockReport;
use crate::sim::join::SimJoinHandle;
use crate::sim::scheduler::{Next, OWNER, Scheduler, ThreadState, WaitsFor};
use crate::sim::token::TurnToken;
use crate::sync::waiter::ClockWaiter;
use parking_lot::{Mutex, MutexGuard};
use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

pub(crate) struct Simulator {
    seed: u64,
    /// The next number that orders tasks. Only this simulation uses it, so each run has the same.
    orders: AtomicU64,
    /// Whether the owner's thread is an ordinary one again.
    is_over: AtomicBool,
    pub(super) scheduler: Mutex<Scheduler>,
    users: Mutex<Users>,
    pub(super) calls: Mutex<Calls>,
}

/// What keeps a simulation alive.
struct Users {
    /// Whether the user still has the `Simulation`.
    is_held: bool,
    pools: usize,
}

/// Above all numbers that are used outside of simulations.
const FIRST_ORDER: u64 = 1 << 62;

thread_local! {
    /// The simulation that this thread belongs to, and its id there.
    static THREAD: RefCell<Option<(Arc<Simulator>, u64)>> = const { RefCell::new(None) };
    /// How often this thread called `poll` since it last waited.
    static POLLS: Cell<u32> = const { Cell::new(0) };
    /// How often this thread paused in `poll` because nothing was due.
    static PAUSES: Cell<u32> = const { Cell::new(0) };
}

/// How many simulations were made. While there was none, `current` costs one load.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// A thread that has polled this often waits for what it polls.
const VAIN_POLLS: u32 = 1_000;

/// The simulation that this thread belongs to.
pub(crate) fn current() -> Option<Arc<Simulator>> {
    if MADE.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let thread = THREAD.try_with(|thread| thread.borrow().clone()).ok()??;
    let (sim, _) = thread;
    (!sim.is_over.load(Ordering::Relaxed)).then_some(sim)
}

/// Called where the caller may wait: in a simulation, other threads may run first.
#[inline]
pub(crate) fn pause() {
    if MADE.load(Ordering::Relaxed) > 0 {
        pause_here();
    }
}

#[cold]
fn pause_here() {
    if let Some(sim) = current() {
        sim.pause();
    }
}

/// Called by a thread that checks something it may check again and again. Without a simulation,
/// time passes meanwhile. In one, the thread waits after so many calls, so that time can pass.
pub(crate) fn poll() {
    let Some(sim) = current() else { return };
    let polls = POLLS.get() + 1;
    POLLS.set(polls % VAIN_POLLS);
    if polls == VAIN_POLLS {
        sim.wait_for_anything();
    }
}

impl Simulator {
    /// A simulation that this thread owns. `None` if the thread belongs to one that is not over.
    pub(crate) fn begin(start: Instant, seed: u64) -> Option<Arc<Self>> {
        if current().is_some() {
            return None;
        }
        let token = TurnToken::default();
        token.set_thread(thread::current());
        let sim = Arc::new(Self {
            seed,
            orders: AtomicU64::new(FIRST_ORDER),
            is_over: AtomicBool::new(false),
            scheduler: Mutex::new(Scheduler::new(start, seed, Arc::new(token))),
            users: Mutex::new(Users {
                is_held: true,
                pools: 0,
            }),
            calls: Mutex::new(Calls::default()),
        });
        MADE.fetch_add(1, Ordering::Relaxed);
        THREAD.set(Some((sim.clone(), OWNER)));
        Some(sim)
    }

    pub(crate) fn now(&self) -> Instant {
        self.scheduler.lock().time.now()
    }

    pub(crate) fn passed(&self) -> Duration {
        self.scheduler.lock().passed()
    }

    pub(crate) fn wall(&self) -> SystemTime {
        self.scheduler.lock().time.wall()
    }

    pub(crate) fn set_wall(&self, wall: SystemTime) {
        self.scheduler.lock().time.set_wall(wall);
    }

    /// Registers `waiter`, to be woken at `instant`. Returns whether that is now or in the past:
    /// then it is not registered.
    pub(crate) fn register(&self, instant: Instant, waiter: &Weak<dyn ClockWaiter>) -> bool {
        self.scheduler.lock().time.register(instant, waiter)
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn next_order(&self) -> u64 {
        self.orders.fetch_add(1, Ordering::Relaxed)
    }

    /// The id of this thread here, if it belongs to this simulation.
    pub(super) fn my_id(&self) -> Option<u64> {
        THREAD
            .try_with(|thread| match &*thread.borrow() {
                Some((sim, id)) if std::ptr::eq(&**sim, self) => Some(*id),
                _ => None,
            })
            .unwrap_or(None)
    }

    /// Whether this thread belongs to this simulation.
    pub(crate) fn has_this_thread(&self) -> bool {
        self.my_id().is_some()
    }

    /// The id of this thread.
    ///
    /// # Panics
    /// If this thread does not belong to this simulation.
    pub(crate) fn check_thread(&self) -> u64 {
        match self.my_id() {
            Some(id) => id,
            None => panic!(
                "this thread is not part of the simulation whose pool it uses: only the thread that made the simulation, \
                 and the tasks in it, may submit to its pools and wait for them"
            ),
        }
    }

    // Passing the turn on.

    /// Blocks until the condition is worth checking, or until `until`. `first`: since its last
    /// turn the thread has done something other than to check the condition.
    ///
    /// # Panics
    /// On the owner, if no thread can ever go on.
    pub(crate) fn block(
        self: &Arc<Self>,
        first: bool,
        until: Option<Instant>,
        waiter: Weak<dyn ClockWaiter>,
    ) {
        self.block_on(first, until, WaitsFor::Waiter(waiter));
    }

    pub(crate) fn block_on(self: &Arc<Self>, first: bool, until: Option<Instant>, on: WaitsFor) {
        let me = self.check_thread();
        let mut scheduler = self.scheduler.lock();
        scheduler.epoch += u64::from(first);
        let since = scheduler.epoch;
        scheduler.set(me, ThreadState::Blocked { since, until, on });
        self.pass(scheduler, me);
        POLLS.set(0);
        PAUSES.set(0);
        if me == OWNER {
            self.panic_if_deadlock();
        }
    }

    /// Other threads may run first.
    pub(crate) fn pause(self: &Arc<Self>) {
        let me = self.check_thread();
        let mut scheduler = self.scheduler.lock();
        scheduler.epoch += 1;
        scheduler.set(me, ThreadState::Ready);
        self.pass(scheduler, me);
    }

    fn wait_for_anything(self: &Arc<Self>) {
        let me = self.check_thread();
        let mut scheduler = self.scheduler.lock();
        // The deadline of this thread's last wait does not count.
        scheduler.set(me, ThreadState::Ready);
        let until = scheduler.next_event();
        drop(scheduler);
        if until.is_none() && PAUSES.get() < VAIN_POLLS {
            // A body that computes and polls now and then waits for nothing. Only a body that
            // polls for ever is a deadlock.
            PAUSES.set(PAUSES.get() + 1);
            return self.pause();
        }
        self.block_on(true, until, WaitsFor::Polling);
    }

    /// Gives the turn to the next thread. Returns when it is the turn of `me` again, or at once if
    /// `me` has ended.
    fn pass<'a>(self: &'a Arc<Self>, mut scheduler: MutexGuard<'a, Scheduler>, me: u64) {
        loop {
            match scheduler.next() {
                Next::Run(next) if next == me => return,
                Next::Run(next) => {
                    let threads = &scheduler.threads;
                    let token_of = |id| threads.get(id).map(|thread| thread.token.clone());
                    let (theirs, mine) = (token_of(next), token_of(me));
                    drop(scheduler);
                    theirs.into_iter().for_each(|token| token.give());
                    mine.into_iter().for_each(|token| token.wait());
                    return;
                }
                Next::Wake(due) => {
                    drop(scheduler);
                    self.wake(due);
                    scheduler = self.scheduler.lock();
                }
            }
        }
    }

    /// Wakes what is due, on a thread of its own as without a simulation.
    fn wake(self: &Arc<Self>, due: Vec<Arc<dyn ClockWaiter>>) {
        let wake = Box::new(|| due.into_iter().for_each(ClockWaiter::wake));
        if let Err(error) = self.spawn("millhand-deadline".to_owned(), None, wake) {
            panic::log(
                Level::Error,
                format_args!("no thread for a deadline: {error}"),
            );
        }
    }

    fn panic_if_deadlock(&self) {
        let mut scheduler = self.scheduler.lock();
        if mem::take(&mut scheduler.is_deadlock) {
            let report = DeadlockReport::new(&scheduler);
            drop(scheduler);
            panic!("{}", report.to_text(self.passed()));
        }
    }

    // The threads.

    /// Starts a thread that belongs to the simulation until `f` returns.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        name: String,
        stack_size: Option<usize>,
        f: Box<dyn FnOnce() + Send>,
    ) -> io::Result<SimJoinHandle> {
        self.check_thread();
        let token = Arc::new(TurnToken::default());
        let id = self.scheduler.lock().add(&name, token.clone());
        let mut builder = thread::Builder::new().name(name);
        if let Some(bytes) = stack_size {
            builder = builder.stack_size(bytes);
        }
        let (sim, its_token) = (self.clone(), token.clone());
        let started = builder.spawn(move || {
            its_token.wait();
            THREAD.set(Some((sim.clone(), id)));
            sim.note(&|_| "starts".to_owned());
            // Also when `f` unwinds.
            let _end = EndOnDrop(sim, id);
            f();
        });
        match started {
            Ok(handle) => {
                // The new thread cannot have the turn yet: this thread has it.
                token.set_thread(handle.thread().clone());
                let sim = self.clone();
                Ok(SimJoinHandle::new(sim, id, handle))
            }
            Err(error) => {
                self.scheduler.lock().threads.remove(id);
                Err(error)
            }
        }
    }

    /// The thread with this id ends.
    fn end(self: &Arc<Self>, me: u64) {
        self.note(&|_| "ends".to_owned());
        let mut scheduler = self.scheduler.lock();
        scheduler.threads.remove(me);
        scheduler.epoch += 1;
        self.pass(scheduler, me);
    }

    pub(crate) fn has_ended(&self, id: u64) -> bool {
        !self.scheduler.lock().threads.contains(id)
    }

    /// A pool belongs to the simulation until the guard is dropped.
    pub(crate) fn add_pool(self: &Arc<Self>) -> PoolGuard {
        self.change_users(|users| users.pools += 1);
        PoolGuard(self.clone())
    }

    /// The user has dropped the `Simulation`.
    pub(crate) fn release(&self) {
        self.change_users(|users| users.is_held = false);
    }

    /// Threads may outlive the simulation: those that a shutdown gave up, which get no turn again.
    fn change_users(&self, change: fn(&mut Users)) {
        let mut users = self.users.lock();
        change(&mut users);
        let is_over = !users.is_held && users.pools == 0;
        self.is_over.store(is_over, Ordering::Relaxed);
        drop(users);
        if is_over {
            // No caller can read it any more, but the owner's thread may keep `self` for long.
            mem::take(&mut self.scheduler.lock().trace);
        }
    }

    // For the owner.

    /// Lets the other threads run until none of them can go on before `until` has passed.
    pub(crate) fn run_until(self: &Arc<Self>, until: Instant) {
        let me = self.check_thread();
        let mut scheduler = self.scheduler.lock();
        assert!(
            scheduler.reaches(until),
            "the clock of a simulation cannot go on by more than 584 years"
        );
        scheduler.epoch += 1;
        scheduler.set(me, ThreadState::Idle(until));
        self.pass(scheduler, me);
        self.scheduler.lock().set(me, ThreadState::Ready);
    }

    /// Lets one of the other threads run until it passes the turn on. Returns whether one could.
    pub(crate) fn step(self: &Arc<Self>) -> bool {
        let me = self.check_thread();
        let mut scheduler = self.scheduler.lock();
        scheduler.epoch += 1;
        let now = scheduler.time.now();
        scheduler.set(me, ThreadState::Idle(now));
        let Some(next) = scheduler.pick() else {
            scheduler.set(me, ThreadState::Ready);
            return false;
        };
        scheduler.is_step = true;
        let token_of = |id| scheduler.threads[id].token.clone();
        let (theirs, mine) = (token_of(next), token_of(me));
        drop(scheduler);
        theirs.give();
        mine.wait();
        self.scheduler.lock().set(me, ThreadState::Ready);
        true
    }
}

/// A pool of a simulation.
pub(crate) struct PoolGuard(Arc<Simulator>);

impl Drop for PoolGuard {
    fn drop(&mut self) {
        self.0.change_users(|users| users.pools -= 1);
    }
}

/// Ends a thread of a simulation.
struct EndOnDrop(Arc<Simulator>, u64);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end(self.1);
    }
}
