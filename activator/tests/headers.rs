//! What a client says of itself, and what a function may believe.
#![allow(clippy::unwrap_used)]

mod support;

use support::origin;
use support::{Stage, config, function, id, replica};
use zeron_activator::Config;

async fn stage_with(config: Config) -> Stage {
    let stage = Stage::with(config);
    stage.declare(vec![function("f", 0)]);
    stage.replicas(&id("f"), &[replica(1, origin::echo().await)]);
    stage
}

async fn seen(stage: &Stage, headers: &str) -> String {
    stage
        .raw(format!(
            "GET / HTTP/1.1\r\nHost: f.test\r\n{headers}Connection: close\r\n\r\n"
        ))
        .await
}

#[tokio::test]
async fn forged_internal_headers_never_reach_the_function() {
    let stage = stage_with(config()).await;
    let forged = [
        "K-Proxy-Request: activator",
        "K-Original-Host: other",
        "K-Network-Probe: queue",
        "K-Network-Hash: 1",
        "K-Kubelet-Probe: queue",
        "K-Passthrough-Lb: true",
        "Knative-Serving-Revision: other",
        "Knative-Serving-Namespace: other",
        "Knative-Serving-Tag: other",
        "Knative_Serving_Tag: other",
        "X-KEDA-HTTP-Cold-Start: true",
        "X-Zeron-Reason: other",
        "Proxy-Authorization: other",
        "Proxy-Connection: other",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
    ];
    for header in forged {
        let answer = seen(&stage, &format!("{header}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{header}: {answer}");
        let name = header.split(':').next().unwrap().to_ascii_lowercase();
        assert!(!answer.contains(&format!("{name}:")), "{header}: {answer}");
    }
    let answer = seen(&stage, "User-Agent: kube-probe/1.34\r\n").await;
    assert!(
        answer.contains("user-agent: kube-probe/1.34"),
        "served like any: {answer}"
    );
}

#[tokio::test]
async fn strangers_cannot_say_whom_they_forward_for() {
    let stage = stage_with(config()).await;
    let answer = seen(
        &stage,
        "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
         X-Forwarded-Port: 1\r\nX_Forwarded_For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\n\
         X-Real-IP: 10.0.0.1\r\n",
    )
    .await;
    assert!(!answer.contains("10.0.0.1"), "{answer}");
    assert!(!answer.contains("evil"), "{answer}");
    assert!(!answer.contains("x-forwarded-port"), "{answer}");
    for wanted in [
        "x-forwarded-for: 127.0.0.1\n",
        "x-forwarded-proto: http\n",
        "x-forwarded-host: f.test\n",
        "forwarded: for=127.0.0.1;host=\"f.test\";proto=http\n",
    ] {
        assert!(answer.contains(wanted), "{wanted}: {answer}");
    }
}

#[tokio::test]
async fn trusted_proxies_are_believed_and_added_to() {
    let stage = stage_with(Config {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..config()
    })
    .await;
    let answer = seen(
        &stage,
        "X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Proto: https\r\nConnection: x-forwarded-for\r\n",
    )
    .await;
    assert!(
        answer.contains("x-forwarded-for: 192.0.2.9, 127.0.0.1\n"),
        "{answer}"
    );
    assert!(answer.contains("x-forwarded-proto: https\n"), "{answer}");
}

#[tokio::test]
async fn connection_takes_away_what_it_names_but_nothing_that_protects() {
    let stage = stage_with(config()).await;
    let answer = seen(
        &stage,
        "X-Hop: 1\r\nAuthorization: me\r\nTE: trailers, deflate\r\nKeep-Alive: 5\r\n\
         Connection: x-hop, authorization, x-forwarded-for, host\r\n",
    )
    .await;
    assert!(!answer.contains("x-hop"), "{answer}");
    assert!(!answer.contains("keep-alive:"), "{answer}");
    for kept in [
        "authorization: me\n",
        "x-forwarded-for: 127.0.0.1\n",
        "host: f.test\n",
    ] {
        assert!(answer.contains(kept), "{kept}: {answer}");
    }
    assert!(answer.contains("te: trailers\n"), "{answer}");
}

#[tokio::test]
async fn a_trace_is_passed_on_or_begun() {
    let stage = stage_with(config()).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = seen(&stage, &format!("traceparent: {trace}\r\n")).await;
    assert!(
        answer.contains(&format!("traceparent: {trace}\n")),
        "{answer}"
    );
    let answer = seen(&stage, "").await;
    assert!(answer.contains("traceparent: 00-"), "{answer}");
}

#[tokio::test]
async fn the_proxy_protocol_names_the_client() {
    let stage = stage_with(Config {
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        proxy_protocol: true,
        ..config()
    })
    .await;
    let answer = stage
        .raw(
            "PROXY TCP4 192.0.2.7 192.0.2.1 1234 80\r\nGET / HTTP/1.1\r\nHost: f.test\r\n\
             X-Forwarded-For: forged\r\nConnection: close\r\n\r\n",
        )
        .await;
    assert!(answer.contains("x-forwarded-for: 192.0.2.7\n"), "{answer}");
    assert_eq!(seen(&stage, "").await, "", "no header, no service");
}

#[tokio::test]
async fn without_trust_a_proxy_header_is_no_request() {
    let stage = stage_with(Config {
        proxy_protocol: true,
        ..config()
    })
    .await;
    let answer = stage
        .raw("PROXY TCP4 192.0.2.7 192.0.2.1 1234 80\r\nGET / HTTP/1.1\r\nHost: f.test\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}
