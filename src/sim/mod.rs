//! The simulation: threads that run one at a time, and a time that passes only when none of them can go on.

mod baton;
mod hand;
mod stuck;
mod trace;
mod turns;
mod world;

pub use trace::TraceEntry;

pub(crate) use world::{Enlisted, Pool, Sim, here, pause, poll};
