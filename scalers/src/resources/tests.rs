//! The source over a platform that says what it is told to.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use zeron_core::Timestamp;
use zeron_core::usage::{ContainerRequest, ContainerUsage, ReplicaUsage, Used};

use super::*;

const WAIT: Duration = Duration::from_secs(3);

/// What each function's one replica uses; `None`: it never answers.
#[derive(Debug, Default)]
struct Platform {
    used: Option<Result<BTreeMap<&'static str, f64>, UnknownKind>>,
    /// A function whose replicas are not known.
    unseen: Option<&'static str>,
    asked: Mutex<Vec<BTreeSet<FunctionId>>>,
}

impl UsageMeter for Platform {
    fn usage<'a>(
        &'a self,
        functions: &'a BTreeSet<FunctionId>,
    ) -> BoxFuture<'a, Result<Usage, Unknown>> {
        self.asked.lock().push(functions.clone());
        let Some(used) = &self.used else {
            return Box::pin(std::future::pending());
        };
        let used = used.clone().map_err(|kind| unknown(kind, "no"));
        let unseen = self.unseen.map(|name| {
            let id = FunctionId::new("default", "Deployment", name);
            (id, unknown(UnknownKind::Transport, "not seen"))
        });
        Box::pin(async move {
            let one = |(name, used): (&str, f64)| {
                let id = FunctionId::new("default", "Deployment", name);
                (id, vec![replica(used)])
            };
            let replicas = used?.into_iter().map(one).collect();
            let now = Timestamp::from_secs(100);
            Ok(Usage {
                now,
                replicas,
                unknown: unseen.into_iter().collect(),
            })
        })
    }
}

fn replica(used: f64) -> ReplicaUsage {
    ReplicaUsage {
        name: "r".into(),
        requests: [ContainerRequest {
            container: "app".into(),
            cpu_millis: Some(100),
            memory_bytes: Some(1000),
        }]
        .into(),
        is_started: true,
        is_ready: true,
        is_draining: false,
        started: Timestamp::from_secs(1),
        ready_changed: Timestamp::from_secs(1),
        used: Some(Used {
            containers: vec![ContainerUsage {
                name: "app".into(),
                cpu_millis: Some(used),
                memory_bytes: None,
            }],
            at: Timestamp::from_secs(99),
            window: Duration::from_secs(10),
        }),
    }
}

fn bind(resources: &Resources, kind: &str, function: &str, alone: &str) -> TriggerHandle {
    let function = format!("default/Deployment/{function}");
    let metadata = [
        ("zeron.dev/function", function.as_str()),
        ("zeron.dev/metricType", "Utilization"),
        ("zeron.dev/alone", alone),
        ("value", "50"),
    ];
    let spec = crate::testkit::spec(kind, &metadata, &[]);
    assert_eq!(resources.validate(&spec), []);
    resources.bind(&spec).unwrap().handle
}

#[tokio::test]
async fn all_triggers_are_read_together_and_each_has_its_own_answer() {
    let platform = Arc::new(Platform {
        used: Some(Ok(BTreeMap::from([("a", 80.0)]))),
        ..Platform::default()
    });
    let resources = Resources::new(platform.clone());
    let handles = [
        bind(&resources, "cpu", "a", "true"),
        bind(&resources, "cpu", "gone", "false"),
        bind(&resources, "memory", "a", "false"),
        bind(&resources, "cpu", "a", "false"),
        TriggerHandle(99),
    ];
    resources.0.release(handles[3]);
    let answers = resources.0.evaluate(&handles, WAIT).await;
    let reading = &answers[0].as_ref().unwrap()[0];
    assert_eq!((&*reading.metric, reading.value), ("cpu", 80.0));
    assert!(reading.activity.is_active(), "nothing else keeps it up");
    let kind = |at: usize| answers[at].as_ref().unwrap_err().kind;
    assert_eq!(
        (kind(1), kind(2)),
        (UnknownKind::NotRead, UnknownKind::NotRead)
    );
    assert_eq!(
        (kind(3), kind(4)),
        (UnknownKind::Configuration, UnknownKind::Configuration)
    );
    let functions = ["a", "gone"].map(|name| FunctionId::new("default", "Deployment", name));
    assert_eq!(*platform.asked.lock(), [BTreeSet::from(functions)]);
}

#[tokio::test]
async fn a_function_whose_replicas_are_not_known_is_unknown_alone() {
    let resources = Resources::new(Arc::new(Platform {
        used: Some(Ok(BTreeMap::from([("a", 80.0), ("b", 80.0)]))),
        unseen: Some("b"),
        ..Platform::default()
    }));
    let handles = ["a", "b"].map(|name| bind(&resources, "cpu", name, "true"));
    let answers = resources.0.evaluate(&handles, WAIT).await;
    assert!(answers[0].is_ok());
    assert_eq!(answers[1].as_ref().unwrap_err().message, "not seen");
}

#[tokio::test]
async fn beside_a_trigger_of_another_type_it_wakes_nothing() {
    let used = Some(Ok(BTreeMap::from([("a", 80.0)])));
    let resources = Resources::new(Arc::new(Platform {
        used,
        ..Platform::default()
    }));
    let handle = bind(&resources, "cpu", "a", "false");
    let answers = resources.0.evaluate(&[handle], WAIT).await;
    assert!(!answers[0].as_ref().unwrap()[0].activity.is_active());
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_fails_or_hangs_is_unknown() {
    let cases = [
        (Some(Err(UnknownKind::Transport)), UnknownKind::Transport),
        (None, UnknownKind::Timeout),
    ];
    for (used, expected) in cases {
        let resources = Resources::new(Arc::new(Platform {
            used,
            ..Platform::default()
        }));
        let handle = bind(&resources, "cpu", "a", "true");
        let answers = resources.0.evaluate(&[handle], WAIT).await;
        assert_eq!(answers[0].as_ref().unwrap_err().kind, expected);
    }
}

#[test]
fn where_nobody_measures_parameters_are_checked_all_the_same() {
    let good = [("type", "Utilization"), ("value", "50")];
    let good = crate::testkit::spec("cpu", &good, &[]);
    assert_eq!(Unmeasured.validate(&good), []);
    let refused = Unmeasured.bind(&good).unwrap_err();
    assert_eq!(refused.kind, UnknownKind::Configuration);
    let bad = crate::testkit::spec("cpu", &[("value", "50")], &[]);
    assert_eq!(Unmeasured.validate(&bad).len(), 1);
}
