//! What the templates of a scope submit.
//!
//! Layer: compose.

use crate::compose::scope::body::once;
use crate::compose::scope::gather::GatherScope;
use crate::compose::scope::handle::ScopedHandle;
use crate::compose::scope::scope::Scope;
use crate::error::BoxError;
use crate::pool::{Fallible, Plain, Retrying, TaskBuilder};
use crate::task::group_error::{by_box, by_text};
use std::fmt::Display;
use std::panic::Location;

impl<'scope> TaskBuilder<Plain, &'scope Scope<'scope, '_>> {
    /// Submits a task that may borrow; see [`Scope::submit`].
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let text = String::from("7");
    /// pool.scope(|s| {
    ///     let urgent = s.task().priority(1).submit(|| text.parse::<u8>());
    ///     assert_eq!(urgent.join().unwrap(), Ok(7));
    /// });
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn submit<F, T>(&self, f: F) -> ScopedHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let (_, spec) = self.parts();
        self.place().submit_plain(Location::caller(), spec, f)
    }

    /// Submits a task that may borrow, without a handle; see [`Scope::execute`].
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let mut row = [3, 1, 2];
    /// pool.scope(|s| s.task().name("sort").execute(|| row.sort()));
    /// assert_eq!(row, [1, 2, 3]);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn execute<F: FnOnce() + Send + 'scope>(&self, f: F) {
        self.submit(f);
    }

    /// Submits a task that may borrow and may fail, without a handle: an `Err` is logged, and
    /// counted as a failure.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let drafts = vec![String::from("no such file")];
    /// pool.scope(|s| {
    ///     for draft in &drafts {
    ///         s.task().name("clean up").execute_ok(move || std::fs::remove_file(draft));
    ///     }
    /// });
    /// assert_eq!(pool.shutdown(millhand::Shutdown::drain())?.failed(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn execute_ok<F, E>(&self, f: F)
    where
        F: FnOnce() -> Result<(), E> + Send + 'scope,
        E: Display + Send + 'static,
    {
        let (_, spec) = self.parts();
        let site = Location::caller();
        self.place()
            .submit_fallible(site, spec, once(f), by_text::<E>, None);
    }
}

impl<'scope, 'env> TaskBuilder<Plain, &'scope Scope<'scope, 'env>> {
    /// Makes an `Err` of the closures count as a failure; see
    /// [`TaskBuilder::fallible`](TaskBuilder#method.fallible).
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.scope(|s| drop(s.task().fallible().submit(|| "x".parse::<u8>()))); // logged
    /// assert_eq!(pool.shutdown(millhand::Shutdown::drain())?.failed(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fallible(self) -> TaskBuilder<Fallible, &'scope Scope<'scope, 'env>> {
        self.into_fallible()
    }
}

impl<'scope> TaskBuilder<Fallible, &'scope Scope<'scope, '_>> {
    /// Submits a task that may borrow, and whose `Err` is a failure; see [`Scope::submit`].
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let text = String::from("7");
    /// pool.scope(|s| {
    ///     let parsed = s.task().fallible().submit(|| text.parse::<u8>());
    ///     assert_eq!(parsed.join_ok().unwrap(), 7);
    /// });
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn submit<F, T, E>(&self, f: F) -> ScopedHandle<'scope, Result<T, E>>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
        E: Display + Send + 'static,
    {
        let (_, spec) = self.parts();
        let site = Location::caller();
        self.place()
            .submit_fallible(site, spec, once(f), by_text::<E>, None)
    }

    /// Submits a task that may borrow and may fail, without a handle; see [`Scope::execute`].
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let path = String::from("no such file");
    /// pool.scope(|s| s.task().fallible().execute_ok(|| std::fs::remove_file(&path))); // logged
    /// assert_eq!(pool.shutdown(millhand::Shutdown::drain())?.failed(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    #[doc(alias = "execute")]
    pub fn execute_ok<F, E>(&self, f: F)
    where
        F: FnOnce() -> Result<(), E> + Send + 'scope,
        E: Display + Send + 'static,
    {
        self.submit(f);
    }
}

impl<'scope, E: Display + Send + 'static> TaskBuilder<Retrying<E>, &'scope Scope<'scope, '_>> {
    /// Submits a task that may borrow, and that runs again when it fails; see [`Scope::submit`].
    ///
    /// ```
    /// use millhand::Retry;
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let mut attempts = 0;
    /// pool.scope(|s| {
    ///     s.task().retry(Retry::fixed(2, Duration::ZERO)).submit(|| {
    ///         attempts += 1;
    ///         if attempts < 3 { Err("busy") } else { Ok(()) }
    ///     });
    /// });
    /// assert_eq!(attempts, 3);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn submit<F, T>(&self, f: F) -> ScopedHandle<'scope, Result<T, E>>
    where
        F: FnMut() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        let (_, spec) = self.parts();
        let (site, rules) = (Location::caller(), Some(self.rules()));
        self.place()
            .submit_fallible(site, spec, f, by_text::<E>, rules)
    }

    /// Submits a task that may borrow, and that runs again when it fails, without a handle.
    ///
    /// ```
    /// use millhand::Retry;
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let mut attempts = 0;
    /// pool.scope(|s| {
    ///     s.task().retry(Retry::fixed(2, Duration::ZERO)).execute_ok(|| {
    ///         attempts += 1;
    ///         if attempts < 3 { Err("busy") } else { Ok(()) }
    ///     });
    /// });
    /// assert_eq!(attempts, 3);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    #[doc(alias = "execute")]
    pub fn execute_ok<F>(&self, f: F)
    where
        F: FnMut() -> Result<(), E> + Send + 'scope,
    {
        self.submit(f);
    }
}

impl<'scope> TaskBuilder<Plain, &'scope GatherScope<'scope, '_>> {
    /// Submits a task that may borrow and may fail; see [`GatherScope::submit`].
    ///
    /// ```
    /// use millhand::ScopeOptions;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let text = String::from("x");
    /// let failures = pool
    ///     .scope_with(ScopeOptions::fail_fast(), |s| {
    ///         s.task().name("parse").submit(|| text.parse::<u8>());
    ///     })
    ///     .unwrap_err();
    /// assert_eq!(failures.first().name(), Some("parse"));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn submit<F, T, E>(&self, f: F) -> ScopedHandle<'scope, Result<T, E>>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
        E: Into<BoxError> + Send + 'static,
    {
        let (_, spec) = self.parts();
        let site = Location::caller();
        let scope = self.place();
        scope.submit_fallible(site, spec, once(f), by_box::<E>, None)
    }

    /// Submits a task that may borrow and cannot fail; see [`GatherScope::submit_value`].
    ///
    /// ```
    /// use millhand::ScopeOptions;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let text = String::from("seven");
    /// let length = pool.scope_with(ScopeOptions::fail_fast(), |s| {
    ///     s.task().priority(1).submit_value(|| text.len()).join().unwrap()
    /// })?;
    /// assert_eq!(length, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn submit_value<F, T>(&self, f: F) -> ScopedHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let (_, spec) = self.parts();
        let scope = self.place();
        scope.submit_plain(Location::caller(), spec, f)
    }

    /// Submits a task that may borrow and cannot fail, without a handle; see [`Scope::execute`].
    ///
    /// ```
    /// use millhand::ScopeOptions;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let mut row = [3, 1, 2];
    /// pool.scope_with(ScopeOptions::fail_fast(), |s| s.task().name("sort").execute(|| row.sort()))?;
    /// assert_eq!(row, [1, 2, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn execute<F: FnOnce() + Send + 'scope>(&self, f: F) {
        self.submit_value(f);
    }
}

impl<'scope, E> TaskBuilder<Retrying<E>, &'scope GatherScope<'scope, '_>>
where
    E: Into<BoxError> + Send + 'static,
{
    /// Submits a task that may borrow, and that runs again when it fails; see
    /// [`GatherScope::submit`].
    ///
    /// ```
    /// use millhand::{Retry, ScopeOptions};
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let mut attempts = 0;
    /// let failures = pool
    ///     .scope_with(ScopeOptions::fail_fast(), |s| {
    ///         s.task().retry(Retry::fixed(2, Duration::ZERO)).submit(|| {
    ///             attempts += 1;
    ///             Err::<(), _>("busy")
    ///         });
    ///     })
    ///     .unwrap_err();
    /// assert_eq!((attempts, failures.len()), (3, 1));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn submit<F, T>(&self, f: F) -> ScopedHandle<'scope, Result<T, E>>
    where
        F: FnMut() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        let (_, spec) = self.parts();
        let (site, rules) = (Location::caller(), Some(self.rules()));
        let scope = self.place();
        scope.submit_fallible(site, spec, f, by_box::<E>, rules)
    }
}
