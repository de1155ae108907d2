//! The door against silence, strangers and old protocols, over real sockets on loopback.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use merit_gateway::cli::certs::{self, Plan};
use merit_gateway::server::certificate::PeerCertificate;
use merit_gateway::server::door::{Door, DoorCounts, DoorError, DoorLimits, Security};
use merit_gateway::server::identity::Peer;
use merit_gateway::server::tls::{self, TlsError, TlsFiles};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, NamedGroup, RootCertStore, SupportedProtocolVersion};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt as _;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

fn limits(handshake_max: Duration) -> DoorLimits {
    DoorLimits {
        pending_max: 64,
        pending_per_address_max: 32,
        open_max: 8,
        open_per_address_max: 4,
        handshake_max,
    }
}

/// Long enough that nothing here waits for it by accident.
const PATIENT: Duration = Duration::from_secs(60);

fn dir_with_certificates() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan::new(dir.path().to_path_buf(), &["M1:alice".to_string()], vec![], 2).unwrap();
    certs::make(&plan, SystemTime::now()).unwrap();
    dir
}

fn files(dir: &Path) -> TlsFiles {
    TlsFiles {
        certificate: dir.join("server.pem"),
        key: dir.join("server.key"),
        client_authority: dir.join("authority.pem"),
    }
}

struct Served {
    address: SocketAddr,
    door: Door,
    peers: Arc<Mutex<Vec<Peer>>>,
}

/// A health service behind a door; every request's peer is noted.
async fn served(security: Security, limits: DoorLimits) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (door, incoming) = Door::open(listener, security, limits).unwrap();
    let peers = Arc::new(Mutex::new(Vec::new()));
    let (_, health) = tonic_health::server::health_reporter();
    let noted = Arc::clone(&peers);
    let service =
        tonic::service::interceptor::InterceptedService::new(health, move |request: tonic::Request<()>| {
            noted.lock().unwrap().push(request.extensions().get::<Peer>().unwrap().clone());
            Ok(request)
        });
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    Served { address, door, peers }
}

async fn served_tls(dir: &Path, limits: DoorLimits) -> Served {
    served(Security::MutualTls(tls::server_config(&files(dir)).unwrap()), limits).await
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

async fn channel(address: SocketAddr, dir: &Path, user: &str) -> Result<Channel, tonic::transport::Error> {
    tls::install_provider();
    let config = ClientTlsConfig::new()
        .domain_name("localhost")
        .ca_certificate(Certificate::from_pem(read(dir.join("authority.pem"))))
        .identity(Identity::from_pem(
            read(dir.join(format!("{user}.pem"))),
            read(dir.join(format!("{user}.key"))),
        ));
    Endpoint::new(format!("https://{address}")).unwrap().tls_config(config).unwrap().connect().await
}

async fn is_healthy(channel: Channel) -> Result<(), tonic::Status> {
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.map(drop)
}

/// Waits until the counts are as told; the door changes them as sockets end.
async fn until(door: &Door, what: impl Fn(&DoorCounts) -> bool) {
    tokio::time::timeout(PATIENT, async {
        while !what(&door.counts()) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{:?}", door.counts()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_silent_connections_keep_no_member_out() {
    let dir = dir_with_certificates();
    let served = served_tls(dir.path(), limits(PATIENT)).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        for _ in 0..100 {
            silent.push(TcpStream::connect(served.address).await.unwrap());
        }
        // In the middle of it all a member comes, from the same address, and is served.
        let member = channel(served.address, dir.path(), "alice").await.unwrap();
        is_healthy(member).await.unwrap();
    }
    let counts = served.door.counts();
    assert!(counts.pending_peak <= 32, "{counts:?}");
    assert!(counts.evicted >= 9_900, "{counts:?}");
    assert_eq!(counts.refused, 0, "{counts:?}");
    assert_eq!(silent.len(), 10_000);
}

#[tokio::test]
async fn silence_ends_by_itself_with_and_without_tls() {
    let dir = dir_with_certificates();
    let tls = Security::MutualTls(tls::server_config(&files(dir.path())).unwrap());
    for security in [tls, Security::Plaintext] {
        let served = served(security, limits(Duration::from_millis(50))).await;
        let mut silent = TcpStream::connect(served.address).await.unwrap();
        // The door hangs up: the read ends without a byte.
        assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or(0), 0);
        until(&served.door, |counts| counts.pending == 0 && counts.failed == 1).await;
    }
}

#[tokio::test]
async fn a_certificate_does_not_buy_silence() {
    let dir = dir_with_certificates();
    let served = served_tls(dir.path(), limits(Duration::from_millis(200))).await;
    let config = client_config(dir.path(), &[&rustls::version::TLS13], true);
    let mut silent = handshake(&served, config).await.unwrap();
    until(&served.door, |counts| counts.open == 1).await;
    // HTTP/2 greets first; then the door hangs up on who says nothing.
    let mut heard = Vec::new();
    let _ = silent.read_to_end(&mut heard).await;
    until(&served.door, |counts| counts.open == 0).await;
    // Who speaks stays for as long as it likes.
    let member = channel(served.address, dir.path(), "alice").await.unwrap();
    is_healthy(member.clone()).await.unwrap();
    let mut other =
        handshake(&served, client_config(dir.path(), &[&rustls::version::TLS13], true)).await.unwrap();
    let _ = other.read_to_end(&mut heard).await;
    assert_eq!(served.door.counts().open, 1);
    is_healthy(member).await.unwrap();
}

#[tokio::test]
async fn nonsense_is_no_handshake() {
    let dir = dir_with_certificates();
    let served = served_tls(dir.path(), limits(PATIENT)).await;
    let mut stranger = TcpStream::connect(served.address).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\nhost: exchange\r\n\r\n").await.unwrap();
    until(&served.door, |counts| counts.failed == 1 && counts.pending == 0 && counts.open == 0).await;
}

#[tokio::test]
async fn a_request_carries_the_certificate_of_its_connection() {
    let dir = dir_with_certificates();
    let served = served_tls(dir.path(), limits(PATIENT)).await;
    is_healthy(channel(served.address, dir.path(), "alice").await.unwrap()).await.unwrap();
    let der = CertificateDer::from_pem_file(dir.path().join("alice.pem")).unwrap();
    let peer = served.peers.lock().unwrap()[0].clone();
    let certificate = peer.certificate.unwrap();
    assert_eq!(*certificate, PeerCertificate::read(&der));
    assert_eq!(certificate.uris, ["merit://member/M1/user/alice"]);
    assert!(peer.address.ip().is_loopback());
}

#[tokio::test]
async fn a_certificate_of_another_authority_does_not_open() {
    let (dir, other) = (dir_with_certificates(), dir_with_certificates());
    let served = served_tls(dir.path(), limits(PATIENT)).await;
    for name in ["alice.pem", "alice.key"] {
        std::fs::copy(other.path().join(name), dir.path().join(name)).unwrap();
    }
    // In TLS 1.3 the client learns of the refusal with its first read: the call fails if not the connection.
    let refused = match channel(served.address, dir.path(), "alice").await {
        Ok(channel) => is_healthy(channel).await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
    until(&served.door, |counts| counts.failed >= 1 && counts.open == 0).await;
    assert!(served.peers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_client_of_members_comes_in_and_turns_to_the_next_endpoint() {
    let dir = dir_with_certificates();
    let served = served_tls(dir.path(), limits(PATIENT)).await;
    let file = |name: &str| dir.path().join(name);
    // Nobody listens on port 1; the certificate holds for the address as well as for the name.
    let endpoints = ["https://127.0.0.1:1".to_string(), format!("https://{}", served.address)];
    let config = merit_client::Config::mutual_tls(
        &endpoints.each_ref().map(String::as_str),
        file("authority.pem"),
        file("alice.pem"),
        file("alice.key"),
    );
    let client = merit_client::Client::new(config).unwrap();
    let check =
        |transport| async move { HealthClient::new(transport).check(HealthCheckRequest::default()).await };
    client.call(check).await.unwrap();
    let peer = served.peers.lock().unwrap()[0].clone();
    assert_eq!(peer.certificate.unwrap().uris, ["merit://member/M1/user/alice"]);
}

fn client_config(
    dir: &Path,
    versions: &[&'static SupportedProtocolVersion],
    with_certificate: bool,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("authority.pem")).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = if with_certificate {
        let chain = vec![CertificateDer::from_pem_file(dir.join("alice.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(dir.join("alice.key")).unwrap();
        builder.with_client_auth_cert(chain, key).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

async fn handshake(
    served: &Served,
    config: Arc<ClientConfig>,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(served.address).await.unwrap();
    TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

#[tokio::test]
async fn the_hybrid_post_quantum_group_is_agreed() {
    let dir = dir_with_certificates();
    let served = served_tls(dir.path(), limits(PATIENT)).await;
    let config = client_config(dir.path(), &[&rustls::version::TLS13], true);
    let stream = handshake(&served, config).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn without_a_certificate_or_with_an_old_protocol_nobody_comes_in() {
    let dir = dir_with_certificates();
    let served = served_tls(dir.path(), limits(PATIENT)).await;
    let old = handshake(&served, client_config(dir.path(), &[&rustls::version::TLS12], true)).await;
    assert!(old.is_err());
    // The client's own handshake ends before the server has seen that no certificate comes.
    let bare = client_config(dir.path(), &[&rustls::version::TLS13], false);
    if let Ok(mut stream) = handshake(&served, bare).await {
        assert!(stream.read(&mut [0; 16]).await.is_err());
    }
    until(&served.door, |counts| counts.failed == 2 && counts.open == 0).await;
}

#[tokio::test]
async fn open_connections_are_capped_by_address_and_their_places_return() {
    let dir = dir_with_certificates();
    let served = served_tls(dir.path(), limits(PATIENT)).await;
    let config = client_config(dir.path(), &[&rustls::version::TLS13], true);
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(handshake(&served, Arc::clone(&config)).await.unwrap());
    }
    until(&served.door, |counts| counts.open == 4).await;
    let mut fifth = handshake(&served, Arc::clone(&config)).await.unwrap();
    assert_eq!(fifth.read(&mut [0; 16]).await.unwrap_or(0), 0);
    until(&served.door, |counts| counts.refused == 1).await;
    drop(open);
    until(&served.door, |counts| counts.open == 0).await;
    is_healthy(channel(served.address, dir.path(), "alice").await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn plaintext_is_for_loopback_only() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = Door::open(listener, Security::Plaintext, DoorLimits::default());
    assert!(matches!(refused, Err(DoorError::PlaintextOffLoopback { .. })));
    let served = served(Security::Plaintext, limits(PATIENT)).await;
    let channel = Endpoint::new(format!("http://{}", served.address)).unwrap().connect().await.unwrap();
    is_healthy(channel).await.unwrap();
    assert_eq!(served.peers.lock().unwrap()[0].certificate, None);
}

#[tokio::test]
async fn little_that_is_written_lets_ready_tasks_go_first_and_much_does_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_door, mut incoming) = Door::open(listener, Security::Plaintext, limits(PATIENT)).unwrap();
    let mut far = TcpStream::connect(address).await.unwrap();
    far.write_all(b"?").await.unwrap();
    let mut near = incoming.next().await.unwrap().unwrap();
    near.read_exact(&mut [0]).await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let note = |what: &'static str| order.lock().unwrap().push(what);
    let ready = |what: &'static str| {
        let order = Arc::clone(&order);
        drop(tokio::spawn(async move { order.lock().unwrap().push(what) }));
    };
    ready("before one");
    near.write_all(b"1").await.unwrap();
    note("one");
    ready("not before two");
    near.write_all(b"2").await.unwrap();
    note("two");
    near.flush().await.unwrap();
    // Nothing came to share the first packet, so one goes without waiting.
    near.write_all(b"_").await.unwrap();
    near.flush().await.unwrap();
    ready("before three");
    assert!(near.is_write_vectored());
    assert_eq!(near.write_vectored(&[IoSlice::new(b"3"), IoSlice::new(b"4")]).await.unwrap(), 2);
    note("three");
    near.flush().await.unwrap();
    ready("not before much");
    near.write_all(&[b'5'; 2_048]).await.unwrap();
    note("much");
    near.flush().await.unwrap();
    tokio::task::yield_now().await;
    let expected =
        ["before one", "one", "two", "not before two", "before three", "three", "much", "not before much"];
    assert_eq!(*order.lock().unwrap(), expected);
    let mut all = [0; 5 + 2_048];
    far.read_exact(&mut all).await.unwrap();
    assert!(all.starts_with(b"12_345") && all.ends_with(b"5"));
}

#[test]
fn every_unusable_file_is_named() {
    let dir = dir_with_certificates();
    let good = files(dir.path());
    let missing = TlsFiles { key: dir.path().join("nothing.key"), ..good.clone() };
    let error = tls::server_config(&missing).unwrap_err();
    assert!(error.to_string().contains("nothing.key"), "{error}");
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "no certificate here\n").unwrap();
    let error =
        tls::server_config(&TlsFiles { client_authority: empty.clone(), ..good.clone() }).unwrap_err();
    assert!(matches!(&error, TlsError::NoCertificate { path } if *path == empty), "{error}");
    let crooked = dir.path().join("crooked.pem");
    std::fs::write(&crooked, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let error = tls::server_config(&TlsFiles { client_authority: crooked, ..good.clone() }).unwrap_err();
    assert!(matches!(error, TlsError::BadAuthority { number: 1, .. }), "{error}");
    let other = TlsFiles { key: dir.path().join("alice.key"), ..good };
    assert!(matches!(tls::server_config(&other), Err(TlsError::Unusable { .. })));
}
