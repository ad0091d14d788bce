//! An HTTP/2 client without TLS, for requests that real clients make.

use std::net::SocketAddr;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wait::PATIENCE;

/// One connection that makes requests with bodies of type `B`.
#[derive(Debug)]
pub struct Client<B> {
    sender: SendRequest<B>,
}

/// An answer read to its end.
#[derive(Debug)]
pub struct Whole {
    /// Status and headers.
    pub head: http::response::Parts,
    /// The body.
    pub body: Bytes,
    /// Trailers; empty when there were none.
    pub trailers: HeaderMap,
}

impl<B> Client<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Connects with prior knowledge.
    ///
    /// # Errors
    /// When nobody listens, or the peer speaks something else.
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// When none comes.
    pub async fn head(&mut self, request: Request<B>) -> anyhow::Result<Response<Incoming>> {
        let answer = timeout(PATIENCE, self.sender.send_request(request)).await;
        Ok(answer.context("no answer in time")??)
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When it does not come to its end.
    pub async fn whole(&mut self, request: Request<B>) -> anyhow::Result<Whole> {
        let (head, body) = self.head(request).await?.into_parts();
        let collected = timeout(PATIENCE, body.collect())
            .await
            .context("no end in time")??;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        Ok(Whole {
            head,
            body: collected.to_bytes(),
            trailers,
        })
    }
}
