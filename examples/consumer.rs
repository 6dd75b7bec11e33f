//! The prototype that this library grew from: a main thread that installs the signal handler and hands work to four
//! workers, and what it measures.
//!
//! ```text
//! cargo run --release --example consumer
//! ```
//!
//! Ctrl-C lets what was submitted run to its end, once more cancels what has not begun, a third time ends at once.

use millhand::{Shutdown, Signals, TaskError, ThreadPool};
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const WORKERS: usize = 4;

type Section = fn(&ThreadPool) -> Result<(), TaskError>;

/// What the program shows, in this order.
const SECTIONS: [Section; 1] = [five_at_once];

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let signals = Signals::install();
    let shown = show(&signals);
    if let Err(error) = &shown {
        log::error!("{error}");
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
    for section in SECTIONS {
        section(&pool)?;
    }
    log::info!("the pool: {}", pool.shutdown(Shutdown::drain())?);
    Ok(())
}

/// Five tasks of three seconds on four workers, submitted at once: how long the submitting takes, how long it all takes,
/// and how much ran at the same time.
fn five_at_once(pool: &ThreadPool) -> Result<(), TaskError> {
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
    let row = |what, this: String, prototype, limit: String| {
        println!("{what:<24}{this:>12}{prototype:>12}{limit:>12}");
    };
    println!("{TASKS} tasks of {LENGTH:?} at once, {WORKERS} workers");
    row("", "this run".into(), "prototype", "limit".into());
    row("submit time", format!("{submitted:.1?}"), "", String::new());
    row("total", seconds(total), "6.526 s", seconds(limit));
    row(
        "concurrency efficiency",
        efficiency(work, total),
        "229.8 %",
        efficiency(LENGTH * TASKS, limit),
    );
    Ok(())
}

/// What the running task does, in the log.
fn say(what: &str) {
    if let Some(me) = millhand::current() {
        let name = me.name().unwrap_or("a task");
        log::info!("{name} {what} on worker {}", me.worker());
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

/// The sum of the tasks' times over the time that passed.
fn efficiency(work: Duration, total: Duration) -> String {
    format!("{:.1} %", 100.0 * work.as_secs_f64() / total.as_secs_f64())
}
