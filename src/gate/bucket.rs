//! The token bucket: so many tokens a period, no more than the burst at once.
//!
//! Layer 1, pure: `now` is an argument. The `ratelimit` crate keeps the tokens; here is the clock that it goes by.
//
// The crate goes by token time: to it, a token comes every microsecond. Our clock stands between that time and the real
// one, and moves by whole tokens only. So its known faults have nothing to bite on:
// - Each refill drops fractions of a millionth of a token, and none happens within a microsecond of the last: polled in
//   slices, 1 per hour became 0.72. Here each refill is of whole tokens, a microsecond of token time or more. What has
//   come of the next token is ours to keep: `credit`, a whole number of parts, of which `rate` come in a nanosecond and
//   `per` make a token. So it is exact for every rate, however it is polled.
// - `available()` is stale until the next try. Here token time moves only right before a try, so it is always true, and
//   `ask` can answer by it and take nothing.
// - Its hint is rounded down, to a nanosecond at which it may still refuse. Ours is rounded up: the first that passes.
// - Its defaults (starts empty, holds a period's tokens, rate 0 is no limit): everything is said, 0 is refused.
//
// A full bucket collects nothing, not even a fraction: the next token takes its whole time from when one is taken.

use crate::gate::error::LimitError;
use crate::gate::rule::{Refusal, Rule, after, duration};
use ratelimit::{Builder, Ratelimiter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A token's length in token time, in nanoseconds: the least that the crate refills after.
const TOKEN: u64 = 1_000;

/// Past this, token time begins anew, or it would run out: 4 * 10^12 tokens.
const TIME_TO_RESTART: u64 = 1 << 52;

/// A bucket's tokens and when they come. Single owner, under the gate's lock.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// The tokens that came until `at`, less those that were taken.
    tokens: Ratelimiter<TokenTime>,
    time: TokenTime,
    /// Tokens per `per`, and parts of a token per nanosecond.
    rate: u32,
    /// In nanoseconds; and how many parts make a token.
    per: u64,
    burst: u32,
    /// Until when tokens are accounted for. Never goes back.
    at: Instant,
    /// The parts of the next token that had come at `at`: fewer than `per`, none when full.
    credit: u64,
    /// Whether its rate is another than it was made with.
    changed: bool,
}

impl Bucket {
    /// Holds `initial` tokens at `now`, gets `rate` more every `per`, and holds `burst` at most.
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

    /// The tokens that were there at `at`.
    fn held(&self) -> u32 {
        u32::try_from(self.tokens.available()).unwrap_or(self.burst)
    }

    /// What `now` brings on top of what is held: whole tokens, as many as there is room for, and parts of the next.
    fn due(&self, now: Instant) -> (u32, u64) {
        let room = self.burst - self.held();
        let per = u128::from(self.per);
        // At most 94 bits of nanoseconds, 32 of rate: fits.
        let nanos = now.saturating_duration_since(self.at).as_nanos();
        let parts = nanos * u128::from(self.rate) + u128::from(self.credit);
        // Mostly it is a matter of moments, and of numbers that a processor divides by itself.
        let whole = match u64::try_from(parts) {
            Ok(parts) => u128::from(parts / self.per),
            Err(_) => parts / per,
        };
        if whole >= u128::from(room) {
            return (room, 0);
        }
        (whole as u32, (parts - whole * per) as u64) // less than the room, less than `per`
    }

    /// When `weight` passes, for which there is too little at `at`.
    fn refusal(&self, weight: u32) -> Refusal {
        if weight > self.burst {
            return Refusal::Later;
        }
        Refusal::Until(self.comes(weight.into()))
    }

    /// When that many tokens have come, with those that are held.
    fn comes(&self, tokens: u64) -> Instant {
        let missing = tokens.saturating_sub(self.held().into());
        let parts = u128::from(missing) * u128::from(self.per);
        let nanos = parts
            .saturating_sub(self.credit.into())
            .div_ceil(u128::from(self.rate));
        after(self.at, duration(nanos))
    }

    /// Token time begins anew, with so many tokens.
    #[cold]
    fn restart(&mut self, held: u32) {
        self.time.set(0);
        self.tokens = tokens(&self.time, self.burst, held);
    }
}

impl Rule for Bucket {
    fn ask(&mut self, now: Instant, _order: u64, weight: u32) -> Result<(), Refusal> {
        if weight <= self.available(now) {
            return Ok(());
        }
        Err(self.refusal(weight))
    }

    fn take(&mut self, now: Instant, order: u64, weight: u32) {
        let taken = self.try_take(now, order, weight);
        debug_assert_eq!(taken, Ok(()), "taken without being allowed");
    }

    fn try_take(&mut self, now: Instant, order: u64, weight: u32) -> Result<(), Refusal> {
        if weight == 0 || weight > self.burst {
            // To these the crate answers before it refills, and `available()` would be stale.
            return self.ask(now, order, weight);
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

    fn heaviest(&self) -> u32 {
        self.burst
    }

    fn available(&mut self, now: Instant) -> u32 {
        self.held() + self.due(now).0
    }

    fn earliest(&self, now: Instant, wanted: u64) -> Option<Instant> {
        Some(self.comes(wanted).max(now))
    }

    fn is_fresh(&mut self, now: Instant) -> bool {
        !self.changed && self.available(now) == self.burst
    }

    /// What came until `now` stays: whole tokens, and of the next one all but what comes in less than a nanosecond.
    fn set_rate(&mut self, now: Instant, rate: u32, per: Duration) -> bool {
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

/// The clock that the crate reads. One thread at a time uses it, under the gate's lock; it is shared and atomic because
/// the crate owns one end and the bucket may move between threads.
#[derive(Clone, Debug, Default)]
struct TokenTime(Arc<AtomicU64>);

impl TokenTime {
    // ORDERING: relaxed in both; what moves the bucket between threads (the gate's lock) orders them.
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

/// The crate's bucket with `held` tokens, when token time is 0.
fn tokens(time: &TokenTime, burst: u32, held: u32) -> Ratelimiter<TokenTime> {
    Builder::with_clock(1, time.clone())
        .period(Duration::from_nanos(TOKEN))
        .max_tokens(burst.into())
        .initial_available(held.into())
        .build()
        .expect("a burst of at least 1, and no more held than that")
}

/// The period in nanoseconds, if the rate makes sense.
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
