//! Durable jobs, from outside.

#[cfg(feature = "conformance")]
mod conformance;
mod consumer;
mod faulty;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "conformance")]
mod wrong_storages;
