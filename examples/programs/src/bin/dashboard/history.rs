//! An observer that keeps the last things that went wrong in a pool, for the terminal.
//!
//! It is called on the threads of the pool, so it only writes a line into memory.

use millhand::observe::{Event, Observer};
use millhand::task::Summary;
use millhand_programs::lock;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

const MOST: usize = 100;

/// The last lines, the newest first.
#[derive(Default)]
pub(crate) struct History(Mutex<VecDeque<Line>>);

#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) at: Instant,
    /// The name of the event.
    pub(crate) what: &'static str,
    /// The name of the task or schedule.
    pub(crate) name: String,
    pub(crate) text: String,
}

impl History {
    /// Returns so many of the newest lines.
    pub(crate) fn newest(&self, lines: usize) -> Vec<Line> {
        let all = lock(&self.0);
        all.iter().take(lines).cloned().collect()
    }
}

impl Observer for History {
    fn on_event(&self, event: &Event) {
        let Some((name, text)) = wrong(event) else {
            return;
        };
        let line = Line {
            at: Instant::now(),
            what: event.name(),
            name,
            text,
        };
        let mut all = lock(&self.0);
        all.truncate(MOST - 1);
        all.push_front(line);
    }
}

/// Returns the name and the text for an event, if something went wrong.
fn wrong(event: &Event) -> Option<(String, String)> {
    let task = event.task();
    let name = task.as_ref().and_then(|task| task.name.as_deref());
    let name = name.unwrap_or_default().to_owned();
    match event {
        Event::Failed(summary)
        | Event::Panicked(summary)
        | Event::Expired(summary)
        | Event::TimedOut(summary) => Some((name, error(summary))),
        Event::Slow { running, .. } => Some((name, format!("has run for {running}"))),
        Event::Stalled { queued, waited, .. } => {
            let text = format!("the first of {queued} has waited for {waited}");
            Some(("the queue".to_owned(), text))
        }
        Event::ScheduleSkipped { name, runs, .. } => {
            let name = name.as_deref().unwrap_or("a schedule");
            Some((name.to_owned(), format!("{runs} left out: one still ran")))
        }
        _ => None,
    }
}

fn error(summary: &Summary) -> String {
    let error = summary.error.as_deref().unwrap_or_default();
    match summary.attempts {
        0 | 1 => error.to_owned(),
        attempts => format!("{error} ({attempts} attempts)"),
    }
}
