//! The server's certificate: made here, kept in a Secret, renewed in time.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

/// How long a certificate is valid.
const VALID: Duration = Duration::from_secs(365 * 86_400);
/// A new one is made when no more is left of it.
const RENEW: Duration = Duration::from_secs(120 * 86_400);
/// On the Secret: when its certificate ends, in seconds since 1970.
const ENDS: &str = "zeron.dev/not-after";
/// Authorities in a bundle: the newest, and the one before it.
const MAX_AUTHORITIES: usize = 2;

/// A certificate with its key, and the authorities that clients should trust.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Certificates of the authorities, newest first, PEM.
    authorities: Vec<String>,
    /// The server's certificate, PEM.
    certificate: String,
    /// Its key, PEM.
    key: String,
    /// When it ends, in seconds since 1970.
    ends: u64,
}

/// The key is not shown.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be made.
    #[error("a certificate cannot be made")]
    Make(#[from] rcgen::Error),
    /// The Secret's content cannot be used.
    #[error("the Secret has no usable {0}")]
    Unusable(&'static str),
    /// rustls refuses it.
    #[error("the certificate cannot be served")]
    Refused(#[from] rustls::Error),
}

impl Certificate {
    /// Makes a new one for `names`. What clients trusted so far is still trusted.
    ///
    /// # Errors
    /// [`CertificateError`] when the cryptography refuses.
    pub fn make(
        names: &[String],
        before: Option<&Self>,
        now: u64,
    ) -> Result<Self, CertificateError> {
        let ends = now.saturating_add(VALID.as_secs());
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        authority.distinguished_name = named(&format!("zeron webhook authority {now}"));
        bound(&mut authority, now, ends);
        let authority_key = KeyPair::generate()?;
        let authority_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);
        let mut server = CertificateParams::new(names.to_vec())?;
        server.distinguished_name = named("zeron webhook");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        bound(&mut server, now, ends);
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &issuer)?.pem();
        let mut authorities = vec![authority_pem];
        authorities.extend(before.iter().flat_map(|b| b.authorities.iter().cloned()));
        authorities.truncate(MAX_AUTHORITIES);
        Ok(Self {
            authorities,
            certificate,
            key: key.serialize_pem(),
            ends,
        })
    }

    /// Whether a new one should be made.
    pub fn is_old(&self, now: u64) -> bool {
        self.ends < now.saturating_add(RENEW.as_secs())
    }

    /// What clients should trust, as a webhook configuration has it.
    pub fn bundle(&self) -> String {
        STANDARD.encode(self.authorities.concat())
    }

    #[cfg(test)]
    pub(super) fn authorities(&self) -> &[String] {
        &self.authorities
    }

    /// The Secret's content.
    pub(super) fn secret(&self, name: &str, namespace: &str, version: Option<&str>) -> Value {
        let encoded = |text: &str| STANDARD.encode(text);
        let mut secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": { "app.kubernetes.io/name": "zeron", "app.kubernetes.io/component": "controller" },
                "annotations": { ENDS: self.ends.to_string() },
            },
            "data": {
                "ca.crt": encoded(&self.authorities.concat()),
                "tls.crt": encoded(&self.certificate),
                "tls.key": encoded(&self.key),
            },
        });
        if let Some(version) = version {
            secret["metadata"]["resourceVersion"] = json!(version);
        }
        secret
    }

    /// From a Secret's content.
    pub(super) fn of_secret(secret: &Value) -> Result<Self, CertificateError> {
        let text = |field: &'static str| {
            let encoded = secret["data"][field].as_str().unwrap_or_default();
            let bytes = STANDARD.decode(encoded).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            text.filter(|t| !t.is_empty())
                .ok_or(CertificateError::Unusable(field))
        };
        let ends = secret["metadata"]["annotations"][ENDS].as_str();
        let ends = ends.and_then(|text| text.parse().ok());
        let authorities = text("ca.crt")?;
        let end = "-----END CERTIFICATE-----\n";
        Ok(Self {
            authorities: authorities
                .split_inclusive(end)
                .map(str::to_owned)
                .collect(),
            certificate: text("tls.crt")?,
            key: text("tls.key")?,
            ends: ends.ok_or(CertificateError::Unusable(ENDS))?,
        })
    }

    /// What the server shows.
    pub(super) fn server(&self) -> Result<rustls::ServerConfig, CertificateError> {
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect();
        let certificates = certificates.map_err(|_| CertificateError::Unusable("tls.crt"))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|_| CertificateError::Unusable("tls.key"))?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let mut config = rustls::ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// From the day before (clocks differ) to the day of the end.
fn bound(params: &mut CertificateParams, now: u64, ends: u64) {
    let day = |seconds: u64| {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        let part = |n: i8| u8::try_from(n).unwrap_or(1);
        date_time_ymd(i32::from(date.year()), part(date.month()), part(date.day()))
    };
    params.not_before = day(now.saturating_sub(86_400));
    params.not_after = day(ends.saturating_add(86_400));
}
