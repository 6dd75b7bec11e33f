//! A page that shows what two busy pools do, and the same in the terminal.
//!
//!     cargo run --manifest-path examples/programs/Cargo.toml --bin dashboard
//!
//! Open the address that it prints. The load is made up: named tasks that are resized pictures,
//! fetched pages, reports and mails in name only. Some fail, are tried again, wait for a limiter,
//! run out of time or are refused, and schedules run beside them. Ctrl-C ends it: the pools finish
//! what they have, and it prints what became of all tasks.
//!
//! To try:
//!
//! - `-- --tui` shows it in the terminal. Tab shows the other pool, `c` cancels the selected task.
//! - `-- --control` prints a token. Give it to the page, then cancel an `import`, pause a schedule,
//!   change the number of workers, or press "burst" in the panel of the load.
//! - `curl http://127.0.0.1:9944/metrics`, `/stats.json` and `/tasks.json`.
//!
//! Exit codes: 0 after a signal, `q` or `--seconds`; 1 if the page or the terminal fails, or tasks
//! are left running; 2 for wrong arguments; 130 after the third signal.
//!
//! What to read: `pools` below has the options by which a pool can be looked into, and `serve` the
//! page. `load.rs` has tasks with limits, retries and schedules. `history.rs` is an observer,
//! `tui.rs` and `view.rs` ask a pool what it does.

mod history;
mod load;
mod tui;
mod view;

use crate::history::History;
use crate::load::{Burst, Load};
use clap::Parser;
use millhand::dashboard::Dashboard;
use millhand::pool::ShutdownReport;
use millhand::{OnFull, Shutdown, Signals, ThreadPool};
use millhand_programs::arguments::{self, seconds, whole};
use millhand_programs::{print, print_no_task_panics, random, say};
use std::error::Error;
use std::io::{IsTerminal, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Shows what two pools do, which run a made-up load: as a page, and with --tui in the terminal,
/// too.
///
/// Ctrl-C or SIGTERM ends it: tasks that are queued or run have 3 seconds to end, and then are
/// cancelled. A second signal cancels at once, a third ends the process.
#[derive(Parser)]
#[command(name = "dashboard", version, after_help = EXIT_CODES)]
struct Options {
    /// The address of the page, one of this machine. Port 0 takes any that is free
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9944")]
    listen: String,

    /// Lets the page cancel, pause and resize, with a token that is printed
    #[arg(long)]
    control: bool,

    /// The same with this token
    #[arg(long, value_parser = token)]
    token: Option<String>,

    /// Shows the pools in this terminal
    #[arg(long)]
    tui: bool,

    /// Ends after so long
    #[arg(long, value_name = "N", value_parser = seconds)]
    seconds: Option<Duration>,

    /// What decides the load
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = whole::<u64>(0..=u64::MAX))]
    seed: u64,
}

const EXIT_CODES: &str = "Exit codes: 0 after a signal, `q` or --seconds; 1 if the page or the terminal \
    fails, or tasks are left running; 2 for wrong arguments; 130 after the third signal.";

fn token(text: &str) -> Result<String, &'static str> {
    match text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("a token is visible ASCII, 16 characters at least"),
    }
}

fn main() -> ExitCode {
    let options: Options = arguments::parse();
    if options.tui && !stdout().is_terminal() {
        say("dashboard: --tui needs a terminal, and the standard output is none");
        return ExitCode::from(2);
    }
    print_no_task_panics();
    match run(options) {
        Ok(reports) if reports.iter().all(|one| one.still_running().is_empty()) => {
            ExitCode::SUCCESS
        }
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(format_args!("dashboard: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A pool, and what went wrong in it.
struct Shown {
    pool: ThreadPool,
    history: Arc<History>,
}

fn run(options: Options) -> Result<Vec<ShutdownReport>, Box<dyn Error>> {
    // Before the pools, so that their threads are there for no signal that ends the process.
    let signals = Signals::install();
    let pools = pools()?;
    let [web, mail] = &pools;
    let (load, burst) = Load::new(&web.pool, &mail.pool, options.seed)?;
    let token = match options.token {
        None if options.control => Some(random::token()?),
        token => token,
    };
    let page = serve(&pools, burst, &options.listen, token.as_deref())?;
    let address = format!("http://{}/", page.local_addr());
    print(format_args!("the page is at {address}"))?;
    if let Some(token) = &token {
        print(format_args!("the token for changes is {token}"))?;
    }

    let stop = match options.seconds {
        None => signals.token().child(),
        Some(limit) => signals.token().child_with_timeout(limit),
    };
    let feeder = {
        let stop = stop.clone();
        thread::Builder::new()
            .name("load".into())
            .spawn(move || load.run(&stop))?
    };
    let shown = match options.tui {
        true => tui::run(&pools, &address, token.as_deref(), &stop),
        // It ends when it is asked to stop, which is no error here.
        false => {
            let _ = stop.wait();
            Ok(())
        }
    };
    stop.cancel();
    // A fault of the load is printed by the panic hook. The pools end all the same.
    let fed = feeder.join();
    let reports = shut_down(&pools, &signals)?;
    shown.map_err(|error| format!("the terminal: {error}"))?;
    fed.map_err(|_| "the load has panicked")?;
    Ok(reports)
}

fn pools() -> Result<[Shown; 2], Box<dyn Error>> {
    let build = |name: &str, workers, capacity| -> Result<Shown, Box<dyn Error>> {
        let history = Arc::new(History::default());
        let pool = ThreadPool::builder()
            .name_prefix(name)
            .workers(workers)
            .queue_capacity(capacity)
            .on_full(OnFull::Reject)
            .track_queue(true) // so that the age of the oldest queued task is known
            .histograms(20)
            .slow_task(Duration::from_secs(5))
            .stalled(Duration::from_secs(2))
            .observer(history.clone())
            .build()?;
        Ok(Shown { pool, history })
    };
    Ok([build("web", 4, 50)?, build("mail", 2, 20)?])
}

fn serve(
    pools: &[Shown],
    burst: Burst,
    listen: &str,
    token: Option<&str>,
) -> Result<Dashboard, Box<dyn Error>> {
    let mut page = Dashboard::builder().panel(burst);
    for Shown { pool, .. } in pools {
        page = page.pool(pool);
    }
    if let Some(token) = token {
        page = page.allow_control(token);
    }
    let page = page.serve(listen);
    Ok(page.map_err(|error| format!("--listen {listen}: {error}"))?)
}

/// Ends both pools at once, and prints what became of their tasks.
fn shut_down(pools: &[Shown], signals: &Signals) -> Result<Vec<ShutdownReport>, Box<dyn Error>> {
    let how = Shutdown::drain()
        .cancel_after(Duration::from_secs(3))
        .give_up_after(Duration::from_secs(8));
    // If a signal has come, this begins in both pools. Otherwise `q` or --seconds ends them, and a
    // signal during the drain counts.
    for Shown { pool, .. } in pools {
        pool.shutdown_on(signals, how.clone());
    }
    let ended: Vec<_> = thread::scope(|s| {
        let end = |shown: &Shown| shown.pool.shutdown(how.clone());
        let ends: Vec<_> = pools
            .iter()
            .map(|shown| s.spawn(move || end(shown)))
            .collect();
        ends.into_iter().map(|end| end.join()).collect()
    });
    let mut reports = Vec::new();
    for (shown, ended) in pools.iter().zip(ended) {
        let report = ended.map_err(|_| "a shutdown has panicked")??;
        let _ = print(format_args!("{}: {report}", shown.pool.stats().pool));
        reports.push(report);
    }
    Ok(reports)
}
