//! Manifests of keda.sh, keda.k8s.io and http.keda.sh: what is read, refused, warned of.
#![allow(clippy::unwrap_used)]

#[path = "kinds/authentications.rs"]
mod authentications;
#[path = "kinds/http.rs"]
mod http;
#[path = "kinds/properties.rs"]
mod properties;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use zeron_core::policy::{
    FallbackBehavior, HttpTargets, MaxChange, MetricScaling, MetricType, RemoteParameters,
    RequestRate, Scaling, SelectPolicy, TriggerGroup, TriggerSource, VaultEngine,
};
use zeron_core::route::{HostPattern, RouteAction};
use zeron_core::{FunctionId, Route};
use zeron_frontend_keda::{
    Authentications, Bindings, Dialect, Environment, HttpObject, HttpScaledObject,
    InterceptorRoute, ScaledObject, TriggerAuthentication,
};
use zeron_manifest::{ConfigSet, Deployment, Document, Header, Problems, Scope, parse};

/// Everything that one text declares.
#[derive(Default)]
struct Set {
    scaled: Option<ScaledObject>,
    group: Option<TriggerGroup>,
    http: Option<HttpScaledObject>,
    route: Option<InterceptorRoute>,
    problems: Vec<String>,
}

fn with_scope(document: &Document, problems: &Problems, read: &mut dyn FnMut(&Scope<'_>, &Header)) {
    if let Some(header) = Header::read(document, problems) {
        let scope = Scope::new(document, problems, Some(header.object.clone()));
        read(&scope, &header);
    }
}

fn environments(deployments: &[Deployment]) -> Vec<Environment> {
    let main = deployments.first().map(|d| d.pod.main().path.clone());
    let containers = deployments.iter().flat_map(|d| &d.pod.containers);
    containers
        .map(|c| Environment {
            container: c.name.clone(),
            variables: c.env.clone(),
            requests: c.requests,
            is_main: Some(&c.path) == main.as_ref(),
        })
        .collect()
}

fn read(text: &str) -> Set {
    let folder = Arc::new(PathBuf::from("/folder"));
    let (documents, faults) = parse(&Arc::from("a.yaml"), &folder, text);
    assert_eq!(faults, []);
    let problems = Problems::new(false);
    let (mut set, mut config) = (Set::default(), ConfigSet::default());
    for document in &documents {
        with_scope(
            document,
            &problems,
            &mut |scope, header| match header.object.kind.as_str() {
                "Secret" => assert!(config.add_secret(scope, header)),
                "ConfigMap" => assert!(config.add_config_map(scope, header)),
                _ => {}
            },
        );
    }
    let (mut deployments, mut authentications) = (Vec::new(), Authentications::default());
    for document in &documents {
        with_scope(
            document,
            &problems,
            &mut |scope, header| match header.object.kind.as_str() {
                "Deployment" => deployments.extend(Deployment::read(scope, header, &config)),
                "TriggerAuthentication" | "ClusterTriggerAuthentication" => {
                    let found = TriggerAuthentication::read(scope, header, &config);
                    assert!(authentications.add(header, found));
                }
                "HTTPScaledObject" => set.http = HttpScaledObject::read(scope, header),
                "InterceptorRoute" => set.route = InterceptorRoute::read(scope, header, &config),
                _ => {}
            },
        );
    }
    let environments = environments(&deployments);
    let key = |name: &str| HttpObject {
        kind: "InterceptorRoute".into(),
        namespace: "default".into(),
        name: name.into(),
    };
    let route = set
        .route
        .iter()
        .map(|r| (key(&r.routing.object.name), r.targets));
    let http_targets: BTreeMap<HttpObject, HttpTargets> = route.collect();
    for document in documents
        .iter()
        .filter(|d| d.value["kind"] == "ScaledObject")
    {
        with_scope(document, &problems, &mut |scope, header| {
            let is_old = header.object.api_version.starts_with("keda.k8s.io");
            let dialect = if is_old {
                Dialect::Keda1
            } else {
                Dialect::Keda2
            };
            set.scaled = ScaledObject::read(scope, header, dialect);
            let bindings = Bindings {
                authentications: &authentications,
                environments: &environments,
                http_targets: &http_targets,
            };
            set.group = set.scaled.as_ref().map(|so| so.bind(scope, &bindings));
        });
    }
    set.problems = problems
        .into_sorted()
        .iter()
        .map(ToString::to_string)
        .collect();
    set
}

fn metric(group: &TriggerGroup) -> &MetricScaling {
    match &group.scaling {
        Scaling::Metric(metric) => metric,
        Scaling::Knative(_) | Scaling::Http(_) => panic!("not a metric group"),
    }
}

const DEPLOYMENT: &str = "\
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: w}
spec:
  selector: {matchLabels: {app: w}}
  template:
    metadata: {labels: {app: w}}
    spec:
      containers:
      - {name: main, command: [./w], env: [{name: BROKERS, value: 'b:9092'}]}
      - {name: side, env: [{name: OTHER, value: o}]}
";

/// A ScaledObject with these fields.
fn scaled(spec: &str) -> String {
    format!(
        "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {{name: so}}\nspec:\n  scaleTargetRef: {{name: w}}\n{spec}"
    )
}

const TRIGGER: &str = "  triggers: [{type: kafka, name: a, metadata: {topic: t}}]\n";

#[test]
fn the_old_form_is_read_as_it_was_written() {
    let set = read(
        "apiVersion: keda.k8s.io/v1alpha1\nkind: ScaledObject\nmetadata: {name: log-handler}\nspec:\n  \
         {scaleTargetRef: {deploymentName: log-handler}, pollingInterval: 15, minReplicaCount: 0, maxReplicaCount: 10, cooldownPeriod: 30, \
         triggers: [{type: kafka, metadata: {bootstrapServers: 'b:9092', consumerGroup: log-handler, topic: logs, lagThreshold: \"10\"}}]}\n",
    );
    assert_eq!(set.problems, Vec::<String>::new());
    let (scaled, group) = (set.scaled.unwrap(), set.group.unwrap());
    assert_eq!(scaled.target.name, "log-handler");
    assert_eq!(scaled.target.kind, "Deployment");
    assert_eq!((group.min, group.max), (0, Some(10)));
    let metric = metric(&group);
    assert_eq!(metric.polling_interval, Duration::from_secs(15));
    assert_eq!(metric.cooldown, Duration::from_secs(30));
    let TriggerSource::Scaler(spec) = &metric.triggers[0].source else {
        panic!("not a scaler")
    };
    assert_eq!(spec.kind, "kafka");
    let pairs: Vec<_> = spec
        .metadata
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    let expected = [
        ("bootstrapServers", "b:9092"),
        ("consumerGroup", "log-handler"),
        ("lagThreshold", "10"),
        ("topic", "logs"),
    ];
    assert_eq!(pairs, expected);
}

#[test]
fn values_of_the_old_form_may_name_variables() {
    let text = "apiVersion: keda.k8s.io/v1alpha1\nkind: ScaledObject\nmetadata: {name: so}\nspec:\n  \
         scaleTargetRef: {deploymentName: w, containerName: main}\n  \
         triggers: [{type: rabbitmq, metadata: {host: BROKERS, queueName: BROKERS}}]\n";
    let group = read(&format!("{text}{DEPLOYMENT}")).group.unwrap();
    let TriggerSource::Scaler(spec) = &metric(&group).triggers[0].source else {
        panic!("not a scaler")
    };
    assert_eq!(spec.metadata["host"], "b:9092");
    assert_eq!(spec.metadata["queueName"], "BROKERS");
}

#[test]
fn defaults_are_kedas() {
    let group = read(&scaled(TRIGGER)).group.unwrap();
    assert_eq!((group.min, group.max), (0, Some(100)));
    let metric = metric(&group);
    assert_eq!(metric.polling_interval, Duration::from_secs(30));
    assert_eq!(metric.cooldown, Duration::from_secs(300));
    assert_eq!(metric.initial_cooldown, Duration::ZERO);
    assert_eq!((metric.idle, metric.fallback), (None, None));
    assert_eq!(metric.behavior, zeron_core::policy::Behavior::default());
    assert_eq!(metric.triggers[0].metric_type, MetricType::AverageValue);
}

const WHOLE: &str = "  pollingInterval: 5
  cooldownPeriod: 6
  initialCooldownPeriod: 7
  idleReplicaCount: 0
  minReplicaCount: 2
  maxReplicaCount: 9
  fallback: {failureThreshold: 3, replicas: 4, behavior: currentReplicasIfHigher}
  advanced:
    restoreToOriginalReplicaCount: true
    scalingModifiers: {formula: 'max([a, b]) * 2', target: '5.5', activationTarget: '1', metricType: Value}
    horizontalPodAutoscalerConfig:
      behavior:
        scaleUp: {selectPolicy: Disabled}
        scaleDown:
          stabilizationWindowSeconds: 8
          selectPolicy: Min
          tolerance: '0.05'
          policies: [{type: Pods, value: 1, periodSeconds: 10}, {type: Percent, value: 50, periodSeconds: 20}]
  triggers:
  - {type: kafka, name: a, metricType: Value, useCachedMetrics: true, metadata: {topic: t}}
  - {type: redis, name: b, metadata: {listName: l}}
";

#[test]
fn every_field_is_read() {
    let annotations = "{autoscaling.keda.sh/paused: nonsense, autoscaling.keda.sh/paused-replicas: '3', \
                       autoscaling.keda.sh/force-activation: 'true', autoscaling.keda.sh/paused-scale-in: 'false'}";
    let named = format!("{{name: so, annotations: {annotations}}}");
    let set = read(&scaled(WHOLE).replace("{name: so}", &named));
    assert_eq!(set.problems, Vec::<String>::new());
    let (scaled, group) = (set.scaled.unwrap(), set.group.unwrap());
    assert_eq!(
        (
            scaled.pause.is_frozen,
            scaled.pause.at,
            scaled.pause.scale_in
        ),
        (true, Some(3), false)
    );
    let metric = metric(&group);
    assert!(metric.is_forced_active);
    let fallback = metric.fallback.unwrap();
    assert_eq!((fallback.failure_threshold, fallback.replicas), (3, 4));
    assert_eq!(fallback.behavior, FallbackBehavior::CurrentReplicasIfHigher);
    let formula = metric.formula.as_ref().unwrap();
    assert_eq!((formula.target, formula.activation_target), (5.5, 1.0));
    assert_eq!(formula.metric_type, MetricType::Value);
    assert_eq!((metric.idle, group.min, group.max), (Some(0), 2, Some(9)));
    let down = &metric.behavior.scale_down;
    assert_eq!(
        (down.stabilization, down.tolerance),
        (Duration::from_secs(8), 0.05)
    );
    assert_eq!(down.select, SelectPolicy::Min);
    let changes: Vec<MaxChange> = down.policies.iter().map(|p| p.change).collect();
    assert_eq!(changes, [MaxChange::Replicas(1), MaxChange::Percent(50)]);
    assert_eq!(metric.behavior.scale_up.select, SelectPolicy::Disabled);
}

#[test]
fn triggers_beside_a_formula_need_no_target_of_their_own() {
    let needs_none = |spec: &str| {
        let group = read(&scaled(spec)).group.unwrap();
        let triggers = metric(&group).triggers.iter();
        let specs = triggers.map(|trigger| match &trigger.source {
            TriggerSource::Scaler(spec) => spec.is_formula_input,
            TriggerSource::Http(_) => panic!("not of a scaler"),
        });
        specs.collect::<Vec<_>>()
    };
    assert_eq!(needs_none(WHOLE), [true, true]);
    assert_eq!(needs_none(TRIGGER), [false]);
}

#[test]
fn kedas_admission_rules_hold() {
    let cases = [
        (
            "minReplicaCount: 5\n  maxReplicaCount: 2",
            "spec.minReplicaCount: 5: must not be above maxReplicaCount (2)",
        ),
        (
            "minReplicaCount: 101",
            "101: must not be above maxReplicaCount (100)",
        ),
        (
            "idleReplicaCount: 1\n  minReplicaCount: 1",
            "spec.idleReplicaCount: 1: must be below minReplicaCount (1)",
        ),
        (
            "pollingInterval: 0",
            "spec.pollingInterval: 0: must be an integer of at least 1",
        ),
        (
            "maxReplicaCount: 0",
            "spec.maxReplicaCount: 0: must be an integer of at least 1",
        ),
        (
            "fallback: {replicas: 1}",
            "spec.fallback.failureThreshold: is missing",
        ),
        (
            "fallback: {failureThreshold: 1, replicas: 1, behavior: scalingModifiers}",
            "needs advanced.scalingModifiers.formula",
        ),
        (
            "advanced: {scalingModifiers: {formula: a + 1}}",
            "spec.advanced.scalingModifiers.target: is missing",
        ),
        (
            "advanced: {scalingModifiers: {formula: a + 1, target: '0'}}",
            "\"0\": must be a number above 0",
        ),
        (
            "advanced: {scalingModifiers: {formula: a +, target: '1'}}",
            "does not compile",
        ),
        (
            "advanced: {scalingModifiers: {formula: nobody + 1, target: '1'}}",
            "fails when every named trigger is 1",
        ),
        (
            "advanced: {scalingModifiers: {formula: '\"x\"', target: '1'}}",
            "must give a number",
        ),
        (
            "advanced: {scalingModifiers: {formula: 'sum(1..99999999)', target: '1'}}",
            "must not use `..`",
        ),
        (
            "advanced: {scalingModifiers: {formula: a, target: '1', metricType: Utilization}}",
            "\"Utilization\": must be one of AverageValue, Value",
        ),
    ];
    for (spec, expected) in cases {
        let problems = read(&scaled(&format!("  {spec}\n{TRIGGER}"))).problems;
        assert_eq!(problems.len(), 1, "{spec}: {problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}\n{expected}");
    }
}

#[test]
fn triggers_are_checked() {
    let cases = [
        ("[]", "spec.triggers: are missing"),
        (
            "[{type: kafka, name: a}, {type: redis, name: a}]",
            "spec.triggers[1]: name \"a\": another trigger has this name",
        ),
        (
            "[{type: kafka, metricType: Utilization}]",
            "Utilization: only triggers of type cpu and memory take it",
        ),
        (
            "[{type: cron, useCachedMetrics: true}]",
            "spec.triggers[0].useCachedMetrics: true",
        ),
        (
            "[{type: kafka, metadata: {lagThreshold: 10}}]",
            "spec.triggers[0].metadata.lagThreshold: 10: must be a string: put it in quotes",
        ),
        ("[{metadata: {}}]", "spec.triggers[0].type: is missing"),
        (
            "[{type: kafka, authenticationRef: {name: none}}]",
            "TriggerAuthentication none is not among the manifests",
        ),
        (
            "[{type: kafka, metadata: {xFromEnv: NONE}}]",
            "variable \"NONE\" is not in the environment of Deployment w",
        ),
        (
            "[{type: external-push, metadata: {interceptorRoute: none}}]",
            "InterceptorRoute default/none is not among the manifests",
        ),
    ];
    for (triggers, expected) in cases {
        let problems = read(&scaled(&format!("  triggers: {triggers}\n"))).problems;
        assert_eq!(problems.len(), 1, "{triggers}: {problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}\n{expected}");
        assert!(problems[0].contains(": error: "));
    }
}

/// A ScaledObject with one trigger of a Deployment, whose container has these fields beside others.
fn measured(trigger: &str, container: &str) -> String {
    let deployment = DEPLOYMENT.replace("name: main,", &format!("name: main{container},"));
    let deployment =
        deployment.replace("      - {name: side, env: [{name: OTHER, value: o}]}\n", "");
    scaled(&format!("  triggers: [{{{trigger}}}]\n")) + &deployment
}

#[test]
fn cpu_and_memory_are_measured_and_never_go_to_zero_alone() {
    let trigger =
        "type: cpu, metricType: Utilization, metadata: {value: '50', containerName: main}";
    let set = read(&measured(trigger, ", resources: {limits: {cpu: 100m}}"));
    assert_eq!(set.problems, [""; 0]);
    let group = set.group.unwrap();
    assert_eq!(group.min, 1);
    let TriggerSource::Scaler(spec) = &metric(&group).triggers[0].source else {
        panic!("not a source");
    };
    let metadata: Vec<_> = spec.metadata.iter().map(|(k, v)| (&**k, &**v)).collect();
    let expected = [
        ("value", "50"),
        ("zeron.dev/alone", "true"),
        ("zeron.dev/function", "default/Deployment/w"),
        ("zeron.dev/metricType", "Utilization"),
    ];
    assert_eq!(metadata, expected);
}

#[test]
fn a_share_of_what_nobody_requests_or_of_another_container_is_refused() {
    let share = "type: memory, metricType: Utilization, metadata: {value: '50'}";
    let other = "type: memory, metricType: AverageValue, metadata: {value: 1Mi, containerName: x}";
    let untyped = "type: memory, metadata: {value: '50'}";
    let cases = [
        (
            measured(share, ", resources: {requests: {cpu: 1}}"),
            "a.yaml:6:15: error: ScaledObject default/so: spec.triggers[0].type: a trigger of type memory needs a memory request (or limit) of container main",
        ),
        (
            measured(share, ", resources: {requests: {memory: 0}}"),
            "needs a memory request (or limit) of container main",
        ),
        (
            measured(other, ""),
            "error: ScaledObject default/so: spec.triggers[0].metadata.containerName: \"x\": Deployment w has no such container",
        ),
        (
            measured(untyped, ""),
            "error: ScaledObject default/so: spec.triggers[0].metricType: must be Utilization or AverageValue",
        ),
    ];
    for (text, expected) in cases {
        let problems = read(&text).problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}\n{expected}");
    }
    let amount = "type: memory, metricType: AverageValue, metadata: {value: 1Mi}";
    assert_eq!(read(&measured(amount, "")).problems, [""; 0]);
}

#[test]
fn the_use_of_a_container_that_does_not_run_here_has_no_effect() {
    let trigger =
        "type: cpu, metricType: AverageValue, metadata: {value: '1', containerName: side}";
    let set = read(&(scaled(&format!("  triggers: [{{{trigger}}}]\n")) + DEPLOYMENT));
    let expected = "warning: ScaledObject default/so: spec.triggers[0].metadata.containerName: \"side\" does not run here";
    let found = set.problems.iter().any(|it| it.contains(expected));
    assert!(found, "{:?}", set.problems);
    let group = set.group.unwrap();
    assert_eq!((metric(&group).triggers.len(), group.min), (0, 1));
}

#[test]
fn targets_that_cannot_be_scaled_here_are_refused() {
    let problems =
        read(&scaled(TRIGGER).replace("{name: w}", "{name: w, kind: StatefulSet}")).problems;
    assert!(
        problems[0].contains("StatefulSet (apps/v1) cannot be scaled here"),
        "{problems:?}"
    );
    let service = "{name: w, kind: Service, apiVersion: serving.knative.dev/v1}";
    let set = read(&scaled(TRIGGER).replace("{name: w}", service));
    assert!(set.scaled.unwrap().target.is_knative_service());
}
