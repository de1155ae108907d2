//! Messages of 10⁵ rows, straight to bytes: a day-ahead result has that many obligations, rows of schedule and
//! fills, and a message built field by field only to be encoded takes ten times as long. The bytes are those that
//! prost makes of the same message built the long way, which a test holds.

use super::auction::final_status;
use super::order_out::{reason_out, result_status};
use super::settlement::{Names, Sha256};
use super::{Scale, order_out, time_row};
use merit_engine::event::{AuctionInfo, Obligation, PeriodFill, ScheduleRow};
use merit_engine::ids::{AuctionId, PortfolioId};
use merit_proto::v1;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, sint64, string, uint64};
use std::collections::BTreeMap;
use v1::stream_dispatch_response::Event as DispatchEvent;

/// The time rows of auctions as the first field of a row's message, by revision and status: every row has one.
#[derive(Debug, Default)]
pub struct TimeRows {
    encoded: BTreeMap<(AuctionId, u32, v1::PublicationStatus), Vec<Vec<u8>>>,
}

impl TimeRows {
    /// Those of an auction, by period.
    fn of(&mut self, info: &AuctionInfo, revision: u32, status: v1::PublicationStatus) -> &[Vec<u8>] {
        self.encoded.entry((info.auction, revision, status)).or_insert_with(|| {
            let field = |period| {
                let mut out = Vec::new();
                prost::encoding::message::encode(1, &time_row(info, period, revision, status), &mut out);
                out
            };
            (0..info.periods).map(field).collect()
        })
    }
}

fn put_sint64(tag: u32, value: i64, out: &mut Vec<u8>) {
    if value != 0 {
        sint64::encode(tag, &value, out);
    }
}

fn put_text(tag: u32, text: &String, out: &mut Vec<u8>) {
    if !text.is_empty() {
        string::encode(tag, text, out);
    }
}

/// A message or text as a field of another.
fn put_bytes(tag: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(u64::try_from(bytes.len()).expect("lengths fit"), out);
    out.extend_from_slice(bytes);
}

/// One event of a stream: its position, and its content as one field.
fn event(position: v1::Position, tag: u32, content: &[u8]) -> Vec<u8> {
    // The position is the first field of every stream's messages.
    let said = v1::StreamDispatchResponse { position: Some(position), event: None::<DispatchEvent> };
    let length = encoded_len_varint(u64::try_from(content.len()).expect("lengths fit"));
    let mut out = Vec::with_capacity(said.encoded_len() + 1 + length + content.len());
    said.encode(&mut out).expect("a vector takes every message");
    put_bytes(tag, content, &mut out);
    out
}

/// `StreamObligationsResponse` with the obligations of an auction.
#[must_use]
pub fn obligations(
    position: v1::Position,
    info: &AuctionInfo,
    list: &[Obligation],
    names: &impl Names,
    times: &mut TimeRows,
) -> Vec<u8> {
    let scale = Scale::of(&info.rules);
    let times = times.of(info, 1, v1::PublicationStatus::Final);
    let areas: Vec<String> = info.rules.areas.iter().map(|it| it.code.to_string()).collect();
    let empty = String::new();
    let mut codes = (None, String::new(), String::new());
    let head = v1::ObligationBatch {
        auction_id: info.auction.to_string(),
        revision: 1,
        ..v1::ObligationBatch::default()
    };
    let mut out = head.encode_to_vec();
    let (mut row, mut digest) = (Vec::new(), Sha256::new());
    for it in list {
        // One after the other they belong to the same portfolio.
        let owner = Some((it.member, it.portfolio));
        if codes.0 != owner {
            codes = (owner, names.member(it.member), names.portfolio(it.portfolio));
        }
        row.clear();
        if it.id != 0 {
            uint64::encode(1, &it.id, &mut row);
        }
        // The second field here.
        if let Some(time) = times.get(usize::from(it.period)) {
            encode_key(2, WireType::LengthDelimited, &mut row);
            row.extend_from_slice(&time[1..]);
        }
        put_text(3, &codes.1, &mut row);
        put_text(4, &codes.2, &mut row);
        put_text(5, areas.get(usize::from(it.area)).unwrap_or(&empty), &mut row);
        put_sint64(6, scale.watts(it.bought), &mut row);
        put_sint64(7, scale.watts(it.sold), &mut row);
        put_sint64(8, scale.price(it.price), &mut row);
        put_sint64(9, scale.money(it.value_minor), &mut row);
        put_sint64(10, scale.money(it.fee_minor), &mut row);
        put_sint64(11, scale.money(it.tax_minor), &mut row);
        digest.add(&row);
        put_bytes(3, &row, &mut out);
    }
    put_bytes(4, &digest.finish(), &mut out);
    event(position, 4, &out)
}

/// `StreamDispatchResponse` with the schedule of an auction.
#[must_use]
pub fn schedule(
    position: v1::Position,
    info: &AuctionInfo,
    revision: u32,
    rows: &[ScheduleRow],
    owner: impl Fn(PortfolioId) -> (String, String),
    times: &mut TimeRows,
) -> Vec<u8> {
    let scale = Scale::of(&info.rules);
    let times = times.of(info, revision, final_status(revision));
    let head = v1::Schedule {
        auction_id: info.auction.to_string(),
        revision,
        status: final_status(revision).into(),
        ..v1::Schedule::default()
    };
    let mut out = head.encode_to_vec();
    let listed = super::dispatch::in_order(info, rows, owner);
    // What the rows of one portfolio and area share.
    let shared: Vec<Vec<u8>> = listed
        .iter()
        .map(|it| {
            let mut bytes = Vec::new();
            put_text(2, &it.member, &mut bytes);
            put_text(3, &it.portfolio, &mut bytes);
            put_text(4, &it.area, &mut bytes);
            bytes
        })
        .collect();
    let mut row = Vec::new();
    for (period, time) in times.iter().enumerate() {
        for (it, shared) in listed.iter().zip(&shared) {
            let net = it.net.get(period).copied().unwrap_or(0);
            if net != 0 {
                row.clear();
                row.extend_from_slice(time);
                row.extend_from_slice(shared);
                put_sint64(5, scale.watts(net), &mut row);
                put_bytes(4, &row, &mut out);
            }
        }
    }
    event(position, 6, &out)
}

/// How an order ended.
#[derive(Clone, Copy, Debug)]
pub struct EndedOrder<'a> {
    /// Number.
    pub order: u64,
    /// Id of the command that entered it.
    pub client_order_id: &'a str,
    /// What it traded.
    pub fills: &'a [PeriodFill],
    /// Accepted share of a block, millionths.
    pub ratio: Option<u32>,
    /// What a rejected block would have earned, grid units of welfare.
    pub missed: Option<i128>,
}

/// `StreamEventsResponse` with the result of an order.
#[must_use]
pub fn order_result(
    position: v1::Position,
    info: &AuctionInfo,
    ended: EndedOrder<'_>,
    times: &mut TimeRows,
) -> Vec<u8> {
    let EndedOrder { order, client_order_id, fills, ratio, missed } = ended;
    let scale = Scale::of(&info.rules);
    let times = times.of(info, 1, result_status(fills));
    let head = v1::OrderResult {
        order_id: order,
        client_order_id: client_order_id.to_owned(),
        auction_id: info.auction.to_string(),
        ..v1::OrderResult::default()
    };
    let tail = v1::OrderResult {
        ratio_millionths: ratio,
        surplus_missed: missed.and_then(|it| order_out::money(info, it)),
        ..v1::OrderResult::default()
    };
    let mut out = head.encode_to_vec();
    let mut row = Vec::new();
    for it in fills {
        row.clear();
        row.extend(times.get(usize::from(it.period)).into_iter().flatten());
        put_sint64(2, scale.price(it.price), &mut row);
        put_sint64(3, scale.watts(it.bought), &mut row);
        put_sint64(4, scale.watts(it.sold), &mut row);
        let reason: i32 = reason_out(it.reason).into();
        if reason != 0 {
            prost::encoding::int32::encode(5, &reason, &mut row);
        }
        put_bytes(4, &row, &mut out);
    }
    tail.encode(&mut out).expect("a vector takes every message");
    event(position, 6, &out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::convert::{dispatch, event, settlement};
    use merit_engine::calendar::Day;
    use merit_engine::event::{Event, EventBody, Reason, Stream};
    use merit_engine::ids::{Market, MemberId, OrderId};
    use merit_engine::outcome::Rejection;
    use merit_engine::presets::{european, indian};
    use std::sync::Arc;

    struct Codes;

    impl Names for Codes {
        fn member(&self, member: MemberId) -> String {
            format!("M{}", 9 - member.0 % 10)
        }

        fn portfolio(&self, portfolio: PortfolioId) -> String {
            // One without a code: an empty text takes no bytes.
            if portfolio.0 == 3 { String::new() } else { format!("P-{}", portfolio.0 % 7) }
        }
    }

    fn owner(portfolio: PortfolioId) -> (String, String) {
        (Codes.member(MemberId(portfolio.0 / 2)), Codes.portfolio(portfolio))
    }

    fn auctions() -> Vec<AuctionInfo> {
        let days = indian(Day(20_000)).into_iter().chain(european(Day(20_000)));
        let info = |rules: merit_engine::rules::MarketRules| AuctionInfo {
            auction: AuctionId { market: rules.market, day: Day(20_780), session: 1 },
            periods: if rules.market == Market::Dam { 92 } else { 2 },
            rules: Arc::new(rules),
            delivery_start_us: 1_795_372_200_000_000,
            first_block: 1,
            blocks_in_day: 92,
            open_us: 0,
            gate_us: 0,
            corridor_us: 0,
            capacities_us: 0,
            publish_us: 0,
            acknowledge_us: None,
        };
        days.map(info).collect()
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn next(state: &mut u64) -> i64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let z = z ^ (z >> 31);
        // Zeros, small numbers of both signs, and large ones.
        match z % 5 {
            0 => 0,
            1 | 2 => i64::try_from(z >> 40).unwrap() - (1 << 23),
            3 => i64::try_from(z % 100).unwrap() - 50,
            _ => i64::try_from(z >> 20).unwrap(),
        }
    }

    fn said(seq: u64, body: EventBody) -> Event {
        let time_us = 1_795_372_200_000_001;
        Event { seq, epoch: 16, time_us, stream: Stream::Settlement, stream_seq: seq, body }
    }

    /// Every preset at several lengths, with chances of its own.
    fn cases() -> impl Iterator<Item = (AuctionInfo, u32, u64)> {
        let lengths = auctions().into_iter().flat_map(|it| (0..30).map(move |turn| (it.clone(), turn)));
        lengths.zip(1..).map(|((info, turn), seed)| (info, turn, seed))
    }

    fn head(info: &AuctionInfo, seq: u32) -> Event {
        let (info, obligations) = (Arc::new(info.clone()), Arc::new(vec![]));
        said(u64::from(seq) + 1, EventBody::ObligationsPosted { info, obligations })
    }

    #[test]
    fn obligations_straight_to_bytes_are_the_bytes_of_their_message() {
        for (info, turn, mut chance) in cases() {
            let areas = i64::try_from(info.rules.areas.len()).unwrap();
            let obligation = |it: u32| {
                let mut amount = || next(&mut chance);
                let mut below = |limit: i64| u16::try_from(amount().rem_euclid(limit)).unwrap();
                let (period, area) = (below(i64::from(info.periods)), below(areas));
                Obligation {
                    id: u64::from(it),
                    member: MemberId(it / 8),
                    portfolio: PortfolioId(it / 4),
                    area,
                    period,
                    bought: amount(),
                    sold: amount(),
                    price: amount(),
                    value_minor: amount(),
                    fee_minor: amount(),
                    tax_minor: amount(),
                }
            };
            let list: Vec<Obligation> = (0..turn * 3).map(obligation).collect();
            let head = head(&info, turn);
            let long = settlement::obligations(&info, &list, &Codes);
            let long = event::Wire::Settlement(v1::stream_obligations_response::Event::Obligations(long));
            let short = obligations(event::position(&head), &info, &list, &Codes, &mut TimeRows::default());
            assert_eq!(short, event::encode(&head, long), "{}", info.auction);
        }
    }

    #[test]
    fn schedules_straight_to_bytes_are_the_bytes_of_their_message() {
        for (info, turn, mut chance) in cases() {
            let mut row = |it: u32| ScheduleRow {
                portfolio: PortfolioId(it / 3),
                area: u16::try_from(it % 3).unwrap(),
                net: (0..info.periods).map(|_| next(&mut chance)).collect(),
            };
            let rows: Vec<ScheduleRow> = (0..turn).map(&mut row).collect();
            let (head, revision) = (head(&info, turn), turn % 3 + 1);
            let long = event::Wire::Dispatch(DispatchEvent::Schedule(dispatch::schedule(
                &info, revision, &rows, owner,
            )));
            let mut times = TimeRows::default();
            let short = schedule(event::position(&head), &info, revision, &rows, owner, &mut times);
            assert_eq!(short, event::encode(&head, long), "{}", info.auction);
        }
    }

    #[test]
    fn orders_straight_to_bytes_are_the_bytes_of_their_message() {
        let rejected = Reason::Rejected(Rejection::ParadoxicallyRejected);
        let reasons = [Reason::Filled, Reason::OutOfTheMoney, rejected, Reason::AuctionCancelled];
        for (info, turn, mut chance) in cases() {
            let kinds = if turn % 2 == 0 { 3 } else { 4 };
            let mut fill = |period: u16| PeriodFill {
                period,
                price: next(&mut chance),
                bought: next(&mut chance),
                sold: next(&mut chance),
                reason: reasons[usize::from(period) % kinds],
            };
            let until = info.periods.min(turn.try_into().unwrap());
            let fills: Vec<PeriodFill> = (0..until).map(&mut fill).collect();
            let ratio = (turn % 3 == 0).then_some(turn * 1_000);
            let missed = (turn % 4 == 0).then(|| i128::from(next(&mut chance)));
            let (head, order) = (head(&info, turn), OrderId(u64::from(turn)).0);
            let id = if turn == 5 { "" } else { "order-5" };
            let long = v1::OrderResult {
                ratio_millionths: ratio,
                surplus_missed: missed.and_then(|it| order_out::money(&info, it)),
                ..order_out::result(order, id.to_owned(), &info, &fills)
            };
            let long = event::Wire::Member(v1::stream_events_response::Event::Result(long));
            let ended = EndedOrder { order, client_order_id: id, fills: &fills, ratio, missed };
            let short = order_result(event::position(&head), &info, ended, &mut TimeRows::default());
            assert_eq!(short, event::encode(&head, long), "{}", info.auction);
        }
    }
}
