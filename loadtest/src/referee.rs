//! Recounts what members were told against what the exchange shows them afterwards.
//!
//! The law, for each member: an order whose entry was acknowledged is listed exactly once, under its order id,
//! with the version and content that were acknowledged last; a cancelled one is cancelled; nothing of this run
//! is listed that was refused or never sent; every acknowledgement is one event of the member's stream, at the
//! number that the answer named. After publication every order that was not cancelled has exactly one result,
//! and each of its rows is what its own limits allow at the published price. A command without an answer may
//! have been carried out or not, but not half and not twice.

use crate::ledger::{Ids, Outcome, Sent, What};
use crate::shape::{Place, Shape};
use merit_client::v1;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use v1::stream_events_response::Event;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) member: String,
    /// Client order id, or what else it is about.
    pub(crate) about: String,
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.member, self.about, self.what)
    }
}

/// What a member sent and was told.
pub(crate) struct Told<'a> {
    pub(crate) member: &'a str,
    pub(crate) places: &'a [Place],
    pub(crate) sent: &'a [Sent],
}

/// What the exchange shows the member afterwards.
#[derive(Default)]
pub(crate) struct Shown {
    /// ListOrders.
    pub(crate) orders: Vec<v1::Order>,
    /// GetOrder of some commands, by number; nothing where the exchange does not know the id.
    pub(crate) looked_up: Vec<(u64, Option<v1::GetOrderResponse>)>,
    /// StreamEvents since before the run.
    pub(crate) events: Vec<v1::StreamEventsResponse>,
}

/// The public result.
#[derive(Default)]
pub(crate) struct Public {
    /// By area and period: price, bought, sold.
    pub(crate) rows: BTreeMap<(String, u32), (i64, i64, i64)>,
}

impl Public {
    pub(crate) fn of(result: &v1::Result) -> Self {
        let row = |it: &v1::AreaRow| {
            let period = it.row.as_ref().map_or(0, |row| row.period);
            ((it.area.clone(), period), (it.price_micros_per_mwh, it.bought_watts, it.sold_watts))
        };
        Self { rows: result.areas.iter().map(row).collect() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancelled {
    No,
    Yes,
    Perhaps,
}

/// What must be shown of an order.
#[derive(Debug)]
struct Due {
    /// Absent where the entry itself had no answer.
    order_id: Option<u64>,
    version: u32,
    /// The command whose content stands.
    content: u64,
    /// An amendment without an answer.
    perhaps: Option<u64>,
    cancelled: Cancelled,
}

/// The referee of one run.
pub(crate) struct Referee<'a> {
    pub(crate) ids: &'a Ids,
    pub(crate) shape: &'a Shape,
    pub(crate) findings: Vec<Finding>,
    known: BTreeSet<Finding>,
    /// How much was compared.
    pub(crate) counted: Counted,
    /// Bought and sold by the orders judged so far, by area and period.
    traded: BTreeMap<(String, u32), (i64, i64)>,
}

/// How much a referee compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) acknowledgements: usize,
    pub(crate) orders: usize,
    pub(crate) look_ups: usize,
    pub(crate) events: usize,
    pub(crate) results: usize,
}

impl<'a> Referee<'a> {
    pub(crate) fn new(ids: &'a Ids, shape: &'a Shape) -> Self {
        let (findings, known, counted) = (Vec::new(), BTreeSet::new(), Counted::default());
        Self { ids, shape, findings, known, counted, traded: BTreeMap::new() }
    }

    /// Counts anew and forgets no finding: for the next look at the same run.
    pub(crate) fn again(&mut self) {
        (self.counted, self.traded) = (Counted::default(), BTreeMap::new());
    }

    /// How the auction ended, if not with a result.
    pub(crate) fn no_result(&mut self, phase: v1::AuctionPhase) {
        let auction = &self.shape.auction.auction_id;
        self.find("everyone", auction, format!("the auction ended as {}", phase.as_str_name()));
    }

    /// Judges one member; with the public result once there is one.
    pub(crate) fn judge(&mut self, told: &Told<'_>, shown: &Shown, public: Option<&Public>) {
        let due = self.due(told);
        self.orders(told, &due, shown, public.is_some());
        self.look_ups(told, shown);
        self.events(told, &due, shown);
        if let Some(public) = public {
            self.results(told, shown, public);
        }
    }

    /// Compares what all members together traded with the public result; `alone` if nobody else took part.
    pub(crate) fn judge_sums(&mut self, public: &Public, alone: bool) {
        let traded = std::mem::take(&mut self.traded);
        for (at, (_, bought, sold)) in &public.rows {
            let (ours_bought, ours_sold) = traded.get(at).copied().unwrap_or_default();
            let about = format!("{} period {}", at.0, at.1);
            if ours_bought > *bought || ours_sold > *sold {
                let what = "the members' results are more than the published volumes";
                self.find("everyone", &about, what.to_string());
            }
            if alone && (ours_bought, ours_sold) != (*bought, *sold) {
                let what = format!(
                    "published {bought} W bought and {sold} W sold, the members' results are {ours_bought} and {ours_sold}"
                );
                self.find("everyone", &about, what);
            }
        }
    }

    fn find(&mut self, member: &str, about: &str, what: String) {
        let finding = Finding { member: member.to_string(), about: about.to_string(), what };
        // What was found before publication is not found once more after it.
        if self.known.insert(finding.clone()) {
            self.findings.push(finding);
        }
    }

    /// What follows from the answers alone.
    fn due(&mut self, told: &Told<'_>) -> BTreeMap<u64, Due> {
        let mut due = BTreeMap::new();
        for sent in told.sent.iter().filter(|it| it.what == What::Submit) {
            let order_id = match &sent.outcome {
                Outcome::Accepted { order_id, version, .. } => {
                    if *version != 1 {
                        let what = format!("a new order was acknowledged as version {version}");
                        self.find(told.member, &self.ids.id(sent.number), what);
                    }
                    Some(*order_id)
                }
                Outcome::Unknown => None,
                Outcome::Refused { .. } | Outcome::Failed(_) | Outcome::Strange(_) => continue,
            };
            let (version, content, perhaps, cancelled) = (1, sent.number, None, Cancelled::No);
            due.insert(sent.number, Due { order_id, version, content, perhaps, cancelled });
        }
        for sent in told.sent {
            self.counted.acknowledgements += usize::from(matches!(sent.outcome, Outcome::Accepted { .. }));
            if let Outcome::Strange(what) = &sent.outcome {
                self.find(told.member, &self.ids.id(sent.number), what.clone());
            }
            let (What::Amend { origin } | What::Cancel { origin }) = sent.what else { continue };
            let Some(order) = due.get_mut(&origin) else { continue };
            let amends = matches!(sent.what, What::Amend { .. });
            match &sent.outcome {
                Outcome::Accepted { order_id, .. } if order.order_id != Some(*order_id) => {
                    let what = format!("the answer names order {order_id}, not the one asked for");
                    self.find(told.member, &self.ids.id(sent.number), what);
                }
                Outcome::Accepted { version, .. } if amends => {
                    if *version > order.version {
                        (order.version, order.content) = (*version, sent.number);
                    }
                }
                Outcome::Accepted { .. } => order.cancelled = Cancelled::Yes,
                Outcome::Unknown if amends => order.perhaps = Some(sent.number),
                Outcome::Unknown => order.cancelled = Cancelled::Perhaps,
                Outcome::Refused { .. } | Outcome::Failed(_) | Outcome::Strange(_) => {}
            }
        }
        due
    }

    fn orders(&mut self, told: &Told<'_>, due: &BTreeMap<u64, Due>, shown: &Shown, published: bool) {
        let (mut seen, mut order_ids) = (BTreeSet::new(), BTreeSet::new());
        for order in &shown.orders {
            let about = &order.client_order_id;
            if !order_ids.insert(order.order_id) {
                self.find(told.member, about, format!("order {} is listed twice", order.order_id));
            }
            let Some(number) = self.ids.number(about) else { continue };
            self.counted.orders += 1;
            if !seen.insert(number) {
                self.find(told.member, about, "is listed twice".to_string());
            }
            match due.get(&number) {
                None => self.find(told.member, about, "is listed, but was never acknowledged".to_string()),
                Some(due) => {
                    for what in self.differences(told, number, due, order, published) {
                        self.find(told.member, about, what);
                    }
                }
            }
        }
        for (number, due) in due {
            if due.order_id.is_some() && !seen.contains(number) {
                let what = "was acknowledged and is not listed".to_string();
                self.find(told.member, &self.ids.id(*number), what);
            }
        }
    }

    fn differences(
        &self,
        told: &Told<'_>,
        number: u64,
        due: &Due,
        order: &v1::Order,
        published: bool,
    ) -> Vec<String> {
        let mut found = Vec::new();
        if due.order_id.is_some_and(|it| it != order.order_id) {
            found.push(format!("is order {}, acknowledged as {:?}", order.order_id, due.order_id));
        }
        let place = self.shape.place(number, told.places);
        let at = (&order.auction_id, &order.portfolio, &order.area);
        if at != (&self.shape.auction.auction_id, &place.portfolio, &place.area) {
            found.push(format!("stands in {at:?}"));
        }
        let Some(current) = &order.current else {
            found.push("has no version".to_string());
            return found;
        };
        let content = match due.perhaps {
            Some(perhaps) if current.version == due.version + 1 => Some(perhaps),
            Some(_) | None => (current.version == due.version).then_some(due.content),
        };
        match content {
            None => found.push(format!("has version {}, acknowledged was {}", current.version, due.version)),
            Some(content) => {
                let wanted = v1::order_version::Body::Step(self.shape.curve(number, content));
                if current.body.as_ref() != Some(&wanted) || current.client_order_id != self.ids.id(content) {
                    found.push(format!("version {} has other content than was sent", current.version));
                }
            }
        }
        let state = order.state();
        let ended = matches!(state, v1::OrderState::Executed | v1::OrderState::NotExecuted);
        let right = match due.cancelled {
            Cancelled::Yes => state == v1::OrderState::Cancelled,
            Cancelled::No if published => ended,
            Cancelled::No => ended || matches!(state, v1::OrderState::Live | v1::OrderState::Sealed),
            Cancelled::Perhaps => true,
        };
        if !right {
            found.push(format!("is {}", state.as_str_name()));
        }
        found
    }

    fn look_ups(&mut self, told: &Told<'_>, shown: &Shown) {
        let sent: BTreeMap<u64, &Sent> = told.sent.iter().map(|it| (it.number, it)).collect();
        for (number, found) in &shown.looked_up {
            self.counted.look_ups += 1;
            let Some(sent) = sent.get(number) else { continue };
            let id = self.ids.id(*number);
            let answer = found.as_ref().and_then(|it| it.answer.clone());
            let again = answer.map(|it| Outcome::of(&id, Ok(it)));
            let same = match (&sent.outcome, &again) {
                (
                    Outcome::Accepted { order_id, version, .. },
                    Some(Outcome::Accepted { order_id: id_again, version: version_again, .. }),
                ) => (order_id, version) == (id_again, version_again),
                (Outcome::Refused { reason, .. }, Some(Outcome::Refused { reason: again, .. })) => {
                    reason == again
                }
                // What could not be judged need not be known.
                (Outcome::Refused { seq: None, .. } | Outcome::Failed(_), None) => true,
                (Outcome::Unknown | Outcome::Strange(_), _) => true,
                (Outcome::Accepted { .. } | Outcome::Refused { .. } | Outcome::Failed(_), _) => false,
            };
            if !same {
                let what = format!("was answered {:?}; looked up later: {again:?}", sent.outcome);
                self.find(told.member, &id, what);
            }
        }
    }

    fn events(&mut self, told: &Told<'_>, due: &BTreeMap<u64, Due>, shown: &Shown) {
        let mut by_seq = BTreeMap::new();
        let mut once = BTreeSet::new();
        for message in &shown.events {
            let seq = message.position.as_ref().and_then(|it| it.seq).unwrap_or(0);
            by_seq.insert(seq, message);
            let Some(Event::Order(order)) = &message.event else { continue };
            let Some(number) = self.ids.number(&order.client_order_id) else { continue };
            self.counted.events += 1;
            let version = order.current.as_ref().map_or(0, |it| it.version);
            if !once.insert((order.order_id, version, order.state)) {
                let what = format!("event {seq} says again what one before it said");
                self.find(told.member, &order.client_order_id, what);
            }
            if !due.contains_key(&number) {
                let what = format!("event {seq} tells of it, but it was never acknowledged");
                self.find(told.member, &order.client_order_id, what);
            }
        }
        for sent in told.sent {
            let id = self.ids.id(sent.number);
            let (seq, right) = match &sent.outcome {
                Outcome::Accepted { seq: Some(seq), order_id, version } => {
                    let event = by_seq.get(seq).and_then(|it| it.event.as_ref());
                    let cancels = matches!(sent.what, What::Cancel { .. });
                    let right = matches!(event, Some(Event::Order(order)) if order.order_id == *order_id
                        && (cancels || order.current.as_ref().is_some_and(|it| it.version == *version))
                        && (order.state() == v1::OrderState::Cancelled) == cancels);
                    (seq, right)
                }
                Outcome::Refused { seq: Some(seq), .. } => {
                    let event = by_seq.get(seq).and_then(|it| it.event.as_ref());
                    (seq, matches!(event, Some(Event::Refused(it)) if it.client_order_id == id))
                }
                Outcome::Accepted { seq: None, .. }
                | Outcome::Refused { seq: None, .. }
                | Outcome::Unknown
                | Outcome::Failed(_)
                | Outcome::Strange(_) => continue,
            };
            if !right {
                let what = format!("was answered as event {seq}, and that event is not of it");
                self.find(told.member, &id, what);
            }
        }
    }

    fn results(&mut self, told: &Told<'_>, shown: &Shown, public: &Public) {
        let mut results: BTreeMap<u64, &v1::OrderResult> = BTreeMap::new();
        for message in &shown.events {
            let Some(Event::Result(result)) = &message.event else { continue };
            if self.ids.number(&result.client_order_id).is_none() {
                continue;
            }
            self.counted.results += 1;
            if results.insert(result.order_id, result).is_some() {
                self.find(told.member, &result.client_order_id, "has two results".to_string());
            }
        }
        for order in shown.orders.iter().filter(|it| self.ids.number(&it.client_order_id).is_some()) {
            let result = results.remove(&order.order_id);
            let wrong = match (result, order.state() == v1::OrderState::Cancelled) {
                (None, true) => None,
                (None, false) => Some("has no result after publication".to_string()),
                (Some(_), true) => Some("was cancelled and has a result".to_string()),
                (Some(result), false) if order.result.as_ref() != Some(result) => {
                    Some("the list shows another result than the event".to_string())
                }
                (Some(result), false) => self.rows(order, result, public),
            };
            if let Some(what) = wrong {
                self.find(told.member, &order.client_order_id, what);
            }
        }
        for result in results.into_values() {
            self.find(told.member, &result.client_order_id, "has a result and is not listed".to_string());
        }
    }

    /// Holds a step order's result against its own limits at the published prices.
    fn rows(&mut self, order: &v1::Order, result: &v1::OrderResult, public: &Public) -> Option<String> {
        let Some(v1::order_version::Body::Step(curve)) = order.current.as_ref()?.body.as_ref() else {
            return Some("is no step curve".to_string());
        };
        if result.rows.len() != curve.periods.len() {
            return Some(format!("has {} rows for {} periods", result.rows.len(), curve.periods.len()));
        }
        for (row, wanted) in result.rows.iter().zip(&curve.periods) {
            let at = (order.area.clone(), wanted.period);
            let Some((price, ..)) = public.rows.get(&at).copied() else {
                return Some(format!("traded in {at:?}, which has no published price"));
            };
            let period = row.row.as_ref().map_or(0, |it| it.period);
            if (period, row.price_micros_per_mwh) != (wanted.period, price) {
                return Some(format!("period {}: not at the published price {price}", wanted.period));
            }
            let buys = curve.side() == v1::Side::Buy;
            let (traded, other) =
                if buys { (row.bought_watts, row.sold_watts) } else { (row.sold_watts, row.bought_watts) };
            // Positive: the point gains at the price.
            let gain = |it: &&v1::Point| {
                let limit = it.price_micros_per_mwh;
                if buys { limit - price } else { price - limit }
            };
            let sum = |least: i64| -> i64 {
                wanted.points.iter().filter(|it| gain(it) >= least).map(|it| it.quantity_watts).sum()
            };
            if other != 0 || traded < sum(1) || traded > sum(0) {
                return Some(format!(
                    "period {period}: traded {traded} W at {price}, its limits say {} to {}",
                    sum(1),
                    sum(0)
                ));
            }
            let sums = self.traded.entry(at).or_default();
            sums.0 += row.bought_watts;
            sums.1 += row.sold_watts;
        }
        None
    }
}

#[cfg(test)]
mod tests;
