//! How a command fails: by what it was given (64), or while running (1).

use std::error::Error;
use std::process::ExitCode;

use crate::admin::TokenError;
use crate::client::{ClientError, ClusterError, SourceError};

/// Exit code of bad usage or configuration (`EX_USAGE`).
pub(crate) const USAGE: u8 = 64;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What it was given is wrong.
    Usage(anyhow::Error),
    /// It did not work out.
    Runtime(anyhow::Error),
}

impl Failure {
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::Usage(error.into())
    }

    pub(crate) fn runtime(error: impl Into<anyhow::Error>) -> Self {
        Self::Runtime(error.into())
    }

    pub(crate) fn error(&self) -> &(dyn Error + 'static) {
        match self {
            Self::Usage(error) | Self::Runtime(error) => error.as_ref(),
        }
    }

    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(USAGE),
            Self::Runtime(_) => ExitCode::FAILURE,
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Runtime(error)
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self::usage(error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let is_usage = match &error {
            ClientError::Token(..) | ClientError::Request(_) => true,
            ClientError::Refused(problem) => matches!(problem.status, 400 | 413 | 415 | 422),
            ClientError::NotRunning(_)
            | ClientError::Connect(..)
            | ClientError::Forward(..)
            | ClientError::Timeout(_)
            | ClientError::Http(..)
            | ClientError::Decode(..)
            | ClientError::Body(_) => false,
        };
        if is_usage {
            Self::usage(error)
        } else {
            Self::runtime(error)
        }
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Config(_) => Self::usage(error),
            ClusterError::Forbidden { .. }
            | ClusterError::Read(..)
            | ClusterError::NoAutoscaler { .. }
            | ClusterError::Silent(..)
            | ClusterError::NoReplica { .. }
            | ClusterError::Log { .. }
            | ClusterError::Write(_) => Self::runtime(error),
        }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Both(error) => Self::usage(error),
            SourceError::Machine(error) => error.into(),
            SourceError::Cluster(error) => error.into(),
        }
    }
}
