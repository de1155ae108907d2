//! A webhook: JSON by HTTP POST, signed, repeated until it is taken.
//!
//! The receiver keeps the mark. `GET` on its URL answers `{"epoch": E, "seq": N}`; `POST` brings
//! `{"epoch": E, "items": [...]}` and is answered 200 with the new mark once everything is durable, 409
//! with the mark if the epoch is lower than one that it has seen. Each request carries
//! `merit-timestamp` (seconds) and `merit-signature: sha256=` HMAC-SHA-256 under the shared secret
//! over the timestamp, a dot, and the body, so that a receiver can tell whom it comes from and how old
//! it is.

use super::{Item, Mark, PushError, Target, hex, json};
use aws_lc_rs::hmac;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The target.
pub struct Webhook {
    uri: Uri,
    key: hmac::Key,
    tls: Option<Arc<rustls::ClientConfig>>,
    now_s: fn() -> i64,
}

fn broken(error: impl std::fmt::Display) -> PushError {
    PushError::Unreachable(format!("webhook: {error}"))
}

/// HMAC-SHA-256 of a request.
#[must_use]
pub fn signature(secret: &[u8], timestamp_s: i64, body: &[u8]) -> String {
    sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), timestamp_s, body)
}

fn sign(key: &hmac::Key, timestamp_s: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(timestamp_s.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    format!("sha256={}", hex(context.sign().as_ref()))
}

impl Webhook {
    /// A target at a URL; `tls` is needed for `https`. `now_s` says the time in seconds since 1970.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL.
    pub fn new(
        url: &str,
        secret: &[u8],
        tls: Option<Arc<rustls::ClientConfig>>,
        now_s: fn() -> i64,
    ) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
        match (uri.scheme_str(), uri.host(), &tls) {
            (Some("http"), Some(_), _) | (Some("https"), Some(_), Some(_)) => {}
            (Some("https"), Some(_), None) => return Err("https needs the receiver's authority".into()),
            _ => return Err("must begin with http:// or https:// and name a host".into()),
        }
        Ok(Self { uri, key: hmac::Key::new(hmac::HMAC_SHA256, secret), tls, now_s })
    }

    async fn call(&self, method: Method, body: Vec<u8>) -> Result<(StatusCode, Vec<u8>), PushError> {
        let called = tokio::time::timeout(TIMEOUT, self.call_unbounded(method, body)).await;
        called.unwrap_or_else(|_| Err(broken("no answer in time")))
    }

    async fn call_unbounded(
        &self,
        method: Method,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Vec<u8>), PushError> {
        let secure = self.uri.scheme_str() == Some("https");
        let host = self.uri.host().unwrap_or_default().to_owned();
        let port = self.uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await.map_err(broken)?;
        let timestamp = (self.now_s)();
        let path = self.uri.path_and_query().map_or("/", |it| it.as_str());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.uri.authority().map_or("", |it| it.as_str()))
            .header("content-type", "application/json")
            .header("merit-timestamp", timestamp.to_string())
            .header("merit-signature", sign(&self.key, timestamp, &body))
            .body(Full::new(Bytes::from(body)))
            .map_err(broken)?;
        match &self.tls {
            Some(config) if secure => {
                let name = ServerName::try_from(host).map_err(broken)?;
                let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
                exchange(TokioIo::new(connector.connect(name, stream).await.map_err(broken)?), request).await
            }
            Some(_) | None => exchange(TokioIo::new(stream), request).await,
        }
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(StatusCode, Vec<u8>), PushError>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(broken)?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(broken)?;
    connection.abort();
    Ok((status, body.to_bytes().to_vec()))
}

fn mark_in(body: &[u8]) -> Result<Mark, PushError> {
    let value: serde_json::Value = serde_json::from_slice(body).map_err(broken)?;
    let number = |name: &str| value.get(name).and_then(serde_json::Value::as_u64);
    match (number("epoch"), number("seq")) {
        (Some(epoch), Some(seq)) => Ok(Mark { epoch, seq }),
        _ => Err(broken("the answer has no mark")),
    }
}

#[tonic::async_trait]
impl Target for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    async fn mark(&mut self) -> Result<Mark, PushError> {
        match self.call(Method::GET, Vec::new()).await? {
            (StatusCode::OK, body) => mark_in(&body),
            (status, _) => Err(broken(status)),
        }
    }

    async fn deliver(&mut self, epoch: u64, items: &[Item]) -> Result<Mark, PushError> {
        let items: Vec<serde_json::Value> = items.iter().map(json::item).collect();
        let body = serde_json::json!({"epoch": epoch, "items": items}).to_string();
        match self.call(Method::POST, body.into_bytes()).await? {
            (StatusCode::OK, body) => mark_in(&body),
            (StatusCode::CONFLICT, body) => Err(PushError::Fenced { seen: mark_in(&body)?.epoch }),
            (status, _) => Err(broken(status)),
        }
    }
}
