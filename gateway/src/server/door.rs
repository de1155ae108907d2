//! The door: takes connections, keeps out who has no certificate, and never lets silence cost anything.
//!
//! A connection is *pending* until its TLS handshake is done (plaintext: until its first byte) and *open*
//! from then on. Both are counted, as a whole and by address. When there is no room for one more pending
//! connection the oldest pending one of the same address goes, else the oldest of all: who says nothing
//! loses its place to who comes, so ten thousand silent connections cost a fixed number of sockets and do
//! not keep a member out. When there is no room for one more open connection it is the new one that goes,
//! since the others have shown a certificate.
//!
//! # Deliberately absent
//!
//! - **Rights.** The door knows certificates; [`super::identity`] knows users.

use super::certificate::PeerCertificate;
use super::identity::Peer;
use rustls::ServerConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorLimits {
    /// Pending connections in all.
    pub pending_max: usize,
    /// Pending connections of one address.
    pub pending_per_address_max: usize,
    /// Open connections in all.
    pub open_max: usize,
    /// Open connections of one address.
    pub open_per_address_max: usize,
    /// How long a connection may be pending, and then how long it may stay silent once it is open.
    pub handshake_max: Duration,
}

impl Default for DoorLimits {
    /// Together they stay below the 1,024 files that a process may usually have open.
    fn default() -> Self {
        Self {
            pending_max: 256,
            pending_per_address_max: 128,
            open_max: 600,
            open_per_address_max: 300,
            handshake_max: Duration::from_secs(5),
        }
    }
}

/// What a connection has to show.
#[derive(Clone)]
pub enum Security {
    /// A certificate, over TLS.
    MutualTls(Arc<ServerConfig>),
    /// Nothing; on loopback only.
    Plaintext,
}

/// Why a door cannot be opened.
#[derive(Debug)]
pub enum DoorError {
    /// Plaintext was asked for on an address that others can reach.
    PlaintextOffLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The listener has no address.
    Io(io::Error),
}

impl fmt::Display for DoorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlaintextOffLoopback { address } => {
                write!(f, "plaintext is for loopback addresses only, and {address} is none: configure TLS")
            }
            Self::Io(error) => write!(f, "the listener has no address: {error}"),
        }
    }
}

impl std::error::Error for DoorError {}

/// Counts of a door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DoorCounts {
    /// Pending now.
    pub pending: usize,
    /// Open now.
    pub open: usize,
    /// Most that were pending at one time.
    pub pending_peak: usize,
    /// Pending ones that had to make room, since the start.
    pub evicted: u64,
    /// Pending ones whose time was over or whose handshake failed, since the start.
    pub failed: u64,
    /// Refused since there was no room for one more open, since the start.
    pub refused: u64,
}

#[derive(Default)]
struct AtAddress {
    pending: BTreeSet<u64>,
    open: usize,
}

#[derive(Default)]
struct Book {
    next: u64,
    pending: BTreeMap<u64, (IpAddr, AbortHandle)>,
    addresses: BTreeMap<IpAddr, AtAddress>,
    counts: DoorCounts,
}

impl Book {
    /// Strikes a pending connection off; false if it was no longer there.
    fn strike(&mut self, id: u64) -> bool {
        let Some((address, task)) = self.pending.remove(&id) else { return false };
        task.abort();
        self.counts.pending -= 1;
        if let Some(at) = self.addresses.get_mut(&address) {
            at.pending.remove(&id);
        }
        self.forget_if_empty(address);
        true
    }

    fn forget_if_empty(&mut self, address: IpAddr) {
        if self.addresses.get(&address).is_some_and(|at| at.pending.is_empty() && at.open == 0) {
            self.addresses.remove(&address);
        }
    }

    /// The pending connection that has to go so that one of `address` may come.
    fn to_evict(&self, address: IpAddr, limits: &DoorLimits) -> Option<u64> {
        let here = self.addresses.get(&address);
        if here.is_some_and(|at| at.pending.len() >= limits.pending_per_address_max) {
            return here.and_then(|at| at.pending.first().copied());
        }
        let full = self.pending.len() >= limits.pending_max;
        full.then(|| self.pending.keys().next().copied()).flatten()
    }
}

/// The accounts of one door; the connections and the accept loop share it.
struct Register {
    limits: DoorLimits,
    book: Mutex<Book>,
}

impl Register {
    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing panics while the lock is held; if it did, counts are still counts.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a pending connection. The lock is held until its task is entered, so that the task cannot
    /// end before it is known.
    fn begin(&self, address: IpAddr, spawn: impl FnOnce(u64) -> AbortHandle) {
        let mut book = self.book();
        if let Some(oldest) = book.to_evict(address, &self.limits) {
            book.strike(oldest);
            book.counts.evicted += 1;
        }
        let id = book.next;
        book.next += 1;
        let task = spawn(id);
        book.pending.insert(id, (address, task));
        book.addresses.entry(address).or_default().pending.insert(id);
        book.counts.pending += 1;
        book.counts.pending_peak = book.counts.pending_peak.max(book.counts.pending);
    }

    fn fail(&self, id: u64) {
        let mut book = self.book();
        if book.strike(id) {
            book.counts.failed += 1;
        }
    }

    /// Turns a pending connection into an open one, if there is room and it was not told to go.
    fn promote(self: &Arc<Self>, id: u64, address: IpAddr) -> Option<Open> {
        let mut book = self.book();
        book.pending.remove(&id)?;
        book.counts.pending -= 1;
        let open = book.counts.open;
        let at = book.addresses.entry(address).or_default();
        at.pending.remove(&id);
        if open >= self.limits.open_max || at.open >= self.limits.open_per_address_max {
            book.counts.refused += 1;
            book.forget_if_empty(address);
            return None;
        }
        at.open += 1;
        book.counts.open += 1;
        Some(Open { register: Arc::clone(self), address })
    }
}

/// One open connection's place; given back on drop.
struct Open {
    register: Arc<Register>,
    address: IpAddr,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut book = self.register.book();
        book.counts.open -= 1;
        if let Some(at) = book.addresses.get_mut(&self.address) {
            at.open -= 1;
        }
        book.forget_if_empty(self.address);
    }
}

/// An open door: tells how many connections there are.
#[derive(Clone)]
pub struct Door {
    register: Arc<Register>,
}

impl Door {
    /// Counts at this moment.
    #[must_use]
    pub fn counts(&self) -> DoorCounts {
        self.register.book().counts
    }

    /// Opens a door on a listener. The stream is for tonic's `serve_with_incoming_shutdown`; once it is
    /// dropped, the listener is closed. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`DoorError::PlaintextOffLoopback`], or what the system says about the listener's address.
    pub fn open(
        listener: TcpListener,
        security: Security,
        limits: DoorLimits,
    ) -> Result<(Self, ReceiverStream<io::Result<Connection>>), DoorError> {
        let address = listener.local_addr().map_err(DoorError::Io)?;
        if matches!(security, Security::Plaintext) && !address.ip().is_loopback() {
            return Err(DoorError::PlaintextOffLoopback { address });
        }
        let register = Arc::new(Register { limits, book: Mutex::default() });
        // Connections are made faster than tonic takes them only for moments.
        let (sender, receiver) = mpsc::channel(64);
        tokio::spawn(accept(listener, security, Arc::clone(&register), sender));
        Ok((Self { register }, ReceiverStream::new(receiver)))
    }
}

type Sender = mpsc::Sender<io::Result<Connection>>;

async fn accept(listener: TcpListener, security: Security, register: Arc<Register>, sender: Sender) {
    loop {
        let accepted = tokio::select! {
            () = sender.closed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let (security, sender, register_too) =
                    (security.clone(), sender.clone(), Arc::clone(&register));
                register.begin(address.ip(), |id| {
                    tokio::spawn(welcome(id, stream, address, security, register_too, sender)).abort_handle()
                });
            }
            Err(error) => {
                // The connection went away by itself, or no file is left: then a silent one has to go, and
                // a moment passes so that a stubborn error does not take the processor.
                tracing::warn!(%error, "a connection could not be accepted");
                let oldest = register.book().pending.keys().next().copied();
                if let Some(oldest) = oldest {
                    register.fail(oldest);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn welcome(
    id: u64,
    stream: TcpStream,
    address: SocketAddr,
    security: Security,
    register: Arc<Register>,
    sender: Sender,
) {
    let handshake = tokio::time::timeout(register.limits.handshake_max, handshake(stream, address, security));
    match handshake.await {
        Ok(Ok((stream, peer))) => {
            let Some(open) = register.promote(id, address.ip()) else {
                tracing::debug!(%address, "no room for one more connection");
                return;
            };
            // Nobody takes it any more only when the server stops.
            let silence_max = Some(Box::pin(tokio::time::sleep(register.limits.handshake_max)));
            let node = peer.certificate.as_ref().is_some_and(|it| it.is_node());
            let gathering = (!node).then(Gathering::new);
            let connection = Connection { stream, peer, silence_max, gathering, _open: open };
            let _ = sender.send(Ok(connection)).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "handshake failed");
            register.fail(id);
        }
        Err(_) => {
            tracing::debug!(%address, "handshake took too long");
            register.fail(id);
        }
    }
}

async fn handshake(stream: TcpStream, address: SocketAddr, security: Security) -> io::Result<(Stream, Peer)> {
    stream.set_nodelay(true)?;
    match security {
        Security::MutualTls(config) => {
            let stream = TlsAcceptor::from(config).accept(stream).await?;
            let chain = stream.get_ref().1.peer_certificates();
            let own = chain.and_then(<[_]>::first).ok_or(io::ErrorKind::PermissionDenied)?;
            let certificate = Some(Arc::new(PeerCertificate::read(own)));
            Ok((Stream::Tls(Box::new(stream)), Peer { address, certificate }))
        }
        Security::Plaintext => {
            if stream.peek(&mut [0]).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok((Stream::Plain(stream), Peer { address, certificate: None }))
        }
    }
}

enum Stream {
    Tls(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
}

/// An open connection, for tonic; requests over it carry its [`Peer`] as an extension.
pub struct Connection {
    stream: Stream,
    peer: Peer,
    /// Runs until the first byte: who has shown a certificate and then says nothing does not stay either.
    silence_max: Option<Pin<Box<Sleep>>>,
    /// Nothing for a node: orders wait for what it is sent, and nobody else has anything to share it with.
    gathering: Option<Gathering>,
    _open: Open,
}

/// Lets a connection that writes little go behind the tasks that wait on its thread: calls that are answered at the same
/// time, as those of one batch are, then share one record of TLS and one packet, which cost several microseconds
/// (benches/RUNS.md). Where nothing comes to share them it is tried less and less often.
#[derive(Debug)]
struct Gathering {
    turn: Turn,
    /// Times that it is not tried any more before it is tried again.
    rest: u32,
    /// How many those were the last time, if nothing came then.
    alone: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The next write is the first since a flush.
    Begins,
    /// It was to write so many bytes, and others went first.
    Waits(usize),
    /// Nothing holds what is written up to the next flush.
    Goes,
}

impl Gathering {
    /// What is longer has its packets to itself.
    const BELOW: usize = 1_024;
    const REST_MAX: u32 = 63;

    const fn new() -> Self {
        Self { turn: Turn::Begins, rest: 0, alone: 0 }
    }

    /// Whether so many bytes may be written now.
    fn poll_write(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<()> {
        match self.turn {
            Turn::Begins if bytes < Self::BELOW && self.rest == 0 => {
                self.turn = Turn::Waits(bytes);
                // A task that wakes itself is put behind the others.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Turn::Begins => self.rest = self.rest.saturating_sub(1),
            Turn::Waits(before) => {
                self.alone = if bytes > before { 0 } else { (self.alone * 2 + 1).min(Self::REST_MAX) };
                self.rest = self.alone;
            }
            Turn::Goes => {}
        }
        self.turn = Turn::Goes;
        Poll::Ready(())
    }

    /// All that was written has been handed on.
    fn flushed(&mut self) {
        self.turn = Turn::Begins;
    }
}

impl Connection {
    fn poll_gathered(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<()> {
        self.gathering.as_mut().map_or(Poll::Ready(()), |it| it.poll_write(bytes, context))
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = match &mut self.stream {
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        if read.is_ready() {
            self.silence_max = None;
        } else if let Some(timer) = &mut self.silence_max
            && timer.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_gathered(bytes.len(), context));
        match &mut self.stream {
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_gathered(bytes.iter().map(|it| it.len()).sum(), context));
        match &mut self.stream {
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Tls(stream) => stream.is_write_vectored(),
            Stream::Plain(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.stream {
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
        };
        if let (Poll::Ready(_), Some(gathering)) = (&flushed, &mut self.gathering) {
            gathering.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Gathering, Turn};
    use std::task::{Context, Waker};

    #[test]
    fn a_connection_waits_for_company_as_long_as_some_comes_and_then_ever_less() {
        let mut context = Context::from_waker(Waker::noop());
        let mut gathering = Gathering::new();
        // Whether it waited, with so many bytes at first and so many when it was asked again.
        let mut write = |first: usize, then: usize| {
            let waited = gathering.poll_write(first, &mut context).is_pending();
            assert!(!waited || gathering.poll_write(then, &mut context).is_ready());
            assert!(gathering.poll_write(1, &mut context).is_ready(), "once up to a flush");
            assert_eq!(gathering.turn, Turn::Goes);
            gathering.flushed();
            waited
        };
        for _ in 0..100 {
            assert!(write(100, 200));
        }
        assert!(!write(Gathering::BELOW, 0));
        let waited: Vec<usize> = (0..1_000).filter(|_| write(100, 100)).collect();
        assert_eq!(waited[..8], [0, 2, 6, 14, 30, 62, 126, 190]);
        assert!((0..1_000).filter(|_| write(100, 200)).count() > 900);
    }
}
