//! What stores jobs, changes them, and waits for them.

use crate::{Enqueue, Failure, Retry, print};
use millhand::jobs::{
    Due, Filter, JobError, JobId, JobState, Jobs, NewJob, Placed, QueueChange, Unique, UniqueUntil,
};
use millhand::task::CancelOutcome;
use millhand_programs::say;
use serde_json::Value;
use std::io::{BufWriter, Write, stdout};
use std::time::Duration;

/// So many jobs are stored at once: a server does nothing else meanwhile.
const MOST: usize = 1000;

pub(crate) fn enqueue(jobs: &Jobs, options: Enqueue) -> Result<(), Failure> {
    let mut job = NewJob::new(options.queue, options.kind, options.payload);
    job.priority = options.priority;
    job.due = options.delay.map_or(Due::Now, Due::After);
    job.keep = options.keep;
    job.max_crashes = options.max_crashes;
    job.at_most_once = options.at_most_once;
    job.replace = options.replace;
    job.lane = options.lane;
    job.after = options.after;
    job.even_if_failed = options.even_if_failed;
    job.unique = options.unique.map(|key| Unique {
        key,
        until: UniqueUntil::Ended,
    });
    let mut placed = Vec::with_capacity(options.count);
    let mut out = BufWriter::new(stdout().lock());
    while placed.len() < options.count {
        let part = MOST.min(options.count - placed.len());
        let stored = jobs.enqueue_records(&vec![job.clone(); part])?;
        for placed in &stored {
            writeln!(out, "{}", placed.id())?;
        }
        out.flush()?;
        placed.extend(stored);
    }
    let count = |is_one: fn(&Placed) -> bool| placed.iter().filter(|placed| is_one(placed)).count();
    let taken = count(|placed| matches!(placed, Placed::Existing(_)));
    if taken > 0 {
        say(format_args!(
            "jobs: not stored, since a job has the unique key: {taken}"
        ));
    }
    let replaced = count(|placed| matches!(placed, Placed::Replaced(_)));
    if replaced > 0 {
        say(format_args!(
            "jobs: took the place of a job with the unique key: {replaced}"
        ));
    }
    Ok(())
}

pub(crate) fn retry(jobs: &Jobs, retry: Retry) -> Result<(), Failure> {
    if retry.ids.is_empty() {
        let filter = Filter {
            kind: retry.kind,
            ..Filter::default()
        };
        return print(ready_again(jobs.retry_dead(&filter)?));
    }
    let (mut ready, mut others) = (0, Vec::new());
    for id in retry.ids {
        let filter = Filter {
            ids: Some(vec![id]),
            ..Filter::default()
        };
        match jobs.retry_dead(&filter)? {
            0 => others.push(id.to_string()),
            done => ready += done,
        }
    }
    print(ready_again(ready))?;
    match others.is_empty() {
        true => Ok(()),
        false => Err(Failure::Failed(format!(
            "not dead, or another job has the unique key: {}",
            others.join(", ")
        ))),
    }
}

fn ready_again(jobs: u64) -> String {
    match jobs {
        1 => "1 job is ready again".to_owned(),
        _ => format!("{jobs} jobs are ready again"),
    }
}

pub(crate) fn purge(jobs: &Jobs, older: Option<Duration>) -> Result<(), Failure> {
    let filter = Filter {
        state: Some(JobState::Dead),
        ended_before: older,
        ..Filter::default()
    };
    match jobs.purge(&filter)? {
        1 => print("1 job is removed"),
        removed => print(format_args!("{removed} jobs are removed")),
    }
}

pub(crate) fn cancel(jobs: &Jobs, id: JobId) -> Result<(), Failure> {
    match jobs.cancel(id)? {
        CancelOutcome::Settled => print(format_args!("job {id} is cancelled")),
        CancelOutcome::Requested => print(format_args!("job {id} runs, and is asked to stop")),
        _ => {
            let text = format!("job {id} has ended, or there was none");
            Err(Failure::Failed(text))
        }
    }
}

pub(crate) fn pause(jobs: &Jobs, queue: &str, pauses: bool) -> Result<(), Failure> {
    let change = match pauses {
        true => QueueChange::Pause,
        false => QueueChange::Resume,
    };
    Ok(jobs.set_queue(queue, change)?)
}

pub(crate) fn wait(jobs: &Jobs, id: JobId) -> Result<(), Failure> {
    match jobs.handle_of::<Value>(id).join() {
        Ok(output) => print(output),
        Err(JobError::Storage(error)) => Err(error.into()),
        Err(error) => Err(Failure::Failed(format!("job {id}: {error}"))),
    }
}
