//! Which epoch wrote which records: enough to find where two histories part.

use crate::frame::Stamp;

/// The epochs of a history, each with its first record. Epochs increase, and so do the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    begins: Vec<(u32, u64)>,
}

impl Lineage {
    /// A lineage as another node has sent it; nothing if its numbers do not increase.
    #[must_use]
    pub fn of(begins: Vec<(u32, u64)>) -> Option<Self> {
        let increases = begins.windows(2).all(|it| it[0].0 < it[1].0 && it[0].1 < it[1].1);
        increases.then_some(Self { begins })
    }

    /// Its epochs and their first records.
    #[must_use]
    pub fn begins(&self) -> &[(u32, u64)] {
        &self.begins
    }

    /// Notes the next record.
    #[inline]
    pub fn note(&mut self, stamp: Stamp) {
        if self.begins.last().is_none_or(|(epoch, _)| *epoch < stamp.epoch) {
            self.begins.push((stamp.epoch, stamp.seq));
        }
    }

    /// The epoch that wrote a record of a history that goes at least so far; nothing before its first one.
    #[must_use]
    pub fn epoch_of(&self, seq: u64) -> Option<u32> {
        self.begins.iter().rev().find(|(_, first)| *first <= seq).map(|(epoch, _)| *epoch)
    }

    /// Forgets every record after one.
    pub fn cut(&mut self, seq: u64) {
        self.begins.retain(|(_, first)| *first <= seq);
    }

    /// The last record of an epoch in a history that ends with `head_seq`.
    fn end(&self, index: usize, head_seq: u64) -> u64 {
        self.begins.get(index + 1).map_or(head_seq, |(_, first)| first - 1)
    }

    /// The last record that two histories have in common: the one of this lineage ends with `head_seq`,
    /// the other with `other_seq`. An epoch has one writer, who begins it once; so where an epoch
    /// begins at the same record in both, they agree up to where the shorter one leaves it.
    #[must_use]
    pub fn common(&self, head_seq: u64, other: &Self, other_seq: u64) -> u64 {
        for (index, begin) in self.begins.iter().enumerate().rev() {
            if let Some(theirs) = other.begins.iter().position(|it| it == begin) {
                return self.end(index, head_seq).min(other.end(theirs, other_seq));
            }
        }
        0
    }
}
