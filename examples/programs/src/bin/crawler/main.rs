//! Checks the links of a web site: crawls it, and prints each broken link and the page it is on.
//!
//!     cargo run --release --manifest-path examples/programs/Cargo.toml --bin crawler -- URL..
//!
//! The output has a line `STATUS URL <- REFERRER` for each broken link. The status is that of the
//! reply, or the reason why there is none: `timeout`, `unreachable`, `closed`, `tls`, `protocol`,
//! `invalid`, or `loop` for redirects in a circle. A summary follows on the standard error. Only
//! the hosts of the start pages are crawled. `robots.txt` is followed there, but for the start
//! pages, which are asked for by name. `Crawl-delay` is ignored; use `--rate`.
//!
//! Memory grows with the site: each page that a link names, checked or not, and each link to it are
//! kept to the end.
//!
//! To try:
//!
//! - The docs of this library have many links: `cargo doc --no-deps`, then `python3 -m http.server
//!   -d target/doc 8000` in another terminal, then `-- http://127.0.0.1:8000/millhand/`.
//! - `-- --tui URL` shows the pages in a table while they come, and until `q`.
//! - `RUST_LOG=crawler=debug` logs each request with the page on which its link was found.
//! - `-- URL http://127.0.0.1:1/`: one start page that fails ends the program, and the others.
//! - Ctrl-C in the middle: requests that run are finished, and what was found is printed. A third
//!   Ctrl-C ends it at once.
//!
//! Exit codes: 0 if no link is broken, 1 if one is, 2 for wrong arguments, 3 if a start page
//! cannot be fetched or the output fails, 130 after Ctrl-C.
//!
//! # What to read
//!
//! - `start.rs`: a scope. The start pages are fetched all at once, and the first failure cancels
//!   the others and is the error of the program.
//! - `crawl.rs`: chained tasks. A page is fetched, read, and its links are submitted, by three
//!   tasks that no thread waits between. The first passes a limiter for its host, is tried again,
//!   and has a time limit.
//! - `fetch.rs`: a context variable. The page that has the link is set where the link is
//!   submitted, and is there in the header of the request and in the log.
//! - `print` below and `tui.rs`: two main loops that get the results by a channel. The tasks never
//!   touch the screen, and the loops never wait for a task.
//!
//! # How it ends
//!
//! Tasks submit tasks, so the main thread cannot know which page is the last. A count of the
//! pending pages would have to be right after a panic, a cancel and a time limit, too.
//! `wait_idle`, or a scope around the whole crawl, would be right, but blocks the thread that
//! draws. So the channel is the count: each pending page holds a sender, in a task or in the
//! closure of one. Whatever becomes of a task, its closure is dropped. When no page is pending, the
//! channel is closed, and the main loop ends. Ctrl-C cancels the token of the requests: those that
//! wait settle at once, nothing follows them, and the end comes in the same way.

mod crawl;
mod fetch;
mod frontier;
mod html;
mod report;
mod robots;
mod start;
mod tui;
mod url;

use crate::crawl::Crawl;
use crate::fetch::{FetchError, Fetcher};
use crate::frontier::Frontier;
use crate::report::{Event, Report};
use crate::url::Url;
use clap::Parser;
use millhand::cancel::CancelReason;
use millhand::pool::{Plain, Retrying};
use millhand::{CancelToken, RateLimiter, Retry, Signals, TaskBuilder, ThreadPool};
use millhand_programs::arguments::{seconds, whole};
use millhand_programs::{arguments, print_no_task_panics};
use std::error::Error;
use std::io::{self, ErrorKind, IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// Crawls web sites, and prints their broken links as lines `STATUS URL <- REFERRER`.
#[derive(Parser)]
#[command(name = "crawler", version, args_override_self = true, after_help = EXIT_CODES)]
struct Options {
    /// Where to begin. The hosts of these pages are crawled, and no others
    #[arg(required = true, value_name = "URL", value_parser = Url::parse)]
    start: Vec<Url>,

    /// Checks links to other hosts, too, with a request each. What they link to is not followed
    #[arg(long)]
    external: bool,

    /// Goes so many links deep. A redirect is a link, too
    #[arg(long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = whole::<u32>(0..=u32::MAX.into()))]
    depth: u32,

    /// Checks so many pages
    #[arg(long, value_name = "N", default_value_t = 1000)]
    #[arg(value_parser = whole::<usize>(0..=u32::MAX.into()))]
    pages: usize,

    /// Checks so many pages at the same time
    #[arg(long, value_name = "N", default_value_t = 8)]
    #[arg(value_parser = whole::<u16>(1..=256))]
    jobs: u16,

    /// Sends so many requests per second to each host
    #[arg(long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = whole::<u32>(1..=10_000))]
    rate: u32,

    /// Gives a page so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,

    /// Tries again so often, where there was no connection or it was closed
    #[arg(long, value_name = "N", default_value_t = 2)]
    #[arg(value_parser = whole::<u32>(0..=u32::MAX.into()))]
    retries: u32,

    /// Reads so many bytes of a page
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    #[arg(value_parser = whole::<u64>(0..=u64::MAX))]
    max_body: u64,

    /// Shows the pages in this terminal, until `q` is pressed
    #[arg(long)]
    tui: bool,
}

const EXIT_CODES: &str = "Exit codes: 0 if no link is broken, 1 if one is, 2 for wrong arguments, \
    3 if a start page cannot be fetched or the output fails, 130 after Ctrl-C.";

fn main() -> ExitCode {
    let options: Options = arguments::parse();
    if options.tui && !stdout().is_terminal() {
        say("--tui needs a terminal, and the standard output is none");
        return ExitCode::from(2);
    }
    if !options.tui {
        env_logger::init(); // its lines would be in the way of the table
    }
    print_no_task_panics();
    let signals = Signals::install();
    ExitCode::from(match run(&options, &signals) {
        _ if signals.count() > 0 => Signals::EXIT_CODE,
        Ok(shown) if shown.is_interrupted => Signals::EXIT_CODE,
        Ok(shown) => u8::from(shown.report.counts.broken_links > 0),
        Err(error) => {
            say(&error.to_string());
            3
        }
    })
}

/// What a main loop has seen.
#[derive(Default)]
struct Shown {
    report: Report,
    /// The lines that are not printed yet.
    lines: Vec<String>,
    is_interrupted: bool,
}

fn run(options: &Options, signals: &Signals) -> Result<Shown, Box<dyn Error>> {
    let begun = Instant::now();
    let stop = signals.token().child();
    let pool = ThreadPool::new(options.jobs.into())?;
    let bucket = RateLimiter::token_bucket(options.rate, Duration::from_secs(1)).burst(1);
    let rates = RateLimiter::keyed(bucket)?;
    let fetcher = Fetcher::new(options.max_body, options.jobs.into());
    let started = start::start(&pool, options, &rates, &fetcher, &stop)?;
    let (send, events) = mpsc::channel();
    let crawl = Crawl {
        request: request(pool.task().name("fetch"), options).token(&stop),
        rates,
        fetcher,
        sites: started.sites,
        checks_external: options.external,
        frontier: Mutex::new(Frontier::new(options.depth, options.pages)),
        events: send,
    };
    crawl.begin(&pool, started.pages);
    let (output, shown) = match options.tui {
        true => ("the terminal", tui::run(&pool, &events, &stop)),
        false => ("the standard output", print(&events, &stop)),
    };
    stop.cancel(); // a loop that has failed leaves a crawl behind
    let shown = shown.map_err(|error| format!("{output}: {error}"))?;
    for line in &shown.lines {
        let _ = writeln!(stdout(), "{line}"); // the terminal may be gone
    }
    say(&shown.report.summary(begun.elapsed()));
    Ok(shown)
}

fn say(text: &str) {
    millhand_programs::say(format_args!("crawler: {text}"));
}

/// Gives the template of a request its options, in the pool or in a scope.
fn request<P>(
    task: TaskBuilder<Plain, P>,
    options: &Options,
) -> TaskBuilder<Retrying<FetchError>, P> {
    task.attempt_timeout(options.timeout)
        .retry(Retry::exponential(
            options.retries,
            Duration::from_millis(200),
        ))
        .retry_if(|error: &FetchError| error.is_transient)
        .retry_timeouts(false)
}

/// The main loop that prints lines. It ends when no page is pending.
fn print(events: &Receiver<Event>, stop: &CancelToken) -> io::Result<Shown> {
    let mut shown = Shown::default();
    let mut written = Ok(());
    let _hook = stop.on_cancel(|reason| {
        if reason == CancelReason::Shutdown {
            say("stopping: requests that run are finished");
        }
    });
    for event in events {
        for line in shown.report.take(event) {
            if written.is_ok() {
                written = writeln!(stdout(), "{line}");
            }
        }
        if written.is_err() {
            stop.cancel(); // nobody reads, as after `| head -1`
        }
    }
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(shown),
    }
}
