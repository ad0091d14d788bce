//! Statistics and buckets between Knative's own replicas and ours: what the parts of the two dialects have in common on the
//! wire and in the API, without the rest of ours.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zeron_backend_kubernetes::{Buckets, BucketsConfig, Counters};
use zeron_core::{FunctionId, Owner, Ownership, Sample};
use zeron_tests::cluster::{Cluster, Namespace};
use zeron_tests::knative::{Knative, NAMESPACE, Part, Side, Template};
use zeron_wire::knative::{Forwarder, StatClient, StatClientConfig, StatServer, StatServerConfig};
use zeron_wire::{AutoscalerLink, ToAutoscaler, Wake};

const BUCKET: &str = "autoscaler-bucket-00-of-01";
/// Knative's replicas look at a Lease every ten seconds or so, and keep it for a minute.
const PATIENCE: Duration = Duration::from_secs(90);

/// A replica of ours beside Knative's, whose engine the test plays.
struct Replica {
    cluster: &'static Cluster,
    address: SocketAddr,
    /// Given back when this is dropped, also by a test that fails: others would wait for a Lease's time.
    buckets: Option<Buckets>,
    ownership: watch::Receiver<Arc<Ownership>>,
    engine: AutoscalerLink,
    _stop: oneshot::Sender<()>,
    _served: JoinHandle<()>,
}

impl Replica {
    async fn start(knative: &Knative) -> Self {
        let cluster = knative.cluster();
        let address = SocketAddr::new(cluster.host_address(), 8080);
        let counters = Arc::new(Counters::new());
        let config = BucketsConfig::new(NAMESPACE, "autoscaler-zeron", address.ip());
        let client = cluster.client();
        let config = config.fetch(&client, &counters, "config-leader-election");
        let buckets = Buckets::campaign(client.clone(), config.await.unwrap(), counters);
        let ownership = buckets.ownership();
        let (ours, engine) = zeron_wire::link();
        let forwarder = Forwarder::start(ownership.clone(), ours);
        let config = StatServerConfig::new(address);
        let server = StatServer::bind(config, forwarder, ownership.clone()).await;
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.unwrap().serve(async {
            drop(stopped.await);
        }));
        Self {
            cluster,
            address,
            buckets: Some(buckets),
            ownership,
            engine,
            _stop: stop,
            _served: served,
        }
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Owner) -> bool) {
        let mut ownership = self.ownership.clone();
        let wait = ownership.wait_for(|it| it.owner(BUCKET).is_some_and(&is_so));
        if timeout(PATIENCE, wait).await.is_err() {
            panic!("{what}: {:?}", self.ownership.borrow());
        }
    }

    /// The next statistic of this function.
    async fn heard(&mut self, function: &FunctionId) -> Sample {
        let heard = async {
            loop {
                let Some(ToAutoscaler::Samples(samples)) = self.engine.receiver.recv().await else {
                    panic!("only samples come this way");
                };
                let mut samples = samples.into_iter();
                if let Some(found) = samples.find(|sample| sample.function == *function) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, heard).await.expect("a statistic")
    }
}

impl Replica {
    fn release(&mut self) {
        if let Some(buckets) = self.buckets.take() {
            self.cluster.block_on(buckets.release());
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.release();
    }
}

/// Tells an autoscaler at `address` that a request waits, as an activator of ours does.
async fn wake(address: SocketAddr, function: &FunctionId) -> StatClient {
    let config = StatClientConfig::new("activator-zeron", &address.to_string());
    let client = StatClient::connect(config);
    let wake = ToAutoscaler::Wake(Wake {
        function: function.clone(),
        in_flight: 0,
        queued: 1,
    });
    client.link.sender.send(wake).await.unwrap();
    client
}

fn revision(namespace: &Namespace, name: &str) -> FunctionId {
    FunctionId::new(namespace.name(), "Revision", name)
}

/// Knative's autoscalers, behind their Service.
fn autoscalers(knative: &Knative) -> SocketAddr {
    let ip = knative.cluster().kubectl(&[
        "get",
        "service",
        "autoscaler",
        "-n",
        NAMESPACE,
        "-o",
        "jsonpath={.spec.clusterIP}",
    ]);
    SocketAddr::new(ip.trim().parse().unwrap(), 8080)
}

fn field(knative: &Knative, kind: &str, path: &str) -> String {
    let output = format!("jsonpath={path}");
    let arguments = ["get", kind, BUCKET, "-n", NAMESPACE, "-o", &output];
    knative.cluster().kubectl(&arguments).trim().to_owned()
}

#[test]
fn what_our_activator_says_wakes_a_revision_of_knatives_autoscaler() {
    let test = "knative_replicas::what_our_activator_says_wakes_a_revision_of_knatives_autoscaler";
    let Some(knative) = Knative::get(test, Side::Knatives) else {
        return;
    };
    let namespace = knative.cluster().namespace("kn");
    let template = Template::new().scaling("initial-scale", "1");
    let zero = knative.revision(&namespace, "zero", &template).ready();
    zero.wait_replicas(0);
    let function = revision(&namespace, zero.name());
    let address = autoscalers(&knative);
    let client = knative.cluster().block_on(wake(address, &function));
    zero.wait_replicas(1);
    assert!(client.state.borrow().is_reachable);
}

#[test]
fn statistics_reach_the_owner_of_their_bucket_be_it_knatives_replica_or_ours() {
    let test = "knative_replicas::statistics_reach_the_owner_of_their_bucket";
    let Some(knative) = Knative::alone(test, Side::Knatives) else {
        return;
    };
    let cluster = knative.cluster();
    let namespace = cluster.namespace("kn");
    let zero = knative.revision(&namespace, "zero", &Template::new());
    let steady = Template::new().scaling("min-scale", "1");
    let steady = knative.revision(&namespace, "steady", &steady).ready();
    let zero = zero.ready();
    zero.wait_replicas(0);

    // Theirs: what comes to ours goes there.
    let mut ours = cluster.block_on(Replica::start(&knative));
    cluster.block_on(ours.until(
        "Knative's replica owns it",
        |it| matches!(it, Owner::Other(holder) if holder.name.starts_with("autoscaler-")),
    ));
    let function = revision(&namespace, zero.name());
    let client = cluster.block_on(wake(ours.address, &function));
    zero.wait_replicas(1);
    drop(client);

    // Ours, when they are replaced: what comes to theirs comes here.
    knative.roll(Part::Autoscaler);
    cluster.block_on(ours.until("ours takes over", |it| *it == Owner::Us));
    let ip = ours.address.ip().to_string();
    let holder = field(&knative, "lease", "{.spec.holderIdentity}");
    assert_eq!(holder, format!("autoscaler-zeron_{ip}"));
    let started = Instant::now();
    let announced = "{.subsets[0].addresses[0].ip}";
    while field(&knative, "endpoints", announced) != ip {
        assert!(started.elapsed() < PATIENCE, "the bucket's Service");
    }
    let function = revision(&namespace, steady.name());
    // What activators say while they are between two autoscalers is lost.
    let load = steady.load(5);
    let sample = cluster.block_on(ours.heard(&function));
    load.end()
        .assert_all_answered("another autoscaler takes over");
    assert!(sample.pod.starts_with("activator-"), "{sample:?}");
    assert!(sample.at.as_secs() > 1_700_000_000, "{sample:?}");

    // And back.
    ours.release();
    let pods = knative.pods(Part::Autoscaler);
    let theirs = pods[0]["metadata"]["name"].as_str().unwrap();
    let started = Instant::now();
    while !field(&knative, "lease", "{.spec.holderIdentity}").starts_with(theirs) {
        assert!(
            started.elapsed() < PATIENCE,
            "Knative's replica takes it back"
        );
    }
    while field(&knative, "endpoints", announced) == ip {
        assert!(started.elapsed() < PATIENCE, "its Service");
    }
}
