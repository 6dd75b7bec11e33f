//! A web service that runs the bodies of requests as tasks, on plain threads.
//!
//!     cargo run --release --manifest-path examples/programs/Cargo.toml --bin http_service
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /` | a page with live numbers |
//! | `GET /api/status` | the numbers as JSON |
//! | `GET /metrics` | the numbers for Prometheus |
//! | `POST /api/data` | 202 with the id of a task; 503 if the queue is full |
//! | `POST /api/data?wait=2s` | 200 with the result of the task, if it ends in time |
//! | `GET /api/tasks/ID` | state, result and times of a task |
//! | `DELETE /api/tasks/ID` | cancels a task: 200 if it had not begun, 202 if it runs |
//! | `GET /ws` | a WebSocket: an echo of JSON, and news of every task that has ended |
//!
//! A task counts the words of `{"text": ".."}`, or sums up `{"numbers": [..]}`. With `"cost_ms"` it
//! keeps its worker busy for so long, and with `"fail": true` it fails. Every error is JSON, with
//! its status and a text. The last 1000 tasks that have ended are remembered.
//!
//! Ctrl-C or SIGTERM ends the service: idle connections end at once, requests in progress are
//! answered, tasks that were taken are finished, and the WebSockets get the last news. Then the
//! report of each pool is printed.
//!
//! To try, with the address that it prints:
//!
//! - `curl -d '{"text": "to be or not"}' 'http://127.0.0.1:8080/api/data?wait=2s'`
//! - `curl -i -d '{"text": "", "cost_ms": 30000}' http://127.0.0.1:8080/api/data`. Then the path in
//!   its `Location`, with `curl` and with `curl -X DELETE`. Or Ctrl-C in the service.
//! - `--workers 1 --queue 2`, and the same four times: the last one gets 503.
//! - `curl -i -d '{"text": 1}' http://127.0.0.1:8080/api/data`, or any other mistake.
//! - `--bin http_load` with a URL of the service, while the page is open in a browser.
//!
//! Exit codes: 0 after a signal, when all tasks have ended; 1 if the address cannot be listened on,
//! or if tasks were cancelled or left running at the end; 2 for wrong arguments; 130 after the
//! third signal.
//!
//! What to read: `run` below has the three pools and their end. `connections.rs` accepts and
//! serves, `routes.rs` answers, `tasks.rs` submits and remembers, `work.rs` is the work itself, and
//! `sockets.rs` has the WebSockets. `src/http/` of the package reads and writes HTTP, for any
//! program.

mod connections;
mod routes;
mod sockets;
mod tasks;
mod work;

use crate::connections::Server;
use crate::routes::Service;
use crate::sockets::{Hub, MOST_SOCKETS};
use crate::tasks::Tasks;
use clap::Parser;
use millhand::pool::{BuildError, ShutdownReport};
use millhand::{Semaphore, Shutdown, Signals, ThreadPool};
use millhand_programs::arguments::{self, host_and_port, seconds, whole};
use millhand_programs::http::Limits;
use millhand_programs::{print, say};
use std::error::Error;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Serves tasks over HTTP.
///
/// Ctrl-C or SIGTERM ends it: requests in progress are answered, and tasks finished. A second
/// signal cancels them, a third ends the process.
#[derive(Parser)]
#[command(name = "http_service", version, after_help = EXIT_CODES)]
struct Options {
    /// The address to listen on. Port 0 takes any that is free
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    #[arg(value_parser = host_and_port)]
    listen: String,

    /// How many tasks run at once [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=1024))]
    workers: Option<u16>,

    /// How many tasks may wait for a worker
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = whole::<u32>(1..=u32::MAX.into()))]
    queue: u32,

    /// How many connections may be open, each with a thread. Others wait until one ends
    #[arg(long, value_name = "N", default_value_t = 128)]
    #[arg(value_parser = whole::<u32>(1..=4096))]
    connections: u32,

    /// How long a client may take for the next request, to send it, and to read a response
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    client_timeout: Duration,

    /// After a signal, how long requests may take, and then tasks, before they are cancelled
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    drain: Duration,
}

const EXIT_CODES: &str = "Exit codes: 0 after a signal, when all tasks have ended; 1 if the \
    address cannot be listened on, or if tasks were cancelled or left running at the end; 2 for \
    wrong arguments; 130 after the third signal.";

/// How long what was asked to stop may take for that.
const LEAVE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let options: Options = arguments::parse();
    match run(&options) {
        Ok(reports) if reports.iter().all(ShutdownReport::is_clean) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(format_args!("http_service: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<[ShutdownReport; 3], Box<dyn Error>> {
    let signals = Signals::install(); // before the threads of the pools
    let listener = TcpListener::bind(&options.listen)
        .map_err(|error| format!("--listen {}: {error}", options.listen))?;
    let Pools {
        connections,
        work,
        sockets,
    } = Pools::new(options)?;
    let hub = Arc::new(Hub::new(&sockets, options.client_timeout));
    let news = hub.clone();
    let service = Service {
        tasks: Tasks::new(&work, move |task| news.announce(task)),
        sockets: hub.clone(),
        work: work.handle(),
        queue: options.queue,
        connections: connections.handle(),
        slots: Semaphore::new(options.connections)?,
        most_connections: options.connections,
    };
    let server = Server {
        service: Arc::new(service),
        limits: Limits {
            time: options.client_timeout,
            ..Limits::default()
        },
        stop: signals.token(),
    };
    // Before the first connection is accepted, so that the program can end here.
    print(format_args!(
        "listening on http://{}",
        listener.local_addr()?
    ))?;
    server.accept(&connections, listener)?;

    // One after the other: requests in progress still need the work, and the last tasks the
    // WebSockets. After the first signal each call begins to drain, after a second it cancels.
    let how = Shutdown::drain()
        .cancel_after(options.drain)
        .give_up_after(options.drain.saturating_add(LEAVE));
    let connections = report(&connections, connections.run_until(&signals, how.clone())?);
    let work = report(&work, work.run_until(&signals, how)?);
    hub.close();
    let how = Shutdown::drain()
        .cancel_after(LEAVE)
        .give_up_after(2 * LEAVE);
    let sockets = report(&sockets, sockets.run_until(&signals, how)?);
    Ok([connections, work, sockets])
}

fn report(pool: &ThreadPool, report: ShutdownReport) -> ShutdownReport {
    let _ = print(format_args!("{}: {report}", pool.stats().pool));
    report
}

/// The pools. One for all would not do: a task that a worker of a pool submits there itself is
/// always taken, so the queue of the requests would have no bound. And the work would wait behind
/// clients, or clients behind the work.
///
/// Where tasks wait for clients, there is a worker for each that may do so. With fewer workers, and
/// reads inside of `blocking`, a spare thread would take the next connection. But if clients answer
/// within microseconds, their tasks have the run slots back before the spare has come, and the
/// next connection begins many milliseconds late.
struct Pools {
    /// A task per connection, and one that accepts them.
    connections: ThreadPool,
    /// The tasks of the requests.
    work: ThreadPool,
    /// A task per WebSocket that reads, and one that writes.
    sockets: ThreadPool,
}

impl Pools {
    fn new(options: &Options) -> Result<Self, BuildError> {
        let pool = |name: &str| ThreadPool::builder().name_prefix(name);
        let mut work = pool("work").queue_capacity(options.queue as usize);
        if let Some(workers) = options.workers {
            work = work.workers(workers.into());
        }
        Ok(Self {
            connections: pool("connections")
                .workers(options.connections as usize + 1)
                .build()?,
            work: work.build()?,
            sockets: pool("sockets").workers(2 * MOST_SOCKETS as usize).build()?,
        })
    }
}
