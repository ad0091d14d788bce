//! Who may use the admin API: holders of the token, or else only this machine's own programs.

use std::fs;
use std::hint::black_box;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::ApiProblem;

/// A bearer token. Never printed.
#[derive(Clone)]
pub(crate) struct Token(String);

/// Shortest token that is accepted, in bytes.
const MIN_BYTES: usize = 16;
/// Longest token file that is read, in bytes.
const MAX_BYTES: u64 = 4096;

/// Why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// Missing, not readable, not text.
    #[error("the token file cannot be read")]
    Read(#[source] io::Error),
    /// Too short to keep anybody out, or not a token at all.
    #[error("the token must be 16 to 4096 printable characters without spaces")]
    Malformed,
}

impl Token {
    /// Reads the token that is a file's only content, but for white space round it.
    ///
    /// # Errors
    /// When the file cannot be read, or what it holds is no token.
    pub(crate) fn read(path: &Path) -> Result<Self, TokenError> {
        if fs::metadata(path).map_err(TokenError::Read)?.len() > MAX_BYTES {
            return Err(TokenError::Malformed);
        }
        Self::parse(&fs::read_to_string(path).map_err(TokenError::Read)?)
    }

    fn parse(text: &str) -> Result<Self, TokenError> {
        let token = text.trim();
        if token.len() < MIN_BYTES || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TokenError::Malformed);
        }
        Ok(Self(token.to_owned()))
    }

    /// The header value that shows it.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Compares in a time that does not depend on where the first difference is.
    fn matches(&self, candidate: &[u8]) -> bool {
        let token = self.0.as_bytes();
        let differences = token.iter().enumerate().fold(0_u8, |sum, (i, byte)| {
            black_box(sum | (byte ^ candidate.get(i).copied().unwrap_or_default()))
        });
        differences == 0 && token.len() == candidate.len()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<redacted>")
    }
}

/// Who is let in.
#[derive(Clone, Debug)]
pub(super) enum Guard {
    /// Whoever shows the token.
    Bearer(Token),
    /// Programs of this machine; not web pages in its browser that were led here by a name.
    Loopback,
    /// Whoever may open the socket's file.
    Socket,
}

/// Lets a request in, or answers why not. `/healthz` and `/readyz` are open to all.
pub(super) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let is_open = matches!(request.uri().path(), "/healthz" | "/readyz");
    let refusal = match &guard {
        _ if is_open => None,
        Guard::Bearer(token) => check_bearer(token, request.headers()),
        Guard::Loopback => check_local(request.method(), request.headers()),
        Guard::Socket => None,
    };
    match refusal {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn check_bearer(token: &Token, headers: &HeaderMap) -> Option<ApiProblem> {
    let shown = headers.get(header::AUTHORIZATION).map(|v| v.as_bytes());
    let candidate = shown.and_then(|v| match v.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => Some(rest),
        _ => None,
    });
    if candidate.is_some_and(|c| token.matches(c)) {
        return None;
    }
    Some(ApiProblem::new(
        StatusCode::UNAUTHORIZED,
        "a valid bearer token is needed: --token-file",
    ))
}

/// A page of another site can make a browser send requests here: either with an `Origin`, or,
/// after its own name was made to resolve to this machine, with that name as the host.
fn check_local(method: &Method, headers: &HeaderMap) -> Option<ApiProblem> {
    let host = headers
        .get(header::HOST)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if !is_local_host(host) {
        let message = "unexpected Host header: use an address or `localhost`";
        return Some(ApiProblem::new(StatusCode::FORBIDDEN, message));
    }
    let is_from_page = headers.contains_key(header::ORIGIN);
    if is_from_page && !matches!(*method, Method::GET | Method::HEAD) {
        let message = "changes from web pages are refused";
        return Some(ApiProblem::new(StatusCode::FORBIDDEN, message));
    }
    None
}

fn is_local_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_the_whole_token_matches() {
        let token = Token::parse("0123456789abcdef\n").unwrap();
        assert!(token.matches(b"0123456789abcdef"));
        assert!(!token.matches(b"0123456789abcdeF"));
        assert!(!token.matches(b"0123456789abcde"));
        assert!(!token.matches(b"0123456789abcdef0"));
        assert!(!token.matches(b""));
    }

    #[test]
    fn short_and_spaced_tokens_are_refused() {
        assert!(Token::parse("short").is_err());
        assert!(Token::parse("0123456789 abcdef").is_err());
    }

    #[test]
    fn tokens_are_not_printed() {
        let token = Token::parse("0123456789abcdef").unwrap();
        assert_eq!(format!("{token:?}"), "<redacted>");
    }

    #[test]
    fn local_hosts_are_addresses_and_localhost() {
        for host in [
            "localhost:8081",
            "127.0.0.1:8081",
            "[::1]:8081",
            "LOCALHOST",
            "127.0.0.1",
        ] {
            assert!(is_local_host(host), "{host}");
        }
        for host in [
            "",
            "evil.example:8081",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_local_host(host), "{host}");
        }
    }
}
