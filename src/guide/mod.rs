//! Guides, on subjects that concern more than one type.
//!
//! To begin with:
//! - [`first_steps`]: from an empty program to one with retries, limits, a clean end, and a test.
//! - [`choosing`]: which verb, which limit, which time limit, which wait: tables.
//! - [`cookbook`]: short recipes, to copy and to change.
//! - [`faq`]: questions that users ask, and short answers.
//!
//! By subject:
//! - [`limits`]: how many at once, how many per second, in which order, and for which key.
//! - [`time`]: delays, time limits, retries and schedules, and what they count from.
//! - [`composition`]: one task after another, many at once, scopes, collections and pipelines.
//! - [`errors`]: what can go wrong with a task, and one `?` for all of it, whatever type of errors
//!   a program has.
//! - [`cancelling`]: what a request to stop reaches, which waits it ends and what they return, and
//!   what to do about sockets, children and locks.
//! - [`shutdown`]: how a pool ends, what becomes of each task, and what the report says.
//! - [`daemons`]: programs that run until they are asked to end: signals, systemd, containers,
//!   scripts, windows, and standard input.
//! - [`observability`]: what a running pool does, what it did, and why it is slow: statistics, live
//!   tasks, a watchdog, events, exporters, and a page.
//! - [`testing`]: time that the test advances, threads in an order that a seed picks.
//! - `jobs`, with the feature of this name: work that outlives the process.
//! - [`bridges`]: async code, windows with a main loop, callbacks, tracing, and other threads.
//!
//! To look up:
//! - [`guarantees`]: what always holds, and where it ends.
//! - [`performance`]: what each feature costs, how many workers to use, batches, allocators, and
//!   when rayon or tokio is the better choice.
//! - [`how_it_works`]: the path of a task, in pictures.
//! - [`from_rust`], [`from_python`]: other libraries, and what their users write here.
//! - [`glossary`]: the words of this library.
//!
//! # Programs
//!
//! Whole programs to read, to run, and to begin from. Each has a header that says what to try. The
//! first two are examples of the library, run with `cargo run --release --example NAME`. The others
//! are in the folder `examples/programs`, and run there with `cargo run --release --bin NAME`.
//!
//! | program | what it is | what it shows |
//! | --- | --- | --- |
//! | `--example checksum -- .` | SHA-256 of many files, and the check of a list | results in order, a gate on open files, progress, Ctrl-C |
//! | `--example consumer` | four workers with made-up work | chains, rates, retries, a semaphore, a schedule |
//! | `--bin http_service` | a web service | a bounded queue, tasks by id, keep-alive, WebSockets, a drain by SIGTERM |
//! | `--bin batch_client -- urls.txt` | sends many requests | an input without end, rates per host, retries with `Retry-After` |
//! | `--bin parallel -- -j 4 'gzip -k {}' < files.txt` | runs shell commands | child processes, time limits, a journal to resume from |
//! | `--bin dupes -- ~/Pictures` | finds duplicate files | a pipeline, a gate on open files |
//! | `--bin scheduler -- crontab.txt` | a cron daemon | schedules, reload by SIGHUP, `run_until` with a token, simulated time |
//! | `--bin crawler -- http://127.0.0.1:8000/` | finds broken links | tasks that submit tasks, context variables, a scope that fails, results by channel |
//! | `--bin jobs -- work` | a durable queue on the command line | jobs in a SQLite file, a consumer, what can be looked at and changed by hand |
//! | `--bin dashboard` | a page over a made-up load | statistics, live tasks, an observer, a panel; `-- --tui` in the terminal |

pub mod bridges;
pub mod cancelling;
pub mod choosing;
pub mod composition;
pub mod cookbook;
pub mod daemons;
pub mod errors;
pub mod faq;
pub mod first_steps;
pub mod from_python;
pub mod from_rust;
pub mod glossary;
pub mod guarantees;
pub mod how_it_works;
#[cfg(feature = "jobs")]
pub mod jobs;
pub mod limits;
pub mod observability;
pub mod performance;
pub mod shutdown;
pub mod testing;
pub mod time;
