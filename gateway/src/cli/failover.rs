//! `merit failover`: makes a standby primary after the primary is gone.

use super::connect::{Connect, wait};
use super::{Exit, Failure};
use clap::Args;
use merit_proto::v1;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

/// Make a standby primary after the primary is gone; says first what may be lost.
#[derive(Debug, Args)]
pub(super) struct Failover {
    #[command(flatten)]
    connect: Connect,
    /// The standby that shall lead.
    #[arg(long, value_name = "NODE")]
    to: String,
    /// The node that loses the role. Without it you are asked to type its name.
    #[arg(long, value_name = "NODE")]
    lost: Option<String>,
    /// Lead although it is not proved that the standby holds everything acknowledged.
    #[arg(long)]
    accept_loss: bool,
    /// Acknowledge orders alone until a standby holds everything.
    #[arg(long)]
    alone: bool,
    /// Only say what would be done and what may be lost.
    #[arg(long)]
    plan: bool,
}

impl Failover {
    pub(super) fn run(mut self) -> Result<Exit, Failure> {
        if self.lost.is_none() {
            self.lost = Some(typed()?);
        }
        let planned = wait(self.ask(true))?;
        if !planned.objections.is_empty() {
            planned.objections.iter().for_each(|it| eprintln!("merit: {it}"));
            return Ok(Exit::Refused);
        }
        println!("may be lost: {}", if planned.loss.is_empty() { "nothing" } else { &planned.loss });
        if self.plan {
            return Ok(Exit::Ok);
        }
        let answer = wait(self.ask(false))?;
        if !answer.objections.is_empty() {
            answer.objections.iter().for_each(|it| eprintln!("merit: {it}"));
            return Ok(Exit::Refused);
        }
        println!("{} leads in epoch {} after record {}", self.to, answer.epoch, answer.seq);
        Ok(Exit::Ok)
    }

    async fn ask(&self, plan: bool) -> Result<v1::FailoverResponse, Failure> {
        for (endpoint, client) in self.connect.clients()? {
            let Ok(status) = client.get_status(v1::GetStatusRequest {}).await else { continue };
            if status.node != self.to {
                continue;
            }
            let lost = self.lost.clone().unwrap_or_default();
            let (accept_loss, alone) = (self.accept_loss, self.alone);
            let request = v1::FailoverRequest { lost, accept_loss, alone, plan };
            let answered = client.operator().failover(request).await;
            let said = |status: tonic::Status| Failure::error(format_args!("{endpoint}: {}", status.message()));
            return answered.map(tonic::Response::into_inner).map_err(said);
        }
        Err(Failure::error(format_args!("{} answers at none of the endpoints", self.to)))
    }
}

/// The name of the node that loses the role, typed by whoever takes the responsibility.
fn typed() -> Result<String, Failure> {
    let mut stdin = std::io::stdin().lock();
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("--lost is needed where nobody can be asked"));
    }
    print!("type the name of the node that loses the role: ");
    std::io::stdout().flush().map_err(Failure::error)?;
    let mut line = String::new();
    stdin.read_line(&mut line).map_err(Failure::error)?;
    Ok(line.trim().to_owned())
}
