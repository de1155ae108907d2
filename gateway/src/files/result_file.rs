//! Writes and reads `merit-result/1`.
//!
//! Written with a fixed order of keys, entries sorted by id and decimals in their shortest form, so
//! that one outcome has one text: permuting the orders of the auction changes no byte of it.

use super::auction_file::Auction;
use super::decimal::{self, Tick, TickError};
use super::raw::{Number, NumberMap, RawComplexFill, RawFill, RawRejected, RawResult};
use super::{FileError, Problems, from_json};
use merit_engine::auction::{BlockHandle, ComplexHandle, CurveHandle, Side};
use merit_engine::limits;
use merit_engine::outcome::{ComplexFill, Fill, Outcome, Rejected, Rejection};
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write};
use std::time::Duration;

/// The format that this writes and reads.
pub const RESULT_FORMAT: &str = "merit-result/1";

/// Every reason with its name in files.
const REASONS: [(Rejection, &str); 6] = [
    (Rejection::OutOfTheMoney, "out_of_the_money"),
    (Rejection::ParadoxicallyRejected, "paradoxically_rejected"),
    (Rejection::ParentRejected, "parent_rejected"),
    (Rejection::GroupTaken, "group_taken"),
    (Rejection::LossOfFamily, "loss_of_family"),
    (Rejection::WorkLimit, "work_limit"),
];

/// The name of a reason in files.
#[must_use]
pub fn reason_name(reason: Rejection) -> &'static str {
    REASONS.iter().find(|it| it.0 == reason).map_or("", |it| it.1)
}

/// Whether an outcome is proven best.
#[must_use]
pub fn status_name(outcome: &Outcome) -> &'static str {
    if outcome.welfare == outcome.bound { "optimal" } else { "limit" }
}

/// The lots that a block of `lots` trades at `ratio` millionths.
#[must_use]
pub fn block_lots(lots: i64, ratio: u32) -> i64 {
    let share = i128::from(lots) * i128::from(ratio) / i128::from(limits::RATIO_UNIT);
    i64::try_from(share).expect("a ratio of at most 1 takes no more than the whole")
}

/// What a clearing took. It stands in the result's line `"stats"`, which takes no part in comparisons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Parts of the block and complex decisions that were looked at.
    pub nodes: u64,
    /// From the orders to the outcome.
    pub clearing: Duration,
    /// The verifier's part.
    pub verifying: Duration,
}

/// The text of the result file of `outcome`.
///
/// # Panics
///
/// If `outcome` is not an outcome of `auction`: lists of other lengths, unknown handles.
#[must_use]
pub fn write_result(auction: &Auction, outcome: &Outcome, stats: &Stats) -> String {
    let mut out = String::new();
    write_into(&mut out, auction, outcome, stats).expect("a String takes all text");
    out
}

fn write_into(out: &mut String, auction: &Auction, outcome: &Outcome, stats: &Stats) -> fmt::Result {
    let units = &auction.units;
    writeln!(out, "{{")?;
    writeln!(out, "\"format\":{},", quoted(RESULT_FORMAT))?;
    writeln!(out, "\"auction\":{},", quoted(&units.name))?;
    let frame = auction.book.frame();
    let areas = frame.areas.iter().map(String::as_str).collect();
    write_rows(out, "prices", areas, &outcome.prices, |it| units.price(it).to_string())?;
    let lines = frame.lines.iter().map(|it| it.id.as_str()).collect();
    write_rows(out, "flows", lines, &outcome.flows, |it| units.quantity(it).to_string())?;
    write_list(out, "curves", curve_entries(auction, outcome))?;
    write_list(out, "blocks", block_entries(auction, outcome))?;
    write_list(out, "complex", complex_entries(auction, outcome))?;
    write_list(out, "rejected", rejected_entries(auction, outcome))?;
    writeln!(out, "\"welfare\":\"{}\",", units.money(outcome.welfare))?;
    writeln!(out, "\"bound\":\"{}\",", units.money(outcome.bound))?;
    writeln!(out, "\"status\":\"{}\",", status_name(outcome))?;
    let Stats { nodes, clearing, verifying } = stats;
    let (clearing, verifying) = (clearing.as_secs_f64(), verifying.as_secs_f64());
    write!(out, "\"stats\":{{\"work\":{},\"nodes\":{nodes},", outcome.work)?;
    writeln!(out, "\"clearing_seconds\":{clearing:.6},\"verifying_seconds\":{verifying:.6}}}")?;
    writeln!(out, "}}")
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always JSON")
}

/// One row of values per area or line, `values` indexed `period × names + name`.
fn write_rows(
    out: &mut String,
    key: &str,
    names: Vec<&str>,
    values: &[i64],
    show: impl Fn(i64) -> String,
) -> fmt::Result {
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|it| names[*it]);
    write!(out, "\"{key}\":{{")?;
    for (position, name) in order.into_iter().enumerate() {
        write!(out, "{}\n{}:[", if position == 0 { "" } else { "," }, quoted(names[name]))?;
        for (period, row) in values.chunks(names.len()).enumerate() {
            write!(out, "{}\"{}\"", if period == 0 { "" } else { "," }, show(row[name]))?;
        }
        write!(out, "]")?;
    }
    writeln!(out, "\n}},")
}

/// Entries of (id, rest of the object), sorted by id.
fn write_list(out: &mut String, key: &str, mut entries: Vec<(&str, String)>) -> fmt::Result {
    entries.sort_unstable();
    write!(out, "\"{key}\":[")?;
    for (position, (id, rest)) in entries.iter().enumerate() {
        write!(out, "{}\n{{\"id\":{},{rest}}}", if position == 0 { "" } else { "," }, quoted(id))?;
    }
    writeln!(out, "\n],")
}

fn curve_entries<'a>(auction: &'a Auction, outcome: &Outcome) -> Vec<(&'a str, String)> {
    let units = &auction.units;
    let mut entries = Vec::new();
    for (handle, fill) in outcome.fills(&auction.book) {
        if fill == Fill::default() {
            continue;
        }
        let id = auction.book.curve_id(handle).expect("a fill belongs to an order of the book");
        let (bought, sold) = (units.quantity(fill.bought), units.quantity(fill.sold));
        entries.push((id, format!("\"bought\":\"{bought}\",\"sold\":\"{sold}\"")));
    }
    entries
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Buy => "bought",
        Side::Sell => "sold",
    }
}

/// `"sold":{"8":"10","9":"10"}`, periods ascending.
fn accepted(auction: &Auction, side: Side, lots: impl Iterator<Item = (u16, i64)>) -> String {
    let units = &auction.units;
    let parts: Vec<String> =
        lots.map(|(period, lots)| format!("\"{}\":\"{}\"", period + 1, units.quantity(lots))).collect();
    format!("\"{}\":{{{}}}", side_name(side), parts.join(","))
}

fn block_entries<'a>(auction: &'a Auction, outcome: &Outcome) -> Vec<(&'a str, String)> {
    let unit = Tick::new(rust_decimal::Decimal::new(1, 6)).expect("a millionth is a tick");
    let entry = |(handle, ratio): &(BlockHandle, u32)| {
        let id = auction.book.block_id(*handle).expect("an accepted block is in the book");
        let order = auction.book.block(*handle).expect("an accepted block is in the book");
        let lots = order.quantity.iter().map(|(period, lots)| (*period, block_lots(*lots, *ratio)));
        let ratio = unit.show(i64::from(*ratio));
        (id, format!("\"ratio\":\"{ratio}\",{}", accepted(auction, order.side, lots)))
    };
    outcome.blocks.iter().map(entry).collect()
}

fn complex_entries<'a>(auction: &'a Auction, outcome: &Outcome) -> Vec<(&'a str, String)> {
    let entry = |fill: &ComplexFill| {
        let id = auction.book.complex_id(fill.handle).expect("an active complex order is in the book");
        let order = auction.book.complex(fill.handle).expect("an active complex order is in the book");
        let lots = order.curve.iter().map(|it| it.period).zip(fill.quantity.iter().copied());
        (id, accepted(auction, order.side, lots))
    };
    outcome.complex.iter().map(entry).collect()
}

fn rejected_entries<'a>(auction: &'a Auction, outcome: &Outcome) -> Vec<(&'a str, String)> {
    let rest = |reason, surplus| {
        let surplus = auction.units.money(surplus);
        format!("\"reason\":\"{}\",\"surplus\":\"{surplus}\"", reason_name(reason))
    };
    let blocks = outcome.blocks_rejected.iter().map(|it| {
        let id = auction.book.block_id(it.handle).expect("a rejected block is in the book");
        (id, rest(it.reason, it.surplus))
    });
    let complex = outcome.complex_rejected.iter().map(|it| {
        let id = auction.book.complex_id(it.handle).expect("an inactive complex order is in the book");
        (id, rest(it.reason, it.surplus))
    });
    blocks.chain(complex).collect()
}

/// Something that a result file says and that no outcome of the auction can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It names something that the auction does not know.
    Unknown {
        /// `curve`, `block`, `complex`, `order`, `area` or `line`.
        kind: &'static str,
        /// The name.
        id: String,
    },
    /// It reports an order twice.
    Twice {
        /// `curve`, `block` or `complex`.
        kind: &'static str,
        /// The order.
        id: String,
    },
    /// A ratio is no whole number of millionths above 0 and at most 1.
    Ratio {
        /// The block.
        id: String,
        /// What the file says.
        told: String,
    },
    /// An order is reported for other periods than its own, or on the other side.
    OtherPeriods {
        /// The order.
        id: String,
    },
    /// A block's quantity is not what its ratio gives.
    BlockQuantity {
        /// The block.
        id: String,
        /// Period, from 1.
        period: u16,
        /// Lots told.
        told: i64,
        /// Lots that the ratio gives.
        given: i64,
    },
    /// Money that is no whole number of grid units of welfare.
    OffGrid {
        /// Which amount.
        field: String,
        /// What the file says.
        told: String,
    },
    /// The status does not follow from welfare and bound.
    Status {
        /// What the file says.
        told: String,
        /// What follows.
        follows: &'static str,
    },
    /// The result is of an auction of another name.
    OtherAuction {
        /// The name that the file says.
        told: String,
    },
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { kind, id } => write!(f, "{kind} \"{id}\" is not in the auction"),
            Self::Twice { kind, id } => write!(f, "{kind} \"{id}\" is reported twice"),
            Self::Ratio { id, told } => {
                write!(f, "block \"{id}\": ratio {told} is no whole number of millionths above 0, at most 1")
            }
            Self::OtherPeriods { id } => {
                write!(f, "order \"{id}\" is reported for other periods than its own or on the other side")
            }
            Self::BlockQuantity { id, period, told, given } => {
                write!(f, "block \"{id}\" period {period}: {told} lots reported, its ratio gives {given}")
            }
            Self::OffGrid { field, told } => {
                write!(f, "{field} {told} is no exact amount of this auction's money")
            }
            Self::Status { told, follows } => {
                write!(f, "status \"{told}\": from welfare and bound follows \"{follows}\"")
            }
            Self::OtherAuction { told } => write!(f, "the result is of auction \"{told}\""),
        }
    }
}

/// A result file, read against its auction.
#[derive(Clone, Debug)]
pub struct ResultFile {
    /// The outcome that it tells.
    pub outcome: Outcome,
    /// What it says beyond that and that cannot be: every entry is a broken rule.
    pub claims: Vec<Claim>,
}

/// Reads a result of `auction`.
///
/// # Errors
///
/// [`FileError::Malformed`] at the first mistake of form, or [`FileError::Invalid`] if numbers are
/// off their tick or rows have another length than the auction has periods. Whether the result
/// obeys the rules is for the engine's verifier, and [`ResultFile::claims`], to say.
pub fn read_result(text: &str, auction: &Auction) -> Result<ResultFile, FileError> {
    let raw: RawResult<'_> = from_json(text)?;
    let mut reader = Reader::new(auction);
    if raw.format.0 != RESULT_FORMAT {
        reader.problems.add("format", Some(&raw.format.0), format_args!("is not {RESULT_FORMAT}"));
        return Err(FileError::Invalid(reader.problems));
    }
    if raw.auction.0 != auction.units.name {
        reader.claims.push(Claim::OtherAuction { told: raw.auction.0.clone().into_owned() });
    }
    let outcome = reader.outcome(&raw);
    let follows = status_name(&outcome);
    if raw.status.0 != follows {
        reader.claims.push(Claim::Status { told: raw.status.0.clone().into_owned(), follows });
    }
    reader.problems.into_result()?;
    Ok(ResultFile { outcome, claims: reader.claims })
}

/// What an id stands for.
#[derive(Clone, Copy)]
enum Order {
    Curve(CurveHandle),
    Block(BlockHandle),
    Complex(ComplexHandle),
}

struct Reader<'a> {
    auction: &'a Auction,
    orders: HashMap<&'a str, Order>,
    problems: Problems,
    claims: Vec<Claim>,
}

impl<'a> Reader<'a> {
    fn new(auction: &'a Auction) -> Self {
        let book = &auction.book;
        let curves = book.curves().map(|(handle, id, _)| (id, Order::Curve(handle)));
        let blocks = book.blocks().map(|(handle, id, _)| (id, Order::Block(handle)));
        let complex = book.complex_orders().map(|(handle, id, _)| (id, Order::Complex(handle)));
        let orders = curves.chain(blocks).chain(complex).collect();
        Self { auction, orders, problems: Problems::default(), claims: Vec::new() }
    }

    fn outcome(&mut self, raw: &RawResult<'_>) -> Outcome {
        let auction = self.auction;
        let frame = auction.book.frame();
        let areas: Vec<&str> = frame.areas.iter().map(String::as_str).collect();
        let lines: Vec<&str> = frame.lines.iter().map(|it| it.id.as_str()).collect();
        let prices = self.rows("area", &raw.prices.0, &areas, auction.units.price_tick);
        for (area, given) in areas.iter().zip(&prices.1) {
            if !given {
                self.problems.add("prices", Some(area), "has no row");
            }
        }
        let empty = Vec::new();
        let flows = raw.flows.as_ref().map_or(&empty, |it| &it.0);
        let flows = self.rows("line", flows, &lines, auction.units.quantity_tick);
        let curves = self.curves(&raw.curves);
        let blocks = self.blocks(raw);
        let complex = self.complex(&raw.complex);
        let (blocks_rejected, complex_rejected) = self.rejected(&raw.rejected);
        Outcome {
            prices: prices.0,
            flows: flows.0,
            curves,
            blocks,
            complex,
            blocks_rejected,
            complex_rejected,
            welfare: self.money("welfare", raw.welfare),
            bound: self.money("bound", raw.bound),
            work: 0,
        }
    }

    fn unknown(&mut self, kind: &'static str, id: &str) {
        self.claims.push(Claim::Unknown { kind, id: super::excerpt(id) });
    }

    fn twice(&mut self, kind: &'static str, id: &str) {
        self.claims.push(Claim::Twice { kind, id: super::excerpt(id) });
    }

    fn ticks(&mut self, place: fmt::Arguments<'_>, raw: Number<'_>, tick: Tick) -> i64 {
        let rule = match decimal::parse(raw.text()) {
            Err(error) => error.to_string(),
            Ok(value) => match tick.count(value) {
                Ok(count) => return count,
                Err(TickError::OffTick) => format!("is off the tick {}", tick.show(1)),
                Err(TickError::OutOfRange) => "is out of range".into(),
            },
        };
        self.problems.add(place, Some(raw.text()), rule);
        0
    }

    /// Rows of one value per period into one list, indexed `period × names + name`; also which names
    /// had a row.
    fn rows(
        &mut self,
        kind: &'static str,
        raw: &[(super::raw::Text<'_>, Vec<Number<'_>>)],
        names: &[&str],
        tick: Tick,
    ) -> (Vec<i64>, Vec<bool>) {
        let periods = usize::from(self.auction.book.frame().periods);
        let mut values = vec![0; periods * names.len()];
        let mut given = vec![false; names.len()];
        let positions: HashMap<&str, usize> = names.iter().enumerate().map(|(at, it)| (*it, at)).collect();
        for (name, row) in raw {
            let Some(position) = positions.get(name.0.as_ref()).copied() else {
                self.unknown(kind, &name.0);
                continue;
            };
            given[position] = true;
            if row.len() != periods {
                let rule = format_args!("holds {} values, the auction has {periods} periods", row.len());
                self.problems.add(format_args!("{kind} \"{}\"", name.0), None, rule);
                continue;
            }
            for (period, value) in row.iter().enumerate() {
                let place = format_args!("{kind} \"{}\" period {}", name.0, period + 1);
                values[period * names.len() + position] = self.ticks(place, *value, tick);
            }
        }
        (values, given)
    }

    fn money(&mut self, field: &str, raw: Number<'_>) -> i128 {
        match decimal::count_of(raw.text(), self.auction.units.grid) {
            Ok(Some(count)) => return count,
            Ok(None) => {
                self.claims.push(Claim::OffGrid { field: field.into(), told: super::excerpt(raw.text()) });
            }
            Err(error) => self.problems.add(field, Some(raw.text()), error),
        }
        0
    }

    fn curves(&mut self, raw: &[RawFill<'_>]) -> Vec<Fill> {
        let tick = self.auction.units.quantity_tick;
        let book = &self.auction.book;
        let places = book.places();
        let mut fills = vec![Fill::default(); places.count()];
        let mut given = vec![false; places.count()];
        for entry in raw {
            let Some(Order::Curve(handle)) = self.orders.get(entry.id.0.as_ref()).copied() else {
                self.unknown("curve", &entry.id.0);
                continue;
            };
            let place = places.of(book, handle).expect("the order is in the book");
            if given[place] {
                self.twice("curve", &entry.id.0);
            }
            given[place] = true;
            let mut read = |field, number: Option<Number<'_>>| {
                number.map_or(0, |it| self.ticks(format_args!("curve \"{}\" {field}", entry.id.0), it, tick))
            };
            fills[place] = Fill { bought: read("bought", entry.bought), sold: read("sold", entry.sold) };
        }
        fills
    }

    fn blocks(&mut self, raw: &RawResult<'_>) -> Vec<(BlockHandle, u32)> {
        let auction = self.auction;
        let mut accepted = BTreeMap::new();
        for entry in &raw.blocks {
            let Some(Order::Block(handle)) = self.orders.get(entry.id.0.as_ref()).copied() else {
                self.unknown("block", &entry.id.0);
                continue;
            };
            let ratio = decimal::count_of(entry.ratio.text(), decimal::Exact { digits: 1, scale: 6 });
            let ratio = ratio.ok().flatten().and_then(|it| u32::try_from(it).ok());
            let Some(ratio) = ratio.filter(|it| (1..=limits::RATIO_UNIT).contains(it)) else {
                let (id, told) = (super::excerpt(&entry.id.0), super::excerpt(entry.ratio.text()));
                self.claims.push(Claim::Ratio { id, told });
                continue;
            };
            if accepted.insert(handle, ratio).is_some() {
                self.twice("block", &entry.id.0);
            }
            let order = auction.book.block(handle).expect("the handle came from the book");
            let own: Vec<(u16, i64)> =
                order.quantity.iter().map(|(period, lots)| (*period, block_lots(*lots, ratio))).collect();
            let told = self.told(&entry.id.0, order.side, entry.bought.as_ref(), entry.sold.as_ref());
            self.check_block(&entry.id.0, &own, &told);
        }
        accepted.into_iter().collect()
    }

    fn check_block(&mut self, id: &str, own: &[(u16, i64)], told: &BTreeMap<u16, i64>) {
        let id = super::excerpt(id);
        if !own.iter().map(|it| it.0).eq(told.keys().copied()) {
            self.claims.push(Claim::OtherPeriods { id });
            return;
        }
        for ((period, given), told) in own.iter().zip(told.values()) {
            if given != told {
                let (period, told, given) = (period + 1, *told, *given);
                self.claims.push(Claim::BlockQuantity { id: id.clone(), period, told, given });
            }
        }
    }

    /// The lots told for each period of an order on its own side; nothing may be told on the other.
    fn told(
        &mut self,
        id: &str,
        side: Side,
        bought: Option<&NumberMap<'_>>,
        sold: Option<&NumberMap<'_>>,
    ) -> BTreeMap<u16, i64> {
        let (own, other) = match side {
            Side::Buy => (bought, sold),
            Side::Sell => (sold, bought),
        };
        let mut told = BTreeMap::new();
        if other.is_some_and(|it| !it.0.is_empty()) {
            self.claims.push(Claim::OtherPeriods { id: super::excerpt(id) });
        }
        for (period, lots) in own.map_or(&[][..], |it| &it.0) {
            let lots = self.ticks(
                format_args!("order \"{id}\" period {}", period.0),
                *lots,
                self.auction.units.quantity_tick,
            );
            match period.0.parse::<u16>() {
                Ok(number) if number > 0 => {
                    told.insert(number - 1, lots);
                }
                Ok(_) | Err(_) => self.claims.push(Claim::OtherPeriods { id: super::excerpt(id) }),
            }
        }
        told
    }

    fn complex(&mut self, raw: &[RawComplexFill<'_>]) -> Vec<ComplexFill> {
        let auction = self.auction;
        let mut active = BTreeMap::new();
        for entry in raw {
            let Some(Order::Complex(handle)) = self.orders.get(entry.id.0.as_ref()).copied() else {
                self.unknown("complex", &entry.id.0);
                continue;
            };
            let order = auction.book.complex(handle).expect("the handle came from the book");
            let told = self.told(&entry.id.0, order.side, entry.bought.as_ref(), entry.sold.as_ref());
            if !order.curve.iter().map(|it| it.period).eq(told.keys().copied()) {
                self.claims.push(Claim::OtherPeriods { id: super::excerpt(&entry.id.0) });
            }
            let quantity = order.curve.iter().map(|it| told.get(&it.period).copied().unwrap_or(0)).collect();
            if active.insert(handle, ComplexFill { handle, quantity }).is_some() {
                self.twice("complex", &entry.id.0);
            }
        }
        active.into_values().collect()
    }

    fn rejected(
        &mut self,
        raw: &[RawRejected<'_>],
    ) -> (Vec<Rejected<BlockHandle>>, Vec<Rejected<ComplexHandle>>) {
        let mut blocks = BTreeMap::new();
        let mut complex = BTreeMap::new();
        for entry in raw {
            let id = entry.id.0.as_ref();
            let Some(reason) = REASONS.iter().find(|it| it.1 == entry.reason.0).map(|it| it.0) else {
                let place = format_args!("rejected \"{}\" reason", super::excerpt(id));
                self.problems.add(place, Some(&entry.reason.0), "is not a reason of this format");
                continue;
            };
            let surplus = self.money(&format!("surplus of \"{}\"", super::excerpt(id)), entry.surplus);
            let twice = match self.orders.get(id).copied() {
                Some(Order::Block(handle)) => {
                    blocks.insert(handle, Rejected { handle, reason, surplus }).is_some()
                }
                Some(Order::Complex(handle)) => {
                    complex.insert(handle, Rejected { handle, reason, surplus }).is_some()
                }
                Some(Order::Curve(_)) | None => {
                    self.unknown("rejected order", id);
                    false
                }
            };
            if twice {
                self.twice("rejected order", id);
            }
        }
        (blocks.into_values().collect(), complex.into_values().collect())
    }
}
