//! The endpoints of the exchange, which of them is used now, and how a call is repeated over them.

use crate::config::{Config, ConnectError, Credentials, Retry};
use crate::error::{Verdict, verdict};
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// A channel to one endpoint that says who calls.
pub type Transport = InterceptedService<Channel, Caller>;

/// Names the user on plaintext connections; on TLS the certificate does.
#[derive(Clone, Debug)]
pub struct Caller {
    user: Option<MetadataValue<Ascii>>,
}

impl tonic::service::Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(user) = &self.user {
            request.metadata_mut().insert("merit-user", user.clone());
        }
        Ok(request)
    }
}

/// All endpoints.
pub(crate) struct Link {
    lines: Vec<Transport>,
    current: AtomicUsize,
    pub(crate) retry: Retry,
    pub(crate) message_max: usize,
}

/// One attempt's view: which endpoint it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineAt(usize);

impl Link {
    /// Nothing is connected before the first call.
    pub(crate) fn new(config: &Config) -> Result<Self, ConnectError> {
        let user = match &config.credentials {
            Credentials::Tls { .. } => None,
            Credentials::Plaintext { user } => {
                Some(user.parse().map_err(|_| ConnectError::User { user: user.clone() })?)
            }
        };
        let caller = Caller { user };
        let line = |endpoint: tonic::transport::Endpoint| {
            InterceptedService::new(endpoint.connect_lazy(), caller.clone())
        };
        Ok(Self {
            lines: config.dial()?.into_iter().map(line).collect(),
            current: AtomicUsize::new(0),
            retry: config.retry,
            message_max: config.message_max,
        })
    }

    pub(crate) fn current(&self) -> (LineAt, Transport) {
        let at = self.current.load(Ordering::Relaxed);
        (LineAt(at), self.lines[at].clone())
    }

    /// Goes to the next endpoint, unless another call has left this one already.
    pub(crate) fn leave(&self, line: LineAt) {
        let next = (line.0 + 1) % self.lines.len();
        let _ = self.current.compare_exchange(line.0, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Notes what a status says about an endpoint, and how long to wait before the next attempt; nothing if
    /// there is no use in one. `attempt` counts from 0.
    pub(crate) fn after(&self, line: LineAt, status: &Status, attempt: u32) -> Option<Duration> {
        let usual = self.wait(attempt);
        match verdict(status) {
            Verdict::Final => None,
            Verdict::Here(wait) => Some(wait.unwrap_or(usual)),
            Verdict::Elsewhere => {
                self.leave(line);
                // With another endpoint to turn to the first time, nothing is gained by waiting.
                Some(if attempt == 0 && self.lines.len() > 1 { Duration::ZERO } else { usual })
            }
        }
    }

    /// Doubling, with a random part so that members who failed together do not return together.
    pub(crate) fn wait(&self, attempt: u32) -> Duration {
        let doubled = self.retry.wait_first.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
        let random = u32::try_from(RandomState::new().build_hasher().finish() % 1_000).unwrap_or_default();
        let most = doubled.min(self.retry.wait_max);
        most / 2 + most / 2_000 * random
    }

    /// Calls until there is an answer, a final status, or no attempt left.
    pub(crate) async fn call<T, F, A>(&self, attempt: F) -> Result<T, Status>
    where
        F: Fn(Transport) -> A,
        A: Future<Output = Result<Response<T>, Status>>,
    {
        let mut count = 0;
        loop {
            let (line, transport) = self.current();
            let ended = tokio::time::timeout(self.retry.attempt_max, attempt(transport)).await;
            let status = match ended {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no answer in time"),
            };
            let wait = self.after(line, &status, count);
            count += 1;
            let Some(wait) = wait.filter(|_| count < self.retry.attempts) else { return Err(status) };
            tracing::debug!(attempt = count, code = ?status.code(), "call is repeated");
            tokio::time::sleep(wait).await;
        }
    }
}
