//! How a cluster is reached: addresses, SASL, TLS, and which addresses may be dialled.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use zeron_core::metric::Unknown;

use super::endpoint::Endpoint;
use super::sasl::{Credentials, Mechanism};
use super::scram::Hash;
use super::table;
use crate::AddressPolicy;
use crate::parameters::{Parameter, Parameters};
use crate::tls::TlsSettings;

/// A cluster and the credentials for it: triggers of equal keys share their client.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct SourceKey {
    /// Bootstrap addresses, separated by commas.
    pub(crate) servers: String,
    sasl: Option<Credentials>,
    tls: Option<TlsSettings>,
}

/// Shows no credentials.
impl fmt::Debug for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceKey")
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

impl SourceKey {
    /// Reads addresses and credentials. Problems are noted in `parameters`.
    pub(crate) fn parse(parameters: &mut Parameters<'_>) -> Self {
        let servers = parameters.list(&table::BOOTSTRAP_SERVERS);
        for server in &servers {
            if Endpoint::parse(server).is_none() {
                let message = format!("{server:?} is not HOST:PORT");
                parameters.problem(&table::BOOTSTRAP_SERVERS, message);
            }
        }
        Self {
            servers: servers.join(","),
            sasl: parse_sasl(parameters),
            tls: parse_tls(parameters),
        }
    }

    /// The bootstrap addresses.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        self.servers
            .split(',')
            .filter_map(Endpoint::parse)
            .collect()
    }

    /// What a connection needs to know.
    pub(crate) fn access(&self, addresses: AddressPolicy) -> Access {
        Access {
            addresses,
            sasl: self.sasl.clone(),
            settings: self.tls.clone(),
            tls: OnceLock::new(),
        }
    }
}

/// How to connect to any broker of one cluster.
pub(crate) struct Access {
    /// Which addresses may be dialled.
    pub(crate) addresses: AddressPolicy,
    /// Who logs in.
    pub(crate) sasl: Option<Credentials>,
    settings: Option<TlsSettings>,
    tls: OnceLock<Result<Arc<ClientConfig>, Unknown>>,
}

/// Shows no credentials.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("addresses", &self.addresses)
            .field("has_sasl", &self.sasl.is_some())
            .field("has_tls", &self.settings.is_some())
            .finish_non_exhaustive()
    }
}

impl Access {
    /// The configuration of TLS, made once; `None`: connections are not encrypted.
    ///
    /// # Errors
    /// `Configuration` where a certificate or key is wrong.
    pub(crate) fn tls(&self) -> Result<Option<Arc<ClientConfig>>, Unknown> {
        let Some(settings) = &self.settings else {
            return Ok(None);
        };
        let make = || settings.client_config().map(Arc::new);
        self.tls.get_or_init(make).clone().map(Some)
    }
}

fn parse_sasl(parameters: &mut Parameters<'_>) -> Option<Credentials> {
    if is_refused(parameters) {
        return None;
    }
    let mechanism = match parameters.choice(&table::SASL) {
        Some("plaintext") => Mechanism::Plain,
        Some("scram_sha256") => Mechanism::Scram(Hash::Sha256),
        Some("scram_sha512") => Mechanism::Scram(Hash::Sha512),
        _ => return None,
    };
    let mut required = |parameter: &Parameter| {
        let secret = parameters.secret(parameter);
        if secret.is_none() {
            parameters.problem(parameter, format!("{} is required", parameter.name));
        }
        secret.unwrap_or_default()
    };
    Some(Credentials {
        mechanism,
        username: required(&table::USERNAME),
        password: required(&table::PASSWORD),
    })
}

/// Whether the mechanism is not built in: then it is named, with all that was given for it.
fn is_refused(parameters: &mut Parameters<'_>) -> bool {
    let is_apache = parameters.spec().kind == "apache-kafka";
    let needed: &[Parameter] = match is_apache {
        true => &[table::AWS_REGION],
        false => &table::REFUSED,
    };
    let word = parameters.text(&table::SASL).unwrap_or_default();
    let is_refused = table::REFUSED_MECHANISMS.contains(&word);
    for parameter in needed {
        match is_refused {
            true => parameters.refuse(parameter),
            false => parameters.accept(parameter),
        }
    }
    if is_refused {
        let built_in = table::MECHANISMS.join(", ");
        let message = format!("sasl: {word:?} is not built in, expected one of {built_in}");
        parameters.problem(&table::SASL, message);
    }
    is_refused
}

fn parse_tls(parameters: &mut Parameters<'_>) -> Option<TlsSettings> {
    parameters.accept(&table::UNSAFE_SSL);
    let is_wanted = parameters.choice(&table::TLS) == Some("enable");
    is_wanted.then(|| TlsSettings::read(parameters))
}
