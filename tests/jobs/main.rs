//! Durable jobs, from outside.

#[cfg(feature = "conformance")]
mod conformance;
mod memory;
