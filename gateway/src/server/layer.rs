//! Around every call: its request id, its span, and a clear answer to a message that is too large.

use super::status;
use merit_engine::ids::TextId;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderName, HeaderValue, Request, Response};
use tonic::{Code, Status};
use tower_layer::Layer;
use tracing::Instrument as _;

/// Metadata with the id by which a call is found in the log; made here if the caller sends none.
pub const REQUEST_ID: &str = "x-request-id";
/// The same, as it is looked up.
static REQUEST_ID_NAME: HeaderName = HeaderName::from_static(REQUEST_ID);

/// What tonic says about a message beyond the limit; it has no code of its own.
const TOO_LARGE: &str = "decoded message length too large";

/// Puts [`Scoped`] around a service.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Largest message, bytes.
    pub request_bytes_max: u64,
}

impl<S> Layer<S> for Scope {
    type Service = Scoped<S>;

    fn layer(&self, inner: S) -> Scoped<S> {
        Scoped { inner, request_bytes_max: self.request_bytes_max }
    }
}

/// A service with its calls in spans.
#[derive(Clone, Debug)]
pub struct Scoped<S> {
    inner: S,
    request_bytes_max: u64,
}

type Boxed<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl<S, In, Out> Service<Request<In>> for Scoped<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    Out: Default + Send + 'static,
{
    type Response = Response<Out>;
    type Error = S::Error;
    type Future = Boxed<Response<Out>, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let given = request.headers().get(&REQUEST_ID_NAME);
        let is_id = |it: &&HeaderValue| it.to_str().is_ok_and(|it| TextId::new(it).is_some());
        let mut id = given.filter(is_id).map_or_else(fresh_id, HeaderValue::clone);
        // Never seen again, so neither end need remember it for its header compression.
        id.set_sensitive(true);
        let span = tracing::info_span!(
            "call",
            method = request.uri().path(),
            request_id = id.to_str().unwrap_or_default(),
            user = tracing::field::Empty
        );
        let begun = Instant::now();
        let limit = self.request_bytes_max;
        let answer = span.in_scope(|| self.inner.call(request));
        let scoped = async move {
            let mut response = clarified(answer.await?, limit);
            response.headers_mut().insert(&REQUEST_ID_NAME, id);
            let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |it| it.code());
            tracing::debug!(?code, elapsed_us = begun.elapsed().as_micros(), "called");
            Ok(response)
        };
        Box::pin(scoped.instrument(span))
    }
}

/// Says in the contract's words that a message was too large.
fn clarified<Out: Default>(response: Response<Out>, limit: u64) -> Response<Out> {
    let refused = Status::from_header_map(response.headers());
    match refused {
        Some(it) if is_too_large(&it) => too_large(limit).into_http(),
        Some(_) | None => response,
    }
}

/// Whether a status is tonic's about a message beyond the limit.
#[must_use]
pub fn is_too_large(refused: &Status) -> bool {
    refused.code() == Code::OutOfRange && refused.message().contains(TOO_LARGE)
}

/// The contract's status for a message beyond the limit.
#[must_use]
pub fn too_large(limit: u64) -> Status {
    status::too_large(&format!("a message may have at most {limit} bytes"), limit)
}

/// An id that no other call has: how many came before it, under a keyed hash (SipHash, its keys drawn at the start). Random
/// numbers for each would cost as much as all the rest of this; a number that can be counted with would tell a member how
/// many calls all others made.
fn fresh_id() -> HeaderValue {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let id = format!("{:016x}", KEYS.hash_one(CALLS.fetch_add(1, Ordering::Relaxed)));
    HeaderValue::from_str(&id).expect("digits may stand in a header")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn no_two_calls_get_the_same_id_and_none_tells_how_many_came_between() {
        let ids: Vec<_> = (0..10_000).map(|_| super::fresh_id().to_str().unwrap().to_owned()).collect();
        assert!(ids.iter().all(|it| it.len() == 16));
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 10_000);
        let numbers = ids.iter().map(|it| u64::from_str_radix(it, 16).unwrap());
        let pairs = numbers.clone().zip(numbers.skip(1));
        assert_eq!(pairs.map(|(one, next)| next.wrapping_sub(one)).collect::<HashSet<_>>().len(), 9_999);
    }
}
