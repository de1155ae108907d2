//! Benches and comparisons with peers: generated auctions, and what clearing them costs.

mod chance;
pub mod generate;
