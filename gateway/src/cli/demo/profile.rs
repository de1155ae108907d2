//! What an Indian trading day looks like: published totals by two hours, spread over its 96 blocks.
//!
//! Source: totals of the Indian Energy Exchange for the first days of January 2024 (ten days of the
//! day-ahead market, nine of the real-time market), averaged over the days.

/// Blocks of 15 minutes in a day without a clock change.
pub(super) const BLOCKS: usize = 96;
/// Blocks in a row of the published tables.
pub(super) const BLOCKS_PER_ROW: usize = 8;
/// The price cap of the day-ahead and real-time markets since 4 April 2023, rupees per MWh.
pub(super) const CAP: i64 = 10_000;

/// Published means of two hours; quantities in MW, prices in rupees per MWh.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Purchase bids.
    pub(super) purchase: i64,
    /// Sell bids.
    pub(super) sell: i64,
    /// Cleared.
    pub(super) cleared: i64,
    /// Mean clearing price.
    pub(super) price: i64,
    /// Lowest clearing price.
    pub(super) low: i64,
    /// Highest clearing price.
    pub(super) high: i64,
}

const fn row(purchase: i64, sell: i64, cleared: i64, price: i64, low: i64, high: i64) -> Row {
    Row { purchase, sell, cleared, price, low, high }
}

/// The day-ahead market, from 00–02 to 22–24 hours.
pub(super) const DAY_AHEAD: [Row; 12] = [
    row(7_679, 19_897, 5_729, 2_643, 1_999, 3_120),
    row(7_413, 22_669, 5_939, 2_234, 1_999, 2_734),
    row(8_209, 18_503, 6_214, 2_712, 1_870, 3_429),
    row(14_865, 9_904, 8_468, 6_612, 3_379, 10_000),
    row(21_821, 7_549, 7_513, 10_000, 10_000, 10_000),
    row(16_223, 9_047, 8_513, 7_933, 4_069, 10_000),
    row(12_057, 11_201, 8_073, 3_826, 3_101, 5_001),
    row(13_054, 12_290, 9_028, 3_896, 3_260, 5_270),
    row(17_221, 7_722, 7_398, 8_630, 3_964, 10_000),
    row(17_312, 7_943, 7_794, 9_522, 5_149, 10_000),
    row(11_135, 11_003, 7_362, 4_283, 2_999, 7_727),
    row(8_300, 14_854, 5_606, 3_018, 2_120, 3_501),
];

/// The real-time market, from 00–02 to 22–24 hours.
pub(super) const REAL_TIME: [Row; 12] = [
    row(3_260, 9_968, 2_681, 2_466, 1_670, 3_729),
    row(3_579, 12_057, 3_331, 2_077, 1_654, 2_813),
    row(3_670, 10_454, 3_085, 2_713, 1_623, 3_751),
    row(5_153, 5_677, 3_489, 5_152, 2_000, 10_000),
    row(17_225, 3_289, 3_131, 9_211, 4_214, 10_000),
    row(12_476, 4_069, 3_647, 8_646, 4_133, 10_000),
    row(5_440, 6_587, 3_846, 4_873, 3_259, 10_000),
    row(5_028, 6_392, 3_520, 4_774, 3_389, 10_000),
    row(9_632, 4_768, 3_897, 7_742, 3_013, 10_000),
    row(9_762, 4_593, 3_931, 8_066, 3_728, 10_000),
    row(4_338, 6_648, 3_308, 4_356, 1_831, 10_000),
    row(3_774, 9_123, 2_581, 3_414, 1_708, 6_449),
];

/// What a block of the day aims at; quantities in tenths of a MW, price in rupees per MWh.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// Purchase bids.
    pub(super) purchase: i64,
    /// Sell bids.
    pub(super) sell: i64,
    /// Cleared.
    pub(super) cleared: i64,
    /// Clearing price; [`CAP`] stands for scarcity.
    pub(super) price: i64,
}

/// A price this near the cap is meant as scarcity: more wanted at the cap than there is.
const SCARCE: i64 = CAP - 500;

/// Spreads a table over the blocks of a day.
pub(super) fn targets(table: &[Row; 12]) -> Vec<Target> {
    const MOST: i64 = i64::MAX / 1_000_000;
    let rows = |of: fn(&Row) -> i64| table.iter().map(of).collect::<Vec<i64>>();
    let blocks =
        |of: fn(&Row) -> i64| (0..BLOCKS).map(|it| of(&table[it / BLOCKS_PER_ROW])).collect::<Vec<i64>>();
    let most = vec![MOST; BLOCKS];
    let price = spread(&rows(|it| it.price), &blocks(|it| it.low), &blocks(|it| it.high));
    let cleared = spread(&rows(|it| it.cleared * 10), &vec![0; BLOCKS], &most);
    // More is wanted and offered than cleared, in every block as in every row.
    let at_least = |percent: i64| cleared.iter().map(|it| it * percent / 100).collect::<Vec<i64>>();
    let purchase = spread(&rows(|it| it.purchase * 10), &at_least(104), &most);
    let sell = spread(&rows(|it| it.sell * 10), &at_least(100), &most);
    (0..BLOCKS)
        .map(|block| Target {
            purchase: purchase[block],
            sell: sell[block],
            cleared: cleared[block].min(sell[block]),
            price: if price[block] >= SCARCE { CAP } else { price[block] },
        })
        .collect()
}

/// Spreads means of rows over blocks: smooth, between the bounds of each block, every row's mean kept
/// (nearly, where bounds leave no room). W. Tobler, "Smooth pycnophylactic interpolation for
/// geographical regions", 1979, in one dimension.
fn spread(means: &[i64], low: &[i64], high: &[i64]) -> Vec<i64> {
    const FINE: i64 = 1_000;
    const ROUNDS: u32 = 200;
    let width = i64::try_from(BLOCKS_PER_ROW).expect("8 fits");
    let mut fine: Vec<i64> =
        means.iter().flat_map(|mean| std::iter::repeat_n(mean * FINE, BLOCKS_PER_ROW)).collect();
    for _ in 0..ROUNDS {
        let before = fine.clone();
        let at = |index: usize| before[index.min(before.len() - 1)];
        for (index, value) in fine.iter_mut().enumerate() {
            *value = (at(index.saturating_sub(1)) + 2 * at(index) + at(index + 1)) / 4;
        }
        for (row, blocks) in fine.chunks_mut(BLOCKS_PER_ROW).enumerate() {
            for _ in 0..16 {
                let missing = means[row] * FINE * width - blocks.iter().sum::<i64>();
                for (value, block) in blocks.iter_mut().zip(row * BLOCKS_PER_ROW..) {
                    *value = (*value + missing / width).clamp(low[block] * FINE, high[block] * FINE);
                }
            }
        }
    }
    fine.iter().map(|it| (it + FINE / 2) / FINE).collect()
}

#[cfg(test)]
mod tests {
    use super::{BLOCKS, BLOCKS_PER_ROW, CAP, DAY_AHEAD, REAL_TIME, Row, targets};

    fn check(table: &[Row; 12]) {
        let targets = targets(table);
        assert_eq!(targets.len(), BLOCKS);
        for (row, blocks) in table.iter().zip(targets.chunks(BLOCKS_PER_ROW)) {
            let mean = |of: fn(&super::Target) -> i64| blocks.iter().map(of).sum::<i64>() / 8;
            assert!((mean(|it| it.purchase) - row.purchase * 10).abs() <= 20, "{row:?}: {blocks:?}");
            assert!((mean(|it| it.sell) - row.sell * 10).abs() <= 20, "{row:?}: {blocks:?}");
            assert!((mean(|it| it.price) - row.price).abs() <= 200, "{row:?}: {blocks:?}");
            assert!(blocks.iter().all(|it| (row.low..=row.high).contains(&it.price)), "{row:?}");
        }
    }

    #[test]
    fn blocks_keep_the_published_means_and_ranges() {
        check(&DAY_AHEAD);
        check(&REAL_TIME);
    }

    #[test]
    fn the_morning_peak_is_scarce_throughout_and_the_evening_peak_in_part() {
        let targets = targets(&DAY_AHEAD);
        assert!(targets[32..40].iter().all(|it| it.price == CAP));
        let evening = targets[72..80].iter().filter(|it| it.price == CAP).count();
        assert!((3..8).contains(&evening), "{evening}");
    }
}
