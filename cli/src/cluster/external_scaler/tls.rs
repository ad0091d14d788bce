//! What the listener shows, and whom it asks for a certificate.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::args::ExternalScalerArgs;

/// TLS as the options say; `None` where they say none.
pub(super) async fn acceptor(args: &ExternalScalerArgs) -> anyhow::Result<Option<TlsAcceptor>> {
    let (Some(certificate), Some(key)) = (&args.external_scaler_cert, &args.external_scaler_key)
    else {
        return Ok(None);
    };
    let (certificate, key) = (pem(certificate).await?, pem(key).await?);
    let authorities = match &args.external_scaler_client_ca {
        Some(authorities) => Some(pem(authorities).await?),
        None => None,
    };
    let config = config(&certificate, &key, authorities.as_deref())
        .context("the certificate of the external scaler cannot be used")?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// HTTP/2 with this chain and key, PEM; clients show a certificate of `authorities`, where there are some.
pub(super) fn config(
    chain: &[u8],
    key: &[u8],
    authorities: Option<&[u8]>,
) -> anyhow::Result<ServerConfig> {
    let chain = certificates(chain)?;
    let key = PrivateKeyDer::from_pem_slice(key).context("no private key in the given file")?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let clients = match authorities {
        Some(authorities) => versions.with_client_cert_verifier(verifier(authorities, provider)?),
        None => versions.with_no_client_auth(),
    };
    let mut config = clients.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn verifier(
    authorities: &[u8],
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(authorities)? {
        roots.add(authority)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    Ok(verifier.build()?)
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.context("no certificate in the given file")?;
    anyhow::ensure!(!certificates.is_empty(), "no certificate in the given file");
    Ok(certificates)
}

async fn pem(file: &Path) -> anyhow::Result<Vec<u8>> {
    let text = tokio::fs::read(file).await;
    text.with_context(|| format!("cannot read {}", file.display()))
}
