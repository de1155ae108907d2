//! The market as a state machine: scenarios as literal events, precedence, calendars, histories.
#![expect(clippy::unwrap_used, reason = "clippy lets only #[test] functions unwrap, not their helpers")]

mod acts;
mod calendars;
mod chance;
mod clearances;
mod collateral;
mod days;
mod driver;
mod fairness;
mod histories;
mod kept;
mod lifecycle;
mod model;
mod money;
mod permissions;
mod precedence;
mod settling;
