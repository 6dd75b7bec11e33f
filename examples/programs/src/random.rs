//! Numbers that look random and come again with the same seed, and one that nobody can guess.

/// A sequence of numbers that its seed decides: splitmix64, by Steele, Lea and Flood, 2014.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number from `low` to `high`, with both. `low` must not exceed `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.draw() % (high - low + 1) // even enough for small ranges
    }

    /// Returns true in so many of a thousand cases.
    pub fn happens(&mut self, per_thousand: u64) -> bool {
        self.between(1, 1000) <= per_thousand
    }

    /// Returns a sequence of its own, for a task that draws on another thread.
    pub fn fork(&mut self) -> Self {
        Self(self.draw())
    }
}

/// Returns 32 hexadecimal digits from the random numbers of the system.
///
/// # Errors
/// If the system has none.
pub fn token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_sequence() {
        let draw = |seed| -> Vec<_> {
            let mut random = Random::new(seed);
            (0..50).map(|_| random.between(3, 9)).collect()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(draw(7).iter().all(|n| (3..=9).contains(n)));
        assert!(Random::new(1).happens(1000) && !Random::new(1).happens(0));
    }

    #[test]
    fn no_token_comes_twice() {
        let token = token().unwrap();
        assert_eq!(token.len(), 32);
        assert_ne!(token, super::token().unwrap());
    }
}
