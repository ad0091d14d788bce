use super::*;

fn spec(metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> TriggerSpec {
    let needed = [
        ("serverAddress", "http://prometheus:9090"),
        ("query", "sum(rate(http_requests_total[1m]))"),
        ("threshold", "100"),
    ];
    crate::testkit::spec("prometheus", needed.iter().chain(metadata), auth)
}

fn good(metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> (ServerKey, PrometheusTrigger) {
    let (parsed, problems) = PrometheusTrigger::parse(&spec(metadata, auth));
    assert!(problems.is_empty(), "{problems:?}");
    parsed.unwrap()
}

fn problems(metadata: &[(&str, &str)]) -> Vec<String> {
    let (parsed, problems) = PrometheusTrigger::parse(&spec(metadata, &[]));
    assert!(parsed.is_none(), "{metadata:?}");
    problems.into_iter().map(|it| it.message).collect()
}

#[test]
fn defaults_are_those_of_the_original() {
    let (server, trigger) = good(&[], &[]);
    assert_eq!(server.shown, "http://prometheus:9090");
    assert_eq!(server.auth, HttpAuth::default());
    assert_eq!(trigger.threshold, 100.0);
    assert_eq!(trigger.activation_threshold, 0.0);
    assert!(trigger.is_null_zero);
    assert_eq!(trigger.timeout, None);
}

#[test]
fn the_request_has_the_path_prefix_and_every_parameter_encoded() {
    let (_, trigger) = good(
        &[
            ("serverAddress", "https://host/select/0/prometheus/"),
            ("query", "a+b{c=\"d e\"}"),
            ("namespace", "team a"),
            ("queryParameters", "dedup=true, partial_response=a&b"),
            ("customHeaders", "X-Scope-OrgID=tenant"),
        ],
        &[],
    );
    assert_eq!(
        trigger.request.url.as_str(),
        "https://host/select/0/prometheus/api/v1/query?query=a%2Bb%7Bc%3D%22d+e%22%7D&namespace=team+a&dedup=true&partial_response=a%26b"
    );
    assert_eq!(trigger.request.headers[0].0, "X-Scope-OrgID");
}

#[test]
fn credentials_tell_servers_apart_and_queries_do_not() {
    let (plain, first) = good(&[], &[]);
    let (same, second) = good(&[("query", "up")], &[]);
    assert_eq!(plain, same);
    assert_ne!(first.request, second.request);
    let (other, _) = good(&[("authModes", "bearer")], &[("bearerToken", "t")]);
    assert_ne!(plain, other);
}

#[test]
fn everything_wrong_is_said_at_once() {
    let found = problems(&[
        ("serverAddress", "prometheus"),
        ("threshold", "0"),
        ("authModes", "apiKey"),
        ("awsRegion", "eu-west-1"),
    ]);
    for part in ["serverAddress", "threshold", "authModes", "SigV4"] {
        assert!(
            found.iter().any(|it| it.contains(part)),
            "{part}: {found:?}"
        );
    }
}

#[test]
fn a_query_of_the_environment_is_not_repeated() {
    let mut spec = spec(&[], &[]);
    spec.from_environment.insert("query".to_owned());
    let (_, trigger) = PrometheusTrigger::parse(&spec).0.unwrap();
    assert!(!trigger.is_query_shown);
}

#[test]
fn nothing_printed_of_a_trigger_shows_what_its_url_holds() {
    let address = ("serverAddress", "http://user:canary@prometheus:9090");
    let spec = spec(&[address, ("queryParameters", "key=canary")], &[]);
    let parsed = PrometheusTrigger::parse(&spec).0.unwrap();
    assert!(!format!("{parsed:?}").contains("canary"), "{parsed:?}");
}
