//! Binding: every address once for each worker, so that the kernel spreads connections.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted, per listener.
pub(crate) const BACKLOG: i32 = 4096;

/// Binds `address` `count` times. Port 0 picks one port for all.
///
/// # Errors
/// What the system says, such as that the address is taken.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    // The first is bound alone, so that a port that another process has, even one that would
    // share it, is an error. Only then is it opened to its siblings.
    let first = socket(address)?;
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    let bound = first
        .local_addr()?
        .as_socket()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut sockets = vec![first];
    for _ in 1..count {
        let sibling = socket(address)?;
        sibling.set_reuse_port(true)?;
        sibling.bind(&bound.into())?;
        sockets.push(sibling);
    }
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    Ok(sockets.into_iter().map(Into::into).collect())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_one_port() -> io::Result<()> {
        let listeners = bind("127.0.0.1:0".parse().unwrap(), 3)?;
        let port = listeners[0].local_addr()?.port();
        for listener in &listeners {
            assert_eq!(listener.local_addr()?.port(), port);
        }
        Ok(())
    }

    #[test]
    fn a_taken_port_is_an_error_even_where_it_could_be_shared() -> io::Result<()> {
        let listeners = bind("127.0.0.1:0".parse().unwrap(), 2)?;
        let taken = bind(listeners[0].local_addr()?, 2).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        Ok(())
    }
}
