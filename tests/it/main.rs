//! The black-box tests: one binary, a module a subject.

mod allocations;
mod bounded;
mod broadcast;
mod builder;
mod cancel;
#[cfg(feature = "signals")]
mod checksum;
#[cfg(feature = "signals")]
mod consumer;
mod context;
mod deadline;
#[cfg(unix)]
mod fork;
mod found;
mod future;
mod gate_kit;
mod handle;
mod lanes;
mod lanes_order;
mod layering;
mod lifecycle;
mod promise;
mod rate_limiter;
mod rate_limiter_in_tasks;
mod rate_limiter_starts;
mod semaphore;
mod shared;
mod shutdown;
#[cfg(unix)]
#[cfg(feature = "signals")]
mod signals;
mod sizes;
mod stress;
mod submit;
mod support;
mod waits;
