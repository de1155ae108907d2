//! Collects what is wrong with a request: the one fault that counts, or all of them.

use crate::limits::DRY_RUN_REFUSALS_MAX;
use crate::reject::{Place, Refusal, Reject};
use alloc::vec::Vec;

/// Faults of one request. Checks report in any order; the refusal is the earliest variant of
/// [`Reject`], and of equal ones the first reported, which is the first in the request.
#[derive(Debug)]
pub(super) struct Faults {
    first: Option<Refusal>,
    all: Option<Vec<Refusal>>,
}

impl Faults {
    /// Keeps only the fault that counts.
    pub(super) const fn first() -> Self {
        Self { first: None, all: None }
    }

    /// Keeps all, up to [`DRY_RUN_REFUSALS_MAX`].
    pub(super) const fn all() -> Self {
        Self { first: None, all: Some(Vec::new()) }
    }

    /// Reports a fault.
    #[cold]
    pub(super) fn add(&mut self, reject: Reject, place: Place) {
        self.note(Refusal::new(reject, place));
    }

    /// Reports that something counted is missing.
    pub(super) fn short(&mut self, reject: Reject, place: Place, missing: i64) {
        self.note(Refusal { reject, place, missing });
    }

    /// Whether nothing was reported yet.
    pub(super) const fn none(&self) -> bool {
        self.first.is_none()
    }

    #[cold]
    fn note(&mut self, refusal: Refusal) {
        if self.first.is_none_or(|it| refusal.reject < it.reject) {
            self.first = Some(refusal);
        }
        if let Some(all) = self.all.as_mut().filter(|it| it.len() < DRY_RUN_REFUSALS_MAX) {
            all.push(refusal);
        }
    }

    /// Reports a fault unless `holds`.
    #[inline(always)]
    pub(super) fn require(&mut self, holds: bool, reject: Reject, place: Place) {
        if !holds {
            self.add(reject, place);
        }
    }

    /// The fault that counts, if one was reported.
    pub(super) const fn refusal(&self) -> Option<Refusal> {
        self.first
    }

    /// All faults in order of precedence; the one that counts is the first.
    pub(super) fn into_all(self) -> Vec<Refusal> {
        let mut all = self.all.unwrap_or_default();
        all.sort_by_key(|it| it.reject);
        if let Some(first) = self.first.filter(|it| all.first() != Some(it)) {
            all.insert(0, first);
        }
        all
    }
}
