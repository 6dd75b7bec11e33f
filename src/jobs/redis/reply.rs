//! What comes out of a script, as records.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::id::{JobId, SessionId};
use crate::jobs::look::{Fate, JobInfo, JobState, Outcome};
use crate::jobs::record::{Claimed, Judged, Meta, Placed};
use crate::jobs::redis::ask::LAST;
use crate::jobs::time::StoredTime;
use redis::Value;
use std::str::FromStr;
use std::time::Duration;

/// Reads the parts of an answer, one after the other.
#[derive(Debug)]
pub(super) struct Reply(std::vec::IntoIter<Value>);

/// The answer is not what the script gives.
pub(super) fn bad(what: &str) -> JobsError {
    let text = format!("an answer of Redis cannot be understood: {what}");
    JobsError::new(JobsErrorKind::Corrupt, text)
}

impl Reply {
    pub(super) fn new(value: Value) -> Result<Self, JobsError> {
        match value {
            Value::Array(parts) => Ok(Self(parts.into_iter())),
            Value::Nil => Ok(Self(Vec::new().into_iter())),
            _ => Err(bad("no list")),
        }
    }

    fn next(&mut self) -> Result<Value, JobsError> {
        self.0.next().ok_or_else(|| bad("it is too short"))
    }

    pub(super) fn list(&mut self) -> Result<Self, JobsError> {
        Self::new(self.next()?)
    }

    /// Reads each part of the list that comes.
    pub(super) fn each<T>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<T, JobsError>,
    ) -> Result<Vec<T>, JobsError> {
        let mut items = Vec::new();
        for item in self.list()?.0 {
            items.push(read(&mut Self::new(item)?)?);
        }
        Ok(items)
    }

    /// The parts of the list that comes.
    pub(super) fn values(&mut self) -> Result<Vec<Value>, JobsError> {
        Ok(self.list()?.0.collect())
    }

    pub(super) fn bytes_or_none(&mut self) -> Result<Option<Vec<u8>>, JobsError> {
        match self.next()? {
            Value::Nil => Ok(None),
            Value::BulkString(bytes) => Ok(Some(bytes)),
            Value::SimpleString(text) => Ok(Some(text.into_bytes())),
            Value::Okay => Ok(Some(b"OK".to_vec())),
            Value::Int(number) => Ok(Some(number.to_string().into_bytes())),
            _ => Err(bad("no text")),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, JobsError> {
        self.bytes_or_none()?
            .ok_or_else(|| bad("a text is missing"))
    }

    pub(super) fn text_or_none(&mut self) -> Result<Option<String>, JobsError> {
        let bytes = self.bytes_or_none()?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    pub(super) fn text(&mut self) -> Result<String, JobsError> {
        self.text_or_none()?.ok_or_else(|| bad("a text is missing"))
    }

    pub(super) fn number<T: FromStr>(&mut self) -> Result<T, JobsError> {
        number(&self.text()?)
    }

    pub(super) fn number_or_none<T: FromStr>(&mut self) -> Result<Option<T>, JobsError> {
        self.text_or_none()?.as_deref().map(number).transpose()
    }

    pub(super) fn flag(&mut self) -> Result<bool, JobsError> {
        Ok(self.number::<u8>()? == 1)
    }

    pub(super) fn id(&mut self) -> Result<JobId, JobsError> {
        self.number().map(JobId)
    }

    pub(super) fn ids(&mut self) -> Result<Vec<JobId>, JobsError> {
        let text = self.text()?;
        text.split_whitespace()
            .map(|id| number(id).map(JobId))
            .collect()
    }

    pub(super) fn time(&mut self) -> Result<StoredTime, JobsError> {
        self.number().map(time)
    }

    pub(super) fn time_or_none(&mut self) -> Result<Option<StoredTime>, JobsError> {
        Ok(self.number_or_none()?.map(time))
    }

    fn meta(&mut self) -> Result<Meta, JobsError> {
        let meta = self.bytes_or_none()?.unwrap_or_default();
        // One that another program has written wrongly stops no job.
        Ok(serde_json::from_slice(&meta).unwrap_or_default())
    }

    /// As `+1 =2 ~3`.
    pub(super) fn placed(&mut self) -> Result<Vec<Placed>, JobsError> {
        let text = self.text()?;
        let one = |text: &str| {
            let id = JobId(number(text.get(1..).unwrap_or_default())?);
            match text.as_bytes().first() {
                Some(b'+') => Ok(Placed::New(id)),
                Some(b'=') => Ok(Placed::Existing(id)),
                Some(b'~') => Ok(Placed::Replaced(id)),
                _ => Err(bad("what became of a job")),
            }
        };
        text.split(' ')
            .filter(|one| !one.is_empty())
            .map(one)
            .collect()
    }

    pub(super) fn judged(&mut self) -> Result<Vec<Judged>, JobsError> {
        let one = |letter: &u8| match letter {
            b'E' => Ok(Judged::Ended),
            b'W' => Ok(Judged::Waits),
            b'G' => Ok(Judged::Gone),
            _ => Err(bad("a judgement")),
        };
        self.bytes()?.iter().map(one).collect()
    }

    pub(super) fn claimed(&mut self) -> Result<Claimed, JobsError> {
        let numbers = self.text()?;
        let mut numbers = numbers.split(' ');
        let mut next = || numbers.next().ok_or_else(|| bad("a number is missing"));
        Ok(Claimed {
            id: JobId(number(next()?)?),
            claim: number(next()?)?,
            priority: number(next()?)?,
            at_most_once: number::<u32>(next()?)? & 1 == 1,
            failures: number(next()?)?,
            crashes: number(next()?)?,
            enqueued_at: number(next()?).map(time)?,
            began_at: number(next()?).map(time)?,
            kind: self.text()?,
            queue: self.text()?,
            payload: self.bytes()?,
            meta: self.meta()?,
            error: self.text_or_none()?,
        })
    }

    /// A state is a letter.
    fn state(&mut self) -> Result<JobState, JobsError> {
        match self.text()?.as_str() {
            "S" => Ok(JobState::Scheduled),
            "B" => Ok(JobState::Blocked),
            "R" | "L" => Ok(JobState::Ready),
            "U" => Ok(JobState::Running),
            "D" => Ok(JobState::Done),
            "X" => Ok(JobState::Dead),
            "C" => Ok(JobState::Cancelled),
            "E" => Ok(JobState::Expired),
            _ => Err(bad("a state")),
        }
    }

    pub(super) fn info(&mut self) -> Result<JobInfo, JobsError> {
        Ok(JobInfo {
            id: self.id()?,
            queue: self.text()?,
            kind: self.text()?,
            priority: self.number()?,
            state: self.state()?,
            enqueued_at: self.time()?,
            due_at: self.time()?,
            began_at: self.time_or_none()?,
            ended_at: self.time_or_none()?,
            claims: self.number()?,
            failures: self.number()?,
            crashes: self.number()?,
            session: self.number_or_none()?.map(SessionId),
            lane: self.text_or_none()?,
            waits_for: self.number()?,
            expires_at: self.time_or_none()?,
            keep: self.number_or_none()?.map(span),
            unique_key: self.text_or_none()?,
            max_crashes: self.number()?,
            at_most_once: self.number::<u32>()? & 1 == 1,
            error: self.text_or_none()?,
            meta: self.meta()?,
            payload: self.bytes()?,
        })
    }

    /// A job, and what has become of it.
    pub(super) fn fate(&mut self) -> Result<(JobId, Fate), JobsError> {
        let id = self.id()?;
        let mut state = Self(vec![self.next()?].into_iter());
        let letter = state.text()?;
        let value = self.bytes()?;
        let fate = match letter.as_str() {
            "N" => Fate::Unknown,
            "F" => Fate::Forgotten,
            "D" => Fate::Ended(Outcome::Done(value)),
            "X" => {
                let error = String::from_utf8_lossy(&value).into_owned();
                Fate::Ended(Outcome::Dead(error))
            }
            "C" => Fate::Ended(Outcome::Cancelled),
            "E" => Fate::Ended(Outcome::Expired),
            _ => Fate::Live(Self(vec![Value::SimpleString(letter)].into_iter()).state()?),
        };
        Ok((id, fate))
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, JobsError> {
    text.parse().map_err(|_| bad("a number"))
}

/// The longest one is one without an end.
fn span(millis: u64) -> Duration {
    match i64::try_from(millis) {
        Ok(LAST) => Duration::MAX,
        _ => Duration::from_millis(millis),
    }
}

fn time(millis: i64) -> StoredTime {
    match millis {
        LAST => StoredTime(i64::MAX),
        _ => StoredTime(millis),
    }
}
