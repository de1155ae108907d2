//! `merit history`: every primary that the exchange has had.

use super::connect::{Connect, wait};
use super::output::{self, Cell, Format, Table};
use super::{Exit, Failure};
use clap::Args;
use merit_proto::v1;

/// Show every primary of the exchange, with its epoch and its first record.
#[derive(Debug, Args)]
pub(super) struct History {
    #[command(flatten)]
    connect: Connect,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

impl History {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let entries = wait(ask(&self.connect))?;
        let mut table = Table::new(&["epoch", "node", "first record"]);
        for entry in entries {
            let cells = vec![Cell::number(entry.epoch), Cell::text(entry.node), Cell::number(entry.seq_first)];
            table.add(cells);
        }
        output::print(&table.render(self.output)).map_err(Failure::error)?;
        Ok(Exit::Ok)
    }
}

async fn ask(connect: &Connect) -> Result<Vec<v1::HistoryEntry>, Failure> {
    let mut last = String::from("no endpoint");
    for (endpoint, client) in connect.clients()? {
        match client.operator().get_history(v1::GetHistoryRequest {}).await {
            Ok(answer) => return Ok(answer.into_inner().entries),
            Err(status) => last = format!("{endpoint}: {}", status.message()),
        }
    }
    Err(Failure::error(last))
}
