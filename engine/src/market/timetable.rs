//! Which auctions there are and when each of their steps is due.
//!
//! The auctions of a delivery day are loaded when the local day before the one begins on which the
//! first of them opens: so whatever opens tomorrow, and whatever is delivered tomorrow, stands in the
//! timetable today. The price is that new rules begin three days ahead, not two. An auction
//! whose gate lies in the past when it would be loaded is left out, for nobody could have entered an
//! order. That also bounds what one command can load after a long silence: at most the sessions of
//! the days between yesterday and [`limits::OPEN_MINUTES_MAX`] ahead plus two, see
//! [`LOADED_PER_JUMP_MAX`].

use crate::calendar::{Day, MINUTE_US};
use crate::digest::{Feed, Words};
use crate::event::AuctionInfo;
use crate::ids::{AuctionId, Market};
use crate::limits;
use crate::rules::MarketRules;
use crate::snapshot::{Damaged, Keep, Reader, Writer, keep_enum, state_struct};
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Auctions that one command loads at most, however far it moves time: two markets, six local days
/// (yesterday, today, two days of early opening and two ahead), 500 sessions of 3 minutes in the
/// longest local day.
pub const LOADED_PER_JUMP_MAX: usize = 2 * 6 * 500;

/// Something that is due at an instant. The order of the fields is the order in which things happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timer {
    pub(super) due_us: i64,
    pub(super) market: Market,
    pub(super) day: Day,
    /// 0 for the loading of a day.
    pub(super) session: u16,
    pub(super) step: Step,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Load,
    Open,
    Gate,
    Capacities,
    Publish,
    Acknowledge,
    Deliver,
}

impl Timer {
    pub(super) const fn auction(self) -> AuctionId {
        AuctionId { day: self.day, market: self.market, session: self.session }
    }
}

/// How far a market's timetable reaches.
#[derive(Clone, Copy, Debug)]
struct Reach {
    market: Market,
    /// The next delivery day to load.
    next: Day,
    /// Whether any day before it was.
    loaded: bool,
}

/// The rules of both markets by day, and how far the timetable reaches.
#[derive(Debug, Default)]
pub(super) struct Timetable {
    /// By market and first day.
    rules: Vec<Arc<MarketRules>>,
    /// By market, for markets with rules.
    reach: Vec<Reach>,
    timers: BTreeSet<Timer>,
    /// Nothing is due before: asked with every command, so it is at hand. Not kept; it follows from the timers.
    quiet_until_us: i64,
}

impl Feed for Timetable {
    fn feed<W: Words>(&self, hasher: &mut W) {
        let Self { rules, reach, timers, quiet_until_us: _ } = self;
        rules.feed(hasher);
        reach.feed(hasher);
        timers.feed(hasher);
    }
}

impl Keep for Timetable {
    fn put(&self, out: &mut Writer<'_>) {
        let Self { rules, reach, timers, quiet_until_us: _ } = self;
        rules.put(out);
        reach.put(out);
        timers.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let (rules, reach, timers) = (Keep::take(from)?, Keep::take(from)?, Keep::take(from)?);
        Ok(Self { rules, reach, timers, quiet_until_us: i64::MIN })
    }
}

state_struct! {
    Reach { market, next, loaded }
    Timer { due_us, market, day, session, step }
}

keep_enum! { Step {
    0 = Load, 1 = Open, 2 = Gate, 3 = Capacities, 4 = Publish, 5 = Acknowledge, 6 = Deliver,
} }

impl Feed for Step {
    fn feed<W: Words>(&self, hasher: &mut W) {
        hasher.word(match self {
            Self::Load => 0,
            Self::Open => 1,
            Self::Gate => 2,
            Self::Capacities => 3,
            Self::Publish => 4,
            Self::Acknowledge => 5,
            Self::Deliver => 6,
        });
    }
}

impl Timetable {
    /// Every set of rules, by market and first day.
    pub(super) fn rules(&self) -> &[Arc<MarketRules>] {
        &self.rules
    }

    /// The rules that hold for a delivery day.
    pub(super) fn rules_on(&self, market: Market, day: Day) -> Option<&Arc<MarketRules>> {
        self.rules.iter().rev().find(|it| it.market == market && it.effective_from <= day)
    }

    /// First instant at which something is due.
    pub(super) fn next_due_us(&self) -> Option<i64> {
        self.timers.first().map(|it| it.due_us)
    }

    /// Whether something can be due at `time_us` or before.
    pub(super) const fn may_be_due(&self, time_us: i64) -> bool {
        time_us >= self.quiet_until_us
    }

    /// Takes the first thing that is due at `time_us` or before.
    pub(super) fn take_due(&mut self, time_us: i64) -> Option<Timer> {
        if !self.may_be_due(time_us) {
            return None;
        }
        let first = self.timers.first().copied();
        self.quiet_until_us = first.map_or(i64::MAX, |it| it.due_us);
        let timer = first.filter(|it| it.due_us <= time_us)?;
        self.timers.remove(&timer);
        Some(timer)
    }

    fn set_timer(&mut self, timer: Timer) {
        self.quiet_until_us = self.quiet_until_us.min(timer.due_us);
        self.timers.insert(timer);
    }

    /// Sets the timers of a new auction.
    pub(super) fn set_timers(&mut self, info: &AuctionInfo) {
        for timer in timers_of(info) {
            self.set_timer(timer);
        }
    }

    /// Takes back every timer of an auction that will never do anything again.
    pub(super) fn drop_timers(&mut self, info: &AuctionInfo) {
        for timer in timers_of(info) {
            self.timers.remove(&timer);
        }
    }

    /// Replaces the timers of an auction whose times changed; what is past is not done again.
    pub(super) fn move_timers(&mut self, old: &AuctionInfo, new: &AuctionInfo, time_us: i64) {
        self.drop_timers(old);
        for timer in timers_of(new).filter(|it| it.due_us > time_us) {
            self.set_timer(timer);
        }
    }

    /// Takes back a timer that has become idle.
    pub(super) fn clear_timer(&mut self, info: &AuctionInfo, step: Step, due_us: i64) {
        let AuctionId { day, market, session } = info.auction;
        self.timers.remove(&Timer { due_us, market, day, session, step });
    }

    /// Takes rules in and says from which day on the market wants loading.
    pub(super) fn set_rules(&mut self, rules: Arc<MarketRules>, time_us: i64) {
        let market = rules.market;
        self.rules.retain(|it| (it.market, it.effective_from) != (market, rules.effective_from));
        let first = rules.effective_from;
        let yesterday = rules.zone.day_of(time_us).plus(-1);
        self.rules.push(rules);
        self.rules.sort_by_key(|it| (it.market, it.effective_from));
        match self.reach.iter_mut().find(|it| it.market == market) {
            // As long as no day was loaded, earlier rules can still come.
            Some(it) if !it.loaded => it.next = it.next.min(first).max(yesterday),
            Some(_) => {}
            None => {
                self.reach.push(Reach { market, next: first.max(yesterday), loaded: false });
                self.reach.sort_unstable_by_key(|it| it.market);
            }
        }
        self.timers.retain(|it| it.step != Step::Load || it.market != market);
        self.set_load_timer(market);
    }

    fn reach(&self, market: Market) -> Option<Reach> {
        self.reach.iter().find(|it| it.market == market).copied()
    }

    /// The first day of a market that no auction can exist for yet.
    pub(super) fn first_free_day(&self, market: Market) -> Day {
        self.reach(market).filter(|it| it.loaded).map_or(Day::MIN, |it| it.next)
    }

    fn set_load_timer(&mut self, market: Market) {
        let Some(day) = self.reach(market).map(|it| it.next).filter(|it| *it < Day::MAX) else { return };
        let Some(rules) = self.rules_on(market, day) else { return };
        let due_us = load_us(rules, day);
        self.set_timer(Timer { due_us, market, day, session: 0, step: Step::Load });
    }

    /// Loads a day whose loading is due while time moves to `time_us`: its auctions with a gate that
    /// is still ahead.
    pub(super) fn load(&mut self, timer: Timer, time_us: i64) -> Vec<AuctionInfo> {
        let Timer { market, day, .. } = timer;
        let Some(rules) = self.rules_on(market, day).cloned() else { return Vec::new() };
        let mut loaded = Vec::new();
        for session in 1..=sessions(&rules, day) {
            let info = auction_info(&rules, day, session);
            if info.gate_us > time_us {
                loaded.push(info);
            }
        }
        // Days that end before the command have no gate ahead: pass over them at once.
        let skip_to = rules.zone.day_of(time_us).plus(-1);
        for it in self.reach.iter_mut().filter(|it| it.market == market) {
            it.next = day.plus(1).max(skip_to);
            it.loaded = true;
        }
        self.set_load_timer(market);
        loaded
    }
}

/// Every timer of an auction.
fn timers_of(info: &AuctionInfo) -> impl Iterator<Item = Timer> {
    let steps = [
        (Step::Open, Some(info.open_us)),
        (Step::Gate, Some(info.gate_us)),
        (Step::Capacities, Some(info.capacities_us)),
        (Step::Publish, Some(info.publish_us)),
        (Step::Acknowledge, info.acknowledge_us),
        (Step::Deliver, Some(info.delivery_start_us)),
    ];
    let AuctionId { day, market, session } = info.auction;
    let timer = move |(step, due_us): (Step, Option<i64>)| {
        due_us.map(|due_us| Timer { due_us, market, day, session, step })
    };
    steps.into_iter().filter_map(timer)
}

/// When the auctions of a day are loaded.
fn load_us(rules: &MarketRules, day: Day) -> i64 {
    let zone = rules.zone;
    let opens = zone.day_start_us(day) + i64::from(rules.timetable.open) * MINUTE_US;
    let early = zone.day_of(opens).plus(-1);
    zone.day_start_us(day.plus(-1).min(early))
}

fn session_minutes(rules: &MarketRules, day: Day) -> i64 {
    match rules.timetable.session_minutes {
        0 => rules.zone.day_minutes(day),
        minutes => i64::from(minutes),
    }
}

/// Number of sessions in a local day.
fn sessions(rules: &MarketRules, day: Day) -> u16 {
    let number = rules.zone.day_minutes(day) / session_minutes(rules, day);
    u16::try_from(number).expect("a day has at most 500 sessions of 3 minutes")
}

/// One auction as the rules make it.
fn auction_info(rules: &Arc<MarketRules>, day: Day, session: u16) -> AuctionInfo {
    let small = "a day has at most 500 periods of 3 minutes";
    let period = i64::from(rules.period_minutes);
    let length = session_minutes(rules, day);
    let before = i64::from(session - 1) * length;
    let start_us = rules.zone.day_start_us(day) + before * MINUTE_US;
    let at = |minutes: i32| start_us + i64::from(minutes) * MINUTE_US;
    let it = &rules.timetable;
    AuctionInfo {
        auction: AuctionId { day, market: rules.market, session },
        rules: Arc::clone(rules),
        delivery_start_us: start_us,
        periods: u16::try_from(length / period).expect(small),
        first_block: u16::try_from(before / period + 1).expect(small),
        blocks_in_day: u16::try_from(rules.zone.day_minutes(day) / period).expect(small),
        open_us: at(it.open),
        gate_us: at(it.gate),
        corridor_us: at(it.corridor),
        capacities_us: at(it.capacities),
        publish_us: at(it.publish),
        acknowledge_us: it.acknowledge.map(at),
    }
}

#[expect(clippy::as_conversions, reason = "From is not const; widening")]
const _: () = {
    // 1500 minutes in periods of 3 minutes.
    assert!(1_500 / 3 <= limits::PERIODS_MAX as i64);
};
