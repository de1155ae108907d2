//! Members, portfolios and users: who may do what.

use super::faults::Faults;
use super::requests::Scope;
use super::streams::Out;
use crate::command::{Action, Actor, Role};
use crate::event::{EventBody, Made, Stream};
use crate::ids::{MemberId, PortfolioId, TextId, UserId};
use crate::limits;
use crate::reject::{Place, Reject};
use crate::snapshot::{Damaged, Keep, Reader, Writer, state_struct};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// A member of the exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Unique code.
    pub code: TextId,
    /// Full name.
    pub name: String,
    /// Whether it may not enter orders.
    pub suspended: bool,
}

/// A portfolio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portfolio {
    /// Owner.
    pub member: MemberId,
    /// Unique code over all members.
    pub code: TextId,
    /// Codes of the areas in which it may trade; empty = all.
    pub areas: Vec<TextId>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Unique name.
    pub name: TextId,
    /// SHA-256 of the DER of the current certificate.
    pub fingerprint: [u8; 32],
    /// What the user may be.
    pub role: Role,
    /// The member of a trader or auditor.
    pub member: Option<MemberId>,
    /// Portfolios that a trader may trade; empty = all of the member's.
    pub portfolios: Vec<PortfolioId>,
}

state_struct! {
    Member { code, name, suspended }
    Portfolio { member, code, areas }
    User { name, fingerprint, role, member, portfolios }
}

/// Everybody known.
#[derive(Debug, Default)]
pub(super) struct Registry {
    members: Vec<Member>,
    portfolios: Vec<Portfolio>,
    users: Vec<User>,
    /// Whether an operator has spoken: from then on the node's own configuration registers nothing.
    pub(super) bootstrap_over: bool,
    member_codes: BTreeMap<TextId, MemberId>,
    portfolio_codes: BTreeMap<TextId, PortfolioId>,
    user_names: BTreeMap<TextId, UserId>,
    fingerprints: BTreeMap<[u8; 32], UserId>,
}

// The four maps are indexes of the three lists.
impl crate::digest::Feed for Registry {
    fn feed<W: crate::digest::Words>(&self, hasher: &mut W) {
        let Self { members, portfolios, users, bootstrap_over, .. } = self;
        members.feed(hasher);
        portfolios.feed(hasher);
        users.feed(hasher);
        bootstrap_over.feed(hasher);
    }
}

impl Keep for Registry {
    fn put(&self, out: &mut Writer<'_>) {
        let Self { members, portfolios, users, bootstrap_over, .. } = self;
        members.put(out);
        portfolios.put(out);
        users.put(out);
        bootstrap_over.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let (members, portfolios, users) = (Vec::take(from)?, Vec::take(from)?, Vec::<User>::take(from)?);
        let codes = |(at, it): (u32, &Member)| (it.code.clone(), MemberId(at));
        let member_codes = (0..).zip(&members).map(codes).collect();
        let codes = |(at, it): (u32, &Portfolio)| (it.code.clone(), PortfolioId(at));
        let portfolio_codes = (0..).zip(&portfolios).map(codes).collect();
        let user_names = (0..).zip(&users).map(|(at, it)| (it.name.clone(), UserId(at))).collect();
        let fingerprints = (0..).zip(&users).map(|(at, it)| (it.fingerprint, UserId(at))).collect();
        let bootstrap_over = Keep::take(from)?;
        Ok(Self {
            members,
            portfolios,
            users,
            bootstrap_over,
            member_codes,
            portfolio_codes,
            user_names,
            fingerprints,
        })
    }
}

fn at(number: u32) -> usize {
    usize::try_from(number).expect("numbers of registered things fit")
}

fn number(length: usize) -> u32 {
    u32::try_from(length).expect("registries are bounded by limits")
}

impl Registry {
    pub(super) fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.get(at(id.0))
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(super) fn portfolio(&self, id: PortfolioId) -> Option<&Portfolio> {
        self.portfolios.get(at(id.0))
    }

    pub(super) fn portfolios(&self) -> &[Portfolio] {
        &self.portfolios
    }

    pub(super) fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(at(id.0))
    }

    pub(super) fn users(&self) -> &[User] {
        &self.users
    }

    pub(super) fn user_with(&self, fingerprint: &[u8; 32]) -> Option<UserId> {
        self.fingerprints.get(fingerprint).copied()
    }

    /// Whose request ids an actor uses, or nothing if nobody knows the actor.
    pub(super) fn scope(&self, actor: Actor) -> Option<Scope> {
        match actor {
            Actor::System => Some(Scope::System),
            Actor::User(user) => {
                let user = self.user(user)?;
                Some(user.member.map_or(Scope::Role(user.role), Scope::Member))
            }
        }
    }

    /// Whether an actor's role allows an action at all.
    pub(super) fn permits(&self, actor: Actor, action: &Action) -> bool {
        let role = match actor {
            Actor::System => None,
            Actor::User(user) => self.user(user).map(|it| it.role),
        };
        match action {
            Action::SetRules(_)
            | Action::RegisterMember { .. }
            | Action::RegisterPortfolio { .. }
            | Action::RegisterUser { .. } => role.map_or(!self.bootstrap_over, |it| it == Role::Operator),
            Action::Deposit { .. } | Action::SetClearance { .. } => {
                role.map_or(!self.bootstrap_over, |it| it == Role::Operator)
            }
            Action::SetMemberSuspended { .. }
            | Action::Withdraw { .. }
            | Action::ProposeAct { .. }
            | Action::ApproveAct { .. } => role == Some(Role::Operator),
            Action::RecordPayIn { .. } => matches!(role, Some(Role::Operator | Role::Settlement)),
            Action::Submit(_) | Action::Amend { .. } | Action::Cancel { .. } | Action::CancelAll { .. } => {
                role == Some(Role::Trader)
            }
            Action::SubmitCapacity(_) | Action::AcknowledgeSchedule { .. } => role == Some(Role::Dispatch),
            Action::Settle(_) => role == Some(Role::Settlement),
        }
    }

    /// Whether a user trades for a portfolio.
    pub(super) fn trades(&self, user: &User, portfolio: PortfolioId) -> bool {
        let owned = self.portfolio(portfolio).is_some_and(|it| Some(it.member) == user.member);
        owned && (user.portfolios.is_empty() || user.portfolios.contains(&portfolio))
    }

    pub(super) fn check_member(&self, code: &TextId, name: &str, faults: &mut Faults) {
        faults.require(!self.member_codes.contains_key(code), Reject::AlreadyExists, Place::Field("code"));
        let named = (1..=limits::NAME_BYTES_MAX).contains(&name.len());
        faults.require(named, Reject::NameOutOfRange, Place::Field("name"));
        let room = number(self.members.len()) < limits::MEMBERS_MAX;
        faults.require(room, Reject::RegistryFull, Place::Whole);
    }

    pub(super) fn register_member(&mut self, code: &TextId, name: &str, out: &mut Out<'_>) -> Made {
        let member = MemberId(number(self.members.len()));
        self.members.push(Member { code: code.clone(), name: name.into(), suspended: false });
        self.member_codes.insert(code.clone(), member);
        let body = EventBody::MemberRegistered { member, code: code.clone(), name: name.into() };
        out.say(Stream::Operator, body);
        Made::Member(member)
    }

    pub(super) fn check_known(&self, member: MemberId, faults: &mut Faults) {
        faults.require(self.member(member).is_some(), Reject::UnknownMember, Place::Field("member"));
    }

    pub(super) fn set_suspended(&mut self, member: MemberId, suspended: bool, out: &mut Out<'_>) -> Made {
        let entry = self.members.get_mut(at(member.0)).expect("checked");
        if entry.suspended != suspended {
            entry.suspended = suspended;
            out.say(Stream::Operator, EventBody::MemberSuspended { member, suspended });
            out.say(Stream::Member(member), EventBody::MemberSuspended { member, suspended });
        }
        Made::Done
    }

    pub(super) fn check_portfolio(
        &self,
        member: MemberId,
        code: &TextId,
        areas: &[TextId],
        faults: &mut Faults,
    ) {
        faults.require(self.member(member).is_some(), Reject::UnknownMember, Place::Field("member"));
        let known = areas.len() <= usize::from(limits::AREAS_MAX);
        faults.require(known, Reject::UnknownArea, Place::Field("areas"));
        let free = !self.portfolio_codes.contains_key(code);
        faults.require(free, Reject::AlreadyExists, Place::Field("code"));
        let room = number(self.portfolios.len()) < limits::PORTFOLIOS_MAX;
        faults.require(room, Reject::RegistryFull, Place::Whole);
    }

    pub(super) fn register_portfolio(
        &mut self,
        member: MemberId,
        code: &TextId,
        areas: &[TextId],
        out: &mut Out<'_>,
    ) -> Made {
        let portfolio = PortfolioId(number(self.portfolios.len()));
        self.portfolios.push(Portfolio { member, code: code.clone(), areas: areas.to_vec() });
        self.portfolio_codes.insert(code.clone(), portfolio);
        let (code, areas) = (code.clone(), areas.to_vec());
        out.say(Stream::Operator, EventBody::PortfolioRegistered { member, portfolio, code, areas });
        Made::Portfolio(portfolio)
    }

    /// A known name is a new certificate (and portfolio list) for the same user, provided that role
    /// and member stay: a person who changes sides is another user.
    pub(super) fn check_user(&self, user: &User, faults: &mut Faults) {
        let of_member = matches!(user.role, Role::Trader | Role::Auditor);
        match user.member {
            Some(member) => {
                faults.require(of_member, Reject::NotPermitted, Place::Field("member"));
                faults.require(self.member(member).is_some(), Reject::UnknownMember, Place::Field("member"));
            }
            None => faults.require(!of_member, Reject::UnknownMember, Place::Field("member")),
        }
        let bounded = user.portfolios.len() <= self.portfolios.len();
        let owned = |it: &PortfolioId| self.portfolio(*it).is_some_and(|p| Some(p.member) == user.member);
        let known = bounded && user.portfolios.iter().all(owned);
        faults.require(known, Reject::UnknownPortfolio, Place::Field("portfolios"));
        let same = self.user_names.get(&user.name);
        if let Some(old) = same.and_then(|it| self.user(*it)) {
            let stays = old.role == user.role && old.member == user.member;
            faults.require(stays, Reject::AlreadyExists, Place::Field("name"));
        }
        let holder = self.fingerprints.get(&user.fingerprint);
        let free = holder.is_none() || holder == same;
        faults.require(free, Reject::AlreadyExists, Place::Field("fingerprint"));
        let room = same.is_some() || number(self.users.len()) < limits::USERS_MAX;
        faults.require(room, Reject::RegistryFull, Place::Whole);
    }

    pub(super) fn register_user(&mut self, user: User, out: &mut Out<'_>) -> Made {
        let id = match self.user_names.get(&user.name) {
            Some(id) => *id,
            None => UserId(number(self.users.len())),
        };
        let User { name, fingerprint, role, member, portfolios } = user.clone();
        if let Some(entry) = self.users.get_mut(at(id.0)) {
            self.fingerprints.remove(&entry.fingerprint);
            *entry = user;
        } else {
            self.user_names.insert(name.clone(), id);
            self.users.push(user);
        }
        self.fingerprints.insert(fingerprint, id);
        let body = EventBody::UserRegistered { user: id, name, fingerprint, role, member, portfolios };
        out.say(Stream::Operator, body);
        Made::User(id)
    }
}
