//! Encrypted keys of clients: PKCS #8 (RFC 5958) with PBES2 (RFC 8018), as OpenSSL and most others write them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use pkcs5::der::asn1::{AnyRef, OctetStringRef};
use pkcs5::der::{self, Decode, Reader, SliceReader, Tag, Tagged};
use pkcs5::pbes2::{Kdf, PBES2_OID};
use pkcs5::{AlgorithmIdentifierRef, EncryptionScheme};
use zeron_core::policy::Secret;

use super::{KEY, KEY_PASSWORD};
use crate::parameters::Parameter;

const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
/// In the header of the older form, whose key is derived by one round of MD5.
const OLD_FORM: &str = "4,ENCRYPTED";
/// Most rounds of PBKDF2, ten times what OpenSSL takes by itself. Keys are opened where decisions are made: a tenant's
/// must not hold up those of others.
const MAX_ROUNDS: u32 = 20_000;
/// Most work of scrypt, N x r x p: what OpenSSL takes by itself, 16 MiB.
const MAX_SCRYPT: u64 = 1 << 17;

/// Why a key is not decrypted. It never repeats anything of the key or the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Sealed {
    #[error("key is encrypted: it needs keyPassword")]
    NoPassword,
    #[error("keyPassword does not open key")]
    WrongPassword,
    #[error("key holds no PEM private key")]
    Garbled,
    #[error("key is encrypted in the older form of PEM: give it as PKCS #8 (openssl pkcs8 -topk8)")]
    OldForm,
    #[error(
        "key is encrypted by an algorithm that is not supported: give it as openssl pkcs8 -topk8 writes it"
    )]
    Unsupported,
    #[error(
        "key is encrypted with more work than is done for one: at most {MAX_ROUNDS} rounds of PBKDF2, 16 MiB of scrypt"
    )]
    Costly,
}

impl Sealed {
    /// The parameter that it is about.
    pub(super) fn parameter(self) -> Parameter {
        match self {
            Self::WrongPassword => KEY_PASSWORD,
            Self::NoPassword | Self::Garbled | Self::OldForm | Self::Unsupported | Self::Costly => {
                KEY
            }
        }
    }
}

/// Whether a PEM text holds an encrypted key. PKCS #8 says it in its label, the older form in a header.
pub(super) fn is_sealed(pem: &Secret) -> bool {
    let text = pem.expose();
    text.contains(BEGIN) || text.contains(OLD_FORM)
}

/// The same key in the clear, as PEM.
///
/// # Errors
/// Why it stays closed.
pub(super) fn open(pem: &Secret, password: Option<&Secret>) -> Result<Secret, Sealed> {
    let text = pem.expose();
    let Some((_, rest)) = text.split_once(BEGIN) else {
        return Err(Sealed::OldForm);
    };
    let password = password.ok_or(Sealed::NoPassword)?;
    let (body, _) = rest.split_once(END).ok_or(Sealed::Garbled)?;
    let body: String = body.split_whitespace().collect();
    let info = BASE64.decode(body).map_err(|_| Sealed::Garbled)?;
    let (scheme, data) = parts(&info)?;
    check(&scheme)?;
    let key = scheme.decrypt(password.expose(), data).map_err(reason)?;
    // Padding alone is right by chance once in 256 times.
    let is_key = AnyRef::from_der(&key).is_ok_and(|it| it.tag() == Tag::Sequence);
    if !is_key {
        return Err(Sealed::WrongPassword);
    }
    let body = BASE64.encode(key);
    Ok(Secret::new(format!(
        "-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
    )))
}

/// How it is encrypted, and what: `EncryptedPrivateKeyInfo`.
fn parts(info: &[u8]) -> Result<(EncryptionScheme<'_>, &[u8]), Sealed> {
    let (algorithm, data) = decode(info).map_err(|_| Sealed::Garbled)?;
    if algorithm.oid != PBES2_OID {
        return Err(Sealed::Unsupported);
    }
    let scheme = EncryptionScheme::try_from(algorithm);
    let scheme = scheme.map_err(|error| match error.kind() {
        der::ErrorKind::OidUnknown { .. } => Sealed::Unsupported,
        _ => Sealed::Garbled,
    })?;
    Ok((scheme, data))
}

fn decode(info: &[u8]) -> der::Result<(AlgorithmIdentifierRef<'_>, &[u8])> {
    let mut reader = SliceReader::new(info)?;
    let parts = reader.sequence(|inner| {
        let algorithm = AlgorithmIdentifierRef::decode(inner)?;
        Ok((algorithm, OctetStringRef::decode(inner)?.as_bytes()))
    })?;
    reader.finish(parts)
}

/// Whether it may be derived: work is bounded before it is begun.
fn check(scheme: &EncryptionScheme<'_>) -> Result<(), Sealed> {
    let is_cheap = match &scheme.pbes2().ok_or(Sealed::Unsupported)?.kdf {
        Kdf::Pbkdf2(it) => it.iteration_count <= MAX_ROUNDS,
        // By RFC 7914 a power of two, which whoever derives relies on.
        Kdf::Scrypt(it) if !it.cost_parameter.is_power_of_two() => return Err(Sealed::Garbled),
        Kdf::Scrypt(it) => {
            let lanes = u64::from(it.block_size) * u64::from(it.parallelization);
            it.cost_parameter.saturating_mul(lanes) <= MAX_SCRYPT
        }
        _ => return Err(Sealed::Unsupported),
    };
    is_cheap.then_some(()).ok_or(Sealed::Costly)
}

fn reason(error: pkcs5::Error) -> Sealed {
    match error {
        pkcs5::Error::DecryptFailed | pkcs5::Error::EncryptFailed => Sealed::WrongPassword,
        _ => Sealed::Unsupported,
    }
}

#[cfg(test)]
mod tests;
