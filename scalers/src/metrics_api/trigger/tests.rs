use super::*;
use crate::metrics_api::endpoints::Aggregation;

fn spec(metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> TriggerSpec {
    let needed = [
        ("url", "http://api.shop:8080/stats"),
        ("valueLocation", "queue.size"),
        ("targetValue", "5"),
    ];
    crate::testkit::spec("metrics-api", needed.iter().chain(metadata), auth)
}

fn good(metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> (ServerKey, MetricsApiTrigger) {
    let (parsed, problems) = MetricsApiTrigger::parse(&spec(metadata, auth));
    assert!(problems.is_empty(), "{problems:?}");
    parsed.unwrap()
}

#[test]
fn defaults_are_those_of_the_original() {
    let (server, trigger) = good(&[], &[]);
    assert_eq!(server.shown, "http://api.shop:8080");
    assert!(matches!(trigger.location, Location::Json(_)));
    assert_eq!((trigger.target, trigger.activation_target), (5.0, 0.0));
    assert_eq!(trigger.metric, "metric-api-queue-size");
}

#[test]
fn the_format_decides_what_a_location_is() {
    let (_, trigger) = good(&[("format", "xml")], &[]);
    assert!(matches!(trigger.location, Location::Xml(_)));
    let selector = [("format", "prometheus"), ("valueLocation", "up{a=\"b\"}")];
    let (_, trigger) = good(&selector, &[]);
    assert!(matches!(trigger.location, Location::Prometheus(_)));
}

#[test]
fn a_key_of_the_query_is_part_of_the_url_and_of_no_name() {
    let metadata = [("authMode", "apiKey"), ("method", "query")];
    let (server, trigger) = good(&metadata, &[("apiKey", "canary")]);
    assert!(trigger.url.as_str().ends_with("/stats?api_key=canary"));
    assert!(!server.shown.contains("canary"));
    assert!(!trigger.metric.contains("canary"));
}

#[test]
fn everything_wrong_is_said_at_once() {
    let spec = spec(
        &[
            ("url", "unix:/tmp/socket"),
            ("format", "prometheus"),
            ("valueLocation", "sum(up)"),
            ("targetValue", "-1"),
            ("aggregationType", "median"),
            ("authMode", "oauth"),
        ],
        &[],
    );
    let (parsed, problems) = MetricsApiTrigger::parse(&spec);
    assert!(parsed.is_none());
    let found: Vec<_> = problems.into_iter().map(|it| it.message).collect();
    for part in [
        "url",
        "valueLocation",
        "targetValue",
        "aggregationType",
        "authModes",
    ] {
        assert!(
            found.iter().any(|it| it.contains(part)),
            "{part}: {found:?}"
        );
    }
}

#[test]
fn endpoints_of_a_service_are_named_by_the_url() {
    let url = ("url", "http://stats.shop.svc:8080/x");
    let aggregated = [url, ("aggregateFromKubeServiceEndpoints", "true")];
    let (_, trigger) = good(&aggregated, &[]);
    let found = trigger.aggregate.unwrap();
    assert_eq!(found.how, Aggregation::Average);
    assert_eq!(
        (&*found.service.name, &*found.service.namespace),
        ("stats", "shop")
    );
    let sum = [aggregated[0], aggregated[1], ("aggregationType", "sum")];
    assert_eq!(good(&sum, &[]).1.aggregate.unwrap().how, Aggregation::Sum);
    assert!(good(&[url], &[]).1.aggregate.is_none());
    let outside = [
        ("url", "http://api.example.com/"),
        ("valueLocation", "a"),
        ("targetValue", "1"),
        ("aggregateFromKubeServiceEndpoints", "true"),
    ];
    let (parsed, problems) = MetricsApiTrigger::parse(&spec(&outside, &[]));
    assert!(parsed.is_none());
    assert!(
        problems[0].message.contains("service.namespace.svc"),
        "{problems:?}"
    );
}

#[test]
fn nothing_printed_of_a_trigger_shows_what_its_url_holds() {
    let url = ("url", "http://user:canary@api.shop:8080/stats");
    let key = [
        ("authMode", "apiKey"),
        ("method", "query"),
        ("apiKey", "canary"),
    ];
    let parsed = good(&[url], &key);
    assert!(parsed.1.url.as_str().contains("api_key=canary"));
    assert!(!format!("{parsed:?}").contains("canary"), "{parsed:?}");
}
