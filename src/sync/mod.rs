//! What the rest stands on. `facade`: locks and atomics, loom's in its models. `spin`, `counters`,
//! `trampoline`, `number_map`. `deadline_queue`, `manual_time`, `waiter`: what clocks are made of.

pub(crate) mod counters;
pub(crate) mod deadline_queue;
mod facade;
pub(crate) mod manual_time;
pub(crate) mod number_map;
mod spin;
pub(crate) mod trampoline;
pub(crate) mod waiter;

pub(crate) use facade::{
    AtomicCell, Condvar, Mutex, MutexGuard, OnceLock, atomic, channel, plain, thread_local,
};
pub(crate) use spin::{let_gather, spin, spin_if_it_pays};
