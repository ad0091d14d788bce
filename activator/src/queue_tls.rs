//! TLS towards Knative's queue-proxies (`system-internal-tls`): who they must be, and by whose word.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::server::ParsedCertificate;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::TlsError;

/// The name that all queue-proxies have in their certificates.
const NAME: &str = "data-plane.knative.dev";

/// What begins the name that those of one namespace have beside it.
const OF_NAMESPACE: &str = "kn-user-";

/// Where queue-proxies speak TLS, and the port of their Services that leads there.
const PORT: u16 = 8112;
const SERVICE_PORT: u16 = 443;

/// Why a replica is not spoken to.
#[derive(Debug, Error)]
pub(crate) enum QueueTlsError {
    #[error("no authorities are known yet")]
    NoAuthorities,
    #[error("tls handshake failed")]
    Handshake(#[source] std::io::Error),
    #[error("no name can be made of the namespace")]
    Namespace(#[source] InvalidDnsNameError),
    #[error("its certificate is for another namespace")]
    Stranger(#[source] rustls::Error),
}

/// The authorities that vouch for queue-proxies. They may be replaced at any time; without any,
/// nobody is spoken to.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueueTls(Arc<ArcSwapOption<Configs>>);

#[derive(Debug)]
struct Configs {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl QueueTls {
    /// Believes these authorities, PEM, and no others.
    pub(crate) fn set_authorities(&self, authorities: &[u8]) -> Result<(), TlsError> {
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(authorities) {
            let authority = authority.map_err(TlsError::Certificate)?;
            roots.add(authority).map_err(TlsError::Unusable)?;
        }
        let roots = Arc::new(roots);
        let configs = Configs {
            http1: config(&roots, b"http/1.1")?,
            http2: config(&roots, b"h2")?,
        };
        self.0.store(Some(Arc::new(configs)));
        Ok(())
    }

    /// Where TLS is spoken by who is found at `address`: a pod, or a Service.
    pub(crate) fn address(address: SocketAddr) -> SocketAddr {
        let port = match address.port() {
            80 | 81 => SERVICE_PORT,
            _ => PORT,
        };
        SocketAddr::new(address.ip(), port)
    }

    /// TLS over `stream` with a queue-proxy of `namespace`.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
        namespace: &str,
        is_http2: bool,
    ) -> Result<TlsStream<TcpStream>, QueueTlsError> {
        let configs = self.0.load_full().ok_or(QueueTlsError::NoAuthorities)?;
        let config = match is_http2 {
            true => &configs.http2,
            false => &configs.http1,
        };
        let name = ServerName::try_from(NAME).map_err(QueueTlsError::Namespace)?;
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(name, stream).await;
        let stream = stream.map_err(QueueTlsError::Handshake)?;
        let own = format!("{OF_NAMESPACE}{namespace}");
        let own = ServerName::try_from(own).map_err(QueueTlsError::Namespace)?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificate = certificates
            .first()
            .ok_or(rustls::Error::NoCertificatesPresented);
        certificate
            .and_then(ParsedCertificate::try_from)
            .and_then(|certificate| verify_server_name(&certificate, &own))
            .map_err(QueueTlsError::Stranger)?;
        Ok(stream)
    }
}

fn config(roots: &Arc<RootCertStore>, protocol: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Unusable)?
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}
