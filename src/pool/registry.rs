//! The pools of this process by their tags. A handle knows its pool by the tag alone.

use crate::clock::Clock;
use crate::pool::core::Core;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::sync::{Arc, Weak};

static POOLS: Mutex<Vec<(u32, Weak<Core>)>> = Mutex::new(Vec::new());

thread_local! {
    /// The pool that this thread found last, so that a chain of continuations does not take the
    /// lock of the whole process once per task.
    static LAST: RefCell<Option<(u32, Weak<Core>)>> = const { RefCell::new(None) };
}

/// A pool's entry; dropped with the pool.
pub(crate) struct Registered(u32);

impl Registered {
    pub(crate) fn new(owner: u32, pool: &Weak<Core>) -> Self {
        POOLS.lock().push((owner, pool.clone()));
        Self(owner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut pools = POOLS.lock();
        let at = pools.iter().position(|(tag, _)| *tag == self.0);
        let pool = at.map(|at| pools.swap_remove(at));
        drop(pools);
        drop(pool);
    }
}

/// All pools of this process that use a clock.
pub(crate) fn with_clock(clock: &Clock) -> Vec<Arc<Core>> {
    let pools = POOLS.lock();
    let all: Vec<_> = pools.iter().map(|(_, pool)| pool.clone()).collect();
    drop(pools);
    let all = all.iter().filter_map(Weak::upgrade);
    all.filter(|pool| pool.clock().is(clock) && !pool.is_foreign())
        .collect()
}

/// The pool with this tag, unless it is gone.
pub(crate) fn find(owner: u32) -> Option<Arc<Core>> {
    let last = LAST.try_with(|last| match &*last.borrow() {
        Some((tag, pool)) if *tag == owner => pool.upgrade(),
        _ => None,
    });
    if let Ok(Some(pool)) = last {
        return Some(pool);
    }
    let pools = POOLS.lock();
    let pool = pools.iter().find(|(tag, _)| *tag == owner);
    let pool = pool.map(|(_, pool)| pool.clone())?;
    drop(pools);
    let _ = LAST.try_with(|last| last.replace(Some((owner, pool.clone()))));
    pool.upgrade()
}
