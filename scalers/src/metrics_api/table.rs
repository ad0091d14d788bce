//! The parameters of `metrics-api` triggers.

use crate::http::auth;
use crate::parameters::Parameter;
use crate::tls;

pub(super) const URL: Parameter = Parameter::text("url", "what is fetched").required();
pub(super) const VALUE_LOCATION: Parameter = Parameter::text(
    "valueLocation",
    "where the value is: a gjson path, or for prometheus a selector such as name{label=\"value\"}",
)
.required();
pub(super) const FORMAT: Parameter = Parameter::choice(
    "format",
    &["json", "yaml", "xml", "prometheus"],
    "what the answer is",
)
.default("json");
pub(super) const TARGET_VALUE: Parameter =
    Parameter::number_above("targetValue", 0.0, "value that one replica carries").required();
pub(super) const ACTIVATION_TARGET_VALUE: Parameter =
    Parameter::number("activationTargetValue", "active above this value").default("0");
pub(super) const TIMEOUT: Parameter = Parameter::duration(
    "timeout",
    "longest time for an answer, within an evaluation's",
);
pub(super) const AGGREGATE: Parameter = Parameter::flag(
    "aggregateFromKubeServiceEndpoints",
    "every ready endpoint of the Service that the URL names is asked (Kubernetes)",
);
pub(super) const AGGREGATION_TYPE: Parameter = Parameter::choice(
    "aggregationType",
    &["average", "sum", "max", "min"],
    "what counts of their values",
)
.default("average");

/// Modes of authentication.
pub(super) const MODES: &[&str] = &["apiKey", "basic", "bearer", "tls"];

/// Of `metrics-api`.
pub(super) const METRICS_API: &[Parameter] = &[
    URL,
    VALUE_LOCATION,
    FORMAT,
    TARGET_VALUE,
    ACTIVATION_TARGET_VALUE,
    TIMEOUT,
    AGGREGATE,
    AGGREGATION_TYPE,
    auth::AUTH_MODES,
    auth::AUTH_MODE,
    auth::API_KEY,
    auth::METHOD,
    auth::KEY_PARAM_NAME,
    auth::USERNAME,
    auth::PASSWORD,
    auth::BEARER_TOKEN,
    auth::TOKEN,
    tls::UNSAFE_SSL,
    tls::CA,
    tls::CERT,
    tls::KEY,
];
