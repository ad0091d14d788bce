//! Where an admin API is, and the way there.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::ClientError;
use super::cluster::PodPort;
use crate::address::AdminAddress;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The same of a pod: three others are on the way, the API server, a kubelet and a runtime.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(15);

/// Where an admin API is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Of this machine, or of one that is reached by its address.
    Machine(AdminAddress),
    /// Of a pod that is reached through the API server.
    Pod(PodPort),
}

/// A connection of any kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Place {
    /// What `Host` says: an admin API without a token answers only to names of its own machine.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Machine(AdminAddress::Tcp(authority)) => authority,
            Self::Machine(AdminAddress::Unix(_)) | Self::Pod(_) => "localhost",
        }
    }

    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, ClientError> {
        let limit = match self {
            Self::Machine(_) => CONNECT_TIMEOUT,
            Self::Pod(_) => FORWARD_TIMEOUT,
        };
        let connected = tokio::time::timeout(limit, self.dial()).await;
        connected.map_err(|_| ClientError::Timeout(self.to_string()))?
    }

    async fn dial(&self) -> Result<Box<dyn Stream>, ClientError> {
        match self {
            Self::Machine(address) => {
                let opened = open(address).await;
                opened.map_err(|error| match error.kind() {
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                        ClientError::NotRunning(address.clone())
                    }
                    _ => ClientError::Connect(self.to_string(), error),
                })
            }
            Self::Pod(port) => {
                let opened = port.open().await;
                let forwarded = opened.map_err(|e| ClientError::Forward(self.to_string(), e))?;
                Ok(Box::new(forwarded))
            }
        }
    }
}

async fn open(address: &AdminAddress) -> io::Result<Box<dyn Stream>> {
    match address {
        AdminAddress::Tcp(authority) => Ok(Box::new(TcpStream::connect(authority).await?)),
        AdminAddress::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
    }
}

/// Whether anybody listens there. Nothing is said to them.
pub(super) async fn is_taken(address: &AdminAddress) -> bool {
    let opened = tokio::time::timeout(CONNECT_TIMEOUT, open(address)).await;
    // Somebody who is too slow to accept is there all the same.
    opened.map_or(true, |opened| opened.is_ok())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(address) => address.fmt(f),
            Self::Pod(port) => port.fmt(f),
        }
    }
}
