//! What the clearing house asks: first everything that could be wrong, then the change.

use super::days::DayBooks;
use super::deviation;
use crate::calendar::{Day, MINUTE_US};
use crate::event::{Account, EventBody, Made, Phase};
use crate::ids::MemberId;
use crate::limits;
use crate::market::faults::Faults;
use crate::market::state::State;
use crate::market::streams::Out;
use crate::reject::{Place, Reject};
use crate::settlement::{
    AMOUNT_MAX, BANDS_MAX, Band, Category, Cause, DeviationRules, Hold, METER_ROWS_MAX, METER_WH_MAX,
    MeterBatch, MeterRow, Payment, REASON_BYTES_MAX, RunRequest, RunStatus, Scheme, SettlementAction,
    SettlementEvent,
};
use alloc::sync::Arc;
use alloc::vec;

/// Highest rate of a band, millionths.
const RATE_MAX: u32 = 10_000_000;
/// Highest frequency, millihertz.
const FREQUENCY_MAX: u32 = 100_000;

impl State {
    /// All that speaks against a settlement request.
    pub(in crate::market) fn check_settlement(
        &self,
        action: &SettlementAction,
        time_us: i64,
        faults: &mut Faults,
    ) {
        match action {
            SettlementAction::SetDeviation(rules) => self.check_deviation(rules, faults),
            SettlementAction::Meter(batch) => self.check_meter(batch, faults),
            SettlementAction::Run(request) => self.check_run(request, time_us, faults),
            SettlementAction::Pay(payment) => self.check_payment(payment, faults),
            SettlementAction::Hold(hold) => self.check_hold(hold, faults),
            SettlementAction::EndHold { hold, end: _ } => {
                faults.require(self.days.holds.stands(*hold), Reject::UnknownHold, Place::Field("hold"));
            }
            SettlementAction::Acknowledge { stream_seq, epoch } => {
                let sent = self.days.was_sent(*stream_seq, *epoch);
                faults.require(sent, Reject::NeverSent, Place::Field("up_to_seq"));
            }
        }
    }

    fn check_deviation(&self, rules: &DeviationRules, faults: &mut Faults) {
        let fault = |faults: &mut Faults, ok, field| {
            faults.require(ok, Reject::DeviationInvalid, Place::Field(field));
        };
        fault(faults, (Day::MIN..=Day::MAX).contains(&rules.effective_from), "effective_from");
        let categories = match &rules.scheme {
            Scheme::TwoPrice => 1,
            Scheme::Bands(list) => {
                let few = (1..=BANDS_MAX).contains(&list.len());
                fault(faults, few && list.iter().all(category_is_sound), "categories");
                list.len()
            }
        };
        let sorted = rules.placings.windows(2).all(|pair| pair[0].portfolio < pair[1].portfolio);
        let known = rules.placings.iter().all(|it| {
            self.registry.portfolio(it.portfolio).is_some()
                && usize::from(it.category) < categories
                && (0..=limits::LOTS_MAX).contains(&it.capacity_watts)
        });
        fault(faults, sorted && known, "placings");
    }

    fn check_meter(&self, batch: &MeterBatch, faults: &mut Faults) {
        let Some(day) = self.days.days.get(&batch.day) else {
            return faults.add(Reject::UnknownDay, Place::Field("day"));
        };
        let known = day.metering.as_ref().map_or(0, |it| it.revision);
        faults.require(batch.revision > known, Reject::StaleRevision, Place::Field("revision"));
        let Some(blocks) = deviation::blocks_of(day) else {
            return faults.add(Reject::MeterRowsInvalid, Place::Field("rows"));
        };
        let frequency = &batch.frequency_mhz;
        let frequent = frequency.is_empty() || frequency.len() == blocks;
        let sane = frequency.iter().all(|it| (1..=FREQUENCY_MAX).contains(it));
        faults.require(frequent && sane, Reject::MeterRowsInvalid, Place::Field("frequency"));
        let few = (1..=METER_ROWS_MAX).contains(&batch.rows.len());
        let key = |it: &MeterRow| (it.portfolio, it.area.clone());
        let sorted = batch.rows.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]));
        let whole = batch.rows.iter().all(|it| self.row_is_whole(it, day, blocks));
        faults.require(few && sorted && whole, Reject::MeterRowsInvalid, Place::Field("rows"));
        let bounded = |it: &i64| (-METER_WH_MAX..=METER_WH_MAX).contains(it);
        let bounded = batch.rows.iter().all(|row| row.net_wh.iter().all(bounded));
        faults.require(bounded, Reject::EnergyOutOfRange, Place::Field("rows"));
        let sum: i128 = batch.rows.iter().flat_map(|it| &it.net_wh).copied().map(i128::from).sum();
        let same = sum == i128::from(batch.total_wh);
        faults.require(same, Reject::EnergyOutOfRange, Place::Field("total_wh"));
    }

    fn row_is_whole(&self, row: &MeterRow, day: &DayBooks, blocks: usize) -> bool {
        let area = |it: &super::days::Booked| it.info.rules.area(row.area.as_str()).is_some();
        self.registry.portfolio(row.portfolio).is_some()
            && day.auctions.values().any(area)
            && row.net_wh.len() == blocks
            && row.estimated.windows(2).all(|pair| pair[0] < pair[1])
            && row.estimated.last().is_none_or(|it| usize::from(*it) < blocks)
    }

    fn check_run(&self, request: &RunRequest, time_us: i64, faults: &mut Faults) {
        let Some(day) = self.days.days.get(&request.day) else {
            return faults.add(Reject::UnknownDay, Place::Field("delivery_day"));
        };
        let last = day.last.as_ref().map(|it| it.status);
        let after_final = matches!(last, Some(RunStatus::Final | RunStatus::Resettled));
        let in_order = (request.status == RunStatus::Resettled) == after_final;
        faults.require(in_order, Reject::RunOutOfOrder, Place::Field("status"));
        let over = request.status == RunStatus::Provisional || self.is_over(request.day, time_us);
        faults.require(over, Reject::DayNotOver, Place::Field("delivery_day"));
        let needed = request.status == RunStatus::Resettled;
        let said = request.reason.len() <= REASON_BYTES_MAX && !(needed && request.reason.is_empty());
        faults.require(said, Reject::ReasonMissing, Place::Field("reason"));
        let effective = (Day::MIN..=Day::MAX).contains(&request.effective);
        faults.require(effective, Reject::ReasonMissing, Place::Field("effective_day"));
        if let Err(reject) = self.days.compute(request, |it| self.owner(it)) {
            faults.add(reject, Place::Field("delivery_day"));
        }
    }

    /// Whether every auction of a day has ended and all of it is delivered.
    fn is_over(&self, day: Day, time_us: i64) -> bool {
        self.auctions.iter().filter(|(id, _)| id.day == day).all(|(_, it)| {
            let minutes = i64::from(it.info.periods) * i64::from(it.info.rules.period_minutes);
            let ended = matches!(it.phase, Phase::Published | Phase::Halted | Phase::Cancelled);
            ended && it.info.delivery_start_us + minutes * MINUTE_US <= time_us
        })
    }

    fn owner(&self, portfolio: crate::ids::PortfolioId) -> MemberId {
        self.registry.portfolio(portfolio).expect("rows were checked").member
    }

    fn check_payment(&self, payment: &Payment, faults: &mut Faults) {
        let known = self.registry.member(payment.member).is_some();
        faults.require(known, Reject::UnknownMember, Place::Field("member"));
        let bounded = payment.minor != 0 && payment.minor.unsigned_abs() <= AMOUNT_MAX.unsigned_abs();
        faults.require(bounded, Reject::AmountOutOfRange, Place::Field("amount"));
        let day = (Day::MIN..=Day::MAX).contains(&payment.value_day);
        faults.require(day, Reject::AmountOutOfRange, Place::Field("value_day"));
    }

    fn check_hold(&self, hold: &Hold, faults: &mut Faults) {
        let known = self.registry.member(hold.member).is_some();
        faults.require(known, Reject::UnknownMember, Place::Field("member"));
        let bounded = (1..=AMOUNT_MAX).contains(&hold.minor);
        faults.require(bounded, Reject::AmountOutOfRange, Place::Field("amount"));
        let said = (1..=REASON_BYTES_MAX).contains(&hold.reason.len());
        faults.require(said, Reject::ReasonMissing, Place::Field("reason"));
        let covered = self.ledger.balance(Account::Member(hold.member)) >= i128::from(hold.minor);
        faults.require(covered, Reject::BalanceShort, Place::Field("amount"));
    }

    /// Does what a checked settlement request asks.
    pub(in crate::market) fn settle(&mut self, action: &SettlementAction, out: &mut Out<'_>) -> Made {
        match action {
            SettlementAction::SetDeviation(rules) => {
                let rules = Arc::new(rules.clone());
                self.days.deviation.insert(rules.effective_from, Arc::clone(&rules));
                self.days.say(EventBody::Settlement(SettlementEvent::DeviationSet(rules)), out);
                Made::Done
            }
            SettlementAction::Meter(batch) => {
                let day = self.days.days.get_mut(&batch.day).expect("checked");
                day.metering = Some(Arc::clone(batch));
                let body = EventBody::Settlement(SettlementEvent::Metered(Arc::clone(batch)));
                self.days.say(body, out);
                Made::Revision(batch.revision)
            }
            SettlementAction::Run(request) => {
                let run = self.days.compute(request, |it| self.owner(it)).expect("checked");
                Made::Revision(self.days.run(run, &mut self.ledger, out))
            }
            SettlementAction::Pay(payment) => {
                let Payment { member, minor, value_day, reference } = payment.clone();
                let postings = vec![(Account::Member(member), minor), (Account::Bank, -minor)];
                let entry = self.ledger.book(Cause::Payment { reference, value_day }, postings);
                self.days.say_entries(vec![entry], out);
                Made::Done
            }
            SettlementAction::Hold(hold) => {
                let (number, entry) = self.days.holds.place(hold, &mut self.ledger);
                self.days.say_entries(vec![entry], out);
                Made::Number(number)
            }
            SettlementAction::EndHold { hold, end } => {
                let entry = self.days.holds.end(*hold, *end, &mut self.ledger);
                self.days.say_entries(vec![entry], out);
                Made::Number(*hold)
            }
            SettlementAction::Acknowledge { stream_seq, epoch: _ } => {
                self.days.acknowledged = self.days.acknowledged.max(*stream_seq);
                Made::Number(self.days.acknowledged)
            }
        }
    }
}

fn category_is_sound(category: &Category) -> bool {
    let tables = &category.tables;
    (1..=BANDS_MAX).contains(&tables.len())
        && tables.windows(2).all(|pair| pair[0].below_mhz < pair[1].below_mhz)
        && tables.last().is_some_and(|it| it.below_mhz == u32::MAX)
        && tables.iter().all(|it| bands_are_sound(&it.bands))
}

fn bands_are_sound(bands: &[Band]) -> bool {
    (1..=BANDS_MAX).contains(&bands.len())
        && bands.windows(2).all(|pair| pair[0].until_millionths < pair[1].until_millionths)
        && bands.last().is_some_and(|it| it.until_millionths == u32::MAX)
        && bands.iter().all(|it| it.over.millionths.max(it.under.millionths) <= RATE_MAX)
}
