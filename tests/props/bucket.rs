//! The token bucket against exact arithmetic.

use super::*;
use proptest::prelude::*;

const NANO: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);

/// A bucket that starts empty, or with `initial`.
fn bucket(now: Instant, rate: u32, per: Duration, burst: u32, initial: u32) -> Bucket {
    Bucket::new(now, rate, per, burst, initial).unwrap()
}

#[test]
fn nonsense_is_refused_by_name() {
    let now = Instant::now();
    for (rate, per, burst, initial, named) in [
        (0, SECOND, 1, 1, "rate"),
        (1, Duration::ZERO, 1, 1, "per"),
        (1, Duration::MAX, 1, 1, "per"),
        (1, SECOND, 0, 0, "burst"),
        (1, SECOND, 3, 4, "initial"),
    ] {
        match Bucket::new(now, rate, per, burst, initial) {
            Err(LimitError::Invalid { option, .. }) => assert_eq!(option, named),
            other => panic!("{named}: {other:?}"),
        }
    }
    let mut bucket = bucket(now, 1, SECOND, 3, 0);
    assert!(!bucket.set_rate(now, 0, SECOND));
    assert!(!bucket.set_rate(now, 1, Duration::ZERO));
    let unchanged = Err(Refusal::Until(now + SECOND));
    assert_eq!(bucket.ask(now, 1), unchanged);
    assert_eq!((bucket.burst(), bucket.ask(now, 0)), (3, Ok(())));
    // Nothing, and too much: neither loses what has come meanwhile.
    for (weight, answer) in [(0, Ok(())), (4, Err(Refusal::Later))] {
        assert_eq!(bucket.try_take(now + SECOND, weight), answer);
        assert_eq!(bucket.ask(now + SECOND, 1), Ok(()));
    }
}

#[test]
fn polled_in_slices_it_loses_nothing() {
    for (rate, per, slice, span) in [
        // Here the crate by itself lets 0.72 an hour through.
        (1, 3600 * SECOND, 5_001_000, 7200 * SECOND),
        (3, SECOND, 1_234_567, 300 * SECOND),
        (7, 10 * SECOND, 999_000, 300 * SECOND),
        (1000, SECOND, 1_003, SECOND / 4),
        (1000, SECOND, 333, SECOND / 20),
        (13, 1_000_003 * NANO, 7, SECOND / 500),
        (u32::MAX, SECOND, 1, SECOND / 10_000),
    ] {
        let start = Instant::now();
        let mut bucket = bucket(start, rate, per, 100, 0);
        let mut taken = 0_u128;
        let mut passed = Duration::ZERO;
        while passed < span {
            passed += slice * NANO;
            while bucket.try_take(start + passed, 1).is_ok() {
                taken += 1;
            }
        }
        let exactly = passed.as_nanos() * u128::from(rate) / per.as_nanos();
        assert_eq!(taken, exactly, "{rate} per {per:?} every {slice} ns");
    }
}

#[test]
fn a_full_bucket_collects_no_fraction() {
    let start = Instant::now();
    let mut bucket = bucket(start, 1, 3600 * SECOND, 1, 1);
    let taken = start + 3599 * SECOND;
    assert!(bucket.is_fresh(taken));
    assert_eq!(bucket.try_take(taken, 1), Ok(()));
    assert!(!bucket.is_fresh(taken));
    let next = taken + 3600 * SECOND;
    assert_eq!(bucket.ask(taken, 1), Err(Refusal::Until(next)));
    assert!(!bucket.is_fresh(next - NANO));
    assert!(bucket.is_fresh(next));
}

#[test]
fn what_had_come_before_a_change_of_rate_stays() {
    let start = Instant::now();
    let mut bucket = bucket(start, 1, 10 * SECOND, 5, 0);
    // A token and a half; the other half comes at the new rate.
    let change = start + 15 * SECOND;
    assert!(bucket.set_rate(change, 4, SECOND));
    assert_eq!(bucket.try_take(change, 1), Ok(()));
    let next = Refusal::Until(change + SECOND / 8);
    assert_eq!(bucket.try_take(change, 1), Err(next));
    // As often as one likes, and back in time too.
    for _ in 0..100 {
        assert!(bucket.set_rate(start, 400, 100 * SECOND));
        assert!(bucket.set_rate(start, 4, SECOND));
    }
    assert_eq!(bucket.ask(change, 1), Err(next));
    // Half a token is three and a half of seven parts: what is lost is worth less than a
    // nanosecond.
    assert!(bucket.set_rate(change, 3, 7 * NANO));
    let next = Refusal::Until(change + 2 * NANO);
    assert_eq!(bucket.ask(change + NANO, 1), Err(next));
}

#[test]
fn the_largest_numbers_fit() {
    let start = Instant::now();
    let longest = Duration::from_nanos(u64::MAX);
    let late = start + 2 * longest;
    let ends = [1, u32::MAX].map(|rate| [(rate, NANO), (rate, longest)]);
    for (rate, per) in ends.into_iter().flatten() {
        for initial in [0, u32::MAX] {
            let mut bucket = bucket(start, rate, per, u32::MAX, initial);
            // Often enough for token time to begin anew where the bucket fills that fast.
            for passed in 0..3000 {
                let answer = bucket.try_take(start + 5 * passed * SECOND, u32::MAX);
                let full = passed > 0 && per == NANO || passed == 0 && initial > 0;
                assert_eq!(answer.is_ok(), full, "{rate} per {per:?}, {passed}");
            }
            assert!(bucket.time.get() < 1 << 53);
            let _ = bucket.try_take(late, u32::MAX);
            assert!(bucket.set_rate(late, rate, longest));
            assert!(bucket.set_rate(late, u32::MAX, NANO));
            let full = late + NANO;
            assert_eq!(bucket.available(full), u32::MAX);
            assert!(!bucket.is_fresh(full), "with another rate");
            assert_eq!(bucket.try_take(full, u32::MAX), Ok(()));
            let next = Refusal::Until(full + NANO);
            assert_eq!(bucket.ask(full, 1), Err(next));
        }
    }
}

/// The arithmetic, with its tokens in parts of one and nothing rounded.
struct Exact {
    rate: u128,
    per: u128,
    burst: u128,
    at: Instant,
    parts: u128,
}

impl Exact {
    fn pass_time(&mut self, now: Instant) {
        let nanos = now.saturating_duration_since(self.at).as_nanos();
        self.parts = (self.parts + nanos * self.rate).min(self.burst * self.per);
        self.at = self.at.max(now);
    }
}

/// With the period in nanoseconds.
fn rates() -> impl Strategy<Value = (u32, u64)> {
    let rate = prop_oneof![1..20_u32, Just(1000), 1..=u32::MAX];
    let round = (1..8_u64, 0..14_u32).prop_map(|(n, zeros)| n * 10_u64.pow(zeros));
    (
        rate,
        prop_oneof![3 => round, 1 => 1..2_000_000_u64, 1 => 1..=u64::MAX],
    )
}

proptest! {
    #[test]
    fn it_answers_as_the_arithmetic_does(
        (rate, per) in rates(),
        (burst, share) in (prop_oneof![1..6_u32, 1..=u32::MAX], 0..=3_u32),
        // A pause in thousandths of a token's time and in nanoseconds, a change of rate, a
        // weight, to come in time.
        steps in proptest::collection::vec((
            (0..2500_u64, prop_oneof![4 => 0..4_i64, 1 => -1_000_000..0_i64, 1 => 0..10_000_000_000_i64]),
            proptest::option::weighted(0.1, rates()),
            (prop_oneof![6 => 1..4_u32, 1 => 1..1_000_000_u32], any::<bool>()),
        ), 1..80),
    ) {
        let mut now = Instant::now();
        let initial = burst / 3 * share;
        let mut bucket = bucket(now, rate, Duration::from_nanos(per), burst, initial);
        let (rate, per, parts) = (rate.into(), per.into(), u128::from(initial) * u128::from(per));
        let mut exact = Exact { rate, per, burst: burst.into(), at: now, parts };
        for ((thousandths, nanos), change, (weight, in_time)) in steps {
            now += from_nanos(exact.per / exact.rate * u128::from(thousandths) / 1000);
            let more = Duration::from_nanos(nanos.unsigned_abs());
            now = if nanos < 0 { now - more } else { now + more };
            exact.pass_time(now);
            if let Some((rate, per)) = change {
                prop_assert!(bucket.set_rate(now, rate, Duration::from_nanos(per)));
                let per = u128::from(per);
                // The one rounding: the fraction, down.
                exact.parts = exact.parts / exact.per * per + exact.parts % exact.per * per / exact.per;
                (exact.rate, exact.per) = (rate.into(), per);
            }
            let weight = weight.min(burst);
            let missing = (u128::from(weight) * exact.per).saturating_sub(exact.parts);
            let until = exact.at + from_nanos(missing.div_ceil(exact.rate));
            let expected = if missing == 0 { Ok(()) } else { Err(Refusal::Until(until)) };
            prop_assert_eq!(bucket.ask(now, weight), expected);
            let is_full = exact.parts == exact.burst * exact.per;
            prop_assert_eq!(bucket.available(now) == burst, is_full);
            prop_assert_eq!(bucket.is_fresh(now), is_full && !bucket.changed);
            let mut answer = bucket.try_take(now, weight);
            prop_assert_eq!(answer, expected);
            if let Err(Refusal::Until(instant)) = answer {
                prop_assert_eq!(bucket.ask(instant - NANO, weight), expected);
                prop_assert_eq!(bucket.ask(instant, weight), Ok(()));
                if in_time {
                    now = instant;
                    exact.pass_time(now);
                    answer = bucket.try_take(now, weight);
                }
            }
            if answer.is_ok() {
                exact.parts -= u128::from(weight) * exact.per;
            }
        }
    }
}
