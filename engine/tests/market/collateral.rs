//! Nobody trades beyond his means or his grid access: holds, margins, the funds check, clearances.

use crate::chance::Chance;
use crate::driver::{Cast, DAM, DAY, Driver, block, day, eve, exchange_with, rtm, small_rules, step, user};
use merit_engine::auction::Side;
use merit_engine::calendar::MINUTE_US;
use merit_engine::command::{Action, Actor, Clearance, OrderBody};
use merit_engine::event::{Alarm, Answer, EventBody, Made, Phase, Reason, Stream};
use merit_engine::ids::{AuctionId, Market, MemberId, OrderId, PortfolioId};
use merit_engine::reject::{Refusal, Reject};
use merit_engine::rules::{FundsRule, MarketRules, RiskRules, Suspension};
use std::collections::BTreeMap;

/// The small markets with collateral: a lot and tick of the day-ahead market is 1,200 minor units of 12
/// hours, of the real-time market 25 of a quarter; fees 1 minor unit per MWh with a fifth of tax.
fn risky(market: Market) -> MarketRules {
    let mut rules = small_rules(market);
    rules.fees.tax_millionths = 200_000;
    rules.risk = RiskRules {
        funds: if market == Market::Dam { FundsRule::CheckBetweenRuns } else { FundsRule::HoldAtEntry },
        margin_days: 7,
        margin_min_minor: 0,
        clearance: false,
    };
    rules
}

fn exchange() -> (Driver, Cast) {
    exchange_with(Market::ALL.map(risky).to_vec())
}

fn deposit(driver: &mut Driver, cast: Cast, member: MemberId, minor: i64) {
    driver.made(user(cast.operator), Action::Deposit { member, minor });
}

fn held(driver: &Driver, member: MemberId) -> i128 {
    driver.engine.collateral(member).held()
}

#[test]
fn an_order_beyond_the_collateral_is_refused_with_what_is_missing() {
    let (mut driver, cast) = exchange();
    driver.at(day(8, 45));
    let order = |lots| Action::Submit(step(rtm(21), cast.south, 1, Side::Buy, &[(60, lots)]));
    // 10 MW × 15 min × (60 Rs + 1.2 paise in parts of a hundredth, rounded up) and 2 for rounding.
    let worst = 10 * 25 * 60 + 5 + 2;
    deposit(&mut driver, cast, cast.member_b, worst - 1);
    let refusal = driver.refused(user(cast.bert), order(10));
    let missing = 10_000;
    assert_eq!((refusal.reject, refusal.missing), (Reject::FundsShort, missing));
    assert_eq!(held(&driver, cast.member_b), 0);
    deposit(&mut driver, cast, cast.member_b, 1);
    let Made::Order { order: id, .. } = driver.made(user(cast.bert), order(10)) else { panic!("an order") };
    assert_eq!(held(&driver, cast.member_b), i128::from(worst));
    assert_eq!(driver.engine.collateral(cast.member_b).available(), 0);
    let withdraw = Action::Withdraw { member: cast.member_b, minor: 1 };
    assert_eq!(driver.reject(user(cast.operator), withdraw), Reject::CollateralInUse);
    driver.made(user(cast.bert), Action::Cancel { order: id });
    assert_eq!(held(&driver, cast.member_b), 0);
    driver.made(user(cast.operator), Action::Withdraw { member: cast.member_b, minor: worst });
}

#[test]
fn a_result_makes_due_what_was_held_and_payment_frees_it() {
    let (mut driver, cast) = exchange();
    driver.at(day(8, 45));
    deposit(&mut driver, cast, cast.member_b, 100_000);
    driver.submit(cast.bert, step(rtm(21), cast.south, 0, Side::Buy, &[(60, 10)]));
    // Sells far above its fee: nothing to hold, no collateral needed.
    driver.submit(cast.anna, step(rtm(21), cast.north, 0, Side::Sell, &[(20, 10)]));
    assert_eq!(held(&driver, cast.member_a), 0);
    driver.at(day(9, 15));
    let account = driver.engine.collateral(cast.member_b);
    // At the mid-point of 20 and 60; fee 2.5 rounded to 3, tax 0.6 rounded to 1.
    assert_eq!((account.held(), account.due()), (0, 10 * 25 * 40 + 3 + 1));
    assert_eq!(driver.engine.collateral(cast.member_a).due(), 0);
    let pay = |day| Action::RecordPayIn { member: cast.member_b, day };
    assert_eq!(driver.reject(user(cast.operator), pay(DAY.plus(3))), Reject::NothingDue);
    driver.made(user(cast.operator), pay(DAY));
    assert_eq!(driver.engine.collateral(cast.member_b).available(), 100_000);
}

#[test]
fn families_and_groups_are_held_once() {
    let (mut driver, cast) = exchange();
    driver.at(day(8, 45));
    deposit(&mut driver, cast, cast.member_b, 1_000_000);
    let buy = |group: Option<&str>, lots| {
        let mut order = block(rtm(21), cast.south, 60, &[(0, lots)], None);
        if let OrderBody::Block { side, group: of, .. } = &mut order.body {
            *side = Side::Buy;
            *of = group.map(crate::driver::text);
        }
        order
    };
    let alone = |lots: i128| lots * 25 * 60 + (lots * 50 + 99) / 100 + 2;
    driver.submit(cast.bert, buy(Some("either"), 10));
    assert_eq!(held(&driver, cast.member_b), alone(10));
    driver.submit(cast.bert, buy(Some("either"), 4));
    assert_eq!(held(&driver, cast.member_b), alone(10), "only one of them is accepted");
    let free = driver.submit(cast.bert, buy(None, 2));
    assert_eq!(held(&driver, cast.member_b), alone(10) + alone(2));
    driver.made(user(cast.bert), Action::Cancel { order: free });
    assert_eq!(held(&driver, cast.member_b), alone(10));
}

#[test]
fn the_margin_of_the_day_ahead_market_is_the_average_of_seven_days() {
    let mut rules = Market::ALL.map(risky);
    rules[0].risk.margin_min_minor = 70_000;
    let (mut driver, cast) = exchange_with(rules.to_vec());
    driver.at(eve(10, 0));
    let buy = |auction| Action::Submit(step(auction, cast.south, 0, Side::Buy, &[(60, 1)]));
    let refusal = driver.refused(user(cast.bert), buy(DAM));
    assert_eq!((refusal.reject, refusal.missing), (Reject::MarginShort, 70_000 * 10_000));
    let sell = step(DAM, cast.north, 0, Side::Sell, &[(50, 10)]);
    driver.submit(cast.anna, sell);
    deposit(&mut driver, cast, cast.member_b, 1_000_000);
    driver.made(user(cast.bert), Action::Submit(step(DAM, cast.south, 0, Side::Buy, &[(60, 10)])));
    driver.at(eve(13, 0));
    assert_eq!(driver.phase(DAM), Phase::Published);
    let next = AuctionId { day: DAY.plus(1), ..DAM };
    // Bought 10 MW × 12 h × 55 Rs: a seventh of it is 94,286 minor units, more than the least margin.
    assert_eq!(driver.engine.margin(cast.member_b, next.day), Some(94_286));
    driver.made(user(cast.operator), Action::RecordPayIn { member: cast.member_b, day: DAY });
    driver.made(user(cast.operator), Action::Withdraw { member: cast.member_b, minor: 1_000_000 - 94_285 });
    driver.at(day(10, 0));
    let refusal = driver.refused(user(cast.bert), buy(next));
    assert_eq!((refusal.reject, refusal.missing), (Reject::MarginShort, 10_000));
}

#[test]
fn the_funds_check_takes_out_what_is_not_covered_and_the_rest_clears() {
    let (mut driver, cast) = exchange();
    driver.at(eve(10, 0));
    let worst = |lots: i64| lots * 1_200 * 60 + (lots * 12 * 2) + 2;
    deposit(&mut driver, cast, cast.member_b, worst(10) + 100);
    driver.submit(cast.anna, step(DAM, cast.north, 0, Side::Sell, &[(50, 100)]));
    let first = driver.submit(cast.bert, step(DAM, cast.south, 0, Side::Buy, &[(60, 10)]));
    let second = driver.submit(cast.bert, step(DAM, cast.south, 0, Side::Buy, &[(60, 5)]));
    driver.at(eve(12, 15));
    let gone: Vec<OrderId> = driver
        .events
        .iter()
        .filter_map(|it| {
            let EventBody::OrderEnded { order, fills, .. } = &it.body else { return None };
            (fills[0].reason == Reason::Funds).then_some(*order)
        })
        .collect();
    assert_eq!(gone, [second]);
    let alarm = Alarm::FundsShort { auction: DAM, member: cast.member_b, orders: 1 };
    assert!(driver.events.iter().any(|it| it.body == EventBody::Alarm(alarm.clone())));
    driver.at(eve(13, 0));
    let bought: Vec<i64> = driver
        .events
        .iter()
        .filter_map(|it| {
            let EventBody::OrderEnded { order, fills, .. } = &it.body else { return None };
            (*order == first).then_some(fills[0].bought)
        })
        .collect();
    assert_eq!(bought, [10]);
    let account = driver.engine.collateral(cast.member_b);
    assert!(account.due() > 0 && account.available() >= 0);
}

#[test]
fn a_portfolio_trades_no_more_than_it_is_cleared_for() {
    let mut rules = Market::ALL.map(risky);
    for it in &mut rules {
        it.risk = RiskRules { clearance: true, ..RiskRules::NONE };
    }
    let (mut driver, cast) = exchange_with(rules.to_vec());
    driver.at(eve(10, 0));
    let sell = |auction, lots| Action::Submit(step(auction, cast.north, 0, Side::Sell, &[(20, lots)]));
    assert_eq!(driver.reject(user(cast.anna), sell(DAM, 10)), Reject::NoClearance);
    let set = |sell_watts| Action::SetClearance {
        portfolio: cast.north,
        area: crate::driver::text("A"),
        clearance: Clearance { buy_watts: 0, sell_watts },
    };
    assert_eq!(driver.reject(user(cast.operator), set(-1)), Reject::AmountOutOfRange);
    driver.made(user(cast.operator), set(15_000_000));
    driver.made(user(cast.anna), sell(DAM, 10));
    let refusal = driver.refused(user(cast.anna), sell(DAM, 7));
    assert_eq!((refusal.reject, refusal.missing), (Reject::ClearanceExceeded, 2_000_000));
    let buy = Action::Submit(step(DAM, cast.north, 0, Side::Buy, &[(20, 1)]));
    assert_eq!(driver.reject(user(cast.anna), buy), Reject::NoClearance);
    assert_eq!(driver.reject(user(cast.operator), set(9_000_000)), Reject::OrdersStand);
    driver.made(
        user(cast.operator),
        Action::SetClearance {
            portfolio: cast.south,
            area: crate::driver::text("A"),
            clearance: Clearance { buy_watts: 100_000_000, sell_watts: 0 },
        },
    );
    driver.made(user(cast.bert), Action::Submit(step(DAM, cast.south, 0, Side::Buy, &[(60, 10)])));
    driver.at(day(8, 45));
    assert_eq!(driver.phase(DAM), Phase::Published);
    // 10 MW are scheduled day-ahead in the first half of the day: 5 are left.
    driver.made(user(cast.anna), sell(rtm(21), 5));
    assert_eq!(driver.refused(user(cast.anna), sell(rtm(21), 1)).missing, 1_000_000);
}

#[test]
fn a_suspended_members_orders_stand_or_go_as_the_rules_say() {
    for (rule, live) in [(Suspension::KeepsOrders, 1), (Suspension::CancelsOrders, 0)] {
        let mut rules = Market::ALL.map(risky);
        for it in &mut rules {
            it.suspension = rule;
        }
        let (mut driver, cast) = exchange_with(rules.to_vec());
        driver.at(day(8, 45));
        deposit(&mut driver, cast, cast.member_b, 1_000_000);
        driver.submit(cast.bert, step(rtm(21), cast.south, 0, Side::Buy, &[(60, 10)]));
        let suspend = Action::SetMemberSuspended { member: cast.member_b, suspended: true };
        driver.made(user(cast.operator), suspend);
        let orders = driver.engine.counts().find(|it| it.auction == rtm(21)).map(|it| it.orders);
        assert_eq!(orders, Some(live));
        assert_eq!(held(&driver, cast.member_b) > 0, live > 0);
        assert!(driver.events.iter().any(|it| {
            it.stream == Stream::Member(cast.member_b) && matches!(it.body, EventBody::MemberSuspended { .. })
        }));
    }
}

#[test]
fn absurd_amounts_are_refused_and_change_nothing() {
    let (mut driver, cast) = exchange();
    let ops = user(cast.operator);
    let member = cast.member_b;
    deposit(&mut driver, cast, member, 7);
    let digest = |driver: &Driver| (driver.engine.collateral(member).clone(), driver.events.len());
    let before = digest(&driver);
    for minor in [0, -1, i64::MIN, i64::MAX, 1_000_000_000_000_000_000] {
        assert_eq!(
            driver.reject(ops, Action::Deposit { member, minor }),
            Reject::AmountOutOfRange,
            "{minor}"
        );
    }
    for minor in [0, -1, i64::MIN, i64::MAX] {
        assert_eq!(
            driver.reject(ops, Action::Withdraw { member, minor }),
            Reject::AmountOutOfRange,
            "{minor}"
        );
    }
    assert_eq!(driver.reject(ops, Action::Withdraw { member, minor: 8 }), Reject::CollateralInUse);
    let nobody = Action::Deposit { member: MemberId(99), minor: 1 };
    assert_eq!(driver.reject(ops, nobody), Reject::UnknownMember);
    let own = Action::Deposit { member, minor: 1 };
    assert_eq!(driver.reject(user(cast.bert), own), Reject::NotPermitted);
    assert_eq!(digest(&driver).0, before.0);
}

/// What the books say must be held: recomputed from the orders alone.
fn check_holds(driver: &Driver, members: u32) {
    for member in (0..members).map(MemberId) {
        let account = driver.engine.collateral(member);
        assert!(account.available() >= 0, "the collateral of {member:?} is negative");
        assert!(account.balance() >= 0 && account.held() >= 0 && account.due() >= 0);
        let mut held = 0;
        for auction in driver.engine.auctions() {
            let id = auction.info.auction;
            let before_gate = matches!(auction.phase, Phase::Scheduled | Phase::Open);
            let expected = match auction.info.rules.risk.funds {
                FundsRule::HoldAtEntry if !is_over(auction.phase) => {
                    driver.engine.worst_case(member, id).unwrap_or(0)
                }
                FundsRule::CheckBetweenRuns if auction.phase == Phase::Clearing => {
                    // The check comes with the first quantum of the run.
                    held += account.held_for(id);
                    continue;
                }
                FundsRule::CheckBetweenRuns if !before_gate => account.held_for(id),
                FundsRule::None | FundsRule::HoldAtEntry | FundsRule::CheckBetweenRuns => 0,
            };
            assert_eq!(account.held_for(id), expected, "{member:?} in {id}");
            held += expected;
        }
        assert_eq!(account.held(), held);
    }
}

fn is_over(phase: Phase) -> bool {
    matches!(phase, Phase::Published | Phase::Halted | Phase::Cancelled)
}

/// Lives a history of random orders, amendments, cancellations, deposits, withdrawals and payments.
fn live(seed: u64, steps: u32) -> BTreeMap<Reject, u32> {
    let (mut driver, cast) = exchange();
    let mut chance = Chance(seed);
    let mut refused = BTreeMap::new();
    let mut orders: Vec<OrderId> = Vec::new();
    for _ in 0..steps {
        if chance.one_in(6) {
            driver.time_us += i64::try_from(chance.below(20)).unwrap() * MINUTE_US;
        }
        let open: Vec<AuctionId> = driver
            .engine
            .auctions()
            .filter(|it| (it.info.open_us..it.info.gate_us).contains(&driver.time_us))
            .map(|it| it.info.auction)
            .collect();
        if open.is_empty() {
            let due = driver.engine.next_timer_us().unwrap_or(driver.time_us);
            driver.at(due.max(driver.time_us));
            continue;
        }
        let (actor, action) = random_request(&mut chance, cast, &open, &orders);
        match driver.ask(actor, action) {
            Answer::Accepted { made: Made::Order { order, version: 1 }, .. } => orders.push(order),
            Answer::Refused { refusal: Refusal { reject, .. }, .. } => {
                *refused.entry(reject).or_default() += 1
            }
            Answer::Accepted { .. } | Answer::None => {}
        }
        if !chance.one_in(3) {
            driver.settle();
        }
        check_holds(&driver, 2);
        if driver.events.len() > 10_000 {
            driver.events.clear();
        }
    }
    driver.at(driver.time_us + 2 * 24 * 60 * MINUTE_US);
    check_holds(&driver, 2);
    refused
}

fn random_request(
    chance: &mut Chance,
    cast: Cast,
    open: &[AuctionId],
    orders: &[OrderId],
) -> (Actor, Action) {
    let bert = chance.one_in(2);
    let (trader, portfolio, member) =
        if bert { (cast.bert, cast.south, cast.member_b) } else { (cast.anna, cast.north, cast.member_a) };
    let auction = open[usize::from(chance.small(u16::try_from(open.len()).unwrap()))];
    let own = |order: &OrderId| order.member() == Some(member);
    let recent: Vec<OrderId> = orders.iter().rev().filter(|it| own(it)).take(12).copied().collect();
    let pick = |chance: &mut Chance, recent: &[OrderId]| {
        let count = u16::try_from(recent.len()).unwrap();
        if count == 0 { OrderId(0) } else { recent[usize::from(chance.small(count))] }
    };
    let ops = user(cast.operator);
    match chance.below(20) {
        0 => (ops, Action::Deposit { member, minor: chance.number(1, 400_000) }),
        1 => (ops, Action::Withdraw { member, minor: chance.number(1, 400_000) }),
        2 => (ops, Action::RecordPayIn { member, day: DAY.plus(i32::from(chance.small(3)) - 1) }),
        3 => (user(trader), Action::Cancel { order: pick(chance, &recent) }),
        4 if chance.one_in(4) => (user(trader), Action::CancelAll { auction, portfolio: None }),
        4..=7 => {
            let (order, body) = (pick(chance, &recent), chance.body(&recent));
            (user(trader), Action::Amend { order, version: 1, body })
        }
        _ => (user(trader), submit(chance, auction, portfolio, &recent)),
    }
}

fn submit(chance: &mut Chance, auction: AuctionId, portfolio: PortfolioId, recent: &[OrderId]) -> Action {
    let (area, body) = (chance.small(2), chance.body(recent));
    Action::Submit(merit_engine::command::NewOrder { auction, portfolio, area, body })
}

#[test]
fn collateral_is_never_negative_and_holds_are_what_the_orders_can_cost() {
    let steps = std::env::var("MERIT_HISTORY_STEPS").ok().and_then(|it| it.parse().ok()).unwrap_or(1_500);
    let mut refused: BTreeMap<Reject, u32> = BTreeMap::new();
    for seed in 0..12 {
        println!("seed {seed}");
        for (reject, count) in live(seed, steps) {
            *refused.entry(reject).or_default() += count;
        }
    }
    println!("{refused:?}");
    for needed in [Reject::FundsShort, Reject::CollateralInUse] {
        assert!(refused.get(&needed).is_some_and(|it| *it > 20), "{needed:?} hardly met");
    }
}
