//! Fetches from one server: every distinct URL of an evaluation once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use zeron_core::metric::{Activity, MetricReading, Unknown, UnknownKind};
use zeron_core::roles::BoxFuture;

use super::document::Document;
use super::endpoints::{Aggregate, EndpointLookup, urls};
use super::trigger::MetricsApiTrigger;
use crate::AddressPolicy;
use crate::http::auth::HttpAuth;
use crate::http::{HttpClient, Url};
use crate::source::{Client, Readings, unknown};

/// One server with one set of credentials.
#[derive(Debug)]
pub(super) struct MetricsApiClient {
    http: HttpClient,
    addresses: AddressPolicy,
    auth: HttpAuth,
    endpoints: Option<Arc<dyn EndpointLookup>>,
}

impl MetricsApiClient {
    /// A client without a connection.
    pub(super) fn new(
        addresses: AddressPolicy,
        auth: &HttpAuth,
        endpoints: Option<Arc<dyn EndpointLookup>>,
    ) -> Self {
        Self {
            http: HttpClient::new(addresses.clone(), &auth.tls),
            addresses,
            auth: auth.clone(),
            endpoints,
        }
    }

    /// One number per trigger, from the URL or from every endpoint of its Service.
    async fn numbers(
        &self,
        url: &Url,
        triggers: &[Arc<MetricsApiTrigger>],
        timeout: Duration,
    ) -> Vec<Result<f64, Unknown>> {
        let aggregate = triggers.first().and_then(|it| it.aggregate.as_ref());
        let Some(aggregate) = aggregate else {
            return self.fetch(url, triggers, timeout).await;
        };
        let end = Instant::now() + timeout;
        let urls = match self.endpoints(url, aggregate, timeout).await {
            Ok(urls) => urls,
            Err(reason) => return vec![Err(reason); triggers.len()],
        };
        let left = end.saturating_duration_since(Instant::now());
        let each = urls.iter().map(|url| self.fetch(url, triggers, left));
        let each = join_all(each).await;
        let of = |(index, trigger): (usize, &Arc<MetricsApiTrigger>)| {
            let how = trigger
                .aggregate
                .as_ref()
                .map_or(aggregate.how, |it| it.how);
            how.join(each.iter().map(|numbers| numbers[index].clone()))
        };
        triggers.iter().enumerate().map(of).collect()
    }

    async fn endpoints(
        &self,
        url: &Url,
        aggregate: &Aggregate,
        timeout: Duration,
    ) -> Result<Vec<Url>, Unknown> {
        let lookup = self.endpoints.as_ref().ok_or_else(elsewhere)?;
        // Before anything is read: also how many there are is that namespace's own matter.
        self.addresses
            .check_namespace(&aggregate.service.namespace)?;
        let found = lookup.ready(&aggregate.service, timeout).await?;
        urls(url, &found)
    }

    /// Fetches what `triggers` have in common; one number per trigger.
    async fn fetch(
        &self,
        url: &Url,
        triggers: &[Arc<MetricsApiTrigger>],
        timeout: Duration,
    ) -> Vec<Result<f64, Unknown>> {
        let end = Instant::now() + timeout;
        let (headers, basic) = (&self.auth.headers, self.auth.basic.as_ref());
        let answer = self.http.get(url, headers, basic, timeout).await;
        let numbers = match answer.and_then(crate::http::Answer::body) {
            Ok(body) => numbers(body, triggers.to_vec(), end).await,
            Err(reason) => Err(reason),
        };
        numbers.unwrap_or_else(|reason| vec![Err(reason); triggers.len()])
    }
}

/// Reads the numbers beside the runtime: a large answer, or a path that a tenant made up, may take a while.
async fn numbers(
    body: Vec<u8>,
    triggers: Vec<Arc<MetricsApiTrigger>>,
    end: Instant,
) -> Result<Vec<Result<f64, Unknown>>, Unknown> {
    let reading = spawn_blocking(move || {
        let document = Document::new(body);
        let triggers = triggers.iter();
        triggers.map(|it| document.number(&it.location)).collect()
    });
    match tokio::time::timeout_at(end, reading).await {
        Ok(Ok(numbers)) => Ok(numbers),
        Ok(Err(_)) => {
            let message = "the answer or valueLocation cannot be read";
            Err(unknown(UnknownKind::Parse, message))
        }
        Err(_) => {
            let message = "the answer could not be read in time";
            Err(unknown(UnknownKind::Timeout, message))
        }
    }
}

/// Why endpoints are not known on one machine.
pub(super) fn elsewhere() -> Unknown {
    let message =
        "aggregateFromKubeServiceEndpoints needs Kubernetes: a Service has no endpoints here";
    unknown(UnknownKind::Configuration, message)
}

fn reading(trigger: &MetricsApiTrigger, value: f64) -> MetricReading {
    MetricReading {
        metric: trigger.metric.clone(),
        value,
        target: trigger.target,
        activity: Activity::Above {
            value,
            threshold: trigger.activation_target,
        },
    }
}

impl Client for MetricsApiClient {
    type Trigger = MetricsApiTrigger;

    fn read<'a>(
        &'a self,
        triggers: &'a [Arc<MetricsApiTrigger>],
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<Readings>> {
        Box::pin(async move {
            let mut groups: HashMap<(&Url, Duration, bool), Vec<usize>> = HashMap::new();
            for (index, trigger) in triggers.iter().enumerate() {
                let own = trigger.timeout.filter(|own| !own.is_zero());
                let timeout = own.map_or(timeout, |own| own.min(timeout));
                groups
                    .entry((&trigger.url, timeout, trigger.aggregate.is_some()))
                    .or_default()
                    .push(index);
            }
            let fetched = groups
                .into_iter()
                .map(|((url, timeout, _), indices)| async move {
                    let members: Vec<_> = indices
                        .iter()
                        .map(|it| Arc::clone(&triggers[*it]))
                        .collect();
                    let numbers = self.numbers(url, &members, timeout).await;
                    indices.into_iter().zip(numbers).collect::<Vec<_>>()
                });
            let mut answers: Vec<_> = join_all(fetched).await.into_iter().flatten().collect();
            answers.sort_unstable_by_key(|(index, _)| *index);
            answers
                .into_iter()
                .zip(triggers)
                .map(|((_, number), trigger)| Ok(vec![reading(trigger, number?)]))
                .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::endpoints::{Aggregation, ReadyEndpoint, ServiceName};
    use super::*;
    use crate::address::{AddressOwners, Territory};
    use crate::http::parse_url;

    /// A cluster with one endpoint behind every Service.
    #[derive(Debug)]
    struct Cluster;

    impl EndpointLookup for Cluster {
        fn ready<'a>(
            &'a self,
            _: &'a ServiceName,
            _: Duration,
        ) -> BoxFuture<'a, Result<Vec<ReadyEndpoint>, Unknown>> {
            let address = IpAddr::from([10, 0, 0, 1]);
            let ports = vec![8080];
            Box::pin(async move { Ok(vec![ReadyEndpoint { address, ports }]) })
        }
    }

    impl AddressOwners for Cluster {
        fn namespaces_of(&self, _: IpAddr) -> Result<Vec<Arc<str>>, Unknown> {
            Err(unknown(UnknownKind::Transport, "nothing is known"))
        }
    }

    #[tokio::test]
    async fn endpoints_are_looked_up_in_namespaces_that_may_be_reached() {
        let shared = Arc::new(["stats".to_owned()].into());
        let territory = Territory::new("shop", shared, Arc::new(Cluster));
        let addresses = AddressPolicy::CLUSTER.on_behalf_of(territory);
        let lookup: Arc<dyn EndpointLookup> = Arc::new(Cluster);
        let client = MetricsApiClient::new(addresses, &HttpAuth::default(), Some(lookup));
        for (namespace, is_allowed) in [("shop", true), ("stats", true), ("mail", false)] {
            let url = parse_url(&format!("http://api.{namespace}:8080/")).unwrap();
            let aggregate = Aggregate {
                service: ServiceName::of(&url).unwrap(),
                how: Aggregation::Sum,
            };
            let found = client.endpoints(&url, &aggregate, Duration::MAX).await;
            let found = found.map(|urls| urls.len()).map_err(|reason| reason.kind);
            let expected = match is_allowed {
                true => Ok(1),
                false => Err(UnknownKind::Configuration),
            };
            assert_eq!(found, expected, "{namespace}");
        }
    }
}
