//! TLS ends at the ingress.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use zeron_tests::manifest::host;
use zeron_tests::servers::nginx::{Annotations, Nginx};
use zeron_tests::{PATIENCE, Service};

use super::{Site, header};

/// The whole answer to a request over TLS that asks for the connection to be closed.
async fn ask(nginx: &Nginx, request: &str) -> String {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from(nginx.certificate().to_vec());
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(nginx.tls()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_function_is_told_that_its_client_came_by_tls() {
    const TEST: &str = "tls::the_function_is_told_that_its_client_came_by_tls";
    let Some(site) = Site::up(TEST, &Service::new("echo"), Annotations::default()) else {
        return;
    };
    let request = format!(
        "GET /echo HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        host("echo")
    );
    let answer = timeout(PATIENCE, ask(&site.nginx, &request)).await.unwrap();
    let (start, end) = (answer.find('{').unwrap(), answer.rfind('}').unwrap());
    let echo = serde_json::from_str(&answer[start..=end]).unwrap();
    assert_eq!(header(&echo, "x-forwarded-proto"), ["https"]);
    let port = site.nginx.tls().port().to_string();
    assert_eq!(header(&echo, "x-forwarded-port"), [port]);
    assert_eq!(header(&echo, "host"), [host("echo")]);
}
