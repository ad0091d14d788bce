//! Asks the public Service of a revision whether an activator stands behind it.

use std::fmt;
use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

/// For the whole question. A Service whose pods are gone answers nothing at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// What an activator answers.
const ANSWER: &[u8] = b"activator";
/// Of an answer no more is read.
const MOST: usize = 1024;

/// Asks a Service whether an activator stands behind it.
pub trait AskForActivator: Send + Sync + fmt::Debug + 'static {
    /// Whether whoever stands behind `host` is an activator. What does not answer is none.
    fn is_activator(&self, host: &str, port: u16) -> BoxFuture<'static, bool>;
}

/// Asks by HTTP/1.1, on a connection of its own: one that is kept would go on leading to whoever
/// stood there before.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpProbe;

/// Nobody answered as an activator does.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error("no connection")]
    Connect(#[source] io::Error),
    #[error("no answer")]
    Http(#[source] hyper::Error),
    #[error("an answer that cannot be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer in time")]
    Timeout,
}

impl AskForActivator for HttpProbe {
    fn is_activator(&self, host: &str, port: u16) -> BoxFuture<'static, bool> {
        let host = host.to_owned();
        async move {
            let asked = timeout(PATIENCE, ask(&host, port)).await;
            match asked.unwrap_or(Err(ProbeError::Timeout)) {
                Ok(is_activator) => is_activator,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    debug!(host, port, error, "no activator");
                    false
                }
            }
        }
        .boxed()
    }
}

async fn ask(host: &str, port: u16) -> Result<bool, ProbeError> {
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(ProbeError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(ProbeError::Http)?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    // The path is the original's, double slash included.
    let request = Request::get("//healthz")
        .header(http::header::HOST, format!("{host}:{port}"))
        .header(http::header::USER_AGENT, "Knative-Autoscaling-Probe")
        .header(http::header::CONNECTION, "close")
        .header("K-Network-Probe", "activator")
        .body(Empty::<Bytes>::new())
        .expect("a host name is a header value");
    let answer = sender
        .send_request(request)
        .await
        .map_err(ProbeError::Http)?;
    if answer.status() != StatusCode::OK {
        return Ok(false);
    }
    let body = Limited::new(answer.into_body(), MOST).collect().await;
    Ok(body.map_err(ProbeError::Body)?.to_bytes() == ANSWER)
}
