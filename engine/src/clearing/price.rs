//! Clearing prices of one period: divide and conquer on price with nested least cuts.
//!
//! The prices that clear a period are the optimal duals of a network flow, and minimise
//!
//! Σ over areas of Σ over ticks t below its price of surplus(t)
//! + Σ over lines of capacity × (price(to) − price(from)) where that is positive, likewise back.
//!
//! Both sums split by ticks: between p and p + 1 only the set X of areas dearer than p counts, with
//! Σ over X of surplus(p) + the capacities of the lines that lead into X. So X is a least cut, the
//! sets are nested as p rises, and the least sets X give the least price vector `lo`. A group of
//! areas whose prices are known to lie in one band is cut at the price that would clear it as if it
//! had no lines inside: either that is its price, or the cut splits it and both parts go on in
//! narrower bands. Nothing here walks over ticks.
//!
//! From one optimal flow the greatest vector `hi` follows: each area may rise until what it trades
//! would change, and no further than an area that still has room to send to it.

use super::network::{Flows, Network, Router};
use alloc::vec::Vec;

/// Areas of which what they have left between them is bracketed before it is looked up.
const ROUGH_AREAS_MAX: usize = 2;

/// Prices between which nothing changes: the level at or below, the level above.
#[derive(Clone, Copy, Debug)]
pub(super) struct Still {
    pub(super) from: i64,
    pub(super) until: i64,
}

impl Still {
    /// Keeps the prices that also lie between two others.
    pub(super) fn narrow(&mut self, from: i64, until: i64) {
        (self.from, self.until) = (self.from.max(from), self.until.min(until));
    }
}

/// The merit orders of one period, area by area.
pub(super) trait MeritOrders {
    /// Least price that an area may have.
    fn price_min(&self) -> i64;
    /// Greatest price that an area may have.
    fn price_max(&self) -> i64;
    /// As [`Self::surplus`]; narrows `still` to prices at which it is the same.
    fn surplus_around(&self, area: usize, price: i64, still: &mut Still) -> i64;

    /// Net lots that the area is left with between `price` and the tick above:
    /// S(price) − D(price + 1) + injected. Never falls as the price rises.
    fn surplus(&self, area: usize, price: i64) -> i64 {
        self.surplus_around(area, price, &mut Still { from: i64::MIN, until: i64::MAX })
    }

    /// How far from a hint the first price beside it is looked at; speed alone depends on it.
    fn stride(&self, first: i64, last: i64) -> i64 {
        (last - first) / 256
    }

    /// Least and greatest that [`Self::surplus_around`] may be, as far as it can be told at little cost;
    /// narrows `still` to prices at which that is so.
    fn surplus_between(&self, area: usize, price: i64, still: &mut Still) -> (i64, i64) {
        let surplus = self.surplus_around(area, price, still);
        (surplus, surplus)
    }

    /// [`Self::surplus_around`] of some areas together.
    fn surplus_of(&self, areas: &[usize], price: i64, still: &mut Still) -> i64 {
        areas.iter().map(|&area| self.surplus_around(area, price, still)).sum()
    }

    /// Least price in `first ..= last` at which the areas together, `extra` included, are left with
    /// no shortage; `last` if there is none below. Looks first around `hint`.
    fn clears(&self, areas: &[usize], extra: i64, first: i64, last: i64, hint: i64) -> i64 {
        // Short at `low`, not short at `high`; both ends may be unproved bounds.
        let (mut low, mut high) = (first - 1, last);
        let (mut short, mut long): (Option<i64>, Option<i64>) = (None, None);
        let (mut turn, mut stale_low, mut stale_high) = (0_u32, 0_u32, 0_u32);
        let mut stride = self.stride(first, last).max(1);
        while high - low > 1 {
            let price = match (short, long) {
                (None, None) => hint,
                (None, Some(_)) => high.saturating_sub(stride).max(low + (high - low) / 4),
                (Some(_), None) => low.saturating_add(stride).min(high - (high - low) / 4),
                // A straight line between the ends, where an end that stays behind a second time and
                // more counts for less each time; halving in between bounds the number of turns.
                (Some(_), Some(_)) if turn % 4 == 3 => low + (high - low) / 2,
                (Some(short), Some(long)) => {
                    let short = (i128::from(-short) * 2) >> stale_low.saturating_sub(1).min(60);
                    let long = (i128::from(long) * 2 + 1) >> stale_high.saturating_sub(1).min(60);
                    let part = i128::from(high - low) * short / (short + long).max(1);
                    low + i64::try_from(part).expect("a part of the span")
                }
            };
            let price = price.clamp(low + 1, high - 1);
            if short.is_some() && long.is_some() {
                turn += 1;
                stale_low += 1;
                stale_high += 1;
            } else {
                stride = stride.saturating_mul(4);
            }
            let mut still = Still { from: i64::MIN, until: i64::MAX };
            let (mut surplus, mut most) = (extra, extra);
            // Of many areas together little can be told without looking closely.
            let is_rough = areas.len() <= ROUGH_AREAS_MAX;
            for &area in areas.iter().filter(|_| is_rough) {
                let between = self.surplus_between(area, price, &mut still);
                (surplus, most) = (surplus + between.0, most + between.1);
            }
            if most < 0 && is_rough {
                surplus = most;
            } else if surplus < 0 || !is_rough {
                still = Still { from: i64::MIN, until: i64::MAX };
                surplus = self.surplus_of(areas, price, &mut still) + extra;
            }
            if surplus >= 0 {
                high = still.from.max(low + 1);
                long = Some(surplus);
                stale_high = 0;
            } else {
                low = (still.until - 1).min(high - 1);
                short = Some(surplus);
                stale_low = 0;
            }
        }
        high
    }

    /// Greatest price at which an area may stand that is left with `lots`: surplus(p − 1) ≤ lots.
    /// It may stand at `from`.
    fn greatest(&self, area: usize, lots: i64, from: i64) -> i64 {
        // Levels are few between `from` and the answer, ticks of linear curves may be many.
        let (mut low, mut high) = (from, self.price_max());
        let mut stride = 1;
        while low < high {
            let probe = (low - 1).saturating_add(stride).min(high - 1);
            let mut still = Still { from: i64::MIN, until: i64::MAX };
            if self.surplus_around(area, probe, &mut still) <= lots {
                low = still.until.min(high);
                stride = stride.saturating_mul(2);
            } else {
                high = still.from.max(low);
                stride = ((high - low) / 2).max(1);
            }
        }
        low
    }
}

/// Scratch and results of pricing one period.
#[derive(Clone, Debug, Default)]
pub(super) struct Pricing {
    /// Least clearing prices.
    pub(super) lo: Vec<i64>,
    /// Greatest clearing prices.
    pub(super) hi: Vec<i64>,
    /// Lots that each area is left with: sold − bought + injected, in an optimal flow.
    pub(super) net: Vec<i64>,
    /// Where the last period's prices were: only how soon prices are found depends on it.
    hint: Vec<i64>,
    /// Least and greatest price that an area can still have.
    floor: Vec<i64>,
    ceiling: Vec<i64>,
    groups: Vec<Vec<usize>>,
    spare: Vec<Vec<usize>>,
    /// What saturated lines from cheaper and to dearer areas leave in an area.
    through: Vec<i64>,
    give: Vec<i64>,
    take: Vec<i64>,
}

impl Pricing {
    /// Tells prices near which those of the next period may lie; speed alone depends on it.
    pub(super) fn expect(&mut self, prices: &[i64]) {
        self.lo.clear();
        self.lo.extend_from_slice(prices);
    }

    /// Finds `lo`, `hi` and an optimal flow. `flows` holds the capacities; its flows are replaced.
    /// Returns false if no prices clear: then an area cannot absorb what is injected whatever the
    /// price. Curves alone always clear.
    pub(super) fn price(
        &mut self,
        network: &Network,
        curves: &impl MeritOrders,
        flows: &mut Flows,
        router: &mut Router,
    ) -> bool {
        let areas = network.areas;
        self.hint.clear();
        self.hint.extend_from_slice(&self.lo);
        self.hint.resize(areas, curves.price_min() + (curves.price_max() - curves.price_min()) / 2);
        for list in
            [&mut self.lo, &mut self.hi, &mut self.net, &mut self.through, &mut self.give, &mut self.take]
        {
            list.clear();
            list.resize(areas, 0);
        }
        self.floor.clear();
        self.floor.resize(areas, curves.price_min());
        self.ceiling.clear();
        self.ceiling.resize(areas, curves.price_max());
        let mut all = self.spare.pop().unwrap_or_default();
        all.clear();
        all.extend(0..areas);
        self.groups.push(all);
        while let Some(group) = self.groups.pop() {
            self.settle(network, curves, flows, router, &group);
            self.spare.push(group);
        }
        let balanced = self.route(network, curves, flows, router);
        if balanced {
            self.raise(network, curves, flows);
        }
        balanced
    }

    /// Narrows a group of areas in one band to one price, or splits it.
    fn settle(
        &mut self,
        network: &Network,
        curves: &impl MeritOrders,
        flows: &mut Flows,
        router: &mut Router,
        group: &[usize],
    ) {
        let Some(&first) = group.first() else { return };
        let (floor, ceiling) = (self.floor[first], self.ceiling[first]);
        if floor == ceiling {
            return;
        }
        let mut extra = 0;
        for &area in group.iter() {
            let mut through = 0;
            for hop in network.hops(area) {
                if self.floor[hop.other] > ceiling {
                    through -=
                        if hop.leaves { flows.capacity[hop.line] } else { flows.capacity_back[hop.line] };
                } else if self.ceiling[hop.other] < floor {
                    through +=
                        if hop.leaves { flows.capacity_back[hop.line] } else { flows.capacity[hop.line] };
                }
            }
            self.through[area] = through;
            extra += through;
        }
        let price = curves.clears(group, extra, floor, ceiling, self.hint[first]);
        if group.len() == 1 {
            self.floor[first] = price;
            self.ceiling[first] = price;
            return;
        }
        if price < ceiling {
            self.cut(network, curves, flows, router, group, price);
            if self.split(router, group, price) {
                return;
            }
        }
        if price > floor {
            self.cut(network, curves, flows, router, group, price - 1);
            if self.split(router, group, price - 1) {
                return;
            }
        }
        for &area in group.iter() {
            self.floor[area] = price;
            self.ceiling[area] = price;
        }
    }

    /// Leaves in `router` the least set of areas of the group that are dearer than `price`.
    fn cut(
        &mut self,
        network: &Network,
        curves: &impl MeritOrders,
        flows: &mut Flows,
        router: &mut Router,
        group: &[usize],
        price: i64,
    ) {
        let Some(&first) = group.first() else { return };
        let (floor, ceiling) = (self.floor[first], self.ceiling[first]);
        for &area in group {
            let surplus = curves.surplus(area, price) + self.through[area];
            self.give[area] = surplus.max(0);
            self.take[area] = (-surplus).max(0);
            for hop in network.hops(area) {
                // Bands are equal or apart.
                flows.open[hop.line] = self.floor[hop.other] == floor && self.ceiling[hop.other] == ceiling;
                flows.flow[hop.line] = 0;
            }
        }
        router.transfer(network, flows, group, &mut self.give, &mut self.take);
    }

    /// Narrows the bands by the cut at `price`; true if that left two groups.
    fn split(&mut self, router: &Router, group: &[usize], price: i64) -> bool {
        let mut dearer = self.spare.pop().unwrap_or_default();
        dearer.clear();
        dearer.extend(group.iter().copied().filter(|&area| router.reaches_taker(area)));
        for &area in group.iter() {
            if router.reaches_taker(area) {
                self.floor[area] = price + 1;
            } else {
                self.ceiling[area] = price;
            }
        }
        if dearer.is_empty() || dearer.len() == group.len() {
            self.spare.push(dearer);
            return false;
        }
        let mut cheaper = self.spare.pop().unwrap_or_default();
        cheaper.clear();
        cheaper.extend(group.iter().copied().filter(|&area| !router.reaches_taker(area)));
        self.groups.push(dearer);
        self.groups.push(cheaper);
        true
    }

    /// Finds an optimal flow at `lo`; false if what is injected can go nowhere at any price.
    fn route(
        &mut self,
        network: &Network,
        curves: &impl MeritOrders,
        flows: &mut Flows,
        router: &mut Router,
    ) -> bool {
        self.lo.copy_from_slice(&self.floor);
        self.through.fill(0);
        for line in 0..network.lines {
            let (from, to) = (network.from[line], network.to[line]);
            flows.open[line] = self.lo[from] == self.lo[to];
            flows.flow[line] = match self.lo[from].cmp(&self.lo[to]) {
                core::cmp::Ordering::Less => flows.capacity[line],
                core::cmp::Ordering::Equal => 0,
                core::cmp::Ordering::Greater => -flows.capacity_back[line],
            };
            self.through[from] -= flows.flow[line];
            self.through[to] += flows.flow[line];
        }
        let mut members = self.spare.pop().unwrap_or_default();
        members.clear();
        members.extend(0..network.areas);
        // Everything that is sold below `lo` finds a taker among what is bought at `lo` or above;
        for area in 0..network.areas {
            let least = curves.surplus(area, self.lo[area] - 1) + self.through[area];
            self.net[area] = least;
            self.give[area] = least.max(0);
            self.take[area] = (-least).max(0);
        }
        router.transfer(network, flows, &members, &mut self.give, &mut self.take);
        let mut balanced = self.give.iter().all(|&lots| lots == 0);
        // and everything that is bought above `lo` finds a giver.
        for area in 0..network.areas {
            self.net[area] += self.take[area];
            let most = curves.surplus(area, self.lo[area]) + self.through[area];
            self.give[area] = (most - self.net[area]).max(0);
            self.take[area] = (self.net[area] - most).max(0);
            self.net[area] = most;
        }
        router.transfer(network, flows, &members, &mut self.give, &mut self.take);
        balanced &= self.take.iter().all(|&lots| lots == 0);
        for area in 0..network.areas {
            self.net[area] -= self.give[area] + self.through[area];
        }
        self.spare.push(members);
        balanced
    }

    /// Raises every area from `lo` as far as the optimal flow allows.
    fn raise(&mut self, network: &Network, curves: &impl MeritOrders, flows: &Flows) {
        for area in 0..network.areas {
            self.hi[area] = curves.greatest(area, self.net[area], self.lo[area]);
        }
        loop {
            let mut changed = false;
            for area in 0..network.areas {
                for &hop in network.hops(area) {
                    if self.hi[hop.other] > self.hi[area] && flows.room_out(hop) > 0 {
                        self.hi[hop.other] = self.hi[area];
                        changed = true;
                    }
                }
            }
            if !changed {
                return;
            }
        }
    }
}
