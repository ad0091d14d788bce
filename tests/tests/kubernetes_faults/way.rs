//! The way to somebody over TCP: shared by several, taken away, held up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// A listener that leads to one of several backends in turn.
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    /// Which backends get new connections.
    open: watch::Sender<Vec<SocketAddr>>,
    /// Whether bytes move.
    moves: watch::Sender<bool>,
    _runtime: Runtime,
}

impl Way {
    pub(crate) fn to(backends: &[SocketAddr]) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (open, backends) = watch::channel(backends.to_vec());
        let (moves, is_moving) = watch::channel(true);
        runtime.spawn(accept(listener, backends, is_moving));
        Self {
            address,
            open,
            moves,
            _runtime: runtime,
        }
    }

    /// From now on new connections lead to these; others go on.
    pub(crate) fn lead_to(&self, backends: &[SocketAddr]) {
        self.open.send_replace(backends.to_vec());
    }

    /// A partition: connections stay, and nothing passes.
    pub(crate) fn hold_up(&self) {
        self.moves.send_replace(false);
    }

    /// What was held up passes.
    pub(crate) fn let_pass(&self) {
        self.moves.send_replace(true);
    }
}

/// One thread for what passes through a proxy.
pub(crate) fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

async fn accept(
    listener: TcpListener,
    backends: watch::Receiver<Vec<SocketAddr>>,
    is_moving: watch::Receiver<bool>,
) {
    let turn = Arc::new(AtomicUsize::new(0));
    while let Ok((client, _)) = listener.accept().await {
        let (backends, is_moving) = (backends.borrow().clone(), is_moving.clone());
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let backend = backends.get(turn % backends.len().max(1))?;
            let server = TcpStream::connect(backend).await.ok()?;
            client.set_nodelay(true).ok()?;
            server.set_nodelay(true).ok()?;
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            let there = tokio::spawn(pass(from_client, to_server, is_moving.clone()));
            pass(from_server, to_client, is_moving).await;
            there.await.ok()
        });
    }
}

/// Passes bytes on until their end, which is passed on too.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut is_moving: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if is_moving.wait_for(|moves| *moves).await.is_err() || read == 0 {
            break;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    drop(to.shutdown().await);
}
