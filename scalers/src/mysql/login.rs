//! Where a server is and how to sign in: what tells two clients apart.

use std::fmt;

use thiserror::Error;
use zeron_core::policy::Secret;

use super::dsn::{self, Address, Dsn};
use super::table;
use crate::parameters::Parameters;
use crate::sql::secret_text;
use crate::tls::TlsSettings;

/// Parameters of Go's driver that change nothing here.
const WITHOUT_EFFECT: [&str; 20] = [
    "allowAllFiles",
    "allowFallbackToPlaintext",
    "allowNativePasswords",
    "allowOldPasswords",
    "charset",
    "checkConnLiveness",
    "clientFoundRows",
    "collation",
    "columnsWithAlias",
    "compress",
    "connectionAttributes",
    "interpolateParams",
    "loc",
    "maxAllowedPacket",
    "multiStatements",
    "parseTime",
    "readTimeout",
    "rejectReadOnly",
    "timeout",
    "writeTimeout",
];

/// What of TLS is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Encryption {
    /// None.
    Disable,
    /// Where the server has it; nothing is verified.
    Prefer,
    /// Required; nothing is verified.
    Unverified,
    /// The certificate is verified.
    Verify,
}

/// Where a server is and how to sign in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Login {
    pub(super) address: Address,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    /// Empty: none is chosen.
    pub(super) database: String,
    pub(super) encryption: Encryption,
    pub(super) tls: TlsSettings,
    /// Whether the password may be sent as it is, where the server asks for that.
    pub(super) is_cleartext_allowed: bool,
    /// Variables of the session, with SQL's own notation of values.
    pub(super) variables: Vec<(String, String)>,
}

/// What is wrong with a connection string; values are not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum Wrong {
    #[error(transparent)]
    Dsn(#[from] dsn::DsnError),
    #[error("tls is none of true, false, skip-verify and preferred: programs name others")]
    Tls,
    #[error("serverPubKey names a key of a program: leave it out")]
    ServerKey,
    #[error("the name of a parameter is not understood")]
    Name,
    #[error("the user is missing")]
    User,
}

impl Login {
    /// Reads the connection string, or the fields. `None`: something is wrong, and noted.
    pub(super) fn read(parameters: &mut Parameters<'_>) -> Option<Self> {
        let word = parameters.choice(&table::TLS).unwrap_or("false");
        let tls = TlsSettings {
            ca: parameters.secret(&crate::tls::CA),
            certificate: parameters.secret(&crate::tls::CERT),
            key: parameters.secret(&crate::tls::KEY),
            is_unverified: false,
        };
        tls.check(parameters);
        let Some(text) = secret_text(parameters, &table::CONNECTION_STRING) else {
            if parameters.is_given(&table::CONNECTION_STRING) {
                return None;
            }
            return fields(parameters, word, tls);
        };
        let login = dsn::parse(text.expose()).map_err(Wrong::from);
        login
            .and_then(|dsn| Self::new(dsn, word, tls))
            .map_err(|wrong| {
                let message = format!("connectionString: {wrong}");
                parameters.problem(&table::CONNECTION_STRING, message);
            })
            .ok()
    }

    fn new(dsn: Dsn, word: &str, mut tls: TlsSettings) -> Result<Self, Wrong> {
        let mut parameters = dsn.parameters;
        let word = parameters.remove("tls").unwrap_or_else(|| word.to_owned());
        let encryption = encryption(&word).ok_or(Wrong::Tls)?;
        tls.is_unverified = matches!(encryption, Encryption::Prefer | Encryption::Unverified);
        if parameters.contains_key("serverPubKey") {
            return Err(Wrong::ServerKey);
        }
        let cleartext = parameters.remove("allowCleartextPasswords");
        parameters.retain(|name, _| !WITHOUT_EFFECT.contains(&name.as_str()));
        let is_name = |name: &String| {
            name.bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'_' || it == b'.')
        };
        if !parameters.keys().all(is_name) {
            return Err(Wrong::Name);
        }
        if dsn.user.is_empty() {
            return Err(Wrong::User);
        }
        Ok(Self {
            address: dsn.address,
            user: dsn.user,
            password: Some(dsn.password)
                .filter(|it| !it.is_empty())
                .map(Secret::new),
            database: dsn.database,
            encryption,
            tls,
            is_cleartext_allowed: cleartext.is_some_and(|it| it == "true" || it == "1"),
            variables: parameters.into_iter().collect(),
        })
    }
}

/// The server for messages: `db:3306`.
impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => f.write_str(path),
        }
    }
}

/// What Go's driver calls it.
fn encryption(word: &str) -> Option<Encryption> {
    match word {
        "false" | "0" => Some(Encryption::Disable),
        "preferred" => Some(Encryption::Prefer),
        "skip-verify" => Some(Encryption::Unverified),
        "true" | "1" => Some(Encryption::Verify),
        _ => None,
    }
}

fn fields(parameters: &mut Parameters<'_>, word: &str, tls: TlsSettings) -> Option<Login> {
    let port = parameters.integer(&table::PORT);
    if port.is_none() && !parameters.is_given(&table::PORT) {
        missing(parameters, &table::PORT);
    }
    let port = port.map(u16::try_from);
    if let Some(Err(_)) = port {
        parameters.problem(&table::PORT, "port is no number from 1 to 65535");
    }
    let texts = [&table::HOST, &table::USERNAME, &table::DB_NAME];
    let [host, user, database] = texts.map(|parameter| {
        let text = parameters.text(parameter);
        if text.is_none() {
            missing(parameters, parameter);
        }
        text
    });
    let password = secret_text(parameters, &table::PASSWORD);
    let dsn = Dsn {
        user: user?.to_owned(),
        password: password
            .map(|it| it.expose().to_owned())
            .unwrap_or_default(),
        address: Address::Tcp {
            host: host?.to_owned(),
            port: port?.ok()?,
        },
        database: database?.to_owned(),
        parameters: Default::default(),
    };
    Login::new(dsn, word, tls).ok()
}

fn missing(parameters: &mut Parameters<'_>, parameter: &crate::parameters::Parameter) {
    let message = format!(
        "{} is required where there is no connectionString",
        parameter.name
    );
    parameters.problem(parameter, message);
}
