#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::*;
use crate::subject::{floor, loopback, origin};

async fn an_origin() -> SocketAddr {
    let listener = TcpListener::bind(loopback(0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(async move {
        origin::serve(listener, stopping).await;
        drop(stop);
    });
    address
}

async fn a_floor(upstream: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(loopback(0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(floor::serve(listener, upstream));
    address
}

fn load(address: SocketAddr, path: &str, expected: usize) -> Load {
    let target = Target {
        host: "f.localhost".to_owned(),
        path: path.to_owned(),
        headers: HeaderMap::new(),
        body: Some(origin::body(expected)),
    };
    Load {
        address,
        targets: vec![target],
        connections: 4,
        preconnect: true,
        timeout: Duration::from_secs(10),
    }
}

#[tokio::test]
async fn every_arrival_becomes_a_sample_with_a_verified_body() {
    let origin = an_origin().await;
    let report = open_loop(
        &load(origin, "/?bytes=4096", 4_096),
        &constant(2_000.0, 100, 1),
    )
    .await
    .unwrap();
    assert_eq!((report.samples.len(), report.ok()), (100, 100));
    assert!(report.failures().is_empty());
}

#[tokio::test]
async fn a_short_or_long_body_is_a_failure() {
    let origin = an_origin().await;
    for expected in [63, 65] {
        let report = open_loop(&load(origin, "/?bytes=64", expected), &burst(3))
            .await
            .unwrap();
        assert_eq!(
            report.failures().into_iter().collect::<Vec<_>>(),
            [(Class::Body, 3)]
        );
        assert!(report.latency_us(0.5).is_nan());
    }
}

#[tokio::test]
async fn a_burst_never_exceeds_the_connections_and_waits_for_them() {
    let origin = an_origin().await;
    let report = open_loop(&load(origin, "/?work_ms=1", 0), &burst(20))
        .await
        .unwrap();
    assert_eq!(report.ok(), 20);
    let peak = report.samples.iter().map(|sample| sample.reply.peak).max();
    assert_eq!(peak, Some(4));
}

#[tokio::test]
async fn a_client_that_leaves_is_a_timeout_and_frees_its_connection() {
    let origin = an_origin().await;
    let mut load = load(origin, "/?work_ms=600000", 0);
    load.timeout = Duration::from_millis(20);
    let report = open_loop(&load, &constant(1_000.0, 12, 1)).await.unwrap();
    assert_eq!(report.count(Class::Timeout), 12);
}

#[tokio::test]
async fn a_change_sends_the_rest_another_way_and_loses_nothing() {
    let (first, second) = (an_origin().await, an_origin().await);
    let mut asked = 0;
    let arrivals = constant(1_000.0, 20, 1);
    let (one, other) = (
        load(first, "/?bytes=64", 64),
        load(second, "/?bytes=65", 65),
    );
    let mut change = || {
        asked += 1;
        (asked == 11).then(|| other.clone())
    };
    let renewed = Some(Duration::ZERO);
    let report = open_loop_changing(&one, &arrivals, renewed, &mut change).await;
    let report = report.unwrap();
    assert_eq!((report.ok(), asked), (20, 20), "{:?}", report.failures());
}

#[tokio::test]
async fn the_floor_passes_bodies_through_and_reuses_connections() {
    let origin = an_origin().await;
    let floor = a_floor(origin).await;
    let report = closed_loop(
        &load(floor, "/?bytes=65536", 65_536),
        Duration::from_millis(50),
    )
    .await
    .unwrap();
    assert!(report.ok() > 4);
    assert!(report.failures().is_empty());
}

#[tokio::test]
async fn a_floor_without_an_origin_is_counted_by_class() {
    let nobody = TcpListener::bind(loopback(0)).await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let floor = a_floor(address).await;
    let report = open_loop(&load(floor, "/", 0), &burst(4)).await.unwrap();
    assert_eq!((report.ok(), report.count(Class::Closed)), (0, 4));
}
