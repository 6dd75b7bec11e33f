//! A held worker: what is submitted to its pool stays in the queue.

use crate::contenders::Pool;
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// Keeps the pool's one worker busy until it is released.
pub struct Hold(Arc<AtomicBool>);

impl Hold {
    /// Returns when the worker waits. The worker spins, so that it goes on at once when it is
    /// released: the time to wake it is not measured.
    pub fn spinning(pool: &impl Pool) -> Self {
        Self::by(pool, spin_loop)
    }

    /// Like the above, but the worker naps and takes no processor time meanwhile.
    pub fn napping(pool: &impl Pool) -> Self {
        Self::by(pool, || sleep(Duration::from_millis(1)))
    }

    fn by(pool: &impl Pool, wait: fn()) -> Self {
        let [held, let_go] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let flags = (held.clone(), let_go.clone());
        pool.execute(move || {
            // ORDERING: pairs with the load of `held` in the main thread.
            flags.0.store(true, Ordering::Release);
            // ORDERING: pairs with the store in `let_go`.
            while !flags.1.load(Ordering::Acquire) {
                wait();
            }
        });
        // ORDERING: pairs with the store of `held` by the worker.
        while !held.load(Ordering::Acquire) {
            spin_loop();
        }
        Self(let_go)
    }

    pub fn let_go(self) {
        // ORDERING: pairs with the load by the worker.
        self.0.store(true, Ordering::Release);
    }
}
