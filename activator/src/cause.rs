//! How a request ended: a closed list, because each is a metric label and a header value.

use http::StatusCode;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(usize)]
pub enum Cause {
    /// The function answered.
    Answered,
    /// A route answered it without a function.
    Responded,
    /// A probe of the platform around us was answered.
    Probed,
    /// A placeholder was answered while no replica was ready.
    Placeholder,
    /// The connection became a tunnel.
    Upgraded,
    /// Framing, `Host` or another header is malformed.
    BadRequest,
    /// `CONNECT` or `TRACE`.
    MethodRefused,
    /// No route for this host and path.
    NoRoute,
    /// Its function was deleted.
    FunctionGone,
    /// The function is paused at zero.
    Paused,
    /// Too many requests wait, or they hold too many bytes.
    QueueFull,
    /// The function could not start.
    StartFailed,
    /// No replica became free, or answered, in time.
    Deadline,
    /// The replica sent no answer in time.
    ResponseTimeout,
    /// The replica closed the connection, or sent no HTTP.
    UpstreamFailed,
    /// Another activator sent it here, where none of the replicas is ours; it is told so and sends
    /// it elsewhere.
    Misdirected,
    /// This process has just begun and does not know yet what there is.
    Starting,
    /// This process is going away.
    ShuttingDown,
    /// The client left before the answer began.
    ClientGone,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 19] = [
        Self::Answered,
        Self::Responded,
        Self::Probed,
        Self::Placeholder,
        Self::Upgraded,
        Self::BadRequest,
        Self::MethodRefused,
        Self::NoRoute,
        Self::FunctionGone,
        Self::Paused,
        Self::QueueFull,
        Self::StartFailed,
        Self::Deadline,
        Self::ResponseTimeout,
        Self::UpstreamFailed,
        Self::Misdirected,
        Self::Starting,
        Self::ShuttingDown,
        Self::ClientGone,
    ];

    /// The metric label and the value of `X-Zeron-Reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Responded => "responded",
            Self::Probed => "probed",
            Self::Placeholder => "placeholder",
            Self::Upgraded => "upgraded",
            Self::BadRequest => "bad-request",
            Self::MethodRefused => "method-refused",
            Self::NoRoute => "no-route",
            Self::FunctionGone => "function-gone",
            Self::Paused => "paused",
            Self::QueueFull => "queue-full",
            Self::StartFailed => "start-failed",
            Self::Deadline => "deadline",
            Self::ResponseTimeout => "response-timeout",
            Self::UpstreamFailed => "upstream-failed",
            Self::Misdirected => "misdirected",
            Self::Starting => "starting",
            Self::ShuttingDown => "shutting-down",
            Self::ClientGone => "client-gone",
        }
    }

    /// The cause that [`Self::as_str`] names.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|cause| cause.as_str().as_bytes() == name)
    }

    /// Status of the answer that we make.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Answered | Self::Responded | Self::Probed | Self::Placeholder => StatusCode::OK,
            Self::Upgraded => StatusCode::SWITCHING_PROTOCOLS,
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Deadline | Self::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::UpstreamFailed => StatusCode::BAD_GATEWAY,
            Self::FunctionGone
            | Self::Paused
            | Self::QueueFull
            | Self::StartFailed
            | Self::Misdirected
            | Self::Starting
            | Self::ShuttingDown
            | Self::ClientGone => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Status code for gRPC callers, by the meaning that gRPC gives each code.
    pub(crate) const fn grpc_status(self) -> &'static str {
        match self {
            Self::QueueFull => "8",
            Self::Deadline | Self::ResponseTimeout => "4",
            Self::NoRoute | Self::MethodRefused => "12",
            Self::BadRequest => "13",
            _ => "14",
        }
    }

    /// What the answer says where nothing more is known.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::Answered
            | Self::Responded
            | Self::Probed
            | Self::Placeholder
            | Self::Upgraded => "",
            Self::BadRequest => "malformed request",
            Self::MethodRefused => "method not allowed",
            Self::NoRoute => "no function for this host and path",
            Self::FunctionGone => "the function was deleted",
            Self::Paused => "the function is paused",
            Self::QueueFull => "pending request queue full",
            Self::StartFailed => "the function could not start",
            // Knative's own words for both.
            Self::Deadline | Self::ResponseTimeout => "activator request timeout",
            Self::UpstreamFailed => "the function closed the connection",
            Self::Misdirected => "another activator serves this function",
            Self::Starting => "not ready yet",
            Self::ShuttingDown => "shutting down",
            Self::ClientGone => "client gone",
        }
    }
}
