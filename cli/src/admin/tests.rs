//! The admin API over real sockets, in front of a fake node.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::address::AdminAddress;
use crate::client::{Client, ClientError};
use crate::control::{ApplyRequest, LogFile, ObjectName, Shards, SourceText};
use crate::testkit::{FakeControl, deployment, revision};

const TOKEN: &str = "0123456789abcdef";
const LIMIT: Duration = Duration::from_secs(20);

struct Running {
    address: AdminAddress,
    control: Arc<FakeControl>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn start(control: FakeControl, address: &str, token: Option<Token>) -> Running {
    let server = AdminServer::bind(&address.parse().unwrap(), token)
        .await
        .unwrap();
    let address = server.address().clone();
    let control = Arc::new(control);
    let mut registry = Registry::default();
    registry.register("zeron_test_things", "Things", Counter::<u64>::default());
    let parts = AdminParts {
        control: Arc::clone(&control) as _,
        metrics: Arc::new(registry),
    };
    let stop = CancellationToken::new();
    let task = tokio::spawn(server.run(parts, stop.clone()));
    Running {
        address,
        control,
        stop,
        task,
    }
}

async fn on_loopback(control: FakeControl) -> Running {
    start(control, "127.0.0.1:0", None).await
}

fn client(running: &Running) -> Client {
    Client::new(running.address.clone(), None).unwrap()
}

/// Sends one raw request and gives the whole answer.
async fn raw(running: &Running, request: &str) -> String {
    let AdminAddress::Tcp(authority) = &running.address else {
        panic!("not TCP")
    };
    let mut stream = TcpStream::connect(authority).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(LIMIT, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    answer
}

async fn get(running: &Running, path: &str) -> String {
    raw(
        running,
        &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"),
    )
    .await
}

fn source(text: &str) -> ApplyRequest {
    let source = SourceText {
        name: "a.yaml".to_owned(),
        folder: PathBuf::from("/srv"),
        text: text.to_owned(),
    };
    ApplyRequest {
        sources: vec![source],
        is_strict: false,
    }
}

#[tokio::test]
async fn functions_come_over_tcp_as_the_node_has_them() {
    let views = vec![revision("hello", 1, 100), deployment("worker")];
    let running = on_loopback(FakeControl {
        views: views.clone(),
        ..Default::default()
    })
    .await;
    assert_eq!(client(&running).functions(None).await.unwrap(), views);
    assert!(
        client(&running)
            .functions(Some("shop"))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn functions_come_over_a_unix_socket_that_only_its_owner_may_open() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let views = vec![deployment("worker")];
    let control = FakeControl {
        views: views.clone(),
        ..Default::default()
    };
    let running = start(control, &format!("unix:{}", path.display()), None).await;
    assert_eq!(client(&running).functions(None).await.unwrap(), views);
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    running.stop.cancel();
    tokio::time::timeout(LIMIT, running.task)
        .await
        .unwrap()
        .unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_left_by_a_dead_process_is_replaced_but_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let address = AdminAddress::Unix(path.clone());
    let first = AdminServer::bind(&address, None).await.unwrap();
    let error = AdminServer::bind(&address, None).await.unwrap_err();
    assert!(matches!(error, AdminError::SocketInUse(_)), "{error:?}");
    drop(first);
    std::fs::write(&path, "not a socket").unwrap();
    let error = AdminServer::bind(&address, None).await.unwrap_err();
    assert!(matches!(error, AdminError::NotASocket(_)), "{error:?}");
}

#[tokio::test]
async fn off_loopback_a_token_is_needed_to_listen() {
    let address: AdminAddress = "0.0.0.0:0".parse().unwrap();
    let error = AdminServer::bind(&address, None).await.unwrap_err();
    assert!(matches!(error, AdminError::NeedsToken(_)), "{error:?}");
}

#[tokio::test]
async fn with_a_token_only_its_holders_are_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, format!("{TOKEN}\n")).unwrap();
    let token = Token::read(&path).unwrap();
    let running = start(FakeControl::default(), "127.0.0.1:0", Some(token)).await;
    let error = client(&running).functions(None).await.unwrap_err();
    let ClientError::Refused(problem) = error else {
        panic!("{error:?}")
    };
    assert_eq!(problem.status, 401);
    assert!(get(&running, "/metrics").await.starts_with("HTTP/1.1 401 "));
    assert!(get(&running, "/healthz").await.starts_with("HTTP/1.1 200 "));
    let holder = Client::new(running.address.clone(), Some(&path)).unwrap();
    assert!(holder.functions(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn web_pages_are_kept_out() {
    let running = on_loopback(FakeControl::default()).await;
    let rebound = "GET /v1/functions HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert!(raw(&running, rebound).await.starts_with("HTTP/1.1 403 "));
    let forged = "POST /v1/apply HTTP/1.1\r\nhost: localhost\r\norigin: http://evil.example\r\n\
                  content-type: text/yaml\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    assert!(raw(&running, forged).await.starts_with("HTTP/1.1 403 "));
    assert!(running.control.applied.lock().is_empty());
}

#[tokio::test]
async fn readiness_is_told_with_its_reasons() {
    let running = on_loopback(FakeControl {
        is_unready: true,
        ..Default::default()
    })
    .await;
    let answer = get(&running, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.ends_with(r#"{"isReady":false,"reasons":["draining"]}"#),
        "{answer}"
    );
    assert!(get(&running, "/healthz").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn metrics_are_openmetrics_text() {
    let running = on_loopback(FakeControl::default()).await;
    let answer = get(&running, "/metrics").await;
    assert!(
        answer.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{answer}"
    );
    assert!(answer.contains("zeron_test_things_total 0"), "{answer}");
    assert!(answer.contains("# EOF"), "{answer}");
}

#[tokio::test]
async fn manifests_are_handed_over_with_their_folder() {
    let running = on_loopback(FakeControl::default()).await;
    let report = client(&running).apply(&source("good")).await.unwrap();
    assert_eq!(report.objects.len(), 1);
    assert_eq!(*running.control.applied.lock(), [source("good")]);
}

#[tokio::test]
async fn wrong_manifests_come_back_with_every_problem() {
    let running = on_loopback(FakeControl::default()).await;
    let error = client(&running).apply(&source("bad")).await.unwrap_err();
    let ClientError::Refused(problem) = error else {
        panic!("{error:?}")
    };
    assert_eq!(problem.status, 422);
    let line = problem.problems[0].to_string();
    assert_eq!(
        line,
        "a.yaml:3:5: error: Service default/hello: spec.template: missing"
    );
}

#[tokio::test]
async fn plain_yaml_is_taken_and_other_types_are_not() {
    let running = on_loopback(FakeControl::default()).await;
    let post = |kind: &str| {
        format!(
            "POST /v1/apply HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n\
             content-length: 4\r\nconnection: close\r\n\r\ngood"
        )
    };
    assert!(
        raw(&running, &post("application/yaml"))
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    assert!(
        raw(&running, &post("text/plain"))
            .await
            .starts_with("HTTP/1.1 415 ")
    );
    assert_eq!(running.control.applied.lock().len(), 1);
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused() {
    let running = on_loopback(FakeControl::default()).await;
    let head = "POST /v1/apply HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/yaml\r\n\
                content-length: 99999999\r\nconnection: close\r\n\r\n";
    assert!(raw(&running, head).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn deleting_what_is_not_there_is_told() {
    let control = FakeControl {
        views: vec![deployment("worker")],
        ..Default::default()
    };
    let running = on_loopback(control).await;
    let name = |name: &str| ObjectName {
        kind: "Deployment".to_owned(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
    };
    client(&running).delete(&name("worker")).await.unwrap();
    assert_eq!(*running.control.deleted.lock(), [name("worker")]);
    let error = client(&running).delete(&name("gone")).await.unwrap_err();
    assert_eq!(error.to_string(), "Deployment default/gone does not exist");
}

#[tokio::test]
async fn followed_logs_go_on_until_the_reader_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("worker-7.log");
    std::fs::write(&path, "one\n").unwrap();
    let view = deployment("worker");
    let control = FakeControl {
        views: vec![view.clone()],
        logs: Mutex::new(vec![LogFile {
            replica: "worker-7".to_owned(),
            path: path.clone(),
        }]),
        ..Default::default()
    };
    let running = on_loopback(control).await;
    let mut text = String::new();
    let query = [("follow", "true".to_owned())];
    let client = client(&running);
    let reading = client.logs(&view, &query, |chunk| {
        text.push_str(std::str::from_utf8(chunk).unwrap());
        if text.contains("two") {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        std::fs::write(&path, "one\ntwo\n")
    });
    let end = tokio::time::timeout(LIMIT, reading).await.unwrap().unwrap();
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(text, "[worker-7] one\n[worker-7] two\n");
}

#[tokio::test]
async fn nobody_there_says_what_to_do() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = AdminAddress::from(listener.local_addr().unwrap());
    drop(listener);
    let error = Client::new(address.clone(), None)
        .unwrap()
        .functions(None)
        .await
        .unwrap_err();
    let text = format!("no zeron is running at {address}: start one with `zeron up PATH`");
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn an_autoscaler_says_of_which_shards_its_functions_are() {
    let shards = Shards {
        count: 4,
        held: [0, 2].into(),
    };
    let control = FakeControl {
        shards: Some(shards.clone()),
        ..Default::default()
    };
    let running = on_loopback(control).await;
    assert_eq!(
        client(&running).list(None).await.unwrap().shards,
        Some(shards)
    );
    let answer = get(&running, "/v1/functions").await;
    assert!(
        answer.ends_with(r#""shards":{"count":4,"held":[0,2]}}"#),
        "{answer}"
    );
    let alone = on_loopback(FakeControl::default()).await;
    let answer = get(&alone, "/v1/functions").await;
    assert!(answer.ends_with(r#"{"functions":[]}"#), "{answer}");
}

#[tokio::test]
async fn unknown_functions_and_paths_are_problems_in_json() {
    let running = on_loopback(FakeControl::default()).await;
    for path in ["/v1/functions/default/nobody", "/nothing"] {
        let answer = get(&running, path).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        assert!(
            answer.contains("content-type: application/problem+json"),
            "{answer}"
        );
    }
}
