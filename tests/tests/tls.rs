//! Requests over TLS with a given certificate.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use zeron_tests::manifest::host;
use zeron_tests::{PATIENCE, Service, Setup, Zeron, free_address};

/// A zeron that serves HTTPS as well, and what its clients must know.
struct Secure {
    /// Held for as long as it shall run.
    _zeron: Zeron,
    _folder: tempfile::TempDir,
    address: std::net::SocketAddr,
    certificate: CertificateDer<'static>,
}

impl Secure {
    fn up() -> Self {
        let name = host("hello");
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([name]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );
        std::fs::write(&certificate, cert.pem()).unwrap();
        std::fs::write(&key, signing_key.serialize_pem()).unwrap();
        let address = free_address();
        let args = [
            "--tls-listen",
            &address.to_string(),
            "--tls-cert",
            certificate.to_str().unwrap(),
            "--tls-key",
            key.to_str().unwrap(),
        ];
        let zeron = Setup::new()
            .function(&Service::new("hello"))
            .args(&args)
            .up();
        let certificate = cert.der().clone();
        Self {
            _zeron: zeron,
            _folder: folder,
            address,
            certificate,
        }
    }

    /// Connects as a client that offers `protocol`.
    async fn connect(&self, protocol: &str) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(host("hello")).unwrap();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = timeout(PATIENCE, connecting).await.unwrap().unwrap();
        assert_eq!(
            stream.get_ref().1.alpn_protocol(),
            Some(protocol.as_bytes())
        );
        stream
    }
}

#[tokio::test]
async fn http1_over_tls_wakes_a_function() {
    let secure = Secure::up();
    let mut stream = secure.connect("http/1.1").await;
    let head = format!(
        "GET /echo HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        host("hello")
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains(r#"["x-forwarded-proto","https"]"#),
        "{answer}"
    );
}

#[tokio::test]
async fn http2_over_tls_wakes_a_function() {
    let secure = Secure::up();
    let stream = TokioIo::new(secure.connect("h2").await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
            .await
            .unwrap();
    tokio::spawn(connection);
    let uri = format!("https://{}/", host("hello"));
    let request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
    let answer = timeout(PATIENCE, sender.send_request(request))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "Hello from hello-00001\n");
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_is_turned_away_and_others_are_served() {
    let secure = Secure::up();
    let mut plain = TcpStream::connect(secure.address).await.unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    // A reset is as good as an end; an alert may come first.
    drop(
        timeout(PATIENCE, plain.read_to_end(&mut answer))
            .await
            .unwrap(),
    );
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    secure.connect("http/1.1").await;
}
