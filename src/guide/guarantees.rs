//! Guarantees: what always holds, and where each of them ends.
//!
//! **A task** that was accepted is settled exactly once: its handle returns the value, or the
//! reason why there is none. A closure that is refused is returned to the caller, or its handle
//! settles as `Rejected`, or the refusal is logged. No closure is dropped silently;
//! [`errors`](super::errors) says where each failure goes.
//!
//! **A panic** in a task settles its handle with the message, the name of the task and the place
//! where it was submitted. The worker survives. With `panic = "abort"` nothing can be caught: the
//! process ends.
//!
//! **Waiting on a worker** cannot deadlock the pool. A body that waits in the library releases its
//! run slot, so a pool of one worker can run tasks that submit and join tasks, a thousand deep.
//! What a body submits runs before older tasks from outside. So any backlog of tasks that wait for
//! their children finishes, by whatever wait, and not with a thread per task. Its limits:
//!
//! - A wait for one task that could never end (two tasks that join each other) returns
//!   [`WouldDeadlock`](crate::TaskError::WouldDeadlock), also across pools. A wait for any of
//!   several, or for the results of a pipeline, does not see such a circle.
//! - Two pools whose bodies wait for each other's tasks stand still once both have as many waiting
//!   bodies as their [`max_threads`](crate::pool::PoolBuilder::max_threads) allow, 256 by default.
//! - The library cannot see foreign locks and channels. Wait for them inside
//!   [`blocking`](crate::blocking), and make sure yourself that they form no circle. The same holds
//!   for permits: a body that holds the last permit and joins a task that needs it waits for ever.
//!
//! **Order.** Tasks from outside with equal priority start first in, first out. What a body of the
//! pool submits comes before them: what a deeper body submitted first, then the higher priority,
//! then the older one. A body that submits itself again and again keeps neither tasks from outside
//! nor those of other bodies from running. An endless load of ever deeper tasks that wait may do
//! so.
//!
//! **A permit** of a semaphore or a lane is returned when the body has returned, in whatever way:
//! it succeeded, failed, panicked, left after a cancellation, or exceeded its time limit. A body
//! that hangs keeps its permit, since it still runs.
//!
//! **A cancel** asks; it does not force. A queued task is settled at once. A running body sees that
//! its token is cancelled, in [every wait of the library](super::cancelling) and wherever it asks.
//! What it returns is kept, unless that is a failure.
//!
//! **What is lost, and when:**
//!
//! | event | running tasks | queued tasks |
//! | --- | --- | --- |
//! | `drop(pool)` (unless the builder's `on_drop` says otherwise), `Shutdown::drain()` | run to their end, retries included | run to their end; tasks that are not due yet are cancelled and named in the report, unless `.including_delayed()` |
//! | `pool.close()`, which does not wait | run to their end | run to their end, tasks that are not due yet included, unless a shutdown follows |
//! | `.cancel_after(d)`, `Shutdown::cancel()` | are asked to stop, and waited for | are cancelled, and counted in the report |
//! | `.give_up_after(d)` | are named in the report, and not waited for | are cancelled, and counted in the report |
//! | the first signal, with `run_until` or `shutdown_on` | as the given `Shutdown` says | as the given `Shutdown` says |
//! | the second signal | are asked to stop, and waited for | are cancelled |
//! | the third signal | are lost: the process exits with code 130 | are lost |
//! | the process is killed | are lost: the queue is in memory | are lost |
//!
//! **After a fork** a child process has no workers. A wait for them returns an error. Build a new
//! pool in the child.
//!
//! **`unsafe`** is in one file, the one for scopes, with the argument beside it.
