//! A web service on two pools.
//!
//!     cargo run --release --manifest-path examples/programs/Cargo.toml --bin http_service
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
use millhand::pool::ShutdownReport;
use millhand::{Semaphore, Shutdown, Signals, ThreadPool};
use millhand_programs::http::Limits;
use std::error::Error;
use std::io::{Write, stdout};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

/// Serves tasks over HTTP.
#[derive(Parser)]
#[command(name = "http_service", version, after_help = EXIT_CODES)]
struct Options {
    /// The address to listen on. Port 0 takes any that is free
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: String,

    /// How many tasks run at once [default: the number of processors]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,

    /// How many tasks may wait for a worker
    #[arg(long, value_name = "N", default_value_t = 100)]
    queue: usize,

    /// How many connections may be open at once
    #[arg(long, value_name = "N", default_value_t = 256)]
    connections: u32,

    /// How long a client may take for a request, and for a response
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    client_timeout: Duration,

    /// After a signal, how long requests may take, and then tasks, before they are cancelled
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    drain: Duration,
}

/// How long what was asked to stop may take for that.
const LEAVE: Duration = Duration::from_secs(2);

const EXIT_CODES: &str = "Exit codes: 0 after Ctrl-C or SIGTERM, when all tasks have ended; 1 if the address cannot \
    be listened on, or tasks were cancelled or left running; 2 for wrong arguments; 130 after the \
    third signal.";

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().map(Duration::try_from_secs_f64);
    match seconds {
        Some(Ok(seconds)) if !seconds.is_zero() => Ok(seconds),
        _ => Err("not a number of seconds above 0"),
    }
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let options = Options::parse(); // ends the process with 2 for wrong arguments
    match run(&options) {
        Ok(reports) if reports.iter().all(ShutdownReport::is_clean) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("http_service: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<Vec<ShutdownReport>, Box<dyn Error>> {
    let signals = Signals::install(); // before the threads of the pools
    let listener = TcpListener::bind(&options.listen)
        .map_err(|error| format!("--listen {}: {error}", options.listen))?;
    let processors = available_parallelism().map_or(1, usize::from);
    let work = ThreadPool::builder()
        .name_prefix("work")
        .workers(options.workers.unwrap_or(processors))
        .queue_capacity(options.queue)
        .histograms(4)
        .build()?;
    let connections = ThreadPool::builder()
        .name_prefix("connections")
        .max_threads(options.connections as usize + processors + 1)
        .build()?;
    let sockets = ThreadPool::builder()
        .name_prefix("sockets")
        .max_threads(2 * MOST_SOCKETS as usize + processors)
        .build()?;
    let hub = Arc::new(Hub::new(&sockets, options.client_timeout));
    let news = hub.clone();
    let service = Service {
        tasks: Tasks::new(&work, move |task| news.announce(task)),
        sockets: hub.clone(),
        work: work.handle(),
        connections: connections.handle(),
        queue: options.queue,
        slots: Semaphore::new(options.connections)?,
        most_connections: options.connections,
    };
    let address = listener.local_addr()?;
    let server = Server {
        service: Arc::new(service),
        limits: Limits {
            time: options.client_timeout,
            ..Limits::default()
        },
        stop: signals.token(),
    };
    server.accept(&connections, listener)?;
    // `println!` panics where nobody reads.
    writeln!(stdout(), "listening on http://{address}")?;

    let how = Shutdown::drain()
        .cancel_after(options.drain)
        .give_up_after(options.drain.saturating_add(LEAVE));
    let mut reports = Vec::new();
    let mut end = |pool: &ThreadPool| -> Result<(), Box<dyn Error>> {
        let report = pool.run_until(&signals, how.clone())?;
        let _ = writeln!(stdout(), "{}: {report}", pool.stats().pool);
        reports.push(report);
        Ok(())
    };
    end(&connections)?;
    end(&work)?;
    hub.close();
    end(&sockets)?;
    Ok(reports)
}
