//! What one tick, one lot and one grid unit of money are worth in one auction.

use super::decimal::{Exact, Tick};
use merit_engine::limits;
use rust_decimal::Decimal;

/// The longest period: one week.
pub(super) const PERIOD_MINUTES_MAX: i64 = 10_080;

/// The names and units of an auction, which its integers leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Units {
    /// Name of the auction.
    pub name: String,
    /// Currency of prices and money.
    pub currency: String,
    /// Clearing prices are whole multiples of it, per MWh.
    pub price_tick: Tick,
    /// Limit prices are whole multiples of it.
    pub order_price_tick: Tick,
    /// Price ticks per order price tick.
    pub order_price_scale: i64,
    /// One lot, MW.
    pub quantity_tick: Tick,
    /// Order quantities are whole multiples of it.
    pub order_quantity_tick: Tick,
    /// Lots per order quantity tick.
    pub order_quantity_scale: i64,
    /// Length of a period.
    pub period_minutes: u32,
    /// One grid unit of welfare in money.
    pub grid: Exact,
}

impl Units {
    /// A price in canonical form.
    #[must_use]
    pub fn price(&self, ticks: i64) -> Exact {
        self.price_tick.show(ticks)
    }

    /// A quantity in MW in canonical form.
    #[must_use]
    pub fn quantity(&self, lots: i64) -> Exact {
        self.quantity_tick.show(lots)
    }

    /// Money of so many grid units in canonical form.
    ///
    /// # Panics
    ///
    /// If it needs more than 38 digits; an auction for which that could happen is refused when it
    /// is read.
    #[must_use]
    pub fn money(&self, grid_units: i128) -> Exact {
        self.grid.times(grid_units).expect("the reader proved that all money of the auction fits")
    }

    /// The most grid units that are no more than an amount of money; nothing for what does not fit.
    #[must_use]
    pub fn grid_units(&self, amount: Decimal) -> Option<i128> {
        let amount = Exact { digits: amount.mantissa(), scale: amount.scale() };
        let (number, divisor) = fraction_of(amount, self.grid)?;
        Some(number.div_euclid(divisor))
    }

    /// MWh of so many lots over one period, in canonical form.
    #[must_use]
    pub fn energy(&self, lots: i128) -> Option<Exact> {
        // minutes / 60 = minutes / 3 × 5 / 100, and minutes is a multiple of 3.
        let lot = self.quantity_tick.show(1);
        let digits = lot.digits * i128::from(self.period_minutes / 3) * 5;
        Exact { digits, scale: lot.scale + 2 }.times(lots)
    }
}

/// The unit of welfare, one price tick × lot over one period, in money.
#[must_use]
pub(super) fn unit(price_tick: Tick, quantity_tick: Tick, period_minutes: u32) -> Option<Exact> {
    let (price, quantity) = (price_tick.show(1), quantity_tick.show(1));
    let digits = price.digits.checked_mul(quantity.digits)?.checked_mul(i128::from(period_minutes))?;
    Exact { digits, scale: price.scale + quantity.scale }.divided_by(60)
}

/// `amount` in units of welfare as a reduced fraction; nothing if it needs more than 38 digits.
#[must_use]
pub(super) fn fraction_of(amount: Exact, unit: Exact) -> Option<(i128, i128)> {
    let (mut number, mut divisor) = (amount.digits, unit.digits);
    if amount.scale <= unit.scale {
        number = number.checked_mul(10_i128.checked_pow(unit.scale - amount.scale)?)?;
    } else {
        divisor = divisor.checked_mul(10_i128.checked_pow(amount.scale - unit.scale)?)?;
    }
    let common = greatest_divisor(number, divisor);
    Some((number / common, divisor / common))
}

/// The coarsest scale that is a multiple of `scale` and `divisor`, if the engine's limits allow it.
#[must_use]
pub(super) fn finer(scale: i64, divisor: i128) -> Option<i64> {
    let both = i128::from(scale) / greatest_divisor(i128::from(scale), divisor);
    let finer = i64::try_from(both.checked_mul(divisor)?).ok()?;
    (finer <= limits::WELFARE_SCALE_MAX).then_some(finer)
}

fn greatest_divisor(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.abs().max(1)
}

#[cfg(test)]
mod tests {
    use super::{finer, fraction_of, unit};
    use crate::files::decimal::{Exact, Tick, parse};

    fn tick(text: &str) -> Tick {
        Tick::new(parse(text).unwrap()).unwrap()
    }

    #[test]
    fn fixed_terms_lie_on_the_welfare_grid() {
        let unit = unit(tick("0.01"), tick("0.1"), 9).unwrap();
        assert_eq!(unit.to_string(), "0.00015");
        let (number, divisor) = fraction_of(Exact { digits: 100, scale: 4 }, unit).unwrap();
        assert_eq!((number, divisor), (200, 3));
        let scale = finer(1, divisor).unwrap();
        assert_eq!(scale, 3);
        assert_eq!(unit.divided_by(scale.into()).unwrap().to_string(), "0.00005");
    }

    #[test]
    fn a_grid_finer_than_the_limit_is_refused() {
        assert_eq!(finer(1_000_000, 3), None);
        assert_eq!(finer(4, 6), Some(12));
    }
}
