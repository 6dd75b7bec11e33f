//! A worker that is held up, so that what is sent to it queues.

use crate::contenders::Pool;
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// The pool's one worker is busy with this until it is let go.
pub struct Hold(Arc<AtomicBool>);

impl Hold {
    /// Returns when the worker has begun to wait. It spins, so that it is there at once when it is let go: waking up is not
    /// what is measured.
    pub fn spinning(pool: &impl Pool) -> Self {
        Self::by(pool, spin_loop)
    }

    /// It naps, so that it takes no processor meanwhile.
    pub fn napping(pool: &impl Pool) -> Self {
        Self::by(pool, || sleep(Duration::from_millis(1)))
    }

    fn by(pool: &impl Pool, wait: fn()) -> Self {
        let [held, let_go] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let flags = (held.clone(), let_go.clone());
        pool.execute(move || {
            flags.0.store(true, Ordering::Release);
            while !flags.1.load(Ordering::Acquire) {
                wait();
            }
        });
        while !held.load(Ordering::Acquire) {
            spin_loop();
        }
        Self(let_go)
    }

    pub fn let_go(self) {
        self.0.store(true, Ordering::Release);
    }
}
