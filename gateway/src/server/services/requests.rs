//! Requests of operators and the dispatch centre on their way to the core and back.

use super::orders::other_request;
use crate::server::convert::faults::{Faults, request_refusal};
use crate::server::convert::{operator, timestamp};
use crate::server::node::{Caller, Node};
use merit_engine::command::Action;
use merit_engine::event::{Answer, Made};
use merit_proto::v1;
use tonic::Status;

/// Submits a request unless something is wrong with it already. `whole` names the message's main field.
pub(super) async fn execute(
    node: &Node,
    caller: &Caller,
    request_id: &str,
    action: Option<Action>,
    faults: Faults,
    whole: &str,
) -> Result<v1::RequestAnswer, Status> {
    execute_made(node, caller, request_id, action, faults, whole).await.map(|(answer, _)| answer)
}

/// The same, with what was made.
pub(super) async fn execute_made(
    node: &Node,
    caller: &Caller,
    request_id: &str,
    action: Option<Action>,
    mut faults: Faults,
    whole: &str,
) -> Result<(v1::RequestAnswer, Option<Made>), Status> {
    let id = operator::code(request_id, "request_id", &mut faults);
    let request = other_request(caller, id, action).filter(|_| faults.is_empty());
    let Some(request) = request else {
        let refused = faults.sorted().into_iter().next();
        let answer = v1::RequestAnswer {
            request_id: request_id.into(),
            replayed: false,
            refused: Some(refused.unwrap_or_default()),
            time: None,
        };
        return Ok((answer, None));
    };
    let (stamp, reply) = node.inbox.submit(request).await?;
    // Whoever changes members or rules reads them next.
    node.model.caught_up(stamp.seq).await;
    let made = match &reply.answer {
        Answer::Accepted { made, .. } => Some(*made),
        Answer::None | Answer::Refused { .. } => None,
    };
    Ok((answer(request_id, &reply.answer, whole), made))
}

fn answer(request_id: &str, answer: &Answer, whole: &str) -> v1::RequestAnswer {
    let (refused, time_us, replayed) = match answer {
        Answer::None => (None, None, false),
        Answer::Accepted { time_us, replayed, .. } => (None, Some(*time_us), *replayed),
        Answer::Refused { refusal, time_us, replayed, .. } => {
            (Some(request_refusal(refusal, whole)), Some(*time_us), *replayed)
        }
    };
    v1::RequestAnswer { request_id: request_id.into(), replayed, refused, time: time_us.map(timestamp) }
}
