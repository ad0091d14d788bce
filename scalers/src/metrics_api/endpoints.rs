//! `aggregateFromKubeServiceEndpoints`: every ready endpoint of a Service is asked, and their values are one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::roles::BoxFuture;

use crate::http::Url;
use crate::source::unknown;

/// Most endpoints of one Service that are asked.
const MAX_ENDPOINTS: usize = 500;

/// Knows the endpoints of a cluster's Services.
pub trait EndpointLookup: Send + Sync + fmt::Debug {
    /// The ready ones, within `timeout`.
    fn ready<'a>(
        &'a self,
        service: &'a ServiceName,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Vec<ReadyEndpoint>, Unknown>>;
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// An endpoint that takes requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyEndpoint {
    /// Its address.
    pub address: IpAddr,
    /// The ports at which it serves the Service.
    pub ports: Vec<u16>,
}

/// How the values of all endpoints become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregation {
    Average,
    Sum,
    Max,
    Min,
}

/// Which endpoints are asked, and what of their values counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Aggregate {
    pub(super) service: ServiceName,
    pub(super) how: Aggregation,
}

impl ServiceName {
    /// Of the host `name.namespace` or `name.namespace.svc...`.
    pub(super) fn of(url: &Url) -> Option<Self> {
        let host = url.domain()?;
        let mut labels = host.split('.').filter(|label| !label.is_empty());
        let (name, namespace) = (labels.next()?, labels.next()?);
        let is_service = labels.next().is_none_or(|label| label == "svc");
        let is_label = |label: &str| {
            let mut bytes = label.bytes();
            bytes.all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
        };
        (is_service && is_label(name) && is_label(namespace)).then(|| Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl Aggregation {
    /// Of the word of `aggregationType`.
    pub(super) fn of(word: Option<&str>) -> Self {
        match word {
            Some("sum") => Self::Sum,
            Some("max") => Self::Max,
            Some("min") => Self::Min,
            _ => Self::Average,
        }
    }

    /// One value of all. One that is unknown makes it unknown: the rest is no sum, and no average.
    pub(super) fn join(
        self,
        values: impl Iterator<Item = Result<f64, Unknown>>,
    ) -> Result<f64, Unknown> {
        let values: Vec<f64> = values.collect::<Result<_, _>>()?;
        let sum = || values.iter().sum::<f64>();
        let joined = match self {
            Self::Sum => Some(sum()),
            Self::Average => u32::try_from(values.len())
                .ok()
                .map(|count| sum() / f64::from(count)),
            Self::Max => values.iter().copied().reduce(f64::max),
            Self::Min => values.iter().copied().reduce(f64::min),
        };
        joined
            .filter(|value| value.is_finite() && !values.is_empty())
            .ok_or_else(none_ready)
    }
}

fn none_ready() -> Unknown {
    unknown(UnknownKind::Missing, "the Service has no ready endpoint")
}

/// The URL at each endpoint: the same port where the endpoint serves it, else its only one.
///
/// # Errors
/// `Missing` where there is none, or one does not serve the port; `Configuration` where there are too many.
pub(super) fn urls(url: &Url, endpoints: &[ReadyEndpoint]) -> Result<Vec<Url>, Unknown> {
    if endpoints.is_empty() {
        return Err(none_ready());
    }
    if endpoints.len() > MAX_ENDPOINTS {
        let message = format!(
            "the Service has {} endpoints, at most {MAX_ENDPOINTS} are asked",
            endpoints.len()
        );
        return Err(unknown(UnknownKind::Configuration, message));
    }
    let wanted = url.port_or_known_default();
    endpoints.iter().map(|it| it.url(url, wanted)).collect()
}

impl ReadyEndpoint {
    fn url(&self, url: &Url, wanted: Option<u16>) -> Result<Url, Unknown> {
        let same = wanted.filter(|port| self.ports.contains(port));
        let port = same.or(match self.ports.as_slice() {
            [only] => Some(*only),
            _ => None,
        });
        let at = |port| {
            let mut own = url.clone();
            own.set_ip_host(self.address).ok()?;
            own.set_port(Some(port)).ok()?;
            Some(own)
        };
        port.and_then(at).ok_or_else(|| {
            let endpoint = SocketAddr::new(self.address, wanted.unwrap_or(0));
            let message = format!("the Service's endpoint {endpoint} is not among its ports");
            unknown(UnknownKind::Missing, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse_url;

    fn url(text: &str) -> Url {
        parse_url(text).unwrap()
    }

    fn endpoint(address: &str, ports: &[u16]) -> ReadyEndpoint {
        ReadyEndpoint {
            address: address.parse().unwrap(),
            ports: ports.to_vec(),
        }
    }

    #[test]
    fn a_service_is_named_by_the_host() {
        for host in [
            "stats.shop",
            "stats.shop.svc",
            "stats.shop.svc.cluster.local",
        ] {
            let service = ServiceName::of(&url(&format!("http://{host}:8080/x"))).unwrap();
            assert_eq!((&*service.name, &*service.namespace), ("stats", "shop"));
        }
        for host in ["stats", "10.96.0.1", "[::1]", "api.example.com", "a&b.shop"] {
            assert_eq!(
                ServiceName::of(&url(&format!("http://{host}/"))),
                None,
                "{host}"
            );
        }
    }

    #[test]
    fn values_are_joined_and_one_unknown_makes_all_unknown() {
        let joined = |how: Aggregation, values: &[f64]| how.join(values.iter().map(|it| Ok(*it)));
        let values = [3.0, 1.0, 8.0];
        assert_eq!(joined(Aggregation::Sum, &values), Ok(12.0));
        assert_eq!(joined(Aggregation::Average, &values), Ok(4.0));
        assert_eq!(joined(Aggregation::Max, &values), Ok(8.0));
        assert_eq!(joined(Aggregation::Min, &values), Ok(1.0));
        let down = unknown(UnknownKind::Transport, "down");
        for how in [
            Aggregation::Sum,
            Aggregation::Average,
            Aggregation::Max,
            Aggregation::Min,
        ] {
            let some = [Ok(1.0), Err(down.clone())].into_iter();
            assert_eq!(how.join(some), Err(down.clone()));
            let none = how.join(std::iter::empty()).unwrap_err();
            assert_eq!(none.kind, UnknownKind::Missing);
        }
    }

    #[test]
    fn endpoints_are_asked_at_the_urls_port_or_their_only_one() {
        let endpoints = [
            endpoint("10.0.0.1", &[9090, 8080]),
            endpoint("fd00::2", &[3000]),
        ];
        let found = urls(&url("http://stats.shop:8080/a?b=c"), &endpoints).unwrap();
        let found: Vec<_> = found.iter().map(Url::as_str).collect();
        assert_eq!(
            found,
            ["http://10.0.0.1:8080/a?b=c", "http://[fd00::2]:3000/a?b=c"]
        );
        let none = urls(&url("http://stats.shop/"), &endpoints).unwrap_err();
        assert_eq!(none.kind, UnknownKind::Missing);
        let empty = urls(&url("http://stats.shop/"), &[]).unwrap_err();
        assert_eq!(empty.kind, UnknownKind::Missing);
        let many = vec![endpoint("10.0.0.1", &[80]); MAX_ENDPOINTS + 1];
        let many = urls(&url("http://stats.shop/"), &many).unwrap_err();
        assert_eq!(many.kind, UnknownKind::Configuration);
    }
}
