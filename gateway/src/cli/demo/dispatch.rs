//! The grid dispatch centre of the demo: how much each line may carry.
//!
//! Mostly what the market's rules say a line carries. In some blocks the lines into the South carry
//! little more than half of what was asked for, so that areas part in price, as they do on some days.

use merit_client::v1;
use std::collections::BTreeMap;

/// Day-ahead blocks (from 1) in which the lines into the South are tight: before noon and late evening.
const TIGHT: [std::ops::RangeInclusive<u32>; 2] = [41..=48, 81..=88];
/// Share of the flow asked for that is left then, percent.
const LEFT_PERCENT: i64 = 55;
/// What a tight line carries in a real-time session, watts.
const LEFT_REAL_TIME_WATTS: i64 = 60 * 1_000_000;
/// A capacity is a multiple of it: 0.1 MW.
const GRAIN_WATTS: i64 = 100_000;

/// The lines of a market.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    lines: Vec<v1::LineRule>,
}

/// Capacities, and how many of them (line and period) are tight.
#[derive(Clone, Debug)]
pub(super) struct Margins {
    /// Every line in both directions.
    pub(super) capacities: Vec<v1::LineCapacity>,
    /// How many lines are tight in some period.
    pub(super) lines: usize,
    /// How many periods have tight lines.
    pub(super) periods: usize,
}

impl Grid {
    /// The grid as the market's rules have it.
    pub(super) fn new(rules: &v1::MarketRules) -> Self {
        Self { lines: rules.lines.clone() }
    }

    /// Whether a line joins the South to the rest.
    fn into_south(line: &v1::LineRule) -> bool {
        line.from.starts_with('S') != line.to.starts_with('S')
    }

    /// The answer to a corridor request.
    pub(super) fn answer(&self, request: &v1::CorridorRequest) -> Margins {
        let row = |it: &v1::CorridorRow| it.row.clone().unwrap_or_default();
        let flows: BTreeMap<(&str, u32), i64> =
            request.flows.iter().map(|it| ((it.line.as_str(), row(it).period), it.flow_watts)).collect();
        let blocks: BTreeMap<u32, u32> =
            request.flows.iter().map(row).map(|it| (it.period, it.block)).collect();
        self.margins(&blocks, |line, period, block| {
            let tight = TIGHT.iter().any(|it| it.contains(&block));
            let asked = flows.get(&(line, period)).copied().unwrap_or(0);
            tight.then(|| asked * LEFT_PERCENT / 100 / GRAIN_WATTS * GRAIN_WATTS)
        })
    }

    /// Capacities for a real-time session that begins with block `first` (from 1).
    pub(super) fn session(&self, first: u32, periods: u32) -> Margins {
        let blocks = (1..=periods).zip(first..).collect();
        self.margins(&blocks, |_, _, block| {
            TIGHT.iter().any(|it| it.contains(&block)).then_some(LEFT_REAL_TIME_WATTS)
        })
    }

    /// Standing capacities, and for lines into the South what `left` says is left, by period (and block).
    fn margins(&self, blocks: &BTreeMap<u32, u32>, left: impl Fn(&str, u32, u32) -> Option<i64>) -> Margins {
        let mut margins = Margins { capacities: Vec::new(), lines: 0, periods: 0 };
        for line in &self.lines {
            let limits: Vec<Option<i64>> = blocks
                .iter()
                .map(|(period, block)| {
                    Self::into_south(line).then(|| left(&line.line, *period, *block)).flatten()
                })
                .collect();
            let tight = limits.iter().flatten().count();
            margins.lines += usize::from(tight > 0);
            margins.periods = margins.periods.max(tight);
            for (direction, standing) in [
                (v1::Direction::Forward, line.capacity_watts),
                (v1::Direction::Backward, line.capacity_back_watts),
            ] {
                let capacity = limits.iter().map(|it| it.map_or(standing, |left| left.min(standing)));
                margins.capacities.push(v1::LineCapacity {
                    line: line.line.clone(),
                    direction: direction.into(),
                    capacity_watts: capacity.collect(),
                });
            }
        }
        margins
    }
}

#[cfg(test)]
mod tests {
    use super::Grid;
    use merit_client::v1;

    fn line(from: &str, to: &str) -> v1::LineRule {
        v1::LineRule {
            line: format!("{from}-{to}"),
            from: from.into(),
            to: to.into(),
            capacity_watts: 1_000_000_000,
            capacity_back_watts: 500_000_000,
        }
    }

    #[test]
    fn only_lines_into_the_south_are_tight_and_only_in_their_blocks() {
        let grid = Grid::new(&v1::MarketRules {
            lines: vec![line("W2", "S1"), line("S1", "S2")],
            ..Default::default()
        });
        let row = |block| v1::CorridorRow {
            row: Some(v1::TimeRow { period: block, block, ..Default::default() }),
            line: "W2-S1".into(),
            direction: v1::Direction::Forward.into(),
            flow_watts: 100_000_000,
        };
        let request = v1::CorridorRequest { flows: vec![row(40), row(41)], ..Default::default() };
        let margins = grid.answer(&request);
        let capacities: Vec<&[i64]> =
            margins.capacities.iter().map(|it| it.capacity_watts.as_slice()).collect();
        assert_eq!(capacities[0], [1_000_000_000, 55_000_000]);
        assert_eq!(capacities[1], [500_000_000, 55_000_000]);
        assert_eq!(capacities[2], [1_000_000_000, 1_000_000_000]);
        assert_eq!((margins.lines, margins.periods), (1, 1));
        assert_eq!(grid.session(81, 2).periods, 2);
        assert_eq!(grid.session(1, 2).periods, 0);
    }
}
