//! Delivery days as the clearing house sees them: what their auctions left, meters, runs.

use super::deviation;
use super::holds::Holds;
use super::ledger::{AuctionSums, Ledger};
use crate::calendar::Day;
use crate::digest::{Feed, Hasher};
use crate::event::{Account, AuctionInfo, EventBody, LedgerEntry, ScheduleRow, Stream};
use crate::ids::{AuctionId, MemberId, PortfolioId};
use crate::market::streams::Out;
use crate::reject::Reject;
use crate::settlement::{
    AMOUNT_MAX, Cause, Deviation, DeviationRules, MemberNet, MeterBatch, RunRequest, RunStatus, RunTotals,
    SettlementEvent, SettlementRun,
};
use crate::snapshot::state_struct;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What an auction left for the settlement of its day.
#[derive(Debug)]
pub(in crate::market) struct Booked {
    pub(in crate::market) info: Arc<AuctionInfo>,
    pub(in crate::market) rows: Arc<Vec<ScheduleRow>>,
    /// Ticks, index `period * areas + area`.
    pub(in crate::market) prices: Vec<i64>,
    /// Lots, index `period * areas + area`.
    pub(in crate::market) bought: Vec<i64>,
    pub(in crate::market) sums: AuctionSums,
    /// Digest of the result.
    pub(in crate::market) digest: u128,
}

state_struct! { Booked { info, rows, prices, bought, sums, digest } }

/// The last run of a day.
#[derive(Debug)]
pub(super) struct LastRun {
    pub(super) run: u32,
    pub(super) status: RunStatus,
    members: BTreeMap<MemberId, MemberNet>,
    /// The entry of deviations that stands.
    deviation: Option<(u64, Vec<(Account, i64)>)>,
}

state_struct! { LastRun { run, status, members, deviation } }

/// A delivery day.
#[derive(Debug, Default)]
pub(super) struct DayBooks {
    pub(super) auctions: BTreeMap<AuctionId, Booked>,
    pub(super) metering: Option<Arc<MeterBatch>>,
    pub(super) last: Option<LastRun>,
}

state_struct! { DayBooks { auctions, metering, last } }

/// All of it.
#[derive(Debug, Default)]
pub(in crate::market) struct Days {
    pub(super) days: BTreeMap<Day, DayBooks>,
    pub(super) deviation: BTreeMap<Day, Arc<DeviationRules>>,
    pub(super) holds: Holds,
    /// Events on the settlement stream.
    pub(super) said: u64,
    /// (epoch, number of its first event there), increasing.
    pub(super) epochs: Vec<(u32, u64)>,
    /// The clearing house has everything up to here.
    pub(super) acknowledged: u64,
}

state_struct! { Days { days, deviation, holds, said, epochs, acknowledged } }

impl Days {
    /// Says something on the settlement stream.
    pub(in crate::market) fn say(&mut self, body: EventBody, out: &mut Out<'_>) {
        out.say(Stream::Settlement, body);
        self.said += 1;
        if self.epochs.last().is_none_or(|(epoch, _)| *epoch < out.epoch) {
            self.epochs.push((out.epoch, self.said));
        }
    }

    /// Takes what a published auction leaves.
    pub(in crate::market) fn book(&mut self, booked: Booked) {
        let auction = booked.info.auction;
        self.days.entry(auction.day).or_default().auctions.insert(auction, booked);
    }

    /// Forgets what an auction left whose result is void.
    pub(in crate::market) fn void(&mut self, auction: AuctionId) {
        if let Some(day) = self.days.get_mut(&auction.day) {
            day.auctions.remove(&auction);
        }
    }

    /// Forgets days before one.
    pub(in crate::market) fn retire(&mut self, oldest: Day) {
        self.days.retain(|day, _| *day >= oldest);
    }

    /// Whether an event was sent under an epoch.
    pub(super) fn was_sent(&self, stream_seq: u64, epoch: u32) -> bool {
        let until = self.epochs.iter().take_while(|(_, first)| *first <= stream_seq);
        (1..=self.said).contains(&stream_seq) && until.last().is_some_and(|(of, _)| *of == epoch)
    }

    /// Deviation rules of a day.
    fn rules_on(&self, day: Day) -> Option<&Arc<DeviationRules>> {
        self.deviation.range(..=day).next_back().map(|(_, rules)| rules)
    }

    /// Works out a run without booking anything.
    ///
    /// # Errors
    ///
    /// Why there can be none.
    pub(super) fn compute(
        &self,
        request: &RunRequest,
        owner: impl Fn(PortfolioId) -> MemberId,
    ) -> Result<SettlementRun, Reject> {
        let day = self.days.get(&request.day).filter(|it| !it.auctions.is_empty());
        let day = day.ok_or(Reject::UnknownDay)?;
        let rules = self.rules_on(request.day);
        let first = day.auctions.values().next().expect("filtered above");
        let decimals = first.info.rules.minor_decimals;
        let deviations = match (&day.metering, rules) {
            (Some(batch), Some(rules)) => deviation::settle(day, batch, rules, decimals, owner)?,
            (Some(_) | None, _) => Vec::new(),
        };
        let members = day.nets(&deviations)?;
        let empty = BTreeMap::new();
        let before = day.last.as_ref().map_or(&empty, |it| &it.members);
        let totals = day.totals(&members);
        Ok(SettlementRun {
            request: request.clone(),
            run: day.last.as_ref().map_or(0, |it| it.run) + 1,
            inputs: day.inputs(rules),
            totals,
            deltas: deltas(before, &members),
            members: members.into_iter().collect(),
            deviations: Arc::new(deviations),
        })
    }

    /// Books a run: takes back the deviations that it finds otherwise, and books the new ones.
    pub(super) fn run(&mut self, run: SettlementRun, ledger: &mut Ledger, out: &mut Out<'_>) -> u32 {
        let day = self.days.get_mut(&run.request.day).expect("computed");
        let number = run.run;
        let before = day.last.take();
        let standing = before.and_then(|it| it.deviation);
        let postings = deviation_postings(&run.deviations);
        let mut entries: Vec<LedgerEntry> = Vec::new();
        let same = standing.as_ref().map_or(postings.is_empty(), |(_, booked)| *booked == postings);
        let deviation = if same {
            standing
        } else {
            if let Some((of, booked)) = standing {
                let RunRequest { day, reason, effective, .. } = run.request.clone();
                let cause = Cause::Reversal { of, day, run: number, reason, effective };
                let back = booked.into_iter().map(|(account, minor)| (account, -minor)).collect();
                entries.push(ledger.book(cause, back));
            }
            (!postings.is_empty()).then(|| {
                let cause = Cause::Deviation { day: run.request.day, run: number };
                let entry = ledger.book(cause, postings.clone());
                let id = entry.id;
                entries.push(entry);
                (id, postings)
            })
        };
        ledger.assert_balanced();
        let members = run.members.iter().copied().collect();
        day.last = Some(LastRun { run: number, status: run.request.status, members, deviation });
        self.say(EventBody::Settlement(SettlementEvent::Run(Arc::new(run))), out);
        self.say_entries(entries, out);
        number
    }

    /// Says entries, if there are any.
    pub(super) fn say_entries(&mut self, entries: Vec<LedgerEntry>, out: &mut Out<'_>) {
        if !entries.is_empty() {
            self.say(EventBody::LedgerPosted { auction: None, entries: Arc::new(entries) }, out);
        }
    }
}

impl DayBooks {
    /// What every member owes and is owed.
    fn nets(&self, deviations: &[Deviation]) -> Result<BTreeMap<MemberId, MemberNet>, Reject> {
        let mut nets: BTreeMap<MemberId, MemberNet> = BTreeMap::new();
        for (member, part) in self.auctions.values().flat_map(|it| &it.sums.members) {
            let net = nets.entry(*member).or_default();
            net.energy_minor += part.energy_minor;
            net.fee_minor += part.fee_minor;
            net.tax_minor += part.tax_minor;
        }
        let mut all = 0_i64;
        for it in deviations {
            let net = nets.entry(it.member).or_default();
            net.deviation_minor += it.minor;
            all += it.minor.abs();
            // Each is at most as large, so the sums never leave an i64 before this sees it.
            if all > AMOUNT_MAX {
                return Err(Reject::AmountOutOfRange);
            }
        }
        Ok(nets)
    }

    fn totals(&self, members: &BTreeMap<MemberId, MemberNet>) -> RunTotals {
        let mut totals = RunTotals::default();
        for it in self.auctions.values() {
            totals.auctions += 1;
            totals.obligations += it.sums.obligations;
            totals.congestion_minor += it.sums.congestion;
            totals.fees_minor += it.sums.fees;
            totals.tax_minor += it.sums.tax;
            totals.rounding_minor += it.sums.rounding;
        }
        if let Some(batch) = &self.metering {
            totals.readings = batch.readings;
            totals.estimated = batch.estimated;
        }
        for net in members.values() {
            let minor = net.net_minor();
            totals.pay_in_minor -= minor.min(0);
            totals.pay_out_minor += minor.max(0);
            totals.deviation_minor -= net.deviation_minor;
        }
        let held = totals.congestion_minor + totals.fees_minor + totals.tax_minor;
        let held = held + totals.deviation_minor + totals.rounding_minor;
        assert!(totals.pay_in_minor == totals.pay_out_minor + held, "a run sums to zero");
        totals
    }

    /// Digest of what goes into a run.
    fn inputs(&self, rules: Option<&Arc<DeviationRules>>) -> u128 {
        let mut hasher = Hasher::new();
        for (auction, it) in &self.auctions {
            auction.feed(&mut hasher);
            it.digest.feed(&mut hasher);
            it.sums.feed(&mut hasher);
        }
        self.metering.feed(&mut hasher);
        rules.cloned().feed(&mut hasher);
        hasher.finish()
    }
}

fn deviation_postings(deviations: &[Deviation]) -> Vec<(Account, i64)> {
    let mut sums: BTreeMap<Account, i64> = BTreeMap::new();
    for it in deviations {
        *sums.entry(Account::Member(it.member)).or_default() += it.minor;
        *sums.entry(Account::Deviation).or_default() -= it.minor;
    }
    sums.retain(|_, minor| *minor != 0);
    sums.into_iter().collect()
}

fn deltas(
    before: &BTreeMap<MemberId, MemberNet>,
    now: &BTreeMap<MemberId, MemberNet>,
) -> Vec<(MemberId, MemberNet)> {
    let none = MemberNet::default();
    let mut members: Vec<MemberId> = before.keys().chain(now.keys()).copied().collect();
    members.sort_unstable();
    members.dedup();
    let change = |member: &MemberId| {
        let (a, b) = (before.get(member).unwrap_or(&none), now.get(member).unwrap_or(&none));
        MemberNet {
            energy_minor: b.energy_minor - a.energy_minor,
            fee_minor: b.fee_minor - a.fee_minor,
            tax_minor: b.tax_minor - a.tax_minor,
            deviation_minor: b.deviation_minor - a.deviation_minor,
        }
    };
    let all = members.into_iter().map(|it| (it, change(&it)));
    all.filter(|(_, it)| *it != none).collect()
}
