//! A gate for each key.
//!
//! Layer 4.
//
// A key's gate is kept while somebody has it (a handle, a task that is given it) or while forgetting it would change
// something (tokens not yet back). The idle ones are swept out after as many calls of `key` as the sweep before has left
// keys, so a call costs a constant, and a crowd of keys that came once is gone after as many calls.
//
// The key's own code runs without a lock: hashing before it is taken, comparing after it was let go. So the map goes
// from hashes to the few keys that have it; who finds that a bucket has changed while he compared looks once more.

use crate::gate::Gate;
use crate::sync::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

/// What can be had a key.
pub(crate) trait Kept: Clone {
    fn gate(&self) -> &Arc<Gate>;
}

/// A gate for each key, made when the key is first asked for and forgotten when it is idle: from
/// [`RateLimiter::keyed`](crate::RateLimiter::keyed), [`Semaphore::keyed`](crate::Semaphore::keyed) and
/// [`Lanes::new`](crate::Lanes::new). Clones are the same.
///
/// One key never holds another one up. A key that nobody uses, and whose gate is as a new one would be, is forgotten as other
/// keys are asked for, or by [`evict`](Self::evict): after that it starts anew (a token bucket with the initial tokens that were
/// given). One whose rate or number of permits was changed is kept.
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
pub struct Keyed<K, G> {
    shared: Arc<Shared<K, G>>,
}

struct Shared<K, G> {
    hasher: RandomState,
    make: Box<dyn Fn() -> G + Send + Sync>,
    keys: Mutex<Keys<K, G>>,
}

struct Keys<K, G> {
    /// The entries of a hash; replaced as a whole when one comes or goes.
    entries: HashMap<u64, Bucket<K, G>>,
    len: usize,
    /// Calls since the last sweep, and what that left.
    calls: usize,
    kept: usize,
}

type Bucket<K, G> = Arc<Vec<Arc<Entry<K, G>>>>;

struct Entry<K, G> {
    key: K,
    value: G,
}

/// So many keys are not worth a sweep.
const SWEEP_FROM: usize = 64;

#[allow(private_bounds)]
impl<K: Hash + Eq, G: Kept> Keyed<K, G> {
    pub(crate) fn with(make: impl Fn() -> G + Send + Sync + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                hasher: RandomState::new(),
                make: Box::new(make),
                keys: Mutex::new(Keys {
                    entries: HashMap::new(),
                    len: 0,
                    calls: 0,
                    kept: 0,
                }),
            }),
        }
    }

    /// The gate of `key`.
    ///
    /// ```
    /// let locks = millhand::Semaphore::keyed(1)?;
    /// let permit = locks.key("report").try_acquire().unwrap();
    /// assert_eq!(locks.key("report").available(), 0);
    /// # drop(permit);
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn key(&self, key: K) -> G {
        let Shared { hasher, make, keys } = &*self.shared;
        let hash = hasher.hash_one(&key);
        let mut new = None;
        let (value, swept) = loop {
            let mut locked = keys.lock();
            locked.calls += 1;
            let bucket = locked.entries.get(&hash).cloned();
            drop(locked);
            let known = bucket.iter().flat_map(|bucket| bucket.iter());
            if let Some(entry) = known.clone().find(|entry| entry.key == key) {
                let value = entry.value.clone();
                break (value, self.sweep());
            }
            let value = new.take().unwrap_or_else(make);
            let mut locked = keys.lock();
            let now = locked.entries.get(&hash);
            let is_unchanged = match (&bucket, now) {
                (None, None) => true,
                (Some(then), Some(now)) => Arc::ptr_eq(then, now),
                _ => false,
            };
            if !is_unchanged {
                drop(locked);
                new = Some(value);
                continue;
            }
            let entry = Arc::new(Entry {
                key,
                value: value.clone(),
            });
            let more = known.cloned().chain([entry]).collect();
            locked.entries.insert(hash, Arc::new(more));
            locked.len += 1;
            drop(locked);
            break (value, self.sweep());
        };
        drop(swept);
        value
    }

    /// Takes the idle keys out if it is time to; they are the caller's to drop.
    fn sweep(&self) -> Vec<Bucket<K, G>> {
        let mut keys = self.shared.keys.lock();
        if keys.calls < keys.kept.max(SWEEP_FROM) {
            return Vec::new();
        }
        keys.evict()
    }

    /// Forgets the keys that are idle now. This happens by itself as keys are asked for.
    ///
    /// ```
    /// let locks = millhand::Semaphore::keyed(1)?;
    /// let permit = locks.key(1).try_acquire();
    /// let _ = locks.key(2).try_acquire(); // and given back
    /// locks.evict();
    /// assert_eq!(locks.len(), 1);
    /// # drop(permit);
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn evict(&self) {
        let evicted = self.shared.keys.lock().evict();
        drop(evicted);
    }

    /// How many keys it knows.
    ///
    /// ```
    /// let lanes = millhand::Lanes::new();
    /// let _ = (lanes.key("ann"), lanes.key("bob"));
    /// assert_eq!(lanes.len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.shared.keys.lock().len
    }

    /// Whether it knows none.
    ///
    /// ```
    /// assert!(millhand::Lanes::<u32>::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K, G: Kept> Keys<K, G> {
    fn evict(&mut self) -> Vec<Bucket<K, G>> {
        self.calls = 0;
        let mut evicted = Vec::new();
        self.entries.retain(|_, bucket| {
            // One that is being compared with just now, or has company, waits for the next sweep.
            let is_idle = Arc::strong_count(bucket) == 1
                && bucket.iter().all(|entry| {
                    let gate = entry.value.gate();
                    Arc::strong_count(entry) == 1 && Arc::strong_count(gate) == 1 && gate.is_fresh()
                });
            if is_idle {
                evicted.push(bucket.clone());
            }
            !is_idle
        });
        self.len -= evicted.iter().map(|bucket| bucket.len()).sum::<usize>();
        self.kept = self.len;
        if self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to_fit();
        }
        evicted
    }
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
            .field("keys", &self.shared.keys.lock().len)
            .finish_non_exhaustive()
    }
}
