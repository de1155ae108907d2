//! Least Σ flow² by scaling: for networks on which improving loops one by one takes too long.
//!
//! Flows move in steps of Δ lots, Δ halving down to 1. In each phase every line whose cost falls by a
//! step takes it, whatever that does to the balance of areas; then lots are carried from areas with
//! too many to areas with too few along cheapest ways. A phase starts within a step of its optimum,
//! so it makes at most a few steps per line: the work grows with the logarithm of quantities.

use super::network::{Flows, Hop, Network};
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Scratch of one descent.
#[derive(Clone, Debug, Default)]
pub(super) struct Scaling {
    /// Lots too many (positive) or too few in an area.
    excess: Vec<i64>,
    distance: Vec<i64>,
    /// The hop over which an area was reached, as seen at its near end.
    via: Vec<Option<Hop>>,
    settled: Vec<bool>,
    touched: Vec<usize>,
    heap: BinaryHeap<Reverse<(i64, usize)>>,
    /// Searches made so far: the unit of work.
    pub(super) searches: u64,
}

/// Flow in the direction of a hop.
fn directed(flows: &Flows, hop: Hop) -> i64 {
    if hop.leaves { flows.flow[hop.line] } else { -flows.flow[hop.line] }
}

/// What one step along a hop costs per lot, beside the potentials of its ends.
fn reduced(flows: &Flows, potential: &[i64], area: usize, hop: Hop, step: i64) -> i64 {
    2 * directed(flows, hop) + step + potential[area] - potential[hop.other]
}

impl Scaling {
    /// Brings the flows on open lines to least Σ flow², all areas balanced as before. `potential`
    /// holds one guess per area; the better it is, the smaller the first step.
    pub(super) fn descend(&mut self, network: &Network, flows: &mut Flows, potential: &mut [i64]) {
        self.excess.clear();
        self.excess.resize(network.areas, 0);
        let mut step = self.first_step(network, flows, potential);
        while step >= 1 {
            self.improve(network, flows, potential, step);
            for area in 0..network.areas {
                while self.excess[area] >= step && self.carry(network, flows, potential, area, step) {}
            }
            step /= 2;
        }
        assert!(self.excess.iter().all(|&lots| lots == 0), "what left the balance can come back");
    }

    fn first_step(&self, network: &Network, flows: &Flows, potential: &[i64]) -> i64 {
        let mut most = 1;
        for area in 0..network.areas {
            for &hop in network.hops(area) {
                if flows.open[hop.line] {
                    let wish = -reduced(flows, potential, area, hop, 1) / 2;
                    most = most.max(wish.min(flows.room_out(hop)));
                }
            }
        }
        1 << (63 - most.leading_zeros())
    }

    /// Takes every step that lowers the cost of its own line.
    fn improve(&mut self, network: &Network, flows: &mut Flows, potential: &[i64], step: i64) {
        for area in 0..network.areas {
            for &hop in network.hops(area) {
                let room = flows.room_out(hop) / step * step;
                let cost = reduced(flows, potential, area, hop, step);
                if flows.open[hop.line] && room > 0 && cost < 0 {
                    let steps = (-cost + 2 * step - 1) / (2 * step);
                    let lots = (steps * step).min(room);
                    flows.send(hop, lots);
                    self.excess[area] -= lots;
                    self.excess[hop.other] += lots;
                }
            }
        }
    }

    /// Carries one step from `start` the cheapest way to an area with too few; false if there is no
    /// way wide enough.
    fn carry(
        &mut self,
        network: &Network,
        flows: &mut Flows,
        potential: &mut [i64],
        start: usize,
        step: i64,
    ) -> bool {
        self.searches += 1;
        self.distance.clear();
        self.distance.resize(network.areas, i64::MAX);
        self.via.clear();
        self.via.resize(network.areas, None);
        self.settled.clear();
        self.settled.resize(network.areas, false);
        self.touched.clear();
        self.heap.clear();
        self.distance[start] = 0;
        self.heap.push(Reverse((0, start)));
        while let Some(Reverse((distance, area))) = self.heap.pop() {
            if self.settled[area] {
                continue;
            }
            self.settled[area] = true;
            if self.excess[area] <= -step {
                self.arrive(network, flows, potential, (start, area), step);
                return true;
            }
            self.touched.push(area);
            for &hop in network.hops(area) {
                if !flows.open[hop.line] || self.settled[hop.other] || flows.room_out(hop) < step {
                    continue;
                }
                let reached = distance + reduced(flows, potential, area, hop, step);
                if reached < self.distance[hop.other] {
                    self.distance[hop.other] = reached;
                    self.via[hop.other] = Some(hop);
                    self.heap.push(Reverse((reached, hop.other)));
                }
            }
        }
        false
    }

    fn arrive(
        &mut self,
        network: &Network,
        flows: &mut Flows,
        potential: &mut [i64],
        (start, end): (usize, usize),
        step: i64,
    ) {
        let length = self.distance[end];
        for &area in &self.touched {
            potential[area] += self.distance[area] - length;
        }
        let mut area = end;
        while area != start {
            let Some(hop) = self.via[area] else { break };
            flows.send(hop, step);
            area = if hop.leaves { network.from[hop.line] } else { network.to[hop.line] };
        }
        self.excess[start] -= step;
        self.excess[end] += step;
    }
}
