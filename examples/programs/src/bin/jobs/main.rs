//! A durable queue on the command line: jobs in a SQLite file or on a Redis server, which a
//! `kill -9` does not lose.
//!
//!     cargo build --release --manifest-path examples/programs/Cargo.toml --bin jobs
//!     jobs=examples/programs/target/release/jobs
//!
//! Not `jobs` alone, which is a command of the shell. Two minutes:
//!
//!     $jobs enqueue shell '{"command": "sleep 3; date"}' --keep 1h    # prints its id, 1
//!     $jobs work --lease 1 &    # begins it
//!     kill -9 $!                # in the middle
//!     $jobs list                # it is there, as one that runs
//!     $jobs work &              # begins it again, when the lease of the first worker is over
//!     $jobs wait 1              # prints what the command has written
//!     kill $!                   # SIGTERM: it ends what it has begun, and claims nothing more
//!
//! The jobs are in `jobs.db`. `--store app.db` takes another file, and so does `sqlite:app.db`.
//! `--store redis://127.0.0.1` takes a server, so that workers may be on several machines; with
//! `redis://127.0.0.1?namespace=shop` it has jobs of their own. A worker has handlers for five
//! kinds: `echo` returns its payload, `sleep` takes `{"ms": 500}`, `fail` fails always or
//! `{"times": 2}`, `crash` ends the worker by SIGABRT, and `shell` takes `{"command": "date"}`.
//!
//! To try:
//!
//! - `$jobs enqueue sleep '{"ms": 2000}' --count 100`, workers in two terminals, and `$jobs watch`
//!   in a third. Then `$jobs pause default`, and `$jobs resume default`.
//! - `$jobs enqueue echo 1 --unique key --delay 1m`, twice. Both print the same id. With
//!   `--replace` the second has its payload and its delay count.
//! - `$jobs enqueue sleep '{"ms": 5000}' --lane a --count 3`: one at a time, with any number of
//!   workers. `$jobs list` has the others as blocked.
//! - `$jobs enqueue echo 2 --after 1`: it begins when job 1 has succeeded. With `--even-if-failed`
//!   also if that has failed.
//! - `$jobs enqueue fail '{}'`, and a worker: after four attempts the job is in `$jobs dead`. Then
//!   `$jobs retry --all`.
//! - `$jobs enqueue crash '{}' --max-crashes 1`, and `$jobs work --lease 1` three times: the third
//!   worker finds that the job has ended too many, and goes on without it.
//! - Ctrl-C in a worker whose job takes long. The job has 10 seconds to end, and then goes back.
//! - `$jobs move --to redis://127.0.0.1` takes what waits to a server, and
//!   `$jobs --store redis://127.0.0.1 move --to jobs.db` back.
//!
//! A job runs at least once. After a `kill -9` of its worker it runs again when the lease is over:
//! 30 seconds later, unless `--lease` says so. A command of the shell goes on as an orphan then.
//!
//! Exit codes: 0; 1 if what was asked for is not so, as when a job has failed, or is not there, or
//! `doctor` finds a fault; 2 for wrong arguments; 3 if the storage fails, as for a file that is no
//! database.
//!
//! What to read: `store.rs` opens a file or a server, `work.rs` has the consumer and its end,
//! `handlers.rs` what it does with each kind, `change.rs` what stores, changes and awaits jobs,
//! `look.rs` what prints them. `transfer.rs` moves jobs between two stores that have no common
//! transaction; `survey.rs` says which, and `copies.rs` has what the second store gets. Other
//! programs have a type for each kind, and enqueue its values, as the README does. Here the kind is
//! an argument, so `change.rs` makes the records by itself.

mod change;
mod copies;
mod handlers;
mod look;
mod store;
mod survey;
mod transfer;
mod work;

use clap::{Args, Parser, Subcommand};
use millhand::jobs::{JobId, JobState, JobsError, JobsErrorKind};
use millhand_programs::arguments::{self, duration, seconds, whole};
use millhand_programs::{output_error, say};
use serde::de::IgnoredAny;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write, stdout};
use std::process::ExitCode;
use std::time::Duration;
use store::{Purpose, Store};

/// A durable queue: jobs in a SQLite file or on a Redis server, and workers that run them.
#[derive(Parser)]
#[command(name = "jobs", version, after_help = AFTER)]
struct Options {
    /// Where the jobs are: a file, as PATH or sqlite:PATH, which `enqueue` and `work` make, or a
    /// server, as redis://HOST, rediss://HOST or redis+unix://PATH, and ?namespace=NAME
    #[arg(long, global = true, default_value = "sqlite:jobs.db", value_parser = store::parse)]
    store: Store,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Stores a job, and prints its id
    Enqueue(Enqueue),
    /// Runs jobs until SIGTERM or Ctrl-C. Then those that run have 10 seconds to end
    Work(Work),
    /// Lists jobs. Of those that have ended there are the dead ones, and those enqueued with --keep
    List(List),
    /// Prints what is known of a job
    Show { id: JobId },
    /// Lists the jobs that have failed for good
    Dead {
        #[arg(long)]
        kind: Option<String>,
    },
    /// Makes dead jobs ready again
    Retry(Retry),
    /// Removes dead jobs
    Purge {
        /// Those that have failed for good: the only ones that this program removes
        #[arg(long, required = true)]
        dead: bool,
        /// Those that have ended so long ago, or longer
        #[arg(long, value_name = "TIME", value_parser = duration)]
        older: Option<Duration>,
    },
    /// Cancels a job. One that runs is asked to stop
    Cancel { id: JobId },
    /// Has no worker begin jobs of a queue
    Pause { queue: String },
    /// Has workers begin jobs of a queue again
    Resume { queue: String },
    /// Prints counts each second, until Ctrl-C
    Watch,
    /// Lists the workers that live, or whose end nothing has noticed
    Sessions,
    /// Lists the schedules that programs have stored
    Schedules,
    /// Looks for what no crash may leave behind
    Doctor {
        /// Mends what can be mended
        #[arg(long)]
        repair: bool,
    },
    /// Waits for the end of a job, and prints its output
    Wait { id: JobId },
    /// Moves the jobs that wait to another store. Workers may run at both
    #[command(after_help = MOVE)]
    Move(Move),
}

#[derive(Args)]
struct Enqueue {
    /// Which handler the job is for: echo, sleep, fail, crash, shell
    kind: String,
    /// The job itself
    #[arg(value_name = "JSON", value_parser = json)]
    payload: String,
    #[arg(long, default_value = "default")]
    queue: String,
    /// Larger ones go first
    #[arg(long, value_name = "N", default_value_t = 0)]
    priority: i32,
    /// So long after now it may begin
    #[arg(long, value_name = "TIME", value_parser = duration)]
    delay: Option<Duration>,
    /// Stores it only if no job of its kind has this key
    #[arg(long, value_name = "KEY")]
    unique: Option<String>,
    /// If that job has not begun, it gets this payload and delay
    #[arg(long, requires = "unique")]
    replace: bool,
    /// One job at a time of those with this key, in the order in which they were stored
    #[arg(long, value_name = "KEY")]
    lane: Option<String>,
    /// It begins when these have succeeded, and is cancelled if one has not
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    after: Vec<JobId>,
    /// It begins when those before it have ended, in whatever way
    #[arg(long, requires = "after")]
    even_if_failed: bool,
    /// Keeps the outcome for so long
    #[arg(long, value_name = "TIME", value_parser = duration)]
    keep: Option<Duration>,
    /// Stores so many of it, each 1000 of them together or not at all
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = whole::<usize>(1..=100_000))]
    count: usize,
    /// It may lose its worker so often. Once more, and it is dead
    #[arg(long, value_name = "N", default_value_t = 3)]
    max_crashes: u32,
    /// It never begins twice, and is dead if it fails or loses its worker
    #[arg(long)]
    at_most_once: bool,
}

#[derive(Args)]
struct Work {
    /// So many jobs of each queue at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = whole::<usize>(1..=1000))]
    slots: usize,
    /// The queues, one or more
    #[arg(long = "queue", value_name = "QUEUE", num_args = 1.., default_value = "default")]
    queues: Vec<String>,
    /// Ends after so long
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    limit: Option<Duration>,
    /// So long after this worker was killed others take its jobs
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    #[arg(value_parser = whole::<u64>(1..=3600))]
    lease: u64,
}

#[derive(Args)]
struct List {
    #[arg(long, value_parser = state)]
    state: Option<JobState>,
    #[arg(long)]
    queue: Option<String>,
    #[arg(long)]
    kind: Option<String>,
    /// An object for each job, each on a line
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Retry {
    #[arg(value_name = "ID")]
    ids: Vec<JobId>,
    #[arg(long)]
    kind: Option<String>,
    #[arg(long)]
    all: bool,
}

#[derive(Args)]
struct Move {
    /// The other store
    #[arg(long, value_name = "STORE", value_parser = store::parse)]
    to: Store,
    #[arg(long)]
    queue: Option<String>,
    #[arg(long)]
    kind: Option<String>,
}

const MOVE: &str = "\
What runs stays, and so does what is dead, follows other jobs or is followed by some, until these \
have ended. The jobs of a lane go together, or stay together. Ids are new in the other store, and \
failures and crashes count from 0.

After a move that was killed run it again within 10 minutes. No job is lost then, or later; later \
a job may run in both stores. First have the programs that store jobs use the other store.";

const AFTER: &str = "\
The kinds that `work` has handlers for, and their payloads:
  echo    any JSON, which it returns
  sleep   {\"ms\": 500}
  fail    {} to fail always, {\"times\": 2} to succeed then; three more attempts follow a failure
  crash   {}: the worker ends by SIGABRT
  shell   {\"command\": \"date\"}; its output is what the command writes, up to 64 KiB
A TIME is such as 30s, 10m, 1h30m or 7d.

Exit codes: 0; 1 if what was asked for is not so, as when a job has failed; 2 for wrong arguments; \
3 if the storage fails.";

fn json(text: &str) -> Result<String, String> {
    let checked = serde_json::from_str::<IgnoredAny>(text);
    checked.map_err(|error| format!("not JSON: {error}"))?;
    Ok(text.to_owned())
}

fn state(text: &str) -> Result<JobState, String> {
    let found = JobState::ALL.into_iter().find(|state| state.name() == text);
    found.ok_or_else(|| {
        let names: Vec<_> = JobState::ALL.iter().map(|state| state.name()).collect();
        format!("allowed are {}", names.join(", "))
    })
}

/// Why the program has not done what it was asked for.
enum Failure {
    /// It is not so.
    Failed(String),
    Arguments(String),
    Storage(String),
    Output(io::Error),
}

impl From<JobsError> for Failure {
    fn from(error: JobsError) -> Self {
        use JobsErrorKind::{Invalid, Name, TooLarge};
        match error.kind() {
            Invalid | Name | TooLarge => Self::Arguments(error.to_string()),
            _ => Self::Storage(error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(output_error(error))
    }
}

fn print(line: impl Display) -> Result<(), Failure> {
    Ok(writeln!(stdout(), "{line}")?)
}

fn main() -> ExitCode {
    let options: Options = arguments::parse();
    let log = env_logger::Env::default().default_filter_or("warn");
    env_logger::Builder::from_env(log).init();
    let (text, code) = match run(options) {
        Ok(()) => return ExitCode::SUCCESS,
        // The reader has seen enough, as in `| head -1`.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => {
            return ExitCode::SUCCESS;
        }
        Err(Failure::Output(error)) => (error.to_string(), 1),
        Err(Failure::Failed(text)) => (text, 1),
        Err(Failure::Arguments(text)) => (text, 2),
        Err(Failure::Storage(text)) => (text, 3),
    };
    say(format_args!("jobs: {text}"));
    ExitCode::from(code)
}

fn run(options: Options) -> Result<(), Failure> {
    let purpose = match options.command {
        Command::Enqueue(_) => Purpose::Store,
        Command::Work(_) => Purpose::Work,
        _ => Purpose::Look,
    };
    let store = options.store;
    let jobs = &store.open(purpose)?;
    match options.command {
        Command::Enqueue(job) => change::enqueue(jobs, job),
        Command::Work(options) => work::run(jobs, &options),
        Command::List(list) => look::list(jobs, list),
        Command::Show { id } => look::show(jobs, id),
        Command::Dead { kind } => {
            let list = List {
                state: Some(JobState::Dead),
                queue: None,
                kind,
                json: false,
            };
            look::list(jobs, list)
        }
        Command::Retry(retry) => change::retry(jobs, retry),
        Command::Purge { dead: _, older } => change::purge(jobs, older),
        Command::Cancel { id } => change::cancel(jobs, id),
        Command::Pause { queue } => change::pause(jobs, &queue, true),
        Command::Resume { queue } => change::pause(jobs, &queue, false),
        Command::Watch => look::watch(jobs),
        Command::Sessions => look::sessions(jobs),
        Command::Schedules => look::schedules(jobs),
        Command::Doctor { repair } => look::doctor(jobs, repair),
        Command::Wait { id } => change::wait(jobs, id),
        Command::Move(options) => transfer::run(jobs, &store, options),
    }
}
