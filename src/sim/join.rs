//! Joining a thread of a simulation.

use crate::sim::scheduler::WaitsFor;
use crate::sim::simulator::Simulator;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

pub(crate) struct SimJoinHandle {
    sim: Arc<Simulator>,
    id: u64,
    handle: JoinHandle<()>,
}

impl SimJoinHandle {
    pub(crate) fn new(sim: Arc<Simulator>, id: u64, handle: JoinHandle<()>) -> Self {
        Self { sim, id, handle }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.sim.has_ended(self.id)
    }

    /// Waits for the end of the thread. The operating system's join comes after the thread has
    /// left the simulation, so it holds up no turn.
    pub(crate) fn join(self) -> thread::Result<()> {
        let mut first = true;
        while !self.is_finished() {
            self.sim.block_on(first, None, WaitsFor::End(self.id));
            first = false;
        }
        self.handle.join()
    }
}
