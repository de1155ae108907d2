//! Benches and comparisons with peers.
