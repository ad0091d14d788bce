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
use super::trigger::MetricsApiTrigger;
use crate::AddressPolicy;
use crate::http::auth::HttpAuth;
use crate::http::{HttpClient, Url};
use crate::source::{Client, Readings, unknown};

/// One server with one set of credentials.
#[derive(Debug)]
pub(super) struct MetricsApiClient {
    http: HttpClient,
    auth: HttpAuth,
}

impl MetricsApiClient {
    /// A client without a connection.
    pub(super) fn new(addresses: AddressPolicy, auth: &HttpAuth) -> Self {
        Self {
            http: HttpClient::new(addresses, &auth.tls),
            auth: auth.clone(),
        }
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
            let mut groups: HashMap<(&Url, Duration), Vec<usize>> = HashMap::new();
            for (index, trigger) in triggers.iter().enumerate() {
                let own = trigger.timeout.filter(|own| !own.is_zero());
                let timeout = own.map_or(timeout, |own| own.min(timeout));
                groups
                    .entry((&trigger.url, timeout))
                    .or_default()
                    .push(index);
            }
            let fetched = groups
                .into_iter()
                .map(|((url, timeout), indices)| async move {
                    let members: Vec<_> = indices
                        .iter()
                        .map(|it| Arc::clone(&triggers[*it]))
                        .collect();
                    let numbers = self.fetch(url, &members, timeout).await;
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
