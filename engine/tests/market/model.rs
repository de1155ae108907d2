//! A slow and obvious book-keeper beside the engine: it knows only what the engine said and what the
//! rules are, adds everything up anew, and compares.

use crate::money::Money;
use merit_engine::auction::{Shape, Side};
use merit_engine::command::{Act, OrderBody};
use merit_engine::event::{Account, Event, EventBody, Phase, PublishedResult, Reason, ScheduleRow, Stream};
use merit_engine::ids::{AuctionId, MemberId, OrderId, PortfolioId};
use merit_engine::outcome::Rejection;
use merit_engine::rules::MarketRules;
use merit_engine::settlement::Cause;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug)]
struct Order {
    member: MemberId,
    portfolio: PortfolioId,
    auction: AuctionId,
    area: u16,
    version: u32,
    body: Box<OrderBody>,
    cancelled: bool,
    ended: u32,
}

/// What came of one auction.
#[derive(Debug, Default)]
struct Tally {
    phase: Option<Phase>,
    gate_us: i64,
    result: Option<Arc<PublishedResult>>,
    /// (portfolio, area, period) → (bought, sold), from the ends of orders.
    traded: BTreeMap<(PortfolioId, u16, u16), (i64, i64)>,
    scheduled: bool,
    obligations: bool,
    ledger: bool,
    /// (portfolio, area, period) → bought, sold, value, fee, tax, from the obligations.
    owed: BTreeMap<(PortfolioId, u16, u16), [i64; 5]>,
    value_minor: i64,
    fee_minor: i64,
    tax_minor: i64,
    /// What the ledger holds because of this auction.
    posted: BTreeMap<Account, i64>,
    /// Revision of the last result.
    revision: u32,
    /// What a rerun has still to take back.
    voided: Option<Voided>,
    /// A rerun was decided and the auction has not gone back to its capacities yet.
    again: bool,
}

/// A result that is void: the obligations and the entries that take it back are still to come.
#[derive(Debug)]
struct Voided {
    result: Arc<PublishedResult>,
    /// What each position traded and owed.
    owed: BTreeMap<(PortfolioId, u16, u16), [i64; 5]>,
}

/// Everything that was said.
#[derive(Debug, Default)]
pub(crate) struct Model {
    heads: BTreeMap<Stream, u64>,
    orders: BTreeMap<OrderId, Order>,
    entered: Vec<OrderId>,
    auctions: BTreeMap<AuctionId, Tally>,
    balances: BTreeMap<Account, i128>,
    obligations: u64,
    entries: u64,
    pub(crate) proposals: u32,
    pub(crate) money: Money,
    pub(crate) published: u32,
    pub(crate) halted: u32,
    pub(crate) trades: u64,
    pub(crate) congested: u64,
    pub(crate) cancelled: u32,
    pub(crate) extended: u32,
    pub(crate) voided: u32,
}

impl Model {
    /// The orders accepted so far.
    pub(crate) fn orders(&self) -> &[OrderId] {
        &self.entered
    }

    /// The id that a member's next order must get.
    pub(crate) fn next(&self, member: MemberId) -> OrderId {
        let own = self.orders.values().filter(|it| it.member == member).count();
        OrderId::new(member, u32::try_from(own).unwrap() + 1)
    }

    /// Whether a member's order stands and its auction's gate is ahead.
    pub(crate) fn stands(&self, order: OrderId, member: Option<MemberId>, time_us: i64) -> bool {
        self.orders.get(&order).is_some_and(|it| {
            let gate = self.auctions.get(&it.auction).unwrap().gate_us;
            Some(it.member) == member && !it.cancelled && time_us < gate
        })
    }

    pub(crate) fn version(&self, order: OrderId) -> Option<u32> {
        self.orders.get(&order).map(|it| it.version)
    }

    /// Who entered an order.
    pub(crate) fn member(&self, order: OrderId) -> Option<MemberId> {
        self.orders.get(&order).map(|it| it.member)
    }

    pub(crate) fn balances(&self) -> BTreeMap<Account, i128> {
        self.balances.clone()
    }

    /// Listens to one event.
    pub(crate) fn hear(&mut self, event: &Event) {
        let head = self.heads.entry(event.stream).or_default();
        *head += 1;
        assert_eq!(event.stream_seq, *head, "{:?} has a gap", event.stream);
        self.check_stream(event);
        match &event.body {
            EventBody::AuctionScheduled(info) => {
                assert!(info.gate_us > event.time_us, "nobody could have entered an order");
                let tally = self.auctions.entry(info.auction).or_default();
                tally.gate_us = info.gate_us;
                assert_eq!(tally.phase.replace(Phase::Scheduled), None, "scheduled once");
            }
            EventBody::PhaseChanged { auction, phase, .. } => self.hear_phase(*auction, *phase),
            EventBody::OrderAccepted { order, version, auction, portfolio, area, body, .. } => {
                self.hear_order(event, (*order, *version), (*auction, *portfolio, *area), body);
            }
            EventBody::OrderCancelled { order, .. } => self.hear_cancelled(*order, event.time_us),
            EventBody::OrderEnded { order, auction, fills, ratio, missed } => {
                self.hear_end(*order, *auction, fills);
                self.check_decision(*order, fills, *ratio, *missed);
            }
            EventBody::ResultPublished(result) => {
                let tally = self.auctions.get_mut(&result.info.auction).unwrap();
                tally.revision += 1;
                assert_eq!(result.revision, tally.revision, "revisions are numbered without gaps");
                assert!(tally.result.replace(Arc::clone(result)).is_none(), "published once");
            }
            EventBody::SchedulePublished { info, rows, .. } => {
                self.auctions.get_mut(&info.auction).unwrap().hear_schedule(rows);
            }
            EventBody::ObligationsPosted { info, obligations } => {
                self.hear_obligations(info.auction, obligations);
            }
            EventBody::LedgerPosted { auction, entries } => self.hear_ledger(*auction, entries),
            EventBody::Settlement(event) => self.money.hear(event),
            EventBody::AuctionChanged(info) => self.hear_changed(info, event.time_us),
            EventBody::ActProposed { proposal, .. } => {
                self.proposals += 1;
                assert_eq!(*proposal, self.proposals);
            }
            EventBody::ActDone { act, proposer, approver, .. } => {
                assert_ne!(proposer, approver, "two persons");
                // Both the market and the operators hear of it.
                if event.stream == Stream::Market {
                    self.hear_act(*act);
                }
            }
            EventBody::RulesSet(_)
            | EventBody::CollateralChanged { .. }
            | EventBody::ClearanceSet { .. }
            | EventBody::MemberRegistered { .. }
            | EventBody::MemberSuspended { .. }
            | EventBody::PortfolioRegistered { .. }
            | EventBody::UserRegistered { .. }
            | EventBody::Alarm(_)
            | EventBody::EpochStarted { .. }
            | EventBody::RequestRefused { .. }
            | EventBody::CorridorRequested { .. }
            | EventBody::CapacityAccepted(_)
            | EventBody::ScheduleAcknowledged { .. } => {}
        }
    }

    fn hear_order(
        &mut self,
        event: &Event,
        (order, version): (OrderId, u32),
        (auction, portfolio, area): (AuctionId, PortfolioId, u16),
        body: &OrderBody,
    ) {
        let Stream::Member(member) = event.stream else { panic!("on a member's stream") };
        if version == 1 {
            self.entered.push(order);
        }
        let known = self.orders.entry(order).or_insert_with(|| Order {
            member,
            portfolio,
            auction,
            area,
            version: 0,
            body: Box::new(body.clone()),
            cancelled: false,
            ended: 0,
        });
        assert_eq!(version, known.version + 1);
        assert!(!known.cancelled && event.time_us < self.auctions[&auction].gate_us);
        known.version = version;
        *known.body = body.clone();
    }

    /// Other times: a gate moves only while it is open.
    fn hear_changed(&mut self, info: &merit_engine::event::AuctionInfo, time_us: i64) {
        let tally = self.auctions.get_mut(&info.auction).unwrap();
        let before = std::mem::replace(&mut tally.gate_us, info.gate_us);
        let open = time_us < before && info.gate_us > before;
        assert!(open || info.gate_us == before, "nothing reopens a closed book");
    }

    fn hear_act(&mut self, act: Act) {
        let id = act.auction();
        match act {
            Act::CancelAuction { .. } => self.cancelled += 1,
            Act::ExtendGate { .. } => self.extended += 1,
            Act::Rerun { .. } => {
                let tally = self.auctions.get_mut(&id).unwrap();
                // The orders stand again; what the void result made anybody owe is still to be taken back.
                if matches!(tally.phase, Some(Phase::Published | Phase::Halted)) {
                    self.orders.values_mut().filter(|it| it.auction == id).for_each(|it| it.ended = 0);
                }
                let fresh = Tally {
                    phase: tally.phase,
                    gate_us: tally.gate_us,
                    revision: tally.revision,
                    again: true,
                    ..Tally::default()
                };
                let old = std::mem::replace(tally, fresh);
                tally.posted = old.posted;
                if let Some(result) = old.result {
                    self.voided += 1;
                    tally.voided = Some(Voided { result, owed: old.owed });
                }
            }
        }
    }

    /// The obligations that take a void result back: every position with other signs.
    fn hear_voided(&mut self, auction: AuctionId, obligations: &[merit_engine::event::Obligation]) {
        let tally = self.auctions.get_mut(&auction).unwrap();
        let voided = tally.voided.as_mut().unwrap();
        for it in obligations {
            self.obligations += 1;
            assert_eq!(it.id, self.obligations, "obligations are numbered without gaps");
            self.money.owe(auction.day, it);
            let back = [-it.bought, -it.sold, -it.value_minor, -it.fee_minor, -it.tax_minor];
            let owed = voided.owed.remove(&(it.portfolio, it.area, it.period));
            assert_eq!(owed, Some(back), "what was owed is taken back, once");
        }
        assert!(voided.owed.is_empty(), "everything is taken back");
    }

    fn hear_cancelled(&mut self, order: OrderId, time_us: i64) {
        let known = self.orders.get_mut(&order).unwrap();
        assert!(!known.cancelled, "cancelled once");
        assert!(time_us < self.auctions[&known.auction].gate_us);
        known.cancelled = true;
    }

    /// Every kind of event has its stream; nothing of an order is on another than its member's.
    fn check_stream(&self, event: &Event) {
        let member = match &event.body {
            EventBody::AuctionScheduled(_)
            | EventBody::PhaseChanged { .. }
            | EventBody::ResultPublished(_)
            | EventBody::AuctionChanged(_)
            | EventBody::RulesSet(_) => return assert_eq!(event.stream, Stream::Market),
            EventBody::ActDone { .. } => {
                return assert!(matches!(event.stream, Stream::Market | Stream::Operator));
            }
            EventBody::MemberSuspended { member, .. } => {
                let own = event.stream == Stream::Member(*member);
                return assert!(own || event.stream == Stream::Operator);
            }
            EventBody::MemberRegistered { .. }
            | EventBody::ActProposed { .. }
            | EventBody::PortfolioRegistered { .. }
            | EventBody::UserRegistered { .. }
            | EventBody::Alarm(_)
            | EventBody::EpochStarted { .. } => return assert_eq!(event.stream, Stream::Operator),
            EventBody::CorridorRequested { .. }
            | EventBody::CapacityAccepted(_)
            | EventBody::SchedulePublished { .. }
            | EventBody::ScheduleAcknowledged { .. } => return assert_eq!(event.stream, Stream::Dispatch),
            EventBody::ObligationsPosted { .. }
            | EventBody::LedgerPosted { .. }
            | EventBody::Settlement(_) => {
                return assert_eq!(event.stream, Stream::Settlement);
            }
            EventBody::OrderAccepted { order, .. }
            | EventBody::OrderCancelled { order, .. }
            | EventBody::OrderEnded { order, .. } => self.orders.get(order).map(|it| it.member),
            EventBody::CollateralChanged { member, .. } => Some(*member),
            EventBody::ClearanceSet { .. } | EventBody::RequestRefused { .. } => None,
        };
        let Stream::Member(of) = event.stream else { panic!("{:?} is a member's own", event.body) };
        assert!(member.is_none_or(|it| it == of), "another member's stream");
    }

    fn hear_phase(&mut self, auction: AuctionId, phase: Phase) {
        let tally = self.auctions.get_mut(&auction).unwrap();
        let before = tally.phase.replace(phase).unwrap();
        if std::mem::take(&mut tally.again) {
            assert_eq!(phase, Phase::AwaitingCapacity, "{auction} is run again");
            assert!(tally.voided.is_none(), "{auction}: the void result is taken back first");
            return;
        }
        assert!(before < phase, "{auction}: {before:?} then {phase:?}");
        if !matches!(phase, Phase::Published | Phase::Halted | Phase::Cancelled) {
            return;
        }
        for (id, order) in self.orders.iter().filter(|(_, it)| it.auction == auction) {
            assert_eq!(order.ended, u32::from(!order.cancelled), "{id:?} ends exactly once");
        }
        let tally = &self.auctions[&auction];
        if phase == Phase::Cancelled {
            assert!(
                tally.result.is_none() && tally.posted.values().all(|it| *it == 0),
                "nobody owes anything"
            );
            return;
        }
        let published = phase == Phase::Published;
        assert_eq!(tally.result.is_some(), published);
        assert_eq!((tally.scheduled, tally.obligations, tally.ledger), (published, published, published));
        if published {
            self.published += 1;
            tally.check_result();
            self.check_curves(auction);
        } else {
            self.halted += 1;
        }
    }

    /// Published curves are what the step orders of an area and period add up to, point by point.
    fn check_curves(&self, auction: AuctionId) {
        let result = self.auctions[&auction].result.as_ref().unwrap();
        let areas = result.info.rules.areas.len();
        let mut steps: BTreeMap<usize, Vec<(Side, i64, i64)>> = BTreeMap::new();
        let mut lines = Vec::new();
        for order in self.orders.values().filter(|it| it.auction == auction && !it.cancelled) {
            let OrderBody::Curve { shape, periods } = order.body.as_ref() else { continue };
            for (period, points) in periods {
                let cell = usize::from(*period) * areas + usize::from(order.area);
                match shape {
                    Shape::Step(side) => {
                        let own = points.iter().map(|it| (*side, it.price, it.quantity));
                        steps.entry(cell).or_default().extend(own);
                    }
                    Shape::Linear => lines.push(cell),
                }
            }
        }
        for (cell, curve) in result.curves.iter().enumerate().filter(|(cell, _)| !lines.contains(cell)) {
            let steps = steps.get(&cell).map_or(&[][..], |it| it);
            let sum = |side: Side, counts: &dyn Fn(i64) -> bool| -> i64 {
                steps.iter().filter(|it| it.0 == side && counts(it.1)).map(|it| it.2).sum()
            };
            for (price, lots) in &curve.buy {
                assert_eq!(*lots, sum(Side::Buy, &|it| it >= *price));
            }
            for (price, lots) in &curve.sell {
                assert_eq!(*lots, sum(Side::Sell, &|it| it <= *price));
            }
            let has = |side: Side| steps.iter().any(|it| it.0 == side);
            assert_eq!((curve.buy.is_empty(), curve.sell.is_empty()), (!has(Side::Buy), !has(Side::Sell)));
        }
    }

    fn hear_end(&mut self, id: OrderId, auction: AuctionId, fills: &[merit_engine::event::PeriodFill]) {
        let order = self.orders.get_mut(&id).unwrap();
        assert_eq!(order.auction, auction);
        order.ended += 1;
        let periods: Vec<u16> = match order.body.as_ref() {
            OrderBody::Curve { periods, .. } => periods.iter().map(|it| it.0).collect(),
            OrderBody::Block { quantity, .. } => quantity.iter().map(|it| it.0).collect(),
            OrderBody::Complex { curve, .. } => curve.iter().map(|it| it.period).collect(),
        };
        assert!(fills.iter().map(|it| it.period).eq(periods), "an entry per period");
        let tally = self.auctions.get_mut(&auction).unwrap();
        for (entry, fill) in fills.iter().enumerate() {
            if fill.reason == Reason::AuctionCancelled {
                assert_eq!((fill.bought, fill.sold), (0, 0));
                continue;
            }
            check_curve(&order.body, entry, fill);
            let key = (order.portfolio, order.area, fill.period);
            let sum = tally.traded.entry(key).or_default();
            *sum = (sum.0 + fill.bought, sum.1 + fill.sold);
            self.congested += u64::from(fill.reason == Reason::Congestion);
            self.trades += u64::from(fill.bought + fill.sold > 0);
        }
    }

    /// A block tells its ratio, a rejected block or inactive complex order what it missed.
    fn check_decision(
        &self,
        id: OrderId,
        fills: &[merit_engine::event::PeriodFill],
        ratio: Option<u32>,
        missed: Option<i128>,
    ) {
        let decided = fills.iter().any(|it| it.reason != Reason::AuctionCancelled);
        let rejected = fills.iter().any(|it| matches!(it.reason, Reason::Rejected(_)));
        let is_block = match self.orders[&id].body.as_ref() {
            OrderBody::Block { quantity, .. } => {
                for ((_, lots), fill) in quantity.iter().zip(fills) {
                    let accepted = i128::from(*lots) * i128::from(ratio.unwrap_or(0)) / 1_000_000;
                    assert_eq!(i128::from(fill.bought + fill.sold), accepted, "a ratio is of every period");
                }
                true
            }
            OrderBody::Curve { .. } | OrderBody::Complex { .. } => false,
        };
        assert_eq!(ratio.is_some(), is_block && decided);
        assert_eq!(missed.is_some(), rejected, "{fills:?}");
        if fills.iter().any(|it| it.reason == Reason::Rejected(Rejection::OutOfTheMoney)) {
            assert!(missed <= Some(0));
        }
    }

    fn hear_obligations(&mut self, auction: AuctionId, obligations: &[merit_engine::event::Obligation]) {
        let tally = self.auctions.get_mut(&auction).unwrap();
        if tally.voided.is_some() {
            return self.hear_voided(auction, obligations);
        }
        tally.obligations = true;
        let result = tally.result.as_ref().unwrap();
        let rules = &result.info.rules;
        let mut owed: BTreeMap<(PortfolioId, u16, u16), (i64, i64)> = BTreeMap::new();
        for it in obligations {
            self.obligations += 1;
            assert_eq!(it.id, self.obligations, "obligations are numbered without gaps");
            let cell = usize::from(it.period) * rules.areas.len() + usize::from(it.area);
            assert_eq!(it.price, result.outcome.prices[cell]);
            let value = i128::from(it.sold - it.bought) * i128::from(it.price);
            check_rounded(it.value_minor, value * per_hour(rules, true), hour_unit(rules, true));
            let fee = rules.fees.product(it.bought, it.sold);
            check_rounded(it.fee_minor, fee * per_hour(rules, false), hour_unit(rules, false));
            let tax = i128::from(it.fee_minor) * i128::from(rules.fees.tax_millionths);
            check_rounded(it.tax_minor, tax, 1_000_000);
            tally.value_minor += it.value_minor;
            tally.fee_minor += it.fee_minor;
            tally.tax_minor += it.tax_minor;
            self.money.owe(auction.day, it);
            let key = (it.portfolio, it.area, it.period);
            assert!(owed.insert(key, (it.bought, it.sold)).is_none(), "one obligation for one position");
            tally.owed.insert(key, [it.bought, it.sold, it.value_minor, it.fee_minor, it.tax_minor]);
        }
        let mut traded = tally.traded.clone();
        traded.retain(|_, lots| *lots != (0, 0));
        assert_eq!(owed, traded, "every trade is owed once");
    }

    fn hear_ledger(&mut self, auction: Option<AuctionId>, entries: &[merit_engine::event::LedgerEntry]) {
        let Some(auction) = auction else {
            for entry in entries {
                self.entries += 1;
                assert_eq!(entry.id, self.entries);
                self.money.book(entry, &mut self.balances);
            }
            return;
        };
        let tally = self.auctions.get_mut(&auction).unwrap();
        let (mut members, mut congestion, mut fees, mut rounding, mut tax) = (0, 0, 0, 0, 0);
        for entry in entries {
            self.entries += 1;
            assert!(matches!(entry.cause, Cause::Period { auction: of, .. } if of == auction));
            assert_eq!(entry.id, self.entries);
            assert_eq!(entry.postings.iter().map(|it| it.1).sum::<i64>(), 0, "every entry balances");
            for (account, minor) in &entry.postings {
                *self.balances.entry(*account).or_default() += i128::from(*minor);
                *tally.posted.entry(*account).or_default() += minor;
                match account {
                    Account::Member(_) => members += minor,
                    Account::Congestion => congestion += minor,
                    Account::Fees => fees += minor,
                    Account::Rounding => rounding += minor,
                    Account::Tax => tax += minor,
                    Account::Deviation | Account::Margin(_) | Account::Bank => {
                        panic!("no auction posts to {account:?}")
                    }
                }
            }
        }
        let day = self.money.days.entry(auction.day).or_default();
        day.rounding += rounding;
        day.congestion += congestion;
        if let Some(voided) = tally.voided.take() {
            assert_eq!(congestion, -voided.result.congestion_minor);
            assert!(tally.posted.values().all(|it| *it == 0), "a void result leaves nothing in the ledger");
            return;
        }
        tally.ledger = true;
        let result = tally.result.as_ref().unwrap();
        assert_eq!(congestion, result.congestion_minor);
        assert_eq!(fees, tally.fee_minor);
        assert_eq!(tax, tally.tax_minor);
        assert_eq!(members, tally.value_minor - tally.fee_minor - tally.tax_minor);
        // Buyers paid − sellers received = congestion revenue + rounding, fees apart.
        assert_eq!(-tally.value_minor, congestion + rounding);
        let parts = i64::try_from(tally.traded.len()).unwrap() + i64::from(result.info.periods);
        assert!(rounding.abs() <= parts, "rounding leaves at most half a unit a posting");
    }
}

impl Tally {
    fn hear_schedule(&mut self, rows: &[ScheduleRow]) {
        self.scheduled = true;
        let mut net: BTreeMap<(PortfolioId, u16, u16), i64> = BTreeMap::new();
        for row in rows {
            for (period, lots) in (0..).zip(&row.net) {
                assert!(net.insert((row.portfolio, row.area, period), *lots).is_none());
            }
        }
        net.retain(|_, lots| *lots != 0);
        let mut own: BTreeMap<_, i64> =
            self.traded.iter().map(|(key, (bought, sold))| (*key, sold - bought)).collect();
        own.retain(|_, lots| *lots != 0);
        assert_eq!(net, own, "the schedule is what was traded");
    }

    /// Buys equal sells area by area with the flows, and the published totals are the orders' own.
    fn check_result(&self) {
        let result = self.result.as_ref().unwrap();
        let rules = &result.info.rules;
        let (areas, lines) = (rules.areas.len(), rules.lines.len());
        let mut bought = vec![0; areas * usize::from(result.info.periods)];
        let mut sold = bought.clone();
        for ((_, area, period), lots) in &self.traded {
            let cell = usize::from(*period) * areas + usize::from(*area);
            bought[cell] += lots.0;
            sold[cell] += lots.1;
        }
        assert_eq!((&result.bought, &result.sold), (&bought, &sold));
        for period in 0..usize::from(result.info.periods) {
            let mut export: Vec<i64> =
                (0..areas).map(|it| sold[period * areas + it] - bought[period * areas + it]).collect();
            for (n, line) in rules.lines.iter().enumerate() {
                let flow = result.outcome.flows[period * lines + n];
                let (forward, backward) = &result.capacities[n];
                assert!(-backward[period] <= flow && flow <= forward[period]);
                export[usize::from(line.from)] -= flow;
                export[usize::from(line.to)] += flow;
            }
            assert!(export.iter().all(|it| *it == 0), "period {period}: {export:?}");
        }
    }
}

/// Numerator of the money of a tick × lot (or of a fee × lot) in a period.
fn per_hour(rules: &MarketRules, of_price: bool) -> i128 {
    let minor = if of_price { 10_i128.pow(u32::from(rules.minor_decimals)) } else { 1 };
    i128::from(rules.period_minutes) * minor
}

/// Denominator of the same.
fn hour_unit(rules: &MarketRules, of_price: bool) -> i128 {
    let ticks = if of_price { u32::from(rules.price_decimals) } else { 0 };
    60 * 10_i128.pow(ticks + u32::from(rules.quantity_decimals))
}

/// Rounded to the nearest, halves away from zero.
fn check_rounded(minor: i64, numerator: i128, denominator: i128) {
    let twice = 2 * (i128::from(minor) * denominator - numerator).abs();
    assert!(twice <= denominator, "{minor} for {numerator}/{denominator}");
    assert!(twice < denominator || i128::from(minor).abs() * denominator > numerator.abs());
}

/// A step curve trades what its limits say at the price, and its reason says what happened.
fn check_curve(body: &OrderBody, entry: usize, fill: &merit_engine::event::PeriodFill) {
    let OrderBody::Curve { shape: Shape::Step(side), periods } = body else { return };
    let mut surely = 0;
    let mut perhaps = 0;
    for point in &periods[entry].1 {
        let (inside, at) = match side {
            Side::Buy => (point.price > fill.price, point.price == fill.price),
            Side::Sell => (point.price < fill.price, point.price == fill.price),
        };
        surely += if inside { point.quantity } else { 0 };
        perhaps += if inside || at { point.quantity } else { 0 };
    }
    let lots = match side {
        Side::Buy => (fill.bought, fill.sold),
        Side::Sell => (fill.sold, fill.bought),
    };
    assert!(surely <= lots.0 && lots.0 <= perhaps && lots.1 == 0, "{body:?} {fill:?}");
    match fill.reason {
        Reason::Filled => assert!(lots.0 == perhaps && perhaps > 0),
        Reason::MarginalShare => assert!(lots.0 < perhaps),
        Reason::OutOfTheMoney | Reason::Congestion => assert_eq!(perhaps, 0),
        Reason::Rejected(_) | Reason::Funds | Reason::AuctionCancelled => panic!("{fill:?}"),
    }
}
