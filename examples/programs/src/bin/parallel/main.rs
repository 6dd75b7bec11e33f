//! Runs shell commands, several at a time: what `xargs -P` and GNU parallel are used for.
//!
//!     cargo run --release --manifest-path examples/programs/Cargo.toml --bin parallel -- \
//!         -j 4 gzip -9 {} < files
//!
//! Each line of the input is a command of `/bin/sh`. With a template, `{}` in it stands for the
//! line, quoted for the shell: a name with blanks, quotes or `$(rm)` is one word. Write `{}`
//! outside of quotes, and after `--` or as `./{}` if a line may begin with a dash. A template
//! without `{}` ends with it. The words of the template are joined by blanks, as the text of a
//! script: quote the whole of it for `&&`, `|` and `>`. Empty lines are skipped.
//!
//! The output of a command is printed when the command has ended, so that outputs do not mix. Until
//! then it is in files in the temporary directory. So a command must not write to `/dev/stderr` or
//! `/dev/stdout`, which would cut its file: `>&2` is right. Commands have no input.
//!
//! To try, with `parallel` for the command above:
//!
//! - `seq 5 | parallel 'sleep 1; echo {}'`, with `-j 5`, and with `--keep-order`.
//! - `tail -f /var/log/syslog | parallel echo {}`: each line starts at once.
//! - `seq 9 | parallel --timeout 2.5 sleep {}` ends the commands from 3 on, with the processes that
//!   they have started: first by SIGTERM, and 5 seconds later by SIGKILL.
//! - `seq 100 | parallel --rate 2/s echo {}`, and `echo 'test -e ready' | parallel --retries 9`,
//!   which succeeds after `touch ready`.
//! - `seq 60 | parallel --journal j 'sleep 1; echo {}'`: end it by `kill -9`, and start it again
//!   with `--resume`. It runs what is left. `awk '$2 != 0' j` shows what has failed.
//!
//! Ctrl-C: no more commands start, and those that run go on. The second ends them, as a time limit
//! does. The third ends this program at once.
//!
//! After `kill -9` of this program the commands go on as orphans. They have not ended for the
//! journal, so `--resume` runs them again. The output of a command that had ended, and was not
//! printed yet, is lost.
//!
//! Memory does not grow with the input, but `--resume` keeps the entries of the journal there until
//! their lines have come.
//!
//! Exit codes: 0 if all commands have succeeded; 1 if one has failed, now or by the journal, or if
//! not all could be run; 2 for wrong arguments; 130 after a signal.
//!
//! What to read: `run` below is the pool, its limits and its end. Lines become tasks one after the
//! other, so that with `-j 1` commands run in the order of the input, and otherwise start in about
//! that order. `runner.rs` has the body of a task, which waits for a process. `input.rs` reads on a
//! thread of its own, so that one Ctrl-C is enough. `stop.rs` has the two tokens. `journal.rs` is a
//! log that survives SIGKILL.

mod input;
mod journal;
mod options;
mod output;
mod report;
mod runner;
mod stop;

use crate::input::{Jobs, read_ahead};
use crate::journal::{Done, Journal};
use crate::options::Options;
use crate::report::Report;
use crate::runner::{Line, Runner};
use crate::stop::Stop;
use millhand::error::BoxError;
use millhand::pool::{Retrying, TaskBuilder};
use millhand::{RateLimiter, Retry, Semaphore, Shutdown, Signals, ThreadPool};
use millhand_programs::{arguments, output_error, say};
use rustix::process::{Resource, getrlimit};
use std::error::Error;
use std::io::{self, Write, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How many lines may be taken beside those whose commands run: they are next, they wait for
/// another attempt, or their output waits for its turn.
const AHEAD: u32 = 64;

/// How many files are open beside the outputs: the input, the journal, the standard ones, and those
/// of a command that is being started.
const OWN_FILES: u64 = 12;

/// Makes a task of each command, and another attempt of one that fails.
type Template = TaskBuilder<Retrying<BoxError>>;

fn main() -> ExitCode {
    let options: Options = arguments::parse();
    env_logger::init();
    let ended = match options.dry_run {
        true => dry_run(&options),
        false => run(options),
    };
    ended.unwrap_or_else(|error| {
        say(format_args!("parallel: {error}"));
        ExitCode::FAILURE
    })
}

/// Prints the commands, as the shell would get them.
fn dry_run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let done = match &options.journal {
        Some(path) if options.resume => Done::read(path)?,
        _ => Done::default(),
    };
    let mut out = stdout().lock();
    for job in Jobs::open(options, done)? {
        let mut command = job?.command;
        command.push(b'\n');
        match out.write_all(&command) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(ExitCode::FAILURE);
            }
            written => written.map_err(output_error)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn run(options: Options) -> Result<ExitCode, Box<dyn Error>> {
    check_open_files(options.jobs)?;
    // Before the pool, so that its threads are there for no signal that ends the process.
    let signals = Signals::install();
    let (journal, done) = match &options.journal {
        Some(path) => Journal::open(path, options.resume)?,
        None => Default::default(),
    };
    let stop = Arc::new(Stop::new(&signals));
    let report = Report::new(&options, &done, &stop);
    let mut lines = read_ahead(Jobs::open(&options, done)?, &stop)?;

    let jobs = usize::try_from(options.jobs)?; // a command keeps a thread, which waits for it
    let pool = ThreadPool::builder().workers(jobs).build()?;
    pool.shutdown_on(&signals, Shutdown::finish_running());
    let template = template(&pool, &options, &stop)?;
    let _note = report.announce();
    let room = Semaphore::new(options.jobs.saturating_add(AHEAD))?;
    let runner = Arc::new(Runner::new(&options, journal, report, stop.clone()));
    for index in 0.. {
        let room = room.acquire()?;
        let Some(job) = lines.next() else { break };
        let (runner, line) = (
            runner.clone(),
            Arc::new(Line {
                index,
                job,
                _room: room,
            }),
        );
        // It refuses after a signal.
        if template
            .try_execute_ok(move || runner.attempt(&line))
            .is_err()
        {
            break;
        }
    }
    // After a signal that goes on as it began.
    let ended = pool.shutdown(Shutdown::drain())?;
    let failed = runner.report.finish();
    match stop.error() {
        Some(error) => Err(error.into()),
        None if signals.count() > 0 => Ok(Signals::EXIT_CODE.into()),
        None if stop.takes_more() && failed + ended.failed() + ended.panicked() == 0 => {
            Ok(ExitCode::SUCCESS)
        }
        None => Ok(ExitCode::FAILURE),
    }
}

/// Refuses more commands at a time than there can be files for: each has two for its output.
/// Otherwise those above the limit would fail, and be noted as ended.
fn check_open_files(jobs: u32) -> Result<(), String> {
    let needed = 2 * u64::from(jobs) + OWN_FILES;
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => Err(format!(
            "--jobs {jobs} needs {needed} open files at least, and {limit} are allowed (ulimit -n)"
        )),
        _ => Ok(()),
    }
}

/// The options of each task.
fn template(
    pool: &ThreadPool,
    options: &Options,
    stop: &Arc<Stop>,
) -> Result<Template, Box<dyn Error>> {
    // Not the number of workers: a task that waits for a process is none that runs.
    let slots = Semaphore::new(options.jobs)?;
    let mut task = pool.task().name("command").gate(&slots).token(&stop.run);
    if let Some(rate) = options.rate {
        let starts = RateLimiter::token_bucket(rate.number, rate.per)
            .burst(1)
            .build()?;
        task = task.gate(&starts);
    }
    if let Some(limit) = options.timeout {
        task = task.attempt_timeout(limit);
    }
    let task = task.retry(Retry::fixed(options.retries, Duration::from_secs(1)));
    task.check()?;
    Ok(task)
}
