//! Random numbers from a seed, the same on every machine.

/// A stream of random numbers (xorshift64*).
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..4 {
            chance.below(2);
        }
        chance
    }

    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A whole number in 0 .. bound.
    pub(crate) fn below(&mut self, bound: i64) -> i64 {
        i64::try_from(self.bits() >> 1).expect("63 bits") % bound
    }

    /// An index into a list of so many.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        let count = i64::try_from(count).expect("lists are shorter");
        usize::try_from(self.below(count)).expect("not negative")
    }

    /// A number in [first, last).
    pub(crate) fn between(&mut self, first: f64, last: f64) -> f64 {
        let bits = u32::try_from(self.bits() >> 32).expect("32 bits");
        first + (last - first) * f64::from(bits) / 4_294_967_296.0
    }

    /// About the standard normal distribution: twelve uniform numbers.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.between(-0.5, 0.5)).sum()
    }

    /// Positive shares that sum to 1; the greater `evenness`, the more alike (Dirichlet).
    pub(crate) fn shares(&mut self, count: usize, evenness: u32) -> Vec<f64> {
        let parts: Vec<f64> =
            (0..count).map(|_| (0..evenness).map(|_| -ln(1.0 - self.between(0.0, 1.0))).sum()).collect();
        let sum: f64 = parts.iter().sum();
        parts.into_iter().map(|part| part / sum).collect()
    }

    /// Log-normal sizes with the given sum.
    pub(crate) fn sizes(&mut self, count: usize, sigma: f64, sum: f64) -> Vec<f64> {
        let parts: Vec<f64> = (0..count).map(|_| exp(sigma * self.normal())).collect();
        let all: f64 = parts.iter().sum();
        parts.into_iter().map(|part| part * sum / all).collect()
    }

    /// An index, drawn by shares that sum to 1.
    pub(crate) fn pick(&mut self, shares: &[f64]) -> usize {
        let mut left = self.between(0.0, 1.0);
        for (index, share) in shares.iter().enumerate() {
            left -= share;
            if left < 0.0 {
                return index;
            }
        }
        shares.len() - 1
    }

    /// A price within 0 and the cap, half of them on hundreds and half on tens.
    pub(crate) fn round_price(&mut self, price: f64, cap: i64) -> i64 {
        let grid = if self.below(2) == 0 { 100 } else { 10 };
        let price = whole(price).clamp(0, cap);
        (price + grid / 2) / grid * grid
    }
}

/// The nearest whole number.
#[expect(clippy::as_conversions, reason = "the only way from a float to an integer; it saturates")]
pub(crate) fn whole(value: f64) -> i64 {
    (value + 0.5).floor() as i64
}

/// e to the power of a moderate number.
pub(crate) fn exp(value: f64) -> f64 {
    // Taylor near 0, then squared ten times.
    let x = value / 1_024.0;
    let mut power = 1.0 + x * (1.0 + x / 2.0 * (1.0 + x / 3.0 * (1.0 + x / 4.0 * (1.0 + x / 5.0))));
    for _ in 0..10 {
        power *= power;
    }
    power
}

/// Sine of a moderate number.
pub(crate) fn sin(value: f64) -> f64 {
    // Brought to within half a turn, then Taylor at a 16th of it and doubled four times.
    let turns = (value / core::f64::consts::TAU + 0.5).floor();
    let x = (value - turns * core::f64::consts::TAU) / 16.0;
    let square = x * x;
    let mut sine = x * (1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0)));
    let mut cosine = 1.0 - square / 2.0 * (1.0 - square / 12.0 * (1.0 - square / 30.0));
    for _ in 0..4 {
        (sine, cosine) = (2.0 * sine * cosine, cosine * cosine - sine * sine);
    }
    sine
}

/// Natural logarithm of a number in (0, 1].
fn ln(value: f64) -> f64 {
    // The root taken ten times is near 1, where 2·artanh((x − 1) / (x + 1)) converges at once.
    let mut root = value;
    for _ in 0..10 {
        root = root.sqrt();
    }
    let y = (root - 1.0) / (root + 1.0);
    2_048.0 * y * (1.0 + y * y * (1.0 / 3.0 + y * y / 5.0))
}

#[cfg(test)]
mod tests {
    use super::{exp, ln, sin};

    #[test]
    fn exponential_logarithm_and_sine_are_close() {
        for step in 1_i32..=100 {
            let x = f64::from(step) / 100.0;
            assert!((ln(x) - x.ln()).abs() < 1e-9, "{x}");
            assert!((exp(-5.0 * x) - (-5.0 * x).exp()).abs() < 1e-9, "{x}");
            assert!((sin(15.0 * x) - (15.0 * x).sin()).abs() < 1e-6, "{x}");
        }
    }
}
