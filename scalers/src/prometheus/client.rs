//! Asks one server: every distinct query of an evaluation once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use zeron_core::metric::{Activity, MetricReading, Unknown, UnknownKind};
use zeron_core::roles::BoxFuture;

use super::answer::{self, Outcome};
use super::trigger::{PrometheusTrigger, Request};
use crate::AddressPolicy;
use crate::http::auth::HttpAuth;
use crate::http::{Answer, HttpClient, Tokens};
use crate::source::{Client, Readings, unknown};

/// One server with one set of credentials.
#[derive(Debug)]
pub(super) struct PrometheusClient {
    http: HttpClient,
    auth: HttpAuth,
    tokens: Tokens,
}

/// What the server said to a request.
#[derive(Clone, Debug)]
enum Said {
    /// What the query gave, or why it is not known.
    Outcome(Result<Outcome, Unknown>),
    /// The server understood the request and thinks that this is wrong with the query.
    Refused(String),
}

impl PrometheusClient {
    /// A client without a connection.
    pub(super) fn new(addresses: AddressPolicy, auth: &HttpAuth) -> Self {
        Self {
            http: HttpClient::new(addresses, &auth.tls),
            auth: auth.clone(),
            tokens: Tokens::default(),
        }
    }

    async fn ask(&self, request: &Request, timeout: Duration) -> Result<Said, Unknown> {
        let end = Instant::now() + timeout;
        let left = || end.saturating_duration_since(Instant::now());
        let mut headers = request.headers.clone();
        headers.extend(self.auth.headers.iter().cloned());
        if let Some(oauth) = &self.auth.oauth {
            headers.push(self.tokens.header(oauth, &self.http, left()).await?);
        }
        let basic = self.auth.basic.as_ref();
        let answer = self.http.get(&request.url, &headers, basic, left()).await?;
        if answer.status() == 401 && self.auth.oauth.is_some() {
            self.tokens.forget().await;
        }
        Ok(Said::of(answer))
    }
}

impl Said {
    fn of(answer: Answer) -> Self {
        let problem = match answer.status() {
            400 | 422 => answer::problem(answer.any_body()),
            _ => None,
        };
        match problem {
            Some(problem) => Self::Refused(problem),
            None => Self::Outcome(answer.body().and_then(|body| answer::read(&body))),
        }
    }

    /// What it means for `trigger`.
    fn reading(&self, trigger: &PrometheusTrigger) -> Readings {
        let outcome = match self {
            Self::Outcome(outcome) => outcome.as_ref().map_err(Unknown::clone)?,
            Self::Refused(problem) => {
                let message = match trigger.is_query_shown {
                    true => format!("the server refused the query: {problem}"),
                    false => "the server refused the query".to_owned(),
                };
                return Err(unknown(UnknownKind::Configuration, message));
            }
        };
        let value = outcome.value(trigger.is_null_zero)?;
        Ok(vec![MetricReading {
            metric: "prometheus".to_owned(),
            value,
            target: trigger.threshold,
            activity: Activity::Above {
                value,
                threshold: trigger.activation_threshold,
            },
        }])
    }
}

impl Client for PrometheusClient {
    type Trigger = PrometheusTrigger;

    fn read<'a>(
        &'a self,
        triggers: &'a [Arc<PrometheusTrigger>],
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<Readings>> {
        Box::pin(async move {
            let mut distinct: HashMap<(&Request, Duration), Option<Result<Said, Unknown>>> =
                HashMap::new();
            for trigger in triggers {
                distinct.insert(key(trigger, timeout), None);
            }
            let asked = distinct
                .iter_mut()
                .map(|((request, timeout), said)| async move {
                    *said = Some(self.ask(request, *timeout).await);
                });
            join_all(asked).await;
            triggers
                .iter()
                .map(|trigger| match &distinct[&key(trigger, timeout)] {
                    Some(Ok(said)) => said.reading(trigger),
                    Some(Err(reason)) => Err(reason.clone()),
                    None => Err(unknown(UnknownKind::NotRead, "the query was not asked")),
                })
                .collect()
        })
    }
}

/// What makes two triggers ask the same within the same time.
fn key(trigger: &PrometheusTrigger, timeout: Duration) -> (&Request, Duration) {
    let own = trigger.timeout.filter(|own| !own.is_zero());
    (
        &trigger.request,
        own.map_or(timeout, |own| own.min(timeout)),
    )
}
