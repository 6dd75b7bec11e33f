//! The roll of the pools of this process: a handle knows its pool by the tag alone.
//!
//! Layer 3.

use parking_lot::Mutex;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

type Listed = Weak<dyn Any + Send + Sync>;

static POOLS: Mutex<BTreeMap<u32, Listed>> = Mutex::new(BTreeMap::new());

/// A pool's entry; dropped with the pool.
pub(crate) struct Entry(u32);

impl Entry {
    pub(crate) fn new<P: Any + Send + Sync>(owner: u32, pool: &Weak<P>) -> Self {
        POOLS.lock().insert(owner, pool.clone());
        Self(owner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let pool = POOLS.lock().remove(&self.0);
        drop(pool);
    }
}

/// The pool with this tag, unless it is gone.
pub(crate) fn find(owner: u32) -> Option<Arc<dyn Any + Send + Sync>> {
    let pool = POOLS.lock().get(&owner).cloned();
    pool?.upgrade()
}
