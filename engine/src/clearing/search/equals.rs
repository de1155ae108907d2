//! Decisions of equal welfare: of those that the search found, the one that the rules put first.
//!
//! The greater volume comes first, then fewer paradoxically rejected blocks, then the least list of accepted
//! ids, then the greater ratios. Volume is what is bought at the published prices once as much is traded
//! there as the lines carry, so it takes a pricing and a flow for every period: decisions are only kept
//! while the search runs and compared at its end, in steps.

use super::super::curves::Curves;
use super::exact::{Best, Exact};
use super::market::Desk;
use super::model::{Order, WHOLE};
use super::relax::Scene;
use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};

/// Decisions of equal welfare that are kept beside the best.
pub(super) const KEPT: usize = 16;

/// What decides between equal welfare.
#[derive(Debug, PartialEq, Eq)]
struct Merits<'book> {
    volume: i128,
    rejected: usize,
    /// Ids and ratios of what is accepted, by id.
    ids: Vec<&'book str>,
    ratios: Vec<i64>,
}

impl Merits<'_> {
    fn compare(&self, other: &Self) -> Ordering {
        Reverse(self.volume)
            .cmp(&Reverse(other.volume))
            .then(self.rejected.cmp(&other.rejected))
            .then_with(|| self.ids.cmp(&other.ids))
            .then_with(|| other.ratios.cmp(&self.ratios))
    }
}

/// Periods whose volume is read in one go.
const READ_AT_ONCE: usize = 8;

/// The comparison of the best with its equals, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Comparing {
    /// Volume of the best, once it is read: then the last of the equals is.
    best: Option<i128>,
    /// What is being read is set; its volume in the periods before this one.
    set: bool,
    period: usize,
    volume: i128,
}

impl Comparing {
    /// One step; true when no equal is left.
    pub(super) fn step(&mut self, scene: Scene<'_>, desk: &mut Desk, exact: &mut Exact) -> bool {
        let of = if self.best.is_some() { exact.equals.last() } else { exact.best.as_ref() };
        let Some(of) = of.filter(|_| !exact.equals.is_empty()).cloned() else { return true };
        if !self.set {
            exact.close_accounts();
            exact.assign(scene, &of.levels);
            (self.set, self.period, self.volume) = (true, 0, bought(scene, &of));
            return false;
        }
        if !exact.market.refresh_some(scene.book, scene.grid, desk) {
            return false;
        }
        for _ in 0..READ_AT_ONCE {
            if self.period < scene.model.periods {
                self.volume += traded(scene, desk, exact, self.period, &of.prices);
                self.period += 1;
            }
        }
        if self.period < scene.model.periods {
            return false;
        }
        self.set = false;
        let Some(volume) = self.best else {
            self.best = Some(self.volume);
            return false;
        };
        if let Some(best) = &exact.best
            && merits(scene, &of, self.volume).compare(&merits(scene, best, volume)) == Ordering::Less
        {
            exact.best = Some(of);
            self.best = Some(self.volume);
        }
        exact.equals.pop();
        exact.equals.is_empty()
    }
}

/// Lots that accepted blocks and the minimum quantities of active complex orders buy.
fn bought(scene: Scene<'_>, of: &Best) -> i128 {
    let model = scene.model;
    let lots = |item: usize, lots: i64| i128::from(lots * of.levels[item] / WHOLE);
    let of_item = |item: usize| model.parts(item).iter().map(|it| lots(item, it.lots)).sum::<i128>();
    (0..model.items.len()).filter(|&item| model.items[item].sign < 0).map(of_item).sum()
}

fn merits<'book>(scene: Scene<'book>, of: &Best, volume: i128) -> Merits<'book> {
    let Scene { book, model, .. } = scene;
    let mut accepted: Vec<(&str, i64)> = Vec::new();
    for (item, entry) in model.items.iter().enumerate().filter(|it| of.levels[it.0] > 0) {
        let id = match entry.order {
            Order::Block(handle) => book.block_id(handle),
            Order::Complex(handle) => book.complex_id(handle),
        };
        accepted.push((id.unwrap_or(""), of.levels[item]));
    }
    accepted.sort_unstable();
    Merits {
        volume,
        rejected: (0..model.items.len()).filter(|&item| is_paradoxical(scene, of, item)).count(),
        ids: accepted.iter().map(|it| it.0).collect(),
        ratios: accepted.iter().map(|it| it.1).collect(),
    }
}

/// True if a rejected block would have earned and nothing of its own stood in its way.
fn is_paradoxical(scene: Scene<'_>, of: &Best, item: usize) -> bool {
    let (model, entry) = (scene.model, &scene.model.items[item]);
    let room = |group: usize| model.groups[group].iter().map(|&it| of.levels[it]).sum::<i64>() < WHOLE;
    of.levels[item] == 0
        && !model.is_complex(item)
        && entry.parent.is_none_or(|parent| of.levels[parent] > 0)
        && entry.group.is_none_or(room)
        && model.surplus(item, &of.prices).surplus > 0
}

/// The most lots that curves and steps of complex orders buy in a period at published prices.
fn traded(scene: Scene<'_>, desk: &mut Desk, exact: &Exact, period: usize, prices: &[i64]) -> i128 {
    let Scene { book, grid, model } = scene;
    let first = period * model.areas;
    let curves = Curves::load(book, u16::try_from(period).expect("limits::PERIODS_MAX fits"), None);
    let net = exact.market.net(grid, desk, period);
    let (mut give, mut take) = (Vec::with_capacity(model.areas), Vec::with_capacity(model.areas));
    let mut bought = 0;
    for (area, net) in net.into_iter().enumerate() {
        let (cell, price) = (first + area, prices[first + area]);
        let mut stand = curves.stand(area, price);
        for (item, step, lots) in exact.market.active_steps(grid, cell) {
            let sells = model.items[item].sign > 0;
            match (sells, if sells { step.cmp(&price) } else { price.cmp(&step) }) {
                (true, Ordering::Less) => stand.sold += lots,
                (true, Ordering::Equal) => stand.sold_tied += lots,
                (false, Ordering::Less) => stand.bought += lots,
                (false, Ordering::Equal) => stand.bought_tied += lots,
                (_, Ordering::Greater) => {}
            }
        }
        // Tied sells less tied buys, as the flow has it; as many of both as there are.
        let balance = net - exact.market.injected(cell) - (stand.sold - stand.bought);
        let both = stand.bought_tied.min(stand.sold_tied - balance);
        give.push(stand.sold_tied - (both + balance));
        take.push(stand.bought_tied - both);
        bought += i128::from(stand.bought + stand.bought_tied);
    }
    exact.market.transfer(book, grid, desk, period, prices, (&mut give, &mut take));
    bought - take.iter().map(|&lots| i128::from(lots)).sum::<i128>()
}

#[cfg(test)]
mod tests {
    use super::super::setup::Setup;
    use super::super::tree::Search;
    use super::*;
    use crate::auction::{BlockOrder, CurveOrder, Frame, Point, Shape, Side};
    use crate::book::AuctionBook;
    use crate::clearing::Limit;
    use alloc::string::ToString;
    use alloc::vec;

    /// Ten lots change hands at 8 to 12 without blocks.
    fn book(blocks: &[(&str, Side, i64, Option<u32>)]) -> AuctionBook {
        let mut book = AuctionBook::new(Frame {
            price_min: 0,
            price_max: 20,
            periods: 1,
            areas: vec!["A".to_string()],
            lines: Vec::new(),
            welfare_scale: 1,
        });
        for (id, side, price) in [("buy", Side::Buy, 12), ("sell", Side::Sell, 8)] {
            let points = vec![Point { price, quantity: 10 }];
            let order = CurveOrder { area: 0, period: 0, shape: Shape::Step(side), points };
            book.insert_curve(id, order);
        }
        for &(id, side, price, group) in blocks {
            let quantity = vec![(0, 4)];
            let order =
                BlockOrder { area: 0, side, price, quantity, ratio_min: 500_000, parent: None, group };
            book.insert_block(id, order);
        }
        book
    }

    /// What is left of decisions of equal welfare, whichever came first.
    fn first(book: &AuctionBook, found: &[Vec<i64>]) -> Vec<i64> {
        let mut left = Vec::new();
        for turned in 0..found.len() {
            let mut setup = Setup::new(book, Limit::default());
            let search = core::iter::repeat_with(|| setup.step(book)).find_map(|it| it).unwrap();
            let Search { model, grid, mut desk, mut exact, .. } = search;
            let scene = Scene { book, grid: &grid, model: &model };
            for at in 0..found.len() {
                exact.assign(scene, &found[(at + turned) % found.len()]);
                while exact.judge(scene, &mut desk, 100).is_pending() {}
            }
            assert_eq!(exact.equals.len() + 1, found.len(), "all are legal and equally good");
            let mut comparing = Comparing::default();
            while !comparing.step(scene, &mut desk, &mut exact) {}
            left.push(exact.best.unwrap().levels);
        }
        assert!(left.iter().all(|it| *it == left[0]), "the order of finding decides nothing");
        left.swap_remove(0)
    }

    #[test]
    fn the_greater_volume_comes_first() {
        let book = book(&[("s", Side::Sell, 10, None), ("b", Side::Buy, 10, None)]);
        let half = vec![WHOLE / 2, WHOLE / 2];
        assert_eq!(first(&book, &[vec![0, 0], half, vec![WHOLE, WHOLE]]), vec![WHOLE, WHOLE]);
    }

    #[test]
    fn the_least_ids_come_first_and_then_the_greater_ratios() {
        let book = book(&[("b", Side::Sell, 8, Some(0)), ("a", Side::Sell, 8, Some(0))]);
        let (a, b) = (vec![0, WHOLE], vec![WHOLE, 0]);
        assert_eq!(first(&book, &[b, a.clone(), vec![0, WHOLE / 2]]), a);
    }

    #[test]
    fn what_would_have_earned_is_better_accepted() {
        // Without a block the price is 10, and both would have earned.
        let book = book(&[("b", Side::Sell, 8, Some(0)), ("a", Side::Sell, 8, Some(0))]);
        assert_eq!(first(&book, &[vec![0, 0], vec![WHOLE, 0]]), vec![WHOLE, 0]);
    }
}
