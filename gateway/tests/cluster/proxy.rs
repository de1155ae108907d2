//! A wire between two nodes that can be cut, and can be told to spoil a snapshot that comes by.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How a snapshot begins.
const SNAPSHOT: &[u8] = b"MERITSNP";

/// What happens to the next snapshot that comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// The byte so far behind its beginning is flipped.
    Flip(usize),
    /// The wire is cut when so much of it has been carried.
    Cut(usize),
}

type Planned = Arc<Mutex<VecDeque<Mischief>>>;

/// Carries connections to one address until it is cut.
pub(crate) struct Wire {
    pub(crate) port: u16,
    cut: watch::Sender<bool>,
    planned: Planned,
}

impl Wire {
    /// Begins to carry, on the runtime of the test.
    pub(crate) fn new(to: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = watch::Sender::new(false);
        let of_listener = cut.clone();
        let planned = Planned::default();
        let to_come = Arc::clone(&planned);
        tokio::spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(carry(from, to, of_listener.clone(), Arc::clone(&to_come)));
            }
        });
        Self { port, cut, planned }
    }

    /// Plans what happens to the snapshots that come by, one after the other.
    pub(crate) fn plan(&self, mischief: &[Mischief]) {
        self.planned.lock().unwrap().extend(mischief);
    }

    /// How much of what was planned has not happened yet.
    pub(crate) fn planned(&self) -> usize {
        self.planned.lock().unwrap().len()
    }

    /// Whether it is cut.
    pub(crate) fn is_cut(&self) -> bool {
        *self.cut.borrow()
    }

    /// Cuts it, or mends it. A cut wire carries nothing and refuses nothing: silence.
    pub(crate) fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

async fn carry(from: TcpStream, to: SocketAddr, cutter: watch::Sender<bool>, planned: Planned) {
    let mut cut = cutter.subscribe();
    if *cut.borrow() {
        until(&mut cut, false).await;
        return;
    }
    let Ok(onward) = TcpStream::connect(to).await else { return };
    let quick = from.set_nodelay(true).and_then(|()| onward.set_nodelay(true));
    assert!(quick.is_ok());
    let ((mut asks, hears), (answers, mut onward)) = (from.into_split(), onward.into_split());
    let was_cut = tokio::select! {
        // Whoever ends it, it has ended.
        _ = copy(&mut asks, &mut onward) => false,
        _ = spoil(answers, hears, &planned, &cutter) => false,
        () = until(&mut cut, true) => true,
    };
    if was_cut {
        // Both ends wait for what does not come, as with a cable that is pulled.
        until(&mut cut, false).await;
    }
}

/// Carries answers, and does what is planned to the snapshots among them.
async fn spoil(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    planned: &Planned,
    cutter: &watch::Sender<bool>,
) -> io::Result<()> {
    let mut bytes = vec![0; 1 << 16];
    // How many bytes behind its beginning what is planned happens.
    let mut due: Option<(usize, Mischief)> = None;
    loop {
        let length = from.read(&mut bytes).await?;
        if length == 0 {
            return Ok(());
        }
        let piece = &mut bytes[..length];
        if due.is_none()
            && let Some(at) = piece.windows(SNAPSHOT.len()).position(|it| it == SNAPSHOT)
        {
            let next = planned.lock().unwrap().pop_front();
            due = next.map(|it| match it {
                Mischief::Flip(behind) | Mischief::Cut(behind) => (at + behind, it),
            });
        }
        match due.take() {
            Some((at, mischief)) if at >= length => due = Some((at - length, mischief)),
            Some((at, Mischief::Flip(_))) => piece[at] ^= 1,
            Some((at, Mischief::Cut(_))) => {
                to.write_all(&piece[..at]).await?;
                cutter.send_replace(true);
                // The cut ends this.
                return std::future::pending().await;
            }
            None => {}
        }
        to.write_all(piece).await?;
    }
}

async fn until(cut: &mut watch::Receiver<bool>, wanted: bool) {
    drop(cut.wait_for(|it| *it == wanted).await);
}
