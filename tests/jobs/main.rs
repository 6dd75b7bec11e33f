//! Durable jobs, from outside.

#[cfg(feature = "conformance")]
mod conformance;
mod consumer;
#[cfg(feature = "sqlite")]
mod consumer_sqlite;
#[cfg(all(unix, feature = "sqlite"))]
mod crash;
mod faulty;
mod lease;
mod lines;
mod memory;
#[cfg(feature = "dashboard")]
mod panel;
#[cfg(all(unix, feature = "redis"))]
mod redis;
#[cfg(all(unix, feature = "redis", feature = "sqlite"))]
mod redis_crash;
#[cfg(all(unix, feature = "redis"))]
mod redis_server;
#[cfg(all(target_os = "linux", feature = "redis-tls"))]
mod redis_tls;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "sqlite", all(unix, feature = "redis")))]
mod steps;
#[cfg(feature = "sqlite")]
mod support;
#[cfg(feature = "conformance")]
mod wrong_storages;
