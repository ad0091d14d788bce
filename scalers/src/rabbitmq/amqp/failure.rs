//! What an error of lapin means.

use std::io;

use lapin::{Error, ErrorKind};
use zeron_core::metric::{Unknown, UnknownKind};

use crate::source::unknown;

/// What `error` of `server` means, in words.
pub(super) fn of(server: &str, error: &Error) -> Unknown {
    let (kind, what) = match error.kind() {
        ErrorKind::ProtocolError(refused) => {
            let text = printable(refused.get_message().as_str());
            let kind = refusal(refused.get_id(), &text);
            (kind, format!("answered {text}"))
        }
        ErrorKind::IOError(cause) if cause.kind() == io::ErrorKind::TimedOut => (
            UnknownKind::Timeout,
            "cannot be connected in time".to_owned(),
        ),
        ErrorKind::IOError(cause) | ErrorKind::RuntimeShutdownError(cause) => {
            (UnknownKind::Transport, format!("is not connected: {cause}"))
        }
        ErrorKind::ParsingError(_)
        | ErrorKind::InvalidProtocolVersion(_)
        | ErrorKind::InvalidConnectionState(lapin::ConnectionState::Connecting) => {
            (UnknownKind::Parse, "does not speak AMQP 0-9-1".to_owned())
        }
        ErrorKind::MissingHeartbeatError => {
            (UnknownKind::Timeout, "sends no heartbeats".to_owned())
        }
        _ => {
            let text = printable(&error.to_string());
            (UnknownKind::Transport, format!("is not connected: {text}"))
        }
    };
    unknown(kind, format!("{server} {what}"))
}

/// The kind of a reply code of AMQP 0-9-1. RabbitMQ answers 530 both for a virtual host that is not there and for
/// one that the user may not use.
fn refusal(code: u16, text: &str) -> UnknownKind {
    match code {
        404 => UnknownKind::Missing,
        403 => UnknownKind::Authentication,
        530 if text.contains("not found") => UnknownKind::Missing,
        530 => UnknownKind::Authentication,
        // Exclusive to the connection of somebody else.
        405 => UnknownKind::Configuration,
        _ => UnknownKind::Transport,
    }
}

/// The server's words, which end up in conditions and logs.
fn printable(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use lapin::protocol::{AMQPError, AMQPErrorKind};

    use super::*;

    fn refused(code: u16, text: &str) -> Unknown {
        let kind = AMQPErrorKind::from_id(code).unwrap();
        let error = ErrorKind::ProtocolError(AMQPError::new(kind, text.into()));
        of("rabbitmq/a:5672", &error.into())
    }

    #[test]
    fn refusals_have_their_kinds() {
        for (code, text, kind) in [
            (
                404,
                "NOT_FOUND - no queue 'q' in vhost '/'",
                UnknownKind::Missing,
            ),
            (
                403,
                "ACCESS_REFUSED - Login was refused",
                UnknownKind::Authentication,
            ),
            (530, "NOT_ALLOWED - vhost v not found", UnknownKind::Missing),
            (
                530,
                "NOT_ALLOWED - access to vhost 'v' refused",
                UnknownKind::Authentication,
            ),
            (
                405,
                "RESOURCE_LOCKED - exclusive",
                UnknownKind::Configuration,
            ),
            (541, "INTERNAL_ERROR", UnknownKind::Transport),
            (320, "CONNECTION_FORCED", UnknownKind::Transport),
        ] {
            assert_eq!(refused(code, text).kind, kind, "{code} {text}");
        }
    }

    #[test]
    fn words_of_a_server_are_printable() {
        let error = refused(404, "no queue\n\u{1b}[31m'q'");
        assert_eq!(error.message, "rabbitmq/a:5672 answered no queue[31m'q'");
    }

    #[test]
    fn lost_connection_is_named_with_its_reason() {
        let of = |kind: io::ErrorKind| of("rabbitmq/a:5672", &io::Error::from(kind).into());
        let error = of(io::ErrorKind::ConnectionRefused);
        assert_eq!(error.kind, UnknownKind::Transport);
        assert!(error.message.contains("refused"), "{}", error.message);
        assert_eq!(of(io::ErrorKind::TimedOut).kind, UnknownKind::Timeout);
    }
}
