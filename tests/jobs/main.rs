//! Durable jobs, from outside.

mod memory;
