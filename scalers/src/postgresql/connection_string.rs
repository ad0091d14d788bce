//! Connection strings of libpq, in both notations: `postgresql://user@host/database?key=value` and
//! `host=... user=...`. <https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-CONNSTRING>

use std::collections::BTreeMap;

use thiserror::Error;

use crate::sql::percent::decode;

/// Why a connection string is not understood. Never repeats a part of it: that may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum ConnectionStringError {
    /// A word that is no pair.
    #[error("part {0} is not key=value")]
    NotAPair(usize),
    /// A quote that is not closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// `%` without two hexadecimal digits, or not UTF-8 after decoding.
    #[error("a % sequence is not understood")]
    PercentSequence,
}

/// The options of a connection string, by libpq's names.
pub(super) type Options = BTreeMap<String, String>;

/// Reads either notation.
///
/// # Errors
/// [`ConnectionStringError`].
pub(super) fn parse(text: &str) -> Result<Options, ConnectionStringError> {
    let schemes = ["postgresql://", "postgres://"];
    match schemes.iter().find_map(|it| text.strip_prefix(it)) {
        Some(rest) => uri(rest),
        None => pairs(text),
    }
}

/// What follows the scheme.
fn uri(text: &str) -> Result<Options, ConnectionStringError> {
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    let (authority, database) = address.split_once('/').unwrap_or((address, ""));
    let mut options = Options::new();
    let mut set = |name: &str, value: &str| {
        let value = decode(value).ok_or(ConnectionStringError::PercentSequence)?;
        if !value.is_empty() {
            options.insert(name.to_owned(), value);
        }
        Ok(())
    };
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    set("user", user)?;
    set("password", password)?;
    let hosts: Vec<_> = hosts.split(',').map(host_and_port).collect();
    let join =
        |part: fn(&(&str, &str)) -> String| hosts.iter().map(part).collect::<Vec<_>>().join(",");
    set("host", &join(|(host, _)| (*host).to_owned()))?;
    if hosts.iter().any(|(_, port)| !port.is_empty()) {
        set("port", &join(|(_, port)| (*port).to_owned()))?;
    }
    set("dbname", database)?;
    for (index, pair) in query.split('&').filter(|it| !it.is_empty()).enumerate() {
        let (name, value) = pair
            .split_once('=')
            .ok_or(ConnectionStringError::NotAPair(index + 1))?;
        set(name, value)?;
    }
    Ok(options)
}

/// `host:5432`, `[::1]:5432`, either without port.
fn host_and_port(text: &str) -> (&str, &str) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|it| it.split_once(']')) {
        return (host, rest.strip_prefix(':').unwrap_or(""));
    }
    text.split_once(':').unwrap_or((text, ""))
}

/// `name = value` with single quotes and backslashes.
fn pairs(text: &str) -> Result<Options, ConnectionStringError> {
    let mut options = Options::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest
            .split_once('=')
            .ok_or(ConnectionStringError::NotAPair(options.len() + 1))?;
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(ConnectionStringError::NotAPair(options.len() + 1));
        }
        let (value, after) = value(after.trim_start())?;
        if !value.is_empty() {
            options.insert(name.to_owned(), value);
        }
        rest = after.trim_start();
    }
    Ok(options)
}

/// The value at the beginning of `text`, and what follows it.
fn value(text: &str) -> Result<(String, &str), ConnectionStringError> {
    let quoted = text.strip_prefix('\'');
    let body = quoted.unwrap_or(text);
    let mut value = String::new();
    let mut letters = body.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            '\'' if quoted.is_some() => return Ok((value, &body[at + 1..])),
            _ if quoted.is_none() && letter.is_whitespace() => return Ok((value, &body[at..])),
            _ => value.push(letter),
        }
    }
    match quoted {
        Some(_) => Err(ConnectionStringError::OpenQuote),
        None => Ok((value, "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let options = parse(text).unwrap();
        let pairs = options
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn both_notations_are_understood() {
        for (text, expected) in [
            (
                "postgresql://bob:pa%20ss@db:6000/jobs?sslmode=require",
                "dbname=jobs | host=db | password=pa ss | port=6000 | sslmode=require | user=bob",
            ),
            (
                "postgres://bob:a@b@db/jobs",
                "dbname=jobs | host=db | password=a@b | user=bob",
            ),
            ("postgresql://db", "host=db"),
            (
                "postgresql://[::1]:6000/jobs",
                "dbname=jobs | host=::1 | port=6000",
            ),
            (
                "postgresql://bob@a:1,b:2/jobs",
                "dbname=jobs | host=a,b | port=1,2 | user=bob",
            ),
            ("postgresql:///jobs?host=%2Ftmp", "dbname=jobs | host=/tmp"),
            (
                "host=db port = 6000 user='bob b' password='it\\'s \\\\' dbname=jobs",
                "dbname=jobs | host=db | password=it's \\ | port=6000 | user=bob b",
            ),
            (" host=db  user=a\\ b password='' ", "host=db | user=a b"),
            ("", ""),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_without_repeating_it() {
        for (text, expected) in [
            ("host=db canary", ConnectionStringError::NotAPair(2)),
            ("host=db password='canary", ConnectionStringError::OpenQuote),
            ("host=db user canary=x", ConnectionStringError::NotAPair(2)),
            (
                "postgresql://db/jobs?canary",
                ConnectionStringError::NotAPair(1),
            ),
            (
                "postgresql://bob:can%xxary@db/jobs",
                ConnectionStringError::PercentSequence,
            ),
            (
                "postgresql://bob:canary%2",
                ConnectionStringError::PercentSequence,
            ),
            (
                "postgresql://bob:canary%ff@db",
                ConnectionStringError::PercentSequence,
            ),
            ("db:5432/canary", ConnectionStringError::NotAPair(1)),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("canary"));
        }
    }
}
