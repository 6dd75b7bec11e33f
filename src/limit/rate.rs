//! Rate limiters, as their users hold them.
//!
//! Layer 4: a thin face over a gate with a timed rule.

use crate::clock::Clock;
use crate::gate::{
    self, AcquireError, Bucket, Claim, Gate, LimitError, Nature, Rule, Window, next_order,
};
use crate::here;
use crate::limit::gates::{self, Asked, Gates};
use crate::limit::keyed::{Kept, Keyed};
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TIMED: Nature = Nature {
    timed: true,
    returns: false,
    ordered: false,
};

/// Lets so many through in a time: tasks by [`gate`](crate::TaskBuilder::gate), threads by [`acquire`](Self::acquire).
/// Clones are the same limiter; any number of pools may share it.
///
/// Who must wait does so in one line, first come, first served. A task waits there without a worker; its tokens are taken
/// when a worker is about to run it, so the rate is one of starts. An attempt of a retried task is a start like any other.
///
/// Two algorithms: [`token_bucket`](Self::token_bucket) smooths, [`sliding_window`](Self::sliding_window) keeps to every
/// interval exactly, and to several rates at once.
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
#[derive(Clone)]
pub struct RateLimiter {
    gate: Arc<Gate>,
}

impl RateLimiter {
    /// A token bucket: `rate` tokens come every `per`, evenly, and are kept up to [`burst`](TokenBucket::burst). In any
    /// interval at most the rate and the burst together pass.
    ///
    /// On the [`ratelimit`](https://docs.rs/ratelimit) crate, made exact for every rate.
    ///
    /// ```
    /// use millhand::RateLimiter;
    /// use std::time::Duration;
    ///
    /// let limiter = RateLimiter::token_bucket(10, Duration::from_secs(1)).burst(2).build()?;
    /// assert!(limiter.try_acquire(2).is_ok()); // it starts full
    /// assert!(limiter.try_acquire(1).is_err()); // the next comes after 100 ms
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn token_bucket(rate: u32, per: Duration) -> TokenBucket {
        TokenBucket {
            rate,
            per,
            burst: 1,
            initial: None,
            clock: here::clock(),
        }
    }

    /// A sliding window: at most `limit` in every interval of `per`, wherever it begins. It remembers when each unit was
    /// taken, 16 bytes each, up to the highest limit.
    ///
    /// ```
    /// use millhand::RateLimiter;
    /// use std::time::Duration;
    ///
    /// let limiter = RateLimiter::sliding_window(2, Duration::from_secs(3600)).build()?;
    /// assert!(limiter.try_acquire(2).is_ok());
    /// assert!(limiter.try_acquire(1).is_err());
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn sliding_window(limit: u32, per: Duration) -> SlidingWindow {
        SlidingWindow {
            rates: vec![(limit, per)],
            clock: here::clock(),
        }
    }

    /// A limiter for each key. See [`Keyed`].
    ///
    /// ```
    /// use millhand::RateLimiter;
    /// use std::time::Duration;
    ///
    /// let limits = RateLimiter::keyed(RateLimiter::token_bucket(1, Duration::from_secs(3600)))?;
    /// assert!(limits.key("ann").try_acquire(1).is_ok());
    /// assert!(limits.key("ann").try_acquire(1).is_err());
    /// assert!(limits.key("bob").try_acquire(1).is_ok());
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    ///
    /// # Errors
    /// As `build` of the algorithm given.
    pub fn keyed<K: Hash + Eq>(limit: impl Algorithm) -> Result<Keyed<K, Self>, LimitError> {
        limit.build()?;
        let make = move || match limit.build() {
            Ok(limiter) => limiter,
            Err(_) => unreachable!("it could be built a moment ago"),
        };
        Ok(Keyed::with(make))
    }

    fn new(clock: &Clock, rule: Box<dyn Rule>) -> Self {
        Self {
            gate: Gate::new(clock.clone(), TIMED, rule),
        }
    }

    fn claim(&self, weight: u32) -> Claim {
        Claim {
            gate: self.gate.clone(),
            weight,
        }
    }

    /// For tasks that count more than one: `.gate(&limiter.weight(3)?)`. All or nothing.
    ///
    /// # Errors
    /// [`LimitError::TooHeavy`] when so much never passes at once (more than a token bucket's burst, which is 1 unless given, or
    /// than a window's smallest limit), [`LimitError::Invalid`] for a weight of 0.
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
    pub fn weight(&self, weight: u32) -> Result<Weighted, LimitError> {
        if weight == 0 {
            return Err(LimitError::Invalid {
                option: "weight",
                allowed: "at least 1",
            });
        }
        let limit = self.gate.heaviest();
        if weight > limit {
            return Err(LimitError::TooHeavy { weight, limit });
        }
        Ok(Weighted(self.claim(weight)))
    }

    /// Takes `n` if that can be done at once; 0 always can. Never waits, and never overtakes whoever waits.
    ///
    /// # Errors
    /// [`AcquireError::NotYet`] with the wait after which it would pass, [`AcquireError::TooHeavy`] when so much never passes
    /// at once. Nothing is taken then.
    ///
    /// ```
    /// use millhand::{AcquireError, ManualClock, RateLimiter};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let limiter = RateLimiter::token_bucket(10, Duration::from_secs(1)).clock(&clock.clock()).build()?;
    /// assert_eq!(limiter.try_acquire(1), Ok(()));
    /// let wait = Some(Duration::from_millis(100));
    /// assert_eq!(limiter.try_acquire(1), Err(AcquireError::NotYet { wait }));
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn try_acquire(&self, n: u32) -> Result<(), AcquireError> {
        if n == 0 {
            return Ok(());
        }
        gate::try_acquire(&self.claim(n), next_order())
    }

    /// Takes `n`, and waits for it as long as it takes; first come, first served. On a worker the seat is given up
    /// meanwhile.
    ///
    /// # Errors
    /// [`AcquireError::TooHeavy`] when so much never passes at once; inside a task, [`AcquireError::Stopped`] when it is asked
    /// to stop. Nothing is taken then.
    ///
    /// ```
    /// use millhand::RateLimiter;
    /// use std::time::Duration;
    ///
    /// let limiter = RateLimiter::token_bucket(1000, Duration::from_secs(1)).build()?;
    /// for _ in 0..3 {
    ///     limiter.acquire(1).unwrap(); // every millisecond
    /// }
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn acquire(&self, n: u32) -> Result<(), AcquireError> {
        self.acquire_until(n, None)
    }

    /// As [`acquire`](Self::acquire), waiting `timeout` at most (counted from the call; one that overflows the clock means for
    /// ever). Refused at once when the wait cannot fit.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), and [`AcquireError::NotYet`].
    ///
    /// ```
    /// use millhand::RateLimiter;
    /// use std::time::Duration;
    ///
    /// let limiter = RateLimiter::token_bucket(1, Duration::from_secs(3600)).build()?;
    /// assert!(limiter.acquire_timeout(1, Duration::from_secs(60)).is_ok());
    /// assert!(limiter.acquire_timeout(1, Duration::from_secs(60)).is_err()); // without a wait
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn acquire_timeout(&self, n: u32, timeout: Duration) -> Result<(), AcquireError> {
        self.acquire_until(n, self.gate.clock().deadline(timeout))
    }

    fn acquire_until(&self, n: u32, deadline: Option<Instant>) -> Result<(), AcquireError> {
        if n == 0 {
            return Ok(());
        }
        gates::acquire(&self.claim(n), next_order(), deadline)
    }

    /// Waits for its turn, takes one, and runs `f`.
    ///
    /// # Errors
    /// [`AcquireError::Stopped`], inside a task that is asked to stop while it waits; `f` is not run then.
    ///
    /// ```
    /// use millhand::RateLimiter;
    /// use std::time::Duration;
    ///
    /// let limiter = RateLimiter::token_bucket(1000, Duration::from_secs(1)).build()?;
    /// assert_eq!(limiter.around(|| 6 * 7), Ok(42));
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn around<T>(&self, f: impl FnOnce() -> T) -> Result<T, AcquireError> {
        self.acquire(1)?;
        Ok(f())
    }

    /// Changes the rate of a token bucket from now on; what has come until now stays, and so does the burst.
    ///
    /// # Errors
    /// [`LimitError::Invalid`] for a rate or an interval of 0, and for a sliding window, which keeps its rates.
    ///
    /// ```
    /// use millhand::{ManualClock, RateLimiter};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let limiter = RateLimiter::token_bucket(1, Duration::from_secs(60)).clock(&clock.clock()).build()?;
    /// limiter.try_acquire(1).unwrap();
    /// limiter.set_rate(1, Duration::from_secs(1))?;
    /// clock.advance(Duration::from_secs(1));
    /// assert!(limiter.try_acquire(1).is_ok());
    /// # Ok::<(), millhand::LimitError>(())
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

    /// What could be taken now if nobody waited.
    ///
    /// ```
    /// # use millhand::RateLimiter;
    /// # use std::time::Duration;
    /// let limiter = RateLimiter::sliding_window(5, Duration::from_secs(3600)).build()?;
    /// limiter.try_acquire(2).unwrap();
    /// assert_eq!(limiter.available(), 3);
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn available(&self) -> u32 {
        self.gate.available()
    }

    /// How many tasks and threads wait in its line.
    ///
    /// ```
    /// # use millhand::RateLimiter;
    /// # use std::time::Duration;
    /// let limiter = RateLimiter::sliding_window(5, Duration::from_secs(1)).build()?;
    /// assert_eq!(limiter.waiting(), 0);
    /// # Ok::<(), millhand::LimitError>(())
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

impl Gates for RateLimiter {
    fn asks(&self) -> Asked {
        Asked(self.claim(1))
    }
}

impl gates::Gate for RateLimiter {}

impl Kept for RateLimiter {
    fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }
}

/// A limiter, for tasks that count more than one of it. From [`RateLimiter::weight`].
///
/// ```
/// use millhand::{RateLimiter, Weighted};
/// use std::time::Duration;
///
/// let limiter = RateLimiter::sliding_window(5, Duration::from_secs(1)).build()?;
/// let three: Weighted = limiter.weight(3)?;
/// # Ok::<(), millhand::LimitError>(())
/// ```
#[derive(Clone)]
pub struct Weighted(Claim);

impl fmt::Debug for Weighted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weighted")
            .field("weight", &self.0.weight)
            .finish_non_exhaustive()
    }
}

impl Gates for Weighted {
    fn asks(&self) -> Asked {
        Asked(self.0.clone())
    }
}

impl gates::Gate for Weighted {}

/// How a limiter decides: a [`TokenBucket`] or a [`SlidingWindow`].
///
/// ```
/// use millhand::{Algorithm, RateLimiter};
/// use std::time::Duration;
///
/// fn per_hour(n: u32, smooth: bool) -> Result<RateLimiter, millhand::LimitError> {
///     let hour = Duration::from_secs(3600);
///     if smooth {
///         RateLimiter::token_bucket(n, hour).build()
///     } else {
///         RateLimiter::sliding_window(n, hour).build()
///     }
/// }
/// assert!(per_hour(10, true).is_ok() && per_hour(0, false).is_err());
/// ```
pub trait Algorithm: sealed::Sealed + Clone + Send + Sync + 'static {
    /// Makes a limiter of it.
    ///
    /// # Errors
    /// [`LimitError`] says what is not allowed, and what is.
    fn build(&self) -> Result<RateLimiter, LimitError>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::TokenBucket {}
    impl Sealed for super::SlidingWindow {}
}

/// Sets a token bucket up; from [`RateLimiter::token_bucket`].
///
/// ```
/// use millhand::RateLimiter;
/// use std::time::Duration;
///
/// let bucket = RateLimiter::token_bucket(100, Duration::from_secs(1)).burst(20).initial(0);
/// assert_eq!(bucket.build()?.available(), 0);
/// # Ok::<(), millhand::LimitError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TokenBucket {
    rate: u32,
    per: Duration,
    burst: u32,
    initial: Option<u32>,
    clock: Clock,
}

impl TokenBucket {
    /// How many tokens are kept at most: what passes at once after a pause. Default: 1, an even flow.
    ///
    /// With 1, whatever comes while nobody is there to take it is lost, and threads wake late by some ten microseconds. For
    /// a rate of 1,000 a second and more, a burst of a few hundredths of that makes up for it.
    ///
    /// ```
    /// # use millhand::RateLimiter;
    /// # use std::time::Duration;
    /// let bucket = RateLimiter::token_bucket(1000, Duration::from_secs(1)).burst(20);
    /// assert_eq!(bucket.build()?.available(), 20);
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn burst(mut self, tokens: u32) -> Self {
        self.burst = tokens;
        self
    }

    /// How many tokens are there at the start, at most the burst. Default: the burst.
    ///
    /// ```
    /// # use millhand::RateLimiter;
    /// # use std::time::Duration;
    /// let bucket = RateLimiter::token_bucket(1000, Duration::from_secs(1)).initial(0);
    /// assert!(bucket.build()?.try_acquire(1).is_err());
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn initial(mut self, tokens: u32) -> Self {
        self.initial = Some(tokens);
        self
    }

    /// The clock that it goes by, the same as its pool's. Default: that of the pool in whose task it is made,
    /// elsewhere the system's.
    ///
    /// ```
    /// # use millhand::{ManualClock, RateLimiter};
    /// # use std::time::Duration;
    /// let clock = ManualClock::new();
    /// let limiter = RateLimiter::token_bucket(1, Duration::from_secs(1)).clock(&clock.clock()).build()?;
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn clock(mut self, clock: &Clock) -> Self {
        self.clock = clock.clone();
        self
    }

    /// Makes the limiter.
    ///
    /// # Errors
    /// [`LimitError::Invalid`] for a rate, an interval or a burst of 0, and for more initial tokens than the burst.
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
        let initial = initial.unwrap_or(*burst);
        let bucket = Bucket::new(clock.now(), *rate, *per, *burst, initial)?;
        Ok(RateLimiter::new(clock, Box::new(bucket)))
    }
}

impl Algorithm for TokenBucket {
    fn build(&self) -> Result<RateLimiter, LimitError> {
        Self::build(self)
    }
}

/// Sets a sliding window up; from [`RateLimiter::sliding_window`].
///
/// ```
/// use millhand::RateLimiter;
/// use std::time::Duration;
///
/// let window = RateLimiter::sliding_window(10, Duration::from_secs(1)).and(100, Duration::from_secs(60));
/// assert_eq!(window.build()?.available(), 10);
/// # Ok::<(), millhand::LimitError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SlidingWindow {
    rates: Vec<(u32, Duration)>,
    clock: Clock,
}

impl SlidingWindow {
    /// One more rate to keep to, over a longer interval: more in all, no more per time.
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

    /// The clock that it goes by, the same as its pool's. Default: that of the pool in whose task it is made,
    /// elsewhere the system's.
    ///
    /// ```
    /// # use millhand::{ManualClock, RateLimiter};
    /// # use std::time::Duration;
    /// let clock = ManualClock::new();
    /// let limiter = RateLimiter::sliding_window(1, Duration::from_secs(1)).clock(&clock.clock()).build()?;
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn clock(mut self, clock: &Clock) -> Self {
        self.clock = clock.clone();
        self
    }

    /// Makes the limiter.
    ///
    /// # Errors
    /// [`LimitError::Invalid`] for a limit or an interval of 0, [`LimitError::Rates`] for two that make no sense together.
    ///
    /// ```
    /// # use millhand::RateLimiter;
    /// # use std::time::Duration;
    /// assert!(RateLimiter::sliding_window(10, Duration::from_secs(1)).build().is_ok());
    /// assert!(RateLimiter::sliding_window(10, Duration::ZERO).build().is_err());
    /// ```
    pub fn build(&self) -> Result<RateLimiter, LimitError> {
        let window = Window::new(&self.rates)?;
        Ok(RateLimiter::new(&self.clock, Box::new(window)))
    }
}

impl Algorithm for SlidingWindow {
    fn build(&self) -> Result<RateLimiter, LimitError> {
        Self::build(self)
    }
}
