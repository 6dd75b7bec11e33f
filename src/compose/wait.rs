//! Waiting for many tasks: for all, for any, for the first that fails or succeeds.
//!
//! Layer 6.

use crate::compose::arrivals::Arrivals;
use crate::compose::failures::{Failure, Failures};
use crate::compose::handles::{Handle, HandleSet, Handles, Link, OkSet, value_of};
use crate::error::JoinError;
use crate::event::OutcomeKind;
use crate::reason::CancelReason;
use std::time::Duration;

/// Waits for all and gives every outcome, in the order and shape of the handles. One that failed keeps none of the others
/// from running.
///
/// ```
/// use millhand::{ThreadPool, join_all};
///
/// let pool = ThreadPool::new(2)?;
/// let squares: Vec<_> = (0..10).map(|n| pool.submit(move || n * n)).collect();
/// let sum: u32 = join_all(squares).into_iter().map(Result::unwrap).sum();
/// assert_eq!(sum, 285);
///
/// let (number, text) = join_all((pool.submit(|| 7), pool.submit(|| "seven")));
/// assert_eq!((number.unwrap(), text.unwrap()), (7, "seven"));
/// # Ok::<(), millhand::BuildError>(())
/// ```
///
/// Blocks as [`TaskHandle::join`](crate::TaskHandle::join) does, one after the other; a wait that would deadlock is that
/// task's outcome.
pub fn join_all<S: HandleSet>(handles: S) -> S::Outcomes {
    handles.outcomes()
}

/// Waits for all bodies to succeed and gives their values, in the order and shape of the handles; or gives up at the first
/// failure, an `Err` of a body as well as a task without an outcome.
///
/// ```
/// use millhand::{ThreadPool, join_all_ok};
///
/// let pool = ThreadPool::new(2)?;
/// let parse = |text: &'static str| pool.submit(move || text.parse::<i32>());
/// assert_eq!(join_all_ok([parse("1"), parse("2")])?, [1, 2]);
///
/// let failure = join_all_ok(vec![parse("1"), parse("two")]).unwrap_err();
/// assert_eq!(failure.index(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// The first failure that came. The other tasks are cancelled then ([`CancelReason::Group`]), and not waited for; a task
/// that somebody else holds a [`SharedHandle`](crate::SharedHandle) of is left alone.
pub fn join_all_ok<S: OkSet>(handles: S) -> Result<S::Values, Failure<S::Error>> {
    let mut arrivals = Arrivals::new(handles.links());
    // Before their handles are dropped, which may have something to say to it.
    let mut cancel = |rest: Vec<Link>| cancel_rest(rest, CancelReason::Group);
    let mut at = 0;
    let values = handles.values(&mut || arrivals.next_of_all(&mut at), &mut cancel);
    values.map_err(|(place, error)| arrivals.links()[place].failure(place, error))
}

/// Waits until any of them is finished and says which, by its place. `None` if there are none.
///
/// ```
/// use millhand::{ThreadPool, promise, wait_any};
///
/// let pool = ThreadPool::new(1)?;
/// let (_kept, never) = promise::<()>();
/// let handles = (never, pool.submit(|| 7));
/// assert_eq!(wait_any(&handles), Some(1));
/// assert_eq!(handles.1.join().unwrap(), 7);
/// # Ok::<(), millhand::BuildError>(())
/// ```
///
/// Blocks; on a worker the seat is given up meanwhile. A wait for itself is not found out: see [`wait_for`] for a time limit.
pub fn wait_any<S: Handles + ?Sized>(handles: &S) -> Option<usize> {
    Arrivals::new(handles.links()).next(None)
}

/// What [`wait_for`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Until {
    /// One is finished.
    FirstCompleted,
    /// One has no outcome, or has failed as [`fallible`](crate::TaskBuilder::fallible) tasks can; or all are finished.
    FirstError,
    /// All are finished.
    All,
}

/// Waits until the handles are as wanted, or until `timeout` has passed (`None`: however long it takes), and gives the places
/// of those that are finished and of those that are not, each in the order of the handles.
///
/// ```
/// use millhand::{ThreadPool, Until, promise, wait_for};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(1)?;
/// let (_kept, never) = promise::<()>();
/// let handles = (pool.submit(|| 7), never);
/// let (done, pending) = wait_for(&handles, Until::FirstCompleted, Some(Duration::from_secs(60)));
/// assert_eq!((done, pending), (vec![0], vec![1]));
/// # Ok::<(), millhand::BuildError>(())
/// ```
///
/// Blocks; on a worker the seat is given up meanwhile. The handles stay as they are.
pub fn wait_for<S: Handles + ?Sized>(
    handles: &S,
    until: Until,
    timeout: Option<Duration>,
) -> (Vec<usize>, Vec<usize>) {
    let mut arrivals = Arrivals::new(handles.links());
    let deadline = timeout.and_then(|timeout| arrivals.deadline(timeout));
    while let Some(place) = arrivals.next(deadline) {
        let kind = arrivals.links()[place].task.outcome_kind();
        let is_enough = match until {
            Until::FirstCompleted => true,
            Until::FirstError => kind != Some(OutcomeKind::Completed),
            Until::All => false,
        };
        if is_enough {
            break;
        }
    }
    let links = arrivals.links();
    (0..links.len()).partition(|place| links[*place].task.outcome_kind().is_some())
}

/// Waits for the first task that has an outcome, whatever value that is (an `Err` that a body returned, too); the losers are cancelled ([`CancelReason::Race`]) and not
/// waited for. [`race_ok`] waits for the first body that returns `Ok`.
///
/// ```
/// use millhand::{ThreadPool, race};
///
/// let pool = ThreadPool::new(2)?;
/// let slow = || { while millhand::check().is_ok() { std::hint::spin_loop() } "slow" };
/// assert_eq!(race([pool.submit(slow), pool.submit(|| "fast")])?, "fast");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// All of them, in the order in which they ended, if none has an outcome.
///
/// # Panics
///
/// If there are none: nothing could win.
pub fn race<H: Handle>(handles: impl IntoIterator<Item = H>) -> Result<H::Output, Failures> {
    first(handles, |handle, _| {
        let handle: Option<H> = handle;
        let outcome = handle.expect("each is named once").outcome();
        outcome.map_err(JoinError::Task)
    })
}

/// Waits for the first body that returns `Ok`; the losers are cancelled ([`CancelReason::Race`]) and not waited for.
///
/// ```
/// use millhand::{ThreadPool, race_ok};
///
/// let pool = ThreadPool::new(2)?;
/// let parse = |text: &'static str| pool.submit(move || text.parse::<i32>());
/// assert_eq!(race_ok([parse("one"), parse("2")])?, 2);
/// assert_eq!(race_ok([parse("one"), parse("two")]).unwrap_err().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// All of them, in the order in which they ended, if none succeeded.
///
/// # Panics
///
/// If there are none: nothing could win.
pub fn race_ok<H, T, E>(handles: impl IntoIterator<Item = H>) -> Result<T, Failures<E>>
where
    H: Handle<Output = Result<T, E>>,
{
    first(handles, |handle, place| {
        value_of(handle, place).map_err(|(_, error)| error)
    })
}

fn first<H: Handle, T, E>(
    handles: impl IntoIterator<Item = H>,
    value: impl Fn(Option<H>, usize) -> Result<T, JoinError<E>>,
) -> Result<T, Failures<E>> {
    let mut handles: Vec<_> = handles.into_iter().map(Some).collect();
    let links = handles.iter().flatten().map(H::link);
    let mut arrivals = Arrivals::new(links.collect());
    let mut failures = Vec::new();
    while let Some(place) = arrivals.next(None) {
        match value(handles[place].take(), place) {
            Ok(value) => {
                cancel_rest(handles.iter().flatten().map(H::link), CancelReason::Race);
                return Ok(value);
            }
            Err(error) => failures.push(arrivals.links()[place].failure(place, error)),
        }
    }
    match Failures::new(failures) {
        Some(failures) => Err(failures),
        None => panic!("a race needs at least one handle"),
    }
}

/// Cancels what is not finished, and belongs to nobody else.
fn cancel_rest(rest: impl IntoIterator<Item = Link>, reason: CancelReason) {
    for Link { task, alone } in rest {
        if alone && task.outcome_kind().is_none() {
            task.cancel(reason);
        }
    }
}
