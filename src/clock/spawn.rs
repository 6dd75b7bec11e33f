//! Starting the threads of the library. In a simulation they belong to the simulation.

use crate::clock::Clock;
use crate::sim::SimJoinHandle;
use std::io;
use std::thread::{self, JoinHandle};

pub(crate) struct Thread(Kind);

enum Kind {
    Free(JoinHandle<()>),
    Simulated(SimJoinHandle),
}

/// Starts a thread, in the simulation of `clock` if it has one. Without a `stack_size` the thread
/// has the system's default.
pub(crate) fn spawn(
    clock: &Clock,
    name: String,
    stack_size: Option<usize>,
    f: Box<dyn FnOnce() + Send>,
) -> io::Result<Thread> {
    if let Some(sim) = clock.simulated() {
        let handle = sim.spawn(name, stack_size, f)?;
        return Ok(Thread(Kind::Simulated(handle)));
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
            Kind::Simulated(handle) => handle.is_finished(),
        }
    }

    #[cfg(feature = "dashboard")]
    pub(crate) fn is_current(&self) -> bool {
        match &self.0 {
            Kind::Free(handle) => handle.thread().id() == thread::current().id(),
            Kind::Simulated(_) => false,
        }
    }

    /// Waits for its end. The error is the payload of its panic.
    pub(crate) fn join(self) -> thread::Result<()> {
        match self.0 {
            Kind::Free(handle) => handle.join(),
            Kind::Simulated(handle) => handle.join(),
        }
    }
}
