//! The body of a scoped task: the closure, the packet for its value, and the hold on the scope.
//!
//! Layer: compose. What may borrow is dropped before the hold; `scope` explains why that matters.

use crate::compose::scope::handle::Packet;
use crate::compose::scope::latch::Hold;
use crate::error::BoxError;
use crate::panic;
use crate::sync::Mutex;
use crate::task::Rules;
use crate::task::body::{Body, Ended, Facts, FailedAttempt, Left, Part};
use crate::task::group_error::BoxedError;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// The parts of a scoped body that may borrow, and the hold on the scope, in the order in which
/// they are dropped.
struct Carried<F, T> {
    f: F,
    packet: Arc<Packet<T>>,
    hold: Hold,
}

/// Drops the parts, the hold last, even if the drop of another one panics.
fn release<F, T>(carried: Option<Carried<F, T>>) {
    let Some(Carried { f, packet, hold }) = carried else {
        return;
    };
    panic::discard(f);
    // This drops no value of the user's: `put` and the handle drop what no handle takes.
    drop(packet);
    drop(hold);
}

/// A scoped closure whose value is just a value.
pub(crate) struct PlainScoped<F, T>(Mutex<Option<Carried<F, T>>>);

impl<F, T> PlainScoped<F, T> {
    pub(crate) fn new(f: F, packet: &Arc<Packet<T>>, hold: Hold) -> Self {
        let packet = packet.clone();
        Self(Mutex::new(Some(Carried { f, packet, hold })))
    }
}

impl<F: FnOnce() -> T + Send, T: Send> Body for PlainScoped<F, T> {
    fn run(&self, _: bool) -> Ended {
        let Some(Carried { f, packet, hold }) = self.0.lock().take() else {
            unreachable!("{CLAIMED_ONCE}")
        };
        let ended = match panic::catch(f) {
            Ok(value) => {
                packet.put(value);
                Ended::Succeeded
            }
            Err(payload) => Ended::Unwound(payload),
        };
        // As in `release`.
        drop(packet);
        drop(hold);
        ended
    }

    fn take(&self, part: Part, _: Option<&mut dyn Any>) -> Option<Left> {
        if part != Part::Value {
            release(self.0.lock().take());
        }
        None
    }
}

const CLAIMED_ONCE: &str = "a task is claimed before it runs, and has its body until it ends";

/// A scoped closure whose `Err` is a failure. It may run again if it has rules.
pub(crate) struct FallibleScoped<F, T, E> {
    carried: Mutex<Option<Carried<F, Result<T, E>>>>,
    rest: Mutex<Rest<E>>,
}

/// The parts that borrow nothing.
struct Rest<E> {
    /// The error of the last attempt.
    error: Option<BoxedError>,
    /// What the scope collects if no handle takes the error.
    show: Show,
    /// Gone when there will be no other attempt.
    rules: Option<Arc<Rules<E>>>,
}

type Show = fn(Box<dyn Any + Send>) -> BoxError;

impl<F, T, E> FallibleScoped<F, T, E> {
    pub(crate) fn new(
        f: F,
        packet: &Arc<Packet<Result<T, E>>>,
        hold: Hold,
        show: Show,
        rules: Option<Arc<Rules<E>>>,
    ) -> Self {
        let packet = packet.clone();
        Self {
            carried: Mutex::new(Some(Carried { f, packet, hold })),
            rest: Mutex::new(Rest {
                error: None,
                show,
                rules,
            }),
        }
    }
}

impl<F, T, E> Body for FallibleScoped<F, T, E>
where
    F: FnMut() -> Result<T, E> + Send,
    T: Send,
    E: Send + 'static,
{
    fn run(&self, _: bool) -> Ended {
        let Some(mut carried) = self.carried.lock().take() else {
            unreachable!("{CLAIMED_ONCE}")
        };
        let ended = match panic::catch(&mut carried.f) {
            Ok(Ok(value)) => {
                carried.packet.put(Ok(value));
                Ended::Succeeded
            }
            Ok(Err(error)) => {
                let mut rest = self.rest.lock();
                rest.error = Some(BoxedError::new(error, rest.show));
                Ended::Failed
            }
            Err(payload) => Ended::Unwound(payload),
        };
        if self.rest.lock().rules.is_some() {
            *self.carried.lock() = Some(carried);
        } else {
            release(Some(carried));
        }
        ended
    }

    fn again(&self, failure: FailedAttempt, facts: &Facts) -> Option<Duration> {
        // Without the lock: the classifiers are the user's.
        let mut rest = self.rest.lock();
        let rules = rest.rules.clone()?;
        let error = rest.error.take();
        drop(rest);
        let seen = error.as_ref().and_then(BoxedError::is_a);
        let delay = rules.decide(failure, seen, facts);
        self.rest.lock().error = error;
        delay
    }

    fn take(&self, part: Part, into: Option<&mut dyn Any>) -> Option<Left> {
        if part != Part::Value {
            panic::discard(self.rest.lock().rules.take());
            release(self.carried.lock().take());
        }
        if part == Part::Closure {
            return None;
        }
        let error = self.rest.lock().error.take()?;
        if let Some(into) = into.and_then(|into| into.downcast_mut()) {
            *into = Some(error);
            return None;
        }
        Some(Box::new(error.into_shown()))
    }
}

/// Wraps a closure that runs once as an `FnMut`. A second call panics.
pub(crate) fn once<T>(f: impl FnOnce() -> T) -> impl FnMut() -> T {
    let mut f = Some(f);
    move || f.take().expect("it is run once")()
}
