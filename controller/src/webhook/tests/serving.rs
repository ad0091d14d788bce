//! The server over a real connection.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::super::certificate::Certificate;
use super::super::review::MAX_BODY;
use super::super::server::{Identity, Server};
use super::admission::{Known, question};

const NAME: &str = "zeron-webhook.zeron-system.svc";

/// A server that shows `certificate`; its address.
async fn served(certificate: &Certificate) -> std::net::SocketAddr {
    let identity = Arc::new(Identity::default());
    identity.show(certificate).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(Known::default(), identity, Duration::from_secs(2));
    tokio::spawn(async move { server.run(listener).await });
    address
}

fn made() -> Certificate {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    Certificate::make(&[NAME.to_owned()], None, now).unwrap()
}

/// Status line and body of the answer to one request.
async fn ask(address: std::net::SocketAddr, bundle: &str, body: &[u8]) -> (String, String) {
    let pem = STANDARD.decode(bundle).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await.unwrap();
    let head = format!(
        "POST /validate?timeout=3s HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // A refusal may come before all of it is sent.
    stream.write_all(body).await.ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[tokio::test]
async fn a_review_is_answered_to_who_trusts_the_bundle() {
    let certificate = made();
    let address = served(&certificate).await;
    let object = json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"scaleTargetRef": {"name": "app"}, "triggers": [{"type": "kafka", "metadata": {}}]},
    });
    let body = question(&object).to_string();
    let (status, answer) = ask(address, &certificate.bundle(), body.as_bytes()).await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["response"]["allowed"], true);
}

#[tokio::test]
async fn what_is_too_long_or_no_review_is_refused() {
    let certificate = made();
    let address = served(&certificate).await;
    let (status, _) = ask(address, &certificate.bundle(), &vec![b' '; MAX_BODY + 1]).await;
    assert!(status.contains("413"), "{status}");
    let (status, _) = ask(address, &certificate.bundle(), b"{}").await;
    assert!(status.contains("400"), "{status}");
}
