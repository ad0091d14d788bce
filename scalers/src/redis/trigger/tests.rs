use zeron_core::policy::Secret;

use super::super::key::{Host, Servers};
use super::*;
use crate::testkit::spec;

fn parse(kind: &str, metadata: &[(&str, &str)]) -> RedisTrigger {
    let (trigger, problems) = RedisTrigger::parse(&spec(kind, metadata, &[]));
    let errors: Vec<_> = problems.iter().filter(|it| !it.is_warning).collect();
    assert!(errors.is_empty(), "{errors:?}");
    trigger.unwrap()
}

fn errors(kind: &str, metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> Vec<String> {
    let (trigger, problems) = RedisTrigger::parse(&spec(kind, metadata, auth));
    assert!(trigger.is_none());
    let errors = problems.into_iter().filter(|it| !it.is_warning);
    errors.map(|it| it.message).collect()
}

fn warnings(kind: &str, metadata: &[(&str, &str)]) -> Vec<String> {
    let problems = RedisTrigger::parse(&spec(kind, metadata, &[])).1;
    let warnings = problems.into_iter().filter(|it| it.is_warning);
    warnings.map(|it| it.message).collect()
}

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

const ADDRESS: (&str, &str) = ("address", "cache:6379");

#[test]
fn defaults_of_lists_are_those_of_keda() {
    let trigger = parse("redis", &[ADDRESS, ("listName", "jobs")]);
    assert_eq!(trigger.source.servers, Servers::Single(host("cache:6379")));
    assert_eq!(trigger.source.database, 0);
    assert!(trigger.source.tls.is_none());
    assert!(!trigger.is_pushed);
    let reading = trigger.reading(1);
    assert_eq!((reading.value, reading.target), (1.0, 5.0));
    assert!(reading.activity.is_active());
    assert!(!trigger.reading(0).activity.is_active());
    assert_eq!(reading.metric, "redis-jobs");
}

#[test]
fn activation_is_strictly_above_its_count() {
    let given = [ADDRESS, ("listName", "jobs"), ("activationListLength", "5")];
    let trigger = parse("redis", &given);
    assert!(!trigger.reading(5).activity.is_active());
    assert!(trigger.reading(6).activity.is_active());
}

#[test]
fn metric_names_have_kedas_characters() {
    let trigger = parse("redis", &[ADDRESS, ("listName", "a/b.c:d%e(f)")]);
    assert_eq!(trigger.reading(0).metric, "redis-a-b-c-d-e-f-");
    let trigger = parse("redis-streams", &[ADDRESS, ("stream", "or:ders")]);
    assert_eq!(trigger.reading(0).metric, "redis-streams-or-ders");
}

#[test]
fn what_counts_of_a_stream_follows_from_what_is_given() {
    let streams = |more: &[(&str, &str)]| {
        let all: Vec<_> = [ADDRESS, ("stream", "s")]
            .iter()
            .chain(more)
            .copied()
            .collect();
        let trigger = parse("redis-streams", &all);
        let target = trigger.reading(0).target;
        (trigger.measure, target)
    };
    let (stream, group) = ("s".to_owned(), "g".to_owned());
    let length = Measure::StreamLength {
        stream: stream.clone(),
    };
    assert_eq!(streams(&[]), (length.clone(), 5.0));
    assert_eq!(streams(&[("streamLength", "9")]), (length.clone(), 9.0));
    // Without a group a lag means nothing.
    assert_eq!(streams(&[("lagCount", "7")]), (length, 5.0));
    let pending = Measure::Pending {
        stream: stream.clone(),
        group: group.clone(),
    };
    let in_group = ("consumerGroup", "g");
    assert_eq!(streams(&[in_group]), (pending.clone(), 5.0));
    assert_eq!(
        streams(&[in_group, ("pendingEntriesCount", "3")]),
        (pending.clone(), 3.0)
    );
    assert_eq!(streams(&[in_group, ("lagCount", "0")]), (pending, 5.0));
    let lag = Measure::Lag { stream, group };
    assert_eq!(streams(&[in_group, ("lagCount", "7")]), (lag, 7.0));
}

#[test]
fn pending_entries_alone_are_warned_about() {
    let given = [
        ADDRESS,
        ("stream", "s"),
        ("consumerGroup", "g"),
        ("push", "true"),
    ];
    let warnings = warnings("redis-streams", &given);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings
            .iter()
            .any(|it| it.contains("do not wake from zero"))
    );
    assert!(!parse("redis-streams", &given).is_pushed);
}

#[test]
fn hosts_and_ports_are_another_way_to_name_servers() {
    let trigger = parse(
        "redis",
        &[("host", "cache"), ("port", "6380"), ("listName", "l")],
    );
    assert_eq!(trigger.source.servers, Servers::Single(host("cache:6380")));
    for plural in [
        &[("addresses", "cache:6380"), ("listName", "l")][..],
        &[("hosts", "cache"), ("ports", "6380"), ("listName", "l")],
    ] {
        let single = Servers::Single(host("cache:6380"));
        assert_eq!(parse("redis", plural).source.servers, single);
        assert_eq!(warnings("redis", plural), Vec::<String>::new());
    }
    let nodes = Servers::Cluster(vec![host("a:1"), host("b:2"), host("[::1]:3")]);
    let by_address = [("addresses", "a:1, b:2,[::1]:3"), ("listName", "l")];
    assert_eq!(parse("redis-cluster", &by_address).source.servers, nodes);
    let by_host = [("hosts", "a,b,::1"), ("ports", "1,2,3"), ("listName", "l")];
    assert_eq!(parse("redis-cluster", &by_host).source.servers, nodes);
    let as_one = [("address", "a:1, b:2,[::1]:3"), ("stream", "s")];
    assert_eq!(
        parse("redis-cluster-streams", &as_one).source.servers,
        nodes
    );
}

#[test]
fn wrong_addresses_are_named_without_their_text() {
    let of = |given: &[(&str, &str)]| {
        let all: Vec<_> = given.iter().chain(&[("listName", "l")]).copied().collect();
        errors("redis", &all, &[]).join("; ")
    };
    assert_eq!(of(&[]), "address, or host and port, is required");
    for wrong in [
        "cache",
        "cache:",
        ":6379",
        "cache:0",
        "cache:x",
        "::1:6379",
        "redis://u:pw@c:6379",
    ] {
        assert_eq!(
            of(&[("address", wrong)]),
            "address: expected host:port",
            "{wrong}"
        );
    }
    assert_eq!(of(&[("host", "a")]), "host and port must be equally many");
    assert_eq!(
        of(&[("address", "a:1,b:2")]),
        "address is to name one server"
    );
}

#[test]
fn a_sentinel_needs_the_masters_name_and_has_credentials_of_its_own() {
    let given = [("addresses", "s1:26379,s2:26379"), ("listName", "l")];
    let missing = errors("redis-sentinel", &given, &[]);
    assert_eq!(missing, ["sentinelMaster is required"]);
    let auth = [
        ("sentinelPassword", "canary-1"),
        ("password", "canary-2"),
        ("sentinelMaster", "mymaster"),
    ];
    let (trigger, _) = RedisTrigger::parse(&spec("redis-sentinel", &given, &auth));
    let key = trigger.unwrap().source;
    assert_eq!(key.credentials.password, Some(Secret::new("canary-2")));
    let Servers::Sentinel {
        credentials,
        master,
        sentinels,
    } = &key.servers
    else {
        panic!("these are sentinels");
    };
    assert_eq!(credentials.password, Some(Secret::new("canary-1")));
    assert_eq!((master.as_str(), sentinels.len()), ("mymaster", 2));
    let shown = format!("{key:?} {key}");
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn tls_comes_from_one_place_and_no_key_is_repeated() {
    let given = [ADDRESS, ("listName", "l")];
    let secure = [ADDRESS, ("listName", "l"), ("enableTLS", "true")];
    assert!(parse("redis", &secure).source.tls.is_some());
    let (by_auth, _) = RedisTrigger::parse(&spec("redis", &given, &[("tls", "enable")]));
    assert!(by_auth.unwrap().source.tls.is_some());
    let both = errors("redis", &secure, &[("tls", "enable")]);
    assert_eq!(
        both,
        ["tls of the authentication and enableTLS exclude each other"]
    );
    let key =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nsecret\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let auth = [
        ("tls", "enable"),
        ("cert", "x"),
        ("key", key),
        ("keyPassword", "pw"),
    ];
    let message = errors("redis", &given, &auth).join("; ");
    assert!(!message.contains("secret"), "{message}");
    let pair = rcgen::generate_simple_self_signed(["cache".to_owned()]).unwrap();
    let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    let certified = |name: &'static str| {
        let auth = [
            ("tls", "enable"),
            (name, certificate.as_str()),
            ("key", &key),
        ];
        let (trigger, problems) = RedisTrigger::parse(&spec("redis", &given, &auth));
        assert_eq!(problems, []);
        trigger.unwrap().source.tls.unwrap()
    };
    assert!(certified("cert").certificate.is_some());
    assert_eq!(certified("Cert"), certified("cert"), "KEDA takes both");
    // Without TLS they are not looked at.
    let (plain, problems) = RedisTrigger::parse(&spec("redis", &given, &auth[1..]));
    assert!(plain.unwrap().source.tls.is_none());
    assert_eq!(problems, []);
}

#[test]
fn a_cluster_has_one_database() {
    let given = [
        ("addresses", "a:1"),
        ("listName", "l"),
        ("databaseIndex", "3"),
    ];
    assert_eq!(parse("redis-cluster", &given).source.database, 0);
    assert!(warnings("redis-cluster", &given)[0].contains("database 0 alone"));
    let given = [ADDRESS, ("listName", "l"), ("databaseIndex", "3")];
    assert_eq!(parse("redis", &given).source.database, 3);
}

#[test]
fn triggers_share_a_source_when_server_credentials_and_database_are_equal() {
    let key = |metadata: &[(&str, &str)]| parse("redis", metadata).source;
    let first = key(&[ADDRESS, ("listName", "a")]);
    assert_eq!(first, key(&[ADDRESS, ("listName", "b"), ("push", "true")]));
    assert_ne!(
        first,
        key(&[ADDRESS, ("listName", "a"), ("databaseIndex", "1")])
    );
    assert_ne!(first, key(&[ADDRESS, ("listName", "a"), ("password", "x")]));
}

#[test]
fn unused_parameters_are_warned_about() {
    let given = [ADDRESS, ("listName", "l"), ("stream", "s")];
    assert_eq!(
        warnings("redis", &given),
        ["stream is not a parameter of redis triggers"]
    );
}
