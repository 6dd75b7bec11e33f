//! The body: the user's closure and, later, what it returned. The only part of a task that is
//! generic.
//!
//! Layer: task. A body is compiled once per closure type in the user's crate, so it is kept small:
//! it runs, its value or closure can be taken out of it, and a retried one decides on another
//! attempt. Everything else about a task is compiled once.
//
// Each body has a lock of its own. It is never contended: the state of the task decides which
// thread may touch the body. The thread that has claimed the task runs the body. The thread that
// takes or drops the outcome empties it.

use crate::error::TaskError;
use crate::panic::{self, Payload};
use crate::sync::Mutex;
use crate::task::retry::Rules;
use std::any::Any;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// How an attempt ended.
pub(crate) enum Ended {
    /// The body returned, and a fallible one returned `Ok`. The value is inside.
    Completed,
    /// The same, but there is no value inside.
    CompletedEmpty,
    /// A fallible body returned `Err`.
    Failed,
    /// The body panicked, or left by `checkpoint`.
    Unwound(Payload),
    /// The body continues another task, which has left it no value.
    Error(TaskError),
}

/// How an attempt failed, for the decision about another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The body returned `Err`; the error is inside the body.
    Failed,
    /// The attempt exceeded its time limit.
    TimedOut,
    Panicked,
}

/// What a decision about another attempt is based on.
pub(crate) struct Facts {
    /// Attempts so far.
    pub(crate) attempts: u32,
    /// Time since the first attempt began.
    pub(crate) elapsed: Duration,
    /// One number per task, for the jitter.
    pub(crate) salt: u64,
}

/// Which part of a body to take out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Closure,
    Value,
    All,
}

/// What was taken out of a body, to be dropped with no lock held.
pub(crate) type Left = Box<dyn Send>;

pub(crate) trait Body: Send + Sync {
    /// Runs one attempt. What it returned stays inside. If `keep` is false, no handle will take the
    /// value, and a value whose drop does nothing need not be kept.
    fn run(&self, keep: bool) -> Ended;

    /// How long until the next attempt, if there is to be one.
    fn again(&self, _: Failure, _: &Facts) -> Option<Duration> {
        None
    }

    /// Takes a part of what is inside out of the body. A value goes into `into`, if that is an
    /// `Option` of its type. Everything else is returned for the caller to drop, if its drop does
    /// anything.
    ///
    /// A body of a group has its value elsewhere, and the error of a failed attempt, a
    /// [`BoxedError`], in its place.
    fn take(&self, part: Part, into: Option<&mut dyn Any>) -> Option<Left>;
}

/// The error of a body of a group, without its type.
pub(crate) type BoxedError = Box<dyn Any + Send>;

enum State<F, T> {
    Closure(F),
    Value(T),
    Empty,
}

/// A closure that runs once, and then its value.
struct Once<F, T>(Mutex<State<F, T>>);

impl<F: Send + 'static, T: Send + 'static> Once<F, T> {
    fn new(f: F) -> Self {
        Self(Mutex::new(State::Closure(f)))
    }

    #[inline(never)] // Called three times: a call is less code than what it does.
    fn swap(&self, with: State<F, T>) -> State<F, T> {
        mem::replace(&mut *self.0.lock(), with)
    }

    fn start(&self) -> F {
        match self.swap(State::Empty) {
            State::Closure(f) => f,
            other => {
                mem::forget(other);
                claimed_twice()
            }
        }
    }

    fn end(&self, value: T, keep: bool) -> Ended {
        if !keep && !mem::needs_drop::<T>() {
            return Ended::CompletedEmpty;
        }
        // It was empty, so there is nothing to be dropped.
        mem::forget(self.swap(State::Value(value)));
        Ended::Completed
    }

    fn take(&self, part: Part, into: Option<&mut dyn Any>) -> Option<Left> {
        let taken = self.swap(State::Empty);
        match (taken, part) {
            (State::Value(value), Part::Value | Part::All) => {
                // A handle has checked that the task completed, and asks for the type of its body.
                match into.and_then(|into| into.downcast_mut::<Option<T>>()) {
                    Some(into) => mem::forget(into.replace(value)),
                    None if mem::needs_drop::<T>() => return Some(Box::new(value)),
                    None => {}
                }
                None
            }
            (State::Closure(f), Part::Closure | Part::All) => {
                mem::needs_drop::<F>().then(|| Box::new(f) as Left)
            }
            (State::Empty, _) => None,
            (other, _) => {
                mem::forget(self.swap(other));
                None
            }
        }
    }
}

#[cold]
fn claimed_twice() -> ! {
    unreachable!("a task is claimed before it runs, and once")
}

/// A closure whose value is just a value.
pub(crate) struct PlainBody<F, T>(Once<F, T>);

impl<F: FnOnce() -> T + Send + 'static, T: Send + 'static> PlainBody<F, T> {
    pub(crate) fn new(f: F) -> Self {
        Self(Once::new(f))
    }
}

impl<F: FnOnce() -> T + Send + 'static, T: Send + 'static> Body for PlainBody<F, T> {
    fn run(&self, keep: bool) -> Ended {
        match panic::catch(self.0.start()) {
            Ok(value) => self.0.end(value, keep),
            Err(payload) => Ended::Unwound(payload),
        }
    }

    fn take(&self, part: Part, into: Option<&mut dyn Any>) -> Option<Left> {
        self.0.take(part, into)
    }
}

/// A closure whose `Err` is a failure.
pub(crate) struct FallibleBody<F, T: Send + 'static, E: Send + 'static>(Once<F, Result<T, E>>);

impl<F, T, E> FallibleBody<F, T, E>
where
    F: FnOnce() -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    pub(crate) fn new(f: F) -> Self {
        Self(Once::new(f))
    }
}

impl<F, T, E> Body for FallibleBody<F, T, E>
where
    F: FnOnce() -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn run(&self, keep: bool) -> Ended {
        match panic::catch(self.0.start()) {
            Ok(result) => {
                let failed = result.is_err();
                let ended = self.0.end(result, keep || failed);
                if failed { Ended::Failed } else { ended }
            }
            Err(payload) => Ended::Unwound(payload),
        }
    }

    fn take(&self, part: Part, into: Option<&mut dyn Any>) -> Option<Left> {
        self.0.take(part, into)
    }
}

/// A closure that continues another task. If that has left no value, it passes the error on.
pub(crate) struct PassingBody<F, T>(Once<F, T>);

impl<F, T> PassingBody<F, T>
where
    F: FnOnce() -> Result<T, TaskError> + Send + 'static,
    T: Send + 'static,
{
    pub(crate) fn new(f: F) -> Self {
        Self(Once::new(f))
    }
}

impl<F, T> Body for PassingBody<F, T>
where
    F: FnOnce() -> Result<T, TaskError> + Send + 'static,
    T: Send + 'static,
{
    fn run(&self, keep: bool) -> Ended {
        match panic::catch(self.0.start()) {
            Ok(Ok(value)) => self.0.end(value, keep),
            Ok(Err(error)) => Ended::Error(error),
            Err(payload) => Ended::Unwound(payload),
        }
    }

    fn take(&self, part: Part, into: Option<&mut dyn Any>) -> Option<Left> {
        self.0.take(part, into)
    }
}

/// A closure that may run again, with the rules that decide it.
pub(crate) struct RetryBody<F, T, E> {
    state: Mutex<Again<F, T, E>>,
    rules: Arc<Rules<E>>,
}

struct Again<F, T, E> {
    f: Option<F>,
    result: Option<Result<T, E>>,
}

impl<F, T, E> RetryBody<F, T, E>
where
    F: FnMut() -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    pub(crate) fn new(f: F, rules: Arc<Rules<E>>) -> Self {
        let state = Mutex::new(Again {
            f: Some(f),
            result: None,
        });
        Self { state, rules }
    }
}

impl<F, T, E> Body for RetryBody<F, T, E>
where
    F: FnMut() -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn run(&self, _: bool) -> Ended {
        let f = self.state.lock().f.take();
        let mut f = f.expect("put back after each attempt, and gone after the last");
        let result = panic::catch(&mut f);
        let mut state = self.state.lock();
        state.f = Some(f);
        match result {
            Ok(result) => {
                let failed = result.is_err();
                state.result = Some(result);
                if failed {
                    Ended::Failed
                } else {
                    Ended::Completed
                }
            }
            Err(payload) => Ended::Unwound(payload),
        }
    }

    fn again(&self, failure: Failure, facts: &Facts) -> Option<Duration> {
        // Without the lock: the classifiers are code of the user.
        let result = self.state.lock().result.take();
        let error = result.as_ref().and_then(|result| result.as_ref().err());
        let delay = self.rules.decide(failure, error, facts);
        self.state.lock().result = result;
        delay
    }

    fn take(&self, part: Part, into: Option<&mut dyn Any>) -> Option<Left> {
        let mut state = self.state.lock();
        let f = state.f.take_if(|_| part != Part::Value);
        let mut result = state.result.take_if(|_| part != Part::Closure);
        drop(state);
        if let Some(into) = into.and_then(|into| into.downcast_mut::<Option<Result<T, E>>>()) {
            *into = result.take();
        }
        if f.is_none() && result.is_none() {
            return None;
        }
        Some(Box::new(Again { f, result }))
    }
}

/// The place of a value that arrives from elsewhere: the body of a promise, which nothing runs.
pub(crate) struct ByHand<T>(Mutex<Option<T>>);

impl<T> ByHand<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn put(&self, value: T) {
        *self.0.lock() = Some(value);
    }
}

impl<T: Send + 'static> Body for ByHand<T> {
    fn run(&self, _: bool) -> Ended {
        unreachable!("a promise is in no queue and has no pool")
    }

    fn take(&self, part: Part, into: Option<&mut dyn Any>) -> Option<Left> {
        let value = self.0.lock().take_if(|_| part != Part::Closure)?;
        if let Some(into) = into.and_then(|into| into.downcast_mut::<Option<T>>()) {
            *into = Some(value);
            return None;
        }
        Some(Box::new(value))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::task::task::{Task, TaskRef};

    fn size_with<F: FnOnce() -> T + Send + 'static, T: Send + 'static>(_: F) -> usize {
        // The strong and the weak count of an `Arc`.
        size_of::<Task<PlainBody<F, T>>>() + 2 * size_of::<usize>()
    }

    #[test]
    fn a_task_stays_small() {
        let captured = [1_u64, 2, 3];
        let f = move || captured.iter().sum::<u64>();
        assert_eq!(size_of_val(&f), 24);
        assert!(size_with(f) <= 104, "with a closure of 24 bytes");
        assert!(size_of::<TaskError>() <= 16);
        assert!(size_of::<TaskRef>() <= 2 * size_of::<usize>());
    }
}
