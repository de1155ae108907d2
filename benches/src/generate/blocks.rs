//! Block orders around the prices that the curves alone would have.

use super::{Auction, CAP, Family, PRICE_UNIT};
use crate::chance::{Chance, exp, sin, whole};
use merit_engine::auction::{BlockHandle, BlockOrder, Frame, Side};
use merit_engine::clearing::{Clearing, Progress};

/// Published prices of the curves alone, ticks, index `period × areas + area`.
pub(super) fn prices_of(auction: &Auction) -> Vec<i64> {
    let book = auction.book();
    let mut clearing = Clearing::start(&book);
    while clearing.advance(&book, u64::MAX) != Progress::Done {}
    clearing.into_outcome().expect("curves alone always clear").prices
}

/// How the blocks of a family are made.
struct Style {
    /// Median and greatest lots.
    median: f64,
    most: f64,
    /// Spread of prices around the area price: of single blocks, of families.
    spread: f64,
    spread_linked: f64,
    /// Shares of draws that give a single block and a linked family; the others give a group.
    lone: f64,
    linked: f64,
}

impl Style {
    const fn of(family: Family) -> Self {
        match family {
            Family::Liquid => Self {
                median: 100.0,
                most: 1_000.0,
                spread: 0.07,
                spread_linked: 0.05,
                lone: 0.75,
                linked: 0.13,
            },
            Family::Lumpy => Self {
                median: 400.0,
                most: 4_000.0,
                spread: 0.03,
                spread_linked: 0.021,
                lone: 0.55,
                linked: 0.22,
            },
        }
    }
}

/// What is fixed about a block before it is drawn.
#[derive(Clone, Copy, Default)]
struct Given {
    side: Option<Side>,
    area: Option<u16>,
    lots: Option<f64>,
    /// Limit price above the area price, as a share of it.
    above: Option<f64>,
    all_or_none: bool,
}

/// Lengths of blocks in a day of so many periods.
pub(super) fn spans(periods: u16) -> Vec<u16> {
    let usual: &[u16] = match periods {
        24 => &[4, 6, 8, 12, 24],
        2 => &[2],
        _ => &[4, 8, 12, 16, 24, 32, 48, 96],
    };
    let mut spans: Vec<u16> = usual.iter().copied().filter(|&it| it <= periods).collect();
    if spans.is_empty() {
        spans.push(periods);
    }
    spans
}

/// A run of periods: first and length. Those of quarter hours start on the hour.
pub(super) fn run(chance: &mut Chance, periods: u16) -> (u16, u16) {
    let spans = spans(periods);
    let span = spans[chance.index(spans.len())];
    let step = if periods >= 96 { 4 } else { 1 };
    let start = chance.below(i64::from((periods - span) / step + 1));
    (u16::try_from(start).expect("within the day") * step, span)
}

/// The mean area price of some lots by period.
pub(super) fn mean_price(prices: &[i64], frame: &Frame, area: u16, quantity: &[(u16, i64)]) -> f64 {
    let areas = frame.areas.len();
    let (mut value, mut lots) = (0.0, 0.0);
    for &(period, count) in quantity {
        let price = prices[usize::from(period) * areas + usize::from(area)];
        value += float(price) * float(count);
        lots += float(count);
    }
    value / lots / float(PRICE_UNIT)
}

pub(super) fn float(value: i64) -> f64 {
    f64::from(i32::try_from(value).expect("prices and lots of generated auctions are small"))
}

/// A price on tens within the bounds, ticks.
pub(super) fn on_tens(price: f64) -> i64 {
    (whole(price / 10.0) * 10).clamp(0, CAP) * PRICE_UNIT
}

struct Maker<'a> {
    chance: &'a mut Chance,
    style: Style,
    frame: &'a Frame,
    prices: &'a [i64],
    blocks: Vec<(String, BlockOrder)>,
    count: usize,
}

/// `count` block orders.
pub(super) fn blocks(
    chance: &mut Chance,
    family: Family,
    frame: &Frame,
    prices: &[i64],
    count: usize,
) -> Vec<(String, BlockOrder)> {
    let mut maker = Maker { chance, style: Style::of(family), frame, prices, blocks: Vec::new(), count };
    let mut groups = 0;
    while maker.left() > 0 {
        let draw = maker.chance.between(0.0, 1.0);
        if draw < maker.style.lone || maker.left() < 4 {
            let block = maker.block(Given::default());
            maker.push(block);
        } else if draw < maker.style.lone + maker.style.linked {
            maker.family();
        } else {
            maker.group(groups);
            groups += 1;
        }
    }
    maker.blocks
}

impl Maker<'_> {
    fn left(&self) -> usize {
        self.count - self.blocks.len()
    }

    fn push(&mut self, block: BlockOrder) -> BlockHandle {
        let number = u32::try_from(self.blocks.len()).expect("few blocks");
        self.blocks.push((format!("b{number:06}"), block));
        BlockHandle(number)
    }

    fn area(&mut self) -> u16 {
        u16::try_from(self.chance.index(self.frame.areas.len())).expect("few areas")
    }

    fn side(&mut self, sells: f64) -> Side {
        if self.chance.between(0.0, 1.0) < sells { Side::Sell } else { Side::Buy }
    }

    fn block(&mut self, given: Given) -> BlockOrder {
        let area = given.area.unwrap_or_else(|| self.area());
        let side = given.side.unwrap_or_else(|| self.side(0.55));
        let (start, span) = run(self.chance, self.frame.periods);
        let lots = given.lots.unwrap_or_else(|| {
            (self.style.median * exp(0.8 * self.chance.normal())).clamp(10.0, self.style.most)
        });
        let wave = (self.chance.below(2) == 0)
            .then(|| (self.chance.between(0.5, 2.0), self.chance.between(0.0, 6.0)));
        let quantity: Vec<(u16, i64)> = (0..span)
            .map(|at| {
                let part = f64::from(at) / f64::from(span.max(2));
                let level = wave.map_or(1.0, |(turns, shift)| {
                    1.0 + 0.3 * sin(part * core::f64::consts::PI * turns + shift)
                });
                (start + at, whole(lots * level).max(1))
            })
            .collect();
        let above = given.above.unwrap_or_else(|| self.style.spread * self.chance.normal());
        let price = on_tens(mean_price(self.prices, self.frame, area, &quantity) * (1.0 + above));
        let whole_only = given.all_or_none || self.chance.between(0.0, 1.0) < 0.6;
        let ratio_min = if whole_only { 1_000_000 } else { 500_000 };
        BlockOrder { area, side, price, quantity, ratio_min, parent: None, group: None }
    }

    /// A parent out of the money and one to four children in the money below it.
    fn family(&mut self) {
        let area = self.area();
        let side = self.side(0.7);
        let sign = float(side.sign());
        let spread = self.style.spread_linked;
        let given = Given { side: Some(side), area: Some(area), ..Given::default() };
        let above = sign * (0.01 + spread * self.chance.normal()).abs();
        let parent = self.block(Given { above: Some(above), ..given });
        let lots = float(parent.quantity.first().map_or(1, |it| it.1));
        let mut family = vec![self.push(parent)];
        let children = (1 + self.chance.index(4)).min(self.left());
        for _ in 0..children {
            let above = -sign * (0.01 + spread * self.chance.normal());
            let lots = lots * self.chance.between(0.3, 1.0);
            let mut child = self.block(Given { above: Some(above), lots: Some(lots), ..given });
            child.parent = Some(family[self.chance.index(family.len())]);
            let child = self.push(child);
            family.push(child);
        }
    }

    /// Alternatives of one plant, at most one of which runs.
    fn group(&mut self, group: u32) {
        let area = self.area();
        let side = self.side(0.7);
        let lots = (1.5 * self.style.median * exp(0.7 * self.chance.normal())).clamp(10.0, self.style.most);
        let members = (3 + self.chance.index(8)).min(self.left());
        for _ in 0..members {
            let given = Given {
                side: Some(side),
                area: Some(area),
                lots: Some(lots),
                all_or_none: true,
                ..Given::default()
            };
            let mut block = self.block(given);
            block.group = Some(group);
            self.push(block);
        }
    }
}
