//! The work: what the JSON of a request asks for, and what a task answers.

use millhand::check;
use millhand::error::BoxError;
use serde::{Deserialize, Serialize};
use std::thread;
use std::time::{Duration, Instant};

/// A task may be asked to take so long.
const MOST_COST: u64 = 60_000;
/// How long a task works before it looks whether it is cancelled.
const STEP: Duration = Duration::from_millis(5);

/// The body of `POST /api/data`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Data {
    text: Option<String>,
    numbers: Option<Vec<f64>>,
    /// For how many milliseconds the task keeps its worker busy.
    #[serde(default)]
    cost_ms: u64,
    /// Has the task fail.
    #[serde(default)]
    fail: bool,
}

/// The result of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    Text {
        bytes: usize,
        chars: usize,
        words: usize,
        lines: usize,
        blake3: String,
    },
    Numbers {
        count: usize,
        sum: f64,
        mean: f64,
        min: f64,
        max: f64,
    },
}

impl Data {
    /// Parses a request, and checks it.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        let data: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        match (&data.text, &data.numbers) {
            (Some(_), None) => {}
            (None, Some(numbers)) if !numbers.is_empty() => {}
            (None, Some(_)) => return Err("`numbers` is empty".into()),
            _ => return Err("either `text` or `numbers` is needed".into()),
        }
        match data.cost_ms <= MOST_COST {
            true => Ok(data),
            false => Err(format!("`cost_ms` is at most {MOST_COST}")),
        }
    }

    /// The body of a task.
    pub(crate) fn run(&self) -> Result<Answer, BoxError> {
        self.take_time()?;
        if self.fail {
            return Err("the task was asked to fail".into());
        }
        Ok(match (&self.text, &self.numbers) {
            (Some(text), _) => of_text(text),
            (None, numbers) => of_numbers(numbers.as_deref().unwrap_or_default()),
        })
    }

    /// Stands for work that keeps its worker. `millhand::sleep` would release the run slot.
    fn take_time(&self) -> Result<(), BoxError> {
        let until = Instant::now() + Duration::from_millis(self.cost_ms);
        loop {
            check()?;
            match until.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return Ok(()),
                left => thread::sleep(left.min(STEP)),
            }
        }
    }
}

fn of_text(text: &str) -> Answer {
    Answer::Text {
        bytes: text.len(),
        chars: text.chars().count(),
        words: text.split_whitespace().count(),
        lines: text.lines().count(),
        blake3: blake3::hash(text.as_bytes()).to_hex().to_string(),
    }
}

fn of_numbers(numbers: &[f64]) -> Answer {
    let sum: f64 = numbers.iter().sum();
    Answer::Numbers {
        count: numbers.len(),
        sum,
        mean: sum / numbers.len() as f64,
        min: numbers.iter().copied().fold(f64::INFINITY, f64::min),
        max: numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(body: &str) -> Result<Answer, String> {
        let data = Data::parse(body.as_bytes())?;
        data.run().map_err(|error| error.to_string())
    }

    #[test]
    fn a_text_is_counted() {
        let text = r#"{"text": "\u00e9 a\nb", "cost_ms": 1}"#;
        let Ok(Answer::Text {
            bytes,
            chars,
            words,
            lines,
            blake3,
        }) = run(text)
        else {
            panic!("it is a text");
        };
        assert_eq!((bytes, chars, words, lines), (6, 5, 3, 2));
        assert_eq!(
            blake3,
            blake3::hash("\u{e9} a\nb".as_bytes()).to_hex().as_str()
        );
    }

    #[test]
    fn numbers_are_summed_up() {
        let wanted = Answer::Numbers {
            count: 2,
            sum: -1.0,
            mean: -0.5,
            min: -2.0,
            max: 1.0,
        };
        assert_eq!(run(r#"{"numbers": [1, -2]}"#), Ok(wanted));
    }

    #[test]
    fn a_task_fails_when_it_is_asked_to() {
        let failed = run(r#"{"text": "", "fail": true}"#);
        assert_eq!(failed, Err("the task was asked to fail".into()));
    }
}
