//! Members, portfolios and users, as registered by command.

use crate::server::certificate::Fingerprint;
use crate::server::convert::{operator, settlement};
use crate::server::identity::Identity;
use merit_engine::command::Role;
use merit_engine::ids::{MemberId, PortfolioId, TextId, UserId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A member.
#[derive(Clone, Debug)]
pub struct Member {
    /// Code.
    pub code: TextId,
    /// Full name.
    pub name: String,
    /// Whether it may trade.
    pub suspended: bool,
}

/// A portfolio.
#[derive(Clone, Debug)]
pub struct Portfolio {
    /// Code.
    pub code: TextId,
    /// Owner.
    pub member: MemberId,
    /// Areas; empty = all.
    pub areas: Vec<TextId>,
}

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    /// Who it is.
    pub identity: Identity,
    /// Its certificate.
    pub fingerprint: Fingerprint,
}

/// Everybody.
#[derive(Debug, Default)]
pub struct Registry {
    /// By number.
    pub members: BTreeMap<MemberId, Member>,
    /// By number.
    pub portfolios: BTreeMap<PortfolioId, Portfolio>,
    /// By number.
    pub users: BTreeMap<UserId, User>,
    member_codes: BTreeMap<String, MemberId>,
    portfolio_codes: BTreeMap<String, PortfolioId>,
    user_names: BTreeMap<String, UserId>,
    fingerprints: BTreeMap<Fingerprint, UserId>,
}

impl Registry {
    /// Everybody at once.
    #[must_use]
    pub fn of(
        members: BTreeMap<MemberId, Member>,
        portfolios: BTreeMap<PortfolioId, Portfolio>,
        users: BTreeMap<UserId, User>,
    ) -> Self {
        let member_codes = members.iter().map(|(id, it)| (it.code.to_string(), *id)).collect();
        let portfolio_codes = portfolios.iter().map(|(id, it)| (it.code.to_string(), *id)).collect();
        let user_names = users.iter().map(|(id, it)| (it.identity.name.to_string(), *id)).collect();
        let fingerprints = users.iter().map(|(id, it)| (it.fingerprint, *id)).collect();
        Self { members, portfolios, users, member_codes, portfolio_codes, user_names, fingerprints }
    }

    /// A new member.
    pub fn add_member(&mut self, id: MemberId, code: TextId, name: String) {
        self.member_codes.insert(code.to_string(), id);
        self.members.insert(id, Member { code, name, suspended: false });
    }

    /// A new portfolio.
    pub fn add_portfolio(&mut self, id: PortfolioId, portfolio: Portfolio) {
        self.portfolio_codes.insert(portfolio.code.to_string(), id);
        self.portfolios.insert(id, portfolio);
    }

    /// A new user, or one with a new certificate; the old certificate counts no more.
    pub fn set_user(&mut self, user: User) {
        let id = user.identity.user;
        self.user_names.insert(user.identity.name.to_string(), id);
        self.fingerprints.insert(user.fingerprint, id);
        if let Some(before) = self.users.insert(id, user.clone())
            && before.fingerprint != user.fingerprint
        {
            self.fingerprints.remove(&before.fingerprint);
        }
    }

    /// The user of a certificate.
    #[must_use]
    pub fn user_of(&self, fingerprint: &Fingerprint) -> Option<&User> {
        self.users.get(self.fingerprints.get(fingerprint)?)
    }

    /// The user of a name.
    #[must_use]
    pub fn user_named(&self, name: &str) -> Option<&User> {
        self.users.get(self.user_names.get(name)?)
    }

    /// The name of a user.
    #[must_use]
    pub fn user_name(&self, user: UserId) -> String {
        self.users.get(&user).map_or_else(String::new, |it| it.identity.name.to_string())
    }

    /// A member by its code.
    #[must_use]
    pub fn member_of(&self, code: &str) -> Option<MemberId> {
        self.member_codes.get(code).copied()
    }

    /// A portfolio by its code, and its owner.
    #[must_use]
    pub fn portfolio_of(&self, code: &str) -> Option<(PortfolioId, MemberId)> {
        let id = *self.portfolio_codes.get(code)?;
        Some((id, self.portfolios.get(&id)?.member))
    }

    /// Codes of the owner of a portfolio and of the portfolio.
    #[must_use]
    pub fn owner_codes(&self, portfolio: PortfolioId) -> (String, String) {
        let Some(found) = self.portfolios.get(&portfolio) else { return Default::default() };
        (settlement::Names::member(self, found.member), found.code.to_string())
    }

    /// Codes of the portfolios that a user may act for or read.
    #[must_use]
    pub fn portfolios_of(&self, identity: &Identity) -> Vec<String> {
        let own = self.portfolios.iter().filter(|(_, it)| Some(it.member) == identity.member);
        let all = identity.portfolios.is_empty() || identity.role != Role::Trader;
        own.filter(|(id, _)| all || identity.portfolios.contains(id))
            .map(|(_, it)| it.code.to_string())
            .collect()
    }

    /// An identity out of what an event says.
    #[must_use]
    pub fn identity(
        user: UserId,
        name: &TextId,
        role: Role,
        member: Option<MemberId>,
        portfolios: &[PortfolioId],
    ) -> Identity {
        Identity { user, name: name.clone(), role, member, portfolios: Arc::from(portfolios) }
    }
}

impl settlement::Names for Registry {
    fn member(&self, member: MemberId) -> String {
        self.members.get(&member).map_or_else(String::new, |it| it.code.to_string())
    }

    fn portfolio(&self, portfolio: PortfolioId) -> String {
        self.portfolios.get(&portfolio).map_or_else(String::new, |it| it.code.to_string())
    }
}

impl operator::Registry for Registry {
    fn member(&self, code: &str) -> Option<MemberId> {
        self.member_of(code)
    }

    fn portfolio(&self, code: &str) -> Option<PortfolioId> {
        self.portfolio_of(code).map(|(id, _)| id)
    }
}
