//! Settles the flows that shares leave open: least Σ flow², then the lexicographically least.
//!
//! Flows that balance every area differ by loops. Sending lots round a loop is exact integer work:
//! the best number of lots on one loop is a rounded mean. Loops of a spanning tree are improved in
//! turn until none helps; a search for negative loops then improves what is left and proves that
//! nothing is. Where that search leaves potentials at which another result costs the same, the least
//! accepted lots by area id and then the least flows by line id are taken, one lot at a time.
//!
//! Accepted lots that may move (`less`, `more`) do so over one more node, the hub, at no cost.

#![expect(clippy::needless_range_loop, reason = "an area indexes several lists at once")]

use super::network::{Flows, Hop, Network};
use super::scaling::Scaling;
use super::share::Tie;
use alloc::vec::Vec;

/// Sweeps over the loops of a spanning tree before the search for single loops.
const SWEEPS_MAX: u32 = 40;
/// Loops found one by one before scaling takes over.
const LOOPS_MAX: u32 = 16;

/// One step of a walk: over a line, or between an area and the hub.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Along a hop, out of the area that sees it.
    Line(Hop),
    /// Out of the hub into an area: the area injects one lot more.
    Inject(usize),
    /// Out of an area into the hub: the area injects one lot less.
    Withdraw(usize),
}

/// Scratch of settling the flows of one period.
#[derive(Clone, Debug, Default)]
pub(super) struct Loops {
    degree: Vec<usize>,
    queue: Vec<usize>,
    /// The step by which a walk came to a node; the hub is the last node.
    via: Vec<Option<Step>>,
    depth: Vec<usize>,
    seen: Vec<bool>,
    cycles: Vec<(usize, i64)>,
    cycles_end: Vec<usize>,
    potential: Vec<i64>,
    walk: Vec<Step>,
    mark: Vec<usize>,
    scaling: Scaling,
    /// Rounds of search made so far: the unit of work.
    pub(super) rounds: u64,
}

impl Loops {
    /// Settles the flows on open lines.
    pub(super) fn settle(&mut self, network: &Network, flows: &mut Flows, ties: &mut [Tie]) {
        if !self.peel(network, flows, ties) {
            return;
        }
        self.span(network, flows);
        self.sweep(flows);
        for turn in 0_u32.. {
            if !self.search(network, flows, ties) {
                break;
            }
            if turn == LOOPS_MAX {
                self.guess(network, flows);
                self.scaling.descend(network, flows, &mut self.potential);
            } else {
                self.cancel(flows, ties);
            }
        }
        if self.ambiguous(network, flows, ties) {
            self.choose(network, flows, ties);
        }
    }

    /// Closes lines that lie on no loop; false if none stays open.
    fn peel(&mut self, network: &Network, flows: &mut Flows, ties: &[Tie]) -> bool {
        self.degree.clear();
        self.degree.resize(network.areas, 0);
        for line in 0..network.lines {
            if flows.open[line] {
                self.degree[network.from[line]] += 1;
                self.degree[network.to[line]] += 1;
            }
        }
        self.queue.clear();
        for area in 0..network.areas {
            if ties[area].less || ties[area].more {
                self.degree[area] += 1;
            }
            if self.degree[area] == 1 {
                self.queue.push(area);
            }
        }
        while let Some(area) = self.queue.pop() {
            for hop in network.hops(area) {
                if flows.open[hop.line] {
                    flows.open[hop.line] = false;
                    self.degree[area] -= 1;
                    self.degree[hop.other] -= 1;
                    if self.degree[hop.other] == 1 {
                        self.queue.push(hop.other);
                    }
                }
            }
        }
        flows.open.iter().any(|&open| open)
    }

    /// Finds the loops that open lines close over a spanning tree.
    fn span(&mut self, network: &Network, flows: &Flows) {
        self.cycles.clear();
        self.cycles_end.clear();
        self.via.clear();
        self.via.resize(network.areas + 1, None);
        self.depth.clear();
        self.depth.resize(network.areas, 0);
        self.seen.clear();
        self.seen.resize(network.areas, false);
        self.mark.clear();
        self.mark.resize(network.lines, 0);
        for root in 0..network.areas {
            if self.seen[root] {
                continue;
            }
            self.seen[root] = true;
            self.queue.clear();
            self.queue.push(root);
            let mut head = 0;
            while let Some(&area) = self.queue.get(head) {
                head += 1;
                for &hop in network.hops(area) {
                    if flows.open[hop.line] && !self.seen[hop.other] {
                        self.seen[hop.other] = true;
                        self.depth[hop.other] = self.depth[area] + 1;
                        self.via[hop.other] = Some(Step::Line(hop));
                        self.mark[hop.line] = 1;
                        self.queue.push(hop.other);
                    }
                }
            }
        }
        for line in 0..network.lines {
            if flows.open[line] && self.mark[line] == 0 {
                self.cycle(network, line);
                self.cycles_end.push(self.cycles.len());
            }
        }
    }

    /// Writes down the loop of a line: along it, then back from its end to its start by the tree.
    fn cycle(&mut self, network: &Network, line: usize) {
        self.cycles.push((line, 1));
        let (mut end, mut start) = (network.to[line], network.from[line]);
        while end != start {
            let climbs_from_end = self.depth[end] >= self.depth[start];
            let node = if climbs_from_end { end } else { start };
            let Some(Step::Line(hop)) = self.via[node] else { break };
            // The hop leads down the tree; from the end the loop climbs it, to the start it descends.
            self.cycles.push((hop.line, if hop.leaves == climbs_from_end { -1 } else { 1 }));
            let parent = near_end(network, hop);
            if climbs_from_end {
                end = parent;
            } else {
                start = parent;
            }
        }
    }

    /// Sends the best number of lots round each loop in turn, until no loop helps or patience ends.
    fn sweep(&mut self, flows: &mut Flows) {
        for _ in 0..SWEEPS_MAX {
            self.rounds += 1;
            let mut changed = false;
            let mut start = 0;
            for &end in &self.cycles_end {
                let cycle = &self.cycles[start..end];
                start = end;
                let (mut sum, mut length, mut up, mut down) = (0, 0, i64::MAX, i64::MAX);
                for &(line, sign) in cycle {
                    let flow = flows.flow[line];
                    sum += sign * flow;
                    length += 1;
                    let (ahead, behind) = (flows.capacity[line] - flow, flow + flows.capacity_back[line]);
                    up = up.min(if sign > 0 { ahead } else { behind });
                    down = down.min(if sign > 0 { behind } else { ahead });
                }
                let lots = nearest(-sum, length).clamp(-down, up);
                if lots != 0 {
                    changed = true;
                    for &(line, sign) in cycle {
                        flows.flow[line] += sign * lots;
                    }
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// Guesses potentials along the spanning tree.
    fn guess(&mut self, network: &Network, flows: &Flows) {
        self.span(network, flows);
        self.queue.clear();
        self.queue.extend(0..network.areas);
        self.queue.sort_unstable_by_key(|&area| self.depth[area]);
        for &area in &self.queue {
            self.potential[area] = match self.via[area] {
                Some(Step::Line(hop)) => self.potential[near_end(network, hop)] + 2 * directed(flows, hop),
                Some(Step::Inject(_) | Step::Withdraw(_)) | None => 0,
            };
        }
    }

    /// Looks for a loop on which sending a lot lowers Σ flow²; its steps are left in `walk`. If there
    /// is none, `potential` proves it.
    fn search(&mut self, network: &Network, flows: &Flows, ties: &[Tie]) -> bool {
        let hub = network.areas;
        self.potential.clear();
        self.potential.resize(hub + 1, 0);
        self.via.clear();
        self.via.resize(hub + 1, None);
        loop {
            self.rounds += 1;
            let mut changed = false;
            for area in 0..hub {
                for &hop in network.hops(area) {
                    if flows.open[hop.line] && flows.room_out(hop) > 0 {
                        let reached = self.potential[area] + cost(flows, hop);
                        if reached < self.potential[hop.other] {
                            self.potential[hop.other] = reached;
                            self.via[hop.other] = Some(Step::Line(hop));
                            changed = true;
                        }
                    }
                }
                if can_inject(&ties[area]) && self.potential[hub] < self.potential[area] {
                    self.potential[area] = self.potential[hub];
                    self.via[area] = Some(Step::Inject(area));
                    changed = true;
                }
                if can_withdraw(&ties[area]) && self.potential[area] < self.potential[hub] {
                    self.potential[hub] = self.potential[area];
                    self.via[hub] = Some(Step::Withdraw(area));
                    changed = true;
                }
            }
            if !changed {
                return false;
            }
            if self.closes(network) {
                return true;
            }
        }
    }

    /// True if the steps in `via` close a loop, which is then in `walk`. They do after at most as
    /// many rounds as there are nodes, or the search ends.
    fn closes(&mut self, network: &Network) -> bool {
        let hub = network.areas;
        self.mark.clear();
        self.mark.resize(hub + 1, 0);
        for start in 0..=hub {
            let mut node = start;
            while self.mark[node] == 0 {
                self.mark[node] = start + 1;
                let Some(step) = self.via[node] else { break };
                node = tail(network, step);
            }
            if self.mark[node] == start + 1 && self.via[node].is_some() {
                self.walk.clear();
                let first = node;
                while let Some(step) = self.via[node] {
                    self.walk.push(step);
                    node = tail(network, step);
                    if node == first {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Sends the best number of lots round the loop in `walk`.
    fn cancel(&mut self, flows: &mut Flows, ties: &mut [Tie]) {
        let (mut sum, mut length, mut room) = (0, 0, i64::MAX);
        for &it in &self.walk {
            match it {
                Step::Line(hop) => {
                    sum += directed(flows, hop);
                    length += 1;
                    room = room.min(flows.room_out(hop));
                }
                Step::Inject(_) | Step::Withdraw(_) => room = room.min(1),
            }
        }
        let lots = nearest(-sum, length).min(room);
        assert!(lots > 0, "a loop that a lot improves has room for it");
        for &it in &self.walk {
            take(flows, ties, it, lots);
        }
    }

    /// True if another result costs the same: a loop of steps that are free at the potentials.
    fn ambiguous(&mut self, network: &Network, flows: &Flows, ties: &[Tie]) -> bool {
        // Drop nodes that no free step enters, again and again: what stays is a loop.
        let hub = network.areas;
        self.degree.clear();
        self.degree.resize(hub + 1, 0);
        for node in 0..=hub {
            self.each_free(network, flows, ties, node, |this, _, head| this.degree[head] += 1);
        }
        self.queue.clear();
        self.queue.extend((0..=hub).filter(|&node| self.degree[node] == 0));
        let mut dropped = 0;
        while let Some(node) = self.queue.pop() {
            dropped += 1;
            self.each_free(network, flows, ties, node, |this, _, head| {
                this.degree[head] -= 1;
                if this.degree[head] == 0 {
                    this.queue.push(head);
                }
            });
        }
        dropped <= hub
    }

    /// Calls back for every step out of a node that is free at the potentials.
    fn each_free(
        &mut self,
        network: &Network,
        flows: &Flows,
        ties: &[Tie],
        node: usize,
        mut call: impl FnMut(&mut Self, Step, usize),
    ) {
        let hub = network.areas;
        if node == hub {
            for (area, tie) in ties.iter().enumerate() {
                if can_inject(tie) && self.potential[area] == self.potential[hub] {
                    call(self, Step::Inject(area), area);
                }
            }
            return;
        }
        for &hop in network.hops(node) {
            if self.is_free(flows, node, hop) {
                call(self, Step::Line(hop), hop.other);
            }
        }
        if can_withdraw(&ties[node]) && self.potential[node] == self.potential[hub] {
            call(self, Step::Withdraw(node), hub);
        }
    }

    fn is_free(&self, flows: &Flows, area: usize, hop: Hop) -> bool {
        flows.open[hop.line]
            && flows.room_out(hop) > 0
            && self.potential[hop.other] == self.potential[area] + cost(flows, hop)
    }

    /// Takes the least accepted lots by area id, then the least flows by line id. Each can fall by
    /// one lot at most: Σ A²/O and Σ flow² are strictly convex.
    fn choose(&mut self, network: &Network, flows: &mut Flows, ties: &mut [Tie]) {
        let hub = network.areas;
        for &area in &network.areas_by_id {
            if ties[area].less && self.potential[area] == self.potential[hub] {
                if ties[area].sells {
                    self.go_round(network, flows, ties, Step::Withdraw(area), area, hub);
                } else {
                    self.go_round(network, flows, ties, Step::Inject(area), hub, area);
                }
            }
            ties[area].less = false;
            ties[area].more = false;
        }
        for &line in &network.lines_by_id {
            let (from, to) = (network.from[line], network.to[line]);
            let back = Hop { line, other: from, leaves: false };
            if self.is_free(flows, to, back) {
                self.go_round(network, flows, ties, Step::Line(back), to, from);
            }
            flows.open[line] = false;
        }
    }

    /// Takes a step if free steps lead back from its head to its tail.
    fn go_round(
        &mut self,
        network: &Network,
        flows: &mut Flows,
        ties: &mut [Tie],
        first: Step,
        tail_of: usize,
        head_of: usize,
    ) {
        self.rounds += 1;
        self.via.fill(None);
        self.queue.clear();
        self.queue.push(head_of);
        let mut next = 0;
        while let Some(&node) = self.queue.get(next) {
            next += 1;
            self.each_free(network, flows, ties, node, |this, step, head| {
                if head != head_of && this.via[head].is_none() {
                    this.via[head] = Some(step);
                    this.queue.push(head);
                }
            });
        }
        if self.via[tail_of].is_none() {
            return;
        }
        take(flows, ties, first, 1);
        let mut node = tail_of;
        while let Some(step) = self.via[node] {
            take(flows, ties, step, 1);
            node = tail(network, step);
        }
    }
}

/// The area that sees this hop.
fn near_end(network: &Network, hop: Hop) -> usize {
    if hop.leaves { network.from[hop.line] } else { network.to[hop.line] }
}

/// The node that a step leaves.
fn tail(network: &Network, step: Step) -> usize {
    match step {
        Step::Line(hop) => near_end(network, hop),
        Step::Inject(_) => network.areas,
        Step::Withdraw(area) => area,
    }
}

/// The flow in the direction of a hop.
fn directed(flows: &Flows, hop: Hop) -> i64 {
    if hop.leaves { flows.flow[hop.line] } else { -flows.flow[hop.line] }
}

/// What one more lot along a hop adds to Σ flow².
fn cost(flows: &Flows, hop: Hop) -> i64 {
    2 * directed(flows, hop) + 1
}

fn can_inject(tie: &Tie) -> bool {
    if tie.sells { tie.more } else { tie.less }
}

fn can_withdraw(tie: &Tie) -> bool {
    if tie.sells { tie.less } else { tie.more }
}

fn take(flows: &mut Flows, ties: &mut [Tie], step: Step, lots: i64) {
    let (area, sells) = match step {
        Step::Line(hop) => {
            flows.send(hop, lots);
            return;
        }
        Step::Inject(area) => (area, ties[area].sells),
        Step::Withdraw(area) => (area, !ties[area].sells),
    };
    let tie = &mut ties[area];
    tie.lots += if sells { lots } else { -lots };
    (tie.less, tie.more) = (sells, !sells);
}

/// The whole number nearest to `sum / length`, the one nearer to 0 if two are.
fn nearest(sum: i64, length: i64) -> i64 {
    let (whole, rest) = (sum / length, sum % length);
    if 2 * rest.abs() > length { whole + rest.signum() } else { whole }
}
