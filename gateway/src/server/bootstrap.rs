//! What a new exchange starts with: rules, members, portfolios, users, as requests of the node itself.
//!
//! Every entry is entered once: what is there already, by its code or name, is left as it is. So a
//! start that was interrupted goes on where it stopped, and a registry file that grows adds what is new.

use super::certificate::{Fingerprint, fingerprint, parse_hex};
use super::config::{Bootstrap, Preset};
use super::node::Node;
use aws_lc_rs::digest;
use merit_engine::calendar::Zone;
use merit_engine::command::{Action, Actor, Body, Request, Role};
use merit_engine::event::Answer;
use merit_engine::ids::{Market, PortfolioId, TextId};
use merit_engine::presets;
use merit_engine::rules::MarketRules;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Requests that are submitted together.
const CHUNK: usize = 1_000;

/// Members, portfolios and users of a sandbox.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Members with their portfolios and users.
    #[serde(default, rename = "member")]
    pub members: Vec<MemberEntry>,
    /// Users without a member: dispatch centre, clearing house, operators.
    #[serde(default, rename = "user")]
    pub users: Vec<UserEntry>,
}

/// A member.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberEntry {
    /// Unique code.
    pub code: String,
    /// Full name.
    pub name: String,
    /// Its portfolios.
    #[serde(default, rename = "portfolio")]
    pub portfolios: Vec<PortfolioEntry>,
    /// Its users.
    #[serde(default, rename = "user")]
    pub users: Vec<UserEntry>,
    /// Collateral that it has deposited, whole minor units of the currency.
    #[serde(default)]
    pub collateral_minor: i64,
}

/// A portfolio.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortfolioEntry {
    /// Unique code over all members.
    pub code: String,
    /// Areas in which it may trade; empty: all.
    #[serde(default)]
    pub areas: Vec<String>,
}

/// A user.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserEntry {
    /// Unique name.
    pub name: String,
    /// `trader`, `auditor`, `dispatch`, `settlement` or `operator`.
    pub role: String,
    /// PEM file of its certificate, relative to the registry file.
    pub certificate: Option<PathBuf>,
    /// Or the SHA-256 of it. With neither the user exists on plaintext loopback only.
    pub fingerprint: Option<String>,
    /// Portfolios that a trader may trade; empty: all of the member's.
    #[serde(default)]
    pub portfolios: Vec<String>,
}

/// A registry file that was read and checked.
#[derive(Clone, Debug, Default)]
struct Checked {
    members: Vec<(TextId, String)>,
    collateral: Vec<(TextId, i64)>,
    portfolios: Vec<(TextId, TextId, Vec<TextId>)>,
    users: Vec<CheckedUser>,
}

#[derive(Clone, Debug)]
struct CheckedUser {
    name: TextId,
    role: Role,
    member: Option<TextId>,
    portfolios: Vec<TextId>,
    fingerprint: Fingerprint,
}

/// Enters what is configured and not there yet.
///
/// # Errors
///
/// Every fault of the registry file, or the first request that was refused.
pub async fn run(node: &Node, bootstrap: &Bootstrap) -> Result<(), Vec<String>> {
    let mut checked = match &bootstrap.registry {
        Some(path) => read(path)?,
        None => Checked::default(),
    };
    if let Some(fingerprint) = bootstrap.operator {
        let name = TextId::new("operator").expect("keeps the rule");
        checked.users.push(CheckedUser {
            name,
            role: Role::Operator,
            member: None,
            portfolios: Vec::new(),
            fingerprint,
        });
    }
    let rules = rules(node, bootstrap);
    submit(node, rules.into_iter().map(|it| (format!("rules {}", it.market.name()), set_rules(it)))).await?;
    let new = |code: &TextId| node.model.read(|state, _| state.registry.member_of(code.as_str()).is_none());
    // A deposit is made with the registration, so a start that finds the member adds nothing.
    let collateral: Vec<_> = checked.collateral.into_iter().filter(|(code, _)| new(code)).collect();
    let members = checked.members.into_iter().filter(|(code, _)| new(code));
    let members: Vec<_> = members
        .map(|(code, name)| (format!("member {code}"), Action::RegisterMember { code, name }))
        .collect();
    submit(node, members).await?;
    let deposits: Vec<_> = collateral.into_iter().filter_map(|it| deposit(node, it)).collect();
    submit(node, deposits).await?;
    let portfolios: Vec<_> = checked.portfolios.into_iter().filter_map(|it| portfolio(node, it)).collect();
    submit(node, portfolios).await?;
    let users: Vec<_> = checked.users.into_iter().filter_map(|it| user(node, it)).collect();
    submit(node, users).await
}

fn rules(node: &Node, bootstrap: &Bootstrap) -> Vec<MarketRules> {
    let Some(preset) = bootstrap.rules else { return Vec::new() };
    let build = |preset, day| match preset {
        Preset::India => presets::indian(day),
        Preset::European => presets::european(day),
    };
    let zone = match preset {
        Preset::India => Zone::INDIA,
        Preset::European => Zone::CENTRAL_EUROPE,
    };
    let tomorrow = zone.day_of(node.time_us()).plus(1);
    let mut rules = build(preset, bootstrap.effective_from.unwrap_or(tomorrow)).to_vec();
    let has = |market: Market| node.model.read(|state, _| state.rules.keys().any(|(it, _)| *it == market));
    rules.retain(|it| !has(it.market));
    rules
}

fn set_rules(rules: MarketRules) -> Action {
    Action::SetRules(Box::new(rules))
}

fn deposit(node: &Node, (code, minor): (TextId, i64)) -> Option<(String, Action)> {
    node.model.read(|state, _| {
        let member = state.registry.member_of(code.as_str())?;
        Some((format!("collateral of {code}"), Action::Deposit { member, minor }))
    })
}

fn portfolio(node: &Node, (owner, code, areas): (TextId, TextId, Vec<TextId>)) -> Option<(String, Action)> {
    node.model.read(|state, _| {
        let known = state.registry.portfolio_of(code.as_str()).is_some();
        let member = state.registry.member_of(owner.as_str())?;
        let what = format!("portfolio {code}");
        (!known).then_some((what, Action::RegisterPortfolio { member, code, areas }))
    })
}

fn user(node: &Node, user: CheckedUser) -> Option<(String, Action)> {
    node.model.read(|state, _| {
        if state.registry.user_named(user.name.as_str()).is_some() {
            return None;
        }
        let member = user.member.and_then(|it| state.registry.member_of(it.as_str()));
        let number = |it: &TextId| state.registry.portfolio_of(it.as_str()).map(|(id, _)| id);
        let portfolios: Vec<PortfolioId> = user.portfolios.iter().filter_map(number).collect();
        let what = format!("user {}", user.name);
        let CheckedUser { name, role, fingerprint, .. } = user;
        Some((what, Action::RegisterUser { name, fingerprint, role, member, portfolios }))
    })
}

/// Submits requests of the node itself and waits until they can be read.
async fn submit(node: &Node, actions: impl IntoIterator<Item = (String, Action)>) -> Result<(), Vec<String>> {
    let actions: Vec<(String, Action)> = actions.into_iter().collect();
    for chunk in actions.chunks(CHUNK) {
        let request = |(what, action): &(String, Action)| {
            let (request_id, action) = (request_id(what), action.clone());
            Body::Request(Box::new(Request { actor: Actor::System, request_id, action }))
        };
        let answered = node.inbox.submit_all(chunk.iter().map(request).collect()).await;
        let answered = answered.map_err(|status| vec![format!("bootstrap: {}", status.message())])?;
        let mut refused = Vec::new();
        for ((what, _), (stamp, reply)) in chunk.iter().zip(answered) {
            if let Answer::Refused { refusal, .. } = &reply.answer {
                refused.push(format!("bootstrap: {what}: {} ({:?})", refusal.reject, refusal.place));
            }
            node.model.caught_up(stamp.seq).await;
        }
        if !refused.is_empty() {
            return Err(refused);
        }
    }
    Ok(())
}

/// The same entry has the same id at every start.
fn request_id(what: &str) -> TextId {
    let hash = digest::digest(&digest::SHA256, what.as_bytes());
    let hex: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    TextId::new(&format!("bootstrap-{hex}")).expect("42 letters and digits")
}

fn read(path: &Path) -> Result<Checked, Vec<String>> {
    let at = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| vec![format!("{at}: {error}")])?;
    let registry: Registry = toml::from_str(&text).map_err(|error| vec![format!("{at}: {error}")])?;
    let directory = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut reader = Reader { directory, faults: Vec::new(), checked: Checked::default() };
    for member in registry.members {
        reader.member(member);
    }
    for user in registry.users {
        reader.user(user, None);
    }
    if reader.faults.is_empty() {
        return Ok(reader.checked);
    }
    Err(reader.faults.into_iter().map(|it| format!("{at}: {it}")).collect())
}

struct Reader {
    directory: PathBuf,
    faults: Vec<String>,
    checked: Checked,
}

impl Reader {
    fn code(&mut self, text: &str, what: &str) -> Option<TextId> {
        let code = TextId::new(text);
        if code.is_none() {
            let rule = "must be 1 to 64 characters out of A-Z a-z 0-9 . _ : -";
            self.faults.push(format!("{what} \"{text}\": {rule}"));
        }
        code
    }

    fn member(&mut self, member: MemberEntry) {
        let Some(code) = self.code(&member.code, "member") else { return };
        if member.collateral_minor != 0 {
            self.checked.collateral.push((code.clone(), member.collateral_minor));
        }
        self.checked.members.push((code.clone(), member.name));
        for portfolio in member.portfolios {
            let own = self.code(&portfolio.code, "portfolio");
            let areas: Vec<TextId> = portfolio.areas.iter().filter_map(|it| self.code(it, "area")).collect();
            self.checked.portfolios.extend(own.map(|own| (code.clone(), own, areas)));
        }
        for user in member.users {
            self.user(user, Some(code.clone()));
        }
    }

    fn user(&mut self, user: UserEntry, member: Option<TextId>) {
        let name = self.code(&user.name, "user");
        let role = match (user.role.as_str(), &member) {
            ("trader", Some(_)) => Some(Role::Trader),
            ("auditor", Some(_)) => Some(Role::Auditor),
            ("dispatch", None) => Some(Role::Dispatch),
            ("settlement", None) => Some(Role::Settlement),
            ("operator", None) => Some(Role::Operator),
            _ => None,
        };
        if role.is_none() {
            let rule = "must be trader or auditor below a member, else dispatch, settlement or operator";
            self.faults.push(format!("role \"{}\" of user \"{}\": {rule}", user.role, user.name));
        }
        let portfolios = user.portfolios.iter().filter_map(|it| self.code(it, "portfolio")).collect();
        let fingerprint = self.fingerprint(&user);
        if let (Some(name), Some(role), Some(fingerprint)) = (name, role, fingerprint) {
            self.checked.users.push(CheckedUser { name, role, member, portfolios, fingerprint });
        }
    }

    fn fingerprint(&mut self, user: &UserEntry) -> Option<Fingerprint> {
        let found = match (&user.certificate, &user.fingerprint) {
            (Some(_), Some(_)) => Err("has a certificate and a fingerprint".to_owned()),
            (None, Some(hex)) => {
                parse_hex(hex).ok_or_else(|| "fingerprint: must be 64 hexadecimal digits".to_owned())
            }
            (Some(path), None) => {
                let path = self.directory.join(path);
                let read = CertificateDer::from_pem_file(&path).map(|it| fingerprint(&it));
                read.map_err(|error| format!("{}: {error}", path.display()))
            }
            // No certificate has this fingerprint: the hash of a text that is no certificate.
            (None, None) => Ok(fingerprint(format!("no certificate: {}", user.name).as_bytes())),
        };
        found.map_err(|fault| self.faults.push(format!("user \"{}\" {fault}", user.name))).ok()
    }
}
