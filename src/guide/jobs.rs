//! Durable jobs: tasks that outlive the process, with the feature `jobs`.
//!
//! A task of a pool is a closure, and dies with its process. A job is a value that is stored: it is
//! there after a crash, another process can run it, and it can wait for days.
