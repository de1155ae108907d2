//! Order commands of the contract as actions of the engine.

use super::faults::{Faults, Paths};
use super::units::{Scale, auction_id, whole};
use merit_engine::auction::{ComplexPeriod, Point, Shape, Side};
use merit_engine::command::{Action, NewOrder, OrderBody, Parent};
use merit_engine::event::AuctionInfo;
use merit_engine::few::Few;
use merit_engine::ids::{AuctionId, MemberId, OrderId, PortfolioId, TextId};
use merit_engine::limits::RATIO_UNIT;
use merit_engine::reject::Reject;
use merit_proto::v1;
use merit_proto::v1::RejectReason;
use std::sync::Arc;

/// What is needed to read an order command, looked up in the read model.
pub trait Directory {
    /// An auction.
    fn auction(&self, auction: AuctionId) -> Option<Arc<AuctionInfo>>;
    /// An auction by its name.
    fn auction_named(&self, name: &str) -> Option<Arc<AuctionInfo>> {
        self.auction(auction_id(name)?)
    }
    /// A portfolio by its code, and its owner.
    fn portfolio(&self, code: &str) -> Option<(PortfolioId, MemberId)>;
    /// An order of a member by the id of the command that entered it.
    fn order_named(&self, member: MemberId, client_order_id: &str) -> Option<OrderId>;
    /// The auction of an order of a member.
    fn auction_of(&self, member: MemberId, order: OrderId) -> Option<AuctionId>;
}

/// The content of an order, whichever command carries it.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// A step curve.
    Step(&'a v1::StepCurve),
    /// A linear curve.
    Linear(&'a v1::LinearCurve),
    /// A block.
    Block(&'a v1::Block),
    /// A complex order.
    Complex(&'a v1::Complex),
}

impl Content<'_> {
    /// Field of the content in its command.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Step(_) => "step",
            Self::Linear(_) => "linear",
            Self::Block(_) => "block",
            Self::Complex(_) => "complex",
        }
    }
}

/// The content of a new order.
#[must_use]
pub fn content_of_new(order: &v1::NewOrder) -> Option<Content<'_>> {
    Some(match order.body.as_ref()? {
        v1::new_order::Body::Step(it) => Content::Step(it),
        v1::new_order::Body::Linear(it) => Content::Linear(it),
        v1::new_order::Body::Block(it) => Content::Block(it),
        v1::new_order::Body::Complex(it) => Content::Complex(it),
    })
}

/// The content of an amendment.
#[must_use]
pub fn content_of_amend(amend: &v1::AmendOrder) -> Option<Content<'_>> {
    Some(match amend.body.as_ref()? {
        v1::amend_order::Body::Step(it) => Content::Step(it),
        v1::amend_order::Body::Linear(it) => Content::Linear(it),
        v1::amend_order::Body::Block(it) => Content::Block(it),
        v1::amend_order::Body::Complex(it) => Content::Complex(it),
    })
}

/// Reads one command at a time.
#[derive(Debug)]
pub struct Reader<'a, D> {
    /// Where names are looked up.
    pub directory: &'a D,
    /// The member who asks.
    pub member: MemberId,
    /// What is wrong so far.
    pub faults: Faults,
}

impl<'a, D: Directory> Reader<'a, D> {
    /// A reader for a command of a member.
    #[must_use]
    pub fn new(directory: &'a D, member: MemberId) -> Self {
        Self { directory, member, faults: Faults::default() }
    }

    /// The client's id.
    pub fn request_id(&mut self, text: &str, field: impl FnOnce() -> String) -> Option<TextId> {
        let id = TextId::new(text);
        if id.is_none() {
            let reason = if text.is_empty() { RejectReason::MissingField } else { RejectReason::MalformedId };
            self.faults.malformed(reason, field(), "an id is 1 to 64 characters out of A-Z a-z 0-9 . _ : -");
        }
        id
    }

    /// A command of a batch or a stream. The action is exact if there are no faults, and close to
    /// what was meant otherwise.
    pub fn command(&mut self, command: &v1::OrderCommand, paths: &mut Paths) -> Option<Action> {
        match command.command.as_ref() {
            Some(v1::order_command::Command::Submit(it)) => self.submit(it, paths),
            Some(v1::order_command::Command::Amend(it)) => self.amend(it, paths),
            Some(v1::order_command::Command::Cancel(it)) => self.cancel(it, paths),
            Some(v1::order_command::Command::CancelAll(it)) => self.cancel_all(it, paths),
            None => {
                let field = paths.beside("command");
                self.faults.malformed(RejectReason::MissingField, field, "there is no command");
                None
            }
        }
    }

    /// A new order.
    pub fn submit(&mut self, order: &v1::NewOrder, paths: &mut Paths) -> Option<Action> {
        let portfolio = self.portfolio(&order.portfolio, paths);
        let content = content_of_new(order);
        paths.kind = content.map_or("", Content::kind);
        if content.is_none() {
            self.missing(paths.field("body"));
        }
        let info = self.auction(&order.auction_id, paths)?;
        let area = info.rules.areas.iter().position(|it| it.code.as_str() == order.area);
        let area = area.and_then(|it| u16::try_from(it).ok());
        if area.is_none() {
            self.faults.reject(Reject::UnknownArea, paths.field("area"));
        }
        let body = self.body(content?, &info, paths)?;
        Some(Action::Submit(NewOrder { auction: info.auction, portfolio: portfolio?, area: area?, body }))
    }

    /// New content of a live order.
    pub fn amend(&mut self, amend: &v1::AmendOrder, paths: &mut Paths) -> Option<Action> {
        let content = content_of_amend(amend);
        paths.kind = content.map_or("", Content::kind);
        if content.is_none() {
            self.missing(paths.field("body"));
        }
        if amend.version == 0 {
            self.missing(paths.field("version"));
        }
        let order = self.order(amend.order.as_ref(), paths)?;
        let Some(auction) = self.directory.auction_of(self.member, order) else {
            self.faults.reject(Reject::UnknownOrder, paths.field("order"));
            return None;
        };
        let info = self.directory.auction(auction)?;
        let body = self.body(content?, &info, paths)?;
        Some(Action::Amend { order, version: amend.version, body })
    }

    /// Takes an order back.
    pub fn cancel(&mut self, cancel: &v1::CancelOrder, paths: &Paths) -> Option<Action> {
        let order = self.order(cancel.order.as_ref(), paths)?;
        Some(Action::Cancel { order })
    }

    /// Takes back all orders in an auction.
    pub fn cancel_all(&mut self, cancel: &v1::CancelOrders, paths: &Paths) -> Option<Action> {
        let portfolio = match &cancel.portfolio {
            Some(code) => Some(self.portfolio(code, paths)?),
            None => None,
        };
        let info = self.auction(&cancel.auction_id, paths)?;
        Some(Action::CancelAll { auction: info.auction, portfolio })
    }

    fn missing(&mut self, field: String) {
        self.faults.malformed(RejectReason::MissingField, field, "this field is needed");
    }

    fn auction(&mut self, name: &str, paths: &Paths) -> Option<Arc<AuctionInfo>> {
        if name.is_empty() {
            self.missing(paths.field("auction_id"));
            return None;
        }
        let found = self.directory.auction_named(name);
        if found.is_none() {
            self.faults.reject(Reject::UnknownAuction, paths.field("auction_id"));
        }
        found
    }

    fn portfolio(&mut self, code: &str, paths: &Paths) -> Option<PortfolioId> {
        if code.is_empty() {
            self.missing(paths.field("portfolio"));
            return None;
        }
        // A portfolio of another member is answered like one that does not exist.
        let found = self.directory.portfolio(code).filter(|(_, owner)| *owner == self.member);
        if found.is_none() {
            self.faults.reject(Reject::UnknownPortfolio, paths.field("portfolio"));
        }
        found.map(|(portfolio, _)| portfolio)
    }

    fn order(&mut self, order: Option<&v1::OrderRef>, paths: &Paths) -> Option<OrderId> {
        let found = match order.and_then(|it| it.name.as_ref()) {
            None => {
                self.missing(paths.field("order"));
                return None;
            }
            Some(v1::order_ref::Name::OrderId(id)) => return Some(OrderId(*id)),
            Some(v1::order_ref::Name::ClientOrderId(id)) => self.directory.order_named(self.member, id),
        };
        if found.is_none() {
            self.faults.reject(Reject::UnknownOrder, paths.field("order.client_order_id"));
        }
        found
    }

    fn body(&mut self, content: Content<'_>, info: &AuctionInfo, paths: &Paths) -> Option<OrderBody> {
        let scale = Scale::of(&info.rules);
        match content {
            Content::Step(it) => {
                let side = self.side(it.side, paths)?;
                let periods = self.curve(&it.periods, scale, paths)?;
                Some(OrderBody::Curve { shape: Shape::Step(side), periods })
            }
            Content::Linear(it) => {
                let periods = self.curve(&it.periods, scale, paths)?;
                Some(OrderBody::Curve { shape: Shape::Linear, periods })
            }
            Content::Block(it) => self.block(it, scale, paths),
            Content::Complex(it) => self.complex(it, scale, paths),
        }
    }

    fn block(&mut self, block: &v1::Block, scale: Scale, paths: &Paths) -> Option<OrderBody> {
        let price = self.price(block.price_micros_per_mwh, scale, || paths.content("price_micros_per_mwh"));
        let mut quantity = Vec::with_capacity(block.periods.len());
        self.bounded(block.periods.len(), paths)?;
        for (index, it) in block.periods.iter().enumerate() {
            let field = |name: &str| paths.content(&format!("periods[{index}].{name}"));
            let lots = self.lots(it.quantity_watts, scale, || field("quantity_watts"));
            quantity.push((self.period(it.period, || field("period"))?, lots));
        }
        let parent = match &block.parent_client_order_id {
            None => None,
            // The engine looks it up among the live blocks of the auction: the parent may stand in the
            // same batch, and be entered just before.
            Some(id) => {
                let id = self.request_id(id, || paths.content("parent_client_order_id"))?;
                Some(Parent::Named(id))
            }
        };
        let group = match &block.group {
            None => None,
            Some(name) => Some(self.request_id(name, || paths.content("group"))?),
        };
        let ratio_min = block.ratio_min_millionths.unwrap_or(RATIO_UNIT);
        let side = self.side(block.side, paths)?;
        Some(OrderBody::Block { side, price, quantity, ratio_min, parent, group })
    }

    fn complex(&mut self, order: &v1::Complex, scale: Scale, paths: &Paths) -> Option<OrderBody> {
        let (fixed_minor, exact) = whole(order.fixed_micros, scale.minor);
        if !exact {
            self.faults.reject(Reject::FixedOutOfRange, paths.content("fixed_micros"));
        }
        self.bounded(order.periods.len(), paths)?;
        let mut curve = Vec::with_capacity(order.periods.len());
        for (index, it) in order.periods.iter().enumerate() {
            let field = |name: &str| paths.content(&format!("periods[{index}].{name}"));
            let least = it.quantity_min_watts.unwrap_or(0);
            let quantity_min = self.lots(least, scale, || field("quantity_min_watts"));
            let points = self.points(&it.points, index, scale, paths)?;
            curve.push(ComplexPeriod {
                period: self.period(it.period, || field("period"))?,
                quantity_min,
                points,
            });
        }
        let side = self.side(order.side, paths)?;
        Some(OrderBody::Complex { side, fixed_minor, curve })
    }

    fn curve(
        &mut self,
        periods: &[v1::CurvePeriod],
        scale: Scale,
        paths: &Paths,
    ) -> Option<Few<(u16, Few<Point>)>> {
        self.bounded(periods.len(), paths)?;
        let mut read = |index: usize, it: &v1::CurvePeriod| {
            let points = self.points(&it.points, index, scale, paths)?;
            let period = self.period(it.period, || paths.content(&format!("periods[{index}].period")))?;
            Some((period, points))
        };
        // Most curves have one, and need no list.
        if let [one] = periods {
            return read(0, one).map(Few::one);
        }
        let mut curve = Vec::with_capacity(periods.len());
        for (index, it) in periods.iter().enumerate() {
            curve.push(read(index, it)?);
        }
        Some(curve.into())
    }

    fn points<L: FromIterator<Point>>(
        &mut self,
        points: &[v1::Point],
        index: usize,
        scale: Scale,
        paths: &Paths,
    ) -> Option<L> {
        if u16::try_from(points.len()).is_err() {
            self.faults.reject(Reject::TooManyPoints, paths.content(&format!("periods[{index}].points")));
            return None;
        }
        let read = points.iter().enumerate().map(|(number, it)| {
            let field = |name: &str| paths.content(&format!("periods[{index}].points[{number}].{name}"));
            Point {
                price: self.price(it.price_micros_per_mwh, scale, || field("price_micros_per_mwh")),
                quantity: self.lots(it.quantity_watts, scale, || field("quantity_watts")),
            }
        });
        Some(read.collect())
    }

    /// Periods are named by their place in the list, which has to fit the engine's places.
    fn bounded(&mut self, periods: usize, paths: &Paths) -> Option<()> {
        if u16::try_from(periods).is_ok() {
            return Some(());
        }
        self.faults.malformed(
            RejectReason::TooManyEntries,
            paths.content("periods"),
            "at most 65535 entries",
        );
        None
    }

    fn period(&mut self, number: u32, field: impl FnOnce() -> String) -> Option<u16> {
        let index = number.checked_sub(1).and_then(|it| u16::try_from(it).ok());
        if index.is_none() {
            self.faults.reject(Reject::UnknownPeriod, field());
        }
        index
    }

    fn side(&mut self, side: i32, paths: &Paths) -> Option<Side> {
        match v1::Side::try_from(side) {
            Ok(v1::Side::Buy) => Some(Side::Buy),
            Ok(v1::Side::Sell) => Some(Side::Sell),
            Ok(v1::Side::Unspecified) | Err(_) => {
                let text = "a side is SIDE_BUY or SIDE_SELL";
                self.faults.malformed(RejectReason::UnknownEnumValue, paths.content("side"), text);
                None
            }
        }
    }

    fn price(&mut self, micros: i64, scale: Scale, field: impl FnOnce() -> String) -> i64 {
        let (ticks, exact) = whole(micros, scale.tick);
        if !exact {
            self.faults.reject(Reject::PriceOffTick, field());
        }
        ticks
    }

    fn lots(&mut self, watts: i64, scale: Scale, field: impl FnOnce() -> String) -> i64 {
        let (lots, exact) = whole(watts, scale.lot);
        if !exact {
            self.faults.reject(Reject::QuantityOffTick, field());
        }
        lots
    }
}

#[cfg(test)]
mod tests;
