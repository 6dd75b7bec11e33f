//! Files with the same content, in groups: by their size, then by a hash of their start, then by a
//! hash of all they have.
//!
//!     cargo run --release --manifest-path examples/programs/Cargo.toml --bin dupes -- [PATH]..
//!
//! It prints the names of each group one below the other, with an empty line after the group, as
//! `fdupes` and `jdupes` do. On a terminal a bar shows the rate and the time left. A line on the
//! standard error sums up.
//!
//! - Two files are taken for duplicates if their BLAKE3 hashes are equal. The hash has 256 bits,
//!   and no two contents with the same hash are known, so the contents are not compared again.
//! - Hard links to one file are one file, which has no duplicate in itself: the first name in byte
//!   order stands for all. So a path below two arguments is listed once. `fdupes` does the same.
//! - Symbolic links are not followed, except those among the arguments. Neither devices, sockets
//!   nor pipes are opened.
//! - Empty files are left out, as by `jdupes`. With `--empty` they are a group, as by `fdupes`.
//! - A file that cannot be read, or whose length has changed since the search saw it first, is
//!   named on the standard error, and is in no group. The search goes on, and its exit code is 1.
//!
//! Memory grows with the number of files, whose names are kept to the end, and not with their
//! sizes.
//!
//! To try:
//!
//! - `-- /usr/share` beside `jdupes -r /usr/share`. `cargo bench --manifest-path
//!   examples/programs/Cargo.toml --bench dupes` compares the groups and the times.
//! - `-- --null ~/Pictures | xargs -0 -n 1 echo`. With `--null`, each name ends with a NUL, and so
//!   does each group: a name may have a line break in it.
//! - `-- --open-files 1 /mnt/disk`, for a disk that has to move its head between two files.
//! - Ctrl-C. Files that are being read are left, nothing is printed, and the exit code is 130.
//!
//! Exit codes: 0, with or without duplicates; 1 if something could not be read or written; 2 for
//! wrong arguments; 130 after Ctrl-C, SIGTERM or SIGHUP.
//!
//! What to read: `search.rs` has the steps. Each needs the whole list that the step before has
//! left, since no file can be left out before all others are known. So the lists are collected
//! between the steps, which also gives the bar its total, and each step that reads is a pipeline
//! over its list. `walk.rs` has tasks that submit tasks, one per directory. Both kinds of tasks
//! pass one gate, a semaphore, so that the number of open files is bounded whatever the number of
//! threads.

mod progress;
mod search;
mod walk;

use crate::progress::Progress;
use crate::search::{Group, Search};
use clap::Parser;
use indicatif::{HumanBytes, HumanCount};
use millhand::{Semaphore, Signals, ThreadPool};
use millhand_programs::arguments::{self, whole};
use std::error::Error;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Finds files with the same content, and prints their names in groups.
///
/// Contents are the same if their sizes and their BLAKE3 hashes are. Hard links to one file count
/// as one file. Symbolic links are not followed, except those among the arguments.
#[derive(Parser)]
#[command(name = "dupes", version, after_help = EXIT_CODES)]
struct Options {
    /// Directories to search, with all below them, and files
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,

    /// Takes empty files for duplicates, too
    #[arg(long)]
    empty: bool,

    /// Ends names and groups with a NUL in place of a line break
    #[arg(long, short = '0')]
    null: bool,

    /// Threads [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=1024))]
    workers: Option<usize>,

    /// Files and directories that are open at once. 1 suits a disk with a head
    #[arg(long, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = whole::<u32>(1..=u32::MAX.into()))]
    open_files: u32,
}

const EXIT_CODES: &str = "Exit codes: 0 with or without duplicates; 1 if something could not be \
    read or written; 2 for wrong arguments; 130 after Ctrl-C, SIGTERM or SIGHUP.";

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error")).init();
    let options: Options = arguments::parse();
    let signals = Signals::install();
    let progress = Progress::new();
    let ended = run(&options, &signals, &progress);
    progress.finish();
    match ended {
        // A program that was asked to stop says so, whatever else has happened.
        _ if signals.count() > 0 => ExitCode::from(Signals::EXIT_CODE),
        Ok(()) if progress.problems() == 0 => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            progress.report(&error);
            ExitCode::from(2)
        }
    }
}

/// Searches and prints. An error is a fault of the arguments.
fn run(options: &Options, signals: &Signals, progress: &Progress) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let mut builder = ThreadPool::builder();
    if let Some(workers) = options.workers {
        builder = builder.workers(workers);
    }
    let pool = builder
        .build()
        .map_err(|error| format!("--workers: {error}"))?;
    let open =
        Semaphore::new(options.open_files).map_err(|error| format!("--open-files: {error}"))?;
    let search = Search::new(&pool, &open, &signals.token(), progress);

    let files = search.files(&options.paths);
    let found = files.len() as u64;
    let groups = search.groups(files, options.empty);
    if signals.count() > 0 {
        return Ok(());
    }
    progress.finish();
    match print(&groups, options.null) {
        // Nobody reads any more, as in `dupes | head -1`, and needs no message.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => progress.count_problem(),
        Err(error) => progress.problem(format_args!("standard output: {error}")),
        Ok(()) => {}
    }
    let redundant: usize = groups.iter().map(|group| group.len() - 1).sum();
    let bytes = groups
        .iter()
        .map(|group| group[0].size * (group.len() as u64 - 1));
    progress.report(&format_args!(
        "{} in {:.1?}: {}, {}, {}",
        counted(found, "file"),
        begun.elapsed(),
        counted(groups.len() as u64, "group"),
        counted(redundant as u64, "redundant file"),
        HumanBytes(bytes.sum())
    ));
    Ok(())
}

fn counted(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {what}{plural}", HumanCount(n))
}

fn print(groups: &[Group], with_nulls: bool) -> io::Result<()> {
    let end: &[u8] = if with_nulls { b"\0" } else { b"\n" };
    let mut out = BufWriter::new(io::stdout().lock());
    for group in groups {
        for file in group {
            out.write_all(file.name())?;
            out.write_all(end)?;
        }
        out.write_all(end)?;
    }
    out.flush()
}
