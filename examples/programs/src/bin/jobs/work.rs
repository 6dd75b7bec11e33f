//! A worker: a pool with a consumer, up to its end.

use crate::handlers::{crash, echo, fail, shell, shown, sleep};
use crate::{Failure, Work, print};
use millhand::error::BoxError;
use millhand::jobs::{Handler, Job, JobContext, Jobs};
use millhand::{Retry, Shutdown, Signals, ThreadPool};
use millhand_programs::say;
use std::time::Duration;

/// How long the jobs that run have to end, after a signal or `--for`.
const GRACE: Duration = Duration::from_secs(10);

pub(crate) fn run(jobs: &Jobs, options: &Work) -> Result<(), Failure> {
    // Before the pool, so that its threads are there for no signal that ends the process.
    let signals = Signals::install();
    let stop = match options.limit {
        None => signals.token().child(),
        Some(limit) => signals.token().child_with_timeout(limit),
    };
    let failed = |error: BoxError| Failure::Failed(error.to_string());
    let workers = options.slots * options.queues.len();
    let pool = ThreadPool::builder().name_prefix("jobs").workers(workers);
    let pool = pool.build().map_err(|error| failed(error.into()))?;

    let mut consumer = jobs
        .consumer(&pool)
        .lease(Duration::from_secs(options.lease));
    for queue in &options.queues {
        consumer = consumer.queue(queue, options.slots);
    }
    // Not after the start: a job may crash this process at once.
    say(format_args!("jobs: works on {}", options.queues.join(", ")));
    let consumer = consumer
        .handler(handler(echo))
        .handler(handler(sleep))
        .handler(handler(fail))
        .handler(handler(crash))
        .handler(handler(shell))
        .start()?;

    let how = Shutdown::drain().cancel_after(GRACE);
    // A second signal cancels at once, and a third ends the process.
    pool.shutdown_on(&signals, how.clone());
    let _ = stop.wait();
    pool.shutdown(how).map_err(|error| failed(error.into()))?;
    let report = consumer.report();
    print(&report)?;
    match report.unsaved.is_empty() {
        true => Ok(()),
        false => Err(Failure::Storage(
            "not all ends could be stored: these jobs run again".to_owned(),
        )),
    }
}

/// With pauses for which one can wait.
fn handler<J: Job>(run: fn(J, &JobContext) -> Result<J::Output, BoxError>) -> Handler<J, BoxError> {
    Handler::new(shown(run)).retry(Retry::exponential(3, Duration::from_millis(250)))
}
