//! A gate for each key.
//!
//! Layer: limit.
//
// A gate is kept while it is in use (by a handle, a task or a template that has it), or while a
// new one in its place would behave differently (tokens that have not come back yet). Idle gates
// are removed slice by slice: after every `CALLS` calls of `key`, the next `SLICE` keys are looked
// at. So no call holds up the others for long, and a large number of keys that were used once is
// gone after half as many calls.
//
// The keys' own `Eq` runs with the map locked, as in any concurrent map: a key whose `Eq` uses the
// same map deadlocks. No key is dropped, cloned or hashed with the map locked.

use crate::limit::gate::{Gate, GateQueue};
use crate::sync::Mutex;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// Limits each key by itself: one gate per key, made when the key is first asked for.
///
/// It is made by [`RateLimiter::keyed`](crate::RateLimiter::keyed),
/// [`Semaphore::keyed`](crate::Semaphore::keyed) and [`Lanes::new`](crate::limit::Lanes::new).
/// Clones are the same map. Tasks of one key never wait for those of another.
///
/// A gate is forgotten when nothing uses it and a new one would behave the same. This happens as
/// other keys are asked for. If the key is asked for again, it gets
/// a new gate (a token bucket with its initial tokens). So the memory in use grows with the keys
/// that are busy, not with all keys ever seen. A gate whose rate or number of permits was changed
/// is never forgotten.
///
/// `Eq` of the key runs with the map locked, and must not use the map.
///
/// ```
/// use millhand::{RateLimiter, ThreadPool};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(4)?;
/// let per_host = RateLimiter::keyed(RateLimiter::token_bucket(5, Duration::from_secs(1)))?;
/// let fetch = |host: &'static str| pool.task().gate(&per_host.key(host)).submit(move || host.len());
/// assert_eq!(fetch("example.org").join()? + fetch("example.net").join()?, 22);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [limits](crate::guide::limits).
pub struct Keyed<K, G> {
    shared: Arc<Shared<K, G>>,
}

struct Shared<K, G> {
    make: Box<dyn Fn() -> G + Send + Sync>,
    hasher: RandomState,
    keys: Mutex<Keys<K, G>>,
}

struct Keys<K, G> {
    /// By the hash of the key, so that a key can be looked for in its borrowed form.
    gates: HashMap<u64, Vec<(K, G)>>,
    /// The same gates, in any order, to be looked at slice by slice.
    list: Vec<(u64, Arc<GateQueue>)>,
    /// Where the next slice begins.
    next: usize,
    /// Calls of `key` since the last slice.
    calls: usize,
}

/// After so many calls a slice is looked at.
const CALLS: usize = 32;

/// How many keys are looked at with the map locked. Twice `CALLS`, so that looking keeps up with
/// keys that are new.
const SLICE: usize = 64;

impl<K: Hash + Eq, G: Gate + Clone> Keyed<K, G> {
    pub(crate) fn with(make: impl Fn() -> G + Send + Sync + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                make: Box::new(make),
                hasher: RandomState::new(),
                keys: Mutex::new(Keys {
                    gates: HashMap::new(),
                    list: Vec::new(),
                    next: 0,
                    calls: 0,
                }),
            }),
        }
    }

    /// Returns the gate of `key`. Makes one if the key has none.
    ///
    /// ```
    /// let locks = millhand::Semaphore::keyed(1)?;
    /// let permit = locks.key("report").try_acquire().unwrap();
    /// assert_eq!(locks.key("report").available(), 0);
    /// # drop(permit);
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn key(&self, key: K) -> G {
        let hash = self.shared.hasher.hash_one(&key);
        let known = self.find(hash, &key);
        known.unwrap_or_else(|| self.insert(hash, key))
    }

    /// Returns the gate of a key in its borrowed form, such as a `&str` for a `String`. Makes one,
    /// and the owned key, if the key has none.
    ///
    /// ```
    /// use millhand::{RateLimiter, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(2)?;
    /// let bucket = RateLimiter::token_bucket(5, Duration::from_secs(1));
    /// let per_host = RateLimiter::keyed::<String>(bucket)?;
    /// let host: &str = "example.org"; // a part of a text, say
    /// pool.task().gate(&per_host.key_ref(host)).execute(|| ());
    /// assert_eq!(per_host.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn key_ref<Q>(&self, key: &Q) -> G
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        let hash = self.shared.hasher.hash_one(key);
        let known = self.find(hash, key);
        known.unwrap_or_else(|| self.insert(hash, key.to_owned()))
    }

    fn find<Q>(&self, hash: u64, key: &Q) -> Option<G>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        // Dropped in reverse order, also when `Eq` panics: the lock before any key.
        let mut evicted = Vec::new();
        let mut keys = self.shared.keys.lock();
        keys.calls += 1;
        if keys.calls == CALLS {
            keys.calls = 0;
            let from = keys.next;
            let next = keys.evict(from, &mut evicted);
            keys.next = next.unwrap_or(0);
        }
        keys.find(hash, key)
    }

    /// Another thread may have made the gate in between.
    #[cold]
    fn insert(&self, hash: u64, key: K) -> G {
        let fresh = (self.shared.make)();
        let mut keys = self.shared.keys.lock();
        if let Some(gate) = keys.find(hash, &key) {
            return gate;
        }
        let gate = fresh.clone();
        keys.list.push((hash, gate.queue().0.clone()));
        keys.gates.entry(hash).or_default().push((key, fresh));
        gate
    }

    /// Returns how many keys have a gate.
    ///
    /// ```
    /// let lanes = millhand::limit::Lanes::new();
    /// let _ = (lanes.key("ann"), lanes.key("bob"));
    /// assert_eq!(lanes.len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.shared.keys.lock().list.len()
    }

    /// Returns whether no key has a gate.
    ///
    /// ```
    /// assert!(millhand::limit::Lanes::<u32>::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K, G: Gate + Clone> Keys<K, G> {
    fn find<Q>(&self, hash: u64, key: &Q) -> Option<G>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut gates = self.gates.get(&hash)?.iter();
        let (_, gate) = gates.find(|(known, _)| known.borrow() == key)?;
        Some(gate.clone())
    }

    /// Removes the idle gates of the slice that begins at `from`, and leaves them to the caller to
    /// drop. Returns where the next slice begins, if there is one.
    fn evict(&mut self, from: usize, evicted: &mut Vec<(K, G)>) -> Option<usize> {
        let mut at = from;
        for _ in 0..SLICE {
            let Some((hash, gate)) = self.list.get(at) else {
                break;
            };
            if !is_idle(gate) {
                at += 1;
                continue;
            }
            if let Entry::Occupied(mut known) = self.gates.entry(*hash) {
                let gates = known.get_mut();
                let is_this = |(_, one): &(K, G)| Arc::ptr_eq(one.queue().0, gate);
                let place = gates.iter().position(is_this);
                evicted.extend(place.map(|place| gates.swap_remove(place)));
                if gates.is_empty() {
                    known.remove();
                }
            }
            self.list.swap_remove(at);
        }
        // By the list: the map does not say how much room it has, which its removed keys occupy.
        if SLICE < self.list.capacity() && self.list.len() < self.list.capacity() / 4 {
            self.gates.shrink_to(2 * self.gates.len());
            self.list.shrink_to(2 * self.list.len());
        }
        (at < self.list.len()).then_some(at)
    }
}

/// Whether only the map has this gate, in two places, and a new one would behave the same.
fn is_idle(gate: &Arc<GateQueue>) -> bool {
    Arc::strong_count(gate) == 2 && gate.is_fresh()
}

impl<K, G> Clone for Keyed<K, G> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<K, G> fmt::Debug for Keyed<K, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("keys", &self.shared.keys.lock().list.len())
            .finish_non_exhaustive()
    }
}
