//! The sealed book of one auction: its orders, until the auction ends.
//!
//! Curve orders enter the clearing book as they come, so that it can aggregate them; blocks and
//! complex orders enter it when the gate has closed, parents before children. Nothing here is
//! readable by anyone but the member that entered it.
//!
//! A curve is written down once, in the clearing book: there are millions, and what each takes is read
//! again by a start and written by every submission. The row of an order says where to find it. Earlier
//! versions are in the journal alone.

use super::clearance::Usage;
use crate::auction::{BlockHandle, BlockOrder, ComplexHandle, ComplexOrder, CurveHandle, Frame, Line};
use crate::book::{AuctionBook, CurveView};
use crate::command::{NewOrder, OrderBody, Parent};
use crate::digest::{Feed, Quick, Words, quick, quick_of_bytes};
use crate::event::AuctionInfo;
use crate::ids::{MemberId, OrderId, PortfolioId, TextId};
use crate::limits;
use crate::money::Money;
use crate::risk::Grid;
use crate::rows::Rows;
use crate::snapshot::{Damaged, Keep, Reader, Writer, keep_enum, keep_plain, keep_struct};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// What an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Curve,
    Block,
    Complex,
}

/// An order of the book.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) id: OrderId,
    pub(super) portfolio: PortfolioId,
    /// The current version's number, from 1.
    pub(super) version: u32,
    /// Where the current version's content is: the handle of a curve's first period, the others follow it;
    /// else the order's own slot.
    at: u32,
    /// Periods of a curve.
    periods: u16,
    pub(super) area: u16,
    pub(super) kind: Kind,
    /// Not cancelled.
    pub(super) live: bool,
}

/// A live block or complex order.
#[derive(Clone, Debug)]
struct Lumpy {
    client_order_id: TextId,
    body: OrderBody,
    place: LumpyPlace,
}

/// Where a block or complex order stands in the clearing book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LumpyPlace {
    /// Nowhere before the gate.
    None,
    /// A block.
    Block(BlockHandle),
    /// A complex order.
    Complex(ComplexHandle),
}

keep_plain! { Kind { 0 = Curve, 1 = Block, 2 = Complex } }
keep_enum! {
    LumpyPlace { 0 = None, 1 = Block(handle), 2 = Complex(handle) }
}
keep_struct! {
    Order { id, portfolio, version, at, periods, area, kind, live }
    Lumpy { client_order_id, body, place }
}

impl Order {
    /// Whose it is.
    pub(super) fn member(&self) -> MemberId {
        self.id.member().expect("an order's id names its member")
    }
}

/// What one member has in a book.
#[derive(Clone, Debug, Default)]
pub(super) struct MemberOrders {
    /// Slots of its orders, by id: those that are live, and some that are not any more.
    slots: Vec<u32>,
    /// How many are live.
    pub(super) live: u32,
    /// Slots of the live blocks: families are looked for here alone.
    blocks: BTreeMap<OrderId, u32>,
    /// Versions entered.
    pub(super) entered: u32,
}

/// What each member has, by its number.
#[derive(Clone, Debug, Default)]
struct Members {
    /// 0, or one more than the place in the list.
    numbers: Vec<u32>,
    list: Vec<MemberOrders>,
}

impl Members {
    fn get(&self, member: MemberId) -> Option<&MemberOrders> {
        let number = *self.numbers.get(slot_index(member.0))?;
        self.list.get(slot_index(number.checked_sub(1)?))
    }

    fn get_mut(&mut self, member: MemberId) -> &mut MemberOrders {
        let at = slot_index(member.0);
        if self.numbers.len() <= at {
            self.numbers.resize(at + 1, 0);
        }
        if self.numbers[at] == 0 {
            self.list.push(MemberOrders::default());
            self.numbers[at] = u32::try_from(self.list.len()).expect("limits::MEMBERS_MAX fits");
        }
        &mut self.list[slot_index(self.numbers[at]) - 1]
    }

    /// By number.
    fn iter(&self) -> impl Iterator<Item = (MemberId, &MemberOrders)> {
        (0..)
            .zip(&self.numbers)
            .filter(|(_, number)| **number > 0)
            .map(|(member, number)| (MemberId(member), &self.list[slot_index(*number) - 1]))
    }
}

/// The book of one auction.
#[derive(Debug)]
pub(super) struct SealedBook {
    orders: Rows<Order>,
    /// Sum of the digests of all orders.
    sum: u128,
    /// By slot.
    lumpy: BTreeMap<u32, Lumpy>,
    members: Members,
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

impl Keep for SealedBook {
    fn put(&self, out: &mut Writer<'_>) {
        let Self {
            orders,
            sum,
            lumpy,
            members: _,
            blocks,
            points_live,
            blocks_live,
            orders_live,
            book,
            money,
            grid,
            usage,
            periods,
        } = self;
        orders.put(out);
        sum.put(out);
        lumpy.put(out);
        blocks.put(out);
        points_live.put(out);
        blocks_live.put(out);
        orders_live.put(out);
        book.put(out);
        money.put(out);
        grid.put(out);
        usage.put(out);
        periods.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let orders: Rows<Order> = Keep::take(from)?;
        let mut members = Members::default();
        for (slot, order) in (0..).zip(&orders) {
            let member = order.id.member().filter(|it| it.0 < limits::MEMBERS_MAX);
            let of_member = members.get_mut(member.ok_or(Damaged("an order is nobody's"))?);
            of_member.entered = of_member.entered.saturating_add(order.version);
            if order.live {
                of_member.slots.push(slot);
                of_member.live += 1;
            }
            if order.live && order.kind == Kind::Block {
                of_member.blocks.insert(order.id, slot);
            }
        }
        Ok(Self {
            orders,
            sum: Keep::take(from)?,
            lumpy: Keep::take(from)?,
            members,
            blocks: Keep::take(from)?,
            points_live: Keep::take(from)?,
            blocks_live: Keep::take(from)?,
            orders_live: Keep::take(from)?,
            book: Keep::take(from)?,
            money: Keep::take(from)?,
            grid: Keep::take(from)?,
            usage: Keep::take(from)?,
            periods: Keep::take(from)?,
        })
    }
}

// The rest are sums and copies of the orders.
impl Feed for SealedBook {
    fn feed<W: Words>(&self, hasher: &mut W) {
        let Self { orders, sum, points_live, blocks_live, orders_live, book, .. } = self;
        let sum = if hasher.recounts() { self.recount() } else { *sum };
        (orders.len(), sum, *points_live).feed(hasher);
        (*blocks_live, *orders_live).feed(hasher);
        (book.curve_handles(), book.block_handles(), book.complex_handles()).feed(hasher);
    }
}

fn slot_index(slot: u32) -> usize {
    usize::try_from(slot).expect("slots of a list fit")
}

/// Digest of an order, of whose content and name the digests are known; 0 once it is gone.
// In place, or an order that is entered is put together in memory and read from there, which waits until all that was
// written before has arrived.
#[inline(always)]
fn row_digest(order: &Order, content: u128, name: u128) -> u128 {
    let Order { id, portfolio, version, at: _, periods: _, area, kind, live } = *order;
    let kind: u64 = match kind {
        Kind::Curve => 0,
        Kind::Block => 1,
        Kind::Complex => 2,
    };
    let mut hasher = Quick::new();
    id.feed(&mut hasher);
    hasher.word(u64::from(portfolio.0) << 32 | u64::from(version));
    hasher.word(u64::from(area) << 32 | kind << 1 | u64::from(live));
    (content, name).feed(&mut hasher);
    hasher.finish()
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
            orders: Rows::default(),
            sum: 0,
            lumpy: BTreeMap::new(),
            members: Members::default(),
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
    ) -> impl Iterator<Item = &OrderBody> {
        let blocks = self.members.iter().flat_map(|(_, it)| it.blocks.values());
        let here = move |it: &&Order| (it.portfolio, it.area) == place && Some(it.id) != but;
        let bodies =
            blocks.map(|slot| &self.orders[slot_index(*slot)]).filter(here).map(|it| self.lumpy_body(it));
        bodies.filter(|it| matches!(it, OrderBody::Block { group: Some(_), .. }))
    }

    /// Members with a live order.
    pub(super) fn members_with_orders(&self) -> Vec<MemberId> {
        self.members.iter().filter(|(_, it)| it.live > 0).map(|(member, _)| member).collect()
    }

    /// A member's live order.
    pub(super) fn live_order(&self, member: MemberId, id: OrderId) -> Option<&Order> {
        self.order(self.live_slot(member, id)?)
    }

    fn live_slot(&self, member: MemberId, id: OrderId) -> Option<u32> {
        let slots = &self.members.get(member)?.slots;
        let at = slots.binary_search_by_key(&id, |slot| self.orders[slot_index(*slot)].id).ok()?;
        slots.get(at).copied().filter(|slot| self.orders[slot_index(*slot)].live)
    }

    pub(super) const fn orders(&self) -> &Rows<Order> {
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
        self.members.list.iter().filter(|it| it.live > 0).count()
    }

    pub(super) fn of_member(&self, member: MemberId) -> Option<&MemberOrders> {
        self.members.get(member)
    }

    /// The live orders of a member, by id.
    pub(super) fn live_of(&self, member: MemberId) -> impl Iterator<Item = &Order> {
        let slots = self.members.get(member).map(|it| &it.slots);
        slots.into_iter().flatten().map(|slot| &self.orders[slot_index(*slot)]).filter(|it| it.live)
    }

    /// The live blocks of a member, by id.
    pub(super) fn live_blocks_of(&self, member: MemberId) -> impl Iterator<Item = &Order> {
        let blocks = self.members.get(member).map(|it| &it.blocks);
        blocks.into_iter().flatten().map(|(_, slot)| &self.orders[slot_index(*slot)])
    }

    /// A member's live block.
    pub(super) fn live_block(&self, member: MemberId, id: OrderId) -> Option<&Order> {
        self.order(*self.members.get(member)?.blocks.get(&id)?)
    }

    /// The live block that a block names as its parent.
    pub(super) fn parent_block(&self, member: MemberId, parent: &Parent) -> Option<&Order> {
        match parent {
            Parent::Order(id) => self.live_block(member, *id),
            Parent::Named(name) => {
                self.live_blocks_of(member).find(|it| self.lumpy(it).client_order_id == *name)
            }
        }
    }

    /// The parent that a live block has.
    pub(super) fn parent(&self, order: &Order) -> Option<OrderId> {
        let lumpy = if order.kind == Kind::Block { self.lumpy.get(&order.at) } else { None };
        match &lumpy?.body {
            OrderBody::Block { parent: Some(Parent::Order(parent)), .. } => Some(*parent),
            // Names are resolved when the order is entered.
            OrderBody::Block { .. } | OrderBody::Curve { .. } | OrderBody::Complex { .. } => None,
        }
    }

    fn lumpy(&self, order: &Order) -> &Lumpy {
        self.lumpy.get(&order.at).expect("a live block or complex order has its content")
    }

    /// The content of a live block or complex order.
    pub(super) fn lumpy_body(&self, order: &Order) -> &OrderBody {
        &self.lumpy(order).body
    }

    /// Where a live block or complex order stands.
    pub(super) fn lumpy_place(&self, order: &Order) -> LumpyPlace {
        if order.kind == Kind::Curve { LumpyPlace::None } else { self.lumpy(order).place }
    }

    /// A live curve order, period by period.
    pub(super) fn curves(&self, order: &Order) -> impl Iterator<Item = (CurveHandle, CurveView<'_>)> {
        assert!(order.kind == Kind::Curve && order.live, "a curve that stands");
        let handles = order.at..order.at + u32::from(order.periods);
        handles.map(CurveHandle).map(|it| (it, self.book.curve(it).expect("a live curve stands in the book")))
    }

    /// The content of a live order.
    pub(super) fn body(&self, order: &Order) -> Cow<'_, OrderBody> {
        if order.kind != Kind::Curve {
            return Cow::Borrowed(self.lumpy_body(order));
        }
        let first = self.curves(order).next();
        let shape = first.map_or(crate::auction::Shape::Linear, |(_, it)| it.shape);
        let period = |it: CurveView<'_>| (it.period, it.points.iter().copied().collect());
        let periods = self.curves(order).map(|(_, it)| period(it)).collect();
        Cow::Owned(OrderBody::Curve { shape, periods })
    }

    /// Feeds the content of a live order as its body would.
    pub(super) fn feed_body<W: Words>(&self, order: &Order, hasher: &mut W) {
        if order.kind != Kind::Curve {
            return self.lumpy_body(order).feed(hasher);
        }
        hasher.word(0);
        for (n, (_, it)) in self.curves(order).enumerate() {
            if n == 0 {
                it.shape.feed(hasher);
                order.periods.feed(hasher);
            }
            it.period.feed(hasher);
            it.points.feed(hasher);
        }
    }

    /// Points of a live order.
    pub(super) fn points_of(&self, order: &Order) -> u64 {
        if order.kind != Kind::Curve {
            return points_of(self.lumpy_body(order));
        }
        u64::try_from(self.curves(order).map(|(_, it)| it.points.len()).sum::<usize>()).expect("lengths fit")
    }

    /// Digest of an order as it stands. Where it stands in the clearing book follows from the sequence of
    /// commands and says nothing that the orders do not.
    fn digest_of(&self, order: &Order) -> u128 {
        if !order.live {
            return row_digest(order, 0, 0);
        }
        let mut body = Quick::new();
        self.feed_body(order, &mut body);
        let name = match order.kind {
            Kind::Curve => quick_of_bytes(self.curve_name(order)),
            Kind::Block | Kind::Complex => quick(&self.lumpy(order).client_order_id),
        };
        row_digest(order, body.finish(), name)
    }

    /// Changes an order behind the back of the sum.
    #[cfg(test)]
    pub(super) fn spoil(&mut self) {
        self.orders[0].area ^= 1;
    }

    /// What the sum of all digests should be.
    fn recount(&self) -> u128 {
        let digest = |it: &Order| if self.is_whole(it) { self.digest_of(it) } else { 0 };
        self.orders.iter().fold(0, |sum: u128, it| sum.wrapping_add(digest(it)))
    }

    /// Whether an order's content is there: so it is, unless the book came as bytes.
    fn is_whole(&self, order: &Order) -> bool {
        let mut handles = (0..u32::from(order.periods)).map(|it| order.at.checked_add(it).map(CurveHandle));
        match order.kind {
            _ if !order.live => true,
            Kind::Block | Kind::Complex => self.lumpy.contains_key(&order.at),
            Kind::Curve => {
                let named = |it: CurveHandle| self.book.id_bytes(it).is_some_and(|it| it.contains(&b'/'));
                let first = CurveHandle(order.at);
                handles.all(|it| it.is_some_and(|it| self.book.has_whole(it)))
                    && self.book.has_whole(first)
                    && named(first)
            }
        }
    }

    /// Makes of a content what stands in the book: a parent named by client order id becomes its id.
    fn resolve(&self, member: MemberId, body: &mut OrderBody) {
        if let OrderBody::Block { parent: Some(parent), .. } = body {
            let id = self.parent_block(member, parent).expect("admission has found the parent").id;
            *parent = Parent::Order(id);
        }
    }

    /// The live children of some blocks, by id; `parents` is sorted.
    pub(super) fn children(&self, member: MemberId, parents: &[OrderId]) -> Vec<OrderId> {
        let of_them = |it: &&Order| self.parent(it).is_some_and(|it| parents.binary_search(&it).is_ok());
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

    /// Enters an order that has passed admission; `digests` are those of its content and its name. Returns
    /// its slot; the content is left as it stands.
    pub(super) fn insert(
        &mut self,
        id: OrderId,
        owner: (MemberId, &TextId),
        client_order_id: &TextId,
        order: &mut NewOrder,
        digests: (u128, u128),
    ) -> u32 {
        let slot = u32::try_from(self.orders.len()).expect("bounded by handles");
        let (member, member_code) = owner;
        let NewOrder { auction: _, portfolio, area, ref mut body } = *order;
        self.resolve(member, body);
        let body = &*body;
        let (at, periods) = self.place(slot, (member_code, client_order_id), area, body);
        self.count((portfolio, area), body, 1);
        let kind = kind_of(body);
        let of_member = self.members.get_mut(member);
        of_member.entered += 1;
        of_member.live += 1;
        of_member.slots.push(slot);
        if kind == Kind::Block {
            of_member.blocks.insert(id, slot);
        }
        let order = Order { id, portfolio, version: 1, at, periods, area, kind, live: true };
        // What is asked and what stands differ where a parent was named.
        let content = if kind == Kind::Curve { digests.0 } else { quick(body) };
        self.orders.push(order);
        self.sum = self.sum.wrapping_add(row_digest(&order, content, digests.1));
        slot
    }

    /// Replaces the content of a live order that has passed admission; returns the order's name and its
    /// content as it stands.
    pub(super) fn amend(
        &mut self,
        slot: u32,
        member_code: &TextId,
        mut body: OrderBody,
    ) -> (TextId, Box<OrderBody>) {
        let order = self.orders[slot_index(slot)];
        self.sum = self.sum.wrapping_sub(self.digest_of(&order));
        let (member, place) = (order.member(), (order.portfolio, order.area));
        let client_order_id = self.client_order_id(&order);
        let old = self.body(&order).into_owned();
        self.resolve(member, &mut body);
        let body = Box::new(body);
        self.displace(&order);
        self.count(place, &old, -1);
        self.count(place, &body, 1);
        let (at, periods) = self.place(slot, (member_code, &client_order_id), order.area, &body);
        self.members.get_mut(member).entered += 1;
        let order = &mut self.orders[slot_index(slot)];
        (order.at, order.periods, order.version) = (at, periods, order.version + 1);
        let order = *order;
        self.sum = self.sum.wrapping_add(self.digest_of(&order));
        (client_order_id, body)
    }

    /// The name that its member gave a live order.
    fn client_order_id(&self, order: &Order) -> TextId {
        if order.kind != Kind::Curve {
            return self.lumpy(order).client_order_id.clone();
        }
        TextId::from_bytes(self.curve_name(order)).expect("a name is an id")
    }

    fn curve_name(&self, order: &Order) -> &[u8] {
        // No part of a tie id has a slash.
        let id = self.book.id_bytes(CurveHandle(order.at)).unwrap_or_default();
        let slash = id.iter().position(|it| *it == b'/').expect("a live curve stands under its name");
        &id[slash + 1..]
    }

    /// Takes a member's live order out; returns what it was.
    pub(super) fn cancel(&mut self, member: MemberId, id: OrderId) -> OrderBody {
        let slot = self.live_slot(member, id).expect("an order is cancelled once");
        let order = self.orders[slot_index(slot)];
        let body = self.body(&order).into_owned();
        self.sum = self.sum.wrapping_sub(self.digest_of(&order));
        self.displace(&order);
        self.orders[slot_index(slot)].live = false;
        self.sum = self.sum.wrapping_add(row_digest(&Order { live: false, ..order }, 0, 0));
        self.count((order.portfolio, order.area), &body, -1);
        let Self { orders, members, .. } = self;
        let of_member = members.get_mut(member);
        of_member.live -= 1;
        of_member.blocks.remove(&id);
        // What is gone is dropped once it is most of the list: paid for by those that went.
        if of_member.slots.len() > 64 && of_member.slots.len() > slot_index(of_member.live) * 2 {
            of_member.slots.retain(|slot| orders[slot_index(*slot)].live);
        }
        body
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

    /// Writes an order's content down; returns where, and the periods of a curve.
    fn place(&mut self, slot: u32, name: (&TextId, &TextId), area: u16, body: &OrderBody) -> (u32, u16) {
        match body {
            OrderBody::Curve { shape, periods } => {
                let first = self.book.curve_handles();
                for (period, points) in periods {
                    self.book.insert_named(|ids| append_tie_id(name, ids), area, *period, *shape, points);
                }
                (first, u16::try_from(periods.len()).expect("limits::PERIODS_MAX fits"))
            }
            OrderBody::Block { .. } | OrderBody::Complex { .. } => {
                let (client_order_id, body) = (name.1.clone(), body.clone());
                self.lumpy.insert(slot, Lumpy { client_order_id, body, place: LumpyPlace::None });
                (slot, 0)
            }
        }
    }

    /// Takes a live order's content out of where it is written down.
    fn displace(&mut self, order: &Order) {
        if order.kind == Kind::Curve {
            for handle in order.at..order.at + u32::from(order.periods) {
                self.book.remove_curve(CurveHandle(handle)).expect("the handle is the order's own");
            }
            return;
        }
        let lumpy = self.lumpy.remove(&order.at).expect("a live block or complex order has its content");
        match lumpy.place {
            LumpyPlace::None => {}
            LumpyPlace::Block(handle) => drop(self.book.remove_block(handle)),
            LumpyPlace::Complex(handle) => drop(self.book.remove_complex(handle)),
        }
    }

    /// Enters blocks and complex orders into the clearing book. The gate has closed, so nothing
    /// moves any more. Parents go first; a family has no circle, so every pass places some.
    pub(super) fn seal(&mut self, member_code: impl Fn(MemberId) -> TextId) {
        let mut waiting: Vec<(String, u32)> = Vec::new();
        for (slot, it) in self.lumpy.iter().filter(|(_, it)| it.place == LumpyPlace::None) {
            let member = self.orders[slot_index(*slot)].member();
            waiting.push((tie_id(&member_code(member), &it.client_order_id), *slot));
        }
        // By id, never by time of entry: the search walks through the book in this order.
        waiting.sort_unstable();
        let mut groups = Groups::new();
        let mut placed: BTreeMap<OrderId, BlockHandle> = BTreeMap::new();
        while !waiting.is_empty() {
            let before = waiting.len();
            waiting.retain(|(id, slot)| {
                let order = self.orders[slot_index(*slot)];
                let parent = self.parent(&order).map(|it| placed.get(&it).copied());
                if parent == Some(None) {
                    return true;
                }
                let Self { book, money, lumpy, .. } = self;
                let lumpy = lumpy.get_mut(slot).expect("it waits");
                let place =
                    insert_lumpy(book, id, (&order, &lumpy.body), parent.flatten(), money, &mut groups);
                if let LumpyPlace::Block(handle) = place {
                    placed.insert(order.id, handle);
                }
                lumpy.place = place;
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
    (order, body): (&Order, &OrderBody),
    parent: Option<BlockHandle>,
    money: &Money,
    groups: &mut Groups,
) -> LumpyPlace {
    let area = order.area;
    match body {
        OrderBody::Curve { .. } => LumpyPlace::None,
        OrderBody::Block { side, price, quantity, ratio_min, group, .. } => {
            let next = u32::try_from(groups.len()).expect("limits::BLOCKS_MAX fits");
            let number = |name: &TextId| *groups.entry((order.member(), name.clone())).or_insert(next);
            let group = group.as_ref().map(number);
            let (side, price, quantity, ratio_min) = (*side, *price, quantity.clone(), *ratio_min);
            let block = BlockOrder { area, side, price, quantity, ratio_min, parent, group };
            LumpyPlace::Block(book.insert_block(id, block))
        }
        OrderBody::Complex { side, fixed_minor, curve } => {
            let fixed = i128::from(*fixed_minor) * money.fixed;
            let complex = ComplexOrder { area, side: *side, fixed, curve: curve.clone() };
            LumpyPlace::Complex(book.insert_complex(id, complex))
        }
    }
}

/// The id by which ties go: the member's code and the order's own name, so that neither the time of
/// entry nor the number the engine gave matters.
fn tie_id(member_code: &TextId, client_order_id: &TextId) -> String {
    format!("{member_code}/{client_order_id}")
}

/// Appends the bytes of what [`tie_id`] gives.
#[inline]
fn append_tie_id((member_code, client_order_id): (&TextId, &TextId), ids: &mut Vec<u8>) {
    append_id(member_code, ids);
    ids.push(b'/');
    append_id(client_order_id, ids);
}

#[inline]
fn append_id(id: &TextId, ids: &mut Vec<u8>) {
    match id.short() {
        // Copied whole, zeros included: a copy of some bytes is a call, one of so many bytes is two moves.
        Some((length, bytes)) => {
            let end = ids.len() + length;
            ids.extend_from_slice(bytes);
            ids.truncate(end);
        }
        None => ids.extend_from_slice(id.as_bytes()),
    }
}

pub(super) const fn kind_of(body: &OrderBody) -> Kind {
    match body {
        OrderBody::Curve { .. } => Kind::Curve,
        OrderBody::Block { .. } => Kind::Block,
        OrderBody::Complex { .. } => Kind::Complex,
    }
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
