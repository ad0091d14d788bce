//! Where the admin API listens, and when that is refused.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream, lookup_host};

use super::auth::{Guard, Token};
use crate::address::AdminAddress;

/// Why the admin API cannot listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    /// Anybody could reach it.
    #[error(
        "the admin API on {0} needs --admin-token-file: without one it listens on loopback only"
    )]
    NeedsToken(SocketAddr),
    /// A name that does not resolve.
    #[error("admin address {0} does not resolve")]
    Resolve(AdminAddress, #[source] io::Error),
    /// Taken, or not ours.
    #[error("the admin API cannot listen on {0}: choose another with --admin-listen")]
    Bind(AdminAddress, #[source] io::Error),
    /// Something else is at the socket's path.
    #[error("{} exists and is no socket", .0.display())]
    NotASocket(PathBuf),
    /// A socket that is answered.
    #[error("another program answers on {}", .0.display())]
    SocketInUse(PathBuf),
}

/// A bound listener of either kind.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    /// Unlinked when it is dropped.
    Unix(UnixListener, SocketFile),
}

/// Removes a socket's file in the end.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "admin socket was not removed");
        }
    }
}

/// A connection of either kind.
pub(super) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

impl Listener {
    pub(super) async fn bind(address: &AdminAddress, has_token: bool) -> Result<Self, AdminError> {
        match address {
            AdminAddress::Unix(path) => bind_unix(path).await,
            AdminAddress::Tcp(authority) => {
                let resolve = |e| AdminError::Resolve(address.clone(), e);
                let mut resolved = lookup_host(authority.as_str()).await.map_err(resolve)?;
                let Some(socket) = resolved.next() else {
                    return Err(resolve(io::Error::from(io::ErrorKind::NotFound)));
                };
                if !socket.ip().is_loopback() && !has_token {
                    return Err(AdminError::NeedsToken(socket));
                }
                let bound = TcpListener::bind(socket).await;
                Ok(Self::Tcp(
                    bound.map_err(|e| AdminError::Bind(address.clone(), e))?,
                ))
            }
        }
    }

    /// Binds an address that everybody may reach.
    pub(super) async fn open(address: SocketAddr) -> Result<Self, AdminError> {
        let bound = TcpListener::bind(address).await;
        Ok(Self::Tcp(
            bound.map_err(|e| AdminError::Bind(address.into(), e))?,
        ))
    }

    /// The guard that suits where it listens.
    pub(super) fn guard(&self, token: Option<Token>) -> Guard {
        match (token, self) {
            (Some(token), _) => Guard::Bearer(token),
            (None, Self::Tcp(_)) => Guard::Loopback,
            (None, Self::Unix(..)) => Guard::Socket,
        }
    }

    /// Where it is reached; the port is the real one when 0 was asked for.
    pub(super) fn address(&self) -> io::Result<AdminAddress> {
        match self {
            Self::Tcp(listener) => Ok(listener.local_addr()?.into()),
            Self::Unix(_, file) => Ok(AdminAddress::Unix(file.0.clone())),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Box<dyn Connection>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(listener, _) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

/// Binds a socket that only this user may open. One that a dead process left is replaced.
async fn bind_unix(path: &Path) -> Result<Listener, AdminError> {
    let address = || AdminAddress::Unix(path.to_owned());
    let failed = |e| AdminError::Bind(address(), e);
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(AdminError::NotASocket(path.to_owned()));
        }
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            return Err(AdminError::SocketInUse(path.to_owned()));
        }
        Ok(_) => fs::remove_file(path).map_err(failed)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(Listener::Unix(listener, SocketFile(path.to_owned())))
}
