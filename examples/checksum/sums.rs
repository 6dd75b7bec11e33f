//! The pool, and its tasks: one per file, in order, with a gate on open files.

use crate::progress::Progress;
use millhand::error::JoinError;
use millhand::{CancelToken, Semaphore, Signals, TaskBuilder, TaskError, ThreadPool};
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::PathBuf;

pub(crate) type Sum = [u8; 32];

/// A file that is to be read.
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    /// For the time left. The file is read to its end, wherever that is.
    size: u64,
    /// What its list says.
    pub(crate) expected: Option<Sum>,
}

impl Entry {
    pub(crate) fn found(path: PathBuf, size: u64) -> Self {
        Self {
            path,
            size,
            expected: None,
        }
    }

    pub(crate) fn listed(path: PathBuf, sum: Sum) -> Self {
        Self {
            size: fs::metadata(&path).map_or(0, |about| about.len()),
            path,
            expected: Some(sum),
        }
    }
}

/// So many results at most wait for one of a file before theirs.
const WINDOW: usize = 1000;

pub(crate) struct Sums {
    /// Its drop waits for the tasks.
    _pool: ThreadPool,
    task: TaskBuilder,
    token: CancelToken,
    signals: Signals,
    progress: Progress,
    all_ran: Cell<bool>,
}

impl Sums {
    /// An error is a fault of the arguments.
    pub(crate) fn new(
        workers: Option<usize>,
        open_files: u32,
        signals: &Signals,
    ) -> Result<Self, String> {
        let pool = match workers {
            Some(workers) => ThreadPool::new(workers),
            None => ThreadPool::builder().build(),
        };
        let pool = pool.map_err(|error| format!("--workers: {error}"))?;
        let open = Semaphore::new(open_files).map_err(|error| format!("--open-files: {error}"))?;
        // The first signal cancels the token, and with it all that is still queued or waits at the
        // gate; what runs is left to finish.
        let token = signals.token();
        Ok(Self {
            task: pool.task().name("sum").gate(&open).token(&token),
            _pool: pool,
            token,
            signals: signals.clone(),
            progress: Progress::new(),
            all_ran: Cell::new(true),
        })
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Reads the files, and returns each with its sum, in their order. Those that a signal has kept
    /// from being read are left out.
    pub(crate) fn of(&self, files: Vec<Entry>) -> impl Iterator<Item = (Entry, io::Result<Sum>)> {
        let bytes = files.iter().map(|file| file.size).sum();
        self.progress.begin(files.len(), bytes);
        let note = self
            .token
            .on_cancel(|_| log::info!("no further file is taken"));

        let (token, signals) = (self.token.clone(), self.signals.clone());
        let progress = self.progress.clone();
        let files = files.into_iter().take_while(move |_| !token.is_cancelled());
        let sums = self.task.map_iter(files, move |file| {
            let sum = sum_of(&file, &signals, &progress);
            (file, sum)
        });
        sums.window(WINDOW).filter_map(move |outcome| {
            let _ = &note; // as long as there are results
            match outcome {
                Ok(sum) => return Some(sum),
                Err(failure) => match failure.error() {
                    JoinError::Task(TaskError::Cancelled(_)) => {} // by the signal
                    _ => {
                        self.progress.report(format_args!("{failure}"));
                        self.all_ran.set(false);
                    }
                },
            }
            None
        })
    }

    /// Whether each task has returned, or was cancelled by a signal.
    pub(crate) fn all_ran(&self) -> bool {
        self.all_ran.get()
    }
}

/// The body of a task. Its memory is one chunk, however large the file.
fn sum_of(file: &Entry, signals: &Signals, progress: &Progress) -> io::Result<Sum> {
    let mut read = 0;
    let sum = sum_of_content(file, signals, |bytes| {
        progress.add_bytes(bytes);
        read += bytes as u64;
    });
    progress.end_file(file.size, read, sum.is_ok());
    sum
}

fn sum_of_content(
    file: &Entry,
    signals: &Signals,
    mut on_read: impl FnMut(usize),
) -> io::Result<Sum> {
    let mut file = File::open(&file.path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 128 * 1024];
    loop {
        // The first signal cancelled this task's token already; only the second is a reason to
        // leave a file half read.
        if signals.count() > 1 {
            millhand::checkpoint();
        }
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(n) => {
                hasher.update(&chunk[..n]);
                on_read(n);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
