//! Decimals to and from the integers of the wire, exactly or not at all.

use rust_decimal::Decimal;
use std::fmt;

/// Why a number cannot go on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitError {
    /// It is no decimal number.
    NotANumber(String),
    /// It has more than six decimals.
    TooFine(Decimal),
    /// It is beyond what a wire integer holds (about 9.2 · 10^12).
    TooLarge(Decimal),
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber(text) => write!(f, "'{text}' is no decimal number"),
            Self::TooFine(number) => write!(f, "{number} has more than six decimals"),
            Self::TooLarge(number) => write!(f, "{number} is too large"),
        }
    }
}

impl std::error::Error for UnitError {}

/// Millionths of a decimal text: a price per MWh, megawatts, money, a ratio.
///
/// # Errors
///
/// The text is no number, or cannot be held exactly.
///
/// ```
/// assert_eq!(merit_client::units::micros("3141.59"), Ok(3_141_590_000));
/// assert!(merit_client::units::micros("0.0000001").is_err());
/// ```
pub fn micros(text: &str) -> Result<i64, UnitError> {
    let number = Decimal::from_str_exact(text).map_err(|_| UnitError::NotANumber(text.to_string()))?;
    micros_of(number)
}

/// Millionths of a decimal.
///
/// # Errors
///
/// The number cannot be held exactly.
pub fn micros_of(number: Decimal) -> Result<i64, UnitError> {
    let scaled = number.checked_mul(Decimal::from(1_000_000)).ok_or(UnitError::TooLarge(number))?;
    if !scaled.fract().is_zero() {
        return Err(UnitError::TooFine(number));
    }
    i64::try_from(scaled).map_err(|_| UnitError::TooLarge(number))
}

/// The decimal of a number of millionths, without trailing zeros.
#[must_use]
pub fn decimal(micros: i64) -> Decimal {
    Decimal::new(micros, 6).normalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_out_comes_back() {
        for text in ["0", "-0.000001", "3141.59", "-500", "9223372036854.775807", "12.5"] {
            assert_eq!(decimal(micros(text).unwrap()).to_string(), text);
        }
    }

    #[test]
    fn nothing_is_rounded() {
        assert!(matches!(micros("0.0000001"), Err(UnitError::TooFine(_))));
        assert!(matches!(micros("9223372036854.775808"), Err(UnitError::TooLarge(_))));
        assert!(matches!(micros("79228162514264337593543950335"), Err(UnitError::TooLarge(_))));
        for text in ["", "NaN", "inf", "1,5", "0x10", "1 000"] {
            assert!(matches!(micros(text), Err(UnitError::NotANumber(_))), "{text}");
        }
    }
}
