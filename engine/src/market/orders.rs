//! The sealed book of one auction: orders with all their versions, until the auction ends.
//!
//! Curve orders enter the clearing book as they come, so that it can aggregate them; blocks and
//! complex orders enter it when the gate has closed, parents before children. Nothing here is
//! readable by anyone but the member that entered it.

use super::clearance::Usage;
use crate::auction::{BlockHandle, BlockOrder, ComplexHandle, ComplexOrder, CurveHandle, Frame, Line};
use crate::book::AuctionBook;
use crate::command::{NewOrder, OrderBody, Parent};
use crate::event::AuctionInfo;
use crate::ids::{MemberId, OrderId, PortfolioId, TextId, UserId};
use crate::limits;
use crate::money::Money;
use crate::risk::Grid;
use crate::snapshot::{keep_enum, keep_struct, state_struct};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// One version of an order.
#[derive(Clone, Debug)]
pub(super) struct Version {
    /// What was wanted.
    pub(super) body: Arc<OrderBody>,
    /// Who entered it.
    pub(super) user: UserId,
    /// Journal sequence number of the request.
    pub(super) seq: u64,
    /// Its time, µs UTC.
    pub(super) time_us: i64,
}

/// An order of the book.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) id: OrderId,
    pub(super) client_order_id: TextId,
    pub(super) member: MemberId,
    pub(super) portfolio: PortfolioId,
    pub(super) area: u16,
    /// Not cancelled.
    pub(super) live: bool,
    /// At least one; the last one is current.
    pub(super) versions: Vec<Version>,
    /// Where the current version stands in the clearing book.
    pub(super) place: BookPlace,
}

state_struct! {
    Version { body, user, seq, time_us }
    Order { id, client_order_id, member, portfolio, area, live, versions, place }
}

/// Where an order stands in the clearing book.
#[derive(Clone, Debug)]
pub(super) enum BookPlace {
    /// Nowhere (cancelled; a block before the gate).
    None,
    /// One handle per period of the curve.
    Curves(Vec<CurveHandle>),
    /// A block.
    Block(BlockHandle),
    /// A complex order.
    Complex(ComplexHandle),
}

keep_enum! { BookPlace { 0 = None, 1 = Curves(handles), 2 = Block(handle), 3 = Complex(handle) } }

// Handles follow from the sequence of commands and say nothing that the orders do not.
impl crate::digest::Feed for BookPlace {
    fn feed(&self, hasher: &mut crate::digest::Hasher) {
        hasher.word(match self {
            Self::None => 0,
            Self::Curves(_) => 1,
            Self::Block(_) => 2,
            Self::Complex(_) => 3,
        });
    }
}

impl Order {
    /// The current version's number, from 1.
    pub(super) fn version(&self) -> u32 {
        u32::try_from(self.versions.len()).expect("bounded per member")
    }

    /// The current content.
    pub(super) fn body(&self) -> &Arc<OrderBody> {
        &self.versions.last().expect("an order has a version").body
    }

    /// The parent that a block names.
    pub(super) fn parent(&self) -> Option<OrderId> {
        match self.body().as_ref() {
            OrderBody::Block { parent: Some(Parent::Order(parent)), .. } => Some(*parent),
            // Names are resolved when the order is entered.
            OrderBody::Block { .. } | OrderBody::Curve { .. } | OrderBody::Complex { .. } => None,
        }
    }
}

/// What one member has in a book.
#[derive(Clone, Debug, Default)]
pub(super) struct MemberOrders {
    /// Slots of the live orders.
    pub(super) live: BTreeMap<OrderId, u32>,
    /// Slots of the live blocks: families are looked for here alone.
    blocks: BTreeMap<OrderId, u32>,
    /// Versions entered.
    pub(super) entered: u32,
}

/// The book of one auction.
#[derive(Debug)]
pub(super) struct SealedBook {
    orders: Vec<Order>,
    members: BTreeMap<MemberId, MemberOrders>,
    /// Live blocks and complex orders by portfolio.
    blocks: BTreeMap<PortfolioId, u32>,
    points_live: u64,
    blocks_live: u32,
    orders_live: u32,
    book: AuctionBook,
    money: Money,
    grid: Grid,
    /// Kept only where the rules ask for clearances.
    usage: Option<Usage>,
    periods: u16,
}

keep_struct! {
    MemberOrders { live, blocks, entered }
    SealedBook {
        orders, members, blocks, points_live, blocks_live, orders_live, book, money, grid, usage, periods,
    }
}

// The rest are sums and copies of the orders.
impl crate::digest::Feed for SealedBook {
    fn feed(&self, hasher: &mut crate::digest::Hasher) {
        let Self { orders, points_live, blocks_live, orders_live, .. } = self;
        orders.feed(hasher);
        points_live.feed(hasher);
        (*blocks_live, *orders_live).feed(hasher);
    }
}

fn slot_index(slot: u32) -> usize {
    usize::try_from(slot).expect("slots of a list fit")
}

/// Points that an order takes in a book.
pub(super) fn points_of(body: &OrderBody) -> u64 {
    let points = match body {
        OrderBody::Curve { periods, .. } => periods.iter().map(|(_, points)| points.len()).sum(),
        OrderBody::Block { quantity, .. } => quantity.len(),
        OrderBody::Complex { curve, .. } => curve.iter().map(|it| it.points.len()).sum::<usize>(),
    };
    u64::try_from(points).expect("lengths fit")
}

/// Whether an order is a block or complex order.
pub(super) const fn is_lumpy(body: &OrderBody) -> bool {
    match body {
        OrderBody::Curve { .. } => false,
        OrderBody::Block { .. } | OrderBody::Complex { .. } => true,
    }
}

fn frame(info: &AuctionInfo, money: &Money) -> Frame {
    let rules = &info.rules;
    let periods = usize::from(info.periods);
    Frame {
        price_min: rules.price_min,
        price_max: rules.price_max,
        periods: info.periods,
        areas: rules.areas.iter().map(|it| String::from(it.code.as_str())).collect(),
        lines: rules
            .lines
            .iter()
            .map(|it| Line {
                id: String::from(it.id.as_str()),
                from: it.from,
                to: it.to,
                capacity: vec![it.capacity; periods],
                capacity_back: vec![it.capacity_back; periods],
            })
            .collect(),
        welfare_scale: money.welfare_scale,
    }
}

impl SealedBook {
    pub(super) fn new(info: &AuctionInfo) -> Self {
        let money = Money::new(&info.rules).expect("rules were checked when they were set");
        Self {
            orders: Vec::new(),
            members: BTreeMap::new(),
            blocks: BTreeMap::new(),
            points_live: 0,
            blocks_live: 0,
            orders_live: 0,
            book: AuctionBook::new(frame(info, &money)),
            money,
            grid: Grid::new(&info.rules),
            usage: info.rules.risk.clearance.then(Usage::default),
            periods: info.periods,
        }
    }

    pub(super) const fn book(&self) -> &AuctionBook {
        &self.book
    }

    pub(super) const fn book_mut(&mut self) -> &mut AuctionBook {
        &mut self.book
    }

    pub(super) const fn money(&self) -> &Money {
        &self.money
    }

    /// Prices and fees, for worst cases.
    pub(super) const fn grid(&self) -> &Grid {
        &self.grid
    }

    /// What orders take of clearances; only where the rules ask for them.
    pub(super) const fn usage(&self) -> &Usage {
        self.usage.as_ref().expect("kept where clearances are asked for")
    }

    /// Live blocks in exclusive groups of a portfolio in an area, all but one.
    pub(super) fn grouped_of(
        &self,
        place: (PortfolioId, u16),
        but: Option<OrderId>,
    ) -> impl Iterator<Item = &Order> {
        let grouped = move |it: &&Order| {
            let OrderBody::Block { group: Some(_), .. } = it.body().as_ref() else { return false };
            (it.portfolio, it.area) == place && Some(it.id) != but
        };
        self.members
            .values()
            .flat_map(|it| it.blocks.values())
            .map(|slot| &self.orders[slot_index(*slot)])
            .filter(grouped)
    }

    /// Members with a live order.
    pub(super) fn members_with_orders(&self) -> Vec<MemberId> {
        self.members.iter().filter(|(_, it)| !it.live.is_empty()).map(|(member, _)| *member).collect()
    }

    /// A member's live order.
    pub(super) fn live_order(&self, member: MemberId, id: OrderId) -> Option<&Order> {
        self.order(*self.members.get(&member)?.live.get(&id)?)
    }

    pub(super) fn orders(&self) -> &[Order] {
        &self.orders
    }

    pub(super) fn order(&self, slot: u32) -> Option<&Order> {
        self.orders.get(slot_index(slot))
    }

    pub(super) const fn orders_live(&self) -> u32 {
        self.orders_live
    }

    /// Members with a live order.
    pub(super) fn members_live(&self) -> usize {
        self.members.values().filter(|it| !it.live.is_empty()).count()
    }

    pub(super) fn of_member(&self, member: MemberId) -> Option<&MemberOrders> {
        self.members.get(&member)
    }

    /// The live orders of a member, by id.
    pub(super) fn live_of(&self, member: MemberId) -> impl Iterator<Item = &Order> {
        let live = self.members.get(&member).map(|it| &it.live);
        live.into_iter().flatten().map(|(_, slot)| &self.orders[slot_index(*slot)])
    }

    /// The live blocks of a member, by id.
    pub(super) fn live_blocks_of(&self, member: MemberId) -> impl Iterator<Item = &Order> {
        let blocks = self.members.get(&member).map(|it| &it.blocks);
        blocks.into_iter().flatten().map(|(_, slot)| &self.orders[slot_index(*slot)])
    }

    /// A member's live block.
    pub(super) fn live_block(&self, member: MemberId, id: OrderId) -> Option<&Order> {
        self.order(*self.members.get(&member)?.blocks.get(&id)?)
    }

    /// The live block that a block names as its parent.
    pub(super) fn parent_block(&self, member: MemberId, parent: &Parent) -> Option<&Order> {
        match parent {
            Parent::Order(id) => self.live_block(member, *id),
            Parent::Named(name) => self.live_blocks_of(member).find(|it| it.client_order_id == *name),
        }
    }

    /// The content as it stands in the book: a parent named by client order id becomes its id.
    fn resolved(&self, member: MemberId, body: &OrderBody) -> OrderBody {
        let mut body = body.clone();
        if let OrderBody::Block { parent: Some(parent), .. } = &mut body {
            let id = self.parent_block(member, parent).expect("admission has found the parent").id;
            *parent = Parent::Order(id);
        }
        body
    }

    /// The live children of some blocks, by id; `parents` is sorted.
    pub(super) fn children(&self, member: MemberId, parents: &[OrderId]) -> Vec<OrderId> {
        let of_them = |it: &&Order| it.parent().is_some_and(|parent| parents.binary_search(&parent).is_ok());
        self.live_blocks_of(member).filter(of_them).map(|it| it.id).collect()
    }

    pub(super) fn blocks_of(&self, portfolio: PortfolioId) -> u32 {
        self.blocks.get(&portfolio).copied().unwrap_or(0)
    }

    pub(super) const fn points_live(&self) -> u64 {
        self.points_live
    }

    pub(super) const fn blocks_live(&self) -> u32 {
        self.blocks_live
    }

    /// Enters an order that has passed admission; returns its slot.
    pub(super) fn insert(
        &mut self,
        id: OrderId,
        owner: (MemberId, &TextId),
        client_order_id: &TextId,
        order: &NewOrder,
        entry: (UserId, u64, i64),
    ) -> u32 {
        let slot = u32::try_from(self.orders.len()).expect("bounded by handles");
        let (member, member_code) = owner;
        let (user, seq, time_us) = entry;
        let body = Arc::new(self.resolved(member, &order.body));
        let place = self.place(&tie_id(member_code, client_order_id), order.area, &body);
        self.count((order.portfolio, order.area), &body, 1);
        let of_member = self.members.entry(member).or_default();
        of_member.entered += 1;
        of_member.live.insert(id, slot);
        if matches!(body.as_ref(), OrderBody::Block { .. }) {
            of_member.blocks.insert(id, slot);
        }
        self.orders.push(Order {
            id,
            client_order_id: client_order_id.clone(),
            member,
            portfolio: order.portfolio,
            area: order.area,
            live: true,
            versions: vec![Version { body, user, seq, time_us }],
            place,
        });
        slot
    }

    /// Replaces the content of a live order that has passed admission; returns the new version.
    pub(super) fn amend(
        &mut self,
        slot: u32,
        member_code: &TextId,
        body: &OrderBody,
        entry: (UserId, u64, i64),
    ) -> u32 {
        let (user, seq, time_us) = entry;
        self.displace(slot);
        let order = &self.orders[slot_index(slot)];
        let (member, portfolio, area) = (order.member, order.portfolio, order.area);
        let old = Arc::clone(order.body());
        let id = tie_id(member_code, &order.client_order_id);
        let body = Arc::new(self.resolved(member, body));
        self.count((portfolio, area), &old, -1);
        self.count((portfolio, area), &body, 1);
        let place = self.place(&id, area, &body);
        self.members.entry(member).or_default().entered += 1;
        let order = &mut self.orders[slot_index(slot)];
        order.place = place;
        order.versions.push(Version { body, user, seq, time_us });
        order.version()
    }

    /// Takes a member's live order out.
    pub(super) fn cancel(&mut self, member: MemberId, id: OrderId) {
        let of_member = self.members.get_mut(&member).expect("a live order is its member's");
        let slot = of_member.live.remove(&id).expect("an order is cancelled once");
        of_member.blocks.remove(&id);
        self.displace(slot);
        let order = &mut self.orders[slot_index(slot)];
        order.live = false;
        let (place, body) = ((order.portfolio, order.area), Arc::clone(order.body()));
        self.count(place, &body, -1);
    }

    /// Takes a live order out between two runs: nothing else moves.
    pub(super) fn withdraw(&mut self, member: MemberId, id: OrderId) {
        let of_member = self.members.get_mut(&member).expect("a live order is its member's");
        let slot = of_member.live.remove(&id).expect("an order ends once");
        of_member.blocks.remove(&id);
        let order = &mut self.orders[slot_index(slot)];
        order.live = false;
        match core::mem::replace(&mut order.place, BookPlace::None) {
            BookPlace::None => {}
            BookPlace::Curves(handles) => {
                for handle in handles {
                    self.book.remove_curve(handle).expect("the handle is the order's own");
                }
            }
            BookPlace::Block(handle) => drop(self.book.remove_block(handle)),
            BookPlace::Complex(handle) => drop(self.book.remove_complex(handle)),
        }
        let order = &self.orders[slot_index(slot)];
        let (place, body) = ((order.portfolio, order.area), Arc::clone(order.body()));
        self.count(place, &body, -1);
    }

    /// Keeps the counts: an order comes (`sign` 1) or goes (−1).
    fn count(&mut self, place: (PortfolioId, u16), body: &OrderBody, sign: i8) {
        let portfolio = place.0;
        if let Some(usage) = &mut self.usage {
            usage.count(self.periods, place, body, i64::from(sign));
        }
        let step = |count: &mut u32| {
            *count = count.checked_add_signed(i32::from(sign)).expect("what goes has come");
        };
        step(&mut self.orders_live);
        if is_lumpy(body) {
            step(self.blocks.entry(portfolio).or_default());
            step(&mut self.blocks_live);
        }
        let points = points_of(body).cast_signed() * i64::from(sign);
        self.points_live = self.points_live.checked_add_signed(points).expect("what goes has come");
    }

    fn place(&mut self, id: &str, area: u16, body: &OrderBody) -> BookPlace {
        match body {
            OrderBody::Curve { shape, periods } => {
                let mut handles = Vec::with_capacity(periods.len());
                for (period, points) in periods {
                    handles.push(self.book.insert_points(id, area, *period, *shape, points));
                }
                BookPlace::Curves(handles)
            }
            OrderBody::Block { .. } | OrderBody::Complex { .. } => BookPlace::None,
        }
    }

    fn displace(&mut self, slot: u32) {
        let order = &mut self.orders[slot_index(slot)];
        match core::mem::replace(&mut order.place, BookPlace::None) {
            BookPlace::None => {}
            BookPlace::Curves(handles) => {
                for handle in handles {
                    self.book.remove_curve(handle).expect("the handle is the order's own");
                }
            }
            BookPlace::Block(_) | BookPlace::Complex(_) => panic!("no order changes after the gate"),
        }
    }

    /// Enters blocks and complex orders into the clearing book. The gate has closed, so nothing
    /// moves any more. Parents go first; a family has no circle, so every pass places some.
    pub(super) fn seal(&mut self, member_code: impl Fn(MemberId) -> TextId) {
        let mut waiting: Vec<usize> = Vec::new();
        for (slot, order) in self.orders.iter().enumerate() {
            let lumpy = is_lumpy(order.body());
            if order.live && lumpy && matches!(order.place, BookPlace::None) {
                waiting.push(slot);
            }
        }
        // By id, never by time of entry: the search walks through the book in this order.
        waiting.sort_by_cached_key(|slot| {
            let order = &self.orders[*slot];
            tie_id(&member_code(order.member), &order.client_order_id)
        });
        let mut groups = Groups::new();
        let mut placed: BTreeMap<OrderId, BlockHandle> = BTreeMap::new();
        while !waiting.is_empty() {
            let before = waiting.len();
            waiting.retain(|slot| {
                let order = &self.orders[*slot];
                let parent = order.parent().map(|it| placed.get(&it).copied());
                if parent == Some(None) {
                    return true;
                }
                let id = tie_id(&member_code(order.member), &order.client_order_id);
                let place =
                    insert_lumpy(&mut self.book, &id, order, parent.flatten(), &self.money, &mut groups);
                if let BookPlace::Block(handle) = place {
                    placed.insert(order.id, handle);
                }
                self.orders[*slot].place = place;
                false
            });
            assert!(waiting.len() < before, "families have no circles and no missing parents");
        }
    }
}

/// Exclusive groups of all members, numbered.
type Groups = BTreeMap<(MemberId, TextId), u32>;

fn insert_lumpy(
    book: &mut AuctionBook,
    id: &str,
    order: &Order,
    parent: Option<BlockHandle>,
    money: &Money,
    groups: &mut Groups,
) -> BookPlace {
    let area = order.area;
    match order.body().as_ref() {
        OrderBody::Curve { .. } => BookPlace::None,
        OrderBody::Block { side, price, quantity, ratio_min, group, .. } => {
            let next = u32::try_from(groups.len()).expect("limits::BLOCKS_MAX fits");
            let number = |name: &TextId| *groups.entry((order.member, name.clone())).or_insert(next);
            let group = group.as_ref().map(number);
            let (side, price, quantity, ratio_min) = (*side, *price, quantity.clone(), *ratio_min);
            let block = BlockOrder { area, side, price, quantity, ratio_min, parent, group };
            BookPlace::Block(book.insert_block(id, block))
        }
        OrderBody::Complex { side, fixed_minor, curve } => {
            let fixed = i128::from(*fixed_minor) * money.fixed;
            let complex = ComplexOrder { area, side: *side, fixed, curve: curve.clone() };
            BookPlace::Complex(book.insert_complex(id, complex))
        }
    }
}

/// The id by which ties go: the member's code and the order's own name, so that neither the time of
/// entry nor the number the engine gave matters.
fn tie_id(member_code: &TextId, client_order_id: &TextId) -> String {
    format!("{member_code}/{client_order_id}")
}

/// Curve handles that a body will take.
pub(super) fn handles_of(body: &OrderBody) -> u32 {
    match body {
        OrderBody::Curve { periods, .. } => u32::try_from(periods.len()).unwrap_or(u32::MAX),
        OrderBody::Block { .. } | OrderBody::Complex { .. } => 0,
    }
}

#[expect(clippy::as_conversions, reason = "From is not const; widening")]
const _: () = {
    assert!((limits::CURVE_HANDLES_MAX as u64) < u32::MAX as u64);
};
