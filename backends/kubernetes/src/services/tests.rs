#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{advance, sleep};

use super::*;
use crate::following::testing::Server;

fn service(namespace: &str, address: &str) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": "broker"},
        "spec": {"clusterIPs": [address]},
    })
}

/// Without a watch.
fn services(is_synced: bool) -> Services {
    let shared = Arc::new(Shared {
        table: Mutex::default(),
        synced: channel::Sender::new(is_synced),
        health: Arc::new(Health::new("services", Arc::new(Counters::new()))),
    });
    let task = tokio::spawn(std::future::pending());
    Services {
        shared,
        pods: Pods::without_watch(),
        _task: Arc::new(AbortOnDropHandle::new(task)),
    }
}

fn owners(services: &Services, address: &str) -> Result<Vec<String>, Unknown> {
    let found = services.namespaces_of(address.parse().unwrap())?;
    Ok(found.iter().map(ToString::to_string).collect())
}

fn owned(namespaces: &[&str]) -> Result<Vec<String>, Unknown> {
    Ok(namespaces.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn an_address_is_of_whoever_has_a_service_or_a_pod_there() {
    let services = services(true);
    let service = serde_json::from_value(service("shop", "10.96.0.7")).unwrap();
    services.shared.table.lock().apply(&service, 1);
    for (namespace, address) in [
        ("shop", "10.0.0.4"),
        ("mail", "192.0.2.1"),
        ("web", "192.0.2.1"),
    ] {
        services.pods.put(json!({
            "metadata": {"namespace": namespace, "name": "p", "uid": format!("{namespace}-uid")},
            "status": {"phase": "Running", "podIP": address},
        }));
    }
    assert_eq!(owners(&services, "10.96.0.7"), owned(&["shop"]));
    assert_eq!(owners(&services, "10.0.0.4"), owned(&["shop"]));
    assert_eq!(owners(&services, "192.0.2.1"), owned(&["mail", "web"]));
    assert_eq!(owners(&services, "198.51.100.1"), owned(&[]));
}

#[tokio::test]
async fn nobody_is_named_before_all_are_known() {
    let unknown = owners(&services(false), "10.96.0.7").unwrap_err();
    assert_eq!(unknown.kind, UnknownKind::Transport);
    assert_eq!(unknown.message, "the Services are not listed yet");
}

#[tokio::test(start_paused = true)]
async fn what_a_broken_watch_showed_counts_for_a_while_and_then_is_unknown() {
    let (server, counters) = (Arc::new(Server::default()), Arc::new(Counters::new()));
    let client = server.client(&[service("shop", "10.96.0.7")]);
    let services = Services::start(client, Pods::without_watch(), Arc::clone(&counters));
    services.synced().await;
    let now = || owners(&services, "10.96.0.7");
    let interrupted = || counters.interrupted_watches("services").get();
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!((now(), interrupted()), (owned(&["shop"]), 0), "only quiet");
    server.fail(true);
    sleep(Duration::from_secs(29)).await;
    assert_eq!((now(), interrupted()), (owned(&["shop"]), 1));
    sleep(Duration::from_secs(2)).await;
    let unknown = now().unwrap_err();
    assert_eq!(unknown.kind, UnknownKind::Transport);
    let said = "the Services have not been seen for 3";
    assert!(unknown.message.starts_with(said), "{}", unknown.message);
    // What is nobody's may have become somebody's.
    assert!(owners(&services, "198.51.100.1").is_err());
    // It goes on, and nothing has changed: a list shows that.
    server.fail(false);
    sleep(Duration::from_secs(20)).await;
    assert_eq!((now(), interrupted()), (owned(&["shop"]), 0));
    assert_eq!(server.lists(), 2, "{server:?}");
}

#[tokio::test(start_paused = true)]
async fn a_broken_watch_of_pods_makes_addresses_unknown_as_well() {
    let services = services(true);
    services.pods.interrupt();
    assert_eq!(owners(&services, "10.96.0.7"), owned(&[]));
    advance(Duration::from_secs(30)).await;
    let unknown = owners(&services, "10.96.0.7").unwrap_err();
    assert_eq!(unknown.message, "the pods have not been seen for 30 s");
}
