//! PodAutoscalers of an existing Knative: status and children, against recorded reconciles.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use zeron_core::Timestamp;
use zeron_core::path::{Activity, PathAsk, PathMode, RequestPath};
use zeron_core::policy::Scaling;
use zeron_frontend_knative::autoscaling::{
    Change, Collection, ConfigMapName, MeshCompatibility, Metric, PodAutoscaler, Seen,
    ServerlessService, ServingConfig, SksMode,
};

const UID: &str = "uid-of-the-autoscaler";

/// What lives on from step to step.
struct World {
    base: u64,
    config: ServingConfig,
    autoscaler: PodAutoscaler,
    metric: Option<Metric>,
}

impl World {
    fn new(base: u64, scenario: &Value) -> Self {
        let mut config = ServingConfig::default();
        let data = serde_json::from_value(scenario["config_autoscaler"].clone()).unwrap();
        assert_eq!(config.update(ConfigMapName::Autoscaler, &data), []);
        let autoscaler = serde_json::from_value(json!({
            "metadata": {
                "name": "rev", "namespace": "ns", "uid": UID, "generation": 1,
                "annotations": scenario["annotations"],
            },
            "spec": {
                "containerConcurrency": scenario["container_concurrency"],
                "scaleTargetRef": {
                    "apiVersion": "apps/v1", "kind": "Deployment", "name": "rev-deployment",
                },
                "reachability": scenario["reachability"],
                "protocolType": "http1",
            },
        }));
        Self {
            base,
            config,
            autoscaler: autoscaler.unwrap(),
            metric: None,
        }
    }

    fn at(&self, millis: &Value) -> Timestamp {
        Timestamp::from_millis(self.base * 1_000 + millis.as_u64().unwrap())
    }

    fn sks(&self, recorded: &Value) -> Option<ServerlessService> {
        if recorded.is_null() {
            return None;
        }
        let owner = if recorded["owned"] == true {
            UID
        } else {
            "somebody-else"
        };
        let is_ready = recorded["ready"] == true;
        let mut conditions = vec![json!({
            "type": "Ready", "status": if is_ready { "True" } else { "Unknown" },
            "message": recorded["ready_message"],
        })];
        if let Some(since) = recorded["proxied_since_ms"].as_u64() {
            let since = i64::try_from(self.base + since / 1_000).unwrap();
            let since = jiff::Timestamp::from_second(since).unwrap().to_string();
            conditions.push(json!({
                "type": "ActivatorEndpointsPopulated", "status": "True", "severity": "Info",
                "lastTransitionTime": since,
            }));
        }
        let object = json!({
            "metadata": {
                "name": "rev", "namespace": "ns", "generation": 3, "resourceVersion": "7",
                "ownerReferences": [{
                    "apiVersion": "autoscaling.internal.knative.dev/v1alpha1",
                    "kind": "PodAutoscaler", "name": "rev", "uid": owner, "controller": true,
                }],
            },
            "spec": {
                "mode": recorded["mode"], "numActivators": recorded["activators"],
                "objectRef": {
                    "apiVersion": "apps/v1", "kind": "Deployment", "name": "rev-deployment",
                },
                "protocolType": "http1",
            },
            "status": {
                "observedGeneration": 3,
                "serviceName": recorded["service_name"],
                "privateServiceName": recorded["private_service_name"],
                "conditions": conditions,
            },
        });
        Some(serde_json::from_value(object).unwrap())
    }

    /// What the engine would ask, by what the original did.
    fn ask(&self, given: &Value, want: &Value) -> PathAsk {
        let status = &want["status"];
        let written = Some(&want["sks_write"]).filter(|write| !write.is_null());
        let path = written.unwrap_or(&given["sks"]);
        let wanted = status["desired_scale"].as_i64().unwrap();
        let is_kept = given["decider"]["desired"] == -1
            && self.autoscaler.status.desired_scale.map(i64::from) == Some(wanted);
        PathAsk {
            activity: match status["active"]["reason"].as_str() {
                None => Activity::Active,
                Some("Queued") => Activity::Activating,
                Some("TimedOut") => Activity::TimedOut,
                Some(_) => Activity::NoTraffic,
            },
            activity_since: self.at(&status["active"]["since_ms"]),
            is_initialized: status["scale_target_initialized"]["status"] == "True",
            mode: match path["mode"].as_str() {
                Some("Serve") => PathMode::Serve,
                _ => PathMode::Proxy,
            },
            activators: u32::try_from(path["activators"].as_u64().unwrap_or(2)).unwrap(),
            desired: u32::try_from(wanted).ok().filter(|_| !is_kept),
            is_probe_wanted: false,
            excess_burst_capacity: -1.0,
            stable: 0.0,
            panic: 0.0,
            target: 70.0,
            is_panicking: false,
        }
    }

    fn assert_metric(&mut self, name: &str, sks: Option<&ServerlessService>, want: &Value) {
        let private = sks.map_or("", |sks| &sks.status.private_service_name);
        if private.is_empty() {
            assert_eq!(want, &Value::Null, "{name}: metric");
            return;
        }
        let scaling = self.autoscaler.scaling(&self.config);
        let wanted = Metric::wanted(&self.autoscaler, &scaling, private);
        match Change::towards(&self.autoscaler, self.metric.as_ref(), wanted) {
            Change::Nothing => assert_eq!(want, &Value::Null, "{name}: metric"),
            Change::Create(metric) => {
                assert_eq!(want["op"], "create", "{name}: metric");
                let window = |field: &str| want[field].as_i64().unwrap() * 1_000_000;
                assert_eq!(
                    metric.spec.stable_window,
                    window("stable_window_ms"),
                    "{name}"
                );
                assert_eq!(
                    metric.spec.panic_window,
                    window("panic_window_ms"),
                    "{name}"
                );
                assert_eq!(want["scrape_target"], metric.spec.scrape_target, "{name}");
                self.metric = Some(metric);
            }
            change => panic!("{name}: metric: {change:?}"),
        }
    }

    fn step(&mut self, name: &str, step: &Value) {
        let (given, want) = (&step["in"], &step["want"]);
        let sks = self.sks(&given["sks"]);
        let ask = self.ask(given, want);
        let wanted = ServerlessService::wanted(&self.autoscaler, ask.mode.into(), ask.activators);
        let change = Change::towards(&self.autoscaler, sks.as_ref(), wanted);
        let is_foreign = change == Change::NotOwned;
        match change {
            Change::Nothing | Change::NotOwned => {
                assert_eq!(want["sks_write"], Value::Null, "{name}: sks");
            }
            Change::Create(made) => {
                assert_eq!(want["sks_write"]["op"], "create", "{name}: sks");
                assert_eq!(made.spec.mode, SksMode::Proxy, "{name}");
                assert_eq!(made.spec.num_activators, 2, "{name}");
            }
            Change::Update {
                resource_version, ..
            } => {
                assert_eq!(want["sks_write"]["op"], "update", "{name}: sks");
                assert_eq!(resource_version.as_deref(), Some("7"), "{name}");
            }
        }
        self.assert_metric(name, sks.as_ref(), &want["metric_write"]);
        self.autoscaler.status = self.autoscaler.status_now(&Seen {
            sks: sks.as_ref(),
            not_owned: is_foreign.then_some("ServerlessService"),
            ask: Some(&ask),
            ready: u32::try_from(want["status"]["actual_scale"].as_u64().unwrap()).unwrap(),
            now: self.at(&given["t_ms"]),
        });
        self.assert_status(name, &want["status"]);
    }

    fn assert_status(&self, name: &str, want: &Value) {
        let status = &self.autoscaler.status;
        assert_eq!(want["service_name"], status.service_name, "{name}");
        assert_eq!(
            want["metrics_service_name"], status.metrics_service_name,
            "{name}"
        );
        let desired = status.desired_scale.map(i64::from);
        assert_eq!(want["desired_scale"].as_i64(), desired, "{name}: desired");
        let actual = status.actual_scale.map(i64::from);
        assert_eq!(want["actual_scale"].as_i64(), actual, "{name}: actual");
        let rows = [
            ("Active", "active"),
            ("ScaleTargetInitialized", "scale_target_initialized"),
            ("SKSReady", "sks_ready"),
            ("Ready", "ready"),
        ];
        for (condition, field) in rows {
            let (found, want) = (status.condition(condition).unwrap(), &want[field]);
            let got = json!({
                "status": found.status, "reason": found.reason, "message": found.message,
            });
            let text = |name: &str| want[name].as_str().unwrap_or_default();
            let expected = json!({
                "status": text("status"), "reason": text("reason"), "message": text("message"),
            });
            assert_eq!(got, expected, "{name}: {condition}");
            let since = found.last_transition_time.unwrap();
            assert_eq!(
                since,
                self.at(&want["since_ms"]),
                "{name}: {condition}: since"
            );
        }
        assert_eq!(status.observed_generation, 1);
    }
}

#[test]
fn all_recorded_reconciles_end_in_the_same_objects() {
    let file: Value =
        serde_json::from_str(include_str!("vectors/kpa-bounds-reconcile.json")).unwrap();
    let scenarios = file["reconcile"].as_array().unwrap();
    assert_eq!(scenarios.len(), 27);
    for scenario in scenarios {
        let mut world = World::new(file["base_unix_s"].as_u64().unwrap(), scenario);
        for (index, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
            let name = format!("{}, step {index}", scenario["name"]);
            world.step(&name, step);
        }
    }
}

fn plain() -> PodAutoscaler {
    World::new(0, &json!({"config_autoscaler": {}, "annotations": {}, "container_concurrency": 0, "reachability": ""}))
        .autoscaler
}

#[test]
fn a_status_at_rest_is_the_same_again() {
    let world = World::new(
        946_684_800,
        &json!({"config_autoscaler": {}, "annotations": {}, "container_concurrency": 0, "reachability": ""}),
    );
    let sks = json!({
        "mode": "Proxy", "activators": 2, "owned": true, "ready": true, "ready_message": "",
        "proxied_since_ms": 0, "service_name": "rev", "private_service_name": "rev-private",
    });
    let sks = world.sks(&sks).unwrap();
    let mut autoscaler = world.autoscaler;
    let ask = PathAsk {
        activity: Activity::NoTraffic,
        activity_since: Timestamp::from_secs(5),
        is_initialized: true,
        mode: PathMode::Proxy,
        activators: 3,
        desired: Some(0),
        is_probe_wanted: false,
        excess_burst_capacity: -211.0,
        stable: 0.0,
        panic: 0.0,
        target: 70.0,
        is_panicking: false,
    };
    let seen = |now| Seen {
        sks: Some(&sks),
        not_owned: None,
        ask: Some(&ask),
        ready: 0,
        now: Timestamp::from_secs(now),
    };
    autoscaler.status = autoscaler.status_now(&seen(10));
    assert_eq!(autoscaler.status_now(&seen(1_000)), autoscaler.status);
    // As written and read again.
    let written = serde_json::to_value(&autoscaler.status).unwrap();
    autoscaler.status = serde_json::from_value(written).unwrap();
    assert_eq!(autoscaler.status_now(&seen(1_000)), autoscaler.status);
    let found = autoscaler.found_path().unwrap();
    assert_eq!(
        (found.activity, found.is_initialized),
        (Activity::NoTraffic, true)
    );
    assert_eq!(found.since, Timestamp::from_secs(5));
}

#[test]
fn a_path_that_is_being_switched_says_nothing_new_of_readiness() {
    let world = World::new(
        946_684_800,
        &json!({"config_autoscaler": {}, "annotations": {}, "container_concurrency": 0, "reachability": ""}),
    );
    let recorded = json!({
        "mode": "Serve", "activators": 2, "owned": true, "ready": true, "ready_message": "",
        "proxied_since_ms": 0, "service_name": "rev", "private_service_name": "rev-private",
    });
    let mut sks = world.sks(&recorded).unwrap();
    let mut autoscaler = world.autoscaler;
    let status_of = |autoscaler: &PodAutoscaler, sks: &ServerlessService, now| {
        let now = Timestamp::from_secs(now);
        let seen = Seen {
            sks: Some(sks),
            not_owned: None,
            ask: None,
            ready: 1,
            now,
        };
        autoscaler.status_now(&seen)
    };
    autoscaler.status = status_of(&autoscaler, &sks, 1);
    sks.metadata.generation += 1;
    assert!(!sks.is_observed());
    assert_eq!(status_of(&autoscaler, &sks, 2), autoscaler.status);
}

#[test]
fn children_belong_to_their_autoscaler_and_have_its_labels_and_annotations() {
    let mut owner = plain();
    let labels = [("app".to_owned(), "x".to_owned())];
    owner.metadata.labels.extend(labels);
    let key = |name: &str| format!("autoscaling.knative.dev/{name}");
    let annotations = [
        (key("metric"), "rps".to_owned()),
        (key("class"), "c".to_owned()),
    ];
    owner.metadata.annotations.extend(annotations);
    let sks = ServerlessService::wanted(&owner, SksMode::Proxy, 2);
    assert_eq!(
        serde_json::to_value(&sks).unwrap(),
        json!({
            "metadata": {
                "name": "rev", "namespace": "ns", "labels": {"app": "x"},
                "annotations": {"autoscaling.knative.dev/class": "c"},
                "ownerReferences": [{
                    "apiVersion": "autoscaling.internal.knative.dev/v1alpha1",
                    "kind": "PodAutoscaler", "name": "rev", "uid": UID,
                    "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "spec": {
                "mode": "Proxy", "numActivators": 2, "protocolType": "http1",
                "objectRef": {
                    "apiVersion": "apps/v1", "kind": "Deployment", "name": "rev-deployment",
                },
            },
        })
    );
    let scaling = owner.scaling(&ServingConfig::default());
    let metric = Metric::wanted(&owner, &scaling, "rev-private");
    assert_eq!(metric.metadata.annotations.len(), 2);
    assert_eq!(metric.metadata.labels["app"], "x");
}

#[test]
fn a_metric_says_how_collecting_goes() {
    let owner = plain();
    let scaling = owner.scaling(&ServingConfig::default());
    let mut metric = Metric::wanted(&owner, &scaling, "rev-private");
    let rows = [
        (Collection::Collected, "True", ""),
        (Collection::NoStat, "False", "DidNotReceiveStat"),
        (
            Collection::Failed("refused".into()),
            "False",
            "CollectionFailed",
        ),
    ];
    for (now, (collection, status, reason)) in (1..).zip(rows) {
        metric.status = metric.status_now(&collection, Timestamp::from_secs(now));
        let written = serde_json::to_value(&metric.status).unwrap();
        let ready = &written["conditions"][0];
        assert_eq!(
            (&ready["type"], &ready["status"]),
            (&json!("Ready"), &json!(status))
        );
        assert_eq!(ready["reason"].as_str().unwrap_or_default(), reason);
        assert_eq!(
            metric.status_now(&collection, Timestamp::from_secs(100)),
            metric.status
        );
    }
}

#[test]
fn only_the_kpa_class_is_ours() {
    let key = "autoscaling.knative.dev/class";
    let rows = [
        (None, false),
        (Some("kpa.autoscaling.knative.dev"), true),
        (Some("hpa.autoscaling.knative.dev"), false),
        (Some("keda"), false),
    ];
    for (class, is_kpa) in rows {
        let mut autoscaler = plain();
        if let Some(class) = class {
            autoscaler
                .metadata
                .annotations
                .insert(key.to_owned(), class.to_owned());
        }
        assert_eq!(autoscaler.is_kpa(), is_kpa, "{class:?}");
    }
}

#[test]
fn a_config_map_that_cannot_be_read_changes_nothing() {
    let mut config = ServingConfig::default();
    let rows = [
        (
            ConfigMapName::Network,
            "mesh-compatibility-mode",
            "enabled",
            "perhaps",
        ),
        (
            ConfigMapName::Deployment,
            "progress-deadline",
            "20s",
            "soon",
        ),
        (ConfigMapName::Autoscaler, "stable-window", "20s", "1s"),
    ];
    for (name, key, good, bad) in rows {
        let data = |value: &str| [(key.to_owned(), value.to_owned())].into();
        assert_eq!(config.update(name, &data(good)), [], "{name:?}");
        let held = config.clone();
        assert_eq!(config.update(name, &data(bad)).len(), 1, "{name:?}");
        assert_eq!(config, held, "{name:?}");
    }
    assert_eq!(config.mesh_compatibility, MeshCompatibility::Enabled);
    for (key, value, is_proxied) in [
        ("system-internal-tls", "Enabled", true),
        ("internal-encryption", "true", true),
        ("system-internal-tls", "Disabled", false),
    ] {
        let data = [(key.to_owned(), value.to_owned())].into();
        assert_eq!(config.update(ConfigMapName::Network, &data), []);
        let path = plain().scaling(&config).path;
        let RequestPath::Serverless {
            is_always_proxied, ..
        } = path
        else {
            panic!("{path:?}")
        };
        assert_eq!(is_always_proxied, is_proxied, "{key}: {value}");
    }
    let function = plain().function(&config);
    let Scaling::Knative(scaling) = &function.scale.groups[0].scaling else {
        panic!("not a Knative group")
    };
    assert_eq!(scaling.progress_deadline.as_secs(), 20);
    assert_eq!(scaling.stable_window.as_secs(), 20);
}
