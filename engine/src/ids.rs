//! Names of things in the journal: small numbers that the engine gives, and the texts that people know.

use alloc::boxed::Box;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};

/// Longest text id (codes, client order ids, request ids), bytes.
pub const TEXT_ID_MAX: usize = 64;

/// A text id of at most [`TEXT_ID_MAX`] bytes out of `A-Z a-z 0-9 . _ : -`.
///
/// The alphabet holds no byte below `-`, so that composite ids joined with `#` or `/` sort as their
/// parts do, and no byte that needs escaping in JSON, CSV, a shell or a log.
#[derive(Clone)]
pub struct TextId(Text);

/// Bytes of an id that lies in place.
pub(crate) const SHORT: usize = 21;

/// Most ids are short, and there are millions: a short one lies in place, in the 24 bytes that a pointer
/// to it would take. Two bytes say which, so that the rest is moved in pieces that do not overlap: a processor waits
/// for bytes that were written in pieces other than those in which it reads them.
#[derive(Clone)]
#[repr(u16)]
enum Text {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Box<str>),
}

/// Which bytes an id may have.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let allowed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";
    let mut at = 0;
    while at < allowed.len() {
        plain[index(allowed[at])] = true;
        at += 1;
    }
    plain
};

#[expect(clippy::as_conversions, reason = "From is not const; this widens")]
const fn index(byte: u8) -> usize {
    byte as usize
}

/// Whether some bytes keep the rule of an id.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    (1..=TEXT_ID_MAX).contains(&text.len())
        && text.iter().fold(true, |plain, it| plain & PLAIN[usize::from(*it)])
}

/// A mask of the first `count` bytes of a word; of all of them if it has fewer.
#[inline]
fn first_bytes(count: usize) -> u64 {
    const MASKS: [u64; 9] = [
        0,
        0xff,
        0xffff,
        0xff_ffff,
        0xffff_ffff,
        0xff_ffff_ffff,
        0xffff_ffff_ffff,
        0xff_ffff_ffff_ffff,
        u64::MAX,
    ];
    MASKS[count.min(8)]
}

impl TextId {
    /// Takes the text if it keeps the rule.
    ///
    /// # Errors
    ///
    /// Nothing if the text is empty, too long, or has another character.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        Self::from_bytes(text.as_bytes())
    }

    /// As [`Self::new`], of bytes that need not be a text.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    #[must_use]
    #[inline]
    pub fn from_bytes(text: &[u8]) -> Option<Self> {
        if !is_plain(text) {
            return None;
        }
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..text.len()) {
            Some(short) => {
                short.copy_from_slice(text);
                Some(Self(Text::Short { len: u8::try_from(text.len()).ok()?, bytes }))
            }
            None => core::str::from_utf8(text).ok().map(|it| Self(Text::Long(it.into()))),
        }
    }

    /// As [`Self::from_bytes`], of the first `len` of some bytes: what follows them is no part of it, and lets a short id be
    /// copied in whole words.
    ///
    /// # Errors
    ///
    /// As [`Self::from_bytes`], and if there are fewer.
    #[must_use]
    pub fn from_first(bytes: &[u8], len: usize) -> Option<Self> {
        let mut id = Self::none();
        id.set_first(bytes, len).then_some(id)
    }

    /// As [`Self::from_first`], over another id: a short one is put together where it stays. Returns whether the bytes
    /// keep the rule, and are there; if not, the other one is left.
    // As a value it would be written in pieces and moved in others: a processor waits for that.
    #[must_use]
    #[inline(always)]
    pub fn set_first(&mut self, bytes: &[u8], len: usize) -> bool {
        let words = bytes.first_chunk::<24>().filter(|_| len <= SHORT);
        let (Some(words), Ok(short)) = (words, u8::try_from(len)) else {
            return self.set_long(bytes, len);
        };
        if !is_plain(&words[..len]) {
            return false;
        }
        let (words, _) = words.as_chunks::<8>();
        let mut bytes = [0; SHORT];
        for (word, (to, before)) in words.iter().zip(bytes.chunks_mut(8).zip([0, 8, 16])) {
            let word = u64::from_le_bytes(*word) & first_bytes(len.saturating_sub(before));
            let room = to.len();
            to.copy_from_slice(&word.to_le_bytes()[..room]);
        }
        *self = Self(Text::Short { len: short, bytes });
        true
    }

    #[inline(never)]
    fn set_long(&mut self, bytes: &[u8], len: usize) -> bool {
        bytes.get(..len).and_then(Self::from_bytes).map(|it| *self = it).is_some()
    }

    /// No id: what is left where one was taken.
    const fn none() -> Self {
        Self(Text::Short { len: 0, bytes: [0; SHORT] })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Short { .. } => core::str::from_utf8(self.as_bytes()).expect("an id is plain"),
            Text::Long(text) => text,
        }
    }

    /// The text's bytes.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Text::Long(text) => text.as_bytes(),
        }
    }
}

impl TextId {
    /// The id; what is left in its place is none. As one value: in an `Option` it would be moved in pieces.
    #[inline]
    pub(crate) fn take(&mut self) -> Self {
        core::mem::replace(self, Self::none())
    }

    /// The length of a short id, and its bytes, zero filled.
    #[inline]
    pub(crate) fn short(&self) -> Option<(usize, &[u8; SHORT])> {
        match &self.0 {
            Text::Short { len, bytes } => Some((usize::from(*len), bytes)),
            Text::Long(_) => None,
        }
    }

    /// The length of a short id, and its bytes in groups of eight, zero filled: as a digest wants them.
    #[inline]
    pub(crate) fn short_words(&self) -> Option<(u8, [u64; 3])> {
        let Text::Short { len, bytes } = &self.0 else { return None };
        let mut last = [0; 8];
        last[..SHORT - 16].copy_from_slice(&bytes[16..]);
        let word = |at: usize| bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        Some((*len, [word(0), word(8), u64::from_le_bytes(last)]))
    }
}

impl PartialEq for TextId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for TextId {}

impl PartialOrd for TextId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TextId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for TextId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for TextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TextId").field(&self.as_str()).finish()
    }
}

impl fmt::Display for TextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AuctionId {
    /// Local delivery day.
    pub day: crate::calendar::Day,
    /// The market.
    pub market: Market,
    /// Session of the day, from 1; always 1 in the day-ahead market.
    pub session: u16,
}

impl AuctionId {
    /// A number that grows as day, market and session do: one comparison where each order asks for its auction among many.
    #[inline]
    pub(crate) fn rank(self) -> i64 {
        let market = match self.market {
            Market::Dam => 0,
            Market::Rtm => 1,
        };
        (i64::from(self.day.0) << 32) | (market << 16) | i64::from(self.session)
    }
}

impl PartialOrd for AuctionId {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By day, market and session.
impl Ord for AuctionId {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
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
    use super::{AuctionId, Market, MemberId, OrderId, TEXT_ID_MAX, TextId};
    use crate::calendar::Day;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    #[test]
    fn auctions_sort_by_day_then_market_then_session() {
        let mut ids = Vec::new();
        for day in [i32::MIN, -1, 0, 1, i32::MAX] {
            for market in Market::ALL {
                for session in [0, 1, 2, u16::MAX] {
                    ids.push(AuctionId { day: Day(day), market, session });
                }
            }
        }
        let parts = |it: &AuctionId| (it.day, it.market, it.session);
        for one in &ids {
            for other in &ids {
                assert_eq!(one.cmp(other), parts(one).cmp(&parts(other)));
                assert_eq!(one == other, parts(one) == parts(other));
            }
        }
    }

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

    /// Short and long ones, in place and apart, against the rule as it reads and texts as they sort.
    #[test]
    fn text_ids_are_the_texts_that_keep_the_rule_and_sort_like_them() {
        let letters = "a-Z.9_:b/é #";
        let mut texts: Vec<String> = (0..=TEXT_ID_MAX + 2).map(|len| "x".repeat(len)).collect();
        for first in letters.chars() {
            for len in [0, 1, 20, 21, 22, 23, 62, 63] {
                texts.push(format!("{}{first}", "x".repeat(len)));
                texts.push(format!("{first}{}", "m".repeat(len)));
            }
        }
        let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | ':' | '-');
        let mut ids = Vec::new();
        for text in &texts {
            let keeps = (1..=TEXT_ID_MAX).contains(&text.len()) && text.chars().all(plain);
            let id = TextId::new(text);
            assert_eq!(id.as_ref().map(TextId::as_str), keeps.then_some(text.as_str()));
            assert_eq!(id, TextId::from_bytes(text.as_bytes()));
            for behind in ["", "#", "###########################", "xxxxxxxxxxxxxxxxxxxxxxxxxxx"] {
                let more = format!("{text}{behind}");
                let first = TextId::from_first(more.as_bytes(), text.len());
                assert_eq!(first, id);
                let other = TextId::new("another-one").unwrap();
                let mut over = other.clone();
                assert_eq!(over.set_first(more.as_bytes(), text.len()), id.is_some());
                assert_eq!(&over, id.as_ref().unwrap_or(&other));
                assert_eq!(first.as_ref().map(TextId::short_words), id.as_ref().map(TextId::short_words));
            }
            assert_eq!(TextId::from_first(text.as_bytes(), text.len() + 1), None);
            ids.extend(id.map(|it| (it, text)));
        }
        for (id, text) in &ids {
            for (other, beside) in &ids {
                assert_eq!(id.cmp(other), text.cmp(beside), "{text} {beside}");
                assert_eq!(id == other, text == beside);
            }
            assert_eq!(format!("{id} {id:?}"), format!("{text} TextId({text:?})"));
        }
        assert!(ids.len() > 100 && TextId::from_bytes(&[0xff]).is_none());
        assert_eq!(size_of::<TextId>(), size_of::<String>());
    }
}
