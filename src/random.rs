//! Chance, for what is to be spread: numbers that belong to a seed and a place, and are not drawn from a state. The same
//! question gets the same answer however often and in whatever order it is asked.
//!
//! Layer 0; imports nothing of the crate.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

/// Number `place`, from 0, of the sequence of splitmix64 that begins with `seed`.
///
/// Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014. Its state is a counter, so that
/// any number of the sequence is as near as the first.
pub(crate) fn random(seed: u64, place: u64) -> u64 {
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    mixed(seed.wrapping_add(GAMMA.wrapping_mul(place.wrapping_add(1))))
}

/// A random number from 0 to `most`, uniform: what the modulo adds is below 2^-33 as long as `most` is below 2^94, which
/// the nanoseconds of any duration are.
pub(crate) fn up_to(most: u128, seed: u64, place: u64) -> u128 {
    let place = place.wrapping_mul(2);
    let high = u128::from(random(seed, place));
    let low = u128::from(random(seed, place.wrapping_add(1)));
    (high << 64 | low) % (most + 1)
}

/// The process's own seed, made another by `salt`.
pub(crate) fn seed(salt: u64) -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    let process = *SEED.get_or_init(|| RandomState::new().build_hasher().finish());
    mixed(process ^ salt)
}

pub(crate) fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_splitmix64() {
        // What Vigna's splitmix64.c gives for this seed.
        assert_eq!(random(1_234_567, 0), 6_457_827_717_110_365_317);
        assert_eq!(random(1_234_567, 1), 3_203_168_211_198_807_973);
        assert_eq!(random(1_234_567, 4), 16_408_922_859_458_223_821);
    }
}
