//! The rules of the format page read literally: every price vector, every flow, every share of a
//! tiny auction is tried.

#![expect(clippy::needless_range_loop, reason = "an area indexes several lists at once")]

use crate::clear;
use crate::tiny::{self, Auction, Seed, Size};
use merit_engine::auction::{CurveOrder, Shape, Side};
use merit_engine::outcome::Fill;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What an order buys (first) and sells (second) at a price when ties go its way.
fn wants(order: &CurveOrder, price: i64, bounds: (i64, i64)) -> (i64, i64) {
    let (may_buy, may_sell) = (price <= bounds.1, price >= bounds.0);
    let (buys, sells) = match order.shape {
        Shape::Step(Side::Buy) => {
            (order.points.iter().filter(|it| it.price >= price).map(|it| it.quantity).sum(), 0)
        }
        Shape::Step(Side::Sell) => {
            (0, order.points.iter().filter(|it| it.price <= price).map(|it| it.quantity).sum())
        }
        Shape::Linear => {
            let first = order.points[0];
            let last = *order.points.last().unwrap();
            let net = if price <= first.price {
                first.quantity
            } else if price >= last.price {
                last.quantity
            } else {
                let pair =
                    order.points.windows(2).find(|it| it[0].price <= price && price <= it[1].price).unwrap();
                let (width, along) = (pair[1].price - pair[0].price, price - pair[0].price);
                // Rust divides towards zero.
                (pair[0].quantity * width + (pair[1].quantity - pair[0].quantity) * along) / width
            };
            (net.max(0), (-net).max(0))
        }
    };
    (if may_buy { buys } else { 0 }, if may_sell { sells } else { 0 })
}

/// One area at one price: what must be and what may be traded.
#[derive(Clone, Copy)]
struct Range {
    bought: (i64, i64),
    sold: (i64, i64),
}

/// One period, enumerated.
struct Literal<'a> {
    auction: &'a Auction,
    period: usize,
    bounds: (i64, i64),
    areas: usize,
    flows: Vec<Vec<i64>>,
}

/// A complete choice at the published prices: per area accepted ties (buys, sells), and flows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Choice {
    ties: Vec<(i64, i64)>,
    flows: Vec<i64>,
}

impl<'a> Literal<'a> {
    fn new(auction: &'a Auction, period: usize) -> Self {
        let frame = &auction.frame;
        let mut flows = vec![Vec::new()];
        for line in &frame.lines {
            let range = -line.capacity_back[period]..=line.capacity[period];
            flows = flows
                .iter()
                .flat_map(|it| range.clone().map(|flow| it.iter().copied().chain([flow]).collect::<Vec<_>>()))
                .collect();
        }
        let bounds = (frame.price_min, frame.price_max);
        Self { auction, period, bounds, areas: frame.areas.len(), flows }
    }

    fn orders(&self, area: usize) -> impl Iterator<Item = (usize, &(String, CurveOrder))> {
        self.auction.orders.iter().enumerate().filter(move |(_, (_, order))| {
            usize::from(order.area) == area && usize::from(order.period) == self.period
        })
    }

    fn range(&self, area: usize, price: i64) -> Range {
        let mut range = Range { bought: (0, 0), sold: (0, 0) };
        for (_, (_, order)) in self.orders(area) {
            range.bought.0 += wants(order, price + 1, self.bounds).0;
            range.bought.1 += wants(order, price, self.bounds).0;
            range.sold.0 += wants(order, price - 1, self.bounds).1;
            range.sold.1 += wants(order, price, self.bounds).1;
        }
        range
    }

    /// Exports less imports of every area.
    fn exports(&self, flows: &[i64]) -> Vec<i64> {
        let mut exports = vec![0; self.areas];
        for (line, flow) in self.auction.frame.lines.iter().zip(flows) {
            exports[usize::from(line.from)] += flow;
            exports[usize::from(line.to)] -= flow;
        }
        exports
    }

    fn flow_obeys(&self, flows: &[i64], prices: &[i64]) -> bool {
        self.auction.frame.lines.iter().zip(flows).all(|(line, &flow)| {
            let (from, to) = (prices[usize::from(line.from)], prices[usize::from(line.to)]);
            (flow == line.capacity[self.period] || to <= from)
                && (flow == -line.capacity_back[self.period] || to >= from)
        })
    }

    /// Least and greatest vector of the prices that obey all rules, each of which obeys them itself.
    fn lattice(&self) -> (Vec<i64>, Vec<i64>) {
        let mut feasible = Vec::new();
        let mut prices = vec![self.bounds.0; self.areas];
        'all: loop {
            let ranges: Vec<Range> = (0..self.areas).map(|area| self.range(area, prices[area])).collect();
            let fits = |flows: &Vec<i64>| {
                self.flow_obeys(flows, &prices)
                    && self.exports(flows).iter().zip(&ranges).all(|(&net, range)| {
                        range.sold.0 - range.bought.1 <= net && net <= range.sold.1 - range.bought.0
                    })
            };
            if self.flows.iter().any(fits) {
                feasible.push(prices.clone());
            }
            for area in 0..=self.areas {
                if area == self.areas {
                    break 'all;
                }
                if prices[area] < self.bounds.1 {
                    prices[area] += 1;
                    break;
                }
                prices[area] = self.bounds.0;
            }
        }
        let least = |area: usize| feasible.iter().map(|it| it[area]).min().unwrap();
        let most = |area: usize| feasible.iter().map(|it| it[area]).max().unwrap();
        let lo: Vec<i64> = (0..self.areas).map(least).collect();
        let hi: Vec<i64> = (0..self.areas).map(most).collect();
        assert!(feasible.contains(&lo) && feasible.contains(&hi), "the prices form a lattice");
        (lo, hi)
    }

    /// Every choice that obeys the rules at the prices.
    fn choices(&self, prices: &[i64]) -> Vec<Choice> {
        let ranges: Vec<Range> = (0..self.areas).map(|area| self.range(area, prices[area])).collect();
        let mut choices = Vec::new();
        for flows in self.flows.iter().filter(|it| self.flow_obeys(it, prices)) {
            let mut ties = vec![Vec::new()];
            for (net, range) in self.exports(flows).into_iter().zip(&ranges) {
                let options: Vec<(i64, i64)> = (range.bought.0..=range.bought.1)
                    .filter(|bought| (range.sold.0..=range.sold.1).contains(&(bought + net)))
                    .map(|bought| (bought - range.bought.0, bought + net - range.sold.0))
                    .collect();
                ties = ties
                    .iter()
                    .flat_map(|it| {
                        options.iter().map(|tie| it.iter().copied().chain([*tie]).collect::<Vec<_>>())
                    })
                    .collect();
            }
            choices.extend(ties.into_iter().map(|ties| Choice { ties, flows: flows.clone() }));
        }
        choices
    }

    /// The choice that the rules single out at the prices.
    fn chosen(&self, prices: &[i64]) -> Choice {
        let ranges: Vec<Range> = (0..self.areas).map(|area| self.range(area, prices[area])).collect();
        let mut choices = self.choices(prices);
        keep_least(&mut choices, |it| -it.ties.iter().map(|tie| tie.0).sum::<i64>());
        keep_least(&mut choices, |it| self.unserved(it, prices, &ranges));
        // Σ A²/O over a common denominator.
        let offered = |range: &Range| (range.bought.1 - range.bought.0, range.sold.1 - range.sold.0);
        let common: i64 =
            ranges.iter().map(offered).map(|(buys, sells)| buys.max(1) * sells.max(1)).product();
        keep_least(&mut choices, |it| {
            let parts = it.ties.iter().zip(&ranges).map(|(&(buys, sells), range)| {
                let (wanted, offered) = offered(range);
                buys * buys * (common / wanted.max(1)) + sells * sells * (common / offered.max(1))
            });
            parts.sum::<i64>()
        });
        keep_least(&mut choices, |it| it.flows.iter().map(|flow| flow * flow).sum::<i64>());
        let frame = &self.auction.frame;
        let mut areas: Vec<usize> = (0..self.areas).collect();
        areas.sort_by(|&a, &b| frame.areas[a].cmp(&frame.areas[b]));
        // The two sides of an area can stand in either order: at most one of them is open.
        let mut swapped = choices.clone();
        keep_least(&mut choices, |it| areas.iter().map(|&area| it.ties[area]).collect::<Vec<_>>());
        keep_least(&mut swapped, |it| {
            areas.iter().map(|&area| (it.ties[area].1, it.ties[area].0)).collect::<Vec<_>>()
        });
        assert_eq!(choices, swapped);
        let mut lines: Vec<usize> = (0..frame.lines.len()).collect();
        lines.sort_by(|&a, &b| frame.lines[a].id.cmp(&frame.lines[b].id));
        keep_least(&mut choices, |it| lines.iter().map(|&line| it.flows[line]).collect::<Vec<_>>());
        assert_eq!(choices.len(), 1, "the rules leave one result");
        choices.remove(0)
    }

    /// Tied lots at the price bounds that an area could have served from its own and did not.
    fn unserved(&self, choice: &Choice, prices: &[i64], ranges: &[Range]) -> i64 {
        let mut sum = 0;
        for (area, (&(buys, sells), range)) in choice.ties.iter().zip(ranges).enumerate() {
            if prices[area] == self.bounds.1 {
                let wanted = range.bought.1 - range.bought.0;
                sum += (wanted.min(range.sold.0 + sells) - buys).max(0);
            }
            if prices[area] == self.bounds.0 {
                let offered = range.sold.1 - range.sold.0;
                sum += (offered.min(range.bought.0 + buys) - sells).max(0);
            }
        }
        sum
    }

    /// Fills of the orders, by position in the auction.
    fn fills(&self, prices: &[i64], choice: &Choice, fills: &mut [Fill]) {
        for area in 0..self.areas {
            let price = prices[area];
            let mut buys = Vec::new();
            let mut sells = Vec::new();
            for (slot, (id, order)) in self.orders(area) {
                let (bought, sold) =
                    (wants(order, price + 1, self.bounds).0, wants(order, price - 1, self.bounds).1);
                fills[slot] = Fill { bought, sold };
                buys.push((slot, id, wants(order, price, self.bounds).0 - bought));
                sells.push((slot, id, wants(order, price, self.bounds).1 - sold));
            }
            for (slot, lots) in prorated(&buys, choice.ties[area].0) {
                fills[slot].bought += lots;
            }
            for (slot, lots) in prorated(&sells, choice.ties[area].1) {
                fills[slot].sold += lots;
            }
        }
    }

    /// Welfare, one lot at a time.
    fn welfare(&self, area: usize, fills: &[Fill]) -> i64 {
        let mut welfare = 0;
        for (slot, (_, order)) in self.orders(area) {
            let (mut bought, mut sold) = (fills[slot].bought, fills[slot].sold);
            let ticks = self.bounds.0..=self.bounds.1;
            for price in ticks.clone().rev() {
                let here = wants(order, price, self.bounds).0 - wants(order, price + 1, self.bounds).0;
                welfare += price * here.min(bought);
                bought -= here.min(bought);
            }
            for price in ticks {
                let here = wants(order, price, self.bounds).1 - wants(order, price - 1, self.bounds).1;
                welfare -= price * here.min(sold);
                sold -= here.min(sold);
            }
        }
        welfare
    }
}

fn keep_least<K: Ord>(choices: &mut Vec<Choice>, key: impl Fn(&Choice) -> K) {
    let least = choices.iter().map(&key).min();
    choices.retain(|it| Some(key(it)).cmp(&least) == Ordering::Equal);
}

/// ⌊A·o/O⌋ each, lots left over by largest remainder, then by id.
fn prorated(tied: &[(usize, &String, i64)], accepted: i64) -> BTreeMap<usize, i64> {
    let offered: i64 = tied.iter().map(|it| it.2).sum();
    let mut shares = BTreeMap::new();
    let mut order: Vec<_> = tied.iter().filter(|it| it.2 > 0).collect();
    let mut left = accepted;
    for it in &order {
        shares.insert(it.0, accepted * it.2 / offered);
        left -= accepted * it.2 / offered;
    }
    order.sort_by_key(|it| (-(accepted * it.2 % offered), it.1));
    for it in order.iter().take(usize::try_from(left).unwrap()) {
        *shares.get_mut(&it.0).unwrap() += 1;
    }
    shares
}

/// Clears `auctions` tiny auctions and compares every number with the literal rules.
fn check(name: &str, auctions: u64, size: &Size) {
    let mut split = 0;
    for number in 0..auctions {
        let mut seed = Seed::new(number);
        let mut auction = tiny::auction(&mut seed, size);
        // As fills stand in an outcome.
        auction.orders.sort_by_key(|(_, it)| (it.period, it.area));
        let outcome = clear(&auction.book());
        let areas = auction.frame.areas.len();
        let lines = auction.frame.lines.len();
        let mut fills = vec![Fill::default(); auction.orders.len()];
        let mut welfare = 0;
        for period in 0..usize::from(auction.frame.periods) {
            let literal = Literal::new(&auction, period);
            let (lo, hi) = literal.lattice();
            let prices: Vec<i64> = lo.iter().zip(&hi).map(|(lo, hi)| (lo + hi + 1).div_euclid(2)).collect();
            let context = format!(
                "{name}, auction {number}, period {period}: {:?} {:?}",
                auction.frame, auction.orders
            );
            assert_eq!(outcome.prices[period * areas..][..areas], prices, "prices, {context}");
            let choice = literal.chosen(&prices);
            assert_eq!(
                outcome.flows[period * lines..][..lines],
                choice.flows,
                "flows, {context}, {choice:?}"
            );
            literal.fills(&prices, &choice, &mut fills);
            welfare += (0..areas).map(|area| literal.welfare(area, &fills)).sum::<i64>();
            split += u64::from(prices.iter().any(|&it| it != prices[0]));
        }
        assert_eq!(
            outcome.curves, fills,
            "fills, {name}, auction {number}: {:?} {:?}",
            auction.frame, auction.orders
        );
        assert_eq!(outcome.welfare, i128::from(welfare), "welfare, {name}, auction {number}");
        assert_eq!(outcome.bound, outcome.welfare);
    }
    println!("{name}: {auctions} auctions agree, {split} periods with more than one price");
}

#[test]
fn single_areas_agree_with_the_literal_rules() {
    let size = Size {
        periods: 3,
        areas: 1,
        lines: 0,
        capacity: 0,
        orders: 9,
        points: 4,
        lots: 7,
        ticks: 9,
        linear_every: 3,
    };
    check("single areas", 10_000, &size);
}

#[test]
fn pairs_with_parallel_lines_agree_with_the_literal_rules() {
    let size = Size {
        periods: 2,
        areas: 2,
        lines: 3,
        capacity: 3,
        orders: 8,
        points: 3,
        lots: 6,
        ticks: 4,
        linear_every: 4,
    };
    check("pairs", 10_000, &size);
}

#[test]
fn loops_of_three_areas_agree_with_the_literal_rules() {
    let size = Size {
        periods: 1,
        areas: 3,
        lines: 4,
        capacity: 2,
        orders: 9,
        points: 2,
        lots: 5,
        ticks: 3,
        linear_every: 5,
    };
    check("loops", 12_000, &size);
}

#[test]
fn ties_at_one_price_agree_with_the_literal_rules() {
    let size = Size {
        periods: 1,
        areas: 4,
        lines: 5,
        capacity: 1,
        orders: 10,
        points: 2,
        lots: 4,
        ticks: 2,
        linear_every: 0,
    };
    check("ties", 12_000, &size);
}

#[test]
fn generous_lines_agree_with_the_literal_rules() {
    let size = Size {
        periods: 1,
        areas: 3,
        lines: 3,
        capacity: 5,
        orders: 7,
        points: 2,
        lots: 9,
        ticks: 2,
        linear_every: 6,
    };
    check("generous lines", 8_000, &size);
}
