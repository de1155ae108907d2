//! Keys of the records in the store, and of the rows that hold many of them. Numbers are big-endian so that keys
//! sort as they do.

use super::state::State;
use crate::server::convert::event::stream_tag;
use merit_engine::calendar::Day;
use merit_engine::digest::{Quick, Words as _};
use merit_engine::event::Stream;
use merit_engine::ids::{AuctionId, Market, MemberId};
use std::collections::{BTreeMap, BTreeSet};

/// An event: stream, number.
#[must_use]
pub fn event(stream: Stream, seq: u64) -> [u8; 14] {
    EventKey::new(stream, seq).record()
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

/// Where an event stands: which stream, which number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventKey {
    /// The stream, as keys name it.
    pub tag: [u8; 5],
    /// The number.
    pub seq: u64,
}

impl EventKey {
    /// An event of a stream.
    #[must_use]
    pub fn new(stream: Stream, seq: u64) -> Self {
        Self { tag: stream_tag(stream), seq }
    }

    /// The event so many later in its stream.
    #[must_use]
    pub fn next(self, count: usize) -> Self {
        Self { seq: self.seq.saturating_add(u64::try_from(count).unwrap_or(u64::MAX)), ..self }
    }

    /// How many later another event of the same stream comes.
    #[must_use]
    pub fn distance(self, other: Self) -> Option<usize> {
        let distance = other.seq.checked_sub(self.seq).filter(|_| self.tag == other.tag)?;
        usize::try_from(distance).ok()
    }

    /// The key of its record.
    #[must_use]
    pub fn record(self) -> [u8; 14] {
        let mut key = *b"e.............";
        key[1..6].copy_from_slice(&self.tag);
        key[6..].copy_from_slice(&self.seq.to_be_bytes());
        key
    }

    /// The key of the row that begins with it.
    #[must_use]
    pub fn row(self) -> Vec<u8> {
        [b"E".as_slice(), &self.tag, &self.seq.to_be_bytes()].concat()
    }
}

/// Where the event with a key stands; nothing for keys of other records.
#[must_use]
pub fn event_key(key: &[u8]) -> Option<EventKey> {
    placed(key, b'e')
}

/// Where the first event of a row stands; nothing for other rows.
#[must_use]
pub fn events_row(key: &[u8]) -> Option<EventKey> {
    placed(key, b'E')
}

fn placed(key: &[u8], kind: u8) -> Option<EventKey> {
    let (tag, seq) = key.strip_prefix(&[kind])?.split_first_chunk()?;
    Some(EventKey { tag: *tag, seq: u64::from_be_bytes(seq.try_into().ok()?) })
}

/// Whether a key is that of an answer.
#[must_use]
pub fn is_answer(key: &[u8]) -> bool {
    key.first() == Some(&b'r')
}

/// Whether a row holds answers.
#[must_use]
pub fn is_answers_row(key: &[u8]) -> bool {
    key.first() == Some(&b'R')
}

/// A hash of the member and id of an answer. It is written to the disk ([`bucket`]), so it never changes.
#[must_use]
pub fn answer_hash(key: &[u8]) -> u64 {
    requests_hash(key.split_last_chunk::<8>().map_or(key, |(requests, _)| requests))
}

/// The same of what [`requests`] says of an id.
#[must_use]
pub fn requests_hash(requests: &[u8]) -> u64 {
    let mut hasher = Quick::new();
    hasher.bytes(requests);
    u64::try_from(hasher.finish() & u128::from(u64::MAX)).expect("half of it")
}

/// Buckets of answers. Few, so that what has gathered goes into few rows, which is what writing costs; not fewer, for
/// whoever looks for an id that is not there reads all rows of its bucket: of ten million answers some
/// four hundred, which take a millisecond if they are in memory.
pub const BUCKETS: usize = 1_024;

/// Which rows the answers with a hash may be in.
#[must_use]
pub fn bucket(hash: u64) -> u16 {
    let [.., high, low] = hash.to_be_bytes();
    u16::from_be_bytes([high & 0b11, low])
}

/// A row of answers of a bucket; `seq`, of one of their commands, tells it from the bucket's others.
#[must_use]
pub fn answers_row(bucket: u16, seq: u64) -> Vec<u8> {
    [answers_rows(bucket).as_slice(), &seq.to_be_bytes()].concat()
}

/// What the keys of all rows of the bucket begin with that the row with a key is of; nothing for other rows.
#[must_use]
pub fn answers_bucket(key: &[u8]) -> Option<&[u8]> {
    key.get(..3).filter(|_| is_answers_row(key))
}

/// All rows of answers of a bucket.
#[must_use]
pub fn answers_rows(bucket: u16) -> [u8; 3] {
    let [high, low] = bucket.to_be_bytes();
    [b'R', high, low]
}

/// An answer to an order command that was not a repeat: id, number of the command.
#[must_use]
pub fn request(member: MemberId, id: &str, seq: u64) -> Vec<u8> {
    request_parts(&member.0.to_be_bytes(), id.as_bytes(), &seq.to_be_bytes()).concat()
}

/// The same in parts.
#[must_use]
pub fn request_parts<'a>(member: &'a [u8; 4], id: &'a [u8], seq: &'a [u8; 8]) -> [&'a [u8]; 5] {
    // No id has a zero byte, so none is the beginning of another.
    [b"r", member, id, &[0], seq]
}

/// All such answers for an id. There are more than one only where a refusal left the id free, or the
/// exchange has forgotten an old one.
#[must_use]
pub fn requests(member: MemberId, id: &str) -> Vec<u8> {
    // No id has a zero byte, so none is the beginning of another.
    [b"r".as_slice(), &member.0.to_be_bytes(), id.as_bytes(), &[0]].concat()
}

/// The aggregated curve of an area and period of an auction, as event `seq` of the market's stream published it.
#[must_use]
pub fn curve(auction: AuctionId, period: u16, area: u16, seq: u64) -> Vec<u8> {
    [curves(auction, period).as_slice(), &area.to_be_bytes(), &seq.to_be_bytes()].concat()
}

/// All aggregated curves of a period of an auction.
#[must_use]
pub fn curves(auction: AuctionId, period: u16) -> Vec<u8> {
    [b"c".as_slice(), &auction_key(auction), &period.to_be_bytes()].concat()
}

/// What an auction adds to a member's statement since event `seq` of the settlement stream.
#[must_use]
pub fn statement(member: MemberId, auction: AuctionId, seq: u64) -> Vec<u8> {
    let [_, _, _, _, market, session_high, session_low] = auction_key(auction);
    let day = statements(member, auction.day);
    [day.as_slice(), &[market, session_high, session_low], &seq.to_be_bytes()].concat()
}

/// What a record is about, without the event that said it: of several about the same the last holds, since a result
/// may be voided and another published.
#[must_use]
pub fn subject(key: &[u8]) -> &[u8] {
    match key.first() {
        Some(b'c' | b's') => key.split_last_chunk::<8>().map_or(key, |(subject, _)| subject),
        Some(_) | None => key,
    }
}

/// All parts of a member's statement of a day.
#[must_use]
pub fn statements(member: MemberId, day: Day) -> Vec<u8> {
    [b"s".as_slice(), &member.0.to_be_bytes(), &day.0.to_be_bytes()].concat()
}

/// What a run adds to a member's statement.
#[must_use]
pub fn run_statement(member: MemberId, day: Day, run: u32) -> Vec<u8> {
    [b"d".as_slice(), &member.0.to_be_bytes(), &run_key(day, run)].concat()
}

/// Which rows are of commands up to one, as far as their keys say it: what a snapshot's state knows of. A row
/// of a later command may be of a history that this node will never see.
#[derive(Debug)]
pub struct Known {
    seq: u64,
    heads: BTreeMap<[u8; 5], u64>,
    runs: BTreeSet<[u8; 8]>,
}

impl Known {
    /// What a state knows of.
    #[must_use]
    pub fn to(state: &State) -> Self {
        let heads = state.heads.iter().map(|(stream, head)| (stream_tag(*stream), *head)).collect();
        let runs = state.runs.iter().flat_map(|(day, list)| list.iter().map(|(run, _)| run_key(*day, *run)));
        Self { seq: state.seq, heads, runs: runs.collect() }
    }

    /// Whether the row with a key is one of them.
    #[must_use]
    pub fn has(&self, key: &[u8]) -> bool {
        let Some((kind, rest)) = key.split_first() else { return false };
        match kind {
            b'e' => {
                let tagged = rest.split_first_chunk().zip(event_seq(key));
                tagged.is_some_and(|((tag, _), seq)| self.heads.get(tag).is_some_and(|head| seq <= *head))
            }
            b'r' => event_seq(key).is_some_and(|seq| seq <= self.seq),
            b'c' => self.said(Stream::Market, key),
            b's' => self.said(Stream::Settlement, key),
            b'd' => rest.last_chunk().is_some_and(|it| self.runs.contains(it)),
            _ => false,
        }
    }

    /// Whether the event that a key names has been said.
    fn said(&self, stream: Stream, key: &[u8]) -> bool {
        let head = self.heads.get(&stream_tag(stream)).copied().unwrap_or(0);
        event_seq(key).is_some_and(|seq| seq <= head)
    }

    /// Events that there are.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.heads.values().sum()
    }
}

fn run_key(day: Day, run: u32) -> [u8; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (day.0.to_be_bytes(), run.to_be_bytes());
    [a, b, c, d, e, f, g, h]
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
