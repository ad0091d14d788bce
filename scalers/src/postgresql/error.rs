//! Failures of PostgreSQL as reasons of an unknown value.

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};
use zeron_core::Chain;
use zeron_core::metric::{Unknown, UnknownKind};

use crate::source::unknown;
use crate::sql::Answer;

/// Longest message of a server that is passed on, in characters.
const MAX_MESSAGE: usize = 300;

/// Why connecting or signing in failed. Names of users and databases may come from a Secret: they are not
/// repeated.
pub(super) fn of_connecting(error: &Error) -> Unknown {
    let Some(said) = error.as_db_error() else {
        let message = with_sources(error);
        // The driver tells its own kinds apart by their words alone.
        let kind = match error.to_string().as_str() {
            "authentication error" | "invalid configuration" => UnknownKind::Authentication,
            _ => UnknownKind::Transport,
        };
        return unknown(kind, message);
    };
    let code = said.code();
    if code.code().starts_with("28") {
        let message = format!(
            "the server refused the credentials (SQLSTATE {})",
            code.code()
        );
        return unknown(UnknownKind::Authentication, message);
    }
    if *code == SqlState::INVALID_CATALOG_NAME {
        return unknown(UnknownKind::Missing, "the database does not exist");
    }
    unknown(UnknownKind::Transport, shown(said))
}

/// What a failed query came to.
///
/// # Errors
/// Where the connection is lost with it.
pub(super) fn of_query(error: &Error) -> Result<Answer, Unknown> {
    let Some(said) = error.as_db_error() else {
        return Err(unknown(UnknownKind::Transport, with_sources(error)));
    };
    if matches!(
        said.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    ) {
        return Err(unknown(UnknownKind::Transport, shown(said)));
    }
    if *said.code() == SqlState::QUERY_CANCELED {
        return Ok(Answer::Slow);
    }
    // The driver asks by prepared statements about types that are not built in, and poolers mix those up.
    let of_lookup = [
        SqlState::DUPLICATE_PSTATEMENT,
        SqlState::INVALID_SQL_STATEMENT_NAME,
    ];
    if of_lookup.contains(said.code()) {
        let message = "the query selects a type that is not built in, which is no number";
        return Ok(Answer::Failed(unknown(UnknownKind::Parse, message)));
    }
    Ok(Answer::Failed(unknown(kind(said.code()), shown(said))))
}

/// What a failure of this kind says about the value.
fn kind(code: &SqlState) -> UnknownKind {
    let missing = [
        SqlState::UNDEFINED_TABLE,
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::INVALID_CATALOG_NAME,
    ];
    if missing.contains(code) {
        return UnknownKind::Missing;
    }
    if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        return UnknownKind::Authentication;
    }
    match code.code().get(..2) {
        // Data exceptions: what is there cannot be made a number.
        Some("22") => UnknownKind::Parse,
        // Syntax and names; a statement that writes; features.
        Some("42" | "25" | "0A") => UnknownKind::Configuration,
        _ => UnknownKind::Transport,
    }
}

fn shown(said: &DbError) -> String {
    let message: String = said.message().chars().take(MAX_MESSAGE).collect();
    format!("{message} (SQLSTATE {})", said.code().code())
}

/// The driver's own message names the step alone; the reason is its source.
fn with_sources(error: &Error) -> String {
    let message = Chain(error).to_string();
    message.chars().take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart_by_their_code() {
        for (code, expected) in [
            ("42P01", UnknownKind::Missing),
            ("3F000", UnknownKind::Missing),
            ("42601", UnknownKind::Configuration),
            ("42703", UnknownKind::Configuration),
            ("25006", UnknownKind::Configuration),
            ("42501", UnknownKind::Authentication),
            ("22012", UnknownKind::Parse),
            ("53300", UnknownKind::Transport),
            ("XX000", UnknownKind::Transport),
        ] {
            assert_eq!(kind(&SqlState::from_code(code)), expected, "{code}");
        }
    }
}
