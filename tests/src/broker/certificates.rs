//! A throw-away authority, the broker's certificate, and one for clients.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// What a client needs to know the broker, and to be known by it. All PEM.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// Who signed the broker's certificate and the client's.
    pub ca: String,
    /// The client's certificate.
    pub client_certificate: String,
    /// The client's key.
    pub client_key: String,
}

impl Certificates {
    /// Makes all of them and writes the broker's part into `folder`.
    pub(crate) fn make(folder: &Path) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = named(vec!["authority".to_owned()])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);

        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let (certificate, key) = signed(&issuer, names, ExtendedKeyUsagePurpose::ServerAuth)?;
        fs::write(folder.join("broker.pem"), format!("{key}{certificate}"))?;
        fs::write(folder.join("ca.pem"), &ca)?;

        let names = vec!["client".to_owned()];
        let (client_certificate, client_key) =
            signed(&issuer, names, ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(Self {
            ca,
            client_certificate,
            client_key,
        })
    }
}

/// Every certificate has a subject of its own: one whose subject is its issuer's counts as self-signed.
fn named(names: Vec<String>) -> anyhow::Result<CertificateParams> {
    let subject = names.first().cloned().unwrap_or_default();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, subject);
    Ok(params)
}

fn signed(
    issuer: &Issuer<'_, KeyPair>,
    names: Vec<String>,
    usage: ExtendedKeyUsagePurpose,
) -> anyhow::Result<(String, String)> {
    let key = KeyPair::generate()?;
    let mut params = named(names)?;
    params.extended_key_usages = vec![usage];
    let certificate = params.signed_by(&key, issuer)?;
    Ok((certificate.pem(), key.serialize_pem()))
}
