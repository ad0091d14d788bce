//! Why something could not be read from a cluster.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use zeron_core::metric::{Unknown, UnknownKind};

use super::protocol::{Api, Code};

/// Why something could not be read from a cluster. Cheap to clone: one failure may concern many.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// The broker cannot be connected to, or the connection broke.
    #[error("waiting for broker {broker}: {detail}")]
    Unreachable {
        /// Its address, or those of all that were tried.
        broker: Arc<str>,
        /// The system's words.
        detail: Arc<str>,
    },
    /// No answer in time.
    #[error("waiting for broker {broker}: no answer in time")]
    Timeout {
        /// Its address, or those of all that were tried.
        broker: Arc<str>,
    },
    /// The broker refused the credentials, or they may not read this.
    #[error("broker {broker} refused the credentials: {detail}")]
    Authentication {
        /// Its address.
        broker: Arc<str>,
        /// What it refused.
        detail: Arc<str>,
    },
    /// The broker answered with an error.
    #[error("broker {broker} answered {code}")]
    Refused {
        /// Its address.
        broker: Arc<str>,
        /// Which error.
        code: Code,
    },
    /// The answer is not one of a Kafka broker.
    #[error("broker {broker} does not speak Kafka's protocol: {detail}")]
    Garbled {
        /// Its address.
        broker: Arc<str>,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// The broker is too old.
    #[error("broker {broker} does not know {api} in a version that is spoken here")]
    NotSpoken {
        /// Its address.
        broker: Arc<str>,
        /// Which request.
        api: &'static str,
    },
    /// The topic does not exist.
    #[error("topic {topic} does not exist at broker {servers}")]
    NoTopic {
        /// Bootstrap addresses.
        servers: Arc<str>,
        /// Which topic.
        topic: Arc<str>,
    },
    /// The topics have none of the partitions that count.
    #[error("topic {topic} has none of the partitions that partitionLimitation names")]
    NoPartition {
        /// Which topics.
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
    /// A certificate or a key is wrong, or the address may not be dialled.
    #[error("no client for broker {broker}: {detail}")]
    Client {
        /// Its address.
        broker: Arc<str>,
        /// What is wrong, without secrets.
        detail: Arc<str>,
    },
}

impl ReadError {
    /// What the broker's error `code` means.
    pub(crate) fn from_code(broker: &Arc<str>, code: Code) -> Self {
        let broker = broker.clone();
        match code {
            Code::REQUEST_TIMED_OUT => Self::Timeout { broker },
            Code::TOPIC_AUTHORIZATION_FAILED
            | Code::GROUP_AUTHORIZATION_FAILED
            | Code::CLUSTER_AUTHORIZATION_FAILED
            | Code::SASL_AUTHENTICATION_FAILED
            | Code::ILLEGAL_SASL_STATE
            | Code::UNSUPPORTED_SASL_MECHANISM => Self::Authentication {
                broker,
                detail: code.to_string().into(),
            },
            code => Self::Refused { broker, code },
        }
    }

    /// The connection failed.
    pub(crate) fn unreachable(broker: &Arc<str>, detail: &dyn fmt::Display) -> Self {
        Self::Unreachable {
            broker: broker.clone(),
            detail: detail.to_string().into(),
        }
    }

    /// The broker's answer makes no sense.
    pub(crate) fn garbled(broker: &Arc<str>, detail: &'static str) -> Self {
        Self::Garbled {
            broker: broker.clone(),
            detail,
        }
    }

    /// The broker does not know `api`.
    pub(crate) fn not_spoken(broker: &Arc<str>, api: Api) -> Self {
        Self::NotSpoken {
            broker: broker.clone(),
            api: api.name(),
        }
    }

    /// What went wrong before anything was sent to `broker`.
    pub(crate) fn before_dialling(broker: &Arc<str>, reason: &Unknown) -> Self {
        let broker = broker.clone();
        match reason.kind {
            UnknownKind::Timeout => Self::Timeout { broker },
            UnknownKind::Configuration => Self::Client {
                broker,
                detail: reason.message.as_str().into(),
            },
            UnknownKind::NotRead
            | UnknownKind::Transport
            | UnknownKind::Authentication
            | UnknownKind::Parse
            | UnknownKind::Missing => Self::Unreachable {
                broker,
                detail: reason.message.as_str().into(),
            },
        }
    }

    /// The same about all of `servers`, where it means the broker rather than its answer.
    pub(crate) fn about(self, servers: &Arc<str>) -> Self {
        let broker = servers.clone();
        match self {
            Self::Unreachable { detail, .. } => Self::Unreachable { broker, detail },
            Self::Timeout { .. } => Self::Timeout { broker },
            other => other,
        }
    }

    /// Whether the same question may be answered a moment later: a coordinator that loads or moves, a
    /// leader that is being elected.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: Code::COORDINATOR_LOAD_IN_PROGRESS
                    | Code::COORDINATOR_NOT_AVAILABLE
                    | Code::NOT_COORDINATOR
                    | Code::LEADER_NOT_AVAILABLE
                    | Code::NOT_LEADER_OR_FOLLOWER
                    | Code::REPLICA_NOT_AVAILABLE
                    | Code::FENCED_LEADER_EPOCH
                    | Code::UNKNOWN_LEADER_EPOCH
                    | Code::OFFSET_NOT_AVAILABLE
                    | Code::BROKER_NOT_AVAILABLE
                    | Code::NETWORK_EXCEPTION,
                ..
            }
        )
    }

    /// Whether what is remembered of leaders and coordinators may be out of date.
    pub(crate) fn may_be_stale(&self) -> bool {
        self.is_passing()
            || matches!(
                self,
                Self::Unreachable { .. }
                    | Self::Timeout { .. }
                    | Self::NoLeader { .. }
                    | Self::Refused {
                        code: Code::UNKNOWN_TOPIC_OR_PARTITION | Code::KAFKA_STORAGE_ERROR,
                        ..
                    }
            )
    }

    fn kind(&self) -> UnknownKind {
        match self {
            Self::Refused { code, .. } => match *code {
                Code::UNKNOWN_TOPIC_OR_PARTITION | Code::GROUP_ID_NOT_FOUND => UnknownKind::Missing,
                Code::INVALID_GROUP_ID | Code::INVALID_TOPIC_EXCEPTION => {
                    UnknownKind::Configuration
                }
                _ => UnknownKind::Transport,
            },
            Self::Unreachable { .. } | Self::NoLeader { .. } => UnknownKind::Transport,
            Self::Timeout { .. } => UnknownKind::Timeout,
            Self::Authentication { .. } => UnknownKind::Authentication,
            Self::Garbled { .. } => UnknownKind::Parse,
            Self::NoTopic { .. } | Self::NoPartition { .. } => UnknownKind::Missing,
            Self::NotSpoken { .. } | Self::Client { .. } => UnknownKind::Configuration,
        }
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

    fn of(code: Code) -> ReadError {
        ReadError::from_code(&"broker:9092".into(), code)
    }

    #[test]
    fn every_kind_of_failure_is_told_from_the_others() {
        let kind = |code| of(code).kind();
        assert_eq!(kind(Code::REQUEST_TIMED_OUT), UnknownKind::Timeout);
        assert_eq!(kind(Code::NOT_COORDINATOR), UnknownKind::Transport);
        assert_eq!(
            kind(Code::GROUP_AUTHORIZATION_FAILED),
            UnknownKind::Authentication
        );
        assert_eq!(kind(Code::UNKNOWN_TOPIC_OR_PARTITION), UnknownKind::Missing);
        assert_eq!(kind(Code::INVALID_GROUP_ID), UnknownKind::Configuration);
        assert_eq!(kind(Code(-1)), UnknownKind::Transport);
    }

    #[test]
    fn only_what_may_pass_within_a_reading_is_asked_again() {
        assert!(of(Code::COORDINATOR_LOAD_IN_PROGRESS).is_passing());
        assert!(of(Code::NOT_LEADER_OR_FOLLOWER).is_passing());
        assert!(!of(Code::TOPIC_AUTHORIZATION_FAILED).is_passing());
        assert!(!of(Code(-1)).is_passing());
        assert!(of(Code::UNKNOWN_TOPIC_OR_PARTITION).may_be_stale());
        assert!(!of(Code::GROUP_AUTHORIZATION_FAILED).may_be_stale());
    }

    #[test]
    fn errors_name_the_address_and_the_protocols_word() {
        assert_eq!(
            of(Code::NOT_COORDINATOR).to_string(),
            "broker broker:9092 answered NOT_COORDINATOR"
        );
        assert_eq!(
            of(Code(87)).to_string(),
            "broker broker:9092 answered error 87"
        );
        let refused = of(Code::GROUP_AUTHORIZATION_FAILED).to_string();
        assert!(refused.ends_with("GROUP_AUTHORIZATION_FAILED"), "{refused}");
    }

    #[test]
    fn nobody_at_several_addresses_names_them_all() {
        let one = ReadError::unreachable(&"a:9092".into(), &"refused");
        assert_eq!(
            one.about(&"a:9092,b:9092".into()).to_string(),
            "waiting for broker a:9092,b:9092: refused"
        );
    }
}
