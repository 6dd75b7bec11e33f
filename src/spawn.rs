//! Starting threads: everything that the library has run elsewhere.
//!
//! Layer 0. In a simulation they are the simulation's.

use crate::clock::Clock;
use crate::sim::Enlisted;
use std::io;
use std::thread::{self, JoinHandle};

pub(crate) struct Thread(Kind);

enum Kind {
    Free(JoinHandle<()>),
    Enlisted(Enlisted),
}

/// Starts a thread of the world that `clock` belongs to. Without a `stack_size` it has the system's usual one.
pub(crate) fn spawn(
    clock: &Clock,
    name: String,
    stack_size: Option<usize>,
    f: impl FnOnce() + Send + 'static,
) -> io::Result<Thread> {
    if let Some(sim) = clock.simulated() {
        return sim
            .spawn(name, stack_size, f)
            .map(Kind::Enlisted)
            .map(Thread);
    }
    let mut builder = thread::Builder::new().name(name);
    if let Some(bytes) = stack_size {
        builder = builder.stack_size(bytes);
    }
    builder.spawn(f).map(Kind::Free).map(Thread)
}

impl Thread {
    pub(crate) fn is_finished(&self) -> bool {
        match &self.0 {
            Kind::Free(handle) => handle.is_finished(),
            Kind::Enlisted(enlisted) => enlisted.has_left(),
        }
    }

    /// Waits for its end; the error is its panic.
    pub(crate) fn join(self) -> thread::Result<()> {
        match self.0 {
            Kind::Free(handle) => handle.join(),
            Kind::Enlisted(enlisted) => enlisted.join(),
        }
    }
}
