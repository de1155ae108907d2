//! Clearing of curves against a literal reading of the rules, against laws, and on worked examples.
#![expect(clippy::unwrap_used, reason = "clippy lets only #[test] functions unwrap, not their helpers")]

mod bound;
mod examples;
mod laws;
mod oracle;
mod tiny;

use merit_engine::book::AuctionBook;
use merit_engine::clearing::{Clearing, Progress};
use merit_engine::outcome::Outcome;

/// Clears a book in one go.
fn clear(book: &AuctionBook) -> Outcome {
    clear_in(book, u64::MAX)
}

/// Clears a book in quanta.
fn clear_in(book: &AuctionBook, quantum: u64) -> Outcome {
    let mut clearing = Clearing::start(book);
    while clearing.advance(book, quantum) != Progress::Done {}
    clearing.into_outcome().unwrap()
}
