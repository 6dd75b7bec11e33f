//! The results of the rounds: medians, their spread, and ratios within the rounds; as a table, as
//! JSON, as a chart.

use crate::Outcome;
use crate::chart;
use crate::contenders::BARE;
use crate::machine::{Machine, behind};
use crate::options::Options;
use crate::rows::{Against, Aim, Row, Unit};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// All figures of one contender in one row with one allocator.
pub struct Cell {
    pub row: &'static Row,
    pub allocator: &'static str,
    pub contender: &'static str,
    /// One figure per round. None where the measurement failed.
    figures: Vec<Option<f64>>,
    /// The notes of the last measurement.
    notes: Vec<String>,
}

impl Cell {
    pub fn add(&mut self, answer: Option<(f64, Vec<String>)>) {
        let (figure, notes) = answer.unzip();
        self.figures.push(figure);
        if let Some(notes) = notes {
            self.notes = notes;
        }
    }

    pub fn spread(&self) -> Option<Spread> {
        Spread::of(self.figures.iter().copied().flatten().collect())
    }

    /// The median over the rounds of our cost divided by theirs. Less than 1 is good, whatever
    /// the unit.
    fn ratio_to(&self, theirs: &Self) -> Option<f64> {
        let rounds = self.figures.iter().zip(&theirs.figures);
        let ratios = rounds.filter_map(|(ours, theirs)| {
            let (ours, theirs) = ((*ours)?, (*theirs)?);
            Some(if self.row.unit.less_is_better() {
                ours / theirs
            } else {
                theirs / ours
            })
        });
        Some(Spread::of(ratios.collect())?.median)
    }
}

/// The median, and the figures that the middle half lies between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Spread {
    pub fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        let last = figures.len().checked_sub(1)?;
        let at = |share: f64| {
            let place = share * last as f64;
            let below = place.floor();
            let (a, b) = (figures[below as usize], figures[place.ceil() as usize]);
            a + (b - a) * (place - below)
        };
        Some(Self {
            low: at(0.25),
            median: at(0.5),
            high: at(0.75),
        })
    }
}

/// One row with one allocator: ours and the others.
pub struct Comparison<'a> {
    pub row: &'static Row,
    pub allocator: &'static str,
    /// The measured contenders, in the row's order.
    pub cells: Vec<&'a Cell>,
    /// The peer with the best median, and our ratio to it.
    pub best_peer: Option<(&'a Cell, f64)>,
    pub bare: Option<(&'a Cell, f64)>,
    pub verdicts: Vec<Verdict>,
}

/// Whether an aim was met. Without a value that is unknown.
pub struct Verdict {
    pub aim: Aim,
    pub value: Option<f64>,
}

impl Verdict {
    pub fn met(&self, unit: Unit) -> Option<bool> {
        let bound = self.aim.bound;
        let more_is_better = matches!(self.aim.against, Against::Itself) && !unit.less_is_better();
        self.value.map(|value| {
            if more_is_better {
                value >= bound
            } else {
                value <= bound
            }
        })
    }

    fn describe(&self, unit: Unit) -> String {
        let bound = match self.aim.against {
            Against::BestPeer => format!("≤ {:.2} of the best peer", self.aim.bound),
            Against::Contender(name) => format!("≤ {:.2} of {name}", self.aim.bound),
            Against::Itself if unit.less_is_better() => format!("≤ {}", figure(self.aim.bound)),
            Against::Itself => format!("≥ {}", figure(self.aim.bound)),
        };
        match (self.value, self.met(unit)) {
            (Some(_), Some(true)) => format!("{bound}: met"),
            (Some(value), _) => format!("{bound}: missed: {value:.2}"),
            (None, _) => format!("{bound}: -"),
        }
    }
}

impl<'a> Comparison<'a> {
    fn of(row: &'static Row, allocator: &'static str, cells: Vec<&'a Cell>) -> Self {
        let find = |name: &str| cells.iter().copied().find(|cell| cell.contender == name);
        let ours = find(row.ours());
        let with_ratio = |theirs: &'a Cell| Some((theirs, ours?.ratio_to(theirs)?));
        let best_peer = row
            .peers()
            .filter_map(find)
            .filter_map(|cell| Some((cell, cell.spread()?.median)))
            .min_by(|(_, a), (_, b)| {
                if row.unit.less_is_better() {
                    a.total_cmp(b)
                } else {
                    b.total_cmp(a)
                }
            })
            .and_then(|(cell, _)| with_ratio(cell));
        let verdicts = row.aims.iter().map(|aim| Verdict {
            aim: *aim,
            value: match aim.against {
                Against::BestPeer => best_peer.map(|(_, ratio)| ratio),
                Against::Contender(name) => find(name).and_then(with_ratio).map(|(_, ratio)| ratio),
                Against::Itself => ours.and_then(Cell::spread).map(|spread| spread.median),
            },
        });
        Self {
            row,
            allocator,
            best_peer,
            bare: find(BARE).and_then(with_ratio),
            verdicts: verdicts.collect(),
            cells,
        }
    }

    pub fn find(&self, contender: &str) -> Option<&'a Cell> {
        let mut cells = self.cells.iter().copied();
        cells.find(|cell| cell.contender == contender)
    }

    pub fn verdict(&self) -> String {
        let verdicts = self.verdicts.iter();
        let texts: Vec<_> = verdicts
            .map(|verdict| verdict.describe(self.row.unit))
            .collect();
        texts.join("; ")
    }
}

pub struct Results {
    pub cells: Vec<Cell>,
    rounds: usize,
    rows: Vec<&'static Row>,
    allocators: Vec<&'static str>,
}

impl Results {
    /// Empty results for all that the options ask for.
    pub fn new(options: &Options) -> Self {
        let mut cells = Vec::new();
        for row in &options.rows {
            for allocator in &options.allocators {
                let asked = |name: &&&str| options.contenders.contains(*name);
                for contender in row.contenders.iter().filter(asked) {
                    cells.push(Cell {
                        row,
                        allocator,
                        contender,
                        figures: Vec::new(),
                        notes: Vec::new(),
                    });
                }
            }
        }
        Self {
            cells,
            rounds: options.rounds,
            rows: options.rows.clone(),
            allocators: options.allocators.clone(),
        }
    }

    /// Prints the table, and writes the table, the JSON and the chart into the folder.
    pub fn write(&self, out: &Path) -> Outcome<()> {
        let machine = Machine::this();
        let comparisons = self.comparisons();
        let table = self.table(&machine, &comparisons);
        print!("{table}");
        let to = |name: &str, text: &str| {
            let path = out.join(name);
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
        };
        fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
        to("table.md", &table)?;
        to("results.json", &self.json(&machine, &comparisons))?;
        let footer = format!("{}; rounds: {}", machine.describe(), self.rounds);
        to("chart.svg", &chart::svg(&comparisons, &footer))?;
        Ok(())
    }

    /// The comparisons row by row, and within a row allocator by allocator.
    fn comparisons(&self) -> Vec<Comparison<'_>> {
        let mut comparisons = Vec::new();
        for row in &self.rows {
            for allocator in &self.allocators {
                let cells = self.cells.iter();
                let cells =
                    cells.filter(|cell| cell.row.key == row.key && cell.allocator == *allocator);
                comparisons.push(Comparison::of(row, allocator, cells.collect()));
            }
        }
        comparisons
    }

    fn table(&self, machine: &Machine, comparisons: &[Comparison]) -> String {
        let mut text = format!(
            "# millhand beside its peers\n\n\
             {}. Rounds: {}. Figures are medians; a ratio is our cost divided by theirs in the same round, and of all rounds the median: \
             less than 1 is ours.\n\n\
             | what | allocator | millhand | best peer | ratio | bare channel | ratio | aim |\n\
             | --- | --- | ---: | --- | ---: | ---: | ---: | --- |\n",
            machine.describe(),
            self.rounds,
        );
        for c in comparisons {
            let ours = c.find(c.row.ours()).and_then(Cell::spread);
            let ours = ours.map_or("-".into(), |spread| figure(spread.median));
            let median = |cell: &Cell| {
                cell.spread()
                    .map_or("-".into(), |spread| figure(spread.median))
            };
            let (best, to_best) = c
                .best_peer
                .map_or(("-".into(), "-".into()), |(cell, ratio)| {
                    (
                        format!("{} ({})", median(cell), cell.contender),
                        format!("{ratio:.2}"),
                    )
                });
            let (bare, to_bare) = c.bare.map_or(("-".into(), "-".into()), |(cell, ratio)| {
                (median(cell), format!("{ratio:.2}"))
            });
            let title = format!("{}, {}", c.row.title, c.row.unit.name());
            let (allocator, verdict) = (c.allocator, c.verdict());
            writeln!(
                text,
                "| {title} | {allocator} | {ours} | {best} | {to_best} | {bare} | {to_bare} | {verdict} |"
            )
            .unwrap();
        }
        for row in &self.rows {
            self.details(&mut text, row, comparisons);
        }
        text
    }

    /// All contenders of a row, with the spread.
    fn details(&self, text: &mut String, row: &Row, comparisons: &[Comparison]) {
        let allocators = self.allocators.join(" | ");
        let lines = " --- |".repeat(self.allocators.len());
        let (title, unit) = (row.title, row.unit.name());
        let better = if row.unit.less_is_better() {
            "less"
        } else {
            "more"
        };
        write!(
            text,
            "\n## {title}\n\n{unit}, {better} is better: median (and where the middle half lies)\n\n\
             | contender | {allocators} |\n| --- |{lines}\n"
        )
        .unwrap();
        let of_row = || comparisons.iter().filter(|c| c.row.key == row.key);
        let measured = |name: &&&str| of_row().any(|c| c.find(name).is_some());
        for contender in row.contenders.iter().filter(measured) {
            // Our version number is the same for every revision, so the revision stands above.
            let name = match behind(contender) {
                Some(named) if named.starts_with(contender) && *contender != row.ours() => named,
                Some(named) if *contender != row.ours() => format!("{contender} ({named})"),
                _ => (*contender).to_owned(),
            };
            let yardstick = if row.yardsticks.contains(contender) {
                " (yardstick)"
            } else {
                ""
            };
            write!(text, "| {name}{yardstick} |").unwrap();
            for c in of_row() {
                match c.find(contender).and_then(Cell::spread) {
                    Some(Spread { low, median, high }) => {
                        let (low, median, high) = (figure(low), figure(median), figure(high));
                        write!(text, " {median} ({low} to {high}) |").unwrap();
                    }
                    None => write!(text, " - |").unwrap(),
                }
            }
            text.push('\n');
        }
        for c in of_row() {
            for cell in &c.cells {
                for note in &cell.notes {
                    write!(text, "\n{}, {}: {note}\n", cell.contender, cell.allocator).unwrap();
                }
            }
        }
    }

    fn json(&self, machine: &Machine, comparisons: &[Comparison]) -> String {
        let mut text = format!(
            "{{\n\"machine\": {},\n\"rounds\": {},\n\"rows\": [\n",
            machine.json(),
            self.rounds,
        );
        let rows: Vec<String> = comparisons.iter().map(json_comparison).collect();
        text += &rows.join(",\n");
        text += "\n]\n}\n";
        text
    }
}

fn json_comparison(c: &Comparison) -> String {
    let mut text = format!(
        "{{\"row\": {}, \"title\": {}, \"unit\": {}, \"less_is_better\": {}, \"allocator\": {},\n",
        json_string(c.row.key),
        json_string(c.row.title),
        json_string(c.row.unit.name()),
        c.row.unit.less_is_better(),
        json_string(c.allocator),
    );
    let best = c.best_peer.map(|(cell, _)| json_string(cell.contender));
    writeln!(
        text,
        " \"best_peer\": {}, \"ratio_to_best_peer\": {}, \"ratio_to_bare\": {},",
        best.unwrap_or("null".to_owned()),
        json_number(c.best_peer.map(|(_, ratio)| ratio)),
        json_number(c.bare.map(|(_, ratio)| ratio)),
    )
    .unwrap();
    let aims = c.verdicts.iter().map(|verdict| {
        let against = match verdict.aim.against {
            Against::BestPeer => "best peer",
            Against::Contender(name) => name,
            Against::Itself => "itself",
        };
        format!(
            "{{\"against\": {}, \"bound\": {}, \"value\": {}, \"met\": {}}}",
            json_string(against),
            verdict.aim.bound,
            json_number(verdict.value),
            verdict
                .met(c.row.unit)
                .map_or("null".to_owned(), |met| met.to_string()),
        )
    });
    writeln!(
        text,
        " \"aims\": [{}],",
        aims.collect::<Vec<_>>().join(", ")
    )
    .unwrap();
    let contenders = c.cells.iter().map(|cell| {
        let figures = cell.figures.iter().map(|figure| json_number(*figure));
        let spread = cell.spread();
        format!(
            "  {{\"contender\": {}, \"crate\": {}, \"median\": {}, \"quartiles\": [{}, {}], \"figures\": [{}]}}",
            json_string(cell.contender),
            behind(cell.contender).map_or("null".to_owned(), |named| json_string(&named)),
            json_number(spread.map(|spread| spread.median)),
            json_number(spread.map(|spread| spread.low)),
            json_number(spread.map(|spread| spread.high)),
            figures.collect::<Vec<_>>().join(", "),
        )
    });
    text += " \"contenders\": [\n";
    text += &contenders.collect::<Vec<_>>().join(",\n");
    text += "\n ]}";
    text
}

/// Formats a figure with the digits that are significant.
pub fn figure(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

pub fn json_string(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control < ' ' => write!(quoted, "\\u{:04x}", u32::from(control)).unwrap(),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// JSON has no infinities and no NaN.
pub fn json_number(value: Option<f64>) -> String {
    match value {
        Some(value) if value.is_finite() => format!("{value:.4}"),
        _ => "null".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows;

    fn cell(row: &'static Row, contender: &'static str, figures: &[Option<f64>]) -> Cell {
        Cell {
            row,
            allocator: "system",
            contender,
            figures: figures.to_vec(),
            notes: Vec::new(),
        }
    }

    fn row(key: &str) -> &'static Row {
        rows::ALL.iter().find(|row| row.key == key).unwrap()
    }

    #[test]
    fn the_middle_half_is_between_the_quartiles() {
        assert_eq!(Spread::of(Vec::new()), None);
        let spread = Spread::of(vec![4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((spread.low, spread.median, spread.high), (1.75, 2.5, 3.25));
    }

    #[test]
    fn a_ratio_is_taken_within_the_rounds_that_both_have() {
        let ours = cell(
            row("execute"),
            "millhand",
            &[Some(1.0), Some(8.0), None, Some(3.0)],
        );
        let theirs = cell(
            row("execute"),
            "bare",
            &[Some(2.0), Some(4.0), Some(9.0), Some(3.0)],
        );
        assert_eq!(ours.ratio_to(&theirs), Some(1.0));
        // The figure is a share, so more is better: half of their share is twice their cost.
        let ours = cell(row("ten-us"), "millhand", &[Some(0.4)]);
        let theirs = cell(row("ten-us"), "bare", &[Some(0.8)]);
        assert_eq!(ours.ratio_to(&theirs), Some(2.0));
    }

    #[test]
    fn the_best_peer_is_never_the_bare_channel() {
        let ours = cell(row("execute"), "millhand", &[Some(3.0)]);
        let bare = cell(row("execute"), "bare", &[Some(1.0)]);
        let peer = cell(row("execute"), "rayon", &[Some(4.0)]);
        let worse = cell(row("execute"), "tokio", &[Some(5.0)]);
        let cells = vec![&ours, &bare, &worse, &peer];
        let comparison = Comparison::of(row("execute"), "system", cells);
        let (best, ratio) = comparison.best_peer.unwrap();
        assert_eq!((best.contender, ratio), ("rayon", 0.75));
        let expected = "≤ 1.00 of the best peer: met; ≤ 1.05 of bare: missed: 3.00";
        assert_eq!(comparison.verdict(), expected);
    }

    #[test]
    fn a_share_has_to_be_at_least_its_aim() {
        let ours = cell(row("ten-us"), "millhand", &[Some(0.96)]);
        let comparison = Comparison::of(row("ten-us"), "system", vec![&ours]);
        assert_eq!(comparison.verdict(), "≥ 0.95: met");
    }
}
