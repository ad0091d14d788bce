//! Whether somebody answers requests at an address, or a mesh refuses them there.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One question with its answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// A request without effect, to a host that no mesh knows: as callers' own hosts are to it.
pub(super) const QUESTION: &[u8] = b"OPTIONS * HTTP/1.1\r\nHost: zeron-reach.invalid\r\n\
    User-Agent: zeron-reach\r\nConnection: close\r\n\r\n";
/// `HTTP/1.1 503 `: as much of an answer as is needed.
const HEAD: usize = 13;

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// An answer of any kind, but 502 and 503: somebody takes requests there.
    Given,
    /// The connection was refused or closed, or a proxy said 502 or 503.
    Refused,
    /// Nothing, in time.
    Silence,
}

/// Asks once.
pub(super) async fn ask(address: SocketAddr) -> Answer {
    match tokio::time::timeout(PATIENCE, head(address)).await {
        Ok(Ok(head)) => judge(&head),
        Ok(Err(error)) => match error.kind() {
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe => Answer::Refused,
            _ => Answer::Silence,
        },
        Err(_) => Answer::Silence,
    }
}

/// The first bytes of the answer; fewer when the connection ends before.
async fn head(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(QUESTION).await?;
    let mut head = Vec::with_capacity(HEAD);
    let limit = u64::try_from(HEAD).unwrap_or(u64::MAX);
    stream.take(limit).read_to_end(&mut head).await?;
    Ok(head)
}

fn judge(head: &[u8]) -> Answer {
    let is_http = head.starts_with(b"HTTP/1.");
    let code = head.get(9..12);
    match (head, code) {
        ([], _) => Answer::Refused,
        (_, Some(b"502" | b"503")) if is_http => Answer::Refused,
        _ => Answer::Given,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::net::TcpListener;

    use super::*;

    /// Asks somebody who says this and closes.
    async fn asked(answer: &'static [u8]) -> Answer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = vec![0; QUESTION.len()];
            stream.read_exact(&mut question).await.unwrap();
            stream.write_all(answer).await.unwrap();
        });
        let answer = ask(address).await;
        server.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn any_answer_but_that_of_a_proxy_which_reaches_nobody_is_one() {
        let given: [&[u8]; 4] = [
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 404 Not Found\r\n\r\n",
            b"HTTP/1.0 500 Oops\r\n\r\n",
            b"\0\0\x12\x04\0\0\0\0\0",
        ];
        for answer in given {
            assert_eq!(asked(answer).await, Answer::Given);
        }
        let refused: [&[u8]; 3] = [
            b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
            b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
            b"",
        ];
        for answer in refused {
            assert_eq!(asked(answer).await, Answer::Refused);
        }
    }

    #[tokio::test]
    async fn nobody_there_refuses_and_silence_is_something_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(ask(address).await, Answer::Silence);
        drop(listener);
        assert_eq!(ask(address).await, Answer::Refused);
    }
}
