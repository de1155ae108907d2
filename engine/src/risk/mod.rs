//! What an order can cost at worst, and what is there to pay for it.
//!
//! The worst case of an order is the greatest amount that its member can owe for it, over every price
//! at which the market can clear, fees and tax included. It is rounded up, so a member who has it
//! covered can pay whatever happens:
//!
//! - a step or linear curve trades `D(p)` at price `p` in each period: the greatest `p × D(p)` for what
//!   it buys, and what fees and negative prices take from what it sells;
//! - a block is accepted only if it is worth its limit on average: its quantity at its limit. A family
//!   may be accepted as a whole, a sell paying for a buy; of an exclusive group one is accepted in all;
//! - a complex order at the limits of its steps.
//!
//! Everything is in integers: prices and fees on one grid of parts of a tick, amounts as such parts ×
//! lots ("grains"), until they become minor units.

pub mod accounts;
pub mod families;
pub mod worst;

use crate::limits::RATIO_UNIT;
use crate::rules::MarketRules;
use crate::snapshot::keep_struct;

/// Minor units that rounding can add to what is owed for one period of an order: half a unit each for
/// the energy, the fee and the tax, rounded up.
pub const ROUNDING_MINOR_PER_PERIOD: i128 = 2;

/// Prices and fees of one set of rules on one grid.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// Parts of a tick.
    pub(crate) parts: i128,
    /// Fee and tax of a buyer, parts of a tick.
    pub(crate) buy_fee: i128,
    /// Of a seller.
    pub(crate) sell_fee: i128,
    /// Bounds of clearing prices, ticks.
    pub(crate) price_min: i64,
    /// See [`Self::price_min`].
    pub(crate) price_max: i64,
    /// Minor units of a grain, as a fraction.
    numerator: i128,
    denominator: i128,
}

keep_struct! { Grid { parts, buy_fee, sell_fee, price_min, price_max, numerator, denominator } }

impl Grid {
    /// The grid of some rules.
    #[must_use]
    pub fn new(rules: &MarketRules) -> Self {
        let ten = |decimals: u8| 10_i128.pow(u32::from(decimals));
        let (minor, price) = (rules.minor_decimals, rules.price_decimals);
        let parts = ten(minor.saturating_sub(price));
        // A minor unit per MWh in parts of a tick: whole, by the choice of the parts.
        let per_minor = ten(price.saturating_sub(minor));
        let unit = i128::from(RATIO_UNIT);
        let fee = |rate: i64| {
            let taxed = i128::from(rate) * per_minor * (unit + i128::from(rules.fees.tax_millionths));
            taxed / unit + i128::from(taxed % unit != 0)
        };
        Self {
            parts,
            buy_fee: fee(rules.fees.buy_minor_per_mwh),
            sell_fee: fee(rules.fees.sell_minor_per_mwh),
            price_min: rules.price_min,
            price_max: rules.price_max,
            numerator: i128::from(rules.period_minutes) * ten(minor),
            denominator: 60 * ten(price) * ten(rules.quantity_decimals) * parts,
        }
    }

    /// Minor units of some grains, rounded up; nothing below zero.
    #[must_use]
    pub fn minor(&self, grains: i128) -> i128 {
        if grains <= 0 {
            return 0;
        }
        let (whole, rest) = divided(grains, self.denominator);
        let (up, left) = divided(rest * self.numerator, self.denominator);
        whole * self.numerator + up + i128::from(left != 0)
    }

    /// Whether every lot sold at `price` earns enough over its fee that no rounding turns it into a debt.
    pub(crate) fn earns(&self, price: i64) -> bool {
        let gain = i128::from(price) * self.parts - self.sell_fee;
        gain > 0 && gain * self.numerator >= ROUNDING_MINOR_PER_PERIOD * self.denominator
    }
}

/// Quotient and remainder of numbers that are not negative. In 64 bits where they fit, as they do unless
/// amounts are absurd: four divisions in 128 bits cost more than everything else about an order's hold.
fn divided(number: i128, by: i128) -> (i128, i128) {
    match (u64::try_from(number), u64::try_from(by)) {
        (Ok(number), Ok(by)) => (i128::from(number / by), i128::from(number % by)),
        (_, _) => (number / by, number % by),
    }
}

#[cfg(test)]
mod tests;
