//! TLS of clients: what a trigger's authentication says about it, as a configuration of rustls.

#[cfg_attr(
    not(any(feature = "amqp", feature = "kafka", feature = "redis")),
    allow(dead_code)
)]
mod encrypted;
mod unverified;

use std::fmt;
use std::sync::{Arc, OnceLock};

use encrypted::Sealed;
use rustls::client::WantsClientCert;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::Secret;

use crate::parameters::{Parameter, Parameters};
use crate::source::unknown;

/// The CA that signed the server's certificate.
pub(crate) const CA: Parameter = Parameter::secret("ca", "CA certificate beside the system's, PEM");
/// The certificate to show.
pub(crate) const CERT: Parameter = Parameter::secret("cert", "client certificate, PEM");
/// The key of the certificate to show.
pub(crate) const KEY: Parameter = Parameter::secret("key", "key of the client certificate, PEM");
/// What opens the key, where it is encrypted.
#[cfg_attr(
    not(any(feature = "amqp", feature = "kafka", feature = "redis")),
    allow(dead_code)
)]
pub(crate) const KEY_PASSWORD: Parameter = Parameter::secret(
    "keyPassword",
    "password of the key, where it is encrypted (PKCS #8)",
);
/// Whether anybody may answer.
pub(crate) const UNSAFE_SSL: Parameter =
    Parameter::flag("unsafeSsl", "the server's certificate is not verified");

/// Whom to trust and what to show. Part of what tells two clients of one server apart.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct TlsSettings {
    /// PEM of CA certificates beside the system's.
    pub(crate) ca: Option<Secret>,
    /// PEM of the certificate to show, its chain after it.
    pub(crate) certificate: Option<Secret>,
    /// PEM of its key.
    pub(crate) key: Option<Secret>,
    /// Whether the server's certificate is not verified.
    pub(crate) is_unverified: bool,
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings")
            .field("has_ca", &self.ca.is_some())
            .field("has_certificate", &self.certificate.is_some())
            .field("is_unverified", &self.is_unverified)
            .finish_non_exhaustive()
    }
}

impl TlsSettings {
    /// Reads [`CA`], [`CERT`], [`KEY`], [`KEY_PASSWORD`] and [`UNSAFE_SSL`], and says what is wrong with them.
    #[cfg_attr(
        not(any(feature = "amqp", feature = "kafka", feature = "redis")),
        allow(dead_code)
    )]
    pub(crate) fn read(parameters: &mut Parameters<'_>) -> Self {
        Self::read_with(parameters, &[CERT])
    }

    /// The same, where the certificate has several names; the first that is given counts.
    #[cfg_attr(
        not(any(feature = "amqp", feature = "kafka", feature = "redis")),
        allow(dead_code)
    )]
    pub(crate) fn read_with(parameters: &mut Parameters<'_>, certificate: &[Parameter]) -> Self {
        let password = parameters.secret(&KEY_PASSWORD);
        let certificate = certificate.iter();
        let mut settings = Self {
            ca: parameters.secret(&CA),
            certificate: { certificate }.find_map(|name| parameters.secret(name)),
            key: parameters.secret(&KEY),
            is_unverified: parameters.flag(&UNSAFE_SSL),
        };
        if let Err(reason) = settings.open(password.as_ref()) {
            parameters.problem(&reason.parameter(), reason.to_string());
            // The rest is looked at without it.
            (settings.certificate, settings.key) = (None, None);
        }
        settings.check(parameters);
        settings
    }

    /// Replaces an encrypted key by what is in it, so that it is opened once.
    #[cfg_attr(
        not(any(feature = "amqp", feature = "kafka", feature = "redis")),
        allow(dead_code)
    )]
    fn open(&mut self, password: Option<&Secret>) -> Result<(), Sealed> {
        if let Some(key) = &mut self.key
            && encrypted::is_sealed(key)
        {
            *key = encrypted::open(key, password)?;
        }
        Ok(())
    }

    /// Reports what [`TlsSettings::client_config`] would fail with, at the parameter that it is about.
    pub(crate) fn check(&self, parameters: &mut Parameters<'_>) {
        if let Err((parameter, message)) = self.parts() {
            parameters.problem(&parameter, message);
        }
    }

    /// The configuration of rustls, with the roots of the system.
    ///
    /// # Errors
    /// `Configuration` where the PEM is bad, the key is encrypted, or the key is of another certificate.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, Unknown> {
        let parts = self.parts().map_err(|(_, message)| wrong(message))?;
        let builder = self.trusting(&parts.ca)?;
        match parts.identity {
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| wrong(format!("cert and key: {error}"))),
            None => Ok(builder.with_no_client_auth()),
        }
    }

    fn trusting(
        &self,
        ca: &[CertificateDer<'static>],
    ) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Unknown> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider knows the default versions");
        if self.is_unverified {
            let anybody = Arc::new(unverified::Anybody::new(&provider));
            return Ok(builder
                .dangerous()
                .with_custom_certificate_verifier(anybody));
        }
        Ok(builder.with_root_certificates(trusted(ca)?))
    }

    /// The system's roots and `ca`, for a verifier of another kind.
    ///
    /// # Errors
    /// `Configuration` where the PEM is bad.
    #[cfg(feature = "sql")]
    pub(crate) fn roots(&self) -> Result<Arc<RootCertStore>, Unknown> {
        let parts = self.parts().map_err(|(_, message)| wrong(message))?;
        trusted(&parts.ca)
    }

    /// What the PEM holds, or which parameter is wrong and why. PEM is never repeated: it may hold a key.
    fn parts(&self) -> Result<Parts, (Parameter, &'static str)> {
        let ca = match &self.ca {
            Some(ca) => certificates(ca).ok_or((CA, "ca holds no PEM certificate"))?,
            None => Vec::new(),
        };
        let identity = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate);
                let chain = chain.ok_or((CERT, "cert holds no PEM certificate"))?;
                Some((chain, private_key(key).map_err(|message| (KEY, message))?))
            }
            (None, None) => None,
            (Some(_), None) => return Err((KEY, "cert needs key")),
            (None, Some(_)) => return Err((CERT, "key needs cert")),
        };
        Ok(Parts { ca, identity })
    }
}

/// What was read from PEM.
struct Parts {
    ca: Vec<CertificateDer<'static>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// The system's roots and these.
fn trusted(ca: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, Unknown> {
    let mut roots = system_roots();
    if !ca.is_empty() {
        let all = Arc::make_mut(&mut roots);
        for certificate in ca {
            let added = all.add(certificate.clone());
            added.map_err(|error| wrong(format!("ca: {error}")))?;
        }
    }
    Ok(roots)
}

/// All certificates of a PEM text; `None` where there is none, or one that cannot be read.
fn certificates(pem: &Secret) -> Option<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(pem.expose().as_bytes());
    let found: Vec<_> = found.collect::<Result<_, _>>().ok()?;
    (!found.is_empty()).then_some(found)
}

fn private_key(pem: &Secret) -> Result<PrivateKeyDer<'static>, &'static str> {
    // Where a type has no password for it.
    if encrypted::is_sealed(pem) {
        return Err("key is encrypted, which is not supported here: give the decrypted key");
    }
    let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes());
    key.map_err(|_| "key holds no PEM private key")
}

/// The roots that the system trusts, read once: some hundred files.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "a root certificate of the system cannot be read");
        }
        roots.add_parsable_certificates(found.certs);
        Arc::new(roots)
    };
    Arc::clone(ROOTS.get_or_init(read))
}

/// The process has the same as its default; asking for it here keeps tests and libraries independent of that.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

fn wrong(message: impl Into<String>) -> Unknown {
    unknown(UnknownKind::Configuration, message)
}

#[cfg(test)]
mod tests;
