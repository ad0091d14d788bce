//! Ends a connection from outside: lapin's thread waits for its socket, and for nothing else.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;

use parking_lot::Mutex;

/// A second handle of a connection's socket.
#[derive(Debug, Default)]
enum Socket {
    /// Not connected yet.
    #[default]
    Awaited,
    Open(TcpStream),
    Broken,
}

/// Breaks its connection, also one that is only being made, when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Breaker(Arc<Mutex<Socket>>);

/// What the maker of a connection tells its [`Breaker`].
#[derive(Clone, Debug)]
pub(super) struct Fuse(Arc<Mutex<Socket>>);

impl Breaker {
    /// For the maker of the connection.
    pub(super) fn fuse(&self) -> Fuse {
        Fuse(Arc::clone(&self.0))
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        let socket = std::mem::replace(&mut *self.0.lock(), Socket::Broken);
        if let Socket::Open(socket) = socket
            && let Err(error) = socket.shutdown(Shutdown::Both)
            && error.kind() != io::ErrorKind::NotConnected
        {
            tracing::debug!(%error, "a connection cannot be ended");
        }
    }
}

impl Fuse {
    /// Hands over a handle of the socket that was connected.
    ///
    /// # Errors
    /// `ConnectionAborted` where nobody waits for the connection any more.
    pub(super) fn arm(&self, socket: impl AsFd) -> io::Result<()> {
        let second = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        let mut socket = self.0.lock();
        if matches!(*socket, Socket::Broken) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        *socket = Socket::Open(second);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn dropped_breaker_ends_the_connection_of_who_waits_for_it() {
        let (mut client, _server) = pair();
        let breaker = Breaker::default();
        breaker.fuse().arm(&client).unwrap();
        drop(breaker);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn connection_that_comes_too_late_is_refused() {
        let (client, _server) = pair();
        let breaker = Breaker::default();
        let fuse = breaker.fuse();
        drop(breaker);
        let error = fuse.arm(&client).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }
}
