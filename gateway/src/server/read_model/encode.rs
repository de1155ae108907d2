//! What most events and answers are, an accepted order, straight to the bytes that are stored: a message built
//! field by field with texts of its own only to be encoded takes five times as long. The bytes are those that
//! prost makes of the same message, which a test holds.
//!
//! The answer to an order says nothing that its event does not say. It is stored as a reference: a zero byte, with
//! which no message begins, and the event's number in the member's stream.

use crate::server::convert::{Scale, order_out};
use merit_engine::auction::{Point, Shape, Side};
use merit_engine::command::OrderBody;
use merit_engine::event::Event;
use merit_engine::ids::OrderId;
use merit_proto::v1;
use v1::stream_events_response::Event as MemberEvent;

/// An accepted order as its member is shown it.
#[derive(Clone, Copy, Debug)]
pub(super) struct AcceptedOrder<'a> {
    /// Number.
    pub(super) order: OrderId,
    /// Version.
    pub(super) version: u32,
    /// Id of the command that entered it.
    pub(super) client_order_id: &'a [u8],
    /// Id of the command that made this version.
    pub(super) request: &'a [u8],
    /// Name of the user who did.
    pub(super) user: &'a [u8],
    /// Auction.
    pub(super) auction: &'a str,
    /// Portfolio.
    pub(super) portfolio: &'a [u8],
    /// Area.
    pub(super) area: &'a [u8],
    /// Content.
    pub(super) body: &'a OrderBody,
    /// Units of the auction's rules.
    pub(super) scale: Scale,
    /// Id of the block that must be taken before this one.
    pub(super) parent: Option<&'a str>,
}

/// A field's number and wire type as one byte: fields up to the 15th.
const fn varint_field(number: u8) -> u8 {
    number << 3
}

const fn length_field(number: u8) -> u8 {
    number << 3 | 2
}

/// Bytes of a message's length that are left free before it is known.
#[derive(Clone, Copy, Debug)]
enum Long {
    /// Below 128 bytes.
    No,
    /// More, mostly.
    Yes,
}

fn varint(mut value: u64) -> ([u8; 10], usize) {
    let (mut bytes, mut count) = ([0; 10], 0);
    for byte in &mut bytes {
        count += 1;
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            *byte = low;
            break;
        }
        *byte = low | 0x80;
    }
    (bytes, count)
}

fn put_varint(value: u64, out: &mut Vec<u8>) {
    let (bytes, count) = varint(value);
    out.extend_from_slice(&bytes[..count]);
}

/// A number that is left out if it is zero.
fn number(field: u8, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        out.push(varint_field(field));
        put_varint(value, out);
    }
}

/// The same of `sint64`.
fn signed(field: u8, value: i64, out: &mut Vec<u8>) {
    number(field, ((value << 1) ^ (value >> 63)).cast_unsigned(), out);
}

fn text(field: u8, text: &[u8], out: &mut Vec<u8>) {
    if !text.is_empty() {
        out.push(length_field(field));
        put_varint(u64::try_from(text.len()).expect("lengths fit"), out);
        out.extend_from_slice(text);
    }
}

fn message(field: u8, long: Long, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(length_field(field));
    let at = out.len();
    match long {
        Long::No => out.push(0),
        Long::Yes => out.extend_from_slice(&[0, 0]),
    }
    let start = out.len();
    fill(out);
    let (bytes, count) = varint(u64::try_from(out.len() - start).expect("lengths fit"));
    let bytes = &bytes[..count];
    if count == start - at {
        out[at..start].copy_from_slice(bytes);
    } else {
        out.splice(at..start, bytes.iter().copied());
    }
}

fn timestamp(field: u8, time_us: i64, out: &mut Vec<u8>) {
    message(field, Long::No, out, |out| {
        number(1, time_us.div_euclid(1_000_000).cast_unsigned(), out);
        number(2, (time_us.rem_euclid(1_000_000) * 1_000).cast_unsigned(), out);
    });
}

fn points(field: u8, list: &[Point], scale: Scale, out: &mut Vec<u8>) {
    for point in list {
        message(field, Long::No, out, |out| {
            signed(1, scale.price(point.price), out);
            signed(2, scale.watts(point.quantity), out);
        });
    }
}

fn curve(field: u8, periods: &[(u16, Vec<Point>)], scale: Scale, out: &mut Vec<u8>) {
    for (period, list) in periods {
        message(field, Long::No, out, |out| {
            number(1, u64::from(*period) + 1, out);
            points(2, list, scale, out);
        });
    }
}

fn version(it: &AcceptedOrder<'_>, time_us: i64, out: &mut Vec<u8>) {
    number(1, u64::from(it.version), out);
    text(2, it.request, out);
    text(3, it.user, out);
    timestamp(4, time_us, out);
    match it.body {
        OrderBody::Curve { shape: Shape::Step(side), periods } => message(5, Long::No, out, |out| {
            let side = match side {
                Side::Buy => v1::Side::Buy,
                Side::Sell => v1::Side::Sell,
            };
            number(1, i64::from(i32::from(side)).cast_unsigned(), out);
            curve(2, periods, it.scale, out);
        }),
        OrderBody::Curve { shape: Shape::Linear, periods } => message(6, Long::No, out, |out| {
            curve(1, periods, it.scale, out);
        }),
        // There are fewer of these, and they say more.
        OrderBody::Block { .. } | OrderBody::Complex { .. } => {
            order_out::version_body(it.body, it.scale, it.parent.map(str::to_owned)).encode(out);
        }
    }
}

/// Appends `StreamEventsResponse` with an accepted order, as `event` says it.
pub(super) fn accepted(it: &AcceptedOrder<'_>, event: &Event, out: &mut Vec<u8>) {
    message(1, Long::No, out, |out| {
        number(1, u64::from(event.epoch), out);
        // A number that may be missing, and then zero would not mean the same, is never left out.
        out.push(varint_field(2));
        put_varint(event.stream_seq, out);
        number(3, event.stream_seq, out);
        timestamp(4, event.time_us, out);
    });
    message(4, Long::Yes, out, |out| {
        number(1, it.order.0, out);
        text(2, it.client_order_id, out);
        text(3, it.auction.as_bytes(), out);
        text(4, it.portfolio, out);
        text(5, it.area, out);
        number(6, i64::from(i32::from(v1::OrderState::Live)).cast_unsigned(), out);
        message(7, Long::No, out, |out| version(it, event.time_us, out));
    });
}

/// Appends a reference to an event of the member's stream in place of an answer.
pub(super) fn refer(seq: u64, out: &mut Vec<u8>) {
    out.push(0);
    put_varint(seq, out);
}

/// The number that a reference names; nothing if the bytes are an answer.
pub(super) fn referred(bytes: &[u8]) -> Option<u64> {
    let mut rest = bytes.strip_prefix(&[0])?;
    prost::encoding::decode_varint(&mut rest).ok()
}

/// The answer to the command that entered an order, out of the event that a reference names.
pub(super) fn answer_of(event: v1::StreamEventsResponse) -> Option<v1::OrderAnswer> {
    let (position, Some(MemberEvent::Order(order))) = (event.position?, event.event) else { return None };
    let accepted = v1::Accepted {
        order_id: Some(order.order_id),
        version: order.current.map(|it| it.version),
        cancelled: None,
    };
    Some(v1::OrderAnswer {
        client_order_id: order.client_order_id,
        replayed: false,
        outcome: Some(v1::order_answer::Outcome::Accepted(accepted)),
        seq: position.seq,
        time: position.time,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::convert::event::{self, Wire};
    use crate::server::convert::timestamp as shown_time;
    use merit_engine::calendar::Day;
    use merit_engine::command::Parent;
    use merit_engine::event::{EventBody, Phase, Stream};
    use merit_engine::ids::{AuctionId, Market, MemberId};
    use prost::Message as _;

    /// Numbers from a seed.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % sides
        }

        /// Of any length in bits.
        fn number(&mut self) -> u64 {
            let bits = u32::try_from(self.roll(65)).unwrap();
            (self.roll(1 << 31) << 33 | self.roll(1 << 33)).checked_shr(64 - bits).unwrap_or(0)
        }

        fn signed(&mut self) -> i64 {
            self.number().cast_signed() >> 20
        }

        fn text(&mut self) -> String {
            let length = if self.roll(10) == 0 { self.roll(200) } else { self.roll(20) };
            "x".repeat(usize::try_from(length).unwrap())
        }

        fn small(&mut self) -> u16 {
            u16::try_from(self.number() % 65_000).unwrap()
        }

        fn body(&mut self) -> OrderBody {
            let points = |dice: &mut Self| {
                let point = |dice: &mut Self| Point { price: dice.signed(), quantity: dice.signed() };
                (0..dice.roll(4)).map(|_| point(dice)).collect()
            };
            let periods = match self.roll(20) {
                0 => 90,
                _ => self.roll(3),
            };
            let periods = (0..periods).map(|_| (self.small(), points(self))).collect();
            let side = if self.roll(2) == 0 { Side::Buy } else { Side::Sell };
            match self.roll(5) {
                0 => OrderBody::Block {
                    side,
                    price: self.signed(),
                    quantity: vec![(self.small(), self.signed())],
                    ratio_min: u32::from(self.small()),
                    parent: Some(Parent::Order(OrderId(1))),
                    group: None,
                },
                1 => OrderBody::Curve { shape: Shape::Linear, periods },
                _ => OrderBody::Curve { shape: Shape::Step(side), periods },
            }
        }
    }

    fn event_at(dice: &mut Dice) -> Event {
        let auction = AuctionId { day: Day(1), market: Market::Rtm, session: 2 };
        Event {
            seq: dice.number(),
            epoch: u32::from(dice.small()),
            time_us: dice.signed(),
            stream: Stream::Member(MemberId(1)),
            stream_seq: dice.number(),
            body: EventBody::PhaseChanged { auction, phase: Phase::Open, next_due_us: None },
        }
    }

    #[test]
    fn an_accepted_order_is_encoded_as_prost_does_it_and_its_answer_is_read_from_it() {
        let mut dice = Dice(3);
        for _ in 0..20_000 {
            let [id, request, user, auction, portfolio, area] = std::array::from_fn(|_| dice.text());
            let (body, event, version) = (dice.body(), event_at(&mut dice), u32::from(dice.small()));
            let scale = Scale { tick: 10_000, lot: 100_000, minor: 10_000 };
            let parent = (dice.roll(2) == 0).then(|| dice.text());
            let order = OrderId(dice.number());
            let shown = AcceptedOrder {
                order,
                version,
                client_order_id: id.as_bytes(),
                request: request.as_bytes(),
                user: user.as_bytes(),
                auction: &auction,
                portfolio: portfolio.as_bytes(),
                area: area.as_bytes(),
                body: &body,
                scale,
                parent: parent.as_deref(),
            };
            let mut bytes = vec![1];
            accepted(&shown, &event, &mut bytes);
            let current = v1::OrderVersion {
                version,
                client_order_id: request.clone(),
                user: user.clone(),
                time: Some(shown_time(event.time_us)),
                body: Some(order_out::version_body(&body, scale, parent.clone())),
            };
            let long = v1::Order {
                order_id: order.0,
                client_order_id: id.clone(),
                auction_id: auction.clone(),
                portfolio: portfolio.clone(),
                area: area.clone(),
                state: v1::OrderState::Live.into(),
                current: Some(current),
                versions: Vec::new(),
                result: None,
            };
            let expected = event::encode(&event, Wire::Member(MemberEvent::Order(long)));
            assert!(bytes[1..] == expected, "{shown:?} {event:?}");
            let answer = answer_of(v1::StreamEventsResponse::decode(expected.as_slice()).unwrap());
            let expected = v1::Accepted { order_id: Some(order.0), version: Some(version), cancelled: None };
            let expected = v1::OrderAnswer {
                client_order_id: id,
                replayed: false,
                outcome: Some(v1::order_answer::Outcome::Accepted(expected)),
                seq: Some(event.stream_seq),
                time: Some(shown_time(event.time_us)),
            };
            assert_eq!(answer, Some(expected));
        }
    }

    #[test]
    fn a_reference_is_read_as_it_was_written_and_no_answer_is_taken_for_one() {
        let mut dice = Dice(4);
        for _ in 0..1_000 {
            let (seq, mut bytes) = (dice.number(), Vec::new());
            refer(seq, &mut bytes);
            assert_eq!(referred(&bytes), Some(seq));
            let answer =
                v1::OrderAnswer { client_order_id: dice.text(), seq: Some(seq), ..Default::default() };
            assert_eq!(referred(&answer.encode_to_vec()), None);
        }
        assert_eq!(referred(&[]), None);
    }
}
