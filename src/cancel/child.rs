//! Child processes for bodies that may be asked to stop: the wait ends the child then, with the
//! processes that it has started. Behind the feature `child`.
//!
//! A cancel or a time limit cannot interrupt [`Child::wait`] of std: the task would go on until the
//! process ends by itself. [`spawn`] starts a process in a group of its own, and [`wait`] waits for
//! it. If the task that waits is asked to stop, the group gets SIGTERM. What has not ended after a
//! grace of 5 seconds gets SIGKILL. The wait returns when the child has ended and is reaped.
//! Meanwhile the body releases its run slot.
//!
//! ```
//! use millhand::{ThreadPool, child};
//! use std::io;
//! use std::process::Command;
//! use std::time::Duration;
//!
//! let pool = ThreadPool::new(2)?;
//! let limited = pool.task().attempt_timeout(Duration::from_secs(60));
//! let tests = limited.submit(|| -> io::Result<_> {
//!     let mut tests = child::spawn(Command::new("sh").args(["-c", "exit 3"]))?;
//!     Ok(child::wait(&mut tests)?) // ends it after 60 seconds
//! });
//! assert_eq!(tests.join_flat()?.code(), Some(3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Output
//!
//! A request to stop ends the child while a thread is in one of the waits here, not while the body
//! reads from a pipe. [`wait_with_output`] reads and waits at once. To use the output as it comes,
//! read it in another thread: when the child is ended, so is its output.
//!
//! ```
//! use millhand::child;
//! use std::io::{BufRead, BufReader};
//! use std::process::{Command, Stdio};
//! use std::thread;
//!
//! let mut command = Command::new("sh");
//! command.args(["-c", "echo one; echo two"]).stdout(Stdio::piped());
//! let mut child = child::spawn(&mut command)?;
//! let lines = BufReader::new(child.stdout.take().unwrap()).lines();
//! let reader = thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
//! assert!(child::wait(&mut child)?.success());
//! assert_eq!(reader.join().unwrap(), ["one", "two"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which processes are ended
//!
//! - A child that leads a process group, as one from [`spawn`] does: all processes of the group.
//!   When the child itself has ended after the SIGTERM, what is left of the group is killed at
//!   once. A child that wants the grace for the processes that it has started waits for them. A
//!   shell that gets SIGTERM ends before its command does, unless it has replaced itself by the
//!   command with `exec`, or was given a trap: `trap 'exit 143' TERM` has it wait for that command
//!   and then end.
//! - Any other child: the child alone.
//! - A child that has ended by itself before the request: none. Its status is returned.
//!
//! No signal is sent after the child was reaped, when its number may be that of another process.
//! Only what else reaps children in this program could break that: a `waitpid` for any child, or a
//! SIGCHLD that is ignored.
//!
//! The child ends in real time, so the grace is real time, also in a pool with a
//! [`ManualClock`](crate::testing::ManualClock). In a simulation the waits take no part, like
//! [`blocking`].
//!
//! # Platforms
//!
//! On Unix the wait is one system call. macOS also returns from it when a signal has stopped the
//! child: then the wait looks every 20 ms whether the child goes on.
//!
//! On Windows and OpenBSD a request to stop kills the child alone, without a grace, as
//! [`Child::kill`] does. There the wait of a task looks every 20 ms whether the child has ended.
//
// Layer: cancel.

use crate::cancel::blocking;
use crate::clock;
use crate::error::{Stopped, io_kind_if};
use crate::reason::CancelReason;
use std::error::Error;
use std::fmt;
use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Output};
use std::thread;
use std::time::Duration;

/// Where rustix has `waitid`.
#[cfg(all(
    unix,
    not(any(
        target_os = "cygwin",
        target_os = "horizon",
        target_os = "openbsd",
        target_os = "redox"
    ))
))]
#[path = "child_unix.rs"]
mod imp;
#[cfg(not(all(
    unix,
    not(any(
        target_os = "cygwin",
        target_os = "horizon",
        target_os = "openbsd",
        target_os = "redox"
    ))
)))]
#[path = "child_elsewhere.rs"]
mod imp;

const GRACE: Duration = Duration::from_secs(5);
/// How often the child is looked at where nothing can wait for it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Reads the output of the child.
type Reading<'a> = &'a mut (dyn FnMut() + Send);

/// Why a wait for a child process returned no status.
///
/// It becomes an [`io::Error`], by the rules of [`Stopped`].
///
/// ```
/// use millhand::child::{self, WaitError};
/// use std::io;
/// use std::process::Command;
///
/// fn builds(command: &mut Command) -> io::Result<bool> {
///     match child::wait(&mut child::spawn(command)?) {
///         Err(WaitError::Stopped { stopped, status }) => {
///             println!("no build ({}): {status}", stopped.reason());
///             Ok(false)
///         }
///         ended => Ok(ended?.success()),
///     }
/// }
/// assert!(builds(&mut Command::new("true"))?);
/// # Ok::<(), io::Error>(())
/// ```
///
/// Guide: [daemons](crate::guide::daemons).
#[derive(Debug)]
#[non_exhaustive]
pub enum WaitError {
    /// The task that waited was asked to stop, or the scope was cancelled whose closure waited. So
    /// the child was asked to end, and it has ended.
    Stopped {
        /// Why.
        stopped: Stopped,
        /// How the child ended. A child that handles SIGTERM may have ended as it does otherwise.
        status: ExitStatus,
    },
    /// The system refused the wait, the reading of the output, or a thread for it.
    Io(io::Error),
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped { stopped, status } => {
                write!(f, "{stopped}; the child process has ended ({status})")
            }
            Self::Io(error) => write!(f, "the wait for a child process failed: {error}"),
        }
    }
}

impl Error for WaitError {}

impl From<io::Error> for WaitError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// See [`Stopped`] for the kind. An error of the system stays as it is.
impl From<WaitError> for io::Error {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Io(error) => error,
            WaitError::Stopped { stopped, .. } => Self::new(
                io_kind_if(stopped.reason() == CancelReason::Deadline),
                error,
            ),
        }
    }
}

/// Starts a process that [`wait`] can end with all the processes that it starts: on Unix it leads a
/// process group of its own, elsewhere this is [`Command::spawn`]. The command keeps that setting.
///
/// A group of its own is in the background of the terminal. Ctrl-C reaches this program alone,
/// which can then end its children in order. A child that reads from the terminal is stopped by the
/// system, so start that one with [`Command::spawn`]: then a request to stop ends the child alone.
///
/// Guide: [daemons](crate::guide::daemons).
///
/// # Errors
/// Those of [`Command::spawn`].
///
/// ```
/// use std::process::Command;
///
/// let mut child = millhand::child::spawn(&mut Command::new("true"))?;
/// assert!(millhand::child::wait(&mut child)?.success());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    command.spawn()
}

/// Waits for a child process, as [`Child::wait`] does, in a body that is to end when it is asked to
/// stop. Such a request ends the child: see [the module](self).
///
/// Blocks until the child has ended. On a worker the run slot is released meanwhile. The child's
/// standard input is closed first, if it is still in the [`Child`]. The status of a child that has
/// ended is returned, though the body is asked to stop. Outside of a task, and in a destructor that
/// runs while the thread unwinds, this is [`Child::wait`].
///
/// A child that this process may not signal, since another user owns it, is waited for until it
/// ends by itself.
///
/// Guide: [daemons](crate::guide::daemons).
///
/// # Errors
/// [`WaitError::Stopped`], if the task that waits is asked to stop: cancelled, timed out, or its
/// pool cancels. The child has ended then, and is reaped. [`WaitError::Io`], as `Child::wait`.
///
/// ```
/// use millhand::{ThreadPool, child};
/// use std::io;
/// use std::process::Command;
///
/// let pool = ThreadPool::new(1)?;
/// let sleeps = pool.submit(|| -> io::Result<_> {
///     let mut sleeper = child::spawn(Command::new("sleep").arg("3600"))?;
///     Ok(child::wait(&mut sleeper)?)
/// });
/// sleeps.token().cancel();
/// assert!(sleeps.join_flat().is_err()); // soon
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
pub fn wait(child: &mut Child) -> Result<ExitStatus, WaitError> {
    wait_with_grace(child, GRACE)
}

/// The same as [`wait`], with another grace than 5 seconds: the time from SIGTERM to SIGKILL. With
/// no grace SIGKILL follows at once. [`Duration::MAX`] means no SIGKILL.
///
/// Guide: [daemons](crate::guide::daemons).
///
/// # Errors
/// As [`wait`].
///
/// ```
/// use std::process::Command;
/// use std::time::Duration;
///
/// let mut child = millhand::child::spawn(&mut Command::new("true"))?;
/// let status = millhand::child::wait_with_grace(&mut child, Duration::from_secs(60))?;
/// assert!(status.success());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn wait_with_grace(child: &mut Child, grace: Duration) -> Result<ExitStatus, WaitError> {
    attend(child, grace, None)
}

/// Waits for a child process and collects what it writes, as [`Child::wait_with_output`] does, in a
/// body that is to end when it is asked to stop. Such a request ends the child: see
/// [the module](self).
///
/// Blocks until the child has ended and its output is closed, by each process that has it. On a
/// worker the run slot is released meanwhile. Standard output and standard error are read if they
/// are [piped](std::process::Stdio::piped), the second by a thread of its own, and kept in memory
/// to the end. For an output that may be large, give the child a file and call [`wait`].
///
/// A child may leave processes behind that keep its output open. A request to stop ends them as
/// well if the child leads its group and had not ended before the call. Otherwise the wait goes on,
/// as that of std.
///
/// Guide: [daemons](crate::guide::daemons).
///
/// # Errors
/// As [`wait`]. What was read is dropped then.
///
/// ```
/// use millhand::child;
/// use std::process::{Command, Stdio};
///
/// let mut date = Command::new("echo");
/// let child = child::spawn(date.arg("today").stdout(Stdio::piped()))?;
/// assert_eq!(child::wait_with_output(child)?.stdout, b"today\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn wait_with_output(mut child: Child) -> Result<Output, WaitError> {
    let mut pipes = Some((child.stdout.take(), child.stderr.take()));
    let mut read = Ok((Vec::new(), Vec::new()));
    let mut reading = || {
        if let Some((out, err)) = pipes.take() {
            read = read_both(out, err);
        }
    };
    let status = attend(&mut child, GRACE, Some(&mut reading))?;
    let (stdout, stderr) = read?;
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

/// Both at once, so that the child never waits for room in one while the other is read.
fn read_both(
    out: Option<impl Read>,
    err: Option<impl Read + Send>,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    thread::scope(|scope| {
        let reader = err.map(|err| {
            let name = "millhand-stderr".to_owned();
            let builder = thread::Builder::new().name(name);
            builder.spawn_scoped(scope, || read_all(Some(err)))
        });
        let reader = reader.transpose()?;
        let out = read_all(out);
        let err = reader.map_or(Ok(Vec::new()), |reader| {
            reader.join().unwrap_or_else(|_| unreachable!("no panic"))
        });
        Ok((out?, err?))
    })
}

fn read_all(pipe: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn attend(
    child: &mut Child,
    grace: Duration,
    reading: Option<Reading<'_>>,
) -> Result<ExitStatus, WaitError> {
    clock::pause();
    // As `Child::wait` does: a child that reads to the end of its input would never end.
    drop(child.stdin.take());
    // A child that was reaped keeps its status, and its number is no longer its own.
    let known = child.try_wait()?;
    let token = blocking::token_unless_unwinding();
    let (status, why) = match (known, token, reading) {
        (Some(status), _, None) => (status, None),
        (None, Some(token), reading) => imp::wait(child, &token, grace, reading)?,
        (_, _, reading) => {
            let _blocking = blocking::begin();
            if let Some(read) = reading {
                read();
            }
            (child.wait()?, None)
        }
    };
    match why.map(Stopped::new) {
        Some(stopped) => Err(WaitError::Stopped { stopped, status }),
        None => Ok(status),
    }
}
