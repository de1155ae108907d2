//! Areas and lines as a graph, and the greatest transfer between areas with something to give and
//! areas with something to take.

use crate::auction::Frame;
use alloc::vec;
use alloc::vec::Vec;

/// One end of a line as an area sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    /// Line index.
    pub(super) line: usize,
    /// Area at the other end.
    pub(super) other: usize,
    /// True at the line's `from` end.
    pub(super) leaves: bool,
}

/// The topology of an auction; the same in every period.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) areas: usize,
    pub(super) lines: usize,
    pub(super) from: Vec<usize>,
    pub(super) to: Vec<usize>,
    hops: Vec<Hop>,
    hops_start: Vec<usize>,
    /// Areas by id.
    pub(super) areas_by_id: Vec<usize>,
    /// Lines by id.
    pub(super) lines_by_id: Vec<usize>,
}

impl Network {
    pub(super) fn new(frame: &Frame) -> Self {
        let areas = frame.areas.len();
        let lines = frame.lines.len();
        let from: Vec<usize> = frame.lines.iter().map(|line| usize::from(line.from)).collect();
        let to: Vec<usize> = frame.lines.iter().map(|line| usize::from(line.to)).collect();
        let mut lines_by_id: Vec<usize> = (0..lines).collect();
        lines_by_id.sort_by(|&a, &b| frame.lines[a].id.as_bytes().cmp(frame.lines[b].id.as_bytes()));
        let mut areas_by_id: Vec<usize> = (0..areas).collect();
        areas_by_id.sort_by(|&a, &b| frame.areas[a].as_bytes().cmp(frame.areas[b].as_bytes()));
        let mut hops = Vec::with_capacity(2 * lines);
        let mut hops_start = vec![0];
        for area in 0..areas {
            for line in 0..lines {
                if from[line] == area {
                    hops.push(Hop { line, other: to[line], leaves: true });
                }
                if to[line] == area {
                    hops.push(Hop { line, other: from[line], leaves: false });
                }
            }
            hops_start.push(hops.len());
        }
        Self { areas, lines, from, to, hops, hops_start, areas_by_id, lines_by_id }
    }

    /// The line ends at an area.
    pub(super) fn hops(&self, area: usize) -> &[Hop] {
        &self.hops[self.hops_start[area]..self.hops_start[area + 1]]
    }
}

/// Flows of one period within their capacities.
#[derive(Clone, Debug, Default)]
pub(super) struct Flows {
    /// Lots, `from` → `to` positive.
    pub(super) flow: Vec<i64>,
    pub(super) capacity: Vec<i64>,
    pub(super) capacity_back: Vec<i64>,
    /// Lines whose flow may still change.
    pub(super) open: Vec<bool>,
}

impl Flows {
    /// Takes the capacities of a period; all flows are 0 and all lines closed.
    pub(super) fn load(&mut self, frame: &Frame, period: usize) {
        self.capacity.clear();
        self.capacity.extend(frame.lines.iter().map(|line| line.capacity[period]));
        self.capacity_back.clear();
        self.capacity_back.extend(frame.lines.iter().map(|line| line.capacity_back[period]));
        self.flow.clear();
        self.flow.resize(frame.lines.len(), 0);
        self.open.clear();
        self.open.resize(frame.lines.len(), false);
    }

    /// Lots that can still be sent out of the area that sees this hop.
    pub(super) fn room_out(&self, hop: Hop) -> i64 {
        let line = hop.line;
        if hop.leaves {
            self.capacity[line] - self.flow[line]
        } else {
            self.flow[line] + self.capacity_back[line]
        }
    }

    /// Lots that can still be brought into the area that sees this hop.
    pub(super) fn room_in(&self, hop: Hop) -> i64 {
        self.room_out(Hop { leaves: !hop.leaves, ..hop })
    }

    /// Sends lots out of the area that sees this hop.
    pub(super) fn send(&mut self, hop: Hop, lots: i64) {
        self.flow[hop.line] += if hop.leaves { lots } else { -lots };
    }
}

/// Scratch for walks through the graph.
#[derive(Clone, Debug, Default)]
pub(super) struct Router {
    /// The walk in which an area was seen last.
    seen: Vec<u64>,
    walk: u64,
    /// The hop by which the walk leaves an area towards a taker.
    next: Vec<Option<Hop>>,
    queue: Vec<usize>,
    /// Walks made so far: the unit of work.
    pub(super) walks: u64,
}

impl Router {
    pub(super) fn load(&mut self, network: &Network) {
        self.seen.clear();
        self.seen.resize(network.areas, 0);
        self.next.clear();
        self.next.resize(network.areas, None);
        self.walk = 0;
    }

    /// Moves as many lots as open lines let through from areas with `give` to areas with `take`,
    /// counting both down. Only `members` and what open lines join them to take part. Afterwards
    /// [`Self::reaches_taker`] tells one side of a least cut.
    pub(super) fn transfer(
        &mut self,
        network: &Network,
        flows: &mut Flows,
        members: &[usize],
        give: &mut [i64],
        take: &mut [i64],
    ) {
        for &area in members {
            let lots = give[area].min(take[area]);
            if lots > 0 {
                give[area] -= lots;
                take[area] -= lots;
            }
        }
        while let Some(giver) = self.walk_back(network, flows, members, give, take) {
            let mut lots = give[giver];
            let mut area = giver;
            while let Some(hop) = self.next[area] {
                lots = lots.min(flows.room_out(hop));
                area = hop.other;
            }
            lots = lots.min(take[area]);
            give[giver] -= lots;
            take[area] -= lots;
            area = giver;
            while let Some(hop) = self.next[area] {
                flows.send(hop, lots);
                area = hop.other;
            }
        }
    }

    /// True if lots could still flow from `area` to an area that takes, after [`Self::transfer`].
    pub(super) fn reaches_taker(&self, area: usize) -> bool {
        self.seen[area] == self.walk
    }

    /// Walks from the takers against the flow until it meets a giver.
    fn walk_back(
        &mut self,
        network: &Network,
        flows: &Flows,
        members: &[usize],
        give: &[i64],
        take: &[i64],
    ) -> Option<usize> {
        self.walk += 1;
        self.walks += 1;
        self.queue.clear();
        for &area in members {
            if take[area] > 0 {
                self.seen[area] = self.walk;
                self.next[area] = None;
                self.queue.push(area);
            }
        }
        let mut head = 0;
        while let Some(&area) = self.queue.get(head) {
            head += 1;
            for &hop in network.hops(area) {
                if self.seen[hop.other] == self.walk || !flows.open[hop.line] || flows.room_in(hop) == 0 {
                    continue;
                }
                self.seen[hop.other] = self.walk;
                self.next[hop.other] = Some(Hop { line: hop.line, other: area, leaves: !hop.leaves });
                if give[hop.other] > 0 {
                    return Some(hop.other);
                }
                self.queue.push(hop.other);
            }
        }
        None
    }
}
