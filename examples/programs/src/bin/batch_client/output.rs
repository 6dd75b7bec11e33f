//! What comes out: a JSON line for each result, the progress bar, and the counts of the summary.
//!
//! The hooks of tasks call this on the workers. So an output that is slow to take lines holds the
//! requests up, and the input with them.

use crate::request::Request;
use crate::retry::TIMED_OUT;
use crate::summary::{Kind, Summary};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use millhand::CancelToken;
use millhand::limit::Permit;
use millhand::task::{self, OutcomeKind};
use millhand_programs::{lock, say};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write, stdout};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const CANCELLED: &str = "cancelled";

/// What a server has answered.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    /// The body if it is kept, and `None` inside if it is not UTF-8.
    pub(crate) text: Option<Option<String>>,
}

/// The place of a line of the input among the results.
pub(crate) struct Slot {
    /// Counted from 0, without blank lines.
    pub(crate) place: u64,
    /// The number of the line, from 1.
    pub(crate) line: u64,
    /// Lets the input be read on, once the result is written.
    pub(crate) permit: Permit,
}

/// A line of the output.
#[derive(Default, Serialize)]
struct Entry<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    attempts: u32,
    /// From the start of the first attempt to the end of the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a Option<String>>,
}

pub(crate) struct Output {
    begun: Instant,
    bar: ProgressBar,
    is_ordered: bool,
    /// Cancelled when the output takes no more.
    quit: CancelToken,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The place of the next line, if they are ordered.
    next: u64,
    /// Lines that wait for one before them.
    early: BTreeMap<u64, (String, Permit)>,
    summary: Summary,
    /// Nothing more is written.
    is_closed: bool,
    /// What is wrong with the input or the output.
    problem: Option<String>,
}

impl Output {
    /// `requests` is how many there will be, if that is known.
    pub(crate) fn new(requests: Option<u64>, is_ordered: bool, quit: CancelToken) -> Self {
        Self {
            begun: Instant::now(),
            bar: bar(requests),
            is_ordered,
            quit,
            state: Mutex::default(),
        }
    }

    /// The task of a request has ended.
    pub(crate) fn finish(
        &self,
        slot: Slot,
        request: &Request,
        task: &task::Summary,
        reply: Option<Result<Reply, String>>,
    ) {
        let result = match task.outcome {
            OutcomeKind::Succeeded | OutcomeKind::Failed => reply,
            OutcomeKind::TimedOut => Some(Err(TIMED_OUT.to_owned())),
            OutcomeKind::Cancelled => Some(Err(CANCELLED.to_owned())),
            _ => None,
        };
        let why = || Err(task.error.as_deref().unwrap_or_default().to_owned()); // a panic
        let result = result.unwrap_or_else(why);
        let (reply, error) = (result.as_ref().ok(), result.as_ref().err());
        let entry = Entry {
            line: slot.line,
            method: Some(request.method.as_str()),
            url: Some(request.uri.to_string()),
            status: reply.map(|reply| reply.status),
            error: error.map(String::as_str),
            attempts: task.attempts,
            ms: task.ran.map(millis),
            bytes: reply.map(|reply| reply.bytes),
            body: reply.and_then(|reply| reply.text.as_ref()),
        };
        let kind = entry.status.ok_or(match entry.error {
            Some(TIMED_OUT) => TIMED_OUT,
            Some(CANCELLED) => CANCELLED,
            _ => "no response",
        });
        self.put(slot, &entry, kind, task.ran);
    }

    /// A line of the input is no request.
    pub(crate) fn refuse(&self, slot: Slot, error: &str) {
        let entry = Entry {
            line: slot.line,
            error: Some(error),
            ..Entry::default()
        };
        self.put(slot, &entry, Err("bad line"), None);
    }

    fn put(&self, slot: Slot, entry: &Entry<'_>, kind: Kind, took: Option<Duration>) {
        let text = serde_json::to_string(entry).expect("its keys are text") + "\n";
        let mut state = lock(&self.state);
        if state.is_closed {
            return;
        }
        state.summary.add(kind, entry.attempts, took);
        self.show(state.summary.failed());
        let place = match self.is_ordered {
            true => slot.place,
            false => state.next,
        };
        state.early.insert(place, (text, slot.permit));
        loop {
            let next = state.next;
            let Some((text, _permit)) = state.early.remove(&next) else {
                return;
            };
            state.next += 1;
            if let Err(error) = self.write(&text) {
                state.is_closed = true;
                // `| head` has what it wants.
                if error.kind() != ErrorKind::BrokenPipe {
                    state.problem = Some(format!("the output: {error}"));
                }
                drop(state); // the ends of the requests that this cancels come here, too
                self.quit.cancel();
                return;
            }
        }
    }

    /// Moves the bar on.
    fn show(&self, failed: u64) {
        self.bar.inc(1);
        if failed > 0 {
            self.bar.set_message(format!("{failed} failed"));
        }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let write = || stdout().write_all(text.as_bytes());
        // On a terminal the bar would be in the line.
        match stdout().is_terminal() {
            true => self.bar.suspend(write),
            false => write(),
        }
    }

    /// The input cannot be read on.
    pub(crate) fn input_failed(&self, name: &str, error: &io::Error) {
        lock(&self.state).problem = Some(format!("{name}: {error}"));
    }

    /// Prints a line beside the bar.
    pub(crate) fn say(&self, text: &str) {
        self.bar
            .suspend(|| say(format_args!("batch_client: {text}")));
    }

    /// Prints the summary, unless the output was closed. Returns whether all went well. Nothing is
    /// written after that.
    pub(crate) fn end(&self) -> bool {
        self.bar.finish_and_clear();
        let mut state = lock(&self.state);
        let was_closed = std::mem::replace(&mut state.is_closed, true);
        let problem = state.problem.take();
        if let Some(problem) = &problem {
            self.say(problem);
        }
        if !was_closed {
            say(format_args!(
                "{}, {:.1?}",
                state.summary,
                self.begun.elapsed()
            ));
        }
        problem.is_none() && !was_closed && state.summary.failed() == 0
    }
}

/// The bar draws on a terminal alone, by itself.
fn bar(requests: Option<u64>) -> ProgressBar {
    let template = match requests {
        Some(_) => "{bar:30} {pos}/{len} {rate}, {eta} left {msg}",
        None => "{spinner} {pos} {rate} {msg}",
    };
    let style = ProgressStyle::with_template(template)
        .expect("it is written as indicatif wants")
        .with_key(
            "rate",
            |state: &ProgressState, text: &mut dyn fmt::Write| {
                let _ = write!(text, "{:.1}/s", state.per_sec());
            },
        );
    let bar = ProgressBar::with_draw_target(requests, ProgressDrawTarget::stderr());
    bar.set_style(style);
    if !bar.is_hidden() {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}

/// To the microsecond.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
