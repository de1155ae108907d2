//! The crowd's bids as the commands that its members send, with the second thoughts that members have.
//!
//! Every id is a function of the seed's plan, so that a run can be repeated and ties between orders,
//! which go by these ids, fall the same way.

use super::crowd::{AREAS, Bids, Crowd};
use super::curve::{Curve, Shape};
use merit_client::v1;
use merit_client::v1::order_command::Command;

/// Millionths in one rupee.
const MICROS: i64 = 1_000_000;
/// Watts (millionths of a MW) in a tenth of a MW.
const TENTH_WATTS: i64 = 100_000;

/// One market session as its members see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session<'a> {
    /// The auction's name.
    pub(super) auction: &'a str,
    /// Bids of the market.
    pub(super) bids: &'a Bids,
    /// First block of the day that it delivers, from 0.
    pub(super) first: usize,
    /// Number of blocks.
    pub(super) blocks: usize,
    /// What makes the members' second thoughts differ between sessions.
    pub(super) turn: usize,
}

/// What one member sends in one session, in order: each batch after the answers to the one before.
pub(super) type Batches = Vec<Vec<v1::OrderCommand>>;

/// The batches of a member: its orders; then, for some, what it changes and takes back.
pub(super) fn batches(crowd: &Crowd, member: u16, session: Session<'_>) -> Batches {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (index, portfolio) in crowd.portfolios.iter().enumerate().filter(|(_, it)| it.member == member) {
        let Some(order) = order(crowd, index, session, session.blocks) else { continue };
        let id = format!("{}-{}", session.auction, portfolio.code);
        // The first version of some ends too early in the day: they amend it.
        let hasty = (index + session.turn) % 9 == 4 && session.blocks > 1;
        let early = hasty.then(|| self::order(crowd, index, session, session.blocks / 2)).flatten();
        match early {
            Some(early) => {
                first.push(command(&id, Command::Submit(early)));
                second.push(command(&format!("{id}-amend"), Command::Amend(amend(&id, order))));
            }
            None => first.push(command(&id, Command::Submit(order))),
        }
        // Some enter an order twice under two ids, see it, and take the second one back.
        if (index + session.turn) % 13 == 6
            && let Some(twice) = self::order(crowd, index, session, session.blocks)
        {
            let twin = format!("{id}-twice");
            first.push(command(&twin, Command::Submit(twice)));
            let name = Some(v1::order_ref::Name::ClientOrderId(twin.clone()));
            let cancel = v1::CancelOrder { order: Some(v1::OrderRef { name }) };
            second.push(command(&format!("{twin}-cancel"), Command::Cancel(cancel)));
        }
    }
    [first, second].into_iter().filter(|it| !it.is_empty()).collect()
}

/// The order of a portfolio for the first `blocks` blocks of a session, or nothing if it bids in none.
pub(super) fn order(
    crowd: &Crowd,
    index: usize,
    session: Session<'_>,
    blocks: usize,
) -> Option<v1::NewOrder> {
    let portfolio = &crowd.portfolios[index];
    let curves: Vec<(u32, &Curve)> = (1..)
        .zip(&session.bids[session.first..session.first + blocks])
        .filter_map(|(period, bids)| bids[index].as_ref().map(|curve| (period, curve)))
        .collect();
    let shape = curves.first()?.1.shape;
    let periods =
        curves.iter().map(|(period, curve)| v1::CurvePeriod { period: *period, points: points(curve) });
    let periods = periods.collect();
    let step =
        |side: v1::Side, periods| v1::new_order::Body::Step(v1::StepCurve { side: side.into(), periods });
    let body = match shape {
        Shape::Buy => step(v1::Side::Buy, periods),
        Shape::Sell => step(v1::Side::Sell, periods),
        Shape::Portfolio => v1::new_order::Body::Linear(v1::LinearCurve { periods }),
    };
    Some(v1::NewOrder {
        auction_id: session.auction.to_owned(),
        portfolio: portfolio.code.clone(),
        area: AREAS[usize::from(portfolio.area)].to_owned(),
        body: Some(body),
    })
}

/// A command under its id.
pub(super) fn command(id: &str, command: Command) -> v1::OrderCommand {
    v1::OrderCommand { client_order_id: id.to_owned(), command: Some(command) }
}

fn amend(id: &str, order: v1::NewOrder) -> v1::AmendOrder {
    let name = Some(v1::order_ref::Name::ClientOrderId(id.to_owned()));
    let body = order.body.map(|body| match body {
        v1::new_order::Body::Step(it) => v1::amend_order::Body::Step(it),
        v1::new_order::Body::Linear(it) => v1::amend_order::Body::Linear(it),
        v1::new_order::Body::Block(it) => v1::amend_order::Body::Block(it),
        v1::new_order::Body::Complex(it) => v1::amend_order::Body::Complex(it),
    });
    v1::AmendOrder { order: Some(v1::OrderRef { name }), version: 1, body }
}

fn points(curve: &Curve) -> Vec<v1::Point> {
    let point = |it: &super::curve::Point| v1::Point {
        price_micros_per_mwh: it.rupees * MICROS,
        quantity_watts: it.tenths * TENTH_WATTS,
    };
    curve.points.iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::{Session, batches};
    use crate::cli::demo::crowd::Crowd;
    use merit_client::v1::order_command::Command;
    use std::collections::BTreeSet;

    #[test]
    fn every_portfolio_ends_with_one_order_for_every_block_that_it_bids_in() {
        let crowd = Crowd::new(2, 40);
        let session =
            Session { auction: "DAM-2026-11-23", bids: &crowd.day_ahead, first: 0, blocks: 96, turn: 0 };
        let (mut ids, mut standing, mut amended, mut cancelled) = (BTreeSet::new(), 0, 0, 0);
        for member in 0..40 {
            for command in batches(&crowd, member, session).into_iter().flatten() {
                assert!(ids.insert(command.client_order_id.clone()), "{} twice", command.client_order_id);
                assert!(command.client_order_id.len() <= 64, "{}", command.client_order_id);
                match command.command.unwrap() {
                    Command::Submit(_) => standing += 1,
                    Command::Amend(_) => amended += 1,
                    Command::Cancel(_) => {
                        standing -= 1;
                        cancelled += 1;
                    }
                    Command::CancelAll(_) => panic!("no member gives up"),
                }
            }
        }
        assert_eq!(standing, crowd.portfolios.len());
        assert!(amended > 0 && cancelled > 0);
    }
}
