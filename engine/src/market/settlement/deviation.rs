//! What the difference between schedule and meter costs, block by block, in exact fractions.
//!
//! Energies are counted in watt-minutes, in which both a lot over a period and a watt-hour are whole
//! numbers; prices in millionths of the currency per MWh, in which the ticks of both markets are.
//! Each amount is rounded once.

use super::days::{Booked, DayBooks};
use crate::ids::{Market, MemberId, PortfolioId, TextId};
use crate::money;
use crate::reject::Reject;
use crate::settlement::{
    AMOUNT_MAX, Band, Basis, Category, Deviation, DeviationRules, METER_MINUTES, MeterBatch, MeterRow,
    Placing, Rate, Scheme,
};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

/// Watt-minutes in a megawatt-hour, times millionths of a price, times millionths of a rate.
const UNIT: i128 = 60_000_000 * 1_000_000 * 1_000_000;
const MILLION: i128 = 1_000_000;

type PerBlock = Vec<i64>;

/// Prices of a day by area and meter block, millionths of the currency per MWh.
struct Prices {
    day_ahead: BTreeMap<TextId, Vec<Option<i64>>>,
    real_time: BTreeMap<TextId, Vec<Option<i64>>>,
    /// The greater of the two markets' volume-weighted means over all areas.
    normal: PerBlock,
}

fn ten(decimals: u8) -> i64 {
    10_i64.pow(u32::from(decimals))
}

/// Number of meter blocks of a day, or nothing if a market's periods do not consist of them.
pub(super) fn blocks_of(day: &DayBooks) -> Option<usize> {
    let mut found = None;
    for it in day.auctions.values() {
        let minutes = it.info.rules.period_minutes;
        if !minutes.is_multiple_of(METER_MINUTES) {
            return None;
        }
        found = Some(usize::from(it.info.blocks_in_day) * usize::from(minutes / METER_MINUTES));
    }
    found
}

/// Every (period, meter block of the day) of an auction.
fn meter_blocks(it: &Booked) -> impl Iterator<Item = (usize, usize)> + use<> {
    let per_period = usize::from(it.info.rules.period_minutes / METER_MINUTES);
    let first = (usize::from(it.info.first_block) - 1) * per_period;
    let periods = usize::from(it.info.periods);
    (0..periods)
        .flat_map(move |period| (0..per_period).map(move |part| (period, first + period * per_period + part)))
}

impl Prices {
    fn of(day: &DayBooks, blocks: usize) -> Self {
        let mut prices = Self { day_ahead: BTreeMap::new(), real_time: BTreeMap::new(), normal: vec![] };
        // Per market and block: Σ price × lots bought, Σ lots bought.
        let mut means = [vec![(0_i128, 0_i128); blocks], vec![(0, 0); blocks]];
        for it in day.auctions.values() {
            let scale = ten(6 - it.info.rules.price_decimals);
            let areas = it.info.rules.areas.len();
            let (of_market, means) = match it.info.auction.market {
                Market::Dam => (&mut prices.day_ahead, &mut means[0]),
                Market::Rtm => (&mut prices.real_time, &mut means[1]),
            };
            for (area, rule) in it.info.rules.areas.iter().enumerate() {
                let of_area = of_market.entry(rule.code.clone()).or_insert_with(|| vec![None; blocks]);
                for (period, block) in meter_blocks(it) {
                    let price = it.prices[period * areas + area] * scale;
                    let lots = i128::from(it.bought[period * areas + area]);
                    of_area[block] = Some(price);
                    means[block].0 += i128::from(price) * lots;
                    means[block].1 += lots;
                }
            }
        }
        let mean = |(value, lots): (i128, i128)| if lots == 0 { 0 } else { money::round_div(value, lots) };
        let [day_ahead, real_time] = means;
        let of_block = |(a, b): ((i128, i128), (i128, i128))| {
            i64::try_from(mean(a).max(mean(b))).expect("a mean lies among its prices")
        };
        prices.normal = day_ahead.into_iter().zip(real_time).map(of_block).collect();
        prices
    }

    /// The area's day-ahead price, else its real-time price, else the normal rate.
    fn reference(&self, area: &TextId, block: usize) -> i64 {
        let of = |market: &BTreeMap<TextId, Vec<Option<i64>>>| market.get(area).and_then(|it| it[block]);
        of(&self.day_ahead).or_else(|| of(&self.real_time)).unwrap_or(self.normal[block])
    }

    fn real_time(&self, area: &TextId, block: usize) -> i64 {
        let own = self.real_time.get(area).and_then(|it| it[block]);
        own.unwrap_or_else(|| self.reference(area, block))
    }
}

/// Scheduled net injection by portfolio and area over all markets, watt-minutes.
fn schedules(day: &DayBooks, blocks: usize) -> BTreeMap<(PortfolioId, TextId), PerBlock> {
    let mut all: BTreeMap<(PortfolioId, TextId), PerBlock> = BTreeMap::new();
    for it in day.auctions.values() {
        let unit = ten(6 - it.info.rules.quantity_decimals) * i64::from(METER_MINUTES);
        for row in it.rows.iter() {
            let area = it.info.rules.areas[usize::from(row.area)].code.clone();
            let sums = all.entry((row.portfolio, area)).or_insert_with(|| vec![0; blocks]);
            for (period, block) in meter_blocks(it) {
                sums[block] += row.net[period] * unit;
            }
        }
    }
    all
}

/// Every deviation of a day, valued.
///
/// # Errors
///
/// A table asks for the frequency and there is none, or an amount is beyond [`AMOUNT_MAX`].
pub(super) fn settle(
    day: &DayBooks,
    batch: &MeterBatch,
    rules: &DeviationRules,
    money_decimals: u8,
    owner: impl Fn(PortfolioId) -> MemberId,
) -> Result<Vec<Deviation>, Reject> {
    let Some(blocks) = blocks_of(day) else { return Err(Reject::MeterRowsInvalid) };
    let prices = Prices::of(day, blocks);
    let scheduled = schedules(day, blocks);
    let none = vec![0; blocks];
    let planned = |row: &MeterRow| {
        let found = scheduled.get(&(row.portfolio, row.area.clone()));
        found.unwrap_or(&none)
    };
    let mut system = vec![0_i128; blocks];
    for row in &batch.rows {
        for (sum, (metered, plan)) in system.iter_mut().zip(row.net_wh.iter().zip(planned(row))) {
            *sum += i128::from(metered * 60 - plan);
        }
    }
    let minor_unit = i128::from(ten(money_decimals));
    let mut out = Vec::new();
    for row in &batch.rows {
        let place = place_of(rules, row.portfolio);
        let (plan, member) = (planned(row), owner(row.portfolio));
        let valued = Valued { rules, batch, prices: &prices, place, area: &row.area };
        for (block, (metered, plan)) in row.net_wh.iter().zip(plan).enumerate() {
            let energy = metered * 60 - plan;
            let exact = valued.value(block, energy, *plan, system[block])?;
            let exact = exact.checked_mul(minor_unit).ok_or(Reject::AmountOutOfRange)?;
            let minor = i64::try_from(money::round_div(exact, UNIT)).ok();
            let minor = minor.filter(|it| it.abs() <= AMOUNT_MAX).ok_or(Reject::AmountOutOfRange)?;
            let number = u16::try_from(block).expect("blocks of a day are few");
            out.push(Deviation {
                member,
                portfolio: row.portfolio,
                area: row.area.clone(),
                block: number + 1,
                scheduled_watt_minutes: *plan,
                metered_wh: *metered,
                estimated: row.estimated.binary_search(&number).is_ok(),
                minor,
            });
        }
    }
    Ok(out)
}

fn place_of(rules: &DeviationRules, portfolio: PortfolioId) -> Placing {
    match rules.placings.binary_search_by_key(&portfolio, |it| it.portfolio) {
        Ok(at) => rules.placings[at],
        Err(_) => Placing { portfolio, category: 0, capacity_watts: 0 },
    }
}

/// What one portfolio's deviations are valued with.
struct Valued<'a> {
    rules: &'a DeviationRules,
    batch: &'a MeterBatch,
    prices: &'a Prices,
    place: Placing,
    area: &'a TextId,
}

impl Valued<'_> {
    /// Value of a deviation in units of `1 / UNIT` of the currency; positive is paid to the member.
    fn value(&self, block: usize, energy: i64, plan: i64, system: i128) -> Result<i128, Reject> {
        if energy == 0 {
            return Ok(0);
        }
        match &self.rules.scheme {
            Scheme::TwoPrice => {
                let ahead = self.prices.reference(self.area, block);
                let real = self.prices.real_time(self.area, block);
                let against = i128::from(energy.signum()) == system.signum();
                let price = match (against, energy > 0) {
                    (false, _) => ahead,
                    (true, true) => ahead.min(real),
                    (true, false) => ahead.max(real),
                };
                times(energy.into(), price, 1_000_000)
            }
            Scheme::Bands(categories) => {
                let bands = self.bands(&categories[usize::from(self.place.category)], block)?;
                let base = match self.place.capacity_watts {
                    0 => plan.abs(),
                    watts => watts * i64::from(METER_MINUTES),
                };
                self.slices(bands, block, energy, base)
            }
        }
    }

    fn bands<'c>(&self, category: &'c Category, block: usize) -> Result<&'c [Band], Reject> {
        let [only] = category.tables.as_slice() else {
            let frequency = *self.batch.frequency_mhz.get(block).ok_or(Reject::FrequencyMissing)?;
            let table = category.tables.iter().find(|it| frequency < it.below_mhz);
            return Ok(&table.or(category.tables.last()).expect("checked: there is a table").bands);
        };
        Ok(&only.bands)
    }

    /// Adds up the slices of a deviation, each at its band's rate.
    fn slices(&self, bands: &[Band], block: usize, energy: i64, base: i64) -> Result<i128, Reject> {
        let whole = i128::from(energy.abs());
        let (mut from, mut value) = (0_i128, 0_i128);
        for band in bands {
            let until = match band.until_millionths {
                u32::MAX => whole,
                share => whole.min(i128::from(base) * i128::from(share) / MILLION),
            };
            let slice = (until - from).max(0);
            let rate = if energy > 0 { band.over } else { band.under };
            value += times(slice, self.price(rate, block), rate.millionths)?;
            from = from.max(until);
        }
        Ok(if energy > 0 { value } else { -value })
    }

    fn price(&self, rate: Rate, block: usize) -> i64 {
        match rate.basis {
            Basis::Reference => self.prices.reference(self.area, block),
            Basis::Normal => self.prices.normal[block],
        }
    }
}

fn times(energy: i128, price: i64, millionths: u32) -> Result<i128, Reject> {
    let value = energy.checked_mul(price.into()).and_then(|it| it.checked_mul(millionths.into()));
    // Room for sixteen slices and the minor units.
    value.filter(|it| it.abs() < i128::MAX / 64).ok_or(Reject::AmountOutOfRange)
}
