//! A connection that is signed in.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeron_core::metric::{Unknown, UnknownKind};

use super::protocol::{self, Info, Said, lost};
use super::server::Login;
use super::{ANSWER_WITHIN, send};
use crate::AddressPolicy;
use crate::source::unknown;

pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

type Stream = Box<dyn Duplex>;

pub(super) type Reader = protocol::Reader<ReadHalf<Stream>>;
pub(super) type Writer = WriteHalf<Stream>;

/// Connects and signs in; whoever calls bounds its time.
pub(super) async fn open(
    login: &Login,
    addresses: &AddressPolicy,
) -> Result<(Reader, Writer), Unknown> {
    let found = addresses
        .resolve(&login.host, login.port, ANSWER_WITHIN)
        .await?;
    let stream = TcpStream::connect(&*found)
        .await
        .map_err(|error| lost(&error))?;
    stream.set_nodelay(true).map_err(|error| lost(&error))?;
    let mut reader = protocol::Reader::new(stream);
    let Said::Info(info) = reader.next().await? else {
        return Err(unknown(UnknownKind::Parse, "the server does not greet"));
    };
    let stream = reader.into_inner();
    let stream = stream
        .ok_or_else(|| unknown(UnknownKind::Parse, "the server says more than a greeting"))?;
    let stream = encrypt(stream, login, info).await?;
    sign_in(stream, login).await
}

async fn encrypt(stream: TcpStream, login: &Login, info: Info) -> Result<Stream, Unknown> {
    if !login.is_tls && !info.tls_required {
        return Ok(Box::new(stream));
    }
    if !info.tls_required && !info.tls_available {
        let message = "the server does not offer TLS";
        return Err(unknown(UnknownKind::Transport, message));
    }
    let name = ServerName::try_from(login.host.clone()).map_err(|_| {
        let message = "the host is no name that a certificate could have";
        unknown(UnknownKind::Configuration, message)
    })?;
    let connector = TlsConnector::from(Arc::new(login.tls.client_config()?));
    let shaken = connector.connect(name, stream).await;
    Ok(Box::new(shaken.map_err(|error| lost(&error))?))
}

async fn sign_in(stream: Stream, login: &Login) -> Result<(Reader, Writer), Unknown> {
    let (reader, mut writer) = split(stream);
    let greeting = format!("CONNECT {}\r\nPING\r\n", options(login));
    send(&mut writer, &greeting).await?;
    let mut reader = protocol::Reader::new(reader);
    loop {
        match reader.next().await? {
            Said::Pong => return Ok((reader, writer)),
            Said::Ok | Said::Info(_) => {}
            // Servers ask on their own account too.
            Said::Ping => send(&mut writer, "PONG\r\n").await?,
            Said::Message { .. } | Said::Forbidden(_) => {
                let message = "the server does not confirm the sign-in";
                return Err(unknown(UnknownKind::Parse, message));
            }
        }
    }
}

/// Without headers: they would only be more to read.
fn options(login: &Login) -> serde_json::Value {
    let mut options = json!({
        "verbose": false,
        "pedantic": false,
        "name": "zeron",
        "lang": "rust",
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": 1,
        "echo": false,
        "headers": false,
        "tls_required": login.is_tls,
    });
    for (name, secret) in [
        ("user", &login.username),
        ("pass", &login.password),
        ("auth_token", &login.token),
    ] {
        if let Some(secret) = secret {
            options[name] = secret.expose().into();
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::tls::TlsSettings;

    /// How a sign-in ends when the server says this, and what was sent to it.
    async fn signed_in(said: &str) -> (Result<(), UnknownKind>, String) {
        let login = Login {
            host: "nats.shop".to_owned(),
            port: 4222,
            is_tls: false,
            tls: TlsSettings::default(),
            username: None,
            password: None,
            token: None,
        };
        let (near, mut far) = duplex(4096);
        far.write_all(said.as_bytes()).await.unwrap();
        let ended = sign_in(Box::new(near), &login).await;
        let ended = ended.map(drop).map_err(|reason| reason.kind);
        let mut sent = String::new();
        far.read_to_string(&mut sent).await.unwrap();
        (ended, sent)
    }

    #[tokio::test]
    async fn a_ping_before_the_sign_in_is_confirmed_is_answered() {
        let (ended, sent) = signed_in("+OK\r\nPING\r\nPONG\r\n").await;
        assert_eq!(ended, Ok(()));
        assert!(sent.starts_with("CONNECT {"), "{sent}");
        assert!(sent.ends_with("}\r\nPING\r\nPONG\r\n"), "{sent}");
        let (ended, sent) = signed_in("PONG\r\n").await;
        assert_eq!(ended, Ok(()));
        assert!(!sent.contains("PONG"), "{sent}");
    }

    #[tokio::test]
    async fn a_message_before_the_sign_in_is_confirmed_is_no_nats() {
        let (ended, _) = signed_in("MSG a 1 1\r\nx\r\n").await;
        assert_eq!(ended, Err(UnknownKind::Parse));
    }
}
