//! What readers are told: built from the journal's commands, answers and events, and from nothing else.
//!
//! One thread applies what the core has applied, a few commands at a time; readers see whole commands. What a
//! result says, 10⁵ rows, is made and stored while they read ([`result`]).
//! Small things live in memory ([`state`]); the event log of every stream, first answers by request
//! id (of an accepted order, where its event is), curves and statements live in the [`store`], on the disk. A start builds
//! memory again from the journal, or from a snapshot and the journal after it; records that the store has already are only
//! compared, not written. What is there must be, record by record, what the journal says, or the store is
//! deleted and filled again from the journal's beginning, archive included. (A start from a snapshot takes
//! the records before it on trust: reading them all would take as long as history is. A store that does not
//! reach the snapshot has no use for it. A node that begins with another's snapshot gets its rows, too: [`fetched`].)
//!
//! # Deliberately absent
//!
//! - **Authority.** No acknowledgement waits for this and no command depends on it.
//! - **Sealed content for others.** Each stream's records are read under its own key only.

mod apply;
#[cfg(test)]
mod dice;
mod encode;
pub mod fetched;
mod keeper;
mod kept;
pub mod keys;
pub mod orders;
mod queries;
pub mod registry;
mod result;
pub mod state;
pub mod store;

pub use keeper::{Feed, Keeper, Opened, Start, of_journal};
pub use kept::Mirror;
pub use queries::Page;

use super::certificate::Fingerprint;
use super::convert::order_in;
use super::convert::units::auction_id;
use super::exchange::Reply;
use super::identity::{Directory, Identity};
use merit_engine::event::{AuctionInfo, Event};
use merit_engine::ids::{AuctionId, MemberId, OrderId, PortfolioId};
use merit_replay::frame::Stamp;
use state::State;
use std::cell::RefCell;
use std::sync::{Arc, RwLock, RwLockReadGuard};
use store::{Batch, Doubt, Store};
use tokio::sync::watch;

/// A command as the core has applied it.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Its place.
    pub stamp: Stamp,
    /// What the asker was told.
    pub reply: Arc<Reply>,
    /// What happened.
    pub events: Vec<Event>,
}

/// The read model, as readers see it.
#[derive(Debug)]
pub struct ReadModel {
    inner: RwLock<Inner>,
    applied: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    store: Arc<Store>,
}

impl ReadModel {
    /// Looks at the model between two commands.
    pub fn read<R>(&self, look: impl FnOnce(&State, &Store) -> R) -> R {
        let inner = self.inner();
        look(&inner.state, &inner.store)
    }

    /// Looks at the state between two commands, with the store of that moment: to read it may take long, and nobody need
    /// wait meanwhile.
    fn read_with_store<R>(&self, look: impl FnOnce(&State) -> R) -> (R, Arc<Store>) {
        let inner = self.inner();
        (look(&inner.state), Arc::clone(&inner.store))
    }

    /// Looks names up between two commands; `named` is what [`Self::order_named`] says of the only order that may be named.
    pub fn known<R>(&self, named: Option<OrderId>, look: impl FnOnce(&Known<'_>) -> R) -> R {
        self.read(|state, _| look(&Known { state, named, last: RefCell::default() }))
    }

    /// Follows the last command applied.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// Hands everything that is known to the disk, so that a start after this goes on from there.
    ///
    /// # Errors
    ///
    /// If the store cannot be written.
    pub fn keep(&self) -> Result<(), Doubt> {
        // Nobody may have to wait for the model meanwhile.
        let store = {
            let inner = self.inner();
            inner.store.commit(&Batch::default(), inner.state.reach());
            Arc::clone(&inner.store)
        };
        store.write_slowly()?;
        store.flush()
    }

    /// The store, for what takes long.
    #[must_use]
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.inner().store)
    }

    fn inner(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().expect("the keeper does not panic while it writes")
    }

    /// Waits until a command is applied here too.
    pub async fn caught_up(&self, seq: u64) {
        if *self.applied.borrow() >= seq {
            return;
        }
        // An error means that the keeper has ended: then this is all there will be.
        let _ = self.watch().wait_for(|applied| *applied >= seq).await;
    }
}

impl Directory for ReadModel {
    fn lookup(&self, fingerprint: &Fingerprint) -> Option<Identity> {
        self.read(|state, _| state.registry.user_of(fingerprint).map(|it| it.identity.clone()))
    }

    fn lookup_name(&self, name: &str) -> Option<Identity> {
        self.read(|state, _| state.registry.user_named(name).map(|it| it.identity.clone()))
    }
}

/// What commands' names are looked up in, between two commands of the core.
#[derive(Debug)]
pub struct Known<'a> {
    state: &'a State,
    named: Option<OrderId>,
    /// The auction that was looked up last: commands that come together are mostly for one.
    last: RefCell<Option<Arc<AuctionInfo>>>,
}

impl order_in::Directory for Known<'_> {
    fn auction(&self, auction: AuctionId) -> Option<Arc<AuctionInfo>> {
        self.state.auctions.get(&auction).map(|it| Arc::clone(&it.info))
    }

    fn auction_named(&self, name: &str) -> Option<Arc<AuctionInfo>> {
        let auction = auction_id(name)?;
        if let Some(info) = self.last.borrow().as_ref().filter(|it| it.auction == auction) {
            return Some(Arc::clone(info));
        }
        let info = self.auction(auction)?;
        self.last.replace(Some(Arc::clone(&info)));
        Some(info)
    }

    fn portfolio(&self, code: &str) -> Option<(PortfolioId, MemberId)> {
        self.state.registry.portfolio_of(code)
    }

    // A command names one order at most, and that was looked for before the model was locked.
    fn order_named(&self, _: MemberId, _: &str) -> Option<OrderId> {
        self.named
    }

    fn auction_of(&self, member: MemberId, order: OrderId) -> Option<AuctionId> {
        self.state.orders.get(order).filter(|it| it.member == member).map(|it| it.auction)
    }
}

/// Turns a doubt into nothing, after saying so.
fn log_doubt(doubt: &Doubt) {
    tracing::error!(doubt = %doubt.0, "the read model's store cannot be read");
}
