//! Lots and ticks as money: the one place that rounds.
//!
//! A value is an exact fraction of minor units until it is posted; then it is rounded once, half away
//! from zero (commercial rounding, DIN 1333; a payment and its reversal round alike).

use crate::rules::MarketRules;
use crate::snapshot::keep_struct;

/// Largest absolute amount that all postings of one auction may add up to, minor units.
pub const POSTINGS_MAX: i64 = i64::MAX / 4;

/// How quantities and prices of one set of rules become minor units of its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    value: Fraction,
    fee: Fraction,
    /// Grid units of welfare per minor unit of a complex order's fixed term.
    pub fixed: i128,
    /// Grid units of welfare per price tick and lot: the least number with which minor units lie on
    /// the grid.
    pub welfare_scale: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fraction {
    numerator: i128,
    denominator: i128,
}

keep_struct! {
    Money { value, fee, fixed, welfare_scale }
    Fraction { numerator, denominator }
}

impl Money {
    /// The conversion under `rules`, or nothing if an auction full of the largest orders could form
    /// an amount beyond [`POSTINGS_MAX`] or a welfare beyond its bounds.
    #[must_use]
    pub fn new(rules: &MarketRules) -> Option<Self> {
        let minutes = i128::from(rules.period_minutes);
        let lot = ten(rules.quantity_decimals);
        let grid = ten(rules.price_decimals) * lot;
        let minor = ten(rules.minor_decimals);
        // One tick × lot is 1/grid currency units per MWh × MW, over minutes/60 hours.
        let value = reduce(minutes * minor, 60 * grid);
        let per_minor = reduce(60 * grid, minutes * minor);
        let money = Self {
            value,
            fee: reduce(minutes, 60 * lot),
            fixed: per_minor.numerator,
            welfare_scale: i64::try_from(per_minor.denominator).ok()?,
        };
        money.fits(rules).then_some(money)
    }

    /// Whether everything that one auction can post fits: all points of a full book at the greatest
    /// quantity and the price farthest from zero.
    fn fits(&self, rules: &MarketRules) -> bool {
        let lots = i128::from(rules.limits.quantity_max) * i128::from(crate::limits::POINTS_MAX);
        let price = i128::from(rules.price_max.max(-rules.price_min));
        let within = |rate: i128, by: Fraction| {
            lots.checked_mul(rate)
                .and_then(|it| it.checked_mul(by.numerator))
                .is_some_and(|it| it / by.denominator <= i128::from(POSTINGS_MAX) / 4)
        };
        let fixed = i128::from(crate::limits::FIXED_MINOR_MAX).checked_mul(self.fixed);
        within(price, self.value)
            && within(2 * i128::from(rules.fees.buy_minor_per_mwh), self.fee)
            && within(2 * i128::from(rules.fees.sell_minor_per_mwh), self.fee)
            && fixed.is_some_and(|it| it <= crate::limits::FIXED_MAX)
            && self.welfare_scale <= crate::limits::WELFARE_SCALE_MAX
    }

    /// Minor units of `product` price ticks × lots in one period.
    #[must_use]
    pub fn value_minor(&self, product: i128) -> i64 {
        self.value.of(product)
    }

    /// Fee in minor units of `product` lots × minor units per MWh in one period.
    #[must_use]
    pub fn fee_minor(&self, product: i128) -> i64 {
        self.fee.of(product)
    }
}

impl Fraction {
    /// This fraction of `whole`, rounded half away from zero.
    fn of(self, whole: i128) -> i64 {
        let rounded = round_div(whole * self.numerator, self.denominator);
        i64::try_from(rounded).expect("`Money::new` bounds every posting")
    }
}

/// Tax in minor units on a fee.
#[must_use]
pub fn tax_minor(fee_minor: i64, millionths: u32) -> i64 {
    let tax = round_div(i128::from(fee_minor) * i128::from(millionths), 1_000_000);
    i64::try_from(tax).expect("rules tax fees with less than their own amount")
}

/// `exact / denominator` for a positive denominator, rounded half away from zero.
#[must_use]
pub fn round_div(exact: i128, denominator: i128) -> i128 {
    // An odd denominator has no exact half, so the truncated half rounds the same.
    (exact + denominator / 2 * exact.signum()) / denominator
}

fn ten(decimals: u8) -> i128 {
    10_i128.pow(u32::from(decimals))
}

fn reduce(numerator: i128, denominator: i128) -> Fraction {
    let (mut a, mut b) = (numerator, denominator);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Fraction { numerator: numerator / a, denominator: denominator / a }
}

#[cfg(test)]
mod tests {
    use super::{Fraction, reduce};

    #[track_caller]
    fn check(numerator: i128, denominator: i128, expected: i64) {
        assert_eq!(Fraction { numerator: 1, denominator }.of(numerator), expected);
        assert_eq!(Fraction { numerator: 1, denominator }.of(-numerator), -expected);
    }

    #[test]
    fn halves_go_away_from_zero_on_both_sides() {
        check(1, 2, 1);
        check(3, 2, 2);
        check(1, 3, 0);
        check(2, 3, 1);
        check(1, 4, 0);
        check(2, 4, 1);
        check(0, 7, 0);
        check(7, 1, 7);
    }

    #[test]
    fn fractions_are_in_lowest_terms() {
        assert_eq!(reduce(15 * 100, 60 * 10_000), Fraction { numerator: 1, denominator: 400 });
    }
}
