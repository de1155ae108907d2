//! What the demo has heard of its day from the exchange's own streams, and what follows from it.
//!
//! The digest covers prices, volumes, flows, schedules and obligations, by names and sorted: it does
//! not depend on which member's order came first, nor on certificates, and so is the same for the
//! same seed and number of members on every machine. (The digest of the engine's state covers all
//! that, and is compared within one run.)

use merit_client::v1;
use merit_engine::digest::Hasher;
use std::collections::BTreeMap;

/// The price cap, micros per MWh.
const CAP_MICROS: i64 = super::profile::CAP * 1_000_000;

/// What was heard of one auction.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// The result.
    pub(super) result: Option<v1::Result>,
    /// Net injection in watts, by portfolio, area and start of the period.
    schedule: BTreeMap<(String, String, i64), i64>,
    /// Obligations by portfolio, area and start of the period.
    obligations: BTreeMap<(String, String, i64), [i64; 5]>,
    /// Whether there was a schedule, and obligations.
    pub(super) scheduled: bool,
    /// Whether obligations came.
    pub(super) obliged: bool,
    /// Whether ledger entries came.
    pub(super) booked: bool,
}

/// What was heard of the day.
#[derive(Clone, Debug, Default)]
pub(super) struct Day {
    /// By auction.
    pub(super) auctions: BTreeMap<String, Heard>,
    /// Ledger entries seen.
    pub(super) entries: u64,
    /// Ledger entries whose postings do not sum to zero.
    pub(super) unbalanced: u64,
    /// Balance of every account, micros: member code, or the kind of account.
    pub(super) balances: BTreeMap<String, i128>,
}

/// Figures of one market.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// Auctions published.
    pub(super) auctions: u64,
    /// Energy bought, Wh.
    pub(super) energy_wh: i128,
    /// What buyers pay for it, micros.
    pub(super) turnover: i128,
    /// Area prices: lowest and highest, micros per MWh.
    pub(super) lowest: i64,
    /// See [`Self::lowest`].
    pub(super) highest: i64,
    /// Blocks, and among them those with two or more area prices.
    pub(super) blocks: u64,
    /// See [`Self::blocks`].
    pub(super) split: u64,
    /// Blocks in which some area is at the market's highest price.
    pub(super) at_cap: u64,
    /// What congestion earned, micros.
    pub(super) congestion: i128,
}

impl Figures {
    /// Mean price weighted by energy, micros per MWh; nothing if nothing was traded.
    pub(super) fn mean(&self) -> Option<i128> {
        (self.energy_wh > 0).then(|| self.turnover * 1_000_000 / self.energy_wh)
    }
}

impl Day {
    /// Takes a result.
    pub(super) fn take_result(&mut self, result: v1::Result) {
        let heard = self.auctions.entry(result.auction_id.clone()).or_default();
        heard.result = Some(result);
    }

    /// Takes a schedule.
    pub(super) fn take_schedule(&mut self, schedule: v1::Schedule) {
        let heard = self.auctions.entry(schedule.auction_id).or_default();
        heard.scheduled = true;
        for row in schedule.rows {
            let start = start(row.row.as_ref());
            heard.schedule.insert((row.portfolio, row.area, start), row.net_watts);
        }
    }

    /// Takes the obligations of an auction.
    pub(super) fn take_obligations(&mut self, batch: v1::ObligationBatch) {
        let heard = self.auctions.entry(batch.auction_id).or_default();
        heard.obliged = true;
        for it in batch.obligations {
            let start = start(it.row.as_ref());
            let figures =
                [it.bought_watts, it.sold_watts, it.price_micros_per_mwh, it.value_micros, it.fee_micros];
            heard.obligations.insert((it.portfolio, it.area, start), figures);
        }
    }

    /// Takes ledger entries.
    pub(super) fn take_ledger(&mut self, batch: v1::LedgerBatch) {
        self.auctions.entry(batch.auction_id).or_default().booked = true;
        for entry in batch.entries {
            self.entries += 1;
            let sum: i128 = entry.postings.iter().map(|it| i128::from(it.amount_micros)).sum();
            self.unbalanced += u64::from(sum != 0);
            for posting in entry.postings {
                let account = posting.account.unwrap_or_default();
                let kind = account.kind();
                let name = account.member.unwrap_or_else(|| kind.as_str_name().to_owned());
                *self.balances.entry(name).or_default() += i128::from(posting.amount_micros);
            }
        }
    }

    /// Whether everything that follows from a result has been heard.
    pub(super) fn is_complete(&self, auction: &str) -> bool {
        self.auctions
            .get(auction)
            .is_some_and(|it| it.result.is_some() && it.scheduled && it.obliged && it.booked)
    }

    /// Blocks in which what is bought is not what is sold.
    pub(super) fn unequal(&self) -> usize {
        let results = self.auctions.values().filter_map(|it| it.result.as_ref());
        let net = |block: &Block| block.areas.iter().map(|it| i128::from(it.bought) - i128::from(it.sold)).sum::<i128>();
        results.flat_map(blocks).filter(|it| net(it) != 0).count()
    }

    /// Figures of the auctions whose names begin with `market`.
    pub(super) fn figures(&self, market: &str) -> Figures {
        let mut figures = Figures { lowest: i64::MAX, highest: i64::MIN, ..Figures::default() };
        let of_market = self.auctions.iter().filter(|(name, _)| name.starts_with(market));
        for result in of_market.filter_map(|(_, it)| it.result.as_ref()) {
            figures.auctions += 1;
            for block in blocks(result) {
                let minutes = i128::from(block.minutes);
                figures.blocks += 1;
                figures.at_cap += u64::from(block.areas.iter().any(|it| it.price >= CAP_MICROS));
                figures.split += u64::from(block.areas.windows(2).any(|it| it[0].price != it[1].price));
                for area in &block.areas {
                    figures.lowest = figures.lowest.min(area.price);
                    figures.highest = figures.highest.max(area.price);
                    let bought = i128::from(area.bought) * minutes / 60;
                    let net = i128::from(area.sold - area.bought) * minutes / 60;
                    figures.energy_wh += bought;
                    figures.turnover += bought * i128::from(area.price) / 1_000_000;
                    // Areas that export cheap and import dear: what buyers pay beyond what sellers get.
                    figures.congestion -= net * i128::from(area.price) / 1_000_000;
                }
            }
        }
        figures
    }

    /// Digest of the auctions of a delivery day.
    pub(super) fn digest(&self, day: &str) -> u128 {
        let mut hasher = Hasher::new();
        for (name, heard) in self.auctions.iter().filter(|it| it.0.contains(day)) {
            hasher.bytes(name.as_bytes());
            for block in heard.result.iter().flat_map(blocks) {
                words(&mut hasher, &[block.start]);
                for area in &block.areas {
                    hasher.bytes(area.name.as_bytes());
                    words(&mut hasher, &[area.price, area.bought, area.sold]);
                }
            }
            for flow in heard.result.iter().flat_map(|it| &it.flows) {
                hasher.bytes(flow.line.as_bytes());
                words(&mut hasher, &[start(flow.row.as_ref()), flow.flow_watts]);
            }
            for ((portfolio, area, start), net) in &heard.schedule {
                hasher.bytes(portfolio.as_bytes());
                hasher.bytes(area.as_bytes());
                words(&mut hasher, &[*start, *net]);
            }
            for ((portfolio, area, start), figures) in &heard.obligations {
                hasher.bytes(portfolio.as_bytes());
                hasher.bytes(area.as_bytes());
                words(&mut hasher, &[*start]);
                words(&mut hasher, figures);
            }
        }
        hasher.finish()
    }
}

/// One area in one block of a result.
#[derive(Clone, Debug)]
pub(super) struct AreaPrice {
    /// Area.
    pub(super) name: String,
    /// Micros per MWh.
    pub(super) price: i64,
    /// Watts.
    pub(super) bought: i64,
    /// Watts.
    pub(super) sold: i64,
}

/// One block of a result.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Start of delivery, seconds since 1970 UTC.
    pub(super) start: i64,
    /// Number in the local day, from 1.
    pub(super) number: u32,
    /// Length.
    pub(super) minutes: u32,
    /// Areas by name.
    pub(super) areas: Vec<AreaPrice>,
}

impl Block {
    /// Mean price of what is bought, or of the areas if nothing is; micros per MWh.
    pub(super) fn price(&self) -> i64 {
        let bought: i128 = self.areas.iter().map(|it| i128::from(it.bought)).sum();
        let value: i128 = self.areas.iter().map(|it| i128::from(it.bought) * i128::from(it.price)).sum();
        let plain: i128 = self.areas.iter().map(|it| i128::from(it.price)).sum();
        let areas = i128::try_from(self.areas.len().max(1)).expect("a count of areas");
        let mean = if bought > 0 { value / bought } else { plain / areas };
        i64::try_from(mean).expect("between the area prices")
    }
}

/// The blocks of a result by time, areas by name.
pub(super) fn blocks(result: &v1::Result) -> Vec<Block> {
    let mut blocks: BTreeMap<i64, Block> = BTreeMap::new();
    for it in &result.areas {
        let start = start(it.row.as_ref());
        let row = it.row.as_ref();
        let block = blocks.entry(start).or_insert_with(|| Block {
            start,
            number: row.map_or(0, |it| it.block),
            minutes: row.map_or(0, |it| it.resolution_minutes),
            areas: Vec::new(),
        });
        block.areas.push(AreaPrice {
            name: it.area.clone(),
            price: it.price_micros_per_mwh,
            bought: it.bought_watts,
            sold: it.sold_watts,
        });
    }
    let mut blocks: Vec<Block> = blocks.into_values().collect();
    for block in &mut blocks {
        block.areas.sort_by(|a, b| a.name.cmp(&b.name));
    }
    blocks
}

fn start(row: Option<&v1::TimeRow>) -> i64 {
    row.and_then(|it| it.start.as_ref()).map_or(0, |it| it.seconds)
}

fn words(hasher: &mut Hasher, values: &[i64]) {
    for value in values {
        hasher.word(u64::from_le_bytes(value.to_le_bytes()));
    }
}
