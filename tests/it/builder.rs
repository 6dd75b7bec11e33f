//! The options of a pool and of a task: what is refused, and what each one does.

use crate::handle::payload;
use crate::lifecycle::{Census, watched};
use crate::stress::{EXPECTED, silence};
use crate::submit::hold;
use crate::support::must_recv;
use millhand::cancel::CancelReason;
use millhand::pool::{BuildError, PoolBuilder};
use millhand::task::CancelOutcome;
use millhand::{CancelToken, JoinError, OnFull, Retry, Shutdown, TaskError, ThreadPool};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// A panic's payload whose own drop panics, with another one.
pub(crate) struct Grenade(pub(crate) u32);

impl Drop for Grenade {
    fn drop(&mut self) {
        if self.0 > 0 {
            std::panic::panic_any(Grenade(self.0 - 1));
        }
    }
}

impl fmt::Display for Grenade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a grenade")
    }
}

fn is_refused(builder: PoolBuilder, option: &str, text: &str) {
    let error = builder.build().unwrap_err();
    assert_eq!(error.to_string(), text);
    assert!(error.source().is_none());
    match error {
        BuildError::Invalid { option: named, .. } => assert_eq!(named, option),
        other => panic!("refused otherwise: {other}"),
    }
}

#[test]
fn no_workers_are_refused() {
    is_refused(
        ThreadPool::builder().workers(0),
        "workers",
        "the pool's `workers` is not allowed: it must be from 1 to 65,536",
    );
    let error = ThreadPool::new(0).unwrap_err();
    assert!(matches!(error, BuildError::Invalid { .. }));
}

#[test]
fn too_many_workers_are_refused() {
    is_refused(
        ThreadPool::builder().workers(65_537),
        "workers",
        "the pool's `workers` is not allowed: it must be from 1 to 65,536",
    );
}

#[test]
fn a_bound_of_threads_below_the_workers_or_beyond_any_machine_is_refused() {
    for threads in [1, 131_073] {
        is_refused(
            ThreadPool::builder().workers(2).max_threads(threads),
            "max_threads",
            "the pool's `max_threads` is not allowed: it must be at least the number of workers, and at most 131,072",
        );
    }
}

#[test]
fn a_capacity_of_nothing_is_refused() {
    is_refused(
        ThreadPool::builder().workers(1).queue_capacity(0),
        "queue_capacity",
        "the pool's `queue_capacity` is not allowed: it must be at least 1 (leave it out for an unbounded queue)",
    );
}

#[test]
fn a_tiny_stack_is_refused() {
    is_refused(
        ThreadPool::builder().workers(1).stack_size(65_535),
        "stack_size",
        "the pool's `stack_size` is not allowed: it must be at least 65,536 bytes",
    );
}

#[test]
fn a_nul_in_the_name_is_refused() {
    is_refused(
        ThreadPool::builder().workers(1).name_prefix("a\0b"),
        "name_prefix",
        "the pool's `name_prefix` is not allowed: it must be a text without NUL characters",
    );
}

#[test]
fn the_least_that_is_allowed_works() {
    let pool = ThreadPool::builder()
        .workers(1)
        .max_threads(1)
        .queue_capacity(1)
        .stack_size(65_536)
        .name_prefix("")
        .on_full(OnFull::Reject)
        .build()
        .unwrap();
    assert_eq!((pool.workers(), pool.threads()), (1, 1));
    let name = pool.submit(|| std::thread::current().name().map(String::from));
    assert_eq!(name.join().unwrap().as_deref(), Some("-0"));
}

/// More than any address space has.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[test]
fn a_pool_whose_every_thread_the_system_refuses_is_an_error_with_its_cause() {
    let census = Census::new();
    let error = census
        .watch(ThreadPool::builder())
        .workers(2)
        .stack_size(1 << 60)
        .build()
        .unwrap_err();
    assert!(matches!(error, BuildError::Spawn(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the system refused even one worker thread of this `stack_size`"
    );
    assert!(error.source().is_some());
    assert_eq!(census.started(), 0);
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
const SHORT_OF_MEMORY: &str = "MILLHAND_TEST_SHORT_OF_MEMORY";

/// In a copy of this program that may have 4 GiB of addresses: room for some stacks of 256 MiB, and not for 64.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[test]
fn a_pool_that_is_granted_fewer_threads_runs_with_those() {
    let copy = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 4194304 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "builder::the_copy_that_is_short_of_memory"])
        .args(["--nocapture", "--test-threads=1"])
        .env(SHORT_OF_MEMORY, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&copy.stdout);
    let cried = String::from_utf8_lossy(&copy.stderr);
    assert!(
        copy.status.success() && said.contains("1 passed"),
        "{}\n{said}\n{cried}",
        copy.status
    );
}

/// What that copy runs. Nothing when it is not a copy.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[test]
fn the_copy_that_is_short_of_memory() {
    if std::env::var_os(SHORT_OF_MEMORY).is_none() {
        return;
    }
    let census = Census::new();
    let builder = || {
        let builder = census.watch(ThreadPool::builder());
        builder.stack_size(256 << 20)
    };
    let pool = builder().workers(64).build().unwrap();
    let granted = pool.workers();
    assert!((1..64).contains(&granted), "{granted} were granted");
    assert_eq!(pool.threads(), granted);
    let held = hold(&pool, granted);
    let handles: Vec<_> = (0..100).map(|n| pool.submit(move || n)).collect();
    held.release();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), n);
    }
    drop(pool);
    assert_eq!((census.started(), census.live()), (granted, 0));
    // The same for a live pool that grows.
    let pool = builder().workers(1).build().unwrap();
    let grown = pool.set_workers(64).unwrap();
    assert!((1..64).contains(&grown), "{grown} were granted");
    assert_eq!((pool.workers(), pool.threads()), (grown, grown));
    hold(&pool, grown).release();
    drop(pool);
    assert_eq!(census.live(), 0);
    // Larger stacks than before: the C library keeps some of those, which it would give to a thread
    // without asking the system.
    let larger = builder().stack_size(384 << 20).workers(1);
    a_spare_that_was_refused_is_started_later(&larger.build().unwrap());
}

/// Counts what is logged about refused threads.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
struct Refusals(std::sync::Mutex<usize>, std::sync::Condvar);

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
static REFUSALS: Refusals = Refusals(std::sync::Mutex::new(0), std::sync::Condvar::new());

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
impl log::Log for Refusals {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.args().to_string().starts_with("no spare thread") {
            *self.0.lock().unwrap() += 1;
            self.1.notify_all();
        }
    }

    fn flush(&self) {}
}

/// All bodies wait, and nothing else happens in the pool.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn a_spare_that_was_refused_is_started_later(pool: &ThreadPool) {
    log::set_logger(&REFUSALS).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let mut all_memory = Vec::new();
    loop {
        let mut block = Vec::<u8>::new();
        if block.try_reserve_exact(128 << 20).is_err() {
            break;
        }
        all_memory.push(block);
    }
    let me = pool.handle();
    let waits = pool.submit(move || {
        let child = me.submit(|| 7);
        millhand::as_completed([child]).next().unwrap().1.unwrap()
    });
    let refusals = REFUSALS.0.lock().unwrap();
    let none = |refusals: &mut usize| *refusals == 0;
    drop(REFUSALS.1.wait_while(refusals, none).unwrap());
    drop(all_memory);
    assert_eq!(waits.join().unwrap(), 7);
}

#[test]
fn threads_are_named_by_the_prefix_and_their_index() {
    let names = |pool: &ThreadPool| -> BTreeSet<String> {
        let names = pool.broadcast(|| {
            let thread = std::thread::current();
            thread.name().unwrap().to_owned()
        });
        names
            .unwrap()
            .into_iter()
            .map(|name| name.join().unwrap())
            .collect()
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let pool = ThreadPool::builder()
        .workers(3)
        .name_prefix("resize")
        .build()
        .unwrap();
    assert_eq!(names(&pool), set(&["resize-0", "resize-1", "resize-2"]));
    let pool = ThreadPool::new(2).unwrap();
    let expected: BTreeSet<String> = set(&["millhand-0", "millhand-1"]);
    assert_eq!(names(&pool), expected);
}

#[test]
fn the_default_number_of_workers_is_what_the_system_says() {
    let pool = ThreadPool::builder().build().unwrap();
    let parallelism = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(pool.workers(), parallelism);
    assert_eq!(pool.threads(), parallelism);
}

/// 4 KiB a level, at the least.
fn dig(depth: usize) -> usize {
    let mut frame = [0_u8; 4096];
    std::hint::black_box(&mut frame);
    let below = if depth == 0 { 0 } else { dig(depth - 1) };
    std::hint::black_box(&mut frame);
    below + 1
}

#[test]
fn the_stack_is_as_large_as_was_asked_for() {
    // 24 MiB in frames: on the default stack this would end the process.
    let pool = ThreadPool::builder()
        .workers(2)
        .stack_size(64 << 20)
        .build()
        .unwrap();
    let handles: Vec<_> = (0..4).map(|_| pool.submit(|| dig(6 * 1024))).collect();
    for handle in handles {
        assert_eq!(handle.join().unwrap(), 6 * 1024 + 1);
    }
}

thread_local! {
    static READY: Cell<Option<usize>> = const { Cell::new(None) };
}

#[test]
fn the_start_hook_runs_on_each_thread_before_its_first_task() {
    let pool = ThreadPool::builder()
        .workers(3)
        .on_worker_start(|index| READY.set(Some(index)))
        .build()
        .unwrap();
    let workers = pool.broadcast(|| (READY.get(), millhand::current().unwrap().worker()));
    for worker in workers.unwrap() {
        let (told, index) = worker.join().unwrap();
        assert_eq!(told, Some(index));
    }
}

#[test]
fn the_hooks_are_told_each_index_once() {
    let (tell, told) = mpsc::channel();
    let (start, stop) = (tell.clone(), tell);
    let pool = ThreadPool::builder()
        .workers(4)
        .on_worker_start(move |index| start.send(("start", index)).unwrap())
        .on_worker_stop(move |index| stop.send(("stop", index)).unwrap())
        .build()
        .unwrap();
    drop(pool);
    let mut all: Vec<_> = told.iter().collect();
    all.sort_unstable();
    let once = |what| (0..4).map(move |index| (what, index));
    assert!(all.into_iter().eq(once("start").chain(once("stop"))));
}

#[test]
fn the_hooks_run_for_spares_too() {
    let (pool, census) = watched(1);
    let (send, receive) = mpsc::channel();
    let waiting = pool.submit(move || millhand::blocking(|| must_recv(&receive)));
    let sending = pool.submit(move || send.send(5).unwrap());
    assert_eq!(waiting.join().unwrap(), 5);
    sending.join().unwrap();
    drop(pool);
    assert_eq!(census.live(), 0);
}

#[test]
fn the_stop_hook_runs_after_tasks_that_panicked() {
    silence();
    let (pool, census) = watched(2);
    for _ in 0..50 {
        pool.execute(|| panic!("{EXPECTED}"));
    }
    pool.wait_idle().unwrap();
    // A panic takes no worker with it.
    census.wait_for(2, 2);
    drop(pool);
    assert_eq!((census.started(), census.live()), (2, 0));
}

#[test]
fn panicking_hooks_harm_nothing() {
    silence();
    let calls = Arc::new(AtomicUsize::new(0));
    let (start, stop, unread) = (calls.clone(), calls.clone(), calls.clone());
    let pool = ThreadPool::builder()
        .workers(2)
        .on_worker_start(move |_| {
            start.fetch_add(1, SeqCst);
            panic!("{EXPECTED} on start")
        })
        .on_worker_stop(move |_| {
            stop.fetch_add(100, SeqCst);
            std::panic::panic_any(Grenade(3))
        })
        .on_unread(move |_| {
            unread.fetch_add(10_000, SeqCst);
            panic!("{EXPECTED} on a panic")
        })
        .build()
        .unwrap();
    for _ in 0..3 {
        pool.execute(|| panic!("{EXPECTED}"));
    }
    assert_eq!(pool.submit(|| 1).join().unwrap(), 1);
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!((report.succeeded(), report.panicked()), (1, 3));
    assert_eq!(pool.stats().unread, 3);
    drop(pool);
    assert_eq!(calls.load(SeqCst), 30_202);
}

/// What the pool's hook hears, as (message, name, line of submission).
type Heard = (String, Option<String>, u32);

fn listening() -> (ThreadPool, mpsc::Receiver<Heard>) {
    silence();
    let (tell, told) = mpsc::channel();
    let pool = ThreadPool::builder()
        .workers(1)
        .on_unread(move |failure| {
            let JoinError::Task(TaskError::Panicked(panic)) = failure.error() else {
                panic!("{failure}")
            };
            assert_eq!(panic.task(), failure.id());
            let name = failure.name().map(String::from);
            let heard = (panic.message().to_owned(), name, failure.site().line());
            tell.send(heard).unwrap();
        })
        .build()
        .unwrap();
    (pool, told)
}

#[test]
fn a_panic_without_a_handle_is_told() {
    let (pool, told) = listening();
    let line = line!() + 1;
    pool.execute(|| panic!("{EXPECTED} one"));
    let task = pool.task().name("two");
    task.try_execute(|| panic!("{EXPECTED} two")).unwrap();
    assert_eq!(must_recv(&told), (format!("{EXPECTED} one"), None, line));
    let second = must_recv(&told);
    assert_eq!(
        (second.0, second.1.as_deref()),
        (format!("{EXPECTED} two"), Some("two"))
    );
    // A template keeps the hook as long as it lives.
    drop((pool, task));
    assert_eq!(told.iter().count(), 0);
}

#[test]
fn a_panic_is_told_whose_handle_was_dropped_before_it() {
    let (pool, told) = listening();
    let held = hold(&pool, 1);
    drop(pool.submit(|| panic!("{EXPECTED}")));
    held.release();
    must_recv(&told);
    assert_eq!(pool.stats().unread, 1);
}

#[test]
fn a_panic_is_told_whose_handle_is_dropped_after_it_on_the_dropping_thread() {
    let (tell, told) = mpsc::channel();
    silence();
    let pool = ThreadPool::builder()
        .workers(1)
        .on_unread(move |_| tell.send(std::thread::current().id()).unwrap())
        .build()
        .unwrap();
    let handle = pool.submit(|| panic!("{EXPECTED}"));
    handle.wait().unwrap();
    assert_eq!(pool.stats().unread, 0, "it can be read still");
    drop(handle);
    assert_eq!(told.try_recv(), Ok(std::thread::current().id()));
    assert_eq!(pool.stats().unread, 1);
}

#[test]
fn a_panic_that_was_joined_is_not_told() {
    let (pool, told) = listening();
    let explode = || -> () { panic!("{EXPECTED}") };
    pool.submit(explode).join().unwrap_err();
    let handle = pool.submit(explode);
    handle.wait().unwrap();
    handle.try_join().unwrap().unwrap_err();
    let shared = pool.submit(explode).share();
    let second = shared.clone();
    second.join().as_ref().unwrap_err();
    drop((shared, second));
    assert_eq!(pool.stats().unread, 0);
    drop(pool);
    assert_eq!(told.iter().count(), 0);
}

#[test]
fn a_panic_is_told_once_whose_shared_handles_are_all_dropped_unread() {
    let (pool, told) = listening();
    let shared = pool.submit(|| panic!("{EXPECTED}")).share();
    let second = shared.clone();
    shared.wait().unwrap();
    drop(shared);
    assert_eq!(pool.stats().unread, 0);
    drop(second);
    assert_eq!(pool.stats().unread, 1);
    drop(pool);
    assert_eq!(told.iter().count(), 1);
}

#[test]
fn an_error_or_a_refusal_is_told_once_if_no_handle_is_left_to_take_it() {
    let (tell, told) = mpsc::channel();
    let pool = ThreadPool::builder()
        .workers(1)
        .on_unread(move |failure| {
            let why = match failure.error() {
                JoinError::Failed(text) => text.clone(),
                JoinError::Task(TaskError::Rejected(why)) => format!("{why:?}"),
                JoinError::Task(other) => panic!("{other}"),
            };
            assert!(failure.to_string().starts_with("task "), "{failure}");
            tell.send((why, failure.name().map(String::from))).unwrap();
        })
        .build()
        .unwrap();
    let hears = |why: &str, name: Option<&str>| {
        let wanted = (why.to_owned(), name.map(String::from));
        assert_eq!(must_recv(&told), wanted);
    };
    let named = pool.task().name("named");
    let fallible = named.clone().fallible();
    pool.execute_ok(|| Err::<(), _>("one"));
    hears("one", None);
    fallible.try_execute_ok(|| Err::<(), _>("two")).unwrap();
    hears("two", Some("named"));
    let retried = named.retry(Retry::fixed(2, Duration::ZERO));
    let mut attempts = 0;
    retried.execute_ok(move || {
        attempts += 1;
        Err::<(), _>(format!("{attempts} attempts"))
    });
    hears("3 attempts", Some("named"));
    let held = hold(&pool, 1);
    drop(fallible.submit(|| Err::<(), _>("dropped before")));
    held.release();
    hears("dropped before", Some("named"));
    let dropped = fallible.submit(|| Err::<(), _>("dropped after")).share();
    let second = dropped.clone();
    dropped.wait().unwrap();
    drop(dropped);
    assert!(told.try_recv().is_err(), "it can be read still");
    drop(second);
    hears("dropped after", Some("named"));
    // What somebody has taken, and what is a value.
    let taken = fallible.submit(|| Err::<(), _>("taken"));
    assert_eq!(taken.join().unwrap(), Err("taken"));
    drop(pool.submit(|| Err::<(), _>("a value")));

    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!((report.failed(), report.succeeded()), (6, 2), "{report}");
    assert!(told.try_recv().is_err());
    pool.execute(|| ());
    hears("Closed", None);
    fallible.execute_ok(|| Ok::<_, &str>(()));
    hears("Closed", Some("named"));
    drop(pool.submit(|| ()));
    hears("Closed", None);
    // The caller has these.
    pool.try_execute(|| ()).unwrap_err();
    assert!(pool.submit(|| ()).join().unwrap_err().is_rejected());
    assert!(told.try_recv().is_err());
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!((report.rejected(), report.failed()), (4, 6), "{report}");
    assert_eq!(pool.stats().unread, 8, "those that the hook got");
}

#[test]
fn neither_a_cancel_nor_a_checkpoint_is_a_panic() {
    let (pool, told) = listening();
    let held = hold(&pool, 1);
    pool.submit(|| ()).cancel();
    let (start, started) = mpsc::channel();
    let leaving = pool.submit(move || {
        start.send(()).unwrap();
        loop {
            millhand::checkpoint();
            std::thread::yield_now();
        }
    });
    held.release();
    must_recv(&started);
    drop(leaving.cancel_on_drop());
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!((report.cancelled(), report.panicked()), (2, 0));
    assert_eq!(pool.stats().unread, 0);
    drop(pool);
    assert_eq!(told.iter().count(), 0);
}

#[test]
fn unread_panics_are_counted_from_many_threads() {
    silence();
    let pool = ThreadPool::new(3).unwrap();
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for n in 0..100 {
                    let body = || panic!("{EXPECTED}");
                    if n % 2 == 0 {
                        pool.execute(body);
                    } else {
                        drop(pool.submit(body));
                    }
                }
            });
        }
    });
    pool.wait_idle().unwrap();
    assert_eq!(pool.stats().unread, 400);
}

#[test]
fn a_payload_whose_own_drop_panics_harms_nothing() {
    let (pool, told) = listening();
    let explode = || -> () { std::panic::panic_any(Grenade(3)) };
    pool.execute(explode);
    assert_eq!(must_recv(&told).0, "a payload that is not a string");
    drop(pool.submit(explode));
    must_recv(&told);
    // The error carries it to this thread.
    drop(pool.submit(explode).join().unwrap_err());
    let Err(TaskError::Panicked(panic)) = pool.submit(explode).join() else {
        panic!("it panics")
    };
    let grenade = payload(&panic).downcast::<Grenade>().unwrap();
    assert_eq!(grenade.0, 3);
    std::mem::forget(grenade);
    assert!(payload(&panic).is::<String>(), "the message is left");
    assert_eq!(pool.submit(|| 1).join().unwrap(), 1);
    assert_eq!(pool.shutdown(Shutdown::drain()).unwrap().panicked(), 4);
}

#[test]
fn closures_and_values_whose_drop_panics_harm_nothing() {
    silence();
    let pool = ThreadPool::new(1).unwrap();
    let held = hold(&pool, 1);
    let grenade = Grenade(2);
    let unrun = pool.submit(move || std::mem::forget(grenade));
    assert_eq!(unrun.cancel(), CancelOutcome::Settled);
    held.release();
    pool.execute_ok(|| Err::<(), _>(Grenade(2)));
    drop(pool.submit(|| Grenade(2)));
    assert_eq!(pool.submit(|| 1).join().unwrap(), 1);
    assert_eq!(pool.stats().unread, 1, "the error, and no panic");
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!((report.succeeded(), report.panicked()), (3, 0));
    assert_eq!(report.failed(), 1);
    let grenade = Grenade(2);
    let refused = pool.submit(move || std::mem::forget(grenade));
    assert!(matches!(refused.join(), Err(TaskError::Rejected(_))));
}

#[test]
fn a_template_names_all_its_tasks() {
    silence();
    let pool = ThreadPool::new(2).unwrap();
    let task = pool.task().name("draft").name("thumbnail");
    for _ in 0..3 {
        let handle = task.submit(|| millhand::current().unwrap().name().map(String::from));
        assert_eq!(handle.name().as_deref(), Some("thumbnail"));
        assert_eq!(handle.join().unwrap().as_deref(), Some("thumbnail"));
    }
    let fallible = task.clone().fallible().name("other");
    let handle = fallible.submit(|| -> Result<(), &str> { panic!("{EXPECTED}") });
    let Err(TaskError::Panicked(panic)) = handle.join() else {
        panic!("it panics")
    };
    assert_eq!(panic.name(), Some("other"));
    assert!(panic.to_string().contains("`other`"), "{panic}");
    let handle = task.submit(|| ());
    assert_eq!(handle.name().as_deref(), Some("thumbnail"));
    assert_eq!(pool.submit(|| ()).name(), None);
}

#[test]
fn a_template_puts_all_its_tasks_under_its_token() {
    let pool = ThreadPool::new(1).unwrap();
    let held = hold(&pool, 1);
    let token = CancelToken::new();
    let task = pool.task().token(&token);
    let first = task.submit(|| 1);
    let second = task.submit(|| 2);
    let third = task.clone().fallible().submit(|| Ok::<_, &str>(3));
    let other = pool.task().submit(|| 4);
    assert_eq!(first.cancel(), CancelOutcome::Settled);
    assert!(!token.is_cancelled(), "a task's cancel stays with the task");
    assert!(!second.is_finished() && !third.is_finished());
    token.cancel_with(CancelReason::Race);
    assert!(second.is_finished() && third.is_finished());
    held.release();
    assert!(matches!(
        first.join(),
        Err(TaskError::Cancelled(CancelReason::User))
    ));
    assert!(matches!(
        second.join(),
        Err(TaskError::Cancelled(CancelReason::Race))
    ));
    assert!(matches!(
        third.join(),
        Err(TaskError::Cancelled(CancelReason::Race))
    ));
    assert_eq!(other.join().unwrap(), 4);
    // The template serves on, with tasks that are cancelled from the start.
    let late = task.submit(|| 5);
    assert!(matches!(
        late.join(),
        Err(TaskError::Cancelled(CancelReason::Race))
    ));
}

#[test]
fn a_running_task_hears_of_its_template_s_token() {
    let pool = ThreadPool::new(2).unwrap();
    let token = CancelToken::new();
    let task = pool.task().token(&token);
    let (start, started) = mpsc::channel();
    let running = task.submit(move || {
        start.send(()).unwrap();
        millhand::current().unwrap().token().wait().unwrap();
        millhand::check().unwrap_err().reason()
    });
    must_recv(&started);
    token.cancel_with(CancelReason::Scope);
    assert_eq!(running.join().unwrap(), CancelReason::Scope);
}

#[test]
fn only_a_fallible_task_s_error_is_a_failure() {
    let pool = ThreadPool::new(1).unwrap();
    let plain = pool.task().submit(|| Err::<(), _>("no"));
    assert_eq!(plain.join().unwrap(), Err("no"));
    let fallible = pool.task().fallible().submit(|| Err::<(), _>("no"));
    assert_eq!(fallible.join().unwrap(), Err("no"));
    pool.task().fallible().execute_ok(|| Err::<(), _>("no"));
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!((report.succeeded(), report.failed()), (1, 2));
}
