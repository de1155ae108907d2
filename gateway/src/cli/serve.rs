//! `merit serve`: runs a node.

use super::{Exit, Failure};
use crate::server::config::{Config, Sources};
use crate::server::run;
use clap::Args;
use std::future::Future;
use std::io::Write as _;
use std::path::PathBuf;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Run a node: the journal, the market and the gRPC services.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Configuration file; see --print-config for what it can hold.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory (same as --set node.data=DIR).
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address and port (same as --set listen.address=ADDR:PORT); port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Sets a field of the configuration.
    #[arg(long, value_name = "SECTION.NAME=VALUE")]
    set: Vec<String>,
    /// Print the configuration in force, with where each value comes from, and exit.
    #[arg(long)]
    print_config: bool,
    /// Check the configuration and exit.
    #[arg(long)]
    check_config: bool,
}

impl Serve {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let sources = self.sources()?;
        if self.print_config {
            print!("{}", Config::print(&sources));
        }
        let config = Config::load(&sources).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Failure::usage(format_args!("the configuration is wrong\n{}", lines.join("\n")))
        });
        if self.print_config {
            // What is printed may be a file in the making: its faults are for --check-config.
            return Ok(Exit::Ok);
        }
        let config = config?;
        if self.check_config {
            return Ok(Exit::Ok);
        }
        log_to_stderr(&config)?;
        let runtime = tokio::runtime::Runtime::new().map_err(Failure::error)?;
        runtime.block_on(serve(&config))
    }

    fn sources(&self) -> Result<Sources, Failure> {
        let mut flags = Vec::new();
        for text in &self.set {
            let pair = text.split_once('=');
            let (key, value) = pair.ok_or_else(|| Failure::usage(format_args!("--set {text}: no =")))?;
            flags.push((key.to_owned(), value.to_owned()));
        }
        flags.extend(self.data.iter().map(|it| ("node.data".to_owned(), it.display().to_string())));
        flags.extend(self.listen.iter().map(|it| ("listen.address".to_owned(), it.clone())));
        Sources::read(self.config.as_deref(), flags).map_err(|error| {
            let path = self.config.as_deref().map(|it| it.display().to_string()).unwrap_or_default();
            Failure::usage(format_args!("{path}: {error}"))
        })
    }
}

async fn serve(config: &Config) -> Result<Exit, Failure> {
    let listener = TcpListener::bind(config.listen).await;
    let listener = listener.map_err(|error| Failure::error(format_args!("{}: {error}", config.listen)))?;
    let address = listener.local_addr().map_err(Failure::error)?;
    let stop = stop_signal().map_err(Failure::error)?;
    let transport = if config.plaintext { "plaintext" } else { "mutual TLS" };
    let serves = || {
        // For whoever started it with port 0. A closed pipe does not stop an exchange.
        let mut out = std::io::stdout();
        let _ = writeln!(out, "listening on {address} ({transport})").and_then(|()| out.flush());
    };
    run::run(config, listener, stop, serves).await.map_err(Failure::error)?;
    Ok(Exit::Ok)
}

/// Done when somebody asks the process to stop.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn log_to_stderr(config: &Config) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&config.log_filter)
        .map_err(|error| Failure::usage(format_args!("log.filter: {error}")))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = if config.log_json {
        subscriber.json().try_init()
    } else {
        subscriber.try_init()
    };
    set.map_err(Failure::error)
}
