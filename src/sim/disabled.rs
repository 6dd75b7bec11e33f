//! What stands for a simulation in a build without the feature `simulation`. No value of
//! `Simulator` exists, so each branch that would use one is removed by the compiler.

use crate::sync::waiter::ClockWaiter;
use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Instant, SystemTime};

pub(crate) enum Simulator {}

pub(crate) enum SimJoinHandle {}

pub(crate) enum PoolGuard {}

pub(crate) type NoteText<'a> = dyn Fn(&mut dyn FnMut(u64) -> usize) -> String + 'a;

pub(crate) fn current() -> Option<Arc<Simulator>> {
    None
}

pub(crate) fn pause() {}

pub(crate) fn poll() {}

impl Simulator {
    pub(crate) fn now(&self) -> Instant {
        match *self {}
    }

    pub(crate) fn wall(&self) -> SystemTime {
        match *self {}
    }

    pub(crate) fn register(&self, _: Instant, _: &Weak<dyn ClockWaiter>) -> bool {
        match *self {}
    }

    pub(crate) fn seed(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn next_order(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn has_this_thread(&self) -> bool {
        match *self {}
    }

    pub(crate) fn check_thread(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn block(&self, _: bool, _: Option<Instant>, _: Weak<dyn ClockWaiter>) {
        match *self {}
    }

    pub(crate) fn pause(&self) {
        match *self {}
    }

    pub(crate) fn spawn(
        &self,
        _: String,
        _: Option<usize>,
        _: Box<dyn FnOnce() + Send>,
    ) -> io::Result<SimJoinHandle> {
        match *self {}
    }

    pub(crate) fn call_in_background(&self, _: Box<dyn FnOnce() + Send>) {
        match *self {}
    }

    pub(crate) fn add_pool(self: &Arc<Self>) -> PoolGuard {
        match **self {}
    }

    pub(crate) fn note(&self, _: &NoteText<'_>) {
        match *self {}
    }
}

impl SimJoinHandle {
    pub(crate) fn is_finished(&self) -> bool {
        match *self {}
    }

    pub(crate) fn join(self) -> thread::Result<()> {
        match self {}
    }
}
