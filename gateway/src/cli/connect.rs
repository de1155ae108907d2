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
    /// Directory with authority.pem, USER.pem and USER.key, as `merit certs` makes it; without it the
    /// connection is plaintext, which the exchange allows on loopback only.
    #[arg(long)]
    certs: Option<PathBuf>,
    /// Who asks.
    #[arg(long)]
    user: String,
}

impl Connect {
    /// A client of each endpoint.
    pub(super) fn clients(&self) -> Result<Vec<(String, Client)>, Failure> {
        let client = |endpoint: &String| {
            let endpoints = [endpoint.as_str()];
            let mut config = match &self.certs {
                None => Config::plaintext_loopback(&endpoints, &self.user),
                Some(certs) => {
                    let file = |ending: &str| certs.join(format!("{}.{ending}", self.user));
                    Config::mutual_tls(&endpoints, certs.join("authority.pem"), file("pem"), file("key"))
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
