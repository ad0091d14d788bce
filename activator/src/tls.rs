//! The certificates of HTTPS listeners.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::config::TlsListener;

/// Why HTTPS cannot be served.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The certificate file cannot be read or holds no certificate.
    #[error("no certificate in the given file")]
    Certificate(#[source] pem::Error),
    /// The key file cannot be read or holds no key.
    #[error("no private key in the given file")]
    Key(#[source] pem::Error),
    /// Both are there but cannot be used, together or at all.
    #[error("certificate and key cannot be used")]
    Unusable(#[source] rustls::Error),
}

pub(crate) fn acceptor(listener: &TlsListener) -> Result<TlsAcceptor, TlsError> {
    let chain = CertificateDer::pem_file_iter(&listener.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(TlsError::Certificate)?;
    let key = PrivateKeyDer::from_pem_file(&listener.key).map_err(TlsError::Key)?;
    let certificate = Certificate::default();
    certificate.replace(chain, key)?;
    certificate.acceptor()
}

/// A certificate that may be replaced while connections are accepted with it. Without one no
/// handshake succeeds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificate(Arc<ArcSwapOption<CertifiedKey>>);

impl Certificate {
    /// Takes another one, from PEM: the chain, leaf first, and the key.
    pub(crate) fn set(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(TlsError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
        self.replace(chain, key)
    }

    fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), TlsError> {
        if chain.is_empty() {
            return Err(TlsError::Certificate(pem::Error::NoItemsFound));
        }
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let certified = certified.map_err(TlsError::Unusable)?;
        self.0.store(Some(Arc::new(certified)));
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}
