//! Whole days under the shipped presets: every auction is published, verified and settled.

use crate::chance::Chance;
use crate::driver::{Driver, text};
use crate::model::Model;
use merit_engine::auction::{Point, Shape, Side};
use merit_engine::calendar::{Day, MINUTE_US};
use merit_engine::command::{Action, Actor, Capacity, NewOrder, OrderBody, Role};
use merit_engine::event::{Made, Phase};
use merit_engine::ids::{AuctionId, MemberId, PortfolioId, UserId};
use merit_engine::market::AuctionView;
use merit_engine::presets;
use merit_engine::rules::MarketRules;

const MEMBERS: u32 = 12;

fn within(chance: &mut Chance, low: i64, high: i64) -> i64 {
    low + i64::try_from(chance.below(u64::try_from(high - low).unwrap())).unwrap()
}

/// A curve of a member in a market: sellers offer steps, buyers want steps, some trade a line.
fn curve(chance: &mut Chance, rules: &MarketRules, member: u32, periods: u16) -> OrderBody {
    let (step, lots) = (rules.order_price_step, rules.order_quantity_step);
    let (low, high) = (rules.price_min / step, rules.price_max / step);
    let shape = match member % 3 {
        0 => Shape::Step(Side::Sell),
        1 => Shape::Step(Side::Buy),
        _ => Shape::Linear,
    };
    let points = |chance: &mut Chance| -> Vec<Point> {
        if shape == Shape::Linear {
            let middle = within(chance, low + 1, high);
            let top = within(chance, 1, 400) * lots;
            let line = [(low, top), (middle, 0), (high, -top)];
            return line.map(|(price, quantity)| Point { price: price * step, quantity }).to_vec();
        }
        let point = |_| Point {
            price: within(chance, low, high + 1) * step,
            quantity: within(chance, 1, 3_000) * lots,
        };
        (0..6).map(point).collect()
    };
    OrderBody::Curve { shape, periods: (0..periods).map(|it| (it, points(chance).into())).collect() }
}

fn open_auctions(driver: &Driver, seen: &[AuctionId]) -> Vec<(AuctionId, u16)> {
    let fresh = |it: &AuctionView<'_>| it.phase == Phase::Open && !seen.contains(&it.info.auction);
    driver.engine.auctions().filter(fresh).map(|it| (it.info.auction, it.info.periods)).collect()
}

/// Members bid in every auction as it opens; the dispatch centre answers with tight lines.
fn bid(driver: &mut Driver, chance: &mut Chance, auction: AuctionId, periods: u16) {
    let rules = driver.engine.auction(auction).unwrap().info.rules.clone();
    for member in 0..MEMBERS {
        let area = u16::try_from(chance.below(u64::try_from(rules.areas.len()).unwrap())).unwrap();
        let body = curve(chance, &rules, member, periods);
        driver.submit(UserId(member), NewOrder { auction, portfolio: PortfolioId(member), area, body });
    }
    let lines = (0..).zip(&rules.lines).map(|(n, line)| {
        let lots = |chance: &mut Chance, most: i64| {
            (0..periods).map(|_| within(chance, 0, most / 20 + 1)).collect::<Vec<i64>>()
        };
        (n, lots(chance, line.capacity), lots(chance, line.capacity_back))
    });
    let lines = lines.collect();
    let dispatch = Actor::User(UserId(MEMBERS));
    driver.made(dispatch, Action::SubmitCapacity(Capacity { auction, revision: 1, lines }));
}

#[track_caller]
fn check_day(rules: [MarketRules; 2], day: Day, auctions: usize) {
    let mut chance = Chance(u64::try_from(day.0).unwrap());
    let zone = rules[0].zone;
    let mut driver = Driver::starting(zone.day_start_us(day.plus(-1)) - 60 * MINUTE_US);
    for rules in rules {
        driver.made(Actor::System, Action::SetRules(Box::new(rules)));
    }
    for member in 0..MEMBERS {
        let code = text(&format!("M{member}"));
        driver.made(Actor::System, Action::RegisterMember { code: code.clone(), name: "M".to_owned() });
        let (member, areas) = (MemberId(member), Vec::new());
        driver.made(Actor::System, Action::Deposit { member, minor: 100_000_000_000_000 });
        driver.made(Actor::System, Action::RegisterPortfolio { member, code, areas });
    }
    for user in 0..=MEMBERS {
        let trader = user < MEMBERS;
        let action = Action::RegisterUser {
            name: text(&format!("u{user}")),
            fingerprint: [u8::try_from(user).unwrap(); 32],
            role: if trader { Role::Trader } else { Role::Dispatch },
            member: trader.then_some(MemberId(user)),
            portfolios: Vec::new(),
        };
        assert_eq!(driver.made(Actor::System, action), Made::User(UserId(user)));
    }
    let (mut model, mut seen) = (Model::default(), Vec::new());
    while driver.time_us < zone.day_start_us(day.plus(1)) {
        let due = driver.engine.next_timer_us().unwrap();
        driver.at(due);
        for (auction, periods) in open_auctions(&driver, &seen) {
            bid(&mut driver, &mut chance, auction, periods);
            seen.push(auction);
        }
        for event in core::mem::take(&mut driver.events) {
            model.hear(&event);
        }
    }
    let published = |it: &AuctionView<'_>| it.info.auction.day == day && it.phase == Phase::Published;
    assert_eq!(driver.engine.auctions().filter(published).count(), auctions);
    assert_eq!(model.halted, 0);
    assert!(model.trades > 500);
    assert_eq!(driver.engine.trial_balance().map(|it| it.1).sum::<i128>(), 0);
    let congestion = |it: &(merit_engine::event::Account, i128)| {
        it.0 == merit_engine::event::Account::Congestion && it.1 > 0
    };
    assert!(driver.engine.trial_balance().any(|it| congestion(&it)), "lines were tight");
}

#[test]
fn an_indian_day_of_49_auctions_is_published_and_settled() {
    let day = Day::from_civil(2026, 11, 23).unwrap();
    check_day(presets::indian(day.plus(-5)), day, 49);
}

#[test]
fn european_days_of_clock_changes_are_published_and_settled() {
    for (month, date, auctions) in [(3, 29, 47), (10, 25, 51)] {
        let day = Day::from_civil(2026, month, date).unwrap();
        check_day(presets::european(day.plus(-5)), day, auctions);
    }
}
