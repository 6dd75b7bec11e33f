//! A small cron daemon: a file says which commands run at which times.
//!
//!     cargo run --release --manifest-path examples/programs/Cargo.toml --bin scheduler -- crontab
//!
//! A file to begin with; `--help` has the whole format:
//!
//!     TZ=Europe/Berlin
//!     30 2 * * *           [name=backup timeout=1h missed=1] tar -czf /tmp/etc.tgz /etc
//!     */15 9-17 * * MON-FRI [name=sync overlap=queue] rsync -a notes/ server:notes
//!     @every 10s           date
//!
//! To try:
//!
//! - `-- --simulate 7d crontab` prints what would run in the next seven days. `--from
//!   2026-03-28T00:00` begins elsewhere, here on the day before clocks go forward in Berlin.
//! - `-- --listen 127.0.0.1:9945 crontab` has a page with the schedules, their next runs, and the
//!   commands that run.
//! - Change the file and `kill -HUP` the process. Then write a wrong line, and do it again.
//! - Ctrl-C while a command runs; and Ctrl-C again.
//!
//! A command is a task of a pool, and a line of the file is a schedule of that pool. So the library
//! has the rules about times, daylight saving, runs that overlap, runs that were missed and time
//! limits, and it ends commands with all that they have started.
//!
//! After `kill -9` of the scheduler the commands that run go on as orphans.
//!
//! Exit codes: 0 after SIGTERM, SIGINT or --simulate; 1 if the file cannot be read, or the page or
//! the pool fails; 2 for wrong arguments and for wrong lines in the file; 130 after the third
//! signal.
//!
//! What to read: `table.rs` has the format, and makes schedules of lines. `daemon.rs` has the
//! signals and the reload, `command.rs` one run of a command, `simulate.rs` the list of the runs to
//! come.

mod command;
mod daemon;
mod simulate;
mod table;

use crate::daemon::LogLeftOut;
use crate::table::TableError;
use clap::Parser;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use millhand::dashboard::Dashboard;
use millhand::{Shutdown, ThreadPool};
use millhand_programs::arguments::{self, duration};
use millhand_programs::{output_error, print, say};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::error::Error;
use std::io::{self, ErrorKind, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Runs commands at the times that a file says, as cron does.
///
/// SIGHUP reads the file again: lines that did not change keep their schedules, and a command that
/// runs goes on, also if its line is gone. If a line is wrong, the old table stays in force.
/// SIGTERM or SIGINT (Ctrl-C) ends the scheduler: no command starts any more, and those that run
/// have the time of --grace to end. Then they get SIGTERM, and SIGKILL 5 seconds later. The second
/// signal ends the grace at once, and the third ends the scheduler alone. Each of these signals
/// counts even if it was ignored at the start, as under nohup.
#[derive(Parser)]
#[command(name = "scheduler", version, after_help = FORMAT)]
struct Options {
    /// The table of commands
    file: PathBuf,

    /// Serves a status page at an address of this machine. Port 0 takes any that is free
    #[arg(long, value_name = "ADDR", conflicts_with = "simulate")]
    listen: Option<String>,

    /// How long commands may go on after the first SIGTERM or SIGINT
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    grace: Duration,

    /// Prints what would run in so much time, and runs nothing. Commands take no time here
    #[arg(long, value_name = "TIME", value_parser = duration)]
    simulate: Option<Duration>,

    /// When that scheduler is started: a local time as 2026-03-28T00:00, or one with an offset as
    /// 2026-03-28T00:00Z [default: now]
    #[arg(long, value_name = "WHEN", requires = "simulate", value_parser = moment)]
    from: Option<Timestamp>,
}

const FORMAT: &str = "\
The file, one thing a line:
  # a comment
  NAME=value                 environment of the commands below; TZ is also the time zone of their
                             times, by default that of the system
  MINUTE HOUR DAY MONTH WEEKDAY [OPTIONS] COMMAND
  @every TIME [OPTIONS] COMMAND  the first time so long after the start
  @hourly [OPTIONS] COMMAND      also @daily, @weekly, @monthly, @yearly
The command is the rest of the line, for `sh -c`; a `%` is nothing special. It runs where the
scheduler was started, and what it writes goes to the log. It ends with its shell: what that leaves
in the background goes on, with its output closed.
Options, in brackets and all optional:
  name=WORD       how the log and the page call it (default: the command)
  overlap=skip    a run that is due while another runs is left out (default)
  overlap=queue   one such run waits for the end of the other
  overlap=N       up to N at once
  missed=skip     for all runs whose times passed unnoticed, as in a suspended machine, one runs
                  late (default)
  missed=N        after that one, up to N more run late
  timeout=TIME    the command gets SIGTERM after so long, and SIGKILL 5 seconds later
A TIME is such as 500ms, 30s, 10m, 1h30m or 7d.

Exit codes: 0 after SIGTERM, SIGINT or --simulate; 1 if the file cannot be read, or the page or the \
pool fails; 2 for wrong arguments and for wrong lines in the file; 130 after the third signal.";

fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let local = text.parse::<DateTime>().ok();
    let zoned = local.and_then(|local| local.to_zoned(TimeZone::system()).ok());
    let moment = zoned.map(|zoned| zoned.timestamp());
    moment.ok_or_else(|| "allowed are such as 2026-03-28T00:00 and 2026-03-28T00:00Z".into())
}

fn main() -> ExitCode {
    let options: Options = arguments::parse();
    let log = env_logger::Env::default().default_filter_or("info");
    env_logger::Builder::from_env(log)
        .format_target(false)
        .init();
    let done = match options.simulate {
        Some(span) => simulate(&options, span),
        None => serve(&options),
    };
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    match error.downcast_ref() {
        // Each line as compilers print it, so that editors find the place.
        Some(TableError::Lines(_)) => {
            say(error);
            ExitCode::from(2)
        }
        _ => {
            say(format_args!("scheduler: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn simulate(options: &Options, span: Duration) -> Result<(), Box<dyn Error>> {
    let entries = table::load(&options.file)?;
    let from = options.from.unwrap_or_else(Timestamp::now);
    match simulate::print(
        &entries,
        from,
        span,
        &mut io::BufWriter::new(stdout().lock()),
    ) {
        // The reader has seen enough, as in `| head -1`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => Ok(printed.map_err(output_error)?),
    }
}

fn serve(options: &Options) -> Result<(), Box<dyn Error>> {
    // Before all else, so that a signal that comes early is not lost.
    let signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let entries = table::load(&options.file)?;
    let pool = ThreadPool::builder()
        .name_prefix("scheduler")
        .observer(LogLeftOut)
        .build()?;
    let _page = match &options.listen {
        None => None,
        Some(listen) => {
            let page = Dashboard::builder().pool(&pool).serve(listen);
            let page = page.map_err(|error| format!("--listen {listen}: {error}"))?;
            print(format_args!("the page is at http://{}/", page.local_addr()))?;
            Some(page)
        }
    };
    let how = Shutdown::drain().cancel_after(options.grace);
    daemon::run(&pool, &options.file, entries, signals, how)
}
