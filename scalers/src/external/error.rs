//! What a call that failed means.

use tonic::{Code, Status};
use zeron_core::metric::{Unknown, UnknownKind};

use super::link::Link;
use super::trigger::ExternalTrigger;
use crate::source::unknown;

/// Characters of a scaler's own words.
const LONGEST: usize = 300;

/// Why there is no answer to a call. Values of the environment are not repeated, whatever the
/// scaler says.
pub(super) fn of_status(status: &Status, link: &Link, trigger: &ExternalTrigger) -> Unknown {
    let is_ours = matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Internal
    );
    if is_ours && let Some(failure) = link.failure() {
        return failure;
    }
    let words = without_secrets(status.message(), trigger);
    let code = status.code();
    let message = format!("{} says {code:?}: {words}", link.address());
    unknown(kind(code), message)
}

/// No answer within the time that there was.
pub(super) fn too_late(link: &Link, timeout: std::time::Duration) -> Unknown {
    // What keeps us from connecting says more than that time ran out.
    link.failure().unwrap_or_else(|| {
        let message = format!("{} did not answer within {timeout:?}", link.address());
        unknown(UnknownKind::Timeout, message)
    })
}

fn kind(code: Code) -> UnknownKind {
    match code {
        Code::DeadlineExceeded => UnknownKind::Timeout,
        Code::Unauthenticated | Code::PermissionDenied => UnknownKind::Authentication,
        Code::NotFound => UnknownKind::Missing,
        Code::InvalidArgument | Code::FailedPrecondition | Code::Unimplemented => {
            UnknownKind::Configuration
        }
        Code::Internal | Code::DataLoss | Code::OutOfRange => UnknownKind::Parse,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Unavailable => UnknownKind::Transport,
    }
}

/// At most so many characters, values of the environment left out.
pub(super) fn without_secrets(words: &str, trigger: &ExternalTrigger) -> String {
    let mut words = words.to_owned();
    for secret in &trigger.secrets {
        words = words.replace(secret.as_str(), "<redacted>");
    }
    match words.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &words[..end]),
        None => words,
    }
}
