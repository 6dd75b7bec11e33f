//! Rate limiters: so many per time.
//!
//! Layer: limit. The types that users hold. The rules are in `bucket.rs` and `window.rs`.

use crate::clock::Clock;
use crate::clock::current;
use crate::limit::acquire::GateRequest;
use crate::limit::blocking;
use crate::limit::bucket::Bucket;
use crate::limit::error::{AcquireError, LimitError};
use crate::limit::gate::{Gate, GateQueue, next_order};
use crate::limit::keyed::Keyed;
use crate::limit::rule::Rule;
use crate::limit::window::Window;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Limits how often something is done. Tasks use it by [`gate`](crate::TaskBuilder::gate),
/// threads by [`acquire`](Self::acquire).
///
/// Clones are the same limiter, and any number of pools may share it.
///
/// Tasks and threads that must wait do so in one line, first come, first served. A task that waits
/// needs no worker. Its tokens are taken when a worker is about to run it, so the rate is one of
/// starts. Each attempt of a retried task is a start. What the docs of
/// [`Semaphore`](crate::Semaphore) say about tasks of a busy pool is true here, too.
///
/// There are two algorithms. A [`token_bucket`](Self::token_bucket) smooths. A
/// [`sliding_window`](Self::sliding_window) keeps exactly to its rate in every interval, and can
/// keep to several rates at once.
///
/// ```
/// use millhand::{RateLimiter, ThreadPool};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(4)?;
/// let api = RateLimiter::sliding_window(10, Duration::from_secs(1))
///     .and(100, Duration::from_secs(60))
///     .build()?;
/// let call = pool.task().gate(&api);
/// let answers: Vec<_> = (0..5).map(|n| call.submit(move || n * n)).collect();
/// # drop(answers);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [limits](crate::guide::limits).
#[derive(Clone)]
pub struct RateLimiter {
    gate: Arc<GateQueue>,
}

impl RateLimiter {
    /// Begins a limiter that lets `rate` pass every `per`, and as much at once after a pause: a
    /// token bucket.
    ///
    /// `rate` tokens come every `per`, one by one, and are kept up to
    /// [`burst`](TokenBucket::burst), which is `rate` unless it is set. The bucket starts full. In
    /// any interval at most what comes in it and the burst pass. With `burst(1)` what passes is
    /// spread evenly.
    ///
    /// The algorithm is that of the [`ratelimit`](https://docs.rs/ratelimit) crate, made exact
    /// for every rate.
    ///
    /// ```
    /// use millhand::RateLimiter;
    /// use std::time::Duration;
    ///
    /// let limiter = RateLimiter::token_bucket(10, Duration::from_secs(1)).burst(2).build()?;
    /// assert!(limiter.try_acquire(2).is_ok()); // it starts full
    /// assert!(limiter.try_acquire(1).is_err()); // the next comes after 100 ms
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn token_bucket(rate: u32, per: Duration) -> TokenBucket {
        TokenBucket {
            rate,
            per,
            burst: None,
            initial: None,
            clock: current::clock(),
        }
    }

    /// Begins a limiter that lets at most `limit` pass in every interval of `per`, wherever the
    /// interval begins: a sliding window.
    ///
    /// It remembers each taking of the longest interval with its instant and its weight, in 24
    /// bytes: at most as many as the highest limit. The algorithm is the sliding window log, as in
    /// Nikrad Mahdi, "An alternative approach to rate limiting", Figma, 2017.
    ///
    /// ```
    /// use millhand::RateLimiter;
    /// use std::time::Duration;
    ///
    /// let limiter = RateLimiter::sliding_window(2, Duration::from_secs(3600)).build()?;
    /// assert!(limiter.try_acquire(2).is_ok());
    /// assert!(limiter.try_acquire(1).is_err());
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn sliding_window(limit: u32, per: Duration) -> SlidingWindow {
        SlidingWindow {
            rates: vec![(limit, per)],
            clock: current::clock(),
        }
    }

    /// Makes a limiter for each key, of the kind that a [`TokenBucket`] or a [`SlidingWindow`]
    /// describes. See [`Keyed`].
    ///
    /// ```
    /// use millhand::RateLimiter;
    /// use std::time::Duration;
    ///
    /// let limits = RateLimiter::keyed(RateLimiter::token_bucket(1, Duration::from_secs(3600)))?;
    /// assert!(limits.key("ann").try_acquire(1).is_ok());
    /// assert!(limits.key("ann").try_acquire(1).is_err());
    /// assert!(limits.key("bob").try_acquire(1).is_ok());
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    ///
    /// # Errors
    /// As [`TokenBucket::build`] and [`SlidingWindow::build`].
    pub fn keyed<K: Hash + Eq>(limit: impl Algorithm) -> Result<Keyed<K, Self>, LimitError> {
        limit.limiter()?;
        let make = move || match limit.limiter() {
            Ok(limiter) => limiter,
            Err(_) => unreachable!("it could be built before"),
        };
        Ok(Keyed::with(make))
    }

    fn new(clock: &Clock, rule: Rule) -> Self {
        Self {
            gate: GateQueue::new(clock.clone(), rule),
        }
    }

    fn request(&self, weight: u32) -> GateRequest {
        let gate = self.gate.clone();
        GateRequest { gate, weight }
    }

    /// Makes a gate for tasks that count as more than one: `.gate(&limiter.weight(3)?)`. A task
    /// takes its whole weight at once.
    ///
    /// # Errors
    /// [`LimitError::TooHeavy`] if so much never passes at once: more than the burst of a token
    /// bucket, or more than the lowest limit of a window.
    /// [`LimitError::Invalid`] for a weight of 0.
    ///
    /// ```
    /// use millhand::{RateLimiter, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let limiter = RateLimiter::sliding_window(5, Duration::from_secs(1)).build()?;
    /// let heavy = pool.task().gate(&limiter.weight(3)?).submit(|| "counts three times");
    /// assert!(limiter.weight(6).is_err());
    /// # drop(heavy);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn weight(
        &self,
        weight: u32,
    ) -> Result<impl Gate + Clone + fmt::Debug + use<>, LimitError> {
        if weight == 0 {
            return Err(LimitError::Invalid {
                option: "weight",
                allowed: "at least 1",
            });
        }
        let limit = self.gate.max_weight();
        if weight > limit {
            return Err(LimitError::TooHeavy { weight, limit });
        }
        Ok(Weighted(self.request(weight)))
    }

    /// Takes `n` if that can be done now. Never waits, and never overtakes a task or thread that
    /// waits. 0 always passes.
    ///
    /// # Errors
    /// [`AcquireError::NotYet`] with the time after which it would pass.
    /// [`AcquireError::TooHeavy`] if so much never passes at once. Then nothing is taken.
    ///
    /// ```
    /// use millhand::limit::AcquireError;
    /// use millhand::testing::ManualClock;
    /// use millhand::RateLimiter;
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let limiter = RateLimiter::token_bucket(10, Duration::from_secs(1)).clock(&clock).build()?;
    /// assert_eq!(limiter.try_acquire(10), Ok(()));
    /// let wait = Some(Duration::from_millis(100));
    /// assert_eq!(limiter.try_acquire(1), Err(AcquireError::NotYet { wait }));
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn try_acquire(&self, n: u32) -> Result<(), AcquireError> {
        if n == 0 {
            return Ok(());
        }
        blocking::try_acquire(&self.request(n), next_order())
    }

    /// Waits until `n` may pass, first come, first served, and takes them. A task that waits here
    /// releases its run slot meanwhile.
    ///
    /// # Errors
    /// [`AcquireError::TooHeavy`] if so much never passes at once. Inside a task,
    /// [`AcquireError::Stopped`] if the task is asked to stop. Then nothing is taken.
    ///
    /// ```
    /// use millhand::RateLimiter;
    /// use std::time::Duration;
    ///
    /// let limiter = RateLimiter::token_bucket(1000, Duration::from_secs(1)).build()?;
    /// for _ in 0..3 {
    ///     limiter.acquire(1).unwrap(); // every millisecond
    /// }
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn acquire(&self, n: u32) -> Result<(), AcquireError> {
        self.acquire_until(n, None)
    }

    /// As [`acquire`](Self::acquire), but waits at most `timeout`. The timeout counts from the
    /// call, and one that overflows the clock means for ever. Fails at once if the wait would be
    /// longer.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), and [`AcquireError::NotYet`] if the timeout is too short.
    ///
    /// ```
    /// use millhand::RateLimiter;
    /// use std::time::Duration;
    ///
    /// let limiter = RateLimiter::token_bucket(1, Duration::from_secs(3600)).build()?;
    /// assert!(limiter.acquire_timeout(1, Duration::from_secs(60)).is_ok());
    /// assert!(limiter.acquire_timeout(1, Duration::from_secs(60)).is_err()); // without a wait
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn acquire_timeout(&self, n: u32, timeout: Duration) -> Result<(), AcquireError> {
        self.acquire_until(n, self.gate.clock().deadline(timeout))
    }

    fn acquire_until(&self, n: u32, deadline: Option<Instant>) -> Result<(), AcquireError> {
        if n == 0 {
            return Ok(());
        }
        blocking::acquire(&self.request(n), next_order(), deadline)
    }

    /// Acquires 1, then runs `f`.
    ///
    /// # Errors
    /// Inside a task, [`AcquireError::Stopped`] if the task is asked to stop while it waits. Then
    /// `f` is not run.
    ///
    /// ```
    /// use millhand::RateLimiter;
    /// use std::time::Duration;
    ///
    /// let limiter = RateLimiter::token_bucket(1000, Duration::from_secs(1)).build()?;
    /// assert_eq!(limiter.run(|| 6 * 7), Ok(42));
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    #[doc(alias = "around")]
    pub fn run<T>(&self, f: impl FnOnce() -> T) -> Result<T, AcquireError> {
        self.acquire(1)?;
        Ok(f())
    }

    /// Changes the rate of a token bucket from now on. Tokens that have come stay, and so does
    /// the burst.
    ///
    /// # Errors
    /// [`LimitError::Invalid`] for a rate or an interval of 0, and for a sliding window, whose
    /// rates cannot be changed.
    ///
    /// ```
    /// use millhand::testing::ManualClock;
    /// use millhand::RateLimiter;
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let limiter = RateLimiter::token_bucket(1, Duration::from_secs(60)).clock(&clock).build()?;
    /// limiter.try_acquire(1).unwrap();
    /// limiter.set_rate(1, Duration::from_secs(1))?;
    /// clock.advance(Duration::from_secs(1));
    /// assert!(limiter.try_acquire(1).is_ok());
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn set_rate(&self, rate: u32, per: Duration) -> Result<(), LimitError> {
        Bucket::new(self.gate.clock().now(), rate, per, 1, 1)?;
        if self.gate.set_rate(rate, per) {
            return Ok(());
        }
        Err(LimitError::Invalid {
            option: "set_rate",
            allowed: "called on a token bucket: a sliding window keeps its rates",
        })
    }

    /// Returns how much could be taken now if no task or thread waited in line, without what is
    /// reserved for those whose turn it is.
    ///
    /// ```
    /// # use millhand::RateLimiter;
    /// # use std::time::Duration;
    /// let limiter = RateLimiter::sliding_window(5, Duration::from_secs(3600)).build()?;
    /// limiter.try_acquire(2).unwrap();
    /// assert_eq!(limiter.available(), 3);
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn available(&self) -> u32 {
        self.gate.available()
    }

    /// Returns how many tasks and threads wait in line, or are about to pass.
    ///
    /// ```
    /// # use millhand::RateLimiter;
    /// # use std::time::Duration;
    /// let limiter = RateLimiter::sliding_window(5, Duration::from_secs(1)).build()?;
    /// assert_eq!(limiter.waiting(), 0);
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn waiting(&self) -> usize {
        self.gate.waiting()
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gate } = self;
        f.debug_struct("RateLimiter")
            .field("waiting", &gate.waiting())
            .field("available", &gate.available())
            .finish_non_exhaustive()
    }
}
impl Gate for RateLimiter {
    fn queue(&self) -> (&Arc<GateQueue>, u32) {
        (&self.gate, 1)
    }
}

/// A limiter for tasks that count as more than one.
#[derive(Clone)]
struct Weighted(GateRequest);

impl fmt::Debug for Weighted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weighted")
            .field("weight", &self.0.weight)
            .finish_non_exhaustive()
    }
}

impl Gate for Weighted {
    fn queue(&self) -> (&Arc<GateQueue>, u32) {
        (&self.0.gate, self.0.weight)
    }
}

/// What [`RateLimiter::keyed`] takes: a [`TokenBucket`] or a [`SlidingWindow`].
#[doc(hidden)]
pub trait Algorithm: Clone + Send + Sync + 'static {
    #[doc(hidden)]
    fn limiter(&self) -> Result<RateLimiter, LimitError>;
}

/// The options of a token bucket, from [`RateLimiter::token_bucket`].
///
/// ```
/// use millhand::RateLimiter;
/// use std::time::Duration;
///
/// let bucket = RateLimiter::token_bucket(100, Duration::from_secs(1)).burst(20).initial(0);
/// assert_eq!(bucket.build()?.available(), 0);
/// # Ok::<(), millhand::limit::LimitError>(())
/// ```
///
/// Guide: [limits](crate::guide::limits).
#[derive(Clone, Debug)]
#[must_use]
pub struct TokenBucket {
    rate: u32,
    per: Duration,
    burst: Option<u32>,
    initial: Option<u32>,
    clock: Clock,
}

impl TokenBucket {
    /// Sets how many tokens are kept at most: so much passes at once after a pause. Default: the
    /// rate, what comes in one interval. With 1 the flow is even.
    ///
    /// With 1, a token that comes while the last one is still there is lost, and a waiting thread
    /// wakes about ten microseconds late. At a rate of 1,000 per second and more, a burst of a
    /// few hundredths of that makes up for it.
    ///
    /// ```
    /// # use millhand::RateLimiter;
    /// # use std::time::Duration;
    /// let bucket = RateLimiter::token_bucket(1000, Duration::from_secs(1)).burst(20);
    /// assert_eq!(bucket.build()?.available(), 20);
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn burst(mut self, tokens: u32) -> Self {
        self.burst = Some(tokens);
        self
    }

    /// Sets how many tokens the bucket starts with, at most the burst. Default: the burst.
    ///
    /// ```
    /// # use millhand::RateLimiter;
    /// # use std::time::Duration;
    /// let bucket = RateLimiter::token_bucket(1000, Duration::from_secs(1)).initial(0);
    /// assert!(bucket.build()?.try_acquire(1).is_err());
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn initial(mut self, tokens: u32) -> Self {
        self.initial = Some(tokens);
        self
    }

    /// Sets the clock of the limiter, which must be that of the pools that use it. Default: the
    /// clock of the pool in whose task the limiter is made, elsewhere the system's.
    ///
    /// ```
    /// # use millhand::testing::ManualClock;
    /// # use millhand::RateLimiter;
    /// # use std::time::Duration;
    /// let clock = ManualClock::new();
    /// let limiter = RateLimiter::token_bucket(1, Duration::from_secs(1)).clock(&clock).build()?;
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Makes the limiter.
    ///
    /// # Errors
    /// [`LimitError::Invalid`] for a rate, an interval or a burst of 0, and for more initial
    /// tokens than the burst.
    ///
    /// ```
    /// # use millhand::RateLimiter;
    /// # use std::time::Duration;
    /// let error = RateLimiter::token_bucket(0, Duration::from_secs(1)).build().unwrap_err();
    /// assert_eq!(error.to_string(), "the limit's `rate` is not allowed: it must be at least 1");
    /// ```
    pub fn build(&self) -> Result<RateLimiter, LimitError> {
        let Self {
            rate,
            per,
            burst,
            initial,
            clock,
        } = self;
        let burst = burst.unwrap_or(*rate);
        let initial = initial.unwrap_or(burst);
        let bucket = Bucket::new(clock.now(), *rate, *per, burst, initial)?;
        Ok(RateLimiter::new(clock, Rule::Bucket(bucket)))
    }
}

impl Algorithm for TokenBucket {
    fn limiter(&self) -> Result<RateLimiter, LimitError> {
        Self::build(self)
    }
}

/// The options of a sliding window, from [`RateLimiter::sliding_window`].
///
/// ```
/// use millhand::RateLimiter;
/// use std::time::Duration;
///
/// let window = RateLimiter::sliding_window(10, Duration::from_secs(1)).and(100, Duration::from_secs(60));
/// assert_eq!(window.build()?.available(), 10);
/// # Ok::<(), millhand::limit::LimitError>(())
/// ```
///
/// Guide: [limits](crate::guide::limits).
#[derive(Clone, Debug)]
#[must_use]
pub struct SlidingWindow {
    rates: Vec<(u32, Duration)>,
    clock: Clock,
}

impl SlidingWindow {
    /// Adds a rate over a longer interval: a higher limit, but no more per time.
    ///
    /// ```
    /// # use millhand::RateLimiter;
    /// # use std::time::Duration;
    /// let second = Duration::from_secs(1);
    /// let error = RateLimiter::sliding_window(10, second).and(5, 60 * second).build().unwrap_err();
    /// assert!(error.to_string().contains("the second limit is not higher"));
    /// ```
    pub fn and(mut self, limit: u32, per: Duration) -> Self {
        self.rates.push((limit, per));
        self
    }

    /// Sets the clock of the limiter, which must be that of the pools that use it. Default: the
    /// clock of the pool in whose task the limiter is made, elsewhere the system's.
    ///
    /// ```
    /// # use millhand::testing::ManualClock;
    /// # use millhand::RateLimiter;
    /// # use std::time::Duration;
    /// let clock = ManualClock::new();
    /// let limiter = RateLimiter::sliding_window(1, Duration::from_secs(1)).clock(&clock).build()?;
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Makes the limiter.
    ///
    /// # Errors
    /// [`LimitError::Invalid`] for a limit or an interval of 0. [`LimitError::Rates`] for two
    /// rates that contradict each other.
    ///
    /// ```
    /// # use millhand::RateLimiter;
    /// # use std::time::Duration;
    /// assert!(RateLimiter::sliding_window(10, Duration::from_secs(1)).build().is_ok());
    /// assert!(RateLimiter::sliding_window(10, Duration::ZERO).build().is_err());
    /// ```
    pub fn build(&self) -> Result<RateLimiter, LimitError> {
        let window = Window::new(&self.rates)?;
        Ok(RateLimiter::new(&self.clock, Rule::Window(window)))
    }
}

impl Algorithm for SlidingWindow {
    fn limiter(&self) -> Result<RateLimiter, LimitError> {
        Self::build(self)
    }
}
