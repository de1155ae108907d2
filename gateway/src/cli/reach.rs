//! How a verb reaches a running exchange: where it listens, and with whose certificate.

use super::{Exit, Failure};
use merit_client::{CallError, Client, Config, OrderIds, v1};
use std::path::PathBuf;

/// Where the exchange is, and who asks.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Connect {
    /// Where the exchange listens, e.g. https://host:7443; several are tried in this order
    #[arg(long, required = true, env = "MERIT_ENDPOINT", value_delimiter = ',')]
    endpoint: Vec<String>,
    /// Directory with authority.pem, USER.pem and USER.key, as `merit certs` makes it; without it the
    /// connection is plaintext, which the exchange allows on loopback only
    #[arg(long, env = "MERIT_CERTS")]
    certs: Option<PathBuf>,
    /// Who asks
    #[arg(long, env = "MERIT_USER")]
    user: String,
    /// Id of the request, to repeat one whose answer was lost; made anew if it is not given
    #[arg(long)]
    request_id: Option<String>,
}

impl Connect {
    /// Where certificates lie, if the connection is not plaintext.
    pub(super) fn certs(&self) -> Option<&std::path::Path> {
        self.certs.as_deref()
    }

    /// Runs one conversation with the exchange.
    pub(super) fn run<F, R>(self, talk: impl FnOnce(Client, String) -> F) -> Result<R, Failure>
    where
        F: Future<Output = Result<R, Failure>>,
    {
        let endpoints: Vec<&str> = self.endpoint.iter().map(String::as_str).collect();
        let config = match &self.certs {
            None => Config::plaintext_loopback(&endpoints, &self.user),
            Some(certs) => {
                let file = |ending: &str| certs.join(format!("{}.{ending}", self.user));
                Config::mutual_tls(&endpoints, certs.join("authority.pem"), file("pem"), file("key"))
            }
        };
        let name: String = self.user.chars().take(24).collect();
        let request_id = self.request_id.unwrap_or_else(|| OrderIds::new(&name).next());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Failure::error)?;
        runtime.block_on(async {
            // A client dials within the runtime.
            let client = Client::new(config).map_err(Failure::usage)?;
            talk(client, request_id).await
        })
    }
}

/// A call that brought no answer, for people.
pub(super) fn failed(error: CallError) -> Failure {
    Failure::error(error)
}

/// Whether a request was carried out; what the rules refuse is shown with its reason and field.
pub(super) fn carried_out(answer: Option<v1::RequestAnswer>) -> Result<Exit, Failure> {
    let answer = answer.ok_or_else(|| Failure::error("the exchange gave no answer"))?;
    match answer.refused {
        None => {
            let again = if answer.replayed { "done before" } else { "done" };
            let time =
                answer.time.map(|it| it.seconds.saturating_mul(1_000_000) + i64::from(it.nanos) / 1_000);
            let time = time.map(|it| format!(", journaled at {}", crate::server::clock::format_utc(it)));
            eprintln!("merit: {} {again}{}", answer.request_id, time.unwrap_or_default());
            Ok(Exit::Ok)
        }
        Some(refusal) => {
            let reason = refusal.reason().as_str_name().trim_start_matches("REJECT_REASON_").to_owned();
            let missing = refusal.missing.map(|it| format!(", {} missing", merit_client::units::decimal(it)));
            let message = format!(
                "{} refused: {reason} at {}: {}{}",
                answer.request_id,
                refusal.field,
                refusal.text,
                missing.unwrap_or_default()
            );
            Err(Failure { exit: Exit::Refused, message })
        }
    }
}
