//! Ctrl-C, SIGTERM and SIGHUP: one registration for the process, shared by any number of pools.
//!
//! Layer 7, behind the feature `signals`.
//
// ctrlc runs its handler on a thread of its own, which must always be free to take the next signal: the third one ends
// the process whatever else hangs. So nothing of the user's runs there, not even a logger. The first and second signal
// wake whoever waits, and start threads: one cancels the token, one logs, and one for each pool shuts it down.

use crate::cancel::CancelToken;
use crate::error::PoolError;
use crate::pool::{Core, Shutdown, ShutdownReport, ThreadPool};
use crate::reason::CancelReason;
use crate::seat;
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

/// The process's termination signals, caught: the first asks the program to drain, the second to cancel, the third
/// ends it at once with exit code 130.
///
/// SIGINT (Ctrl-C), SIGTERM and SIGHUP are alike, since the registration does not tell them apart; on Windows, Ctrl-C,
/// Ctrl-Break and closing the console. Installed from the main thread, before the first pool is in use.
///
/// ```no_run
/// use millhand::{Shutdown, Signals, ThreadPool};
///
/// let signals = Signals::install();
/// let pool = ThreadPool::new(4)?;
/// // ... hand work to the pool, then stay until a signal comes:
/// let report = pool.run_until(&signals, Shutdown::drain())?;
/// println!("{report}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Signals {
    shared: &'static Shared,
}

struct Shared {
    state: Mutex<State>,
    came: Condvar,
    token: CancelToken,
}

/// Guarded by `Shared::state`.
#[derive(Default)]
struct State {
    active: bool,
    count: u32,
    subscribers: Vec<Subscriber>,
}

/// A pool that shuts down by itself.
struct Subscriber {
    pool: Weak<Core>,
    how: Shutdown,
}

static SHARED: OnceLock<Shared> = OnceLock::new();

impl Signals {
    /// What a program that was ended by a signal exits with.
    pub const EXIT_CODE: u8 = 130;

    /// Registers for the signals, or joins the registration that there is.
    ///
    /// It never fails: where the system or somebody else has the signals (under `nohup`, in a script's background job,
    /// beside another handler), a warning is logged, [`is_active`](Self::is_active) says no, and the signals do what
    /// they did before. Calling it again tries again.
    ///
    /// ```
    /// let signals = millhand::Signals::install();
    /// let again = millhand::Signals::install();
    /// assert_eq!(signals.is_active(), again.is_active());
    /// assert_eq!(signals.count(), 0);
    /// ```
    pub fn install() -> Self {
        let shared = SHARED.get_or_init(|| Shared {
            state: Mutex::new(State::default()),
            came: Condvar::new(),
            token: CancelToken::new(),
        });
        let mut state = shared.state.lock();
        let mut refused = None;
        if !state.active {
            // `try_`: a handler that somebody else installed, or an order to ignore the signals, is left alone.
            match ctrlc::try_set_handler(|| shared.signal()) {
                Ok(()) => state.active = true,
                Err(error) => refused = Some(error),
            }
        }
        drop(state);
        if let Some(error) = refused {
            log::warn!(
                "signals are not caught, since they are ignored or handled elsewhere already ({error}); they will not shut the pools down"
            );
        }
        Self { shared }
    }

    /// Whether the signals come here.
    pub fn is_active(&self) -> bool {
        self.shared.state.lock().active
    }

    /// How many have come.
    ///
    /// ```
    /// assert_eq!(millhand::Signals::install().count(), 0);
    /// ```
    pub fn count(&self) -> u32 {
        self.shared.state.lock().count
    }

    /// A token that the first signal cancels, with [`CancelReason::Shutdown`]. Tasks put under it are cancelled by that
    /// signal.
    ///
    /// ```
    /// let signals = millhand::Signals::install();
    /// assert!(!signals.token().is_cancelled()); // none has come
    /// ```
    pub fn token(&self) -> CancelToken {
        self.shared.token.clone()
    }

    /// Waits for the first signal; at once if it has come. For ever where the signals do not come here.
    ///
    /// On a worker the seat is given up meanwhile.
    ///
    /// ```no_run
    /// let signals = millhand::Signals::install();
    /// signals.wait();
    /// assert!(signals.count() >= 1);
    /// ```
    pub fn wait(&self) {
        self.wait_for(1);
    }

    /// Waits until `count` signals have come.
    fn wait_for(&self, count: u32) {
        let _left = seat::leave_open();
        let mut state = self.shared.state.lock();
        while state.count < count {
            self.shared.came.wait(&mut state);
        }
    }
}

impl Shared {
    /// On ctrlc's thread.
    fn signal(&'static self) {
        let mut state = self.state.lock();
        state.count = state.count.saturating_add(1);
        let count = state.count;
        let subscribers: Vec<(Arc<Core>, Shutdown)> = state
            .subscribers
            .iter()
            .filter_map(|one| Some((one.pool.upgrade()?, one.how.clone())))
            .collect();
        drop(state);
        if count > 2 {
            std::process::exit(Signals::EXIT_CODE.into());
        }
        self.came.notify_all();
        // A logger may hang (a standard error that nobody reads) or panic; a token's hooks may do either.
        let token = self.token.clone();
        apart("token", move || {
            token.cancel(CancelReason::Shutdown);
        });
        apart("log", move || match count {
            1 => log::warn!("signal: draining; once more cancels"),
            _ => log::warn!("signal: cancelling; once more exits"),
        });
        for (pool, how) in subscribers {
            let how = if count == 1 { how } else { Shutdown::cancel() };
            apart("shutdown", move || shut_down(&pool, &how));
        }
    }
}

/// Runs `f` on a thread of its own. Where the system refuses one, the signal asks for nothing but the exit that the
/// third brings; ctrlc's thread, which may not hang, says nothing about it.
fn apart(what: &str, f: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name(format!("millhand-signal-{what}"));
    drop(thread.spawn(f));
}

fn shut_down(pool: &Core, how: &Shutdown) {
    match pool.shutdown(how) {
        Ok(report) => log::info!("a pool was shut down by a signal: {report}"),
        Err(error) => log::error!("a signal could not shut a pool down: {error}"),
    }
}

impl Core {
    /// Waits until the pool closes.
    fn wait_closed(&self) {
        let _left = seat::leave_open();
        let mut watch = self.quiet.lock();
        self.wait_while(&mut watch, None, |_| !self.is_closed());
    }
}

impl ThreadPool {
    /// Stays here until the first signal, then shuts the pool down as `how` says; the second signal cancels, the third
    /// exits. For a main thread that has nothing else to do.
    ///
    /// Ends without a signal too, when somebody else shuts the pool down. Where the signals do not come here
    /// ([`Signals::is_active`]) that is the only end.
    ///
    /// # Errors
    /// As [`shutdown`](Self::shutdown).
    ///
    /// ```no_run
    /// # use millhand::{Shutdown, Signals, ThreadPool};
    /// let signals = Signals::install();
    /// let pool = ThreadPool::new(4)?;
    /// println!("{}", pool.run_until(&signals, Shutdown::drain())?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run_until(&self, signals: &Signals, how: Shutdown) -> Result<ShutdownReport, PoolError> {
        self.core().may_wait()?;
        // The second signal must reach the pool while this thread waits in the shutdown.
        self.shutdown_on(signals, how.clone());
        self.core().wait_closed();
        self.shutdown(how)
    }

    /// Leaves this thread free: the first signal shuts the pool down as `how` says, in the background; the second
    /// cancels, the third exits.
    ///
    /// A signal that has come already counts. The program learns of the signal by [`Signals::token`] or
    /// [`Signals::count`], of the end by [`shutdown`](Self::shutdown), which waits for what was begun, or by dropping
    /// the pool.
    ///
    /// ```no_run
    /// # use millhand::{Shutdown, Signals, ThreadPool};
    /// let signals = Signals::install();
    /// let pool = ThreadPool::new(4)?;
    /// pool.shutdown_on(&signals, Shutdown::drain());
    /// while signals.count() == 0 { /* this thread's own work */ }
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn shutdown_on(&self, signals: &Signals, how: Shutdown) {
        let core = self.core();
        let mut state = signals.shared.state.lock();
        state.subscribers.retain(|one| one.pool.strong_count() > 0);
        state.subscribers.push(Subscriber {
            pool: Arc::downgrade(core),
            how: how.clone(),
        });
        let count = state.count;
        drop(state);
        if count > 0 {
            let core = core.clone();
            let how = if count == 1 { how } else { Shutdown::cancel() };
            apart("shutdown", move || shut_down(&core, &how));
        }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state.lock();
        f.debug_struct("Signals")
            .field("active", &state.active)
            .field("count", &state.count)
            .finish_non_exhaustive()
    }
}
