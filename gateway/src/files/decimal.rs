//! Exact decimals at the edge: text to ticks and back, never through a binary float.

use rust_decimal::Decimal;
use std::fmt;

/// A number may carry a power of ten this large; beyond it no market has a use for one.
const EXPONENT_MAX: i32 = 60;
/// A tick has at most this many decimals.
const TICK_SCALE_MAX: u32 = 18;
/// The digits of a tick, its decimal point removed, stay below this.
const TICK_DIGITS_BELOW: i128 = 1_000_000_000;

/// Why a piece of text is no number, or no number that the market can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// Not written as a JSON number.
    NotANumber,
    /// Needs more than 28 digits to hold exactly.
    TooLong,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "is not a decimal number",
            Self::TooLong => "has more digits than the 28 that are held exactly",
        })
    }
}

/// Reads a number as JSON writes it: `-12.50`, `1e3`. Exact or refused; `-0` is 0.
///
/// # Errors
///
/// [`NumberError`] for anything else (`NaN`, `+1`, `.5`, `1_000`, 29 significant digits, `1e999`).
pub fn parse(text: &str) -> Result<Decimal, NumberError> {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        None => (text, 0),
        Some((digits, exponent)) => (digits, parse_exponent(exponent)?),
    };
    if !is_plain_number(digits) {
        return Err(NumberError::NotANumber);
    }
    let plain = Decimal::from_str_exact(digits).map_err(|_| NumberError::TooLong)?;
    if plain.is_zero() {
        return Ok(Decimal::ZERO);
    }
    if exponent == 0 {
        return Ok(plain);
    }
    let plain = plain.normalize();
    let scale = i32::try_from(plain.scale()).map_err(|_| NumberError::TooLong)? - exponent;
    let (mantissa, scale) = match u32::try_from(scale) {
        Ok(scale) => (Some(plain.mantissa()), scale),
        Err(_) => {
            (10_i128.checked_pow(scale.unsigned_abs()).and_then(|it| it.checked_mul(plain.mantissa())), 0)
        }
    };
    let mantissa = mantissa.ok_or(NumberError::TooLong)?;
    Decimal::try_from_i128_with_scale(mantissa, scale).map_err(|_| NumberError::TooLong)
}

fn parse_exponent(text: &str) -> Result<i32, NumberError> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.is_empty() || !unsigned.bytes().all(|it| it.is_ascii_digit()) {
        return Err(NumberError::NotANumber);
    }
    let exponent: i32 = text.parse().map_err(|_| NumberError::TooLong)?;
    if exponent.abs() > EXPONENT_MAX { Err(NumberError::TooLong) } else { Ok(exponent) }
}

/// The number grammar of JSON without its exponent.
fn is_plain_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match text.split_once('.') {
        None => (text, None),
        Some((whole, fraction)) => (whole, Some(fraction)),
    };
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    digits(whole) && (whole.len() == 1 || !whole.starts_with('0')) && fraction.is_none_or(digits)
}

/// Why a number is not a whole count of ticks that the market can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TickError {
    /// Between two ticks.
    OffTick,
    /// More ticks than an i64 counts.
    OutOfRange,
}

/// A positive decimal of which prices or quantities are whole multiples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    digits: i128,
    scale: u32,
}

impl Tick {
    /// Takes a tick; nothing if it is not positive, has more than 18 decimals or more than 9 digits.
    #[must_use]
    pub fn new(value: Decimal) -> Option<Self> {
        let value = value.normalize();
        let (digits, scale) = (value.mantissa(), value.scale());
        (digits > 0 && digits < TICK_DIGITS_BELOW && scale <= TICK_SCALE_MAX)
            .then_some(Self { digits, scale })
    }

    /// The tick as a decimal.
    #[must_use]
    pub fn decimal(self) -> Decimal {
        Decimal::from_i128_with_scale(self.digits, self.scale)
    }

    /// How many of these ticks `value` is.
    ///
    /// # Errors
    ///
    /// [`TickError`] if that is no whole number or does not fit.
    pub fn count(self, value: Decimal) -> Result<i64, TickError> {
        let (mut number, mut unit) = (value.mantissa(), self.digits);
        let (have, want) = (value.scale(), self.scale);
        if have <= want {
            let factor = 10_i128.pow(want - have);
            number = number.checked_mul(factor).ok_or(TickError::OutOfRange)?;
        } else {
            // At most 9 digits times 10^28: fits.
            unit *= 10_i128.pow(have - want);
        }
        if number % unit != 0 {
            return Err(TickError::OffTick);
        }
        i64::try_from(number / unit).map_err(|_| TickError::OutOfRange)
    }

    /// `count` ticks, in canonical form.
    #[must_use]
    pub fn show(self, count: i64) -> Exact {
        // At most 19 digits times 9 digits: fits.
        Exact { digits: i128::from(count) * self.digits, scale: self.scale }
    }
}

/// `digits × 10^−scale`, shown in its shortest form: no exponent, no trailing zeros, never `-0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    /// All digits, the decimal point removed.
    pub digits: i128,
    /// How many of them stand behind the point.
    pub scale: u32,
}

impl Exact {
    /// `factor` times this; nothing if that needs more than 38 digits.
    #[must_use]
    pub fn times(self, factor: i128) -> Option<Self> {
        Some(Self { digits: self.digits.checked_mul(factor)?, scale: self.scale })
    }
}

impl Exact {
    /// This divided by `divisor` if that is an exact decimal of moderate length.
    #[must_use]
    pub fn divided_by(self, divisor: i128) -> Option<Self> {
        let mut digits = self.digits;
        // A divisor of 2s and 5s goes in after enough decimals; another one never will.
        for scale in self.scale..self.scale + 40 {
            if digits % divisor == 0 {
                return Some(Self { digits: digits / divisor, scale });
            }
            digits = digits.checked_mul(10)?;
        }
        None
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut digits, mut scale) = (self.digits.unsigned_abs(), self.scale);
        while scale > 0 && digits.is_multiple_of(10) {
            digits /= 10;
            scale -= 1;
        }
        let width = usize::try_from(scale).map_err(|_| fmt::Error)?;
        let text = format!("{digits:0>width$}", width = width + 1);
        let (whole, fraction) = text.split_at(text.len() - width);
        let sign = if self.digits < 0 { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        f.pad(&format!("{sign}{whole}{point}{fraction}"))
    }
}

/// Reads a decimal of any length up to 38 digits as a whole count of `grid`.
///
/// # Errors
///
/// [`NumberError`] if it is no number; `Ok(None)` if it lies between two counts or beyond an i128.
pub fn count_of(text: &str, grid: Exact) -> Result<Option<i128>, NumberError> {
    if !is_plain_number(text) {
        let short = parse(text)?;
        return Ok(divide(short.mantissa(), short.scale(), grid));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits: i128 = format!("{whole}{fraction}").parse().map_err(|_| NumberError::TooLong)?;
    let scale = u32::try_from(fraction.len()).map_err(|_| NumberError::TooLong)?;
    Ok(divide(digits, scale, grid))
}

fn divide(digits: i128, scale: u32, grid: Exact) -> Option<i128> {
    let (mut number, mut unit) = (digits, grid.digits);
    if scale <= grid.scale {
        number = number.checked_mul(10_i128.checked_pow(grid.scale - scale)?)?;
    } else {
        unit = unit.checked_mul(10_i128.checked_pow(scale - grid.scale)?)?;
    }
    (number % unit == 0).then(|| number / unit)
}

#[cfg(test)]
mod tests {
    use super::{Exact, NumberError, Tick, TickError, count_of, parse};

    fn tick(text: &str) -> Tick {
        Tick::new(parse(text).unwrap()).unwrap()
    }

    #[track_caller]
    fn reads(text: &str, expected: &str) {
        assert_eq!(parse(text).unwrap().normalize().to_string(), expected);
    }

    #[test]
    fn numbers_are_read_exactly() {
        reads("12.50", "12.5");
        reads("-0", "0");
        reads("-0.000", "0");
        reads("1e3", "1000");
        reads("125E-2", "1.25");
        reads("-1.5e+1", "-15");
        reads("0.1", "0.1");
        reads("1e28", "10000000000000000000000000000");
        reads("1e-28", "0.0000000000000000000000000001");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", "-", "NaN", "Infinity", "-inf", "+1", ".5", "5.", "1_000", "0x10", " 1", "1 ", "01", "1e",
            "e5", "1,5",
        ] {
            assert_eq!(parse(text), Err(NumberError::NotANumber), "{text:?}");
        }
    }

    #[test]
    fn numbers_that_cannot_be_held_exactly_are_refused() {
        for text in [
            "1e999",
            "1e99999999999",
            "1e-999",
            "123456789012345678901234567890",
            "0.12345678901234567890123456789",
            "1e29",
        ] {
            assert_eq!(parse(text), Err(NumberError::TooLong), "{text}");
        }
    }

    #[test]
    fn ticks_are_counted_exactly() {
        assert_eq!(tick("0.01").count(parse("12.5").unwrap()), Ok(1250));
        assert_eq!(tick("0.25").count(parse("-1.5").unwrap()), Ok(-6));
        assert_eq!(tick("10").count(parse("1e3").unwrap()), Ok(100));
        assert_eq!(tick("0.01").count(parse("0.015").unwrap()), Err(TickError::OffTick));
        assert_eq!(tick("10").count(parse("15").unwrap()), Err(TickError::OffTick));
        assert_eq!(tick("0.01").count(parse("1e28").unwrap()), Err(TickError::OutOfRange));
    }

    #[test]
    fn ticks_are_positive_and_of_moderate_length() {
        for text in ["0", "-0.01", "0.0000000000000000001", "1234567890"] {
            assert_eq!(Tick::new(parse(text).unwrap()), None, "{text}");
        }
        assert_eq!(Tick::new(parse("0.10").unwrap()), Tick::new(parse("0.1").unwrap()));
    }

    #[test]
    fn decimals_are_shown_in_their_shortest_form() {
        let show = |digits, scale| Exact { digits, scale }.to_string();
        assert_eq!(show(1250, 2), "12.5");
        assert_eq!(show(-5, 2), "-0.05");
        assert_eq!(show(0, 3), "0");
        assert_eq!(show(12_000, 3), "12");
        assert_eq!(tick("0.25").show(3).to_string(), "0.75");
        assert_eq!(tick("10").show(-3).to_string(), "-30");
    }

    #[test]
    fn only_twos_and_fives_divide_a_decimal() {
        let lot = Exact { digits: 15, scale: 3 };
        assert_eq!(lot.divided_by(60).unwrap().to_string(), "0.00025");
        assert_eq!(lot.divided_by(7), None);
    }

    #[test]
    fn counts_of_a_grid_hold_more_digits_than_a_decimal_does() {
        let grid = Exact { digits: 25, scale: 5 };
        assert_eq!(count_of("0.0005", grid), Ok(Some(2)));
        assert_eq!(count_of("0.0001", grid), Ok(None));
        assert_eq!(count_of("1e3", grid), Ok(Some(4_000_000)));
        assert_eq!(
            count_of("-1234567890123456789012345678901", Exact { digits: 1, scale: 1 }),
            Ok(Some(-12_345_678_901_234_567_890_123_456_789_010))
        );
        assert_eq!(count_of("ten", grid), Err(NumberError::NotANumber));
    }
}
