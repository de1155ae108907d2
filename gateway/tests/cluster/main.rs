//! Several real nodes on loopback: standby, switchover, failover, and what is left after a storm.
#![expect(clippy::unwrap_used, reason = "clippy lets only #[test] functions unwrap, not their helpers")]

mod archive;
mod chaos;
mod cluster;
#[path = "../server/hook.rs"]
mod hook;
mod lease;
mod orders;
mod proxy;
mod push;
mod snapshot;
mod times;
