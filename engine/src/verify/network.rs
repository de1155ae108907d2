//! The rules between areas in one period: balance, flows and prices, mid-points, volume, evenness.

use super::Break;
use crate::auction::{Frame, Side};
use alloc::vec::Vec;

/// What is tied on one side of an area and how much of it is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tie {
    pub(super) accepted: i64,
    pub(super) offered: i64,
}

/// Lots that blocks and complex orders trade in an area and period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traded {
    pub(super) bought: i128,
    pub(super) sold: i128,
}

/// One area in one period.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) price: i64,
    /// Prices at which everything traded here stays right, lines apart.
    least: i64,
    greatest: i64,
    /// Lots bought less lots sold.
    balance: i128,
    /// Lots bought and sold by curves, blocks and complex orders.
    bought: i128,
    sold: i128,
    /// Blocks and complex orders alone, without what they have in the tie.
    decided: Traded,
    buys: Tie,
    sells: Tie,
}

impl Place {
    pub(super) fn new(price: i64, price_min: i64, price_max: i64, balance: i128, decided: Traded) -> Self {
        Self {
            price,
            least: price_min,
            greatest: price_max,
            balance,
            bought: decided.bought,
            sold: decided.sold,
            decided,
            buys: Tie::default(),
            sells: Tie::default(),
        }
    }

    /// Books lots of a curve.
    pub(super) fn trade(&mut self, side: Side, lots: i128) {
        match side {
            Side::Buy => {
                self.balance += lots;
                self.bought += lots;
            }
            Side::Sell => {
                self.balance -= lots;
                self.sold += lots;
            }
        }
    }

    /// Adds one order's part of the tie of a side.
    pub(super) fn tie(&mut self, side: Side, accepted: i64, offered: i64) {
        let tie = match side {
            Side::Buy => &mut self.buys,
            Side::Sell => &mut self.sells,
        };
        tie.accepted += accepted;
        tie.offered += offered;
    }

    /// Adds a complex order's part. What it has in the tie is for its area to serve like any other
    /// order's, not lots that its area has given away.
    pub(super) fn tie_decided(&mut self, side: Side, accepted: i64, offered: i64) {
        self.tie(side, accepted, offered);
        match side {
            Side::Buy => self.decided.bought -= i128::from(accepted),
            Side::Sell => self.decided.sold -= i128::from(accepted),
        }
    }

    pub(super) fn tied(&self, side: Side) -> Tie {
        match side {
            Side::Buy => self.buys,
            Side::Sell => self.sells,
        }
    }

    /// Keeps the prices that lie at most so far below and above the published one; no limit if
    /// nothing is said.
    pub(super) fn narrow_to(&mut self, below: Option<i64>, above: Option<i64>) {
        if let Some(below) = below {
            self.least = self.least.max(self.price - below);
        }
        if let Some(above) = above {
            self.greatest = self.greatest.min(self.price + above);
        }
    }

    /// Keeps the prices for which both conditions hold. Both hold at the published price; the first
    /// holds from some price upwards, the second up to some price.
    pub(super) fn narrow(&mut self, from: impl Fn(i64) -> bool, up_to: impl Fn(i64) -> bool) {
        if !from(self.least) {
            let (mut fails, mut holds) = (self.least, self.price);
            while holds - fails > 1 {
                let middle = fails + (holds - fails) / 2;
                if from(middle) { holds = middle } else { fails = middle }
            }
            self.least = holds;
        }
        if !up_to(self.greatest) {
            let (mut holds, mut fails) = (self.price, self.greatest);
            while fails - holds > 1 {
                let middle = holds + (fails - holds) / 2;
                if up_to(middle) { holds = middle } else { fails = middle }
            }
            self.greatest = holds;
        }
    }
}

/// What one more or one less lot costs: first the loss of self-service at a price bound, then the
/// growth of A²/O as a fraction with a positive denominator.
#[derive(Clone, Copy, Debug)]
struct Marginal {
    service: i32,
    number: i128,
    divisor: i128,
}

impl Marginal {
    fn is_below(self, other: Self) -> bool {
        let fraction = || self.number * other.divisor < other.number * self.divisor;
        self.service < other.service || (self.service == other.service && fraction())
    }
}

/// The areas of one period and the lines between them.
#[derive(Debug)]
pub(super) struct Network {
    places: Vec<Place>,
    /// (from, to, line, forward): a lot more may flow from → to.
    room: Vec<(usize, usize, usize, bool)>,
    reached: Vec<bool>,
    best: Vec<Option<Marginal>>,
    /// Potentials: no line with room leads below what they allow.
    cost: Vec<i64>,
    flows: Vec<i64>,
    /// Place of every area and line in the order of their ids.
    area_rank: Vec<usize>,
    line_rank: Vec<usize>,
    /// Whether some lot could move to another area at no cost and no gain.
    even_exchange: bool,
}

/// The place of every id among all ids in byte order.
fn ranks<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut sorted: Vec<(&str, usize)> = ids.zip(0..).collect();
    sorted.sort_unstable();
    let mut ranks = alloc::vec![0; sorted.len()];
    for (rank, (_, position)) in sorted.into_iter().enumerate() {
        ranks[position] = rank;
    }
    ranks
}

impl Network {
    pub(super) fn new(frame: &Frame) -> Self {
        let areas = frame.areas.len();
        let nowhere = Place::new(0, 0, 0, 0, Traded::default());
        Self {
            places: alloc::vec![nowhere; areas],
            room: Vec::with_capacity(frame.lines.len() * 2),
            reached: alloc::vec![false; areas],
            best: alloc::vec![None; areas],
            cost: alloc::vec![0; areas],
            flows: Vec::with_capacity(frame.lines.len()),
            area_rank: ranks(frame.areas.iter().map(|it| it.as_str())),
            line_rank: ranks(frame.lines.iter().map(|it| it.id.as_str())),
            even_exchange: false,
        }
    }

    pub(super) fn set_place(&mut self, area: u16, place: Place) {
        self.places[usize::from(area)] = place;
    }

    /// (published price, least, greatest feasible price) of every area; lines count once
    /// [`Self::check_ties`] has run.
    pub(super) fn price_ranges(&self) -> impl Iterator<Item = (i64, i64, i64)> {
        self.places.iter().map(|it| (it.price, it.least, it.greatest))
    }

    /// Flow limits, prices against flows, balance. Leaves the room that lines have left.
    pub(super) fn check_flows(&mut self, frame: &Frame, period: u16, flows: &[i64], breaks: &mut Vec<Break>) {
        let at = usize::from(period);
        self.room.clear();
        self.flows.clear();
        self.flows.extend_from_slice(flows);
        for (line, (spec, &flow)) in (0_u16..).zip(frame.lines.iter().zip(flows)) {
            let (from, to) = (usize::from(spec.from), usize::from(spec.to));
            let (most, least) = (spec.capacity[at], -spec.capacity_back[at]);
            if flow > most || flow < least {
                breaks.push(Break::FlowLimit { line, period, flow });
            }
            let (cheap, dear) = (self.places[from].price, self.places[to].price);
            if flow < most {
                self.room.push((from, to, usize::from(line), true));
                if dear > cheap {
                    breaks.push(Break::RoomLeft { line, period, forward: true });
                }
            }
            if flow > least {
                self.room.push((to, from, usize::from(line), false));
                if cheap > dear {
                    breaks.push(Break::RoomLeft { line, period, forward: false });
                }
            }
            self.places[from].balance += i128::from(flow);
            self.places[to].balance -= i128::from(flow);
        }
        for (area, place) in (0..).zip(&self.places) {
            if place.balance != 0 {
                breaks.push(Break::Imbalance { area, period, lots: place.balance });
            }
        }
    }

    /// Feasible prices across lines, greatest volume, evenness, least flow.
    pub(super) fn check_ties(&mut self, frame: &Frame, period: u16, breaks: &mut Vec<Break>) {
        self.spread_prices();
        // From here on only lines between equal prices count: the others are full.
        let places = &self.places;
        self.room.retain(|it| places[it.0].price == places[it.1].price);
        let broken_before = breaks.len();
        self.even_exchange = false;
        self.check_volume(period, breaks);
        if breaks.len() == broken_before {
            self.check_evenness(frame, period, Side::Sell, breaks);
            self.check_evenness(frame, period, Side::Buy, breaks);
        }
        self.check_detours(period, breaks);
        if breaks.len() == broken_before {
            if self.even_exchange {
                self.check_even_exchanges(frame, period, Side::Sell, breaks);
                self.check_even_exchanges(frame, period, Side::Buy, breaks);
            }
            self.check_line_order(period, breaks);
        }
    }

    /// With room left from x to y the price of y is at most that of x.
    fn spread_prices(&mut self) {
        let mut changed = true;
        while changed {
            changed = false;
            for &(from, to, ..) in &self.room {
                if self.places[to].greatest > self.places[from].greatest {
                    self.places[to].greatest = self.places[from].greatest;
                    changed = true;
                }
                if self.places[from].least < self.places[to].least {
                    self.places[from].least = self.places[to].least;
                    changed = true;
                }
            }
        }
    }

    /// No spare tied sell reaches a spare tied buy.
    fn check_volume(&mut self, period: u16, breaks: &mut Vec<Break>) {
        for (reached, place) in self.reached.iter_mut().zip(&self.places) {
            *reached = place.sells.accepted < place.sells.offered;
        }
        let mut changed = true;
        while changed {
            changed = false;
            for &(from, to, ..) in &self.room {
                if self.reached[from] && !self.reached[to] {
                    self.reached[to] = true;
                    changed = true;
                }
            }
        }
        for (area, (reached, place)) in (0..).zip(self.reached.iter().zip(&self.places)) {
            if *reached && place.buys.accepted < place.buys.offered {
                breaks.push(Break::Volume { area, period });
            }
        }
    }

    /// What an area is asked to keep for itself at a price bound: tied buys served by its own sells
    /// at the greatest price, tied sells by its own buys at the least.
    fn own(place: &Place, frame: &Frame, side: Side) -> Option<i128> {
        let own = match side {
            Side::Buy if place.price == frame.price_max => place.sold - place.decided.bought,
            Side::Sell if place.price == frame.price_min => place.bought - place.decided.sold,
            Side::Buy | Side::Sell => return None,
        };
        Some(own.clamp(0, place.tied(side).offered.into()))
    }

    /// Cost of one more accepted lot of a side.
    fn more(place: &Place, frame: &Frame, side: Side) -> Option<Marginal> {
        let tie = place.tied(side);
        let accepted = i128::from(tie.accepted);
        let serves = Self::own(place, frame, side).is_some_and(|own| accepted < own);
        (tie.accepted < tie.offered).then(|| Marginal {
            service: if serves { -1 } else { 0 },
            number: 2 * accepted + 1,
            divisor: tie.offered.into(),
        })
    }

    /// What one accepted lot less saves.
    fn saved(place: &Place, frame: &Frame, side: Side) -> Option<Marginal> {
        let tie = place.tied(side);
        let accepted = i128::from(tie.accepted);
        let serves = Self::own(place, frame, side).is_some_and(|own| accepted <= own);
        (tie.accepted > 0).then(|| Marginal {
            service: if serves { -1 } else { 0 },
            number: 2 * accepted - 1,
            divisor: tie.offered.into(),
        })
    }

    /// No lot of a tie can move to another area at a gain. A lot more sold in x flows to y, where one
    /// less is sold; a lot less bought in x flows to y, where one more is bought. As volume cannot
    /// grow, no exchange of both sides at once is open, what an area keeps for itself on one side does
    /// not move while the other side is exchanged, and by convexity single lots suffice.
    fn check_evenness(&mut self, frame: &Frame, period: u16, side: Side, breaks: &mut Vec<Break>) {
        for (best, place) in self.best.iter_mut().zip(&self.places) {
            *best = match side {
                Side::Sell => Self::more(place, frame, side),
                Side::Buy => Self::saved(place, frame, side),
            };
        }
        // Best: cheapest lot more for sells, dearest lot less for buys.
        let better = |new: Marginal, old: Marginal| match side {
            Side::Sell => new.is_below(old),
            Side::Buy => old.is_below(new),
        };
        let mut changed = true;
        while changed {
            changed = false;
            for &(from, to, ..) in &self.room {
                let Some(offer) = self.best[from] else { continue };
                if self.best[to].is_none_or(|it| better(offer, it)) {
                    self.best[to] = Some(offer);
                    changed = true;
                }
            }
        }
        for (area, (best, place)) in (0..).zip(self.best.iter().zip(&self.places)) {
            let here = match side {
                Side::Sell => Self::saved(place, frame, side),
                Side::Buy => Self::more(place, frame, side),
            };
            let (Some(best), Some(here)) = (*best, here) else { continue };
            if better(best, here) {
                breaks.push(Break::Evenness { area, period, side });
            }
            self.even_exchange |= !here.is_below(best) && !best.is_below(here);
        }
    }

    /// Growth of Σ flow² when a lot more flows along one line with room left.
    fn flow_cost(&self, line: usize, forward: bool) -> i64 {
        let flow = if forward { self.flows[line] } else { -self.flows[line] };
        2 * flow + 1
    }

    /// No circle of single lots lowers Σ flow²: Bellman and Ford find no negative circle.
    fn check_detours(&mut self, period: u16, breaks: &mut Vec<Break>) {
        self.cost.fill(0);
        for _ in 0..=self.places.len() {
            let mut changed = false;
            for &(from, to, line, forward) in &self.room {
                let through = self.cost[from] + self.flow_cost(line, forward);
                if through < self.cost[to] {
                    self.cost[to] = through;
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
        breaks.push(Break::LongWay { period });
    }

    /// Where a lot can move between areas without changing Σ A²/O, Σ flow² must not shrink, and if it
    /// stays, the area of the earlier id must not end with less.
    fn check_even_exchanges(&mut self, frame: &Frame, period: u16, side: Side, breaks: &mut Vec<Break>) {
        for from in 0..self.places.len() {
            // A sell more or a buy less in `from` lets a lot flow from there.
            let gives = match side {
                Side::Sell => Self::more(&self.places[from], frame, side),
                Side::Buy => Self::saved(&self.places[from], frame, side),
            };
            let Some(gives) = gives else { continue };
            let mut distances = None;
            for to in (0..self.places.len()).filter(|it| *it != from) {
                let takes = match side {
                    Side::Sell => Self::saved(&self.places[to], frame, side),
                    Side::Buy => Self::more(&self.places[to], frame, side),
                };
                let Some(takes) = takes else { continue };
                if gives.is_below(takes) || takes.is_below(gives) {
                    continue;
                }
                let distances = distances.get_or_insert_with(|| self.distances(from));
                let Some(distance) = distances[to] else { continue };
                // Sells move from `to` to `from`, buys from `from` to `to`.
                let from_first = self.area_rank[from] < self.area_rank[to];
                let earlier_loses = from_first == (side == Side::Buy);
                if distance < 0 {
                    breaks.push(Break::LongWay { period });
                } else if distance == 0 && earlier_loses {
                    breaks.push(Break::OrderOfIds { period });
                }
            }
        }
    }

    /// Least growth of Σ flow² by which a lot more flows from an area to each other one.
    fn distances(&self, from: usize) -> Vec<Option<i64>> {
        let mut distances = alloc::vec![None; self.places.len()];
        distances[from] = Some(0);
        let mut changed = true;
        // No circle is negative, so this ends.
        while changed {
            changed = false;
            for &(from, to, line, forward) in &self.room {
                let Some(start) = distances[from] else { continue };
                let through = start + self.flow_cost(line, forward);
                if distances[to].is_none_or(|it| through < it) {
                    distances[to] = Some(through);
                    changed = true;
                }
            }
        }
        distances
    }

    /// No circle that leaves Σ flow² as it is lowers the flow of a line and changes only lines of later
    /// ids besides. Such circles run along lines on which the potentials are tight.
    fn check_line_order(&mut self, period: u16, breaks: &mut Vec<Break>) {
        let is_tight = |it: &&(usize, usize, usize, bool)| {
            self.cost[it.0] + self.flow_cost(it.2, it.3) == self.cost[it.1]
        };
        let tight: Vec<(usize, usize, usize, bool)> = self.room.iter().filter(is_tight).copied().collect();
        for &(to, from, line, _) in tight.iter().filter(|it| !it.3) {
            let later = |it: &&(usize, usize, usize, bool)| self.line_rank[it.2] > self.line_rank[line];
            self.reached.fill(false);
            self.reached[from] = true;
            let mut changed = true;
            while changed {
                changed = false;
                for &(start, end, ..) in tight.iter().filter(later) {
                    if self.reached[start] && !self.reached[end] {
                        self.reached[end] = true;
                        changed = true;
                    }
                }
            }
            if self.reached[to] {
                breaks.push(Break::OrderOfIds { period });
            }
        }
    }
}
