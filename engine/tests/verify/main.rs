//! The verifier against valid results with one thing changed: every change is caught.
#![expect(clippy::unwrap_used, reason = "clippy lets only #[test] functions unwrap, not their helpers")]

mod mutations;
mod rules;
#[path = "../clearing/tiny.rs"]
mod tiny;

use merit_engine::book::AuctionBook;
use merit_engine::outcome::Outcome;
use merit_engine::verify::verify;

/// Every break in plain words; nothing if every rule holds.
fn broken(book: &AuctionBook, outcome: &Outcome) -> Vec<String> {
    match verify(book, outcome) {
        Ok(_) => Vec::new(),
        Err(breaks) => breaks.iter().map(|it| it.show(book).to_string()).collect(),
    }
}
