//! How verbs that ask a running exchange reach it: endpoints, and as whom.

use super::Failure;
use clap::Args;
use merit_client::{Client, Config};
use std::future::Future;
use std::path::PathBuf;

/// Where the exchange is and who asks.
#[derive(Clone, Debug, Args)]
pub(super) struct Connect {
    /// Endpoints of the nodes, e.g. https://127.0.0.1:7443; may be repeated or separated by commas.
    #[arg(long = "endpoint", value_name = "URL", value_delimiter = ',', required = true)]
    pub(super) endpoints: Vec<String>,
    /// PEM file with the exchange's authority.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    authority: Option<PathBuf>,
    /// PEM file with the operator's certificate.
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// PEM file with its private key.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The operator's name, on plaintext loopback endpoints.
    #[arg(long, value_name = "NAME", conflicts_with = "authority")]
    user: Option<String>,
}

impl Connect {
    /// A client of each endpoint.
    pub(super) fn clients(&self) -> Result<Vec<(String, Client)>, Failure> {
        let client = |endpoint: &String| {
            let endpoints = [endpoint.as_str()];
            let mut config = match (&self.authority, &self.certificate, &self.key, &self.user) {
                (Some(authority), Some(certificate), Some(key), None) => {
                    Config::mutual_tls(&endpoints, authority, certificate, key)
                }
                (None, None, None, Some(user)) => Config::plaintext_loopback(&endpoints, user),
                _ => {
                    let rule = "give --authority, --certificate and --key, or --user on plaintext loopback";
                    return Err(Failure::usage(rule));
                }
            };
            config.retry.attempts = 1;
            config.retry.attempt_max = std::time::Duration::from_secs(5);
            Ok((endpoint.clone(), Client::new(config).map_err(Failure::usage)?))
        };
        self.endpoints.iter().map(client).collect()
    }
}

/// Runs a verb's calls to their end.
pub(super) fn wait<T>(calls: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    crate::server::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::error)?.block_on(calls)
}
