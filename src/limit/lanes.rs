//! Keyed lanes, as their users hold them.
//!
//! Layer 4: a gate a key, at which one passes after the other.

use crate::clock::Clock;
use crate::gate::{Claim, Gate, Nature, Turns};
use crate::limit::gates::{self, Asked, Gates};
use crate::limit::keyed::{Kept, Keyed};
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

const ORDERED: Nature = Nature {
    timed: false,
    returns: true,
    ordered: true,
};

/// One after the other for each key, in the order of submission whatever the priority; different keys side by side. For
/// what must not be overtaken: the changes of one customer, the writes to one file.
///
/// A task holds its key through all its attempts, so a retry is not overtaken, either. With a delay it takes its place when
/// it is due. Lanes go by no clock: a pool with any takes them. A task that hangs beyond its `total_timeout` holds its key until its body returns.
///
/// ```
/// use millhand::{Lanes, ThreadPool};
/// use std::sync::{Arc, Mutex};
///
/// let pool = ThreadPool::new(4)?;
/// let accounts = Lanes::new();
/// let log = Arc::new(Mutex::new(Vec::new()));
/// for n in 0..10 {
///     let log = log.clone();
///     pool.task().gate(&accounts.key("ann")).execute(move || log.lock().unwrap().push(n))?;
/// }
/// pool.wait_idle()?;
/// assert_eq!(*log.lock().unwrap(), (0..10).collect::<Vec<_>>());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Lanes<K> = Keyed<K, Lane>;

impl<K: Hash + Eq> Lanes<K> {
    /// Without keys yet.
    ///
    /// ```
    /// let lanes = millhand::Lanes::<u32>::new();
    /// assert!(lanes.is_empty());
    /// ```
    // `Default` would promise one for every kind of `Keyed`.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Keyed::with(|| Lane {
            gate: Gate::new(Clock::system(), ORDERED, Box::<Turns>::default()),
        })
    }
}

/// The lane of one key, from [`Lanes`].
///
/// ```
/// use millhand::{Lane, Lanes};
///
/// let lanes = Lanes::new();
/// let ann: Lane = lanes.key("ann");
/// assert_eq!(ann.waiting(), 0);
/// ```
#[derive(Clone)]
pub struct Lane {
    gate: Arc<Gate>,
}

impl Lane {
    fn claim(&self) -> Claim {
        Claim {
            gate: self.gate.clone(),
            weight: 1,
        }
    }

    /// How many tasks of this key have come to run and wait for their turn.
    ///
    /// ```
    /// assert_eq!(millhand::Lanes::new().key(7).waiting(), 0);
    /// ```
    pub fn waiting(&self) -> usize {
        self.gate.waiting()
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

impl Gates for Lane {
    fn asks(&self) -> Asked {
        Asked(self.claim())
    }
}

impl gates::Gate for Lane {}

impl Kept for Lane {
    fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }
}
