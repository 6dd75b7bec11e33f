//! millhand beside the other thread pools: what a task costs here and there, in the same run.
//!
//! Without a command this program is the driver. It starts itself as a child for every single
//! measurement, so that no contender pays for the heap or the threads of another one. It measures
//! round after round, so that changes in the machine's speed affect all contenders alike.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- --help` prints the options.
//! The command `costs` measures what millhand costs by itself.
#![deny(unsafe_code)]

mod alloc;
mod chart;
mod contenders;
mod costs;
mod machine;
mod options;
mod proc;
mod report;
mod rows;

use options::Options;
use report::{Cell, Results};
use rows::Row;
use std::env;
use std::error::Error;
use std::process::{Command, ExitCode, Stdio, exit};
use std::thread;
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Fewer rounds show too little of the spread.
const LEAST_ROUNDS: usize = 9;

/// No measurement takes a tenth of this. A child that takes longer hangs. It is ended, and the
/// round goes on without its figure.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["measure", row, contender] => measure(row, contender),
        ["measure", ..] => Err("usage: peers measure <row> <contender>".into()),
        ["costs", ref words @ ..] => costs::drive(words),
        ["cost", cost, contender, size] => costs::measure(cost, contender, size),
        ["cost", ..] => Err("usage: peers cost <cost> <contender> <size>".into()),
        ["burn"] => costs::burn(),
        _ => drive(&words),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The child's part: measures one contender in one row and prints the figure on the last line.
/// Lines before it are notes for the report.
fn measure(row: &str, contender: &str) -> Outcome<()> {
    let row = options::row(row)?;
    if !row.contenders.contains(&contender) {
        let allowed = row.contenders.join(", ");
        return Err(format!("{} is for: {allowed}; not for {contender:?}", row.key).into());
    }
    end_if_it_hangs();
    println!("{}", (row.measure)(contender));
    // The process ends without waiting for other threads.
    exit(0);
}

fn end_if_it_hangs() {
    thread::spawn(|| {
        thread::sleep(PATIENCE);
        eprintln!("peers: gave up after {PATIENCE:?}");
        exit(1);
    });
}

fn drive(words: &[&str]) -> Outcome<()> {
    let Some(options) = Options::parse(words)? else {
        println!("{}", options::help());
        return Ok(());
    };
    if options.rounds < LEAST_ROUNDS {
        eprintln!("peers: fewer than {LEAST_ROUNDS} rounds: a try-out, not to be published");
    }
    let mut results = Results::new(&options);
    for round in 0..options.rounds {
        for row in &options.rows {
            eprintln!("round {} of {}: {}", round + 1, options.rounds, row.key);
            let of_row = |cell: &&mut Cell| cell.row.key == row.key;
            let mut cells: Vec<&mut Cell> = results.cells.iter_mut().filter(of_row).collect();
            // The first contender of this round is the last one of the next.
            let count = cells.len();
            cells.rotate_left(round % count.max(1));
            for cell in cells {
                cell.add(ask(cell.row, cell.contender, cell.allocator));
            }
        }
    }
    results.write(&options.out())
}

fn ask(row: &Row, contender: &str, allocator: &str) -> Option<(f64, Vec<String>)> {
    let mut lines = child(&["measure", row.key, contender], allocator)?;
    let figure = lines.pop()?.trim().parse().ok()?;
    Some((figure, lines))
}

/// Starts a child and reads the lines that it prints: notes, and at last the figure. A failure
/// there is printed and does not end the run.
fn child(arguments: &[&str], allocator: &str) -> Option<Vec<String>> {
    let answer = || -> Outcome<Vec<String>> {
        let child = Command::new(env::current_exe()?)
            .args(arguments)
            .env(alloc::VARIABLE, allocator)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        if !child.status.success() {
            return Err(child.status.to_string().into());
        }
        let text = String::from_utf8(child.stdout)?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    answer()
        .inspect_err(|error| eprintln!("peers: {}, {allocator}: {error}", arguments.join(" ")))
        .ok()
}
