//! What a slot hands out: work to be run, and what settling leaves to be done outside its lock.
//!
//! Layer 1. Data, and how an attempt's is put together.

use crate::cancel::CancelToken;
use crate::context_var::Context;
use crate::error::TaskError;
use crate::extras::{Course, Extras, Place, Rest, Whereabouts};
use std::time::Instant;

pub(crate) type Outcome<T> = Result<T, TaskError>;

/// What settling leaves to do, outside the lock.
#[must_use]
pub(crate) struct Aftermath<T> {
    /// The outcome, when nobody holds a handle any more.
    pub(crate) unwanted: Option<Outcome<T>>,
    pub(crate) rest: Option<Box<Rest>>,
}

/// Work to be run.
pub(crate) struct Claimed<W> {
    pub(crate) work: W,
    /// Nothing for a task without extras.
    pub(crate) baggage: Option<Baggage>,
}

/// What goes with work.
pub(crate) struct Baggage {
    pub(crate) token: Option<CancelToken>,
    /// To be entered.
    pub(crate) context: Context,
    /// To be given back, and the token of the attempt before to be dropped, before the body runs and where no lock is held.
    pub(crate) place: Option<Place>,
    pub(crate) stale: Option<CancelToken>,
}

impl Baggage {
    /// For an attempt that begins.
    pub(crate) fn pack<P>(
        extras: &mut Extras<P>,
        now: Instant,
        begin: impl FnOnce(&mut Course<P>, Instant),
    ) -> Self {
        extras.started.get_or_insert(now);
        let course = extras.course.as_mut();
        let stale = course.and_then(|course| course.begin(now, begin));
        Self {
            token: extras.token.clone(),
            context: extras.context.clone(),
            place: extras.place.take(),
            stale,
        }
    }

    /// What the body is to have of it; the rest is let go.
    pub(crate) fn unpack(self) -> (Option<CancelToken>, Context) {
        drop((self.place, self.stale));
        (self.token, self.context)
    }
}

/// What a cancel found.
pub(crate) enum Cancelled<W, T> {
    /// It was not running: now it is settled.
    Unrun(Unrun<W, T>),
    /// It runs: the request is noted. The token is to be cancelled, if anybody has asked for one.
    Running(Option<CancelToken>),
    Finished,
}

/// What is left of a task that was settled before it ran, or between two attempts.
#[must_use]
pub(crate) struct Unrun<W, T> {
    /// To be dropped.
    pub(crate) work: W,
    pub(crate) aftermath: Aftermath<T>,
    /// To be cancelled, if anybody has asked for it.
    pub(crate) token: Option<CancelToken>,
    pub(crate) whereabouts: Whereabouts,
}

/// What the end of a task's time found.
pub(crate) enum TimedOut<W, T> {
    Unrun(Unrun<W, T>),
    /// Its body runs on, and its token is to be cancelled.
    Running(Aftermath<T>, Option<CancelToken>),
    Finished,
}
