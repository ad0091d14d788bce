//! One connection to one broker: TCP, TLS, SASL, then requests with their answers in order.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::endpoint::Endpoint;
use super::error::ReadError;
use super::protocol::{Api, Garbled, Request, Response, Versions};
use super::security::Access;

/// Longest answers of one exchange together. A broker's are far smaller; something else that answers may
/// say any length.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Whatever carries bytes both ways.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// An open connection that takes requests. It is good until an exchange failed.
pub(crate) struct Connection {
    broker: Arc<str>,
    stream: Box<dyn Stream>,
    versions: Versions,
    number: i32,
    expires: Option<Instant>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("broker", &self.broker)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects to `endpoint`, which errors call `broker`, and logs in.
    pub(crate) async fn open(
        broker: &Arc<str>,
        endpoint: &Endpoint,
        access: &Access,
        deadline: Instant,
    ) -> Result<Self, ReadError> {
        let late = || ReadError::Timeout {
            broker: broker.clone(),
        };
        let opening = Self::open_at_last(broker, endpoint, access, deadline);
        timeout_at(deadline, opening).await.map_err(|_| late())?
    }

    async fn open_at_last(
        broker: &Arc<str>,
        endpoint: &Endpoint,
        access: &Access,
        deadline: Instant,
    ) -> Result<Self, ReadError> {
        let tls = access.tls();
        let tls = tls.map_err(|error| ReadError::before_dialling(broker, &error))?;
        let plain = dial(broker, endpoint, access, deadline).await?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(plain),
            Some(config) => {
                let name = ServerName::try_from(endpoint.host.to_string())
                    .map_err(|error| ReadError::unreachable(broker, &error))?;
                let encrypted = TlsConnector::from(config).connect(name, plain).await;
                Box::new(encrypted.map_err(|error| ReadError::unreachable(broker, &error))?)
            }
        };
        let mut connection = Self {
            broker: broker.clone(),
            stream,
            versions: Versions::default(),
            number: 0,
            expires: None,
        };
        let versions = connection.ask_one(&Request::api_versions()).await?;
        connection.versions = Versions::read(&mut versions.reader())
            .map_err(|_| connection.garbled("its versions"))?;
        if let Some(credentials) = &access.sasl {
            credentials.log_in(&mut connection).await?;
        }
        Ok(connection)
    }

    /// The newest version of `api` that both sides know.
    pub(crate) fn version(&self, api: Api) -> Result<i16, ReadError> {
        let version = self.versions.newest(api);
        version.ok_or_else(|| ReadError::not_spoken(&self.broker, api))
    }

    /// Whether the broker still takes requests, as far as it said.
    pub(crate) fn is_current(&self) -> bool {
        self.expires.is_none_or(|at| Instant::now() < at)
    }

    /// The broker takes requests for so many milliseconds from now; zero: for ever.
    pub(crate) fn expire_after(&mut self, lifetime: i64) {
        let lifetime = u64::try_from(lifetime).unwrap_or(0);
        if lifetime > 0 {
            // Another connection is made in time, rather than this one closed under a request.
            let kept = Duration::from_millis(lifetime) / 10 * 9;
            self.expires = Instant::now().checked_add(kept);
        }
    }

    /// Sends `requests` at once and reads an answer to each.
    pub(crate) async fn ask(&mut self, requests: &[Request]) -> Result<Vec<Response>, ReadError> {
        let first = self.number;
        self.number = first.wrapping_add(i32::try_from(requests.len()).unwrap_or(i32::MAX));
        let numbered = || {
            requests
                .iter()
                .zip((0..).map(move |i| first.wrapping_add(i)))
        };
        let (reader, writer) = tokio::io::split(&mut self.stream);
        // Both at once: a broker that answers does not read on before its answer is taken.
        let sent = send(writer, numbered());
        let received = receive(reader, numbered());
        let outcome = tokio::try_join!(sent, received);
        outcome
            .map(|((), responses)| responses)
            .map_err(|failure| match failure {
                Failure::Broken(error) => ReadError::unreachable(&self.broker, &error),
                Failure::Garbled(what) => self.garbled(what),
            })
    }

    /// Sends one request and reads its answer.
    pub(crate) async fn ask_one(&mut self, request: &Request) -> Result<Response, ReadError> {
        let mut responses = self.ask(std::slice::from_ref(request)).await?;
        responses.pop().ok_or_else(|| self.garbled("no answer"))
    }

    /// An answer makes no sense.
    pub(crate) fn garbled(&self, what: &'static str) -> ReadError {
        ReadError::garbled(&self.broker, what)
    }

    /// The credentials were not taken.
    pub(crate) fn refused(&self, detail: &str) -> ReadError {
        ReadError::Authentication {
            broker: self.broker.clone(),
            detail: detail.into(),
        }
    }
}

enum Failure {
    Broken(std::io::Error),
    Garbled(&'static str),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error)
    }
}

type Numbered<'a> = (&'a Request, i32);

async fn send(
    mut writer: WriteHalf<&mut Box<dyn Stream>>,
    requests: impl Iterator<Item = Numbered<'_>>,
) -> Result<(), Failure> {
    for (request, number) in requests {
        writer.write_all(&request.frame(number)).await?;
    }
    writer.flush().await?;
    Ok(())
}

async fn receive(
    mut reader: ReadHalf<&mut Box<dyn Stream>>,
    requests: impl Iterator<Item = Numbered<'_>>,
) -> Result<Vec<Response>, Failure> {
    let mut left = MAX_ANSWER_BYTES;
    let mut responses = Vec::new();
    for (request, number) in requests {
        let length = usize::try_from(reader.read_i32().await?).unwrap_or(usize::MAX);
        left = left
            .checked_sub(length)
            .ok_or(Failure::Garbled("an answer of impossible length"))?;
        // Memory is taken as bytes arrive.
        let mut frame = Vec::new();
        let wanted = u64::try_from(length).unwrap_or(u64::MAX);
        (&mut reader).take(wanted).read_to_end(&mut frame).await?;
        if frame.len() < length {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        let response = request.answer(number, frame);
        responses.push(response.map_err(|Garbled| Failure::Garbled("an answer to nothing asked"))?);
    }
    Ok(responses)
}

/// Connects to the first address that accepts; every address was checked.
async fn dial(
    broker: &Arc<str>,
    endpoint: &Endpoint,
    access: &Access,
    deadline: Instant,
) -> Result<TcpStream, ReadError> {
    let left = deadline.saturating_duration_since(Instant::now());
    let addresses = access
        .addresses
        .resolve(&endpoint.host, endpoint.port, left)
        .await
        .map_err(|error| ReadError::before_dialling(broker, &error))?;
    let mut last = ReadError::unreachable(broker, &"no address");
    for (index, address) in addresses.iter().enumerate() {
        // An address that swallows packets leaves the others their share.
        let share = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let left = deadline.saturating_duration_since(Instant::now());
        let connecting = TcpStream::connect(address);
        match timeout_at(Instant::now() + left / share, connecting).await {
            Ok(Ok(stream)) => {
                let is_set = stream.set_nodelay(true);
                is_set.map_err(|error| ReadError::unreachable(broker, &error))?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = ReadError::unreachable(broker, &error),
            Err(_) => last = ReadError::unreachable(broker, &"nobody accepts the connection"),
        }
    }
    Err(last)
}
