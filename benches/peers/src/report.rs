//! What the rounds came to.

use crate::Outcome;
use crate::options::Options;
use crate::rows::Row;
use std::path::Path;

/// All figures of one contender in one row with one allocator.
pub struct Cell {
    pub row: &'static Row,
    pub allocator: &'static str,
    pub contender: &'static str,
    /// One for each round; none where the measurement failed.
    pub figures: Vec<Option<f64>>,
    /// What the last measurement said beside its figure.
    pub notes: Vec<String>,
}

impl Cell {
    pub fn add(&mut self, answer: Option<(f64, Vec<String>)>) {
        self.figures
            .push(answer.as_ref().map(|(figure, _)| *figure));
        if let Some((_, notes)) = answer {
            self.notes = notes;
        }
    }
}

pub struct Results {
    pub cells: Vec<Cell>,
}

impl Results {
    /// Nothing yet, of all that the options ask for.
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
        Self { cells }
    }

    pub fn write(&self, _out: &Path) -> Outcome<()> {
        for cell in &self.cells {
            println!(
                "{} {} {}: {:?} {:?}",
                cell.row.key, cell.allocator, cell.contender, cell.figures, cell.notes
            );
        }
        Ok(())
    }
}
