//! The options of a pool, their defaults, and what they may be. Set by the builder, read by the core.
//!
//! Layer 3.

use crate::clock::Clock;
use crate::error::BuildError;
use crate::here;
use crate::panic::TaskPanic;
use crate::task::Current;
use std::sync::Arc;

pub(crate) type TaskHook = Arc<dyn Fn(&Current, &mut dyn FnMut()) + Send + Sync>;
pub(crate) type WorkerHook = Arc<dyn Fn(usize) + Send + Sync>;
type PanicHook = Arc<dyn Fn(&TaskPanic) + Send + Sync>;

/// What a full queue does with a submission from outside.
///
/// ```
/// use millhand::{OnFull, Rejection, ThreadPool};
/// # use std::sync::mpsc::channel;
///
/// let pool = ThreadPool::builder().workers(1).queue_capacity(1).on_full(OnFull::Reject).build()?;
/// # let (tell, told) = channel();
/// # let (hold, held) = channel::<()>();
/// pool.execute(move || {
///     // busy for a while
///     # tell.send(()).unwrap();
///     # let _ = held.recv();
/// })?;
/// # told.recv()?;
/// pool.execute(|| println!("takes the place in the queue"))?;
/// let refused = pool.execute(|| println!("too many")).unwrap_err();
/// assert_eq!(refused.reason(), Rejection::Full);
/// # drop(hold);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnFull {
    /// Submitters wait for a place.
    #[default]
    Block,
    /// Submissions are refused.
    Reject,
}

/// The options, with their defaults. Written here, set by the builder below, read by the core.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) workers: usize,
    pub(crate) clock: Clock,
    pub(crate) name_prefix: String,
    pub(crate) stack_size: usize,
    pub(crate) queue_capacity: Option<usize>,
    pub(crate) on_full: OnFull,
    pub(crate) max_spares: usize,
    pub(crate) around_task: Option<TaskHook>,
    pub(crate) on_worker_start: Option<WorkerHook>,
    pub(crate) on_worker_stop: Option<WorkerHook>,
    pub(crate) on_unread_panic: Option<PanicHook>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            clock: here::clock(),
            name_prefix: "millhand".to_owned(),
            stack_size: 2 << 20,
            queue_capacity: None,
            on_full: OnFull::default(),
            max_spares: 256,
            around_task: None,
            on_worker_start: None,
            on_worker_stop: None,
            on_unread_panic: None,
        }
    }
}

const MAX_WORKERS: usize = 65_536;
const MIN_STACK: usize = 64 << 10;

impl Options {
    pub(crate) fn waits_when_full(&self) -> bool {
        self.on_full == OnFull::Block
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let refuse = |option, allowed| Err(BuildError::Invalid { option, allowed });
        check_workers(self.workers)?;
        if self.name_prefix.contains('\0') {
            return refuse("name_prefix", "a text without NUL characters");
        }
        if self.stack_size < MIN_STACK {
            return refuse("stack_size", "at least 65,536 bytes");
        }
        if self.queue_capacity == Some(0) {
            return refuse(
                "queue_capacity",
                "at least 1 (leave it out for an unbounded queue)",
            );
        }
        if self.max_spares > MAX_WORKERS {
            return refuse("max_spares", "from 0 to 65,536");
        }
        Ok(())
    }
}

pub(crate) fn check_workers(workers: usize) -> Result<(), BuildError> {
    if (1..=MAX_WORKERS).contains(&workers) {
        return Ok(());
    }
    Err(BuildError::Invalid {
        option: "workers",
        allowed: "from 1 to 65,536",
    })
}
