//! What back offices take out of the journal: books, documents, payments, comparisons.
//!
//! Everything here is a function of the journal (invariant 12): it is read again from its beginning,
//! and the same journal gives the same bytes on every machine. Nothing needs a running node.

pub mod bank;
pub mod book;
pub mod documents;
pub mod erp;
pub mod hledger;
pub mod html;
pub mod reconcile;
pub mod table;
pub mod tables;

use crate::server::convert::units::decimal;

/// Millionths as a decimal with exactly `places` places (the rest must be zero and is not shown).
#[must_use]
pub fn money(micros: i128, places: u32) -> String {
    let places = places.min(6);
    let minor = micros / 10_i128.pow(6 - places);
    let magnitude = minor.unsigned_abs();
    let one = 10_u128.pow(places);
    let sign = if minor < 0 { "-" } else { "" };
    if places == 0 {
        return format!("{sign}{magnitude}");
    }
    let width = usize::try_from(places).expect("at most six");
    format!("{sign}{}.{:0width$}", magnitude / one, magnitude % one)
}

/// A plain decimal of something in millionths.
#[must_use]
pub fn plain(micros: i64) -> String {
    decimal(i128::from(micros), 6)
}

#[cfg(test)]
mod tests {
    use super::money;

    #[test]
    fn money_keeps_its_places() {
        assert_eq!(money(-1_250_000, 2), "-1.25");
        assert_eq!(money(10_000, 2), "0.01");
        assert_eq!(money(-10_000, 2), "-0.01");
        assert_eq!(money(7_000_000, 0), "7");
    }
}
