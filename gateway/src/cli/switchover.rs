//! `merit switchover`: hands the role of primary over, planned, without loss.

use super::connect::{Connect, wait};
use super::{Exit, Failure};
use clap::Args;
use merit_proto::v1;

/// Hand the role of primary to a standby: nothing is lost, orders wait for some milliseconds.
#[derive(Debug, Args)]
pub(super) struct Switchover {
    #[command(flatten)]
    connect: Connect,
    /// The node that leads now.
    #[arg(long, value_name = "NODE")]
    from: String,
    /// The standby that shall lead.
    #[arg(long, value_name = "NODE")]
    to: String,
    /// Only say what would be done and what stands against it.
    #[arg(long)]
    plan: bool,
    /// Also while an auction is being cleared or a step of the timetable is near.
    #[arg(long)]
    at_any_moment: bool,
}

impl Switchover {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let answer = wait(self.ask())?;
        if !answer.objections.is_empty() {
            answer.objections.iter().for_each(|it| eprintln!("merit: {it}"));
            return Ok(Exit::Refused);
        }
        if self.plan {
            println!("{} would hand the role to {}; nothing stands against it", self.from, self.to);
            return Ok(Exit::Ok);
        }
        let pause_ms = answer.pause_us / 1_000;
        let (epoch, seq) = (answer.epoch, answer.seq);
        println!("{} leads in epoch {epoch} after record {seq}; orders waited {pause_ms} ms", self.to);
        Ok(Exit::Ok)
    }

    async fn ask(&self) -> Result<v1::SwitchoverResponse, Failure> {
        for (endpoint, client) in self.connect.clients()? {
            let Ok(status) = client.get_status(v1::GetStatusRequest {}).await else { continue };
            if status.node != self.from {
                continue;
            }
            let (to, plan, at_any_moment) = (self.to.clone(), self.plan, self.at_any_moment);
            let request = v1::SwitchoverRequest { to, plan, at_any_moment };
            let answered = client.operator().switchover(request).await;
            let said = |status: tonic::Status| Failure::error(format_args!("{endpoint}: {}", status.message()));
            return answered.map(tonic::Response::into_inner).map_err(said);
        }
        Err(Failure::error(format_args!("{} answers at none of the endpoints", self.from)))
    }
}
