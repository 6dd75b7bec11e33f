//! What is printed: outputs in one piece, failures, and the progress where that is a terminal.

use crate::input::{self, Job};
use crate::journal::Done;
use crate::options::Options;
use crate::output::Output;
use crate::runner::Ended;
use crate::stop::Stop;
use indicatif::{ProgressBar, ProgressStyle};
use millhand::cancel::{CancelGuard, CancelReason};
use millhand_programs::{lock, say};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write, stderr, stdout};
use std::mem;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) struct Report {
    bar: ProgressBar,
    /// Only on a terminal.
    has_bar: bool,
    stop: Arc<Stop>,
    keep_order: bool,
    state: Mutex<State>,
}

/// Held while an output is printed, so that outputs do not mix.
struct State {
    /// How many commands have failed, now or by the journal.
    failed: u64,
    /// What has ended before its turn, by the index of its line.
    waiting: BTreeMap<u64, Ended>,
    /// Whose turn it is.
    next: u64,
}

impl Report {
    pub(crate) fn new(options: &Options, done: &Done, stop: &Arc<Stop>) -> Self {
        let bar = ProgressBar::no_length();
        let has_bar = !bar.is_hidden();
        if has_bar {
            let length = options.arg_file.as_deref().and_then(input::count);
            let text = match length {
                Some(length) => {
                    bar.set_length(length);
                    "{bar:30} {pos} of {len} ended{msg}, {elapsed}"
                }
                None => "{spinner} {pos} ended{msg}, {elapsed}",
            };
            bar.set_style(ProgressStyle::with_template(text).expect("it is a template"));
            bar.set_position(done.count());
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        show_failed(&bar, done.failed);
        let state = State {
            failed: done.failed,
            waiting: BTreeMap::new(),
            next: 0,
        };
        Self {
            bar,
            has_bar,
            stop: stop.clone(),
            keep_order: options.keep_order,
            state: Mutex::new(state),
        }
    }

    /// Says what goes on after the first signal.
    pub(crate) fn announce(&self) -> CancelGuard {
        let bar = self.bar.clone();
        self.stop.start.on_cancel(move |why| {
            // By a signal: errors speak for themselves.
            if why == CancelReason::Shutdown {
                let text = "parallel: no more commands start; another signal ends those that run";
                bar.suspend(|| say(text));
            }
        })
    }

    /// Prints the output of a command: now, or after those of the lines before it.
    pub(crate) fn print(&self, ended: Ended) {
        let mut state = lock(&self.state);
        if !ended.end.is_success() {
            state.failed += 1;
            show_failed(&self.bar, state.failed);
        }
        self.bar.inc(1);
        if !self.keep_order {
            return self.print_now(&ended);
        }
        state.waiting.insert(ended.line.index, ended);
        let State { waiting, next, .. } = &mut *state;
        while let Some(ended) = waiting.remove(next) {
            *next += 1;
            self.print_now(&ended);
        }
    }

    /// If nothing reads the output any more, the run ends.
    fn print_now(&self, ended: &Ended) {
        match self.bar.suspend(|| self.write(ended)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.stop.end(),
            Err(error) => {
                self.stop.abort(format_args!("standard output: {error}"));
            }
        }
    }

    fn write(&self, ended: &Ended) -> io::Result<()> {
        let Ended { line, end, outputs } = ended;
        let Job { line, command } = &line.job;
        let (mut out, mut err) = (stdout().lock(), stderr().lock());
        if let Some([own, errors]) = outputs {
            write_above(self.has_bar && out.is_terminal(), own, &mut out)?;
            // There is nowhere to report that this one is closed.
            let _ = write_above(self.has_bar, errors, &mut err);
        }
        if !end.is_success() {
            let command = String::from_utf8_lossy(command);
            let _ = writeln!(err, "parallel: line {line}: {end}: {command}");
        }
        Ok(())
    }

    /// Prints what still waits for a line that has not ended. Returns how many have failed.
    pub(crate) fn finish(&self) -> u64 {
        let mut state = lock(&self.state);
        let waiting = mem::take(&mut state.waiting);
        waiting.values().for_each(|ended| self.print_now(ended));
        self.bar.finish_and_clear();
        state.failed
    }
}

fn show_failed(bar: &ProgressBar, failed: u64) {
    if failed > 0 {
        bar.set_message(format!(", {failed} failed"));
    }
}

/// The bar has a line of its own, and clears it.
fn write_above(has_bar: bool, output: &Output, to: &mut dyn Write) -> io::Result<()> {
    output.write_to(to)?;
    match has_bar && output.is_open() {
        true => writeln!(to),
        false => Ok(()),
    }
}
