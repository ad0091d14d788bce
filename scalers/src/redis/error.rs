//! Why something could not be read from a server.

use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerError};
use thiserror::Error;
use zeron_core::metric::{Unknown, UnknownKind};

use super::measure::Failure;
use crate::source::unknown;

/// Longest text of a server that a message repeats.
const MAX_DETAIL: usize = 200;

/// Why something could not be read from a server. Cheap to clone: one failure may concern many.
#[derive(Clone, Debug, Error)]
pub(super) enum ReadError {
    /// No connection, or it broke.
    #[error("cannot reach {server}: {source}")]
    Unreachable {
        /// Host and port.
        server: Arc<str>,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// No answer in time.
    #[error("{server} did not answer in time")]
    Timeout {
        /// Host and port.
        server: Arc<str>,
    },
    /// The credentials are wrong, or may not do this.
    #[error("{server} refused the credentials ({code})")]
    Authentication {
        /// Host and port.
        server: Arc<str>,
        /// The first word of its answer; the rest may repeat a name.
        code: String,
    },
    /// It refused in other words.
    #[error("{server} answered {code} {detail}")]
    Refused {
        /// Host and port.
        server: Arc<str>,
        /// The first word of its answer.
        code: String,
        /// The rest of it, cut.
        detail: String,
    },
    /// It speaks something else.
    #[error("{server} does not speak the protocol of Redis")]
    Garbled {
        /// Host and port.
        server: Arc<str>,
    },
    /// The address may not be dialled or does not resolve, or TLS cannot be set up.
    #[error("{server}: {}", .unknown.message)]
    Prepared {
        /// Host and port.
        server: Arc<str>,
        /// What is wrong.
        unknown: Unknown,
    },
    /// The key is not what the trigger measures.
    #[error("{server}: {failure}")]
    Answer {
        /// The source.
        server: Arc<str>,
        /// What is wrong.
        #[source]
        failure: Failure,
    },
    /// The sentinels know no such master.
    #[error("sentinel {server} knows no master {master:?}")]
    NoMaster {
        /// Host and port of a sentinel.
        server: Arc<str>,
        /// The name that was asked for.
        master: String,
    },
    /// The sentinels name a server that is not a master: a failover is under way.
    #[error("{server} is not the master yet")]
    NotMaster {
        /// Host and port.
        server: Arc<str>,
    },
    /// No node serves the key.
    #[error("no node of the cluster {server} serves slot {slot}")]
    Uncovered {
        /// The source.
        server: Arc<str>,
        /// Of the key.
        slot: u16,
    },
}

impl ReadError {
    /// What an error of the client library means.
    pub(super) fn from_redis(server: &Arc<str>, error: &RedisError) -> Self {
        let server = Arc::clone(server);
        match error.kind() {
            ErrorKind::Io if error.is_timeout() => Self::Timeout { server },
            ErrorKind::Io => Self::Unreachable {
                server,
                source: Arc::new(io::Error::other(error.to_string())),
            },
            ErrorKind::AuthenticationFailed => Self::Authentication {
                server,
                code: "AUTH".to_owned(),
            },
            ErrorKind::Server(_) | ErrorKind::Extension => {
                let code = error.code().unwrap_or_default();
                Self::from_answer(&server, code, error.detail().unwrap_or_default())
            }
            _ => Self::Garbled { server },
        }
    }

    /// What an error that a server answered means.
    pub(super) fn from_server(server: &Arc<str>, error: &ServerError) -> Self {
        Self::from_answer(server, error.code(), error.details().unwrap_or_default())
    }

    fn from_answer(server: &Arc<str>, code: &str, detail: &str) -> Self {
        let server = Arc::clone(server);
        let code = cut(code);
        match code.as_str() {
            "NOAUTH" | "WRONGPASS" | "NOPERM" => Self::Authentication { server, code },
            _ => Self::Refused {
                server,
                code,
                detail: cut(detail),
            },
        }
    }

    /// What an error of the system means.
    pub(super) fn from_io(server: &Arc<str>, error: io::Error) -> Self {
        let server = Arc::clone(server);
        if error.kind() == io::ErrorKind::TimedOut {
            return Self::Timeout { server };
        }
        Self::Unreachable {
            server,
            source: Arc::new(error),
        }
    }

    /// Whether the connection is of no further use.
    pub(super) fn is_of_connection(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Garbled { .. }
        )
    }

    /// Whether a connection that was open for long is closed: another may do.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    fn kind(&self) -> UnknownKind {
        match self {
            Self::Unreachable { .. } | Self::NotMaster { .. } | Self::Uncovered { .. } => {
                UnknownKind::Transport
            }
            Self::Timeout { .. } => UnknownKind::Timeout,
            Self::Authentication { .. } => UnknownKind::Authentication,
            Self::Refused { detail, .. } if is_of_setup(detail) => UnknownKind::Configuration,
            Self::Refused { .. } => UnknownKind::Transport,
            Self::Garbled { .. } => UnknownKind::Parse,
            Self::Prepared { unknown, .. } => unknown.kind,
            Self::Answer { failure, .. } => failure.kind(),
            Self::NoMaster { .. } => UnknownKind::Missing,
        }
    }
}

/// Whether the server is of another kind or age than the trigger says.
fn is_of_setup(detail: &str) -> bool {
    let detail = detail.to_ascii_lowercase();
    let said = [
        "unknown command",
        "unknown subcommand",
        "this instance has cluster support disabled",
    ];
    said.iter().any(|it| detail.starts_with(it))
}

/// A text without control characters, of bounded length.
fn cut(text: &str) -> String {
    let plain = text.chars().filter(|it| !it.is_control());
    plain.take(MAX_DETAIL).collect()
}

impl From<&ReadError> for Unknown {
    fn from(error: &ReadError) -> Self {
        unknown(error.kind(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(line: &[u8]) -> ReadError {
        let answer = redis::parse_redis_value(line).unwrap();
        let error = answer.extract_error().unwrap_err();
        ReadError::from_redis(&"cache:6379".into(), &error)
    }

    #[test]
    fn every_kind_of_refusal_is_told_from_the_others() {
        let kind = |line| answered(line).kind();
        assert_eq!(
            kind(b"-NOAUTH Authentication required.\r\n"),
            UnknownKind::Authentication
        );
        assert_eq!(
            kind(b"-NOPERM this user has no permissions\r\n"),
            UnknownKind::Authentication
        );
        assert_eq!(
            kind(b"-LOADING Redis is loading the dataset in memory\r\n"),
            UnknownKind::Transport
        );
        assert_eq!(
            kind(b"-ERR unknown command 'XINFO', with args beginning with\r\n"),
            UnknownKind::Configuration
        );
    }

    #[test]
    fn refused_credentials_are_named_by_the_code_alone() {
        let error = answered(b"-WRONGPASS invalid pair of alice and hunter2\r\n");
        assert_eq!(
            error.to_string(),
            "cache:6379 refused the credentials (WRONGPASS)"
        );
    }

    #[test]
    fn long_answers_are_cut() {
        let line = format!("-ERR {}\r\n", "x".repeat(10_000));
        assert!(answered(line.as_bytes()).to_string().len() < 300);
    }
}
