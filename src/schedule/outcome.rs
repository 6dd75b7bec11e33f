//! What the body of a schedule may return, and what the schedule makes of it.
//!
//! Layer: schedule.

use crate::task::unread::text_of;
use std::fmt::Display;
use std::ops::ControlFlow;
use std::time::Duration;

/// The types that the body of a schedule may return. With some of them the body decides whether and
/// when there is a next run.
///
/// | type | meaning |
/// | --- | --- |
/// | `()` | continue |
/// | `Result<(), E>` | continue; an `Err` is logged and counts as a failure |
/// | `ControlFlow<()>` | `Break(())` ends the schedule |
/// | [`Duration`] | the next run is due that long after the end of this one; if a run returns no duration (because it panicked, for example), the rule decides |
/// | `Result` of one of these | both |
///
/// ```
/// use millhand::{Every, ThreadPool};
/// use std::ops::ControlFlow;
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(1)?;
/// let (sender, receiver) = std::sync::mpsc::channel();
/// let left = AtomicU32::new(3);
/// pool.task().every(Every::new(Duration::from_millis(1))).run(move || {
///     let _ = sender.send("some are left");
///     match left.fetch_sub(1, Relaxed) {
///         1 => ControlFlow::Break(()),
///         _ => ControlFlow::Continue(()),
///     }
/// })?;
/// assert_eq!(receiver.iter().count(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Other types do not compile:
///
/// ```compile_fail,E0277
/// # use std::time::Duration;
/// let pool = millhand::ThreadPool::new(1).unwrap();
/// let schedule = pool.task().every(millhand::Every::new(Duration::from_secs(1))).run(|| 7);
/// ```
///
/// Guide: [time](crate::guide::time).
#[diagnostic::on_unimplemented(
    message = "the body of a schedule cannot return `{Self}`",
    label = "it may return `()`, `ControlFlow<()>`, the `Duration` until the next run, or a `Result` of one of these"
)]
pub trait Answer {
    /// Whether the type can say when the next run is due.
    #[doc(hidden)]
    const SETS_DELAY: bool = false;

    /// Whether the type is a `Result`.
    #[doc(hidden)]
    const MAY_FAIL: bool = false;

    /// The text of the error, if the run failed.
    #[doc(hidden)]
    fn verdict(self) -> Result<Verdict, String>;
}

/// What a body decided about the next run.
// Not exported, so that no other crate can implement the trait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rule decides.
    Continue,
    /// There is no next run.
    End,
    /// The next run is due this long after the end of this one.
    After(Duration),
}

impl Answer for () {
    fn verdict(self) -> Result<Verdict, String> {
        Ok(Verdict::Continue)
    }
}

impl Answer for ControlFlow<()> {
    fn verdict(self) -> Result<Verdict, String> {
        Ok(match self {
            Self::Continue(()) => Verdict::Continue,
            Self::Break(()) => Verdict::End,
        })
    }
}

impl Answer for Duration {
    const SETS_DELAY: bool = true;

    fn verdict(self) -> Result<Verdict, String> {
        Ok(Verdict::After(self))
    }
}

impl<A: Answer, E: Display> Answer for Result<A, E> {
    const SETS_DELAY: bool = A::SETS_DELAY;
    const MAY_FAIL: bool = true;

    fn verdict(self) -> Result<Verdict, String> {
        match self {
            Ok(answer) => answer.verdict(),
            Err(error) => Err(text_of(&error)),
        }
    }
}
