//! The parameters of `postgresql` triggers.

use crate::parameters::{Parameter, Place};
use crate::tls;

pub(super) const QUERY: Parameter =
    Parameter::text("query", "selects one row with one number").required();
pub(super) const TARGET_QUERY_VALUE: Parameter =
    Parameter::number_above("targetQueryValue", 0.0, "what one replica carries").required();
pub(super) const ACTIVATION_TARGET_QUERY_VALUE: Parameter =
    Parameter::number("activationTargetQueryValue", "active above this").default("0");
pub(super) const CONNECTION: Parameter = Parameter::text(
    "connection",
    "a URI or key=value pairs, by authentication or environment, instead of the fields below",
)
.from(Place::Either);
pub(super) const HOST: Parameter =
    Parameter::text("host", "name or address of the server").from(Place::Either);
pub(super) const PORT: Parameter =
    Parameter::integer("port", 1, "port of the server").from(Place::Either);
pub(super) const USER_NAME: Parameter = Parameter::text("userName", "who asks").from(Place::Either);
pub(super) const PASSWORD: Parameter =
    Parameter::text("password", "by authentication or environment").from(Place::Either);
pub(super) const DB_NAME: Parameter = Parameter::text("dbName", "the database").from(Place::Either);
pub(super) const SSLMODE: Parameter = Parameter::choice(
    "sslmode",
    &[
        "disable",
        "allow",
        "prefer",
        "require",
        "verify-ca",
        "verify-full",
    ],
    "whether TLS is used and what of the server's certificate is verified",
)
.from(Place::Either);
pub(super) const PUSH: Parameter = Parameter::flag(
    "push",
    "a NOTIFY on the channel counts as work at once and the query is asked",
);
pub(super) const CHANNEL: Parameter =
    Parameter::text("channel", "the channel of push, in its exact case");

/// Of `postgresql`.
pub(super) const POSTGRESQL: &[Parameter] = &[
    QUERY,
    TARGET_QUERY_VALUE,
    ACTIVATION_TARGET_QUERY_VALUE,
    CONNECTION,
    HOST,
    PORT,
    USER_NAME,
    PASSWORD,
    DB_NAME,
    SSLMODE,
    PUSH,
    CHANNEL,
    tls::CA,
    tls::CERT,
    tls::KEY,
];
