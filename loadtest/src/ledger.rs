//! What was sent and what was answered, as the members themselves keep it.

use merit_client::{CallError, reason, v1};

/// The client order ids of one run: all begin alike, so that orders of others are told apart.
#[derive(Clone, Debug)]
pub(crate) struct Ids(String);

impl Ids {
    /// A prefix that no other run has.
    pub(crate) fn new(run: u128) -> Self {
        Self(format!("load-{run}-"))
    }

    /// The id of a command.
    pub(crate) fn id(&self, number: u64) -> String {
        format!("{}{number}", self.0)
    }

    /// The command of an id; nothing if it is not of this run.
    pub(crate) fn number(&self, id: &str) -> Option<u64> {
        id.strip_prefix(&self.0)?.parse().ok()
    }
}

/// What a command asked for. Orders are named by the number of the command that entered them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Submit,
    Amend { origin: u64 },
    Cancel { origin: u64 },
}

/// What the member was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is done, and durable. Version 0: not told.
    Accepted { order_id: u64, version: u32, seq: Option<u64> },
    /// The market's rules forbid it.
    Refused { reason: String, seq: Option<u64> },
    /// No answer: it may or may not be done.
    Unknown,
    /// The exchange did not take the call; nothing is done.
    Failed(String),
    /// An answer that the contract does not allow.
    Strange(String),
}

impl Outcome {
    /// Reads the answer to the command with this id.
    pub(crate) fn of(id: &str, answer: Result<v1::OrderAnswer, CallError>) -> Self {
        let answer = match answer {
            Ok(answer) => answer,
            Err(CallError::OutcomeUnknown { .. }) => return Self::Unknown,
            Err(CallError::Status(status)) => {
                return Self::Failed(reason(&status).unwrap_or_else(|| format!("{:?}", status.code())));
            }
            Err(error @ (CallError::InFlight { .. } | CallError::Protocol(_))) => {
                return Self::Strange(error.to_string());
            }
        };
        if answer.client_order_id != id {
            return Self::Strange(format!("the answer is for {}", answer.client_order_id));
        }
        match answer.outcome {
            Some(v1::order_answer::Outcome::Accepted(accepted)) => match accepted.order_id {
                // An answer to a cancellation may name no version.
                Some(order_id) => {
                    let version = accepted.version.unwrap_or(0);
                    Self::Accepted { order_id, version, seq: answer.seq }
                }
                None => Self::Strange("accepted without an order id".to_string()),
            },
            Some(v1::order_answer::Outcome::Refused(refusal)) => Self::Refused {
                reason: refusal.reason().as_str_name().trim_start_matches("REJECT_REASON_").to_string(),
                seq: answer.seq,
            },
            None => Self::Strange("neither accepted nor refused".to_string()),
        }
    }
}

/// A command with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) number: u64,
    pub(crate) what: What,
    pub(crate) outcome: Outcome,
}
