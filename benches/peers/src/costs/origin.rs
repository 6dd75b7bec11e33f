//! Where millhand comes from: the same tasks through Python's own thread pool and through Huey, by
//! python/origin.py.

use super::{Cost, SYSTEM};
use crate::Outcome;
use crate::contenders::MILLHAND;
use millhand::ThreadPool;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

const EXECUTOR: &str = "ThreadPoolExecutor";
const HUEY: &str = "Huey, in memory";

pub const THROUGHPUT: Cost = Cost {
    key: "origin",
    title: "beside Python: 20,000 no-op tasks submitted, then joined, 4 workers",
    unit: "ns per task",
    contenders: &[MILLHAND, EXECUTOR, HUEY],
    sizes: &[4],
    of: "workers",
    allocators: SYSTEM,
    most_rounds: 3,
    aim: None,
    measure: |contender, workers| {
        if contender == MILLHAND {
            Some(throughput(workers as usize))
        } else {
            python(contender, "throughput")
        }
    },
};

pub const ROUND_TRIP: Cost = Cost {
    key: "origin-round-trip",
    title: "beside Python: round trip of one no-op task, 4 workers, median",
    unit: "µs",
    measure: |contender, workers| {
        if contender == MILLHAND {
            Some(round_trip(workers as usize))
        } else {
            python(contender, "round-trip")
        }
    },
    ..THROUGHPUT
};

fn throughput(workers: usize) -> f64 {
    const TASKS: u32 = 20_000;
    let pool = ThreadPool::new(workers).unwrap();
    let run = |tasks: u32| {
        let start = Instant::now();
        let handles: Vec<_> = (0..tasks).map(|_| pool.submit(|| 1)).collect();
        let sum: u32 = handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .sum();
        assert_eq!(sum, tasks);
        start.elapsed()
    };
    run(TASKS / 10);
    run(TASKS).as_nanos() as f64 / f64::from(TASKS)
}

fn round_trip(workers: usize) -> f64 {
    const TRIPS: usize = 5_000;
    let pool = ThreadPool::new(workers).unwrap();
    let trip = |_| {
        let start = Instant::now();
        black_box(pool.submit(|| 1).join().unwrap());
        start.elapsed().as_nanos() as f64 / 1e3
    };
    let mut trips: Vec<f64> = (0..TRIPS).map(trip).collect();
    trips.sort_by(f64::total_cmp);
    trips[TRIPS / 2]
}

fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of a virtual environment. It is deleted when the build is.
fn environment() -> PathBuf {
    package().join("target").join("origin")
}

fn python(contender: &str, what: &str) -> Option<f64> {
    let own = environment().join("bin").join("python3");
    let (program, who) = match contender {
        EXECUTOR if !own.exists() => ("python3".into(), "executor"),
        EXECUTOR => (own, "executor"),
        HUEY => (own, "huey"),
        other => panic!("no contender {other:?}"),
    };
    let output = Command::new(program)
        .arg(package().join("python").join("origin.py"))
        .args([who, what])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.trim().parse().ok()
}

/// Makes the environment, unless it exists. A package that cannot be installed is reported and
/// left out.
pub fn missing() -> Vec<&'static str> {
    if let Err(error) = run("python3", &["--version"]) {
        eprintln!("peers: no comparison with Python: {error}");
        return vec![EXECUTOR, HUEY];
    }
    match prepare() {
        Ok(()) => Vec::new(),
        Err(error) => {
            eprintln!("peers: no comparison with Huey: {error}");
            vec![HUEY]
        }
    }
}

fn prepare() -> Outcome<()> {
    let environment = environment();
    let folder = environment.to_str().ok_or("a path that is no text")?;
    let own = format!("{folder}/bin/python3");
    if run(&own, &["-c", "import huey"]).is_ok() {
        return Ok(());
    }
    run("python3", &["-m", "venv", "--clear", folder])?;
    run(&own, &["-m", "pip", "install", "--quiet", "huey"])
}

/// Runs a program without its output. Returns the last line of its errors if it fails.
fn run(program: &str, arguments: &[&str]) -> Outcome<()> {
    let command = format!("{program} {}", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{command}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().last().unwrap_or("no word why");
    Err(format!("{command}: {last}").into())
}
