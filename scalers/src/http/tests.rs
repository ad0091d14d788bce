use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use super::*;

const SOON: Duration = Duration::from_secs(5);

/// Answers every connection with `answer`, and gives back what was asked.
fn serve(answer: &'static str) -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, receiver) = std::sync::mpsc::sync_channel(64);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut buffer = [0; 4096];
            let length = connection.read(&mut buffer).unwrap_or(0);
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            // Who asked may be gone: neither failure is the test's.
            let _written = connection.write_all(answer.as_bytes());
            if asked.send(text).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

fn client(policy: AddressPolicy) -> HttpClient {
    HttpClient::new(policy, &TlsSettings::default())
}

async fn get(policy: AddressPolicy, url: &str) -> Result<Answer, Unknown> {
    let url = parse_url(url).unwrap();
    client(policy).get(&url, &[], None, SOON).await
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n42";

#[tokio::test]
async fn headers_credentials_and_the_body_arrive() {
    let (address, asked) = serve(OK);
    let url = parse_url(&format!("http://{address}/a/b?c=d")).unwrap();
    let headers = [("X-Scope".to_owned(), Secret::new("tenant"))];
    let basic = ("user".to_owned(), Secret::new("pass"));
    let answer = client(AddressPolicy::MACHINE)
        .get(&url, &headers, Some(&basic), SOON)
        .await;
    assert_eq!(answer.unwrap().body().unwrap(), b"42");
    let asked = asked.recv().unwrap().to_lowercase();
    assert!(asked.starts_with("get /a/b?c=d http/1.1\r\n"), "{asked}");
    assert!(asked.contains("x-scope: tenant"), "{asked}");
    assert!(
        asked.contains("authorization: basic dxnlcjpwyxnz"),
        "{asked}"
    );
}

#[tokio::test]
async fn addresses_are_refused_as_literals_and_as_names() {
    let (address, _asked) = serve(OK);
    let port = address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0x7f.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
    ] {
        let error = get(AddressPolicy::CLUSTER, &format!("http://{host}:{port}/"))
            .await
            .unwrap_err();
        assert_eq!(
            error.kind,
            UnknownKind::Configuration,
            "{host}: {}",
            error.message
        );
        assert!(error.message.contains("reach"), "{}", error.message);
    }
    let metadata = get(AddressPolicy::MACHINE, "http://169.254.169.254/latest").await;
    assert_eq!(metadata.unwrap_err().kind, UnknownKind::Configuration);
}

#[tokio::test]
async fn a_redirect_is_an_error_that_says_so() {
    let (address, _asked) = serve(
        "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    );
    let error = get(AddressPolicy::MACHINE, &format!("http://{address}/"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, UnknownKind::Transport);
    assert!(
        error.message.contains("redirects are not followed"),
        "{}",
        error.message
    );
    assert!(!error.message.contains("169.254"), "{}", error.message);
}

#[tokio::test]
async fn statuses_have_their_kinds() {
    for (answer, kind) in [
        (
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
            UnknownKind::Authentication,
        ),
        (
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
            UnknownKind::Authentication,
        ),
        (
            "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
            UnknownKind::Transport,
        ),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            UnknownKind::Missing,
        ),
    ] {
        let (address, _asked) = serve(answer);
        let read = get(AddressPolicy::MACHINE, &format!("http://{address}/")).await;
        let error = read.unwrap().body_or_missing("the thing").unwrap_err();
        assert_eq!(error.kind, kind, "{}", error.message);
        assert!(
            error.message.contains(&address.to_string()),
            "{}",
            error.message
        );
    }
}

#[tokio::test]
async fn garbage_and_short_bodies_are_transport_errors() {
    for answer in [
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\n42",
    ] {
        let (address, _asked) = serve(answer);
        let error = get(AddressPolicy::MACHINE, &format!("http://{address}/"))
            .await
            .unwrap_err();
        assert_eq!(error.kind, UnknownKind::Transport, "{}", error.message);
    }
}

#[tokio::test]
async fn bodies_are_cut_off_at_the_limit() {
    let (address, _asked) = serve("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n0123456789");
    let url = parse_url(&format!("http://{address}/")).unwrap();
    let small = client(AddressPolicy::MACHINE).with_max_body(9);
    let error = small.get(&url, &[], None, SOON).await.unwrap_err();
    assert!(
        error.message.contains("more than 9 bytes"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn who_is_not_there_is_named_without_path_query_or_password() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://user:canary@{address}/canary?token=canary");
    let error = get(AddressPolicy::MACHINE, &url).await.unwrap_err();
    assert_eq!(error.kind, UnknownKind::Transport);
    assert!(
        error.message.contains(&address.to_string()),
        "{}",
        error.message
    );
    assert!(!error.message.contains("canary"), "{}", error.message);
}

#[tokio::test]
async fn silence_ends_at_the_deadline_also_for_those_who_wait_for_a_slot() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = parse_url(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let client = client(AddressPolicy::MACHINE);
    let deadline = Duration::from_millis(300);
    let began = std::time::Instant::now();
    let all = (0..3 * MAX_REQUESTS).map(|_| client.get(&url, &[], None, deadline));
    for answer in futures_util::future::join_all(all).await {
        assert_eq!(answer.unwrap_err().kind, UnknownKind::Timeout);
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[tokio::test]
async fn headers_that_are_none_are_named_without_their_values() {
    let url = parse_url("http://127.0.0.1:1/").unwrap();
    for (name, value) in [("a b", "canary"), ("a", "canary\n")] {
        let headers = [(name.to_owned(), Secret::new(value))];
        let client = client(AddressPolicy::MACHINE);
        let error = client.get(&url, &headers, None, SOON).await.unwrap_err();
        assert_eq!(error.kind, UnknownKind::Configuration);
        assert!(!error.message.contains("canary"), "{}", error.message);
    }
}

#[test]
fn forms_are_encoded_as_the_standard_says() {
    let form = [
        ("scope".to_owned(), Secret::new("a b&c")),
        ("x".to_owned(), Secret::new("ü")),
    ];
    assert_eq!(encode(&form), "scope=a+b%26c&x=%C3%BC");
}

#[test]
fn only_http_and_https_are_urls_here() {
    for text in [
        "ftp://host/",
        "host:80",
        "",
        "http://",
        "file:///etc/passwd",
    ] {
        assert!(parse_url(text).is_err(), "{text}");
    }
    let url = parse_url("https://user:canary@host/canary").unwrap();
    assert_eq!(shown(&url), "https://host:443");
}
