//! What pods use.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use zeron_backend_kubernetes::{Counters, PodMeter};
use zeron_core::Backend;
use zeron_core::usage::{ContainerUsage, UsageMeter};

use crate::rig::Rig;
use crate::support::{in_cluster, until};

#[test]
fn cpu_and_memory_of_pods_are_measured() {
    in_cluster(
        "cpu_and_memory_of_pods_are_measured",
        |cluster| async move {
            let target = cluster.workload("Deployment", "web", json!({})).await;
            let rig = Rig::new(cluster).await;
            rig.declare(&target);
            rig.backend.scale(&target.id, 2, &[]);
            rig.watched.until(&target.id, |now| now.ready() == 2).await;
            let client = rig.cluster.client.clone();
            let meter = PodMeter::new(client, rig.pods.clone(), Arc::new(Counters::new()));
            let functions = BTreeSet::from([target.id.clone()]);
            // Both pods, each with its one container, as far as it is measured; none while that cannot be asked.
            let measured = || async {
                let usage = meter.usage(&functions).await.ok();
                let pods = usage.and_then(|usage| usage.replicas.get(&target.id).cloned());
                let Some(pods) = pods else {
                    return Vec::new();
                };
                assert_eq!(pods.len(), 2);
                for pod in &pods {
                    assert!(pod.is_ready && pod.is_started && !pod.is_draining);
                    assert_eq!(pod.requests[0].cpu_millis, Some(10));
                    assert_eq!(pod.requests[0].memory_bytes, Some(8 << 20));
                }
                let used = pods.into_iter().filter_map(|pod| pod.used);
                used.flat_map(|used| used.containers).collect::<Vec<_>>()
            };
            let bytes = |it: &ContainerUsage| it.memory_bytes;
            until("a measurement of memory", || async {
                let memory: Vec<f64> = measured().await.iter().filter_map(bytes).collect();
                memory.len() == 2 && memory.iter().all(|it| *it > 0.0)
            })
            .await;
            // The processor is a rate: it takes the kubelet two measurements.
            let millis = |it: &ContainerUsage| it.cpu_millis;
            until("a measurement of cpu", || async {
                let cpu: Vec<f64> = measured().await.iter().filter_map(millis).collect();
                assert!(cpu.iter().all(|it| *it < 1000.0), "idle pods: {cpu:?}");
                cpu.len() == 2
            })
            .await;
        },
    );
}
