//! Starting threads and letting them go.
//!
//! Layer 3. Who is due is `seats`' to say.

use crate::error::{Deadlock, TaskError};
use crate::pool::core::Core;
use crate::pool::crew::Desk;
use crate::pool::phase::Phase;
use crate::pool::queue::RunQueue;
use crate::pool::seats::Spare;
use crate::pool::worker;
use crate::spawn::spawn;
use crate::task::TaskRef;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Core {
    /// Starts the workers of a new pool: all that the system grants, if it grants one.
    pub(crate) fn start_workers(self: &Arc<Self>) -> io::Result<()> {
        let wanted = self.options.workers;
        match self.start_threads(wanted) {
            Ok(()) => Ok(()),
            Err((0, error)) => Err(error),
            Err((fewer, error)) => {
                log::warn!("the pool runs with {fewer} of {wanted} workers: {error}");
                self.seats.make_do(fewer);
                Ok(())
            }
        }
    }

    /// Starts `n` threads that are counted already; on a refusal uncounts the rest and says how many were started.
    fn start_threads(self: &Arc<Self>, n: usize) -> Result<(), (usize, io::Error)> {
        for started in 0..n {
            if let Err(error) = self.start_thread() {
                (started..n).for_each(|_| {
                    self.seats.start_failed();
                });
                return Err((started, error));
            }
        }
        Ok(())
    }

    /// Under the crew's lock, so that a thread that leaves at once finds itself in it.
    fn start_thread(self: &Arc<Self>) -> io::Result<()> {
        let mut crew = self.crew.lock();
        let desk = crew.free_desk();
        let (core, its_desk) = (self.clone(), desk.clone());
        let name = format!("{}-{}", self.options.name_prefix, desk.index);
        let stack_size = Some(self.options.stack_size);
        let main = move || worker::main(core, its_desk);
        let thread = spawn(self.clock(), name, stack_size, main)?;
        crew.join(desk, thread);
        Ok(())
    }

    /// Starts a spare thread if one is due. Says whether the caller's wait could never end: none can start, and nobody
    /// is seated.
    pub(crate) fn call_spare(self: &Arc<Self>) -> bool {
        match self.seats.call_spare(|| !self.queue.is_empty()) {
            Spare::NotDue => false,
            Spare::AtBound => {
                if !self.warned_at_bound.swap(true, Ordering::Relaxed) {
                    log::warn!(
                        "work is ready while bodies wait, but no further spare thread may start: all {} threads are there (max_spares is {}; said once)",
                        self.seats.threads(),
                        self.seats.max_spares()
                    );
                }
                false
            }
            Spare::Start => match self.start_thread() {
                Ok(()) => false,
                Err(error) => {
                    log::warn!("no spare thread could be started: {error}");
                    self.seats.start_failed()
                }
            },
        }
    }

    pub(crate) fn deadlock_at_bound(&self) -> TaskError {
        TaskError::WouldDeadlock(Box::new(Deadlock::at_bound(self.seats.max_spares())))
    }

    /// Changes the number of workers of a live pool; gives how many there are now.
    pub(crate) fn resize(self: &Arc<Self>, workers: usize) -> usize {
        self.check_thread();
        if self.phase.get() == Phase::Over {
            return 0;
        }
        let (missing, surplus) = self.seats.resize(workers);
        let mut now = workers;
        if let Err((started, error)) = self.start_threads(missing) {
            now = workers - (missing - started);
            log::warn!("the pool runs with {now} of {workers} workers: {error}");
            self.seats.make_do(now);
        }
        // One look a thread that is too many; a busy one sees it at its next boundary without.
        (0..surplus).for_each(|_| self.queue.push_look());
        // More seats than before may be free now, with work ready.
        self.call_spare();
        now
    }

    /// A worker leaves, if it is one too many or the pool is over; says whether it does.
    ///
    /// Counting it out and taking it off the crew are one step under the crew's lock, as posting mail is: none reaches
    /// a worker that has left, and one that has mail stays until it has read it.
    pub(crate) fn sign_off(&self, desk: &Desk, looking: bool) -> bool {
        let mut crew = self.crew.lock();
        let over = self.phase.get() == Phase::Over;
        if !desk.mail.is_empty() || !self.seats.quit(looking, over) {
            return false;
        }
        let was_last = crew.leave(desk.index);
        drop(crew);
        if over && !was_last {
            self.queue.push_look();
        }
        true
    }

    pub(crate) fn desks(&self) -> Vec<Arc<Desk>> {
        self.crew.lock().desks().cloned().collect()
    }

    /// The tasks whose bodies are on some worker's stack.
    pub(crate) fn running(&self) -> Vec<TaskRef> {
        let desks = self.desks();
        desks.iter().flat_map(|desk| desk.frames.all()).collect()
    }
}
