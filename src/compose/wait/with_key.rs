//! Handles with a key, by which the program knows the task.
//!
//! Layer: compose.

use crate::compose::wait::handles::{Handle, Link};
use crate::error::TaskError;
use crate::task::{SharedHandle, TaskHandle};

/// A handle with a key: a path, a number, whatever the program knows the task by.
/// [`as_completed`](crate::as_completed) returns it with the outcome. Made by
/// [`TaskHandle::with_key`] and its like.
///
/// ```
/// use millhand::{ThreadPool, as_completed};
/// use std::fs;
///
/// let pool = ThreadPool::new(2)?;
/// let paths = ["Cargo.toml", "README.md"];
/// let reads = paths.map(|path| pool.submit(move || fs::read(path)).with_key(path));
/// for (path, text) in as_completed(reads) {
///     println!("{path}: {} bytes", text??.len());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
#[derive(Clone, Debug)]
#[must_use = "dropping it drops the handle"]
pub struct WithKey<K, H> {
    key: K,
    handle: H,
}

impl<K, H> WithKey<K, H> {
    pub(crate) fn new(key: K, handle: H) -> Self {
        Self { key, handle }
    }

    /// Returns the key.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| 7).with_key("seven");
    /// assert_eq!(*handle.key(), "seven");
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Returns the handle, for all that needs no key.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| 7).with_key("seven");
    /// handle.handle().wait()?;
    /// assert!(handle.handle().is_finished());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn handle(&self) -> &H {
        &self.handle
    }

    /// Takes both apart.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| 7).with_key("seven");
    /// let (key, handle) = handle.into_parts();
    /// assert_eq!((key, handle.join()?), ("seven", 7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_parts(self) -> (K, H) {
        (self.key, self.handle)
    }
}
impl<K, H: Handle> Handle for WithKey<K, H> {
    type Output = H::Output;
    type Key = K;

    fn link(&self) -> Link {
        self.handle.link()
    }

    fn outcome(self) -> Result<H::Output, TaskError> {
        self.handle.outcome()
    }

    fn keyed_outcome(self, _: usize) -> (K, Result<H::Output, TaskError>) {
        (self.key, self.handle.outcome())
    }
}

macro_rules! with_key {
    ([$($generics:tt)*] $handle:ty) => {
        impl<$($generics)*> $handle {
            /// Gives the handle a key, which [`as_completed`](crate::as_completed) returns with the
            /// outcome; see [`WithKey`](crate::compose::WithKey).
            pub fn with_key<K>(self, key: K) -> $crate::compose::wait::WithKey<K, Self> {
                $crate::compose::wait::WithKey::new(key, self)
            }
        }
    };
}

pub(crate) use with_key;

with_key!([T] TaskHandle<T>);
with_key!([T] SharedHandle<T>);
