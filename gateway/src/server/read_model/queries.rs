//! Reads that need more than one record: orders, answers, lists.

use super::encode;
use super::keys::{self, EventKey};
use super::orders::OrderEntry;
use super::state::State;
use super::store::{Doubt, Near, Store};
use super::{ReadModel, log_doubt};
use merit_engine::event::Stream;
use merit_engine::ids::{AuctionId, MemberId, OrderId};
use merit_proto::v1;
use prost::Message;
use v1::stream_events_response::Event as MemberEvent;

/// Orders that are looked at for one page.
const LOOKED_AT_MAX: usize = 10_000;
/// Orders that are looked at between two commands; their events are read while the model goes on.
const SEEN_TOGETHER: usize = 256;

/// One page of orders.
#[derive(Debug, Default)]
pub struct Page {
    /// The orders.
    pub orders: Vec<v1::Order>,
    /// The last of them, if there may be more.
    pub more_after: Option<OrderId>,
    /// Number of an event of the member's stream: the page contains what came up to it, and may contain what came after.
    pub head_seq: u64,
}

fn answer(store: &Store, member: MemberId, id: &str) -> Result<Option<v1::OrderAnswer>, Doubt> {
    let Some(bytes) = store.last_answer(&keys::requests(member, id))? else { return Ok(None) };
    let Some(seq) = encode::referred(&bytes) else { return decode(&bytes).map(Some) };
    let answer = encode::answer_of(member_message(&mut store.near(), member, seq)?);
    answer.map(Some).ok_or_else(|| Doubt("an answer is that of an event that accepts no order".into()))
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, Doubt> {
    M::decode(bytes).map_err(|error| Doubt(error.to_string()))
}

fn member_message(
    near: &mut Near<'_>,
    member: MemberId,
    seq: u64,
) -> Result<v1::StreamEventsResponse, Doubt> {
    let bytes = near.event(EventKey::new(Stream::Member(member), seq))?;
    decode(&bytes.ok_or_else(|| Doubt(format!("event {seq} of a member is missing")))?)
}

fn member_event(near: &mut Near<'_>, member: MemberId, seq: u64) -> Result<Option<MemberEvent>, Doubt> {
    Ok(member_message(near, member, seq)?.event)
}

/// Where the parts of an order are, as of one moment.
struct Seen {
    member: MemberId,
    state: v1::OrderState,
    latest: u64,
    /// If they are wanted.
    versions: Vec<u64>,
    result: Option<u64>,
}

impl Seen {
    fn of(state: &State, entry: &OrderEntry<'_>, with_versions: bool) -> Self {
        let versions = std::iter::once(&entry.first).chain(entry.amended);
        Self {
            member: entry.member,
            state: state.order_state(entry),
            latest: entry.latest,
            versions: if with_versions { versions.copied().collect() } else { Vec::new() },
            result: entry.result_seq,
        }
    }
}

fn shown(near: &mut Near<'_>, seen: &Seen) -> Result<v1::Order, Doubt> {
    let Some(MemberEvent::Order(mut order)) = member_event(near, seen.member, seen.latest)? else {
        return Err(Doubt("an order's event is something else".into()));
    };
    order.state = seen.state.into();
    for seq in &seen.versions {
        if let Some(MemberEvent::Order(version)) = member_event(near, seen.member, *seq)? {
            order.versions.extend(version.current);
        }
    }
    if let Some(seq) = seen.result
        && let Some(MemberEvent::Result(result)) = member_event(near, seen.member, seq)?
    {
        order.result = Some(result);
    }
    Ok(order)
}

impl ReadModel {
    /// An order of a member.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn order(
        &self,
        member: MemberId,
        order: OrderId,
        with_versions: bool,
    ) -> Result<Option<v1::Order>, Doubt> {
        let (seen, store) = self.read_with_store(|state| {
            let own = state.orders.get(order).filter(|it| it.member == member);
            own.map(|entry| Seen::of(state, &entry, with_versions))
        });
        seen.map(|seen| shown(&mut store.near(), &seen)).transpose()
    }

    /// The order that a command with this id entered.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn order_named(&self, member: MemberId, client_order_id: &str) -> Result<Option<OrderId>, Doubt> {
        let Some(answer) = self.answer(member, client_order_id)? else { return Ok(None) };
        let Some(v1::order_answer::Outcome::Accepted(accepted)) = answer.outcome else { return Ok(None) };
        // The id of an amendment or cancellation does not name an order.
        let names = |state: &State, order: &OrderId| {
            state.orders.get(*order).is_some_and(|it| it.client_order_id == client_order_id)
        };
        let order = accepted.order_id.map(OrderId);
        Ok(self.read(|state, _| order.filter(|it| names(state, it))))
    }

    /// The first answer to a command of a member.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn answer(&self, member: MemberId, id: &str) -> Result<Option<v1::OrderAnswer>, Doubt> {
        // Not while the model's writer waits: whoever asks for what is not there reads much.
        answer(&self.store(), member, id)
    }

    /// Orders of a member by number, after `after`, that `wanted` wants. A page may end before it is full, or has any, where
    /// few are wanted among many.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn orders(
        &self,
        member: MemberId,
        auction: Option<AuctionId>,
        after: OrderId,
        limit: usize,
        wanted: impl Fn(&v1::Order) -> bool,
    ) -> Result<Page, Doubt> {
        let ((mut ids, head_seq), store) = self.read_with_store(|state| {
            let lists: Vec<&Vec<OrderId>> = match auction {
                Some(auction) => state.orders_in.get(&(member, auction)).into_iter().collect(),
                None => {
                    let of_member = state.orders_in.iter().filter(|((owner, _), _)| *owner == member);
                    of_member.map(|(_, list)| list).collect()
                }
            };
            let next = |list: &&Vec<OrderId>| list.partition_point(|it| *it <= after);
            let first = lists.iter().flat_map(|it| it[next(it)..].iter().take(LOOKED_AT_MAX + 1));
            (first.copied().collect::<Vec<_>>(), state.head(Stream::Member(member)))
        });
        ids.sort_unstable();
        let more = ids.len() > LOOKED_AT_MAX;
        ids.truncate(LOOKED_AT_MAX);
        let mut near = store.near();
        let mut page = Page { head_seq, ..Page::default() };
        for some in ids.chunks(SEEN_TOGETHER) {
            let seen: Vec<Seen> = self.read(|state, _| {
                let entries = some.iter().filter_map(|it| state.orders.get(*it));
                entries.map(|entry| Seen::of(state, &entry, false)).collect()
            });
            for seen in seen {
                if page.orders.len() == limit {
                    page.more_after = page.orders.last().map(|it| OrderId(it.order_id));
                    return Ok(page);
                }
                let order = shown(&mut near, &seen)?;
                if wanted(&order) {
                    page.orders.push(order);
                }
            }
        }
        if more {
            page.more_after = ids.last().copied();
        }
        Ok(page)
    }

    /// One event of a stream as its message.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn message<M: Message + Default>(&self, stream: Stream, seq: u64) -> Result<Option<M>, Doubt> {
        let bytes = self.store().get(&keys::event(stream, seq))?;
        bytes.map(|it| decode(&it)).transpose()
    }

    /// Up to `limit` events of a stream from a number on, as bytes, and the stream's head. Nothing is
    /// left out between them.
    ///
    /// # Errors
    ///
    /// If the store cannot be read or lacks one.
    pub fn events(&self, stream: Stream, from: u64, limit: usize) -> Result<(Vec<Vec<u8>>, u64), Doubt> {
        let (head, store) = self.read_with_store(|state| state.head(stream));
        // What is stored beyond the head is still being said.
        let known = usize::try_from((head + 1).saturating_sub(from)).unwrap_or(usize::MAX);
        if known == 0 {
            return Ok((Vec::new(), head));
        }
        let records = store.events(EventKey::new(stream, from), limit.min(known))?;
        if records.len() < limit.min(known) {
            let missing = from.saturating_add(u64::try_from(records.len()).unwrap_or(u64::MAX));
            return Err(Doubt(format!("event {missing} of a stream is missing")));
        }
        Ok((records, head))
    }

    /// All records whose keys begin with a prefix, decoded.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn all<M: Message + Default>(&self, prefix: &[u8]) -> Result<Vec<M>, Doubt> {
        let records = self.store().all(prefix)?;
        let read: Result<Vec<M>, Doubt> = records.iter().map(|value| decode(value)).collect();
        read.inspect_err(log_doubt)
    }
}
