//! The node as its users meet it: over real gRPC, with a real journal.
#![expect(clippy::unwrap_used, reason = "clippy lets only #[test] functions unwrap, not their helpers")]

mod bounds;
mod chaos;
mod common;
mod day;
mod faults;
mod hook;
mod kill;
mod model;
mod money;
mod order_entry;
mod postgres;
mod process;
mod restart;
mod rights;
mod samples;
mod sealed;
mod signed;
mod soak;
mod streams;
mod week;
