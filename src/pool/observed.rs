//! The options of a pool that is looked into.

use crate::observe::Observer;
use crate::pool::builder::PoolBuilder;
use std::sync::Arc;
use std::time::Duration;

impl PoolBuilder {
    /// Adds an observer, which gets the events of the pool; see [`Observer`]. Several get them one
    /// after the other.
    ///
    /// ```
    /// use millhand::observe::Event;
    ///
    /// let pool = millhand::ThreadPool::builder()
    ///     .observer(|event: &Event| println!("{}", event.name()))
    ///     .build()?;
    /// pool.execute(|| ());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.options.observers.add(Arc::new(observer));
        self
    }

    /// Starts a watchdog for tasks that run for longer than `limit`, more than zero: each is logged
    /// once as a warning, with its name and submit site, and observers get
    /// [`Event::Slow`](crate::observe::Event::Slow). Nothing happens to the task; see
    /// [`total_timeout`](crate::TaskBuilder::total_timeout) for that.
    ///
    /// A thread of the pool's, the sampler, looks four times in `limit`, but from 4 to 50 times a
    /// second. A task that is not timed counts from when the sampler first saw it, so it may be
    /// reported a quarter of `limit` late. A retried task counts anew for each attempt. A pool in a
    /// simulation has no watchdog.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::builder().slow_task(Duration::from_secs(30)).build()?;
    /// assert!(pool.stats().rates.is_some());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[doc(alias = "watchdog")]
    pub fn slow_task(mut self, limit: Duration) -> Self {
        self.options.slow_task = Some(limit);
        self
    }

    /// Starts a watchdog for a queue whose head waits for longer than `limit`, more than zero: it
    /// is logged once as a warning, with the oldest task that is listed and what the workers do,
    /// and observers get [`Event::Stalled`](crate::observe::Event::Stalled). It is logged again
    /// after the head has waited for less.
    ///
    /// It takes the head as waiting for as long as it sees tasks in the queue and no worker takes
    /// one. With [`track_queue`](Self::track_queue) it knows the oldest task.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::builder().stalled(Duration::from_secs(10)).build()?;
    /// pool.submit(|| ()).join().unwrap();
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[doc(alias = "watchdog")]
    pub fn stalled(mut self, limit: Duration) -> Self {
        self.options.stalled = Some(limit);
        self
    }

    /// Keeps histograms of how long timed tasks wait and run, in all and for each of the first
    /// `names` names, 1 or more; see [`Pool::histograms`](crate::Pool::histograms). Tasks with
    /// later names count in the row of all and in one row with the name `(others)`.
    ///
    /// Cost: 34 kB for each name, and some hundred nanoseconds for each timed task. Default: none.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().workers(1).histograms(50).build()?;
    /// pool.task().name("parse").submit(|| ()).join().unwrap();
    /// for times in pool.histograms() {
    ///     println!("{times}");
    /// }
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[cfg(feature = "histograms")]
    pub fn histograms(mut self, names: usize) -> Self {
        self.options.histograms = Some(names);
        self
    }

    /// Chooses whether each task is listed from its submission on and has its times taken, as those
    /// with a name are: [`tasks`](crate::Pool::tasks) and [`find`](crate::Pool::find) then know
    /// every queued task, and [`Stats::oldest_queued`](crate::observe::Stats::oldest_queued) is
    /// there. Default: no.
    ///
    /// Cost: an allocation, an entry in a list and two readings of the clock for each task.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().workers(1).track_queue(true).build()?;
    /// let (send, receive) = std::sync::mpsc::channel::<()>();
    /// pool.execute(move || drop(receive.recv())); // the worker is busy
    /// let queued = pool.submit(|| 1);
    /// assert!(pool.find(queued.id()).is_some());
    /// # drop(send);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn track_queue(mut self, track: bool) -> Self {
        self.options.track_queue = track;
        self
    }
}
