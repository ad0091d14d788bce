//! The parameters of `nats-jetstream` triggers.

use crate::parameters::{Parameter, Place};
use crate::tls;

pub(super) const ENDPOINT: Parameter = Parameter::text(
    "natsServerMonitoringEndpoint",
    "host and port of the monitoring endpoint",
)
.from(Place::Either)
.required();
pub(super) const ACCOUNT: Parameter = Parameter::text(
    "account",
    "name of the account; it or accountID is required",
)
.from(Place::Either);
pub(super) const ACCOUNT_ID: Parameter =
    Parameter::text("accountID", "id of the account, where it is not its name").from(Place::Either);
pub(super) const STREAM: Parameter = Parameter::text("stream", "the stream").required();
pub(super) const CONSUMER: Parameter =
    Parameter::text("consumer", "the consumer whose lag is measured").required();
pub(super) const LAG_THRESHOLD: Parameter =
    Parameter::integer("lagThreshold", 1, "lag that one replica carries").default("10");
pub(super) const ACTIVATION_LAG_THRESHOLD: Parameter =
    Parameter::integer("activationLagThreshold", 0, "active above this lag").default("0");
pub(super) const USE_HTTPS: Parameter =
    Parameter::flag("useHttps", "the monitoring endpoint is asked by HTTPS");
pub(super) const PUSH: Parameter = Parameter::flag(
    "push",
    "messages of subject are followed on a connection of their own and wake at once (not of KEDA)",
);
pub(super) const NATS_SERVER: Parameter = Parameter::text(
    "natsServer",
    "where push connects: nats://host:4222, or tls://host:4222",
)
.from(Place::Either);
pub(super) const SUBJECT: Parameter =
    Parameter::text("subject", "the subject of push; may have * and >");
pub(super) const USERNAME: Parameter = Parameter::secret("username", "user of push");
pub(super) const PASSWORD: Parameter = Parameter::secret("password", "password of push");
pub(super) const TOKEN: Parameter =
    Parameter::secret("token", "token of push, instead of username and password");

/// Of `nats-jetstream`.
pub(super) const NATS_JETSTREAM: &[Parameter] = &[
    ENDPOINT,
    ACCOUNT,
    ACCOUNT_ID,
    STREAM,
    CONSUMER,
    LAG_THRESHOLD,
    ACTIVATION_LAG_THRESHOLD,
    USE_HTTPS,
    PUSH,
    NATS_SERVER,
    SUBJECT,
    USERNAME,
    PASSWORD,
    TOKEN,
    tls::UNSAFE_SSL,
    tls::CA,
    tls::CERT,
    tls::KEY,
    tls::KEY_PASSWORD,
];
