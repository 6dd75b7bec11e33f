//! What goes into a script: its arguments, in their order.
//!
//! Layer: jobs.

use crate::jobs::record::{Due, Meta, NewJob, UniqueUntil};
use crate::jobs::time::{StoredTime, millis};
use std::collections::HashSet;
use std::fmt::Write;
use std::time::Duration;

/// Lua counts in numbers that are exact up to this one. As a time it is never reached, so it stands
/// for all that is later.
pub(super) const LAST: i64 = (1 << 53) - 1;

/// A job that is changed, or comes with the answer, is as much work as so many arguments.
const OF_JOB: usize = 10;

/// The arguments of a call.
#[derive(Debug, Default)]
pub(super) struct Ask {
    pub(super) args: Vec<Vec<u8>>,
    /// How much there is to do, as a number of arguments.
    pub(super) work: usize,
}

impl Ask {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.args.push(bytes.to_vec());
        self.work = self.work.saturating_add(1);
        self
    }

    /// At most so many jobs are changed, or come with the answer.
    pub(super) fn jobs(mut self, most: usize) -> Self {
        self.work = self.work.saturating_add(most.saturating_mul(OF_JOB));
        self
    }

    pub(super) fn text(self, text: impl AsRef<str>) -> Self {
        self.bytes(text.as_ref().as_bytes())
    }

    pub(super) fn number(self, number: impl ToString) -> Self {
        self.text(number.to_string())
    }

    /// A number that is compared as text.
    pub(super) fn long(self, number: u64) -> Self {
        self.text(format!("{number:020}"))
    }

    pub(super) fn span(self, span: Duration) -> Self {
        self.number(millis(span).min(LAST))
    }

    /// Nothing is an empty text.
    pub(super) fn span_or_none(self, span: Option<Duration>) -> Self {
        match span {
            Some(span) => self.span(span),
            None => self.text(""),
        }
    }

    pub(super) fn time(self, time: StoredTime) -> Self {
        self.number(time.0.clamp(-LAST, LAST))
    }

    /// In the order of `place.lua`.
    pub(super) fn job(self, job: &NewJob) -> Self {
        let ask = self.text(&job.queue).text(&job.kind).number(job.priority);
        let ask = match job.due {
            Due::Now => ask.text("a").text("0"),
            Due::After(span) => ask.text("a").span(span),
            Due::At(time) => ask.text("t").time(time),
        };
        let flags = u32::from(job.at_most_once) | (u32::from(job.even_if_failed) << 1);
        let ask = ask
            .span_or_none(job.expires)
            .span_or_none(job.keep)
            .number(job.max_crashes)
            .number(flags);
        let ask = match &job.unique {
            None => ask.text("").text("").text("0"),
            Some(unique) => {
                let ask = ask.text(format!("={}", unique.key));
                match unique.until {
                    UniqueUntil::Ended => ask.text("e").text("0"),
                    UniqueUntil::Started => ask.text("s").text("0"),
                    UniqueUntil::Elapsed(span) => ask.text("t").span(span),
                }
            }
        };
        ask.number(u32::from(job.replace))
            .text(job.lane.as_deref().unwrap_or_default())
            .text(parents(job))
            .text(meta(&job.meta))
            .bytes(&job.payload)
    }
}

/// Each once, in their order.
fn parents(job: &NewJob) -> String {
    let mut known = HashSet::new();
    let mut text = String::new();
    for id in job.after.iter().filter(|id| known.insert(**id)) {
        let _ = write!(text, "{id} ");
    }
    text
}

fn meta(meta: &Meta) -> String {
    match meta.is_empty() {
        true => String::new(),
        // A map of strings can always be written.
        false => serde_json::to_string(meta).unwrap_or_default(),
    }
}
