//! TLS for tokio-postgres, by rustls.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::roles::BoxFuture;

use super::frames::Frames;
use super::login::{Encryption, Login, Server};
use super::transport::{Allowance, Transport};
use crate::source::unknown;

/// Encrypts a connection to one server.
pub(super) struct Tls {
    /// `None`: the connection stays as it is.
    connector: Option<(TlsConnector, ServerName<'static>)>,
}

impl Tls {
    /// As `login` wants it for `server`.
    ///
    /// # Errors
    /// `Configuration` where the PEM is bad, or the host is no name.
    pub(super) fn new(login: &Login, server: &Server) -> Result<Self, Unknown> {
        if login.encryption == Encryption::Disable || server.is_local() {
            return Ok(Self { connector: None });
        }
        let name = ServerName::try_from(server.host.clone());
        let name = name.map_err(|_| wrong(format!("{} is no name of a host", server.host)))?;
        let connector = TlsConnector::from(Arc::new(client_config(login)?));
        Ok(Self {
            connector: Some((connector, name)),
        })
    }

    /// Whether there is anything to encrypt with.
    pub(super) fn is_wanted(&self) -> bool {
        self.connector.is_some()
    }
}

fn client_config(login: &Login) -> Result<ClientConfig, Unknown> {
    let mut config = login.tls.client_config()?;
    if login.encryption == Encryption::VerifyCa {
        let provider = Arc::clone(config.crypto_provider());
        let chain = WebPkiServerVerifier::builder_with_provider(login.tls.roots()?, provider)
            .build()
            .map_err(|error| wrong(format!("no certificate can be verified: {error}")))?;
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(AnyName { chain }));
    }
    Ok(config)
}

fn wrong(message: String) -> Unknown {
    unknown(UnknownKind::Configuration, message)
}

impl TlsConnect<Transport> for Tls {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Encrypted>>;

    fn connect(self, stream: Transport) -> Self::Future {
        Box::pin(async move {
            let (connector, name) = self
                .connector
                .ok_or_else(|| io::Error::other("no encryption was asked for"))?;
            let allowance = stream.allowance();
            let stream = connector.connect(name, stream).await?;
            Ok(Encrypted {
                stream,
                frames: Frames::default(),
                allowance,
            })
        })
    }
}

/// An encrypted connection.
pub(super) struct Encrypted {
    stream: tokio_rustls::client::TlsStream<Transport>,
    frames: Frames,
    allowance: Arc<Allowance>,
}

impl TlsStream for Encrypted {
    /// None is offered: SCRAM proves both sides to each other without it.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = &mut *self;
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        let followed = this.allowance.follow(&mut this.frames, read);
        if followed.is_err() {
            // What fails reads nothing.
            buffer.set_filled(before);
        }
        Poll::Ready(followed)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// `verify-ca`: the chain is verified, and the name it is for is not.
#[derive(Debug)]
struct AnyName {
    chain: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.chain.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
