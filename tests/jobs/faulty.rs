//! A storage that fails: before a call, or after it, so that only the answer is lost.

use millhand::CancelToken;
use millhand::jobs::{
    Batch, Counts, Exchange, Exchanged, Facts, Fate, Fault, Filter, Heartbeat, JobId, JobInfo,
    JobsError, JobsErrorKind, Notifier, Page, Placed, Pulse, QueueChange, QueueSettings,
    ScheduleChange, Session, SessionId, SessionInfo, Storage, StoredSchedule, StoredTime, Swept,
    Tick, Watching,
};
use millhand::task::CancelOutcome;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Faulty<S> {
    inner: S,
    /// So many of a hundred calls fail before, and as many after the inner one.
    percent: Arc<AtomicU64>,
    drawn: Arc<AtomicU64>,
    pub(crate) failed: Arc<AtomicU64>,
    /// Every call of this method fails, while it is set.
    broken: Arc<Mutex<Option<&'static str>>>,
    /// Calls of this method panic, while it is set.
    panicking: Arc<Mutex<Option<&'static str>>>,
    /// Calls of this method take so long, while it is set.
    slow: Arc<Mutex<Option<(&'static str, Duration)>>>,
}

impl<S: Storage> Faulty<S> {
    pub(crate) fn new(inner: S, percent: u64) -> Self {
        Self {
            inner,
            percent: Arc::new(AtomicU64::new(percent)),
            drawn: Arc::default(),
            failed: Arc::default(),
            broken: Arc::default(),
            panicking: Arc::default(),
            slow: Arc::default(),
        }
    }

    /// Has every call of this method fail.
    pub(crate) fn breaking(self, method: &'static str) -> Self {
        self.set_broken(Some(method));
        self
    }

    pub(crate) fn set_broken(&self, method: Option<&'static str>) {
        *self.broken.lock().unwrap() = method;
    }

    pub(crate) fn set_slow(&self, slow: Option<(&'static str, Duration)>) {
        *self.slow.lock().unwrap() = slow;
    }

    pub(crate) fn set_panicking(&self, method: Option<&'static str>) {
        *self.panicking.lock().unwrap() = method;
    }

    pub(crate) fn set_percent(&self, percent: u64) {
        self.percent.store(percent, SeqCst);
    }

    fn call<T>(
        &self,
        method: &str,
        f: impl FnOnce(&S) -> Result<T, JobsError>,
    ) -> Result<T, JobsError> {
        if *self.broken.lock().unwrap() == Some(method) {
            return Err(JobsError::new(JobsErrorKind::Other, "broken"));
        }
        let panicking = *self.panicking.lock().unwrap();
        assert_ne!(panicking, Some(method), "it panics");
        let slow = *self.slow.lock().unwrap();
        if let Some((_, time)) = slow.filter(|(slow, _)| *slow == method) {
            let _ = CancelToken::new().wait_timeout(time);
        }
        // splitmix64
        let mut n = self.drawn.fetch_add(0x9E37_79B9_7F4A_7C15, SeqCst);
        n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let (drawn, percent) = ((n ^ (n >> 31)) % 100, self.percent.load(SeqCst));
        if drawn >= 2 * percent {
            return f(&self.inner);
        }
        self.failed.fetch_add(1, SeqCst);
        if drawn >= percent {
            f(&self.inner)?;
        }
        Err(JobsError::new(JobsErrorKind::Unreachable, "cut off"))
    }
}

macro_rules! delegate {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl<S: Storage> Storage for Faulty<S> {
            $(fn $name(&self, $($arg: $type),*) -> Result<$answer, JobsError> {
                self.call(stringify!($name), |inner| inner.$name($($arg),*))
            })*

            fn facts(&self) -> Result<Facts, JobsError> {
                Ok(Facts { repeats: true, ..self.inner.facts()? })
            }
        }
    };
}

delegate! {
    fn now() -> StoredTime;
    fn enqueue(batch: &Batch<'_>) -> Vec<Placed>;
    fn open_session(info: &SessionInfo, lease: Duration) -> SessionId;
    fn heartbeat(sign: &Heartbeat<'_>) -> Pulse;
    fn close_session(session: SessionId) -> u64;
    fn exchange(exchange: &Exchange<'_>) -> Exchanged;
    fn sweep(most: usize) -> Swept;
    fn register_schedule(name: &str, rule: &str) -> StoredSchedule;
    fn tick(tick: &Tick<'_>) -> bool;
    fn cancel(id: JobId) -> CancelOutcome;
    fn outcome(id: JobId) -> Fate;
    fn parents(id: JobId) -> Vec<(JobId, Fate)>;
    fn watch(id: JobId, notifier: &Notifier, patience: Duration) -> Watching;
    fn subscribe(queues: &[&str], notifier: &Notifier) -> Watching;
    fn watch_session(session: SessionId, notifier: &Notifier) -> Watching;
    fn queue(name: &str) -> QueueSettings;
    fn set_queue(name: &str, change: QueueChange) -> ();
    fn counts() -> Counts;
    fn list(filter: &Filter, page: Page) -> Vec<JobInfo>;
    fn retry_dead(filter: &Filter, most: usize) -> u64;
    fn purge(filter: &Filter, most: usize) -> u64;
    fn schedules() -> Vec<StoredSchedule>;
    fn set_schedule(name: &str, change: ScheduleChange) -> bool;
    fn sessions() -> Vec<Session>;
    fn check(mends: bool) -> Vec<Fault>;
}
