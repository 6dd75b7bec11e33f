//! The books of the soak: what is counted, and what must be true of it. A broken one ends the
//! program.

use std::process::exit;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Numbers of splitmix64, all from one seed.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `n` - 1.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn micros(&mut self, most: u64) -> Duration {
        Duration::from_micros(1 + self.below(most))
    }
}

/// Ends the program if this is not true of the books.
macro_rules! check {
    ($books:expr, $is_true:expr, $($text:tt)+) => {
        let is_true: bool = $is_true;
        if !is_true {
            $books.broken(&format!($($text)+));
        }
    };
}
pub(crate) use check;

#[derive(Default)]
pub(crate) struct Books {
    seed: u64,
    /// Closures that were given to the library, and those that it has dropped.
    pub(crate) made: AtomicU64,
    pub(crate) dropped: AtomicU64,
    /// Bodies that have returned or unwound.
    pub(crate) ran: AtomicU64,
    /// Tasks whose end is watched, and those that have ended.
    pub(crate) watched: AtomicU64,
    pub(crate) settled: AtomicU64,
}

impl Books {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            seed,
            ..Self::default()
        })
    }

    pub(crate) fn broken(&self, what: &str) -> ! {
        eprintln!("broken with seed {}: {what}", self.seed);
        exit(1)
    }

    pub(crate) fn alive(&self) -> u64 {
        // In this order: a closure that is made in between does not count.
        let dropped = self.dropped.load(SeqCst);
        self.made.load(SeqCst).saturating_sub(dropped)
    }

    pub(crate) fn unsettled(&self) -> u64 {
        let settled = self.settled.load(SeqCst);
        self.watched.load(SeqCst).saturating_sub(settled)
    }
}

/// Lies in a closure that is given to the library, and counts its drop.
pub(crate) struct Closure(Arc<Books>);

impl Closure {
    pub(crate) fn new(books: &Arc<Books>) -> Self {
        books.made.fetch_add(1, SeqCst);
        Self(books.clone())
    }

    pub(crate) fn books(&self) -> &Books {
        &self.0
    }

    /// The body runs until this is dropped.
    pub(crate) fn runs(&self) -> impl Drop + use<> {
        Ran(self.0.clone())
    }
}

impl Drop for Closure {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, SeqCst);
    }
}

struct Ran(Arc<Books>);

impl Drop for Ran {
    fn drop(&mut self) {
        self.0.ran.fetch_add(1, SeqCst);
    }
}

/// How many bodies are behind a gate at once. It must never be more than its permits.
pub(crate) struct AtOnce {
    books: Arc<Books>,
    what: &'static str,
    permits: u32,
    now: AtomicU32,
}

impl AtOnce {
    pub(crate) fn new(books: &Arc<Books>, what: &'static str, permits: u32) -> Arc<Self> {
        Arc::new(Self {
            books: books.clone(),
            what,
            permits,
            now: AtomicU32::new(0),
        })
    }

    /// To be dropped before the permit is.
    pub(crate) fn enter(&self) -> Inside<'_> {
        let now = 1 + self.now.fetch_add(1, SeqCst);
        let Self {
            books,
            what,
            permits,
            ..
        } = self;
        check!(
            books,
            now <= *permits,
            "{now} at once behind `{what}` of {permits} permits"
        );
        Inside(self)
    }
}

pub(crate) struct Inside<'a>(&'a AtOnce);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, SeqCst);
    }
}

/// What has started behind a rate limiter. It must never be more than the rates of the whole run
/// and the burst allow.
pub(crate) struct Starts {
    books: Arc<Books>,
    what: &'static str,
    started: AtomicU64,
    allowed: Mutex<Allowed>,
}

struct Allowed {
    /// Until `since`, the burst included.
    before: f64,
    since: Instant,
    per_second: f64,
}

impl Starts {
    /// Before the limiter is made, so that no token is older.
    pub(crate) fn new(
        books: &Arc<Books>,
        what: &'static str,
        per_second: f64,
        burst: f64,
    ) -> Arc<Self> {
        let allowed = Allowed {
            before: burst,
            since: Instant::now(),
            per_second,
        };
        Arc::new(Self {
            books: books.clone(),
            what,
            started: AtomicU64::new(0),
            allowed: Mutex::new(allowed),
        })
    }

    pub(crate) fn count(&self, weight: u32) {
        self.started.fetch_add(u64::from(weight), SeqCst);
    }

    /// `set` changes the rate at some moment while it runs: both rates are allowed meanwhile.
    pub(crate) fn change(&self, per_second: u32, set: impl FnOnce()) {
        let mut allowed = self.allowed.lock().unwrap();
        let begun = Instant::now();
        set();
        allowed.before += allowed.per_second * allowed.since.elapsed().as_secs_f64();
        allowed.since = begun;
        allowed.per_second = per_second.into();
    }

    pub(crate) fn check(&self) {
        let allowed = self.allowed.lock().unwrap();
        let started = self.started.load(SeqCst);
        // After `started` was read, so that it is not behind.
        let now = allowed.before + allowed.per_second * allowed.since.elapsed().as_secs_f64();
        let Self { books, what, .. } = self;
        check!(
            books,
            started as f64 <= now + 1.0,
            "{started} starts behind `{what}` of {now:.1}"
        );
    }
}
