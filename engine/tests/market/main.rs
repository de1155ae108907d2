//! The market as a state machine: scenarios as literal events, precedence, calendars, histories.
#![expect(clippy::unwrap_used, reason = "clippy lets only #[test] functions unwrap, not their helpers")]

mod calendars;
mod chance;
mod driver;
mod histories;
mod lifecycle;
mod model;
mod permissions;
mod precedence;
