//! How a cluster is reached: addresses, SASL and TLS, and librdkafka's settings for them.

use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use zeron_core::policy::Secret;

use super::table;
use crate::parameters::Parameters;

/// A cluster and the credentials for it: triggers of equal keys share their clients.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct SourceKey {
    /// Bootstrap addresses, separated by commas.
    pub(crate) servers: String,
    sasl: Option<Sasl>,
    tls: Option<Tls>,
}

/// Shows no credentials.
impl fmt::Debug for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceKey")
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Sasl {
    mechanism: &'static str,
    username: Secret,
    password: Secret,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Tls {
    ca: Option<Secret>,
    certificate: Option<Secret>,
    key: Option<Secret>,
    key_password: Option<Secret>,
    is_unverified: bool,
}

impl SourceKey {
    /// Reads addresses and credentials. Problems are noted in `parameters`.
    pub(crate) fn parse(parameters: &mut Parameters<'_>) -> Self {
        let servers = parameters.list(&table::BOOTSTRAP_SERVERS).join(",");
        Self {
            servers,
            sasl: parse_sasl(parameters),
            tls: parse_tls(parameters),
        }
    }

    /// librdkafka's settings for a client that reads and never writes, joins or creates anything.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.servers)
            .set("client.id", "zeron")
            .set("allow.auto.create.topics", "false")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // The log-end offset that KEDA sees is the high watermark.
            .set("isolation.level", "read_uncommitted")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("socket.timeout.ms", "10000")
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("log.connection.close", "false")
            .set("security.protocol", self.protocol())
            .set_log_level(RDKafkaLogLevel::Critical);
        if let Some(sasl) = &self.sasl {
            sasl.configure(&mut config);
        }
        if let Some(tls) = &self.tls {
            tls.configure(&mut config);
        }
        config
    }

    fn protocol(&self) -> &'static str {
        match (&self.sasl, &self.tls) {
            (None, None) => "plaintext",
            (None, Some(_)) => "ssl",
            (Some(_), None) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        }
    }
}

impl Sasl {
    fn configure(&self, config: &mut ClientConfig) {
        config
            .set("sasl.mechanism", self.mechanism)
            .set("sasl.username", self.username.expose())
            .set("sasl.password", self.password.expose());
    }
}

impl Tls {
    fn configure(&self, config: &mut ClientConfig) {
        match &self.ca {
            Some(ca) => config.set("ssl.ca.pem", ca.expose()),
            None => config.set("ssl.ca.location", "probe"),
        };
        let parts = [
            ("ssl.certificate.pem", &self.certificate),
            ("ssl.key.pem", &self.key),
            ("ssl.key.password", &self.key_password),
        ];
        for (setting, value) in parts {
            if let Some(value) = value {
                config.set(setting, value.expose());
            }
        }
        if self.is_unverified {
            config.set("enable.ssl.certificate.verification", "false");
        }
    }
}

fn parse_sasl(parameters: &mut Parameters<'_>) -> Option<Sasl> {
    let mechanism = match parameters.choice(&table::SASL) {
        Some("plaintext") => "PLAIN",
        Some("scram_sha256") => "SCRAM-SHA-256",
        Some("scram_sha512") => "SCRAM-SHA-512",
        _ => return None,
    };
    let mut required = |parameter| {
        let secret = parameters.secret(parameter);
        if secret.is_none() {
            parameters.problem(parameter, format!("{} is required", parameter.name));
        }
        secret.unwrap_or_default()
    };
    Some(Sasl {
        mechanism,
        username: required(&table::USERNAME),
        password: required(&table::PASSWORD),
    })
}

fn parse_tls(parameters: &mut Parameters<'_>) -> Option<Tls> {
    let is_unverified = parameters.flag(&table::UNSAFE_SSL);
    if parameters.choice(&table::TLS) != Some("enable") {
        return None;
    }
    let tls = Tls {
        ca: parameters.secret(&table::CA),
        certificate: parameters.secret(&table::CERT),
        key: parameters.secret(&table::KEY),
        key_password: parameters.secret(&table::KEY_PASSWORD),
        is_unverified,
    };
    if tls.certificate.is_some() != tls.key.is_some() {
        parameters.problem(&table::CERT, "cert and key must be given together");
    }
    Some(tls)
}
