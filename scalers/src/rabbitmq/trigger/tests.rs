use super::*;

fn spec(metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> TriggerSpec {
    crate::testkit::spec("rabbitmq", metadata, auth)
}

fn with<'a>(host: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let base = [("host", host), ("queueName", "orders")];
    base.iter().chain(more).copied().collect()
}

fn amqp(more: &[(&str, &str)]) -> RabbitTrigger {
    parsed(&spec(&with("amqp://u:p@rabbit/v", more), &[]))
}

fn http(more: &[(&str, &str)]) -> RabbitTrigger {
    parsed(&spec(&with("http://u:p@rabbit/v", more), &[]))
}

fn parsed(spec: &TriggerSpec) -> RabbitTrigger {
    let (trigger, problems) = RabbitTrigger::parse(spec);
    let errors: Vec<_> = problems.iter().filter(|it| !it.is_warning).collect();
    assert!(errors.is_empty(), "{errors:?}");
    trigger.unwrap()
}

/// What is refused: its parameter, and the words.
fn refused(spec: &TriggerSpec) -> (String, String) {
    let (trigger, problems) = RabbitTrigger::parse(spec);
    assert!(trigger.is_none(), "{problems:?}");
    let first = problems.into_iter().find(|it| !it.is_warning).unwrap();
    (first.parameter.unwrap(), first.message)
}

fn warnings(spec: &TriggerSpec) -> Vec<String> {
    let (trigger, problems) = RabbitTrigger::parse(spec);
    assert!(trigger.is_some(), "{problems:?}");
    problems.into_iter().map(|it| it.message).collect()
}

fn user_and_password(login: &Login) -> (&str, &str) {
    match login {
        Login::Password { user, password } => (user.expose(), password.expose()),
        Login::Anonymous => ("", ""),
        Login::Certificate => panic!("a certificate"),
    }
}

#[test]
fn defaults_are_those_of_keda() {
    let trigger = amqp(&[]);
    assert_eq!(trigger.mode, Mode::QueueLength);
    assert_eq!((trigger.value, trigger.activation), (20.0, 0.0));
    assert_eq!(trigger.target, Target::Queue("orders".to_owned()));
    assert_eq!(trigger.timeout, None);
    assert!(!trigger.is_ready_only);
    let expression = http(&[("useRegex", "true")]).target;
    let expected = Target::Expression {
        expression: "orders".to_owned(),
        page_size: 100,
        operation: Operation::Sum,
    };
    assert_eq!(expression, expected);
}

#[test]
fn mode_and_value_go_together() {
    let rate = http(&[("mode", "MessageRate"), ("value", "1.5")]);
    assert_eq!((rate.mode, rate.value), (Mode::MessageRate, 1.5));
    let (parameter, _) = refused(&spec(&with("http://a", &[("mode", "QueueLength")]), &[]));
    assert_eq!(parameter, "value");
    let (parameter, _) = refused(&spec(&with("http://a", &[("value", "5")]), &[]));
    assert_eq!(parameter, "mode");
    let wrong = [("mode", "Length"), ("value", "5")];
    assert_eq!(refused(&spec(&with("http://a", &wrong), &[])).0, "mode");
    let zero = [("mode", "QueueLength"), ("value", "0")];
    assert_eq!(refused(&spec(&with("http://a", &zero), &[])).0, "value");
}

#[test]
fn deprecated_queue_length_stands_for_mode_and_value() {
    let length = spec(&with("amqp://a", &[("queueLength", "7")]), &[]);
    assert_eq!(parsed(&length).value, 7.0);
    assert!(warnings(&length)[0].contains("deprecated"));
    for more in [("mode", "QueueLength"), ("value", "7")] {
        let both = with("amqp://a", &[("queueLength", "7"), more]);
        assert_eq!(refused(&spec(&both, &[])).0, "queueLength");
    }
}

#[test]
fn what_only_the_management_api_can_do_is_refused_over_amqp() {
    for (parameter, more) in [
        ("mode", vec![("mode", "MessageRate"), ("value", "1")]),
        ("mode", vec![("mode", "DeliverGetRate"), ("value", "1")]),
        (
            "mode",
            vec![("mode", "PublishedToDeliveredRatio"), ("value", "1")],
        ),
        (
            "mode",
            vec![("mode", "ExpectedQueueConsumptionTime"), ("value", "1")],
        ),
        (
            "excludeUnacknowledged",
            vec![("excludeUnacknowledged", "true")],
        ),
        ("useRegex", vec![("useRegex", "true")]),
        ("timeout", vec![("timeout", "1s")]),
    ] {
        let (found, message) = refused(&spec(&with("amqp://a", &more), &[]));
        assert_eq!(found, parameter);
        assert!(message.contains("management API"), "{message}");
        http(&more);
    }
    amqp(&[("mode", "QueueLength"), ("value", "1")]);
    amqp(&[("useRegex", "false"), ("excludeUnacknowledged", "false")]);
}

#[test]
fn protocol_must_fit_the_host() {
    for (host, protocol) in [("amqp://a", "http"), ("https://a", "amqp")] {
        let (parameter, message) = refused(&spec(&with(host, &[("protocol", protocol)]), &[]));
        assert_eq!(parameter, "protocol");
        assert!(message.contains("begins with"), "{message}");
    }
    assert_eq!(
        amqp(&[("protocol", "amqp")]).source.protocol,
        Protocol::Amqp
    );
    assert_eq!(
        http(&[("protocol", "auto")]).source.protocol,
        Protocol::Http
    );
}

#[test]
fn host_is_required_and_never_repeated() {
    let (parameter, message) = refused(&spec(&[("queueName", "orders")], &[]));
    assert_eq!(
        (parameter.as_str(), message.as_str()),
        ("host", "host is required")
    );
    let (parameter, message) = refused(&spec(&with("ftp://canary:canary@a", &[]), &[]));
    assert_eq!(parameter, "host");
    assert!(!message.contains("canary"), "{message}");
    assert_eq!(refused(&spec(&[("host", "amqp://a")], &[])).0, "queueName");
}

#[test]
fn host_may_come_from_the_authentication_or_the_environment() {
    let from_auth = spec(
        &[("queueName", "orders")],
        &[("host", "amqp://u:p@rabbit/v")],
    );
    assert_eq!(parsed(&from_auth).source, amqp(&[]).source);
    let mut from_environment = spec(&with("amqp://u:p@rabbit/v", &[]), &[]);
    from_environment.from_environment.insert("host".to_owned());
    assert_eq!(parsed(&from_environment).source, amqp(&[]).source);
}

#[test]
fn credentials_are_those_beside_the_uri_else_those_in_it() {
    assert_eq!(user_and_password(&amqp(&[]).source.login), ("u", "p"));
    let auth = [("username", "x"), ("password", "y")];
    let beside = parsed(&spec(&with("amqp://u:p@rabbit/v", &[]), &auth));
    assert_eq!(user_and_password(&beside.source.login), ("x", "y"));
    let guest = parsed(&spec(&with("amqp://rabbit", &[]), &[]));
    assert_eq!(user_and_password(&guest.source.login), ("guest", "guest"));
    let nobody = parsed(&spec(&with("http://rabbit", &[]), &[]));
    assert_eq!(nobody.source.login, Login::Anonymous);
    for auth in [("username", "x"), ("password", "y")] {
        let (_, message) = refused(&spec(&with("amqp://a", &[]), &[auth]));
        assert!(message.contains("together"), "{message}");
    }
}

#[test]
fn credentials_are_taken_from_the_environment_and_not_from_the_manifest() {
    let given = [("username", "x"), ("password", "y")];
    let mut literal = spec(&with("amqp://a", &given), &[]);
    let (parameter, message) = refused(&literal);
    assert_eq!(parameter, "username");
    assert!(message.contains("usernameFromEnv"), "{message}");
    literal.from_environment = ["username", "password"].map(str::to_owned).into();
    assert_eq!(
        user_and_password(&parsed(&literal).source.login),
        ("x", "y")
    );
}

#[test]
fn token_providers_are_refused_by_name() {
    for name in [
        "oauthTokenURI",
        "clientID",
        "clientSecret",
        "workloadIdentityResource",
    ] {
        let (parameter, message) = refused(&spec(&with("http://a", &[]), &[(name, "canary")]));
        assert_eq!(parameter, name);
        assert!(message.contains("not supported"), "{message}");
        assert!(!message.contains("canary"), "{message}");
    }
}

#[test]
fn certificate_without_password_is_the_login() {
    let pair = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
    let (cert, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    let certificate = [("cert", cert.as_str()), ("key", key.as_str())];
    let external = parsed(&spec(&with("amqps://rabbit/v", &[]), &certificate));
    assert_eq!(external.source.login, Login::Certificate);
    let both = parsed(&spec(&with("amqps://u:p@rabbit/v", &[]), &certificate));
    assert_eq!(user_and_password(&both.source.login), ("u", "p"));
    let asked = "amqps://u:p@rabbit/v?auth_mechanism=external";
    let asked_for = parsed(&spec(&with(asked, &[]), &certificate));
    assert_eq!(asked_for.source.login, Login::Certificate);
    let (parameter, _) = refused(&spec(&with(asked, &[]), &[]));
    assert_eq!(parameter, "cert");
    let over_http = parsed(&spec(&with("https://rabbit/v", &[]), &certificate));
    assert_eq!(over_http.source.login, Login::Anonymous);
}

#[test]
fn tls_is_what_the_host_says() {
    assert_eq!(amqp(&[]).source.tls, None);
    let tls = parsed(&spec(
        &with("amqps://u:p@rabbit/v", &[("unsafeSsl", "true")]),
        &[],
    ));
    assert!(tls.source.tls.unwrap().is_unverified);
    let without = spec(&with("amqp://a", &[]), &[("tls", "enable")]);
    assert!(warnings(&without)[0].contains("without effect"));
    let (parameter, _) = refused(&spec(&with("amqps://a", &[]), &[("cert", "x")]));
    assert!(["cert", "key"].contains(&parameter.as_str()), "{parameter}");
    let (parameter, _) = refused(&spec(&with("amqps://a", &[]), &[("tls", "on")]));
    assert_eq!(parameter, "tls");
}

#[test]
fn virtual_host_beside_the_uri_wins_and_is_part_of_an_amqp_connection() {
    let trigger = amqp(&[("vhostName", "w")]);
    assert_eq!(trigger.vhost, "w");
    assert_ne!(trigger.source, amqp(&[]).source);
    let trigger = http(&[("vhostName", "w")]);
    assert_eq!(trigger.vhost, "w");
    assert_eq!(trigger.source, http(&[]).source);
}

#[test]
fn pages_hold_at_least_one_queue_and_large_ones_are_warned_of() {
    let (parameter, _) = refused(&spec(&with("http://a", &[("pageSize", "0")]), &[]));
    assert_eq!(parameter, "pageSize");
    let large = spec(
        &with("http://a", &[("useRegex", "true"), ("pageSize", "501")]),
        &[],
    );
    assert!(warnings(&large)[0].contains("500"));
    let (parameter, _) = refused(&spec(&with("http://a", &[("operation", "min")]), &[]));
    assert_eq!(parameter, "operation");
    let (parameter, _) = refused(&spec(&with("http://a", &[("timeout", "0")]), &[]));
    assert_eq!(parameter, "timeout");
}

#[test]
fn name_of_a_queue_fits_into_amqp() {
    let long = "q".repeat(256);
    let metadata = [("host", "amqp://a"), ("queueName", long.as_str())];
    assert_eq!(refused(&spec(&metadata, &[])).0, "queueName");
    let metadata = [("host", "http://a"), ("queueName", long.as_str())];
    parsed(&spec(&metadata, &[]));
}

#[test]
fn metric_is_named_as_in_keda() {
    assert_eq!(metric_name("orders"), "rabbitmq-orders");
    assert_eq!(metric_name("a/b.c d"), "rabbitmq-a-2Fb-c+d");
    assert_eq!(metric_name("^a.*"), "rabbitmq--5Ea--2A");
}

#[test]
fn a_reading_carries_metric_value_and_target() {
    let trigger = amqp(&[
        ("mode", "QueueLength"),
        ("value", "4"),
        ("activationValue", "3"),
    ]);
    let figures = Figures {
        messages: 3.0,
        ..Figures::default()
    };
    let reading = trigger.reading(&figures);
    assert_eq!(reading.metric, "rabbitmq-orders");
    assert_eq!((reading.value, reading.target), (3.0, 4.0));
    assert!(!reading.activity.is_active());
}

#[test]
fn nothing_shows_a_credential() {
    let spec = spec(
        &with("amqps://canary:canary@rabbit/v", &[]),
        &[("username", "canary"), ("password", "canary")],
    );
    let shown = format!("{:?}", parsed(&spec));
    assert!(!shown.contains("canary"), "{shown}");
}
