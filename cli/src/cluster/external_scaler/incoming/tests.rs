//! Who gets in, and who is sent away. Streams in memory where a clock that is paused decides.
#![allow(clippy::unwrap_used)]

use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpSocket;
use tokio::time::Instant;

use super::peers::MOST_OF_A_PEER;
use super::*;

fn place() -> Place {
    let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    Place {
        _room: room,
        _seat: Peers::default().sit(nobody().ip()).unwrap(),
    }
}

fn nobody() -> SocketAddr {
    "192.0.2.1:9".parse().unwrap()
}

fn entering(
    tls: Option<TlsAcceptor>,
) -> (DuplexStream, tokio::task::JoinHandle<Option<Connection>>) {
    let (client, server) = duplex(64 << 10);
    (client, tokio::spawn(enter(server, nobody(), tls, place())))
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_too_little_is_sent_away_after_ten_seconds() {
    for said in [0, 1, PREFACE.len() - 1] {
        let begin = Instant::now();
        let (mut client, entered) = entering(None);
        client.write_all(&PREFACE[..said]).await.unwrap();
        assert!(entered.await.unwrap().is_none(), "{said}");
        assert_eq!(begin.elapsed().as_secs(), 10, "{said}");
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0, "closed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_shakes_hands_and_is_silent_is_sent_away_too() {
    let authority = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (authority.cert.pem(), authority.signing_key.serialize_pem());
    let config = super::super::tls::config(certificate.as_bytes(), key.as_bytes(), None).unwrap();
    let (client, entered) = entering(Some(TlsAcceptor::from(Arc::new(config))));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let begin = Instant::now();
    let name = "localhost".try_into().unwrap();
    let _client = connector.connect(name, client).await.unwrap();
    assert!(entered.await.unwrap().is_none());
    assert_eq!(begin.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn another_protocol_is_sent_away_at_once() {
    let begin = Instant::now();
    let (mut client, entered) = entering(None);
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(entered.await.unwrap().is_none());
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn the_preface_is_there_to_be_read_and_what_follows_it() {
    let (mut client, entered) = entering(None);
    client.write_all(PREFACE).await.unwrap();
    client.write_all(b"settings").await.unwrap();
    let mut connection = entered.await.unwrap().unwrap();
    let mut read = [0; PREFACE.len() + 8];
    connection.read_exact(&mut read[..5]).await.unwrap();
    connection.read_exact(&mut read[5..]).await.unwrap();
    assert_eq!(&read[..PREFACE.len()], PREFACE);
    assert_eq!(&read[PREFACE.len()..], b"settings");
}

#[tokio::test]
async fn one_peer_leaves_room_for_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut accepted = Box::pin(incoming(listener, None));
    let mut kept = Vec::new();
    for _ in 0..MOST_OF_A_PEER {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(PREFACE).await.unwrap();
        kept.push((client, accepted.next().await.unwrap().unwrap()));
    }
    let mut refused = TcpStream::connect(address).await.unwrap();
    let other = TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(address).await.unwrap();
    other.write_all(PREFACE).await.unwrap();
    assert!(accepted.next().await.is_some(), "the other peer comes in");
    assert_eq!(refused.read(&mut [0; 8]).await.unwrap(), 0, "closed");
}
