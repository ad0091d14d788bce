//! Which server, as whom, and which subject, as a trigger's parameters say it.

use std::fmt;

use zeron_core::policy::Secret;

use crate::nats_jetstream::table;
use crate::parameters::{Parameter, Parameters};
use crate::tls::TlsSettings;

/// The port of NATS.
const PORT: u16 = 4222;

/// Longest subject, in bytes: far below the longest line that servers take.
const MAX_SUBJECT: usize = 1_024;

/// A server and who follows subjects there: what has a connection.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in crate::nats_jetstream) struct Login {
    pub(super) host: String,
    pub(super) port: u16,
    /// Whether it must be TLS; else it is if the server wants it.
    pub(super) is_tls: bool,
    pub(super) tls: TlsSettings,
    pub(super) username: Option<Secret>,
    pub(super) password: Option<Secret>,
    pub(super) token: Option<Secret>,
}

/// Without what is secret.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A subject that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::nats_jetstream) struct Pushed {
    pub(super) login: Login,
    pub(super) subject: String,
}

impl Pushed {
    /// What `push` asks for, if it does.
    pub(in crate::nats_jetstream) fn read(parameters: &mut Parameters<'_>) -> Option<Self> {
        let is_pushed = parameters.flag(&table::PUSH);
        let server = parameters.text(&table::NATS_SERVER);
        let subject = parameters.text(&table::SUBJECT).map(str::to_owned);
        let username = parameters.secret(&table::USERNAME);
        let password = parameters.secret(&table::PASSWORD);
        let token = parameters.secret(&table::TOKEN);
        let tls = TlsSettings::read(parameters);
        for (parameter, is_given) in [
            (&table::NATS_SERVER, server.is_some()),
            (&table::SUBJECT, subject.is_some()),
        ] {
            note(parameters, parameter, is_given, is_pushed);
        }
        if !is_pushed {
            return None;
        }
        if username.is_some() != password.is_some() {
            parameters.problem(&table::USERNAME, "username and password go together");
        }
        if token.is_some() && password.is_some() {
            parameters.problem(&table::TOKEN, "token goes without username and password");
        }
        let (server, subject) = (server?, subject?);
        if !is_subject(&subject) {
            parameters.problem(&table::SUBJECT, "subject is no subject of NATS");
        }
        let Some((is_tls, host, port)) = address(server) else {
            // Not repeated: it may hold a password.
            let message = "natsServer is no nats://host:port or tls://host:port; user and password belong to the authentication";
            parameters.problem(&table::NATS_SERVER, message);
            return None;
        };
        let login = Login {
            host,
            port,
            is_tls,
            tls,
            username,
            password,
            token,
        };
        Some(Self { login, subject })
    }
}

fn note(parameters: &mut Parameters<'_>, parameter: &Parameter, is_given: bool, is_pushed: bool) {
    let name = parameter.name;
    match (is_given, is_pushed) {
        (false, true) => parameters.problem(parameter, format!("push needs {name}")),
        (true, false) => {
            let message = format!("{name} is of use with push alone");
            parameters.warning(parameter, message);
        }
        _ => {}
    }
}

/// Tokens between dots, of which some may stand for others: `*` for one, `>` for all that follow.
fn is_subject(subject: &str) -> bool {
    let is_token = |token: &str| {
        !token.is_empty() && !token.contains(|it: char| it.is_whitespace() || it.is_control())
    };
    let mut before_last = subject.split('.').rev().skip(1);
    subject.len() <= MAX_SUBJECT
        && subject.split('.').all(is_token)
        && before_last.all(|token| token != ">")
}

/// Whether it must be TLS, the host, and the port.
fn address(text: &str) -> Option<(bool, String, u16)> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("nats", text));
    let is_tls = match scheme {
        "nats" => false,
        "tls" => true,
        _ => return None,
    };
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (
                host,
                port.strip_prefix(':').or(port.is_empty().then_some(""))?,
            )
        }
        None => rest.split_once(':').unwrap_or((rest, "")),
    };
    let is_name = |it: char| it.is_ascii_alphanumeric() || "-._:".contains(it);
    if host.is_empty() || !host.chars().all(is_name) {
        return None;
    }
    let port = match port {
        "" => PORT,
        port => port.parse().ok().filter(|port| *port != 0)?,
    };
    Some((is_tls, host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_with_and_without_scheme_and_port() {
        for (text, expected) in [
            ("nats.shop", (false, "nats.shop", 4222)),
            ("nats.shop:5222", (false, "nats.shop", 5222)),
            ("nats://10.0.0.1:4222", (false, "10.0.0.1", 4222)),
            ("tls://nats.shop", (true, "nats.shop", 4222)),
            ("tls://[2001:db8::1]:4333", (true, "2001:db8::1", 4333)),
            ("[::1]", (false, "::1", 4222)),
        ] {
            let (is_tls, host, port) = address(text).unwrap();
            assert_eq!((is_tls, &*host, port), expected, "{text}");
        }
        for text in [
            "",
            "nats://",
            "http://nats:4222",
            "nats://user:pass@nats:4222",
            "nats:0",
            "nats:99999",
            "nats:4222/path",
            "nats:4222,other:4222",
            "[::1",
            "[::1]4222",
            "[nats]:4222",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn subjects_are_tokens_and_nothing_that_ends_a_line() {
        for subject in ["orders", "a.new", "a.*.eu", "a.*", "a.>", ">", "$SYS.x"] {
            assert!(is_subject(subject), "{subject}");
        }
        for subject in ["", ".", "a..b", "a b", "a\r\nPUB x 0", "a\tb", ".a", "a."] {
            assert!(!is_subject(subject), "{subject:?}");
        }
        for subject in ["a.>.b", ">.a", "a.>.>"] {
            assert!(!is_subject(subject), "{subject:?}");
        }
        assert!(!is_subject(&"x".repeat(MAX_SUBJECT + 1)));
    }
}
