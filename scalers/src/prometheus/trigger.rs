//! A Prometheus trigger as its parameters declare it.

use std::fmt;
use std::time::Duration;

use zeron_core::policy::{Secret, TriggerSpec};
use zeron_core::roles::TriggerProblem;

use super::table;
use crate::http::auth::HttpAuth;
use crate::http::{Header, Url, parse_url, shown};
use crate::parameters::Parameters;

/// A server, and what is shown to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServerKey {
    /// Scheme, host and port.
    pub(super) shown: String,
    /// What requests show.
    pub(super) auth: HttpAuth,
}

/// A Prometheus trigger as its parameters declare it.
#[derive(Clone, Debug)]
pub(super) struct PrometheusTrigger {
    /// What is asked.
    pub(super) request: Request,
    /// What one replica carries.
    pub(super) threshold: f64,
    /// Active above this.
    pub(super) activation_threshold: f64,
    /// Whether nothing, NaN and infinite are zero.
    pub(super) is_null_zero: bool,
    /// Whether the server's words about the query may be repeated: a query of the environment may be secret.
    pub(super) is_query_shown: bool,
    /// Longest time for an answer.
    pub(super) timeout: Option<Duration>,
}

/// A request. Equal ones of one evaluation are asked once.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Request {
    /// With query and all parameters.
    pub(super) url: Url,
    /// Further headers.
    pub(super) headers: Vec<Header>,
}

/// Shows the server alone: the query, its parameters and the user of the URL may be secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", shown(&self.url))
    }
}

impl PrometheusTrigger {
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
        parameters.refuse(&table::AWS_REGION);
        parameters.accept(&table::IDENTITY_OWNER);
        let environment = &parameters.spec().from_environment;
        let is_query_shown = !environment.contains(table::QUERY.name);
        let trigger = Self {
            request: request(parameters)?,
            threshold: parameters.target(&table::THRESHOLD).unwrap_or(0.0),
            activation_threshold: parameters
                .number(&table::ACTIVATION_THRESHOLD)
                .unwrap_or(0.0),
            is_null_zero: parameters.flag(&table::IGNORE_NULL_VALUES),
            is_query_shown,
            timeout: parameters.duration(&table::TIMEOUT),
        };
        let server = ServerKey {
            shown: shown(&trigger.request.url),
            auth,
        };
        Some((server, trigger))
    }
}

/// The request; `None` where the address is no URL. Reads all its parameters all the same.
fn request(parameters: &mut Parameters<'_>) -> Option<Request> {
    let address = parameters.required(&table::SERVER_ADDRESS);
    let query = parameters.required(&table::QUERY);
    let namespace = parameters.text(&table::NAMESPACE);
    let further = parameters.pairs(&table::QUERY_PARAMETERS);
    let headers = parameters.pairs(&table::CUSTOM_HEADERS);
    if address.is_empty() {
        return None;
    }
    let mut url = match parse_url(address) {
        Ok(url) => url,
        Err(what) => {
            parameters.problem(&table::SERVER_ADDRESS, format!("serverAddress {what}"));
            return None;
        }
    };
    let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
    url.set_path(&path);
    {
        let mut pairs = url.query_pairs_mut();
        pairs.append_pair("query", query);
        if let Some(namespace) = namespace {
            pairs.append_pair("namespace", namespace);
        }
        pairs.extend_pairs(further);
    }
    let headers = headers.into_iter();
    Some(Request {
        url,
        headers: headers
            .map(|(name, value)| (name, Secret::new(value)))
            .collect(),
    })
}

#[cfg(test)]
mod tests;
