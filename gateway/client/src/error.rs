//! What a call can end in, when it does not end in an answer.

use std::fmt;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A call that brought no answer. (What the market refuses is an answer.)
#[derive(Debug)]
pub enum CallError {
    /// The exchange said no to the call itself; nothing was changed, and the same call would be told the same.
    Status(Box<Status>),
    /// No attempt was answered: the exchange may or may not have carried it out. Call again with the same id,
    /// or look it up by that id.
    OutcomeUnknown {
        /// The id, or the first one of a batch.
        client_order_id: String,
        /// What the last attempt ended in.
        last: Box<Status>,
    },
    /// The id is on its way on this stream already; its answer will come there.
    InFlight {
        /// The id.
        client_order_id: String,
    },
    /// The answer is not one that the contract knows.
    Protocol(&'static str),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{:?}: {}", status.code(), status.message()),
            Self::OutcomeUnknown { client_order_id, last } => {
                write!(f, "outcome of {client_order_id} unknown: {}", last.message())
            }
            Self::InFlight { client_order_id } => write!(f, "{client_order_id} is on its way already"),
            Self::Protocol(what) => write!(f, "unexpected answer: {what}"),
        }
    }
}

impl std::error::Error for CallError {}

/// The stable reason of a status of the exchange, e.g. `NOT_PRIMARY`; see `TransportReason` in the contract.
#[must_use]
pub fn reason(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.domain == merit_proto::ERROR_DOMAIN).then_some(info.reason)
}

/// What to do about a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing: the same call would end the same.
    Final,
    /// Try again here, after the wait that the exchange asks for or the usual one.
    Here(Option<std::time::Duration>),
    /// Try again at the next endpoint.
    Elsewhere,
}

pub(crate) fn verdict(status: &Status) -> Verdict {
    let wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
    match status.code() {
        Code::Unavailable | Code::Aborted => match (wait, reason(status).as_deref()) {
            (wait @ Some(_), _) => Verdict::Here(wait),
            (None, Some("OVERLOADED")) => Verdict::Here(None),
            (None, _) => Verdict::Elsewhere,
        },
        // Calls carry ids, so a defect or a lost connection may be tried again as well.
        Code::Cancelled | Code::DeadlineExceeded | Code::Unknown | Code::Internal => Verdict::Elsewhere,
        Code::ResourceExhausted if wait.is_some() => Verdict::Here(wait),
        Code::ResourceExhausted => match reason(status).as_deref() {
            Some("RATE_EXCEEDED" | "SLOW_CONSUMER") => Verdict::Here(None),
            _ => Verdict::Final,
        },
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => Verdict::Final,
    }
}
