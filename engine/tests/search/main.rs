//! The search for block and complex decisions against enumeration, and its laws.
#![expect(clippy::unwrap_used, reason = "clippy lets only #[test] functions unwrap, not their helpers")]

mod enumerate;
mod laws;
mod random;
