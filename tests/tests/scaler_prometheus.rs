//! The `prometheus` source against a real Prometheus, and against servers that only say that they are one.

#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use zeron_core::metric::{Activity, UnknownKind};
use zeron_core::policy::TriggerSpec;
use zeron_scalers::AddressPolicy;
use zeron_tests::broker::{self, Unavailable};
use zeron_tests::servers::api::{Api, Reply};
use zeron_tests::servers::prometheus::{Guard, Prometheus};
use zeron_tests::servers::triggers::{Answer, SLACK, Sources, TIMEOUT, spec};

/// The hash of `correct`.
const HASH: &str = "$2b$04$EVhbxWPx.iRlhuIw21KnNuNgWicTriHm8IicJwB9oRRv4rNTKSCJG";

/// The server, or `None` once the skip was reported.
fn available(test: &str, server: Result<Prometheus, Unavailable>) -> Option<Prometheus> {
    match server {
        Ok(server) => Some(server),
        Err(Unavailable::Skip(reason)) => {
            broker::skip(&format!("scaler_prometheus::{test}"), &reason);
            None
        }
        Err(Unavailable::Failed(error)) => panic!("{error:#}"),
    }
}

fn open(test: &str) -> Option<Prometheus> {
    available(test, Prometheus::start(""))
}

/// A trigger with a threshold of 10.
fn query(url: &str, query: &str, further: &[(&str, &str)]) -> TriggerSpec {
    guarded(url, query, further, &[])
}

fn guarded(url: &str, query: &str, further: &[(&str, &str)], auth: &[(&str, &str)]) -> TriggerSpec {
    let mut metadata = vec![
        ("serverAddress", url),
        ("query", query),
        ("threshold", "10"),
    ];
    metadata.extend(further);
    spec("prometheus", &metadata, auth)
}

fn value(answer: &Answer) -> Result<f64, UnknownKind> {
    match answer {
        Ok(reading) => Ok(reading.value),
        Err(reason) => Err(reason.kind),
    }
}

#[test]
fn vectors_of_one_and_scalars_are_read_below_a_path_too() {
    let name = "vectors_of_one_and_scalars_are_read_below_a_path_too";
    let Some(server) = available(name, Prometheus::start("/team/prometheus")) else {
        return;
    };
    let sources = Sources::default();
    let url = format!("{}/", server.url());
    let activation = [("activationThreshold", "6")];
    let reading = sources
        .read_once(&query(&url, "vector(7)", &activation))
        .unwrap();
    assert_eq!((reading.value, reading.target), (7.0, 10.0));
    assert_eq!(reading.metric, "prometheus");
    let wanted = Activity::Above {
        value: 7.0,
        threshold: 6.0,
    };
    assert_eq!(reading.activity, wanted);

    let scalar = sources.read_once(&query(&url, "scalar(vector(3)) + 0.5", &[]));
    assert_eq!(value(&scalar), Ok(3.5));
    let up = sources.bind(&query(&url, "up{job=\"self\"}", &[]));
    sources.until_value(&up, 1.0);
}

#[test]
fn nothing_and_what_is_not_finite_are_zero_unless_they_are_asked_to_be_unknown() {
    let name = "nothing_and_what_is_not_finite_are_zero_unless_they_are_asked_to_be_unknown";
    let Some(server) = open(name) else { return };
    let sources = Sources::default();
    for text in [
        "no_such_series",
        "vector(0) / 0",
        "vector(1) / 0",
        "vector(-1) / 0",
    ] {
        let zero = sources.read_once(&query(&server.url(), text, &[]));
        assert_eq!(value(&zero), Ok(0.0), "{text}");
        let strict = [("ignoreNullValues", "false")];
        let unknown = sources.read_once(&query(&server.url(), text, &strict));
        assert_eq!(value(&unknown), Err(UnknownKind::Parse), "{text}");
    }
}

#[test]
fn a_query_that_gives_no_number_fails_alone_and_says_why() {
    let name = "a_query_that_gives_no_number_fails_alone_and_says_why";
    let Some(server) = open(name) else { return };
    let sources = Sources::default();
    let several = "vector(1) or label_replace(vector(2), \"a\", \"b\", \"\", \"\")";
    let bad = [
        (several, UnknownKind::Parse, "2 elements"),
        ("vector(-1)", UnknownKind::Parse, "negative"),
        ("up[5m]", UnknownKind::Parse, "matrix"),
        ("sum(", UnknownKind::Configuration, "parse error"),
    ];
    let good = sources.bind(&query(&server.url(), "vector(7)", &[]));
    for (text, kind, part) in bad {
        let bad = sources.bind(&query(&server.url(), text, &[]));
        let answers = sources.evaluate(&[&bad, &good, &bad], TIMEOUT);
        assert_eq!(value(&answers[1]), Ok(7.0), "{text}");
        for index in [0, 2] {
            let reason = answers[index].as_ref().unwrap_err();
            assert_eq!(reason.kind, kind, "{}", reason.message);
            assert!(reason.message.contains(part), "{}", reason.message);
        }
    }
}

#[test]
fn equal_queries_of_one_evaluation_are_asked_once() {
    let name = "equal_queries_of_one_evaluation_are_asked_once";
    let Some(server) = open(name) else { return };
    let sources = Sources::default();
    let bound: Vec<_> = (0..50)
        .map(|it| sources.bind(&query(&server.url(), &format!("vector({})", it % 5), &[])))
        .collect();
    assert!(bound.iter().all(|it| it.source == bound[0].source));
    let before = server.queries();
    let triggers: Vec<_> = bound.iter().collect();
    let answers = sources.evaluate(&triggers, TIMEOUT);
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(value(answer), Ok((index % 5) as f64));
    }
    assert_eq!(server.queries() - before, 5);
}

#[test]
fn a_server_that_was_killed_is_unknown_and_known_again_once_it_is_back() {
    let name = "a_server_that_was_killed_is_unknown_and_known_again_once_it_is_back";
    let Some(mut server) = open(name) else { return };
    let sources = Sources::default();
    let trigger = sources.bind(&query(&server.url(), "vector(7)", &[]));
    sources.until_value(&trigger, 7.0);
    server.kill();
    for _ in 0..3 {
        let (answer, took) = sources.timed(&trigger, TIMEOUT);
        let reason = answer.unwrap_err();
        assert_eq!(reason.kind, UnknownKind::Transport, "{}", reason.message);
        assert!(
            reason.message.contains(&server.address().to_string()),
            "{}",
            reason.message
        );
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    server.restart();
    sources.until_value(&trigger, 7.0);
}

#[test]
fn a_server_that_hangs_is_late_and_known_again_once_it_goes_on() {
    let name = "a_server_that_hangs_is_late_and_known_again_once_it_goes_on";
    let Some(mut server) = open(name) else { return };
    let sources = Sources::default();
    let trigger = sources.bind(&query(&server.url(), "vector(7)", &[]));
    sources.until_value(&trigger, 7.0);
    server.freeze();
    let timeout = Duration::from_secs(1);
    zeron_tests::until("the server to hang", || {
        let (answer, took) = sources.timed(&trigger, timeout);
        assert!(took < timeout + SLACK, "{took:?}");
        (value(&answer) == Err(UnknownKind::Timeout)).then_some(())
    });
    // A time of its own is kept too.
    let short = sources.bind(&query(&server.url(), "vector(7)", &[("timeout", "200ms")]));
    let (answer, took) = sources.timed(&short, TIMEOUT);
    assert_eq!(value(&answer), Err(UnknownKind::Timeout));
    assert!(took < SLACK, "{took:?}");
    server.thaw();
    sources.until_value(&trigger, 7.0);
}

#[test]
fn a_user_and_a_password_are_shown_and_wrong_ones_named_without_repeating_them() {
    let name = "a_user_and_a_password_are_shown_and_wrong_ones_named_without_repeating_them";
    let guard = Guard {
        user: Some(("shop".to_owned(), HASH.to_owned())),
        ..Guard::default()
    };
    let Some(server) = available(name, Prometheus::guarded(&guard)) else {
        return;
    };
    let sources = Sources::default();
    let modes = [("authModes", "basic")];
    let with = |password: &str| {
        let auth = [("username", "shop"), ("password", password)];
        guarded(&server.url(), "vector(7)", &modes, &auth)
    };
    let right = sources.bind(&with("correct"));
    sources.until_value(&right, 7.0);
    let reason = sources.read_once(&with("canary")).unwrap_err();
    assert_eq!(
        reason.kind,
        UnknownKind::Authentication,
        "{}",
        reason.message
    );
    assert!(!reason.message.contains("canary"), "{}", reason.message);
    let nobody = sources.read_once(&query(&server.url(), "vector(7)", &[]));
    assert_eq!(value(&nobody), Err(UnknownKind::Authentication));
}

/// A certificate and its key, of an authority, for these names.
fn signed(by: &CertifiedIssuer<'_, KeyPair>, names: &[&str]) -> (String, String) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names.clone()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, names[0].clone());
    let key = KeyPair::generate().unwrap();
    (
        params.signed_by(&key, by).unwrap().pem(),
        key.serialize_pem(),
    )
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec!["authority".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "authority");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[test]
fn certificates_are_verified_and_shown_and_only_unsafe_ssl_takes_any() {
    let name = "certificates_are_verified_and_shown_and_only_unsafe_ssl_takes_any";
    let authority = authority();
    let guard = Guard {
        certificate: Some(signed(&authority, &["localhost"])),
        client_ca: Some(authority.pem()),
        ..Guard::default()
    };
    let Some(server) = available(name, Prometheus::guarded(&guard)) else {
        return;
    };
    let sources = Sources::default();
    let url = format!("https://localhost:{}", server.address().port());
    let (cert, key) = signed(&authority, &["shop"]);
    let ca = authority.pem();
    let (ca, cert, key) = (
        ("ca", ca.as_str()),
        ("cert", cert.as_str()),
        ("key", key.as_str()),
    );
    let read = |further: &[(&str, &str)], auth: &[(&str, &str)]| {
        value(&sources.read_once(&guarded(&url, "vector(7)", further, auth)))
    };
    let tls = ("authModes", "tls");
    let right = sources.bind(&guarded(&url, "vector(7)", &[tls], &[ca, cert, key]));
    sources.until_value(&right, 7.0);
    // Nobody's CA, and then nobody's certificate.
    assert_eq!(read(&[tls], &[cert, key]), Err(UnknownKind::Transport));
    assert_eq!(read(&[], &[ca]), Err(UnknownKind::Authentication));
    let any = ("unsafeSsl", "true");
    assert_eq!(read(&[tls, any], &[cert, key]), Ok(7.0));
    // Another name than the certificate's.
    let other = format!("https://127.0.0.1:{}", server.address().port());
    let other = guarded(&other, "vector(7)", &[tls], &[ca, cert, key]);
    assert_eq!(
        value(&sources.read_once(&other)),
        Err(UnknownKind::Transport)
    );
}

const SEVEN: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"7"]}]}}"#;

#[test]
fn tokens_of_oauth_are_kept_and_fetched_anew_when_they_are_refused() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    let tokens = Arc::new(AtomicUsize::new(0));
    let given = Arc::clone(&tokens);
    let issuer = Api::start(move |parts, body| {
        let header = parts
            .headers
            .get("authorization")
            .map(|it| it.to_str().unwrap());
        // client:secret
        let is_right = header == Some("Basic Y2xpZW50OnNlY3JldA==")
            && body == "grant_type=client_credentials&scope=read+write&audience=x";
        if !is_right {
            return Reply::status(401, "{\"error\":\"invalid_client\"}");
        }
        let number = given.fetch_add(1, Ordering::SeqCst) + 1;
        Reply::ok(format!(
            "{{\"access_token\":\"token-{number}\",\"token_type\":\"bearer\",\"expires_in\":3600}}"
        ))
    });
    let is_revoked = Arc::new(AtomicUsize::new(0));
    let valid = Arc::clone(&is_revoked);
    let api = Api::start(move |parts, _| {
        let wanted = format!("Bearer token-{}", valid.load(Ordering::SeqCst) + 1);
        match parts.headers.get("authorization") {
            Some(header) if *header == *wanted => Reply::ok(SEVEN),
            _ => Reply::status(401, "who?"),
        }
    });
    let sources = Sources::default();
    let with = |secret: &str| {
        let uri = issuer.url("/token");
        let auth = [
            ("oauthTokenURI", uri.as_str()),
            ("clientID", "client"),
            ("clientSecret", secret),
            ("scopes", "read,write"),
            ("endpointParams", "audience=x"),
        ];
        guarded(&api.url(""), "vector(7)", &[("authModes", "oauth")], &auth)
    };
    let trigger = sources.bind(&with("secret"));
    for _ in 0..3 {
        assert_eq!(value(&sources.read(&trigger)), Ok(7.0));
    }
    assert_eq!(tokens.load(Ordering::SeqCst), 1);
    is_revoked.store(1, Ordering::SeqCst);
    assert_eq!(
        value(&sources.read(&trigger)),
        Err(UnknownKind::Authentication)
    );
    assert_eq!(value(&sources.read(&trigger)), Ok(7.0));

    let reason = sources.read_once(&with("canary")).unwrap_err();
    assert_eq!(
        reason.kind,
        UnknownKind::Authentication,
        "{}",
        reason.message
    );
    assert!(!reason.message.contains("canary"), "{}", reason.message);
}

#[test]
fn servers_that_answer_nonsense_are_unknown() {
    let sources = Sources::default();
    for (reply, kind) in [
        (Reply::ok("<html>welcome</html>"), UnknownKind::Parse),
        (Reply::ok(""), UnknownKind::Parse),
        (Reply::ok("{\"status\":\"success\"}"), UnknownKind::Parse),
        (Reply::status(500, "oops"), UnknownKind::Transport),
        (Reply::status(404, "not found"), UnknownKind::Transport),
        (Reply::status(302, ""), UnknownKind::Transport),
        (Reply::status(400, "<html>"), UnknownKind::Transport),
        (Reply::ok("x".repeat(5 << 20)), UnknownKind::Transport),
    ] {
        let api = Api::start(move |_, _| reply.clone());
        let answer = sources.read_once(&query(&api.url(""), "vector(7)", &[]));
        assert_eq!(value(&answer), Err(kind), "{answer:?}");
    }
}

#[test]
fn at_most_eight_requests_are_under_way_and_connections_are_kept() {
    let api = Api::start(|_, _| Reply::ok(SEVEN).after(Duration::from_millis(30)));
    let sources = Sources::default();
    let bound: Vec<_> = (0..40)
        .map(|it| sources.bind(&query(&api.url(""), &format!("vector({it})"), &[])))
        .collect();
    let triggers: Vec<_> = bound.iter().collect();
    for _ in 0..2 {
        let answers = sources.evaluate(&triggers, TIMEOUT);
        assert!(answers.iter().all(|answer| value(answer) == Ok(7.0)));
    }
    assert_eq!(api.requests(), 80);
    assert_eq!(api.most_at_once(), 8);
    // One that comes back a moment late is opened once more.
    assert!(api.connections() < 40, "{}", api.connections());
}

#[test]
fn a_server_that_is_dead_costs_no_healthy_one_its_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = format!("http://{}", silent.local_addr().unwrap());
    let api = Api::start(|_, _| Reply::ok(SEVEN));
    let sources = Sources::default();
    let dead = sources.bind(&query(&dead, "vector(7)", &[]));
    let healthy = sources.bind(&query(&api.url(""), "vector(7)", &[]));
    assert_ne!(dead.source, healthy.source);
    let timeout = Duration::from_millis(500);
    assert_eq!(
        value(&sources.timed(&dead, timeout).0),
        Err(UnknownKind::Timeout)
    );
    let (answer, took) = sources.timed(&healthy, TIMEOUT);
    assert_eq!(value(&answer), Ok(7.0));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn on_a_cluster_loopback_and_metadata_services_are_refused() {
    let api = Api::start(|_, _| Reply::ok(SEVEN));
    let sources = Sources::new(AddressPolicy::CLUSTER);
    let port = api.address().port();
    let hosts = [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "[fe80::1]",
    ];
    for host in hosts {
        let answer = sources.read_once(&query(&format!("http://{host}:{port}"), "vector(7)", &[]));
        let reason = answer.unwrap_err();
        assert_eq!(
            reason.kind,
            UnknownKind::Configuration,
            "{host}: {}",
            reason.message
        );
    }
    assert_eq!(api.requests(), 0);
}
