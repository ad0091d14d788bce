//! The parameters of `nats-jetstream` triggers.

use crate::parameters::{Parameter, Place};

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
];
