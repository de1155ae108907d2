//! `merit report surveillance`: what a supervisor reads, made from the journal alone.

use super::journal::Archive;
use super::output::{Cell, Format, Table, print};
use super::{Exit, Failure};
use crate::server::clock::{format_utc, parse_day};
use merit_engine::calendar::Day;
use merit_engine::command::Act;
use merit_engine::event::{Alarm, Answer, CollateralCause, Event, EventBody, Phase, Stream};
use merit_engine::ids::{AuctionId, MemberId, UserId};
use merit_engine::market::Engine;
use merit_replay::frame::Stamp;
use merit_replay::machine::Sink;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What was out of the ordinary: exceptional acts, alarms, suspensions, corrected results, refusals
///
/// Made from the journal alone, so anybody who holds it gets the same report. Orders are not shown; of
/// refusals only how many each member had, by reason. With --day only what was journaled on that day
/// of the market's local time.
#[derive(Debug, clap::Args)]
pub(super) struct Surveillance {
    /// The journal's directory
    dir: PathBuf,
    #[command(flatten)]
    archive: Archive,
    /// Local day, e.g. 2026-11-23
    #[arg(long)]
    day: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Surveillance {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let day = match &self.day {
            None => None,
            Some(text) => {
                let rule = "is a day like 2026-11-23";
                Some(parse_day(text).ok_or_else(|| Failure::usage(format_args!("{text}: {rule}")))?)
            }
        };
        let mut found = Findings::default();
        let mut engine = Engine::new();
        let journal = self.archive.open(&self.dir)?;
        merit_replay::core::replay(&*journal, &mut engine, &mut found, &mut |_| {})
            .map_err(|error| Failure::error(format_args!("{error}; {}", error.remedy())))?;
        print(&found.table(&engine, day).render(self.output)).map_err(Failure::error)?;
        Ok(Exit::Ok)
    }
}

/// One line of the report.
#[derive(Clone, Debug)]
struct Finding {
    time_us: i64,
    kind: &'static str,
    auction: Option<AuctionId>,
    who: Who,
    text: String,
}

#[derive(Clone, Copy, Debug)]
enum Who {
    Nobody,
    Member(MemberId),
    Users(UserId, Option<UserId>),
}

/// Every zone is ahead of UTC by whole quarters of an hour, so each belongs to one local day.
const QUARTER_US: i64 = 15 * 60 * 1_000_000;

/// What the journal says that is out of the ordinary.
#[derive(Debug, Default)]
struct Findings {
    all: Vec<Finding>,
    /// Refusals by quarter of an hour, member and reason: how many, and when the last one was.
    refused: BTreeMap<(i64, MemberId, &'static str), (u64, i64)>,
}

fn in_words(act: Act) -> String {
    crate::server::convert::operator::act_in_words(act)
}

impl Findings {
    fn add(&mut self, time_us: i64, kind: &'static str, auction: Option<AuctionId>, who: Who, text: String) {
        self.all.push(Finding { time_us, kind, auction, who, text });
    }

    fn hear(&mut self, event: &Event) {
        let time_us = event.time_us;
        if let EventBody::ActProposed { proposal, act, reason, proposer } = &event.body {
            let text = format!("act-{proposal} proposed: {}: {reason}", in_words(*act));
            self.add(time_us, "act", Some(act.auction()), Who::Users(*proposer, None), text);
        } else if let EventBody::ActDone { proposal, act, reason, proposer, approver } = &event.body {
            if event.stream == Stream::Operator {
                let text = format!("act-{proposal} approved and done: {}: {reason}", in_words(*act));
                let who = Who::Users(*proposer, Some(*approver));
                self.add(time_us, "act", Some(act.auction()), who, text);
            }
        } else if let EventBody::Alarm(alarm) = &event.body {
            self.hear_alarm(time_us, alarm);
        } else if let EventBody::MemberSuspended { member, suspended } = &event.body {
            if event.stream == Stream::Operator {
                let text = if *suspended { "suspended" } else { "suspension lifted" };
                self.add(time_us, "suspension", None, Who::Member(*member), text.to_owned());
            }
        } else if let EventBody::ResultPublished(result) = &event.body {
            if result.revision > 1 {
                let text = format!("result published again, revision {}", result.revision);
                self.add(time_us, "correction", Some(result.info.auction), Who::Nobody, text);
            }
        } else if let EventBody::PhaseChanged { auction, phase: Phase::Halted, .. } = &event.body {
            self.add(time_us, "halt", Some(*auction), Who::Nobody, "halted without a result".to_owned());
        } else if let EventBody::RequestRefused { refusal, .. } = &event.body {
            self.hear_refusal(event, refusal.reject);
        } else if let EventBody::RulesSet(rules) = &event.body {
            let text = format!("rules of {} from {}", rules.market.name(), rules.effective_from);
            self.add(time_us, "rules", None, Who::Nobody, text);
        } else if let EventBody::CollateralChanged { member, cause: CollateralCause::Withdrawal, .. } =
            &event.body
        {
            self.add(time_us, "withdrawal", None, Who::Member(*member), "collateral given back".to_owned());
        }
    }

    fn hear_alarm(&mut self, time_us: i64, alarm: &Alarm) {
        let auction = match alarm {
            Alarm::CapacityLate { auction }
            | Alarm::ResultLate { auction }
            | Alarm::VerifierRefused { auction, .. }
            | Alarm::AcknowledgementLate { auction, .. }
            | Alarm::FundsShort { auction, .. } => Some(*auction),
            Alarm::ClockBehind { .. } | Alarm::StandbyLost | Alarm::StandbyBack => None,
        };
        let who = match alarm {
            Alarm::FundsShort { member, .. } => Who::Member(*member),
            Alarm::CapacityLate { .. }
            | Alarm::ResultLate { .. }
            | Alarm::VerifierRefused { .. }
            | Alarm::AcknowledgementLate { .. }
            | Alarm::ClockBehind { .. }
            | Alarm::StandbyLost
            | Alarm::StandbyBack => Who::Nobody,
        };
        let shown = crate::server::convert::operator::alarm(alarm);
        self.add(time_us, "alarm", auction, who, format!("{}: {}", shown.name, shown.text));
    }

    fn hear_refusal(&mut self, event: &Event, reject: merit_engine::reject::Reject) {
        let Stream::Member(member) = event.stream else { return };
        let name = merit_client::v1::RejectReason::try_from(i32::from(reject.code()));
        let name = name.map_or("", |it| it.as_str_name().trim_start_matches("REJECT_REASON_"));
        let quarter = event.time_us.div_euclid(QUARTER_US);
        let (count, last) = self.refused.entry((quarter, member, name)).or_default();
        *count += 1;
        *last = event.time_us;
    }

    fn table(mut self, engine: &Engine, day: Option<Day>) -> Table {
        let zone = engine.rules().first().map(|it| it.zone);
        let on = |time_us: i64| zone.map(|it| it.day_of(time_us));
        let mut by_day: BTreeMap<(Option<Day>, MemberId, &'static str), (u64, i64)> = BTreeMap::new();
        for ((_, member, reason), (count, last_us)) in std::mem::take(&mut self.refused) {
            let (sum, last) = by_day.entry((on(last_us), member, reason)).or_default();
            *sum += count;
            *last = last_us.max(*last);
        }
        for ((_, member, reason), (count, last_us)) in by_day {
            let text = format!("{count} requests refused: {reason}");
            self.add(last_us, "refusals", None, Who::Member(member), text);
        }
        self.all.sort_by_key(|it| it.time_us);
        let mut table = Table::new(&["time", "kind", "auction", "who", "what"]);
        for it in self.all.iter().filter(|it| day.is_none() || on(it.time_us) == day) {
            table.add(vec![
                Cell::text(format_utc(it.time_us)),
                Cell::text(it.kind),
                it.auction.map_or(Cell::Nothing, |it| Cell::text(it.to_string())),
                who(engine, it.who),
                Cell::text(&it.text),
            ]);
        }
        table
    }
}

fn who(engine: &Engine, who: Who) -> Cell {
    let user = |id: UserId| engine.user(id).map_or_else(String::new, |it| it.name.to_string());
    match who {
        Who::Nobody => Cell::Nothing,
        Who::Member(member) => {
            engine.member(member).map_or(Cell::Nothing, |it| Cell::text(it.code.to_string()))
        }
        Who::Users(one, None) => Cell::text(user(one)),
        Who::Users(one, Some(other)) => Cell::text(format!("{} and {}", user(one), user(other))),
    }
}

impl Sink<Engine> for Findings {
    fn applied(&mut self, _: Stamp, _: &Answer, events: Vec<Event>, _: bool) {
        for event in &events {
            self.hear(event);
        }
    }
}
