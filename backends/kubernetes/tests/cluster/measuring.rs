//! What pods use.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use zeron_backend_kubernetes::{Counters, ResourceMetrics};
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, TriggerProblem};
use zeron_core::{Backend, ScalerRegistry};

use crate::rig::{Rig, function};
use crate::support::{in_cluster, until};

/// No sources but cpu and memory.
#[derive(Debug)]
struct Nothing;

impl ScalerRegistry for Nothing {
    fn validate(&self, _: &TriggerSpec) -> Vec<TriggerProblem> {
        Vec::new()
    }

    fn bind(&self, _: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        unreachable!("only cpu and memory are bound")
    }
}

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
            let counters = Arc::new(Counters::new());
            let metrics =
                ResourceMetrics::new(client, rig.pods.clone(), Arc::new(Nothing), counters);
            let bind = |kind: &str, metric_type: &str, value: &str| {
                let metadata = [
                    ("zeron.dev/function", &*target.id.to_string()),
                    ("zeron.dev/metricType", metric_type),
                    ("zeron.dev/alone", "true"),
                    ("value", value),
                ];
                let bound = metrics.bind(&TriggerSpec {
                    object: function(&target).owner,
                    index: 0,
                    kind: kind.to_owned(),
                    metadata: (metadata.iter())
                        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                        .collect(),
                    from_environment: std::collections::BTreeSet::new(),
                    remote: Vec::new(),
                    is_formula_input: false,
                    auth: std::collections::BTreeMap::new(),
                });
                bound.unwrap()
            };
            let memory = bind("memory", "Utilization", "50");
            let cpu = bind("cpu", "AverageValue", "100m");
            let handles = [memory.handle, cpu.handle];
            let wait = Duration::from_secs(5);
            let evaluate = || memory.scaler.evaluate(&handles, wait);
            until("a measurement of memory", || async {
                evaluate().await[0].is_ok()
            })
            .await;
            let answers = evaluate().await;
            let reading = &answers[0].as_ref().unwrap()[0];
            eprintln!("{reading:?}, {:?}", answers[1]);
            assert_eq!((reading.metric.as_str(), reading.target), ("memory", 50.0));
            assert!(reading.value > 0.0 && reading.value < 100.0 && reading.activity.is_active());
            // The processor is a rate: it takes the kubelet two measurements. Until then: unknown.
            if let Err(unknown) = &answers[1] {
                assert_eq!(unknown.kind, UnknownKind::NotRead, "{unknown:?}");
            }
            until("a measurement of cpu", || async {
                evaluate().await[1].is_ok()
            })
            .await;
            let answers = evaluate().await;
            let reading = &answers[1].as_ref().unwrap()[0];
            eprintln!("{reading:?}");
            assert!(reading.value < 1000.0, "an idle pod: {reading:?}");
        },
    );
}
