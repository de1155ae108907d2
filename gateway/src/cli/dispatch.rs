//! `merit dispatch`: what the grid dispatch centre does, from a shell.

use super::reach::{Connect, carried_out, failed};
use super::output::{Cell, Format, Table, print};
use super::{Exit, Failure};
use merit_client::signed::{self, ExchangeKeys, SignatureError};
use merit_client::{units, v1};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The grid dispatch centre: corridor requests, capacities, schedules, acknowledgements
#[derive(Debug, clap::Args)]
pub(super) struct DispatchCentre {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Corridor(Corridor),
    Capacity(Capacity),
    Schedules(Schedules),
    VerifySchedule(VerifySchedule),
    Changes(Changes),
    Acknowledge(Acknowledge),
}

/// Whose signatures are the exchange's.
#[derive(Clone, Debug, clap::Args)]
struct Trust {
    /// Public keys of the exchange, one a line; without it signing.pub in the directory of --certs
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,
}

impl Trust {
    /// The keys, if any are given.
    fn keys(&self, connect: &Connect) -> Result<Option<ExchangeKeys>, Failure> {
        let beside = connect.certs().map(|it| it.join("signing.pub")).filter(|it| it.is_file());
        self.public.clone().or(beside).map(|it| read_keys(&it)).transpose()
    }
}

fn read_keys(path: &Path) -> Result<ExchangeKeys, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::usage(format_args!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    ExchangeKeys::read(&text).map_err(|error| wrong(&error))
}

/// Says whether signatures were checked; one that is wrong or missing ends the verb, and nothing is shown.
fn check(
    keys: Option<&ExchangeKeys>,
    checks: impl IntoIterator<Item = (String, Result<(), SignatureError>)>,
) -> Result<(), Failure> {
    if keys.is_none() {
        eprintln!("merit: signatures are not checked: give --public FILE, or signing.pub beside the certificates");
        return Ok(());
    }
    let mut count = 0;
    for (what, checked) in checks {
        checked.map_err(|error| Failure {
            exit: Exit::CheckFailed,
            message: format!("{what}: {error}"),
        })?;
        count += 1;
    }
    eprintln!("merit: {count} signatures are the exchange's");
    Ok(())
}

/// Show the flows that the unconstrained run asks for, or with --areas what areas inject and draw
#[derive(Debug, clap::Args)]
struct Corridor {
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    trust: Trust,
    /// Auction, e.g. DAM-2026-11-24
    auction: String,
    /// Injection and drawal by area instead of flows by line
    #[arg(long)]
    areas: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Send transfer capacities: a CSV file with the columns line, direction, period, mw
///
/// `direction` is forward or backward, `period` counts from 1 in the auction; every line, direction and
/// period stands once.
#[derive(Debug, clap::Args)]
struct Capacity {
    #[command(flatten)]
    connect: Connect,
    /// Auction
    auction: String,
    /// Revision, from 1, greater than any before
    #[arg(long)]
    revision: u32,
    /// The file
    file: PathBuf,
}

/// Show the schedules of an auction or of a delivery day
#[derive(Debug, clap::Args)]
struct Schedules {
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    trust: Trust,
    /// Also write each as its signed text, AUCTION-REVISION.schedule, with its signature in hexadecimal
    /// digits beside it (.ed25519), into this directory
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// Auction, or a delivery day like 2026-11-24
    of: String,
    /// Revision; the newest if it is not given
    #[arg(long)]
    revision: Option<u32>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Check a schedule that `schedules --save` wrote against its signature, with no connection
#[derive(Debug, clap::Args)]
struct VerifySchedule {
    /// Public keys of the exchange, one a line
    #[arg(long, value_name = "FILE")]
    public: PathBuf,
    /// The schedules; the signature of each is in a file of the same name with .ed25519 at the end
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Show what a revision of an auction's schedule changed against an earlier one
#[derive(Debug, clap::Args)]
struct Changes {
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    trust: Trust,
    /// Auction
    auction: String,
    /// The earlier revision; 0: none, so that every row is a change
    #[arg(long)]
    from: u32,
    /// The later revision; the newest if it is not given
    #[arg(long)]
    to: Option<u32>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Say that a schedule has been received and taken over
#[derive(Debug, clap::Args)]
struct Acknowledge {
    #[command(flatten)]
    connect: Connect,
    /// Auction
    auction: String,
    /// Revision that was received
    #[arg(long)]
    revision: u32,
}

impl DispatchCentre {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.verb {
            Verb::Corridor(it) => it.run(),
            Verb::Capacity(it) => it.run(),
            Verb::Schedules(it) => it.run(),
            Verb::VerifySchedule(it) => it.run(),
            Verb::Changes(it) => it.run(),
            Verb::Acknowledge(it) => it.run(),
        }
    }
}

fn megawatts(watts: i64) -> Cell {
    Cell::number(units::decimal(watts))
}

fn block(row: Option<&v1::TimeRow>) -> Cell {
    row.map_or(Cell::Nothing, |it| Cell::number(it.block))
}

impl Corridor {
    fn run(self) -> Result<Exit, Failure> {
        let Self { connect, trust, auction, areas, output } = self;
        let keys = trust.keys(&connect)?;
        let asked = v1::GetCorridorRequestRequest { auction_id: auction };
        let answer = connect.run(async |client, _| client.get_corridor_request(asked).await.map_err(failed))?;
        let Some(request) = answer.request else {
            return Err(Failure::error("corridors are not asked for: the unconstrained run is not done"));
        };
        let checked = keys.as_ref().map(|it| (request.auction_id.clone(), it.check_corridor(&request)));
        check(keys.as_ref(), checked)?;
        let mut table = if areas {
            Table::new(&["block", "area", "injection_mw", "drawal_mw"])
        } else {
            Table::new(&["block", "line", "direction", "flow_mw"])
        };
        if areas {
            for it in &request.areas {
                let (injected, drawn) = (megawatts(it.injection_watts), megawatts(it.drawal_watts));
                table.add(vec![block(it.row.as_ref()), Cell::text(&it.area), injected, drawn]);
            }
        } else {
            for it in &request.flows {
                let direction = if it.direction() == v1::Direction::Backward { "backward" } else { "forward" };
                let flow = megawatts(it.flow_watts);
                table.add(vec![block(it.row.as_ref()), Cell::text(&it.line), Cell::text(direction), flow]);
            }
        }
        print(&table.render(output)).map_err(Failure::error)?;
        Ok(Exit::Ok)
    }
}

/// Reads capacities; every fault names its line.
fn capacities(text: &str) -> Result<Vec<v1::LineCapacity>, String> {
    let mut found: BTreeMap<(String, i32), BTreeMap<u32, i64>> = BTreeMap::new();
    let mut lines = (1..).zip(text.lines()).filter(|(_, it)| !it.trim().is_empty());
    let header = lines.next().map(|(_, it)| it.trim());
    if header != Some("line,direction,period,mw") {
        return Err("line 1: the columns are line,direction,period,mw".to_owned());
    }
    for (number, line) in lines {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let &[name, direction, period, mw] = fields.as_slice() else {
            return Err(format!("line {number}: has {} fields, not 4", fields.len()));
        };
        let direction = match direction {
            "forward" => v1::Direction::Forward,
            "backward" => v1::Direction::Backward,
            other => return Err(format!("line {number}: direction {other}: is forward or backward")),
        };
        let period: u32 =
            period.parse().map_err(|_| format!("line {number}: period {period}: is a number from 1"))?;
        let watts = units::micros(mw).map_err(|error| format!("line {number}: mw {mw}: {error}"))?;
        let of_line = found.entry((name.to_owned(), direction.into())).or_default();
        if of_line.insert(period, watts).is_some() {
            return Err(format!("line {number}: period {period} of this line and direction stands twice"));
        }
    }
    let mut listed = Vec::new();
    for ((line, direction), periods) in found {
        if let Some((missing, _)) = (1..).zip(periods.keys()).find(|(expected, found)| expected != *found) {
            return Err(format!("line {line}: period {missing} is missing"));
        }
        listed.push(v1::LineCapacity { line, direction, capacity_watts: periods.into_values().collect() });
    }
    Ok(listed)
}

impl Capacity {
    fn run(self) -> Result<Exit, Failure> {
        let Self { connect, auction, revision, file } = self;
        let text = std::fs::read_to_string(&file)
            .map_err(|error| Failure::usage(format_args!("{}: {error}", file.display())))?;
        let capacities = capacities(&text)
            .map_err(|fault| Failure::usage(format_args!("{}: {fault}", file.display())))?;
        let answer = connect.run(async |client, request_id| {
            let asked =
                v1::SubmitTransferCapacityRequest { request_id, auction_id: auction, revision, capacities };
            client.submit_transfer_capacity(asked).await.map_err(failed)
        })?;
        carried_out(answer.answer)
    }
}

fn request_for(of: &str, revision: Option<u32>) -> v1::GetSchedulesRequest {
    let is_day = crate::server::clock::parse_day(of).is_some();
    v1::GetSchedulesRequest {
        auction_id: (!is_day).then(|| of.to_owned()),
        delivery_day: is_day.then(|| of.to_owned()),
        revision,
    }
}

impl Schedules {
    fn run(self) -> Result<Exit, Failure> {
        let asked = request_for(&self.of, self.revision);
        let keys = self.trust.keys(&self.connect)?;
        let answer = self.connect.run(async |client, _| client.get_schedules(asked).await.map_err(failed))?;
        let name = |it: &v1::Schedule| format!("{} revision {}", it.auction_id, it.revision);
        let checked = |keys: &ExchangeKeys| -> Vec<_> {
            answer.schedules.iter().map(|it| (name(it), keys.check_schedule(it))).collect()
        };
        check(keys.as_ref(), keys.as_ref().map(checked).unwrap_or_default())?;
        for it in self.save.iter().flat_map(|to| answer.schedules.iter().map(move |it| (to, it))) {
            save(it.0, it.1)?;
        }
        let columns = ["auction", "revision", "acknowledged", "block", "area", "member", "portfolio", "net_mw"];
        let mut table = Table::new(&columns);
        for schedule in &answer.schedules {
            for it in &schedule.rows {
                table.add(vec![
                    Cell::text(&schedule.auction_id),
                    Cell::number(schedule.revision),
                    Cell::Flag(schedule.acknowledged),
                    block(it.row.as_ref()),
                    Cell::text(&it.area),
                    Cell::text(&it.member),
                    Cell::text(&it.portfolio),
                    megawatts(it.net_watts),
                ]);
            }
        }
        print(&table.render(self.output)).map_err(Failure::error)?;
        Ok(Exit::Ok)
    }
}

/// Writes a schedule as it was signed, and its signature.
fn save(directory: &Path, schedule: &v1::Schedule) -> Result<(), Failure> {
    let text = signed::schedule_text(schedule).map_err(Failure::error)?;
    let name = directory.join(format!("{}-{}.schedule", schedule.auction_id, schedule.revision));
    let bytes = schedule.signature.iter().flat_map(|it| &it.signature);
    let signature: String = bytes.map(|it| format!("{it:02x}")).collect();
    let failed = |error| Failure::error(format_args!("{}: {error}", name.display()));
    std::fs::create_dir_all(directory).map_err(failed)?;
    std::fs::write(&name, text).map_err(failed)?;
    std::fs::write(signature_of(&name), format!("{signature}\n")).map_err(failed)
}

fn signature_of(schedule: &Path) -> PathBuf {
    let mut name = schedule.as_os_str().to_owned();
    name.push(".ed25519");
    PathBuf::from(name)
}

impl VerifySchedule {
    fn run(self) -> Result<Exit, Failure> {
        let keys = read_keys(&self.public)?;
        for file in &self.files {
            let read = |path: &Path| {
                std::fs::read(path).map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))
            };
            let (text, beside) = (read(file)?, read(&signature_of(file))?);
            let hex = String::from_utf8_lossy(&beside).trim().to_owned();
            let signature = crate::settle::documents::from_hex(&hex).unwrap_or_default();
            keys.check_text(&text, &signature).map_err(|error| Failure {
                exit: Exit::CheckFailed,
                message: format!("{}: {error}", file.display()),
            })?;
        }
        print(&format!("{} schedules are those that the exchange signed\n", self.files.len()))
            .map_err(Failure::error)?;
        Ok(Exit::Ok)
    }
}

impl Changes {
    fn run(self) -> Result<Exit, Failure> {
        let Self { connect, trust, auction, from, to, output } = self;
        let keys = trust.keys(&connect)?;
        let asked = v1::GetScheduleChangesRequest { auction_id: auction, from_revision: from, to_revision: to };
        let answer =
            connect.run(async |client, _| client.get_schedule_changes(asked).await.map_err(failed))?;
        let changes = answer.changes.ok_or_else(|| Failure::error("the exchange gave no answer"))?;
        let name = format!("{} from {} to {}", changes.auction_id, changes.from_revision, changes.to_revision);
        check(keys.as_ref(), keys.as_ref().map(|it| (name, it.check_changes(&changes))))?;
        let mut table = Table::new(&["block", "area", "member", "portfolio", "before_mw", "after_mw"]);
        for it in &changes.rows {
            let place = [&it.area, &it.member, &it.portfolio].map(Cell::text);
            let mut cells = vec![block(it.row.as_ref())];
            cells.extend(place);
            cells.extend([megawatts(it.before_watts), megawatts(it.after_watts)]);
            table.add(cells);
        }
        print(&table.render(output)).map_err(Failure::error)?;
        Ok(Exit::Ok)
    }
}

impl Acknowledge {
    fn run(self) -> Result<Exit, Failure> {
        let Self { connect, auction, revision } = self;
        let answer = connect.run(async |client, request_id| {
            let asked = v1::AcknowledgeScheduleRequest { request_id, auction_id: auction, revision };
            client.acknowledge_schedule(asked).await.map_err(failed)
        })?;
        carried_out(answer.answer)
    }
}

#[cfg(test)]
mod tests {
    use super::capacities;

    #[test]
    fn capacities_are_read_and_faults_name_their_line() {
        let good = "line,direction,period,mw\nA-B,forward,1,10.5\nA-B,forward,2,0\nA-B,backward,1,3\n";
        let read = capacities(good).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].capacity_watts, [10_500_000, 0]);
        for (text, fault) in [
            ("", "line 1: the columns are line,direction,period,mw"),
            ("line,direction,period,mw\nA-B,up,1,3", "line 2: direction up: is forward or backward"),
            ("line,direction,period,mw\nA-B,forward,x,3", "line 2: period x: is a number from 1"),
            ("line,direction,period,mw\nA-B,forward,1", "line 2: has 3 fields, not 4"),
            ("line,direction,period,mw\nA-B,forward,2,3", "line A-B: period 1 is missing"),
            ("line,direction,period,mw\nA-B,forward,1,ten", "line 2: mw ten: 'ten' is no decimal number"),
        ] {
            assert_eq!(capacities(text).unwrap_err(), fault);
        }
    }
}
