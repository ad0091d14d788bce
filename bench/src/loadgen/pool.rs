//! Client connections: at most so many, the one that rested longest first.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::report::Class;

/// Connections to one address.
#[derive(Debug)]
pub(super) struct Pool {
    address: SocketAddr,
    size: usize,
    /// A connection is not used again when it has been open for so long.
    renew_after: Option<Duration>,
    idle: Mutex<VecDeque<Connection>>,
    /// One permit per connection; waits in order.
    permits: Arc<Semaphore>,
}

/// One connection. Dropped, it closes at once, even with an answer outstanding: a client that leaves.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Empty<Bytes>>,
    opened: Instant,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection in use; goes back by [`Pool::put_back`], else it closes.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) connection: Connection,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(
        address: SocketAddr,
        size: usize,
        renew_after: Option<Duration>,
    ) -> Arc<Self> {
        Arc::new(Self {
            address,
            size,
            renew_after,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(size)),
        })
    }

    /// Opens all connections.
    pub(super) async fn fill(&self) -> anyhow::Result<()> {
        for _ in 0..self.size {
            let connection = self
                .connect()
                .await
                .map_err(|e| anyhow::anyhow!("cannot connect to {}: {e}", self.address))?;
            self.idle.lock().push_back(connection);
        }
        Ok(())
    }

    /// An idle connection, or a new one, or the next that is put back.
    pub(super) async fn check_out(&self) -> Result<Lease, Class> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| Class::Connect)?;
        loop {
            let idle = self.idle.lock().pop_front();
            let mut connection = match idle {
                Some(connection) => connection,
                None => self.connect().await.map_err(|_| Class::Connect)?,
            };
            // An idle connection that the other side closed is no failure of a request: nothing was sent.
            if connection.sender.ready().await.is_ok() {
                return Ok(Lease {
                    connection,
                    _permit: permit,
                });
            }
        }
    }

    pub(super) fn put_back(&self, lease: Lease) {
        let age = lease.connection.opened.elapsed();
        if self.renew_after.is_none_or(|most| age < most) {
            self.idle.lock().push_back(lease.connection);
        }
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move { drop(driver.await) }).abort_handle();
        Ok(Connection {
            sender,
            opened: Instant::now(),
            driver,
        })
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;
