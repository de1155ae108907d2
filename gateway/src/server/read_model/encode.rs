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
use merit_engine::few::Few;
use merit_engine::ids::{AuctionId, OrderId, PortfolioId, UserId};
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
    /// Content.
    pub(super) body: &'a OrderBody,
    /// Id of the block that must be taken before this one.
    pub(super) parent: Option<&'a str>,
}

/// Where and for whom an order is entered.
type Place = (AuctionId, PortfolioId, u16);

/// What the last accepted order had, as bytes: orders come in batches, and the next one's is mostly the same.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    place: Option<(Place, Scale)>,
    /// The fields that name auction, portfolio and area.
    names: Vec<u8>,
    user: Option<UserId>,
    /// The field that names the user.
    user_name: Vec<u8>,
    time_us: Option<i64>,
    /// The field with the time. It has the same number in a version as in a position.
    time: Vec<u8>,
}

impl Repeated {
    /// Names may have changed.
    pub(super) fn forget(&mut self) {
        (self.place, self.user) = (None, None);
    }

    /// Has a place at hand: its units and names of auction, portfolio and area, which are only asked for if they are
    /// not.
    pub(super) fn at<E>(
        &mut self,
        place: Place,
        names: impl FnOnce() -> Result<(Scale, [String; 3]), E>,
    ) -> Result<(), E> {
        if !matches!(self.place, Some((known, _)) if known == place) {
            self.place = None;
            let (scale, names) = names()?;
            self.names.clear();
            for (field, name) in (3..).zip(names) {
                text(field, name.as_bytes(), &mut self.names);
            }
            self.place = Some((place, scale));
        }
        Ok(())
    }

    /// Has a user's name at hand.
    pub(super) fn by(&mut self, user: UserId, name: impl FnOnce() -> String) {
        if self.user != Some(user) {
            self.user_name.clear();
            text(3, name().as_bytes(), &mut self.user_name);
            self.user = Some(user);
        }
    }

    /// Appends `StreamEventsResponse` with an accepted order of the place and user at hand, as `event` says it.
    ///
    /// # Panics
    ///
    /// If no place is at hand.
    pub(super) fn accepted(&mut self, it: &AcceptedOrder<'_>, event: &Event, out: &mut Vec<u8>) {
        let (_, scale) = self.place.expect("whoever shows an order has its place at hand");
        if self.time_us != Some(event.time_us) {
            self.time.clear();
            timestamp(4, event.time_us, &mut self.time);
            self.time_us = Some(event.time_us);
        }
        message(1, Long::No, out, |out| {
            number(1, u64::from(event.epoch), out);
            // A number that may be missing, and then zero would not mean the same, is never left out.
            put_number(2, event.stream_seq, out);
            number(3, event.stream_seq, out);
            out.extend_from_slice(&self.time);
        });
        message(4, Long::Yes, out, |out| {
            number(1, it.order.0, out);
            text(2, it.client_order_id, out);
            out.extend_from_slice(&self.names);
            number(6, i64::from(i32::from(v1::OrderState::Live)).cast_unsigned(), out);
            message(7, Long::No, out, |out| {
                number(1, u64::from(it.version), out);
                text(2, it.request, out);
                out.extend_from_slice(&self.user_name);
                out.extend_from_slice(&self.time);
                body(it, scale, out);
            });
        });
    }
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

/// A byte and a number after it.
fn varint_after(first: u8, mut value: u64) -> ([u8; 11], usize) {
    let (mut bytes, mut count) = ([0; 11], 1);
    bytes[0] = first;
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes[count] = low;
            return (bytes, count + 1);
        }
        bytes[count] = low | 0x80;
        count += 1;
    }
}

fn put_varint_after(first: u8, value: u64, out: &mut Vec<u8>) {
    // Most numbers are small.
    if let Ok(small @ 0..128) = u8::try_from(value) {
        return out.extend_from_slice(&[first, small]);
    }
    let (bytes, count) = varint_after(first, value);
    let end = out.len() + count;
    // As many as always are two moves; as many as there are would be a call.
    out.extend_from_slice(&bytes);
    out.truncate(end);
}

fn put_number(field: u8, value: u64, out: &mut Vec<u8>) {
    put_varint_after(varint_field(field), value, out);
}

/// A number that is left out if it is zero.
fn number(field: u8, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        put_number(field, value, out);
    }
}

/// The same of `sint64`.
fn signed(field: u8, value: i64, out: &mut Vec<u8>) {
    number(field, ((value << 1) ^ (value >> 63)).cast_unsigned(), out);
}

fn text(field: u8, text: &[u8], out: &mut Vec<u8>) {
    if !text.is_empty() {
        let length = u64::try_from(text.len()).expect("lengths fit");
        put_varint_after(length_field(field), length, out);
        out.extend_from_slice(text);
    }
}

fn message(field: u8, long: Long, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    match long {
        Long::No => out.extend_from_slice(&[length_field(field), 0]),
        Long::Yes => out.extend_from_slice(&[length_field(field), 0, 0]),
    }
    let start = out.len();
    fill(out);
    let length = u64::try_from(out.len() - start).expect("lengths fit");
    let (bytes, count) = varint_after(length_field(field), length);
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

fn curve(field: u8, periods: &[(u16, Few<Point>)], scale: Scale, out: &mut Vec<u8>) {
    for (period, list) in periods {
        message(field, Long::No, out, |out| {
            number(1, u64::from(*period) + 1, out);
            points(2, list, scale, out);
        });
    }
}

fn body(it: &AcceptedOrder<'_>, scale: Scale, out: &mut Vec<u8>) {
    match it.body {
        OrderBody::Curve { shape: Shape::Step(side), periods } => message(5, Long::No, out, |out| {
            let side = match side {
                Side::Buy => v1::Side::Buy,
                Side::Sell => v1::Side::Sell,
            };
            number(1, i64::from(i32::from(side)).cast_unsigned(), out);
            curve(2, periods, scale, out);
        }),
        OrderBody::Curve { shape: Shape::Linear, periods } => message(6, Long::No, out, |out| {
            curve(1, periods, scale, out);
        }),
        // There are fewer of these, and they say more.
        OrderBody::Block { .. } | OrderBody::Complex { .. } => {
            order_out::version_body(it.body, scale, it.parent.map(str::to_owned)).encode(out);
        }
    }
}

/// Appends a reference to an event of the member's stream in place of an answer.
pub(super) fn refer(seq: u64, out: &mut Vec<u8>) {
    put_varint_after(0, seq, out);
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
    use super::super::dice::Dice;
    use super::*;
    use crate::server::convert::event::{self, Wire};
    use crate::server::convert::timestamp as shown_time;
    use merit_engine::calendar::Day;
    use merit_engine::command::Parent;
    use merit_engine::event::{EventBody, Phase, Stream};
    use merit_engine::ids::{Market, MemberId};
    use prost::Message as _;
    use std::collections::BTreeMap;

    impl Dice {
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

    #[derive(Default)]
    struct Names {
        places: BTreeMap<Place, (Scale, [String; 3])>,
        users: BTreeMap<UserId, String>,
    }

    fn event_at(dice: &mut Dice) -> Event {
        let auction = AuctionId { day: Day(1), market: Market::Rtm, session: 2 };
        Event {
            seq: dice.number(),
            epoch: u32::from(dice.small()),
            time_us: if dice.roll(2) == 0 { 77 } else { dice.signed() },
            stream: Stream::Member(MemberId(1)),
            stream_seq: dice.number(),
            body: EventBody::PhaseChanged { auction, phase: Phase::Open, next_due_us: None },
        }
    }

    #[test]
    fn an_accepted_order_is_encoded_as_prost_does_it_and_its_answer_is_read_from_it() {
        let mut dice = Dice(3);
        let mut repeated = Repeated::default();
        // What users and places are called until names change.
        let mut names = Names::default();
        for _ in 0..20_000 {
            if dice.roll(50) == 0 {
                repeated.forget();
                names = Names::default();
            }
            let [id, request] = std::array::from_fn(|_| dice.text());
            let auction =
                AuctionId { day: Day(1), market: Market::Rtm, session: u16::from(dice.roll(2) == 0) };
            let place = (auction, PortfolioId(u32::from(dice.roll(2) == 0)), u16::from(dice.roll(2) == 0));
            let user = UserId(u32::from(dice.roll(2) == 0));
            let (scale, shown_place) = names.places.entry(place).or_insert_with(|| {
                let lot = 1 + i64::from(dice.small());
                (Scale { tick: 10_000, lot, minor: 10_000 }, std::array::from_fn(|_| dice.text()))
            });
            let (scale, [auction, portfolio, area]) = (*scale, shown_place.clone());
            let name = names.users.entry(user).or_insert_with(|| dice.text()).clone();
            repeated.at(place, || Ok::<_, ()>((scale, shown_place.clone()))).unwrap();
            repeated.by(user, || name.clone());
            let (body, event, version) = (dice.body(), event_at(&mut dice), u32::from(dice.small()));
            let parent = (dice.roll(2) == 0).then(|| dice.text());
            let order = OrderId(dice.number());
            let shown = AcceptedOrder {
                order,
                version,
                client_order_id: id.as_bytes(),
                request: request.as_bytes(),
                body: &body,
                parent: parent.as_deref(),
            };
            let mut bytes = vec![1];
            repeated.accepted(&shown, &event, &mut bytes);
            let current = v1::OrderVersion {
                version,
                client_order_id: request.clone(),
                user: name,
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
