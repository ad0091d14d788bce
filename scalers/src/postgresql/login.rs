//! Where a server is and how to sign in: what tells two clients apart.

use std::fmt;

use zeron_core::policy::Secret;

use super::connection_string::{self, Options};
use super::table;
use crate::parameters::Parameters;
use crate::sql::secret_text;
use crate::tls::TlsSettings;

const DEFAULT_PORT: u16 = 5432;

/// Options that change nothing here: time limits and pools are ours.
const WITHOUT_EFFECT: [&str; 25] = [
    "client_encoding",
    "connect_timeout",
    "default_query_exec_mode",
    "description_cache_capacity",
    "fallback_application_name",
    "gsslib",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "min_read_buffer_size",
    "pool_health_check_period",
    "pool_max_conn_idle_time",
    "pool_max_conn_lifetime",
    "pool_max_conn_lifetime_jitter",
    "pool_max_conns",
    "pool_min_conns",
    "pool_min_idle_conns",
    "sslcompression",
    "sslsni",
    "statement_cache_capacity",
    "tcp_user_timeout",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
];

/// Options that are not supported, and what to do instead.
const REFUSED: [(&str, &str); 7] = [
    ("passfile", "give password"),
    ("service", "give host, port and dbname"),
    ("servicefile", "give host, port and dbname"),
    ("sslcert", "give cert and key in the authentication"),
    ("sslkey", "give cert and key in the authentication"),
    ("sslpassword", "give a key that is not encrypted"),
    ("sslcrl", "revocation lists are not read"),
];

/// One of the servers of a connection string.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    /// Its name, for TLS and messages; a folder where it listens on a Unix socket.
    pub(super) host: String,
    /// Its address, where that is given apart from the name.
    pub(super) address: Option<String>,
    /// Its port.
    pub(super) port: u16,
}

impl Server {
    /// Whether it listens on a Unix socket.
    pub(super) fn is_local(&self) -> bool {
        self.host.starts_with('/')
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What of TLS is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Encryption {
    /// None.
    Disable,
    /// Where the server has it; nothing is verified. `allow` too.
    Prefer,
    /// The certificate is verified against `ca` where that is given, else nothing is.
    Require,
    /// The certificate is verified, and may be of another name.
    VerifyCa,
    /// The certificate is verified.
    VerifyFull,
}

/// Which of several servers will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// The first that answers.
    Any,
    /// One that takes writes.
    Primary,
    /// One that follows another.
    Standby,
}

/// Where a server is and how to sign in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Login {
    /// Tried in this order; at least one.
    pub(super) servers: Vec<Server>,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) database: String,
    pub(super) encryption: Encryption,
    pub(super) tls: TlsSettings,
    pub(super) role: Role,
    pub(super) application_name: Option<String>,
    /// For the server's command line: settings of the session.
    pub(super) settings: Option<String>,
}

impl Login {
    /// Reads the connection string, or the fields. `None`: something is wrong, and noted.
    pub(super) fn read(parameters: &mut Parameters<'_>) -> Option<Self> {
        let options = match secret_text(parameters, &table::CONNECTION) {
            Some(text) => match connection_string::parse(text.expose()) {
                Ok(options) => options,
                Err(error) => {
                    parameters.problem(&table::CONNECTION, format!("connection: {error}"));
                    return None;
                }
            },
            None if parameters.is_given(&table::CONNECTION) => return None,
            None => fields(parameters)?,
        };
        let tls = TlsSettings {
            ca: parameters.secret(&crate::tls::CA),
            certificate: parameters.secret(&crate::tls::CERT),
            key: parameters.secret(&crate::tls::KEY),
            is_unverified: false,
        };
        tls.check(parameters);
        let login = Self::new(options, tls);
        login
            .map_err(|message| {
                parameters.problem(&table::CONNECTION, format!("connection: {message}"))
            })
            .ok()
    }

    /// From libpq's options.
    fn new(mut options: Options, mut tls: TlsSettings) -> Result<Self, Wrong> {
        if let Some((name, instead)) = REFUSED.iter().find(|(name, _)| options.contains_key(*name))
        {
            return Err(Wrong::Unsupported(name, instead));
        }
        let servers = servers(&mut options)?;
        let encryption = encryption(&mut options)?;
        let has_ca = tls.ca.is_some() && encryption == Encryption::Require;
        let encryption = if has_ca {
            Encryption::VerifyCa
        } else {
            encryption
        };
        tls.is_unverified = matches!(encryption, Encryption::Prefer | Encryption::Require);
        let user = options.remove("user").ok_or(Wrong::Missing("user"))?;
        Ok(Self {
            servers,
            password: options.remove("password").map(Secret::new),
            database: options.remove("dbname").unwrap_or_else(|| user.clone()),
            user,
            encryption,
            tls,
            role: role(&mut options)?,
            application_name: options.remove("application_name"),
            settings: settings(options)?,
        })
    }

    /// The servers for messages: `db:5432`.
    pub(super) fn shown(&self) -> String {
        let shown: Vec<_> = self.servers.iter().map(ToString::to_string).collect();
        shown.join(",")
    }
}

/// What is wrong with the options; values are not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Wrong {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is not understood")]
    Value(&'static str),
    #[error("{0} is not supported: {1}")]
    Unsupported(&'static str, &'static str),
}

/// The fields as options.
fn fields(parameters: &mut Parameters<'_>) -> Option<Options> {
    let port = parameters.integer(&table::PORT).map(|it| it.to_string());
    let password = secret_text(parameters, &table::PASSWORD);
    let given = [
        (
            &table::HOST,
            "host",
            parameters.text(&table::HOST).map(str::to_owned),
        ),
        (&table::PORT, "port", port),
        (
            &table::USER_NAME,
            "user",
            parameters.text(&table::USER_NAME).map(str::to_owned),
        ),
        (
            &table::DB_NAME,
            "dbname",
            parameters.text(&table::DB_NAME).map(str::to_owned),
        ),
        (
            &table::SSLMODE,
            "sslmode",
            parameters.choice(&table::SSLMODE).map(str::to_owned),
        ),
    ];
    let mut options = Options::new();
    for (parameter, name, value) in given {
        match value {
            Some(value) => {
                options.insert(name.to_owned(), value);
            }
            None if parameters.is_given(parameter) => {}
            None => {
                let message = format!(
                    "{} is required where there is no connection",
                    parameter.name
                );
                parameters.problem(parameter, message);
            }
        }
    }
    if let Some(password) = password {
        options.insert("password".to_owned(), password.expose().to_owned());
    }
    (!parameters.has_errors()).then_some(options)
}

fn servers(options: &mut Options) -> Result<Vec<Server>, Wrong> {
    let list = |text: Option<String>| -> Vec<String> {
        let text = text.unwrap_or_default();
        text.split(',').map(|it| it.trim().to_owned()).collect()
    };
    let addresses = list(options.remove("hostaddr"));
    let hosts = list(options.remove("host"));
    let ports = list(options.remove("port"));
    let count = hosts.len().max(addresses.len());
    let one = |from: &[String], index: usize| -> Option<String> {
        from.get(index).filter(|it| !it.is_empty()).cloned()
    };
    if ports.len() > 1 && ports.len() != count {
        return Err(Wrong::Value("port"));
    }
    let server = |index| {
        let address = one(&addresses, index);
        let host = one(&hosts, index).or_else(|| address.clone());
        let host = host.ok_or(Wrong::Missing("host"))?;
        let port = one(&ports, if ports.len() == 1 { 0 } else { index });
        let port = port.map_or(Ok(DEFAULT_PORT), |it| it.parse());
        let port = port.ok().filter(|it| *it > 0).ok_or(Wrong::Value("port"))?;
        Ok(Server {
            host,
            address,
            port,
        })
    };
    (0..count).map(server).collect()
}

fn encryption(options: &mut Options) -> Result<Encryption, Wrong> {
    for (name, allowed) in [
        ("sslrootcert", &["system"] as &[&str]),
        ("sslnegotiation", &["postgres"]),
        ("channel_binding", &["disable", "prefer"]),
        ("gssencmode", &["disable", "prefer"]),
        ("require_auth", &[]),
    ] {
        let value = options.remove(name);
        if value.is_some_and(|it| !allowed.contains(&it.as_str())) {
            let instead = match name {
                "sslrootcert" => "give ca in the authentication",
                _ => "leave it out",
            };
            return Err(Wrong::Unsupported(name, instead));
        }
    }
    match options.remove("sslmode").as_deref() {
        Some("disable") => Ok(Encryption::Disable),
        None | Some("allow" | "prefer") => Ok(Encryption::Prefer),
        Some("require") => Ok(Encryption::Require),
        Some("verify-ca") => Ok(Encryption::VerifyCa),
        Some("verify-full") => Ok(Encryption::VerifyFull),
        Some(_) => Err(Wrong::Value("sslmode")),
    }
}

fn role(options: &mut Options) -> Result<Role, Wrong> {
    match options.remove("target_session_attrs").as_deref() {
        None | Some("any" | "prefer-standby") => Ok(Role::Any),
        Some("read-write" | "primary") => Ok(Role::Primary),
        Some("read-only" | "standby") => Ok(Role::Standby),
        Some(_) => Err(Wrong::Value("target_session_attrs")),
    }
}

/// What is left are settings of the session, as the drivers of Go take them.
fn settings(mut options: Options) -> Result<Option<String>, Wrong> {
    let mut settings: Vec<_> = options.remove("options").into_iter().collect();
    options.retain(|name, _| !WITHOUT_EFFECT.contains(&name.as_str()));
    for (name, value) in options {
        let is_name = name
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || it == b'_' || it == b'.');
        if !is_name {
            return Err(Wrong::Value("the name of an option"));
        }
        let value = value.replace('\\', "\\\\").replace(' ', "\\ ");
        settings.push(format!("-c {name}={value}"));
    }
    Ok((!settings.is_empty()).then(|| settings.join(" ")))
}

#[cfg(test)]
mod tests;
