//! Two-phase holds: a member's funds are blocked, then posted or released, once.

use super::ledger::Ledger;
use crate::event::{Account, LedgerEntry};
use crate::ids::MemberId;
use crate::settlement::{Cause, Hold, HoldEnd};
use crate::snapshot::state_struct;
use alloc::collections::BTreeMap;
use alloc::vec;

/// Holds that stand.
#[derive(Debug, Default)]
pub(in crate::market) struct Holds {
    made: u64,
    open: BTreeMap<u64, (MemberId, i64)>,
}

state_struct! { Holds { made, open } }

impl Holds {
    /// Whether a hold stands.
    pub(super) fn stands(&self, hold: u64) -> bool {
        self.open.contains_key(&hold)
    }

    /// Moves funds from a member's account to its margin.
    pub(super) fn place(&mut self, hold: &Hold, ledger: &mut Ledger) -> (u64, LedgerEntry) {
        self.made += 1;
        let Hold { member, minor, reason: _ } = *hold;
        self.open.insert(self.made, (member, minor));
        let postings = vec![(Account::Member(member), -minor), (Account::Margin(member), minor)];
        (self.made, ledger.book(Cause::Hold { hold: self.made }, postings))
    }

    /// Moves them on: back, or out to the bank.
    pub(super) fn end(&mut self, hold: u64, end: HoldEnd, ledger: &mut Ledger) -> LedgerEntry {
        let (member, minor) = self.open.remove(&hold).expect("checked");
        let to = match end {
            HoldEnd::Posted => Account::Bank,
            HoldEnd::Released => Account::Member(member),
        };
        let postings = vec![(Account::Margin(member), -minor), (to, minor)];
        ledger.book(Cause::HoldEnded { hold, end }, postings)
    }
}
