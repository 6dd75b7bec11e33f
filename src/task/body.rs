//! The body: the user's closure and, later, what it returned. The only part of a task that is
//! generic.
//!
//! Layer: task. A body is compiled once per closure type in the user's crate, so it is kept small:
//! it runs, its value or closure can be taken out of it, and a retried one decides on another
//! attempt. Everything else about a task is compiled once.
//
// Each body has a lock of its own. It is never contended: the state of the task decides which
// thread may touch the body. The thread that has claimed the task runs the body, and may hold the
// lock while the closure runs: no other thread wants it until that thread settles the task. The
// thread that takes or drops the outcome empties the body.

use crate::error::TaskError;
use crate::panic::{self, Payload};
use crate::sync::{Mutex, MutexGuard};
use crate::task::retry::Rules;
use crate::task::unread::text_of;
use std::any::Any;
use std::fmt::Display;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// How an attempt ended.
pub(crate) enum Ended {
    /// The body returned, and a fallible one returned `Ok`. The value is inside.
    Succeeded,
    /// The same, but there is no value inside.
    SucceededEmpty,
    /// A fallible body returned `Err`.
    Failed,
    /// The body panicked, or left by `checkpoint`.
    Unwound(Payload),
    /// The body continues another task, which has left it no value.
    Error(TaskError),
}

/// How an attempt failed, for the decision about another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailedAttempt {
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

/// The part of a task that is compiled once per closure type. The bodies of this file implement it,
/// and those of scopes in `compose/scope/body.rs`.
pub(crate) trait Body: Send + Sync {
    /// Runs one attempt. What it returned stays inside. If `keep` is false, no handle will take the
    /// value, and a value whose drop does nothing need not be kept.
    fn run(&self, keep: bool) -> Ended;

    /// How long until the next attempt, if there is to be one.
    fn again(&self, _: FailedAttempt, _: &Facts) -> Option<Duration> {
        None
    }

    /// The text of the error inside, if an `Err` of the body counts as a failure.
    fn error_text(&self) -> Option<String> {
        None
    }

    /// Takes a part of what is inside out of the body. A value goes into `into`, if that is an
    /// `Option` of its type. Everything else is returned for the caller to drop, if its drop does
    /// anything.
    ///
    /// A body of a group has its value elsewhere, and the error of a failed attempt, a
    /// `BoxedError`, in its place.
    fn take(&self, part: Part, into: Option<&mut dyn Any>) -> Option<Left>;
}

/// Whether a closure is boxed on its way in. It is moved to the stack of its worker to be called,
/// several times without optimisation, while a boxed one is called where it is.
pub(crate) const fn is_large<F>() -> bool {
    size_of::<F>() > 2048
}

/// Uses the closure `f`, in a box if it is large. The other use is not compiled.
macro_rules! boxed_if_large {
    ($f:ident: $F:ty as $call:ty, $use:expr) => {
        if const { $crate::task::body::is_large::<$F>() } {
            let $f: Box<$call> = Box::new($f);
            $use
        } else {
            $use
        }
    };
}
pub(crate) use boxed_if_large;

/// A closure that runs once, and then its value.
enum State<F, T> {
    Closure(F),
    Value(T),
    Empty,
}

// Each of these is inlined even without optimisation: a function less per closure.
impl<F, T> State<F, T> {
    #[inline(always)]
    fn start(&mut self) -> F {
        match mem::replace(self, Self::Empty) {
            Self::Closure(f) => f,
            other => {
                mem::forget(other);
                claimed_twice()
            }
        }
    }

    #[inline(always)]
    fn end(&mut self, value: T, keep: bool) -> Ended {
        if !keep && !const { mem::needs_drop::<T>() } {
            return Ended::SucceededEmpty;
        }
        // It was empty, so there is nothing to be dropped.
        mem::forget(mem::replace(self, Self::Value(value)));
        Ended::Succeeded
    }
}

/// Locks a body. No other thread has it locked; see above.
#[inline(always)]
fn open<S>(body: &Mutex<S>) -> MutexGuard<'_, S> {
    match body.try_lock() {
        Some(state) => state,
        None => claimed_twice(),
    }
}

#[inline(always)]
fn take<F: Send + 'static, T: Send + 'static>(
    body: &Mutex<State<F, T>>,
    part: Part,
    into: Option<&mut dyn Any>,
) -> Option<Left> {
    let taken = {
        let state = &mut *open(body);
        let is_wanted = match state {
            State::Closure(_) => part != Part::Value,
            State::Value(_) => part != Part::Closure,
            State::Empty => false,
        };
        if !is_wanted {
            return None;
        }
        mem::replace(state, State::Empty)
    };
    match taken {
        State::Value(value) => {
            // A handle has checked that the task succeeded, and asks for the type of its body.
            if let Some(into) = into {
                if let Some(into) = into.downcast_mut::<Option<T>>() {
                    *into = Some(value);
                    return None;
                }
            }
            if const { mem::needs_drop::<T>() } {
                return Some(Box::new(value));
            }
            None
        }
        State::Closure(f) => {
            if const { mem::needs_drop::<F>() } {
                return Some(Box::new(f));
            }
            None
        }
        State::Empty => None,
    }
}

#[cold]
fn claimed_twice() -> ! {
    unreachable!("a task is claimed before it runs, and once")
}

/// A closure whose value is just a value.
pub(crate) struct PlainBody<F, T>(Mutex<State<F, T>>);

impl<F: FnOnce() -> T + Send + 'static, T: Send + 'static> PlainBody<F, T> {
    #[inline(always)]
    pub(crate) fn new(f: F) -> Self {
        Self(Mutex::new(State::Closure(f)))
    }
}

impl<F: FnOnce() -> T + Send + 'static, T: Send + 'static> Body for PlainBody<F, T> {
    fn run(&self, keep: bool) -> Ended {
        let mut state = open(&self.0);
        match panic::catch(state.start()) {
            Ok(value) => state.end(value, keep),
            Err(payload) => Ended::Unwound(payload),
        }
    }

    fn take(&self, part: Part, into: Option<&mut dyn Any>) -> Option<Left> {
        take(&self.0, part, into)
    }
}

/// A closure whose `Err` is a failure.
pub(crate) struct FallibleBody<F, T: Send + 'static, E: Send + 'static>(
    Mutex<State<F, Result<T, E>>>,
);

impl<F, T, E> FallibleBody<F, T, E>
where
    F: FnOnce() -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    #[inline(always)]
    pub(crate) fn new(f: F) -> Self {
        Self(Mutex::new(State::Closure(f)))
    }
}

impl<F, T, E> Body for FallibleBody<F, T, E>
where
    F: FnOnce() -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Display + Send + 'static,
{
    fn run(&self, keep: bool) -> Ended {
        let mut state = open(&self.0);
        match panic::catch(state.start()) {
            Ok(result) => {
                let failed = result.is_err();
                let ended = state.end(result, keep || failed);
                if failed { Ended::Failed } else { ended }
            }
            Err(payload) => Ended::Unwound(payload),
        }
    }

    fn error_text(&self) -> Option<String> {
        // Without the lock: the text is the user's.
        let state = mem::replace(&mut *open(&self.0), State::Empty);
        let text = match &state {
            State::Value(Err(error)) => Some(text_of(error)),
            _ => None,
        };
        mem::forget(mem::replace(&mut *open(&self.0), state));
        text
    }

    fn take(&self, part: Part, into: Option<&mut dyn Any>) -> Option<Left> {
        take(&self.0, part, into)
    }
}

/// A closure that continues another task. If that has left no value, it passes the error on.
pub(crate) struct PassingBody<F, T>(Mutex<State<F, T>>);

impl<F, T> PassingBody<F, T>
where
    F: FnOnce() -> Result<T, TaskError> + Send + 'static,
    T: Send + 'static,
{
    #[inline(always)]
    pub(crate) fn new(f: F) -> Self {
        Self(Mutex::new(State::Closure(f)))
    }
}

impl<F, T> Body for PassingBody<F, T>
where
    F: FnOnce() -> Result<T, TaskError> + Send + 'static,
    T: Send + 'static,
{
    fn run(&self, keep: bool) -> Ended {
        let mut state = open(&self.0);
        match panic::catch(state.start()) {
            Ok(Ok(value)) => state.end(value, keep),
            Ok(Err(error)) => Ended::Error(error),
            Err(payload) => Ended::Unwound(payload),
        }
    }

    fn take(&self, part: Part, into: Option<&mut dyn Any>) -> Option<Left> {
        take(&self.0, part, into)
    }
}

/// A closure that may run again, with the rules that decide it.
pub(crate) struct RetryBody<F, T, E>(Mutex<Again<F, T, E>>);

struct Again<F, T, E> {
    f: Option<F>,
    result: Option<Result<T, E>>,
    /// They have closures of the user, and are dropped as the body is.
    rules: Option<Arc<Rules<E>>>,
}

impl<F, T, E> RetryBody<F, T, E>
where
    F: FnMut() -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    pub(crate) fn new(f: F, rules: Arc<Rules<E>>) -> Self {
        Self(Mutex::new(Again {
            f: Some(f),
            result: None,
            rules: Some(rules),
        }))
    }
}

impl<F, T, E> Body for RetryBody<F, T, E>
where
    F: FnMut() -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Display + Send + 'static,
{
    fn run(&self, _: bool) -> Ended {
        let f = self.0.lock().f.take();
        let mut f = f.expect("put back after each attempt, and gone after the last");
        let result = panic::catch(&mut f);
        let mut state = self.0.lock();
        state.f = Some(f);
        match result {
            Ok(result) => {
                let failed = result.is_err();
                state.result = Some(result);
                if failed {
                    Ended::Failed
                } else {
                    Ended::Succeeded
                }
            }
            Err(payload) => Ended::Unwound(payload),
        }
    }

    fn again(&self, failure: FailedAttempt, facts: &Facts) -> Option<Duration> {
        // Without the lock: the classifiers are code of the user.
        let mut state = self.0.lock();
        let rules = state.rules.clone()?;
        let result = state.result.take();
        drop(state);
        let error = result.as_ref().and_then(|result| result.as_ref().err());
        let delay = rules.decide(failure, error, facts);
        self.0.lock().result = result;
        delay
    }

    fn error_text(&self) -> Option<String> {
        // Without the lock: the text is the user's.
        let result = self.0.lock().result.take();
        let text = result
            .as_ref()
            .and_then(|result| Some(text_of(result.as_ref().err()?)));
        self.0.lock().result = result;
        text
    }

    fn take(&self, part: Part, into: Option<&mut dyn Any>) -> Option<Left> {
        let mut state = self.0.lock();
        let f = state.f.take_if(|_| part != Part::Value);
        let rules = state.rules.take_if(|_| part != Part::Value);
        let mut result = state.result.take_if(|_| part != Part::Closure);
        drop(state);
        if let Some(into) = into.and_then(|into| into.downcast_mut::<Option<Result<T, E>>>()) {
            *into = result.take();
        }
        if f.is_none() && result.is_none() && rules.is_none() {
            return None;
        }
        Some(Box::new(Again { f, result, rules }))
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
        assert!(size_with(f) <= 104, "with a closure of 24 bytes");
        assert!(size_of::<TaskError>() <= 16);
        assert!(size_of::<TaskRef>() <= 2 * size_of::<usize>());
    }
}
