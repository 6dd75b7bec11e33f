//! The delays and decisions of `Retry` against plain arithmetic on whole numbers, whatever the
//! numbers.

use super::*;
use proptest::num::f64::{NORMAL, POSITIVE, SUBNORMAL};
use proptest::option;
use proptest::prelude::*;

const MAX: Duration = Duration::MAX;

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0..=100_u64).prop_map(Duration::from_nanos),
        (0..=100_000_u64).prop_map(Duration::from_millis),
        (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(s, n)| Duration::new(s, n)),
        Just(Duration::ZERO),
        Just(MAX),
    ]
}

fn any_retry() -> impl Strategy<Value = u32> {
    prop_oneof![0..100_u32, any::<u32>(), Just(u32::MAX)]
}

/// Of three retries.
fn any_policy() -> impl Strategy<Value = Retry> {
    let any_factor = prop_oneof![0.5..4.0, POSITIVE | NORMAL | SUBNORMAL, Just(f64::MAX),];
    let cap = option::of(any_duration());
    (0..4, any_duration(), any_factor, cap).prop_map(|(kind, delay, factor, cap)| {
        let policy = match kind {
            0 => Retry::fixed(3, delay),
            1 => Retry::linear(3, delay),
            2 => Retry::exponential(3, delay)
                .jitter(Jitter::None)
                .factor(factor),
            _ => Retry::from_fn(3, move |k| delay.saturating_mul(k)),
        };
        match cap {
            Some(cap) => policy.max_delay(cap),
            None => policy,
        }
    })
}

proptest! {
    #[test]
    fn whole_factors_are_exact_to_54_bits(
        base in any_duration(), factor in 1..=10_u32, k in any_retry(), cap in any_duration()
    ) {
        // After 127 times the cap is all that is left, or nothing is, or one is multiplied.
        let whole = (0..k.min(127)).fold(base.as_nanos(), |n, _| n.saturating_mul(factor.into()));
        let want = whole.min(cap.as_nanos());
        let got = Retry::exponential(3, base).jitter(Jitter::None).factor(factor.into()).max_delay(cap).delay(k).as_nanos();
        let power = u64::from(factor).checked_pow(k);
        let exact = factor.is_power_of_two() || power.is_some_and(|power| power < 1 << 53);
        let slack = if exact { 0 } else { want >> 46 };
        prop_assert!(got.abs_diff(want) <= slack, "{got} is not {want}");
    }

    #[test]
    fn fractions_are_right_to_the_nanosecond(
        base in 0..1_u64 << 50, eighths in 1..64_u32, k in 0..=12_u32, cap in any_duration()
    ) {
        let power = u128::from(eighths).pow(k); // below 2^72
        let want = ((u128::from(base) * power) >> (3 * k)).min(cap.as_nanos());
        let policy = Retry::exponential(3, Duration::from_nanos(base)).jitter(Jitter::None).factor(f64::from(eighths) / 8.0);
        let got = policy.max_delay(cap).delay(k).as_nanos();
        prop_assert!(got.abs_diff(want) <= 1 + (want >> 46), "{got} is not {want}");
    }

    #[test]
    fn linear_is_exact(step in any_duration(), k in any_retry(), cap in any_duration()) {
        let want = (step.as_nanos() * (u128::from(k) + 1)).min(cap.as_nanos());
        prop_assert_eq!(Retry::linear(1, step).max_delay(cap).delay(k).as_nanos(), want);
    }

    #[test]
    fn delays_do_not_shrink(base in any_duration(), factor in 1.001..4.0, k in 0..10_000_u32) {
        let policy = Retry::exponential(3, base).jitter(Jitter::None).factor(factor).max_delay(MAX);
        prop_assert!(policy.delay(k) <= policy.delay(k + 1));
    }

    #[test]
    fn jitter_stays_in_its_range(
        policy in any_policy(), k in any_retry(), salt: u64
    ) {
        let most = policy.delay(k);
        prop_assert!(most <= policy.max_delay.unwrap_or(MAX));
        let mut policy = policy.jitter(Jitter::Full);
        prop_assert!(policy.delay_for(k, salt) <= most);
        policy = policy.jitter(Jitter::Equal);
        prop_assert!((most / 2..=most).contains(&policy.delay_for(k, salt)));
        prop_assert_eq!(policy.delay_for(k, salt), policy.delay_for(k, salt));
    }

    #[test]
    fn decides_by_count_and_time(
        policy in any_policy(), k in 0..6_u32, elapsed in any_duration(), salt: u64,
        limit in option::of(any_duration()), hint in option::of(any_duration()),
    ) {
        let mut policy = policy.jitter(Jitter::Full);
        policy.max_elapsed = limit;
        let delay = hint.unwrap_or(policy.delay_for(k, salt));
        let due = (elapsed.as_nanos() + delay.as_nanos()).min(MAX.as_nanos());
        let go_on = k < 3 && limit.is_none_or(|limit| due <= limit.as_nanos());
        prop_assert_eq!(policy.decide(k, elapsed, salt, hint), go_on.then_some(delay));
    }
}
