//! The black-box tests: one binary, a module a subject.

#[cfg(feature = "signals")]
mod checksum;
#[cfg(unix)]
#[cfg(feature = "signals")]
mod signals;
mod deadline;
mod support;
