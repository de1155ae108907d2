//! The only reader of the wall clock: what time it is, and how long until an instant.
//!
//! The engine has no clock: the sequencer asks this one and writes the answer into the journal. An
//! accelerated clock lets a sandbox or the demo live a day in a minute; a manual one stands still
//! until a test moves it.

use merit_engine::calendar::{Day, MINUTE_US};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

const DAY_US: i64 = 24 * 60 * MINUTE_US;

/// Where time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clock.
    Wall,
    /// Runs `factor` times as fast as the machine's monotonic clock.
    Accelerated {
        /// Time shown at `origin`, µs since 1970-01-01T00:00:00Z.
        start_us: i64,
        /// When it was started.
        origin: Instant,
        /// At least 1.
        factor: u32,
    },
    /// Stands still until somebody sets it; µs since 1970-01-01T00:00:00Z.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that starts now, shows `start_us` and runs `factor` times as fast as time.
    #[must_use]
    pub fn accelerated(start_us: i64, factor: u32) -> Self {
        Self::Accelerated { start_us, origin: Instant::now(), factor: factor.max(1) }
    }

    /// A clock that stands at `start_us` until [`Clock::set`] moves it.
    #[must_use]
    pub fn manual(start_us: i64) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start_us)))
    }

    /// The time, µs since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn now_us(&self) -> i64 {
        match self {
            Self::Wall => SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |it| i64::try_from(it.as_micros()).unwrap_or(i64::MAX)),
            Self::Accelerated { start_us, origin, factor } => {
                let passed = i64::try_from(origin.elapsed().as_micros()).unwrap_or(i64::MAX);
                start_us.saturating_add(passed.saturating_mul(i64::from(*factor)))
            }
            Self::Manual(time) => time.load(Ordering::Acquire),
        }
    }

    /// How long to wait on this machine until the clock shows `time_us`; zero if it is past. A
    /// manual clock cannot tell and is looked at again soon.
    #[must_use]
    pub fn wait_until(&self, time_us: i64) -> Duration {
        let ahead = u64::try_from(time_us.saturating_sub(self.now_us())).unwrap_or(0);
        match self {
            Self::Wall => Duration::from_micros(ahead),
            Self::Accelerated { factor, .. } => Duration::from_micros(ahead.div_ceil(u64::from(*factor))),
            Self::Manual(_) => Duration::from_millis(u64::from(ahead > 0)),
        }
    }

    /// Moves a manual clock (forward or, to test that the journal does not follow, backward).
    /// Other clocks cannot be set: returns whether it was a manual one.
    pub fn set(&self, time_us: i64) -> bool {
        if let Self::Manual(time) = self {
            time.store(time_us, Ordering::Release);
            return true;
        }
        false
    }
}

/// Reads `YYYY-MM-DDThh:mm:ss[.ffffff]Z`, the only form of an instant that Merit takes; µs since
/// 1970-01-01T00:00:00Z.
#[must_use]
pub fn parse_utc(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let day = parse_day(date)?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = clock.split(':');
    let mut next = |max: i64| digits(parts.next()?, 2).filter(|it| *it <= max);
    let (hour, minute, second) = (next(23)?, next(59)?, next(59)?);
    if parts.next().is_some() || fraction.len() > 6 || (fraction.is_empty() && time.contains('.')) {
        return None;
    }
    let micros = if fraction.is_empty() { 0 } else { digits(&format!("{fraction:0<6}"), 6)? };
    Some(i64::from(day.0) * DAY_US + ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

/// Reads `YYYY-MM-DD`.
#[must_use]
pub fn parse_day(text: &str) -> Option<Day> {
    let mut parts = text.split('-');
    let (year, month, day) =
        (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() {
        return None;
    }
    Day::from_civil(i32::try_from(year).ok()?, u8::try_from(month).ok()?, u8::try_from(day).ok()?)
}

/// `YYYY-MM-DDThh:mm:ss[.ffffff]Z`, the fraction only if there is one.
#[must_use]
pub fn format_utc(time_us: i64) -> String {
    let day = Day(i32::try_from(time_us.div_euclid(DAY_US)).unwrap_or(i32::MAX / 2));
    let within = time_us.rem_euclid(DAY_US);
    let (seconds, micros) = (within / 1_000_000, within % 1_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if micros == 0 {
        format!("{day}T{hour:02}:{minute:02}:{second:02}Z")
    } else {
        format!("{day}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

fn digits(text: &str, length: usize) -> Option<i64> {
    (text.len() == length && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::{Clock, format_utc, parse_day, parse_utc};
    use std::time::Duration;

    #[test]
    fn an_instant_reads_as_it_is_written() {
        for text in ["2026-11-22T04:30:00Z", "2026-11-22T04:30:00.000001Z", "2100-02-28T23:59:59Z"] {
            assert_eq!(format_utc(parse_utc(text).unwrap()), text);
        }
        assert_eq!(parse_utc("2026-11-22T04:30:00.5Z"), parse_utc("2026-11-22T04:30:00.500000Z"));
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T04:30:00",
            "2026-11-22T24:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-22T04:30Z",
            "2026-11-22T04:30:00.Z",
            "2026-11-22T04:30:00.1234567Z",
            "2026-11-22T+4:30:00Z",
            "+026-11-22T04:30:00Z",
        ] {
            assert_eq!(parse_utc(text), None, "{text}");
        }
        assert_eq!(parse_day("2026-11-2"), None);
    }

    #[test]
    fn an_accelerated_clock_waits_less() {
        let clock = Clock::accelerated(1_000, 1_000);
        assert!(clock.now_us() >= 1_000);
        let wait = clock.wait_until(clock.now_us() + 1_000_000_000);
        assert!(wait <= Duration::from_secs(1) && wait > Duration::from_millis(900), "{wait:?}");
        assert_eq!(clock.wait_until(0), Duration::ZERO);
    }

    #[test]
    fn a_manual_clock_stands_still_until_it_is_set() {
        let clock = Clock::manual(5);
        assert_eq!(clock.now_us(), 5);
        assert!(clock.clone().set(9));
        assert_eq!(clock.now_us(), 9);
        assert!(!Clock::Wall.set(9));
    }
}
