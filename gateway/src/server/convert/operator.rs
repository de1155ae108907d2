//! Registrations and alarms, as operators see and send them.

use super::faults::Faults;
use super::units::role_in;
use merit_engine::command::{Act, Action, Role};
use merit_engine::event::Alarm;
use merit_engine::ids::{MemberId, PortfolioId, TextId};
use merit_engine::reject::Reject;
use merit_proto::v1;
use merit_proto::v1::RejectReason;

/// Codes to numbers, for registrations.
pub trait Registry {
    /// A member by its code.
    fn member(&self, code: &str) -> Option<MemberId>;
    /// A portfolio by its code.
    fn portfolio(&self, code: &str) -> Option<PortfolioId>;
}

/// Reads a code.
pub fn code(text: &str, field: &str, faults: &mut Faults) -> Option<TextId> {
    let id = TextId::new(text);
    if id.is_none() {
        let reason = if text.is_empty() { RejectReason::MissingField } else { RejectReason::MalformedId };
        faults.malformed(reason, field, "a code is 1 to 64 characters out of A-Z a-z 0-9 . _ : -");
    }
    id
}

/// Reads the code of a registered member.
pub fn member(code: &str, faults: &mut Faults, registry: &impl Registry) -> Option<MemberId> {
    let found = registry.member(code);
    if found.is_none() {
        faults.reject(Reject::UnknownMember, "member");
    }
    found
}

/// Reads the registration of a portfolio.
pub fn register_portfolio(
    request: &v1::RegisterPortfolioRequest,
    faults: &mut Faults,
    registry: &impl Registry,
) -> Option<Action> {
    let owner = member(&request.member, faults, registry);
    let portfolio = code(&request.portfolio, "portfolio", faults);
    let mut areas = Vec::with_capacity(request.areas.len());
    for (index, it) in request.areas.iter().enumerate() {
        areas.push(code(it, &format!("areas[{index}]"), faults)?);
    }
    Some(Action::RegisterPortfolio { member: owner?, code: portfolio?, areas })
}

/// Reads the registration of a user.
pub fn register_user(
    request: &v1::RegisterUserRequest,
    faults: &mut Faults,
    registry: &impl Registry,
) -> Option<Action> {
    let name = code(&request.user, "user", faults);
    let fingerprint: Option<[u8; 32]> = request.certificate_sha256.as_slice().try_into().ok();
    if fingerprint.is_none() {
        let text = "the SHA-256 of a certificate has 32 bytes";
        faults.malformed(RejectReason::MalformedId, "certificate_sha256", text);
    }
    let role = role_in(request.role);
    if role.is_none() {
        faults.malformed(RejectReason::UnknownEnumValue, "role", "no such role");
    }
    let owner = match &request.member {
        Some(text) => Some(member(text, faults, registry)?),
        None => None,
    };
    let needs_member = matches!(role, Some(Role::Trader | Role::Auditor));
    if needs_member != owner.is_some() {
        let text = "a trader or auditor has a member, other roles have none";
        faults.malformed(RejectReason::MissingField, "member", text);
    }
    let mut portfolios = Vec::with_capacity(request.portfolios.len());
    for (index, it) in request.portfolios.iter().enumerate() {
        let found = registry.portfolio(it);
        if found.is_none() {
            faults.reject(Reject::UnknownPortfolio, format!("portfolios[{index}]"));
        }
        portfolios.push(found?);
    }
    Some(Action::RegisterUser {
        name: name?,
        fingerprint: fingerprint?,
        role: role?,
        member: owner,
        portfolios,
    })
}

/// Name of a proposal on the wire.
#[must_use]
pub fn proposal_name(number: u32) -> String {
    format!("act-{number}")
}

/// Reads the name of a proposal.
#[must_use]
pub fn proposal_number(name: &str) -> Option<u32> {
    let number = name.strip_prefix("act-")?.parse().ok()?;
    (proposal_name(number) == name).then_some(number)
}

/// An act in words.
#[must_use]
pub fn act_in_words(act: Act) -> String {
    match act {
        Act::CancelAuction { auction } => format!("auction {auction} is cancelled as a whole"),
        Act::ExtendGate { auction, gate_us } => {
            format!("the gate of {auction} closes later, at {}", crate::server::clock::format_utc(gate_us))
        }
        Act::Rerun { auction } => {
            format!(
                "auction {auction} is run again on the same book, with new capacities; an earlier result is void"
            )
        }
    }
}

/// Reads a proposal.
pub fn propose(request: &v1::ProposeActRequest, faults: &mut Faults) -> Option<Action> {
    use v1::propose_act_request::Act as Asked;
    let Some(asked) = &request.act else {
        faults.malformed(RejectReason::MissingField, "act", "this field is needed");
        return None;
    };
    let (name, field) = match asked {
        Asked::CancelAuction(it) => (&it.auction_id, "cancel_auction.auction_id"),
        Asked::ExtendGate(it) => (&it.auction_id, "extend_gate.auction_id"),
        Asked::RerunAuction(it) => (&it.auction_id, "rerun_auction.auction_id"),
    };
    let auction = super::units::auction_id(name);
    if auction.is_none() {
        faults.reject(Reject::UnknownAuction, field);
    }
    let auction = auction?;
    let act = match asked {
        Asked::CancelAuction(_) => Act::CancelAuction { auction },
        Asked::RerunAuction(_) => Act::Rerun { auction },
        Asked::ExtendGate(it) => {
            let gate = it.gate_closes_at.as_ref();
            let gate_us = gate
                .and_then(|it| it.seconds.checked_mul(1_000_000)?.checked_add(i64::from(it.nanos) / 1_000));
            let Some(gate_us) = gate_us else {
                faults.malformed(
                    RejectReason::MissingField,
                    "extend_gate.gate_closes_at",
                    "this field is needed",
                );
                return None;
            };
            Act::ExtendGate { auction, gate_us }
        }
    };
    Some(Action::ProposeAct { act, reason: request.reason.clone() })
}

/// An alarm as operators see it.
#[must_use]
pub fn alarm(alarm: &Alarm) -> v1::Alarm {
    let (auction, name, text) = match alarm {
        Alarm::CapacityLate { auction } => {
            let text = "transfer capacities did not come in time; the rule for late capacities was followed";
            (Some(auction), "CAPACITY_LATE", text.to_owned())
        }
        Alarm::ResultLate { auction } => {
            (Some(auction), "RESULT_LATE", "the result is later than the timetable says".to_owned())
        }
        Alarm::VerifierRefused { auction, breaks, .. } => {
            // The first break in words may name an order: that is for the log of the engine's tests,
            // not for a screen while the auction is sealed.
            let text = format!("the verifier found {breaks} breaks; the auction is halted and not published");
            (Some(auction), "VERIFIER_REFUSED", text)
        }
        Alarm::AcknowledgementLate { auction, revision } => {
            let text = format!("revision {revision} of the schedule is not acknowledged in time");
            (Some(auction), "ACKNOWLEDGEMENT_LATE", text)
        }
        Alarm::FundsShort { auction, orders, .. } => {
            let text = format!("funds of a member did not cover {orders} of its orders; they were taken out");
            (Some(auction), "FUNDS_SHORT", text)
        }
        Alarm::ClockBehind { behind_us } => {
            let text = format!("the clock is {behind_us} µs behind the journal; journaled time stood still");
            (None, "CLOCK_BEHIND", text)
        }
        Alarm::StandbyLost => {
            let text =
                "the primary has no standby and acknowledges alone: only its own disk holds new orders";
            (None, "STANDBY_LOST", text.to_owned())
        }
        Alarm::StandbyBack => {
            (None, "STANDBY_BACK", "a standby holds everything again; the primary waits for it".to_owned())
        }
    };
    v1::Alarm { auction_id: auction.map(ToString::to_string), name: name.into(), text }
}
