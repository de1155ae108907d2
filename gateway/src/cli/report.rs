//! `merit report`: what a journal says about money, without a server.

use super::journal::Archive;
use super::output::{Cell, Format, Table, print};
use super::{Exit, Failure};
use crate::push::account_name;
use crate::settle::book::Book;
use crate::settle::table::Form;
use crate::settle::{erp, hledger, html, money};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};

/// Report on settlement: a day, balances, statements, exports for other books
///
/// Everything is made from the journal and is the same bytes whenever it is made again.
#[derive(Debug, clap::Args)]
pub(super) struct Report {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Day(DayReport),
    Balances(Balances),
    Statement(Statement),
    Hledger(Hledger),
    Erp(Erp),
    Surveillance(super::surveillance::Surveillance),
}

/// Where a book is read.
#[derive(Debug, clap::Args)]
pub(super) struct Data {
    /// Data directory of a node, or its journal
    pub(super) data: PathBuf,
    #[command(flatten)]
    archive: Archive,
}

/// What every member owes and is owed for a delivery day, or the whole day as one page
#[derive(Debug, clap::Args)]
struct DayReport {
    #[command(flatten)]
    from: Data,
    /// Local delivery day, e.g. 2026-11-24
    #[arg(long)]
    day: String,
    /// Number of the settlement run; the newest if it is not given
    #[arg(long)]
    run: Option<u32>,
    /// Write a self-contained HTML page here: prices, curves, flows, schedules, obligations, deviations
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// The balance of every account; they sum to zero
#[derive(Debug, clap::Args)]
struct Balances {
    #[command(flatten)]
    from: Data,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Every entry on a member's account, with the balance after it
#[derive(Debug, clap::Args)]
struct Statement {
    #[command(flatten)]
    from: Data,
    /// The member
    #[arg(long)]
    member: String,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// The ledger in the format of hledger, for another program to add up
#[derive(Debug, clap::Args)]
struct Hledger {
    #[command(flatten)]
    from: Data,
}

/// Journal entries for an ERP
///
/// With --answers, entries that the ERP says it has posted are left out, and refused ones are listed on
/// standard error; the exit code is then 4.
#[derive(Debug, clap::Args)]
struct Erp {
    #[command(flatten)]
    from: Data,
    /// Lines OUR_ACCOUNT,THEIR_ACCOUNT; `member` maps every member's account
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// The ERP's answers: lines DOCUMENT_KEY,posted|refused,MESSAGE
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// csv or json
    #[arg(short, long, value_enum, default_value = "csv")]
    output: Format,
}

impl Report {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.verb {
            Verb::Day(it) => it.run(),
            Verb::Balances(it) => it.run(),
            Verb::Statement(it) => it.run(),
            Verb::Hledger(it) => {
                print(&hledger::export(&it.from.read()?)).map_err(Failure::error)?;
                Ok(Exit::Ok)
            }
            Verb::Erp(it) => it.run(),
            Verb::Surveillance(it) => it.run(),
        }
    }
}

impl Data {
    /// Reads its book.
    pub(super) fn read(&self) -> Result<Book, Failure> {
        read(&self.data, &self.archive)
    }
}

/// Reads the book of a data directory, or of a journal.
pub(super) fn read(data: &Path, archive: &Archive) -> Result<Book, Failure> {
    let inner = data.join("journal");
    let journal = archive.open(if inner.is_dir() { &inner } else { data })?;
    let bar = ProgressBar::hidden();
    let mut show = |progress: merit_replay::recovery::Progress| {
        if progress.segments > 1 {
            if bar.is_hidden() {
                let style = ProgressStyle::with_template("reading {wide_bar} {pos}/{len} segments {elapsed}");
                bar.set_style(style.expect("the template is a constant and reads well"));
                bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            }
            bar.set_length(progress.segments);
            bar.set_position(progress.segments_done);
        }
    };
    let book = Book::read(&*journal, &mut show);
    bar.finish_and_clear();
    book.map_err(|error| Failure::error(format_args!("{error}\nremedy: {}", error.remedy())))
}

/// Reads a text file.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))
}

fn show(table: &Table, output: Format) -> Result<Exit, Failure> {
    print(&table.render(output)).map_err(Failure::error)?;
    Ok(Exit::Ok)
}

impl DayReport {
    fn run(self) -> Result<Exit, Failure> {
        let book = self.from.read()?;
        if let Some(path) = &self.html {
            let page = html::page(&book, &self.day);
            std::fs::write(path, page)
                .map_err(|error| Failure::error(format_args!("{}: {error}", path.display())))?;
            return Ok(Exit::Ok);
        }
        let Some(run) = book.run(&self.day, self.run) else {
            let hint = "settle it with `merit settle run`, or see --html";
            return Err(Failure::usage(format_args!("{} has no such settlement run; {hint}", self.day)));
        };
        let places = book.currency().1;
        let mut table = Table::new(&["member", "energy", "fees", "tax", "deviation", "net", "change"]);
        for it in &run.members {
            let change = run.deltas.iter().find(|delta| delta.member == it.member).map_or(0, |it| it.net_micros);
            let mut row = vec![Cell::text(&it.member)];
            let parts = [
                it.energy_micros,
                it.fee_micros,
                it.tax_micros,
                it.deviation_micros,
                it.net_micros,
                change,
            ];
            row.extend(parts.map(|micros| Cell::number(money(i128::from(micros), places))));
            table.add(row);
        }
        show(&table, self.output)
    }
}

impl Balances {
    fn run(self) -> Result<Exit, Failure> {
        let book = self.from.read()?;
        let places = book.currency().1;
        let balances = book.balances();
        let mut table = Table::new(&["account", "balance"]);
        for (account, micros) in &balances {
            table.add(vec![Cell::text(account), Cell::number(money(*micros, places))]);
        }
        let sum: i128 = balances.values().sum();
        table.add(vec![Cell::text("(sum)"), Cell::number(money(sum, places))]);
        show(&table, self.output)?;
        Ok(if sum == 0 { Exit::Ok } else { Exit::CheckFailed })
    }
}

impl Statement {
    fn run(self) -> Result<Exit, Failure> {
        let book = self.from.read()?;
        if !book.members.values().any(|it| it.0 == self.member) {
            return Err(Failure::usage(format_args!("no member {}", self.member)));
        }
        let places = book.currency().1;
        let name = format!("member:{}", self.member);
        let mut balance = 0_i128;
        let mut table = Table::new(&["entry", "date", "what", "amount", "balance"]);
        for (time_us, entry) in book.entries() {
            for it in entry.postings.iter().filter(|it| account_name(it.account.as_ref()) == name) {
                balance += i128::from(it.amount_micros);
                table.add(vec![
                    Cell::number(entry.entry_id),
                    Cell::text(hledger::date(time_us, entry)),
                    Cell::text(hledger::words(entry)),
                    Cell::number(money(i128::from(it.amount_micros), places)),
                    Cell::number(money(balance, places)),
                ]);
            }
        }
        show(&table, self.output)
    }
}

impl Erp {
    fn run(self) -> Result<Exit, Failure> {
        let mapping = match &self.accounts {
            Some(path) => erp::mapping(&text(path)?)
                .map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))?,
            None => erp::Mapping::new(),
        };
        let book = self.from.read()?;
        let mut exit = Exit::Ok;
        let mut after = 0;
        if let Some(path) = &self.answers {
            let answers = erp::acknowledged(&book, &text(path)?)
                .map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))?;
            after = answers.up_to;
            for (entry, message) in &answers.refused {
                eprintln!("merit: MERIT-{entry} was refused: {message}");
                exit = Exit::CheckWarns;
            }
        }
        let form = match self.output {
            Format::Json => Form::Json,
            Format::Csv | Format::Table => Form::Csv,
        };
        let rows = erp::export(&book, after, &mapping).render(form);
        print(&String::from_utf8_lossy(&rows)).map_err(Failure::error)?;
        Ok(exit)
    }
}
