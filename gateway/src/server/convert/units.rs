//! Ticks, lots and minor units to millionths and back; time rows; names of auctions.

use merit_engine::calendar::{Day, MINUTE_US};
use merit_engine::command::Role;
use merit_engine::event::AuctionInfo;
use merit_engine::ids::{AuctionId, Market};
use merit_engine::rules::MarketRules;
use merit_proto::v1;
use prost_types::Timestamp;

/// Decimals of everything in the contract.
const WIRE_DECIMALS: u32 = 6;

/// How many millionths one unit of the engine is, under some rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Millionths of the currency per MWh in a price tick.
    pub tick: i64,
    /// Watts in a lot.
    pub lot: i64,
    /// Millionths of the currency in a minor unit.
    pub minor: i64,
}

impl Scale {
    /// The scale of some rules.
    #[must_use]
    pub fn of(rules: &MarketRules) -> Self {
        Self {
            tick: unit(rules.price_decimals),
            lot: unit(rules.quantity_decimals),
            minor: unit(rules.minor_decimals),
        }
    }

    /// A price in millionths.
    #[must_use]
    pub fn price(self, ticks: i64) -> i64 {
        ticks.saturating_mul(self.tick)
    }

    /// A quantity in watts.
    #[must_use]
    pub fn watts(self, lots: i64) -> i64 {
        lots.saturating_mul(self.lot)
    }

    /// Money in millionths.
    #[must_use]
    pub fn money(self, minor: i64) -> i64 {
        minor.saturating_mul(self.minor)
    }
}

/// Millionths in a unit of so many decimals; rules with more than six do not pass the gateway.
fn unit(decimals: u8) -> i64 {
    10_i64.pow(WIRE_DECIMALS.saturating_sub(u32::from(decimals)))
}

/// Whole units in `micros`, rounded down, and whether nothing was left.
#[must_use]
pub fn whole(micros: i64, unit: i64) -> (i64, bool) {
    (micros.div_euclid(unit), micros.rem_euclid(unit) == 0)
}

/// An instant of the contract.
#[must_use]
pub fn timestamp(time_us: i64) -> Timestamp {
    let nanos = i32::try_from(time_us.rem_euclid(1_000_000) * 1_000).expect("below a second");
    Timestamp { seconds: time_us.div_euclid(1_000_000), nanos }
}

/// The currency's code as text.
#[must_use]
pub fn currency(rules: &MarketRules) -> String {
    String::from_utf8_lossy(&rules.currency).into_owned()
}

/// When period `period` (from 0) of an auction is, with the status of the figures beside it.
#[must_use]
pub fn time_row(
    info: &AuctionInfo,
    period: u16,
    revision: u32,
    status: v1::PublicationStatus,
) -> v1::TimeRow {
    let minutes = i64::from(info.rules.period_minutes);
    let start = info.delivery_start_us + i64::from(period) * minutes * MINUTE_US;
    v1::TimeRow {
        delivery_day: info.auction.day.to_string(),
        block: u32::from(info.first_block) + u32::from(period),
        blocks: u32::from(info.blocks_in_day),
        period: u32::from(period) + 1,
        start: Some(timestamp(start)),
        end: Some(timestamp(start + minutes * MINUTE_US)),
        resolution_minutes: u32::from(info.rules.period_minutes),
        currency: currency(&info.rules),
        revision,
        status: status.into(),
    }
}

/// Reads `DAM-2026-11-23` and `RTM-2026-11-23-17`.
#[must_use]
pub fn auction_id(name: &str) -> Option<AuctionId> {
    let market = Market::ALL.into_iter().find(|it| name.starts_with(it.name()))?;
    let rest = name.strip_prefix(market.name())?.strip_prefix('-')?;
    let day = crate::server::clock::parse_day(rest.get(..10)?)?;
    let session = match (market, rest.get(10..)?) {
        (Market::Dam, "") => 1,
        (Market::Dam, _) => return None,
        (Market::Rtm, rest) => session(rest.strip_prefix('-')?)?,
    };
    Some(AuctionId { day, market, session })
}

/// Reads the number of a session as it is written: two digits, or more without a leading zero. One name for one auction.
fn session(digits: &str) -> Option<u16> {
    let canonical = digits.len() == 2 || (digits.len() > 2 && !digits.starts_with('0'));
    (canonical && digits.bytes().all(|it| it.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Reads an ISO 8601 day.
#[must_use]
pub fn day(text: &str) -> Option<Day> {
    crate::server::clock::parse_day(text)
}

/// The contract's market.
#[must_use]
pub fn market_out(market: Market) -> v1::Market {
    match market {
        Market::Dam => v1::Market::Dam,
        Market::Rtm => v1::Market::Rtm,
    }
}

/// The engine's market; nothing if unspecified or unknown.
#[must_use]
pub fn market_in(market: i32) -> Option<Market> {
    match v1::Market::try_from(market).ok()? {
        v1::Market::Unspecified => None,
        v1::Market::Dam => Some(Market::Dam),
        v1::Market::Rtm => Some(Market::Rtm),
    }
}

/// The contract's role.
#[must_use]
pub fn role_out(role: Role) -> v1::Role {
    match role {
        Role::Trader => v1::Role::Trader,
        Role::Auditor => v1::Role::Auditor,
        Role::Dispatch => v1::Role::Dispatch,
        Role::Settlement => v1::Role::Settlement,
        Role::Operator => v1::Role::Operator,
    }
}

/// The engine's role; nothing if unspecified or unknown.
#[must_use]
pub fn role_in(role: i32) -> Option<Role> {
    match v1::Role::try_from(role).ok()? {
        v1::Role::Unspecified => None,
        v1::Role::Trader => Some(Role::Trader),
        v1::Role::Auditor => Some(Role::Auditor),
        v1::Role::Dispatch => Some(Role::Dispatch),
        v1::Role::Settlement => Some(Role::Settlement),
        v1::Role::Operator => Some(Role::Operator),
    }
}

/// `amount / 10^decimals` as a plain decimal without trailing zeros.
#[must_use]
pub fn decimal(amount: i128, decimals: u32) -> String {
    let magnitude = amount.unsigned_abs();
    let one = 10_u128.pow(decimals.min(30));
    let width = usize::try_from(decimals.min(30)).expect("small");
    let fraction = format!("{:0width$}", magnitude % one);
    let fraction = if width == 0 { "" } else { fraction.trim_end_matches('0') };
    let sign = if amount < 0 { "-" } else { "" };
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{dot}{fraction}", magnitude / one)
}

#[cfg(test)]
mod tests {
    use super::{auction_id, decimal, timestamp, whole};
    use merit_engine::calendar::Day;
    use merit_engine::ids::{AuctionId, Market};

    #[test]
    fn an_auction_has_one_name() {
        for name in ["DAM-2026-11-23", "RTM-2026-11-23-07", "RTM-2026-11-23-48", "RTM-2026-11-23-100"] {
            assert_eq!(auction_id(name).unwrap().to_string(), name);
        }
        for name in [
            "",
            "DAM",
            "DAM-",
            "DAM-2026-11-31",
            "DAM-2026-11-23-01",
            "RTM-2026-11-23",
            "RTM-2026-11-23-7",
            "RTM-2026-11-23-+7",
            "RTM-2026-11-23-007",
            "RTM-2026-11-23-",
            "RTM-2026-11-23-99999",
            "dam-2026-11-23",
            "DAM-2026-11-23 ",
            "DAM-2026-11-2é",
        ] {
            assert_eq!(auction_id(name), None, "{name}");
        }
    }

    /// What is read is what would be written, whatever is changed about a name; and every name is read.
    #[test]
    fn whatever_is_read_as_an_auction_is_written_so() {
        for name in ["DAM-2026-11-23", "RTM-2026-11-23-07", "RTM-2026-11-23-48", "RTM-2026-11-23-100"] {
            for (at, more) in (0..=name.len()).flat_map(|at| "0129-+ aR".chars().map(move |it| (at, it))) {
                let (before, after) = name.split_at(at);
                let rest = after.get(1..).unwrap_or_default();
                for changed in [
                    format!("{before}{more}{after}"),
                    format!("{before}{more}{rest}"),
                    format!("{before}{rest}"),
                ] {
                    assert!(auction_id(&changed).is_none_or(|it| it.to_string() == changed), "{changed}");
                }
            }
        }
        for session in (0..200).chain([999, 1_000, 9_999, 10_000, u16::MAX]) {
            let auction = AuctionId { day: Day(20_780), market: Market::Rtm, session };
            assert_eq!(auction_id(&auction.to_string()), Some(auction));
        }
    }

    #[test]
    fn money_is_printed_exactly() {
        assert_eq!(decimal(0, 6), "0");
        assert_eq!(decimal(-1_250_000, 6), "-1.25");
        assert_eq!(decimal(5, 2), "0.05");
        assert_eq!(decimal(100, 0), "100");
        assert_eq!(decimal(i128::MIN, 1), "-17014118346046923173168730371588410572.8");
    }

    #[test]
    fn an_instant_before_1970_still_counts_forward() {
        assert_eq!((timestamp(-1).seconds, timestamp(-1).nanos), (-1, 999_999_000));
        assert_eq!(whole(-1, 10), (-1, false));
        assert_eq!(whole(-20, 10), (-2, true));
    }
}
