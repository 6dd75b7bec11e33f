//! What the program says while it works: the bar, and what went wrong.

use indicatif::{ProgressBar, ProgressStyle};
use millhand_programs::say;
use std::cell::Cell;
use std::fmt::Display;

/// The bar on the standard error, which is hidden if that is no terminal, and the messages that
/// share the terminal with it.
pub(crate) struct Progress {
    bar: ProgressBar,
    problems: Cell<u64>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            bar: ProgressBar::new_spinner(),
            problems: Cell::new(0),
        }
    }

    /// Begins a step whose end is not known.
    pub(crate) fn begin(&self) -> &ProgressBar {
        self.restart("{spinner} {human_pos} files found, {per_sec}");
        &self.bar
    }

    /// Begins a step that reads so many bytes.
    pub(crate) fn begin_reading(&self, what: &'static str, bytes: u64) -> &ProgressBar {
        self.restart("{msg} {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left");
        self.bar.set_message(what);
        self.bar.set_length(bytes);
        &self.bar
    }

    fn restart(&self, template: &str) {
        let style = ProgressStyle::with_template(template).expect("the template is a valid one");
        self.bar.set_style(style);
        self.bar.reset();
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Reports something that could not be read or written.
    pub(crate) fn problem(&self, what: impl Display) {
        self.count_problem();
        self.report(&what);
    }

    pub(crate) fn count_problem(&self) {
        self.problems.set(self.problems.get() + 1);
    }

    pub(crate) fn problems(&self) -> u64 {
        self.problems.get()
    }

    /// Prints a line above the bar.
    pub(crate) fn report(&self, line: &dyn Display) {
        self.bar.suspend(|| say(format_args!("dupes: {line}")));
    }
}
