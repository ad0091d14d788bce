//! What passes to a pod beside HTTP/1.1: HTTP/2 from clients, gRPC, WebSockets.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use zeron_tests::cluster::Program;
use zeron_tests::h2c::{Client, Whole};
use zeron_tests::until;

use super::declare::{function, http_scaled};
use super::http::until_routed;
use super::site::{DEPLOYMENT, Guest, Site};

/// One request over HTTP/2.
fn post(site: &Guest, host: &str, path: &str, kind: &str) -> Whole {
    let request = Request::builder()
        .method("POST")
        .uri(format!("http://{host}{path}"))
        .header("content-type", kind)
        .header("te", "trailers")
        .body(Full::<Bytes>::from("message"))
        .unwrap();
    let address = site.roles.activators[0].listen();
    let exchange = async {
        let mut client = Client::connect(address).await?;
        client.whole(request).await
    };
    site.namespace.cluster().block_on(exchange).unwrap()
}

#[test]
fn grpc_passes_cold_and_warm_to_a_service_that_speaks_http2() {
    let Some(site) = Site::get("grpc_passes_cold_and_warm") else {
        return;
    };
    let namespace = &site.namespace;
    let image = namespace.cluster().image(Program::Origin);
    namespace.apply(&format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: grpc }}
spec:
  replicas: 0
  selector: {{ matchLabels: {{ app: grpc }} }}
  template:
    metadata: {{ labels: {{ app: grpc }} }}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - {{ name: function, image: {image}, imagePullPolicy: Never, ports: [{{ containerPort: 8080 }}] }}
---
apiVersion: v1
kind: Service
metadata: {{ name: grpc }}
spec:
  selector: {{ app: grpc }}
  ports: [{{ port: 80, targetPort: 8080, appProtocol: kubernetes.io/h2c }}]
"
    ));
    namespace.apply(&http_scaled("grpc", "", ""));
    until("the host to be routed", || {
        let answer = post(&site, "grpc.example", "/pkg.Echo/Say", "application/grpc");
        // gRPC's own words for a host that nobody has.
        (answer
            .head
            .headers
            .get("grpc-status")
            .is_none_or(|status| status != "12"))
        .then_some(())
    });
    for state in ["warm", "cold"] {
        if state == "cold" {
            namespace.wait_replicas(DEPLOYMENT, "grpc", 0);
        }
        let answer = post(&site, "grpc.example", "/pkg.Echo/Say", "application/grpc");
        assert_eq!(answer.head.status, 200, "{state}");
        assert_eq!(answer.head.headers["x-path"], "/pkg.Echo/Say");
        assert_eq!(answer.body, "message");
        assert_eq!(answer.trailers["grpc-status"], "0");
    }
}

#[test]
fn an_http2_client_reaches_a_pod_that_speaks_http1() {
    let Some(site) = Site::get("an_http2_client_reaches_a_pod_that_speaks_http1") else {
        return;
    };
    let namespace = &site.namespace;
    function(namespace, "mixed", 0);
    namespace.apply(&http_scaled("mixed", "", ""));
    until_routed(&site, "mixed.example");
    let answer = post(&site, "mixed.example", "/echo?x=1", "text/plain");
    let echo: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (&echo["target"], &echo["text"]),
        (&"/echo?x=1".into(), &"message".into())
    );
}

#[test]
fn a_websocket_opens_cold_and_keeps_its_pod_awake() {
    let Some(site) = Site::get("a_websocket_opens_cold") else {
        return;
    };
    let namespace = &site.namespace;
    function(namespace, "socket", 0);
    namespace.apply(&http_scaled("socket", "", ""));
    until_routed(&site, "socket.example");
    namespace.wait_replicas(DEPLOYMENT, "socket", 0);
    let mut client = site.roles.activators[0].connect();
    client.send("GET /ws HTTP/1.1\r\nHost: socket.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    assert_eq!(client.response().status, 101);
    let echoes = |client: &mut zeron_tests::Raw| {
        client.send(masked(0x81, b"hello"));
        assert_eq!(client.exactly(7), b"\x81\x05hello");
    };
    echoes(&mut client);
    // The cooldown is 2 s.
    let awhile = std::time::Duration::from_secs(6);
    zeron_tests::wait::throughout(awhile, "it stays", || {
        namespace.replicas(DEPLOYMENT, "socket") == 1
    });
    echoes(&mut client);
    drop(client);
    namespace.wait_replicas(DEPLOYMENT, "socket", 0);
}

/// A frame as clients send it (RFC 6455 section 5.2).
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let length = u8::try_from(payload.len()).unwrap();
    let mut frame = vec![first, 0x80 | length];
    frame.extend(MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}
