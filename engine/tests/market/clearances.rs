//! Grid access over all markets: what a portfolio is cleared for bounds the sum of its open orders and
//! schedules at every instant of delivery.

use crate::chance::Chance;
use crate::driver::{Cast, DAM, Driver, day, eve, exchange_with, rtm, small_rules, step, text, user};
use merit_engine::auction::Side;
use merit_engine::calendar::MINUTE_US;
use merit_engine::command::{Action, Clearance, NewOrder};
use merit_engine::event::{Answer, EventBody, Made, Phase, ScheduleRow};
use merit_engine::ids::{AuctionId, Market, OrderId, PortfolioId};
use merit_engine::reject::Reject;
use merit_engine::rules::RiskRules;
use std::collections::BTreeMap;
use std::sync::Arc;

const MW: i64 = 1_000_000;

/// The small markets with clearances; real-time sessions open two days ahead, so that their orders and
/// those of the day-ahead market stand beside each other.
fn exchange() -> (Driver, Cast) {
    let mut rules = Market::ALL.map(small_rules);
    for it in &mut rules {
        it.risk = RiskRules { clearance: true, ..RiskRules::NONE };
        if it.market == Market::Rtm {
            it.timetable.open = -2_880;
        }
    }
    exchange_with(rules.to_vec())
}

fn clear(driver: &mut Driver, cast: Cast, portfolio: PortfolioId, area: &str, mw: (i64, i64)) {
    let clearance = Clearance { buy_watts: mw.0 * MW, sell_watts: mw.1 * MW };
    driver.made(user(cast.operator), Action::SetClearance { portfolio, area: text(area), clearance });
}

#[test]
fn orders_of_both_markets_for_one_block_share_a_clearance() {
    let (mut driver, cast) = exchange();
    driver.at(eve(10, 0));
    clear(&mut driver, cast, cast.north, "A", (0, 15));
    let anna = user(cast.anna);
    let sell = |auction, lots| Action::Submit(step(auction, cast.north, 0, Side::Sell, &[(20, lots)]));
    // The session delivers in the first half of the day, as the first period of the day-ahead market.
    let Made::Order { order, .. } = driver.made(anna, sell(rtm(21), 10)) else { panic!("an order") };
    let refusal = driver.refused(anna, sell(DAM, 6));
    assert_eq!((refusal.reject, refusal.missing), (Reject::ClearanceExceeded, MW));
    driver.made(anna, sell(DAM, 5));
    assert_eq!(driver.refused(anna, sell(rtm(21), 2)).missing, 2 * MW);
    // Another session of the same day-ahead period delivers at another time.
    driver.made(anna, sell(rtm(22), 10));
    assert_eq!(driver.refused(anna, sell(DAM, 1)).missing, MW);
    // Nobody buys: what the day-ahead orders took is free again.
    driver.at(eve(13, 0));
    assert_eq!(driver.phase(DAM), Phase::Published);
    driver.made(anna, sell(rtm(21), 5));
    driver.made(anna, Action::Cancel { order });
    driver.made(anna, sell(rtm(21), 10));
    assert_eq!(driver.refused(anna, sell(rtm(21), 1)).missing, MW);
    // A smaller clearance waits for the orders of every market.
    let clearance = Clearance { buy_watts: 0, sell_watts: 14 * MW };
    let smaller = Action::SetClearance { portfolio: cast.north, area: text("A"), clearance };
    assert_eq!(driver.reject(user(cast.operator), smaller), Reject::OrdersStand);
}

/// Newest schedules, as they were published.
type Schedules = BTreeMap<AuctionId, Arc<Vec<ScheduleRow>>>;

/// Net injection of a portfolio in an area at a quarter hour of the delivery day, lots.
fn net(schedules: &Schedules, portfolio: PortfolioId, area: u16, quarter: usize) -> i64 {
    let session = u16::try_from(quarter / 2 + 1).unwrap();
    let of = |auction: AuctionId, period: usize| {
        let rows = schedules.get(&auction).map_or(&[][..], |it| it.as_slice());
        let row = rows.iter().find(|it| (it.portfolio, it.area) == (portfolio, area));
        row.map_or(0, |it| it.net[period])
    };
    of(DAM, quarter / 48) + of(rtm(session), quarter % 2)
}

/// Random orders in the day-ahead auction and five sessions; whatever trades, no clearance is exceeded.
fn live(seed: u64) -> (u32, i64) {
    let (mut driver, cast) = exchange();
    let mut chance = Chance(seed);
    let cleared = (60, 45);
    for portfolio in [cast.north, cast.south] {
        for area in ["A", "B"] {
            clear(&mut driver, cast, portfolio, area, cleared);
        }
    }
    driver.at(eve(10, 0));
    let (mut orders, mut refused) = (Vec::<OrderId>::new(), 0);
    for _ in 0..600 {
        if chance.one_in(4) {
            driver.time_us += i64::try_from(chance.below(16)).unwrap() * MINUTE_US;
        }
        let session = rtm(20 + chance.small(5));
        let auction = if chance.one_in(2) { DAM } else { session };
        let (trader, portfolio) =
            if chance.one_in(2) { (cast.anna, cast.north) } else { (cast.bert, cast.south) };
        let (area, body) = (chance.small(2), chance.body(&orders));
        let action = match chance.below(8) {
            0 if !orders.is_empty() => {
                let at = usize::try_from(chance.below(u64::try_from(orders.len()).unwrap())).unwrap();
                Action::Cancel { order: orders[at] }
            }
            _ => Action::Submit(NewOrder { auction, portfolio, area, body }),
        };
        match driver.ask(user(trader), action) {
            Answer::Accepted { made: Made::Order { order, version: 1 }, .. } => orders.push(order),
            Answer::Refused { refusal, .. } => {
                refused += u32::from(refusal.reject == Reject::ClearanceExceeded)
            }
            Answer::Accepted { .. } | Answer::None => {}
        }
        driver.settle();
    }
    driver.at(day(20, 0));
    let mut schedules = Schedules::new();
    for event in &driver.events {
        if let EventBody::SchedulePublished { info, rows, .. } = &event.body {
            schedules.insert(info.auction, Arc::clone(rows));
        }
    }
    let mut most = 0;
    for portfolio in [cast.north, cast.south] {
        for area in 0..2 {
            for quarter in 0..96 {
                let net = net(&schedules, portfolio, area, quarter);
                assert!((-cleared.0..=cleared.1).contains(&net), "seed {seed}: {net} in quarter {quarter}");
                most = most.max(net.abs());
            }
        }
    }
    (refused, most)
}

#[test]
fn no_history_of_orders_exceeds_a_clearance_over_both_markets() {
    let (mut refused, mut most) = (0, 0);
    for seed in 0..20 {
        let (count, net) = live(seed);
        refused += count;
        most = most.max(net);
    }
    assert!(refused > 500 && most > 40, "the clearances hardly bind: {refused} refused, at most {most}");
}
