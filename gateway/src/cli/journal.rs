//! `merit journal`: looks at a journal on the disk, without a server; only `repair` and `snapshot` change
//! anything.

use super::output::{Cell, Format, Table, print};
use super::{Exit, Failure};
use crate::server::read_model::Mirror;
use indicatif::{ProgressBar, ProgressStyle};
use merit_replay::error::{Flaw, JournalError};
use merit_replay::inspect::{self, Entry, Utc};
use merit_replay::recovery::{self, Discard, Found, Progress};
use merit_replay::repair::{self, Unrepaired};
use merit_replay::snapshot::{self, Checked};
use merit_replay::storage::Storage;
use merit_replay::storage::disk::Disk;
use merit_replay::storage::shelves::Shelves;
use std::path::{Path, PathBuf};

/// Look at a journal: verify it, list it, compute its digest, or mend it from another node's copy
///
/// But for `repair` and `snapshot`, nothing is changed; and but for `repair`, no lock is taken, so a running
/// node's journal can be looked at; its last batch may then look torn.
#[derive(Debug, clap::Args)]
pub(super) struct Journal {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Verify(Verify),
    Print(Print),
    Digest(Digest),
    Outputs(super::outputs::Outputs),
    Repair(Repair),
    Snapshot(Snapshot),
}

/// Where a journal's old segments lie.
#[derive(Debug, clap::Args)]
pub(super) struct Archive {
    /// Directory of its archive, if old segments were moved there (`journal.archive`)
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
}

impl Archive {
    /// The journal in a directory together with its archive.
    pub(super) fn open(&self, dir: &Path) -> Result<Box<dyn Storage>, Failure> {
        let journal = Box::new(open(dir)?);
        Ok(match &self.archive {
            Some(archive) => Box::new(Shelves::new(journal, Box::new(open(archive)?))),
            None => journal,
        })
    }
}

/// Check every record, chain and segment by the rules that a starting node follows
///
/// Snapshots are compared with a replay of the journal, byte for byte. Exits with 0 if a node would start on
/// it (a torn tail that was never acknowledged is reported), with 4 if a snapshot is wrong (a node passes it
/// over) or the beginning of history is not here (then all is checked that follows the oldest snapshot after
/// which nothing is missing), and with 3 if it would refuse: then the segment, the record, the offset and the remedy are named.
#[derive(Debug, clap::Args)]
struct Verify {
    /// The journal's directory
    dir: PathBuf,
    #[command(flatten)]
    archive: Archive,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// List records: number, time, kind and size
///
/// Orders are sealed: what a record of a member's request holds (member, portfolio, price, quantity)
/// is never printed, before publication or after it. Whoever may see an order asks the server for it.
#[derive(Debug, clap::Args)]
struct Print {
    /// The journal's directory
    dir: PathBuf,
    #[command(flatten)]
    archive: Archive,
    /// First record
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Last record
    #[arg(long)]
    to: Option<u64>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Replay the journal from empty and print the digest of the state
///
/// Where the beginning of history is not here, it is replayed from a snapshot.
/// Two nodes whose digests at the same record are equal hold the same state.
#[derive(Debug, clap::Args)]
struct Digest {
    /// The journal's directory
    dir: PathBuf,
    #[command(flatten)]
    archive: Archive,
    /// Record at which the digest is taken; the last one if it is not given
    #[arg(long)]
    at: Option<u64>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Mend a damaged journal from another node's copy of it, never by guessing
///
/// The node must be stopped, and the copy must be whole and nobody may write to it. Records before the
/// damage stay; those after it are the copy's. Nothing is done unless the copy is the same history and
/// holds all that was acknowledged here. What is replaced stays beside the journal as *.quarantine. Exits
/// with 0 if the journal is whole afterwards, with 5 if the copy is refused.
#[derive(Debug, clap::Args)]
struct Repair {
    /// The damaged journal's directory
    dir: PathBuf,
    /// Directory of another node's journal, or of a backup of it
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Take a snapshot of the state now, so that the next start replays only what follows it
///
/// Replays the journal from its last snapshot on, to the last record at or after `--at` at which no auction is
/// clearing, and writes the snapshot beside the segments. A running node may go on; what it has not
/// acknowledged is not in it. Exits with 0 also if there is one already.
#[derive(Debug, clap::Args)]
struct Snapshot {
    /// The journal's directory
    dir: PathBuf,
    #[command(flatten)]
    archive: Archive,
    /// First record after which it may be taken; the last acknowledged one if it is not given
    #[arg(long)]
    at: Option<u64>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Journal {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.verb {
            Verb::Verify(it) => it.run(),
            Verb::Print(it) => it.run(),
            Verb::Digest(it) => it.run(),
            Verb::Outputs(it) => {
                let bar = Bar::new("replaying");
                let done = it.run(&mut |progress| bar.show(progress));
                bar.finish();
                done
            }
            Verb::Repair(it) => it.run(),
            Verb::Snapshot(it) => it.run(),
        }
    }
}

impl Verify {
    fn run(self) -> Result<Exit, Failure> {
        let disk = self.archive.open(&self.dir)?;
        let bar = Bar::new("verifying");
        let verified = inspect::verify(&*disk, &mut |progress| bar.show(progress)).and_then(|found| {
            let checked = snapshot::verify::<Mirror>(&*disk, &mut |progress| bar.show(progress))?;
            Ok((found, checked))
        });
        bar.finish();
        let (facts, exit) = match verified {
            Ok((found, checked)) => {
                let right = checked.iter().all(|it| it.flaw.is_none());
                let exit = if right && found.begins_after == 0 { Exit::Ok } else { Exit::CheckWarns };
                (whole(&found, &checked), exit)
            }
            Err(error) => (broken(error)?, Exit::CheckFailed),
        };
        print(&render(facts, self.output)).map_err(Failure::error)?;
        Ok(exit)
    }
}

impl Print {
    fn run(self) -> Result<Exit, Failure> {
        let disk = self.archive.open(&self.dir)?;
        let mut table = Table::new(&["seq", "epoch", "time", "kind", "bytes", "offset", "detail"]);
        let last = self.to.unwrap_or(u64::MAX);
        let listed = inspect::list(&*disk, &mut |entry| {
            if (self.from..=last).contains(&entry.stamp.seq) {
                table.add(row(entry));
            }
        });
        print(&table.render(self.output)).map_err(Failure::error)?;
        listed.map(|_| Exit::Ok).map_err(failure)
    }
}

fn row(entry: Entry) -> Vec<Cell> {
    vec![
        Cell::number(entry.stamp.seq),
        Cell::number(entry.stamp.epoch),
        Cell::text(Utc(entry.stamp.time_us).to_string()),
        Cell::text(entry.kind_text()),
        Cell::number(entry.payload_bytes),
        Cell::number(entry.offset),
        entry.detail.map_or(Cell::Nothing, Cell::text),
    ]
}

impl Digest {
    fn run(self) -> Result<Exit, Failure> {
        let disk = self.archive.open(&self.dir)?;
        let bar = Bar::new("replaying");
        let replayed = inspect::engine_at(&*disk, self.at, &mut |progress| bar.show(progress));
        let replayed = match replayed {
            Err(JournalError::Damaged(damage)) if damage.flaw == Flaw::SegmentMissing => {
                let known = snapshot::machine_at::<Mirror>(&*disk, self.at, &mut |progress| bar.show(progress));
                known.map(|(mirror, found)| (mirror.exchange.engine, found))
            }
            replayed => replayed,
        };
        bar.finish();
        let (engine, found) = replayed.map_err(failure)?;
        let last = found.head.stamp.seq;
        let seq = self.at.unwrap_or(last);
        if seq > last {
            return Err(Failure::usage(format_args!("the journal ends at record {last}")));
        }
        let facts = vec![("seq", Cell::number(seq)), ("digest", Cell::text(inspect::digest_text(&engine)))];
        print(&render(facts, self.output)).map_err(Failure::error)?;
        Ok(Exit::Ok)
    }
}

impl Repair {
    fn run(self) -> Result<Exit, Failure> {
        let (disk, copy) = (open(&self.dir)?, open(&self.from)?);
        let facts = match repair::repair(&disk, &copy) {
            Ok(repaired) => vec![
                ("status", Cell::text("repaired")),
                ("damage", Cell::text(repaired.damage)),
                ("kept", Cell::number(repaired.kept_seq)),
                ("last", Cell::number(repaired.seq_last)),
                ("quarantine", Cell::text(repaired.quarantine.join(" "))),
            ],
            Err(Unrepaired::Whole(found)) => vec![
                ("status", Cell::text("ok")),
                ("damage", Cell::Nothing),
                ("kept", Cell::number(found.head.stamp.seq)),
                ("last", Cell::number(found.head.stamp.seq)),
                ("quarantine", Cell::Nothing),
            ],
            Err(Unrepaired::Here(error)) => return Err(failure(error)),
            Err(refused) => {
                let message = format!("{refused}; nothing was changed");
                return Err(Failure { exit: Exit::Refused, message });
            }
        };
        print(&render(facts, self.output)).map_err(Failure::error)?;
        Ok(Exit::Ok)
    }
}

impl Snapshot {
    fn run(self) -> Result<Exit, Failure> {
        let disk = self.archive.open(&self.dir)?;
        let bar = Bar::new("replaying");
        let newest = snapshot::headers(&*disk).map_err(failure)?.last().map(|it| it.head);
        let found = recovery::scan_after(&*disk, None, newest, &mut Discard).map_err(failure)?;
        let acknowledged = match found.acknowledged_seq {
            // Nobody else has a part in what a node without others has durable.
            0 => found.head.stamp.seq,
            acknowledged => acknowledged,
        };
        let at = self.at.unwrap_or(acknowledged);
        if at == 0 || at > acknowledged {
            return Err(Failure::usage(format_args!("--at {at}: records 1 to {acknowledged} are acknowledged")));
        }
        let made = snapshot::make::<Mirror>(&*disk, at, acknowledged, &mut |progress| bar.show(progress));
        bar.finish();
        let header = match made.map_err(failure)? {
            Some(header) => header,
            None => {
                let headers = snapshot::headers(&*disk).map_err(failure)?;
                headers.into_iter().rfind(|it| it.head.stamp.seq >= at).ok_or_else(|| {
                    let why = "an auction is clearing from there to the end; give an earlier record with --at";
                    Failure { exit: Exit::Refused, message: format!("no snapshot after record {at}: {why}") }
                })?
            }
        };
        let facts = vec![
            ("seq", Cell::number(header.head.stamp.seq)),
            ("file", Cell::text(snapshot::name(header.head.stamp.seq))),
            ("bytes", Cell::number(header.body_bytes)),
            ("digest", Cell::text(format!("{:032x}", header.digest))),
            ("chain", Cell::text(format!("{:032x}", header.head.chain))),
        ];
        print(&render(facts, self.output)).map_err(Failure::error)?;
        Ok(Exit::Ok)
    }
}

fn open(dir: &Path) -> Result<Disk, Failure> {
    if dir.is_dir() {
        Ok(Disk::existing(dir))
    } else {
        Err(Failure::usage(format_args!("{} is not a directory", dir.display())))
    }
}

type Facts = Vec<(&'static str, Cell)>;

/// One line for programs, one line a fact for people.
fn render(facts: Facts, format: Format) -> String {
    let mut table = match format {
        Format::Table => Table::new(&["what", "value"]),
        Format::Json | Format::Csv => Table::new(&facts.iter().map(|it| it.0).collect::<Vec<_>>()),
    };
    match format {
        Format::Table => {
            for (name, cell) in facts.into_iter().filter(|(_, cell)| *cell != Cell::Nothing) {
                // Mixed values stand better at the left.
                let cell = if let Cell::Number(number) = cell { Cell::Text(number) } else { cell };
                table.add(vec![Cell::text(name), cell]);
            }
        }
        Format::Json | Format::Csv => table.add(facts.into_iter().map(|it| it.1).collect()),
    }
    table.render(format)
}

const FACTS: [&str; 18] = [
    "status",
    "exchange",
    "segments",
    "batches",
    "records",
    "epoch",
    "time",
    "acknowledged",
    "chain",
    "not_here",
    "snapshots",
    "wrong_snapshots",
    "segment",
    "record",
    "offset",
    "tail_bytes",
    "flaw",
    "remedy",
];

/// All columns, so that a program finds the same ones whatever was found.
fn facts(known: Vec<(&'static str, Cell)>) -> Facts {
    let cell = |name| known.iter().find(|it| it.0 == name).map_or(Cell::Nothing, |it| it.1.clone());
    FACTS.into_iter().map(|name| (name, cell(name))).collect()
}

fn whole(found: &Found, checked: &[Checked]) -> Facts {
    let head = found.head;
    let wrong = |it: &Checked| it.flaw.as_ref().map(|flaw| format!("{}: {flaw}", it.name));
    let wrong: Vec<String> = checked.iter().filter_map(wrong).collect();
    let mut known = vec![
        ("status", Cell::text(if found.tail.is_some() { "torn tail" } else { "ok" })),
        ("exchange", Cell::text(format!("{:032x}", found.exchange_id))),
        ("segments", Cell::number(found.segments)),
        ("batches", Cell::number(found.batches)),
        ("records", Cell::number(found.records)),
        ("epoch", Cell::number(head.stamp.epoch)),
        ("time", Cell::text(Utc(head.stamp.time_us).to_string())),
        ("acknowledged", Cell::number(found.acknowledged_seq)),
        ("chain", Cell::text(format!("{:032x}", head.chain))),
        ("snapshots", Cell::number(checked.len())),
    ];
    if found.begins_after > 0 {
        let last = found.begins_after;
        let what = format!("all or some records up to {last}: not checked; --archive names an archive with them");
        known.push(("not_here", Cell::text(what)));
    }
    if !wrong.is_empty() {
        known.push(("wrong_snapshots", Cell::text(wrong.join("; "))));
    }
    if let Some(tail) = &found.tail {
        known.extend([
            ("segment", Cell::text(tail.segment.as_str())),
            ("record", Cell::number(tail.seq)),
            ("offset", Cell::number(tail.offset)),
            ("tail_bytes", Cell::number(tail.bytes)),
            ("flaw", Cell::text(tail.flaw.to_string())),
            ("remedy", Cell::text("none needed: it was never acknowledged; the node cuts it and keeps it")),
        ]);
    }
    facts(known)
}

/// What a failed check says; errors that are no verdict on the journal stay errors.
fn broken(error: JournalError) -> Result<Facts, Failure> {
    let remedy = ("remedy", Cell::text(error.remedy()));
    let flaw = ("flaw", Cell::text(error.to_string()));
    let status = |text| ("status", Cell::text(text));
    match &error {
        JournalError::Damaged(damage) => Ok(facts(vec![
            status("damaged"),
            ("acknowledged", Cell::number(damage.acknowledged_seq)),
            ("segment", Cell::text(damage.segment.as_str())),
            ("record", Cell::number(damage.seq)),
            ("offset", Cell::number(damage.offset)),
            ("flaw", Cell::text(damage.flaw.to_string())),
            remedy,
        ])),
        JournalError::Format { segment, .. } | JournalError::OtherExchange { segment, .. } => {
            Ok(facts(vec![status("foreign"), ("segment", Cell::text(segment.as_str())), flaw, remedy]))
        }
        JournalError::Undecodable { seq, .. } => {
            Ok(facts(vec![status("not understood"), ("record", Cell::number(*seq)), flaw, remedy]))
        }
        JournalError::Io { .. }
        | JournalError::NoSpace { .. }
        | JournalError::Locked
        | JournalError::NotFound { .. }
        | JournalError::Poisoned
        | JournalError::TooLarge { .. } => Err(failure(error)),
    }
}

fn failure(error: JournalError) -> Failure {
    let message = format!("{error}\nremedy: {}", error.remedy());
    let exit = match error {
        JournalError::Damaged(_)
        | JournalError::Format { .. }
        | JournalError::OtherExchange { .. }
        | JournalError::Undecodable { .. } => Exit::CheckFailed,
        JournalError::NotFound { .. } => Exit::Usage,
        JournalError::Io { .. }
        | JournalError::NoSpace { .. }
        | JournalError::Locked
        | JournalError::Poisoned
        | JournalError::TooLarge { .. } => Exit::Error,
    };
    Failure { exit, message }
}

/// Segments done, on a terminal and with more than one.
struct Bar(ProgressBar, &'static str);

impl Bar {
    fn new(what: &'static str) -> Self {
        Self(ProgressBar::hidden(), what)
    }

    fn show(&self, progress: Progress) {
        if progress.segments > 1 {
            if self.0.is_hidden() {
                let template = format!("{} {{wide_bar}} {{pos}}/{{len}} segments {{elapsed}}", self.1);
                let style = ProgressStyle::with_template(&template);
                self.0.set_style(style.expect("the template is a constant and reads well"));
                // Hides itself again where standard error is no terminal.
                self.0.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            }
            self.0.set_length(progress.segments);
            self.0.set_position(progress.segments_done);
        }
    }

    fn finish(&self) {
        self.0.finish_and_clear();
    }
}
