//! The submitting verbs, written once: they are methods of the pool and of each kind of template.

/// The verbs that return a handle, for a type with `fn parts(&self) -> (&Arc<Core>, &Spec)`.
/// `$body` is the body of a task with the closure `$f`, and may read the template, `$this`.
macro_rules! submit_verbs {
    (
        [$($generic:ident $(: $bound:path)?),+], $call:ident() -> $output:ty,
        |$this:ident, $f:ident| $body:expr
    ) => {
        /// Submits a task and returns its handle.
        ///
        /// Waits while the queue is full, unless the pool rejects tasks then
        /// ([`OnFull`](crate::OnFull)) or this thread is one of its own workers. A refusal settles
        /// the handle as [`TaskError::Rejected`](crate::TaskError::Rejected). If the handle is
        /// dropped unread, a panic or a refusal is logged as an error, and the hook
        /// [`on_unread`](crate::pool::PoolBuilder::on_unread) is called.
        ///
        /// Cost: a plain submit and join takes about 0.15 µs, and half of that with mimalloc, on
        /// 2 cores of a virtual machine. It makes one allocation. See
        /// [performance](crate::guide::performance).
        ///
        /// ```
        /// let pool = millhand::ThreadPool::new(1)?;
        /// assert_eq!(pool.submit(|| 1 + 1).join().unwrap(), 2);
        /// # Ok::<(), millhand::pool::BuildError>(())
        /// ```
        #[track_caller]
        #[doc(alias = "spawn")]
        pub fn submit<F, $($generic),+>(&self, f: F) -> $crate::task::TaskHandle<$output>
        where
            F: $call() -> $output + Send + 'static,
            $($generic: Send + 'static $(+ $bound)?),+
        {
            let ($this, $f) = (self, f);
            let (core, spec) = $this.parts();
            let head = $crate::task::Head::new(core.owner(), std::panic::Location::caller());
            let task = $crate::task::body::boxed_if_large!(
                $f: F as dyn $call() -> $output + Send,
                $crate::task::Task::new(head, $body)
            );
            $crate::task::TaskHandle::new(core.submit(spec, task))
        }

        // A function in the source alone: a build without optimisation pays for each function.
        #[track_caller]
        #[inline(always)]
        fn submit_when<F, $($generic),+>(
            &self,
            f: F,
            when_full: $crate::limit::WhenFull,
        ) -> Result<$crate::task::TaskHandle<$output>, $crate::error::SubmitError<F>>
        where
            F: $call() -> $output + Send + 'static,
            $($generic: Send + 'static $(+ $bound)?),+
        {
            let ($this, $f) = (self, f);
            let (core, spec) = $this.parts();
            match core.try_admit(spec, when_full) {
                Ok(extras) => {
                    let head = $crate::task::Head::new(core.owner(), std::panic::Location::caller());
                    let task = $crate::task::body::boxed_if_large!(
                        $f: F as dyn $call() -> $output + Send,
                        $crate::task::Task::new(head, $body)
                    );
                    core.send(spec, task.clone(), extras);
                    Ok($crate::task::TaskHandle::new(task))
                }
                Err(reason) => Err($crate::error::SubmitError::new(reason, $f)),
            }
        }

        /// Submits a task and returns its handle, and never waits.
        ///
        /// # Errors
        /// Returns the closure if the pool is closed or its queue is full.
        ///
        /// ```
        /// let pool = millhand::ThreadPool::new(1)?;
        /// match pool.try_submit(|| 1 + 1) {
        ///     Ok(handle) => assert_eq!(handle.join().unwrap(), 2),
        ///     Err(refused) => assert_eq!(refused.into_inner()(), 2),
        /// }
        /// # Ok::<(), millhand::pool::BuildError>(())
        /// ```
        #[track_caller]
        pub fn try_submit<F, $($generic),+>(
            &self,
            f: F,
        ) -> Result<$crate::task::TaskHandle<$output>, $crate::error::SubmitError<F>>
        where
            F: $call() -> $output + Send + 'static,
            $($generic: Send + 'static $(+ $bound)?),+
        {
            self.submit_when(f, $crate::limit::WhenFull::Refuse)
        }

        /// Submits a task and returns its handle. Waits `timeout` at most for a place in a full
        /// queue.
        ///
        /// The timeout counts from the call. One that overflows the clock means for ever.
        ///
        /// # Errors
        /// Returns the closure if the pool is closed, or if its queue was full all that time. A
        /// pool that rejects tasks while its queue is full does so at once.
        ///
        /// ```
        /// use std::time::Duration;
        ///
        /// let pool = millhand::ThreadPool::new(1)?;
        /// let handle = pool.submit_timeout(Duration::from_secs(1), || 1 + 1)?;
        /// assert_eq!(handle.join()?, 2);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[track_caller]
        pub fn submit_timeout<F, $($generic),+>(
            &self,
            timeout: std::time::Duration,
            f: F,
        ) -> Result<$crate::task::TaskHandle<$output>, $crate::error::SubmitError<F>>
        where
            F: $call() -> $output + Send + 'static,
            $($generic: Send + 'static $(+ $bound)?),+
        {
            let deadline = self.parts().0.clock().deadline(timeout);
            self.submit_when(f, $crate::limit::WhenFull::Wait(deadline))
        }
    };
}
pub(super) use submit_verbs;

/// A verb without a handle, and its form that never waits.
macro_rules! detached_verbs {
    (
        [$($generic:ident $(: $bound:path)?),*], $call:ident() -> $output:ty,
        |$this:ident, $f:ident| $body:expr,
        $(#[$doc:meta])* $name:ident,
        $(#[$try_doc:meta])* $try_name:ident
    ) => {
        $(#[$doc])*
        #[track_caller]
        pub fn $name<F, $($generic),*>(&self, f: F)
        where
            F: $call() -> $output + Send + 'static,
            $($generic: Send + 'static $(+ $bound)?),*
        {
            let ($this, $f) = (self, f);
            let (core, spec) = $this.parts();
            let site = std::panic::Location::caller();
            match core.admit(spec, $crate::limit::WhenFull::Wait(None)) {
                Ok(extras) => {
                    let head = $crate::task::Head::detached(core.owner(), site);
                    let task = $crate::task::body::boxed_if_large!(
                        $f: F as dyn $call() -> $output + Send,
                        $crate::task::Task::new(head, $body)
                    );
                    core.send(spec, task, extras);
                }
                Err(reason) => core.refuse_detached(spec, site, reason),
            }
        }

        $(#[$try_doc])*
        #[track_caller]
        pub fn $try_name<F, $($generic),*>(&self, f: F) -> Result<(), $crate::error::SubmitError<F>>
        where
            F: $call() -> $output + Send + 'static,
            $($generic: Send + 'static $(+ $bound)?),*
        {
            let ($this, $f) = (self, f);
            let (core, spec) = $this.parts();
            match core.try_admit(spec, $crate::limit::WhenFull::Refuse) {
                Ok(extras) => {
                    let site = std::panic::Location::caller();
                    let head = $crate::task::Head::detached(core.owner(), site);
                    let task = $crate::task::body::boxed_if_large!(
                        $f: F as dyn $call() -> $output + Send,
                        $crate::task::Task::new(head, $body)
                    );
                    core.send(spec, task, extras);
                    Ok(())
                }
                Err(reason) => Err($crate::error::SubmitError::new(reason, $f)),
            }
        }
    };
}
pub(super) use detached_verbs;

/// `execute`, for closures that cannot fail.
macro_rules! execute {
    (|$this:ident, $f:ident| $body:expr) => {
        $crate::pool::verbs::detached_verbs!(
            [], FnOnce() -> (), |$this, $f| $body,
            /// Submits a task without a handle: fire and forget.
            ///
            /// The closure returns nothing, so that no `Err` is lost in silence:
            /// [`execute_ok`](Self::execute_ok) takes one that may fail. A panic is logged as an
            /// error and counted, and the hook [`on_unread`](crate::pool::PoolBuilder::on_unread)
            /// is called. So is a refusal: the pool is closed, or it rejects tasks and its queue is
            /// full. [`try_execute`](Self::try_execute) gives a refused closure back.
            ///
            /// Waits as [`submit`](Self::submit) does.
            ///
            /// Cost: about 0.15 µs for an empty task, and two thirds of that with mimalloc, on the
            /// same machine. It makes one allocation.
            ///
            /// ```
            /// let pool = millhand::ThreadPool::new(1)?;
            /// pool.execute(|| println!("in the background"));
            /// # Ok::<(), millhand::pool::BuildError>(())
            /// ```
            ///
            /// ```compile_fail,E0271
            /// let pool = millhand::ThreadPool::new(1).unwrap();
            /// pool.execute(|| std::fs::remove_file("draft")); // who would read the error?
            /// ```
            #[doc(alias = "spawn_detached")]
            execute,
            /// Submits a task without a handle, as [`execute`](Self::execute) does, and never
            /// waits.
            ///
            /// # Errors
            /// Returns the closure if the pool is closed or its queue is full.
            ///
            /// ```
            /// let pool = millhand::ThreadPool::new(1)?;
            /// if let Err(refused) = pool.try_execute(|| println!("in the background")) {
            ///     eprintln!("{refused}");
            /// }
            /// # Ok::<(), millhand::pool::BuildError>(())
            /// ```
            try_execute
        );
    };
}
pub(super) use execute;

/// `execute_ok`, for closures that may fail.
macro_rules! execute_ok {
    (
        [$($generic:ident $(: $bound:path)?),*], $call:ident() -> $output:ty,
        |$this:ident, $f:ident| $body:expr
    ) => {
        $crate::pool::verbs::detached_verbs!(
            [$($generic $(: $bound)?),*], $call() -> $output, |$this, $f| $body,
            /// Submits a task that may fail, without a handle.
            ///
            /// An `Err` is logged as an error, with the name and the submit site of the task. It
            /// counts as a [failure](crate::pool::ShutdownReport::failed), and the hook
            /// [`on_unread`](crate::pool::PoolBuilder::on_unread) is called. The same holds for a
            /// panic and for a refusal by the pool.
            ///
            /// Waits as [`submit`](Self::submit) does.
            ///
            /// ```
            /// let pool = millhand::ThreadPool::new(1)?;
            /// pool.task().name("clean up").execute_ok(|| std::fs::remove_file("no such file"));
            /// let report = pool.shutdown(millhand::Shutdown::drain())?;
            /// assert_eq!(report.failed(), 1);
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            // What the compiler suggests for a call of it on a template that has none.
            #[doc(alias = "execute")]
            execute_ok,
            /// Submits a task that may fail, without a handle, as
            /// [`execute_ok`](Self::execute_ok) does, and never waits.
            ///
            /// # Errors
            /// Returns the closure if the pool is closed or its queue is full.
            ///
            /// ```
            /// let pool = millhand::ThreadPool::new(1)?;
            /// let clean_up = || std::fs::remove_file("no such file");
            /// if let Err(refused) = pool.try_execute_ok(clean_up) {
            ///     refused.into_inner()()?; // here, then
            /// }
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            #[doc(alias = "try_execute")]
            try_execute_ok
        );
    };
}
pub(super) use execute_ok;
