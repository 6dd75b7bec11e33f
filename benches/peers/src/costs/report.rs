//! The results of the costs, as tables and as JSON.

use super::{Aim, Cost, chart};
use crate::Outcome;
use crate::machine::Machine;
use crate::report::{Spread, figure, json_number, json_string};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The figures of one contender with one size and one allocator.
pub struct Figures {
    pub cost: &'static Cost,
    pub allocator: &'static str,
    pub contender: &'static str,
    pub size: u64,
    /// One figure per round. None where the measurement failed.
    figures: Vec<Option<f64>>,
}

impl Figures {
    pub fn new(
        cost: &'static Cost,
        allocator: &'static str,
        contender: &'static str,
        size: u64,
    ) -> Self {
        Self {
            cost,
            allocator,
            contender,
            size,
            figures: Vec::new(),
        }
    }

    pub fn add(&mut self, figure: Option<f64>) {
        self.figures.push(figure);
    }

    fn spread(&self) -> Option<Spread> {
        Spread::of(self.figures.iter().copied().flatten().collect())
    }

    pub fn median(&self) -> Option<f64> {
        Some(self.spread()?.median)
    }

    /// The median over the rounds of the ratio within a round.
    fn ratio_to(&self, theirs: &Self) -> Option<f64> {
        let rounds = self.figures.iter().zip(&theirs.figures);
        let ratios = rounds.filter_map(|(ours, theirs)| Some((*ours)? / (*theirs)?));
        Some(Spread::of(ratios.collect())?.median)
    }
}

pub struct Report {
    rounds: usize,
    costs: Vec<&'static Cost>,
    figures: Vec<Figures>,
}

impl Report {
    pub fn new(rounds: usize, costs: Vec<&'static Cost>, figures: Vec<Figures>) -> Self {
        Self {
            rounds,
            costs,
            figures,
        }
    }

    /// Prints the tables, and writes the tables, the JSON and the chart into the folder.
    pub fn write(&self, out: &Path) -> Outcome<()> {
        let machine = Machine::this();
        let text = self.tables(&machine);
        print!("{text}");
        let to = |name: &str, text: &str| {
            let path = out.join(name);
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
        };
        fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
        to("costs.md", &text)?;
        to("costs.json", &self.json(&machine))?;
        let growing: Vec<_> = self
            .costs
            .iter()
            .copied()
            .filter(|cost| grows(cost))
            .collect();
        if !growing.is_empty() {
            let footer = format!("{}; medians of {} rounds", machine.describe(), self.rounds);
            to("growth.svg", &chart::svg(&growing, &self.figures, &footer))?;
        }
        Ok(())
    }

    /// A table's lines: by allocator and contender, a column per size.
    fn lines(&self, cost: &Cost) -> Vec<Vec<&Figures>> {
        let of_cost = self
            .figures
            .iter()
            .filter(|figures| figures.cost.key == cost.key);
        let mut lines: Vec<Vec<&Figures>> = Vec::new();
        for figures in of_cost {
            let same = |line: &&mut Vec<&Figures>| {
                line[0].allocator == figures.allocator && line[0].contender == figures.contender
            };
            match lines.iter_mut().find(same) {
                Some(line) => line.push(figures),
                None => lines.push(vec![figures]),
            }
        }
        lines
    }

    fn tables(&self, machine: &Machine) -> String {
        let mut text = format!(
            "# What millhand costs\n\n{}. Medians of at most {} rounds, and where the middle half lies; less is better \
             everywhere.\n",
            machine.describe(),
            self.rounds,
        );
        for cost in &self.costs {
            let sizes: Vec<_> = cost.sizes.iter().map(|size| thousands(*size)).collect();
            write!(
                text,
                "\n## {}\n\n{}, by {}{}\n\n| contender | allocator | {} |\n| --- | --- |{}\n",
                upper(cost.title),
                cost.unit,
                cost.of,
                cost.aim.map_or(String::new(), |aim| format!(
                    "; aim: {}",
                    describe(aim, cost)
                )),
                sizes.join(" | "),
                " ---: |".repeat(sizes.len()),
            )
            .unwrap();
            let lines = self.lines(cost);
            for line in &lines {
                write!(text, "| {} | {} |", line[0].contender, line[0].allocator).unwrap();
                for figures in line {
                    let cell =
                        figures
                            .spread()
                            .map_or("-".to_owned(), |Spread { low, median, high }| {
                                let [low, median, high] = [low, median, high].map(figure);
                                if low == high {
                                    median
                                } else {
                                    format!("{median} ({low} to {high})")
                                }
                            });
                    write!(text, " {cell} |").unwrap();
                }
                text.push('\n');
            }
            for Verdict {
                allocator,
                value,
                met,
                ..
            } in verdicts(cost, &lines)
            {
                let said = match (met, value) {
                    (Some(true), Some(value)) => format!("met: {}", exact(value)),
                    (Some(false), Some(value)) => format!("missed: {}", exact(value)),
                    _ => "not known".to_owned(),
                };
                write!(text, "\nAim, {allocator}: {said}\n").unwrap();
            }
        }
        text
    }

    fn json(&self, machine: &Machine) -> String {
        let costs = self.costs.iter().map(|cost| {
            let lines = self.lines(cost);
            let verdicts = verdicts(cost, &lines).into_iter().map(|verdict| {
                format!(
                    "{{\"allocator\": {}, \"bound\": {}, \"value\": {}, \"met\": {}}}",
                    json_string(verdict.allocator),
                    json_number(Some(verdict.bound)),
                    json_number(verdict.value),
                    verdict.met.map_or("null".to_owned(), |met| met.to_string()),
                )
            });
            let figures = lines.iter().flatten().map(|figures| {
                let all = figures.figures.iter().map(|figure| json_number(*figure));
                format!(
                    "  {{\"contender\": {}, \"allocator\": {}, \"size\": {}, \"median\": {}, \"figures\": [{}]}}",
                    json_string(figures.contender),
                    json_string(figures.allocator),
                    figures.size,
                    json_number(figures.median()),
                    all.collect::<Vec<_>>().join(", "),
                )
            });
            format!(
                "{{\"cost\": {}, \"title\": {}, \"unit\": {}, \"size_is\": {}, \"aim\": {}, \"aims\": [{}],\n \"figures\": [\n{}\n ]}}",
                json_string(cost.key),
                json_string(cost.title),
                json_string(cost.unit),
                json_string(cost.of),
                cost.aim.map_or("null".to_owned(), |aim| json_string(&describe(aim, cost))),
                verdicts.collect::<Vec<_>>().join(", "),
                figures.collect::<Vec<_>>().join(",\n"),
            )
        });
        format!(
            "{{\n\"machine\": {},\n\"rounds\": {},\n\"costs\": [\n{}\n]\n}}\n",
            machine.json(),
            self.rounds,
            costs.collect::<Vec<_>>().join(",\n"),
        )
    }
}

pub fn grows(cost: &Cost) -> bool {
    matches!(cost.aim, Some(Aim::FlatWithin(_)))
}

fn describe(aim: Aim, cost: &Cost) -> String {
    match aim {
        Aim::AtMost(bound) => format!("at most {}", exact(bound)),
        Aim::OfTheOther(bound) => format!("at most {bound:.2} of {}", cost.contenders[1]),
        Aim::FlatWithin(bound) => format!("flat within {bound}"),
    }
}

/// Whether an aim was met with one allocator.
struct Verdict {
    allocator: &'static str,
    bound: f64,
    value: Option<f64>,
    met: Option<bool>,
}

/// The values of our lines, one per allocator.
fn verdicts(cost: &Cost, lines: &[Vec<&Figures>]) -> Vec<Verdict> {
    let Some(aim) = cost.aim else {
        return Vec::new();
    };
    let ours = lines
        .iter()
        .filter(|line| line[0].contender == cost.contenders[0]);
    let verdict = |line: &Vec<&Figures>| {
        let allocator = line[0].allocator;
        let (bound, value) = match aim {
            Aim::AtMost(bound) => (bound, medians(line).reduce(f64::max)),
            Aim::OfTheOther(bound) => {
                let theirs = lines.iter().find(|line| {
                    line[0].allocator == allocator
                        && Some(&line[0].contender) == cost.contenders.get(1)
                });
                let ratio = |theirs: &Vec<&Figures>| {
                    let ratios = line.iter().zip(theirs).filter_map(|(a, b)| a.ratio_to(b));
                    ratios.reduce(f64::max)
                };
                (bound, theirs.and_then(ratio))
            }
            Aim::FlatWithin(bound) => {
                let most = medians(line).reduce(f64::max);
                let least = medians(line).reduce(f64::min);
                (bound, most.zip(least).map(|(most, least)| most / least))
            }
        };
        Verdict {
            allocator,
            bound,
            value,
            met: value.map(|value| value <= bound),
        }
    };
    ours.map(verdict).collect()
}

fn medians(line: &[&Figures]) -> impl Iterator<Item = f64> {
    line.iter().filter_map(|figures| figures.median())
}

/// Formats a figure with enough digits to tell 1.03 from 1.033, and without zeros at the end.
fn exact(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Formats a number as in 1,000,000.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// With a capital letter at the start, for a heading.
fn upper(title: &str) -> String {
    let mut letters = title.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
