//! In the place of Knative's activator: TLS from gateways and towards queue-proxies.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use support::knative::{knative, request, rev, timed};
use support::{Stage, replica, soon};
use tokio::io::AsyncWriteExt;
use zeron_activator::{Config, Dialect, Knative};
use zeron_core::function::Timeouts;

/// A queue-proxy that speaks TLS with a certificate for `names`, and the authority behind it.
async fn tls_queue_proxy(address: SocketAddr, names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(names).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut tls) = acceptor.accept(stream).await {
                let mut head = [0; 4096];
                tokio::io::AsyncReadExt::read(&mut tls, &mut head)
                    .await
                    .ok();
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret";
                tls.write_all(answer).await.ok();
                tls.shutdown().await.ok();
            }
        }
    });
    authority_pem
}

fn internal_tls() -> Stage {
    let stage = Stage::with(Config {
        dialect: Dialect::Knative(Knative {
            has_internal_tls: true,
            ..Knative::default()
        }),
        ..knative()
    });
    stage.publish(
        Vec::new(),
        vec![timed(Timeouts {
            request: Some(Duration::from_secs(1)),
            ..Timeouts::default()
        })],
    );
    stage
}

#[tokio::test]
async fn with_internal_tls_only_queue_proxies_of_the_namespace_are_spoken_to() {
    let stage = internal_tls();
    // Theirs is port 8112, whatever the port that is known of them.
    let ours = "127.81.12.1:8112".parse().unwrap();
    let names = ["data-plane.knative.dev", "kn-user-ns"];
    let authority = tls_queue_proxy(ours, &names).await;
    stage.replicas(&rev(), &[replica(1, "127.81.12.1:8012".parse().unwrap())]);
    let answer = stage.raw(request("")).await;
    assert!(
        answer.starts_with("HTTP/1.1 504"),
        "nobody vouches: {answer}"
    );
    stage
        .activator
        .set_authorities(authority.as_bytes())
        .unwrap();
    let answer = stage.raw(request("")).await;
    assert!(answer.ends_with("secret"), "{answer}");
    let theirs = "127.81.12.2:8112".parse().unwrap();
    let names = ["data-plane.knative.dev", "kn-user-other"];
    let authority = tls_queue_proxy(theirs, &names).await;
    stage
        .activator
        .set_authorities(authority.as_bytes())
        .unwrap();
    stage.replicas(&rev(), &[replica(2, "127.81.12.2:8012".parse().unwrap())]);
    let answer = stage.raw(request("")).await;
    assert!(
        answer.starts_with("HTTP/1.1 504"),
        "of another namespace: {answer}"
    );
}

#[tokio::test]
async fn a_certificate_that_comes_later_is_served_from_then_on() {
    let stage = Stage::with(Config {
        pushed_tls: Some("127.0.0.1:0".parse().unwrap()),
        ..knative()
    });
    let address = stage.activator.addresses()[1];
    let made = rcgen::generate_simple_self_signed(vec!["kn-routing".to_owned()]).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let connect = async || {
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        soon(connector.connect("kn-routing".try_into().unwrap(), tcp)).await
    };
    assert!(connect().await.is_err());
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let set = |chain: &str| {
        stage
            .activator
            .set_certificate(chain.as_bytes(), key.as_bytes())
    };
    set(&chain).unwrap();
    assert!(set("").is_err(), "what was there stays");
    let mut tls = connect().await.unwrap();
    let health = "GET / HTTP/1.1\r\nhost: x\r\nk-network-probe: activator\r\n\
                  connection: close\r\n\r\n";
    tls.write_all(health.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::io::AsyncReadExt::read_to_string(&mut tls, &mut answer);
    soon(read).await.ok();
    assert!(answer.ends_with("activator"), "{answer}");
}
