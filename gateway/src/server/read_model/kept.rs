//! The read model's memory as part of a snapshot: a start that does not replay history needs it, too.
//!
//! What is in the store stays there: a snapshot is of use to a node whose store holds everything up to it, its own
//! or what another node has sent ([`super::fetched`]).

use super::Applied;
use super::apply::Applying;
use super::orders::{OrderEntry, Orders};
use super::registry::{Member, Portfolio, Registry, User};
use super::state::{AuctionEntry, State};
use super::store::Batch;
use crate::server::exchange::{Exchange, Reply};
use crate::server::identity::Identity;
use merit_engine::command::Body;
use merit_engine::event::Event;
use merit_engine::ids::PortfolioId;
use merit_engine::snapshot::{self, Damaged, Keep, Reader, Writer, keep_struct};
use merit_proto::v1;
use merit_replay::frame::Stamp;
use merit_replay::machine::Machine;
use merit_replay::snapshot::Kept;
use prost::Message as _;
use std::sync::Arc;

keep_struct! {
    Member { code, name, suspended }
    Portfolio { code, member, areas }
    User { identity, fingerprint }
    AuctionEntry { info, phase, next_due_us, history, result_seq, corridor_seq, schedules }
}

impl Keep for Identity {
    fn put(&self, out: &mut Writer<'_>) {
        let Self { user, name, role, member, portfolios } = self;
        (*user, name.clone(), *role).put(out);
        (*member, portfolios.to_vec()).put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let (user, name, role) = Keep::take(from)?;
        let (member, portfolios): (_, Vec<PortfolioId>) = Keep::take(from)?;
        Ok(Self { user, name, role, member, portfolios: portfolios.into() })
    }
}

// As a map from their numbers to what is known of each.
impl Keep for Orders {
    fn put(&self, out: &mut Writer<'_>) {
        u32::try_from(self.len()).expect("limits bound every list").put(out);
        for (order, entry) in self.iter() {
            let OrderEntry { member, auction, client_order_id, latest, first, amended, state, result_seq } =
                entry;
            (order, member, auction).put(out);
            client_order_id.to_owned().put(out);
            (latest, first).put(out);
            amended.to_vec().put(out);
            (i32::from(state), result_seq).put(out);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let mut orders = Self::default();
        for _ in 0..u32::take(from)? {
            let (order, member, auction) = Keep::take(from)?;
            let client_order_id = String::take(from)?;
            let (latest, first) = Keep::take(from)?;
            let amended: Vec<u64> = Keep::take(from)?;
            let (state, result_seq): (i32, _) = Keep::take(from)?;
            let state =
                v1::OrderState::try_from(state).map_err(|_| Damaged("no order is in such a state"))?;
            let entry = OrderEntry {
                member,
                auction,
                client_order_id: &client_order_id,
                latest,
                first,
                amended: &amended,
                state,
                result_seq,
            };
            orders.add(order, entry).map_err(|_| Damaged("orders are not in their order"))?;
        }
        Ok(orders)
    }
}

impl Keep for Registry {
    fn put(&self, out: &mut Writer<'_>) {
        self.members.put(out);
        self.portfolios.put(out);
        self.users.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self::of(Keep::take(from)?, Keep::take(from)?, Keep::take(from)?))
    }
}

impl Keep for State {
    fn put(&self, out: &mut Writer<'_>) {
        let Self {
            registry,
            auctions,
            rules,
            orders,
            orders_in,
            heads,
            balances,
            runs,
            metered,
            alarms,
            trail,
            repeated: _,
            seq,
            epoch,
            time_us,
        } = self;
        registry.put(out);
        auctions.put(out);
        rules.put(out);
        orders.put(out);
        orders_in.put(out);
        heads.put(out);
        balances.put(out);
        runs.put(out);
        metered.put(out);
        let alarms: Vec<_> = alarms.iter().map(|(at_us, alarm)| (*at_us, alarm.encode_to_vec())).collect();
        alarms.put(out);
        (*seq, *epoch, *time_us).put(out);
        trail.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let state = Self {
            registry: Keep::take(from)?,
            auctions: Keep::take(from)?,
            rules: Keep::take(from)?,
            orders: Keep::take(from)?,
            orders_in: Keep::take(from)?,
            heads: Keep::take(from)?,
            balances: Keep::take(from)?,
            runs: Keep::take(from)?,
            metered: Keep::take(from)?,
            ..Self::default()
        };
        let alarm = |(at_us, bytes): (i64, Vec<u8>)| {
            let alarm = v1::Alarm::decode(bytes.as_slice());
            alarm.map(|it| (at_us, it)).map_err(|_| Damaged("an alarm is none"))
        };
        let alarms = Vec::take(from)?.into_iter().map(alarm).collect::<Result<_, _>>()?;
        let (seq, epoch, time_us) = Keep::take(from)?;
        Ok(Self { alarms, seq, epoch, time_us, trail: Keep::take(from)?, ..state })
    }
}

/// The exchange and the read model's memory, as one machine: what a snapshot holds.
#[derive(Default)]
pub struct Mirror {
    /// The exchange.
    pub exchange: Exchange,
    /// What readers are told, but for what is in the store.
    pub state: State,
    /// Whether an event could not be understood: then nothing is kept.
    doubtful: bool,
}

impl Keep for Mirror {
    fn put(&self, out: &mut Writer<'_>) {
        self.exchange.engine.put(out);
        self.state.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let exchange = Exchange { engine: Keep::take(from)? };
        Ok(Self { exchange, state: Keep::take(from)?, doubtful: false })
    }
}

/// Layout of [`State`]; raised whenever a type in it changes that is not the engine's.
const STATE_LAYOUT: u16 = 3;

impl Kept for Mirror {
    const LAYOUT: u16 = STATE_LAYOUT * 256 + snapshot::VERSION;

    fn rests(&self) -> bool {
        !self.doubtful && self.exchange.engine.rests()
    }
}

impl Machine for Mirror {
    type Body = Body;
    type Answer = Arc<Reply>;
    type Event = Event;

    fn encode(body: &Body, payload: &mut Vec<u8>) -> u16 {
        Exchange::encode(body, payload)
    }

    fn decode(kind: u16, payload: &[u8]) -> Result<Body, String> {
        Exchange::decode(kind, payload)
    }

    fn apply(&mut self, stamp: Stamp, body: Body, events: &mut Vec<Event>) -> Arc<Reply> {
        let mut said = Vec::new();
        let reply = self.exchange.apply(stamp, body, &mut said);
        let applied = Applied { stamp, reply: Arc::clone(&reply), events: said };
        let mut batch = Batch::default();
        let applying = Applying { state: &mut self.state, store: None, batch: &mut batch }.apply(&applied);
        self.doubtful |= applying.is_err();
        events.extend(applied.events);
        reply
    }

    fn next_timer_us(&self) -> Option<i64> {
        self.exchange.next_timer_us()
    }

    fn tick() -> Body {
        Exchange::tick()
    }

    fn quantum(&self) -> Option<Body> {
        self.exchange.quantum()
    }

    fn epoch_started(node: &str) -> Body {
        Exchange::epoch_started(node)
    }

    fn standby_changed(alone: bool) -> Body {
        Exchange::standby_changed(alone)
    }

    fn digest(&self) -> u128 {
        self.exchange.digest()
    }

    fn digest_in_full(&self) -> u128 {
        self.exchange.digest_in_full()
    }
}

#[cfg(test)]
mod tests {
    use super::{Mirror, OrderEntry, STATE_LAYOUT};
    use merit_engine::calendar::Day;
    use merit_engine::digest::Hasher;
    use merit_engine::ids::{AuctionId, Market, MemberId, OrderId};
    use merit_engine::snapshot;
    use merit_proto::v1;
    use merit_replay::machine::Silent;
    use merit_replay::storage::disk::Disk;
    use std::path::Path;

    /// Whoever changes what is kept, or its order, gives it another number (the engine's types have the engine's),
    /// or bytes of before would be read as something else.
    #[test]
    fn the_layout_is_the_one_that_its_number_names() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../replay/fixtures/v3");
        let mut mirror = Mirror::default();
        merit_replay::core::replay(&Disk::existing(&golden), &mut mirror, &mut Silent, &mut |_| {}).unwrap();
        // That history has no orders.
        let auction = AuctionId { day: Day(1), market: Market::Rtm, session: 2 };
        let entry = OrderEntry {
            member: MemberId(3),
            auction,
            client_order_id: "a",
            latest: 4,
            first: 5,
            amended: &[6, 7],
            state: v1::OrderState::Live,
            result_seq: Some(8),
        };
        mirror.state.orders.add(OrderId(9), entry).unwrap();
        mirror.state.orders_in.insert((MemberId(3), auction), vec![OrderId(9)]);
        let mut hasher = Hasher::new();
        snapshot::put(&mirror.state, &mut |piece| hasher.bytes(piece));
        let found = (STATE_LAYOUT, snapshot::VERSION, format!("{:032x}", hasher.finish()));
        assert_eq!(found, (3, 3, "c66097fdfffd46bdcb840b53834bec4f".to_owned()));
    }
}
