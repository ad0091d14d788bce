//! A trigger of an HTTP API as its parameters declare it.

use std::fmt;
use std::time::Duration;

use zeron_core::policy::TriggerSpec;
use zeron_core::roles::TriggerProblem;

use super::endpoints::{Aggregate, Aggregation, ServiceName};
use super::location::Path;
use super::selector::Selector;
use super::table;
use crate::http::auth::HttpAuth;
use crate::http::{Url, parse_url, shown};
use crate::parameters::Parameters;

/// A server, and what is shown to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServerKey {
    /// Scheme, host and port.
    pub(super) shown: String,
    /// What requests show.
    pub(super) auth: HttpAuth,
}

/// What an answer is, and where the value is in it.
#[derive(Clone, Debug)]
pub(super) enum Location {
    /// JSON.
    Json(Path),
    /// YAML, as JSON.
    Yaml(Path),
    /// XML, as JSON.
    Xml(Path),
    /// Prometheus text.
    Prometheus(Selector),
}

/// A trigger of an HTTP API as its parameters declare it.
#[derive(Clone)]
pub(super) struct MetricsApiTrigger {
    /// What is fetched, with a key of the query.
    pub(super) url: Url,
    /// Where the value is.
    pub(super) location: Location,
    /// Of all endpoints of the Service that the URL names.
    pub(super) aggregate: Option<Aggregate>,
    /// What one replica carries.
    pub(super) target: f64,
    /// Active above this.
    pub(super) activation_target: f64,
    /// Longest time for an answer.
    pub(super) timeout: Option<Duration>,
    /// The metric's name.
    pub(super) metric: String,
}

/// Shows the server and the metric alone: the URL may hold a key, a user and a password.
impl fmt::Debug for MetricsApiTrigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsApiTrigger")
            .field("server", &shown(&self.url))
            .field("metric", &self.metric)
            .finish_non_exhaustive()
    }
}

impl MetricsApiTrigger {
    /// The trigger and its server, unless something is wrong, and everything that was noticed.
    pub(super) fn parse(spec: &TriggerSpec) -> (Option<(ServerKey, Self)>, Vec<TriggerProblem>) {
        let mut parameters = Parameters::new(spec);
        let trigger = Self::read(&mut parameters);
        let problems = parameters.finish();
        let is_valid = problems.iter().all(|problem| problem.is_warning);
        (trigger.filter(|_| is_valid), problems)
    }

    fn read(parameters: &mut Parameters<'_>) -> Option<(ServerKey, Self)> {
        let auth = HttpAuth::read(parameters, table::MODES);
        let target = parameters.target(&table::TARGET_VALUE).unwrap_or(0.0);
        let activation = parameters.number(&table::ACTIVATION_TARGET_VALUE);
        let timeout = parameters.duration(&table::TIMEOUT);
        let location = location(parameters);
        let is_aggregated = parameters.flag(&table::AGGREGATE);
        let how = Aggregation::of(parameters.choice(&table::AGGREGATION_TYPE));
        let url = url(parameters)?;
        let aggregate = match is_aggregated {
            true => Some(aggregate(parameters, &url, how)?),
            false => None,
        };
        let at = parameters.text(&table::VALUE_LOCATION).unwrap_or("");
        let trigger = Self {
            url: auth.complete(&url),
            location: location?,
            aggregate,
            target,
            activation_target: activation.unwrap_or(0.0),
            timeout,
            metric: format!("metric-api-{at}").replace(['/', '.', ':', '%', '(', ')'], "-"),
        };
        let server = ServerKey {
            shown: shown(&url),
            auth,
        };
        Some((server, trigger))
    }
}

fn url(parameters: &mut Parameters<'_>) -> Option<Url> {
    let text = parameters.required(&table::URL);
    if text.is_empty() {
        return None;
    }
    let url = parse_url(text);
    url.map_err(|what| parameters.problem(&table::URL, format!("url {what}")))
        .ok()
}

fn aggregate(parameters: &mut Parameters<'_>, url: &Url, how: Aggregation) -> Option<Aggregate> {
    let service = ServiceName::of(url);
    if service.is_none() {
        let message = "url: aggregateFromKubeServiceEndpoints needs the name of a Service, service.namespace.svc";
        parameters.problem(&table::URL, message);
    }
    service.map(|service| Aggregate { service, how })
}

fn location(parameters: &mut Parameters<'_>) -> Option<Location> {
    let text = parameters.required(&table::VALUE_LOCATION);
    let format = parameters.choice(&table::FORMAT);
    if text.is_empty() {
        return None;
    }
    let parsed = match format {
        Some("prometheus") => Selector::parse(text).map(Location::Prometheus),
        Some("yaml") => Path::parse(text).map(Location::Yaml),
        Some("xml") => Path::parse(text).map(Location::Xml),
        _ => Path::parse(text).map(Location::Json),
    };
    parsed
        .map_err(|what| {
            let message = format!("valueLocation {what}");
            parameters.problem(&table::VALUE_LOCATION, message);
        })
        .ok()
}

#[cfg(test)]
mod tests;
