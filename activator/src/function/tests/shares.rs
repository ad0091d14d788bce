//! How the original splits a Revision's pods between activators (`tests/vectors/hash-buckets.json`).

use std::collections::HashMap;
use std::net::SocketAddr;

use serde::Deserialize;
use zeron_core::endpoint::{Share, slots};

use super::*;

#[derive(Deserialize)]
struct Recorded {
    assignment: Vec<Assignment>,
    capacity_formula: Vec<Capacity>,
    balancing: Vec<Balancing>,
}

#[derive(Debug, Deserialize)]
struct Assignment {
    pods: u32,
    activators: u32,
    /// -1: not one of them.
    index: i64,
    container_concurrency: u32,
    cluster_ip: Option<SocketAddr>,
    want: Assigned,
}

#[derive(Debug, Deserialize)]
struct Assigned {
    assigned: Vec<usize>,
    capacity: u32,
}

#[derive(Debug, Deserialize)]
struct Capacity {
    container_concurrency: u32,
    backends: u32,
    assigned: u32,
    activators: u32,
    want: u32,
}

#[derive(Deserialize)]
struct Balancing {
    container_concurrency: u32,
    pods: Vec<SocketAddr>,
    ops: Vec<Op>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Op {
    Acquire { id: u32, want: Option<SocketAddr> },
    Release { id: u32 },
    Pods { pods: Vec<SocketAddr> },
}

fn recorded() -> Recorded {
    serde_json::from_str(include_str!("../../../tests/vectors/hash-buckets.json")).unwrap()
}

/// Addresses in the order of their text.
fn addresses(count: u32) -> Vec<SocketAddr> {
    let address = |n: u32| SocketAddr::from(([10, 0, 0, n as u8 + 1], 8012));
    let mut addresses: Vec<_> = (0..count).map(address).collect();
    addresses.sort_by_key(ToString::to_string);
    addresses
}

fn endpoints(case: &Assignment) -> Vec<Endpoint> {
    let at = |place: usize, address| Endpoint {
        address: Some(address),
        ..endpoint(place as u64)
    };
    match case.cluster_ip {
        Some(_) if case.pods == 0 => Vec::new(),
        Some(together) => vec![Endpoint {
            replicas: case.pods,
            shared_by: case.activators,
            ..at(0, together)
        }],
        None => {
            let addresses = addresses(case.pods).into_iter().enumerate();
            // Told in another order than that of the addresses.
            let mut endpoints: Vec<_> = addresses.map(|(n, address)| at(n, address)).collect();
            endpoints.reverse();
            endpoints
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pods_are_assigned_as_the_original_assigns_them() {
    for case in recorded().assignment {
        let scene = Scene::new(case.container_concurrency);
        let snapshot = EndpointSnapshot {
            endpoints: endpoints(&case),
            share: u32::try_from(case.index).ok().map(|index| Share {
                index,
                activators: case.activators,
            }),
            ..EndpointSnapshot::default()
        };
        scene.function.observe(&snapshot, Instant::now());
        let state = scene.function.state.lock();
        let usable = state.usable.iter();
        let assigned: Vec<_> = usable.clone().map(|it| it.id.0 as usize).collect();
        let capacity = usable.fold(0u32, |sum, it| {
            sum.saturating_add(it.fill(state.limit).slots)
        });
        if case.cluster_ip.is_none() {
            let mut assigned = assigned;
            assigned.sort_unstable();
            let mut wanted = case.want.assigned.clone();
            wanted.sort_unstable();
            assert_eq!(assigned, wanted, "{case:?}");
        }
        match case.container_concurrency {
            0 => assert_eq!(capacity > 0, case.want.capacity > 0, "{case:?}"),
            _ => assert_eq!(capacity, case.want.capacity, "{case:?}"),
        }
    }
}

#[test]
fn slots_are_what_the_original_calls_capacity() {
    // Its own upper bound stands for "no limit", and for more than that.
    const MOST: u32 = i32::MAX as u32;
    for case in recorded().capacity_formula {
        let limit = case.container_concurrency;
        let got = match case.assigned {
            _ if limit == 0 => MOST,
            0 => slots(limit, case.backends, case.activators),
            assigned => slots(limit, assigned, 1),
        };
        assert_eq!(got.min(MOST), case.want, "{case:?}");
    }
}

/// Pods as one activator alone sees them.
fn alone(pods: &[SocketAddr]) -> EndpointSnapshot {
    let pods = pods.iter().map(|address| Endpoint {
        address: Some(*address),
        ..endpoint(match address.ip() {
            std::net::IpAddr::V4(ip) => ip.octets()[3].into(),
            std::net::IpAddr::V6(_) => 0,
        })
    });
    EndpointSnapshot {
        endpoints: pods.collect(),
        share: Some(Share {
            index: 0,
            activators: 1,
        }),
        ..EndpointSnapshot::default()
    }
}

/// Plays one recorded sequence; `false` from where a pod came back that still has requests: the
/// original forgets them then, and gives it more than its limit. A limit of 1 is 1.
fn agrees(case: &Balancing) -> bool {
    let scene = Scene::new(case.container_concurrency);
    scene.function.observe(&alone(&case.pods), Instant::now());
    let mut held: HashMap<u32, Permit> = HashMap::new();
    let mut pods = case.pods.clone();
    for op in &case.ops {
        match op {
            Op::Acquire { id, want } => {
                let got = match scene.enter() {
                    Entry::Granted(permit) => Some(permit),
                    // Its ticket goes at once: nobody waits in these.
                    _ => None,
                };
                let address = got.as_ref().map(|permit| permit.replica.address);
                assert_eq!(address, *want, "{op:?}");
                held.extend(got.map(|permit| (*id, permit)));
            }
            Op::Release { id } => drop(held.remove(id)),
            Op::Pods { pods: now } => {
                let is_back = |permit: &Permit| {
                    let address = permit.replica.address;
                    now.contains(&address) && !pods.contains(&address)
                };
                if held.values().any(is_back) {
                    return false;
                }
                pods.clone_from(now);
                scene.function.observe(&alone(now), Instant::now());
            }
        }
    }
    true
}

#[tokio::test(start_paused = true)]
async fn small_limits_are_filled_in_the_originals_order() {
    let cases = recorded().balancing;
    // Above, the original goes round in turn, and we take the less loaded of two.
    let small = cases.iter().filter(|it| it.container_concurrency <= 3);
    let whole = small.clone().filter(|case| agrees(case)).count();
    assert!(whole + 2 >= small.count(), "{whole} were played to the end");
}
