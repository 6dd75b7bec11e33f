//! The token bucket: so many tokens per period, and at most a burst of them at once.
//!
//! Layer: limit, pure: `now` is an argument. The `ratelimit` crate (<https://docs.rs/ratelimit>)
//! keeps the tokens; this file has the clock that the crate reads.
//
// The crate reads token time: in that time a token comes every microsecond. This file translates
// between token time and real time, and moves token time by whole tokens only. That avoids what the
// crate by itself gets wrong:
// - Each refill of the crate drops fractions of a millionth of a token, and it does not refill
//   within a microsecond of the last refill. Polled in slices, a rate of 1 per hour became 0.72.
//   Here each refill is of whole tokens, so at least a microsecond of token time. The fraction of
//   the next token that has come is kept here, in `credit`: a whole number of parts, of which
//   `rate` come per nanosecond and `per` make a token. So the bucket is exact for every rate,
//   however often it is polled.
// - `available()` of the crate is stale until the next try. Here token time moves only right
//   before a try, so `available()` is always right, and `ask` can answer by it and take nothing.
// - The crate rounds its hint down, to a nanosecond at which it may still refuse. Here the
//   instant is rounded up, to the first one that passes.
// - The defaults of the crate: a bucket starts empty and holds the tokens of one period, and a
//   rate of 0 means no limit. Here everything is given, and a rate of 0 is refused.
//
// A full bucket collects nothing, not even a fraction. So after a token is taken from a full
// bucket, the next one takes its whole time to come.

use crate::clock::{from_nanos, later};
use crate::limit::error::LimitError;
use crate::limit::rule::Refusal;
use ratelimit::{Builder, Ratelimiter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a token takes to come in token time, in nanoseconds: the shortest time after which the
/// crate refills.
const TOKEN: u64 = 1_000;

/// Token time restarts from 0 once it is past this, which is after 4 * 10^12 tokens, so that it
/// cannot overflow.
const TIME_TO_RESTART: u64 = 1 << 52;

/// The tokens of a bucket and when more come. Guarded by the lock of the gate.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// The tokens that had come at `at`, minus those that were taken.
    tokens: Ratelimiter<TokenTime>,
    time: TokenTime,
    /// How many tokens come in `per`, and how many parts of a token come in a nanosecond.
    rate: u32,
    /// The period in nanoseconds, and how many parts make a token.
    per: u64,
    burst: u32,
    /// The instant up to which time has been turned into tokens. Never goes back.
    at: Instant,
    /// The parts of the next token that had come at `at`: fewer than `per`, and none in a full
    /// bucket.
    credit: u64,
    /// Whether the rate was changed.
    changed: bool,
}

impl Bucket {
    /// A bucket with `initial` tokens at `now`, which gets `rate` more every `per` and holds at
    /// most `burst`.
    pub(crate) fn new(
        now: Instant,
        rate: u32,
        per: Duration,
        burst: u32,
        initial: u32,
    ) -> Result<Self, LimitError> {
        let per = checked(rate, per)?;
        let refuse = |option, allowed| Err(LimitError::Invalid { option, allowed });
        if burst == 0 {
            return refuse("burst", "at least 1");
        }
        if initial > burst {
            return refuse("initial", "at most the burst");
        }
        let time = TokenTime::default();
        Ok(Self {
            tokens: tokens(&time, burst, initial),
            time,
            rate,
            per,
            burst,
            at: now,
            credit: 0,
            changed: false,
        })
    }

    pub(crate) fn burst(&self) -> u32 {
        self.burst
    }

    /// The tokens in the bucket at `at`.
    fn held(&self) -> u32 {
        u32::try_from(self.tokens.available()).unwrap_or(self.burst)
    }

    /// What has come between `at` and `now`: whole tokens, as many as there is room for, and
    /// parts of the next one.
    fn due(&self, now: Instant) -> (u32, u64) {
        let room = self.burst - self.held();
        let per = u128::from(self.per);
        // At most 94 bits of nanoseconds, 32 of rate: fits.
        let nanos = now.saturating_duration_since(self.at).as_nanos();
        let parts = nanos * u128::from(self.rate) + u128::from(self.credit);
        // In most cases 64 bits suffice, and the division is one instruction.
        let whole = match u64::try_from(parts) {
            Ok(parts) => u128::from(parts / self.per),
            Err(_) => parts / per,
        };
        if whole >= u128::from(room) {
            return (room, 0);
        }
        (whole as u32, (parts - whole * per) as u64) // less than the room, less than `per`
    }

    /// When `weight` passes, for which there are too few tokens at `at`.
    fn refusal(&self, weight: u32) -> Refusal {
        if weight > self.burst {
            return Refusal::Later;
        }
        Refusal::Until(self.when_held(weight.into()))
    }

    /// When so many tokens have come, the held ones included, if the bucket had room for all.
    fn when_held(&self, tokens: u64) -> Instant {
        let missing = tokens.saturating_sub(self.held().into());
        let parts = u128::from(missing) * u128::from(self.per);
        let nanos = parts
            .saturating_sub(self.credit.into())
            .div_ceil(u128::from(self.rate));
        later(self.at, from_nanos(nanos))
    }

    /// Restarts token time, with so many tokens.
    #[cold]
    fn restart(&mut self, held: u32) {
        self.time.set(0);
        self.tokens = tokens(&self.time, self.burst, held);
    }

    pub(crate) fn ask(&self, now: Instant, weight: u32) -> Result<(), Refusal> {
        if weight <= self.available(now) {
            return Ok(());
        }
        Err(self.refusal(weight))
    }

    pub(crate) fn try_take(&mut self, now: Instant, weight: u32) -> Result<(), Refusal> {
        if weight == 0 || weight > self.burst {
            // The crate answers to these before it refills, and `available()` would be stale.
            return self.ask(now, weight);
        }
        if self.time.get() > TIME_TO_RESTART {
            self.restart(self.held());
        }
        let (tokens, credit) = self.due(now);
        self.at = self.at.max(now);
        self.credit = credit;
        self.time.set(self.time.get() + u64::from(tokens) * TOKEN);
        self.tokens
            .try_wait_n(weight.into())
            .map_err(|_| self.refusal(weight))
    }

    pub(crate) fn available(&self, now: Instant) -> u32 {
        self.held() + self.due(now).0
    }

    pub(crate) fn earliest(&self, now: Instant, wanted: u64) -> Instant {
        self.when_held(wanted).max(now)
    }

    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        !self.changed && self.available(now) == self.burst
    }

    /// Keeps what has come until `now`: whole tokens, and of the next one all but what comes in
    /// less than a nanosecond.
    pub(crate) fn set_rate(&mut self, now: Instant, rate: u32, per: Duration) -> bool {
        let Ok(per) = checked(rate, per) else {
            return false;
        };
        let (tokens, credit) = self.due(now);
        self.restart(self.held() + tokens);
        self.at = self.at.max(now);
        let credit = u128::from(credit) * u128::from(per) / u128::from(self.per);
        self.credit = credit as u64; // less than the new `per`
        (self.rate, self.per) = (rate, per);
        self.changed = true;
        true
    }
}

/// The clock that the crate reads. One thread at a time uses it, under the lock of the gate. It is
/// shared and atomic because the crate owns the other end, and because the bucket may move between
/// threads.
#[derive(Clone, Debug, Default)]
struct TokenTime(Arc<AtomicU64>);

impl TokenTime {
    // ORDERING: relaxed in `get` and `set`. The lock of the gate, which guards the bucket, orders
    // them.
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, nanos: u64) {
        self.0.store(nanos, Ordering::Relaxed);
    }
}

impl ratelimit::Clock for TokenTime {
    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.get())
    }
}

/// A bucket of the crate with `held` tokens, for a token time of 0.
fn tokens(time: &TokenTime, burst: u32, held: u32) -> Ratelimiter<TokenTime> {
    Builder::with_clock(1, time.clone())
        .period(Duration::from_nanos(TOKEN))
        .max_tokens(burst.into())
        .initial_available(held.into())
        .build()
        .expect("a burst of at least 1, and no more held than that")
}

/// Returns the period in nanoseconds if the rate makes sense.
fn checked(rate: u32, per: Duration) -> Result<u64, LimitError> {
    let refuse = |option, allowed| Err(LimitError::Invalid { option, allowed });
    if rate == 0 {
        return refuse("rate", "at least 1");
    }
    match u64::try_from(per.as_nanos()) {
        Ok(nanos) if nanos > 0 => Ok(nanos),
        _ => refuse("per", "more than zero and at most 584 years"),
    }
}

#[cfg(all(test, not(loom)))]
#[path = "../../tests/props/bucket.rs"]
mod tests;
