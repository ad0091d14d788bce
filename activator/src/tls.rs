//! The certificate of the HTTPS listener.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
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
    if chain.is_empty() {
        return Err(TlsError::Certificate(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_file(&listener.key).map_err(TlsError::Key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
