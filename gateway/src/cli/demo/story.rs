//! The day itself, from the first order to the last obligation, as the people in it would tell it.
//!
//! The clock of the exchange moves only when everybody has done its part of an instant: a fast machine
//! is through sooner, a slow one loses nothing, and no deadline is decided by anything but the time in
//! the journal.

use super::crew::{Crew, Sent, accepted};
use super::crowd::Crowd;
use super::day::blocks;
use super::dispatch::Grid;
use super::exchange::{Exchange, ZONE};
use super::news::Ear;
use super::orders::{Session, command, order};
use super::render::{Screen, Tone, decimal, grouped, hours, means, sparkline};
use super::report::{DoorFigures, note};
use anyhow::Context as _;
use merit_client::v1;
use merit_client::v1::dispatch_service_client::DispatchServiceClient;
use merit_client::v1::order_command::Command;
use std::collections::BTreeMap;
use std::time::Instant;

/// Real-time sessions of a day.
pub(super) const SESSIONS: u16 = 48;
/// The price at the top of a sparkline, micros per MWh.
const TOP: i64 = 10_000_000_000;

/// What the day leaves behind beside the news.
#[derive(Debug)]
pub(super) struct Lived {
    /// Day-ahead and real-time.
    pub(super) door: [DoorFigures; 2],
    /// Orders acknowledged, by auction.
    pub(super) orders: Vec<BTreeMap<String, u64>>,
}

/// Everything that a day needs.
pub(super) struct Stage<'a> {
    /// The members and their bids.
    pub(super) crowd: &'a Crowd,
    /// The connections.
    pub(super) crew: &'a Crew,
    /// The exchange; only its clock is used here, the rest goes through its door.
    pub(super) exchange: &'a Exchange,
    /// Local delivery day, ISO 8601.
    pub(super) day: &'a str,
}

impl Stage<'_> {
    /// How many registrations there will be.
    pub(super) fn registrations(&self) -> u64 {
        let crowd = self.crowd;
        u64::try_from(crowd.members.len() * 3 + crowd.portfolios.len() + 2).unwrap_or(u64::MAX)
    }

    /// Lives the day.
    pub(super) async fn live(&self, ear: &mut Ear, screen: &mut Screen) -> anyhow::Result<Lived> {
        let mut lived = Lived { door: [DoorFigures::new(), DoorFigures::new()], orders: Vec::new() };
        let dam = format!("DAM-{}", self.day);
        ear.until("the rules", |it| it.rules.len() == 2 && it.auctions.contains_key(&dam)).await?;
        self.day_ahead(&dam, ear, screen, &mut lived).await?;
        screen.line("");
        for session in 1..=SESSIONS {
            self.real_time(session, ear, screen, &mut lived).await?;
        }
        screen.end();
        let (line, split) = self.strip(ear, "RTM", screen);
        screen.line(format!("{line}\n{split}").trim_end());
        Ok(lived)
    }

    async fn day_ahead(
        &self,
        dam: &str,
        ear: &mut Ear,
        screen: &mut Screen,
        lived: &mut Lived,
    ) -> anyhow::Result<()> {
        let (opens, gate) = ear.times(dam)?;
        self.exchange.move_to(opens);
        ear.until("the day-ahead market to open", |it| it.phase(dam) == v1::AuctionPhase::Open).await?;
        let bids = &self.crowd.day_ahead;
        let session = Session { auction: dam, bids, first: 0, blocks: 96, turn: 0 };
        self.rehearse(session, screen).await?;
        screen.begin("orders", u64::try_from(self.crew.members.len())?);
        let sent = self.crew.send(self.crowd, session, |members, commands| {
            screen.step(members, &format!("{commands} commands"));
        });
        let sent = sent.await?;
        screen.end();
        anyhow::ensure!(sent.refused.is_empty(), "orders were refused: {:?}", sent.refused.first());
        self.say(screen, &sent.told(dam));
        self.repeat(session, &sent).await?;

        self.exchange.move_to(gate);
        let begun = Instant::now();
        let what = "the corridor request";
        ear.until(what, |it| it.corridors.contains_key(dam)).await?;
        self.say(screen, "gate closed; unconstrained run done, corridors requested");
        self.late(session, screen).await?;
        self.answer_corridors(ear, screen).await?;
        ear.until("the day-ahead result", |it| it.day.is_complete(dam)).await?;
        note(&mut lived.door[0].clearing_us, begun.elapsed());
        self.acknowledge(ear).await?;
        let figures = ear.day.figures(dam);
        self.say(
            screen,
            &format!(
                "published: {} MWh at {} Rs/MWh, {} at cap, {} split",
                decimal(figures.energy_wh, 0),
                decimal(figures.mean().unwrap_or(0), 0),
                blocks_of(figures.at_cap),
                figures.split,
            ),
        );
        screen.line("");
        let (line, split) = self.strip(ear, "DAM", screen);
        screen.line(&format!("            {}", screen.tone(Tone::Faint, &hours())));
        screen.line(format!("{line}\n{split}").trim_end());
        lived.take(0, sent);
        Ok(())
    }

    async fn real_time(
        &self,
        number: u16,
        ear: &mut Ear,
        screen: &mut Screen,
        lived: &mut Lived,
    ) -> anyhow::Result<()> {
        let rtm = format!("RTM-{}-{number:02}", self.day);
        let (opens, gate) = ear.times(&rtm)?;
        self.exchange.move_to(opens);
        ear.until(&rtm, |it| it.phase(&rtm) == v1::AuctionPhase::Open).await?;
        let first = usize::from(number - 1) * 2;
        let session = Session {
            auction: &rtm,
            bids: &self.crowd.real_time,
            first,
            blocks: 2,
            turn: usize::from(number) * 5,
        };
        // Its margins come before the gate: a session has one run, on the capacities that are there.
        let margins = Grid::new(ear.rules_of(v1::Market::Rtm)?).session(u32::from(number) * 2 - 1, 2);
        self.submit_capacity(&rtm, margins.capacities).await?;
        let sent = self.crew.send(self.crowd, session, |_, _| {}).await?;
        anyhow::ensure!(sent.refused.is_empty(), "orders were refused: {:?}", sent.refused.first());

        self.exchange.move_to(gate);
        let begun = Instant::now();
        ear.until(&rtm, |it| it.day.is_complete(&rtm)).await?;
        note(&mut lived.door[1].clearing_us, begun.elapsed());
        self.acknowledge(ear).await?;
        self.answer_corridors(ear, screen).await?;
        lived.take(1, sent);
        let rate = grouped(i64::try_from(lived.door[1].rate())?);
        if screen.has_bars() {
            let (line, _) = self.strip(ear, "RTM", screen);
            screen.live(&format!("{line}\n{number:>16}/{SESSIONS} sessions, {rate} order commands a second"));
        } else if number.is_multiple_of(8) {
            self.say(screen, &format!("RTM {number}/{SESSIONS} sessions, {rate} order commands a second"));
        }
        Ok(())
    }

    /// A line of the story at the exchange's time.
    pub(super) fn say(&self, screen: &Screen, text: &str) {
        screen.phase(&local(self.exchange.now_us()), text);
    }

    /// The first member asks how an order of its own would fare before it sends any: as it is, and with
    /// a price between two ticks.
    async fn rehearse(&self, session: Session<'_>, screen: &Screen) -> anyhow::Result<()> {
        let good = order(self.crowd, 0, session, session.blocks).context("the first portfolio bids")?;
        let mut bad = good.clone();
        let periods = match &mut bad.body {
            Some(v1::new_order::Body::Linear(it)) => &mut it.periods,
            Some(v1::new_order::Body::Step(it)) => &mut it.periods,
            Some(v1::new_order::Body::Block(_) | v1::new_order::Body::Complex(_)) | None => {
                anyhow::bail!("the crowd bids curves")
            }
        };
        let point = periods.first_mut().and_then(|it| it.points.get_mut(1)).context("a second point")?;
        point.price_micros_per_mwh += 1;
        let commands = vec![command("try-1", Command::Submit(good)), command("try-2", Command::Submit(bad))];
        let results = self.crew.members[0].dry_run(commands).await?;
        let refusals = |index: usize| results.get(index).map(|it| it.refusals.as_slice());
        let (Some([]), Some([refusal, ..])) = (refusals(0), refusals(1)) else {
            let said = results.iter().flat_map(|it| &it.refusals).next();
            anyhow::bail!("of a good and a bad order a dry run says {said:?}");
        };
        let reason = refusal.reason().as_str_name().trim_start_matches("REJECT_REASON_");
        self.say(screen, &format!("a dry run: one order would pass, the other not: {reason}"));
        Ok(())
    }

    /// The first member is not sure that an order arrived and sends it again: it stands once.
    async fn repeat(&self, session: Session<'_>, sent: &Sent) -> anyhow::Result<()> {
        let work = super::orders::batches(self.crowd, 0, session);
        let again = work.into_iter().next().context("the first member has orders")?;
        for answer in self.crew.members[0].batch(again).await? {
            anyhow::ensure!(answer.replayed, "{} was carried out twice", answer.client_order_id);
            if let Some(v1::order_answer::Outcome::Accepted(it)) = answer.outcome
                && let Some(order) = sent.orders.get(&answer.client_order_id)
            {
                anyhow::ensure!(it.order_id == Some(*order), "a repeat made another order");
            }
        }
        Ok(())
    }

    /// An order after the gate is refused.
    async fn late(&self, session: Session<'_>, screen: &Screen) -> anyhow::Result<()> {
        let late = order(self.crowd, 0, session, session.blocks).context("the first portfolio bids")?;
        let answer = self.crew.members[0].submit("too-late", late).await?;
        let Some(v1::order_answer::Outcome::Refused(refusal)) = answer.outcome else {
            anyhow::bail!("an order after the gate was taken");
        };
        anyhow::ensure!(
            refusal.reason() == v1::RejectReason::GateClosed,
            "refused for {:?}",
            refusal.reason()
        );
        self.say(screen, &format!("an order that comes too late is refused: {}", refusal.text));
        Ok(())
    }

    /// The dispatch centre answers what it is asked: a corridor request follows every gate of the
    /// day-ahead market, also tomorrow's, and the clock does not move on before.
    async fn answer_corridors(&self, ear: &mut Ear, screen: &Screen) -> anyhow::Result<()> {
        for auction in ear.gates_closed(v1::Market::Dam, self.exchange.now_us()) {
            ear.until("a corridor request", |it| it.corridors.contains_key(&auction)).await?;
            let request = ear.corridors.get(&auction).context("it was just heard")?;
            let margins = Grid::new(ear.rules_of(v1::Market::Dam)?).answer(request);
            if auction.ends_with(self.day) {
                let (lines, periods) = (margins.lines, margins.periods);
                let what = format!("{lines} lines into the South tight in {periods} blocks");
                self.say(screen, &format!("dispatch centre answers: {what}"));
            }
            self.submit_capacity(&auction, margins.capacities).await?;
            ear.until(&auction, |it| it.phase(&auction) == v1::AuctionPhase::Published).await?;
        }
        Ok(())
    }

    async fn submit_capacity(&self, auction: &str, capacities: Vec<v1::LineCapacity>) -> anyhow::Result<()> {
        let request = v1::SubmitTransferCapacityRequest {
            request_id: format!("capacity-{auction}-1"),
            auction_id: auction.to_owned(),
            revision: 1,
            capacities,
        };
        let dispatch = &self.crew.dispatch;
        let send = |line| {
            let (mut door, request) = (DispatchServiceClient::new(line), request.clone());
            async move { door.submit_transfer_capacity(request).await }
        };
        accepted(dispatch.call(send).await?.answer)
    }

    /// The dispatch centre says that it has the schedules.
    async fn acknowledge(&self, ear: &mut Ear) -> anyhow::Result<()> {
        for (auction_id, revision) in std::mem::take(&mut ear.schedules) {
            let request_id = format!("schedule-{auction_id}-{revision}");
            let request = v1::AcknowledgeScheduleRequest { request_id, auction_id, revision };
            let dispatch = &self.crew.dispatch;
            let send = |line| {
                let (mut door, request) = (DispatchServiceClient::new(line), request.clone());
                async move { door.acknowledge_schedule(request).await }
            };
            accepted(dispatch.call(send).await?.answer)?;
        }
        Ok(())
    }

    /// Prices of a market's day so far, a column for each half hour, and a line that marks the half
    /// hours with area prices apart (empty if there are none).
    fn strip(&self, ear: &Ear, market: &str, screen: &Screen) -> (String, String) {
        let prefix = format!("{market}-{}", self.day);
        let mut prices = [None; 96];
        let mut split = [false; 96];
        let results = ear.day.auctions.iter().filter(|it| it.0.starts_with(&prefix));
        for block in results.filter_map(|(_, it)| it.result.as_ref()).flat_map(blocks) {
            let at = usize::try_from(block.number).ok().and_then(|it| it.checked_sub(1));
            let Some(at) = at.filter(|it| *it < prices.len()) else { continue };
            prices[at] = Some(block.price());
            split[at] = block.areas.windows(2).any(|it| it[0].price != it[1].price);
        }
        let known: Vec<i64> = prices.iter().flatten().copied().collect();
        let (low, high) =
            (known.iter().min().copied().unwrap_or(0), known.iter().max().copied().unwrap_or(0));
        let line = sparkline(means(&prices, 2), 0, TOP);
        let marks: String = split.chunks(2).map(|it| if it.contains(&true) { '^' } else { ' ' }).collect();
        let line = format!(
            "{market} Rs/MWh  {}  {} to {}",
            screen.tone(Tone::Price, &line),
            decimal(i128::from(low), 0),
            decimal(i128::from(high), 0)
        );
        let split = if split.contains(&true) { format!("{:12}{}", "split", marks.trim_end()) } else { String::new() };
        (line, split)
    }
}

impl Lived {
    fn take(&mut self, market: usize, sent: Sent) {
        let door = &mut self.door[market];
        door.commands += sent.commands;
        door.curves += sent.curves;
        door.sending += sent.took;
        for time in &sent.answered {
            note(&mut door.answer_us, *time);
        }
        self.orders.push(sent.orders);
    }
}

impl Sent {
    fn told(&self, auction: &str) -> String {
        let count = |it: u64| grouped(i64::try_from(it).unwrap_or(i64::MAX));
        let entered = count(u64::try_from(self.orders.len()).unwrap_or(u64::MAX));
        let (amended, cancelled) = (count(self.amended), count(self.cancelled));
        format!("{auction} open: {entered} orders entered, {amended} amended, {cancelled} taken back")
    }
}

fn blocks_of(count: u64) -> String {
    if count == 1 { "1 block".to_owned() } else { format!("{count} blocks") }
}

/// `22 Nov 10:00`, local.
fn local(time_us: i64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let day = ZONE.day_of(time_us);
    let minutes = (time_us - ZONE.day_start_us(day)) / merit_engine::calendar::MINUTE_US;
    let (_, month, number) = day.civil();
    let month = MONTHS[usize::from(month) - 1];
    format!("{number:02} {month} {:02}:{:02}", minutes / 60, minutes % 60)
}
