//! What goes wrong, and how it is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use zeron_backend_kubernetes::{Counters, Pods, PodsConfig, Waker};
use zeron_core::Backend;

use crate::rig::Rig;
use crate::support::{self, Watched, in_cluster, until};

#[test]
fn failed_starts_are_final_in_the_platforms_own_words() {
    in_cluster(
        "failed_starts_are_final_in_the_platforms_own_words",
        |cluster| async move {
            let container = |more: serde_json::Value| {
                let mut container = json!({"name": "app", "image": support::IMAGE,
                                       "imagePullPolicy": "Never"});
                for (key, value) in more.as_object().unwrap() {
                    container[key] = value.clone();
                }
                json!({"containers": [container]})
            };
            let image = container(json!({"image": "dev.local/missing:1"}));
            let crash = container(json!({"command": ["/does-not-exist"]}));
            let config = container(json!({"envFrom": [{"secretRef": {"name": "missing"}}]}));
            let cases = [
                ("image", image, &["ErrImageNeverPull"][..]),
                (
                    "crash",
                    crash,
                    &["CrashLoopBackOff", "RunContainerError", "StartError"],
                ),
                ("config", config, &["CreateContainerConfigError"]),
                (
                    "stuck",
                    json!({"nodeSelector": {"no": "node"}}),
                    &["Unschedulable"],
                ),
            ];
            let mut targets = Vec::new();
            for (name, pod, reasons) in cases {
                targets.push((cluster.workload("Deployment", name, pod).await, reasons));
            }
            let rig = Rig::new(cluster).await;
            for (target, _) in &targets {
                rig.declare(target);
                rig.backend.scale(&target.id, 1, &[]);
            }
            let started = Instant::now();
            for (target, reasons) in &targets {
                let is_final = |now: &zeron_core::EndpointSnapshot| {
                    now.failure.as_ref().is_some_and(|failure| failure.is_final)
                };
                let snapshot = rig.watched.until(&target.id, is_final).await;
                let failure = snapshot.failure.clone().unwrap();
                eprintln!("{} after {:?}: {failure:?}", target.name, started.elapsed());
                assert!(reasons.contains(&failure.reason.as_str()), "{failure:?}");
                assert!(!failure.message.is_empty());
            }
        },
    );
}

#[test]
fn a_quota_is_said_with_how_many_run() {
    in_cluster("a_quota_is_said_with_how_many_run", |cluster| async move {
        let quotas = format!("/api/v1/namespaces/{}/resourcequotas", cluster.namespace);
        let quota = json!({"metadata": {"name": "two"}, "spec": {"hard": {"pods": "2"}}});
        cluster.create(&quotas, &quota).await;
        let target = cluster.workload("Deployment", "many", json!({})).await;
        let rig = Rig::new(cluster).await;
        rig.declare(&target);
        rig.backend.scale(&target.id, 4, &[]);
        rig.watched.until(&target.id, |now| now.ready() == 2).await;
        until("the condition", || async {
            let now = rig.cluster.again(&target).await;
            let is_said = now.failure.is_some();
            rig.pods.declare(now);
            is_said
        })
        .await;
        let snapshot = rig
            .watched
            .until(&target.id, |now| now.failure.is_some())
            .await;
        let failure = snapshot.failure.clone().unwrap();
        assert!(
            failure.message.starts_with("2 of 4 replicas run: "),
            "{failure:?}"
        );
        assert!(failure.message.contains("exceeded quota") && !failure.is_final);
    });
}

#[test]
fn a_connection_that_falls_silent_is_noticed_within_seconds() {
    let name = "a_connection_that_falls_silent_is_noticed_within_seconds";
    in_cluster(name, |cluster| async move {
        let proxy = support::Proxy::start().await;
        let client = proxy.client().await;
        let counters = Arc::new(Counters::new());
        let config = PodsConfig {
            namespaces: vec![cluster.namespace.clone()],
            ..PodsConfig::default()
        };
        let pods = Pods::start(client, config, counters);
        tokio::time::timeout(Duration::from_secs(20), pods.synced())
            .await
            .unwrap();
        let watched = Arc::new(Watched::default());
        pods.subscribe(Arc::clone(&watched) as Arc<dyn zeron_core::EndpointSink>);
        let target = cluster.workload("Deployment", "web", json!({})).await;
        pods.declare(target.clone());
        // What stands is silent from now on; what comes is carried.
        proxy.silence();
        let silent = Instant::now();
        let waker = Waker::new(
            cluster.client.clone(),
            Duration::from_secs(5),
            Arc::default(),
        );
        waker.wake(&target, 1).await.unwrap();
        watched.until(&target.id, |now| now.live() == 1).await;
        eprintln!(
            "the address was seen {:?} after the silence began",
            silent.elapsed()
        );
        // Without pings it takes minutes.
        assert!(silent.elapsed() < Duration::from_secs(60));
    });
}
