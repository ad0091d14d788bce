//! What runs: the program of one replica, its port, its probe and its limits.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The program of one replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Program and leading arguments. `$(NAME)` is expanded from `env` and `PORT`.
    pub command: Vec<String>,
    /// Arguments after `command`, expanded likewise.
    pub args: Vec<String>,
    /// Environment beside what the back end gives (`PORT`, `K_SERVICE`, ...). Later wins.
    pub env: Vec<EnvVar>,
    /// Directory to start in; relative ones are relative to the manifest's folder.
    pub working_dir: Option<PathBuf>,
    /// Container image, for back ends that run images.
    pub image: Option<String>,
    /// Where a replica listens; `None` for a function without a port.
    pub port: Option<Port>,
    /// When a replica counts as ready.
    pub readiness: ReadinessProbe,
    /// What a replica may use, where the back end can enforce it.
    pub limits: ResourceAmounts,
    /// What a replica is expected to use: `Utilization` of cpu and memory is a share of it.
    #[serde(default)]
    pub requests: ResourceAmounts,
    /// From SIGTERM to SIGKILL.
    pub termination_grace: Duration,
    /// How long a replica may take to become ready before its start counts as failed.
    pub start_deadline: Duration,
}

/// Nothing to run, with Kubernetes' time to end and its Deployments' time to make progress.
impl Default for Workload {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            working_dir: None,
            image: None,
            port: None,
            readiness: ReadinessProbe::default(),
            limits: ResourceAmounts::default(),
            requests: ResourceAmounts::default(),
            termination_grace: Duration::from_secs(30),
            start_deadline: Duration::from_secs(600),
        }
    }
}

/// One environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// Variable name.
    pub name: String,
    /// Value, before expansion of `$(NAME)`.
    pub value: String,
}

/// Who chooses the port of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Port {
    /// The back end picks a free one per replica and gives it as `PORT`.
    Assigned,
    /// The program listens on this port whatever it is told: at most one replica per address.
    Fixed(NonZeroU16),
}

/// How a replica is asked whether it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadinessProbe {
    /// The question.
    pub check: ProbeCheck,
    /// Not before this after the start.
    pub initial_delay: Duration,
    /// How often, once the fast first attempts are over; `None`: as fast as the prober can.
    pub period: Option<Duration>,
    /// An answer later than this is a failure.
    pub timeout: Duration,
    /// So many answers in a row make it ready.
    pub success_threshold: u32,
    /// So many failures in a row make a ready replica unready.
    pub failure_threshold: u32,
}

/// The question that a readiness probe asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeCheck {
    /// The process runs (functions without a port).
    Started,
    /// A TCP connection is accepted; on the replica's own port unless one is named.
    Tcp {
        /// Another port than the replica's own.
        port: Option<NonZeroU16>,
    },
    /// An HTTP GET answers 200..=399.
    Http {
        /// Path and query, starting with `/`.
        path: String,
        /// Extra request headers.
        headers: Vec<(String, String)>,
        /// Another port than the replica's own.
        port: Option<NonZeroU16>,
    },
    /// An HTTP GET on the replica's own port answers 200 with this body and no other.
    HttpBody {
        /// Path and query, starting with `/`.
        path: String,
        /// Extra request headers.
        headers: Vec<(String, String)>,
        /// The whole body.
        body: String,
    },
    /// `grpc.health.v1.Health/Check` over HTTP/2 without TLS answers `SERVING`.
    Grpc {
        /// The service that is asked for; empty: the server as a whole.
        service: String,
        /// Another port than the replica's own.
        port: Option<NonZeroU16>,
    },
}

impl Default for ReadinessProbe {
    fn default() -> Self {
        Self {
            check: ProbeCheck::Tcp { port: None },
            initial_delay: Duration::ZERO,
            period: None,
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 3,
        }
    }
}

/// Amounts for one replica; `None`: nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceAmounts {
    /// Thousandths of a core.
    pub cpu_millis: Option<u64>,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
}
