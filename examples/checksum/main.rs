//! SHA-256 of every regular file under a directory, one task a file, as `sha256sum` prints it and `sha256sum -c` takes
//! it back:
//!
//! ```text
//! cargo run --release --example checksum -- [DIR] [--workers N]
//! ```
//!
//! Ctrl-C stops taking files, finishes those being read and prints what is done; once more leaves those being read too;
//! a third time ends at once. The exit code is 130 after a signal, 2 for bad arguments, 1 if anything could not be read
//! or written, else 0.

use indicatif::{ProgressBar, ProgressStyle};
use millhand::{JoinError, Signals, TaskError, TaskHandle, ThreadPool};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: checksum [DIR] [--workers N]";

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let signals = Signals::install();
    let arguments = Arguments::parse(std::env::args_os().skip(1));
    match arguments.and_then(|arguments| print_sums(&arguments, &signals)) {
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
fn print_sums(arguments: &Arguments, signals: &Signals) -> Result<bool, String> {
    let pool = match arguments.workers {
        Some(workers) => ThreadPool::new(workers),
        None => ThreadPool::builder().build(),
    };
    let pool = pool.map_err(|error| error.to_string())?;
    let (files, mut all_well) = files_under(&arguments.dir, signals);
    let bar = progress_bar(files.len());

    // The first signal cancels the token, and with it all that is still queued; what runs is left to finish.
    let token = signals.token();
    let _note = token.on_cancel(|_| log::info!("no further file is taken"));
    let task = pool.task().name("sum").token(&token).fallible();
    let sums: Vec<(PathBuf, TaskHandle<io::Result<String>>)> = files
        .into_iter()
        .map(|path| {
            let (file, signals, bar) = (path.clone(), signals.clone(), bar.clone());
            let sum = task.submit(move || {
                let sum = sum_of(&file, &signals);
                bar.inc(1);
                sum
            });
            (path, sum)
        })
        .collect();

    for (path, sum) in sums {
        let why = match sum.join_ok() {
            Ok(sum) => {
                if let Err(error) = print(&bar, &line(&sum, &path)) {
                    give_up(&bar, &error);
                }
                continue;
            }
            Err(JoinError::Task(TaskError::Cancelled(_))) => continue, // by the signal
            Err(JoinError::Task(error)) => error.to_string(),
            Err(JoinError::Failed(error)) => error.to_string(),
        };
        bar.suspend(|| report(format_args!("{}: {why}", path.display())));
        all_well = false;
    }
    bar.finish_and_clear();
    Ok(all_well)
}

/// The regular files under `dir`, sorted by the bytes of their paths, and whether all directories could be read. Links
/// are not followed, except by `dir` itself. Stops at a signal.
fn files_under(dir: &Path, signals: &Signals) -> (Vec<PathBuf>, bool) {
    let mut files = Vec::new();
    let mut all_well = true;
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        if signals.count() > 0 {
            break;
        }
        let mut look_through = || -> io::Result<()> {
            for entry in fs::read_dir(&dir)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    open.push(entry.path());
                } else if kind.is_file() {
                    files.push(entry.path());
                }
            }
            Ok(())
        };
        if let Err(error) = look_through() {
            report(format_args!("{}: {error}", dir.display()));
            all_well = false;
        }
    }
    files.sort_unstable_by(|a, b| bytes(a).cmp(bytes(b)));
    (files, all_well)
}

/// The body of a task. Its memory is one chunk, however large the file.
fn sum_of(path: &Path, signals: &Signals) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 128 * 1024];
    loop {
        // The first signal cancelled this task's token already; only the second is a reason to leave a file half read.
        if signals.count() > 1 {
            millhand::checkpoint();
        }
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => hasher.update(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let digest = hasher.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A line as `sha256sum` prints it: a name with a backslash or a line break in it is escaped, and the line then begins
/// with a backslash.
fn line(sum: &str, path: &Path) -> Vec<u8> {
    let mut name = Vec::new();
    for byte in bytes(path) {
        match byte {
            b'\\' => name.extend(b"\\\\"),
            b'\n' => name.extend(b"\\n"),
            b'\r' => name.extend(b"\\r"),
            other => name.push(*other),
        }
    }
    let mark: &[u8] = if name == bytes(path) { b"" } else { b"\\" };
    [mark, sum.as_bytes(), b"  ", &name, b"\n"].concat()
}

/// On Unix these are the name's own bytes, whether they are UTF-8 or not.
fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

/// Puts a line above the bar where the two share a terminal. Elsewhere the bar is left alone, since a pipe that is full
/// would hold it, and with it the workers.
fn print(bar: &ProgressBar, line: &[u8]) -> io::Result<()> {
    let mut out = io::stdout();
    if out.is_terminal() {
        bar.suspend(|| out.write_all(line))
    } else {
        out.write_all(line)
    }
}

/// Ends the program: nobody gets the rest of the sums, so no file is worth reading to its end.
fn give_up(bar: &ProgressBar, error: &io::Error) -> ! {
    bar.finish_and_clear();
    if error.kind() != ErrorKind::BrokenPipe {
        report(format_args!("standard output: {error}"));
    }
    std::process::exit(1);
}

/// A line on standard error. Unlike `eprintln!` it does not panic when nobody reads there.
fn report(message: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "checksum: {message}");
}

fn progress_bar(files: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} files, {elapsed}");
    ProgressBar::new(files as u64).with_style(style.expect("the template is a valid one"))
}

struct Arguments {
    dir: PathBuf,
    workers: Option<usize>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let (mut dir, mut workers) = (None, None);
        while let Some(word) = words.next() {
            match word.to_str() {
                Some("--workers") => {
                    let number = words.next().unwrap_or_default();
                    let number = number.to_string_lossy();
                    workers = Some(number.parse().map_err(|_| {
                        format!("--workers takes a number of threads, not `{number}`")
                    })?);
                }
                Some(option) if option.starts_with('-') => {
                    return Err(format!("there is no option `{option}`"));
                }
                _ if dir.is_some() => {
                    let second = word.to_string_lossy();
                    return Err(format!("one directory, please: `{second}` is a second"));
                }
                _ => dir = Some(PathBuf::from(word)),
            }
        }
        Ok(Self {
            dir: dir.unwrap_or_else(|| ".".into()),
            workers,
        })
    }
}
