//! Shares what is tied at the clearing prices: greatest volume, areas serve themselves at the price
//! bounds, then least Σ A²/O over areas and sides.
//!
//! After the greatest volume is found, no area can have spare sells from which power still reaches
//! spare buys. So a least cut parts the areas: on its near side every tied buy is accepted and sells
//! are shared, on its far side every tied sell is accepted and buys are shared, and the lines across
//! are full in every result of that volume. Each area is left with at most one number A to choose.
//!
//! Least Σ A²/O is found by decomposition: share a connected group as if its lines had no limits; if
//! its lines cannot carry that, a least cut is full in every best result and both sides are shared
//! apart (Groenevelt: valid in whole lots too, since the reachable A form a polymatroid base).
//! All comparisons are exact: a marginal cost is a fraction (2A ± 1) / O of 64-bit terms.

#![expect(clippy::needless_range_loop, reason = "an area indexes several lists at once")]

use super::curves::{Curves, Stand};
use super::network::{Flows, Network, Router};
use alloc::vec::Vec;

/// A marginal cost as a fraction with a positive denominator; nothing: below every cost.
type Marginal = Option<(i128, i128)>;

fn at_most(left: Marginal, right: Marginal) -> bool {
    match (left, right) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some((a, b)), Some((c, d))) => a * d <= c * b,
    }
}

/// What an area may still choose: the accepted lots of one side of its tie.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tie {
    /// True: tied sells are shared, all tied buys are accepted. False: the reverse.
    pub(super) sells: bool,
    /// O, the lots tied on that side.
    pub(super) offered: i64,
    /// A, the lots accepted of them.
    pub(super) lots: i64,
    /// Bounds of A.
    pub(super) least: i64,
    pub(super) most: i64,
    /// The same Σ A²/O is possible with one lot less, with one lot more.
    pub(super) less: bool,
    pub(super) more: bool,
}

impl Tie {
    /// What the next lot costs; nothing if there is none.
    fn next(&self) -> Marginal {
        (self.lots < self.most).then(|| (2 * i128::from(self.lots) + 1, i128::from(self.offered)))
    }

    /// What the last lot cost; nothing if there is none to give up.
    fn last(&self) -> Marginal {
        (self.lots > self.least).then(|| (2 * i128::from(self.lots) - 1, i128::from(self.offered)))
    }

    /// Lots that the area must give (positive) or take when A becomes `target`.
    fn change(&self, target: i64) -> i64 {
        if self.sells { target - self.lots } else { self.lots - target }
    }
}

/// Scratch and results of sharing one period.
#[derive(Clone, Debug, Default)]
pub(super) struct Sharing {
    /// What each area can trade at its price.
    pub(super) stands: Vec<Stand>,
    /// The choice that each area has, made.
    pub(super) ties: Vec<Tie>,
    members: Vec<usize>,
    groups: Vec<Vec<usize>>,
    spare: Vec<Vec<usize>>,
    labelled: Vec<bool>,
    target: Vec<i64>,
    free: Vec<usize>,
    cost: Vec<Marginal>,
    give: Vec<i64>,
    take: Vec<i64>,
    /// Lines closed only while groups are shared apart.
    apart: Vec<usize>,
}

impl Sharing {
    /// Accepted tied (buys, sells) of an area.
    pub(super) fn accepted(&self, area: usize) -> (i64, i64) {
        let (tie, stand) = (&self.ties[area], &self.stands[area]);
        if tie.sells { (stand.bought_tied, tie.lots) } else { (tie.lots, stand.sold_tied) }
    }

    /// Shares the ties at `prices`, starting from an optimal flow in which each area is left with
    /// `net` lots. Leaves open the lines whose flow may still change without changing any A, or
    /// together with an A that has `less` or `more`.
    pub(super) fn share(
        &mut self,
        network: &Network,
        curves: &Curves<'_>,
        prices: &[i64],
        net: &[i64],
        flows: &mut Flows,
        router: &mut Router,
    ) {
        let areas = network.areas;
        curves.touch_stands(prices);
        self.stands.clear();
        self.stands.extend((0..areas).map(|area| curves.stand(area, prices[area])));
        self.ties.clear();
        self.ties.resize(areas, Tie { sells: true, ..Tie::default() });
        for list in [&mut self.give, &mut self.take, &mut self.target] {
            list.clear();
            list.resize(areas, 0);
        }
        for line in 0..network.lines {
            flows.open[line] = prices[network.from[line]] == prices[network.to[line]];
        }
        if self.stands.iter().all(|it| it.sold_tied == 0 && it.bought_tied == 0) {
            return;
        }
        self.members.clear();
        self.members.extend(0..areas);
        self.trade(network, curves, net, flows, router);
        if prices.iter().any(|&price| price == curves.price_min || price == curves.price_max) {
            self.serve_own(network, curves, prices, flows, router);
        }
        if self.ties.iter().filter(|it| it.least < it.most).count() > 1 {
            self.spread(network, flows, router);
        }
    }

    /// The greatest volume.
    fn trade(
        &mut self,
        network: &Network,
        curves: &Curves<'_>,
        net: &[i64],
        flows: &mut Flows,
        router: &mut Router,
    ) {
        for area in 0..network.areas {
            let stand = self.stands[area];
            // Tied sells less tied buys, as the flow has it; as many of both as there are.
            let balance = net[area] - curves.injected(area) - (stand.sold - stand.bought);
            let bought = stand.bought_tied.min(stand.sold_tied - balance);
            self.give[area] = stand.sold_tied - (bought + balance);
            self.take[area] = stand.bought_tied - bought;
        }
        router.transfer(network, flows, &self.members, &mut self.give, &mut self.take);
        for area in 0..network.areas {
            let stand = self.stands[area];
            let sells = !router.reaches_taker(area);
            let (offered, left) =
                if sells { (stand.sold_tied, self.give[area]) } else { (stand.bought_tied, self.take[area]) };
            let lots = offered - left;
            self.ties[area] = Tie { sells, offered, lots, least: 0, most: offered, less: false, more: false };
        }
        self.part(network, flows, router);
    }

    /// Closes the lines across the cut that `router` left.
    fn part(&mut self, network: &Network, flows: &mut Flows, router: &Router) {
        for line in 0..network.lines {
            if router.reaches_taker(network.from[line]) != router.reaches_taker(network.to[line]) {
                flows.open[line] = false;
            }
        }
    }

    /// At the price bounds an area first serves itself, as far as it can.
    fn serve_own(
        &mut self,
        network: &Network,
        curves: &Curves<'_>,
        prices: &[i64],
        flows: &mut Flows,
        router: &mut Router,
    ) {
        self.members.clear();
        for area in 0..network.areas {
            let (tie, stand) = (&self.ties[area], self.stands[area]);
            let own = if tie.sells && prices[area] == curves.price_min {
                stand.bought + stand.bought_tied - curves.injected(area)
            } else if !tie.sells && prices[area] == curves.price_max {
                stand.sold + stand.sold_tied + curves.injected(area)
            } else {
                self.give[area] = 0;
                self.take[area] = 0;
                continue;
            };
            self.members.push(area);
            self.target[area] = own.clamp(0, tie.offered);
            let change = tie.change(self.target[area]);
            self.give[area] = change.max(0);
            self.take[area] = (-change).max(0);
        }
        router.transfer(network, flows, &self.members, &mut self.give, &mut self.take);
        for &area in &self.members {
            let (tie, own) = (&mut self.ties[area], self.target[area]);
            // Areas that reach a taker have nothing to give any more: their share, if any, lies on
            // the taking side of `own` in every result that is as good.
            let beyond = if tie.sells {
                tie.lots = own - self.give[area] + self.take[area];
                router.reaches_taker(area)
            } else {
                tie.lots = own + self.give[area] - self.take[area];
                !router.reaches_taker(area)
            };
            (tie.least, tie.most) = if beyond { (own, tie.offered) } else { (0, own) };
        }
        self.part(network, flows, router);
    }

    /// Least Σ A²/O in every connected group, and what is left open by it.
    fn spread(&mut self, network: &Network, flows: &mut Flows, router: &mut Router) {
        self.labelled.clear();
        self.labelled.resize(network.areas, false);
        for start in 0..network.areas {
            if self.labelled[start] {
                continue;
            }
            self.labelled[start] = true;
            let mut group = self.spare.pop().unwrap_or_default();
            group.clear();
            group.push(start);
            let mut head = 0;
            while let Some(&area) = group.get(head) {
                head += 1;
                for hop in network.hops(area) {
                    if flows.open[hop.line] && !self.labelled[hop.other] {
                        self.labelled[hop.other] = true;
                        group.push(hop.other);
                    }
                }
            }
            if group.iter().filter(|&&area| self.ties[area].least < self.ties[area].most).count() > 1 {
                self.groups.push(group);
                self.decompose(network, flows, router);
            } else {
                self.spare.push(group);
            }
        }
        for line in self.apart.drain(..) {
            flows.open[line] = true;
        }
        self.close(network, flows);
    }

    /// Shares the groups on the stack, splitting those whose lines do not carry their shares.
    fn decompose(&mut self, network: &Network, flows: &mut Flows, router: &mut Router) {
        while let Some(group) = self.groups.pop() {
            self.proportional(&group);
            for &area in &group {
                let change = self.ties[area].change(self.target[area]);
                self.give[area] = change.max(0);
                self.take[area] = (-change).max(0);
            }
            router.transfer(network, flows, &group, &mut self.give, &mut self.take);
            let mut carried = true;
            for &area in &group {
                let (left, tie) = (self.give[area] - self.take[area], &mut self.ties[area]);
                carried &= left == 0;
                tie.lots = if tie.sells { self.target[area] - left } else { self.target[area] + left };
            }
            if !carried {
                let mut near = self.spare.pop().unwrap_or_default();
                let mut far = self.spare.pop().unwrap_or_default();
                near.clear();
                far.clear();
                for &area in &group {
                    if router.reaches_taker(area) {
                        far.push(area)
                    } else {
                        near.push(area)
                    }
                    for hop in network.hops(area) {
                        if flows.open[hop.line]
                            && router.reaches_taker(area) != router.reaches_taker(hop.other)
                        {
                            flows.open[hop.line] = false;
                            self.apart.push(hop.line);
                        }
                    }
                }
                self.groups.push(near);
                self.groups.push(far);
            }
            self.spare.push(group);
        }
    }

    /// Leaves in `target` the whole-lot shares with least Σ A²/O for the group's total, its lines
    /// left aside.
    fn proportional(&mut self, group: &[usize]) {
        self.free.clear();
        self.free.extend(group.iter().copied().filter(|&area| self.ties[area].offered > 0));
        let total: i64 = self.free.iter().map(|&area| self.ties[area].lots).sum();
        for &area in group {
            self.target[area] = 0;
        }
        let mut rest = i128::from(total);
        while !self.free.is_empty() {
            // Everybody's share is rest × O / weight; those beyond a bound stay at it, on the side
            // that is beyond by more: there the bound holds in the end too.
            let weight: i128 = self.free.iter().map(|&area| i128::from(self.ties[area].offered)).sum();
            let (mut over, mut under) = (0, 0);
            for &area in &self.free {
                let tie = &self.ties[area];
                let share = rest * i128::from(tie.offered);
                over += (share - i128::from(tie.most) * weight).max(0);
                under += (i128::from(tie.least) * weight - share).max(0);
            }
            let (ties, target, mut fixed) = (&self.ties, &mut self.target, 0);
            self.free.retain(|&area| {
                let tie = &ties[area];
                let share = rest * i128::from(tie.offered);
                let bound = if over > 0 && over >= under && share > i128::from(tie.most) * weight {
                    tie.most
                } else if under > over && share < i128::from(tie.least) * weight {
                    tie.least
                } else {
                    target[area] = i64::try_from((2 * share + weight).div_euclid(2 * weight))
                        .expect("a share is no larger than what is offered");
                    return true;
                };
                target[area] = bound;
                fixed += i128::from(bound);
                false
            });
            rest -= fixed;
            if over == 0 && under == 0 {
                break;
            }
        }
        self.round(group, total);
    }

    /// Brings the targets from nearest whole lots to their total, lot by lot at least cost: at most
    /// one lot per area.
    fn round(&mut self, group: &[usize], total: i64) {
        let mut sum = 0;
        for &area in group {
            let tie = &self.ties[area];
            self.target[area] = self.target[area].clamp(tie.least, tie.most);
            sum += self.target[area];
        }
        let at = |area: usize, target: &[i64], ties: &[Tie]| Tie { lots: target[area], ..ties[area] };
        while sum < total {
            let mut best: Option<(usize, Marginal)> = None;
            for &area in group {
                let next = at(area, &self.target, &self.ties).next();
                if next.is_some() && best.is_none_or(|(_, cost)| !at_most(cost, next)) {
                    best = Some((area, next));
                }
            }
            let (area, _) = best.expect("the total lies within the bounds");
            self.target[area] += 1;
            sum += 1;
        }
        while sum > total {
            let mut best: Option<(usize, Marginal)> = None;
            for &area in group {
                let last = at(area, &self.target, &self.ties).last();
                if last.is_some() && best.is_none_or(|(_, cost)| !at_most(last, cost)) {
                    best = Some((area, last));
                }
            }
            let (area, _) = best.expect("the total lies within the bounds");
            self.target[area] -= 1;
            sum -= 1;
        }
    }

    /// Finds what every result with the least Σ A²/O has in common, by the least potentials that
    /// prove it: lines between different potentials are full, and an A may move by the one lot
    /// whose cost is its potential.
    fn close(&mut self, network: &Network, flows: &mut Flows) {
        self.cost.clear();
        self.cost.extend(self.ties.iter().map(Tie::last));
        loop {
            let mut changed = false;
            for area in 0..network.areas {
                for &hop in network.hops(area) {
                    if !flows.open[hop.line] || flows.room_out(hop) == 0 {
                        continue;
                    }
                    // Power can move from `area` to `other`: sells could move the other way round.
                    let (low, high) =
                        if self.ties[area].sells { (hop.other, area) } else { (area, hop.other) };
                    if !at_most(self.cost[low], self.cost[high]) {
                        self.cost[high] = self.cost[low];
                        changed = true;
                    }
                }
            }
            if !changed {
                break;
            }
        }
        for (tie, &cost) in self.ties.iter_mut().zip(&self.cost) {
            let (last, next) = (tie.last(), tie.next());
            debug_assert!(next.is_none() || at_most(cost, next), "no lot is better elsewhere");
            tie.less = cost.is_some() && last.is_some() && at_most(cost, last);
            tie.more = cost.is_some() && next.is_some() && at_most(next, cost);
        }
        // A lot less somewhere needs a lot more elsewhere.
        let both = self.ties.iter().any(|it| it.less) && self.ties.iter().any(|it| it.more);
        if !both {
            for tie in &mut self.ties {
                (tie.less, tie.more) = (false, false);
            }
        }
        for line in 0..network.lines {
            let (from, to) = (self.cost[network.from[line]], self.cost[network.to[line]]);
            if flows.open[line] && !(at_most(from, to) && at_most(to, from)) {
                flows.open[line] = false;
            }
        }
    }
}
