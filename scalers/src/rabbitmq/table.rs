//! The parameters of `rabbitmq` triggers.

use crate::parameters::{Parameter, Place};
use crate::tls;

pub(super) const HOST: Parameter = Parameter::text(
    "host",
    "amqp(s)://user:password@host:port/vhost, or http(s):// for the management API",
)
.from(Place::Either)
.required();
pub(super) const PROTOCOL: Parameter = Parameter::choice(
    "protocol",
    &["auto", "amqp", "http"],
    "how the server is asked; auto: what host begins with",
)
.from(Place::Either)
.default("auto");
pub(super) const VHOST_NAME: Parameter =
    Parameter::text("vhostName", "the virtual host instead of that of host").from(Place::Either);
pub(super) const QUEUE_NAME: Parameter =
    Parameter::text("queueName", "the queue, or with useRegex an expression").required();
pub(super) const MODE: Parameter = Parameter::choice(
    "mode",
    &[
        "QueueLength",
        "MessageRate",
        "DeliverGetRate",
        "PublishedToDeliveredRatio",
        "ExpectedQueueConsumptionTime",
    ],
    "what is measured; QueueLength with a value of 20 where neither is given",
);
pub(super) const VALUE: Parameter = Parameter::number_above(
    "value",
    0.0,
    "what one replica carries, in the unit of the mode",
);
pub(super) const ACTIVATION_VALUE: Parameter =
    Parameter::number_from("activationValue", 0.0, "active above this").default("0");
pub(super) const QUEUE_LENGTH: Parameter = Parameter::number_above(
    "queueLength",
    0.0,
    "deprecated: mode QueueLength with this value",
);
pub(super) const USE_REGEX: Parameter = Parameter::flag(
    "useRegex",
    "queueName is an expression for several queues (http)",
);
pub(super) const PAGE_SIZE: Parameter =
    Parameter::integer("pageSize", 1, "queues that an expression may match (http)").default("100");
pub(super) const OPERATION: Parameter = Parameter::choice(
    "operation",
    &["sum", "avg", "max"],
    "how the queues of an expression count together",
)
.default("sum");
pub(super) const EXCLUDE_UNACKNOWLEDGED: Parameter = Parameter::flag(
    "excludeUnacknowledged",
    "only messages that are ready count (http)",
);
pub(super) const TIMEOUT: Parameter = Parameter::duration(
    "timeout",
    "longest wait for an answer of the management API (http)",
);
pub(super) const USERNAME: Parameter = Parameter::text(
    "username",
    "user instead of that of host, also from the environment",
)
.from(Place::Either);
pub(super) const PASSWORD: Parameter = Parameter::text(
    "password",
    "password instead of that of host, also from the environment",
)
.from(Place::Either);
pub(super) const TLS: Parameter = Parameter::choice(
    "tls",
    &["enable", "disable"],
    "whether TLS is used is what host begins with; a mismatch is warned of",
)
.from(Place::Auth)
.default("disable");

/// Parameters of token providers, which are refused by name.
pub(super) const REFUSED: [Parameter; 6] = [
    Parameter::secret("oauthTokenURI", "refused: OAuth2 is not supported"),
    Parameter::secret("clientID", "refused: OAuth2 is not supported"),
    Parameter::secret("clientSecret", "refused: OAuth2 is not supported"),
    Parameter::secret("scopes", "refused: OAuth2 is not supported"),
    Parameter::secret("endpointParams", "refused: OAuth2 is not supported"),
    Parameter::secret(
        "workloadIdentityResource",
        "refused: Azure workload identity is not supported",
    ),
];

/// Of `rabbitmq`.
pub(super) const RABBITMQ: &[Parameter] = &[
    HOST,
    PROTOCOL,
    VHOST_NAME,
    QUEUE_NAME,
    MODE,
    VALUE,
    ACTIVATION_VALUE,
    QUEUE_LENGTH,
    USE_REGEX,
    PAGE_SIZE,
    OPERATION,
    EXCLUDE_UNACKNOWLEDGED,
    TIMEOUT,
    USERNAME,
    PASSWORD,
    TLS,
    tls::UNSAFE_SSL,
    tls::CA,
    tls::CERT,
    tls::KEY,
    tls::KEY_PASSWORD,
    REFUSED[0],
    REFUSED[1],
    REFUSED[2],
    REFUSED[3],
    REFUSED[4],
    REFUSED[5],
];
