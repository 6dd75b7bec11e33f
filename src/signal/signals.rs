//! The public type, and what a signal does.
//
// The handler runs on a thread of its own, that of ctrlc or that of `catch`. It must always be free
// to take the next signal: the third signal ends the process even if all else hangs. So the handler
// runs no user code, not even a logger. The first and second signal wake the threads that wait, and
// start threads: one cancels the token, one logs, and one per pool shuts the pool down.

use crate::cancel::CancelToken;
use crate::cancel::blocking;
use crate::panic::{self, Level};
use crate::pool::{Core, Inside, PoolError, Shutdown, StopSource, ThreadPool};
use crate::reason::CancelReason;
use crate::signal::catch::catch;
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

/// Catches the signals that terminate the process, so that its pools can shut down in order: the
/// first signal drains, the second cancels, and the third ends the process at once with exit code
/// 130.
///
/// The signals are SIGINT (Ctrl-C), SIGTERM and SIGHUP; on Windows they are Ctrl-C, Ctrl-Break and
/// the closing of the console. All are handled alike, since the registration does not distinguish
/// them. Install them from the main thread, before the first pool is in use. The guide
/// [`daemons`](crate::guide::daemons) has programs under systemd, in a container and in a script.
///
/// ```no_run
/// use millhand::{Shutdown, Signals, ThreadPool};
///
/// let signals = Signals::install();
/// let pool = ThreadPool::new(4)?;
/// // ... submit tasks, then wait until a signal comes:
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
    /// Notified when a signal has come. Signals come from outside, whatever clock a pool has, so
    /// this is no `Monitor`.
    came: Condvar,
    /// Cancelled by the first signal.
    token: CancelToken,
}

/// Guarded by `Shared::state`.
#[derive(Default)]
struct State {
    /// A signal is caught.
    active: bool,
    /// How many signals have come.
    count: u32,
    subscribers: Vec<Subscriber>,
}

/// A pool that the first signal shuts down.
struct Subscriber {
    pool: Weak<Core>,
    how: Shutdown,
}

static SHARED: OnceLock<Shared> = OnceLock::new();

impl Signals {
    /// The exit code of a process that the third signal ends.
    pub const EXIT_CODE: u8 = 130;

    /// Registers for the signals. If they are registered already, returns another handle of the
    /// same registration.
    ///
    /// A signal that is ignored stays ignored: `nohup` starts a program so with SIGHUP, and `&` in
    /// a script with SIGINT. A signal that another handler of the program has taken before stays
    /// with that, for example SIGHUP to read the configuration again. The other signals are caught
    /// all the same, and the log says which they are: at the level of information, or as a warning
    /// if SIGTERM is not among them.
    ///
    /// Which signals are ignored or taken, Linux alone reports. On other systems of Unix, if SIGINT
    /// or SIGHUP is, only SIGTERM is caught.
    ///
    /// This never fails. If no signal is caught, [`is_active`](Self::is_active) returns false, and
    /// another call tries again.
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
        let mut note = None;
        if !state.active {
            let caught = catch(|| shared.signal());
            state.active = caught.is_any;
            note = caught.note;
        }
        drop(state);
        if let Some((level, text)) = note {
            panic::log(level, format_args!("{text}"));
        }
        Self { shared }
    }

    /// Returns whether at least one of the signals is caught here.
    ///
    /// ```
    /// # fn main() {}
    /// # fn example() {
    /// use millhand::Signals;
    ///
    /// let signals = Signals::install();
    /// if !signals.is_active() {
    ///     eprintln!("no signal will end this program cleanly");
    /// }
    /// # }
    /// ```
    pub fn is_active(&self) -> bool {
        self.shared.state.lock().active
    }

    /// Returns how many signals have come.
    ///
    /// ```
    /// assert_eq!(millhand::Signals::install().count(), 0);
    /// ```
    pub fn count(&self) -> u32 {
        self.shared.state.lock().count
    }

    /// Returns a token that the first signal cancels, with [`CancelReason::Shutdown`]. Give it to
    /// tasks that the first signal is to cancel. Without a pool that
    /// [shuts down on signals](ThreadPool::shutdown_on), the second signal only counts.
    ///
    /// ```
    /// let signals = millhand::Signals::install();
    /// assert!(!signals.token().is_cancelled()); // none has come
    /// ```
    pub fn token(&self) -> CancelToken {
        self.shared.token.clone()
    }

    /// Waits for the first signal. Returns at once if it has come. Never returns if no signal is
    /// caught here.
    ///
    /// A worker that calls this releases its run slot while it waits.
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
        let _blocking = blocking::begin();
        let mut state = self.shared.state.lock();
        while state.count < count {
            self.shared.came.wait(&mut state);
        }
    }
}

impl Shared {
    /// A signal has come. Runs on the thread of the handler.
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
        // A logger may panic, or hang if its output is not read. So may the hooks of a token.
        let token = self.token.clone();
        spawn("token", move || {
            token.cancel_with(CancelReason::Shutdown);
        });
        spawn("log", move || match count {
            // Also without a pool: one may be registered a moment later, and shuts down then, too.
            1 => panic::log(
                Level::Warn,
                format_args!("signal: shutting down; a second signal cancels"),
            ),
            _ => panic::log(
                Level::Warn,
                format_args!("signal: cancelling; a third signal ends the process"),
            ),
        });
        for (pool, how) in subscribers {
            let how = if count == 1 { how } else { Shutdown::cancel() };
            spawn("shutdown", move || shut_down(&pool, &how));
        }
    }
}

/// Runs `f` on a new thread. If the system refuses a thread, `f` does not run, and only the third
/// signal has an effect. Nothing is logged then, since the thread of the handler must not hang.
fn spawn(what: &str, f: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name(format!("millhand-signal-{what}"));
    drop(thread.spawn(f));
}

fn shut_down(pool: &Core, how: &Shutdown) {
    if let Err(error) = pool.shutdown_by_signal(how) {
        pool.log(
            Level::Error,
            format_args!("a signal could not shut a pool down: {error}"),
        );
    }
}

impl StopSource for Signals {
    fn wait_with(&self, pool: &ThreadPool, how: &Shutdown, _: Inside) -> Result<(), PoolError> {
        // The second signal must reach the pool while this thread waits in the shutdown.
        pool.shutdown_on(self, how.clone());
        pool.core().wait_closed(&|| false)
    }
}

impl ThreadPool {
    /// Lets signals shut the pool down in the background, while this thread does other work. The
    /// first signal shuts the pool down as `how` says, the second cancels, and the third ends the
    /// process.
    ///
    /// A signal that came before this call counts, too. To learn of a signal, use
    /// [`Signals::token`] or [`Signals::count`]. To wait for the end, call
    /// [`shutdown`](Self::shutdown), which waits for the shutdown in progress, or drop the pool.
    ///
    /// ```no_run
    /// # use millhand::{Shutdown, Signals, ThreadPool};
    /// let signals = Signals::install();
    /// let pool = ThreadPool::new(4)?;
    /// pool.shutdown_on(&signals, Shutdown::drain());
    /// while signals.count() == 0 { /* the work of this thread */ }
    /// # Ok::<(), millhand::pool::BuildError>(())
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
            spawn("shutdown", move || shut_down(&core, &how));
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
