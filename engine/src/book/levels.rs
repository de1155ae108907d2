//! The merit order of one area and period: lots wanted and offered up to each price.
//!
//! Kept current as orders come, so that clearing finds the curves built when the gate closes. Levels
//! stand in short sorted chunks with running sums. Arrivals wait, unsorted, until there are enough of
//! them to be worth a pass over the chunks they fall into; whoever reads takes both.

use alloc::vec::Vec;

/// Levels in a chunk before it is split in two.
const CHUNK_MAX: usize = 48;
/// Arrivals that wait before they are merged.
const ARRIVALS_MAX: usize = 32;

/// Lots of step orders that came in (negative: that were taken out) at a price.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Price, ticks.
    pub(crate) price: i64,
    /// Lots wanted.
    pub(crate) buy: i64,
    /// Lots offered.
    pub(crate) sell: i64,
}

/// A price at which somebody bids, with sums over its chunk up to and at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    /// Price, ticks.
    pub(crate) price: i64,
    /// Lots of both sides.
    pub(crate) lots: i64,
    /// Lots offered.
    pub(crate) sold: i64,
}

/// Some levels next to each other, at least one.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// The lowest price.
    pub(crate) first_price: i64,
    last_price: i64,
    /// Lots of both sides.
    pub(crate) lots: i64,
    /// Lots offered.
    pub(crate) sold: i64,
    /// Σ price × lots wanted.
    buy_value: i128,
    /// Σ price × lots offered.
    sell_value: i128,
    levels: Vec<Level>,
}

impl Chunk {
    fn empty() -> Self {
        Self {
            first_price: i64::MAX,
            last_price: i64::MIN,
            lots: 0,
            sold: 0,
            buy_value: 0,
            sell_value: 0,
            levels: Vec::new(),
        }
    }

    /// The levels, cheapest first.
    pub(crate) fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Σ price × lots of what is wanted above a price less what is offered below it.
    pub(crate) fn value_beside(&self, price: i64) -> i128 {
        if self.last_price < price {
            return -self.sell_value;
        }
        if self.first_price > price {
            return self.buy_value;
        }
        let mut value = 0;
        for arrival in single(&self.levels) {
            if arrival.price < price {
                value -= i128::from(arrival.price) * i128::from(arrival.sell);
            } else if arrival.price > price {
                value += i128::from(arrival.price) * i128::from(arrival.buy);
            }
        }
        value
    }

    /// Merges sorted arrivals in. `scratch` is overwritten.
    fn merge(&mut self, arrivals: &[Arrival], scratch: &mut Vec<Level>) {
        scratch.clear();
        let (mut lots, mut sold, mut falls) = (0, 0, false);
        let mut before = Level { price: i64::MIN, lots: 0, sold: 0 };
        let mut arrivals = arrivals.iter().peekable();
        for &level in &self.levels {
            while let Some(it) = arrivals.next_if(|it| it.price <= level.price) {
                lots += it.buy + it.sell;
                sold += it.sell;
                falls |= it.buy + it.sell <= 0;
                if it.price < level.price {
                    let sum = Level { price: it.price, lots: before.lots + lots, sold: before.sold + sold };
                    put(scratch, sum);
                }
            }
            scratch.push(Level { price: level.price, lots: level.lots + lots, sold: level.sold + sold });
            before = level;
        }
        for it in arrivals {
            lots += it.buy + it.sell;
            sold += it.sell;
            falls |= it.buy + it.sell <= 0;
            put(scratch, Level { price: it.price, lots: before.lots + lots, sold: before.sold + sold });
        }
        if falls {
            let mut before = 0;
            scratch.retain(|level| core::mem::replace(&mut before, level.lots) < level.lots);
        }
        core::mem::swap(&mut self.levels, scratch);
        self.first_price = self.levels.first().map_or(i64::MAX, |level| level.price);
        self.last_price = self.levels.last().map_or(i64::MIN, |level| level.price);
        (self.lots, self.sold) = self.levels.last().map_or((0, 0), |level| (level.lots, level.sold));
    }

    /// Splits the upper half off.
    fn split(&mut self, scratch: &mut Vec<Level>) -> Self {
        let all: Vec<Arrival> = single(&self.levels).collect();
        let (lower, upper) = all.split_at(all.len() / 2);
        *self = Self::empty();
        let mut above = Self::empty();
        for (chunk, arrivals) in [(self, lower), (&mut above, upper)] {
            chunk.value(arrivals);
            chunk.merge(arrivals, scratch);
        }
        above
    }

    fn value(&mut self, arrivals: &[Arrival]) {
        for it in arrivals {
            self.buy_value += i128::from(it.price) * i128::from(it.buy);
            self.sell_value += i128::from(it.price) * i128::from(it.sell);
        }
    }
}

/// Appends a level, or replaces the last one at the same price.
fn put(levels: &mut Vec<Level>, level: Level) {
    match levels.last_mut() {
        Some(last) if last.price == level.price => *last = level,
        Some(_) | None => levels.push(level),
    }
}

/// What stands at each level by itself.
fn single(levels: &[Level]) -> impl Iterator<Item = Arrival> {
    let mut before = (0, 0);
    levels.iter().map(move |level| {
        let sell = level.sold - before.1;
        let buy = level.lots - before.0 - sell;
        before = (level.lots, level.sold);
        Arrival { price: level.price, buy, sell }
    })
}

/// Levels by price, none of them empty, and what has arrived since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Levels {
    chunks: Vec<Chunk>,
    arrivals: Vec<Arrival>,
}

impl Levels {
    /// The sorted levels, cheapest chunk first.
    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// What has arrived since and is not in the chunks: at most a few dozen, in no order.
    pub(crate) fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }

    /// Adds lots (negative: takes them out) at a price. `scratch` is overwritten.
    pub(crate) fn add(&mut self, arrival: Arrival, scratch: &mut Vec<Level>) {
        self.arrivals.push(arrival);
        if self.arrivals.len() >= ARRIVALS_MAX {
            self.merge(scratch);
        }
    }

    fn merge(&mut self, scratch: &mut Vec<Level>) {
        self.arrivals.sort_unstable_by_key(|it| it.price);
        if self.chunks.is_empty() {
            self.chunks.push(Chunk::empty());
        }
        let mut arrivals = self.arrivals.as_slice();
        let mut at = 0;
        while !arrivals.is_empty() && at < self.chunks.len() {
            // Prices between two chunks go to the upper one, those above all to the last.
            let is_last = at + 1 == self.chunks.len();
            let chunk = &mut self.chunks[at];
            let last = chunk.last_price;
            let here = if is_last { arrivals.len() } else { arrivals.partition_point(|it| it.price <= last) };
            let (mine, rest) = arrivals.split_at(here);
            arrivals = rest;
            at += 1;
            if mine.is_empty() {
                continue;
            }
            chunk.value(mine);
            chunk.merge(mine, scratch);
            if chunk.levels.is_empty() {
                at -= 1;
                self.chunks.remove(at);
            } else if chunk.levels.len() > CHUNK_MAX {
                let upper = chunk.split(scratch);
                self.chunks.insert(at, upper);
                at += 1;
            }
        }
        self.arrivals.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrival, Levels, single};
    use alloc::collections::BTreeMap;

    #[test]
    fn levels_agree_with_a_plain_map_through_inserts_and_removals() {
        let mut levels = Levels::default();
        let mut scratch = alloc::vec::Vec::new();
        let mut plain: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
        for step in 0..20_000_u32 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let price = i64::try_from(state % 1_500).expect("small") - 700;
            let standing = plain.get(&price).copied();
            let (buy, sell) = match standing {
                Some((buy, sell)) if state % 5 < 3 || step > 15_000 => (-buy, -sell),
                Some(_) | None => (i64::try_from(state >> 60).expect("small"), 1),
            };
            levels.add(Arrival { price, buy, sell }, &mut scratch);
            let entry = plain.entry(price).or_default();
            *entry = (entry.0 + buy, entry.1 + sell);
            if *entry == (0, 0) {
                plain.remove(&price);
            }
            if step % 97 == 0 {
                compare(&levels, &plain);
            }
        }
    }

    fn compare(levels: &Levels, plain: &BTreeMap<i64, (i64, i64)>) {
        let mut found: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        let (mut last, mut value) = (i64::MIN, 0);
        for chunk in levels.chunks() {
            for it in single(chunk.levels()) {
                assert!(it.price > last && (it.buy, it.sell) != (0, 0));
                last = it.price;
                found.insert(it.price, (it.buy, it.sell));
            }
            value += chunk.value_beside(100);
        }
        for it in levels.arrivals() {
            let entry = found.entry(it.price).or_default();
            *entry = (entry.0 + it.buy, entry.1 + it.sell);
            value += match it.price {
                price if price < 100 => -i128::from(price * it.sell),
                100 => 0,
                price => i128::from(price * it.buy),
            };
        }
        found.retain(|_, lots| *lots != (0, 0));
        assert_eq!(&found, plain);
        let expected: i64 = plain
            .iter()
            .map(|(&price, &(buy, sell))| match price {
                price if price < 100 => -price * sell,
                100 => 0,
                price => price * buy,
            })
            .sum();
        assert_eq!(value, i128::from(expected));
    }
}
