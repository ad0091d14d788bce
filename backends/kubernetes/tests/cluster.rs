//! Against a real cluster: `ZERON_TEST_KUBECONFIG`.
#![allow(clippy::needless_pass_by_value, clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use support::{Cluster, Watched, in_cluster, path_of, until};
use zeron_backend_kubernetes::{
    Counters, KubernetesBackend, Lease, LeaseConfig, Pods, PodsConfig, ResourceMetrics,
    ScaleConfig, ScaleEvent, ScaleTarget, Shards, ShardsConfig, TokenConfig, TokenError,
    TokenReviewer, WakeOutcome, Waker,
};
use zeron_core::function::{AdmissionPolicy, Protocol, Timeouts};
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, TriggerProblem};
use zeron_core::workload::{ReadinessProbe, ResourceLimits, Workload};
use zeron_core::{Backend, Function, ObjectRef, ScalePolicy, ScalerRegistry};

/// The back end over a namespace.
struct Rig {
    cluster: Cluster,
    pods: Pods,
    backend: Arc<KubernetesBackend>,
    watched: Arc<Watched>,
}

impl Rig {
    async fn new(cluster: Cluster) -> Self {
        let counters = Arc::new(Counters::new());
        let config = PodsConfig {
            namespaces: vec![cluster.namespace.clone()],
            ..PodsConfig::default()
        };
        let client = || cluster.client.clone();
        let pods = Pods::start(client(), config, Arc::clone(&counters));
        let scale = ScaleConfig::default();
        let backend = KubernetesBackend::start(client(), pods.clone(), scale, counters);
        let watched = Arc::new(Watched::default());
        backend.subscribe(Arc::clone(&watched) as Arc<dyn zeron_core::EndpointSink>);
        pods.synced().await;
        Self {
            cluster,
            pods,
            backend,
            watched,
        }
    }

    fn declare(&self, target: &ScaleTarget) {
        self.pods.declare(target.clone());
        self.backend.apply(Arc::new(function(target)));
    }

    /// Until nothing waits to be written.
    async fn settled(&self) {
        until("nothing waits", || async { self.backend.waiting() == 0 }).await;
    }
}

fn function(target: &ScaleTarget) -> Function {
    Function {
        id: target.id.clone(),
        owner: ObjectRef {
            api_version: target.api_version.to_string(),
            kind: target.kind.to_string(),
            namespace: target.namespace.to_string(),
            name: target.name.to_string(),
        },
        workload: Workload {
            command: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            working_dir: None,
            image: None,
            port: None,
            readiness: ReadinessProbe::default(),
            limits: ResourceLimits::default(),
            termination_grace: Duration::from_secs(1),
            start_deadline: Duration::from_secs(60),
        },
        protocol: Protocol::Http1,
        concurrency_limit: None,
        timeouts: Timeouts::default(),
        scale: ScalePolicy::default(),
        admission: AdmissionPolicy::default(),
    }
}

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

#[test]
fn leases_and_shards_work_with_the_real_api() {
    in_cluster(
        "leases_and_shards_work_with_the_real_api",
        |cluster| async move {
            let counters = Arc::new(Counters::new());
            let campaign = |who: &str| {
                let config = LeaseConfig::new(&cluster.namespace, "leader", who);
                Lease::campaign(cluster.client.clone(), config, Arc::clone(&counters))
            };
            let (a, wait) = (campaign("a"), Duration::from_secs(20));
            let mut leads = a.leadership();
            tokio::time::timeout(wait, leads.wait_for(|now| now.is_leader))
                .await
                .unwrap()
                .unwrap();
            let b = campaign("b");
            let mut follows = b.leadership();
            let is_behind =
                |now: &zeron_backend_kubernetes::Leadership| now.holder.as_deref() == Some("a");
            tokio::time::timeout(wait, follows.wait_for(is_behind))
                .await
                .unwrap()
                .unwrap();
            let resigned = Instant::now();
            a.resign().await;
            tokio::time::timeout(wait, follows.wait_for(|now| now.is_leader))
                .await
                .unwrap()
                .unwrap();
            eprintln!("a successor after {:?}", resigned.elapsed());
            assert!(resigned.elapsed() < Duration::from_secs(2));

            let join = |who: &str| {
                let config = ShardsConfig::new(&cluster.namespace, 4, who);
                Shards::campaign(cluster.client.clone(), config, Arc::clone(&counters))
            };
            let (one, two) = (join("one"), join("two"));
            let (first, second) = (one.held(), two.held());
            until("an even share", || async {
                first.borrow().len() == 2 && second.borrow().len() == 2
            })
            .await;
            assert!(first.borrow().is_disjoint(&second.borrow()));
            let died = Instant::now();
            drop(one);
            until("a successor", || async { second.borrow().len() == 4 }).await;
            eprintln!("all shards after {:?}", died.elapsed());
            assert!(died.elapsed() < Duration::from_secs(6));
            two.release().await;
        },
    );
}

#[test]
fn tokens_of_the_right_account_and_audience_are_believed() {
    in_cluster(
        "tokens_of_the_right_account_and_audience_are_believed",
        |cluster| async move {
            let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", cluster.namespace);
            cluster
                .create(&accounts, &json!({"metadata": {"name": "activator"}}))
                .await;
            let token = async |audience: &str| {
                let path = format!("{accounts}/activator/token");
                let request = json!({"spec": {"audiences": [audience], "expirationSeconds": 600}});
                let answer = cluster.create(&path, &request).await;
                answer["status"]["token"].as_str().unwrap().to_owned()
            };
            let reviewer = |account: &str| {
                let config = TokenConfig::new("zeron-autoscaler", [(&*cluster.namespace, account)]);
                TokenReviewer::new(cluster.client.clone(), config, Arc::new(Counters::new()))
            };
            let good = token("zeron-autoscaler").await;
            let identity = reviewer("activator").authenticate(&good).await.unwrap();
            assert_eq!(
                (&*identity.account, identity.expires.is_some()),
                ("activator", true)
            );
            let refused = reviewer("other").authenticate(&good).await.unwrap_err();
            assert!(matches!(refused, TokenError::Account(_)), "{refused}");
            let elsewhere = token("somebody-else").await;
            let refused = reviewer("activator")
                .authenticate(&elsewhere)
                .await
                .unwrap_err();
            assert!(
                matches!(refused, TokenError::Rejected(_) | TokenError::Audience(_)),
                "{refused}"
            );
            let refused = reviewer("activator")
                .authenticate("nonsense")
                .await
                .unwrap_err();
            assert!(matches!(refused, TokenError::Rejected(_)), "{refused}");
        },
    );
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
        assert!(silent.elapsed() < Duration::from_secs(9));
    });
}

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
            // Pods that were just started say nothing about the processor yet: unknown, not zero.
            if let Err(unknown) = &answers[1] {
                assert_eq!(unknown.kind, UnknownKind::NotRead, "{unknown:?}");
            }
        },
    );
}
