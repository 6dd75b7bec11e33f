//! What the waiting functions take: any kind of handle, and sets of handles.
//!
//! Layer: compose. A set is a vector, an array, a slice or a tuple of handles. In a tuple each
//! handle may be of another kind and type.

use crate::compose::failures::Failure;
use crate::error::{JoinError, Stopped, TaskError, ok_value};
use crate::task::{SharedHandle, TaskHandle, TaskRef};
use std::fmt;

/// Any handle, for functions that wait for tasks and for your own that are generic over handles.
///
/// It is a [`TaskHandle`], a [`SharedHandle`], a [`ScopedHandle`](crate::compose::ScopedHandle), or
/// one of them with a [key](crate::compose::WithKey). The value of a shared handle is cloned; a
/// clone of a panic has its message and not its payload. Where handles of several kinds are to be
/// in one vector, [`share`](TaskHandle::share) them all.
///
/// ```
/// use millhand::compose::Handle;
/// use millhand::{ThreadPool, as_completed};
///
/// fn first<H: Handle>(handles: Vec<H>) -> Option<H::Output> {
///     as_completed(handles).find_map(|(_, outcome)| outcome.ok())
/// }
///
/// let pool = ThreadPool::new(2)?;
/// assert_eq!(first(vec![pool.submit(|| 7)]), Some(7));
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
pub trait Handle {
    /// What the task's body returns.
    type Output;
    /// By what [`as_completed`](crate::as_completed) names the task: its place among the handles,
    /// or the key that it was given.
    type Key;

    #[doc(hidden)]
    fn link(&self) -> Link;

    /// Waits for the outcome and takes it.
    #[doc(hidden)]
    fn outcome(self) -> Result<Self::Output, TaskError>
    where
        Self: Sized;

    /// The same, with the key of the handle, which is at this place.
    #[doc(hidden)]
    fn keyed_outcome(self, place: usize) -> (Self::Key, Result<Self::Output, TaskError>)
    where
        Self: Sized;
}

/// The task of a handle.
#[doc(hidden)]
#[derive(Clone)]
pub struct Link {
    pub(crate) task: TaskRef,
    /// Whether no other handle of the task is left. Only then a combinator may cancel the task.
    pub(crate) alone: bool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, alone } = self;
        f.debug_struct("Link")
            .field("task", &task.head.id())
            .field("alone", alone)
            .finish()
    }
}

impl Link {
    /// The failure of this task, for an error that names it.
    pub(crate) fn failure<E>(&self, index: usize, error: JoinError<E>) -> Failure<E> {
        Failure::new(index, self.task.head.label(), error)
    }
}
impl<T: 'static> Handle for TaskHandle<T> {
    type Output = T;
    type Key = usize;

    fn link(&self) -> Link {
        Link {
            task: self.task().clone(),
            alone: true,
        }
    }

    fn outcome(self) -> Result<T, TaskError> {
        self.join()
    }

    fn keyed_outcome(self, place: usize) -> (usize, Result<T, TaskError>) {
        (place, self.outcome())
    }
}
impl<T: Clone + 'static> Handle for SharedHandle<T> {
    type Output = T;
    type Key = usize;

    fn link(&self) -> Link {
        Link {
            task: self.task().clone(),
            alone: self.is_alone(),
        }
    }

    fn outcome(self) -> Result<T, TaskError> {
        match self.join() {
            Ok(value) => Ok(value.clone()),
            Err(error) => Err(error.copy()),
        }
    }

    fn keyed_outcome(self, place: usize) -> (usize, Result<T, TaskError>) {
        (place, self.outcome())
    }
}

/// Several handles, for functions that only wait and leave the handles where they are.
///
/// It is a vector, an array, a slice, or a tuple of up to eight handles. In a tuple each handle may
/// be of another kind and type.
///
/// ```
/// use millhand::compose::Handles;
/// use millhand::{ThreadPool, wait_any};
///
/// fn ends<S: Handles>(handles: &S) -> bool {
///     wait_any(handles).is_ok()
/// }
///
/// let pool = ThreadPool::new(1)?;
/// assert!(ends(&(pool.submit(|| 7), pool.submit(|| "seven"))));
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
pub trait Handles {
    #[doc(hidden)]
    fn links(&self) -> Vec<Link>;
}

/// Several handles whose outcomes can be taken: all sets but slices.
///
/// ```
/// use millhand::ThreadPool;
/// use millhand::compose::{HandleSet, join_each};
///
/// fn both<S: HandleSet>(handles: S) -> S::Outcomes {
///     join_each(handles)
/// }
///
/// let pool = ThreadPool::new(1)?;
/// let (number, text) = both((pool.submit(|| 7), pool.submit(|| "seven")));
/// assert_eq!((number.unwrap(), text.unwrap()), (7, "seven"));
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
pub trait HandleSet: Handles {
    /// The outcomes, in the order and shape of the handles.
    type Outcomes;

    #[doc(hidden)]
    fn outcomes(self) -> Self::Outcomes;
}

/// Several handles whose bodies return a `Result`, all with the same error type.
///
/// ```
/// use millhand::ThreadPool;
/// use millhand::compose::{OkSet, join_each_ok};
///
/// fn both<S: OkSet>(handles: S) -> Option<S::Values> {
///     join_each_ok(handles).ok()
/// }
///
/// let pool = ThreadPool::new(1)?;
/// let parse = || "7".parse::<u8>();
/// assert_eq!(both((pool.submit(parse), pool.submit(parse))), Some((7, 7)));
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
pub trait OkSet: Handles {
    /// The values, in the order and shape of the handles.
    type Values;
    /// The error type of the bodies.
    type Error;

    /// Takes the outcomes in the order in which `next` returns their places. At the first failure,
    /// or if the wait is to end, it passes the handles that are left to `rest`, before it drops
    /// them, and returns the failure with its place.
    #[doc(hidden)]
    fn values(
        self,
        next: &mut dyn FnMut() -> Result<Option<usize>, Stopped>,
        rest: &mut dyn FnMut(Vec<Link>),
    ) -> Result<Self::Values, (usize, JoinError<Self::Error>)>;
}

/// The failure of a wait that was to end, at the place of the first handle that is left.
fn interrupted<E>(
    stopped: Stopped,
    left: &[Option<Link>],
    rest: &mut dyn FnMut(Vec<Link>),
) -> (usize, JoinError<E>) {
    rest(left.iter().flatten().cloned().collect());
    let place = left.iter().position(Option::is_some);
    let error = JoinError::Task(TaskError::Interrupted(stopped));
    (place.unwrap_or_default(), error)
}

/// Waits for the value of a handle, and adds the place of the handle to its failure.
fn value_of<H, T, E>(handle: Option<H>, place: usize) -> Result<T, (usize, JoinError<E>)>
where
    H: Handle<Output = Result<T, E>>,
{
    let handle = handle.expect("each place is returned once");
    ok_value(handle.outcome()).map_err(|error| (place, error))
}
impl<H: Handle> Handles for [H] {
    fn links(&self) -> Vec<Link> {
        self.iter().map(H::link).collect()
    }
}
impl<H: Handle> Handles for Vec<H> {
    fn links(&self) -> Vec<Link> {
        self.as_slice().links()
    }
}

impl<H: Handle> HandleSet for Vec<H> {
    type Outcomes = Vec<Result<H::Output, TaskError>>;

    fn outcomes(self) -> Self::Outcomes {
        self.into_iter().map(H::outcome).collect()
    }
}

impl<H: Handle<Output = Result<T, E>>, T, E> OkSet for Vec<H> {
    type Values = Vec<T>;
    type Error = E;

    fn values(
        self,
        next: &mut dyn FnMut() -> Result<Option<usize>, Stopped>,
        rest: &mut dyn FnMut(Vec<Link>),
    ) -> Result<Vec<T>, (usize, JoinError<E>)> {
        let mut handles: Vec<_> = self.into_iter().map(Some).collect();
        let mut values: Vec<_> = handles.iter().map(|_| None).collect();
        loop {
            let place = match next() {
                Ok(Some(place)) => place,
                Ok(None) => break,
                Err(stopped) => {
                    let left = handles.iter().map(|handle| handle.as_ref().map(H::link));
                    return Err(interrupted(stopped, &left.collect::<Vec<_>>(), rest));
                }
            };
            match value_of(handles[place].take(), place) {
                Ok(value) => values[place] = Some(value),
                Err(failure) => {
                    rest(handles.iter().flatten().map(H::link).collect());
                    return Err(failure);
                }
            }
        }
        Ok(values.into_iter().flatten().collect())
    }
}
impl<H: Handle, const N: usize> Handles for [H; N] {
    fn links(&self) -> Vec<Link> {
        self.as_slice().links()
    }
}

impl<H: Handle, const N: usize> HandleSet for [H; N] {
    type Outcomes = [Result<H::Output, TaskError>; N];

    fn outcomes(self) -> Self::Outcomes {
        self.map(H::outcome)
    }
}

impl<H: Handle<Output = Result<T, E>>, T, E, const N: usize> OkSet for [H; N] {
    type Values = [T; N];
    type Error = E;

    fn values(
        self,
        next: &mut dyn FnMut() -> Result<Option<usize>, Stopped>,
        rest: &mut dyn FnMut(Vec<Link>),
    ) -> Result<[T; N], (usize, JoinError<E>)> {
        let values = Vec::from(self).values(next, rest)?;
        let all = values.try_into().ok();
        Ok(all.expect("there are as many values as handles"))
    }
}

macro_rules! tuples {
    ($($handle:ident $output:ident $at:tt),+) => {
        impl<$($handle: Handle),+> Handles for ($($handle,)+) {
            fn links(&self) -> Vec<Link> {
                vec![$(self.$at.link()),+]
            }
        }

        impl<$($handle: Handle),+> HandleSet for ($($handle,)+) {
            type Outcomes = ($(Result<$handle::Output, TaskError>,)+);

            fn outcomes(self) -> Self::Outcomes {
                ($(self.$at.outcome(),)+)
            }
        }

        impl<$($handle, $output,)+ Er> OkSet for ($($handle,)+)
        where
            $($handle: Handle<Output = Result<$output, Er>>,)+
        {
            type Values = ($($output,)+);
            type Error = Er;

            fn values(
                self,
                next: &mut dyn FnMut() -> Result<Option<usize>, Stopped>,
                rest: &mut dyn FnMut(Vec<Link>),
            ) -> Result<Self::Values, (usize, JoinError<Er>)> {
                let mut handles = ($(Some(self.$at),)+);
                let mut values = ($(None::<$output>,)+);
                loop {
                    let place = match next() {
                        Ok(Some(place)) => place,
                        Ok(None) => break,
                        Err(stopped) => {
                            let left = [$(handles.$at.as_ref().map(Handle::link)),+];
                            return Err(interrupted(stopped, &left, rest));
                        }
                    };
                    let taken = match place {
                        $($at => value_of(handles.$at.take(), place).map(|value| values.$at = Some(value)),)+
                        _ => unreachable!("there are as many places as handles"),
                    };
                    if let Err(failure) = taken {
                        let mut left = Vec::new();
                        $(left.extend(handles.$at.as_ref().map(Handle::link));)+
                        rest(left);
                        return Err(failure);
                    }
                }
                Ok(($(values.$at.expect("each place was returned"),)+))
            }
        }
    };
}

tuples!(A At 0);
tuples!(A At 0, B Bt 1);
tuples!(A At 0, B Bt 1, C Ct 2);
tuples!(A At 0, B Bt 1, C Ct 2, D Dt 3);
tuples!(A At 0, B Bt 1, C Ct 2, D Dt 3, E Et 4);
tuples!(A At 0, B Bt 1, C Ct 2, D Dt 3, E Et 4, F Ft 5);
tuples!(A At 0, B Bt 1, C Ct 2, D Dt 3, E Et 4, F Ft 5, G Gt 6);
tuples!(A At 0, B Bt 1, C Ct 2, D Dt 3, E Et 4, F Ft 5, G Gt 6, H Ht 7);
