//! Keys of the records in the store. Numbers are big-endian so that keys sort as they do.

use crate::server::convert::event::stream_tag;
use merit_engine::calendar::Day;
use merit_engine::event::Stream;
use merit_engine::ids::{AuctionId, Market, MemberId};

/// An event: stream, number.
#[must_use]
pub fn event(stream: Stream, seq: u64) -> Vec<u8> {
    [events(stream).as_slice(), &seq.to_be_bytes()].concat()
}

/// All events of a stream.
#[must_use]
pub fn events(stream: Stream) -> Vec<u8> {
    [b"e".as_slice(), &stream_tag(stream)].concat()
}

/// Whether a key is that of an event.
#[must_use]
pub fn is_event(key: &[u8]) -> bool {
    key.first() == Some(&b'e')
}

/// The number in the key of an event.
#[must_use]
pub fn event_seq(key: &[u8]) -> Option<u64> {
    let (_, seq) = key.split_last_chunk::<8>()?;
    Some(u64::from_be_bytes(*seq))
}

/// An answer to an order command that was not a repeat: id, number of the command.
#[must_use]
pub fn request(member: MemberId, id: &str, seq: u64) -> Vec<u8> {
    [requests(member, id).as_slice(), &seq.to_be_bytes()].concat()
}

/// All such answers for an id. There are more than one only where a refusal left the id free, or the
/// exchange has forgotten an old one.
#[must_use]
pub fn requests(member: MemberId, id: &str) -> Vec<u8> {
    // No id has a zero byte, so none is the beginning of another.
    [b"r".as_slice(), &member.0.to_be_bytes(), id.as_bytes(), &[0]].concat()
}

/// The aggregated curve of an area and period of an auction.
#[must_use]
pub fn curve(auction: AuctionId, period: u16, area: u16) -> Vec<u8> {
    [curves(auction, period).as_slice(), &area.to_be_bytes()].concat()
}

/// All aggregated curves of a period of an auction.
#[must_use]
pub fn curves(auction: AuctionId, period: u16) -> Vec<u8> {
    [b"c".as_slice(), &auction_key(auction), &period.to_be_bytes()].concat()
}

/// What an auction adds to a member's statement.
#[must_use]
pub fn statement(member: MemberId, auction: AuctionId) -> Vec<u8> {
    let [_, _, _, _, market, session_high, session_low] = auction_key(auction);
    let day = statements(member, auction.day);
    [day.as_slice(), &[market, session_high, session_low]].concat()
}

/// All parts of a member's statement of a day.
#[must_use]
pub fn statements(member: MemberId, day: Day) -> Vec<u8> {
    [b"s".as_slice(), &member.0.to_be_bytes(), &day.0.to_be_bytes()].concat()
}

/// What a run adds to a member's statement.
#[must_use]
pub fn run_statement(member: MemberId, day: Day, run: u32) -> Vec<u8> {
    [b"d".as_slice(), &member.0.to_be_bytes(), &day.0.to_be_bytes(), &run.to_be_bytes()].concat()
}

fn auction_key(auction: AuctionId) -> [u8; 7] {
    let [a, b, c, d] = auction.day.0.to_be_bytes();
    let market = match auction.market {
        Market::Dam => 1,
        Market::Rtm => 2,
    };
    let [high, low] = auction.session.to_be_bytes();
    [a, b, c, d, market, high, low]
}
