//! The merit order of one area and period: lots wanted and offered at each price, always sorted.
//!
//! Kept current order by order, so that clearing finds the curves built when the gate closes. Levels
//! stand in short sorted chunks: an insert moves at most one chunk, a walk reads memory in order.

use alloc::vec::Vec;

/// Levels in a chunk before it is split in two.
const CHUNK_MAX: usize = 128;

/// What the step orders of one area and period want and offer at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Price, ticks.
    pub price: i64,
    /// Lots wanted at this limit price.
    pub buy: i64,
    /// Lots offered at this limit price.
    pub sell: i64,
}

/// Levels by price, none of them empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Levels {
    chunks: Vec<Vec<Level>>,
}

impl Levels {
    /// Adds lots (negative: takes them out) at a price.
    pub(crate) fn add(&mut self, price: i64, buy: i64, sell: i64) {
        let after = self.chunks.partition_point(|chunk| chunk.last().is_some_and(|it| it.price < price));
        let at = after.min(self.chunks.len().saturating_sub(1));
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(alloc::vec![Level { price, buy, sell }]);
            return;
        };
        let position = chunk.partition_point(|it| it.price < price);
        match chunk.get_mut(position) {
            Some(level) if level.price == price => {
                level.buy += buy;
                level.sell += sell;
                if level.buy == 0 && level.sell == 0 {
                    chunk.remove(position);
                    if chunk.is_empty() {
                        self.chunks.remove(at);
                    }
                }
            }
            Some(_) | None => {
                chunk.insert(position, Level { price, buy, sell });
                if chunk.len() > CHUNK_MAX {
                    let upper = chunk.split_off(CHUNK_MAX / 2);
                    self.chunks.insert(at + 1, upper);
                }
            }
        }
    }

    /// Every level, cheapest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Level> {
        self.chunks.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::{Level, Levels};
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    #[test]
    fn levels_agree_with_a_plain_map_through_inserts_and_removals() {
        let mut levels = Levels::default();
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
            levels.add(price, buy, sell);
            let entry = plain.entry(price).or_default();
            *entry = (entry.0 + buy, entry.1 + sell);
            if *entry == (0, 0) {
                plain.remove(&price);
            }
        }
        let expected: Vec<Level> =
            plain.iter().map(|(&price, &(buy, sell))| Level { price, buy, sell }).collect();
        assert_eq!(levels.iter().copied().collect::<Vec<_>>(), expected);
    }
}
