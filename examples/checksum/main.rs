//! SHA-256 of every regular file under a directory, as `sha256sum` prints it, and the check of such
//! a list, as `sha256sum -c` does it. Each file is a task.
//!
//! ```text
//! cargo run --release --example checksum -- [DIR] > SUMS
//! cargo run --release --example checksum -- --check SUMS
//! ```
//!
//! `--workers N` is the number of threads, and `--open-files N` the number of files that are open
//! at once. On a terminal a bar shows the rates and the time left. A line on the standard error
//! sums up: the files that were read to their end, of all, and the bytes.
//!
//! `--check` takes what `sha256sum` writes, also with `--tag` or `--binary`, and prints and ends as
//! `sha256sum -c` does. It does not take the lines of BSD's `sha256 -r`, with one space.
//!
//! Memory grows with the number of files, whose names are kept from the begin, and not with their
//! sizes.
//!
//! Ctrl-C stops taking files, finishes those being read and prints what is done; once more leaves
//! those being read, too; a third time ends at once.
//!
//! Exit codes: 0; 1 if anything could not be read or written, or a file has another sum than its
//! list says; 2 for wrong arguments; 130 after Ctrl-C, SIGTERM or SIGHUP.
//!
//! What to read: `sums.rs` has the pool and its tasks, with a gate, a token and results in order.
//! `list.rs` writes and reads the lines of lists, `files.rs` finds the files, `progress.rs` is the
//! bar, and `arguments.rs` the command line. The two things that the program does are below.

mod arguments;
mod files;
mod list;
mod progress;
mod sums;

use crate::arguments::{Arguments, HELP, USAGE};
use crate::progress::report;
use crate::sums::{Entry, Sums};
use millhand::Signals;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let signals = Signals::install();
    let arguments = Arguments::parse(std::env::args_os().skip(1));
    match arguments.and_then(|arguments| run(&arguments, &signals)) {
        // Whatever else happened, a program that was asked to stop says that it was.
        _ if signals.count() > 0 => ExitCode::from(Signals::EXIT_CODE),
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(wrong) => {
            report(format_args!("{wrong}\n{USAGE}"));
            ExitCode::from(2)
        }
    }
}

/// Does the work, and says whether all went well; an error is a fault of the arguments.
fn run(arguments: &Arguments, signals: &Signals) -> Result<bool, String> {
    if arguments.help {
        let printed = io::stdout().write_all(HELP.as_bytes());
        return Ok(match printed {
            Ok(()) => true,
            Err(error) => {
                progress::report_output(&error);
                false
            }
        });
    }
    let sums = Sums::new(arguments.workers, arguments.open_files, signals)?;
    Ok(match &arguments.check {
        Some(list) => check(list, &sums),
        None => print_sums(&arguments.dir, &sums, signals),
    })
}

fn print_sums(dir: &Path, sums: &Sums, signals: &Signals) -> bool {
    let (files, mut all_well) = files::files_under(dir, signals);
    let progress = sums.progress();
    for (file, sum) in sums.of(files) {
        match sum {
            Ok(sum) => progress.print(&list::line(&sum, &file.path)),
            Err(error) => {
                progress.report(format_args!("{}: {error}", file.path.display()));
                all_well = false;
            }
        }
    }
    progress.finish();
    all_well && sums.all_ran()
}

/// What a check has found wrong.
#[derive(Default)]
struct Wrong {
    malformed: usize,
    unread: usize,
    failed: usize,
}

fn check(list: &Path, sums: &Sums) -> bool {
    let name = list.display();
    let lines = match list.to_str() {
        Some("-") => {
            let mut lines = Vec::new();
            io::stdin().read_to_end(&mut lines).map(|_| lines)
        }
        _ => fs::read(list),
    };
    let lines = match lines {
        Ok(lines) => lines,
        Err(error) => {
            report(format_args!("{name}: {error}"));
            return false;
        }
    };
    let mut wrong = Wrong::default();
    let mut entries = Vec::new();
    for line in list::lines(&lines) {
        match list::parse(line) {
            Some((sum, path)) => entries.push(Entry::listed(path, sum)),
            None => wrong.malformed += 1,
        }
    }
    if entries.is_empty() {
        report(format_args!(
            "{name}: no properly formatted checksum lines found"
        ));
        return false;
    }

    check_all(entries, sums, &mut wrong);
    sums.progress().finish();
    wrong.warn();
    wrong.unread == 0 && wrong.failed == 0 && sums.all_ran()
}

/// Prints whether each file has the sum that its list says, in the order of the list.
fn check_all(entries: Vec<Entry>, sums: &Sums, wrong: &mut Wrong) {
    let progress = sums.progress();
    for (file, sum) in sums.of(entries) {
        let verdict = match sum {
            Ok(sum) if Some(sum) == file.expected => "OK",
            Ok(_) => {
                wrong.failed += 1;
                "FAILED"
            }
            Err(error) => {
                wrong.unread += 1;
                progress.report(format_args!("{}: {error}", file.path.display()));
                "FAILED open or read"
            }
        };
        progress.print(&list::verdict(&file.path, verdict));
    }
}

impl Wrong {
    fn warn(&self) {
        let warn = |n: usize, one: &str, many: &str| match n {
            0 => {}
            1 => report(format_args!("WARNING: 1 {one}")),
            n => report(format_args!("WARNING: {n} {many}")),
        };
        warn(
            self.malformed,
            "line is improperly formatted",
            "lines are improperly formatted",
        );
        warn(
            self.unread,
            "listed file could not be read",
            "listed files could not be read",
        );
        warn(
            self.failed,
            "computed checksum did NOT match",
            "computed checksums did NOT match",
        );
    }
}
