//! Filters and pages: what is looked at a part at a time, so that the server does other work in
//! between.
//!
//! Layer: jobs.

use crate::jobs::error::JobsError;
use crate::jobs::id::JobId;
use crate::jobs::look::{Counts, Filter, JobInfo, JobState, Page, QueueCounts, Totals};
use crate::jobs::redis::ask::Ask;
use crate::jobs::redis::line::Sending;
use crate::jobs::redis::reply::Reply;
use crate::jobs::redis::scripts as lua;
use crate::jobs::redis::shared::Shared;
use std::collections::BTreeSet;

/// A script looks at no more jobs than this.
const MOST_LOOKS: usize = 5_000;

/// So many jobs are changed at once.
const MOST_CHANGES: usize = 500;

/// A page has at most so many jobs, and so many bytes as that makes.
const MOST_ROWS: usize = 1_000;

/// The arguments of `filter.lua`.
pub(super) fn ask(filter: &Filter, after: JobId, most: usize, what: &str) -> Ask {
    let state = match filter.state {
        None => "",
        Some(JobState::Blocked) => "B",
        Some(JobState::Scheduled) => "S",
        Some(JobState::Ready) => "R",
        Some(JobState::Running) => "U",
        Some(JobState::Done) => "D",
        Some(JobState::Dead) => "X",
        Some(JobState::Cancelled) => "C",
        Some(JobState::Expired) => "E",
    };
    let ask = Ask::new()
        .jobs(MOST_LOOKS)
        .number(after)
        .number(most)
        .number(MOST_LOOKS)
        .text(state)
        .text(filter.queue.as_deref().unwrap_or_default())
        .text(filter.kind.as_deref().unwrap_or_default())
        .span_or_none(filter.ended_before);
    let Some(ids) = &filter.ids else {
        return ask.text("-").text(what);
    };
    // Those that this part may look at, and one more, by which the script sees that there are more.
    let ids: BTreeSet<JobId> = ids.iter().copied().filter(|id| *id > after).collect();
    let ids: Vec<JobId> = ids.into_iter().take(MOST_LOOKS + 1).collect();
    let ask = ask.number(ids.len()).text(what);
    ids.iter().fold(ask, |ask, id| ask.number(id))
}

pub(super) fn list(
    shared: &Shared,
    filter: &Filter,
    page: Page,
) -> Result<Vec<JobInfo>, JobsError> {
    let what = if filter.payloads { "1" } else { "0" };
    let mut after = page.after;
    loop {
        let ask = ask(filter, after, page.most.min(MOST_ROWS), what);
        let mut reply = shared.run(&lua::LIST, ask, Sending::Again)?;
        let last = reply.number_or_none()?.map(JobId);
        let found = reply.each(Reply::info)?;
        match last {
            Some(last) if found.is_empty() && page.most > 0 => after = last,
            _ => return Ok(found),
        }
    }
}

/// Retries or purges, a part at a time. After an error some parts may be done.
pub(super) fn change(
    shared: &Shared,
    filter: &Filter,
    most: usize,
    what: &str,
) -> Result<u64, JobsError> {
    let (mut after, mut changed) = (JobId(0), 0);
    while changed < most as u64 {
        let left = usize::try_from(most as u64 - changed).unwrap_or(usize::MAX);
        let ask = ask(filter, after, left.min(MOST_CHANGES), what);
        let mut reply = shared.run(&lua::CHANGE, ask, Sending::Once)?;
        changed += reply.number::<u64>()?;
        match reply.number_or_none()? {
            Some(last) => after = JobId(last),
            None => break,
        }
    }
    Ok(changed)
}

pub(super) fn counts(shared: &Shared) -> Result<Counts, JobsError> {
    let mut reply = shared.run(&lua::COUNTS, Ask::new(), Sending::Again)?;
    let queues = reply.each(|queue| {
        Ok(QueueCounts {
            queue: queue.text()?,
            paused: queue.flag()?,
            scheduled: queue.number()?,
            blocked: queue.number()?,
            ready: queue.number()?,
            running: queue.number()?,
        })
    })?;
    let dead = reply.number()?;
    let mut totals = reply.list()?;
    Ok(Counts {
        queues,
        dead,
        totals: Totals {
            done: totals.number()?,
            dead: totals.number()?,
            cancelled: totals.number()?,
            expired: totals.number()?,
            retried: totals.number()?,
            crashed: totals.number()?,
        },
    })
}
