//! gRPC through `grpc_pass`.

use bytes::Bytes;
use futures_util::StreamExt;
use http::Request;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::time::timeout;
use zeron_tests::h2c::Client;
use zeron_tests::manifest::host;
use zeron_tests::servers::nginx::Annotations;
use zeron_tests::{PATIENCE, Service};

use super::Site;

/// A function that speaks HTTP/2 itself.
fn site(test: &str) -> Option<Site> {
    let program = env!("CARGO_BIN_EXE_h2c-origin");
    let service = Service::new("grpc").command(&[program]).h2c();
    Site::up(test, &service, Annotations::default())
}

fn call<B>(function: &str, body: B) -> Request<B> {
    Request::builder()
        .method("POST")
        .uri(format!("http://{}/pkg.Echo/Say", host(function)))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn a_call_passes_with_its_trailers_cold_and_warm() {
    let Some(site) = site("grpc::a_call_passes_with_its_trailers_cold_and_warm") else {
        return;
    };
    let mut client = Client::connect(site.nginx.http2()).await.unwrap();
    for state in ["cold", "warm"] {
        let request = call("grpc", Full::<Bytes>::from("message"));
        let answer = client.whole(request).await.unwrap();
        assert_eq!(answer.head.status, 200, "{state}");
        assert_eq!(answer.head.headers["x-path"], "/pkg.Echo/Say");
        assert_eq!(answer.body, "message");
        assert_eq!(answer.trailers["grpc-status"], "0", "{state}");
    }
}

#[tokio::test]
async fn both_directions_stream_at_the_same_time() {
    let Some(site) = site("grpc::both_directions_stream_at_the_same_time") else {
        return;
    };
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let body = StreamBody::new(Box::pin(
        pieces.map(|piece| Ok::<_, std::io::Error>(Frame::data(piece))),
    ));
    let mut client = Client::connect(site.nginx.http2()).await.unwrap();
    let answer = client.head(call("grpc", body)).await.unwrap();
    let mut back = answer.into_body();
    for word in ["one", "two", "three"] {
        sender.send(Bytes::from(word)).await.unwrap();
        let frame = timeout(PATIENCE, back.frame()).await.unwrap();
        let data = frame.unwrap().unwrap().into_data().unwrap();
        assert_eq!(data, word, "it came back before the next was said");
    }
    drop(sender);
    let last = timeout(PATIENCE, back.frame()).await.unwrap();
    let trailers = last.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn a_caller_is_told_a_failed_start_in_grpc() {
    const TEST: &str = "grpc::a_caller_is_told_a_failed_start_in_grpc";
    let service = Service::new("broken").args(&["--exit-at-once", "1"]);
    let Some(site) = Site::up(TEST, &service, Annotations::default()) else {
        return;
    };
    let mut client = Client::connect(site.nginx.http2()).await.unwrap();
    let request = call("broken", Full::<Bytes>::from("message"));
    let answer = client.whole(request).await.unwrap();
    assert_eq!(answer.head.status, 200);
    assert_eq!(answer.head.headers["grpc-status"], "14", "UNAVAILABLE");
}
