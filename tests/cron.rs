//! The tests of cron, in a binary of their own: they ask for a feature that is not a default one.

#[path = "it/cron.rs"]
mod cron;
#[path = "it/cron_changes.rs"]
mod cron_changes;
#[path = "it/every.rs"]
mod every;
#[path = "it/manual.rs"]
mod manual;
#[path = "it/support.rs"]
mod support;
