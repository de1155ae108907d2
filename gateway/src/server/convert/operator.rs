//! Registrations and alarms, as operators see and send them.

use super::faults::Faults;
use super::units::role_in;
use merit_engine::command::{Action, Role};
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
