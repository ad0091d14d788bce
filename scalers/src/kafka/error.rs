//! Why something could not be read from a cluster.

use std::io;
use std::sync::Arc;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use thiserror::Error;
use zeron_core::metric::{Unknown, UnknownKind};

/// Why something could not be read from a cluster. Cheap to clone: one failure may concern many.
#[derive(Clone, Debug, Error)]
pub(crate) enum ReadError {
    /// No broker can be connected to.
    #[error("waiting for broker {servers}: {detail}")]
    Unreachable {
        /// Bootstrap addresses.
        servers: Arc<str>,
        /// librdkafka's words.
        detail: String,
    },
    /// No answer in time.
    #[error("waiting for broker {servers}: no answer in time")]
    Timeout {
        /// Bootstrap addresses.
        servers: Arc<str>,
    },
    /// The broker refused the credentials, or they may not read this.
    #[error("broker {servers} refused the credentials: {detail}")]
    Authentication {
        /// Bootstrap addresses.
        servers: Arc<str>,
        /// librdkafka's words.
        detail: String,
    },
    /// The broker answered with an error.
    #[error("broker {servers} answered {code:?}")]
    Refused {
        /// Bootstrap addresses.
        servers: Arc<str>,
        /// Which error.
        code: Code,
    },
    /// The topic does not exist.
    #[error("topic {topic} does not exist at broker {servers}")]
    NoTopic {
        /// Bootstrap addresses.
        servers: Arc<str>,
        /// Which topic.
        topic: Arc<str>,
    },
    /// Nobody leads this partition just now.
    #[error("partition {partition} of topic {topic} has no leader")]
    NoLeader {
        /// Which topic.
        topic: Arc<str>,
        /// Which partition.
        partition: i32,
    },
    /// The client could not be made: a certificate or a key is wrong, say.
    #[error("no client for broker {servers}: {detail}")]
    Client {
        /// Bootstrap addresses.
        servers: Arc<str>,
        /// librdkafka's words; its own error is not kept because it may hold a secret.
        detail: String,
    },
    /// The threads that wait for brokers could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(Arc<io::Error>),
    /// Too many reads wait already.
    #[error("too many reads wait for broker {servers}")]
    Busy {
        /// Bootstrap addresses.
        servers: Arc<str>,
    },
}

impl ReadError {
    /// What the broker's error `code` means.
    pub(crate) fn from_code(servers: &Arc<str>, code: Code) -> Self {
        let servers = servers.clone();
        match code {
            Code::OperationTimedOut | Code::RequestTimedOut | Code::WaitingForCoordinator => {
                Self::Timeout { servers }
            }
            Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::SSL => {
                Self::Unreachable {
                    servers,
                    detail: code.to_string(),
                }
            }
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed => Self::Authentication {
                servers,
                detail: code.to_string(),
            },
            code => Self::Refused { servers, code },
        }
    }

    /// What an error of a client's call means.
    pub(crate) fn from_kafka(servers: &Arc<str>, error: &KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(code) => Self::from_code(servers, code),
            None => Self::Client {
                servers: servers.clone(),
                detail: without_value(error),
            },
        }
    }

    /// Whether another attempt within the same reading may succeed.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Unreachable { .. } => true,
            // A coordinator that starts or moves, a leader that is being elected.
            Self::Refused { code, .. } => matches!(
                code,
                Code::CoordinatorLoadInProgress
                    | Code::CoordinatorNotAvailable
                    | Code::NotCoordinator
                    | Code::LeaderNotAvailable
                    | Code::NotLeaderForPartition
            ),
            _ => false,
        }
    }

    /// Whether waiting longer is unlikely to help.
    pub(crate) fn is_down(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Authentication { .. })
    }

    fn kind(&self) -> UnknownKind {
        match self {
            Self::Refused { code, .. } => match code {
                Code::UnknownTopicOrPartition | Code::UnknownPartition => UnknownKind::Missing,
                _ => UnknownKind::Transport,
            },
            Self::Unreachable { .. } | Self::NoLeader { .. } | Self::Thread(_) => {
                UnknownKind::Transport
            }
            Self::Timeout { .. } | Self::Busy { .. } => UnknownKind::Timeout,
            Self::Authentication { .. } => UnknownKind::Authentication,
            Self::NoTopic { .. } => UnknownKind::Missing,
            Self::Client { .. } => UnknownKind::Configuration,
        }
    }
}

/// An error in words, without the value of a setting, which may be a password or a key.
fn without_value(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, setting, _) => format!("{setting} is not accepted"),
        other => other.to_string(),
    }
}

impl From<&ReadError> for Unknown {
    fn from(error: &ReadError) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: Code) -> UnknownKind {
        ReadError::from_code(&"broker:9092".into(), code).kind()
    }

    #[test]
    fn every_kind_of_failure_is_told_from_the_others() {
        assert_eq!(kind(Code::OperationTimedOut), UnknownKind::Timeout);
        assert_eq!(kind(Code::BrokerTransportFailure), UnknownKind::Transport);
        assert_eq!(kind(Code::Resolve), UnknownKind::Transport);
        assert_eq!(kind(Code::Authentication), UnknownKind::Authentication);
        assert_eq!(
            kind(Code::GroupAuthorizationFailed),
            UnknownKind::Authentication
        );
        assert_eq!(kind(Code::UnknownTopicOrPartition), UnknownKind::Missing);
        assert_eq!(kind(Code::InvalidRequest), UnknownKind::Transport);
    }

    #[test]
    fn only_what_may_pass_within_a_reading_is_tried_again() {
        let is_passing = |code| ReadError::from_code(&"broker:9092".into(), code).is_passing();
        assert!(is_passing(Code::OperationTimedOut));
        assert!(is_passing(Code::NotCoordinator));
        assert!(!is_passing(Code::TopicAuthorizationFailed));
        assert!(!is_passing(Code::InvalidRequest));
    }

    #[test]
    fn error_names_the_address_and_never_the_value_of_a_setting() {
        let error = rdkafka::ClientConfig::new()
            .set("sasl.passwrod", "hunter2")
            .create::<rdkafka::consumer::BaseConsumer>()
            .err()
            .expect("there is no such setting");
        let unknown = Unknown::from(&ReadError::from_kafka(&"broker:9092".into(), &error));
        assert_eq!(unknown.kind, UnknownKind::Configuration);
        assert_eq!(
            unknown.message,
            "no client for broker broker:9092: sasl.passwrod is not accepted"
        );
    }
}
