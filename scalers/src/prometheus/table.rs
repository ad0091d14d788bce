//! The parameters of `prometheus` triggers.

use crate::http::auth;
use crate::parameters::{Parameter, Place};
use crate::tls;

pub(super) const SERVER_ADDRESS: Parameter = Parameter::text(
    "serverAddress",
    "URL of the server, also with a path before /api/v1/query",
)
.required();
pub(super) const QUERY: Parameter =
    Parameter::text("query", "PromQL that gives one element, or a scalar").required();
pub(super) const THRESHOLD: Parameter =
    Parameter::number_above("threshold", 0.0, "value that one replica carries").required();
pub(super) const ACTIVATION_THRESHOLD: Parameter =
    Parameter::number("activationThreshold", "active above this value").default("0");
pub(super) const NAMESPACE: Parameter = Parameter::text(
    "namespace",
    "parameter `namespace` of the request, for proxies of many tenants",
);
pub(super) const CUSTOM_HEADERS: Parameter =
    Parameter::pairs("customHeaders", "further headers of the request");
pub(super) const QUERY_PARAMETERS: Parameter =
    Parameter::pairs("queryParameters", "further parameters of the request");
pub(super) const IGNORE_NULL_VALUES: Parameter = Parameter::flag(
    "ignoreNullValues",
    "no element, NaN and infinite count as 0; else they are unknown",
)
.default("true");
pub(super) const TIMEOUT: Parameter = Parameter::duration(
    "timeout",
    "longest time for an answer, within an evaluation's",
);
pub(super) const AWS_REGION: Parameter = Parameter::text(
    "awsRegion",
    "refused: identities of AWS (SigV4) are not built in",
)
.from(Place::Either);
pub(super) const IDENTITY_OWNER: Parameter =
    Parameter::text("identityOwner", "of AWS identities, which are not built in").ignored();

/// Modes of authentication.
pub(super) const MODES: &[&str] = &["basic", "bearer", "tls", "custom", "oauth"];

/// Of `prometheus`.
pub(super) const PROMETHEUS: &[Parameter] = &[
    SERVER_ADDRESS,
    QUERY,
    THRESHOLD,
    ACTIVATION_THRESHOLD,
    NAMESPACE,
    CUSTOM_HEADERS,
    QUERY_PARAMETERS,
    IGNORE_NULL_VALUES,
    TIMEOUT,
    AWS_REGION,
    IDENTITY_OWNER,
    auth::AUTH_MODES,
    auth::AUTH_MODE,
    auth::USERNAME,
    auth::PASSWORD,
    auth::BEARER_TOKEN,
    auth::TOKEN,
    auth::CUSTOM_AUTH_HEADER,
    auth::CUSTOM_AUTH_VALUE,
    auth::OAUTH_TOKEN_URI,
    auth::SCOPES,
    auth::SCOPE,
    auth::CLIENT_ID,
    auth::CLIENT_SECRET,
    auth::ENDPOINT_PARAMS,
    tls::UNSAFE_SSL,
    tls::CA,
    tls::CERT,
    tls::KEY,
];
