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
mod handle;
mod layering;
mod lifecycle;
mod promise;
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
