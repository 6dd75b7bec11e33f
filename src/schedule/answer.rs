//! What a schedule's body may return, and what that means.
//!
//! Layer 5.

use std::ops::ControlFlow;
use std::time::Duration;

/// What a schedule's body may return.
///
/// | type | meaning |
/// | --- | --- |
/// | `()` | go on |
/// | `Result<(), E>` | go on; an `Err` is a failure, and counted |
/// | `ControlFlow<()>` | `Break(())` ends the schedule |
/// | [`Duration`] | the next run is due so long after this one's end; a run that does not say so (it panicked, say) leaves it to the rule |
/// | `Result` of one of these | both |
///
/// ```
/// use millhand::{Every, ThreadPool};
/// use std::ops::ControlFlow;
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(1)?;
/// let (tell, told) = std::sync::mpsc::channel();
/// let left = AtomicU32::new(3);
/// pool.task().every(Every::new(Duration::from_millis(1))).run(move || {
///     let _ = tell.send("still some");
///     match left.fetch_sub(1, Relaxed) {
///         1 => ControlFlow::Break(()),
///         _ => ControlFlow::Continue(()),
///     }
/// })?;
/// assert_eq!(told.iter().count(), 3);
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
#[diagnostic::on_unimplemented(
    message = "a schedule's body cannot return `{Self}`",
    label = "it may return `()`, `ControlFlow<()>`, the `Duration` until the next run, or a `Result` of one of these"
)]
pub trait Answer: Said {}

impl Answer for () {}
impl Answer for ControlFlow<()> {}
impl Answer for Duration {}
impl<A: Answer, E> Answer for Result<A, E> {}

/// What a run says of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Go,
    /// It has failed.
    Failed,
    /// There is to be none.
    End,
    /// It is due so long after the end of this one.
    After(Duration),
}

mod sealed {
    use crate::schedule::answer::Verdict;

    pub trait Said {
        /// Whether it can say when the next run is due.
        const PACES: bool = false;

        fn verdict(self) -> Verdict;
    }
}

use sealed::Said;

impl Said for () {
    fn verdict(self) -> Verdict {
        Verdict::Go
    }
}

impl Said for ControlFlow<()> {
    fn verdict(self) -> Verdict {
        match self {
            Self::Continue(()) => Verdict::Go,
            Self::Break(()) => Verdict::End,
        }
    }
}

impl Said for Duration {
    const PACES: bool = true;

    fn verdict(self) -> Verdict {
        Verdict::After(self)
    }
}

impl<A: Answer, E> Said for Result<A, E> {
    const PACES: bool = A::PACES;

    fn verdict(self) -> Verdict {
        match self {
            Ok(answer) => answer.verdict(),
            Err(_) => Verdict::Failed,
        }
    }
}
