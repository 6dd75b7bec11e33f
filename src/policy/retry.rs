//! When a failed task is tried again: plain data, and one pure decision.
//!
//! Layer 1, beside the hand-off.

// Delays are reckoned in nanoseconds as u128, so that sums and products of whole numbers are exact and cannot overflow
// before they saturate. A random number belongs to (seed, retry).

use crate::here;
use crate::random;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The cap of growing delays, unless another is set.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// How often a failed task is tried again, and after which delays.
///
/// Retries are counted from 0 and do not include the first attempt: with `max_retries` 3 a task runs four times at
/// most, with 0 once. The delay runs from the failure of an attempt to the time when the next one is due.
///
/// | | delay of retry k | [`max_delay`](Self::max_delay) by default |
/// | --- | --- | --- |
/// | [`fixed`](Self::fixed) | `delay` | none |
/// | [`linear`](Self::linear) | `step * (k + 1)` | 60 s |
/// | [`exponential`](Self::exponential) | `base * factor^k` | 60 s |
/// | [`from_fn`](Self::from_fn) | `f(k)` | none |
///
/// The default is 3 retries, exponential, from 1 s on. A delay is never above `max_delay`, with or without
/// [`jitter`](Self::jitter); one that no [`Duration`] can hold is [`Duration::MAX`].
///
/// ```
/// use millhand::{Jitter, Retry};
/// use std::time::Duration;
///
/// let retry = Retry::exponential(5, Duration::from_millis(100))
///     .max_delay(Duration::from_secs(1))
///     .max_elapsed(Duration::from_secs(30));
/// let delays: Vec<_> = (0..5).map(|k| retry.delay(k).as_millis()).collect();
/// assert_eq!(delays, [100, 200, 400, 800, 1000]);
///
/// // So that what failed together is not tried again together:
/// let spread = retry.jitter(Jitter::Full);
/// assert!(spread.delay(2) <= Duration::from_millis(400));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Retry {
    max_retries: u32,
    backoff: Backoff,
    /// `None`: as long as the backoff says.
    max_delay: Option<Duration>,
    jitter: Jitter,
    /// `None`: the process's own, another one for each task.
    seed: Option<u64>,
    max_elapsed: Option<Duration>,
}

/// What makes the delay of a retry, before cap and jitter.
#[derive(Clone, Debug, PartialEq)]
enum Backoff {
    Fixed(Duration),
    Linear { step: Duration },
    Exponential { base: Duration, factor: f64 },
    FromFn(DelayFn),
}

/// A user's own delays: shared by clones, and equal to what is shared.
#[derive(Clone)]
struct DelayFn(Arc<dyn Fn(u32) -> Duration + Send + Sync>);

/// What chance does to the delay d of a retry, so that tasks that failed together do not come back together.
///
/// Both ways of doing it are from Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. Neither
/// makes a delay longer.
///
/// ```
/// use millhand::{Jitter, Retry};
/// use std::time::Duration;
///
/// let second = Duration::from_secs(1);
/// let retry = Retry::fixed(3, second);
/// assert_eq!(retry.clone().jitter(Jitter::None).delay(0), second);
/// assert!(retry.clone().jitter(Jitter::Full).delay(0) <= second);
/// assert!((second / 2..=second).contains(&retry.jitter(Jitter::Equal).delay(0)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Jitter {
    /// Nothing: the delay is d.
    #[default]
    None,
    /// The delay is anything from 0 to d, all of it equally likely. Spreads the most, and does the least work over all.
    Full,
    /// The delay is anything from d/2 to d, all of it equally likely: some pause is certain.
    Equal,
}

impl Retry {
    /// The same delay before each retry.
    ///
    /// ```
    /// # use millhand::Retry;
    /// # use std::time::Duration;
    /// let retry = Retry::fixed(3, Duration::from_secs(90));
    /// assert_eq!(retry.delay(0), Duration::from_secs(90));
    /// assert_eq!(retry.delay(2), Duration::from_secs(90));
    /// ```
    pub fn fixed(max_retries: u32, delay: Duration) -> Self {
        Self::new(max_retries, Backoff::Fixed(delay), None)
    }

    /// Delays that grow by `step`: one step, two steps, three.
    ///
    /// ```
    /// # use millhand::Retry;
    /// # use std::time::Duration;
    /// let retry = Retry::linear(10, Duration::from_secs(5));
    /// assert_eq!(retry.delay(0), Duration::from_secs(5));
    /// assert_eq!(retry.delay(2), Duration::from_secs(15));
    /// ```
    pub fn linear(max_retries: u32, step: Duration) -> Self {
        Self::new(max_retries, Backoff::Linear { step }, Some(MAX_DELAY))
    }

    /// Delays that begin with `base` and double each time; [`factor`](Self::factor) makes it something else.
    ///
    /// ```
    /// # use millhand::Retry;
    /// # use std::time::Duration;
    /// let retry = Retry::exponential(10, Duration::from_secs(1));
    /// assert_eq!(retry.delay(0), Duration::from_secs(1));
    /// assert_eq!(retry.delay(5), Duration::from_secs(32));
    /// assert_eq!(retry.delay(6), Duration::from_secs(60)); // the cap
    /// ```
    pub fn exponential(max_retries: u32, base: Duration) -> Self {
        let backoff = Backoff::Exponential { base, factor: 2.0 };
        Self::new(max_retries, backoff, Some(MAX_DELAY))
    }

    /// Delays that a function makes of the number of the retry, from 0.
    ///
    /// It should give the same answer to the same question: a policy may be asked more than once. Clones of the policy
    /// share it; two policies with functions are equal if they share it.
    ///
    /// ```
    /// # use millhand::Retry;
    /// # use std::time::Duration;
    /// let seconds = [1, 5, 60];
    /// let retry = Retry::from_fn(3, move |k| Duration::from_secs(seconds[k as usize]));
    /// assert_eq!(retry.delay(1), Duration::from_secs(5));
    /// ```
    pub fn from_fn(
        max_retries: u32,
        delay: impl Fn(u32) -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self::new(max_retries, Backoff::FromFn(DelayFn(Arc::new(delay))), None)
    }

    fn new(max_retries: u32, backoff: Backoff, max_delay: Option<Duration>) -> Self {
        Self {
            max_retries,
            backoff,
            max_delay,
            jitter: Jitter::None,
            seed: None,
            max_elapsed: None,
        }
    }

    /// By what an exponential delay is multiplied from retry to retry. The other policies have no use for it. Below 1
    /// the delays get shorter. Default: 2.
    ///
    /// # Panics
    /// When the factor is not above 0, or not finite.
    ///
    /// ```
    /// # use millhand::Retry;
    /// # use std::time::Duration;
    /// let retry = Retry::exponential(3, Duration::from_millis(100)).factor(1.5);
    /// assert_eq!(retry.delay(2), Duration::from_millis(225));
    /// ```
    #[track_caller]
    pub fn factor(mut self, factor: f64) -> Self {
        assert!(
            factor.is_finite() && factor > 0.0,
            "a retry's factor of {factor} is not allowed: it must be above 0, and finite"
        );
        if let Backoff::Exponential { factor: old, .. } = &mut self.backoff {
            *old = factor;
        }
        self
    }

    /// The longest delay, jitter or not; what is longer is cut to it. Default: 60 s where delays grow, none where they
    /// are fixed or a function's.
    ///
    /// ```
    /// # use millhand::Retry;
    /// # use std::time::Duration;
    /// let patient = Retry::exponential(20, Duration::from_secs(1)).max_delay(Duration::from_secs(3600));
    /// assert_eq!(patient.delay(10), Duration::from_secs(1024));
    /// assert_eq!(patient.delay(12), Duration::from_secs(3600));
    /// ```
    pub fn max_delay(mut self, max_delay: Duration) -> Self {
        self.max_delay = Some(max_delay);
        self
    }

    /// How chance spreads the delays. Default: [`Jitter::None`].
    ///
    /// ```
    /// # use millhand::{Jitter, Retry};
    /// # use std::time::Duration;
    /// let retry = Retry::exponential(8, Duration::from_secs(2)).jitter(Jitter::Equal);
    /// assert!((2..=4).contains(&retry.delay(1).as_secs()));
    /// ```
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Makes the jitter the same in each run and for each task, which is good for tests, and for little else: tasks
    /// with one seed come back together. Default: a random one for each task.
    ///
    /// ```
    /// # use millhand::{Jitter, Retry};
    /// # use std::time::Duration;
    /// let retry = Retry::fixed(3, Duration::from_secs(10)).jitter(Jitter::Full);
    /// assert_eq!(retry.clone().seed(7).delay(0), retry.clone().seed(7).delay(0));
    /// assert_ne!(retry.clone().seed(7).delay(0), retry.seed(8).delay(0));
    /// ```
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Gives up when the next attempt would be due later than this, counted from the start of the first one; what runs
    /// is not cut short. Default: no limit but the number of retries.
    ///
    /// ```
    /// # use millhand::Retry;
    /// # use std::time::Duration;
    /// // As often as it takes, for five minutes.
    /// let retry = Retry::exponential(u32::MAX, Duration::from_secs(1)).max_elapsed(Duration::from_secs(300));
    /// assert_eq!(retry.max_retries(), u32::MAX);
    /// ```
    pub fn max_elapsed(mut self, max_elapsed: Duration) -> Self {
        self.max_elapsed = Some(max_elapsed);
        self
    }

    /// How often a task is tried again at most, the first attempt not counted.
    ///
    /// ```
    /// assert_eq!(millhand::Retry::default().max_retries(), 3);
    /// ```
    pub fn max_retries(&self) -> u32 {
        self.max_retries
    }

    /// The delay before a retry, which are counted from 0; beyond `max_retries`, too.
    ///
    /// The same question has the same answer, with jitter, too; without a [`seed`](Self::seed) that answer is one that a
    /// task might get, and another one in the next process.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let delays: Vec<_> = (0..3).map(|k| millhand::Retry::default().delay(k).as_secs()).collect();
    /// assert_eq!(delays, [1, 2, 4]);
    /// ```
    pub fn delay(&self, retry: u32) -> Duration {
        self.delay_for(retry, 0)
    }

    /// The delay before a retry of one task, told apart from others by `salt`; a seeded policy ignores that.
    pub(crate) fn delay_for(&self, retry: u32, salt: u64) -> Duration {
        let nanos = match &self.backoff {
            Backoff::Fixed(delay) => delay.as_nanos(),
            Backoff::Linear { step } => step.as_nanos() * (u128::from(retry) + 1), // below 2^126
            Backoff::Exponential { base, factor } => grown(base.as_nanos(), *factor, retry),
            Backoff::FromFn(delay) => (delay.0)(retry).as_nanos(),
        };
        let cap = self.max_delay.unwrap_or(Duration::MAX).as_nanos();
        let nanos = nanos.min(cap);
        let spread = match self.jitter {
            Jitter::None => nanos,
            Jitter::Full => self.chance(retry, salt, nanos),
            Jitter::Equal => nanos / 2 + self.chance(retry, salt, nanos - nanos / 2),
        };
        // Both jitters only shorten; the cap is a promise that must not hang on it.
        duration(spread.min(cap))
    }

    /// The delay before the next attempt, or `None`: give up.
    ///
    /// `elapsed` is the time since the start of the first attempt. `hint`, what a server asked for, stands in for the
    /// computed delay as it is: neither capped nor spread.
    pub(crate) fn decide(
        &self,
        retries_so_far: u32,
        elapsed: Duration,
        salt: u64,
        hint: Option<Duration>,
    ) -> Option<Duration> {
        if retries_so_far >= self.max_retries {
            return None;
        }
        let delay = hint.unwrap_or_else(|| self.delay_for(retries_so_far, salt));
        let in_time = self
            .max_elapsed
            .is_none_or(|limit| elapsed.saturating_add(delay) <= limit);
        in_time.then_some(delay)
    }

    /// A random number from 0 to `most`.
    fn chance(&self, retry: u32, salt: u64, most: u128) -> u128 {
        let seed = self.seed.unwrap_or_else(|| here::seed(salt));
        random::up_to(most, seed, u64::from(retry))
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::exponential(3, Duration::from_secs(1))
    }
}

impl fmt::Debug for DelayFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("from_fn")
    }
}

impl PartialEq for DelayFn {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// `nanos * factor^k`, rounded to the nearest; exact as long as the power is a whole number of less than 54 bits, or a
/// power of two.
fn grown(nanos: u128, factor: f64, k: u32) -> u128 {
    let power = power(factor, k);
    if power == power.trunc() {
        nanos.saturating_mul(power as u128) // infinity is u128::MAX
    } else {
        // The product may be above what u128 holds: `as` saturates.
        (nanos as f64 * power).round() as u128
    }
}

/// By squaring. `f64::powi` may give another result on another machine, or with another compiler.
fn power(factor: f64, mut k: u32) -> f64 {
    let (mut power, mut square) = (1.0, factor);
    while k > 0 {
        if k % 2 == 1 {
            power *= square;
        }
        square *= square;
        k /= 2;
    }
    power
}

/// The longest duration instead of one that does not fit.
fn duration(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    match u64::try_from(nanos / SECOND) {
        Ok(seconds) => Duration::new(seconds, (nanos % SECOND) as u32),
        Err(_) => Duration::MAX,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    const NS: Duration = Duration::from_nanos(1);
    const MS: Duration = Duration::from_millis(1);
    const S: Duration = Duration::from_secs(1);
    const ZERO: Duration = Duration::ZERO;
    const MAX: Duration = Duration::MAX;

    fn exp(base: Duration) -> Retry {
        Retry::exponential(3, base)
    }

    #[test]
    fn delays_by_table() {
        macro_rules! table {
            ($($policy:expr, $retry:expr => $delay:expr;)*) => {
                $(let policy = $policy; assert_eq!(policy.delay($retry), $delay, "{policy:?}, {}", $retry);)*
            };
        }
        table! {
            Retry::default(), 0 => S;
            Retry::default(), 5 => 32 * S;
            Retry::default(), 6 => 60 * S;
            Retry::default(), u32::MAX => 60 * S;
            Retry::fixed(3, 90 * S), 7 => 90 * S;
            Retry::fixed(3, MAX), 7 => MAX;
            Retry::fixed(3, S).max_delay(MS), 0 => MS;
            Retry::fixed(3, S).factor(9.0), 4 => S;
            Retry::linear(3, 5 * S), 0 => 5 * S;
            Retry::linear(3, 5 * S), 11 => 60 * S;
            Retry::linear(3, 5 * S), 12 => 60 * S;
            Retry::linear(3, 5 * S).factor(9.0), 1 => 10 * S;
            Retry::linear(3, MAX).max_delay(MAX), u32::MAX => MAX;
            Retry::from_fn(3, |k| k * S), 90 => 90 * S;
            Retry::from_fn(3, |k| k * S).max_delay(S), 90 => S;
            exp(S).max_delay(ZERO), 3 => ZERO;
            exp(ZERO), u32::MAX => ZERO;
            exp(ZERO).factor(f64::MAX).max_delay(MAX), u32::MAX => ZERO;
            exp(100 * MS).factor(1.5), 3 => 337 * MS + 500_000 * NS;
            exp(MS).factor(1.0), u32::MAX => MS;
            exp(S).factor(0.5), 3 => 125 * MS;
            exp(S).factor(0.5), 40 => ZERO;
            exp(3 * NS).factor(0.5), 1 => 2 * NS; // to the nearest
            exp(MAX).factor(5e-324), 1 => ZERO;
            exp(MAX).max_delay(MAX), 0 => MAX;
            exp(MAX).max_delay(MAX).factor(1.5), 1 => MAX;
            exp(NS).max_delay(MAX), u32::MAX => MAX;
        }
    }

    #[test]
    fn decisions_by_table() {
        let limited = Retry::fixed(2, 4 * S).max_elapsed(10 * S);
        let capped = Retry::fixed(2, S).max_delay(S).jitter(Jitter::Full);
        let unasked = Retry::from_fn(1, |_| panic!("asked"));
        let table = [
            (&limited, 0, ZERO, None, Some(4 * S)),
            (&limited, 1, 6 * S, None, Some(4 * S)),
            (&limited, 1, 6 * S + NS, None, None), // would be due too late
            (&limited, 1, MAX, None, None),
            (&limited, 2, ZERO, None, None), // no retries left
            (&limited, 2, ZERO, Some(S), None),
            (&limited, 1, 9 * S, Some(S), Some(S)),
            (&limited, 1, 6 * S, Some(5 * S), None),
            (&capped, 0, ZERO, Some(3600 * S), Some(3600 * S)),
            (&unasked, 0, ZERO, Some(S), Some(S)),
            (&unasked, 1, ZERO, None, None),
            (&Retry::fixed(0, S), 0, ZERO, None, None),
            (&Retry::fixed(1, S).max_elapsed(MAX), 0, MAX, None, Some(S)),
        ];
        for (n, (policy, retries, elapsed, hint, expected)) in table.into_iter().enumerate() {
            let decision = policy.decide(retries, elapsed, 1, hint);
            assert_eq!(decision, expected, "row {n}");
        }
    }

    #[test]
    fn nonsense_factors_are_refused() {
        for factor in [0.0, -0.0, -2.0, f64::NAN, f64::INFINITY] {
            let set = AssertUnwindSafe(|| Retry::fixed(1, S).factor(factor).delay(0));
            let text = *catch_unwind(set).unwrap_err().downcast::<String>().unwrap();
            let named = format!("a retry's factor of {factor} is not allowed");
            assert!(text.starts_with(&named), "{text}");
        }
    }

    #[test]
    fn plain_data() {
        let shared = Retry::from_fn(1, |_| S);
        assert_eq!(shared, shared.clone());
        assert_ne!(shared, Retry::from_fn(1, |_| S));
        assert!(format!("{shared:?}").contains("from_fn"));
        assert_eq!(Retry::default(), exp(S).factor(2.0));
        assert_ne!(Retry::default(), exp(S).seed(0));
    }

    #[test]
    fn jitter_reaches_all_of_its_range_evenly() {
        for (jitter, range) in [(Jitter::Full, 0..=9), (Jitter::Equal, 4..=9)] {
            let policy = Retry::fixed(1, 9 * NS).jitter(jitter).seed(1);
            let mut seen = [0_u32; 10];
            (0..60_000).for_each(|k| seen[policy.delay(k).as_nanos() as usize] += 1);
            for (nanos, times) in seen.into_iter().enumerate() {
                let fair = 60_000 / range.clone().count() as u32;
                let expected = if range.contains(&nanos) { fair } else { 0 };
                // Eight standard deviations and more; and the seed makes it the same in each run.
                let even = times.abs_diff(expected) <= expected / 10;
                assert!(even, "{jitter:?}: {nanos} ns, {times} times");
            }
        }
    }

    #[test]
    fn tasks_differ_unless_seeded() {
        let policy = Retry::fixed(1, MAX).jitter(Jitter::Full);
        assert_ne!(policy.delay_for(0, 1), policy.delay_for(0, 2));
        assert_ne!(policy.delay_for(0, 1), policy.delay_for(1, 1));
        assert_eq!(policy.delay_for(0, 1), policy.delay_for(0, 1));
        let seeded = policy.seed(3);
        assert_eq!(seeded.delay_for(0, 1), seeded.delay_for(0, 2));
        assert_ne!(seeded.delay(0), seeded.delay(1));
    }
}

#[cfg(all(test, not(loom)))]
#[path = "../../tests/props/retry.rs"]
mod properties;
