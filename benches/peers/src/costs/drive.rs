//! The driver of the costs, and its child's part.

use super::report::{Figures, Report};
use super::{ALL, Cost, origin};
use crate::options::{self, ALLOCATORS};
use crate::{Outcome, child, end_if_it_hangs};
use std::path::PathBuf;

/// The figures of most costs hardly differ from round to round.
const ROUNDS: usize = 5;

struct Options {
    rounds: usize,
    costs: Vec<&'static Cost>,
    allocators: Vec<&'static str>,
    out: Option<PathBuf>,
}

impl Options {
    /// Returns none if help was asked for.
    fn parse(words: &[&str]) -> Outcome<Option<Self>> {
        let mut options = Self {
            rounds: ROUNDS,
            costs: ALL.to_vec(),
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
                let value = value.take().or_else(|| words.next());
                value.ok_or_else(|| format!("{name} wants a value"))
            };
            match name {
                "--help" | "-h" => return Ok(None),
                "--rounds" => options.rounds = options::rounds(value()?)?,
                "--costs" => options.costs = options::list(value()?, cost)?,
                "--allocators" => {
                    options.allocators = options::list(value()?, options::allocator)?;
                }
                "--out" => options.out = Some(value()?.into()),
                _ => return Err(format!("no option {word:?}\n\n{}", help()).into()),
            }
        }
        Ok(Some(options))
    }

    /// The folder to write into. By default a partial run does not overwrite the results of a
    /// whole one.
    fn out(&self) -> PathBuf {
        let whole = self.rounds >= ROUNDS
            && self.costs.len() == ALL.len()
            && self.allocators.len() == ALLOCATORS.len();
        let default = if whole { "results" } else { "target/try-out" };
        let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        self.out.clone().unwrap_or_else(|| package.join(default))
    }
}

fn help() -> String {
    format!(
        "Measures what millhand costs and how that grows; prints the tables and writes costs.md, costs.json and growth.svg.

--rounds N           the number of rounds; {ROUNDS} by default
--costs A,B          only these: {}
--allocators A,B     only these: {}
--out DIR            where to write; by default benches/peers/results for a whole run, target/try-out there for a part",
        keys().join(", "),
        ALLOCATORS.join(", "),
    )
}

fn keys() -> Vec<&'static str> {
    ALL.iter().map(|cost| cost.key).collect()
}

fn cost(key: &str) -> Outcome<&'static Cost> {
    let found = ALL.iter().find(|cost| cost.key == key);
    let no_such = || format!("no cost {key:?}; there are: {}", keys().join(", ")).into();
    found.copied().ok_or_else(no_such)
}

pub fn drive(words: &[&str]) -> Outcome<()> {
    let Some(options) = Options::parse(words)? else {
        println!("{}", help());
        return Ok(());
    };
    let out = options.out();
    let with_python = options
        .costs
        .iter()
        .any(|cost| cost.key.starts_with("origin"));
    let missing = if with_python {
        origin::missing()
    } else {
        Vec::new()
    };
    let mut figures = Vec::new();
    for cost in &options.costs {
        for &allocator in cost
            .allocators
            .iter()
            .filter(|&name| options.allocators.contains(name))
        {
            for &contender in cost
                .contenders
                .iter()
                .filter(|&name| !missing.contains(name))
            {
                for &size in cost.sizes {
                    figures.push(Figures::new(cost, allocator, contender, size));
                }
            }
        }
    }
    for round in 0..options.rounds {
        for cost in &options.costs {
            if round >= cost.most_rounds {
                continue;
            }
            eprintln!("round {} of {}: {}", round + 1, options.rounds, cost.key);
            let mut of_cost: Vec<_> = figures
                .iter_mut()
                .filter(|figures| figures.cost.key == cost.key)
                .collect();
            // Contenders of the same size are measured one after the other. Every second round
            // has the reverse order, so that none of them is always the first.
            of_cost.sort_by_key(|figures| (figures.size, figures.allocator));
            if round % 2 == 1 {
                of_cost.reverse();
            }
            for figures in of_cost {
                let size = figures.size.to_string();
                let arguments = ["cost", cost.key, figures.contender, &size];
                let answer = child(&arguments, figures.allocator);
                // A child prints a dash if there is no figure.
                let text = answer.as_ref().and_then(|lines| lines.last());
                figures.add(text.and_then(|text| text.parse().ok()));
            }
        }
    }
    Report::new(options.rounds, options.costs, figures).write(&out)
}

/// The child's part: prints one figure, or a dash if there is none.
pub fn measure(key: &str, contender: &str, size: &str) -> Outcome<()> {
    let cost = cost(key)?;
    if !cost.contenders.contains(&contender) {
        let allowed = cost.contenders.join(", ");
        return Err(format!("{key} is for: {allowed}; not for {contender:?}").into());
    }
    let size = size
        .parse()
        .map_err(|_| format!("a size is a number, not {size:?}"))?;
    end_if_it_hangs();
    match (cost.measure)(contender, size) {
        Some(figure) => println!("{figure}"),
        None => println!("-"),
    }
    std::process::exit(0);
}
