//! Whether the rules allow the content of an order: every point, every period, every relation.
//!
//! Checks report to [`Faults`] in any order; precedence is the order of [`Reject`]'s variants.

use super::faults::Faults;
use super::orders::{Order, SealedBook, handles_of, is_lumpy, points_of};
use super::registry::Portfolio;
use crate::auction::{ComplexPeriod, Point, Shape};
use crate::command::{OrderBody, Parent};
use crate::event::AuctionInfo;
use crate::ids::{MemberId, OrderId, PortfolioId};
use crate::limits;
use crate::reject::{Place, Reject};
use crate::rules::MarketRules;
use alloc::vec;

/// Position in a list as a place names it.
fn place_index(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

/// Whether the area exists in the auction and the portfolio may trade there.
pub(super) fn check_area(rules: &MarketRules, portfolio: &Portfolio, area: u16, faults: &mut Faults) {
    match rules.areas.get(usize::from(area)) {
        None => faults.add(Reject::UnknownArea, Place::Area),
        Some(it) => {
            let permitted = portfolio.areas.is_empty() || portfolio.areas.contains(&it.code);
            faults.require(permitted, Reject::AreaNotPermitted, Place::Area);
        }
    }
}

/// Whether the content of an order keeps the rules by itself.
pub(super) fn check_body(info: &AuctionInfo, body: &OrderBody, faults: &mut Faults) {
    let rules = &*info.rules;
    let kind = |allowed: bool, faults: &mut Faults| {
        faults.require(allowed, Reject::KindNotAllowed, Place::Field("body"));
    };
    match body {
        OrderBody::Curve { shape, periods } => {
            kind(*shape != Shape::Linear || rules.limits.linear, faults);
            check_periods(info, periods.iter().map(|(period, _)| *period), faults);
            for (index, (_, points)) in periods.iter().enumerate() {
                let index = place_index(index);
                check_points(rules, index, points, faults);
                match shape {
                    Shape::Step(_) => check_steps(rules, index, points, faults),
                    Shape::Linear => check_line(rules, index, points, faults),
                }
            }
        }
        OrderBody::Block { side: _, price, quantity, ratio_min, parent: _, group: _ } => {
            kind(rules.limits.blocks, faults);
            check_periods(info, quantity.iter().map(|(period, _)| *period), faults);
            check_price(rules, *price, Place::Field("price"), faults);
            for (index, (_, lots)) in quantity.iter().enumerate() {
                check_quantity(rules, *lots, Place::Period { index: place_index(index) }, faults);
            }
            let ratio = (1..=limits::RATIO_UNIT).contains(ratio_min);
            faults.require(ratio, Reject::MinimumOutOfRange, Place::Field("min_ratio"));
        }
        OrderBody::Complex { side: _, fixed_minor, curve } => {
            kind(rules.limits.complex, faults);
            check_periods(info, curve.iter().map(|it| it.period), faults);
            for (index, period) in curve.iter().enumerate() {
                check_complex_period(rules, place_index(index), period, faults);
            }
            let fixed = (0..=limits::FIXED_MINOR_MAX).contains(fixed_minor);
            faults.require(fixed, Reject::FixedOutOfRange, Place::Field("fixed"));
        }
    }
}

#[inline(always)]
fn check_periods(info: &AuctionInfo, periods: impl Iterator<Item = u16>, faults: &mut Faults) {
    let mut last = None;
    for (index, period) in periods.enumerate() {
        let place = Place::Period { index: place_index(index) };
        faults.require(period < info.periods, Reject::UnknownPeriod, place);
        faults.require(last.is_none_or(|it| it < period), Reject::PeriodsNotIncreasing, place);
        last = Some(period);
    }
    faults.require(last.is_some(), Reject::PeriodsNotIncreasing, Place::Field("periods"));
}

/// Number and prices of points.
#[inline(always)]
fn check_points(rules: &MarketRules, index: u16, points: &[Point], faults: &mut Faults) {
    let place = Place::Period { index };
    faults.require(!points.is_empty(), Reject::NoPoints, place);
    let bounded = points.len() <= usize::from(rules.limits.curve_points_max);
    faults.require(bounded, Reject::TooManyPoints, place);
    for (number, point) in points.iter().enumerate() {
        check_price(rules, point.price, Place::Point { index, point: place_index(number) }, faults);
    }
}

#[inline(always)]
fn check_price(rules: &MarketRules, price: i64, place: Place, faults: &mut Faults) {
    let inside = (rules.price_min..=rules.price_max).contains(&price);
    faults.require(inside, Reject::PriceOutOfRange, place);
    faults.require(price % rules.order_price_step == 0, Reject::PriceOffTick, place);
}

/// A quantity that must be positive.
#[inline(always)]
fn check_quantity(rules: &MarketRules, lots: i64, place: Place, faults: &mut Faults) {
    let inside = (1..=rules.limits.quantity_max).contains(&lots);
    faults.require(inside, Reject::QuantityOutOfRange, place);
    faults.require(lots % rules.order_quantity_step == 0, Reject::QuantityOffTick, place);
}

#[inline(always)]
fn check_steps(rules: &MarketRules, index: u16, points: &[Point], faults: &mut Faults) {
    for (number, point) in points.iter().enumerate() {
        let place = Place::Point { index, point: place_index(number) };
        check_quantity(rules, point.quantity, place, faults);
    }
}

fn check_line(rules: &MarketRules, index: u16, points: &[Point], faults: &mut Faults) {
    let mut last: Option<&Point> = None;
    for (number, point) in points.iter().enumerate() {
        let place = Place::Point { index, point: place_index(number) };
        let bound = rules.limits.quantity_max;
        faults.require((-bound..=bound).contains(&point.quantity), Reject::QuantityOutOfRange, place);
        faults.require(point.quantity % rules.order_quantity_step == 0, Reject::QuantityOffTick, place);
        if let Some(last) = last {
            faults.require(last.price < point.price, Reject::PricesNotIncreasing, place);
            faults.require(last.quantity >= point.quantity, Reject::QuantityIncreases, place);
        }
        last = Some(point);
    }
}

fn check_complex_period(rules: &MarketRules, index: u16, period: &ComplexPeriod, faults: &mut Faults) {
    check_points(rules, index, &period.points, faults);
    check_steps(rules, index, &period.points, faults);
    let offered: i128 = period.points.iter().map(|it| i128::from(it.quantity)).sum();
    let place = Place::Period { index };
    let least = i128::from(period.quantity_min);
    faults.require((0..=offered.max(0)).contains(&least), Reject::MinimumOutOfRange, place);
    let on_tick = period.quantity_min % rules.order_quantity_step == 0;
    faults.require(on_tick, Reject::QuantityOffTick, place);
}

/// The order that an amendment replaces.
#[derive(Clone, Copy)]
pub(super) struct Replaces<'a> {
    pub(super) order: &'a Order,
}

/// Whether an order has a place in the book: family, counts, room. `replaces` is the order in its
/// current version if this is an amendment.
pub(super) fn check_room(
    info: &AuctionInfo,
    book: &SealedBook,
    owner: (MemberId, PortfolioId),
    body: &OrderBody,
    replaces: Option<Replaces<'_>>,
    faults: &mut Faults,
) {
    let bounds = &info.rules.limits;
    let (member, portfolio) = owner;
    if let OrderBody::Block { parent: Some(parent), .. } = body {
        check_family(bounds.generations_max, book, member, parent, replaces, faults);
    }
    let new = u32::from(replaces.is_none());
    if is_lumpy(body) {
        let standing = book.blocks_of(portfolio) + new;
        let room = standing <= u32::from(bounds.blocks_per_portfolio_max);
        faults.require(room, Reject::TooManyBlocks, Place::Portfolio);
        let room = book.blocks_live() + new <= limits::BLOCKS_MAX;
        faults.require(room, Reject::BookFull, Place::Auction);
    }
    let (live, entered) = book.of_member(member).map_or((0, 0), |it| (it.live, it.entered));
    let versions_max = bounds.orders_per_member_max.saturating_mul(limits::VERSIONS_PER_ORDER_MAX);
    let room = live + new <= bounds.orders_per_member_max && entered < versions_max;
    faults.require(room, Reject::TooManyOrders, Place::Whole);
    // A cancelled order, which is refused for that, has left already.
    let leaves = replaces.filter(|it| it.order.live).map_or(0, |it| book.points_of(it.order));
    let points = book.points_live() - leaves + points_of(body);
    let handles = u64::from(book.book().curve_handles()) + u64::from(handles_of(body));
    let room = points <= u64::from(limits::POINTS_MAX) && handles <= u64::from(limits::CURVE_HANDLES_MAX);
    faults.require(room, Reject::BookFull, Place::Auction);
}

/// Whether a block can hang below `parent`: generations are counted from the oldest ancestor down to
/// the youngest descendant that comes along.
fn check_family(
    generations_max: u8,
    book: &SealedBook,
    member: MemberId,
    parent: &Parent,
    replaces: Option<Replaces<'_>>,
    faults: &mut Faults,
) {
    let place = Place::Field("parent");
    let live = |id: OrderId| book.live_block(member, id);
    let itself = replaces.map(|it| it.order.id);
    let mut ancestor = book.parent_block(member, parent);
    if ancestor.is_none() {
        faults.add(Reject::UnknownParent, place);
    }
    let mut generations = 1_u32;
    while let Some(order) = ancestor {
        if Some(order.id) == itself {
            faults.add(Reject::FamilyCircle, place);
            return;
        }
        generations += 1;
        ancestor = book.parent(order).and_then(live);
    }
    let below = replaces.map_or(0, |it| generations_below(book, it.order));
    let fits = generations + below <= u32::from(generations_max);
    faults.require(fits, Reject::FamilyTooDeep, place);
}

/// Generations below a block: 0 without children.
fn generations_below(book: &SealedBook, order: &Order) -> u32 {
    let mut generation = vec![order.id];
    let mut depth = 0;
    loop {
        let next = book.children(order.member(), &generation);
        if next.is_empty() {
            return depth;
        }
        depth += 1;
        generation = next;
    }
}
