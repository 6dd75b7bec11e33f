//! Random numbers that belong to a seed and an index, and not to a state: the same arguments give
//! the same number, in whatever order they are asked for.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

/// Number `index`, from 0, of the sequence of splitmix64 that begins with `seed`.
///
/// Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014. Its state is
/// a counter, so each number of the sequence costs the same.
pub(crate) fn random(seed: u64, index: u64) -> u64 {
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    mixed(seed.wrapping_add(GAMMA.wrapping_mul(index.wrapping_add(1))))
}

/// A random number from 0 to `most`. Uniform: the modulo adds a bias below 2^-33 as long as `most`
/// is below 2^94, and the nanoseconds of every duration are.
pub(crate) fn up_to(most: u128, seed: u64, index: u64) -> u128 {
    let index = index.wrapping_mul(2);
    let high = u128::from(random(seed, index));
    let low = u128::from(random(seed, index.wrapping_add(1)));
    (high << 64 | low) % (most + 1)
}

/// A seed that is another one in each process and for each `salt`.
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
        // The output of Vigna's splitmix64.c for this seed.
        assert_eq!(random(1_234_567, 0), 6_457_827_717_110_365_317);
        assert_eq!(random(1_234_567, 1), 3_203_168_211_198_807_973);
        assert_eq!(random(1_234_567, 4), 16_408_922_859_458_223_821);
    }
}
