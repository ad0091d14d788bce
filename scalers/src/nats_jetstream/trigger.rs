//! A JetStream trigger as its parameters declare it.

use std::fmt;

use zeron_core::policy::TriggerSpec;
use zeron_core::roles::TriggerProblem;

use super::push::Pushed;
use super::table;
use crate::http::{Url, parse_url, shown};
use crate::parameters::Parameters;

/// An account of a server: what is read at once.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct AccountKey {
    /// Scheme, host and port of the monitoring endpoint.
    pub(super) endpoint: Url,
    /// The account's name, if given.
    pub(super) name: Option<String>,
    /// Its id, which may be its name.
    pub(super) id: String,
}

/// Shows the server alone: the endpoint may come from a Secret, with a user and a password.
impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountKey({})", shown(&self.endpoint))
    }
}

/// A JetStream trigger as its parameters declare it.
#[derive(Clone, Debug)]
pub(super) struct JetStreamTrigger {
    /// The stream.
    pub(super) stream: String,
    /// The consumer of the stream.
    pub(super) consumer: String,
    /// Lag that one replica carries.
    pub(super) threshold: u64,
    /// Active above this lag.
    pub(super) activation_threshold: u64,
    /// The metric's name.
    pub(super) metric: String,
    /// What is followed between two readings.
    pub(super) pushed: Option<Pushed>,
}

impl JetStreamTrigger {
    /// The trigger and its account, unless something is wrong, and everything that was noticed.
    pub(super) fn parse(spec: &TriggerSpec) -> (Option<(AccountKey, Self)>, Vec<TriggerProblem>) {
        let mut parameters = Parameters::new(spec);
        let trigger = Self::read(&mut parameters);
        let problems = parameters.finish();
        let is_valid = problems.iter().all(|problem| problem.is_warning);
        (trigger.filter(|_| is_valid), problems)
    }

    fn read(parameters: &mut Parameters<'_>) -> Option<(AccountKey, Self)> {
        let stream = parameters.required(&table::STREAM).to_owned();
        let trigger = Self {
            metric: format!("nats-jetstream-{stream}").replace(['/', '.', ':', '%', '(', ')'], "-"),
            stream,
            consumer: parameters.required(&table::CONSUMER).to_owned(),
            threshold: parameters.count(&table::LAG_THRESHOLD),
            activation_threshold: parameters.count(&table::ACTIVATION_LAG_THRESHOLD),
            pushed: Pushed::read(parameters),
        };
        let name = parameters.text(&table::ACCOUNT).map(str::to_owned);
        let id = parameters.text(&table::ACCOUNT_ID).map(str::to_owned);
        let id = id.or_else(|| name.clone());
        if id.is_none() {
            parameters.problem(&table::ACCOUNT, "account or accountID is required");
        }
        let account = AccountKey {
            endpoint: endpoint(parameters)?,
            name,
            id: id?,
        };
        Some((account, trigger))
    }
}

fn endpoint(parameters: &mut Parameters<'_>) -> Option<Url> {
    let scheme = match parameters.flag(&table::USE_HTTPS) {
        true => "https",
        false => "http",
    };
    let text = parameters.required(&table::ENDPOINT);
    if text.is_empty() {
        return None;
    }
    let url = parse_url(&format!("{scheme}://{text}")).ok();
    let url = url.filter(|it| it.path() == "/" && it.query().is_none());
    if url.is_none() {
        let message = "natsServerMonitoringEndpoint is no host and port";
        parameters.problem(&table::ENDPOINT, message);
    }
    url
}

#[cfg(test)]
mod tests {
    use zeron_core::policy::Secret;

    use super::*;

    fn spec(metadata: &[(&str, &str)]) -> TriggerSpec {
        let needed = [("stream", "orders"), ("consumer", "mailer")];
        crate::testkit::spec("nats-jetstream", needed.iter().chain(metadata), &[])
    }

    #[test]
    fn defaults_are_those_of_the_original() {
        let endpoint = ("natsServerMonitoringEndpoint", "nats.shop:8222");
        let (parsed, problems) = JetStreamTrigger::parse(&spec(&[endpoint, ("account", "$G")]));
        assert!(problems.is_empty(), "{problems:?}");
        let (account, trigger) = parsed.unwrap();
        assert_eq!(account.endpoint.as_str(), "http://nats.shop:8222/");
        assert_eq!(account.id, "$G");
        assert_eq!((trigger.threshold, trigger.activation_threshold), (10, 0));
        assert_eq!(trigger.metric, "nats-jetstream-orders");
    }

    #[test]
    fn an_id_goes_before_the_name_and_https_is_by_choice() {
        let metadata = [
            ("natsServerMonitoringEndpoint", "nats:8222"),
            ("account", "shop"),
            ("accountID", "ACX"),
            ("useHttps", "true"),
        ];
        let (account, _) = JetStreamTrigger::parse(&spec(&metadata)).0.unwrap();
        assert_eq!(account.id, "ACX");
        assert_eq!(account.name.as_deref(), Some("shop"));
        assert_eq!(account.endpoint.as_str(), "https://nats:8222/");
    }

    #[test]
    fn what_is_missing_or_no_endpoint_is_said() {
        let (parsed, problems) = JetStreamTrigger::parse(&spec(&[]));
        assert!(parsed.is_none());
        assert_eq!(problems.len(), 2, "{problems:?}");
        for endpoint in [
            "http://nats:8222",
            "nats:8222/jsz",
            "nats:port",
            "nats:8222?a=b",
        ] {
            let metadata = [
                ("natsServerMonitoringEndpoint", endpoint),
                ("account", "$G"),
            ];
            let (parsed, problems) = JetStreamTrigger::parse(&spec(&metadata));
            assert!(parsed.is_none(), "{endpoint}");
            assert!(
                problems[0].message.contains("host and port"),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn push_needs_a_server_and_a_subject() {
        let needed = [
            ("natsServerMonitoringEndpoint", "nats:8222"),
            ("account", "$G"),
        ];
        let with = |metadata: &[(&str, &str)]| {
            let all = [&needed[..], metadata].concat();
            JetStreamTrigger::parse(&spec(&all))
        };
        let pushed = |metadata: &[(&str, &str)]| with(metadata).0.unwrap().1.pushed;
        let server = ("natsServer", "tls://nats.shop");
        let subject = ("subject", "orders.>");
        assert!(pushed(&[("push", "true"), server, subject]).is_some());
        assert_eq!(pushed(&[("push", "false")]), None);
        let (parsed, problems) = with(&[server, subject]);
        assert_eq!(parsed.unwrap().1.pushed, None);
        assert!(problems.iter().all(|it| it.is_warning) && problems.len() == 2);
        for (metadata, parameter) in [
            (vec![("push", "true"), subject], "natsServer"),
            (vec![("push", "true"), server], "subject"),
            (
                vec![("push", "true"), server, ("subject", "a b")],
                "subject",
            ),
            (
                vec![
                    ("push", "true"),
                    ("natsServer", "nats://me:hunter2@nats"),
                    subject,
                ],
                "natsServer",
            ),
        ] {
            let (parsed, problems) = with(&metadata);
            assert!(parsed.is_none(), "{metadata:?}");
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].parameter.as_deref(), Some(parameter));
            assert!(!problems[0].message.contains("hunter2"));
        }
        let mut of_auth = spec(&[&needed[..], &[("push", "true"), server, subject]].concat());
        of_auth
            .auth
            .insert("username".to_owned(), Secret::new("me"));
        let problems = JetStreamTrigger::parse(&of_auth).1;
        assert_eq!(problems[0].parameter.as_deref(), Some("username"));
    }
}
