//! Error codes of the protocol.

use std::fmt;

/// An error code; the names are the protocol's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Code(pub(crate) i16);

impl Code {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const UNKNOWN_TOPIC_OR_PARTITION: Self = Self(3);
    pub(crate) const LEADER_NOT_AVAILABLE: Self = Self(5);
    pub(crate) const NOT_LEADER_OR_FOLLOWER: Self = Self(6);
    pub(crate) const REQUEST_TIMED_OUT: Self = Self(7);
    pub(crate) const BROKER_NOT_AVAILABLE: Self = Self(8);
    pub(crate) const REPLICA_NOT_AVAILABLE: Self = Self(9);
    pub(crate) const NETWORK_EXCEPTION: Self = Self(13);
    pub(crate) const COORDINATOR_LOAD_IN_PROGRESS: Self = Self(14);
    pub(crate) const COORDINATOR_NOT_AVAILABLE: Self = Self(15);
    pub(crate) const NOT_COORDINATOR: Self = Self(16);
    pub(crate) const INVALID_TOPIC_EXCEPTION: Self = Self(17);
    pub(crate) const INVALID_GROUP_ID: Self = Self(24);
    pub(crate) const TOPIC_AUTHORIZATION_FAILED: Self = Self(29);
    pub(crate) const GROUP_AUTHORIZATION_FAILED: Self = Self(30);
    pub(crate) const CLUSTER_AUTHORIZATION_FAILED: Self = Self(31);
    pub(crate) const UNSUPPORTED_SASL_MECHANISM: Self = Self(33);
    pub(crate) const ILLEGAL_SASL_STATE: Self = Self(34);
    pub(crate) const UNSUPPORTED_VERSION: Self = Self(35);
    pub(crate) const KAFKA_STORAGE_ERROR: Self = Self(56);
    pub(crate) const SASL_AUTHENTICATION_FAILED: Self = Self(58);
    pub(crate) const GROUP_ID_NOT_FOUND: Self = Self(69);
    pub(crate) const FENCED_LEADER_EPOCH: Self = Self(74);
    pub(crate) const UNKNOWN_LEADER_EPOCH: Self = Self(75);
    pub(crate) const OFFSET_NOT_AVAILABLE: Self = Self(78);

    /// `Err` unless it says that all is well.
    pub(crate) fn ok(self) -> Result<(), Self> {
        match self {
            Self::NONE => Ok(()),
            code => Err(code),
        }
    }

    fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::NONE => "NONE",
            Self::UNKNOWN_TOPIC_OR_PARTITION => "UNKNOWN_TOPIC_OR_PARTITION",
            Self::LEADER_NOT_AVAILABLE => "LEADER_NOT_AVAILABLE",
            Self::NOT_LEADER_OR_FOLLOWER => "NOT_LEADER_OR_FOLLOWER",
            Self::REQUEST_TIMED_OUT => "REQUEST_TIMED_OUT",
            Self::BROKER_NOT_AVAILABLE => "BROKER_NOT_AVAILABLE",
            Self::REPLICA_NOT_AVAILABLE => "REPLICA_NOT_AVAILABLE",
            Self::NETWORK_EXCEPTION => "NETWORK_EXCEPTION",
            Self::COORDINATOR_LOAD_IN_PROGRESS => "COORDINATOR_LOAD_IN_PROGRESS",
            Self::COORDINATOR_NOT_AVAILABLE => "COORDINATOR_NOT_AVAILABLE",
            Self::NOT_COORDINATOR => "NOT_COORDINATOR",
            Self::INVALID_TOPIC_EXCEPTION => "INVALID_TOPIC_EXCEPTION",
            Self::INVALID_GROUP_ID => "INVALID_GROUP_ID",
            Self::TOPIC_AUTHORIZATION_FAILED => "TOPIC_AUTHORIZATION_FAILED",
            Self::GROUP_AUTHORIZATION_FAILED => "GROUP_AUTHORIZATION_FAILED",
            Self::CLUSTER_AUTHORIZATION_FAILED => "CLUSTER_AUTHORIZATION_FAILED",
            Self::UNSUPPORTED_SASL_MECHANISM => "UNSUPPORTED_SASL_MECHANISM",
            Self::ILLEGAL_SASL_STATE => "ILLEGAL_SASL_STATE",
            Self::UNSUPPORTED_VERSION => "UNSUPPORTED_VERSION",
            Self::KAFKA_STORAGE_ERROR => "KAFKA_STORAGE_ERROR",
            Self::SASL_AUTHENTICATION_FAILED => "SASL_AUTHENTICATION_FAILED",
            Self::GROUP_ID_NOT_FOUND => "GROUP_ID_NOT_FOUND",
            Self::FENCED_LEADER_EPOCH => "FENCED_LEADER_EPOCH",
            Self::UNKNOWN_LEADER_EPOCH => "UNKNOWN_LEADER_EPOCH",
            Self::OFFSET_NOT_AVAILABLE => "OFFSET_NOT_AVAILABLE",
            Self(_) => return None,
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "error {}", self.0),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
