//! Counts: written, guarded, given way with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use zeron_backend_kubernetes::{Counters, ScaleEvent, ScaleTarget, WakeOutcome, Waker};
use zeron_core::Backend;

use crate::rig::Rig;
use crate::support::{in_cluster, path_of};

#[test]
fn a_deployment_goes_from_zero_to_three_to_the_chosen_one_to_zero() {
    in_cluster(
        "a_deployment_goes_from_zero_to_three_to_the_chosen_one_to_zero",
        |cluster| async move {
            let target = cluster.workload("Deployment", "web", json!({})).await;
            let rig = Rig::new(cluster).await;
            rig.declare(&target);
            let mut events = rig.backend.events();
            let asked = Instant::now();
            rig.backend.scale(&target.id, 3, &[]);
            let event = events.recv().await.unwrap();
            let ScaleEvent::Written {
                from: 0,
                to: 3,
                took,
                ..
            } = event
            else {
                panic!("{event:?}");
            };
            let first = rig.watched.until(&target.id, |now| now.live() > 0).await;
            eprintln!(
                "written after {took:?}, address after {:?}",
                asked.elapsed()
            );
            assert!(
                first.endpoints[0]
                    .address
                    .is_some_and(|address| address.port() == 8080)
            );
            assert!(first.endpoints[0].probe.is_some());
            let all = rig.watched.until(&target.id, |now| now.ready() == 3).await;
            assert_eq!((all.pending, &all.failure), (0, &None));

            rig.pods.declare(rig.cluster.again(&target).await);
            let keep = all.endpoints[1].id;
            let others = all.endpoints.iter().map(|one| one.id);
            let victims: Vec<_> = others.filter(|id| *id != keep).collect();
            rig.backend.scale(&target.id, 1, &victims);
            let one = rig.watched.until(&target.id, |now| now.live() == 1).await;
            let left: Vec<_> = one
                .endpoints
                .iter()
                .filter(|one| !one.is_draining)
                .collect();
            assert_eq!(left[0].id, keep);
            rig.backend.scale(&target.id, 0, &[keep]);
            rig.watched
                .until(&target.id, |now| now.endpoints.is_empty())
                .await;
            assert_eq!(rig.cluster.count(&target).await, 0);
        },
    );
}

#[test]
fn the_waker_acts_at_zero_alone_for_every_kind() {
    in_cluster(
        "the_waker_acts_at_zero_alone_for_every_kind",
        |cluster| async move {
            let counters = Arc::new(Counters::new());
            let waker = Waker::new(cluster.client.clone(), Duration::from_secs(5), counters);
            for kind in ["Deployment", "StatefulSet", "ReplicaSet"] {
                let name = kind.to_lowercase();
                let target = cluster.workload(kind, &name, json!({})).await;
                assert_eq!(
                    waker.wake(&target, 2).await.unwrap(),
                    WakeOutcome::Woken(2),
                    "{kind}"
                );
                assert_eq!(
                    waker.wake(&target, 5).await.unwrap(),
                    WakeOutcome::NotAtZero,
                    "{kind}"
                );
                assert_eq!(cluster.count(&target).await, 2, "{kind}");
                let other = ScaleTarget {
                    uid: Some("another".into()),
                    ..target
                };
                let path = path_of(&other, "/scale");
                let zero = json!({"spec": {"replicas": 0}});
                let kind = Some("application/merge-patch+json");
                cluster
                    .send(Method::PATCH, &path, kind, Some(&zero))
                    .await
                    .unwrap();
                assert_eq!(waker.wake(&other, 1).await.unwrap(), WakeOutcome::NotAtZero);
            }
        },
    );
}

#[test]
fn a_stateful_set_loses_the_pods_that_were_predicted() {
    in_cluster(
        "a_stateful_set_loses_the_pods_that_were_predicted",
        |cluster| async move {
            let target = cluster.workload("StatefulSet", "db", json!({})).await;
            let rig = Rig::new(cluster).await;
            rig.declare(&target);
            rig.backend.scale(&target.id, 3, &[]);
            rig.watched.until(&target.id, |now| now.ready() == 3).await;
            let predicted = rig.backend.predicted_victims(&target.id, 1).unwrap();
            assert_eq!(predicted.len(), 2);
            rig.backend.scale(&target.id, 1, &predicted);
            let left = rig
                .watched
                .until(&target.id, |now| now.endpoints.len() == 1)
                .await;
            assert!(!predicted.contains(&left.endpoints[0].id));
        },
    );
}

#[test]
fn somebody_elses_write_is_noticed_and_a_stale_wish_gives_way() {
    in_cluster(
        "somebody_elses_write_is_noticed_and_a_stale_wish_gives_way",
        |cluster| async move {
            let pending = json!({"nodeSelector": {"no": "node"}});
            let target = cluster.workload("Deployment", "web", pending).await;
            let rig = Rig::new(cluster).await;
            rig.declare(&target);
            let mut events = rig.backend.events();
            rig.backend.scale(&target.id, 2, &[]);
            rig.settled().await;
            let kind = Some("application/merge-patch+json");
            let patch = json!({"spec": {"replicas": 5}});
            let path = path_of(&target, "/scale");
            rig.cluster
                .send(Method::PATCH, &path, kind, Some(&patch))
                .await
                .unwrap();
            // Not seen yet: the wish to lower was made for two.
            rig.backend.scale(&target.id, 0, &[]);
            rig.settled().await;
            assert_eq!(rig.cluster.count(&target).await, 5);
            rig.pods.declare(rig.cluster.again(&target).await);
            rig.backend.scale(&target.id, 0, &[]);
            rig.settled().await;
            assert_eq!(rig.cluster.count(&target).await, 0);
            let mut written = Vec::new();
            while let Ok(event) = events.try_recv() {
                if let ScaleEvent::Written { from, to, .. } = event {
                    written.push((from, to));
                }
            }
            assert_eq!(written, [(0, 2), (5, 0)]);
        },
    );
}
