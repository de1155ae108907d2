//! Days and periods as arithmetic: no time-zone database, no clock.
//!
//! A local delivery day begins at local midnight. With European summer time the day of the change
//! in March has 92 quarter hours and the one in October 100.

use core::fmt;

/// Microseconds in a minute.
pub const MINUTE_US: i64 = 60_000_000;
const DAY_MINUTES: i64 = 24 * 60;

/// A local calendar day, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// Year 2000 to 2200: what the calendar is proved for.
    pub const MIN: Self = Self(10_957);
    /// See [`Self::MIN`].
    pub const MAX: Self = Self(84_005);

    /// Year, month 1–12, day of month 1–31 (Gregorian; H. Hinnant, "chrono-compatible low-level
    /// date algorithms").
    #[must_use]
    pub fn civil(self) -> (i32, u8, u8) {
        let z = i64::from(self.0) + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        let small = "civil dates of an i32 day count fit";
        (
            i32::try_from(year).expect(small),
            u8::try_from(month).expect(small),
            u8::try_from(day).expect(small),
        )
    }

    /// The day of a civil date, or nothing if there is no such date between years 2000 and 2200.
    #[must_use]
    pub fn from_civil(year: i32, month: u8, day: u8) -> Option<Self> {
        if !(2000..=2200).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let y = i64::from(year) - i64::from(month <= 2);
        let (m, d) = (i64::from(month), i64::from(day));
        let era = y.div_euclid(400);
        let yoe = y.rem_euclid(400);
        let mp = if m > 2 { m - 3 } else { m + 9 };
        let doy = (153 * mp + 2) / 5 + d - 1;
        let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
        let found = Self(i32::try_from(era * 146_097 + doe - 719_468).ok()?);
        (found.civil() == (year, month, day) && (Self::MIN..=Self::MAX).contains(&found)).then_some(found)
    }

    /// Monday = 0 … Sunday = 6.
    #[must_use]
    pub fn weekday(self) -> u8 {
        u8::try_from((i64::from(self.0) + 3).rem_euclid(7)).expect("below 7")
    }

    /// The day `n` days later (earlier if negative).
    #[must_use]
    pub fn plus(self, n: i32) -> Self {
        Self(self.0.saturating_add(n))
    }
}

/// `YYYY-MM-DD`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (y, m, d) = self.civil();
        write!(f, "{y:04}-{m:02}-{d:02}")
    }
}

/// Whether and how clocks change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Summer {
    /// Never (India).
    None,
    /// One hour ahead from 01:00 UTC on the last Sunday of March to 01:00 UTC on the last Sunday of
    /// October (Directive 2000/84/EC).
    European,
}

/// Local time of a market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Zone {
    /// Standard time ahead of UTC, minutes (India 330, Central Europe 60).
    pub offset_minutes: i16,
    /// Summer time.
    pub summer: Summer,
}

impl Zone {
    /// Indian Standard Time.
    pub const INDIA: Self = Self { offset_minutes: 330, summer: Summer::None };
    /// Central European Time with summer time.
    pub const CENTRAL_EUROPE: Self = Self { offset_minutes: 60, summer: Summer::European };

    /// Local time ahead of UTC at an instant, minutes.
    #[must_use]
    pub fn offset_at(self, time_us: i64) -> i64 {
        let standard = i64::from(self.offset_minutes);
        match self.summer {
            Summer::None => standard,
            Summer::European => {
                let minutes = time_us.div_euclid(MINUTE_US);
                let day = Day(i32::try_from(minutes.div_euclid(DAY_MINUTES)).unwrap_or(i32::MAX / 2));
                let year = day.civil().0;
                let begins = change_utc_minutes(year, 3);
                let ends = change_utc_minutes(year, 10);
                let summer = begins <= minutes && minutes < ends;
                standard + if summer { 60 } else { 0 }
            }
        }
    }

    /// UTC instant of local midnight at the start of `day`, microseconds.
    #[must_use]
    pub fn day_start_us(self, day: Day) -> i64 {
        let local = i64::from(day.0) * DAY_MINUTES;
        let guess = (local - i64::from(self.offset_minutes)) * MINUTE_US;
        // At midnight local time no European clock changes, so one correction settles it.
        let shifted = (local - self.offset_at(guess)) * MINUTE_US;
        (local - self.offset_at(shifted)) * MINUTE_US
    }

    /// Length of a local day in minutes: 1380, 1440 or 1500.
    #[must_use]
    pub fn day_minutes(self, day: Day) -> i64 {
        (self.day_start_us(day.plus(1)) - self.day_start_us(day)) / MINUTE_US
    }

    /// The local day that an instant lies in; instants outside of the proved calendar lie in the day
    /// before [`Day::MIN`] or after [`Day::MAX`], so that no instant whatever leads out of bounds.
    #[must_use]
    pub fn day_of(self, time_us: i64) -> Day {
        let local = time_us.div_euclid(MINUTE_US) + self.offset_at(time_us);
        let day = local.div_euclid(DAY_MINUTES).clamp(i64::from(Day::MIN.0) - 1, i64::from(Day::MAX.0) + 1);
        Day(i32::try_from(day).expect("clamped"))
    }
}

/// 01:00 UTC on the last Sunday of a month of 31 days, in minutes since 1970.
fn change_utc_minutes(year: i32, month: u8) -> i64 {
    let last = Day::from_civil(year, month, 31)
        .map_or(i64::MAX / DAY_MINUTES / 2, |it| i64::from(it.0) - i64::from((it.weekday() + 1) % 7));
    last * DAY_MINUTES + 60
}

#[cfg(test)]
mod tests {
    use super::{Day, Summer, Zone};
    use std::format;

    const CET: Zone = Zone { offset_minutes: 60, summer: Summer::European };
    const IST: Zone = Zone { offset_minutes: 330, summer: Summer::None };

    #[test]
    fn a_day_and_its_civil_date_are_one_to_one() {
        for day in Day::MIN.0..=Day::MAX.0 {
            let (y, m, d) = Day(day).civil();
            assert_eq!(Day::from_civil(y, m, d), Some(Day(day)));
        }
        assert_eq!(format!("{}", Day(20_779)), "2026-11-22");
        assert_eq!(Day(20_779).weekday(), 6);
        assert_eq!(Day::from_civil(2025, 2, 29), None);
    }

    #[test]
    fn european_days_have_92_96_or_100_quarters() {
        let quarters = |y, m, d| CET.day_minutes(Day::from_civil(y, m, d).unwrap()) / 15;
        assert_eq!(quarters(2026, 3, 29), 92);
        assert_eq!(quarters(2026, 10, 25), 100);
        assert_eq!(quarters(2026, 3, 28), 96);
        assert_eq!(quarters(2026, 7, 1), 96);
        let year: i64 = (0..365).map(|n| CET.day_minutes(Day::from_civil(2027, 1, 1).unwrap().plus(n))).sum();
        assert_eq!(year, 365 * 1440);
    }

    #[test]
    fn indian_midnight_is_half_past_six_in_the_evening_utc_the_day_before() {
        let day = Day::from_civil(2026, 11, 23).unwrap();
        assert_eq!(IST.day_start_us(day), (i64::from(day.0) * 1440 - 330) * 60_000_000);
        assert_eq!(IST.day_of(IST.day_start_us(day)), day);
        assert_eq!(IST.day_of(IST.day_start_us(day) - 1), day.plus(-1));
    }
}
