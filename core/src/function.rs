//! A function: what runs, how it is reached, how it scales, how long its callers wait.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{FunctionId, ObjectRef};
use crate::policy::ScalePolicy;
use crate::workload::Workload;

/// One scalable thing: a Knative Revision, or a Deployment with its triggers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// The object that holds the replicas.
    pub id: FunctionId,
    /// What a person calls it: the Service of a Revision, else the object itself.
    pub owner: ObjectRef,
    /// What one replica runs.
    pub workload: Workload,
    /// What its replicas speak.
    pub protocol: Protocol,
    /// Requests that one replica may serve at once; `None` = unlimited.
    pub concurrency_limit: Option<NonZeroU32>,
    /// How long its callers wait.
    pub timeouts: Timeouts,
    /// How many replicas it should have.
    pub scale: ScalePolicy,
    /// How many callers may wait for it.
    pub admission: AdmissionPolicy,
}

impl Function {
    /// A function of which nothing but this is declared: no limit, and the defaults of all else.
    pub fn new(id: FunctionId, owner: ObjectRef, protocol: Protocol) -> Self {
        Self {
            id,
            owner,
            workload: Workload::default(),
            protocol,
            concurrency_limit: None,
            timeouts: Timeouts::default(),
            scale: ScalePolicy::default(),
            admission: AdmissionPolicy::default(),
        }
    }
}

/// What a function's replicas speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge, without TLS.
    H2c,
    /// Nothing: it is woken by events and has no port.
    None,
}

/// Time limits of one request, each counted from its arrival unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Until the answer begins, time in the queue included (Knative `timeoutSeconds`).
    pub request: Option<Duration>,
    /// Until the function sends the first byte, from when it got the request.
    pub response_start: Option<Duration>,
    /// Longest silence in either direction once the answer began.
    pub idle: Option<Duration>,
}

impl Default for Timeouts {
    /// Knative's `revision-timeout-seconds`: 300 s; the others unset.
    fn default() -> Self {
        Self {
            request: Some(Duration::from_secs(300)),
            response_start: None,
            idle: None,
        }
    }
}

/// How many callers may wait, with how many bytes, for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmissionPolicy {
    /// Waiting requests; one more is refused with 503 and `Retry-After`.
    pub max_queued: u32,
    /// Bytes that waiting requests may hold.
    pub max_queued_bytes: u64,
    /// Longest wait in the queue; the request timeout still applies.
    pub max_wait: Duration,
}

impl Default for AdmissionPolicy {
    fn default() -> Self {
        Self {
            max_queued: 10_000,
            max_queued_bytes: 64 << 20,
            max_wait: Duration::from_secs(300),
        }
    }
}
