//! Obligations out: what the settlement stream says, carried to the systems that book it.
//!
//! The journal is the outbox. Every target keeps, durably and in one step with what it books, how far
//! it is (epoch and number on the settlement stream). A worker asks the target for that mark and
//! delivers what comes after it; whatever dies in between is asked again. So delivery is at least
//! once and its effect exactly once, with nothing that the exchange itself would have to remember.
//!
//! A target refuses a sender of a lower epoch than it has seen: after a failover the old primary can
//! deliver nothing more. A standby delivers to nothing that the nodes share; its own ledger it keeps.
//!
//! # Deliberately absent
//!
//! - **A queue.** What a target has not got stays where it is: in the journal.

pub mod embedded;
pub mod json;
pub mod postgres;
pub mod webhook;
mod worker;

pub use worker::{Pushing, start};

use merit_proto::v1;
use prost::Message as _;
use std::fmt;

/// How far a target is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Highest epoch of a sender so far.
    pub epoch: u64,
    /// Everything up to this number on the settlement stream is booked.
    pub seq: u64,
}

/// One message of the settlement stream.
#[derive(Clone, Debug)]
pub struct Item {
    /// Number on the stream.
    pub seq: u64,
    /// Epoch in which it was said.
    pub epoch: u64,
    /// SHA-256 of its bytes: the same whenever it is derived again.
    pub digest: [u8; 32],
    /// What it says.
    pub message: v1::StreamObligationsResponse,
}

impl Item {
    /// Reads a message as the read model keeps it.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let message = v1::StreamObligationsResponse::decode(bytes).ok()?;
        let position = message.position.as_ref()?;
        Some(Self { seq: position.seq?, epoch: position.epoch, digest: sha256(bytes), message })
    }
}

/// Why nothing was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushError {
    /// The target cannot be reached, or broke off: what became of the delivery is unknown. Try again.
    Unreachable(String),
    /// The target has seen a sender of a higher epoch: this node is no longer primary.
    Fenced {
        /// The epoch that it has seen.
        seen: u64,
    },
    /// The target is further than the journal, or holds something else: somebody must look.
    Contradiction(String),
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(text) => f.write_str(text),
            Self::Fenced { seen } => write!(f, "the target has seen epoch {seen}: this node is fenced off"),
            Self::Contradiction(text) => write!(f, "the target contradicts the journal: {text}"),
        }
    }
}

impl std::error::Error for PushError {}

/// A system that books what the settlement stream says.
#[tonic::async_trait]
pub trait Target: Send {
    /// For people.
    fn name(&self) -> &'static str;

    /// Whether all nodes of the exchange deliver to the same one: then only the primary does.
    fn is_shared(&self) -> bool {
        true
    }

    /// How far it is, as it has it on its disk.
    ///
    /// # Errors
    ///
    /// It cannot be asked.
    async fn mark(&mut self) -> Result<Mark, PushError>;

    /// Books messages that follow one another, sent by a primary of `epoch`; those that it has are
    /// passed over. When this returns they are durable there.
    ///
    /// # Errors
    ///
    /// Then none of them may be taken for booked until [`Self::mark`] says so.
    async fn deliver(&mut self, epoch: u64, items: &[Item]) -> Result<Mark, PushError>;
}

/// What of `items` comes after a mark, if a sender of `epoch` may deliver it.
///
/// # Errors
///
/// [`PushError::Fenced`], or a gap.
pub fn after(mark: Mark, epoch: u64, items: &[Item]) -> Result<&[Item], PushError> {
    if epoch < mark.epoch {
        return Err(PushError::Fenced { seen: mark.epoch });
    }
    let new = items.iter().position(|it| it.seq > mark.seq).unwrap_or(items.len());
    let new = items.get(new..).unwrap_or_default();
    let gapless = new.iter().zip(mark.seq + 1..).all(|(it, seq)| it.seq == seq);
    if !gapless {
        return Err(PushError::Contradiction(format!("a gap after number {}", mark.seq)));
    }
    Ok(new)
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

/// An account as books outside name it: `member:M1`, `margin:M1`, `fees`, `tax`, `congestion`,
/// `deviation`, `rounding`, `bank`.
#[must_use]
pub fn account_name(account: Option<&v1::Account>) -> String {
    let Some(account) = account else { return "unknown".into() };
    let member = account.member.as_deref().unwrap_or_default();
    match account.kind() {
        v1::AccountKind::Unspecified => "unknown".into(),
        v1::AccountKind::Member => format!("member:{member}"),
        v1::AccountKind::Margin => format!("margin:{member}"),
        v1::AccountKind::Congestion => "congestion".into(),
        v1::AccountKind::Fees => "fees".into(),
        v1::AccountKind::Rounding => "rounding".into(),
        v1::AccountKind::Tax => "tax".into(),
        v1::AccountKind::Deviation => "deviation".into(),
        v1::AccountKind::Bank => "bank".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Item, Mark, PushError, after};
    use merit_proto::v1;

    fn items(numbers: &[u64]) -> Vec<Item> {
        let message = v1::StreamObligationsResponse::default();
        let item = |seq: &u64| Item { seq: *seq, epoch: 1, digest: [0; 32], message: message.clone() };
        numbers.iter().map(item).collect()
    }

    fn check(mark: (u64, u64), epoch: u64, numbers: &[u64], expected: Result<&[u64], PushError>) {
        let list = items(numbers);
        let mark = Mark { epoch: mark.0, seq: mark.1 };
        let found = after(mark, epoch, &list).map(|it| it.iter().map(|it| it.seq).collect::<Vec<_>>());
        assert_eq!(found, expected.map(<[u64]>::to_vec));
    }

    #[test]
    fn what_is_booked_is_passed_over_and_a_gap_or_a_lower_epoch_is_refused() {
        check((1, 0), 1, &[1, 2], Ok(&[1, 2]));
        check((1, 1), 1, &[1, 2], Ok(&[2]));
        check((1, 2), 1, &[1, 2], Ok(&[]));
        check((1, 0), 2, &[1], Ok(&[1]));
        check((2, 0), 1, &[1], Err(PushError::Fenced { seen: 2 }));
        check((1, 1), 1, &[3], Err(PushError::Contradiction("a gap after number 1".into())));
    }
}
