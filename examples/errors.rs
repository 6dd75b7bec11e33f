//! One `?` all the way: the same small program with each type of errors that programs have.
//!
//!     cargo run --example errors -- anyhow README.md Cargo.toml
//!
//! It counts the words of the files, each in a task, at most two at a time. The first argument is
//! the type of errors: `anyhow`, `boxed`, `own` or `io`. Name a file that does not exist to see how
//! an error comes out.

use millhand::{ScopeOptions, Semaphore, Shutdown, TaskBuilder, ThreadPool, join_all_ok};
use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// The body of a task. `check` leaves it when the task is cancelled or its time is over.
fn words(path: &Path) -> io::Result<usize> {
    let mut words = 0;
    for line in BufReader::new(File::open(path)?).lines() {
        millhand::check()?;
        words += line?.split_whitespace().count();
    }
    Ok(words)
}

/// What the tasks of all four programs have in common.
fn template(pool: &ThreadPool, two: &Semaphore) -> TaskBuilder {
    let template = pool.task().name("words").gate(two);
    template.attempt_timeout(Duration::from_secs(60))
}

/// With the crate `anyhow`: its errors take any other, and add a context.
mod with_anyhow {
    use super::*;
    use anyhow::Context;

    pub(crate) fn main(paths: Vec<PathBuf>) -> anyhow::Result<usize> {
        let pool = ThreadPool::new(2)?;
        let two = Semaphore::new(2)?;
        let template = template(&pool, &two);
        let count = |path: &PathBuf| {
            let path = path.clone();
            template.submit(move || words(&path).with_context(|| path.display().to_string()))
        };
        let first = paths.first().context("no file is named")?;
        let first = count(first).join_flat()?;
        let all = join_all_ok(paths.iter().map(count).collect::<Vec<_>>())?;
        anyhow::ensure!(first == all[0], "the first file has changed");
        // Tasks of a scope may borrow.
        let again = pool.scope(|s| s.submit(|| words(&paths[0])).join_flat())?;
        anyhow::ensure!(first == again, "the first file has changed");
        let permit = two.acquire()?;
        drop(permit);
        pool.shutdown(Shutdown::drain())?;
        Ok(all.iter().sum())
    }
}

/// With boxes of std. Those of the bodies are `Send`, so that they can come back.
mod with_boxes {
    use super::*;

    type Boxed = Box<dyn Error + Send + Sync>;

    pub(crate) fn main(paths: Vec<PathBuf>) -> Result<usize, Box<dyn Error>> {
        let pool = ThreadPool::new(2)?;
        let two = Semaphore::new(2)?;
        let template = template(&pool, &two);
        let count = |path: &PathBuf| {
            let path = path.clone();
            template.submit(move || -> Result<usize, Boxed> {
                let words = words(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                millhand::check()?;
                Ok(words)
            })
        };
        let first = count(paths.first().ok_or("no file is named")?).join_ok()?;
        let all = join_all_ok(paths.iter().map(count).collect::<Vec<_>>())?;
        // The scope ends at the first failure, and returns it.
        let mut again = 0;
        pool.scope_with(ScopeOptions::fail_fast(), |s| {
            s.submit(|| -> Result<(), Boxed> {
                again = words(&paths[0])?;
                Ok(())
            });
        })?;
        if first != all[0] || first != again {
            return Err("the first file has changed".into());
        }
        let permit = two.acquire()?;
        drop(permit);
        pool.shutdown(Shutdown::drain())?;
        Ok(all.iter().sum())
    }
}

/// With an enum of the program's own, on which its callers can match.
mod with_an_enum {
    use super::*;
    use millhand::TaskError;
    use millhand::compose::Failure;
    use millhand::error::Stopped;
    use millhand::limit::{AcquireError, LimitError};
    use millhand::pool::{BuildError, PoolError};
    use std::fmt;

    #[derive(Debug)]
    pub(crate) enum AppError {
        NoFile,
        Read(PathBuf, io::Error),
        Task(TaskError),
        Pool(Box<dyn Error + Send + Sync>),
    }

    impl fmt::Display for AppError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::NoFile => f.write_str("no file is named"),
                Self::Read(path, error) => write!(f, "{}: {error}", path.display()),
                Self::Task(error) => write!(f, "{error}"),
                Self::Pool(error) => write!(f, "{error}"),
            }
        }
    }

    impl Error for AppError {}

    /// All that `join_flat` asks for.
    impl From<TaskError> for AppError {
        fn from(error: TaskError) -> Self {
            Self::Task(error)
        }
    }

    /// For `join_all_ok`.
    impl From<Failure<AppError>> for AppError {
        fn from(failure: Failure<AppError>) -> Self {
            failure
                .into_error()
                .into_failed()
                .unwrap_or_else(Self::Task)
        }
    }

    macro_rules! from_pool {
        ($($error:ty),*) => {
            $(impl From<$error> for AppError {
                fn from(error: $error) -> Self {
                    Self::Pool(error.into())
                }
            })*
        };
    }
    from_pool!(AcquireError, BuildError, LimitError, PoolError, Stopped);

    fn count(path: &Path) -> Result<usize, AppError> {
        millhand::check()?;
        words(path).map_err(|error| AppError::Read(path.to_owned(), error))
    }

    pub(crate) fn main(paths: Vec<PathBuf>) -> Result<usize, AppError> {
        let pool = ThreadPool::new(2)?;
        let two = Semaphore::new(2)?;
        let template = template(&pool, &two);
        let submit = |path: &PathBuf| {
            let path = path.clone();
            template.submit(move || count(&path))
        };
        submit(paths.first().ok_or(AppError::NoFile)?).join_flat()?;
        let all = join_all_ok(paths.iter().map(submit).collect::<Vec<_>>())?;
        pool.scope(|s| s.submit(|| count(&paths[0])).join_flat())?;
        let permit = two.acquire()?;
        drop(permit);
        pool.shutdown(Shutdown::drain())?;
        Ok(all.iter().sum())
    }
}

/// With `io::Error` alone, as in a library whose functions return it.
mod with_io_errors {
    use super::*;

    pub(crate) fn main(paths: Vec<PathBuf>) -> io::Result<usize> {
        let pool = ThreadPool::new(2).map_err(io::Error::other)?;
        let two = Semaphore::new(2).map_err(io::Error::other)?;
        let template = template(&pool, &two);
        let count = |path: &PathBuf| {
            let path = path.clone();
            template.submit(move || words(&path))
        };
        let no_file = || io::Error::new(io::ErrorKind::InvalidInput, "no file is named");
        count(paths.first().ok_or_else(no_file)?).join_flat()?;
        let all = join_all_ok(paths.iter().map(count).collect::<Vec<_>>())?;
        pool.scope_with(ScopeOptions::fail_fast(), |s| {
            s.submit(|| words(&paths[0]));
        })?;
        let permit = two.acquire()?;
        drop(permit);
        pool.shutdown(Shutdown::drain()).map_err(io::Error::other)?;
        Ok(all.iter().sum())
    }
}

const USAGE: &str = "usage: errors anyhow|boxed|own|io FILE..";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let kind = arguments.next().unwrap_or_default();
    let paths = arguments.map(PathBuf::from).collect();
    let counted = match kind.to_str() {
        Some("anyhow") => with_anyhow::main(paths).map_err(|error| format!("{error:#}")),
        Some("boxed") => with_boxes::main(paths).map_err(|error| error.to_string()),
        Some("own") => with_an_enum::main(paths).map_err(|error| error.to_string()),
        Some("io") => with_io_errors::main(paths).map_err(|error| error.to_string()),
        _ => Err(USAGE.to_owned()),
    };
    match counted {
        Ok(words) => {
            println!("{words} words");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("errors: {error}");
            ExitCode::FAILURE
        }
    }
}
