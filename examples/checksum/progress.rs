//! What the program prints: its lines, messages, the bar and the summary.

use indicatif::ProgressStyle;
use indicatif::{DecimalBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressState};
use std::fmt::Arguments;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How far the program is, for all threads.
#[derive(Clone)]
pub(crate) struct Progress {
    /// In bytes.
    bar: ProgressBar,
    files: Arc<Files>,
}

/// Counters, which guard nothing.
#[derive(Default)]
struct Files {
    all: AtomicU64,
    done: AtomicU64,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let files = Arc::new(Files::default());
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        Self { bar, files }
    }

    /// Shows the bar, if there is a terminal.
    pub(crate) fn begin(&self, files: usize, bytes: u64) {
        self.files.all.store(files as u64, Ordering::Relaxed);
        self.bar.set_length(bytes);
        self.bar.reset();
        if !io::stderr().is_terminal() {
            return;
        }
        let template =
            "{wide_bar} {files} files, {files_per_sec}/s, {decimal_bytes_per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template).expect("the template is a valid one");
        let (count, rate) = (self.files.clone(), self.files.clone());
        let style = style
            .with_key(
                "files",
                move |_: &ProgressState, to: &mut dyn std::fmt::Write| {
                    let _ = write!(to, "{}/{}", count.done(), count.all());
                },
            )
            .with_key(
                "files_per_sec",
                move |bar: &ProgressState, to: &mut dyn std::fmt::Write| {
                    let seconds = bar.elapsed().as_secs_f64().max(0.001);
                    let _ = write!(to, "{:.0}", rate.done() as f64 / seconds);
                },
            );
        self.bar.set_style(style);
        self.bar.set_draw_target(ProgressDrawTarget::stderr());
    }

    pub(crate) fn add_bytes(&self, read: usize) {
        self.bar.inc(read as u64);
    }

    /// Notes the end of a file. What it had less or more than expected is no longer to come.
    pub(crate) fn end_file(&self, expected: u64, read: u64, is_done: bool) {
        if is_done {
            self.files.done.fetch_add(1, Ordering::Relaxed);
        }
        if read < expected {
            self.bar.dec_length(expected - read);
        } else {
            self.bar.inc_length(read - expected);
        }
    }

    /// Prints a line of the output, above the bar where the two share a terminal. Elsewhere the bar
    /// is left alone, since a pipe that is full would hold it, and with it the workers.
    pub(crate) fn print(&self, line: &[u8]) {
        let mut out = io::stdout();
        let printed = if out.is_terminal() {
            self.bar.suspend(|| out.write_all(line))
        } else {
            out.write_all(line)
        };
        if let Err(error) = printed {
            self.give_up(&error);
        }
    }

    /// Ends the program: nobody gets the rest of the sums, so no file is worth reading to its end.
    fn give_up(&self, error: &io::Error) -> ! {
        self.bar.finish_and_clear();
        report_output(error);
        std::process::exit(1);
    }

    /// Prints a message above the bar.
    pub(crate) fn report(&self, message: Arguments<'_>) {
        self.bar.suspend(|| report(message));
    }

    /// Removes the bar, and sums up.
    pub(crate) fn finish(&self) {
        let (files, bytes) = (&self.files, self.bar.position());
        let elapsed = self.bar.elapsed();
        self.bar.finish_and_clear();
        report(format_args!(
            "{}/{} files, {} in {elapsed:.1?}",
            HumanCount(files.done()),
            HumanCount(files.all()),
            DecimalBytes(bytes),
        ));
    }
}

impl Files {
    fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

/// Says that the standard output takes nothing. If nobody reads it, nobody misses it.
pub(crate) fn report_output(error: &io::Error) {
    if error.kind() != ErrorKind::BrokenPipe {
        report(format_args!("standard output: {error}"));
    }
}

/// Prints a line on the standard error. Unlike `eprintln!` it does not panic when nobody reads
/// there.
pub(crate) fn report(message: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "checksum: {message}");
}
