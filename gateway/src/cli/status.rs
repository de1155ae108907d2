//! `merit status`: who leads, who follows, how far behind, and whether all hold the same.

use super::connect::{Connect, wait};
use super::output::{self, Cell, Format, Table};
use super::{Exit, Failure};
use clap::Args;
use merit_proto::v1;

/// Show the nodes of an exchange: roles, positions, lag, digests, alarms. Exits with 10 when something is wrong.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    connect: Connect,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// What one endpoint answered.
struct Row {
    endpoint: String,
    answer: Result<v1::GetStatusResponse, String>,
}

impl Status {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let rows = wait(ask(&self.connect))?;
        let mut table = Table::new(&[
            "node", "role", "epoch", "durable", "acknowledged", "applied", "lag", "lag ms", "digest", "endpoint",
        ]);
        rows.iter().for_each(|row| table.add(cells(row, &rows)));
        output::print(&table.render(self.output)).map_err(Failure::error)?;
        let faults = faults(&rows);
        if matches!(self.output, Format::Table) {
            let mut more = market(&rows);
            more.extend(lease(&rows).and_then(Result::ok));
            more.extend(faults.iter().map(|it| format!("! {it}")));
            more.iter().for_each(|line| println!("{line}"));
        } else {
            faults.iter().for_each(|line| eprintln!("{line}"));
        }
        Ok(if faults.is_empty() { Exit::Ok } else { Exit::Unhealthy })
    }
}

async fn ask(connect: &Connect) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for (endpoint, client) in connect.clients()? {
        let answer = client.get_status(v1::GetStatusRequest {}).await.map_err(|error| error.to_string());
        rows.push(Row { endpoint, answer });
    }
    Ok(rows)
}

fn role(status: &v1::GetStatusResponse) -> &'static str {
    let alone = status.replication.as_ref().is_some_and(|it| it.alone);
    match status.role() {
        v1::NodeRole::Primary if alone => "primary, alone",
        v1::NodeRole::Primary => "primary",
        v1::NodeRole::Standby => "standby",
        v1::NodeRole::ReadOnly => "read-only",
        v1::NodeRole::Unspecified => "unknown",
    }
}

fn cells(row: &Row, rows: &[Row]) -> Vec<Cell> {
    let status = match &row.answer {
        Ok(status) => status,
        Err(error) => {
            let mut cells = vec![Cell::text("?"), Cell::text(format!("no answer: {error}"))];
            cells.resize_with(9, || Cell::text(""));
            cells.push(Cell::text(&row.endpoint));
            return cells;
        }
    };
    let journal = status.journal.clone().unwrap_or_default();
    let replication = status.replication.clone().unwrap_or_default();
    // The primary knows how far behind a standby is.
    let known = rows.iter().filter_map(|it| it.answer.as_ref().ok()?.replication.as_ref());
    let lag = known.flat_map(|it| &it.followers).find(|it| it.node == status.node);
    let (lag_records, lag_ms) = lag.map_or((String::new(), String::new()), |it| {
        (it.lag_records.to_string(), it.lag_ms.to_string())
    });
    let digest: String = journal.digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let durable = replication.durable_seq.max(journal.durable_seq);
    let acknowledged = replication.acknowledged_seq.max(journal.applied_seq);
    vec![
        Cell::text(&status.node),
        Cell::text(role(status)),
        Cell::number(journal.epoch),
        Cell::number(durable),
        Cell::number(acknowledged),
        Cell::number(journal.applied_seq),
        Cell::text(lag_records),
        Cell::text(lag_ms),
        Cell::text(format!("{digest} at {}", journal.applied_seq)),
        Cell::text(&row.endpoint),
    ]
}

/// Phases of the auctions that have begun and not ended, as the primary says; of the others the number.
fn market(rows: &[Row]) -> Vec<String> {
    let answers = || rows.iter().filter_map(|it| it.answer.as_ref().ok());
    let primary = answers().find(|it| it.role() == v1::NodeRole::Primary).or_else(|| answers().next());
    let (mut lines, mut scheduled, mut ended) = (Vec::new(), 0, 0);
    for it in primary.iter().flat_map(|it| &it.auctions) {
        match it.phase() {
            v1::AuctionPhase::Scheduled => scheduled += 1,
            v1::AuctionPhase::Published | v1::AuctionPhase::Cancelled => ended += 1,
            v1::AuctionPhase::Unspecified
            | v1::AuctionPhase::Open
            | v1::AuctionPhase::GateClosed
            | v1::AuctionPhase::UnconstrainedRun
            | v1::AuctionPhase::AwaitingCapacity
            | v1::AuctionPhase::FundsCheck
            | v1::AuctionPhase::ConstrainedRun
            | v1::AuctionPhase::Halted => {
                let phase = it.phase().as_str_name().trim_start_matches("AUCTION_PHASE_").to_lowercase();
                lines.push(format!("{}: {phase}, {} orders of {} members", it.auction_id, it.orders, it.members));
            }
        }
    }
    if scheduled + ended > 0 {
        lines.push(format!("{scheduled} auctions scheduled, {ended} ended"));
    }
    lines
}

/// Automatic failover, as the primary read it last, or what keeps it from happening; nothing where none is
/// configured.
fn lease(rows: &[Row]) -> Option<Result<String, String>> {
    let mut primaries = rows.iter().filter_map(|it| it.answer.as_ref().ok());
    let primary = primaries.find(|it| it.role() == v1::NodeRole::Primary)?;
    let lease = primary.replication.as_ref()?.lease.as_ref()?;
    let others: Vec<&str> =
        lease.may_take_over.iter().map(String::as_str).filter(|it| *it != primary.node).collect();
    Some(match (lease.reachable, lease.paused, others.as_slice()) {
        (false, _, _) => Err("automatic failover: the lease store does not answer".into()),
        (true, true, _) => Ok("automatic failover: paused".into()),
        (true, false, []) => Err("automatic failover: no standby may take over".into()),
        (true, false, others) => Ok(format!("automatic failover: {} may take over", others.join(", "))),
    })
}

/// Everything that an operator should look at.
fn faults(rows: &[Row]) -> Vec<String> {
    let mut faults = Vec::new();
    for row in rows {
        match &row.answer {
            Ok(status) => faults.extend(status.alarms.iter().map(|it| format!("{}: {it}", status.node))),
            Err(error) => faults.push(format!("{}: {error}", row.endpoint)),
        }
    }
    faults.extend(lease(rows).and_then(Result::err));
    let answers: Vec<_> = rows.iter().filter_map(|it| it.answer.as_ref().ok()).collect();
    let leads = answers.iter().filter(|it| it.role() == v1::NodeRole::Primary).count();
    if leads != 1 {
        faults.push(format!("{leads} of the nodes asked lead; one should"));
    }
    for (index, one) in answers.iter().enumerate() {
        for other in answers.iter().skip(index + 1) {
            let (Some(a), Some(b)) = (&one.journal, &other.journal) else { continue };
            if a.applied_seq == b.applied_seq && a.digest != b.digest {
                let at = a.applied_seq;
                faults.push(format!("{} and {} differ after record {at}", one.node, other.node));
            }
        }
    }
    faults
}
