//! What the programs of this package share.

pub mod arguments;
pub mod http;
pub mod random;
#[cfg(unix)]
pub mod scratch;
pub mod screen;

use std::fmt::Display;
use std::io::{self, Write, stderr, stdout};
use std::panic;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Has the panics of tasks print nothing. Their messages are outcomes, which the pool keeps and the
/// page shows.
///
/// Any other panic is a fault of the program. It is printed, after the terminal is as it was.
pub fn print_no_task_panics() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if millhand::current().is_none() {
            screen::leave_if_entered_here();
            print(info);
        }
    }));
}

/// Locks a mutex, also after a panic of another thread that had it: for what is valid between any
/// two statements.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints a line on the standard output. Unlike `println!` it does not panic if nothing reads it.
///
/// # Errors
/// If it cannot be written.
pub fn print(line: impl Display) -> io::Result<()> {
    writeln!(stdout(), "{line}").map_err(output_error)
}

/// Has an error of the standard output say what cannot be written.
#[must_use]
pub fn output_error(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the standard output: {error}"))
}

/// Prints a line on the standard error. Unlike `eprintln!` it does not panic if nothing reads there.
pub fn say(line: impl Display) {
    let _ = writeln!(stderr(), "{line}");
}
