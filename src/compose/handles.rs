//! What the combinators take: any kind of handle, and many of them at once.
//!
//! Layer 6. A set is a vector, an array or a tuple of handles; in a tuple each may be of another kind and type.

use crate::compose::failures::Failure;
use crate::error::{JoinError, TaskError};
use crate::task::{SharedHandle, TaskHandle, TaskRef};
use std::fmt;

/// A handle that combinators take: a [`TaskHandle`], a [`SharedHandle`] (whose value is cloned; of a panic a clone has only
/// what it said), a `ScopedHandle`, or a box of any of them.
///
/// ```
/// use millhand::{Handle, ThreadPool, race};
///
/// let pool = ThreadPool::new(2)?;
/// let shared = pool.submit(|| 1).share();
/// let mixed: Vec<Box<dyn Handle<Output = i32>>> = vec![Box::new(shared.clone()), Box::new(pool.submit(|| 2))];
/// assert!([1, 2].contains(&race(mixed).unwrap()));
/// # Ok::<(), millhand::BuildError>(())
/// ```
pub trait Handle: Joins {}

/// What a handle is to the combinators.
pub trait Joins {
    /// What the task's body returns.
    type Output;

    #[doc(hidden)]
    fn link(&self) -> Link;

    /// Its outcome; waits for it.
    #[doc(hidden)]
    fn outcome(self) -> Result<Self::Output, TaskError>
    where
        Self: Sized;

    #[doc(hidden)]
    fn boxed_outcome(self: Box<Self>) -> Result<Self::Output, TaskError>;
}

/// The task behind a handle, and whether nobody else holds it.
#[doc(hidden)]
#[derive(Clone)]
pub struct Link {
    pub(crate) task: TaskRef,
    pub(crate) alone: bool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, alone } = self;
        f.debug_struct("Link")
            .field("task", &task.id())
            .field("alone", alone)
            .finish()
    }
}

impl Link {
    /// What went wrong with this task.
    pub(crate) fn failure<E>(&self, index: usize, error: JoinError<E>) -> Failure<E> {
        Failure::new(index, self.task.who(), error)
    }
}

impl<T> Joins for TaskHandle<T> {
    type Output = T;

    fn link(&self) -> Link {
        Link {
            task: self.as_task(),
            alone: true,
        }
    }

    fn outcome(self) -> Result<T, TaskError> {
        self.join()
    }

    fn boxed_outcome(self: Box<Self>) -> Result<T, TaskError> {
        self.join()
    }
}

impl<T> Handle for TaskHandle<T> {}

impl<T: Clone> Joins for SharedHandle<T> {
    type Output = T;

    fn link(&self) -> Link {
        Link {
            task: self.as_task(),
            alone: self.is_alone(),
        }
    }

    fn outcome(self) -> Result<T, TaskError> {
        match self.join() {
            Ok(value) => Ok(value.clone()),
            Err(error) => Err(error.copy()),
        }
    }

    fn boxed_outcome(self: Box<Self>) -> Result<T, TaskError> {
        (*self).outcome()
    }
}

impl<T: Clone> Handle for SharedHandle<T> {}

impl<H: Handle + ?Sized> Joins for Box<H> {
    type Output = H::Output;

    fn link(&self) -> Link {
        (**self).link()
    }

    fn outcome(self) -> Result<H::Output, TaskError> {
        self.boxed_outcome()
    }

    fn boxed_outcome(self: Box<Self>) -> Result<H::Output, TaskError> {
        (*self).boxed_outcome()
    }
}

impl<H: Handle + ?Sized> Handle for Box<H> {}

/// Many handles at once: a vector, an array, a slice (to be waited for only) or a tuple of up to eight, in which each may be
/// of another kind and type.
pub trait Handles: Links {}

/// What a set of handles is to those who wait for it.
pub trait Links {
    #[doc(hidden)]
    fn links(&self) -> Vec<Link>;
}

/// A set of handles that can be joined: all but a slice.
pub trait HandleSet: Handles {
    /// The outcomes, in the same order and shape.
    type Outcomes;

    #[doc(hidden)]
    fn outcomes(self) -> Self::Outcomes;
}

/// A set of handles whose bodies return a `Result`, all of them with the same error type.
pub trait OkSet: Handles {
    /// The values, in the same order and shape.
    type Values;
    /// The bodies' error.
    type Error;

    /// Takes each when `next` names it, up to the first failure; gives `rest` those that are left then.
    #[doc(hidden)]
    fn values(
        self,
        next: &mut dyn FnMut() -> Option<usize>,
        rest: &mut dyn FnMut(Vec<Link>),
    ) -> Result<Self::Values, (usize, JoinError<Self::Error>)>;
}

fn value<T, E>(outcome: Result<Result<T, E>, TaskError>) -> Result<T, JoinError<E>> {
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(JoinError::Failed(error)),
        Err(error) => Err(JoinError::Task(error)),
    }
}

/// As `value`, of a handle and with its place.
pub(crate) fn value_of<H, T, E>(handle: Option<H>, place: usize) -> Result<T, (usize, JoinError<E>)>
where
    H: Handle<Output = Result<T, E>>,
{
    let handle = handle.expect("each is named once");
    value(handle.outcome()).map_err(|error| (place, error))
}

impl<H: Handle> Links for [H] {
    fn links(&self) -> Vec<Link> {
        self.iter().map(H::link).collect()
    }
}

impl<H: Handle> Handles for [H] {}

impl<H: Handle> Links for Vec<H> {
    fn links(&self) -> Vec<Link> {
        self.as_slice().links()
    }
}

impl<H: Handle> Handles for Vec<H> {}

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
        next: &mut dyn FnMut() -> Option<usize>,
        rest: &mut dyn FnMut(Vec<Link>),
    ) -> Result<Vec<T>, (usize, JoinError<E>)> {
        let mut handles: Vec<_> = self.into_iter().map(Some).collect();
        let mut values: Vec<_> = handles.iter().map(|_| None).collect();
        while let Some(place) = next() {
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

impl<H: Handle, const N: usize> Links for [H; N] {
    fn links(&self) -> Vec<Link> {
        self.as_slice().links()
    }
}

impl<H: Handle, const N: usize> Handles for [H; N] {}

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
        next: &mut dyn FnMut() -> Option<usize>,
        rest: &mut dyn FnMut(Vec<Link>),
    ) -> Result<[T; N], (usize, JoinError<E>)> {
        let values = Vec::from(self).values(next, rest)?;
        let all = values.try_into().ok();
        Ok(all.expect("as many as there were handles"))
    }
}

macro_rules! tuples {
    ($($handle:ident $output:ident $at:tt),+) => {
        impl<$($handle: Handle),+> Links for ($($handle,)+) {
            fn links(&self) -> Vec<Link> {
                vec![$(self.$at.link()),+]
            }
        }

        impl<$($handle: Handle),+> Handles for ($($handle,)+) {}

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
                next: &mut dyn FnMut() -> Option<usize>,
                rest: &mut dyn FnMut(Vec<Link>),
            ) -> Result<Self::Values, (usize, JoinError<Er>)> {
                let mut handles = ($(Some(self.$at),)+);
                let mut values = ($(None::<$output>,)+);
                while let Some(place) = next() {
                    let taken = match place {
                        $($at => value_of(handles.$at.take(), place).map(|value| values.$at = Some(value)),)+
                        _ => unreachable!("as many places as handles"),
                    };
                    if let Err(failure) = taken {
                        let mut left = Vec::new();
                        $(left.extend(handles.$at.as_ref().map(Joins::link));)+
                        rest(left);
                        return Err(failure);
                    }
                }
                Ok(($(values.$at.expect("each was named"),)+))
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
