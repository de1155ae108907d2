//! The merit order of one area and period: lots wanted and offered up to each price.
//!
//! Kept current as orders come, so that clearing finds the curves built when the gate closes. Levels
//! stand in short sorted chunks with running sums, and each chunk knows what stands before it: whoever
//! asks for a price reads the first prices of the chunks and one chunk. Arrivals wait, sorted, until
//! there are enough of them to be worth a pass over the chunks; whoever reads takes both.
//!
//! A look-up takes as long as memory takes to answer, so often as one answer is needed to ask for the
//! next. So what is read together lies together: the starts of all chunks, and all of one chunk.

use crate::snapshot::keep_struct;
use alloc::vec::Vec;
use core::iter::{once, repeat};
use core::ops::{Add, AddAssign};

/// Levels in a chunk at most.
const CHUNK_MAX: usize = 32;
/// Levels that a part of a split chunk gets at most, so that it takes some more before the next split.
const PART_MAX: usize = 24;
/// Levels whose prices come from memory together, and those between which a chunk is searched first.
const STRIDE: usize = 8;
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

impl Arrival {
    const fn lots(&self) -> Lots {
        Lots { all: self.buy + self.sell, sold: self.sell }
    }

    fn value(&self) -> Value {
        let price = i128::from(self.price);
        Value { buy: price * i128::from(self.buy), sell: price * i128::from(self.sell) }
    }
}

/// Lots of some levels together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lots {
    /// Of both sides.
    pub(crate) all: i64,
    /// Offered.
    pub(crate) sold: i64,
}

impl Add for Lots {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { all: self.all + other.all, sold: self.sold + other.sold }
    }
}

impl AddAssign for Lots {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// Σ price × lots of some levels together.
#[derive(Clone, Copy, Debug, Default)]
struct Value {
    buy: i128,
    sell: i128,
}

impl AddAssign for Value {
    fn add_assign(&mut self, other: Self) {
        self.buy += other.buy;
        self.sell += other.sell;
    }
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

/// Some levels next to each other.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    /// Cheapest first; beyond the last level the highest number there is.
    prices: [i64; CHUNK_MAX],
    /// Lots of both sides in the chunk up to and at each price.
    all: [i64; CHUNK_MAX],
    /// Lots offered, likewise.
    sold: [i64; CHUNK_MAX],
}

impl Chunk {
    const EMPTY: Self = Self { prices: [i64::MAX; CHUNK_MAX], all: [0; CHUNK_MAX], sold: [0; CHUNK_MAX] };

    /// What stands at each of the first levels by itself.
    fn single(&self, len: usize) -> impl Iterator<Item = Arrival> {
        let mut before = Lots::default();
        self.levels(len).map(move |level| {
            let sell = level.sold - before.sold;
            let buy = level.lots - before.all - sell;
            before = Lots { all: level.lots, sold: level.sold };
            Arrival { price: level.price, buy, sell }
        })
    }

    fn levels(&self, len: usize) -> impl Iterator<Item = Level> {
        let sums = self.all.iter().zip(&self.sold);
        let levels = self.prices.iter().zip(sums).take(len);
        levels.map(|(&price, (&lots, &sold))| Level { price, lots, sold })
    }

    /// How many prices lie at or below a price.
    fn rank(&self, price: i64) -> usize {
        // Counted in two strides, so that no look-up waits for more than one other.
        let low = |at: usize| usize::from(self.prices[at] <= price);
        let start = STRIDE * (low(STRIDE - 1) + low(2 * STRIDE - 1) + low(3 * STRIDE - 1));
        start + self.prices[start..start + STRIDE].iter().map(|&it| usize::from(it <= price)).sum::<usize>()
    }

    /// Reads one in each line of 64 bytes of what a look-up may need.
    fn touch(&self) -> i64 {
        let each = [0, STRIDE, 2 * STRIDE, 3 * STRIDE];
        each.iter().fold(0, |sum: i64, &at| sum.wrapping_add(self.prices[at]).wrapping_add(self.all[at]))
    }
}

const _: () = assert!(CHUNK_MAX == 4 * STRIDE);

/// Where a chunk stands.
#[derive(Clone, Copy, Debug)]
struct Spot {
    slot: u32,
    len: u32,
}

/// What stands in the chunks before one, both sides together apart.
#[derive(Clone, Copy, Debug)]
struct Before {
    sold: i64,
    value: Value,
}

/// Levels by price, none of them empty, and what has arrived since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Levels {
    /// The lowest price of each chunk, cheapest first.
    firsts: Vec<i64>,
    /// Lots of both sides in the chunks before each.
    lots_before: Vec<i64>,
    spots: Vec<Spot>,
    before: Vec<Before>,
    /// By slot; no chunk is empty while it is in use.
    chunks: Vec<Chunk>,
    /// Slots that no chunk uses.
    free: Vec<u32>,
    /// Everything in all chunks.
    total: Lots,
    value_total: Value,
    arrivals: Vec<Arrival>,
}

keep_struct! {
    Arrival { price, buy, sell }
    Lots { all, sold }
    Value { buy, sell }
    Chunk { prices, all, sold }
    Spot { slot, len }
    Before { sold, value }
    Levels { firsts, lots_before, spots, before, chunks, free, total, value_total, arrivals }
}

/// Sums up to a price, and the prices at which they are the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UpTo {
    /// No more lots of both sides than this stand up to and at the price,
    pub(crate) most: i64,
    /// and no fewer.
    pub(crate) least: i64,
    /// A price no higher at which that is so, if not all the way down.
    pub(crate) from: i64,
    /// The price above up to which that is so, if not all the way up.
    pub(crate) until: i64,
}

fn index(value: u32) -> usize {
    usize::try_from(value).expect("a u32 fits an index on every platform we build for")
}

fn count(value: usize) -> u32 {
    u32::try_from(value).expect("limits::POINTS_MAX levels fit a u32")
}

impl Levels {
    /// What has arrived since and is not in the chunks: at most a few dozen, cheapest first.
    pub(crate) fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }

    /// Lots in the chunks.
    pub(crate) const fn total(&self) -> Lots {
        self.total
    }

    /// What stands at each level of the chunks by itself, cheapest first.
    pub(crate) fn single(&self) -> impl Iterator<Item = Arrival> {
        self.spots.iter().flat_map(|spot| self.chunks[index(spot.slot)].single(index(spot.len)))
    }

    /// Reads through what every look-up needs first; the sum means nothing.
    pub(crate) fn touch(&self) -> i64 {
        let starts = self.firsts.chunks(STRIDE).zip(self.lots_before.chunks(STRIDE));
        starts.zip(self.spots.chunks(STRIDE)).fold(0, |sum: i64, ((first, lots), spot)| {
            sum.wrapping_add(first[0]).wrapping_add(lots[0]).wrapping_add(spot[0].len.into())
        })
    }

    /// Reads through what look-ups in the last of so many chunks may need; the sum means nothing.
    pub(crate) fn touch_chunk(&self, started: usize) -> i64 {
        started.checked_sub(1).map_or(0, |at| self.chunks[index(self.spots[at].slot)].touch())
    }

    /// As [`Self::touch_chunk`] for [`Self::sold_up_to`] and [`Self::value_beside`].
    pub(crate) fn touch_sold(&self, price: i64) -> i64 {
        let Some(at) = self.started(price).checked_sub(1) else { return 0 };
        let chunk = &self.chunks[index(self.spots[at].slot)];
        let each = [0, STRIDE, 2 * STRIDE, 3 * STRIDE];
        each.iter().fold(self.before[at].sold, |sum, &at| sum.wrapping_add(chunk.sold[at]))
    }

    /// How many chunks start at or below a price.
    pub(crate) fn started(&self, price: i64) -> usize {
        self.firsts.partition_point(|&it| it <= price)
    }

    /// Lots in the chunks up to and at a price, to the chunk: read from what lies close together.
    pub(crate) fn roughly_up_to(&self, price: i64) -> UpTo {
        self.beside(self.started(price))
    }

    fn beside(&self, started: usize) -> UpTo {
        let (least, from) = match started.checked_sub(1) {
            Some(at) => (self.lots_before[at], self.firsts[at]),
            None => (0, i64::MIN),
        };
        let (most, until) = match self.firsts.get(started) {
            Some(&next) => (self.lots_before[started], next),
            None => (self.total.all, i64::MAX),
        };
        UpTo { most, least, from, until }
    }

    /// Lots of both sides in the chunks up to and at a price; as many chunks as told start at or below it.
    pub(crate) fn up_to(&self, started: usize, price: i64) -> UpTo {
        let Some(at) = started.checked_sub(1) else { return self.beside(started) };
        let spot = self.spots[at];
        let chunk = &self.chunks[index(spot.slot)];
        let here = chunk.rank(price);
        let lots = self.lots_before[at] + chunk.all[here - 1];
        let until = match chunk.prices.get(here) {
            Some(&next) if here < index(spot.len) => next,
            Some(_) | None => self.firsts.get(started).copied().unwrap_or(i64::MAX),
        };
        UpTo { most: lots, least: lots, from: chunk.prices[here - 1], until }
    }

    /// Lots offered in the chunks up to and at a price.
    pub(crate) fn sold_up_to(&self, price: i64) -> i64 {
        let Some(at) = self.started(price).checked_sub(1) else { return 0 };
        let chunk = &self.chunks[index(self.spots[at].slot)];
        self.before[at].sold + chunk.sold[chunk.rank(price) - 1]
    }

    /// Σ price × lots of what is wanted above a price less what is offered below it.
    pub(crate) fn value_beside(&self, price: i64) -> i128 {
        let (mut above, mut below) = (self.value_total.buy, 0);
        if let Some(at) = self.started(price).checked_sub(1) {
            above -= self.before[at].value.buy;
            below += self.before[at].value.sell;
            let chunk = &self.chunks[index(self.spots[at].slot)];
            for it in chunk.single(chunk.rank(price)) {
                above -= it.value().buy;
                if it.price < price {
                    below += it.value().sell;
                }
            }
        }
        for it in &self.arrivals {
            if it.price > price {
                above += it.value().buy;
            } else if it.price < price {
                below += it.value().sell;
            }
        }
        above - below
    }

    /// Adds lots (negative: takes them out) at a price. `scratch` is overwritten.
    pub(crate) fn add(&mut self, arrival: Arrival, scratch: &mut Vec<Level>) {
        let at = self.arrivals.partition_point(|it| it.price <= arrival.price);
        self.arrivals.insert(at, arrival);
        if self.arrivals.len() >= ARRIVALS_MAX {
            self.merge(scratch);
        }
    }

    fn merge(&mut self, scratch: &mut Vec<Level>) {
        let mut arrivals = core::mem::take(&mut self.arrivals);
        let mut left = arrivals.as_slice();
        let (mut lots, mut value) = (Lots::default(), Value::default());
        // Chunks before the one that takes the first of them stay as they are.
        let first = left.first().map_or(0, |it| self.started(it.price));
        let mut at = first.saturating_sub(1);
        while at < self.firsts.len() || !left.is_empty() {
            // The chunk takes what lies below the next one; the first what lies below itself, too.
            let here = match self.firsts.get(at + 1) {
                Some(&next) => left.partition_point(|it| it.price < next),
                None => left.len(),
            };
            let (mine, rest) = left.split_at(here);
            left = rest;
            if let Some(before) = self.before.get_mut(at) {
                self.lots_before[at] += lots.all;
                before.sold += lots.sold;
                before.value += value;
            }
            for it in mine {
                lots += it.lots();
                value += it.value();
            }
            let done = mine.is_empty() || self.raise(at, mine);
            at += if done { 1 } else { self.replace(at, mine, scratch) };
        }
        self.total += lots;
        self.value_total += value;
        arrivals.clear();
        self.arrivals = arrivals;
    }

    /// Adds arrivals at levels that a chunk has, if all are such and nothing was taken out: no level comes or goes.
    /// Leaves what [`Self::replace`] would.
    fn raise(&mut self, at: usize, arrivals: &[Arrival]) -> bool {
        let Some(Spot { slot, len }) = self.spots.get(at).copied() else { return false };
        let (chunk, len) = (&mut self.chunks[index(slot)], index(len));
        let mut ranks = [0; ARRIVALS_MAX];
        if arrivals.len() > ranks.len() {
            return false;
        }
        for (rank, it) in ranks.iter_mut().zip(arrivals) {
            *rank = chunk.rank(it.price);
            let stands = rank.checked_sub(1).is_some_and(|at| at < len && chunk.prices[at] == it.price);
            if !stands || it.buy < 0 || it.sell < 0 {
                return false;
            }
        }
        for (rank, it) in ranks.into_iter().zip(arrivals) {
            let Lots { all, sold } = it.lots();
            // All lots of a book fit a word by the bounds of `limits.rs`: nothing wraps, and without a check for each
            // several are added at once.
            chunk.all[rank - 1..len].iter_mut().for_each(|sum| *sum = sum.wrapping_add(all));
            if sold != 0 {
                chunk.sold[rank - 1..len].iter_mut().for_each(|sum| *sum = sum.wrapping_add(sold));
            }
        }
        true
    }

    /// Merges sorted arrivals into a chunk, or into the first one. Returns how many chunks stand in its
    /// place.
    fn replace(&mut self, at: usize, arrivals: &[Arrival], scratch: &mut Vec<Level>) -> usize {
        scratch.clear();
        let (mut lots, mut before) = (0, Before { sold: 0, value: Value::default() });
        let old = self.spots.get(at).copied();
        if let Some(spot) = old {
            join(self.chunks[index(spot.slot)].levels(index(spot.len)), arrivals, scratch);
            (lots, before) = (self.lots_before[at], self.before[at]);
        } else {
            join(core::iter::empty(), arrivals, scratch);
        }
        let len = scratch.len();
        let parts = if len <= CHUNK_MAX { len.min(1) } else { len.div_ceil(PART_MAX) };
        if let (Some(spot), 0) = (old, parts) {
            self.firsts.remove(at);
            self.lots_before.remove(at);
            self.spots.remove(at);
            self.before.remove(at);
            self.free.push(spot.slot);
        }
        let mut base = Lots::default();
        let levels = scratch.chunks(len.div_ceil(parts.max(1)).max(1));
        for ((at, levels), is_old) in (at..).zip(levels).zip(once(old.is_some()).chain(repeat(false))) {
            if !is_old {
                let slot = self.slot();
                self.firsts.insert(at, 0);
                self.lots_before.insert(at, 0);
                self.spots.insert(at, Spot { slot, len: 0 });
                self.before.insert(at, before);
            }
            let spot = &mut self.spots[at];
            spot.len = count(levels.len());
            self.firsts[at] = levels[0].price;
            (self.lots_before[at], self.before[at]) = (lots, before);
            let chunk = &mut self.chunks[index(spot.slot)];
            chunk.prices = [i64::MAX; CHUNK_MAX];
            let mut last = Lots::default();
            for (at, level) in levels.iter().enumerate() {
                last = Lots { all: level.lots - base.all, sold: level.sold - base.sold };
                (chunk.prices[at], chunk.all[at], chunk.sold[at]) = (level.price, last.all, last.sold);
            }
            base += last;
            lots += last.all;
            before.sold += last.sold;
            if parts > 1 {
                chunk.single(levels.len()).for_each(|it| before.value += it.value());
            }
        }
        parts
    }

    /// A slot that no chunk uses.
    fn slot(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.chunks.push(Chunk::EMPTY);
            count(self.chunks.len() - 1)
        })
    }
}

/// The levels of a chunk with sorted arrivals among them.
fn join(levels: impl Iterator<Item = Level>, arrivals: &[Arrival], joined: &mut Vec<Level>) {
    let (mut more, mut falls, mut before) = (Lots::default(), false, Lots::default());
    let mut put = |price, sum: Lots| {
        let level = Level { price, lots: sum.all, sold: sum.sold };
        match joined.last_mut() {
            Some(last) if last.price == price => *last = level,
            Some(_) | None => joined.push(level),
        }
    };
    let mut arrivals = arrivals.iter().peekable();
    for level in levels {
        let sum = Lots { all: level.lots, sold: level.sold };
        while let Some(it) = arrivals.next_if(|it| it.price <= level.price) {
            more += it.lots();
            falls |= it.lots().all <= 0;
            if it.price < level.price {
                put(it.price, before + more);
            }
        }
        put(level.price, sum + more);
        before = sum;
    }
    for it in arrivals {
        more += it.lots();
        falls |= it.lots().all <= 0;
        put(it.price, before + more);
    }
    if falls {
        let mut before = 0;
        joined.retain(|level| core::mem::replace(&mut before, level.lots) < level.lots);
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrival, Levels, UpTo, index};
    use crate::snapshot;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    type Plain = BTreeMap<i64, (i64, i64)>;

    /// Of a chunk in the middle and of the first one, with one arrival and with several.
    #[test]
    fn raised_levels_are_the_bytes_that_a_merge_leaves() {
        let mut levels = Levels::default();
        let mut scratch = Vec::new();
        for step in 0..500 {
            levels.add(Arrival { price: step * 7 % 331, buy: step % 3, sell: 1 + step % 5 }, &mut scratch);
        }
        let bytes = |levels: &Levels| {
            let mut bytes = Vec::new();
            snapshot::put(levels, &mut |piece| bytes.extend_from_slice(piece));
            bytes
        };
        assert!(levels.firsts.len() > 5);
        for at in [0, 3, levels.firsts.len() - 1] {
            let spot = levels.spots[at];
            let prices = levels.chunks[index(spot.slot)].prices;
            let arrival = |place: usize| Arrival { price: prices[place], buy: 5, sell: 11 };
            let last = index(spot.len) - 1;
            for arrivals in
                [&[arrival(0), arrival(0), arrival(4), arrival(last)][..], &[arrival(last)], &[arrival(2)]]
            {
                let (mut raised, mut merged) = (levels.clone(), levels.clone());
                assert!(raised.raise(at, arrivals));
                assert_eq!(merged.replace(at, arrivals, &mut scratch), 1);
                assert!(bytes(&raised) == bytes(&merged) && bytes(&raised) != bytes(&levels));
            }
            for other in
                [Arrival { price: prices[1], buy: -1, sell: 0 }, Arrival { price: -9, buy: 1, sell: 0 }]
            {
                assert!(!levels.clone().raise(at, &[other]), "a level may come or go");
            }
        }
    }

    #[test]
    fn levels_agree_with_a_plain_map_through_inserts_and_removals() {
        let mut levels = Levels::default();
        let mut scratch = Vec::new();
        let mut plain = Plain::new();
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
        assert!(levels.chunks.len() <= 100, "slots are used again");
    }

    fn compare(levels: &Levels, plain: &Plain) {
        let mut found = Plain::new();
        let mut last = i64::MIN;
        for it in levels.single() {
            assert!(it.price > last && (it.buy, it.sell) != (0, 0));
            last = it.price;
            found.insert(it.price, (it.buy, it.sell));
        }
        let chunks: Vec<(i64, i64, i64)> = found.iter().map(|(&at, &(buy, sell))| (at, buy, sell)).collect();
        for price in (-705..805).step_by(31).chain(chunks.iter().map(|it| it.0)) {
            let is_low = |it: &&(i64, i64, i64)| it.0 <= price;
            let low: Vec<&(i64, i64, i64)> = chunks.iter().take_while(is_low).collect();
            let all: i64 = low.iter().map(|it| it.1 + it.2).sum();
            let sold: i64 = low.iter().map(|it| it.2).sum();
            let UpTo { most, least, from, until } = levels.up_to(levels.started(price), price);
            assert_eq!((most, least, levels.sold_up_to(price)), (all, all, sold), "{price}");
            assert_eq!(from, low.last().map_or(i64::MIN, |it| it.0));
            assert_eq!(until, chunks.get(low.len()).map_or(i64::MAX, |it| it.0));
            let rough = levels.roughly_up_to(price);
            assert!(rough.least <= all && all <= rough.most);
            assert!(rough.from <= price && price < rough.until);
        }
        assert_eq!(levels.total().all, levels.up_to(levels.started(1_000), 1_000).most);
        for it in levels.arrivals() {
            let entry = found.entry(it.price).or_default();
            *entry = (entry.0 + it.buy, entry.1 + it.sell);
        }
        found.retain(|_, lots| *lots != (0, 0));
        assert_eq!(&found, plain);
        for at in [-701, -3, 0, 100, 101, 799] {
            let each = plain.iter().map(|(&price, &(buy, sell))| match price {
                price if price < at => -price * sell,
                price if price == at => 0,
                price => price * buy,
            });
            assert_eq!(levels.value_beside(at), i128::from(each.sum::<i64>()), "{at}");
        }
    }
}
