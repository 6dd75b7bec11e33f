//! The table: the format of the file, and what is wrong in a line.

use jiff::tz::TimeZone;
use millhand::error::Rejection;
use millhand::schedule::{Missed, Overlap, Schedule};
use millhand::{CancelToken, Cron, Every, Pool};
use millhand_programs::arguments::duration;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A command with its times, its options, and what the lines above it have set.
///
/// Two entries are equal if a schedule of the one does what a schedule of the other does. The
/// number of the line is not in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: Option<String>,
    pub(crate) when: When,
    pub(crate) zone: TimeZone,
    overlap: Overlap,
    missed: Missed,
    timeout: Option<Duration>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) command: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum When {
    Cron(Cron),
    Every(Duration),
}

impl When {
    /// The time after one for which a run was planned, or after the start.
    pub(crate) fn next_after(&self, time: SystemTime) -> Option<SystemTime> {
        match self {
            Self::Cron(cron) => cron.next_after(time),
            Self::Every(period) => time.checked_add(*period),
        }
    }
}

impl Entry {
    /// What the log and the page call it.
    pub(crate) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.command)
    }

    /// Starts a schedule that runs `body` at the times of this entry. The token ends it, and its
    /// runs.
    pub(crate) fn schedule<F>(
        &self,
        pool: &Pool,
        token: &CancelToken,
        body: F,
    ) -> Result<Schedule, Rejection>
    where
        F: Fn() -> io::Result<()> + Send + Sync + 'static,
    {
        let mut task = pool.task().name(self.label()).token(token).fallible();
        if let Some(timeout) = self.timeout {
            // Not `total_timeout`: a run has not ended before its command has.
            task = task.attempt_timeout(timeout);
        }
        let schedule = match &self.when {
            When::Cron(cron) => {
                let rule = cron.clone().overlap(self.overlap).missed(self.missed);
                task.cron(rule).run(body)
            }
            When::Every(period) => {
                let rule = Every::new(*period);
                task.every(rule.overlap(self.overlap).missed(self.missed))
                    .run(body)
            }
        };
        schedule.map_err(|refused| refused.reason())
    }
}

/// Why there is no table.
#[derive(Debug)]
pub(crate) enum TableError {
    Read(PathBuf, io::Error),
    /// The text for each line that is wrong. It begins with the file and the number of the line.
    Lines(Vec<String>),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(file, error) => write!(f, "{}: {error}", file.display()),
            Self::Lines(lines) => f.write_str(&lines.join("\n")),
        }
    }
}

impl Error for TableError {}

pub(crate) fn load(file: &Path) -> Result<Vec<Entry>, TableError> {
    let text = fs::read(file).map_err(|error| TableError::Read(file.into(), error))?;
    parse(&text).map_err(|wrong| {
        let place = file.display();
        let texts = wrong.into_iter();
        TableError::Lines(
            texts
                .map(|(line, what)| format!("{place}:{line}: {what}"))
                .collect(),
        )
    })
}

/// Reads all lines. If some are wrong, returns their numbers, and what is wrong.
pub(crate) fn parse(text: &[u8]) -> Result<Vec<Entry>, Vec<(usize, String)>> {
    let mut reader = Reader::new();
    let (mut entries, mut wrong) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned());
        match line.and_then(|line| reader.line(line.trim())) {
            Ok(entry) => entries.extend(entry),
            Err(what) => wrong.push((number, what)),
        }
    }
    if wrong.is_empty() {
        Ok(entries)
    } else {
        Err(wrong)
    }
}

fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err(format!(
            "`{text}` is too short: allowed are times above zero"
        )),
        time => Ok(time),
    }
}

/// What the lines so far have set.
struct Reader {
    zone: TimeZone,
    environment: BTreeMap<String, String>,
}

impl Reader {
    fn new() -> Self {
        let zone = TimeZone::try_system().ok();
        let is_named = |zone: &TimeZone| zone.iana_name().is_some();
        Self {
            zone: zone.filter(is_named).unwrap_or(TimeZone::UTC),
            environment: BTreeMap::new(),
        }
    }

    /// `None` for a line without a command.
    fn line(&mut self, line: &str) -> Result<Option<Entry>, String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        match assignment(line) {
            Some((name, value)) => self.set(name, value).map(|()| None),
            None => self.entry(line).map(Some),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if name == "TZ" {
            let zone = TimeZone::get(value);
            self.zone = zone.map_err(|_| {
                format!(
                    "unknown time zone `{value}`: allowed are the names of the IANA database, such as \
                     `Europe/Berlin` and `UTC`"
                )
            })?;
        }
        self.environment.insert(name.into(), value.into());
        Ok(())
    }

    fn entry(&self, line: &str) -> Result<Entry, String> {
        let (when, rest) = self.when(line)?;
        let mut entry = Entry {
            name: None,
            when,
            zone: self.zone.clone(),
            overlap: Overlap::Skip,
            missed: Missed::Skip,
            timeout: None,
            environment: self.environment.clone(),
            command: String::new(),
        };
        let command = match rest.strip_prefix('[') {
            // `[ -e file ] && ..` is a command.
            Some(options) if options.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let (options, command) = options
                    .split_once(']')
                    .ok_or("the options have no end: a `]` is needed before the command")?;
                for option in options.split_whitespace() {
                    entry.set(option)?;
                }
                command.trim_start()
            }
            _ => rest,
        };
        if command.is_empty() {
            return Err("there is no command: it is needed after the times".into());
        }
        entry.command = command.into();
        Ok(entry)
    }

    /// Takes the times off the line.
    fn when<'a>(&self, line: &'a str) -> Result<(When, &'a str), String> {
        let (first, rest) = split_word(line);
        if first == "@every" {
            let (period, rest) = split_word(rest);
            return Ok((When::Every(positive(period)?), rest));
        }
        let zone = self.zone.iana_name().unwrap_or("UTC");
        if first.starts_with('@') {
            let cron = Cron::parse(first, zone);
            let cron = cron.map_err(|error| format!("{error}, and @every with a time"))?;
            return Ok((When::Cron(cron), rest));
        }
        let (mut fields, mut rest) = (vec![first], rest);
        while fields.len() < 5 && !rest.is_empty() {
            let (field, more) = split_word(rest);
            fields.push(field);
            rest = more;
        }
        if fields.len() < 5 {
            return Err(
                "a line needs five times (minute, hour, day of the month, month, day of the week), \
                 @every with a time, or one of @hourly, @daily, @weekly, @monthly and @yearly, and \
                 then a command"
                    .into(),
            );
        }
        let cron = Cron::parse(&fields.join(" "), zone);
        Ok((When::Cron(cron.map_err(|error| error.to_string())?), rest))
    }
}

impl Entry {
    /// Reads one option.
    fn set(&mut self, option: &str) -> Result<(), String> {
        let refuse = |allowed| Err(format!("option `{option}`: {allowed}"));
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        let count = value.parse().ok().filter(|count| *count > 0);
        match (key, value, count) {
            ("name", "", _) => return refuse("a name is needed"),
            ("name", name, _) => self.name = Some(name.into()),
            ("overlap", "skip", _) => self.overlap = Overlap::Skip,
            ("overlap", "queue", _) => self.overlap = Overlap::Queue,
            ("overlap", _, Some(count)) => self.overlap = Overlap::Parallel(count),
            ("overlap", ..) => return refuse("allowed are skip, queue, and a number from 1 on"),
            ("missed", "skip", _) => self.missed = Missed::Skip,
            ("missed", _, Some(count)) => self.missed = Missed::CatchUp(count),
            ("missed", ..) => return refuse("allowed are skip, and a number from 1 on"),
            ("timeout", time, _) => {
                let time = positive(time).map_err(|what| format!("option `{option}`: {what}"))?;
                self.timeout = Some(time);
            }
            _ => return refuse("allowed are name, overlap, missed and timeout, each with a `=`"),
        }
        Ok(())
    }
}

/// Splits `NAME=value`. No time begins as a name does.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim_end(), value.trim_start());
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let quoted = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    is_name.then(|| (name, quoted('"').or(quoted('\'')).unwrap_or(value)))
}

fn split_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}
