//! The prototype that this library grew from: a main thread that installs the signal handler and
//! hands work to four workers, and what it measures. After it, what has grown on: chains, a rate,
//! retries, a bound on how many run at once; and a schedule that ticks while they run. The table at
//! the end has it all.
//!
//!     cargo run --release --example consumer
//!
//! All figures are of this run, but those of the prototype; limits are what the arithmetic allows.
//!
//! Ctrl-C lets what was submitted run to its end, once more cancels what has not begun, a third
//! time ends at once.
//!
//! Exit codes: 0; 1 if a part or the output fails; 2 for arguments, as it takes none; 130 after a
//! signal.

use millhand::schedule::Schedule;
use millhand::task::Jitter;
use millhand::{
    Every, RateLimiter, Retry, Semaphore, Shutdown, Signals, TaskHandle, ThreadPool, join_all_ok,
};
use std::error::Error;
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::iter::successors;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const WORKERS: usize = 4;

const HELP: &str = "usage: consumer\nShows what the library does, in a quarter of a minute.";

/// As that of std, but without a panic where nothing can be written.
macro_rules! println {
    ($($text:tt)*) => { print(format_args!($($text)*)) };
}

/// Shows one thing, and gives its line of the table.
type Section = fn(&ThreadPool) -> Result<Line, Box<dyn Error>>;

/// What the program shows, in this order.
const SECTIONS: [Section; 5] = [
    five_at_once,
    three_chains,
    ten_a_second,
    third_time_lucky,
    two_at_a_time,
];

/// A line of the table at the end: what, in this run, in the prototype, at best.
struct Line(String, [String; 3]);

impl Line {
    fn new(what: &str, this: Duration, prototype: &str, limit: Duration) -> Self {
        Self(
            what.to_owned(),
            [seconds(this), prototype.to_owned(), seconds(limit)],
        )
    }
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    match std::env::args_os().nth(1) {
        None => {}
        Some(word) if word == "--help" || word == "-h" => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some(word) => {
            let word = word.to_string_lossy();
            let _ = writeln!(
                io::stderr(),
                "consumer: it takes no argument: `{word}`\n{HELP}"
            );
            return ExitCode::from(2);
        }
    }
    let signals = Signals::install();
    let shown = show(&signals);
    if let Err(error) = &shown {
        let causes = successors(Some(&**error), |&error| error.source());
        let causes: Vec<_> = causes.map(|cause| cause.to_string()).collect();
        log::error!("{}", causes.join(": "));
    }
    match shown {
        _ if signals.count() > 0 => ExitCode::from(Signals::EXIT_CODE),
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn show(signals: &Signals) -> Result<(), Box<dyn Error>> {
    let pool = ThreadPool::new(WORKERS)?;
    pool.shutdown_on(signals, Shutdown::drain());
    // The clock ticks on a worker of its own: the others are all at work for seconds.
    let clock = ThreadPool::builder()
        .workers(1)
        .name_prefix("tick")
        .build()?;
    clock.shutdown_on(signals, Shutdown::drain());
    let begun = Instant::now();
    let ticking = tick(&clock)?;
    let mut table = Vec::new();
    for section in SECTIONS {
        if signals.count() > 0 {
            return Ok(()); // the pool takes no more
        }
        table.push(section(&pool)?);
        println!("");
    }
    table.push(ticks(&ticking, begun));
    println!("all of it, {WORKERS} workers");
    row("", ["this run", "prototype", "limit"]);
    for Line(what, cells) in table {
        row(&what, cells);
    }
    println!("");
    log::info!("the clock: {}", clock.shutdown(Shutdown::drain())?);
    log::info!("the pool: {}", pool.shutdown(Shutdown::drain())?);
    Ok(())
}

const TICK: Duration = Duration::from_millis(250);

/// A schedule that runs for as long as the program does.
fn tick(clock: &ThreadPool) -> Result<Schedule, Box<dyn Error>> {
    let tick = clock.task().name("tick").every(Every::new(TICK));
    Ok(tick.run(|| log::debug!("tick"))?)
}

/// How often it has ticked, beside how often it could.
fn ticks(ticking: &Schedule, begun: Instant) -> Line {
    let counts = ticking.counts();
    let possible = begun.elapsed().as_millis() / TICK.as_millis();
    let what = format!("ticks, one in {TICK:?}");
    Line(
        what,
        [counts.runs.to_string(), String::new(), possible.to_string()],
    )
}

/// Five tasks of three seconds on four workers, submitted at once: how long the submitting takes, how long it all takes,
/// and how much ran at the same time.
fn five_at_once(pool: &ThreadPool) -> Result<Line, Box<dyn Error>> {
    const TASKS: u32 = 5;
    const LENGTH: Duration = Duration::from_secs(3);

    let begun = Instant::now();
    let tasks: Vec<_> = (1..=TASKS)
        .map(|n| {
            pool.task().name(format!("task {n}")).submit(|| {
                let begun = Instant::now();
                say("begins");
                std::thread::sleep(LENGTH); // stands for the work
                say("ends");
                begun.elapsed()
            })
        })
        .collect();
    let submitted = begun.elapsed();
    let mut work = Duration::ZERO;
    for task in tasks {
        work += task.join()?;
    }
    let total = begun.elapsed();

    // No order of the tasks is faster than filling all workers as often as it takes.
    let limit = LENGTH * TASKS.div_ceil(WORKERS as u32);
    println!("{TASKS} tasks of {LENGTH:?} at once, {WORKERS} workers");
    row("", ["this run", "prototype", "limit"]);
    row("submit time", [&format!("{submitted:.1?}"), "", ""]);
    row("total", [&seconds(total), "6.526 s", &seconds(limit)]);
    let shares = [(work, total), (LENGTH * TASKS, limit)].map(|(a, b)| efficiency(a, b));
    row(
        "concurrency efficiency",
        [&shares[0], "229.8 %", &shares[1]],
    );
    Ok(Line::new("five at once", total, "6.526 s", limit))
}

/// Three chains of three steps each, side by side. No thread waits between the steps.
fn three_chains(pool: &ThreadPool) -> Result<Line, Box<dyn Error>> {
    const CHAINS: u32 = 3;
    const STEPS: [Duration; 3] = [
        Duration::from_millis(1000),
        Duration::from_millis(1000),
        Duration::from_millis(500),
    ];

    /// A step of the work, which passes on how far its chain has come.
    fn step(chain: u32, done: u32) -> Result<u32, io::Error> {
        log::info!("chain {chain}: step {}", done + 1);
        std::thread::sleep(STEPS[done as usize]); // stands for the work
        Ok(done + 1)
    }

    let begun = Instant::now();
    let chain = |n: u32| -> TaskHandle<Result<u32, io::Error>> {
        pool.submit(move || step(n, 0))
            .and_then(move |done| step(n, done))
            .and_then(move |done| step(n, done))
    };
    let chains: Vec<_> = (1..=CHAINS).map(chain).collect();
    let submitted = begun.elapsed();
    let done: u32 = join_all_ok(chains)?.into_iter().sum();
    let total = begun.elapsed();

    let limit = STEPS.iter().sum();
    println!("{CHAINS} chains of {} steps, side by side", STEPS.len());
    row("", ["this run", "prototype", "limit"]);
    row("submit time", [&format!("{submitted:.1?}"), "", ""]);
    row("steps", [&done.to_string(), "", ""]);
    row("total", [&seconds(total), "2.5 s", &seconds(limit)]);
    Ok(Line::new("three chains", total, "2.5 s", limit))
}

/// Thirty tasks behind a limiter of ten a second: when each starts, and how evenly. Submitting them takes no longer for it,
/// and no worker waits.
fn ten_a_second(pool: &ThreadPool) -> Result<Line, Box<dyn Error>> {
    const TASKS: u32 = 30;
    const RATE: u32 = 10;
    const SECOND: Duration = Duration::from_secs(1);

    let limiter = RateLimiter::token_bucket(RATE, SECOND).burst(1).build()?;
    let call = pool.task().name("call").gate(&limiter);
    let begun = Instant::now();
    let tasks: Vec<_> = (0..TASKS).map(|_| call.submit(Instant::now)).collect();
    let submitted = begun.elapsed();
    let mut starts = Vec::new();
    for task in tasks {
        starts.push(task.join()?);
    }
    starts.sort(); // a thread may be held up before it looks at the clock
    let total = starts[starts.len() - 1] - begun;

    let mut spacings: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    spacings.sort();
    let even = millis(SECOND / RATE);
    println!("{TASKS} tasks, {RATE} a second: seconds after the first start");
    for line in starts.chunks(RATE as usize) {
        let after = line.iter().map(|at| (*at - starts[0]).as_secs_f64());
        println!("{}", after.map(|s| format!("{s:>8.3}")).collect::<String>());
    }
    row("", ["this run", "limit"]);
    row("submit time", [&format!("{submitted:.1?}"), ""]);
    // The first need not wait.
    let limit = SECOND * (TASKS - 1) / RATE;
    row("total", [seconds(total), seconds(limit)]);
    row("least spacing", [&millis(spacings[0]), ""]);
    row(
        "median spacing",
        [&millis(spacings[spacings.len() / 2]), &even],
    );
    row(
        "greatest spacing",
        [&millis(spacings[spacings.len() - 1]), ""],
    );
    Ok(Line::new("ten a second", total, "", limit))
}

/// A task that fails twice and is tried again, without a worker that waits: what each attempt is told, and how long it
/// was put off.
fn third_time_lucky(pool: &ThreadPool) -> Result<Line, Box<dyn Error>> {
    const FAILURES: [ErrorKind; 2] = [ErrorKind::ConnectionRefused, ErrorKind::TimedOut];

    // Without jitter, so that the delays can be set beside those of the policy.
    let policy = Retry::exponential(4, Duration::from_millis(200)).jitter(Jitter::None);
    let mut failed: Option<Instant> = None;
    let mut last_error = None;
    let mut attempts = Vec::new();
    let fetch = move || -> Result<Vec<_>, io::Error> {
        let put_off = failed.map(|at| at.elapsed());
        attempts.push((put_off, last_error.take()));
        match FAILURES.get(attempts.len() - 1) {
            None => Ok(std::mem::take(&mut attempts)),
            Some(kind) => {
                say(&format!("fails: {kind}"));
                failed = Some(Instant::now());
                last_error = Some(kind.to_string());
                Err((*kind).into())
            }
        }
    };
    let begun = Instant::now();
    let flaky = pool
        .task()
        .name("flaky")
        .retry(policy.clone())
        .submit(fetch);
    let attempts = flaky.join_ok()?;
    let total = begun.elapsed();

    println!("a flaky task, {} retries at most", policy.max_retries());
    println!(
        "{:<24}{:>12}{:>12}    last error",
        "", "put off by", "policy"
    );
    let mut limit = Duration::ZERO;
    for (number, (put_off, error)) in (1..).zip(attempts) {
        let mut delays = <[String; 2]>::default();
        if let Some(time) = put_off {
            let asked = policy.delay(number - 2); // retries count from 0, attempts from 1
            limit += asked;
            delays = [time, asked].map(seconds);
        }
        let [this, asked] = delays;
        let error = error.as_deref().unwrap_or("none");
        println!(
            "{:<24}{this:>12}{asked:>12}    {error}",
            format!("attempt {number}")
        );
    }
    row("", ["this run", "limit"]);
    row("total", [seconds(total), seconds(limit)]);
    Ok(Line::new("third time lucky", total, "", limit))
}

/// Six tasks on four workers, but two at a time: they wait without a worker, so that another task need not wait.
fn two_at_a_time(pool: &ThreadPool) -> Result<Line, Box<dyn Error>> {
    const TASKS: u32 = 6;
    const PERMITS: u32 = 2;
    const LENGTH: Duration = Duration::from_millis(500);

    let batch = pool.task().name("batch").gate(&Semaphore::new(PERMITS)?);
    let running = Arc::new(AtomicU32::new(0));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let running = running.clone();
            batch.submit(move || {
                let at_once = 1 + running.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(LENGTH); // stands for the work
                running.fetch_sub(1, Ordering::SeqCst);
                at_once
            })
        })
        .collect();
    let other = pool.submit(Instant::now).join()? - begun;
    let mut most = 0;
    for task in tasks {
        most = most.max(task.join()?);
    }
    let total = begun.elapsed();

    println!("{TASKS} tasks of {LENGTH:?}, {PERMITS} at a time, {WORKERS} workers");
    row("", ["this run", "limit"]);
    row("most at once", [most, PERMITS]);
    let limit = LENGTH * TASKS.div_ceil(PERMITS);
    row("total", [seconds(total), seconds(limit)]);
    row("another task begins", [&format!("{other:.1?}"), ""]);
    Ok(Line::new("two at a time", total, "", limit))
}

/// What the running task does, in the log.
fn say(what: &str) {
    if let Some(me) = millhand::current() {
        let name = me.name().unwrap_or("a task");
        log::info!("{name} {what} on worker {}", me.worker());
    }
}

fn row<const N: usize>(what: &str, cells: [impl ToString; N]) {
    let cells = cells.map(|cell| format!("{:>12}", cell.to_string()));
    println!("{what:<24}{}", cells.concat());
}

/// Prints a line. If it cannot be written, the program has nothing to do any more.
fn print(line: Arguments<'_>) {
    if let Err(error) = writeln!(io::stdout(), "{line}") {
        if error.kind() != ErrorKind::BrokenPipe {
            log::error!("standard output: {error}");
        }
        std::process::exit(1);
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", 1e3 * time.as_secs_f64())
}

/// The sum of the tasks' times over the time that passed.
fn efficiency(work: Duration, total: Duration) -> String {
    format!("{:.1} %", 100.0 * work.as_secs_f64() / total.as_secs_f64())
}
