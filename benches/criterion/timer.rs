//! What the timer costs, and how late it is.
//!
//! - A table: what it costs to push, fire and cancel a delayed task while 1,000, 100,000 and
//!   1,000,000 others are pending. Each figure includes a submission or a run, because all tasks
//!   go through the pool. What grows is the timer's share. The pool has a manual clock. The
//!   measured tasks are due before all pending ones: the longest way through the heap.
//! - A table: how late a delayed task begins on an idle pool with the system's clock, beside bare
//!   ways of waiting.
//!
//! `cargo bench --bench timer`, in `benches/criterion/`. Compare figures of one run only: the
//! machine's other work then affects all of them alike.

use crossbeam_channel::{bounded, unbounded};
use millhand::testing::ManualClock;
use millhand::{TaskHandle, ThreadPool};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);

/// How many tasks are pushed, fired or cancelled for one figure.
const ROUND: u32 = 1_000;
const ROUNDS: usize = 15;

/// Random numbers that are good enough to spread instants. They are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // Xorshift: Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8(14), 2003.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A pool with a manual clock, for tasks that are pending in it.
struct Timed {
    clock: ManualClock,
    pool: ThreadPool,
    random: Random,
}

impl Timed {
    fn new() -> Self {
        let clock = ManualClock::new();
        let pool = ThreadPool::builder().workers(1).clock(&clock);
        Self {
            pool: pool.build().unwrap(),
            clock,
            random: Random(0x9e37_79b9_7f4a_7c15),
        }
    }

    /// Submits `count` tasks, due at random within the hour after `from`, and waits until the
    /// timer has them.
    fn push(&mut self, count: u32, from: Duration) -> Vec<TaskHandle<u64>> {
        let handles = (0..count).map(|n| {
            let delay = from + Duration::from_nanos(self.random.below(HOUR.as_nanos() as u64));
            let carried = [u64::from(n); 3]; // 24 bytes
            let task = self.pool.task().delay(delay);
            task.submit(move || carried[0])
        });
        let handles = handles.collect();
        self.caught_up();
        handles
    }

    /// Cancels the tasks and waits until the timer has handled that. Returns the time per task.
    fn cancel(&self, handles: Vec<TaskHandle<u64>>) -> Duration {
        let count = handles.len() as u32;
        let (time, ()) = each(count, || {
            for handle in handles {
                handle.cancel();
            }
            self.caught_up();
        });
        time
    }

    /// Waits until the timer has read all its messages: it fires the last due task after that.
    fn caught_up(&self) {
        let instant = Duration::from_nanos(1);
        let last = self.pool.task().delay(instant).submit(|| ());
        self.clock.advance(instant);
        last.join().unwrap();
    }
}

/// How long `f` takes, divided by `count`.
fn each<R>(count: u32, f: impl FnOnce() -> R) -> (Duration, R) {
    let begun = Instant::now();
    let result = f();
    (begun.elapsed() / count, result)
}

/// A quantile of a sorted list.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    quantile(&times, 0.5)
}

/// Medians, per task.
struct Costs {
    pending: u32,
    fill: Duration,
    push: Duration,
    fire: Duration,
    cancel: Duration,
    cancel_all: Duration,
    /// Bytes.
    memory: Option<f64>,
}

fn costs(pending: u32) -> Costs {
    let mut timed = Timed::new();
    timed.caught_up(); // the pool's threads are running now
    // A small number of tasks is filled quickly, so it is measured more often.
    let fills = (200_000 / pending).clamp(1, 15);
    let (mut filled, mut emptied) = (Vec::new(), Vec::new());
    let fill = |timed: &mut Timed| each(pending, || timed.push(pending, 1_000 * HOUR));
    for _ in 1..fills {
        let (time, handles) = fill(&mut timed);
        filled.push(time);
        emptied.push(timed.cancel(handles));
    }
    let before = resident_memory();
    let (time, held) = fill(&mut timed);
    filled.push(time);
    let memory = before.zip(resident_memory());
    let memory = memory.map(|(before, after)| (after - before) / f64::from(pending));

    let (mut pushes, mut fires, mut cancels) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (push, handles) = each(ROUND, || timed.push(ROUND, HOUR));
        pushes.push(push);
        let (fire, ()) = each(ROUND, || {
            timed.clock.advance(2 * HOUR);
            for handle in handles {
                handle.join().unwrap();
            }
        });
        fires.push(fire);
        let handles = timed.push(ROUND, HOUR);
        cancels.push(timed.cancel(handles));
    }
    emptied.push(timed.cancel(held));
    Costs {
        pending,
        fill: median(filled),
        push: median(pushes),
        fire: median(fires),
        cancel: median(cancels),
        cancel_all: median(emptied),
        memory,
    }
}

/// How many bytes of this process are in memory, if the system has that figure.
fn resident_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024.0 * kib)
}

fn show_costs(counts: &[u32]) {
    // The largest count first. Memory that a smaller count had freed would be used again and not
    // be counted.
    let mut all: Vec<_> = counts.iter().rev().map(|count| costs(*count)).collect();
    let memory = all[0].memory;
    all.reverse();
    println!(
        "nanoseconds per task, and their growth; push, fire and cancel are of {ROUND} tasks due before all pending ones"
    );
    println!(
        "{:<12}{:>15}{:>15}{:>15}{:>15}{:>15}",
        "pending", "fill", "push", "fire", "cancel", "cancel all"
    );
    let first = &all[0];
    for costs in &all {
        let cell = |of: fn(&Costs) -> Duration| {
            let (this, first) = (of(costs).as_nanos(), of(first).as_nanos());
            format!("{this:>7} x {:<4.2}", this as f64 / first as f64)
        };
        println!(
            "{:<12}{:>15}{:>15}{:>15}{:>15}{:>15}",
            costs.pending,
            cell(|costs| costs.fill),
            cell(|costs| costs.push),
            cell(|costs| costs.fire),
            cell(|costs| costs.cancel),
            cell(|costs| costs.cancel_all),
        );
    }
    if let Some(bytes) = memory {
        println!("memory of a pending task and its handle, closure of 24 bytes: {bytes:.0} bytes");
    }
}

/// A way to wait until an instant. Returns how late it woke.
type Wait<'a> = Box<dyn FnMut(Instant) -> Duration + 'a>;

fn show_lateness(samples: usize) {
    let pool = ThreadPool::new(2).unwrap();
    let delayed = |due| {
        let task = pool.task().delay_until(due);
        task.submit(move || due.elapsed()).join().unwrap()
    };

    let left = |due: Instant| due.saturating_duration_since(Instant::now());
    let park = move |due: Instant| {
        while Instant::now() < due {
            thread::park_timeout(left(due));
        }
        due.elapsed()
    };
    let lock = (Mutex::new(()), Condvar::new());
    let condvar = |due: Instant| {
        let mut guard = lock.0.lock().unwrap();
        while Instant::now() < due {
            guard = lock.1.wait_timeout(guard, left(due)).unwrap().0;
        }
        due.elapsed()
    };

    // The least that does the same: one thread waits, and another thread runs the task.
    let (to_timer, timed) = unbounded::<Instant>();
    let (to_worker, ready) = unbounded::<Instant>();
    let (report, reports) = bounded(1);
    let threads = [
        thread::spawn(move || {
            for due in timed {
                park(due);
                to_worker.send(due).unwrap();
            }
        }),
        thread::spawn(move || {
            for due in ready {
                report.send(due.elapsed()).unwrap();
            }
        }),
    ];
    let two_threads = |due| {
        to_timer.send(due).unwrap();
        reports.recv().unwrap()
    };

    let mut ways: Vec<(&str, Wait<'_>)> = vec![
        ("a delayed task", Box::new(delayed)),
        ("park_timeout", Box::new(park)),
        ("Condvar::wait_timeout", Box::new(condvar)),
        ("park_timeout, then another thread", Box::new(two_threads)),
    ];
    let mut late = vec![Vec::new(); ways.len()];
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..samples {
        // The ways take turns, so that the machine's other work affects all of them alike.
        for ((_, wait), late) in ways.iter_mut().zip(&mut late) {
            let delay = Duration::from_micros(1_000 + random.below(19_000));
            late.push(wait(Instant::now() + delay));
        }
    }
    println!("lateness in microseconds, {samples} waits of 1 to 20 ms, one at a time");
    println!("{:<36}{:>10}{:>10}{:>10}", "", "median", "p99", "most");
    for ((name, _), mut late) in ways.iter().zip(late) {
        late.sort();
        let [median, p99, most] = [0.5, 0.99, 1.0].map(|share| {
            let micros = 1e6 * quantile(&late, share).as_secs_f64();
            format!("{micros:.0}")
        });
        println!("{name:<36}{median:>10}{p99:>10}{most:>10}");
    }
    drop(ways);
    drop(to_timer);
    for thread in threads {
        thread.join().unwrap();
    }
}

fn main() {
    // `cargo test` runs this once, with few tasks.
    if std::env::args().any(|arg| arg == "--bench") {
        show_costs(&[1_000, 100_000, 1_000_000]);
        println!();
        show_lateness(500);
    } else {
        show_costs(&[10, 100]);
        show_lateness(2);
    }
}
