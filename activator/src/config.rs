//! What a data plane is told: where to listen, whom to trust, how much to hold.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::mpsc;
use zeron_core::FunctionId;
use zeron_wire::Seconds;

/// Everything that one activator is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses for HTTP/1.1 and HTTP/2 with prior knowledge on the same port; port 0 picks one.
    pub listeners: Vec<SocketAddr>,
    /// An address for HTTPS. Default: none.
    pub tls: Option<TlsListener>,
    /// Worker threads, each with its own listeners and pools. Default: one per core.
    pub workers: NonZeroUsize,
    /// Limits of one connection and of all.
    pub limits: Limits,
    /// Peers whose `X-Forwarded-*`, `Forwarded` and PROXY headers are believed. Default: none.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections of trusted peers begin with a PROXY protocol header, v1 or v2. Default: off.
    pub proxy_protocol: bool,
    /// One `tracing` event of target `access` per request. Default: off.
    pub access_log: bool,
    /// Bytes that waiting requests of all functions may hold. Default: 256 MiB.
    pub max_queued_bytes: u64,
    /// Where other activators reach this one (see [`crate::ActivatorHandle::set_peers`]). Only they
    /// may be able to: what comes here is believed. Port 0 picks one. Default: none.
    pub peer_listener: Option<SocketAddr>,
    /// How much of the platform's words callers get when a start failed. Default: all.
    pub show_platform_reason: PlatformReason,
    /// How long new connections are still served once a drain has begun and readiness is gone, so
    /// that whoever sends them may learn of it. Default: not at all.
    pub lame_duck: Duration,
    /// Who connects waits, without an answer, until [`crate::ActivatorHandle::say_ready`]: a process
    /// that was started again in its predecessor's place is led to before it knows any route.
    /// Default: off.
    pub holds_until_ready: bool,
    /// Whose rules requests and answers follow. Default: our own.
    pub dialect: Dialect,
    /// An address for HTTPS whose certificate comes while everything runs
    /// ([`crate::ActivatorHandle::set_certificate`]). Default: none.
    pub pushed_tls: Option<SocketAddr>,
    /// Whose seconds reports of load end with: several activators of one [`zeron_wire::Hub`] have to agree. Default: those
    /// since the start.
    pub seconds: Seconds,
    /// Who is told of a function of which a replica that the platform calls ready refuses our
    /// probe as a mesh does, with 502 or 503. Told again and again; what finds no room is lost.
    /// Default: nobody.
    pub refused_probes: Option<mpsc::Sender<FunctionId>>,
}

/// Whose rules requests and answers follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Our own: routes say where a request goes, and nothing that a stranger says is believed.
    #[default]
    Zeron,
    /// Those of Knative Serving's activator, whose place this one takes between its gateways and
    /// its queue-proxies (reference: `pkg/activator` of knative/serving v0.51).
    Knative(Knative),
}

/// What an activator has to know of the Knative Serving around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knative {
    /// The cluster's domain, such as `cluster.local`: hosts `REVISION.NAMESPACE.svc.DOMAIN` name
    /// a Revision.
    pub cluster_domain: String,
    /// `enable-mesh-pod-addressability`: replicas are asked by the host of their private Service
    /// and with `K-Passthrough-Lb`.
    pub has_passthrough: bool,
    /// `system-internal-tls`: queue-proxies are spoken to over TLS only, once it is known whose
    /// word counts ([`crate::ActivatorHandle::set_authorities`]).
    pub has_internal_tls: bool,
}

impl Default for Knative {
    /// `cluster.local`, without passthrough and TLS.
    fn default() -> Self {
        Self {
            cluster_domain: "cluster.local".to_owned(),
            has_passthrough: false,
            has_internal_tls: false,
        }
    }
}

/// How much of the platform's words callers get when a start failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlatformReason {
    /// All, the last lines of stderr included: for the owner of the machine.
    #[default]
    Full,
    /// The reason's one word and a sentence of ours, without paths, names and output.
    ReasonOnly,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            tls: None,
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            limits: Limits::default(),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            access_log: false,
            max_queued_bytes: 256 << 20,
            peer_listener: None,
            show_platform_reason: PlatformReason::default(),
            lame_duck: Duration::ZERO,
            holds_until_ready: false,
            dialect: Dialect::default(),
            pushed_tls: None,
            seconds: Seconds::default(),
            refused_probes: None,
        }
    }
}

/// Where HTTPS is served, and with which certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsListener {
    /// Address; port 0 picks one.
    pub address: SocketAddr,
    /// PEM file with the certificate chain, leaf first.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// Limits of one connection and of all. The defaults are those that Envoy advises at an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections over all listeners. Default: 50,000.
    pub max_connections: usize,
    /// Header fields of one request. Default: 100.
    pub max_headers: usize,
    /// Bytes of one request head, request line included. Default: 60 KiB.
    pub max_head_bytes: usize,
    /// Largest buffer of one HTTP/1 connection, either way. Default: 64 KiB.
    pub max_buffer_bytes: usize,
    /// From the first byte of a head to its last; also the TLS handshake. Default: 10 s.
    pub head_timeout: Duration,
    /// Longest wait for the next request on an open connection. Default: 900 s.
    pub keep_alive_timeout: Duration,
    /// Longest silence of a client in the middle of its request body. Default: 300 s.
    pub body_timeout: Duration,
    /// Longest time a client may take no byte of its answer. Default: 300 s.
    pub write_timeout: Duration,
    /// Until a connection to a replica stands. Default: 1 s.
    pub connect_timeout: Duration,
    /// Longest idle time of a pooled connection to a replica. Default: 4 s, below the 5 s after
    /// which common servers close.
    pub pool_idle_timeout: Duration,
    /// Streams at once on one HTTP/2 connection. Default: 100.
    pub http2_max_streams: u32,
    /// HTTP/2 flow-control window of one stream. Default: 64 KiB.
    pub http2_stream_window: u32,
    /// HTTP/2 flow-control window of one connection. Default: 1 MiB.
    pub http2_connection_window: u32,
    /// Streams reset by the client that may wait to be accepted (rapid reset). Default: 20.
    pub http2_max_pending_resets: usize,
    /// Streams that this side resets for errors before the connection is closed
    /// (CVE-2025-8671). Default: 100.
    pub http2_max_local_resets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 50_000,
            max_headers: 100,
            max_head_bytes: 60 << 10,
            max_buffer_bytes: 64 << 10,
            head_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(900),
            body_timeout: Duration::from_secs(300),
            write_timeout: Duration::from_secs(300),
            connect_timeout: Duration::from_secs(1),
            pool_idle_timeout: Duration::from_secs(4),
            http2_max_streams: 100,
            http2_stream_window: 64 << 10,
            http2_connection_window: 1 << 20,
            http2_max_pending_resets: 20,
            http2_max_local_resets: 100,
        }
    }
}
