//! The journal and the core as the rest of the exchange uses them.
#![expect(clippy::unwrap_used, reason = "clippy lets only #[test] functions unwrap, not their helpers")]

mod common;
mod crash;
mod cuts;
mod disk;
mod fetched;
mod golden;
mod market;
mod pair;
mod repair;
mod runner;
mod snapshots;
