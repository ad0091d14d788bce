//! What the autoscaler hears.
#![allow(clippy::unwrap_used)]

mod support;

use support::origin::{self, Gate};
use support::{PATIENCE, Stage, config, function, id, replica, soon};
use tokio::io::AsyncWriteExt;
use zeron_core::{EndpointId, Stat};
use zeron_wire::{Drain, DrainId, Drained, Seconds, ToActivator, ToAutoscaler};

async fn stats(stage: &mut Stage) -> Vec<Stat> {
    loop {
        if let ToAutoscaler::Stats(stats) = soon(stage.autoscaler.receiver.recv()).await.unwrap() {
            return stats;
        }
    }
}

async fn drained(stage: &mut Stage) -> Drained {
    loop {
        if let ToAutoscaler::Drained(drained) =
            soon(stage.autoscaler.receiver.recv()).await.unwrap()
        {
            return drained;
        }
    }
}

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nhost: f.test\r\n\r\n";

#[tokio::test]
async fn silence_is_reported_as_an_empty_beat_and_load_as_load() {
    let mut stage = Stage::new();
    stage.declare(vec![function("f", 1), function("g", 1)]);
    let gate = Gate::new().await;
    stage.replicas(&id("f"), &[replica(1, gate.address)]);
    assert!(stats(&mut stage).await.is_empty());
    let mut client = stage.connect().await;
    client.write_all(REQUEST).await.unwrap();
    let told = loop {
        let told = stats(&mut stage).await;
        // It may wait still, or not have been heard of.
        if told.first().is_some_and(|stat| stat.in_flight > 0) {
            break told;
        }
    };
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].function.clone(), told[0].in_flight), (id("f"), 1));
    assert!(told[0].average_concurrency > 0.0);
    gate.open(1);
    stage.until_load(&id("f"), 0, 0).await;
    soon(async { while !stats(&mut stage).await.is_empty() {} }).await;
}

#[tokio::test]
async fn who_ends_reports_its_last_second_with_the_others() {
    let mut config = config();
    config.seconds = Seconds::of_the_clock();
    let mut stage = Stage::with(config);
    stage.declare(vec![function("f", 1)]);
    stage.replicas(&id("f"), &[replica(1, origin::echo().await)]);
    let answer = stage.get("f.test").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    soon(stage.activator.drain(PATIENCE)).await;
    let mut requests = 0.0;
    while let Ok(said) = stage.autoscaler.receiver.try_recv() {
        if let ToAutoscaler::Stats(stats) = said {
            requests += stats.iter().map(|stat| stat.request_count).sum::<f64>();
        }
    }
    assert!((requests - 1.0).abs() < f64::EPSILON, "{requests}");
}

#[tokio::test]
async fn a_drain_is_answered_when_its_replica_is_idle_and_a_cancel_undoes_it() {
    let mut stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let gate = Gate::new().await;
    stage.replicas(&id("f"), &[replica(1, gate.address)]);
    let mut client = stage.connect().await;
    client.write_all(REQUEST).await.unwrap();
    stage.until_load(&id("f"), 1, 0).await;
    let order = Drain {
        id: DrainId(5),
        function: id("f"),
        count: 1,
        victims: None,
    };
    let sender = stage.autoscaler.sender.clone();
    sender.send(ToActivator::Drain(order)).await.unwrap();
    gate.open(1);
    let answer = drained(&mut stage).await;
    assert_eq!(
        (answer.id, answer.endpoints),
        (DrainId(5), vec![EndpointId(1)])
    );
    let mut late = stage.connect().await;
    late.write_all(REQUEST).await.unwrap();
    assert_eq!(stage.woken().await.queued, 1, "it waits, and asks");
    sender.send(ToActivator::Cancel(DrainId(5))).await.unwrap();
    stage.until_load(&id("f"), 1, 0).await;
    gate.open(1);
    support::until(&mut late, "/x").await;
}

#[tokio::test]
async fn a_drain_of_what_nobody_knows_is_answered_at_once() {
    let mut stage = Stage::new();
    let order = Drain {
        id: DrainId(6),
        function: id("nobody"),
        count: 1,
        victims: None,
    };
    let sender = stage.autoscaler.sender.clone();
    sender.send(ToActivator::Drain(order)).await.unwrap();
    assert!(drained(&mut stage).await.endpoints.is_empty());
}

#[tokio::test]
async fn warm_traffic_flows_on_without_an_autoscaler() {
    let stage = Stage::new();
    stage.declare(vec![function("f", 1)]);
    let gate = Gate::new().await;
    gate.open(1000);
    stage.replicas(&id("f"), &[replica(1, gate.address)]);
    let Stage {
        activator,
        autoscaler,
    } = stage;
    drop(autoscaler);
    let mut client = tokio::net::TcpStream::connect(activator.addresses()[0])
        .await
        .unwrap();
    for _ in 0..10 {
        client.write_all(REQUEST).await.unwrap();
        support::until(&mut client, "/x").await;
    }
}
