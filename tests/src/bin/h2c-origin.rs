//! A function that speaks HTTP/2 without TLS on `$LISTEN_ADDRESS:$PORT` (127.0.0.1 and 8080 if unset): sends bodies back as they come, then trailers as gRPC has them.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyStream, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let port = std::env::var("PORT").map_or(Ok(8080), |port| port.parse())?;
    let address = std::env::var("LISTEN_ADDRESS");
    let address = address.map_or(Ok(Ipv4Addr::LOCALHOST.into()), |ip| ip.parse::<IpAddr>())?;
    let listener = TcpListener::bind((address, port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
            if let Err(error) = served {
                eprintln!("h2c-origin: {error}");
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<impl Body<Data = Bytes, Error = hyper::Error>>, Infallible> {
    let path = request.uri().path().to_owned();
    let kind = request.headers().get("content-type").cloned();
    let is_failing = path == "/Fail";
    let data = BodyStream::new(request.into_body())
        .try_filter(move |frame| std::future::ready(frame.is_data() && !is_failing));
    let body = data.chain(stream::once(async move {
        Ok(Frame::trailers(trailers(is_failing)))
    }));
    let mut response = Response::new(StreamBody::new(body));
    if let Some(kind) = kind {
        response.headers_mut().insert("content-type", kind);
    }
    if let Ok(path) = HeaderValue::from_str(&path) {
        response.headers_mut().insert("x-path", path);
    }
    Ok(response)
}

fn trailers(is_failing: bool) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let status = if is_failing { "5" } else { "0" };
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    trailers
}
