//! Grid access: what a portfolio is cleared to buy and sell in an area, and what its orders take of it.
//!
//! A clearance counts megawatts at one instant of delivery, over all markets: everything that the
//! portfolio's live orders could trade there on one side, of an exclusive group only the largest, and what
//! is scheduled already. Schedules of both directions are netted, for the grid carries their sum; open
//! orders are not, for nobody knows whether they trade. An auction that ended without a result counts
//! nothing; if two operators run it again, its orders stand as they were entered.

use super::faults::Faults;
use super::orders::{Order, SealedBook};
use super::session::Auction;
use super::state::State;
use super::streams::Out;
use crate::auction::{Shape, Side};
use crate::calendar::MINUTE_US;
use crate::command::{Clearance, OrderBody};
use crate::event::{AuctionInfo, EventBody, Made, Phase, Stream};
use crate::ids::{AuctionId, Market, PortfolioId, TextId};
use crate::reject::{Place, Reject};
use crate::snapshot::{keep_struct, state_struct};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

/// Lots bought and sold at most, by period.
pub(super) type Lots = Vec<[i64; 2]>;

/// What the orders of a book take, by portfolio and area, exclusive groups apart.
#[derive(Debug, Default)]
pub(super) struct Usage {
    cells: BTreeMap<(PortfolioId, u16), Lots>,
}

/// Clearances by portfolio and area.
#[derive(Debug, Default)]
pub(super) struct Clearances {
    by_place: BTreeMap<(PortfolioId, TextId), Clearance>,
}

keep_struct! { Usage { cells } }
state_struct! { Clearances { by_place } }

impl Clearances {
    pub(super) fn of(&self, portfolio: PortfolioId, area: &TextId) -> Clearance {
        self.by_place.get(&(portfolio, area.clone())).copied().unwrap_or_default()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (PortfolioId, &TextId, Clearance)> {
        self.by_place.iter().map(|((portfolio, area), it)| (*portfolio, area, *it))
    }
}

/// Hands what an order can trade at most to `take`: (period, side, lots).
fn each(body: &OrderBody, mut take: impl FnMut(u16, Side, i64)) {
    match body {
        OrderBody::Curve { shape: Shape::Step(side), periods } => {
            for (period, points) in periods {
                take(*period, *side, points.iter().map(|it| it.quantity).sum());
            }
        }
        OrderBody::Curve { shape: Shape::Linear, periods } => {
            for (period, points) in periods {
                take(*period, Side::Buy, points.first().map_or(0, |it| it.quantity.max(0)));
                take(*period, Side::Sell, points.last().map_or(0, |it| -it.quantity.min(0)));
            }
        }
        OrderBody::Block { side, quantity, .. } => {
            for (period, lots) in quantity {
                take(*period, *side, *lots);
            }
        }
        OrderBody::Complex { side, curve, .. } => {
            for it in curve {
                take(it.period, *side, it.points.iter().map(|it| it.quantity).sum());
            }
        }
    }
}

const fn at(side: Side) -> usize {
    match side {
        Side::Buy => 0,
        Side::Sell => 1,
    }
}

fn group(body: &OrderBody) -> Option<&TextId> {
    match body {
        OrderBody::Block { group, .. } => group.as_ref(),
        OrderBody::Curve { .. } | OrderBody::Complex { .. } => None,
    }
}

impl Usage {
    /// An order comes (`sign` 1) or goes (-1).
    pub(super) fn count(&mut self, periods: u16, place: (PortfolioId, u16), body: &OrderBody, sign: i64) {
        if group(body).is_some() {
            return;
        }
        let lots = self.cells.entry(place).or_insert_with(|| vec![[0; 2]; usize::from(periods)]);
        each(body, |period, side, quantity| lots[usize::from(period)][at(side)] += sign * quantity);
    }

    fn of(&self, periods: u16, place: (PortfolioId, u16)) -> Lots {
        self.cells.get(&place).cloned().unwrap_or_else(|| vec![[0; 2]; usize::from(periods)])
    }
}

/// What a portfolio's orders in an area take at most, with `body` entered in place of `replaces`.
fn taken(
    info: &AuctionInfo,
    book: &SealedBook,
    place: (PortfolioId, u16),
    replaces: Option<&Order>,
    body: Option<&OrderBody>,
) -> Lots {
    let mut lots = book.usage().of(info.periods, place);
    let mut groups: BTreeMap<&TextId, Lots> = BTreeMap::new();
    let mut add = |body: &'_ OrderBody, sign: i64| {
        if group(body).is_none() {
            each(body, |period, side, quantity| lots[usize::from(period)][at(side)] += sign * quantity);
        }
    };
    if let Some(it) = replaces {
        add(&book.body(it), -1);
    }
    if let Some(body) = body {
        add(body, 1);
    }
    let standing = book.grouped_of(place, replaces.map(|it| it.id));
    for body in standing.chain(body) {
        let Some(name) = group(body) else { continue };
        let most = groups.entry(name).or_insert_with(|| vec![[0; 2]; usize::from(info.periods)]);
        each(body, |period, side, quantity| {
            let most = &mut most[usize::from(period)][at(side)];
            *most = quantity.max(*most);
        });
    }
    for most in groups.values() {
        for (sum, most) in lots.iter_mut().zip(most) {
            sum[0] += most[0];
            sum[1] += most[1];
        }
    }
    lots
}

/// Millionths of a megawatt in a lot.
fn lot_watts(info: &AuctionInfo) -> i64 {
    10_i64.pow(6_u32.saturating_sub(u32::from(info.rules.quantity_decimals)))
}

/// What other auctions make a portfolio trade at an instant at most, watts.
#[derive(Clone, Copy, Debug, Default)]
struct Elsewhere {
    /// Open orders to buy.
    bought: i128,
    /// Open orders to sell.
    sold: i128,
    /// Scheduled net injection.
    net: i128,
}

impl Elsewhere {
    const fn and(self, other: Self) -> Self {
        Self { bought: self.bought + other.bought, sold: self.sold + other.sold, net: self.net + other.net }
    }
}

/// How an auction binds a portfolio in an area, in its lots.
enum Bound<'a> {
    /// Orders stand in a book that is not decided.
    Orders(Lots),
    /// It is scheduled: net injection by period.
    Schedule(&'a [i64]),
}

/// Another auction with delivery at the same time.
struct Other<'a> {
    info: &'a AuctionInfo,
    bound: Bound<'a>,
}

impl Other<'_> {
    fn at(&self, time_us: i64) -> Elsewhere {
        let period = (time_us - self.info.delivery_start_us).div_euclid(period_us(self.info));
        let Ok(period) = usize::try_from(period) else { return Elsewhere::default() };
        let watts = i128::from(lot_watts(self.info));
        match &self.bound {
            Bound::Orders(lots) => {
                let [bought, sold] = lots.get(period).copied().unwrap_or_default();
                Elsewhere { bought: i128::from(bought) * watts, sold: i128::from(sold) * watts, net: 0 }
            }
            Bound::Schedule(net) => {
                let net = i128::from(net.get(period).copied().unwrap_or(0)) * watts;
                Elsewhere { net, ..Elsewhere::default() }
            }
        }
    }
}

/// What an auction commits a portfolio to; nothing if it ended without a result. Open orders count where
/// their own rules ask for clearances: elsewhere nobody keeps what they could trade.
fn bound_by(auction: &Auction, place: (PortfolioId, u16)) -> Option<Bound<'_>> {
    if auction.phase == Phase::Published {
        let rows = &auction.schedule.as_ref()?.rows;
        let row = rows.binary_search_by_key(&place, |it| (it.portfolio, it.area)).ok()?;
        return Some(Bound::Schedule(&rows.get(row)?.net));
    }
    let book = auction.book.as_ref().filter(|_| !auction.ended() && auction.info.rules.risk.clearance)?;
    Some(Bound::Orders(taken(&auction.info, book, place, None, None)))
}

fn period_us(info: &AuctionInfo) -> i64 {
    i64::from(info.rules.period_minutes) * MINUTE_US
}

fn end_us(info: &AuctionInfo) -> i64 {
    info.delivery_start_us + i64::from(info.periods) * period_us(info)
}

/// The greatest number that divides both; the first is above 0.
const fn common_divisor(first: i64, second: i64) -> i64 {
    let (mut first, mut second) = (first, second.abs());
    while second != 0 {
        (first, second) = (second, first % second);
    }
    first
}

impl State {
    /// Whether a portfolio is cleared for what an order can trade. Its content is known to be sound.
    pub(super) fn check_clearance(
        &self,
        auction: &Auction,
        place: (PortfolioId, u16),
        replaces: Option<&Order>,
        body: &OrderBody,
        faults: &mut Faults,
    ) {
        let info = &auction.info;
        let (true, true, Some(book)) = (info.rules.risk.clearance, faults.none(), &auction.book) else {
            return;
        };
        let Some(area) = info.rules.areas.get(usize::from(place.1)) else { return };
        let clearance = self.clearances.of(place.0, &area.code);
        let mut wanted = [false; 2];
        each(body, |_, side, quantity| wanted[at(side)] |= quantity > 0);
        for (side, limit) in [(Side::Buy, clearance.buy_watts), (Side::Sell, clearance.sell_watts)] {
            let cleared = limit > 0 || !wanted[at(side)];
            faults.require(cleared, Reject::NoClearance, Place::Area);
        }
        if !faults.none() {
            return;
        }
        let lots = taken(info, book, place, replaces, Some(body));
        let over = self.over(auction, place, clearance, &lots);
        if over > 0 {
            faults.short(Reject::ClearanceExceeded, Place::Area, over);
        }
    }

    /// By how much lots of an auction exceed a clearance, in the worst period, watts; 0 if they do not.
    fn over(&self, auction: &Auction, place: (PortfolioId, u16), clearance: Clearance, lots: &Lots) -> i64 {
        let watts = i128::from(lot_watts(&auction.info));
        let mut worst = 0;
        for ([bought, sold], elsewhere) in lots.iter().zip(self.elsewhere(&auction.info, place)) {
            for it in elsewhere {
                let buys = i128::from(*bought) * watts + it.bought + (-it.net).max(0)
                    - i128::from(clearance.buy_watts);
                let sells =
                    i128::from(*sold) * watts + it.sold + it.net.max(0) - i128::from(clearance.sell_watts);
                worst = worst.max(if *bought > 0 { buys } else { 0 }).max(if *sold > 0 { sells } else { 0 });
            }
        }
        i64::try_from(worst).unwrap_or(i64::MAX)
    }

    /// What other auctions make of the delivery periods of this one, each period in slices in which none of
    /// them changes its own.
    fn elsewhere(&self, info: &AuctionInfo, place: (PortfolioId, u16)) -> Vec<Vec<Elsewhere>> {
        let others = self.overlapping(info, place);
        let length = period_us(info);
        let slice = others.iter().fold(length, |slice, it| {
            let apart = it.info.delivery_start_us - info.delivery_start_us;
            common_divisor(common_divisor(slice, period_us(it.info)), apart)
        });
        let slices = length / slice;
        let at = |period: u16, number: i64| {
            let time_us = info.delivery_start_us + i64::from(period) * length + number * slice;
            others.iter().fold(Elsewhere::default(), |sum, it| sum.and(it.at(time_us)))
        };
        (0..info.periods).map(|period| (0..slices).map(|number| at(period, number)).collect()).collect()
    }

    /// Auctions of either market that deliver while this one does and bind the portfolio in the area.
    fn overlapping(&self, info: &AuctionInfo, place: (PortfolioId, u16)) -> Vec<Other<'_>> {
        let Some(area) = info.rules.areas.get(usize::from(place.1)) else { return Vec::new() };
        // The markets' local days may begin at different instants.
        let first = AuctionId { day: info.auction.day.plus(-1), market: Market::Dam, session: 0 };
        let last = AuctionId { day: info.auction.day.plus(1), market: Market::Rtm, session: u16::MAX };
        let beside =
            |it: &AuctionInfo| it.delivery_start_us < end_us(info) && info.delivery_start_us < end_us(it);
        let mut others = Vec::new();
        for (id, it) in self.auctions.range(first..=last) {
            let index = it.info.rules.area(area.code.as_str());
            let (Some(index), true) = (index, *id != info.auction && beside(&it.info)) else { continue };
            if let Some(bound) = bound_by(it, (place.0, index)) {
                others.push(Other { info: &it.info, bound });
            }
        }
        others
    }

    pub(super) fn check_set_clearance(
        &self,
        portfolio: PortfolioId,
        area: &TextId,
        clearance: Clearance,
        time_us: i64,
        faults: &mut Faults,
    ) {
        let known = self.registry.portfolio(portfolio).is_some();
        faults.require(known, Reject::UnknownPortfolio, Place::Portfolio);
        let traded = self.timetable.rules().iter().any(|it| it.area(area.as_str()).is_some());
        faults.require(traded, Reject::UnknownArea, Place::Area);
        let bounded = clearance.buy_watts >= 0 && clearance.sell_watts >= 0;
        faults.require(bounded, Reject::AmountOutOfRange, Place::Field("clearance"));
        // Orders that stand were cleared; a smaller clearance waits until they are gone.
        for auction in self.auctions.values() {
            let info = &auction.info;
            let open = info.rules.risk.clearance && time_us < info.gate_us;
            let (true, Some(book), Some(index)) = (open, &auction.book, info.rules.area(area.as_str()))
            else {
                continue;
            };
            let lots = taken(info, book, (portfolio, index), None, None);
            let fits = self.over(auction, (portfolio, index), clearance, &lots) <= 0;
            faults.require(fits, Reject::OrdersStand, Place::Field("clearance"));
        }
    }

    pub(super) fn set_clearance(
        &mut self,
        portfolio: PortfolioId,
        area: &TextId,
        clearance: Clearance,
        out: &mut Out<'_>,
    ) -> Made {
        self.clearances.by_place.insert((portfolio, area.clone()), clearance);
        let member = self.registry.portfolio(portfolio).expect("checked").member;
        let body = EventBody::ClearanceSet { portfolio, area: area.clone(), clearance };
        out.say(Stream::Member(member), body);
        Made::Done
    }
}
