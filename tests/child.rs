//! The tests of child processes, in a binary of their own: they ask for a feature that is not a default one.

#![cfg(unix)]

#[path = "it/child.rs"]
mod child;
#[path = "it/handle.rs"]
mod handle;
#[path = "it/interrupted.rs"]
mod interrupted;
#[path = "it/manual.rs"]
mod manual;
#[path = "it/support.rs"]
mod support;
