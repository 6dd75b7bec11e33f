//! Waiting for several tasks: for all, for any, for the first that fails or succeeds.
//!
//! Layer: compose.
//
// What is generic here takes the outcomes from the handles. The waiting itself, `CompletionQueue`,
// knows only tasks and places.

use crate::compose::failures::{Failure, Failures};
use crate::compose::wait::completion_queue::CompletionQueue;
use crate::compose::wait::handles::{Handle, HandleSet, Handles, Link, OkSet};
use crate::error::{JoinError, Stopped, TaskError, ok_value};
use crate::process;
use crate::reason::CancelReason;
use crate::task::OutcomeKind;
use std::time::Duration;

/// Waits for several tasks and returns all outcomes, in the order of the handles. A failure does
/// not keep the other tasks from running.
///
/// ```
/// use millhand::{ThreadPool, join_all};
///
/// let pool = ThreadPool::new(2)?;
/// let squares = join_all((0..10).map(|n| pool.submit(move || n * n)));
/// assert_eq!(squares.into_iter().map(Result::unwrap).sum::<u32>(), 285);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// It takes all handles first, and then joins one after the other, as
/// [`TaskHandle::join`](crate::TaskHandle::join) does. Where such a wait would deadlock, the error
/// is the outcome of that task. Blocks. [`join_each`] keeps the shape of an array or a tuple.
///
/// Guide: [composition](crate::guide::composition).
#[doc(alias = "gather")]
#[doc(alias = "wait_group")]
#[doc(alias = "WaitGroup")]
#[doc(alias = "CountDownLatch")]
pub fn join_all<H: Handle>(
    handles: impl IntoIterator<Item = H>,
) -> Vec<Result<H::Output, TaskError>> {
    let handles: Vec<_> = handles.into_iter().collect();
    handles.outcomes()
}

/// Waits for several tasks, as [`join_all`] does, and returns their outcomes in the shape of the
/// handles. In a tuple each may be of another type.
///
/// ```
/// use millhand::compose::join_each;
/// use millhand::ThreadPool;
///
/// let pool = ThreadPool::new(2)?;
/// let (number, text) = join_each((pool.submit(|| 7), pool.submit(|| "seven")));
/// assert_eq!((number.unwrap(), text.unwrap()), (7, "seven"));
/// let [one, two] = join_each([1, 2].map(|n| pool.submit(move || n)));
/// assert_eq!(one.unwrap() + two.unwrap(), 3);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
pub fn join_each<S: HandleSet>(handles: S) -> S::Outcomes {
    handles.outcomes()
}

/// Waits until all bodies have succeeded and returns their values, in the order of the handles;
/// stops waiting at the first failure.
///
/// A failure is an `Err` that a body returned, or a task that ended without a value.
///
/// ```
/// use millhand::{ThreadPool, join_all_ok};
///
/// let pool = ThreadPool::new(2)?;
/// let parse = |text: &'static str| pool.submit(move || text.parse::<i32>());
/// assert_eq!(join_all_ok(["1", "2"].map(parse))?, [1, 2]);
///
/// let failure = join_all_ok(["1", "two"].map(parse)).unwrap_err();
/// assert_eq!(failure.index(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
///
/// # Errors
///
/// The failure that came first. Then the other tasks are cancelled with [`CancelReason::Group`],
/// and not waited for. A task with another [`SharedHandle`](crate::SharedHandle) elsewhere is not
/// cancelled.
///
/// [`TaskError::Interrupted`](crate::TaskError::Interrupted), if the task that waits is asked to
/// stop. It has the place of the first task that has not finished. All that have not are cancelled
/// then, with the same exception.
pub fn join_all_ok<H, T, E>(handles: impl IntoIterator<Item = H>) -> Result<Vec<T>, Failure<E>>
where
    H: Handle<Output = Result<T, E>>,
{
    let handles: Vec<_> = handles.into_iter().collect();
    join_each_ok(handles)
}

/// Waits until all bodies have succeeded, as [`join_all_ok`] does, and returns their values in the
/// shape of the handles.
///
/// Guide: [composition](crate::guide::composition).
///
/// # Errors
///
/// As [`join_all_ok`].
///
/// ```
/// use millhand::compose::join_each_ok;
/// use millhand::ThreadPool;
/// use std::fs;
///
/// let pool = ThreadPool::new(2)?;
/// let text = pool.submit(|| fs::read_to_string("Cargo.toml"));
/// let size = pool.submit(|| fs::metadata("README.md").map(|about| about.len()));
/// let (text, size) = join_each_ok((text, size))?;
/// assert!(text.len() > 0 && size > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn join_each_ok<S: OkSet>(handles: S) -> Result<S::Values, Failure<S::Error>> {
    let mut queue = CompletionQueue::new(handles.links());
    // Before the handles are dropped: the drop of a handle may cancel its task for another reason.
    let mut cancel = |rest: Vec<Link>| cancel_rest(rest, CancelReason::Group);
    let values = handles.values(&mut || queue.try_next_until(None), &mut cancel);
    values.map_err(|(place, error)| queue.links()[place].failure(place, error))
}

/// Waits until one of several tasks has finished and returns its place. Returns `None` if there are
/// no handles.
///
/// ```
/// use millhand::{ThreadPool, promise, wait_any};
///
/// let pool = ThreadPool::new(1)?;
/// let (_kept, never) = promise::<()>();
/// let handles = (never, pool.submit(|| 7));
/// assert_eq!(wait_any(&handles)?, Some(1));
/// assert_eq!(handles.1.join()?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Blocks. On a worker the run slot is released meanwhile. A task that waits for itself is not
/// detected: [`wait_until_timeout`] has a time limit.
///
/// Guide: [composition](crate::guide::composition).
///
/// # Errors
///
/// [`Stopped`], if the task that waits is asked to stop. The handles keep their outcomes.
pub fn wait_any<S: Handles + ?Sized>(handles: &S) -> Result<Option<usize>, Stopped> {
    CompletionQueue::new(handles.links()).try_next_until(None)
}

/// When [`wait_until`] stops waiting.
///
/// ```
/// use millhand::ThreadPool;
/// use millhand::compose::{Until, wait_until};
///
/// let pool = ThreadPool::new(1)?;
/// let handles = [pool.submit(|| 1), pool.submit(|| 2)];
/// let (done, pending) = wait_until(&handles, Until::All)?;
/// assert_eq!((done.len(), pending.len()), (2, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Until {
    /// When one task has finished.
    FirstCompleted,
    /// When one task has not ended well: it [has failed](crate::guide::errors), or was cancelled.
    /// Also when all have finished.
    FirstError,
    /// When all tasks have finished.
    All,
}

/// Waits for several tasks until a condition holds, and returns two lists of places: those of the
/// tasks that have finished, and those of the others. Each is in the order of the handles.
///
/// ```
/// use millhand::compose::{Until, wait_until};
/// use millhand::{ThreadPool, promise};
///
/// let pool = ThreadPool::new(1)?;
/// let (_kept, never) = promise::<()>();
/// let handles = (pool.submit(|| 7), never);
/// let (done, pending) = wait_until(&handles, Until::FirstCompleted)?;
/// assert_eq!((done, pending), (vec![0], vec![1]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Blocks. On a worker the run slot is released meanwhile. The handles keep their outcomes.
///
/// Guide: [composition](crate::guide::composition).
///
/// # Errors
///
/// [`Stopped`], if the task that waits is asked to stop.
pub fn wait_until<S: Handles + ?Sized>(
    handles: &S,
    until: Until,
) -> Result<(Vec<usize>, Vec<usize>), Stopped> {
    until_deadline(handles.links(), until, None)
}

/// Waits for several tasks, as [`wait_until`] does, for at most `timeout` from the call. One that
/// overflows the clock means no limit.
///
/// ```
/// use millhand::compose::{Until, wait_until_timeout};
/// use millhand::promise;
/// use std::time::Duration;
///
/// let (_kept, never) = promise::<()>();
/// let (done, pending) = wait_until_timeout(&[never], Until::All, Duration::from_millis(1))?;
/// assert_eq!((done, pending), (vec![], vec![0]));
/// # Ok::<(), millhand::error::Stopped>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
///
/// # Errors
///
/// [`Stopped`], if the task that waits is asked to stop.
pub fn wait_until_timeout<S: Handles + ?Sized>(
    handles: &S,
    until: Until,
    timeout: Duration,
) -> Result<(Vec<usize>, Vec<usize>), Stopped> {
    until_deadline(handles.links(), until, Some(timeout))
}

fn until_deadline(
    links: Vec<Link>,
    until: Until,
    timeout: Option<Duration>,
) -> Result<(Vec<usize>, Vec<usize>), Stopped> {
    let mut queue = CompletionQueue::new(links);
    let deadline = timeout.and_then(|timeout| queue.deadline(timeout));
    while let Some(place) = queue.try_next_until(deadline)? {
        let kind = queue.links()[place].task.head.outcome_kind();
        let is_enough = match until {
            Until::FirstCompleted => true,
            Until::FirstError => kind != Some(OutcomeKind::Succeeded),
            Until::All => false,
        };
        if is_enough {
            break;
        }
    }
    let links = queue.links();
    Ok((0..links.len()).partition(|place| links[*place].task.head.outcome_kind().is_some()))
}

/// Waits for the first of several bodies to return `Ok`, and returns its value. The other tasks are
/// cancelled with [`CancelReason::Race`], and not waited for.
///
/// To take the first outcome, whatever it is, use
/// [`as_completed(handles).next()`](crate::as_completed); [`wait_any`] takes and cancels nothing.
///
/// ```
/// use millhand::{ThreadPool, race};
///
/// let pool = ThreadPool::new(2)?;
/// let parse = |text: &'static str| pool.submit(move || text.parse::<i32>());
/// assert_eq!(race([parse("one"), parse("2")])?, 2);
/// assert_eq!(race([parse("one"), parse("two")]).unwrap_err().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
///
/// # Errors
///
/// All failures, in the order in which the tasks ended, if no body returned `Ok`.
///
/// If the task that waits is asked to stop: first those that have ended, and then
/// [`TaskError::Interrupted`](crate::TaskError::Interrupted) for each other handle, in their order.
/// The tasks are cancelled then, except those with more than one
/// [`SharedHandle`](crate::SharedHandle).
///
/// # Panics
///
/// If there are no handles.
#[doc(alias = "first_ok")]
#[doc(alias = "select_ok")]
#[doc(alias = "any")]
#[track_caller]
pub fn race<H, T, E>(handles: impl IntoIterator<Item = H>) -> Result<T, Failures<E>>
where
    H: Handle<Output = Result<T, E>>,
{
    let mut handles: Vec<_> = handles.into_iter().map(Some).collect();
    let links = handles.iter().flatten().map(H::link);
    let mut queue = CompletionQueue::new(links.collect());
    let mut failures = Vec::new();
    loop {
        let place = match queue.try_next_until(None) {
            Ok(Some(place)) => place,
            Ok(None) => break,
            Err(stopped) => {
                let left = handles.iter().flatten().map(H::link).collect();
                cancel_rest(left, CancelReason::Race);
                let left = handles.iter().enumerate();
                failures.extend(left.filter_map(|(place, handle)| {
                    let error = JoinError::Task(TaskError::Interrupted(stopped));
                    Some(handle.as_ref()?.link().failure(place, error))
                }));
                break;
            }
        };
        let handle = handles[place].take().expect("each place is returned once");
        match ok_value(handle.outcome()) {
            Ok(value) => {
                let rest = handles.iter().flatten().map(H::link).collect();
                cancel_rest(rest, CancelReason::Race);
                return Ok(value);
            }
            Err(error) => failures.push(queue.links()[place].failure(place, error)),
        }
    }
    match Failures::new(failures) {
        Some(failures) => Err(failures),
        None => panic!("a race needs at least one handle"),
    }
}

/// Cancels the tasks that have not finished and have no other handle. Those of the process that
/// this one was forked from are not here: only copies of them are.
fn cancel_rest(rest: Vec<Link>, reason: CancelReason) {
    for Link { task, alone } in rest {
        if alone && !task.head.is_settled() && !process::is_foreign(task.head.owner) {
            task.cancel(reason);
        }
    }
}
