//! The parameters of `mysql` triggers.

use crate::parameters::{Parameter, Place};
use crate::tls;

pub(super) const QUERY: Parameter =
    Parameter::text("query", "selects one row with one number").required();
pub(super) const QUERY_VALUE: Parameter =
    Parameter::number_above("queryValue", 0.0, "what one replica carries").required();
pub(super) const ACTIVATION_QUERY_VALUE: Parameter =
    Parameter::number("activationQueryValue", "active above this").default("0");
pub(super) const CONNECTION_STRING: Parameter = Parameter::text(
    "connectionString",
    "user:password@tcp(host:port)/database, by authentication or environment, instead of the fields below",
)
.from(Place::Either);
pub(super) const HOST: Parameter =
    Parameter::text("host", "name or address of the server").from(Place::Either);
pub(super) const PORT: Parameter =
    Parameter::integer("port", 1, "port of the server").from(Place::Either);
pub(super) const USERNAME: Parameter = Parameter::text("username", "who asks").from(Place::Either);
pub(super) const PASSWORD: Parameter =
    Parameter::text("password", "by authentication or environment").from(Place::Either);
pub(super) const DB_NAME: Parameter = Parameter::text("dbName", "the database").from(Place::Either);
pub(super) const TLS: Parameter = Parameter::choice(
    "tls",
    &["false", "preferred", "skip-verify", "true"],
    "whether TLS is used and the server's certificate verified; tls of a connectionString comes first",
)
.from(Place::Either)
.default("false");

/// Of `mysql`.
pub(super) const MYSQL: &[Parameter] = &[
    QUERY,
    QUERY_VALUE,
    ACTIVATION_QUERY_VALUE,
    CONNECTION_STRING,
    HOST,
    PORT,
    USERNAME,
    PASSWORD,
    DB_NAME,
    TLS,
    tls::CA,
    tls::CERT,
    tls::KEY,
];
