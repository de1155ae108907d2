//! Order commands on their way to the core and back, whichever call they came in.

use crate::server::convert::faults::{Faults, Paths};
use crate::server::convert::order_in::Content;
use crate::server::convert::{order_in, order_out};
use crate::server::exchange::Reply;
use crate::server::inbox::Answered;
use crate::server::node::{Caller, Node, doubt};
use crate::server::read_model::Known;
use merit_engine::command::{Action, Body, Request};
use merit_engine::event::Answer;
use merit_engine::ids::{MemberId, TextId};
use merit_engine::reject::Reject;
use merit_proto::v1;
use tonic::Status;

/// A command as it came, and where it stood in its message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) command: &'a v1::OrderCommand,
    pub(super) paths: Paths,
}

impl<'a> Asked<'a> {
    /// A command that is a message of its own; `field` is its field there.
    pub(super) fn single(command: &'a v1::OrderCommand, field: &'static str) -> Self {
        Self { command, paths: Paths::single(field) }
    }

    /// The commands of a batch.
    pub(super) fn all(commands: &'a [v1::OrderCommand]) -> impl Iterator<Item = Self> {
        commands.iter().enumerate().map(|(index, it)| Self::in_batch(index, it))
    }

    fn in_batch(index: usize, command: &'a v1::OrderCommand) -> Self {
        let field = match &command.command {
            Some(v1::order_command::Command::Submit(_)) => "submit",
            Some(v1::order_command::Command::Amend(_)) => "amend",
            Some(v1::order_command::Command::Cancel(_)) => "cancel",
            Some(v1::order_command::Command::CancelAll(_)) => "cancel_all",
            None => "command",
        };
        Self { command, paths: Paths::in_batch(index, field) }
    }
}

/// A command as read: for the core, or refused already.
pub(super) struct Read {
    pub(super) paths: Paths,
    pub(super) request: Result<Box<Request>, Box<(Faults, Option<Request>)>>,
}

/// Commands that are read with the model locked once, and their points: its writer waits for them.
const READ_TOGETHER: usize = 16;
const READ_TOGETHER_POINTS: usize = 256;

/// Reads some of the first commands, at least one, with what the read model knows now, each by itself. An order that is
/// named by its command's id is looked for before: perhaps on the disk, where the model's writer need not wait for it.
pub(super) fn read_some(
    node: &Node,
    caller: &Caller,
    member: MemberId,
    asked: &[Asked<'_>],
    all: &mut impl Extend<Read>,
) -> Result<(), Status> {
    let mut all_points = 0;
    let together = |it: &&Asked<'_>| {
        all_points += points(it);
        name(it).is_none() && all_points <= READ_TOGETHER_POINTS
    };
    let nameless = asked.iter().take(READ_TOGETHER).take_while(together).count();
    let order = asked.first().and_then(name);
    let named = order.map(|id| node.model.order_named(member, id)).transpose().map_err(doubt)?;
    let now = asked.iter().take(nameless.max(1));
    node.model.known(named.flatten(), |known| all.extend(now.map(|it| read(known, caller, member, it))));
    Ok(())
}

fn read_now(
    node: &Node,
    caller: &Caller,
    member: MemberId,
    asked: &[Asked<'_>],
) -> Result<Vec<Read>, Status> {
    let mut all = Vec::with_capacity(asked.len());
    while let Some(next) = asked.get(all.len()..).filter(|it| !it.is_empty()) {
        read_some(node, caller, member, next, &mut all)?;
    }
    Ok(all)
}

/// Points of a command, or periods of a block.
fn points(asked: &Asked<'_>) -> usize {
    let content = match &asked.command.command {
        Some(v1::order_command::Command::Submit(order)) => order_in::content_of_new(order),
        Some(v1::order_command::Command::Amend(amend)) => order_in::content_of_amend(amend),
        Some(v1::order_command::Command::Cancel(_) | v1::order_command::Command::CancelAll(_)) | None => None,
    };
    content.map_or(0, |it| match it {
        Content::Step(v1::StepCurve { periods, .. }) | Content::Linear(v1::LinearCurve { periods }) => {
            periods.iter().map(|it| it.points.len()).sum()
        }
        Content::Block(block) => block.periods.len(),
        Content::Complex(complex) => complex.periods.iter().map(|it| it.points.len()).sum(),
    })
}

/// The id by which a command names an order, if it does.
fn name<'a>(asked: &Asked<'a>) -> Option<&'a str> {
    let order = match asked.command.command.as_ref()? {
        v1::order_command::Command::Amend(amend) => amend.order.as_ref(),
        v1::order_command::Command::Cancel(cancel) => cancel.order.as_ref(),
        v1::order_command::Command::Submit(_) | v1::order_command::Command::CancelAll(_) => None,
    };
    match order?.name.as_ref()? {
        v1::order_ref::Name::ClientOrderId(id) => Some(id),
        v1::order_ref::Name::OrderId(_) => None,
    }
}

fn read(known: &Known<'_>, caller: &Caller, member: MemberId, asked: &Asked<'_>) -> Read {
    let mut paths = asked.paths;
    let mut reader = order_in::Reader::new(known, member);
    let id = reader.request_id(&asked.command.client_order_id, || paths.beside("client_order_id"));
    let action = reader.command(asked.command, &mut paths);
    let request = id.zip(action).map(|(id, action)| caller.request(id, action));
    let request = match request {
        // It is handed on several times, and then to the core.
        Some(request) if reader.faults.is_empty() => Ok(Box::new(request)),
        request => Err(Box::new((reader.faults, request))),
    };
    Read { paths, request }
}

/// Reads commands; where something is unknown or wrong it looks again once the read model has caught up.
pub(super) async fn read_all(node: &Node, caller: &Caller, asked: &[Asked<'_>]) -> Result<Vec<Read>, Status> {
    let member = caller.member()?;
    let mut all = read_now(node, caller, member, asked)?;
    if all.iter().any(|it| it.request.is_err()) {
        node.fresh().await;
        all = read_now(node, caller, member, asked)?;
    }
    Ok(all)
}

/// What became of a command that was read: it is among those for the core, or has its answer.
pub(super) enum Step {
    ForCore(Paths),
    Answered(v1::OrderAnswer),
}

/// Parts commands that go to the core from those that are refused here, behind what is there already.
pub(super) async fn part(
    node: &Node,
    member: MemberId,
    (asked, all): (&[Asked<'_>], impl Iterator<Item = Read>),
    (steps, requests): (&mut Vec<Step>, &mut Vec<Body>),
) -> Result<(), Status> {
    for (asked, it) in asked.iter().zip(all) {
        match it.request {
            Ok(request) => {
                requests.push(Body::Request(request));
                steps.push(Step::ForCore(it.paths));
            }
            Err(refused) => {
                let (faults, request) = *refused;
                let id = &asked.command.client_order_id;
                let refusals = judge(node, member, id, &it.paths, faults, request).await?;
                let first = refusals.into_iter().next().unwrap_or_default();
                steps.push(Step::Answered(order_out::refused_answer(id, first)));
            }
        }
    }
    Ok(())
}

/// Everything that is wrong with a command that the core cannot be given, in order of precedence: what
/// was seen here, and what the engine says about the nearest command that it can be asked about.
pub(super) async fn judge(
    node: &Node,
    member: MemberId,
    id: &str,
    paths: &Paths,
    mut faults: Faults,
    request: Option<Request>,
) -> Result<Vec<v1::Refusal>, Status> {
    if faults.malformed_any() {
        return Ok(faults.sorted());
    }
    let known = node.model.answer(member, id).map_err(doubt)?;
    if known.is_some_and(|it| !is_free(&it)) {
        faults.reject(Reject::RequestIdReused, paths.beside("client_order_id"));
    }
    if let Some(request) = request {
        let now_us = node.time_us();
        let refusals = node.inbox.look(move |exchange, _| exchange.engine.dry_run(&request, now_us)).await?;
        for refusal in &refusals {
            let refusal = paths.refusal(refusal);
            // What was rounded to be asked about is judged by its own fault.
            if !faults.names(&refusal.field) {
                faults.add(refusal);
            }
        }
    }
    Ok(faults.sorted())
}

/// Whether an answer leaves its id free: a refusal that a retry can cure does.
fn is_free(answer: &v1::OrderAnswer) -> bool {
    match &answer.outcome {
        Some(v1::order_answer::Outcome::Refused(refusal)) => refusal.retryable,
        Some(v1::order_answer::Outcome::Accepted(_)) | None => false,
    }
}

/// Submits commands that stand or fall together before they are durable, and answers each.
pub(super) async fn execute(
    node: &Node,
    caller: &Caller,
    asked: &[Asked<'_>],
) -> Result<Vec<v1::OrderAnswer>, Status> {
    let member = caller.member()?;
    let all = read_all(node, caller, asked).await?;
    let (mut steps, mut requests) = (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
    part(node, member, (asked, all.into_iter()), (&mut steps, &mut requests)).await?;
    let answered = if requests.is_empty() { Vec::new() } else { node.inbox.submit_all(requests).await? };
    Ok(answers(node, member, steps, answered).await)
}

/// Puts the core's answers to their commands.
pub(super) async fn answers(
    node: &Node,
    member: MemberId,
    steps: Vec<Step>,
    answered: Vec<Answered>,
) -> Vec<v1::OrderAnswer> {
    let mut from_core = answered.into_iter();
    let mut answers = Vec::with_capacity(steps.len());
    for step in steps {
        match step {
            Step::Answered(answer) => answers.push(answer),
            Step::ForCore(paths) => {
                if let Some((stamp, reply)) = from_core.next() {
                    // Not even the id that the member gave: a book is sealed in the log too.
                    tracing::debug!(journal_seq = stamp.seq, "answered");
                    answers.push(answer(node, member, &paths, &reply).await);
                }
            }
        }
    }
    answers
}

async fn answer(node: &Node, member: MemberId, paths: &Paths, reply: &Reply) -> v1::OrderAnswer {
    let order = reply.request.as_ref().and_then(|it| it.order).map(|it| it.0);
    let id = reply.request.as_ref().map_or("", |it| it.id.as_str());
    let mut answer = order_out::order_answer(id, &reply.answer, order, reply.member_seq, paths);
    if answer.replayed {
        // The first answer's place in the member's stream is in the read model only.
        let (Answer::Accepted { seq, .. } | Answer::Refused { seq, .. }) = &reply.answer else {
            return answer;
        };
        node.model.caught_up(*seq).await;
        if let Ok(Some(first)) = node.model.answer(member, id) {
            answer.seq = first.seq;
        }
    }
    answer
}

/// A dry run: every command by itself, nothing journaled.
pub(super) async fn dry_run(
    node: &Node,
    caller: &Caller,
    asked: &[Asked<'_>],
) -> Result<Vec<v1::DryRunResult>, Status> {
    let member = caller.member()?;
    let mut results = Vec::with_capacity(asked.len());
    for (asked, it) in asked.iter().zip(read_all(node, caller, asked).await?) {
        let id = &asked.command.client_order_id;
        let (faults, request) = match it.request {
            Ok(request) => (Faults::default(), Some(*request)),
            Err(refused) => *refused,
        };
        // With an id that is used already the engine says whether this is a repeat or a reuse.
        let repeat = request.is_some() && faults.is_empty();
        let refusals = if repeat {
            engine_refusals(node, &it.paths, request).await?
        } else {
            judge(node, member, id, &it.paths, faults, request).await?
        };
        results.push(v1::DryRunResult { client_order_id: id.clone(), refusals });
    }
    Ok(results)
}

async fn engine_refusals(
    node: &Node,
    paths: &Paths,
    request: Option<Request>,
) -> Result<Vec<v1::Refusal>, Status> {
    let Some(request) = request else { return Ok(Vec::new()) };
    let now_us = node.time_us();
    let refusals = node.inbox.look(move |exchange, _| exchange.engine.dry_run(&request, now_us)).await?;
    Ok(refusals.iter().map(|it| paths.refusal(it)).collect())
}

/// A request that is not an order command.
pub(super) fn other_request(caller: &Caller, id: Option<TextId>, action: Option<Action>) -> Option<Request> {
    id.zip(action).map(|(id, action)| caller.request(id, action))
}
