//! Triggers cpu and memory, from the kubelet's own figures: the cluster has no metrics API.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;
use zeron_tests::Raw;
use zeron_tests::wait::within;

use super::declare::function;
use super::site::{DEPLOYMENT, SCALED, Site};

/// Asks for as many bytes as come, until it is dropped.
struct Load(Arc<AtomicBool>);

impl Load {
    fn on(address: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&is_over);
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while !end.load(Ordering::Relaxed) {
                // Without a probe a pod counts as ready before it listens.
                let Ok(mut client) = Raw::try_connect(address) else {
                    thread::park_timeout(Duration::from_millis(50));
                    continue;
                };
                // Closed after each answer: on a kept connection nothing more would come.
                client.send(
                    "GET /bytes?n=100000000 HTTP/1.1\r\nHost: busy\r\nConnection: close\r\n\r\n",
                );
                while !end.load(Ordering::Relaxed)
                    && client.read(&mut buffer).is_ok_and(|read| read > 0)
                {
                    // What is measured is measured by others, who need the processor too.
                    thread::park_timeout(Duration::from_millis(1));
                }
            }
        });
        Self(is_over)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn busy_pods_are_joined_by_others() {
    let Some(site) = Site::get("busy_pods_are_joined_by_others") else {
        return;
    };
    let namespace = &site.namespace;
    function(namespace, "busy", 0);
    let requests = json!([{ "name": "function", "resources": { "requests": { "cpu": "10m" } } }]);
    let template = json!({ "spec": { "template": { "spec": { "containers": requests } } } });
    let patch = template.to_string();
    namespace.kubectl(&[
        "patch",
        "deployment",
        "busy",
        "--type=strategic",
        "-p",
        &patch,
    ]);
    namespace.apply(
        "
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: { name: busy }
spec:
  scaleTargetRef: { name: busy }
  pollingInterval: 1
  minReplicaCount: 1
  maxReplicaCount: 3
  triggers:
    - { type: cpu, metricType: Utilization, metadata: { value: '50' } }
",
    );
    namespace.wait_reason(SCALED, "busy", ["Ready", "True", "ScaledObjectReady"]);
    let pods = namespace.wait_pods("app=busy", 1);
    let ip = pods[0]["status"]["podIP"].as_str().unwrap();
    let load = Load::on(format!("{ip}:8080").parse().unwrap());
    // Two measurements of the kubelet's, each of which may be a quarter of a minute away.
    within(Duration::from_secs(150), "three replicas", || {
        (namespace.replicas(DEPLOYMENT, "busy") == 3).then_some(())
    });
    drop(load);
    let status = namespace.get(SCALED, "busy").unwrap()["status"].clone();
    assert_eq!(status["resourceMetricNames"], json!(["cpu"]));
}

#[test]
fn memory_is_counted_in_bytes_per_pod() {
    let Some(site) = Site::get("memory_is_counted_in_bytes_per_pod") else {
        return;
    };
    let namespace = &site.namespace;
    function(namespace, "heavy", 0);
    // Every program has more.
    namespace.apply(
        "
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: { name: heavy }
spec:
  scaleTargetRef: { name: heavy }
  pollingInterval: 1
  minReplicaCount: 1
  maxReplicaCount: 2
  triggers:
    - { type: memory, metricType: AverageValue, metadata: { value: 50Ki } }
",
    );
    namespace.wait_replicas(DEPLOYMENT, "heavy", 2);
    let status = namespace.get(SCALED, "heavy").unwrap()["status"].clone();
    assert_eq!(status["resourceMetricNames"], json!(["memory"]));
}
