#![allow(clippy::unwrap_used)]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;
use zeron_core::endpoint::Share;
use zeron_core::{Endpoint, EndpointSnapshot, FunctionId};

use super::ServiceEndpoints;
use super::config::{EndpointsConfig, MeshCompatibility, RevisionTarget};
use super::table::Table;
use crate::counters::Counters;
use crate::following::testing::Server;

const OWN: &str = "10.0.0.2";

fn id() -> FunctionId {
    FunctionId::new("ns", "Revision", "rev")
}

fn target() -> RevisionTarget {
    RevisionTarget {
        id: id(),
        is_http2: false,
        has_limit: true,
        is_probe_enough: true,
    }
}

fn table(mesh: MeshCompatibility, own: &str) -> Table {
    Table::new(&EndpointsConfig {
        mesh,
        ..EndpointsConfig::new(own.parse().unwrap())
    })
}

fn object(side: &str, ready: &[&str], not_ready: &[&str], port: &str) -> super::raw::RawEndpoints {
    let addresses = |all: &[&str]| -> Vec<Value> {
        let named = all.iter();
        named
            .map(|ip| json!({"ip": ip, "targetRef": {"kind": "Pod", "uid": *ip}}))
            .collect()
    };
    let number = if port == "http2" { 8013 } else { 8012 };
    serde_json::from_value(json!({
        "metadata": {
            "namespace": "ns",
            "name": if side == "Private" { "rev-private" } else { "rev" },
            "labels": {
                "serving.knative.dev/revision": "rev",
                "networking.internal.knative.dev/serviceType": side,
            },
        },
        "subsets": [{
            "addresses": addresses(ready),
            "notReadyAddresses": addresses(not_ready),
            "ports": [
                {"name": "http-usermetric", "port": 9091},
                {"name": port, "port": number},
                {"name": "http-istio", "port": 8012},
            ],
        }],
    }))
    .unwrap()
}

/// What sinks are told now.
fn told(table: &mut Table) -> EndpointSnapshot {
    let mut publications = table.publications();
    assert_eq!(publications.len(), 1, "{publications:?}");
    let (of, snapshot) = publications.remove(0);
    assert_eq!(of, id());
    EndpointSnapshot::clone(&snapshot.unwrap())
}

fn states(endpoints: &[Endpoint]) -> Vec<(String, bool, bool)> {
    let endpoints = endpoints.iter();
    endpoints
        .map(|it| {
            (
                it.address.unwrap().to_string(),
                it.is_ready,
                it.probe.is_some(),
            )
        })
        .collect()
}

#[test]
fn pods_ready_and_not_are_found_behind_the_private_service() {
    let mut table = table(MeshCompatibility::Auto, OWN);
    table.apply(&object("Private", &["10.1.0.1"], &["10.1.0.2"], "http"), 1);
    assert!(table.publications().is_empty(), "nobody declared it");
    table.declare(target());
    let snapshot = told(&mut table);
    assert_eq!(
        states(&snapshot.endpoints),
        [
            ("10.1.0.1:8012".to_owned(), true, true),
            ("10.1.0.2:8012".to_owned(), false, true),
        ]
    );
    assert!(snapshot.endpoints.iter().all(|it| it.is_probe_needed));
    assert_eq!(
        snapshot.share, None,
        "nobody said which activators there are"
    );
    table.apply(&object("Private", &["10.1.0.1"], &["10.1.0.2"], "http"), 1);
    assert!(table.publications().is_empty(), "nothing changed");
    assert!(table.forget(&id()) && !table.forget(&id()));
}

#[test]
fn where_only_the_platform_knows_nobody_is_asked_before_it_says_ready() {
    let mut table = table(MeshCompatibility::Auto, OWN);
    table.declare(RevisionTarget {
        is_probe_enough: false,
        ..target()
    });
    told(&mut table);
    table.apply(&object("Private", &["10.1.0.1"], &["10.1.0.2"], "http"), 1);
    let asked = states(&told(&mut table).endpoints);
    let asked: Vec<_> = asked.into_iter().map(|(_, _, is_asked)| is_asked).collect();
    assert_eq!(asked, [true, false]);
}

#[test]
fn the_port_is_that_of_the_protocol() {
    let mut table = table(MeshCompatibility::Disabled, OWN);
    table.declare(RevisionTarget {
        is_http2: true,
        ..target()
    });
    told(&mut table);
    table.apply(&object("Private", &["fd00::1"], &[], "http2"), 1);
    let snapshot = told(&mut table);
    let ready = ("[fd00::1]:8013".to_owned(), true, true);
    assert_eq!(states(&snapshot.endpoints), [ready]);
    assert!(
        !snapshot.endpoints[0].is_probe_needed,
        "no mesh to look for"
    );
    table.apply(&object("Private", &["fd00::1"], &[], "http"), 1);
    assert!(told(&mut table).endpoints.is_empty());
}

#[test]
fn what_a_full_list_does_not_have_is_gone() {
    let mut table = table(MeshCompatibility::Auto, OWN);
    table.declare(target());
    table.apply(&object("Private", &["10.1.0.1"], &[], "http"), 1);
    told(&mut table);
    table.sweep(1);
    assert!(table.publications().is_empty());
    table.sweep(2);
    assert!(told(&mut table).endpoints.is_empty());
    table.apply(&object("Private", &["10.1.0.1"], &[], "http"), 2);
    assert_eq!(told(&mut table).endpoints.len(), 1);
    table.delete(&object("Private", &[], &[], "http"));
    assert!(told(&mut table).endpoints.is_empty());
}

#[test]
fn behind_a_mesh_a_service_stands_for_its_ready_pods() {
    let mut table = table(MeshCompatibility::Auto, OWN);
    table.declare(target());
    table.apply(&object("Public", &["10.0.0.1", OWN], &[], "http"), 1);
    table.apply(
        &object("Private", &["10.1.0.1", "10.1.0.2"], &["10.1.0.3"], "http"),
        1,
    );
    told(&mut table);
    let service = "172.16.0.9:80".parse().unwrap();
    table.reach_by_service(&id(), service);
    let snapshot = told(&mut table);
    let [one] = &snapshot.endpoints[..] else {
        panic!("{snapshot:?}");
    };
    assert_eq!((one.address, one.is_probe_needed), (Some(service), true));
    assert_eq!((one.replicas, one.shared_by), (2, 2));
    assert!(!table.wants_addresses());
    // Without pods the Service may go, and another one come.
    table.apply(&object("Private", &[], &[], "http"), 1);
    assert!(told(&mut table).endpoints.is_empty());
    table.apply(&object("Private", &["10.1.0.4"], &[], "http"), 1);
    assert!(table.publications().is_empty(), "its address is not known");
    assert_eq!(table.addresses_wanted(), [target()]);
}

#[test]
fn where_a_mesh_is_declared_pods_are_never_asked() {
    let mut table = table(MeshCompatibility::Enabled, OWN);
    table.declare(target());
    table.apply(&object("Private", &["10.1.0.1"], &[], "http"), 1);
    assert!(told(&mut table).endpoints.is_empty());
    assert_eq!(table.addresses_wanted(), [target()]);
}

#[test]
fn an_activator_that_left_the_path_keeps_the_part_it_had() {
    let mut table = table(MeshCompatibility::Auto, OWN);
    table.declare(target());
    table.apply(
        &object("Public", &["10.0.0.10", OWN, "10.0.0.1"], &[], "http"),
        1,
    );
    let share = told(&mut table).share;
    let last = Share {
        index: 2,
        activators: 3,
    };
    assert_eq!(share, Some(last));
    table.apply(&object("Public", &["10.1.0.1"], &[], "http"), 1);
    assert!(table.publications().is_empty());
    table.declare(RevisionTarget {
        has_limit: false,
        ..target()
    });
    assert_eq!(told(&mut table).share, None, "without a limit all use all");
}

#[derive(Deserialize)]
struct Recorded {
    self_index: Vec<Place>,
}

#[derive(Debug, Deserialize)]
struct Place {
    endpoints: Vec<String>,
    port_name: String,
    #[serde(rename = "self")]
    own: IpAddr,
    want: Wanted,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    activators: u32,
    index: i64,
}

#[test]
fn the_place_among_activators_is_the_originals() {
    let recorded = include_str!("../../tests/vectors/self-index.json");
    let recorded: Recorded = serde_json::from_str(recorded).unwrap();
    assert!(recorded.self_index.len() > 20);
    for case in recorded.self_index {
        let mut table = table(MeshCompatibility::Auto, &case.own.to_string());
        table.declare(target());
        let endpoints: Vec<_> = case.endpoints.iter().map(String::as_str).collect();
        table.apply(&object("Public", &endpoints, &[], &case.port_name), 1);
        let wanted = u32::try_from(case.want.index).ok().map(|index| Share {
            index,
            activators: case.want.activators,
        });
        assert_eq!(told(&mut table).share, wanted, "{case:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_broken_is_counted_until_it_shows_what_is() {
    let (server, counters) = (Arc::new(Server::default()), Arc::new(Counters::new()));
    let config = EndpointsConfig::new(OWN.parse().unwrap());
    let endpoints = ServiceEndpoints::start(server.client(&[]), config, Arc::clone(&counters));
    let interrupted = || counters.interrupted_watches("endpoints").get();
    endpoints.synced().await;
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!((interrupted(), server.lists()), (0, 1), "only quiet");
    server.fail(true);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(interrupted(), 1);
    server.fail(false);
    sleep(Duration::from_secs(20)).await;
    assert_eq!((interrupted(), server.lists()), (0, 2));
}
