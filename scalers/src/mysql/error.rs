//! Failures of MySQL and MariaDB as reasons of an unknown value.

use mysql_async::{DriverError, Error, ServerError};
use zeron_core::metric::{Unknown, UnknownKind};

use crate::source::unknown;
use crate::sql::Answer;

/// Longest message of a server that is passed on, in characters.
const MAX_MESSAGE: usize = 300;

/// A statement that ran into its limit: MySQL's `ER_QUERY_TIMEOUT`, MariaDB's `ER_STATEMENT_TIMEOUT`, and one that
/// was ended by somebody else.
const CUT_OFF: [u16; 3] = [3024, 1969, 1317];

/// Access denied: to a database, at all, to a command, a table, a column, a privilege; a locked account, twice.
const REFUSED: [u16; 9] = [1044, 1045, 1142, 1143, 1227, 1698, 3118, 3159, 4151];

/// No such database, table, routine.
const MISSING: [u16; 4] = [1049, 1146, 1305, 1109];

/// The server ends: `ER_SERVER_SHUTDOWN`, `ER_CONNECTION_KILLED`.
const ENDING: [u16; 2] = [1053, 1927];

/// Why connecting or signing in failed. Names of users and databases may come from a Secret: they are not
/// repeated.
pub(super) fn of_connecting(error: &Error) -> Unknown {
    match error {
        Error::Server(said) if REFUSED.contains(&said.code) => {
            let message = format!("the server refused the credentials (error {})", said.code);
            unknown(UnknownKind::Authentication, message)
        }
        Error::Server(said) if said.code == 1049 => {
            unknown(UnknownKind::Missing, "the database does not exist")
        }
        Error::Server(said) => unknown(UnknownKind::Transport, shown(said)),
        Error::Driver(
            refused @ (DriverError::CleartextPluginDisabled
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::UnknownAuthPlugin { .. }),
        ) => unknown(UnknownKind::Authentication, refused.to_string()),
        other => unknown(UnknownKind::Transport, cut(&other.to_string())),
    }
}

/// What a failed query came to.
///
/// # Errors
/// Where the connection is lost with it.
pub(super) fn of_query(error: &Error) -> Result<Answer, Unknown> {
    let said = match error {
        Error::Server(said) if ENDING.contains(&said.code) => {
            return Err(unknown(UnknownKind::Transport, shown(said)));
        }
        Error::Server(said) => said,
        // The driver's own refusals name a statement's bytes: they are not passed on.
        Error::Driver(DriverError::StmtParamsMismatch { .. }) => {
            let message = "the query has parameters, for which there are no values";
            return Ok(Answer::Failed(unknown(UnknownKind::Configuration, message)));
        }
        other => return Err(unknown(UnknownKind::Transport, cut(&other.to_string()))),
    };
    if CUT_OFF.contains(&said.code) {
        return Ok(Answer::Slow);
    }
    let kind = kind(said.code, &said.state);
    Ok(Answer::Failed(unknown(kind, shown(said))))
}

/// What a failure of this kind says about the value.
fn kind(code: u16, state: &str) -> UnknownKind {
    if MISSING.contains(&code) {
        return UnknownKind::Missing;
    }
    if REFUSED.contains(&code) {
        return UnknownKind::Authentication;
    }
    match state.get(..2) {
        // Data exceptions: what is there cannot be made a number.
        Some("22") => UnknownKind::Parse,
        // Syntax and names; a statement that writes; features.
        Some("42" | "25" | "0A") => UnknownKind::Configuration,
        _ => UnknownKind::Transport,
    }
}

fn shown(said: &ServerError) -> String {
    format!("{} (error {})", cut(&said.message), said.code)
}

fn cut(message: &str) -> String {
    message.chars().take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart_by_their_code() {
        for (code, state, expected) in [
            (1146, "42S02", UnknownKind::Missing),
            (1064, "42000", UnknownKind::Configuration),
            (1054, "42S22", UnknownKind::Configuration),
            (1792, "25006", UnknownKind::Configuration),
            (1142, "42000", UnknownKind::Authentication),
            (1690, "22003", UnknownKind::Parse),
            (1040, "08004", UnknownKind::Transport),
        ] {
            assert_eq!(kind(code, state), expected, "{code}");
        }
    }

    #[test]
    fn names_are_not_repeated_while_signing_in() {
        let denied = Error::Server(ServerError {
            code: 1045,
            message: "Access denied for user 'canary'@'localhost'".to_owned(),
            state: "28000".to_owned(),
        });
        let reason = of_connecting(&denied);
        assert_eq!(reason.kind, UnknownKind::Authentication);
        assert!(!reason.message.contains("canary"), "{}", reason.message);
    }
}
