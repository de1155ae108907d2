//! A wire between two nodes that can be cut.

use std::net::SocketAddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Carries connections to one address until it is cut.
pub(crate) struct Wire {
    pub(crate) port: u16,
    cut: watch::Sender<bool>,
}

impl Wire {
    /// Begins to carry, on the runtime of the test.
    pub(crate) fn new(to: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = watch::Sender::new(false);
        let of_listener = cut.clone();
        tokio::spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(carry(from, to, of_listener.subscribe()));
            }
        });
        Self { port, cut }
    }

    /// Cuts it, or mends it. A cut wire carries nothing and refuses nothing: silence.
    pub(crate) fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

async fn carry(mut from: TcpStream, to: SocketAddr, mut cut: watch::Receiver<bool>) {
    if *cut.borrow() {
        until(&mut cut, false).await;
        return;
    }
    let Ok(mut onward) = TcpStream::connect(to).await else { return };
    let quick = from.set_nodelay(true).and_then(|()| onward.set_nodelay(true));
    assert!(quick.is_ok());
    let was_cut = tokio::select! {
        // Whoever ends it, it has ended.
        _ = copy_bidirectional(&mut from, &mut onward) => false,
        () = until(&mut cut, true) => true,
    };
    if was_cut {
        // Both ends wait for what does not come, as with a cable that is pulled.
        until(&mut cut, false).await;
    }
}

async fn until(cut: &mut watch::Receiver<bool>, wanted: bool) {
    drop(cut.wait_for(|it| *it == wanted).await);
}
