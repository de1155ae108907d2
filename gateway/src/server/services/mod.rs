//! The services of the contract: who may ask, what is asked of the core or the read model, and the answer.

mod dispatch;
mod entry;
mod market;
mod member;
mod meters;
mod operator;
mod orders;
mod replication;
mod requests;
mod risk;
mod settlement;

pub use dispatch::Dispatch;
pub use market::MarketData;
pub use member::Member;
pub use operator::Operator;
pub use replication::Replication;
pub use risk::Risk;
pub use settlement::Settlement;

/// Most rows of one page.
const PAGE_MAX: usize = 1_000;

/// Size of a page as asked for, within bounds.
fn page_size(asked: Option<u32>) -> usize {
    asked.and_then(|it| usize::try_from(it).ok()).filter(|it| *it > 0).unwrap_or(PAGE_MAX).min(PAGE_MAX)
}

/// A page token that is a number.
fn page_token(token: Option<&str>) -> Result<u64, tonic::Status> {
    match token {
        None | Some("") => Ok(0),
        Some(text) => {
            let rule = "must come from the answer before";
            text.parse().map_err(|_| super::status::invalid_argument("page_token", rule))
        }
    }
}
