//! The referee must find what is wrong, and nothing in what is right: a small true story, and every way of
//! telling it wrongly.

use super::*;
use crate::ledger::Outcome::{Accepted, Failed, Refused, Unknown};
use crate::shape::tests::shape;
use v1::OrderState::{Cancelled as Gone, Executed, Live, NotExecuted};

/// A price at which the orders of this seed partly trade.
const PRICE: i64 = 600_000_000;

/// Everything that is told and shown of one member.
struct Story {
    ids: Ids,
    shape: Shape,
    places: Vec<Place>,
    sent: Vec<Sent>,
    shown: Shown,
    public: Option<Public>,
}

impl Story {
    /// Five orders: 1 stays, 2 is amended by 6, 3 is cancelled by 7, 4 is refused, 5 is never answered
    /// but entered.
    fn new(published: bool) -> Self {
        let accepted = |order_id, version, seq| Accepted { order_id, version, seq: Some(seq) };
        let sent = |number, what, outcome| Sent { number, what, outcome };
        let places = vec![Place { portfolio: "M1-P".to_string(), area: "AT".to_string() }];
        let mut story = Self {
            ids: Ids::new(5),
            shape: shape(),
            places,
            sent: vec![
                sent(1, What::Submit, accepted(11, 1, 1)),
                sent(2, What::Submit, accepted(12, 1, 2)),
                sent(3, What::Submit, accepted(13, 1, 3)),
                sent(4, What::Submit, Refused { reason: "BOOK_FULL".to_string(), seq: Some(4) }),
                sent(5, What::Submit, Unknown),
                sent(6, What::Amend { origin: 2 }, accepted(12, 2, 6)),
                sent(7, What::Cancel { origin: 3 }, accepted(13, 1, 7)),
                sent(8, What::Submit, Failed("RATE_EXCEEDED".to_string())),
            ],
            shown: Shown::default(),
            public: None,
        };
        let state = |live| if published { NotExecuted } else { live };
        let orders = vec![
            story.order(1, 11, 1, 1, state(Live)),
            story.order(2, 12, 2, 6, state(Live)),
            story.order(3, 13, 1, 3, Gone),
            story.order(5, 15, 1, 5, state(Live)),
        ];
        for (seq, order) in [
            (1, story.order(1, 11, 1, 1, Live)),
            (2, story.order(2, 12, 1, 2, Live)),
            (3, story.order(3, 13, 1, 3, Live)),
            (5, story.order(5, 15, 1, 5, Live)),
            (6, story.order(2, 12, 2, 6, Live)),
            (7, story.order(3, 13, 1, 3, Gone)),
        ] {
            story.tell(seq, Event::Order(order));
        }
        let refusal = v1::Refusal { reason: v1::RejectReason::BookFull.into(), ..v1::Refusal::default() };
        let refused = v1::OrderAnswer {
            client_order_id: story.ids.id(4),
            outcome: Some(v1::order_answer::Outcome::Refused(refusal)),
            ..v1::OrderAnswer::default()
        };
        story.tell(4, Event::Refused(refused.clone()));
        let found = v1::GetOrderResponse { order: None, answer: Some(refused) };
        story.shown.looked_up = vec![(4, Some(found)), (8, None)];
        story.shown.orders = orders;
        if published {
            story.publish();
        }
        story
    }

    fn order(
        &self,
        origin: u64,
        order_id: u64,
        version: u32,
        content: u64,
        state: v1::OrderState,
    ) -> v1::Order {
        let current = v1::OrderVersion {
            version,
            client_order_id: self.ids.id(content),
            body: Some(v1::order_version::Body::Step(self.shape.curve(origin, content))),
            ..v1::OrderVersion::default()
        };
        v1::Order {
            order_id,
            client_order_id: self.ids.id(origin),
            auction_id: self.shape.auction.auction_id.clone(),
            portfolio: "M1-P".to_string(),
            area: "AT".to_string(),
            state: state.into(),
            current: Some(current),
            ..v1::Order::default()
        }
    }

    fn tell(&mut self, seq: u64, event: Event) {
        let position = Some(v1::Position { seq: Some(seq), ..v1::Position::default() });
        self.shown.events.push(v1::StreamEventsResponse { position, event: Some(event) });
    }

    /// Gives every order that stands what is strictly in the money.
    fn publish(&mut self) {
        let mut rows: BTreeMap<(String, u32), (i64, i64, i64)> = BTreeMap::new();
        for period in 1..=96 {
            rows.insert(("AT".to_string(), period), (PRICE, 0, 0));
        }
        for at in 0..self.shown.orders.len() {
            let order = &self.shown.orders[at];
            if order.state() == Gone {
                continue;
            }
            let Some(v1::order_version::Body::Step(curve)) = &order.current.as_ref().unwrap().body else {
                panic!()
            };
            let buys = curve.side() == v1::Side::Buy;
            let mut result = v1::OrderResult {
                order_id: order.order_id,
                client_order_id: order.client_order_id.clone(),
                ..v1::OrderResult::default()
            };
            for wanted in &curve.periods {
                let gains = |limit: i64| if buys { limit > PRICE } else { limit < PRICE };
                let traded: i64 = wanted
                    .points
                    .iter()
                    .filter(|it| gains(it.price_micros_per_mwh))
                    .map(|it| it.quantity_watts)
                    .sum();
                let (bought, sold) = if buys { (traded, 0) } else { (0, traded) };
                let sums = rows.get_mut(&("AT".to_string(), wanted.period)).unwrap();
                (sums.1, sums.2) = (sums.1 + bought, sums.2 + sold);
                result.rows.push(v1::OrderResultRow {
                    row: Some(v1::TimeRow { period: wanted.period, ..v1::TimeRow::default() }),
                    price_micros_per_mwh: PRICE,
                    bought_watts: bought,
                    sold_watts: sold,
                    ..v1::OrderResultRow::default()
                });
            }
            self.shown.orders[at].state = Executed.into();
            self.shown.orders[at].result = Some(result.clone());
            let seq = 8 + u64::try_from(at).unwrap();
            self.tell(seq, Event::Result(result));
        }
        self.public = Some(Public { rows });
    }

    fn findings(&self) -> Vec<String> {
        let mut referee = Referee::new(&self.ids, &self.shape);
        let told = Told { member: "M1", places: &self.places, sent: &self.sent };
        referee.judge(&told, &self.shown, self.public.as_ref());
        if let Some(public) = &self.public {
            referee.judge_sums(public, true);
        }
        referee.findings.iter().map(ToString::to_string).collect()
    }

    fn last_result(&mut self) -> &mut v1::OrderResult {
        let Some(Event::Result(result)) = &mut self.shown.events.last_mut().unwrap().event else { panic!() };
        result
    }
}

/// Tells the story wrongly in one way; the referee must say so in these words.
#[track_caller]
fn check(published: bool, wrongly: impl FnOnce(&mut Story), words: &str) {
    let mut story = Story::new(published);
    wrongly(&mut story);
    let findings = story.findings();
    assert!(findings.iter().any(|it| it.contains(words)), "{findings:#?}");
}

#[test]
fn a_true_story_holds_before_and_after_publication() {
    for published in [false, true] {
        assert_eq!(Story::new(published).findings(), Vec::<String>::new());
    }
    // It would prove little if nothing had traded.
    let story = Story::new(true);
    let traded: i64 = story.public.unwrap().rows.values().map(|(_, bought, sold)| bought + sold).sum();
    assert!(traded > 0);
}

#[test]
fn a_command_without_an_answer_may_have_been_carried_out_or_not() {
    let mut story = Story::new(false);
    story.shown.orders.retain(|it| it.order_id != 15);
    story.shown.events.retain(|it| it.position.as_ref().unwrap().seq != Some(5));
    assert_eq!(story.findings(), Vec::<String>::new());
    for outcome in [Unknown, Failed("UNAVAILABLE".to_string())] {
        let mut story = Story::new(false);
        story.sent[6].outcome = outcome.clone();
        assert_eq!(story.findings().is_empty(), outcome == Unknown);
    }
}

#[test]
fn an_acknowledged_order_that_is_gone_is_found() {
    check(false, |it| drop(it.shown.orders.remove(0)), "load-5-1: was acknowledged and is not listed");
}

#[test]
fn an_order_that_is_there_twice_is_found() {
    check(false, |it| it.shown.orders.push(it.shown.orders[0].clone()), "order 11 is listed twice");
    let again = |it: &mut Story| {
        let order = v1::Order { order_id: 99, ..it.shown.orders[3].clone() };
        it.shown.orders.push(order);
    };
    check(false, again, "load-5-5: is listed twice");
}

#[test]
fn an_order_that_was_refused_failed_or_never_sent_is_found() {
    for number in [4, 8, 77] {
        let enter = |it: &mut Story| it.shown.orders.push(it.order(number, 20, 1, number, Live));
        check(false, enter, "is listed, but was never acknowledged");
        let tell = |it: &mut Story| it.tell(30, Event::Order(it.order(number, 20, 1, number, Live)));
        check(false, tell, "but it was never acknowledged");
    }
}

#[test]
fn an_order_with_another_id_version_content_place_or_state_is_found() {
    check(false, |it| it.shown.orders[0].order_id = 99, "is order 99, acknowledged as");
    check(false, |it| it.shown.orders[1] = it.order(2, 12, 1, 2, Live), "has version 1, acknowledged was 2");
    check(false, |it| it.shown.orders[1] = it.order(2, 12, 3, 6, Live), "has version 3, acknowledged was 2");
    check(false, |it| it.shown.orders[1] = it.order(2, 12, 2, 2, Live), "other content than was sent");
    check(false, |it| it.shown.orders[0].area = "DE".to_string(), "stands in");
    check(false, |it| it.shown.orders[0].state = Gone.into(), "is ORDER_STATE_CANCELLED");
    check(false, |it| it.shown.orders[2].state = Live.into(), "is ORDER_STATE_LIVE");
    check(true, |it| it.shown.orders[0].state = Live.into(), "is ORDER_STATE_LIVE");
}

#[test]
fn an_answer_that_is_another_one_later_is_found() {
    let unknown = |it: &mut Story| it.shown.looked_up[0].1 = None;
    check(false, unknown, "looked up later: None");
    let other =
        |it: &mut Story| it.sent[3].outcome = Refused { reason: "GATE_CLOSED".to_string(), seq: Some(4) };
    check(false, other, "looked up later");
    check(false, |it| it.shown.looked_up.push((1, None)), "looked up later: None");
}

#[test]
fn an_event_that_is_missing_moved_or_told_twice_is_found() {
    for at in 0..7 {
        if at != 3 {
            check(false, |it| drop(it.shown.events.remove(at)), "and that event is not of it");
        }
    }
    let again = |it: &mut Story| it.tell(40, it.shown.events[0].event.clone().unwrap());
    check(false, again, "event 40 says again");
    check(false, |it| it.sent[0].outcome = Accepted { order_id: 11, version: 1, seq: Some(2) }, "as event 2");
}

#[test]
fn a_result_that_is_missing_double_or_of_a_cancelled_order_is_found() {
    check(true, |it| drop(it.shown.events.pop()), "has no result after publication");
    let again = |it: &mut Story| it.shown.events.push(it.shown.events.last().unwrap().clone());
    check(true, again, "has two results");
    check(true, |it| it.last_result().order_id = 13, "was cancelled and has a result");
    check(true, |it| it.last_result().order_id = 98, "has a result and is not listed");
    check(true, |it| it.last_result().rows[0].bought_watts += 1, "another result than the event");
}

#[test]
fn a_result_against_an_order_s_limits_or_the_published_price_is_found() {
    for change in [1, -100_000, 100_000_000] {
        let trade = |it: &mut Story| {
            let Some(Event::Result(result)) = &mut it.shown.events[7].event else { panic!() };
            result.rows[0].bought_watts += change;
            it.shown.orders[0].result = Some(result.clone());
        };
        check(true, trade, "its limits say");
    }
    let price = |it: &mut Story| {
        it.last_result().rows[0].price_micros_per_mwh += 1;
        let result = it.last_result().clone();
        it.shown.orders[3].result = Some(result);
    };
    check(true, price, "not at the published price");
}

#[test]
fn volumes_that_are_not_those_of_the_members_are_found() {
    let publish = |by: i64| {
        move |it: &mut Story| {
            let row = it.public.as_mut().unwrap().rows.values_mut().find(|it| it.1 + it.2 > 0).unwrap();
            (row.1, row.2) = (row.1 + by, row.2 + by);
        }
    };
    check(true, publish(-100_000), "more than the published volumes");
    check(true, publish(100_000), "the members' results are");
}
