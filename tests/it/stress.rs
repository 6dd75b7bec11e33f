//! Many producers, and everything at once: panics, cancels, dropped handles, a shutdown in the middle.

use crate::builder::Grenade;
use crate::lifecycle::Census;
use crate::support::LONG;
use millhand::cancel::CancelReason;
use millhand::error::Rejection;
use millhand::pool::ShutdownReport;
use millhand::task::CancelOutcome;
use millhand::{JoinError, OnFull, Shutdown, TaskError, TaskHandle, ThreadPool};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Once, mpsc};

/// How the text of a panic begins that a test wants: such a panic prints nothing.
pub(crate) const EXPECTED: &str = "(expected)";

/// Keeps the panics that tests want out of the output. The others speak as ever.
pub(crate) fn silence() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            let expected =
                text.is_some_and(|text| text.starts_with(EXPECTED)) || payload.is::<Grenade>();
            if !expected {
                others(info);
            }
        }));
    });
}

/// Marsaglia's xorshift: small, and the same on every run.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to `end` - 1. The low bits of the next number are not looked at.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }
}

const PRODUCERS: usize = 8;
const EACH: usize = 100_000;
/// How many handles a producer holds before it joins them.
const BATCH: usize = 64;

// What became of a closure. Each is written once.
const NOTHING: u8 = 0;
const RETURNED: u8 = 1;
const PANICKED: u8 = 2;
const UNRUN: u8 = 3;

/// Notes what becomes of each closure.
struct Ledger {
    fates: Vec<AtomicU8>,
}

impl Ledger {
    fn note(&self, at: usize, fate: u8) {
        let before = self.fates[at].swap(fate, SeqCst);
        // On a worker this cannot be asserted: the panic would be the task's own.
        if before != NOTHING {
            eprintln!("closure {at} met fate {before} and then fate {fate}");
            std::process::abort();
        }
    }

    fn fate(&self, at: usize) -> u8 {
        self.fates[at].load(SeqCst)
    }

    fn count(&self, fate: u8) -> u64 {
        self.fates.iter().filter(|f| f.load(SeqCst) == fate).count() as u64
    }
}

/// Goes into a closure, and tells the ledger if that is dropped unrun.
struct Entry {
    ledger: Arc<Ledger>,
    at: usize,
    ran: bool,
}

impl Entry {
    fn new(ledger: &Arc<Ledger>, at: usize) -> Self {
        let ledger = ledger.clone();
        let ran = false;
        Self { ledger, at, ran }
    }

    fn run(mut self, panics: bool) -> usize {
        self.ran = true;
        if panics {
            self.ledger.note(self.at, PANICKED);
            panic!("{EXPECTED} of the stress test");
        }
        self.ledger.note(self.at, RETURNED);
        self.at
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.ran {
            self.ledger.note(self.at, UNRUN);
        }
    }
}

/// What a producer saw.
#[derive(Default)]
struct Seen {
    ok: u64,
    panicked: u64,
    cancelled: u64,
    /// Handles that came back rejected.
    rejected: u64,
    given_back: u64,
    settled_by_cancel: u64,
}

impl Seen {
    fn settle(&mut self, ledger: &Ledger, at: usize, handle: TaskHandle<usize>) {
        let outcome = handle
            .join_timeout(LONG)
            .expect("every handle settles, in time");
        match outcome {
            Ok(value) => {
                assert_eq!((value, ledger.fate(at)), (at, RETURNED));
                self.ok += 1;
            }
            Err(TaskError::Panicked(panic)) => {
                assert!(panic.message().starts_with(EXPECTED));
                assert_eq!(ledger.fate(at), PANICKED);
                self.panicked += 1;
            }
            Err(TaskError::Cancelled(CancelReason::User | CancelReason::Shutdown)) => {
                self.cancelled += 1;
            }
            Err(TaskError::Rejected(Rejection::Closed | Rejection::Full)) => {
                assert_eq!(ledger.fate(at), UNRUN);
                self.rejected += 1;
            }
            Err(other) => panic!("task {at} came out as {other}"),
        }
    }
}

fn produce(pool: &ThreadPool, ledger: &Arc<Ledger>, producer: usize, half: &dyn Fn()) -> Seen {
    let seed = 0x9E37_79B9_7F4A_7C15 ^ (producer as u64 + 1);
    let mut rng = Rng(seed);
    let mut seen = Seen::default();
    let mut held = Vec::with_capacity(BATCH);
    for n in 0..EACH {
        if n == EACH / 2 {
            half();
        }
        let at = producer * EACH + n;
        let entry = Entry::new(ledger, at);
        let panics = rng.below(16) == 0;
        let body = move || entry.run(panics);
        match rng.below(8) {
            0..=2 => held.push((at, pool.submit(body))),
            3 => {
                let handle = pool.submit(body);
                if handle.cancel() == CancelOutcome::Settled {
                    seen.settled_by_cancel += 1;
                }
                held.push((at, handle));
            }
            4 => match pool.try_submit(body) {
                Ok(handle) => drop(handle),
                Err(_) => seen.given_back += 1,
            },
            5 => match pool.submit_timeout(LONG, body) {
                Ok(handle) => drop(handle.cancel_on_drop()),
                Err(_) => seen.given_back += 1,
            },
            6 => {
                let given_back = pool.try_execute(move || assert_eq!(body(), at)).is_err();
                seen.given_back += u64::from(given_back);
            }
            _ => pool.execute(move || assert_eq!(body(), at)),
        }
        if held.len() == BATCH {
            for (at, handle) in held.drain(..) {
                seen.settle(ledger, at, handle);
            }
        }
    }
    for (at, handle) in held {
        seen.settle(ledger, at, handle);
    }
    seen
}

/// All of it on one pool, with a shutdown once every producer is half through.
fn storm(prefix: &str, capacity: Option<(usize, OnFull)>, how: Shutdown) {
    silence();
    let census = Census::new();
    let refusals = Arc::new(AtomicU64::new(0));
    let hook = refusals.clone();
    let mut builder = census
        .watch(ThreadPool::builder())
        .on_unread(move |failure| {
            if let JoinError::Task(TaskError::Rejected(_)) = failure.error() {
                hook.fetch_add(1, SeqCst);
            }
        })
        .workers(4)
        .name_prefix(prefix);
    if let Some((capacity, on_full)) = capacity {
        builder = builder.queue_capacity(capacity).on_full(on_full);
    }
    let pool = builder.build().unwrap();
    let ledger = Arc::new(Ledger {
        fates: (0..PRODUCERS * EACH).map(|_| AtomicU8::new(0)).collect(),
    });
    let (tell, told) = mpsc::channel();
    let all: Vec<Seen> = std::thread::scope(|s| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let (pool, ledger, tell) = (&pool, &ledger, tell.clone());
                s.spawn(move || produce(pool, ledger, producer, &|| tell.send(()).unwrap()))
            })
            .collect();
        // The first is half through: the others are about there, and go on beside the shutdown.
        told.recv_timeout(LONG).unwrap();
        pool.shutdown(how.clone()).unwrap();
        producers.into_iter().map(|p| p.join().unwrap()).collect()
    });
    let report = pool.shutdown(how).unwrap();
    check(&pool, &report, &ledger, &all, refusals.load(SeqCst));
    drop(pool);
    assert_eq!(census.live(), 0, "no thread is left over");
    no_thread_named(prefix);
}

/// `told`: how many refusals the hook was told of, which are those of `execute`.
fn check(pool: &ThreadPool, report: &ShutdownReport, ledger: &Ledger, all: &[Seen], told: u64) {
    let sum = |of: fn(&Seen) -> u64| all.iter().map(of).sum::<u64>();
    assert_eq!(report.rejected(), sum(|seen| seen.rejected) + told);
    let refused = report.rejected() + sum(|seen| seen.given_back);
    assert_eq!(ledger.count(NOTHING), 0, "no closure is forgotten");
    assert_eq!(report.succeeded(), ledger.count(RETURNED));
    assert_eq!(report.panicked(), ledger.count(PANICKED));
    assert_eq!(report.cancelled(), ledger.count(UNRUN) - refused);
    assert_eq!(
        (report.failed(), report.expired(), report.timed_out()),
        (0, 0, 0)
    );
    assert!(report.still_running().is_empty());
    assert!(sum(|seen| seen.ok) <= report.succeeded());
    assert!(sum(|seen| seen.cancelled) <= report.cancelled());
    assert!(sum(|seen| seen.settled_by_cancel) <= sum(|seen| seen.cancelled));
    assert_eq!(
        pool.stats().unread,
        report.panicked() - sum(|seen| seen.panicked) + told,
        "a panic is read by a handle or counted as unread, as a refusal without a handle is"
    );
    // Nothing of this is worth much if one of the kinds did not come about.
    for kind in [
        report.succeeded(),
        report.panicked(),
        report.cancelled(),
        refused,
    ] {
        assert!(kind > 0, "{report}, {refused} refused");
    }
}

/// By the system's own list. A thread that was joined may stand there a moment longer.
fn no_thread_named(prefix: &str) {
    let Ok(_) = std::fs::read_dir("/proc/self/task") else {
        return;
    };
    let begun = std::time::Instant::now();
    loop {
        let names: Vec<String> = std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|name| name.starts_with(prefix))
            .collect();
        if names.is_empty() {
            return;
        }
        assert!(begun.elapsed() < LONG, "left over: {names:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_storm_into_an_unbounded_queue_that_is_drained() {
    storm("storm-a", None, Shutdown::drain());
}

#[test]
fn a_storm_into_an_unbounded_queue_that_is_cancelled() {
    storm("storm-b", None, Shutdown::cancel());
}

#[test]
fn a_storm_into_a_small_queue_whose_running_tasks_finish() {
    storm(
        "storm-d",
        Some((32, OnFull::Block)),
        Shutdown::finish_running(),
    );
}

#[test]
fn a_storm_into_a_small_queue_that_is_cancelled() {
    storm("storm-c", Some((32, OnFull::Block)), Shutdown::cancel());
}
