//! The verbs that need no server: everything is made from the journal and the archive.

use crate::cli::output::{Cell, Format, Table, print};
use crate::cli::report::{Data, read, text};
use crate::cli::{Exit, Failure, journal};
use crate::meters::archive::Archive;
use crate::meters::{self, Register, Source, source};
use crate::push::embedded::{self, Ledger};
use crate::push::postgres::Postgres;
use crate::settle::book::Book;
use crate::settle::{bank, documents, money, reconcile};
use aws_lc_rs::signature::Ed25519KeyPair;
use indicatif::{ProgressBar, ProgressStyle};
use merit_proto::v1;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use v1::stream_obligations_response::Event;

/// Write the documents of a run, per member, with a manifest
///
/// Obligations, summary, delivery, invoice, statement and adjustment, each as CSV, JSON and Parquet.
#[derive(Debug, clap::Args)]
pub(super) struct Documents {
    #[command(flatten)]
    from: Data,
    /// Local delivery day, e.g. 2026-11-24
    #[arg(long)]
    day: String,
    /// Number of the run; the newest if it is not given
    #[arg(long)]
    run: Option<u32>,
    /// Only this member's
    #[arg(long)]
    member: Option<String>,
    /// Directory to write to; files in it are overwritten
    #[arg(long)]
    out: PathBuf,
    /// Ed25519 key (PKCS#8, PEM) to sign the manifest with, e.g. of `openssl genpkey -algorithm ed25519`
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Print the columns of every document as JSON
#[derive(Debug, clap::Args)]
pub(super) struct Schemas {}

/// Check received documents against their manifest and its signature
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// Directory with manifest.json
    directory: PathBuf,
    /// The exchange's public key, hexadecimal
    #[arg(long)]
    public: String,
}

/// Print the pay-out file of a run (ISO 20022 pain.001)
#[derive(Debug, clap::Args)]
pub(super) struct PayOut {
    #[command(flatten)]
    from: Data,
    /// Local delivery day
    #[arg(long)]
    day: String,
    /// Number of the run; the newest if it is not given
    #[arg(long)]
    run: Option<u32>,
    /// Lines MEMBER,NAME,ACCOUNT,BANK; the clearing house's own under *
    #[arg(long, value_name = "FILE")]
    accounts: PathBuf,
    /// Day on which the bank shall pay
    #[arg(long)]
    on: String,
}

/// Compare a bank statement (ISO 20022 camt.053) with what runs should have moved
///
/// Lists every movement and everything that is missing; the exit code is 3 if there is an exception.
#[derive(Debug, clap::Args)]
pub(super) struct Bank {
    #[command(flatten)]
    from: Data,
    /// Local delivery days whose movements are expected
    #[arg(long, required = true)]
    day: Vec<String>,
    /// The statement
    #[arg(long, value_name = "FILE")]
    statement: PathBuf,
    /// Lines MEMBER,NAME,ACCOUNT,BANK; the clearing house's own under *
    #[arg(long, value_name = "FILE")]
    accounts: PathBuf,
    /// Only what is not matched
    #[arg(long)]
    exceptions: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Compare the embedded ledger and PostgreSQL with the journal, figure by figure
///
/// The node must not run, since the embedded ledger is locked by it. Exits with 3 if anything differs.
#[derive(Debug, clap::Args)]
pub(super) struct Reconcile {
    #[command(flatten)]
    from: Data,
    /// Connection string of PostgreSQL, to compare it too
    #[arg(long, env = "MERIT_PUSH_POSTGRES")]
    postgres: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Add up meter readings without a server: given files, or a day of the archive again
///
/// With --day, reads the archive of the data directory, checks every digest, and compares the sums
/// with what the journal has; exits with 3 if they differ.
#[derive(Debug, clap::Args)]
pub(super) struct AddUp {
    /// Files of readings (.parquet or .csv), in the order in which they came
    files: Vec<PathBuf>,
    /// Where the meters belong: lines meter,portfolio,area,direction
    #[arg(long, value_name = "FILE", requires = "files")]
    register: Option<PathBuf>,
    /// Data directory of a node
    #[arg(long, requires = "day", conflicts_with = "files")]
    data: Option<PathBuf>,
    #[command(flatten)]
    journal_archive: journal::Archive,
    /// Local delivery day to read again
    #[arg(long, requires = "data")]
    day: Option<String>,
    /// Blocks of the day
    #[arg(long, default_value_t = 96)]
    blocks: usize,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

fn run_of<'a>(book: &'a Book, day: &str, run: Option<u32>) -> Result<&'a v1::SettlementRun, Failure> {
    let found = book.run(day, run);
    found.ok_or_else(|| Failure::usage(format_args!("{day} has no such settlement run")))
}

fn key_of(path: &Path) -> Result<Ed25519KeyPair, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::usage(format_args!("{}: {error}", path.display()));
    let key = PrivateKeyDer::from_pem_file(path).map_err(|error| wrong(&error))?;
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_der()).map_err(|error| wrong(&error))
}

impl Documents {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let key = self.key.as_deref().map(key_of).transpose()?;
        let book = self.from.read()?;
        let run = run_of(&book, &self.day, self.run)?;
        let files = documents::files(&book, run, self.member.as_deref(), key.as_ref());
        let count = files.len();
        for (name, bytes) in files {
            let path = self.out.join(name);
            let failed = |error| Failure::error(format_args!("{}: {error}", path.display()));
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(failed)?;
            }
            std::fs::write(&path, bytes).map_err(failed)?;
        }
        eprintln!("merit: {count} files of {} run {} in {}", self.day, run.run, self.out.display());
        Ok(Exit::Ok)
    }
}

impl Schemas {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        print(&documents::schemas()).map_err(Failure::error)?;
        Ok(Exit::Ok)
    }
}

impl Check {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match documents::verify(&self.directory, &self.public) {
            Ok(files) => {
                print(&format!("{files} files are those that were signed\n")).map_err(Failure::error)?;
                Ok(Exit::Ok)
            }
            Err(wrong) => Err(Failure { exit: Exit::CheckFailed, message: wrong }),
        }
    }
}

impl PayOut {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let accounts = bank::accounts(&text(&self.accounts)?).map_err(Failure::usage)?;
        if crate::server::clock::parse_day(&self.on).is_none() {
            return Err(Failure::usage(format_args!("--on {}: must be a day like 2026-11-25", self.on)));
        }
        let book = self.from.read()?;
        let run = run_of(&book, &self.day, self.run)?;
        let xml = bank::pay_out(&book, run, &accounts, &self.on).map_err(Failure::usage)?;
        print(&xml).map_err(Failure::error)?;
        Ok(Exit::Ok)
    }
}

impl Bank {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let wrong = |error| Failure::usage(format_args!("{}: {error}", self.statement.display()));
        let accounts = bank::accounts(&text(&self.accounts)?).map_err(Failure::usage)?;
        let own = accounts.get("*").ok_or_else(|| Failure::usage("the own account (*) is missing"))?;
        let statement = bank::statement(&text(&self.statement)?).map_err(wrong)?;
        let book = self.from.read()?;
        let days: BTreeSet<String> = self.day.iter().cloned().collect();
        let findings = bank::compare(&book, &statement, &own.account, &days).map_err(wrong)?;
        let places = book.currency().1;
        let columns = ["verdict", "reference", "member", "expected", "found", "bank_reference", "day"];
        let mut table = Table::new(&columns);
        let amount = |micros: Option<i64>| {
            micros.map_or(Cell::Nothing, |it| Cell::number(money(i128::from(it), places)))
        };
        let mut exit = Exit::Ok;
        for it in &findings {
            if it.verdict != "matched" {
                exit = Exit::CheckFailed;
            } else if self.exceptions {
                continue;
            }
            table.add(vec![
                Cell::text(it.verdict),
                Cell::text(&it.reference),
                Cell::text(&it.member),
                amount(it.expected_micros),
                amount(it.found_micros),
                Cell::text(&it.bank_reference),
                Cell::text(&it.day),
            ]);
        }
        print(&table.render(self.output)).map_err(Failure::error)?;
        Ok(exit)
    }
}

impl Reconcile {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let book = self.from.read()?;
        let places = book.currency().1;
        let directory = embedded::directory(&self.from.data);
        let mut differences = Vec::new();
        let mut compared = Vec::new();
        if directory.is_dir() {
            let ledger = Ledger::open_as_it_is(&directory).map_err(Failure::error)?;
            let seq = ledger.mark().seq;
            let other = reconcile::of_ledger(&ledger, places).map_err(Failure::error)?;
            let journal = reconcile::of_journal(&book, seq);
            differences.extend(reconcile::compare("embedded ledger", &journal, &other));
            compared.push(("embedded ledger", journal.len(), seq));
        }
        if let Some(config) = &self.postgres {
            let runtime = tokio::runtime::Runtime::new().map_err(Failure::error)?;
            let read = runtime.block_on(async {
                let (client, _connection) = Postgres::connect(config).await?;
                reconcile::of_postgres(&client, places).await
            });
            let (other, seq) = read.map_err(Failure::error)?;
            let journal = reconcile::of_journal(&book, seq);
            differences.extend(reconcile::compare("PostgreSQL", &journal, &other));
            compared.push(("PostgreSQL", journal.len(), seq));
        }
        let mut table = Table::new(&["books", "what", "figure", "journal", "other"]);
        let said = |it: Option<String>| it.map_or(Cell::Nothing, Cell::text);
        let exit = if differences.is_empty() { Exit::Ok } else { Exit::CheckFailed };
        for it in differences {
            table.add(vec![
                Cell::text(it.books),
                Cell::text(it.what),
                Cell::text(it.figure),
                said(it.journal),
                said(it.other),
            ]);
        }
        let head = book.items.last().map_or(0, |it| it.seq);
        for (books, figures, seq) in compared {
            eprintln!("merit: {books}: {figures} figures compared, up to message {seq} of {head}");
        }
        print(&table.render(self.output)).map_err(Failure::error)?;
        Ok(exit)
    }
}

impl AddUp {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let wrong = |error: meters::Bad| Failure::usage(error);
        let rows: Option<u64> = self.files.iter().map(|it| source::rows(it)).sum();
        let bar = bar(rows);
        let mut progress = |seen| bar.set_position(seen);
        let (day, expected) = match (&self.data, &self.day) {
            (Some(data), Some(day)) => {
                let book = read(data, &self.journal_archive)?;
                let batch = metered(&book, day)
                    .ok_or_else(|| Failure::usage(format_args!("no meters of {day} were taken")))?;
                let archive = Archive::in_data(data);
                let manifest = archive.manifest(&batch.content_sha256).map_err(wrong)?;
                let sums = archive.add_up(&manifest, self.blocks, &mut progress).map_err(wrong)?;
                (sums, Some(batch.clone()))
            }
            _ => {
                let path = self.register.as_ref().ok_or_else(|| Failure::usage("--register is needed"))?;
                let register = Register::read(&path.display().to_string(), &text(path)?).map_err(wrong)?;
                let opened: Result<Vec<Box<dyn Source>>, _> =
                    self.files.iter().map(|it| source::open(it)).collect();
                let sources = opened.map_err(wrong)?;
                (meters::aggregate(&register, sources, self.blocks, &mut progress).map_err(wrong)?, None)
            }
        };
        bar.finish_and_clear();
        let total: i64 = day.totals.values().flat_map(|it| &it.net_wh).sum();
        let mut table = Table::new(&["portfolio", "area", "net_mwh", "blocks_estimated"]);
        for ((portfolio, area), it) in &day.totals {
            let net: i64 = it.net_wh.iter().sum();
            let estimated = it.estimated.iter().filter(|it| **it).count();
            table.add(vec![
                Cell::text(portfolio),
                Cell::text(area),
                Cell::number(money(i128::from(net), 6)),
                Cell::number(estimated),
            ]);
        }
        eprintln!(
            "merit: {} readings, {} replaced by later versions, {} estimated here, {} before, {} silent meters",
            day.readings, day.superseded, day.estimated, day.estimated_before, day.silent_meters
        );
        for (portfolio, area) in &day.left_out {
            eprintln!("merit: {portfolio} in {area}: no meter was read; it is settled as scheduled");
        }
        print(&table.render(self.output)).map_err(Failure::error)?;
        let same = expected.is_none_or(|it| {
            let counts = (it.readings, it.estimated, it.total_watt_hours);
            counts == (day.readings, day.estimated + day.estimated_before, total)
        });
        Ok(if same { Exit::Ok } else { Exit::CheckFailed })
    }
}

fn metered<'a>(book: &'a Book, day: &str) -> Option<&'a v1::MeterBatch> {
    let batches = book.items.iter().filter_map(|it| match &it.message.event {
        Some(Event::Metered(batch)) => Some(batch),
        Some(_) | None => None,
    });
    batches.rev().find(|it| it.delivery_day == day)
}

/// Readings looked at, on a terminal.
fn bar(rows: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(rows, indicatif::ProgressDrawTarget::stderr());
    let template = "adding up {wide_bar} {human_pos}/{human_len} readings {per_sec} {elapsed}";
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.expect("the template is a constant and reads well"));
    bar
}
