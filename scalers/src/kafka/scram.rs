//! SCRAM by RFC 5802 with the hashes of RFC 7677: a client that also checks the server. Pure.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Nobody asks for more rounds, and each costs us time: Kafka itself takes at most 16,384.
const MAX_ITERATIONS: u32 = 100_000;
/// The RFC's least.
const MIN_ITERATIONS: u32 = 4_096;
/// No channel binding, no other identity: `n,,` in Base64.
const NO_BINDING: &str = "biws";

/// Which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Hash {
    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

/// The server does not speak SCRAM, or is not whom the password is known to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Untrue(pub(crate) &'static str);

/// The first message was sent.
#[derive(Debug)]
pub(crate) struct First {
    hash: Hash,
    nonce: String,
    bare: String,
}

/// The second message was sent.
pub(crate) struct Final {
    server_key: hmac::Key,
    authenticated: String,
}

impl First {
    /// Begins with a `nonce` of printable characters without comma that was never used before.
    pub(crate) fn new(hash: Hash, username: &str, nonce: String) -> Self {
        let name = username.replace('=', "=3D").replace(',', "=2C");
        Self {
            hash,
            bare: format!("n={name},r={nonce}"),
            nonce,
        }
    }

    /// What the client says first.
    pub(crate) fn message(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// What the client says to the server's first words, and what is left to be checked.
    ///
    /// # Errors
    /// [`Untrue`] where these are not an answer to this conversation.
    pub(crate) fn answer(self, server: &[u8], password: &str) -> Result<(String, Final), Untrue> {
        let server = std::str::from_utf8(server).map_err(|_| Untrue("no text"))?;
        let nonce = field(server, "r=").ok_or(Untrue("no nonce"))?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(Untrue("another's nonce"));
        }
        let salt = field(server, "s=").and_then(|salt| BASE64.decode(salt).ok());
        let salt = salt.ok_or(Untrue("no salt"))?;
        let iterations = field(server, "i=").and_then(|number| number.parse().ok());
        let iterations = iterations
            .filter(|number| (MIN_ITERATIONS..=MAX_ITERATIONS).contains(number))
            .and_then(NonZeroU32::new)
            .ok_or(Untrue("an iteration count that is not taken"))?;

        let without_proof = format!("c={NO_BINDING},r={nonce}");
        let authenticated = format!("{},{server},{without_proof}", self.bare);
        let salted = self.salted(&salt, iterations, password);
        let proof = BASE64.encode(self.proof(&salted, &authenticated));
        let server_key = hmac::sign(&salted, b"Server Key");
        let last = Final {
            server_key: hmac::Key::new(self.hash.hmac(), server_key.as_ref()),
            authenticated,
        };
        Ok((format!("{without_proof},p={proof}"), last))
    }

    /// The password as the key of everything else. Kafka takes its bytes as they are.
    fn salted(&self, salt: &[u8], iterations: NonZeroU32, password: &str) -> hmac::Key {
        let mut salted = vec![0; self.hash.digest().output_len];
        pbkdf2::derive(
            self.hash.pbkdf2(),
            iterations,
            salt,
            password.as_bytes(),
            &mut salted,
        );
        hmac::Key::new(self.hash.hmac(), &salted)
    }

    fn proof(&self, salted: &hmac::Key, authenticated: &str) -> Vec<u8> {
        let client_key = hmac::sign(salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest(), client_key.as_ref());
        let stored_key = hmac::Key::new(self.hash.hmac(), stored_key.as_ref());
        let signature = hmac::sign(&stored_key, authenticated.as_bytes());
        let pairs = client_key.as_ref().iter().zip(signature.as_ref());
        pairs.map(|(key, signature)| key ^ signature).collect()
    }
}

impl Final {
    /// Whether the server knows the password too.
    ///
    /// # Errors
    /// [`Untrue`] where it does not.
    pub(crate) fn check(&self, server: &[u8]) -> Result<(), Untrue> {
        let server = std::str::from_utf8(server).map_err(|_| Untrue("no text"))?;
        let signature = field(server, "v=").and_then(|it| BASE64.decode(it).ok());
        let signature = signature.ok_or(Untrue("no signature"))?;
        hmac::verify(&self.server_key, self.authenticated.as_bytes(), &signature)
            .map_err(|_| Untrue("a signature of somebody who does not know the password"))
    }
}

/// The value behind `name` in `a=..,b=..`.
fn field<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split(',').find_map(|part| part.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                                s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn first() -> First {
        First::new(Hash::Sha256, "user", "rOprNGfwEbeRWgbNEkqO".to_owned())
    }

    #[test]
    fn conversation_of_rfc_7677() {
        let first = first();
        assert_eq!(first.message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (message, last) = first.answer(SERVER_FIRST.as_bytes(), "pencil").unwrap();
        assert_eq!(
            message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let server = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(last.check(server), Ok(()));
        assert!(last.check(b"v=AAAA").is_err());
        assert!(last.check(b"e=other-error").is_err());
    }

    #[test]
    fn server_that_does_not_know_the_nonce_or_asks_too_much_is_refused() {
        for server in [
            "r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4294967295",
            "r=rOprNGfwEbeRWgbNEkqOx,s=?,i=4096",
            "",
        ] {
            assert!(
                first().answer(server.as_bytes(), "pencil").is_err(),
                "{server}"
            );
        }
    }

    #[test]
    fn names_cannot_break_out_of_their_field() {
        let first = First::new(Hash::Sha512, "a,b=c", "nonce".to_owned());
        assert_eq!(first.message(), "n,,n=a=2Cb=3Dc,r=nonce");
    }
}
