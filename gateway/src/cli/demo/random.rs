//! A small seeded generator: the same seed gives the same crowd on every machine.
//!
//! `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). Good
//! enough for a crowd, never for a key.

/// A stream of numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Random(u64);

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Random {
    /// The stream of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(mix(seed.wrapping_add(STEP)))
    }

    /// A stream of its own for `label`: what one member draws does not depend on how much another
    /// one drew before.
    pub(super) fn fork(self, label: u64) -> Self {
        Self(mix(self.0 ^ mix(label.wrapping_mul(STEP).wrapping_add(1))))
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number in `low ..= high`; the bias of the remainder is below 2⁻⁴⁰ for the ranges used here.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        assert!(low <= high);
        let width = u64::try_from(high - low).expect("low ≤ high") + 1;
        low + i64::try_from(self.next() % width).expect("below the width of an i64 range")
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn forks_do_not_depend_on_what_others_drew() {
        let mut one = Random::new(7);
        let early = one.fork(3).next();
        let parent = one;
        one.next();
        assert_eq!(early, parent.fork(3).next());
        assert_ne!(parent.fork(3).next(), parent.fork(4).next());
    }

    #[test]
    fn numbers_stay_in_their_range_and_reach_its_ends() {
        let mut random = Random::new(1);
        let drawn: Vec<i64> = (0..200).map(|_| random.between(-2, 2)).collect();
        assert!((-2..=2).all(|it| drawn.contains(&it)) && drawn.iter().all(|it| (-2..=2).contains(it)));
    }
}
