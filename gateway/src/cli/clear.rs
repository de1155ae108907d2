//! `merit clear`: an auction file into a result file, with no server.

use super::clearing::{self, Cleared};
use super::output::{Cell, Format, Table, print};
use super::{Exit, Failure};
use crate::files::result_file::{block_lots, status_name};
use crate::files::decimal::parse;
use crate::files::{Auction, write_result};
use merit_engine::auction::{Line, Side};
use merit_engine::clearing::Limit;
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// Clear an auction file: prices, volumes, flows and congested lines
///
/// Every result is verified before it is shown or written; one that breaks a rule is refused
/// (exit code 3). Several files, or a folder of `*.json` and `*.json.gz` files, are cleared one
/// after the other, with one line for each.
#[derive(Debug, clap::Args)]
pub(super) struct Clear {
    /// Auctions (merit-auction/1, plain or gzip; `-` for standard input), or folders of them
    #[arg(required = true)]
    auction: Vec<PathBuf>,
    /// Write the result (merit-result/1) here; of several auctions, a folder for `NAME.result.json`
    #[arg(long)]
    out: Option<PathBuf>,
    /// How to print; `json` prints the result file itself
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// End the search for block and complex decisions after so many units of work, with the best it
    /// has. Work is counted, not timed: the same limit gives the same result everywhere
    #[arg(long, value_name = "UNITS")]
    work_limit: Option<u64>,
    /// End the search once no result can have more than this money above the best one's welfare
    #[arg(long, value_name = "MONEY")]
    gap: Option<String>,
    /// Print nothing
    #[arg(short, long)]
    quiet: bool,
}

impl Clear {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.auction.as_slice() {
            [one] if !one.is_dir() => self.one(one),
            several => self.many(&expand(several)?),
        }
    }

    /// Opens a file and clears it as the options say.
    fn cleared(&self, path: &Path) -> Result<(Auction, Cleared), Failure> {
        let auction = clearing::open(path)?;
        let cleared = clearing::clear(&auction, self.limit(&auction)?, !self.quiet)?;
        Ok((auction, cleared))
    }

    fn limit(&self, auction: &Auction) -> Result<Limit, Failure> {
        let mut limit = Limit::default();
        limit.work = self.work_limit.unwrap_or(limit.work);
        if let Some(gap) = &self.gap {
            let refused = |rule| Failure::usage(format_args!("--gap {gap}: {rule}"));
            let amount = parse(gap).map_err(|_| refused("is not an amount of money"))?;
            if amount.is_sign_negative() {
                return Err(refused("must not be negative"));
            }
            limit.gap = auction.units.grid_units(amount).ok_or_else(|| refused("needs more than 38 digits"))?;
        }
        Ok(limit)
    }

    fn one(&self, path: &Path) -> Result<Exit, Failure> {
        let (auction, cleared) = self.cleared(path)?;
        if let Some(out) = &self.out {
            write(out, &write_result(&auction, &cleared.outcome, &cleared.stats))?;
        }
        if !self.quiet {
            let text = match self.output {
                Format::Json => write_result(&auction, &cleared.outcome, &cleared.stats),
                Format::Csv => rows(&auction, &cleared).render(Format::Csv),
                Format::Table => overview(&auction, &cleared),
            };
            print(&text).map_err(Failure::error)?;
        }
        Ok(Exit::Ok)
    }

    /// Goes on after a failure, so that one bad file of a batch hides no other; the exit code is
    /// that of the first failure.
    fn many(&self, paths: &[PathBuf]) -> Result<Exit, Failure> {
        if let Some(out) = &self.out {
            std::fs::create_dir_all(out)
                .map_err(|error| Failure::error(format_args!("cannot make {}: {error}", out.display())))?;
        }
        let mut table = Table::new(&["file", "status", "welfare", "bought_mwh", "seconds"]);
        let mut exit = Exit::Ok;
        for path in paths {
            match self.one_of_many(path) {
                Ok(row) => table.add(row),
                Err(failure) => {
                    eprintln!("merit: {}: {}", path.display(), failure.message);
                    if exit == Exit::Ok {
                        exit = failure.exit;
                    }
                }
            }
        }
        if !self.quiet {
            print(&table.render(self.output)).map_err(Failure::error)?;
        }
        Ok(exit)
    }

    fn one_of_many(&self, path: &Path) -> Result<Vec<Cell>, Failure> {
        let (auction, cleared) = self.cleared(path)?;
        if let Some(out) = &self.out {
            let name = format!("{}.result.json", stem(path));
            write(&out.join(name), &write_result(&auction, &cleared.outcome, &cleared.stats))?;
        }
        let seconds = (cleared.stats.clearing + cleared.stats.verifying).as_secs_f64();
        Ok(vec![
            Cell::text(path.display().to_string()),
            Cell::text(status_name(&cleared.outcome)),
            Cell::number(auction.units.money(cleared.outcome.welfare)),
            auction.units.energy(cleared.summary.bought).map_or(Cell::Nothing, Cell::number),
            Cell::number(format_args!("{seconds:.6}")),
        ])
    }
}

/// The file's name without `.json`, `.gz` and `.auction`.
fn stem(path: &Path) -> String {
    let name = path.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let name = name.strip_suffix(".json").unwrap_or(name);
    name.strip_suffix(".auction").unwrap_or(name).into()
}

/// Folders become the auction files in them, by name.
fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |error| Failure::usage(format_args!("cannot read {}: {error}", path.display()));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?.path();
            let name = entry.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
            let other = name.contains(".expected.") || name.contains(".result.");
            if (name.ends_with(".json") || name.ends_with(".json.gz")) && !other {
                found.push(entry);
            }
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written = if path.as_os_str() == "-" { print(text) } else { std::fs::write(path, text) };
    written.map_err(|error| Failure::error(format_args!("cannot write {}: {error}", path.display())))
}

/// Lots bought and sold per period and area, index `period × areas + area`.
fn volumes(auction: &Auction, cleared: &Cleared) -> Vec<(i64, i64)> {
    let frame = auction.book.frame();
    let areas = frame.areas.len();
    let mut lots = vec![(0, 0); areas * usize::from(frame.periods)];
    let mut add = |period: u16, area: u16, bought: i64, sold: i64| {
        let cell = &mut lots[usize::from(period) * areas + usize::from(area)];
        *cell = (cell.0 + bought, cell.1 + sold);
    };
    for ((_, _, order), (_, fill)) in auction.book.curves().zip(cleared.outcome.fills(&auction.book)) {
        add(order.period, order.area, fill.bought, fill.sold);
    }
    let mut add_side = |side, period, area, lots| match side {
        Side::Buy => add(period, area, lots, 0),
        Side::Sell => add(period, area, 0, lots),
    };
    for (handle, ratio) in &cleared.outcome.blocks {
        let order = auction.book.block(*handle).expect("an accepted block is in the book");
        for (period, lots) in &order.quantity {
            add_side(order.side, *period, order.area, block_lots(*lots, *ratio));
        }
    }
    for fill in &cleared.outcome.complex {
        let order = auction.book.complex(fill.handle).expect("an active complex order is in the book");
        for (part, lots) in order.curve.iter().zip(&fill.quantity) {
            add_side(order.side, part.period, order.area, *lots);
        }
    }
    lots
}

/// How the prices at the two ends of a line compare: congested unless equal.
fn price_spread(auction: &Auction, cleared: &Cleared, period: usize, line: &Line) -> Ordering {
    let areas = auction.book.frame().areas.len();
    let price = |area: u16| cleared.outcome.prices[period * areas + usize::from(area)];
    price(line.from).cmp(&price(line.to))
}

/// The congested borders of a period, with the direction of the power.
fn congested(auction: &Auction, cleared: &Cleared, period: usize) -> Vec<String> {
    let frame = auction.book.frame();
    let mut names = Vec::new();
    for line in &frame.lines {
        let (from, to) = (&frame.areas[usize::from(line.from)], &frame.areas[usize::from(line.to)]);
        match price_spread(auction, cleared, period, line) {
            Ordering::Less => names.push(format!("{from}→{to}")),
            Ordering::Greater => names.push(format!("{to}→{from}")),
            Ordering::Equal => {}
        }
    }
    names.sort();
    names.dedup();
    names
}

/// One row per area and period, and one per line and period.
fn rows(auction: &Auction, cleared: &Cleared) -> Table {
    let frame = auction.book.frame();
    let (units, areas, lines) = (&auction.units, frame.areas.len(), frame.lines.len());
    let volumes = volumes(auction, cleared);
    let mut table = Table::new(&["kind", "id", "period", "price", "bought", "sold", "flow", "congested"]);
    for period in 0..usize::from(frame.periods) {
        for (area, id) in frame.areas.iter().enumerate() {
            let (bought, sold) = volumes[period * areas + area];
            table.add(vec![
                Cell::text("area"),
                Cell::text(id),
                Cell::number(period + 1),
                Cell::number(units.price(cleared.outcome.prices[period * areas + area])),
                Cell::number(units.quantity(bought)),
                Cell::number(units.quantity(sold)),
                Cell::Nothing,
                Cell::Nothing,
            ]);
        }
        for (position, line) in frame.lines.iter().enumerate() {
            table.add(vec![
                Cell::text("line"),
                Cell::text(&line.id),
                Cell::number(period + 1),
                Cell::Nothing,
                Cell::Nothing,
                Cell::Nothing,
                Cell::number(units.quantity(cleared.outcome.flows[period * lines + position])),
                Cell::Flag(price_spread(auction, cleared, period, line).is_ne()),
            ]);
        }
    }
    table
}

/// What a person wants to see: prices by period, then lines and the whole.
fn overview(auction: &Auction, cleared: &Cleared) -> String {
    let frame = auction.book.frame();
    let (units, areas) = (&auction.units, frame.areas.len());
    let volumes = volumes(auction, cleared);
    let mut prices = Table::new(&["period"]);
    for area in &frame.areas {
        prices.add_column(area);
    }
    prices.add_column("bought MW");
    prices.add_column("congested");
    for period in 0..usize::from(frame.periods) {
        let mut row = vec![Cell::number(period + 1)];
        let cells = period * areas..(period + 1) * areas;
        row.extend(cleared.outcome.prices[cells.clone()].iter().map(|it| Cell::number(units.price(*it))));
        row.push(Cell::number(units.quantity(volumes[cells].iter().map(|it| it.0).sum())));
        row.push(Cell::text(congested(auction, cleared, period).join(" ")));
        prices.add(row);
    }
    let mut text = prices.render(Format::Table);
    if !frame.lines.is_empty() {
        text += "\n";
        text += &lines_table(auction, cleared).render(Format::Table);
    }
    let (curves, blocks) = (auction.book.curves().count(), cleared.outcome.blocks.len());
    let gap = cleared.outcome.bound - cleared.outcome.welfare;
    let proof = match status_name(&cleared.outcome) {
        "optimal" => String::from("optimal"),
        status => format!("{status}: at most {} more was possible", units.money(gap)),
    };
    let energy = units.energy(cleared.summary.bought).map_or_else(String::new, |it| it.to_string());
    text + &format!(
        "\n{}: {energy} MWh bought, welfare {} {} ({})\n\
         {curves} curve orders, {blocks} of {} blocks accepted; cleared in {:.1?}, every rule verified in {:.1?}\n",
        units.name,
        units.money(cleared.outcome.welfare),
        units.currency,
        proof,
        blocks + cleared.outcome.blocks_rejected.len(),
        cleared.stats.clearing,
        cleared.stats.verifying,
    )
}

/// Least and greatest flow and the number of congested periods of every line.
fn lines_table(auction: &Auction, cleared: &Cleared) -> Table {
    let frame = auction.book.frame();
    let units = &auction.units;
    let columns = ["line", "from", "to", "least MW", "greatest MW", "congested periods"];
    let mut table = Table::new(&columns);
    for (position, line) in frame.lines.iter().enumerate() {
        let flows = cleared.outcome.flows.iter().skip(position).step_by(frame.lines.len()).copied();
        let periods = 0..usize::from(frame.periods);
        let congested = periods.filter(|it| price_spread(auction, cleared, *it, line).is_ne()).count();
        table.add(vec![
            Cell::text(&line.id),
            Cell::text(&frame.areas[usize::from(line.from)]),
            Cell::text(&frame.areas[usize::from(line.to)]),
            Cell::number(units.quantity(flows.clone().min().unwrap_or(0))),
            Cell::number(units.quantity(flows.max().unwrap_or(0))),
            Cell::number(congested),
        ]);
    }
    table
}
