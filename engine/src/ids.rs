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
/// An order; numbered from 1 over the life of the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(pub u64);

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
