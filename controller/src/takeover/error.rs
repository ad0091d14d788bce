//! Why a take-over stopped; what was done stays done, and the next one goes on from there.

use std::time::Duration;

use super::object::{Kind, ObjectName};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// Objects of a kind could not be listed.
    #[error("cannot list objects of kind {kind}")]
    List {
        /// Which kind.
        kind: Kind,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object could not be read or written.
    #[error("cannot {verb} {object}")]
    Object {
        /// What was tried.
        verb: &'static str,
        /// With which object.
        object: ObjectName,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object was not what the API server should send.
    #[error("{0} cannot be read")]
    Encoding(String, #[source] serde_json::Error),
    /// A condition did not come.
    #[error("{what}: not within {} s ({state})", waited.as_secs())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// What was seen last.
        state: String,
    },
    /// A Service that has opted in still leads to activators.
    #[error("{service} cannot be given its pods back")]
    Service {
        /// Which.
        service: ObjectName,
        /// Why.
        #[source]
        source: Box<crate::services::ServiceError>,
    },
    /// KEDA works again although it was gone.
    #[error("{lease} is held again by {holder}: somebody started KEDA meanwhile")]
    CameBack {
        /// Its lease.
        lease: ObjectName,
        /// Who holds it.
        holder: String,
    },
}

impl TakeoverError {
    pub(super) fn list(kind: Kind) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::List {
            kind,
            source: Box::new(source),
        }
    }

    pub(super) fn object(
        verb: &'static str,
        object: &ObjectName,
    ) -> impl FnOnce(kube::Error) -> Self {
        let object = object.clone();
        move |source| Self::Object {
            verb,
            object,
            source: Box::new(source),
        }
    }
}
