//! Knative's buckets on a real API server, beside replicas that write Leases as Knative's do.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::timeout;
use zeron_backend_kubernetes::{Buckets, BucketsConfig, Counters};
use zeron_core::{Owner, Ownership};

use crate::support::{Cluster, in_cluster};

const BUCKET: &str = "autoscaler-bucket-00-of-01";

/// Looks at Leases by itself so seldom that whoever gets one in time was told of it.
fn join(cluster: &Cluster, who: &str, address: &str) -> Buckets {
    let config = BucketsConfig {
        duration: Duration::from_secs(1_200),
        deadline: Duration::from_secs(800),
        retry: Duration::from_secs(600),
        ..BucketsConfig::new(&cluster.namespace, who, address.parse().unwrap())
    };
    Buckets::campaign(cluster.client.clone(), config, Arc::new(Counters::new()))
}

async fn told(buckets: &Buckets, what: &str, is_so: impl Fn(&Ownership) -> bool) {
    let mut ownership = buckets.ownership();
    let wait = ownership.wait_for(|it| is_so(it));
    if timeout(Duration::from_secs(60), wait).await.is_err() {
        panic!("{what}: {:?}", buckets.ownership().borrow());
    }
}

impl Cluster {
    fn lease(&self) -> String {
        let namespace = &self.namespace;
        format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")
    }

    fn slice(&self) -> String {
        let namespace = &self.namespace;
        format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{BUCKET}")
    }

    async fn holder(&self) -> Value {
        let lease = self.get(&format!("{}/{BUCKET}", self.lease())).await;
        lease["spec"].clone()
    }

    /// Waits until the bucket's EndpointSlice is there and leads to `address`.
    async fn until_announced(&self, address: &str) -> Value {
        let announced = async {
            loop {
                let slice = self.send(Method::GET, &self.slice(), None, None).await;
                if let Ok(slice) = slice
                    && slice["endpoints"][0]["addresses"] == json!([address])
                {
                    return slice;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(20), announced).await.unwrap()
    }
}

#[test]
fn a_bucket_goes_from_one_replica_to_the_next_with_its_service() {
    in_cluster(
        "a_bucket_goes_from_one_replica_to_the_next",
        async |cluster| {
            let a = join(&cluster, "a", "10.9.0.1");
            told(&a, "a leads", |it| it.leads(BUCKET)).await;
            let spec = cluster.holder().await;
            assert_eq!(spec["holderIdentity"], "a_10.9.0.1");
            assert_eq!(spec["leaseDurationSeconds"], 1_200);
            let slice = cluster.until_announced("10.9.0.1").await;
            let ports = json!([{"name": "http", "port": 8080, "protocol": "TCP"}]);
            assert_eq!(
                (&slice["addressType"], &slice["ports"]),
                (&json!("IPv4"), &ports)
            );
            assert_eq!(
                slice["metadata"]["labels"]["kubernetes.io/service-name"],
                BUCKET
            );
            let path = format!("/api/v1/namespaces/{}/services/{BUCKET}", cluster.namespace);
            let service = cluster.get(&path).await;
            assert_eq!(service["spec"]["ports"][0]["targetPort"], 8080);
            assert_eq!(service["spec"].get("selector"), None);

            let b = join(&cluster, "b", "10.9.0.2");
            let at_a = |it: &Ownership| matches!(it.owner(BUCKET), Some(Owner::Other(holder)) if *holder.name == *"a_10.9.0.1");
            told(&b, "b knows a", at_a).await;
            a.release().await;
            told(&b, "b leads", |it| it.leads(BUCKET)).await;
            assert_eq!(cluster.holder().await["leaseTransitions"], 1);
            cluster.until_announced("10.9.0.2").await;
            b.release().await;
            assert_eq!(cluster.holder().await["holderIdentity"], "");
        },
    );
}

#[test]
fn a_replica_of_knatives_keeps_its_bucket_until_it_gives_it_back() {
    in_cluster("a_replica_of_knatives_keeps_its_bucket", async |cluster| {
        // As client-go writes it.
        let mut lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": BUCKET},
            "spec": {
                "holderIdentity": "autoscaler-77d_10.9.0.9", "leaseDurationSeconds": 1_200,
                "acquireTime": "2026-01-01T00:00:00.000000Z",
                "renewTime": "2026-01-01T00:00:00.000000Z", "leaseTransitions": 4,
            },
        });
        lease = cluster.create(&cluster.lease(), &lease).await;
        // Of another family than ours, and so not to be changed in place.
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv6",
            "metadata": {"name": BUCKET, "labels": {"kubernetes.io/service-name": BUCKET}},
            "endpoints": [{"addresses": ["fd00::9"]}],
        });
        let slices = cluster.slice().replace(&format!("/{BUCKET}"), "");
        cluster.create(&slices, &slice).await;

        let a = join(&cluster, "a", "10.9.0.1");
        let addresses = [
            "10.9.0.9:8080".to_owned(),
            format!("{BUCKET}.{}.svc.cluster.local:8080", cluster.namespace),
        ];
        let at_go = |it: &Ownership| matches!(it.owner(BUCKET), Some(Owner::Other(holder)) if *holder.addresses == addresses);
        told(&a, "a knows the replica", at_go).await;
        // As client-go gives it back.
        lease["spec"] = json!({
            "holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": 4,
            "acquireTime": "2026-01-01T00:01:00.000000Z",
            "renewTime": "2026-01-01T00:01:00.000000Z",
        });
        let path = format!("{}/{BUCKET}", cluster.lease());
        let given = cluster.send(Method::PUT, &path, None, Some(&lease)).await;
        given.unwrap();
        told(&a, "a leads", |it| it.leads(BUCKET)).await;
        let spec = cluster.holder().await;
        assert_eq!(
            (&spec["holderIdentity"], &spec["leaseTransitions"]),
            (&json!("a_10.9.0.1"), &json!(5))
        );
        let slice = cluster.until_announced("10.9.0.1").await;
        assert_eq!(slice["addressType"], "IPv4");
        a.release().await;
    });
}

#[test]
fn where_replicas_announce_themselves_by_endpoints_so_do_we() {
    in_cluster(
        "where_replicas_announce_themselves_by_endpoints",
        async |cluster| {
            // As older replicas write it.
            let path = format!("/api/v1/namespaces/{}/endpoints", cluster.namespace);
            let written = json!({
                "metadata": {"name": BUCKET},
                "subsets": [{
                    "addresses": [{"ip": "10.9.0.9"}],
                    "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
                }],
            });
            cluster.create(&path, &written).await;
            let a = join(&cluster, "a", "10.9.0.1");
            told(&a, "a leads", |it| it.leads(BUCKET)).await;
            let path = format!("{path}/{BUCKET}");
            let announced = async {
                let mut written = written["subsets"].clone();
                written[0]["addresses"][0]["ip"] = json!("10.9.0.1");
                while cluster.get(&path).await["subsets"] != written {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(Duration::from_secs(20), announced).await.unwrap();
            let slice = cluster
                .send(Method::GET, &cluster.slice(), None, None)
                .await;
            assert!(slice.is_err(), "{slice:?}");
            a.release().await;
        },
    );
}

#[test]
fn settings_come_from_the_config_map_of_knative() {
    in_cluster(
        "settings_come_from_the_config_map_of_knative",
        async |cluster| {
            let config =
                || BucketsConfig::new(&cluster.namespace, "a", "10.9.0.1".parse().unwrap());
            let counters = Arc::new(Counters::new());
            let name = "config-leader-election";
            let read = config()
                .fetch(&cluster.client, &counters, name)
                .await
                .unwrap();
            assert_eq!((read.count, read.retry), (1, Duration::from_secs(10)));
            let map = json!({
                "metadata": {"name": name}, "data": {"buckets": "3", "retry-period": "3s"},
            });
            let path = format!("/api/v1/namespaces/{}/configmaps", cluster.namespace);
            cluster.create(&path, &map).await;
            let read = config()
                .fetch(&cluster.client, &counters, name)
                .await
                .unwrap();
            assert_eq!((read.count, read.retry), (3, Duration::from_secs(3)));
        },
    );
}
