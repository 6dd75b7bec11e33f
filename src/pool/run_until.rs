//! Waiting for a pool from outside: until it is idle, or until the program is asked to end.

use crate::cancel::CancelToken;
use crate::cancel::blocking::{self, Interrupt};
use crate::clock;
use crate::pool::core::Core;
use crate::pool::error::PoolError;
use crate::pool::pool::ThreadPool;
use crate::pool::report::ShutdownReport;
use crate::pool::shutdown_options::Shutdown;
use std::sync::Arc;
use std::time::Instant;

/// What ends [`ThreadPool::run_until`]: a [`CancelToken`], or `Signals` with the feature `signals`.
#[doc(hidden)]
pub trait StopSource {
    /// Waits until the program is asked to end, or the pool is closed.
    #[doc(hidden)]
    fn wait_with(&self, pool: &ThreadPool, how: &Shutdown, _: Inside) -> Result<(), PoolError>;
}

/// Without a path outside of this crate, so that no other crate implements [`StopSource`].
#[derive(Debug)]
pub struct Inside(());

impl StopSource for CancelToken {
    fn wait_with(&self, pool: &ThreadPool, _: &Shutdown, _: Inside) -> Result<(), PoolError> {
        let core = pool.core().clone();
        // It takes the lock of the pool's life. No token is cancelled with that held.
        let _hook = self.on_cancel_light(move |_| core.lifecycle.notify_all());
        pool.core().wait_closed(&|| self.reason().is_some())
    }
}

impl Core {
    /// Stops the intake for good. What is not due stays, unless a shutdown cancels it.
    pub(crate) fn stop_intake(&self) {
        self.check_thread();
        if !self.is_foreign() {
            self.begin(&Shutdown::drain().including_delayed());
            self.notify_if_idle();
        }
    }

    /// Shuts the pool down for a signal, on a thread of the library. Logs the report if this call
    /// has closed the pool: otherwise another signal or the program, which began it, has it.
    #[cfg(feature = "signals")]
    pub(crate) fn shutdown_by_signal(&self, how: &Shutdown) -> Result<(), PoolError> {
        let ended = self.shutdown_unless(how, self.clock(), &|| false)?;
        for (report, _) in ended.iter().filter(|(_, has_closed)| *has_closed) {
            self.log_report("shut down by a signal", report);
        }
        Ok(())
    }

    /// Waits until the pool is idle, or until `deadline`. Returns whether it is idle.
    pub(crate) fn wait_idle(
        self: &Arc<Self>,
        deadline: Option<Instant>,
    ) -> Result<bool, PoolError> {
        clock::pause();
        let core = self.clone();
        let interrupt = Interrupt::here(move || core.lifecycle.notify_all());
        let _blocking = blocking::begin();
        let has_come = || interrupt.has_come();
        let is_idle = self.lifecycle.wait_idle(self.clock(), deadline, &has_come);
        match interrupt.stopped() {
            Some(stopped) if !is_idle => Err(PoolError::Interrupted(stopped)),
            _ => Ok(is_idle),
        }
    }

    /// Waits until the pool closes, or until `has_come` returns true, unless the body that waits is
    /// asked to stop.
    pub(crate) fn wait_closed(&self, has_come: &dyn Fn() -> bool) -> Result<(), PoolError> {
        clock::pause();
        let core = self.me.clone();
        let interrupt = Interrupt::here(move || {
            if let Some(core) = core.upgrade() {
                core.lifecycle.notify_all();
            }
        });
        let _blocking = blocking::begin();
        let mut watch = self.lifecycle.lock();
        let mut is_over = false;
        let lifecycle = &self.lifecycle;
        lifecycle.wait_while(&mut watch, self.clock(), None, &mut |_| {
            is_over = self.is_closed() || has_come();
            !is_over && !interrupt.has_come()
        });
        drop(watch);
        match interrupt.stopped() {
            Some(stopped) if !is_over => Err(PoolError::Interrupted(stopped)),
            _ => Ok(()),
        }
    }
}

impl ThreadPool {
    /// Waits until the program is asked to end, and then shuts the pool down as `how` says. Use it
    /// on a main thread that has nothing else to do. The guide [`daemons`](crate::guide::daemons)
    /// has whole programs.
    ///
    /// `stop` is what asks, by reference:
    ///
    /// - `Signals`, with the default feature `signals`: Ctrl-C, SIGTERM and SIGHUP. The second
    ///   signal cancels, and the third ends the process. If no signal is caught here
    ///   (`Signals::is_active`), only another shutdown ends the wait.
    /// - A [`CancelToken`], for all else: the handler of another signal crate, the window of a
    ///   program, a service manager, the end of the input. Cancel it, or give it a deadline. If it
    ///   is cancelled already, the shutdown begins at once.
    ///
    /// It also returns without being asked, after the pool was shut down or
    /// [closed](Self::close) in another way.
    ///
    /// # Errors
    /// The same as [`shutdown`](Self::shutdown). If the task of another pool that waits is asked to
    /// stop before the program is, the pool stays open.
    ///
    /// ```
    /// use millhand::{CancelToken, Shutdown, ThreadPool};
    ///
    /// let quit = CancelToken::new();
    /// let pool = ThreadPool::new(4)?;
    /// pool.execute(|| println!("served"));
    /// let button = quit.clone();
    /// std::thread::spawn(move || button.cancel());
    /// let report = pool.run_until(&quit, Shutdown::drain())?;
    /// assert_eq!(report.succeeded(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_until(
        &self,
        stop: &impl StopSource,
        how: Shutdown,
    ) -> Result<ShutdownReport, PoolError> {
        self.core().may_wait()?;
        stop.wait_with(self, &how, Inside(()))?;
        self.shutdown(how)
    }
}
