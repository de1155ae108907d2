//! Client order ids: made before the first attempt, never made twice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Makes ids such as `alice-1763816400123456-17`: a name, the microsecond at which this source was made, and
/// a count. Two sources of one member need different names, since they may be made in one microsecond.
///
/// A program that must not lose track over its own crash writes the id down before it sends.
#[derive(Debug)]
pub struct OrderIds {
    prefix: String,
    next: AtomicU64,
}

impl OrderIds {
    /// A source with a name out of `A-Z a-z 0-9 . _ : -`, at most 24 characters so that ids keep within 64.
    #[must_use]
    pub fn new(name: &str) -> Self {
        // A clock before 1970 is a broken clock; ids stay unique as long as the name is.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        Self { prefix: format!("{name}-{since}"), next: AtomicU64::new(1) }
    }

    /// The next id.
    pub fn next(&self) -> String {
        format!("{}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}
