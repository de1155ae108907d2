//! `merit dispatch`: what the grid dispatch centre does, from a shell.

use super::reach::{Connect, carried_out, failed};
use super::output::{Cell, Format, Table, print};
use super::{Exit, Failure};
use merit_client::{units, v1};
use std::collections::BTreeMap;
use std::path::PathBuf;

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
    Changes(Changes),
    Acknowledge(Acknowledge),
}

/// Show the flows that the unconstrained run asks for, or with --areas what areas inject and draw
#[derive(Debug, clap::Args)]
struct Corridor {
    #[command(flatten)]
    connect: Connect,
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
    /// Auction, or a delivery day like 2026-11-24
    of: String,
    /// Revision; the newest if it is not given
    #[arg(long)]
    revision: Option<u32>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Show what a revision of an auction's schedule changed against an earlier one
#[derive(Debug, clap::Args)]
struct Changes {
    #[command(flatten)]
    connect: Connect,
    /// Auction
    auction: String,
    /// The earlier revision
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
        let Self { connect, auction, areas, output } = self;
        let asked = v1::GetCorridorRequestRequest { auction_id: auction };
        let answer = connect.run(async |client, _| client.get_corridor_request(asked).await.map_err(failed))?;
        let request = answer.request.unwrap_or_default();
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
        let answer = self.connect.run(async |client, _| client.get_schedules(asked).await.map_err(failed))?;
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

/// Where a row stands: block, area, member, portfolio.
type Place = (u32, String, String, String);

fn rows(schedule: Option<&v1::Schedule>) -> BTreeMap<Place, i64> {
    let place = |it: &v1::ScheduleRow| {
        let block = it.row.as_ref().map_or(0, |row| row.block);
        ((block, it.area.clone(), it.member.clone(), it.portfolio.clone()), it.net_watts)
    };
    schedule.map(|it| it.rows.iter().map(place).collect()).unwrap_or_default()
}

/// Rows that differ: before and after; a row that is not there is 0, for schedules leave out what is 0.
fn differences(before: &BTreeMap<Place, i64>, after: &BTreeMap<Place, i64>) -> Vec<(Place, i64, i64)> {
    let mut places: Vec<&Place> = before.keys().chain(after.keys()).collect();
    places.sort();
    places.dedup();
    let at = |rows: &BTreeMap<Place, i64>, place: &Place| rows.get(place).copied().unwrap_or(0);
    let pair = |place: &Place| (place.clone(), at(before, place), at(after, place));
    places.into_iter().map(pair).filter(|(_, before, after)| before != after).collect()
}

impl Changes {
    fn run(self) -> Result<Exit, Failure> {
        let Self { connect, auction, from, to, output } = self;
        let (before, after) = connect.run(async |client, _| {
            let before = client.get_schedules(request_for(&auction, Some(from))).await.map_err(failed)?;
            let after = client.get_schedules(request_for(&auction, to)).await.map_err(failed)?;
            Ok((before, after))
        })?;
        let (Some(before), Some(after)) = (before.schedules.first(), after.schedules.first()) else {
            return Err(Failure::error("there is no such revision"));
        };
        let mut table = Table::new(&["block", "area", "member", "portfolio", "before_mw", "after_mw"]);
        for ((block, area, member, portfolio), before, after) in
            differences(&rows(Some(before)), &rows(Some(after)))
        {
            let place = [area, member, portfolio].map(Cell::text);
            let mut cells = vec![Cell::number(block)];
            cells.extend(place);
            cells.extend([megawatts(before), megawatts(after)]);
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
    use super::{capacities, differences};
    use std::collections::BTreeMap;

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

    #[test]
    fn a_row_that_is_gone_is_zero() {
        let place = |block: u32| (block, "A".to_owned(), "M".to_owned(), "P".to_owned());
        let before = BTreeMap::from([(place(1), 5), (place(2), 7)]);
        let after = BTreeMap::from([(place(2), 7), (place(3), -2)]);
        let found = differences(&before, &after);
        assert_eq!(found, [(place(1), 5, 0), (place(3), 0, -2)]);
    }
}
