//! In the place of Knative's activator: its probes, its Revisions, its heads, its words.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Deserialize;
use support::knative::{HOST, knative, request, rev, revision, stage, timed};
use support::origin::{self, Gate};
use support::{Stage, replica, rest, soon, until};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use zeron_activator::{Config, Dialect, Knative};
use zeron_core::function::{AdmissionPolicy, Timeouts};
use zeron_core::workload::{ProbeCheck, ReadinessProbe};
use zeron_core::{Endpoint, Function};

#[derive(Deserialize)]
struct Recorded {
    activator: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    state: String,
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    want: Want,
}

#[derive(Debug, Deserialize)]
struct Want {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Case {
    async fn play(&self, stage: &Stage) {
        let headers: String = (self.headers.iter())
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let (method, path) = (&self.method, &self.path);
        let length = match method.as_str() {
            "POST" => "content-length: 0\r\n",
            _ => "",
        };
        let answer = stage
            .raw(format!(
                "{method} {path} HTTP/1.1\r\nhost: {HOST}\r\n{length}{headers}connection: close\r\n\r\n"
            ))
            .await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let got: BTreeMap<_, _> = lines
            .map(|line| line.split_once(": ").unwrap())
            .filter(|(name, _)| !["date", "connection"].contains(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let wanted = self.want.headers.iter();
        let wanted: BTreeMap<_, _> = wanted
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
            .collect();
        assert_eq!(status, self.want.status.to_string(), "{self:?}");
        assert_eq!(got, wanted, "{}", self.name);
        assert_eq!(body, self.want.body, "{}", self.name);
    }
}

/// What lies behind the probe handlers where the answers were recorded.
async fn behind() -> SocketAddr {
    origin::serve(|_: Request<Incoming>| async {
        let mut answer = Response::new(Full::new(Bytes::new()));
        *answer.status_mut() = StatusCode::IM_A_TEAPOT;
        answer
            .headers_mut()
            .insert("x-behind", "yes".parse().unwrap());
        answer
    })
    .await
}

#[tokio::test]
async fn probes_are_answered_as_the_original_answers_them() {
    let recorded = include_str!("vectors/sks-probe.json");
    let recorded: Recorded = serde_json::from_str(recorded).unwrap();
    let stage = stage(revision(0));
    stage.replicas(&rev(), &[replica(1, behind().await)]);
    let (draining, others): (Vec<_>, Vec<_>) = recorded
        .activator
        .into_iter()
        // Our health does not depend on the autoscaler.
        .filter(|case| case.state != "stat_connection_down")
        .partition(|case| case.state == "draining");
    assert!(others.len() >= 10 && draining.len() >= 10);
    for case in others {
        case.play(&stage).await;
    }
    let activator = stage.activator.clone();
    let drain = tokio::spawn(async move { activator.drain(Duration::from_secs(60)).await });
    soon(async {
        while !stage.activator.is_draining() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for case in draining {
        case.play(&stage).await;
    }
    stage.activator.drain(Duration::ZERO).await;
    soon(drain).await.unwrap();
}

#[tokio::test]
async fn before_anything_is_known_it_is_neither_healthy_nor_says_not_found() {
    let stage = Stage::with(knative());
    let health = "GET / HTTP/1.1\r\nhost: x\r\nuser-agent: kube-probe/1.34\r\n\
                  connection: close\r\n\r\n";
    let answer = stage.raw(health).await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    let answer = stage.raw(request("")).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    stage.publish(Vec::new(), Vec::new());
    stage.activator.say_ready();
    assert!(stage.raw(health).await.starts_with("HTTP/1.1 200"));
    let answer = stage.raw(request("")).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let text = "Error getting active endpoint: revision.serving.knative.dev \"rev\" not found\n";
    assert!(answer.ends_with(text), "{answer}");
    assert!(answer.contains("x-content-type-options: nosniff\r\n"));
}

#[tokio::test]
async fn a_queue_proxy_gets_what_knatives_activator_would_send_it() {
    let stage = stage(revision(0));
    stage.replicas(&rev(), &[replica(1, origin::echo().await)]);
    let answer = stage
        .raw(
            "GET /a?b HTTP/1.1\r\nhost: hello.example.com\r\nKnative-Serving-Namespace: ns\r\n\
             Knative-Serving-Revision: rev\r\nKnative-Serving-Tag: t\r\nx-forwarded-for: 1.2.3.4\r\n\
             x-forwarded-proto: https\r\nk-proxy-request: me\r\nconnection: close\r\n\r\n",
        )
        .await;
    let (_, echoed) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = echoed.lines().collect();
    assert_eq!(lines.remove(0), "GET /a?b");
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "body 0 b\"\"",
            "host: hello.example.com",
            "k-original-host: hello.example.com",
            "k-proxy-request: activator",
            "knative-serving-tag: t",
            "x-forwarded-for: 1.2.3.4, 127.0.0.1",
            "x-forwarded-proto: https",
        ]
    );
    let answer = stage
        .raw(request("K-Original-Host: mapped.example\r\n"))
        .await;
    assert!(
        answer.contains("k-original-host: mapped.example\n"),
        "{answer}"
    );
    assert!(answer.contains(&format!("host: {HOST}\n")), "{answer}");
}

#[tokio::test]
async fn a_meshs_gateway_is_asked_for_a_single_replica() {
    let stage = Stage::with(Config {
        dialect: Dialect::Knative(Knative {
            has_passthrough: true,
            ..Knative::default()
        }),
        ..knative()
    });
    stage.publish(Vec::new(), vec![revision(0)]);
    stage.replicas(&rev(), &[replica(1, origin::echo().await)]);
    let answer = stage.raw(request("")).await;
    for line in [
        "host: rev-private.ns\n",
        "k-passthrough-lb: true\n",
        "k-original-host: rev.ns.svc.cluster.local\n",
    ] {
        assert!(answer.contains(line), "{answer}");
    }
}

#[tokio::test]
async fn who_waits_for_too_long_is_told_in_knatives_words() {
    let second = Some(Duration::from_millis(50));
    for timeouts in [
        Timeouts {
            request: second,
            ..Timeouts::default()
        },
        Timeouts {
            response_start: second,
            ..Timeouts::default()
        },
        Timeouts {
            idle: second,
            ..Timeouts::default()
        },
    ] {
        let stage = stage(timed(timeouts));
        let answer = stage.raw(request("")).await;
        assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
        assert!(
            answer.ends_with("\r\n\r\nactivator request timeout"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_in_all_is_cut() {
    let stage = stage(timed(Timeouts {
        request: Some(Duration::from_secs(2)),
        ..Timeouts::default()
    }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    stage.replicas(&rev(), &[replica(1, listener.local_addr().unwrap())]);
    let origin = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        until(&mut stream, "\r\n\r\n").await;
        let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
        stream.write_all(begun).await.unwrap();
        rest(&mut stream).await
    });
    let answer = stage.raw(request("")).await;
    assert!(answer.ends_with("half"), "{answer}");
    soon(origin).await.unwrap();
    stage.until_load(&rev(), 0, 0).await;
}

#[tokio::test]
async fn a_full_queue_says_so_and_when_to_come_again() {
    let stage = stage(Function {
        admission: AdmissionPolicy {
            max_queued: 0,
            ..AdmissionPolicy::default()
        },
        ..revision(1)
    });
    let answer = stage.raw(request("")).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\npending request queue full\n"),
        "{answer}"
    );
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
}

#[tokio::test]
async fn a_first_request_asks_for_replicas_and_dashboards_see_it() {
    let mut stage = stage(revision(1));
    let mut client = stage.connect().await;
    client.write_all(request("").as_bytes()).await.unwrap();
    assert_eq!(stage.woken().await.function, rev());
    let labels = "{k8s_namespace_name=\"ns\",kn_service_name=\"hello\",\
                  kn_configuration_name=\"hello\",kn_revision_name=\"rev\"}";
    let queued = format!("kn_revision_request_queued{labels} 1");
    assert!(stage.metrics().contains(&queued), "{}", stage.metrics());
    let gate = Gate::new().await;
    stage.replicas(&rev(), &[replica(1, gate.address)]);
    gate.until_seen(1).await;
    let active = format!("kn_revision_request_active{labels} 1");
    assert!(stage.metrics().contains(&active), "{}", stage.metrics());
    gate.open(1);
    assert!(rest(&mut client).await.starts_with("HTTP/1.1 200"));
    let counted = "http_server_request_duration_seconds_count{http_request_method=\"GET\",\
                   http_response_status_code=\"200\",network_protocol_name=\"http\",\
                   network_protocol_version=\"1.1\",url_scheme=\"http\",k8s_namespace_name=\"ns\",";
    soon(async {
        while !stage.metrics().contains(counted) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn dashboards_see_how_large_bodies_are() {
    let stage = stage(revision(1));
    stage.replicas(&rev(), &[replica(1, origin::echo().await)]);
    let chunked = format!(
        "POST /a HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
         4\r\nfour\r\n8\r\neighteen\r\n0\r\n\r\n"
    );
    let answer = stage.raw(chunked).await;
    assert!(answer.contains("body 12 b\"foureighteen\""), "{answer}");
    let answer = stage.raw(request("")).await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let line = |name: &str, bucket: &str, method: &str, value: &str| {
        format!(
            "http_server_{name}{{{bucket}http_request_method=\"{method}\",http_response_status_code=\"200\",\
             network_protocol_name=\"http\",network_protocol_version=\"1.1\",url_scheme=\"http\",\
             k8s_namespace_name=\"ns\",kn_service_name=\"hello\",kn_configuration_name=\"hello\",\
             kn_revision_name=\"rev\"}} {value}\n"
        )
    };
    let count = "response_body_size_bytes_count";
    let counted = [line(count, "", "POST", "1"), line(count, "", "GET", "1")];
    soon(async {
        while !counted.iter().all(|it| stage.metrics().contains(it)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let metrics = stage.metrics();
    let (sum, bucket) = (
        "request_body_size_bytes_sum",
        "request_body_size_bytes_bucket",
    );
    let answered = format!("{}.0", body.len());
    for wanted in [
        line(sum, "", "POST", "12.0"),
        line(bucket, "le=\"10.0\",", "POST", "0"),
        line(bucket, "le=\"25.0\",", "POST", "1"),
        line(sum, "", "GET", "0.0"),
        line(bucket, "le=\"0.0\",", "GET", "1"),
        line("response_body_size_bytes_sum", "", "GET", &answered),
    ] {
        assert!(metrics.contains(&wanted), "{wanted}{metrics}");
    }
}

/// A queue-proxy that answers its probe with this status, and everything else with 200.
async fn queue_proxy(status: Arc<AtomicU16>) -> SocketAddr {
    origin::serve(move |request: Request<Incoming>| {
        let status = Arc::clone(&status);
        async move {
            let header = |name: &str| request.headers().get(name).map(|it| it.as_bytes().to_vec());
            let is_probe = header("user-agent").is_some_and(|it| it == b"Knative-Activator-Probe");
            if !is_probe || header("k-network-probe").is_none_or(|it| it != b"queue") {
                return Response::new(Full::new(Bytes::from("user")));
            }
            let mut answer = Response::new(Full::new(Bytes::from("queue")));
            *answer.status_mut() = StatusCode::from_u16(status.load(Ordering::SeqCst)).unwrap();
            answer
        }
    })
    .await
}

fn probed(address: SocketAddr, is_ready: bool) -> Endpoint {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Endpoint {
        is_ready,
        is_probe_needed: true,
        probe: Some(Arc::new(ReadinessProbe {
            check: ProbeCheck::HttpBody {
                path: "/healthz".to_owned(),
                headers: vec![
                    header("K-Network-Probe", "queue"),
                    header("User-Agent", "Knative-Activator-Probe"),
                ],
                body: "queue".to_owned(),
            },
            ..ReadinessProbe::default()
        })),
        ..replica(1, address)
    }
}

#[tokio::test]
async fn a_queue_proxy_is_used_as_soon_as_it_says_queue() {
    let stage = stage(revision(1));
    let status = Arc::new(AtomicU16::new(503));
    let address = queue_proxy(Arc::clone(&status)).await;
    stage.replicas(&rev(), &[probed(address, false)]);
    let mut client = stage.connect().await;
    client.write_all(request("").as_bytes()).await.unwrap();
    stage.until_load(&rev(), 0, 1).await;
    status.store(200, Ordering::SeqCst);
    assert!(rest(&mut client).await.ends_with("user"));
}

#[tokio::test]
async fn a_ready_replica_that_refuses_probes_is_told_of_and_another_way_is_taken() {
    let (refused, mut functions) = mpsc::channel(1);
    let stage = Stage::with(Config {
        refused_probes: Some(refused),
        ..knative()
    });
    stage.publish(Vec::new(), vec![revision(1)]);
    let in_a_mesh = queue_proxy(Arc::new(AtomicU16::new(503))).await;
    stage.replicas(&rev(), &[probed(in_a_mesh, false)]);
    let mut client = stage.connect().await;
    client.write_all(request("").as_bytes()).await.unwrap();
    stage.until_load(&rev(), 0, 1).await;
    assert!(functions.try_recv().is_err(), "it may only be starting");
    stage.replicas(&rev(), &[probed(in_a_mesh, true)]);
    assert_eq!(soon(functions.recv()).await.unwrap(), rev());
    let service = queue_proxy(Arc::new(AtomicU16::new(200))).await;
    let together = Endpoint {
        id: zeron_core::EndpointId(2),
        replicas: 3,
        ..probed(service, true)
    };
    stage.replicas(&rev(), &[together]);
    assert!(rest(&mut client).await.ends_with("user"));
}

#[tokio::test]
async fn requests_are_logged_by_the_template_once_their_answer_has_ended() {
    let stage = stage(revision(1));
    stage.replicas(&rev(), &[replica(1, origin::echo().await)]);
    let (lines, mut written) = mpsc::channel(8);
    let template = "{{.Request.Method}} {{.Request.RequestURI}} {{.Response.Code}} \
                    {{.Response.Size}} {{.Revision.Service}}/{{.Revision.Name}} {{.TraceID}}";
    let write = Arc::new(move |line: &str| lines.try_send(line.to_owned()).unwrap());
    stage.activator.log_requests(template, write).unwrap();
    let health =
        "GET / HTTP/1.1\r\nhost: x\r\nuser-agent: kube-probe/1\r\nconnection: close\r\n\r\n";
    stage.raw(health).await;
    let answer = stage.raw(request("x-b3-traceid: abc\r\n")).await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let line = soon(written.recv()).await.unwrap();
    assert_eq!(line, format!("GET /a?b 200 {} hello/rev abc\n", body.len()));
    stage.activator.log_no_requests();
    stage.raw(request("")).await;
    assert!(written.try_recv().is_err());
    let never = Arc::new(|_: &str| {});
    assert!(stage.activator.log_requests("{{", never).is_err());
}
