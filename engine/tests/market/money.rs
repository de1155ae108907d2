//! The clearing house's side of the book-keeper: what members owe by day, recounted from obligations
//! and deviations, and compared with every run and every entry of the ledger.

use merit_engine::calendar::Day;
use merit_engine::event::{Account, LedgerEntry, Obligation};
use merit_engine::ids::MemberId;
use merit_engine::settlement::{Cause, Deviation, MemberNet, RunStatus, SettlementEvent, SettlementRun};
use std::collections::{BTreeMap, BTreeSet};

/// A delivery day.
#[derive(Debug, Default)]
pub(crate) struct DayMoney {
    pub(crate) rounding: i64,
    pub(crate) congestion: i64,
    owed: BTreeMap<MemberId, MemberNet>,
    /// Sum of all deltas so far.
    deltas: BTreeMap<MemberId, MemberNet>,
    /// Deviations that stand in the ledger, by member.
    booked: BTreeMap<MemberId, i64>,
    last: Option<(u32, RunStatus)>,
    /// Deviations of the last run, until the ledger has said what they changed.
    pending: BTreeMap<MemberId, i64>,
}

/// All days, holds and payments.
#[derive(Debug, Default)]
pub(crate) struct Money {
    pub(crate) days: BTreeMap<Day, DayMoney>,
    reversed: BTreeSet<u64>,
    entries: BTreeMap<u64, Vec<(Account, i64)>>,
    pub(crate) runs: u32,
    pub(crate) reversals: u32,
    pub(crate) holds: u32,
}

fn add(sums: &mut BTreeMap<MemberId, MemberNet>, member: MemberId, part: MemberNet) {
    let sum = sums.entry(member).or_default();
    sum.energy_minor += part.energy_minor;
    sum.fee_minor += part.fee_minor;
    sum.tax_minor += part.tax_minor;
    sum.deviation_minor += part.deviation_minor;
}

impl Money {
    /// An obligation of a day.
    pub(crate) fn owe(&mut self, day: Day, it: &Obligation) {
        let part = MemberNet {
            energy_minor: it.value_minor,
            fee_minor: -it.fee_minor,
            tax_minor: -it.tax_minor,
            deviation_minor: 0,
        };
        add(&mut self.days.entry(day).or_default().owed, it.member, part);
    }

    /// A run, a meter batch, or rules.
    pub(crate) fn hear(&mut self, event: &SettlementEvent) {
        if let SettlementEvent::Run(run) = event {
            self.hear_run(run);
        }
    }

    fn hear_run(&mut self, run: &SettlementRun) {
        self.runs += 1;
        let day = self.days.get_mut(&run.request.day).unwrap();
        let before = day.last.replace((run.run, run.request.status));
        assert_eq!(run.run, before.map_or(0, |it| it.0) + 1, "runs of a day are numbered without gaps");
        let final_before = before.is_some_and(|it| it.1 != RunStatus::Provisional);
        assert_eq!(run.request.status == RunStatus::Resettled, final_before);
        let mut expected = day.owed.clone();
        day.pending.clear();
        for it in run.deviations.iter() {
            check_deviation(it);
            let part = MemberNet { deviation_minor: it.minor, ..MemberNet::default() };
            add(&mut expected, it.member, part);
            *day.pending.entry(it.member).or_default() += it.minor;
        }
        day.pending.retain(|_, minor| *minor != 0);
        assert_eq!(run.members.iter().copied().collect::<BTreeMap<_, _>>(), expected);
        for (member, delta) in &run.deltas {
            assert_ne!(*delta, MemberNet::default());
            add(&mut day.deltas, *member, *delta);
        }
        let mut sums = day.deltas.clone();
        for member in expected.keys() {
            sums.entry(*member).or_default();
        }
        sums.retain(|member, it| *it != MemberNet::default() || expected.contains_key(member));
        assert_eq!(sums, expected, "the deltas of all runs add up to the last one");
        let nets: Vec<i64> = expected.values().map(MemberNet::net_minor).collect();
        let totals = &run.totals;
        assert_eq!(totals.pay_in_minor, -nets.iter().filter(|it| **it < 0).sum::<i64>());
        assert_eq!(totals.pay_out_minor, nets.iter().filter(|it| **it > 0).sum::<i64>());
        assert_eq!(totals.rounding_minor, day.rounding);
        assert_eq!(totals.congestion_minor, day.congestion);
        let held = totals.congestion_minor + totals.fees_minor + totals.tax_minor;
        let held = held + totals.deviation_minor + totals.rounding_minor;
        assert_eq!(totals.pay_in_minor, totals.pay_out_minor + held, "a run sums to zero");
    }

    /// An entry that no auction caused.
    pub(crate) fn book(&mut self, entry: &LedgerEntry, balances: &mut BTreeMap<Account, i128>) {
        assert_eq!(entry.postings.iter().map(|it| it.1).sum::<i64>(), 0, "every entry balances");
        for (account, minor) in &entry.postings {
            let balance = balances.entry(*account).or_default();
            *balance += i128::from(*minor);
            assert!(!matches!(account, Account::Margin(_)) || *balance >= 0, "nothing unblocked is posted");
        }
        self.entries.insert(entry.id, entry.postings.clone());
        match &entry.cause {
            Cause::Period { .. } => panic!("a period among other causes"),
            Cause::Deviation { day, .. } => self.post(*day, &entry.postings),
            Cause::Reversal { of, day, .. } => {
                self.reversals += 1;
                assert!(self.reversed.insert(*of), "an entry is taken back once");
                let negated: Vec<_> = entry.postings.iter().map(|(account, it)| (*account, -it)).collect();
                assert_eq!(self.entries[of], negated, "a reversal is the entry with other signs");
                self.post(*day, &entry.postings);
            }
            Cause::Hold { .. } => self.holds += 1,
            Cause::Payment { .. } | Cause::HoldEnded { .. } => {}
        }
    }

    fn post(&mut self, day: Day, postings: &[(Account, i64)]) {
        let day = self.days.get_mut(&day).unwrap();
        for (account, minor) in postings {
            if let Account::Member(member) = account {
                *day.booked.entry(*member).or_default() += minor;
            }
        }
        day.booked.retain(|_, minor| *minor != 0);
    }

    /// Whether the ledger holds the deviations of the last run of every day.
    pub(crate) fn check_booked(&self) {
        for (day, it) in &self.days {
            assert_eq!(it.booked, it.pending, "{day}: the ledger stands where the last run does");
        }
    }
}

/// A deviation costs nothing without energy.
fn check_deviation(it: &Deviation) {
    let energy = it.metered_wh * 60 - it.scheduled_watt_minutes;
    assert!(energy != 0 || it.minor == 0, "{it:?}");
}
