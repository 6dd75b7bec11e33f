//! Sends a list of requests, N at a time, and prints a JSON line for each result.
//!
//!     cargo run --release --manifest-path examples/programs/Cargo.toml --bin batch_client -- urls.txt
//!
//! A line of the file, or of standard input, is a URL or a JSON object. These are for the program
//! `http_service`:
//!
//! ```text
//! http://127.0.0.1:8080/api/status
//! {"url": "http://127.0.0.1:8080/", "method": "HEAD", "headers": {"Accept": "text/html"}}
//! {"url": "http://127.0.0.1:8080/api/data", "params": {"wait": "2s"}, "body": {"numbers": [1, 2]}}
//! ```
//!
//! The method is GET, or POST if there is a body. A body that is a text is sent as it is, any other
//! as JSON. Redirects are followed. A result has the number of its line, the status or the error,
//! the number of attempts, the time from the start of the first to the end of the last, and the
//! length of the body:
//!
//! ```text
//! {"line":1,"method":"GET","url":"http://127.0.0.1:8080/api/status","status":200,"attempts":1,"ms":4.9,"bytes":235}
//! ```
//!
//! A request has failed if there is no response, or one with a status of 400 and above. It is tried
//! again after 408, 425, 429, 500, 502, 503 and 504, and if the connection fails: after the time
//! that the server asks for in `Retry-After`, or else with back-off. POST, PATCH and unknown
//! methods are tried again only with `--retry-all`, since the server may have done what they ask.
//!
//! To try:
//!
//! - `-j 50 --rate 10/s` starts at most 10 attempts a second at each host. Requests to other hosts
//!   do not wait for them, unless all lines that are read ahead are for that host: 200 here, four
//!   for each job.
//! - `--unordered` prints each result at once. Otherwise they are in the order of the lines.
//! - `--bodies | jq -r .body` has the bodies, and `jq 'select(.status != 200)'` what went wrong.
//! - Ctrl-C reads no further, and finishes what was read. A second one cancels that, a third ends
//!   the process. If line N was the last with a result, `tail -n +$((N + 1))` has the rest.
//!
//! Memory does not grow with the input, but with `--bodies` it holds up to four bodies for each
//! job, of 10 MB at most each.
//!
//! Exit codes: 0 if all requests succeeded; 1 if some failed, or the input or the output did, or
//! nothing reads the output any more; 2 for wrong arguments, or a file that cannot be opened; 130
//! after Ctrl-C.
//!
//! What to read: `run` below starts, waits and ends. `client.rs` has the tasks: a template with the
//! limits and retries of all requests, and for each one the gate of its host. `retry.rs` decides
//! what is tried again. `input.rs` reads no further than the results allow, `request.rs` reads a
//! line, and `output.rs` brings the results in order.

mod client;
mod input;
mod output;
mod request;
mod retry;
mod summary;

use crate::client::Client;
use crate::input::Input;
use crate::output::Output;
use clap::Parser;
use millhand::{CancelToken, Semaphore, Shutdown, Signals, ThreadPool};
use millhand_programs::arguments::{Rate, rate, seconds, whole};
use millhand_programs::{arguments, say};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How many requests there may be between input and output for each one that is sent.
const AHEAD: u32 = 4;

/// Sends a list of requests, and prints a JSON line for each result.
///
/// A line of the input is a URL, or a JSON object with "url" and, if wanted, "method", "headers",
/// "params" and "body". A summary goes to standard error.
///
/// Ctrl-C or SIGTERM ends it: requests that were read are finished, and no more are read. A second
/// signal cancels them, a third ends the process.
#[derive(Parser)]
#[command(name = "batch_client", version, after_help = EXIT_CODES)]
struct Options {
    /// The requests, one a line. Default: standard input, which is also -
    file: Option<PathBuf>,

    /// Sends so many requests at a time
    #[arg(short, long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = whole::<u16>(1..=1000))]
    jobs: u16,

    /// Sends at most so many a second, a minute or an hour to each host: 10/s, 90/m, 1000/h
    #[arg(long, value_parser = rate)]
    rate: Option<Rate>,

    /// Tries a request again so often
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = whole::<u32>(0..=u32::MAX.into()))]
    retries: u32,

    /// Tries requests again that are not idempotent, too: POST, PATCH
    #[arg(long)]
    retry_all: bool,

    /// Ends an attempt after so long
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,

    /// Ends a request after so long, all its attempts and pauses included
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    total_timeout: Duration,

    /// Prints each result when it is there, and not in the order of the input
    #[arg(long)]
    unordered: bool,

    /// Prints the bodies, too: as a text, or null for what is not UTF-8. One of more than 10 MB is
    /// an error then
    #[arg(long)]
    bodies: bool,
}

const EXIT_CODES: &str = "Exit codes: 0 if all requests succeeded; 1 if some failed, or the input \
    or the output did, or nothing reads the output any more; 2 for wrong arguments, or a file that \
    cannot be opened; 130 after a signal.";

fn main() -> ExitCode {
    let options: Options = arguments::parse();
    let input = match Input::open(options.file.as_deref()) {
        Ok(input) => input,
        Err(error) => {
            say(format_args!("batch_client: {error}"));
            return ExitCode::from(2);
        }
    };
    run(input, &options).unwrap_or_else(|error| {
        say(format_args!("batch_client: {error}"));
        ExitCode::FAILURE
    })
}

fn run(input: Input, options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    // Before the pool, so that its threads are there for no signal that ends the process.
    let signals = Signals::install();
    let pool = ThreadPool::new(options.jobs.into())?;
    let quit = CancelToken::new();
    let output = Output::new(input.requests, !options.unordered, quit.clone());
    let output = Arc::new(output);
    let client = Client::new(&pool, &quit, output.clone(), options)?;
    let window = Semaphore::new(AHEAD * u32::from(options.jobs))?;

    // A thread that nothing joins: no signal ends its wait for a line.
    let end = quit.child();
    let (results, ended) = (output.clone(), end.clone());
    thread::Builder::new().name("input".into()).spawn(move || {
        input.feed(&client, &results, &window);
        ended.cancel();
    })?;

    let results = output.clone();
    let _hook = signals.token().on_cancel(move |_| {
        results.say("finishing what was read; another Ctrl-C cancels it");
    });
    pool.shutdown_on(&signals, Shutdown::drain());
    pool.run_until(&end, Shutdown::drain())?;
    let is_ok = output.end();
    Ok(match () {
        () if signals.count() > 0 => ExitCode::from(Signals::EXIT_CODE),
        () if is_ok => ExitCode::SUCCESS,
        () => ExitCode::FAILURE,
    })
}
