//! Who is behind a Service.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use zeron_backend_kubernetes::{Counters, EndpointSlices};

use crate::support::{in_cluster, until};

#[test]
fn a_service_with_more_slices_than_a_page_is_read_whole() {
    in_cluster(
        "a_service_with_more_slices_than_a_page_is_read_whole",
        |cluster| async move {
            let path = "/apis/discovery.k8s.io/v1/namespaces";
            let path = format!("{path}/{}/endpointslices", cluster.namespace);
            let count: usize = 120;
            for number in 0..count {
                let labels = json!({"kubernetes.io/service-name": "many"});
                let slice = json!({
                    "metadata": {"name": format!("many-{number}"), "labels": labels},
                    "addressType": "IPv4",
                    "endpoints": [{"addresses": [format!("192.0.2.{number}")]}],
                    "ports": [{"port": 8080}],
                });
                cluster.create(&path, &slice).await;
            }
            let slices = EndpointSlices::new(cluster.client.clone(), Arc::new(Counters::new()));
            let within = Duration::from_secs(5);
            until("all endpoints", || async {
                let found = slices.ready(&cluster.namespace, "many", within).await;
                found.is_ok_and(|it| it.len() == count)
            })
            .await;
            until("nobody behind another", || async {
                let none = slices.ready(&cluster.namespace, "none", within).await;
                none.is_ok_and(|it| it.is_empty())
            })
            .await;
        },
    );
}
