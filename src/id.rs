//! The number that identifies a task.
//!
//! Ground layer: errors and summaries carry it.

use std::cell::Cell;
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many numbers a thread takes at once, so that submitters do not contend for one counter.
const BLOCK: u64 = 256;

static NEXT_BLOCK: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The block of this thread, as (next, end).
    static LOCAL: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// Identifies a task in logs, reports and errors; unique within the process, across pools.
///
/// The ids of tasks that one thread submits rise. A task without a handle may draw its id later,
/// when it begins. Ids from different threads have no order. An id prints as a plain number and is
/// parsed from one.
///
/// ```
/// use millhand::task::TaskId;
///
/// let pool = millhand::ThreadPool::new(1)?;
/// let first = pool.submit(|| ()).id();
/// let second = pool.submit(|| ()).id();
/// assert!(first < second);
/// assert_eq!(first.to_string().parse::<TaskId>()?, first);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

impl TaskId {
    #[inline(never)] // It stands in the code of every submission.
    pub(crate) fn next() -> Self {
        // A thread that runs its destructors has no block any more: what they submit takes single
        // numbers.
        LOCAL
            .try_with(|block| {
                let (mut next, mut end) = block.get();
                if next == end {
                    next = NEXT_BLOCK.fetch_add(BLOCK, Ordering::Relaxed);
                    end = next + BLOCK;
                }
                block.set((next + 1, end));
                Self(next)
            })
            .unwrap_or_else(|_| Self(NEXT_BLOCK.fetch_add(1, Ordering::Relaxed)))
    }

    pub(crate) fn of(number: u64) -> Self {
        Self(number)
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}

impl FromStr for TaskId {
    type Err = ParseTaskIdError;

    fn from_str(text: &str) -> Result<Self, ParseTaskIdError> {
        text.parse().map(Self).map_err(|source| ParseTaskIdError {
            text: text.to_owned(),
            source,
        })
    }
}

/// The error of parsing a [`TaskId`]: it names the text that is none.
///
/// ```
/// let error = "x7".parse::<millhand::task::TaskId>().unwrap_err();
/// assert!(error.to_string().starts_with("\"x7\" is not a task id"));
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseTaskIdError {
    text: String,
    source: ParseIntError,
}

impl fmt::Display for ParseTaskIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a task id, which is a whole number from 0 to {}",
            self.text,
            u64::MAX
        )
    }
}

impl std::error::Error for ParseTaskIdError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_and_blocks_do_not_overlap() {
        let here: Vec<_> = (0..2 * BLOCK).map(|_| TaskId::next()).collect();
        let there =
            std::thread::spawn(|| (0..2 * BLOCK).map(|_| TaskId::next()).collect::<Vec<_>>())
                .join()
                .unwrap();
        assert!(here.is_sorted() && there.is_sorted());
        let mut all = [here, there].concat();
        all.sort();
        all.dedup();
        assert_eq!(all.len() as u64, 4 * BLOCK);
    }

    #[test]
    fn a_wrong_id_is_named() {
        let error = "x7".parse::<TaskId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"x7\" is not a task id, which is a whole number from 0 to 18446744073709551615"
        );
    }
}
