//! Turning a manual clock, for tests: what the pools that use it do meanwhile.
//!
//! A clock knows no pool, so this is here.

use crate::cancel::blocking;
use crate::clock::{Clock, ManualClock, Monitor};
use crate::pool::core::Core;
use crate::pool::registry;
use crate::pool::worker_state::WorkerState;
use std::sync::Arc;
use std::time::Duration;

/// How long `wait_idle` leaves the pools alone before it looks again.
const PAUSE: Duration = Duration::from_micros(50);

impl ManualClock {
    /// Turns it on by `time`, and hands on all that is due by then: tasks go into the run queues
    /// of their pools, runs of schedules are submitted, the threads that wait for an instant are
    /// woken, and the hooks of tokens whose deadline has passed run here. Returns when that is
    /// done, and does not wait for what it has set off: [`wait_idle`](Self::wait_idle) does.
    ///
    /// # Panics
    /// If the clock cannot hold the instant, after some hundred years.
    ///
    /// ```
    /// use millhand::testing::ManualClock;
    /// use millhand::{Every, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let pool = ThreadPool::builder().workers(1).clock(&clock).build()?;
    /// let minute = Duration::from_secs(60);
    /// let schedule = pool.task().every(Every::new(minute)).run(|| println!("tick"))?;
    /// clock.advance(minute);
    /// assert_eq!(schedule.counts().runs, 1); // it is submitted
    /// pool.wait_idle()?; // and now it has run
    /// assert_eq!(schedule.counts().running, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advance(&self, time: Duration) {
        self.turn(time);
        hand_on(&registry::with_clock(&self.clock()));
    }

    /// Waits until nothing more happens before the clock is turned again: no task of the pools that
    /// use the clock is ready, and each body that has begun has ended or waits. What waits is left
    /// alone, such as a delayed task, a retry, a task at a gate, and a body in a
    /// [`sleep`](crate::sleep) or in [`blocking`](crate::blocking). This differs from
    /// [`ThreadPool::wait_idle`](crate::ThreadPool::wait_idle), which waits until no task is left.
    ///
    /// Blocks, also if the clock is not turned. A body that waits for something outside of the
    /// library counts as one that runs, and this waits for its end. Called by a body, it does not
    /// wait for that body.
    ///
    /// ```
    /// use millhand::task::TaskState;
    /// use millhand::testing::ManualClock;
    /// use millhand::{Retry, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let pool = ThreadPool::builder().workers(1).clock(&clock).build()?;
    /// let minute = Duration::from_secs(60);
    /// let task = pool.task().retry(Retry::fixed(2, minute)).submit(|| Err::<(), _>("the disk is full"));
    /// clock.wait_idle();
    /// assert!(matches!(task.state(), TaskState::Retrying { attempt: 2, .. }));
    /// clock.advance(minute);
    /// clock.wait_idle();
    /// assert!(matches!(task.state(), TaskState::Retrying { attempt: 3, .. }));
    /// clock.advance(minute);
    /// assert_eq!(task.join().unwrap(), Err("the disk is full"));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[doc(alias = "run_until_idle")]
    #[doc(alias = "run_until_stalled")]
    #[doc(alias = "wait_all_tasks_blocked")]
    pub fn wait_idle(&self) {
        let _blocking = blocking::begin();
        let clock = self.clock();
        let pause = Monitor::new(());
        let system = Clock::system();
        while !is_idle(&registry::with_clock(&clock)) {
            let until = system.deadline(PAUSE);
            let what = "the pools of a manual clock";
            pause.wait_while(&mut pause.lock(), &system, until, &what, &mut |()| true);
        }
    }
}

/// Waits until the timers have handed on what is due.
fn hand_on(pools: &[Arc<Core>]) {
    pools.iter().for_each(|pool| pool.timer.wait_for_check());
}

/// Whether nothing happens in any of the pools, and their timers hold nothing that is due.
//
// A pool is still if each of its threads sleeps, or is settled in a wait, and its queue is empty.
// The thread that ends a sleep or a wait says so before the sleeper or waiter goes on. So all are
// still at once if all are still twice, and no thread has left its sleep or wait in between.
// Whatever a task has filed with a timer before that, the timer has looked at it.
fn is_idle(pools: &[Arc<Core>]) -> bool {
    let still = || {
        let pools = pools.iter().map(|pool| pool.turns_if_still());
        pools.collect::<Option<Vec<_>>>()
    };
    let Some(before) = still() else {
        return false;
    };
    hand_on(pools);
    still().is_some_and(|after| before == after)
}

impl Core {
    /// If no thread has anything to do: how many workers sleep, and how often a worker has left its
    /// sleep or its wait.
    fn turns_if_still(self: &Arc<Self>) -> Option<(usize, u64, usize)> {
        if !self.queue.is_empty() {
            // It stays there if no thread may be started for it.
            self.start_spare_if_due();
        }
        let workers = self.workers();
        let turns = workers.iter().map(|worker| worker.still_turns());
        let turns = turns.sum::<Option<usize>>()?;
        let (asleep, departures) = self.queue.asleep();
        let all_sleep = self.run_slots.taken() == asleep;
        let is_empty = self.queue.is_empty() || asleep == 0;
        // The mail of a worker whose body waits stays until that goes on.
        let has_mail = |worker: &Arc<WorkerState>| worker.has_slot() && !worker.mail.is_empty();
        let is_still = all_sleep && is_empty && !workers.iter().any(has_mail);
        is_still.then_some((asleep, departures, turns))
    }
}
