//! `merit operator`: what operators of the exchange do, from a shell.

use super::reach::{Connect, carried_out, failed};
use super::output::{Cell, Format, Table, print};
use super::{Exit, Failure};
use crate::server::certificate::fingerprint;
use merit_client::{units, v1};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Operators: status, members, collateral, clearances, suspensions, exceptional acts
#[derive(Debug, clap::Args)]
pub(super) struct OperatorDesk {
    #[command(flatten)]
    connect: Connect,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, global = true)]
    output: Format,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Auctions that are not over: phase, orders, members
    Status,
    /// What is wrong now, and the last alarms
    Alarms,
    /// Register a member
    AddMember {
        /// Its code, for good
        member: String,
        /// Its full name
        name: String,
    },
    /// Register a portfolio of a member
    AddPortfolio {
        /// Member
        member: String,
        /// Its code, unique over all members
        portfolio: String,
        /// An area in which it may trade; none: all
        #[arg(long = "area")]
        areas: Vec<String>,
    },
    /// Register a user, or give one another certificate
    AddUser {
        /// Its name
        name: String,
        /// What it may do
        #[arg(long, value_parser = ["trader", "auditor", "dispatch", "settlement", "operator"])]
        role: String,
        /// PEM file of its certificate
        #[arg(long, value_name = "FILE")]
        certificate: std::path::PathBuf,
        /// Member of a trader or auditor
        #[arg(long)]
        member: Option<String>,
        /// A portfolio that a trader may trade; none: all of the member's
        #[arg(long = "portfolio")]
        portfolios: Vec<String>,
    },
    /// Every step of a delivery day, when it is due and when it was done
    Timetable {
        /// Delivery day, e.g. 2026-11-24
        day: String,
    },
    /// Members with their portfolios and users
    Members,
    /// Note a deposit of collateral
    Deposit {
        /// Member
        member: String,
        /// Amount, a decimal
        amount: String,
    },
    /// Give collateral back that nothing needs
    Withdraw {
        /// Member
        member: String,
        /// Amount, a decimal
        amount: String,
    },
    /// Note that a member has paid what it owed for a delivery day
    PayIn {
        /// Member
        member: String,
        /// Delivery day
        day: String,
    },
    /// Collateral of a member: deposited, held, owed, available
    Collateral {
        /// Member
        member: String,
    },
    /// Set what a portfolio is cleared to buy and sell in an area
    Clear {
        /// Portfolio
        portfolio: String,
        /// Bid area
        area: String,
        /// Bought at most in a period, MW
        #[arg(long, default_value = "0")]
        buy_mw: String,
        /// Sold at most in a period, MW
        #[arg(long, default_value = "0")]
        sell_mw: String,
    },
    /// Clearances of a member, or of all
    Clearances {
        /// Member
        member: Option<String>,
    },
    /// Suspend a member; its open orders stand or go as the rules say
    Suspend {
        /// Member
        member: String,
    },
    /// Lift a suspension
    Resume {
        /// Member
        member: String,
    },
    /// Propose to cancel a whole auction before its result
    CancelAuction {
        /// Auction
        auction: String,
        /// Why, for the public notice
        #[arg(long)]
        reason: String,
    },
    /// Propose that a gate which has not closed closes later
    ExtendGate {
        /// Auction
        auction: String,
        /// When instead, e.g. 2026-11-23T05:45:00Z
        until: String,
        /// Why, for the public notice
        #[arg(long)]
        reason: String,
    },
    /// Propose to run an auction again on the same book, after a wrong capacity
    Rerun {
        /// Auction
        auction: String,
        /// Why, for the public notice
        #[arg(long)]
        reason: String,
    },
    /// Approve what another operator proposed
    Approve {
        /// Name of the proposal, e.g. act-1
        proposal: String,
    },
}

fn amount(text: &str) -> Result<i64, Failure> {
    units::micros(text).map_err(|error| Failure::usage(format_args!("{text}: {error}")))
}

fn money(micros: i64) -> Cell {
    Cell::number(units::decimal(micros))
}

impl OperatorDesk {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let Self { connect, output, verb } = self;
        match verb {
            Verb::Status | Verb::Alarms | Verb::Timetable { .. } | Verb::Members | Verb::Collateral { .. } | Verb::Clearances { .. } => {
                let table = connect.run(async |client, _| look(&client, verb).await)?;
                print(&table.render(output)).map_err(Failure::error)?;
                Ok(Exit::Ok)
            }
            Verb::CancelAuction { .. } | Verb::ExtendGate { .. } | Verb::Rerun { .. } => {
                let answer = connect.run(async |client, request_id| {
                    let asked = proposal(request_id, verb)?;
                    client.propose_act(asked).await.map_err(failed)
                })?;
                let exit = carried_out(answer.answer)?;
                let name = answer.proposal_id.as_deref().unwrap_or_default();
                eprintln!("merit: proposed; another operator says: merit operator approve {name}");
                let mut table = Table::new(&["proposal"]);
                table.add(vec![answer.proposal_id.map_or(Cell::Nothing, Cell::text)]);
                print(&table.render(output)).map_err(Failure::error)?;
                Ok(exit)
            }
            Verb::AddMember { .. } | Verb::AddPortfolio { .. } | Verb::AddUser { .. } => {
                carried_out(connect.run(async |client, request_id| register(&client, request_id, verb).await)?)
            }
            Verb::Deposit { .. }
            | Verb::Withdraw { .. }
            | Verb::PayIn { .. }
            | Verb::Clear { .. }
            | Verb::Suspend { .. }
            | Verb::Resume { .. }
            | Verb::Approve { .. } => {
                carried_out(connect.run(async |client, request_id| change(&client, request_id, verb).await)?)
            }
        }
    }
}

/// Reads that make a table.
async fn look(client: &merit_client::Client, verb: Verb) -> Result<Table, Failure> {
    match verb {
        Verb::Status => status(client).await,
        Verb::Alarms => {
            let status = client.get_status(v1::GetStatusRequest {}).await.map_err(failed)?;
            let mut table = Table::new(&["alarm"]);
            for it in status.alarms {
                table.add(vec![Cell::text(it)]);
            }
            Ok(table)
        }
        Verb::Timetable { day } => {
            let asked = v1::GetTimetableRequest { delivery_day: day };
            let answer = client.get_timetable(asked).await.map_err(failed)?;
            let mut table = Table::new(&["due", "auction", "phase", "done"]);
            for it in &answer.steps {
                table.add(vec![
                    it.due_at.as_ref().map_or(Cell::Nothing, at),
                    Cell::text(&it.auction_id),
                    Cell::text(phase(it.phase())),
                    it.done_at.as_ref().map_or(Cell::Nothing, at),
                ]);
            }
            Ok(table)
        }
        Verb::Members => members(client).await,
        Verb::Collateral { member } => {
            let asked = v1::GetCollateralRequest { member: Some(member) };
            let it = client.get_collateral(asked).await.map_err(failed)?.collateral.unwrap_or_default();
            let mut table =
                Table::new(&["member", "currency", "deposited", "held", "due", "available", "margin"]);
            table.add(vec![
                Cell::text(&it.member),
                Cell::text(&it.currency),
                money(it.balance_micros),
                money(it.held_micros),
                money(it.due_micros),
                money(it.available_micros),
                it.margin_micros.map_or(Cell::Nothing, money),
            ]);
            Ok(table)
        }
        Verb::Clearances { member } => {
            let answer = client.list_clearances(v1::ListClearancesRequest { member }).await.map_err(failed)?;
            let mut table = Table::new(&["portfolio", "area", "buy_mw", "sell_mw"]);
            for it in &answer.clearances {
                let (buy, sell) = (money(it.buy_watts), money(it.sell_watts));
                table.add(vec![Cell::text(&it.portfolio), Cell::text(&it.area), buy, sell]);
            }
            Ok(table)
        }
        Verb::Deposit { .. }
        | Verb::Withdraw { .. }
        | Verb::PayIn { .. }
        | Verb::Clear { .. }
        | Verb::Suspend { .. }
        | Verb::Resume { .. }
        | Verb::CancelAuction { .. }
        | Verb::ExtendGate { .. }
        | Verb::Rerun { .. }
        | Verb::AddMember { .. }
        | Verb::AddPortfolio { .. }
        | Verb::AddUser { .. }
        | Verb::Approve { .. } => Err(Failure::error("this verb changes something")),
    }
}

async fn status(client: &merit_client::Client) -> Result<Table, Failure> {
    let status = client.get_status(v1::GetStatusRequest {}).await.map_err(failed)?;
    let mut table = Table::new(&["auction", "phase", "next_due", "orders", "members"]);
    for it in &status.auctions {
        let due = it.phase_next_due.as_ref().map(at);
        table.add(vec![
            Cell::text(&it.auction_id),
            Cell::text(phase(it.phase())),
            due.unwrap_or(Cell::Nothing),
            Cell::number(it.orders),
            Cell::number(it.members),
        ]);
    }
    Ok(table)
}

async fn members(client: &merit_client::Client) -> Result<Table, Failure> {
    let mut table = Table::new(&["member", "name", "suspended", "portfolios", "users"]);
    let mut asked = v1::ListMembersRequest::default();
    loop {
        let page = client.list_members(asked.clone()).await.map_err(failed)?;
        for it in &page.members {
            let portfolios: Vec<&str> = it.portfolios.iter().map(|it| it.portfolio.as_str()).collect();
            let users: Vec<&str> = it.users.iter().map(|it| it.user.as_str()).collect();
            table.add(vec![
                Cell::text(&it.member),
                Cell::text(&it.name),
                Cell::Flag(it.suspended),
                Cell::text(portfolios.join(" ")),
                Cell::text(users.join(" ")),
            ]);
        }
        asked.page_token = page.next_page_token;
        if asked.page_token.is_none() {
            return Ok(table);
        }
    }
}

fn at(time: &impl Clock) -> Cell {
    Cell::text(crate::server::clock::format_utc(time.micros()))
}

/// An instant of the contract.
trait Clock {
    fn micros(&self) -> i64;
}

impl Clock for prost_types::Timestamp {
    fn micros(&self) -> i64 {
        self.seconds.saturating_mul(1_000_000).saturating_add(i64::from(self.nanos) / 1_000)
    }
}

fn phase(phase: v1::AuctionPhase) -> String {
    phase.as_str_name().trim_start_matches("AUCTION_PHASE_").to_ascii_lowercase()
}

fn proposal(request_id: String, verb: Verb) -> Result<v1::ProposeActRequest, Failure> {
    use v1::propose_act_request::Act;
    let (act, reason) = match verb {
        Verb::CancelAuction { auction, reason } => {
            (Act::CancelAuction(v1::CancelAuctionAct { auction_id: auction }), reason)
        }
        Verb::Rerun { auction, reason } => {
            (Act::RerunAuction(v1::RerunAuctionAct { auction_id: auction }), reason)
        }
        Verb::ExtendGate { auction, until, reason } => {
            let time_us = crate::server::clock::parse_utc(&until);
            let rule = "is an instant like 2026-11-23T05:45:00Z";
            let time_us = time_us.ok_or_else(|| Failure::usage(format_args!("{until}: {rule}")))?;
            let gate_closes_at = Some(crate::server::convert::timestamp(time_us));
            (Act::ExtendGate(v1::ExtendGateAct { auction_id: auction, gate_closes_at }), reason)
        }
        Verb::Status
        | Verb::Alarms
        | Verb::AddMember { .. }
        | Verb::AddPortfolio { .. }
        | Verb::AddUser { .. }
        | Verb::Timetable { .. }
        | Verb::Members
        | Verb::Deposit { .. }
        | Verb::Withdraw { .. }
        | Verb::PayIn { .. }
        | Verb::Collateral { .. }
        | Verb::Clear { .. }
        | Verb::Clearances { .. }
        | Verb::Suspend { .. }
        | Verb::Resume { .. }
        | Verb::Approve { .. } => return Err(Failure::error("this verb proposes nothing")),
    };
    Ok(v1::ProposeActRequest { request_id, reason, act: Some(act) })
}

/// Registrations.
async fn register(
    client: &merit_client::Client,
    request_id: String,
    verb: Verb,
) -> Result<Option<v1::RequestAnswer>, Failure> {
    if let Verb::AddMember { member, name } = verb {
        let asked = v1::RegisterMemberRequest { request_id, member, name };
        return Ok(client.register_member(asked).await.map_err(failed)?.answer);
    }
    if let Verb::AddPortfolio { member, portfolio, areas } = verb {
        let asked = v1::RegisterPortfolioRequest { request_id, member, portfolio, areas };
        return Ok(client.register_portfolio(asked).await.map_err(failed)?.answer);
    }
    let Verb::AddUser { name, role, certificate, member, portfolios } = verb else {
        return Err(Failure::error("this verb registers nobody"));
    };
    let role = v1::Role::from_str_name(&format!("ROLE_{}", role.to_ascii_uppercase()));
    let der = CertificateDer::from_pem_file(&certificate)
        .map_err(|error| Failure::usage(format_args!("{}: {error}", certificate.display())))?;
    let asked = v1::RegisterUserRequest {
        request_id,
        user: name,
        certificate_sha256: fingerprint(&der).to_vec(),
        role: role.unwrap_or_default().into(),
        member,
        portfolios,
    };
    Ok(client.register_user(asked).await.map_err(failed)?.answer)
}

/// Requests that change something and answer with nothing else.
async fn change(
    client: &merit_client::Client,
    request_id: String,
    verb: Verb,
) -> Result<Option<v1::RequestAnswer>, Failure> {
    match verb {
        Verb::Deposit { member, amount: text } => {
            let asked = v1::DepositRequest { request_id, member, amount_micros: amount(&text)? };
            Ok(client.deposit(asked).await.map_err(failed)?.answer)
        }
        Verb::Withdraw { member, amount: text } => {
            let asked = v1::WithdrawRequest { request_id, member, amount_micros: amount(&text)? };
            Ok(client.withdraw(asked).await.map_err(failed)?.answer)
        }
        Verb::PayIn { member, day } => {
            let asked = v1::RecordPayInRequest { request_id, member, delivery_day: day };
            Ok(client.record_pay_in(asked).await.map_err(failed)?.answer)
        }
        Verb::Clear { portfolio, area, buy_mw, sell_mw } => {
            let (buy_watts, sell_watts) = (amount(&buy_mw)?, amount(&sell_mw)?);
            let clearance = Some(v1::ClearanceEntry { portfolio, area, buy_watts, sell_watts });
            let asked = v1::SetClearanceRequest { request_id, clearance };
            Ok(client.set_clearance(asked).await.map_err(failed)?.answer)
        }
        Verb::Suspend { member } => {
            let asked = v1::SuspendMemberRequest { request_id, member };
            Ok(client.suspend_member(asked).await.map_err(failed)?.answer)
        }
        Verb::Resume { member } => {
            let asked = v1::ResumeMemberRequest { request_id, member };
            Ok(client.resume_member(asked).await.map_err(failed)?.answer)
        }
        Verb::Approve { proposal } => {
            let asked = v1::ApproveActRequest { request_id, proposal_id: proposal };
            Ok(client.approve_act(asked).await.map_err(failed)?.answer)
        }
        Verb::Status
        | Verb::Alarms
        | Verb::AddMember { .. }
        | Verb::AddPortfolio { .. }
        | Verb::AddUser { .. }
        | Verb::Timetable { .. }
        | Verb::Members
        | Verb::Collateral { .. }
        | Verb::Clearances { .. }
        | Verb::CancelAuction { .. }
        | Verb::ExtendGate { .. }
        | Verb::Rerun { .. } => Err(Failure::error("this verb changes nothing by itself")),
    }
}
