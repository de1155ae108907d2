//! Several real nodes on loopback: standby, switchover, failover, and what is left after a storm.
#![expect(clippy::unwrap_used, reason = "clippy lets only #[test] functions unwrap, not their helpers")]

mod chaos;
mod cluster;
mod lease;
mod orders;
mod proxy;
mod times;
