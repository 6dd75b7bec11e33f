//! The driver's options.

use crate::LEAST_ROUNDS;
use crate::Outcome;
use crate::rows::{self, Row};
use std::path::PathBuf;

pub const ALLOCATORS: [&str; 2] = ["system", "mimalloc"];

pub struct Options {
    pub rounds: usize,
    pub rows: Vec<&'static Row>,
    pub contenders: Vec<&'static str>,
    pub allocators: Vec<&'static str>,
    out: Option<PathBuf>,
}

impl Options {
    /// Returns none if help was asked for.
    pub fn parse(words: &[&str]) -> Outcome<Option<Self>> {
        let mut options = Self {
            rounds: LEAST_ROUNDS,
            rows: rows::ALL.to_vec(),
            contenders: contenders(),
            allocators: ALLOCATORS.to_vec(),
            out: None,
        };
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let (name, mut value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            let mut value = || {
                value
                    .take()
                    .or_else(|| words.next())
                    .ok_or_else(|| format!("{name} wants a value"))
            };
            match name {
                "--help" | "-h" => return Ok(None),
                "--rounds" => options.rounds = rounds(value()?)?,
                "--rows" => options.rows = list(value()?, row)?,
                "--contenders" => options.contenders = list(value()?, contender)?,
                "--allocators" => options.allocators = list(value()?, allocator)?,
                "--out" => options.out = Some(value()?.into()),
                _ => return Err(format!("no option {word:?}\n\n{}", help()).into()),
            }
        }
        Ok(Some(options))
    }

    /// The folder to write into. By default a partial run does not overwrite the results of a
    /// whole one.
    pub fn out(&self) -> PathBuf {
        let whole = self.rounds >= LEAST_ROUNDS
            && self.rows.len() == rows::ALL.len()
            && self.contenders.len() == contenders().len()
            && self.allocators.len() == ALLOCATORS.len();
        let default = if whole { "results" } else { "target/try-out" };
        let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        self.out.clone().unwrap_or_else(|| package.join(default))
    }
}

pub fn help() -> String {
    let keys: Vec<&str> = rows::ALL.iter().map(|row| row.key).collect();
    format!(
        "Measures millhand beside its peers; prints the table and writes table.md, results.json and chart.svg.

costs [OPTIONS]      what millhand costs by itself, instead; --help there, too
--rounds N           the number of rounds; {LEAST_ROUNDS} by default, fewer are a try-out
--rows A,B           only these: {}
--contenders A,B     only these: {}
--allocators A,B     only these: {}
--out DIR            where to write; by default benches/peers/results for a whole run, target/try-out there for a part",
        keys.join(", "),
        contenders().join(", "),
        ALLOCATORS.join(", "),
    )
}

pub fn row(key: &str) -> Outcome<&'static Row> {
    let keys: Vec<&str> = rows::ALL.iter().map(|row| row.key).collect();
    let found = rows::ALL.iter().find(|row| row.key == key);
    found
        .copied()
        .ok_or_else(|| no_such("row", key, &keys).into())
}

/// All contenders of all rows, each once.
fn contenders() -> Vec<&'static str> {
    let mut all: Vec<&str> = Vec::new();
    for row in rows::ALL {
        let new = |name: &&&str| !all.contains(*name);
        all.extend(row.contenders.iter().filter(new).collect::<Vec<_>>());
    }
    all
}

fn contender(name: &str) -> Outcome<&'static str> {
    known("contender", name, &contenders())
}

pub fn allocator(name: &str) -> Outcome<&'static str> {
    known("allocator", name, &ALLOCATORS)
}

fn known(what: &str, name: &str, all: &[&'static str]) -> Outcome<&'static str> {
    let found = all.iter().find(|known| **known == name);
    found
        .copied()
        .ok_or_else(|| no_such(what, name, all).into())
}

fn no_such(what: &str, name: &str, all: &[&str]) -> String {
    format!("no {what} {name:?}; there are: {}", all.join(", "))
}

pub fn rounds(text: &str) -> Outcome<usize> {
    match text.parse() {
        Ok(rounds) if rounds > 0 => Ok(rounds),
        _ => Err(format!("--rounds wants a number of 1 or more, not {text:?}").into()),
    }
}

pub fn list<T>(text: &str, item: fn(&str) -> Outcome<T>) -> Outcome<Vec<T>> {
    text.split(',').map(|name| item(name.trim())).collect()
}
