//! The ways to the other nodes, and who counts as one.

use super::Replication;
use crate::server::identity::Peer;
use crate::server::tls::TlsFiles;
use merit_proto::v1;
use merit_proto::v1::replication_service_client::ReplicationServiceClient;
use std::time::Duration;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

/// Who calls on plaintext loopback, where no certificate says it.
pub const NODE_USER: &str = "merit.node";
/// Largest message between nodes, bytes.
const MESSAGE_MAX: usize = 64 << 20;

/// Whether the other end of a connection is a node of the exchange.
#[must_use]
pub fn is_node<T>(request: &Request<T>) -> bool {
    let Some(peer) = request.extensions().get::<Peer>() else { return false };
    match &peer.certificate {
        Some(certificate) => certificate.is_node(),
        None => {
            let named = request.metadata().get(crate::server::identity::PLAINTEXT_USER);
            peer.address.ip().is_loopback() && named.is_some_and(|it| it == NODE_USER)
        }
    }
}

/// Says on plaintext connections that a node calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct AsNode;

impl Interceptor for AsNode {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let name = tonic::metadata::MetadataValue::from_static(NODE_USER);
        request.metadata_mut().insert(crate::server::identity::PLAINTEXT_USER, name);
        Ok(request)
    }
}

/// A client of another node.
pub(super) type NodeClient = ReplicationServiceClient<InterceptedService<Channel, AsNode>>;

/// Channels to all nodes; nothing is connected before the first call.
pub struct Peers {
    channels: Vec<Option<Channel>>,
}

impl Peers {
    /// Makes the channels. With TLS the node shows its own certificate.
    ///
    /// # Errors
    ///
    /// In words, which endpoint or file is wrong.
    pub fn new(config: &Replication, tls: Option<&TlsFiles>) -> Result<Self, String> {
        let tls = tls.map(|files| client_tls(files, config.server_name.as_deref())).transpose()?;
        let mut channels = Vec::new();
        for (index, (name, endpoint)) in config.nodes.iter().enumerate() {
            let bad = |error: tonic::transport::Error| format!("replication.nodes: {name}: {error}");
            let mut made = Endpoint::from_shared(endpoint.clone())
                .map_err(bad)?
                .connect_timeout(Duration::from_secs(1))
                .tcp_nodelay(true)
                .initial_stream_window_size(Some(8 << 20))
                .initial_connection_window_size(Some(16 << 20))
                .http2_keep_alive_interval(Duration::from_secs(2))
                .keep_alive_timeout(Duration::from_secs(2))
                .keep_alive_while_idle(true);
            if let Some(tls) = &tls {
                made = made.tls_config(tls.clone()).map_err(bad)?;
            }
            channels.push((index != config.me).then(|| made.connect_lazy()));
        }
        Ok(Self { channels })
    }

    /// The other nodes.
    pub fn others(&self) -> impl Iterator<Item = usize> {
        self.channels.iter().enumerate().filter(|(_, it)| it.is_some()).map(|(index, _)| index)
    }

    /// A client of another node; nothing for this one.
    #[must_use]
    pub(super) fn client(&self, node: usize) -> Option<NodeClient> {
        let channel = self.channels.get(node)?.clone()?;
        let client = ReplicationServiceClient::with_interceptor(channel, AsNode);
        Some(client.max_decoding_message_size(MESSAGE_MAX))
    }

    /// Asks every other node at the same time what it holds, and returns what came in time.
    pub async fn standings(&self, patience: Duration) -> Vec<(usize, v1::Standing)> {
        let asked = self.others().filter_map(|node| Some((node, self.client(node)?)));
        let asking: Vec<_> = asked
            .map(|(node, mut client)| {
                let call = async move { client.get_standing(v1::GetStandingRequest {}).await };
                (node, tokio::spawn(tokio::time::timeout(patience, call)))
            })
            .collect();
        let mut found = Vec::new();
        for (node, answer) in asking {
            if let Ok(Ok(Ok(answer))) = answer.await
                && let Some(standing) = answer.into_inner().standing
            {
                found.push((node, standing));
            }
        }
        found
    }

    /// Asks every other node, but for some, to promise to an epoch; returns the standings of those who did.
    pub async fn claim(
        &self,
        name: &str,
        epoch: u32,
        without: Option<usize>,
        patience: Duration,
    ) -> Vec<(usize, v1::Standing)> {
        let others = self.others().filter(|it| Some(*it) != without);
        let asked = others.filter_map(|node| Some((node, self.client(node)?)));
        let asking: Vec<_> = asked
            .map(|(node, mut client)| {
                let request = v1::ClaimEpochRequest { node: name.to_owned(), epoch };
                let call = async move { client.claim_epoch(request).await };
                (node, tokio::spawn(tokio::time::timeout(patience, call)))
            })
            .collect();
        let mut promised = Vec::new();
        for (node, answer) in asking {
            if let Ok(Ok(Ok(answer))) = answer.await {
                let answer = answer.into_inner();
                promised.extend(answer.standing.filter(|_| answer.promised).map(|it| (node, it)));
            }
        }
        promised
    }
}

fn client_tls(files: &TlsFiles, server_name: Option<&str>) -> Result<ClientTlsConfig, String> {
    let read =
        |path: &std::path::Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let authority = Certificate::from_pem(read(&files.client_authority)?);
    let identity = Identity::from_pem(read(&files.certificate)?, read(&files.key)?);
    let config = ClientTlsConfig::new().ca_certificate(authority).identity(identity);
    Ok(match server_name {
        Some(name) => config.domain_name(name),
        None => config,
    })
}
