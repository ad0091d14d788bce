use super::*;

pub(crate) fn spec(kind: &str, metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> TriggerSpec {
    let base = [
        ("bootstrapServers", "a:9092, b:9092"),
        ("consumerGroup", "billing"),
    ];
    crate::testkit::spec(kind, base.iter().chain(metadata), auth)
}

fn kafka(metadata: &[(&str, &str)]) -> KafkaTrigger {
    let (trigger, problems) = KafkaTrigger::parse(&spec("kafka", metadata, &[]));
    assert_eq!(problems, []);
    trigger.unwrap()
}

fn first_problem(kind: &str, metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> String {
    let (trigger, problems) = KafkaTrigger::parse(&spec(kind, metadata, auth));
    assert!(trigger.is_none());
    problems
        .into_iter()
        .find(|problem| !problem.is_warning)
        .unwrap()
        .message
}

#[test]
fn defaults_are_those_of_keda() {
    let trigger = kafka(&[("topic", "orders")]);
    assert_eq!(trigger.source.servers, "a:9092,b:9092");
    assert_eq!(trigger.rules.threshold, 10);
    assert_eq!(trigger.activation_threshold, 0);
    assert_eq!(trigger.rules.reset, OffsetReset::Latest);
    assert!(!trigger.rules.is_idle_allowed);
    assert_eq!(trigger.partitions, None);
}

#[test]
fn metric_is_named_after_topic_or_group() {
    assert_eq!(
        kafka(&[("topic", "shop.orders")]).metric,
        "kafka-shop-orders"
    );
    assert_eq!(kafka(&[]).metric, "kafka-billing-topics");
}

#[test]
fn several_topics_are_a_list_for_apache_kafka_alone() {
    let topics = [("topic", "a, b")];
    let (trigger, _) = KafkaTrigger::parse(&spec("apache-kafka", &topics, &[]));
    assert_eq!(trigger.unwrap().topics, ["a", "b"]);
    assert_eq!(kafka(&topics).topics, ["a, b"]);
}

#[test]
fn accepted_parameters_are_not_unexpected() {
    kafka(&[
        ("version", "2.5.0"),
        ("fullMetadata", "false"),
        ("topic", "a"),
    ]);
}

#[test]
fn partition_limit_without_topic_is_ignored() {
    assert_eq!(kafka(&[("partitionLimitation", "1-3")]).partitions, None);
}

#[test]
fn partition_limits_of_more_numbers_than_memory_should_hold_are_refused() {
    let ranges: Vec<_> = (0..40)
        .map(|it| format!("{}-{}", it * 90_000, it * 90_000 + 89_999))
        .collect();
    let given = [("topic", "a"), ("partitionLimitation", &*ranges.join(","))];
    assert!(first_problem("kafka", &given, &[]).contains("partitionLimitation"));
}

#[test]
fn limit_to_lagging_partitions_has_conditions() {
    let limit = ("limitToPartitionsWithLag", "true");
    let even = ("ensureEvenDistributionOfPartitions", "true");
    assert!(first_problem("kafka", &[limit], &[]).contains("needs topic"));
    let idle = [limit, ("topic", "a"), ("allowIdleConsumers", "true")];
    assert!(first_problem("kafka", &idle, &[]).contains("allowIdleConsumers"));
    let both = [limit, even, ("topic", "a")];
    assert!(first_problem("kafka", &both, &[]).contains("exclude each other"));
    assert!(
        KafkaTrigger::parse(&spec("apache-kafka", &both, &[]))
            .0
            .is_some()
    );
}

#[test]
fn zero_threshold_is_refused() {
    let message = first_problem("kafka", &[("lagThreshold", "0")], &[]);
    assert_eq!(
        message,
        "lagThreshold: \"0\" is not allowed, expected a whole number from 1"
    );
}

#[test]
fn missing_group_and_servers_are_both_named() {
    let mut spec = spec("kafka", &[], &[]);
    spec.metadata.clear();
    let (_, problems) = KafkaTrigger::parse(&spec);
    let names: Vec<_> = problems
        .iter()
        .filter_map(|p| p.parameter.as_deref())
        .collect();
    assert_eq!(names, ["consumerGroup", "bootstrapServers"]);
}

#[test]
fn sasl_needs_user_and_password() {
    let message = first_problem("kafka", &[("sasl", "plaintext")], &[]);
    assert_eq!(message, "username is required");
}

#[test]
fn mechanism_that_is_not_built_in_names_those_that_are() {
    let message = first_problem("kafka", &[("sasl", "gssapi")], &[]);
    assert!(
        message.contains("\"gssapi\"") && message.contains("scram_sha512"),
        "{message}"
    );
}

#[test]
fn all_that_a_refused_mechanism_needs_is_named_at_once_and_not_shown() {
    let named = |kind: &str, metadata: &[(&str, &str)], auth: &[(&str, &str)]| {
        let (trigger, problems) = KafkaTrigger::parse(&spec(kind, metadata, auth));
        assert!(trigger.is_none());
        assert!(!format!("{problems:?}").contains("canary"));
        let names = problems.into_iter().filter(|it| !it.is_warning);
        names.filter_map(|it| it.parameter).collect::<Vec<_>>()
    };
    let kerberos = [
        ("sasl", "gssapi"),
        ("username", "canary"),
        ("keytab", "canary"),
        ("realm", "canary"),
        ("kerberosConfig", "canary"),
    ];
    let names = ["keytab", "realm", "kerberosConfig", "sasl"];
    assert_eq!(named("kafka", &[], &kerberos), names);
    let tokens = [
        ("oauthTokenEndpointUri", "canary"),
        ("scopes", "canary"),
        ("oauthExtensions", "canary"),
    ];
    let amazon = [("saslTokenProvider", "aws_msk_iam"), ("awsRegion", "eu")];
    let oauth = [&amazon[..], &[("sasl", "oauthbearer")]].concat();
    assert_eq!(
        named("kafka", &oauth, &tokens),
        [
            "saslTokenProvider",
            "scopes",
            "oauthTokenEndpointUri",
            "oauthExtensions",
            "awsRegion",
            "sasl"
        ]
    );
    let msk = [("sasl", "aws_msk_iam"), ("awsRegion", "eu")];
    assert_eq!(named("apache-kafka", &msk, &[]), ["awsRegion", "sasl"]);
    // Beside a mechanism that is built in they have no effect.
    kafka(&amazon);
}

#[test]
fn certificate_without_key_is_refused() {
    let message = first_problem("kafka", &[("tls", "enable")], &[("key", "PEM")]);
    assert_eq!(message, "key needs cert");
}

#[test]
fn address_that_is_none_is_refused() {
    let mut spec = spec("kafka", &[], &[]);
    let servers = "a:9092,b:port".to_owned();
    spec.metadata.insert("bootstrapServers".to_owned(), servers);
    let (trigger, problems) = KafkaTrigger::parse(&spec);
    assert!(trigger.is_none());
    assert_eq!(problems[0].message, "\"b:port\" is not HOST:PORT");
}

#[test]
fn group_that_no_broker_takes_is_refused() {
    let group = "g".repeat(MAX_GROUP + 1);
    let message = first_problem("kafka", &[("consumerGroup", &group)], &[]);
    assert!(message.starts_with("longer than 32767 bytes"), "{message}");
}

#[test]
fn equal_credentials_share_a_source_and_others_do_not() {
    let auth = [("sasl", "plaintext"), ("username", "u"), ("password", "p")];
    let other = [("sasl", "plaintext"), ("username", "u"), ("password", "q")];
    let source = |auth: &[(&str, &str)]| {
        KafkaTrigger::parse(&spec("kafka", &[("topic", "a")], auth))
            .0
            .unwrap()
            .source
    };
    assert_eq!(source(&auth), source(&auth));
    assert_ne!(source(&auth), source(&other));
}
