//! Every feature of the library at once, for as long as wanted, with books that must be right:
//!
//! ```text
//! cargo run --release --example soak -- [--seconds N] [--seed S]
//! cargo run --release --example soak -- backlog
//! ```
//!
//! The first form prints a line of figures per second. Threads from outside submit tasks of all
//! kinds, chosen by the seed; the system chooses the order in which they run, so a seed does not
//! repeat a run. More bodies wait at once than the bound of threads allows, and tens of thousands
//! of tasks wait at rate limiters. The second form has a hundred thousand tasks, and a tree of as
//! many, whose bodies wait for their children by each kind of wait, with few threads.
//!
//! The exit code is 0 if all books are right, 1 if one is broken, and 2 for bad arguments.

mod backlog;
mod books;
mod waits;
mod work;

use books::{Books, Closure, Rng, check};
use millhand::schedule::{Overlap, Schedule};
use millhand::{CancelToken, Every, Shutdown, TaskHandle, ThreadPool};
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};
use work::{Does, MAX_WORKERS, SPARES, Soak};

const USAGE: &str = "usage: soak [--seconds N] [--seed S] | soak backlog";
const SECOND: Duration = Duration::from_secs(1);
const CLIENTS: u64 = 4;

/// How many tasks wait in the long lines, about.
const LINES: usize = 40_000;

/// Submitters pause where so many tasks have not ended.
const MOST_ALIVE: u64 = 100_000;

/// Threads beyond the bound. At the bound one more starts where no body runs and a body has
/// submitted a task. If the body of that task waits, too, another may start, and so on: each thread
/// within the bound may have a body with four children, and one of them may go deeper.
const BEYOND: usize = 4 * (MAX_WORKERS + SPARES) + 4;

/// Without an end of any task for so long, the pool stands still. A busy machine may stop the whole
/// program for some seconds.
const STANDSTILL: u64 = 10;

fn main() -> ExitCode {
    let mut seconds = 60;
    let mut seed = 1;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let number = |text: Option<String>| text?.parse::<u64>().ok();
        let wanted = match argument.as_str() {
            "backlog" => return backlog::run(),
            "--seconds" => &mut seconds,
            "--seed" => &mut seed,
            _ => return usage(),
        };
        match number(arguments.next()) {
            Some(n) => *wanted = n,
            None => return usage(),
        }
    }
    match soak(Duration::from_secs(seconds), seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn soak(time: Duration, seed: u64) -> Result<(), Box<dyn Error>> {
    let books = Books::new(seed);
    count_panics(&books);
    let (soak, pool, second) = Soak::new(&books)?;
    let (stop, over) = (AtomicBool::new(false), AtomicBool::new(false));

    let unread = thread::scope(|s| {
        let monitor = s.spawn(|| watch(&soak, &pool, &over));
        let client = |n| {
            let rng = Rng::new(seed.wrapping_mul(CLIENTS).wrapping_add(n));
            let (soak, pool, second, stop) = (&soak, &pool, &second, &stop);
            let (held, schedules) = Default::default();
            let client = Client {
                soak,
                pool,
                second,
                rng,
                held,
                schedules,
            };
            s.spawn(move || client.run(stop))
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        thread::sleep(time);
        stop.store(true, SeqCst);
        // A client may wait for a task of low priority, while more runs of its schedules are due
        // than one worker can do.
        pool.set_workers(MAX_WORKERS).unwrap();
        let held = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        let held: Vec<_> = held.collect();

        // What is queued runs to its end, whatever it waits for.
        let drain = Shutdown::drain()
            .including_delayed()
            .give_up_after(60 * SECOND);
        for pool in [&pool, &second] {
            let report = pool.shutdown(drain.clone()).unwrap();
            println!("{report}");
            check!(books, report.is_clean(), "the shutdown lost work");
        }
        over.store(true, SeqCst);
        monitor.thread().unpark();
        held
    });
    close(&soak, unread);
    println!("all books are right");
    Ok(())
}

/// No panic is meant but those of `Soak::work`, which do not call the hook, and those of a map whose
/// tasks the closed pool refuses.
fn count_panics(books: &Arc<Books>) {
    let books = books.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.to_string();
        check!(books, text.contains("was not run to its end"), "{text}");
    }));
}

/// Checks the books each second, and prints a line.
fn watch(soak: &Soak, pool: &ThreadPool, over: &AtomicBool) {
    let books = &soak.books;
    let (begun, mut most) = (Instant::now(), 0);
    let (mut last, mut still, mut second) = (0, 0, 1);
    println!("seconds    ended  unended   queued at gates  threads     most       rss");
    while !over.load(SeqCst) {
        let threads = pool.threads();
        most = most.max(threads);
        let bound = MAX_WORKERS + SPARES;
        check!(
            books,
            threads <= bound + BEYOND,
            "{threads} threads, bound {bound}"
        );
        if begun.elapsed() < second * SECOND {
            thread::park_timeout(Duration::from_millis(2));
            continue;
        }
        soak.limiters().iter().for_each(|rate| rate.starts.check());
        let ran = books.ran.load(SeqCst);
        println!(
            "{second:>7} {:>8} {:>8} {:>8} {:>8} {threads:>8} {most:>8} {:>9}",
            ran - last,
            books.alive(),
            pool.queued(),
            soak.waiting(),
            resident().unwrap_or_default(),
        );
        still = if ran == last { still + 1 } else { 0 };
        check!(books, still < STANDSTILL, "no body has ended for {still} s");
        (last, second) = (ran, second + 1);
    }
}

/// The books at the end.
fn close(soak: &Soak, held: Vec<TaskHandle<u64>>) {
    let books = &soak.books;
    for handle in held {
        let id = handle.id();
        match handle.try_join() {
            Ok(outcome) => drop(soak.value(outcome)),
            Err(_) => books.broken(&format!("task {id} has not settled")),
        }
    }
    for rate in soak.limiters() {
        rate.starts.check();
    }
    let (waiting, unsettled) = (soak.waiting(), books.unsettled());
    check!(books, waiting == 0, "{waiting} wait at gates");
    check!(books, unsettled == 0, "{unsettled} tasks have not settled");
    for (gate, permits) in soak.semaphores() {
        let free = gate.available();
        check!(
            books,
            free == permits,
            "{free} of {permits} permits are free"
        );
    }
    let (made, dropped) = (books.made.load(SeqCst), books.dropped.load(SeqCst));
    check!(
        books,
        made == dropped,
        "{made} closures were made, and {dropped} dropped"
    );
    println!(
        "{made} closures, {} watched tasks",
        books.watched.load(SeqCst)
    );
}

/// The memory of the process, where the system says it.
fn resident() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(format!("{} MiB", kib / 1024))
}

/// A thread from outside.
struct Client<'a> {
    soak: &'a Arc<Soak>,
    pool: &'a ThreadPool,
    second: &'a ThreadPool,
    rng: Rng,
    held: Vec<TaskHandle<u64>>,
    schedules: Vec<Schedule>,
}

impl Client<'_> {
    /// Returns the handles that it has kept.
    fn run(mut self, stop: &AtomicBool) -> Vec<TaskHandle<u64>> {
        while !stop.load(SeqCst) {
            self.step();
            while self.soak.books.alive() > MOST_ALIVE && !stop.load(SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        self.schedules
            .iter()
            .for_each(|schedule| _ = schedule.cancel());
        self.held
    }

    fn step(&mut self) {
        let Self {
            soak,
            pool,
            rng,
            held,
            ..
        } = self;
        match rng.below(100) {
            0..20 => soak.execute(rng, Does::Work),
            20..30 => drop(soak.value(soak.submit(rng, Does::Work).join())),
            30..50 => held.push(soak.submit(rng, Does::Work)),
            50..70 => {
                let depth = 1 + rng.below(3);
                held.push(soak.submit(rng, Does::Wait(depth)));
            }
            70..75 => {
                // Many at once, so that more wait than there may be threads.
                (0..50).for_each(|_| held.push(soak.submit(rng, Does::Wait(1))));
            }
            75..80 => {
                // A scope or a map passes the panic of a child on.
                let wait = AssertUnwindSafe(|| soak.wait_for_children(rng, 2));
                drop(catch_unwind(wait));
            }
            80..85 => held.push(soak.submit_to_second(rng)),
            85..90 => self.end_some(),
            90 | 91 => self.fill_the_lines(),
            92 => self.batch(),
            93 => self.schedule(),
            94 => {
                let body = soak.plain(rng, Does::Nothing);
                if let Ok(sent) = pool.broadcast(body) {
                    held.extend(sent.into_iter().map(|handle| soak.watch(handle)));
                }
            }
            95 => drop(pool.set_workers(1 + rng.below(MAX_WORKERS as u64) as usize)),
            96 => {
                let rate = 5_000 + rng.below(20_000) as u32;
                let set = || soak.bucket.gate.set_rate(rate, SECOND).unwrap();
                soak.bucket.starts.change(rate, set);
            }
            97 => {
                let narrow = &soak.gates.narrow;
                if let Ok(permit) = narrow.gate.acquire_timeout(rng.micros(2_000)) {
                    let inside = narrow.at_once.enter();
                    drop((inside, permit));
                }
            }
            _ => {
                let body = soak.plain(rng, Does::Nothing);
                let sent = self.second.submit_timeout(rng.micros(500), body);
                held.extend(sent.ok().map(|handle| soak.watch(handle)));
            }
        }
        if self.held.len() > 5_000 {
            self.end_some();
        }
    }

    /// Joins, cancels, drops or keeps what is held.
    fn end_some(&mut self) {
        let Self {
            soak, rng, held, ..
        } = self;
        for handle in std::mem::take(held) {
            match rng.below(8) {
                0 => drop(handle.cancel()),
                1 => drop(handle.cancel_on_drop()),
                2 => drop(handle),
                3 => drop(soak.value(handle.join())),
                4 if held.len() < 1_000 => held.push(handle),
                _ => match handle.join_timeout(rng.micros(1_000)) {
                    Ok(outcome) => drop(soak.value(outcome)),
                    Err(unfinished) => drop(unfinished),
                },
            }
        }
    }

    fn fill_the_lines(&mut self) {
        let Self { soak, rng, .. } = self;
        let lines = [&soak.bucket, &soak.window].map(|line| line.gate.waiting());
        if lines.iter().sum::<usize>() < LINES {
            (0..2_000).for_each(|_| soak.execute_in_line(rng));
        }
    }

    /// Tasks under one token, which is cancelled while some of them run.
    fn batch(&mut self) {
        let Self {
            soak, rng, pool, ..
        } = self;
        let batch = CancelToken::new();
        let closure = Closure::new(&soak.books);
        let hook = batch.on_cancel(move |_| drop(closure));
        let tasks = pool.task().token(&batch.child());
        for n in 0..20 {
            let does = if n % 4 == 0 {
                Does::Wait(1)
            } else {
                Does::Work
            };
            drop(soak.watch(tasks.submit(soak.plain(rng, does))));
        }
        thread::sleep(rng.micros(500));
        batch.cancel();
        drop(hook);
    }

    /// A few milliseconds apart, for a while.
    fn schedule(&mut self) {
        let Self {
            soak, rng, pool, ..
        } = self;
        let period = Duration::from_millis(1 + rng.below(5));
        let overlap = [Overlap::Skip, Overlap::Queue, Overlap::Parallel(3)][rng.below(3) as usize];
        let rule = Every::new(period).jitter(period / 4).overlap(overlap);
        let body = soak.plain(rng, Does::Work);
        let schedule = pool
            .task()
            .name("every")
            .every(rule)
            .run(move || _ = body());
        self.schedules
            .push(schedule.map_err(|refused| refused.reason()).unwrap());
        if self.schedules.len() > 4 {
            self.schedules.swap_remove(0).cancel();
        }
    }
}
