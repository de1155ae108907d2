//! What is left of the day when it is over: one table, for people or for programs.

use super::day::{Day, Figures};
use super::render::{decimal, grouped};
use crate::cli::output::{Cell, Format, Table};
use hdrhistogram::Histogram;
use std::time::Duration;

/// Everything that the table shows.
#[derive(Debug)]
pub(super) struct Summary {
    /// Seed.
    pub(super) seed: u64,
    /// Members.
    pub(super) members: u64,
    /// What was traded.
    pub(super) dam: Figures,
    /// What was traded.
    pub(super) rtm: Figures,
    /// How it went at the door.
    pub(super) door: [DoorFigures; 2],
    /// Time of one request in the core, ns.
    pub(super) request_ns: Histogram<u64>,
    /// Time of one quantum of clearing in the core, ns.
    pub(super) quantum_ns: Histogram<u64>,
    /// Time of all quanta of an auction in the core, ns; day-ahead and real-time.
    pub(super) clearing_ns: [Histogram<u64>; 2],
    /// Commands in the journal.
    pub(super) commands: u64,
    /// From the first registration to the last obligation.
    pub(super) elapsed: Duration,
    /// Digest of the day.
    pub(super) digest: u128,
}

/// How one market went at the door.
#[derive(Clone, Debug)]
pub(super) struct DoorFigures {
    /// Order commands answered: entered, amended, taken back, refused.
    pub(super) commands: u64,
    /// Curves in them, one for each block.
    pub(super) curves: u64,
    /// Time in which members were sending.
    pub(super) sending: Duration,
    /// Time from sending a batch to its answers, µs.
    pub(super) answer_us: Histogram<u64>,
    /// Time from the gate to the published result, µs, by auction.
    pub(super) clearing_us: Histogram<u64>,
}

impl DoorFigures {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { commands: 0, curves: 0, sending: Duration::ZERO, answer_us: histogram(), clearing_us: histogram() }
    }

    /// Commands answered in a second of sending.
    pub(super) fn rate(&self) -> u64 {
        let micros = self.sending.as_micros().max(1);
        u64::try_from(u128::from(self.commands) * 1_000_000 / micros).unwrap_or(u64::MAX)
    }
}

/// A histogram of times up to an hour in ns, to three digits; longer ones count as an hour.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(3_600_000_000_000, 3).expect("three digits are allowed")
}

/// Remembers a time in µs.
pub(super) fn note(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

impl Summary {
    /// The table.
    pub(super) fn render(&self, format: Format) -> String {
        let people = format == Format::Table;
        let mut sheet = Sheet { table: Table::new(&["figure", "unit", "dam", "rtm", "day"]), people };
        self.add_market(&mut sheet);
        self.add_door(&mut sheet);
        self.add_core(&mut sheet);
        let millis = i128::try_from(self.elapsed.as_millis()).unwrap_or(i128::MAX);
        sheet.day("elapsed", "s", sheet.exact(millis * 1_000, 1));
        if !people {
            sheet.day("seed", "", self.seed.to_string());
            sheet.day("members", "", self.members.to_string());
            let digest = Cell::text(format!("{:032x}", self.digest));
            let label = [Cell::text("digest"), Cell::text(""), Cell::Nothing, Cell::Nothing, digest];
            sheet.table.add(label.to_vec());
        }
        sheet.table.render(format)
    }

    fn add_market(&self, sheet: &mut Sheet) {
        let both = [&self.dam, &self.rtm];
        let sums = |of: fn(&Figures) -> i128| both.map(of);
        sheet.markets("auctions", "", both.map(|it| sheet.count(it.auctions)));
        sheet.summed("energy", "MWh", sums(|it| it.energy_wh), 1);
        sheet.summed("turnover", "million Rs", sums(|it| it.turnover / 1_000_000), 1);
        sheet.summed("congestion revenue", "million Rs", sums(|it| it.congestion / 1_000_000), 2);
        let price = |micros: i64| sheet.exact(i128::from(micros), 2);
        let means = both.map(|it| it.mean().map_or(String::new(), |it| sheet.exact(it, 2)));
        let (lowest, highest) = (both.map(|it| price(it.lowest)), both.map(|it| price(it.highest)));
        sheet.markets("price, mean", "Rs/MWh", means);
        sheet.markets("price, lowest", "Rs/MWh", lowest);
        sheet.markets("price, highest", "Rs/MWh", highest);
        sheet.markets("blocks", "", both.map(|it| sheet.count(it.blocks)));
        sheet.markets("blocks at the cap", "", both.map(|it| sheet.count(it.at_cap)));
        sheet.markets("blocks congested", "", both.map(|it| sheet.count(it.split)));
    }

    fn add_door(&self, sheet: &mut Sheet) {
        let both = [&self.door[0], &self.door[1]];
        sheet.markets("order commands", "", both.map(|it| sheet.count(it.commands)));
        sheet.markets("curves in them", "", both.map(|it| sheet.count(it.curves)));
        sheet.markets("order commands a second", "", both.map(|it| sheet.count(it.rate())));
        for (name, quantile) in [("median", 0.5), ("99 %", 0.99)] {
            let times = both.map(|it| sheet.thousandth(it.answer_us.value_at_quantile(quantile), 2));
            sheet.markets(&format!("batch answered, {name}"), "ms", times);
        }
        for (name, quantile) in [("median", 0.5), ("longest", 1.0)] {
            let times = both.map(|it| sheet.thousandth(it.clearing_us.value_at_quantile(quantile), 2));
            sheet.markets(&format!("gate to result, {name}"), "ms", times);
        }
        for (name, quantile) in [("median", 0.5), ("longest", 1.0)] {
            let times =
                [0, 1].map(|it| self.clearing_ns[it].value_at_quantile(quantile)).map(|it| sheet.thousandth(it / 1_000, 2));
            sheet.markets(&format!("clearing in the core, {name}"), "ms", times);
        }
    }

    fn add_core(&self, sheet: &mut Sheet) {
        sheet.day("journal records", "", sheet.count(self.commands));
        for (name, quantile) in [("median", 0.5), ("99 %", 0.99), ("99.9 %", 0.999), ("longest", 1.0)] {
            let time = sheet.thousandth(self.request_ns.value_at_quantile(quantile), 1);
            sheet.day(&format!("core, a request, {name}"), "us", time);
        }
        let longest = sheet.thousandth(self.quantum_ns.max(), 1);
        sheet.day("core, a quantum, longest", "us", longest);
    }
}

/// The table in the making. People get groups of three, programs do not.
struct Sheet {
    table: Table,
    people: bool,
}

impl Sheet {
    fn row(&mut self, figure: &str, unit: &str, cells: [Cell; 3]) {
        let [dam, rtm, day] = cells;
        self.table.add(vec![Cell::text(figure), Cell::text(unit), dam, rtm, day]);
    }

    fn markets(&mut self, figure: &str, unit: &str, cells: [String; 2]) {
        let [dam, rtm] = cells.map(|it| if it.is_empty() { Cell::Nothing } else { Cell::number(it) });
        self.row(figure, unit, [dam, rtm, Cell::Nothing]);
    }

    fn day(&mut self, figure: &str, unit: &str, cell: String) {
        self.row(figure, unit, [Cell::Nothing, Cell::Nothing, Cell::number(cell)]);
    }

    fn summed(&mut self, figure: &str, unit: &str, micros: [i128; 2], places: u32) {
        let [dam, rtm] = micros;
        let cells = [dam, rtm, dam + rtm].map(|it| Cell::number(self.exact(it, places)));
        self.row(figure, unit, cells);
    }

    fn exact(&self, micros: i128, places: u32) -> String {
        let text = decimal(micros, places);
        if self.people { text } else { text.replace(',', "") }
    }

    fn count(&self, value: u64) -> String {
        if self.people { grouped(i64::try_from(value).unwrap_or(i64::MAX)) } else { value.to_string() }
    }

    /// A thousandth of a value: µs as ms, ns as µs.
    fn thousandth(&self, value: u64, places: u32) -> String {
        self.exact(i128::from(value) * 1_000, places)
    }
}

/// Area by area: mean prices of a market, what it sold beyond what it bought, and the lowest and
/// highest price; rows for a table.
pub(super) fn areas(day: &Day, market: &str) -> Vec<AreaFigures> {
    let mut areas: std::collections::BTreeMap<String, AreaFigures> = std::collections::BTreeMap::new();
    let of_market = day.auctions.iter().filter(|(name, _)| name.starts_with(market));
    for block in of_market.filter_map(|(_, it)| it.result.as_ref()).flat_map(super::day::blocks) {
        let minutes = i64::from(block.minutes);
        for it in block.areas {
            let area = areas.entry(it.name.clone()).or_insert_with(|| AreaFigures {
                name: it.name,
                blocks: 0,
                price_sum: 0,
                lowest: i64::MAX,
                highest: i64::MIN,
                bought_wh: 0,
                sold_wh: 0,
            });
            area.blocks += 1;
            area.price_sum += i128::from(it.price);
            area.lowest = area.lowest.min(it.price);
            area.highest = area.highest.max(it.price);
            area.bought_wh += it.bought * minutes / 60;
            area.sold_wh += it.sold * minutes / 60;
        }
    }
    areas.into_values().collect()
}

/// An area's day.
#[derive(Clone, Debug)]
pub(super) struct AreaFigures {
    /// Area.
    pub(super) name: String,
    blocks: i128,
    price_sum: i128,
    /// Lowest price, micros per MWh.
    pub(super) lowest: i64,
    /// Highest price, micros per MWh.
    pub(super) highest: i64,
    /// Energy bought, Wh.
    pub(super) bought_wh: i64,
    /// Energy sold, Wh.
    pub(super) sold_wh: i64,
}

impl AreaFigures {
    /// Mean of the block prices, micros per MWh.
    pub(super) fn mean(&self) -> i128 {
        self.price_sum / self.blocks.max(1)
    }
}
