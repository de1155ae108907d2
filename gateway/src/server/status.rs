//! gRPC statuses with google.rpc details: what the transport could not do, each with its stable reason.

use merit_proto::ERROR_DOMAIN;
use merit_proto::v1::TransportReason;
use merit_replay::runner::Refused;
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// When to come back after the inbox was full.
const RETRY_OVERLOADED: Duration = Duration::from_millis(250);
/// When to come back after the disk was full.
const RETRY_STORAGE: Duration = Duration::from_secs(1);

fn info(reason: TransportReason, metadata: &[(&str, String)]) -> ErrorDetails {
    let name = reason.as_str_name().trim_start_matches("TRANSPORT_REASON_");
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    ErrorDetails::with_error_info(name, ERROR_DOMAIN, metadata)
}

fn status(code: Code, reason: TransportReason, text: impl Into<String>) -> Status {
    Status::with_error_details(code, text, info(reason, &[]))
}

/// No user is known behind the connection.
#[must_use]
pub fn unauthenticated(text: &str) -> Status {
    status(Code::Unauthenticated, TransportReason::Unauthenticated, text)
}

/// The role may not call this.
#[must_use]
pub fn role_not_permitted(needed: &str) -> Status {
    let text = format!("this method is for {needed}");
    status(Code::PermissionDenied, TransportReason::RoleNotPermitted, text)
}

/// There is no such thing, as far as the caller may know.
#[must_use]
pub fn not_found(what: &str) -> Status {
    status(Code::NotFound, TransportReason::NotFound, format!("no such {what}"))
}

/// A read request is not well-formed.
#[must_use]
pub fn invalid_argument(field: &str, rule: &str) -> Status {
    let mut details = info(TransportReason::InvalidArgument, &[("field", field.to_owned())]);
    details.add_bad_request_violation(field, rule);
    Status::with_error_details(Code::InvalidArgument, format!("{field}: {rule}"), details)
}

/// The message is larger than the limit.
#[must_use]
pub fn too_large(text: &str, limit_bytes: u64) -> Status {
    let details = info(TransportReason::RequestTooLarge, &[("limit_bytes", limit_bytes.to_string())]);
    Status::with_error_details(Code::ResourceExhausted, text, details)
}

/// More commands in one message than the exchange takes.
#[must_use]
pub fn too_many_commands(limit: usize) -> Status {
    let details = info(TransportReason::RequestTooLarge, &[("limit_commands", limit.to_string())]);
    let text = format!("at most {limit} commands in one message");
    Status::with_error_details(Code::ResourceExhausted, text, details)
}

/// It exists, but not yet for the caller.
#[must_use]
pub fn not_published(what: &str) -> Status {
    status(Code::FailedPrecondition, TransportReason::NotPublished, what)
}

/// The reader of a stream took nothing for too long.
#[must_use]
pub fn slow_consumer(last_seq: u64) -> Status {
    let details = info(TransportReason::SlowConsumer, &[("last_seq", last_seq.to_string())]);
    let text = format!("too slow; resume from {}", last_seq + 1);
    Status::with_error_details(Code::ResourceExhausted, text, details)
}

/// The user has too many open streams.
#[must_use]
pub fn too_many_streams(limit: u32) -> Status {
    let details = info(TransportReason::TooManyStreams, &[("limit", limit.to_string())]);
    let text = format!("a user may have {limit} streams at the same time");
    Status::with_error_details(Code::ResourceExhausted, text, details)
}

/// The number asked for lies beyond the next one.
#[must_use]
pub fn seq_in_future(head_seq: u64) -> Status {
    let details = info(TransportReason::SeqInFuture, &[("head_seq", head_seq.to_string())]);
    let text = format!("from_seq lies beyond the next number, {}", head_seq + 1);
    Status::with_error_details(Code::OutOfRange, text, details)
}

/// The node is stopping.
#[must_use]
pub fn shutting_down() -> Status {
    status(Code::Unavailable, TransportReason::ShuttingDown, "the node is stopping")
}

/// A defect of ours.
#[must_use]
pub fn internal(text: &str) -> Status {
    status(Code::Internal, TransportReason::Internal, text)
}

/// The read model cannot answer now; it is being built again.
#[must_use]
pub fn model_in_doubt() -> Status {
    let mut details = info(TransportReason::StorageUnavailable, &[]);
    details.set_retry_info(Some(RETRY_STORAGE));
    Status::with_error_details(Code::Unavailable, "the read model is being built again", details)
}

/// Why the core did not take or answer a command.
#[must_use]
pub fn refused(refused: Refused) -> Status {
    let text = refused.to_string();
    let retry = |reason, after| {
        let mut details = info(reason, &[]);
        details.set_retry_info(Some(after));
        Status::with_error_details(Code::Unavailable, text.clone(), details)
    };
    match refused {
        Refused::Busy => retry(TransportReason::Overloaded, RETRY_OVERLOADED),
        Refused::NoSpace => retry(TransportReason::StorageUnavailable, RETRY_STORAGE),
        Refused::Stopping => shutting_down(),
        Refused::NotPrimary => status(Code::Unavailable, TransportReason::NotPrimary, text),
        Refused::SteppedDown => outcome_unknown(),
        Refused::TooLarge { bytes_max, .. } => too_large(&text, bytes_max),
        Refused::Failed => outcome_unknown(),
    }
}

/// The core ended before it answered: the command may be durable.
#[must_use]
pub fn outcome_unknown() -> Status {
    let text = "the outcome is unknown; ask again with the same id";
    status(Code::Unavailable, TransportReason::OutcomeUnknown, text)
}
