//! Who may do what: nobody acts for another, nobody sees or touches what is sealed.

use crate::driver::{
    Cast, DAM, Driver, capacity, eve, exchange, portfolio, register, registration, small_rules, step, text,
    user,
};
use merit_engine::auction::Side;
use merit_engine::command::{Action, Actor, Role};
use merit_engine::event::{EventBody, Made, Stream};
use merit_engine::ids::{Market, OrderId, PortfolioId};
use merit_engine::reject::Reject;

/// One action of every kind that is otherwise in order, for an order of anna's.
fn every_action(cast: &Cast, order: OrderId) -> Vec<(Role, Action)> {
    let sell = step(DAM, cast.north, 0, Side::Sell, &[(10, 5)]);
    vec![
        (Role::Trader, Action::Submit(sell.clone())),
        (Role::Trader, Action::Amend { order, version: 1, body: sell.body }),
        (Role::Trader, Action::Cancel { order }),
        (Role::Trader, Action::CancelAll { auction: DAM, portfolio: None }),
        (Role::Dispatch, capacity(DAM, 1, 5)),
        (Role::Operator, Action::SetMemberSuspended { member: cast.member_b, suspended: true }),
        (Role::Operator, Action::RegisterMember { code: text("NEW"), name: "New".to_owned() }),
        (Role::Operator, registration("new", Role::Auditor, Some(cast.member_a))),
        (Role::Operator, Action::SetRules(Box::new(later_rules()))),
    ]
}

fn later_rules() -> merit_engine::rules::MarketRules {
    let mut rules = small_rules(Market::Dam);
    rules.effective_from = rules.effective_from.plus(30);
    rules
}

#[test]
fn every_action_belongs_to_one_role() {
    let roles = [Role::Trader, Role::Auditor, Role::Dispatch, Role::Settlement, Role::Operator];
    for (n, role) in roles.iter().enumerate() {
        let (mut driver, cast) = exchange(&[Market::Dam]);
        let member = matches!(role, Role::Trader | Role::Auditor).then_some(cast.member_a);
        let actor = user(register(&mut driver, "somebody", *role, member));
        driver.at(eve(10, 0));
        let order = driver.submit(cast.anna, step(DAM, cast.north, 0, Side::Sell, &[(10, 5)]));
        driver.at(eve(10, 1 + i64::try_from(n).unwrap()));
        for (owner, action) in every_action(&cast, order) {
            if owner == *role {
                driver.made(actor, action);
            } else {
                assert_eq!(driver.reject(actor, action), Reject::NotPermitted);
            }
        }
    }
}

#[test]
fn a_trader_touches_no_order_of_another_member_or_portfolio() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    let second = portfolio(&mut driver, cast.member_a, "SECOND");
    let only_second = Action::RegisterUser {
        name: text("junior"),
        fingerprint: [9; 32],
        role: Role::Trader,
        member: Some(cast.member_a),
        portfolios: vec![second],
    };
    let Made::User(junior) = driver.made(Actor::System, only_second) else { panic!("a user") };
    driver.at(eve(10, 0));
    let order = driver.submit(cast.anna, step(DAM, cast.north, 0, Side::Sell, &[(10, 5)]));
    let own = driver.submit(junior, step(DAM, second, 0, Side::Sell, &[(10, 5)]));
    let body = step(DAM, cast.north, 0, Side::Sell, &[(11, 5)]).body;
    for stranger in [cast.bert, junior] {
        assert_eq!(driver.reject(user(stranger), Action::Cancel { order }), Reject::UnknownOrder);
        let amend = Action::Amend { order, version: 1, body: body.clone() };
        assert_eq!(driver.reject(user(stranger), amend), Reject::UnknownOrder);
        let submit = Action::Submit(step(DAM, cast.north, 0, Side::Sell, &[(10, 5)]));
        assert_eq!(driver.reject(user(stranger), submit), Reject::UnknownPortfolio);
        let all = Action::CancelAll { auction: DAM, portfolio: Some(cast.north) };
        assert_eq!(driver.reject(user(stranger), all), Reject::UnknownPortfolio);
    }
    let all = Action::CancelAll { auction: DAM, portfolio: None };
    assert_eq!(driver.made(user(junior), all.clone()), Made::Cancelled { orders: 1 });
    assert_eq!(driver.reject(user(junior), Action::Cancel { order: own }), Reject::OrderNotLive);
    assert_eq!(driver.made(user(cast.anna), all), Made::Cancelled { orders: 1 });
}

#[test]
fn the_nodes_own_configuration_is_heard_until_an_operator_speaks() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    driver.made(Actor::System, Action::RegisterMember { code: text("C1"), name: "C".to_owned() });
    let suspend = Action::SetMemberSuspended { member: cast.member_b, suspended: true };
    assert_eq!(driver.reject(Actor::System, suspend.clone()), Reject::NotPermitted);
    driver.made(user(cast.operator), suspend);
    let more = Action::RegisterMember { code: text("C2"), name: "C".to_owned() };
    assert_eq!(driver.reject(Actor::System, more.clone()), Reject::NotPermitted);
    driver.made(user(cast.operator), more);
}

#[test]
fn a_new_certificate_replaces_the_old_one_of_the_same_user() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    let again = |fingerprint, role, member| Action::RegisterUser {
        name: text("anna"),
        fingerprint,
        role,
        member,
        portfolios: Vec::new(),
    };
    let old = driver.engine.user(cast.anna).unwrap().fingerprint;
    assert_eq!(driver.engine.user_with(&old), Some(cast.anna));
    let operator = user(cast.operator);
    let renewed = driver.made(operator, again([7; 32], Role::Trader, Some(cast.member_a)));
    assert_eq!(renewed, Made::User(cast.anna));
    assert_eq!(driver.engine.user_with(&[7; 32]), Some(cast.anna));
    assert_eq!(driver.engine.user_with(&old), None);
    let other_side = again([8; 32], Role::Trader, Some(cast.member_b));
    assert_eq!(driver.reject(operator, other_side), Reject::AlreadyExists);
    let berts = driver.engine.user(cast.bert).unwrap().fingerprint;
    let taken = again(berts, Role::Trader, Some(cast.member_a));
    assert_eq!(driver.reject(operator, taken), Reject::AlreadyExists);
    assert_eq!(driver.reject(operator, again([9; 32], Role::Trader, None)), Reject::UnknownMember);
    let foreign = Action::RegisterUser {
        name: text("carl"),
        fingerprint: [10; 32],
        role: Role::Trader,
        member: Some(cast.member_a),
        portfolios: vec![cast.south, PortfolioId(99)],
    };
    assert_eq!(driver.reject(operator, foreign), Reject::UnknownPortfolio);
}

#[test]
fn a_suspended_member_cancels_but_enters_nothing() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    driver.at(eve(10, 0));
    let sell = step(DAM, cast.north, 0, Side::Sell, &[(10, 5)]);
    let order = driver.submit(cast.anna, sell.clone());
    let suspended = |suspended| Action::SetMemberSuspended { member: cast.member_a, suspended };
    driver.made(user(cast.operator), suspended(true));
    let anna = user(cast.anna);
    let refused = driver.request_as(anna, "later", Action::Submit(sell.clone()));
    assert!(matches!(
        refused,
        merit_engine::event::Answer::Refused { refusal, .. } if refusal.reject == Reject::MemberSuspended
    ));
    let amend = Action::Amend { order, version: 1, body: sell.body.clone() };
    assert_eq!(driver.reject(anna, amend), Reject::MemberSuspended);
    driver.made(anna, Action::Cancel { order });
    driver.made(user(cast.operator), suspended(false));
    // The refusal could be cured, so the very same request under the same id now goes through.
    let accepted = driver.request_as(anna, "later", Action::Submit(sell));
    assert!(matches!(accepted, merit_engine::event::Answer::Accepted { replayed: false, .. }));
}

#[test]
fn a_colleague_cannot_answer_for_another_and_members_do_not_share_ids() {
    let (mut driver, cast) = exchange(&[Market::Dam]);
    let second = register(&mut driver, "second", Role::Trader, Some(cast.member_a));
    driver.at(eve(10, 0));
    let sell = Action::Submit(step(DAM, cast.north, 0, Side::Sell, &[(10, 5)]));
    let buy = Action::Submit(step(DAM, cast.south, 0, Side::Buy, &[(10, 5)]));
    let accepted =
        |it: &merit_engine::event::Answer| matches!(it, merit_engine::event::Answer::Accepted { .. });
    assert!(accepted(&driver.request_as(user(cast.anna), "one", sell.clone())));
    assert!(accepted(&driver.request_as(user(cast.bert), "one", buy)));
    assert!(!accepted(&driver.request_as(user(second), "one", sell)));
}

/// Everything that anyone but the member hears between the gate and publication.
fn overheard(driver: &Driver, member: Stream) -> Vec<String> {
    let lines = driver.events.iter().filter(|it| it.stream != member).map(crate::driver::line);
    lines.collect()
}

#[test]
fn before_publication_others_hear_the_same_whatever_a_member_enters() {
    let heard = |price: i64| {
        let (mut driver, cast) = exchange(&[Market::Rtm]);
        let session = crate::driver::rtm(21);
        driver.at(crate::driver::day(8, 45));
        for n in 0..price {
            let order = step(session, cast.north, 0, Side::Sell, &[(price, 5 + n)]);
            driver.submit(cast.anna, order);
        }
        driver.time_us = crate::driver::day(9, 5) - 1;
        driver.apply(merit_engine::command::Body::Tick);
        let published = |it: &merit_engine::event::Event| matches!(&it.body, EventBody::ResultPublished(it) if it.info.auction == session);
        assert!(!driver.events.iter().any(published));
        let counts = driver.engine.counts().find(|it| it.auction == session).unwrap();
        assert_eq!((u64::from(counts.orders), counts.members), (u64::try_from(price).unwrap(), 1));
        overheard(&driver, Stream::Member(cast.member_a))
    };
    assert_eq!(heard(20), heard(3));
}
