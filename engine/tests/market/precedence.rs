//! A request with two faults is refused for the one that stands first in the list of reasons.

use crate::driver::{
    Cast, DAM, DAY, Driver, block, eve, exchange_with, points, portfolio, register, small_rules, text, user,
};
use merit_engine::auction::{ComplexPeriod, Point, Shape, Side};
use merit_engine::command::{Action, Actor, NewOrder, OrderBody, Parent, Request, Role};
use merit_engine::event::Answer;
use merit_engine::few::Few;
use merit_engine::ids::{AuctionId, Market, OrderId, PortfolioId, UserId};
use merit_engine::reject::Reject;
use merit_engine::rules::MarketRules;

/// A request to be spoilt.
struct Case {
    driver: Driver,
    cast: Cast,
    actor: Actor,
    id: String,
    order: NewOrder,
    time_us: i64,
}

type Fault = (Reject, fn(&mut Case));

fn rules() -> MarketRules {
    let mut rules = small_rules(Market::Dam);
    rules.period_minutes = 60;
    rules.order_price_step = 5;
    rules.order_quantity_step = 2;
    rules.limits.linear = false;
    rules.limits.curve_points_max = 4;
    rules.limits.orders_per_member_max = 6;
    rules.limits.blocks_per_portfolio_max = 4;
    rules.limits.generations_max = 2;
    rules
}

fn fresh(rules: MarketRules, body: OrderBody) -> Case {
    let (mut driver, cast) = exchange_with(vec![rules]);
    driver.at(eve(10, 30));
    let order = NewOrder { auction: DAM, portfolio: cast.north, area: 0, body };
    Case { driver, cast, actor: user(cast.anna), id: "spoilt".to_owned(), order, time_us: eve(10, 45) }
}

fn curve(side: Shape, list: &[(i64, i64)]) -> OrderBody {
    OrderBody::Curve { shape: side, periods: (0..20).map(|period| (period, points(list).into())).collect() }
}

/// The points of a period of the spoilt curve.
fn points_of(case: &mut Case, period: usize) -> &mut Few<Point> {
    match &mut case.order.body {
        OrderBody::Curve { periods, .. } => &mut periods[period].1,
        OrderBody::Block { .. } | OrderBody::Complex { .. } => panic!("not a curve"),
    }
}

/// The points of a period of the spoilt complex order.
fn steps_of(case: &mut Case, period: usize) -> &mut Vec<Point> {
    match &mut case.order.body {
        OrderBody::Complex { curve, .. } => &mut curve[period].points,
        OrderBody::Curve { .. } | OrderBody::Block { .. } => panic!("not a complex order"),
    }
}

const REQUEST: [Fault; 7] = [
    (Reject::RequestIdReused, |case| {
        let other = block(DAM, case.cast.north, 5, &[(0, 2)], None);
        "first".clone_into(&mut case.id);
        case.driver.request_as(user(case.cast.anna), "first", Action::Submit(other));
    }),
    (Reject::NotPermitted, |case| {
        let auditor = register_late(case, "aud", Role::Auditor);
        case.actor = user(auditor);
    }),
    (Reject::MemberSuspended, |case| {
        let action = Action::SetMemberSuspended { member: case.cast.member_a, suspended: true };
        case.driver.made(user(case.cast.operator), action);
    }),
    (Reject::UnknownPortfolio, |case| case.order.portfolio = PortfolioId(77)),
    (Reject::UnknownAuction, |case| case.order.auction = AuctionId { day: DAY.plus(9), ..DAM }),
    (Reject::GateClosed, |case| case.time_us = eve(11, 0)),
    (Reject::UnknownArea, |case| case.order.area = 7),
];

/// After the operator has spoken the node's configuration registers nothing, so ask the operator.
fn register_late(case: &mut Case, name: &str, role: Role) -> UserId {
    let action = crate::driver::registration(name, role, Some(case.cast.member_a));
    match case.driver.made(user(case.cast.operator), action) {
        merit_engine::event::Made::User(it) => it,
        other @ (merit_engine::event::Made::Done
        | merit_engine::event::Made::Member(_)
        | merit_engine::event::Made::Portfolio(_)
        | merit_engine::event::Made::Order { .. }
        | merit_engine::event::Made::Cancelled { .. }
        | merit_engine::event::Made::Proposal(_)
        | merit_engine::event::Made::Revision(_)
        | merit_engine::event::Made::Number(_)) => panic!("{other:?}"),
    }
}

fn fill_book(case: &mut Case) {
    for _ in 0..6 {
        let order = NewOrder {
            auction: DAM,
            portfolio: case.cast.north,
            area: 0,
            body: OrderBody::Curve {
                shape: Shape::Step(Side::Sell),
                periods: Few::one((0, points(&[(5, 2)]).into())),
            },
        };
        case.driver.ask(user(case.cast.anna), Action::Submit(order));
    }
}

const CURVE: [Fault; 9] = [
    (Reject::UnknownPeriod, |case| {
        if let OrderBody::Curve { periods, .. } = &mut case.order.body {
            periods.push((99, points(&[(5, 2)]).into()));
        }
    }),
    (Reject::PeriodsNotIncreasing, |case| {
        if let OrderBody::Curve { periods, .. } = &mut case.order.body {
            periods[1].0 = 0;
        }
    }),
    (Reject::NoPoints, |case| points_of(case, 3).clear()),
    (Reject::TooManyPoints, |case| {
        *points_of(case, 4) = points(&[(5, 2), (10, 2), (15, 2), (20, 2), (25, 2)]).into()
    }),
    (Reject::PriceOutOfRange, |case| points_of(case, 5)[0].price = 105),
    (Reject::PriceOffTick, |case| points_of(case, 6)[0].price = 7),
    (Reject::QuantityOutOfRange, |case| points_of(case, 7)[0].quantity = 2_000),
    (Reject::QuantityOffTick, |case| points_of(case, 8)[0].quantity = 3),
    (Reject::TooManyOrders, fill_book),
];

const LINE: [Fault; 4] = [
    (Reject::PricesNotIncreasing, |case| points_of(case, 2)[1].price = 0),
    (Reject::QuantityIncreases, |case| points_of(case, 3)[1].quantity = 12),
    (Reject::QuantityOutOfRange, |case| points_of(case, 4)[1].quantity = -1_002),
    (Reject::PriceOffTick, |case| points_of(case, 5)[1].price = 7),
];

const BLOCK: [Fault; 8] = [
    (Reject::UnknownPeriod, |case| block_of(case).1.push((99, 2))),
    (Reject::PeriodsNotIncreasing, |case| block_of(case).1[1].0 = 0),
    (Reject::PriceOutOfRange, |case| *block_of(case).0 = -5),
    (Reject::QuantityOutOfRange, |case| block_of(case).1[2].1 = 0),
    (Reject::QuantityOffTick, |case| block_of(case).1[3].1 = 5),
    (Reject::MinimumOutOfRange, |case| *block_of(case).2 = 0),
    (Reject::UnknownParent, |case| *block_of(case).3 = Some(Parent::Order(OrderId(99)))),
    (Reject::TooManyBlocks, |case| {
        for _ in 0..4 {
            let it = block(DAM, case.cast.north, 5, &[(0, 2)], None);
            case.driver.ask(user(case.cast.anna), Action::Submit(it));
        }
    }),
];

type BlockParts<'a> = (&'a mut i64, &'a mut Vec<(u16, i64)>, &'a mut u32, &'a mut Option<Parent>);

fn block_of(case: &mut Case) -> BlockParts<'_> {
    match &mut case.order.body {
        OrderBody::Block { price, quantity, ratio_min, parent, .. } => (price, quantity, ratio_min, parent),
        OrderBody::Curve { .. } | OrderBody::Complex { .. } => panic!("not a block"),
    }
}

const COMPLEX: [Fault; 5] = [
    (Reject::NoPoints, |case| steps_of(case, 1).clear()),
    (Reject::PriceOffTick, |case| steps_of(case, 2)[0].price = 7),
    (Reject::QuantityOutOfRange, |case| steps_of(case, 3)[0].quantity = -2),
    (Reject::MinimumOutOfRange, |case| {
        if let OrderBody::Complex { curve, .. } = &mut case.order.body {
            curve[4].quantity_min = 500;
        }
    }),
    (Reject::FixedOutOfRange, |case| {
        if let OrderBody::Complex { fixed_minor, .. } = &mut case.order.body {
            *fixed_minor = -1;
        }
    }),
];

/// Applies the faults, asks, and compares with the earliest of the expected reasons; the dry run
/// must say the same first, list every fault that can be seen, and change nothing.
#[track_caller]
fn check(mut case: Case, faults: &[&Fault]) {
    // The suspension last: a suspended member could not set the other traps.
    let mut spoils: Vec<&&Fault> = faults.iter().collect();
    spoils.sort_by_key(|it| it.0 == Reject::MemberSuspended);
    for (_, spoil) in spoils {
        spoil(&mut case);
    }
    let expected: Vec<Reject> = faults.iter().map(|it| it.0).collect();
    let earliest = *expected.iter().min().unwrap();
    let action = Action::Submit(case.order.clone());
    let request = Request { actor: case.actor, request_id: text(&case.id), action };
    case.driver.time_us = case.time_us;
    let before = case.driver.engine.digest();
    let dry = case.driver.engine.dry_run(&request, case.time_us);
    assert_eq!(case.driver.engine.digest(), before, "a dry run changes nothing");
    let answer = case.driver.request_as(case.actor, &case.id, request.action);
    let Answer::Refused { refusal, .. } = answer else { panic!("{expected:?}: {answer:?}") };
    assert_eq!(refusal.reject, earliest, "faults {expected:?}, places {dry:?}");
    assert_eq!(dry.first(), Some(&refusal), "faults {expected:?}");
    assert!(dry.is_sorted_by_key(|it| it.reject));
    // What cannot be looked at without the auction, or with another user, is not listed.
    let hides =
        [Reject::UnknownAuction, Reject::NotPermitted, Reject::RequestIdReused, Reject::UnknownPortfolio];
    if !expected.iter().any(|it| hides.contains(it)) {
        for fault in &expected {
            assert!(dry.iter().any(|it| it.reject == *fault), "{fault:?} is not in {dry:?}");
        }
    }
}

#[track_caller]
fn check_pairs(make: impl Fn() -> Case, faults: &[Fault]) {
    for (n, first) in faults.iter().enumerate() {
        check(make(), &[first]);
        for second in &faults[n + 1..] {
            check(make(), &[first, second]);
        }
    }
}

fn with_request(of_kind: &[Fault]) -> Vec<Fault> {
    REQUEST.iter().chain(of_kind).copied().collect()
}

#[test]
fn of_two_faults_in_a_step_curve_the_earlier_reason_counts() {
    let steps = || curve(Shape::Step(Side::Sell), &[(5, 2), (10, 2)]);
    check_pairs(|| fresh(rules(), steps()), &with_request(&CURVE));
}

#[test]
fn of_two_faults_in_a_linear_curve_the_earlier_reason_counts() {
    let line = || curve(Shape::Linear, &[(5, 4), (10, -4)]);
    let mut allowed = rules();
    allowed.limits.linear = true;
    check_pairs(|| fresh(allowed.clone(), line()), &with_request(&LINE));
    let kind: Fault = (Reject::KindNotAllowed, |_| {});
    let mut faults = with_request(&LINE);
    faults.push(kind);
    for other in faults.iter().filter(|it| it.0 != Reject::RequestIdReused) {
        check(fresh(rules(), line()), &[other, &kind]);
    }
}

#[test]
fn of_two_faults_in_a_block_the_earlier_reason_counts() {
    let quantity = [(0, 2), (2, 2), (3, 2), (5, 4)];
    let body = || block(DAM, PortfolioId(0), 5, &quantity, None).body;
    check_pairs(|| fresh(rules(), body()), &with_request(&BLOCK));
}

#[test]
fn of_two_faults_in_a_complex_order_the_earlier_reason_counts() {
    let period = |period| ComplexPeriod { period, quantity_min: 2, points: points(&[(5, 2), (10, 2)]) };
    let body =
        || OrderBody::Complex { side: Side::Sell, fixed_minor: 10, curve: (0..6).map(period).collect() };
    check_pairs(|| fresh(rules(), body()), &with_request(&COMPLEX));
}

#[test]
fn families_have_no_circle_and_no_generation_too_many() {
    let mut case = fresh(rules(), block(DAM, PortfolioId(0), 5, &[(0, 2)], None).body);
    let Case { driver, cast, .. } = &mut case;
    let anna = user(cast.anna);
    let sell = |parent| block(DAM, cast.north, 5, &[(0, 2)], parent);
    let parent = driver.submit(cast.anna, sell(None));
    let child = driver.submit(cast.anna, sell(Some(parent)));
    assert_eq!(driver.reject(anna, Action::Submit(sell(Some(child)))), Reject::FamilyTooDeep);
    let amend = |order, parent| Action::Amend { order, version: 1, body: sell(parent).body };
    assert_eq!(driver.reject(anna, amend(parent, Some(child))), Reject::FamilyCircle);
    assert_eq!(driver.reject(anna, amend(parent, Some(parent))), Reject::FamilyCircle);
    let other = driver.submit(cast.anna, sell(None));
    assert_eq!(driver.reject(anna, amend(parent, Some(other))), Reject::FamilyTooDeep);
    driver.made(anna, amend(other, Some(parent)));
    let foreign = block(DAM, cast.south, 5, &[(0, 2)], Some(parent));
    assert_eq!(driver.reject(user(cast.bert), Action::Submit(foreign)), Reject::UnknownParent);
}

#[test]
fn an_area_that_the_portfolio_may_not_trade_in_is_refused_at_the_area() {
    let (mut driver, cast) = exchange_with(vec![rules()]);
    let action =
        Action::RegisterPortfolio { member: cast.member_a, code: text("ONLY-B"), areas: vec![text("B")] };
    let made = driver.made(Actor::System, action);
    let merit_engine::event::Made::Portfolio(only_b) = made else { panic!("{made:?}") };
    let _ = portfolio(&mut driver, cast.member_a, "ANY");
    let _ = register(&mut driver, "more", Role::Trader, Some(cast.member_a));
    driver.at(eve(10, 0));
    let order = block(DAM, only_b, 5, &[(0, 2)], None);
    assert_eq!(driver.reject(user(cast.anna), Action::Submit(order.clone())), Reject::AreaNotPermitted);
    driver.submit(cast.anna, NewOrder { area: 1, ..order });
}
