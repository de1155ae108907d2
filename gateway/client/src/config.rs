//! Where the exchange is, and with what certificate to call.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// How calls are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How long one attempt may take.
    pub attempt_max: Duration,
    /// How many attempts there are, over all endpoints.
    pub attempts: u32,
    /// Wait before the second attempt; doubled before each later one.
    pub wait_first: Duration,
    /// Longest wait.
    pub wait_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempt_max: Duration::from_secs(5),
            attempts: 8,
            wait_first: Duration::from_millis(20),
            wait_max: Duration::from_secs(2),
        }
    }
}

/// How to show who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    Tls { authority: PathBuf, certificate: PathBuf, key: PathBuf, server_name: Option<String> },
    Plaintext { user: String },
}

/// Where the exchange is and how to call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub(crate) endpoints: Vec<String>,
    pub(crate) credentials: Credentials,
    /// How calls are repeated.
    pub retry: Retry,
    /// Largest message taken from the exchange, bytes.
    pub message_max: usize,
}

impl Config {
    /// Mutual TLS with PEM files: the exchange's authority, the user's certificate (chain) and its key.
    /// Endpoints such as `https://host:7443` are tried in this order.
    #[must_use]
    pub fn mutual_tls(
        endpoints: &[&str],
        authority: impl Into<PathBuf>,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        let credentials = Credentials::Tls {
            authority: authority.into(),
            certificate: certificate.into(),
            key: key.into(),
            server_name: None,
        };
        Self::with(endpoints, credentials)
    }

    /// No TLS, as the user of this name; only to loopback addresses, and only where the exchange allows it.
    #[must_use]
    pub fn plaintext_loopback(endpoints: &[&str], user: &str) -> Self {
        Self::with(endpoints, Credentials::Plaintext { user: user.to_string() })
    }

    fn with(endpoints: &[&str], credentials: Credentials) -> Self {
        Self {
            endpoints: endpoints.iter().map(|text| (*text).to_string()).collect(),
            credentials,
            retry: Retry::default(),
            message_max: 64 << 20,
        }
    }

    /// The name in the exchange's certificate, where it is not the host of the endpoint.
    #[must_use]
    pub fn server_name(mut self, name: &str) -> Self {
        if let Credentials::Tls { server_name, .. } = &mut self.credentials {
            *server_name = Some(name.to_string());
        }
        self
    }

    pub(crate) fn dial(&self) -> Result<Vec<Endpoint>, ConnectError> {
        if self.endpoints.is_empty() {
            return Err(ConnectError::NoEndpoint);
        }
        let tls = self.tls()?;
        self.endpoints
            .iter()
            .map(|text| {
                let bad = |reason: String| ConnectError::Endpoint { endpoint: text.clone(), reason };
                let endpoint = Endpoint::from_shared(text.clone()).map_err(|error| bad(error.to_string()))?;
                let endpoint = tuned(endpoint, &self.retry);
                let scheme = endpoint.uri().scheme_str();
                match &tls {
                    Some(tls) if scheme == Some("https") => {
                        endpoint.tls_config(tls.clone()).map_err(|error| bad(error.to_string()))
                    }
                    Some(_) => Err(bad("mutual TLS needs https".to_string())),
                    None if scheme != Some("http") => Err(bad("plaintext needs http".to_string())),
                    None if !on_loopback(&endpoint) => {
                        Err(bad("plaintext is for loopback addresses only".to_string()))
                    }
                    None => Ok(endpoint),
                }
            })
            .collect()
    }

    fn tls(&self) -> Result<Option<ClientTlsConfig>, ConnectError> {
        let Credentials::Tls { authority, certificate, key, server_name } = &self.credentials else {
            return Ok(None);
        };
        let config = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(authority)?))
            .identity(Identity::from_pem(read(certificate)?, read(key)?))
            .timeout(self.retry.attempt_max);
        Ok(Some(match server_name {
            Some(name) => config.domain_name(name),
            None => config,
        }))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConnectError> {
    std::fs::read(path).map_err(|source| ConnectError::File { path: path.to_path_buf(), source })
}

fn tuned(endpoint: Endpoint, retry: &Retry) -> Endpoint {
    endpoint
        .connect_timeout(retry.attempt_max)
        .tcp_nodelay(true)
        // A peer that has vanished is noticed while nothing is sent, too.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
}

fn on_loopback(endpoint: &Endpoint) -> bool {
    let host = endpoint.uri().host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Why a client cannot be made.
#[derive(Debug)]
pub enum ConnectError {
    /// There is no endpoint.
    NoEndpoint,
    /// A PEM file cannot be read.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An endpoint cannot be used as it stands.
    Endpoint {
        /// Which.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// The user's name cannot be sent.
    User {
        /// The name.
        user: String,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoint => f.write_str("there is no endpoint to connect to"),
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Endpoint { endpoint, reason } => write!(f, "{endpoint}: {reason}"),
            Self::User { user } => write!(f, "'{user}' cannot be a user's name"),
        }
    }
}

impl std::error::Error for ConnectError {}
