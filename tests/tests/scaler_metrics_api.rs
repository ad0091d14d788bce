//! The `metrics-api` source against a small HTTP server: formats, locations, credentials, faults.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoxFuture, ScalerRegistry};
use zeron_scalers::{AddressPolicy, EndpointLookup, ReadyEndpoint, Registry, ServiceName};
use zeron_tests::free_address;
use zeron_tests::servers::api::{Api, Reply};
use zeron_tests::servers::proxy::{FaultProxy, Mode};
use zeron_tests::servers::triggers::{Answer, SLACK, Sources, TIMEOUT, spec};

/// A trigger with a target of 5.
fn at(url: &str, location: &str, further: &[(&str, &str)]) -> TriggerSpec {
    guarded(url, location, further, &[])
}

fn guarded(
    url: &str,
    location: &str,
    further: &[(&str, &str)],
    auth: &[(&str, &str)],
) -> TriggerSpec {
    let mut metadata = vec![
        ("url", url),
        ("valueLocation", location),
        ("targetValue", "5"),
    ];
    metadata.extend(further);
    spec("metrics-api", &metadata, auth)
}

fn value(answer: &Answer) -> Result<f64, UnknownKind> {
    match answer {
        Ok(reading) => Ok(reading.value),
        Err(reason) => Err(reason.kind),
    }
}

/// Serves one document at each path.
fn documents() -> Api {
    Api::start(|parts, _| match parts.uri.path() {
        "/json" => {
            Reply::ok(r#"{"queues": [{"name": "a", "size": 3}, {"name": "b", "size": "1500m"}]}"#)
        }
        "/yaml" => Reply::ok("queues:\n- name: a\n  size: 3\nlimits: {memory: 2Ki}\n"),
        "/xml" => Reply::ok("<stats><queue id=\"a\">3</queue><queue id=\"b\">4</queue></stats>"),
        "/metrics" => Reply::ok(
            "# TYPE jobs gauge\r\njobs{queue=\"a,b\"} 3\r\njobs{queue=\"c\"} 4\r\ndone_total 9",
        ),
        _ => Reply::status(404, "{\"size\": 1}"),
    })
}

#[test]
fn every_format_is_read_at_its_location() {
    let api = documents();
    let sources = Sources::default();
    for (path, format, location, wanted) in [
        ("/json", "json", "queues.0.size", 3.0),
        ("/json", "json", "queues.#", 2.0),
        ("/json", "json", "queues.#(name==\"b\").size", 1.5),
        ("/yaml", "yaml", "queues.0.size", 3.0),
        ("/yaml", "yaml", "limits.memory", 2048.0),
        ("/xml", "xml", "stats.queue.1._text", 4.0),
        ("/xml", "xml", "stats.queue.#(-id==\"a\")._text", 3.0),
        ("/metrics", "prometheus", "jobs", 7.0),
        ("/metrics", "prometheus", "jobs{queue=\"a,b\"}", 3.0),
        ("/metrics", "prometheus", "jobs{queue!~\"a.*\"}", 4.0),
        ("/metrics", "prometheus", "done_total", 9.0),
    ] {
        let further = [("format", format), ("activationTargetValue", "3.5")];
        let answer = sources.read_once(&at(&api.url(path), location, &further));
        let reading = answer.unwrap_or_else(|error| panic!("{location}: {error:?}"));
        assert_eq!(reading.value, wanted, "{location}");
        assert_eq!(reading.target, 5.0);
        assert_eq!(reading.activity.is_active(), wanted > 3.5);
        assert!(
            reading.metric.starts_with("metric-api-"),
            "{}",
            reading.metric
        );
    }
}

#[test]
fn what_is_not_there_is_missing_and_fails_alone() {
    let api = documents();
    let sources = Sources::default();
    let bind = |location: &str| sources.bind(&at(&api.url("/json"), location, &[]));
    let (missing, wrong, good) = (bind("stacks.0"), bind("queues"), bind("queues.0.size"));
    let answers = sources.evaluate(&[&missing, &good, &wrong], TIMEOUT);
    assert_eq!(value(&answers[0]), Err(UnknownKind::Missing));
    assert_eq!(value(&answers[1]), Ok(3.0));
    assert_eq!(value(&answers[2]), Err(UnknownKind::Parse));
}

#[test]
fn a_url_is_fetched_once_for_all_its_triggers() {
    let api = documents();
    let sources = Sources::default();
    let bound: Vec<_> = (0..20)
        .map(|it| {
            let location = if it % 2 == 0 {
                "queues.0.size"
            } else {
                "queues.1.size"
            };
            sources.bind(&at(&api.url("/json"), location, &[]))
        })
        .chain([sources.bind(&at(
            &api.url("/yaml"),
            "queues.0.size",
            &[("format", "yaml")],
        ))])
        .collect();
    let answers = sources.evaluate(&bound.iter().collect::<Vec<_>>(), TIMEOUT);
    assert_eq!(api.requests(), 2);
    assert_eq!(value(&answers[0]), Ok(3.0));
    assert_eq!(value(&answers[1]), Ok(1.5));
    assert_eq!(value(&answers[20]), Ok(3.0));
}

#[test]
fn credentials_are_shown_as_their_mode_says_and_never_in_messages() {
    let api = Api::start(|parts, _| {
        let header = |name: &str| parts.headers.get(name).and_then(|it| it.to_str().ok());
        let query = parts.uri.query();
        let is_right = match parts.uri.path() {
            "/basic" => header("authorization") == Some("Basic c2hvcDpjb3JyZWN0"),
            "/bearer" => header("authorization") == Some("Bearer correct"),
            "/header" => header("x-api-key") == Some("correct"),
            "/named" => header("x-shop") == Some("correct"),
            "/query" => query == Some("a=b&api_key=correct"),
            _ => false,
        };
        match is_right {
            true => Reply::ok("{\"size\": 7}"),
            false => Reply::status(401, "who?"),
        }
    });
    let sources = Sources::default();
    let key = |key| [("apiKey", key)];
    for (path, metadata, right, wrong) in [
        (
            "/basic",
            vec![("authModes", "basic")],
            vec![("username", "shop"), ("password", "correct")],
            vec![("username", "shop"), ("password", "canary")],
        ),
        (
            "/bearer",
            vec![("authMode", "bearer")],
            vec![("token", "correct")],
            vec![("token", "canary")],
        ),
        (
            "/header",
            vec![("authMode", "apiKey")],
            key("correct").to_vec(),
            key("canary").to_vec(),
        ),
        (
            "/named",
            vec![("authMode", "apiKey"), ("keyParamName", "X-Shop")],
            key("correct").to_vec(),
            key("canary").to_vec(),
        ),
        (
            "/query?a=b",
            vec![("authMode", "apiKey"), ("method", "query")],
            key("correct").to_vec(),
            key("canary").to_vec(),
        ),
    ] {
        let read = |auth: &[(&str, &str)]| {
            sources.read_once(&guarded(&api.url(path), "size", &metadata, auth))
        };
        assert_eq!(value(&read(&right)), Ok(7.0), "{path}");
        let reason = read(&wrong).unwrap_err();
        assert_eq!(reason.kind, UnknownKind::Authentication, "{path}");
        assert!(!reason.message.contains("canary"), "{}", reason.message);
    }
}

#[test]
fn answers_that_are_no_load_are_unknown() {
    let sources = Sources::default();
    for (reply, format, kind) in [
        (Reply::ok("<html>"), "json", UnknownKind::Parse),
        (Reply::ok("{\"size\": -1}"), "json", UnknownKind::Parse),
        (Reply::ok("{\"size\": \"NaN\"}"), "json", UnknownKind::Parse),
        (Reply::ok("size NaN"), "prometheus", UnknownKind::Parse),
        (Reply::ok("size +Inf"), "prometheus", UnknownKind::Parse),
        (Reply::ok(""), "prometheus", UnknownKind::Missing),
        (Reply::ok(""), "json", UnknownKind::Parse),
        (Reply::ok("<size>"), "xml", UnknownKind::Parse),
        (Reply::ok("size: [1"), "yaml", UnknownKind::Parse),
        (Reply::ok("[".repeat(3_000_000)), "json", UnknownKind::Parse),
        (Reply::ok("[".repeat(100_000)), "yaml", UnknownKind::Parse),
        (
            Reply::status(503, "{\"size\": 1}"),
            "json",
            UnknownKind::Transport,
        ),
        (
            Reply::status(404, "{\"size\": 1}"),
            "json",
            UnknownKind::Transport,
        ),
        (
            Reply::status(301, "{\"size\": 1}"),
            "json",
            UnknownKind::Transport,
        ),
    ] {
        let shown = format!("{reply:.60?}");
        let api = Api::start(move |_, _| reply.clone());
        let answer = sources.read_once(&at(&api.url("/"), "size", &[("format", format)]));
        assert_eq!(value(&answer), Err(kind), "{shown:.80}: {answer:?}");
    }
}

#[test]
fn paths_that_make_the_reader_work_hard_end_with_the_evaluation() {
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let api = Api::start(move |_, _| {
        Reply::ok(format!("{{\"a\": {deep}, \"{}\": 1}}", "k".repeat(1000)))
    });
    let sources = Sources::default();
    let long = "0.".repeat(500);
    for path in [
        "k*k*k*k*x",
        "@ugly|@reverse|@flatten|b",
        "#(",
        "a.#(#(#(",
        long.as_str(),
    ] {
        let trigger = sources.bind(&at(&api.url("/"), path, &[]));
        let timeout = Duration::from_secs(2);
        let (answer, took) = sources.timed(&trigger, timeout);
        assert!(answer.is_err(), "{path}: {answer:?}");
        assert!(took < timeout + SLACK, "{path}: {took:?}");
    }
}

#[test]
fn a_server_is_unknown_while_it_is_down_silent_or_mad_and_known_again_after() {
    let api = documents();
    let proxy = FaultProxy::before(api.address());
    let sources = Sources::default();
    let url = format!("http://{}/json", proxy.address());
    let trigger = sources.bind(&at(&url, "queues.0.size", &[]));
    sources.until_value(&trigger, 3.0);
    for (mode, kind) in [
        (Mode::Down, UnknownKind::Transport),
        (Mode::Hang, UnknownKind::Timeout),
        (Mode::Garbage, UnknownKind::Transport),
    ] {
        proxy.set(mode);
        let timeout = Duration::from_secs(1);
        // A connection that was kept may end first.
        let (answer, took) = sources.timed(&trigger, timeout);
        assert!(answer.is_err(), "{mode:?}: {answer:?}");
        assert!(took < timeout + SLACK, "{mode:?}: {took:?}");
        zeron_tests::until(&format!("{kind:?} for {mode:?}"), || {
            let (answer, _) = sources.timed(&trigger, timeout);
            (value(&answer) == Err(kind)).then_some(())
        });
        proxy.set(Mode::Pass);
        sources.until_value(&trigger, 3.0);
    }
}

#[test]
fn a_server_that_cannot_be_connected_is_dialled_with_pauses() {
    let address = free_address();
    let sources = Sources::default();
    let trigger = sources.bind(&at(&format!("http://{address}/"), "size", &[]));
    assert_eq!(value(&sources.read(&trigger)), Err(UnknownKind::Transport));
    // Evaluations between two attempts have their answer at once.
    let began = std::time::Instant::now();
    for _ in 0..200 {
        assert_eq!(value(&sources.read(&trigger)), Err(UnknownKind::Transport));
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    let listener = TcpListener::bind(address).unwrap();
    let answering = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let read = connection.read(&mut [0; 1024]).unwrap();
        assert!(read > 0);
        let answer =
            "HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{\"size\": 7}";
        connection.write_all(answer.as_bytes()).unwrap();
    });
    sources.until_value(&trigger, 7.0);
    answering.join().unwrap();
}

#[test]
fn a_slow_url_of_a_server_delays_no_other_url() {
    let slow = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&slow);
    let api = Api::start(move |parts, _| match parts.uri.path() {
        "/slow" => {
            counted.fetch_add(1, Ordering::SeqCst);
            Reply::ok("{\"size\": 1}").after(Duration::from_secs(60))
        }
        _ => Reply::ok("{\"size\": 7}"),
    });
    let sources = Sources::default();
    let slow_one = sources.bind(&at(&api.url("/slow"), "size", &[("timeout", "500ms")]));
    let good = sources.bind(&at(&api.url("/good"), "size", &[]));
    let answers = sources.evaluate(&[&slow_one, &good], TIMEOUT);
    assert_eq!(value(&answers[0]), Err(UnknownKind::Timeout));
    assert_eq!(value(&answers[1]), Ok(7.0));
    assert_eq!(slow.load(Ordering::SeqCst), 1);
}

#[test]
fn on_a_cluster_loopback_is_refused_whatever_it_is_called() {
    let api = documents();
    let sources = Sources::new(AddressPolicy::CLUSTER);
    let port = api.address().port();
    for host in ["127.0.0.1", "localhost", "0.0.0.0", "0x7f000001"] {
        let answer = sources.read_once(&at(&format!("http://{host}:{port}/json"), "queues.#", &[]));
        assert_eq!(value(&answer), Err(UnknownKind::Configuration), "{host}");
    }
    assert_eq!(api.requests(), 0);
}

/// The endpoints of `stats.shop`: servers of this machine.
#[derive(Debug)]
struct Cluster(Vec<ReadyEndpoint>);

impl Cluster {
    fn of(apis: &[&Api]) -> Arc<Self> {
        let endpoint = |api: &&Api| ReadyEndpoint {
            address: api.address().ip(),
            ports: vec![api.address().port()],
        };
        Arc::new(Self(apis.iter().map(endpoint).collect()))
    }
}

impl EndpointLookup for Cluster {
    fn ready<'a>(
        &'a self,
        service: &'a ServiceName,
        _: Duration,
    ) -> BoxFuture<'a, Result<Vec<ReadyEndpoint>, Unknown>> {
        assert_eq!((&*service.name, &*service.namespace), ("stats", "shop"));
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

fn aggregated(how: &str) -> TriggerSpec {
    let further = [
        ("aggregateFromKubeServiceEndpoints", "true"),
        ("aggregationType", how),
    ];
    at("http://stats.shop.svc/size?of=all", "size", &further)
}

#[test]
fn every_endpoint_of_a_service_is_asked_and_their_values_are_one() {
    let sized = |size: u32| {
        Api::start(move |parts, _| match parts.uri.query() {
            Some("of=all") => Reply::ok(format!("{{\"size\": {size}}}")),
            _ => Reply::status(404, ""),
        })
    };
    let (one, five) = (sized(1), sized(5));
    let machine = || Registry::builtin(AddressPolicy::MACHINE);
    let both = Cluster::of(&[&one, &five]);
    let sources = Sources::of(machine().with_endpoints(AddressPolicy::MACHINE, both));
    let specs = ["sum", "average", "max", "min"].map(aggregated);
    let bound: Vec<_> = specs.iter().map(|spec| sources.bind(spec)).collect();
    let answers = sources.evaluate(&bound.iter().collect::<Vec<_>>(), TIMEOUT);
    let values: Vec<_> = answers.iter().map(|it| value(it).unwrap()).collect();
    assert_eq!(values, [6.0, 3.0, 5.0, 1.0]);
    assert_eq!(one.requests(), 1, "once for all triggers");

    let silent = Api::start(|_, _| Reply::status(500, ""));
    let some = Cluster::of(&[&one, &silent]);
    let sources = Sources::of(machine().with_endpoints(AddressPolicy::MACHINE, some));
    let partly = sources.read_once(&aggregated("max"));
    assert!(partly.is_err(), "the rest is not the whole: {partly:?}");
}

#[test]
fn one_machine_has_no_endpoints_of_services() {
    let registry = Registry::builtin(AddressPolicy::MACHINE);
    assert_eq!(registry.validate(&aggregated("sum")), []);
    let refused = registry.bind(&aggregated("sum")).unwrap_err();
    assert_eq!(refused.kind, UnknownKind::Configuration);
    assert!(
        refused.message.contains("needs Kubernetes"),
        "{}",
        refused.message
    );
}
