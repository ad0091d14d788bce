//! The PROXY protocol, v1 and v2: a trusted proxy names its client before the first byte.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use ppp::{HeaderResult, PartialResult as _, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest header that is accepted; v2 with its extras may be longer, proxies' are not.
const MAX_HEADER: usize = 1024;

/// Reads the header. The client's address, when one is given, and what follows the header.
///
/// # Errors
/// When there is no such header, or it is malformed or too long.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<(Option<SocketAddr>, Bytes)> {
    let mut buffer = BytesMut::with_capacity(256);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let header = HeaderResult::parse(&buffer);
        if header.is_complete() {
            let (client, length) = parse(&header).ok_or(io::ErrorKind::InvalidData)?;
            buffer.advance(length);
            return Ok((client, buffer.freeze()));
        }
        if buffer.len() > MAX_HEADER {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// The client and the header's length.
fn parse(header: &HeaderResult<'_>) -> Option<(Option<SocketAddr>, usize)> {
    match header {
        HeaderResult::V1(header) => {
            let header = header.as_ref().ok()?;
            let client = match header.addresses {
                v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
                v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
                v1::Addresses::Unknown => None,
            };
            Some((client, header.header.len()))
        }
        HeaderResult::V2(header) => {
            let header = header.as_ref().ok()?;
            let client = match (header.command, header.addresses) {
                (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => {
                    Some((ip.source_address, ip.source_port).into())
                }
                (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => {
                    Some((ip.source_address, ip.source_port).into())
                }
                // A health check of the proxy itself, or no address of ours.
                _ => None,
            };
            Some((client, header.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn v1_names_the_client_and_leaves_the_rest() -> io::Result<()> {
        let mut bytes = &b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 80\r\nGET /"[..];
        let (client, rest) = read(&mut bytes).await?;
        assert_eq!(client, "192.0.2.7:1234".parse().ok());
        assert_eq!(&rest[..], b"GET /");
        Ok(())
    }

    #[tokio::test]
    async fn v2_names_the_client_and_leaves_the_rest() -> io::Result<()> {
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        bytes.extend([192, 0, 2, 7, 192, 0, 2, 1, 4, 210, 0, 80]);
        bytes.extend(b"GET /");
        let (client, rest) = read(&mut &bytes[..]).await?;
        assert_eq!(client, "192.0.2.7:1234".parse().ok());
        assert_eq!(&rest[..], b"GET /");
        Ok(())
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        for bytes in ["GET / HTTP/1.1\r\n\r\n", "PROXY TCP4 nonsense\r\n", "PROX"] {
            assert!(read(&mut bytes.as_bytes()).await.is_err(), "{bytes}");
        }
    }
}
