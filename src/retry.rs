//! When a failed task is tried again: plain data, and one pure decision.
//!
//! Layer: retry, beside the limits.
//
// Delays are computed in nanoseconds as u128, so that sums and products of whole numbers are
// exact, and saturate instead of overflowing. The random number of a jitter depends on the seed
// of the process and on the numbers of the task and of the retry only, so the same question has the
// same answer.

use crate::clock::{current, from_nanos};
use crate::random;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The cap of growing delays if none is set.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Says how often a failed task is tried again, and after which delays. It is given to a task by
/// [`TaskBuilder::retry`](crate::TaskBuilder::retry).
///
/// Retries are counted from 0, and the first attempt is not one: with `max_retries` 3 a task runs
/// at most four times, with 0 once. A delay begins when an attempt fails, and ends when the next
/// one is due.
///
/// | | delay of retry k | [`max_delay`](Self::max_delay) by default |
/// | --- | --- | --- |
/// | [`fixed`](Self::fixed) | `delay` | none |
/// | [`linear`](Self::linear) | `step * (k + 1)` | 60 s |
/// | [`exponential`](Self::exponential) | `base * factor^k` | 60 s |
/// | [`from_fn`](Self::from_fn) | `f(k)` | none |
///
/// The default is 3 retries with exponential delays that begin with 1 s. Exponential delays have
/// [equal jitter](Jitter::Equal), since what failed together comes back together; the others have
/// none. A delay is never above `max_delay`, with or without [`jitter`](Self::jitter). A delay that
/// no [`Duration`] can hold is [`Duration::MAX`].
///
/// ```
/// use millhand::task::Jitter;
/// use millhand::Retry;
/// use std::time::Duration;
///
/// let retry = Retry::exponential(5, Duration::from_millis(100))
///     .jitter(Jitter::None)
///     .max_delay(Duration::from_secs(1))
///     .max_elapsed(Duration::from_secs(30));
/// let delays: Vec<_> = (0..5).map(|k| retry.delay(k).as_millis()).collect();
/// assert_eq!(delays, [100, 200, 400, 800, 1000]);
///
/// // So that tasks that failed together are not tried again together:
/// let spread = Retry::exponential(5, Duration::from_millis(100));
/// let third = spread.delay(2).as_millis();
/// assert!((200..=400).contains(&third));
/// ```
///
/// Guide: [time](crate::guide::time).
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Retry {
    max_retries: u32,
    backoff: Backoff,
    /// `None`: no cap.
    max_delay: Option<Duration>,
    jitter: Jitter,
    max_elapsed: Option<Duration>,
}

/// How the delay of a retry is computed, before cap and jitter.
#[derive(Clone, Debug, PartialEq)]
enum Backoff {
    Fixed(Duration),
    Linear { step: Duration },
    Exponential { base: Duration, factor: f64 },
    FromFn(DelayFn),
}

/// A function of the user. Clones share it, and two of these are equal if they share it.
#[derive(Clone)]
struct DelayFn(Arc<dyn Fn(u32) -> Duration + Send + Sync>);

/// Makes the delay of a retry random, so that tasks that failed together are not tried again
/// together.
///
/// Both kinds are from Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
/// Neither makes a delay longer. In the list below, d is the delay without jitter.
///
/// ```
/// use millhand::task::Jitter;
/// use millhand::Retry;
/// use std::time::Duration;
///
/// let second = Duration::from_secs(1);
/// let retry = Retry::fixed(3, second);
/// assert_eq!(retry.clone().jitter(Jitter::None).delay(0), second);
/// assert!(retry.clone().jitter(Jitter::Full).delay(0) <= second);
/// assert!((second / 2..=second).contains(&retry.jitter(Jitter::Equal).delay(0)));
/// ```
///
/// Guide: [time](crate::guide::time).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Jitter {
    /// The delay is d.
    #[default]
    None,
    /// The delay is from 0 to d, all values equally likely. This spreads the most, and causes the
    /// least work in total.
    Full,
    /// The delay is from d/2 to d, all values equally likely. So there is always some pause.
    Equal,
}

impl Retry {
    /// Retries after the same delay each time.
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

    /// Retries after delays that grow by `step`: one step, two steps, three.
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

    /// Retries after delays that begin with `base` and double each time, or grow by another
    /// [`factor`](Self::factor).
    ///
    /// ```
    /// # use millhand::task::Jitter;
    /// # use millhand::Retry;
    /// # use std::time::Duration;
    /// let retry = Retry::exponential(10, Duration::from_secs(1)).jitter(Jitter::None);
    /// assert_eq!(retry.delay(0), Duration::from_secs(1));
    /// assert_eq!(retry.delay(5), Duration::from_secs(32));
    /// assert_eq!(retry.delay(6), Duration::from_secs(60)); // the cap
    /// ```
    pub fn exponential(max_retries: u32, base: Duration) -> Self {
        let backoff = Backoff::Exponential { base, factor: 2.0 };
        Self::new(max_retries, backoff, Some(MAX_DELAY)).jitter(Jitter::Equal)
    }

    /// Retries after delays that a function returns for the number of the retry, from 0.
    ///
    /// The function should always return the same delay for the same number, since it may be
    /// called more than once. Clones of the policy share the function. Two policies with
    /// functions are equal if they share theirs.
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
            max_elapsed: None,
        }
    }

    /// Sets the factor between an exponential delay and the next one. Below 1 the delays get
    /// shorter. Other policies ignore it. Default: 2.
    ///
    /// # Panics
    /// If the factor is not above 0, or not finite.
    ///
    /// ```
    /// # use millhand::task::Jitter;
    /// # use millhand::Retry;
    /// # use std::time::Duration;
    /// let retry = Retry::exponential(3, Duration::from_millis(100)).factor(1.5).jitter(Jitter::None);
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

    /// Sets the longest delay, with or without jitter: a longer one is cut to it. Default: 60 s
    /// if the delays grow, none if they are fixed or come from a function.
    ///
    /// ```
    /// # use millhand::Retry;
    /// # use std::time::Duration;
    /// let patient = Retry::linear(20, Duration::from_secs(60)).max_delay(Duration::from_secs(600));
    /// assert_eq!(patient.delay(5), Duration::from_secs(360));
    /// assert_eq!(patient.delay(12), Duration::from_secs(600));
    /// ```
    pub fn max_delay(mut self, max_delay: Duration) -> Self {
        self.max_delay = Some(max_delay);
        self
    }

    /// Sets how the delays are made random. Default: [`Jitter::Equal`] for exponential delays, and
    /// [`Jitter::None`] for others.
    ///
    /// ```
    /// # use millhand::task::Jitter;
    /// # use millhand::Retry;
    /// # use std::time::Duration;
    /// let retry = Retry::fixed(8, Duration::from_secs(2)).jitter(Jitter::Equal);
    /// assert!((1..=2).contains(&retry.delay(1).as_secs()));
    /// ```
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Gives up if the next attempt would be due later than this, counted from the start of the
    /// first one. An attempt that runs is not cut short. Default: no limit but the number of
    /// retries.
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

    /// Returns how often a task is tried again at most. The first attempt does not count.
    ///
    /// ```
    /// assert_eq!(millhand::Retry::default().max_retries(), 3);
    /// ```
    pub fn max_retries(&self) -> u32 {
        self.max_retries
    }

    /// Returns the delay before a retry, counted from 0, even beyond `max_retries`.
    ///
    /// The same call returns the same delay, even with jitter. Then it is a delay that some task
    /// may get, and another one in the next process, or under another seed of a simulation.
    ///
    /// ```
    /// # use millhand::Retry;
    /// # use std::time::Duration;
    /// let retry = Retry::linear(3, Duration::from_secs(1));
    /// let delays: Vec<_> = (0..3).map(|k| retry.delay(k).as_secs()).collect();
    /// assert_eq!(delays, [1, 2, 3]);
    /// ```
    pub fn delay(&self, retry: u32) -> Duration {
        self.delay_for(retry, 0)
    }

    /// The delay before a retry of a task. `salt` makes it different from those of other tasks.
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
            Jitter::Full => self.random(retry, salt, nanos),
            Jitter::Equal => nanos / 2 + self.random(retry, salt, nanos - nanos / 2),
        };
        // Both kinds of jitter only shorten. The cap is a promise, and must not depend on that.
        from_nanos(spread.min(cap))
    }

    /// Returns the delay before the next attempt, or `None` to give up: what a pool asks after each
    /// failure. Use it for what you try again yourself.
    ///
    /// `retries_so_far` is how many retries there were. `elapsed` is the time since the start of
    /// the first attempt. The jitter depends on `salt`, which is the number of what is tried, and
    /// on the seed of the process. `hint` is what a server asked for. It takes the place of the
    /// computed delay as it is, with neither cap nor jitter.
    ///
    /// ```
    /// use millhand::Retry;
    /// use std::time::Duration;
    ///
    /// let retry = Retry::fixed(2, Duration::from_secs(5));
    /// let decide = |retries| retry.decide(retries, Duration::ZERO, 17, None);
    /// assert_eq!(decide(1), Some(Duration::from_secs(5)));
    /// assert_eq!(decide(2), None);
    /// ```
    pub fn decide(
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
        let is_in_time = self
            .max_elapsed
            .is_none_or(|limit| elapsed.saturating_add(delay) <= limit);
        is_in_time.then_some(delay)
    }

    /// A random number from 0 to `most`.
    fn random(&self, retry: u32, salt: u64, most: u128) -> u128 {
        random::up_to(most, current::seed(salt), u64::from(retry))
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

/// `nanos * factor^k`, rounded to the nearest. Exact if the power is a whole number of less than 54
/// bits, or a power of two.
fn grown(nanos: u128, factor: f64, k: u32) -> u128 {
    let power = power(factor, k);
    if power == power.trunc() {
        nanos.saturating_mul(power as u128) // infinity is u128::MAX
    } else {
        // If the product is more than u128 holds, `as` saturates.
        (nanos as f64 * power).round() as u128
    }
}

/// `factor^k`, by squaring. The result of `f64::powi` may differ between machines and compilers.
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
        Retry::exponential(3, base).jitter(Jitter::None)
    }

    #[test]
    fn delays_by_table() {
        macro_rules! table {
            ($($policy:expr, $retry:expr => $delay:expr;)*) => {
                $(let policy = $policy; assert_eq!(policy.delay($retry), $delay, "{policy:?}, {}", $retry);)*
            };
        }
        table! {
            exp(S), 0 => S;
            exp(S), 5 => 32 * S;
            exp(S), 6 => 60 * S;
            exp(S), u32::MAX => 60 * S;
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
            exp(3 * NS).factor(0.5), 1 => 2 * NS; // rounded to the nearest
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
        assert_eq!(Retry::default(), exp(S).factor(2.0).jitter(Jitter::Equal));
        assert_ne!(Retry::default(), exp(S));
    }

    #[test]
    fn jitter_reaches_all_of_its_range_evenly() {
        for (jitter, range) in [(Jitter::Full, 0..=9), (Jitter::Equal, 4..=9)] {
            let policy = Retry::fixed(1, 9 * NS).jitter(jitter);
            let mut seen = [0_u32; 10];
            (0..60_000).for_each(|k| seen[policy.delay(k).as_nanos() as usize] += 1);
            for (nanos, times) in seen.into_iter().enumerate() {
                let fair = 60_000 / range.clone().count() as u32;
                let expected = if range.contains(&nanos) { fair } else { 0 };
                // More than eight standard deviations.
                let even = times.abs_diff(expected) <= expected / 10;
                assert!(even, "{jitter:?}: {nanos} ns, {times} times");
            }
        }
    }

    #[test]
    fn tasks_differ() {
        let policy = Retry::fixed(1, MAX).jitter(Jitter::Full);
        assert_ne!(policy.delay_for(0, 1), policy.delay_for(0, 2));
        assert_ne!(policy.delay_for(0, 1), policy.delay_for(1, 1));
        assert_eq!(policy.delay_for(0, 1), policy.delay_for(0, 1));
    }
}

#[cfg(all(test, not(loom)))]
#[path = "../tests/props/retry.rs"]
mod properties;
