//! What every service of a node stands on: the way to the core, the read model, the clock, who asks.

use super::clock::Clock;
use super::config::Limits;
use super::door::Door;
use super::identity::{Identity, PLAINTEXT_USER, Peer, identify};
use super::inbox::Inbox;
use super::link::Link;
use super::read_model::ReadModel;
use super::read_model::store::Doubt;
use super::status;
use merit_engine::command::{Action, Actor, Request as EngineRequest, Role};
use merit_engine::ids::{MemberId, TextId, UserId};
use merit_proto::v1;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::watch;
use tonic::{Request, Status};

/// Whether those who are connected must leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    /// They stay.
    Stays,
    /// The node stops.
    Stops,
    /// Another node takes the role of primary: its endpoint.
    MovesTo(String),
}

/// A node, shared by its services.
pub struct Node {
    /// Its name.
    pub name: String,
    /// The way to the core.
    pub inbox: Inbox,
    /// What readers are told.
    pub model: Arc<ReadModel>,
    /// Where time comes from.
    pub clock: Clock,
    /// Bounds on clients.
    pub limits: Limits,
    /// When the process started, µs UTC.
    pub started_us: i64,
    /// The door, once it is open.
    pub door: OnceLock<Door>,
    /// Whether those who are connected must leave, and where to.
    pub leave: watch::Sender<Leave>,
    /// The link to the other nodes; nothing if there are none.
    pub link: Option<Arc<Link>>,
    /// Where meter readings lie.
    pub archive: crate::meters::archive::Archive,
    /// Signs what goes to the dispatch centre; nothing if the node has no key.
    pub signer: Option<super::signing::Signer>,
    /// Open streams by user.
    pub streams: Mutex<BTreeMap<UserId, u32>>,
}

/// The place of one open stream; given back on drop.
pub struct StreamPlace {
    node: Arc<Node>,
    user: UserId,
}

impl StreamPlace {
    /// Takes a place for one more stream of a user.
    ///
    /// # Errors
    ///
    /// If the user has too many.
    pub fn take(node: &Arc<Node>, user: UserId) -> Result<Self, Status> {
        let mut streams = node.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let open = streams.entry(user).or_default();
        if *open >= node.limits.streams_per_user_max {
            return Err(status::too_many_streams(node.limits.streams_per_user_max));
        }
        *open += 1;
        Ok(Self { node: Arc::clone(node), user })
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut streams = self.node.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = streams.get_mut(&self.user) {
            *open -= 1;
            if *open == 0 {
                streams.remove(&self.user);
            }
        }
    }
}

/// Who asks, and over what.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The registered user.
    pub identity: Identity,
    /// The connection.
    pub peer: Peer,
}

impl Caller {
    /// The member of a trader or auditor.
    ///
    /// # Errors
    ///
    /// If the user has none.
    pub fn member(&self) -> Result<MemberId, Status> {
        self.identity.member.ok_or_else(|| status::role_not_permitted("users of a member"))
    }

    /// A request of this caller to the engine.
    #[must_use]
    pub fn request(&self, request_id: TextId, action: Action) -> EngineRequest {
        EngineRequest { actor: Actor::User(self.identity.user), request_id, action }
    }
}

impl Node {
    /// Who asks.
    ///
    /// # Errors
    ///
    /// If nobody who is registered.
    pub fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.ok_or_else(|| status::unauthenticated("the connection has no peer"))?;
        let named = || request.metadata().get(PLAINTEXT_USER)?.to_str().ok();
        let identity = identify(&peer, named, &*self.model).ok_or_else(|| {
            status::unauthenticated(match peer.certificate {
                Some(_) => "the certificate belongs to no registered user",
                None => "metadata merit-user names no registered user",
            })
        })?;
        tracing::Span::current().record("user", identity.name.as_str());
        Ok(Caller { identity, peer })
    }

    /// Who asks, if it has one of these roles.
    ///
    /// # Errors
    ///
    /// If not.
    pub fn caller_as<T>(&self, request: &Request<T>, roles: &[Role], needed: &str) -> Result<Caller, Status> {
        let caller = self.caller(request)?;
        if roles.contains(&caller.identity.role) {
            return Ok(caller);
        }
        Err(status::role_not_permitted(needed))
    }

    /// The exchange's time: what the journal would say now, µs UTC.
    #[must_use]
    pub fn time_us(&self) -> i64 {
        self.clock.now_us().max(self.inbox.core().head().time_us)
    }

    /// Waits until readers see everything that anybody was told when they asked. A result that the core has
    /// published since, which no reader has seen yet, is not waited for.
    pub async fn told(&self) {
        self.model.caught_up(self.inbox.core().told_seq()).await;
    }

    /// Waits until readers see everything that was applied when they asked.
    pub async fn fresh(&self) {
        self.model.caught_up(self.inbox.core().head().seq).await;
    }

    /// What is said before a stream ends.
    #[must_use]
    pub fn farewell(&self) -> v1::GoingAway {
        let leave = self.leave.borrow().clone();
        match leave {
            Leave::MovesTo(endpoint) => v1::GoingAway {
                reason: "another node becomes primary".into(),
                resume_at: None,
                endpoint_next: Some(endpoint),
            },
            Leave::Stays | Leave::Stops => {
                let next = self.link.as_ref().and_then(|link| link.next_endpoint());
                v1::GoingAway { reason: "the node is stopping".into(), resume_at: None, endpoint_next: next }
            }
        }
    }

    /// Where a stream stands, for messages that are not events.
    #[must_use]
    pub fn position(&self, head_seq: u64, epoch: u32) -> v1::Position {
        v1::Position {
            epoch: u64::from(epoch),
            seq: None,
            head_seq,
            time: Some(super::convert::timestamp(self.time_us())),
        }
    }
}

/// A read that failed because the store is in doubt.
pub fn doubt(doubt: Doubt) -> Status {
    tracing::error!(doubt = %doubt.0, "a read failed");
    status::model_in_doubt()
}
