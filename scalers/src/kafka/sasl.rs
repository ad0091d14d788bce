//! Logs in to a broker: PLAIN (RFC 4616) and SCRAM.

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeron_core::policy::Secret;

use super::connection::Connection;
use super::error::ReadError;
use super::protocol::{Api, Code, sasl};
use super::scram::{First, Hash, Untrue};

/// Random bytes of a nonce.
const NONCE_BYTES: usize = 24;
/// Longest name of a mechanism, by RFC 4422.
const MAX_MECHANISM: usize = 20;

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mechanism {
    /// The password itself.
    Plain,
    /// A proof that it is known.
    Scram(Hash),
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(Hash::Sha256) => "SCRAM-SHA-256",
            Self::Scram(Hash::Sha512) => "SCRAM-SHA-512",
        }
    }
}

/// Who logs in, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Credentials {
    /// How.
    pub(crate) mechanism: Mechanism,
    /// Who.
    pub(crate) username: Secret,
    /// The password.
    pub(crate) password: Secret,
}

impl Credentials {
    /// Logs in. Until then a broker answers nothing but what it knows.
    pub(crate) async fn log_in(&self, connection: &mut Connection) -> Result<(), ReadError> {
        let version = connection.version(Api::SaslHandshake)?;
        let request = sasl::handshake(version, self.mechanism.name());
        let response = connection.ask_one(&request).await?;
        let handshake = sasl::read_handshake(&mut response.reader());
        let handshake = handshake.map_err(|_| connection.garbled("SASL handshake"))?;
        if handshake.code != Code::NONE {
            let is_name = |name: &&&str| name.len() <= MAX_MECHANISM;
            let offered: Vec<_> = handshake
                .mechanisms
                .iter()
                .filter(is_name)
                .take(10)
                .collect();
            let detail = format!("{} is not among {offered:?}", self.mechanism.name());
            return Err(connection.refused(&detail));
        }
        match self.mechanism {
            Mechanism::Plain => {
                let (username, password) = (self.username.expose(), self.password.expose());
                let message = format!("\0{username}\0{password}");
                self.exchange(connection, message.as_bytes()).await?;
                Ok(())
            }
            Mechanism::Scram(hash) => self.prove(connection, hash).await,
        }
    }

    async fn prove(&self, connection: &mut Connection, hash: Hash) -> Result<(), ReadError> {
        let mut nonce = [0; NONCE_BYTES];
        if rand::fill(&mut nonce).is_err() {
            return Err(connection.refused("no random numbers for a nonce"));
        }
        let first = First::new(hash, self.username.expose(), BASE64.encode(nonce));
        let server = self
            .exchange(connection, first.message().as_bytes())
            .await?;
        let (message, last) = first
            .answer(&server, self.password.expose())
            .map_err(|error| self.untrue(connection, error))?;
        let server = self.exchange(connection, message.as_bytes()).await?;
        last.check(&server)
            .map_err(|error| self.untrue(connection, error))
    }

    fn untrue(&self, connection: &Connection, Untrue(what): Untrue) -> ReadError {
        let mechanism = self.mechanism.name();
        connection.refused(&format!("its answer to {mechanism} has {what}"))
    }

    async fn exchange(
        &self,
        connection: &mut Connection,
        message: &[u8],
    ) -> Result<Vec<u8>, ReadError> {
        let version = connection.version(Api::SaslAuthenticate)?;
        let request = sasl::authenticate(version, message);
        let response = connection.ask_one(&request).await?;
        let answer = sasl::read_authenticated(response.version, &mut response.reader());
        let answer = answer.map_err(|_| connection.garbled("SASL answer"))?;
        if answer.code != Code::NONE {
            let detail = format!("{} ({})", answer.code, self.mechanism.name());
            return Err(connection.refused(&detail));
        }
        connection.expire_after(answer.lifetime);
        Ok(answer.message.to_vec())
    }
}
