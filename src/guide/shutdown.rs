//! Shutdown: how a pool ends, what becomes of each task, and what the report says.
