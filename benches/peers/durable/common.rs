//! What the contenders in Rust share: how they time, and how they answer `run`.
//!
//! `PROGRAM MEASUREMENT DURABILITY FOLDER SIZE` measures once, in a process that does nothing
//! else, and prints the figures as one line of JSON.

#![allow(dead_code, reason = "each contender uses a part")]

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Jobs run in so many threads or tasks at once where a peer has no slots.
pub const WORKERS: usize = 4;
/// Jobs that a consumer has claimed at once.
pub const SLOTS: usize = 64;
pub const PRODUCERS: usize = 16;
pub const BATCH: usize = 1000;
/// A day: jobs that are scheduled for then are in front of all others, and never due.
pub const FAR: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone)]
pub struct Asked {
    pub measurement: String,
    pub durability: String,
    pub folder: PathBuf,
    pub size: usize,
}

impl Asked {
    pub fn from_arguments() -> Self {
        let mut words = std::env::args().skip(1);
        let mut next = |what: &str| words.next().unwrap_or_else(|| panic!("no {what}"));
        Self {
            measurement: next("measurement"),
            durability: next("durability"),
            folder: next("folder").into(),
            size: next("size").parse().expect("the size is a number"),
        }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.join("jobs.db")
    }

    /// Of the Redis server, which has the place of the folder.
    pub fn address(&self) -> &str {
        self.folder.to_str().expect("an address is text")
    }

    /// `FULL` or `NORMAL`, as SQLite calls it.
    pub fn synchronous(&self) -> String {
        self.durability.to_uppercase()
    }

    /// For how long a rate is measured.
    pub fn time(&self) -> Duration {
        Duration::from_millis(self.size as u64)
    }

    /// This program again, in a process of its own, until it has said that it is ready.
    pub fn other_process(&self, measurement: &str) -> Other {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([measurement, &self.durability])
            .arg(&self.folder)
            .arg(self.size.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut String::new()).unwrap();
        Other { child, output }
    }
}

/// Another process of the same contender. It goes on when it reads a line, and ends when its input
/// does.
pub struct Other {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Other {
    /// Has it go on, and waits until it ends.
    pub fn finish(mut self) {
        drop(self.child.stdin.take());
        self.output.read_to_end(&mut Vec::new()).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

/// The part of the other process: says that it is ready, and waits until it may go on.
pub fn ready() {
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

pub fn text() -> String {
    "x".repeat(100)
}

/// Nanoseconds since 1970: two processes compare them.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_nanos() as i64
}

pub fn answer(figures: &[(&str, f64)], notes: &[(&str, &str)]) {
    let figures = figures
        .iter()
        .map(|(name, value)| format!("\"{name}\": {value}"));
    let notes = notes
        .iter()
        .map(|(name, value)| format!("\"{name}\": \"{value}\""));
    println!(
        "{{{}}}",
        figures.chain(notes).collect::<Vec<_>>().join(", ")
    );
}

/// How many a second, of what `step` does so many of at once.
pub fn rate(time: Duration, each: usize, mut step: impl FnMut()) -> f64 {
    step();
    let start = Instant::now();
    let mut steps = 0;
    while start.elapsed() < time {
        step();
        steps += 1;
    }
    (steps * each) as f64 / start.elapsed().as_secs_f64()
}

/// The same, from several threads at once: all that they did, over the time until the last of them
/// was done.
pub fn rate_of_all(time: Duration, step: impl Fn() + Sync) -> f64 {
    step();
    let start = Instant::now();
    let steps = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| {
                while start.elapsed() < time {
                    step();
                    steps.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    steps.into_inner() as f64 / start.elapsed().as_secs_f64()
}

/// One trip: when the enqueue began, when it had returned, when the handler began, when the result
/// was here.
pub type Trip = [i64; 4];

/// Makes trips with pauses between them, so that both processes are idle when one begins.
pub fn trips(count: usize, mut trip: impl FnMut() -> Trip) {
    let mut wakes = Vec::new();
    let mut whole = Vec::new();
    for number in 0..count + 5 {
        thread::sleep(Duration::from_millis(5));
        let [began, enqueued, handled, back] = trip();
        if number >= 5 {
            wakes.push((handled - enqueued) as f64 / 1e6);
            whole.push((back - began) as f64 / 1e6);
        }
    }
    wakes.sort_by(f64::total_cmp);
    whole.sort_by(f64::total_cmp);
    let at =
        |sorted: &[f64], share: usize| sorted[(sorted.len() * share / 100).min(sorted.len() - 1)];
    answer(
        &[
            ("wake-50", at(&wakes, 50)),
            ("wake-99", at(&wakes, 99)),
            ("trip-50", at(&whole, 50)),
            ("trip-99", at(&whole, 99)),
        ],
        &[],
    );
}
