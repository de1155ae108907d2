//! Grid access: what a portfolio is cleared to buy and sell in an area, and what its orders take of it.
//!
//! A clearance counts megawatts in one delivery period: everything that the portfolio's live orders of an
//! auction could trade there on one side, of an exclusive group only the largest. In the real-time
//! market what the day-ahead market has scheduled already is taken off.

use super::faults::Faults;
use super::orders::{Order, SealedBook};
use super::session::Auction;
use super::state::State;
use super::streams::Out;
use crate::auction::{Shape, Side};
use crate::calendar::MINUTE_US;
use crate::command::{Clearance, OrderBody};
use crate::digest::feed_struct;
use crate::event::{AuctionInfo, EventBody, Made, Stream};
use crate::ids::{AuctionId, Market, PortfolioId, TextId};
use crate::reject::{Place, Reject};
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

feed_struct! { Clearances { by_place } }

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
        add(it.body(), -1);
    }
    if let Some(body) = body {
        add(body, 1);
    }
    let standing = book.grouped_of(place, replaces.map(|it| it.id)).map(|it| it.body().as_ref());
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
        for (period, [bought, sold]) in (0_u16..).zip(lots) {
            let net = i128::from(self.scheduled_ahead(&auction.info, place, period));
            let buys = i128::from(*bought) * watts + (-net).max(0) - i128::from(clearance.buy_watts);
            let sells = i128::from(*sold) * watts + net.max(0) - i128::from(clearance.sell_watts);
            worst = worst.max(if *bought > 0 { buys } else { 0 }).max(if *sold > 0 { sells } else { 0 });
        }
        i64::try_from(worst).unwrap_or(i64::MAX)
    }

    /// Net injection that the day-ahead market has scheduled for a period of a real-time session, watts.
    fn scheduled_ahead(&self, info: &AuctionInfo, place: (PortfolioId, u16), period: u16) -> i64 {
        if info.auction.market != Market::Rtm {
            return 0;
        }
        let ahead = AuctionId { day: info.auction.day, market: Market::Dam, session: 1 };
        let Some(ahead) = self.auctions.get(&ahead) else { return 0 };
        let Some(schedule) = &ahead.schedule else { return 0 };
        let code = info.rules.areas.get(usize::from(place.1)).map(|it| &it.code);
        let area = ahead.info.rules.areas.iter().position(|it| Some(&it.code) == code);
        let Some(area) = area.and_then(|it| u16::try_from(it).ok()) else { return 0 };
        let Ok(row) = schedule.rows.binary_search_by_key(&(place.0, area), |it| (it.portfolio, it.area))
        else {
            return 0;
        };
        let minutes = i64::from(info.rules.period_minutes);
        let start = info.delivery_start_us + i64::from(period) * minutes * MINUTE_US;
        let length = i64::from(ahead.info.rules.period_minutes) * MINUTE_US;
        let index = usize::try_from((start - ahead.info.delivery_start_us) / length).ok();
        let lots = index.and_then(|it| schedule.rows[row].net.get(it)).copied().unwrap_or(0);
        lots.saturating_mul(lot_watts(&ahead.info))
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
