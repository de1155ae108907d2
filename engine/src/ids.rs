//! Names of things in the journal: small numbers that the engine gives, and the texts that people know.

use alloc::string::String;
use core::fmt;

/// Longest text id (codes, client order ids, request ids), bytes.
pub const TEXT_ID_MAX: usize = 64;

/// A text id of at most [`TEXT_ID_MAX`] bytes out of `A-Z a-z 0-9 . _ : -`.
///
/// The alphabet holds no byte below `-`, so that composite ids joined with `#` or `/` sort as their
/// parts do, and no byte that needs escaping in JSON, CSV, a shell or a log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextId(String);

impl TextId {
    /// Takes the text if it keeps the rule.
    ///
    /// # Errors
    ///
    /// Nothing if the text is empty, too long, or has another character.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=TEXT_ID_MAX).contains(&text.len());
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'));
        (fits && plain).then(|| Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A member of the exchange; numbered from 0 in the order of registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u32);
/// A member's portfolio; numbered from 0 over all members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortfolioId(pub u32);
/// A person or program with a certificate; numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u32);
/// An order: its member's number plus one, times 2³², plus the order's number from 1 among that
/// member's own.
///
/// A member who looks at two of its ids learns how many orders it entered in between itself; numbers
/// over all members would tell it how many everybody else did, before the book is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(pub u64);

impl OrderId {
    /// The `number`-th order (from 1) of a member.
    #[must_use]
    pub fn new(member: MemberId, number: u32) -> Self {
        Self(((u64::from(member.0) + 1) << 32) | u64::from(number))
    }

    /// The member, unless no member has such ids.
    #[must_use]
    pub fn member(self) -> Option<MemberId> {
        u32::try_from(self.0 >> 32).ok()?.checked_sub(1).map(MemberId)
    }

    /// The order's number among its member's own.
    #[must_use]
    pub fn number(self) -> u32 {
        u32::try_from(self.0 & u64::from(u32::MAX)).expect("masked")
    }
}

/// Which market an auction belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Market {
    /// Day-ahead market: one auction a day.
    Dam,
    /// Real-time market: one auction per session.
    Rtm,
}

impl Market {
    /// Both markets, in the order of their codes.
    pub const ALL: [Self; 2] = [Self::Dam, Self::Rtm];

    /// The name that people use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dam => "DAM",
            Self::Rtm => "RTM",
        }
    }
}

/// One auction: a market, a local delivery day and a session of that day (from 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuctionId {
    /// Local delivery day.
    pub day: crate::calendar::Day,
    /// The market.
    pub market: Market,
    /// Session of the day, from 1; always 1 in the day-ahead market.
    pub session: u16,
}

/// `DAM-2026-11-23` and `RTM-2026-11-23-17`.
impl fmt::Display for AuctionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.market {
            Market::Dam => write!(f, "DAM-{}", self.day),
            Market::Rtm => write!(f, "RTM-{}-{:02}", self.day, self.session),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MemberId, OrderId};

    #[test]
    fn an_order_id_names_its_member_and_its_number_there() {
        for member in [0, 7, u32::MAX - 1] {
            for number in [1, u32::MAX] {
                let id = OrderId::new(MemberId(member), number);
                assert_eq!((id.member(), id.number()), (Some(MemberId(member)), number));
            }
        }
        assert_eq!(OrderId(99).member(), None);
    }
}
