//! Manifests of keda.sh, keda.k8s.io and http.keda.sh: what is read, refused, warned of.
#![allow(clippy::unwrap_used)]

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
    let containers = deployments
        .iter()
        .flat_map(|d: &Deployment| &d.pod.containers);
    let environments: Vec<Environment> = containers
        .map(|c| Environment {
            container: c.name.clone(),
            variables: c.env.clone(),
        })
        .collect();
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

#[test]
fn cpu_and_memory_are_warned_of_and_never_go_to_zero_alone() {
    let set = read(&scaled(
        "  triggers: [{type: cpu, metricType: Utilization, metadata: {value: '50'}}]\n",
    ));
    assert_eq!(set.problems.len(), 1);
    let expected = "warning: ScaledObject default/so: spec.triggers[0].type: triggers of type cpu are not supported here yet";
    assert!(set.problems[0].contains(expected), "{:?}", set.problems);
    assert_eq!(set.group.unwrap().min, 1);
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

const AUTHENTICATION: &str = "\
---
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: {name: ta}
spec:
  secretTargetRef: [{parameter: password, name: s, key: p}, {parameter: x, name: s, key: none}]
  configMapTargetRef: [{parameter: username, name: c, key: u}]
  env: [{parameter: sasl, name: OTHER, containerName: side}]
  azureKeyVault: {vaultUri: a}
---
{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {p: hunter2}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {u: me}}
";

#[test]
fn parameters_come_from_secrets_config_maps_and_variables() {
    let triggers = "  triggers: [{type: kafka, authenticationRef: {name: ta}, metadata: {bootstrapServersFromEnv: BROKERS}}]\n";
    let set = read(&format!("{}{DEPLOYMENT}{AUTHENTICATION}", scaled(triggers)));
    let group = set.group.unwrap();
    let TriggerSource::Scaler(spec) = &metric(&group).triggers[0].source else {
        panic!("not a scaler")
    };
    let auth: Vec<_> = spec
        .auth
        .iter()
        .map(|(k, v)| (k.as_str(), v.expose()))
        .collect();
    assert_eq!(
        auth,
        [("password", "hunter2"), ("sasl", "o"), ("username", "me")]
    );
    assert_eq!(spec.metadata["bootstrapServers"], "b:9092");
    assert!(spec.from_environment.contains("bootstrapServers"));
    let own: Vec<&String> = set
        .problems
        .iter()
        .filter(|p| p.contains("TriggerAuthentication"))
        .collect();
    assert_eq!(own.len(), 2, "{own:?}");
    assert!(
        own.iter()
            .any(|p| p.contains("Secret default/s has no key \"none\""))
    );
    assert!(
        own.iter()
            .any(|p| p.contains("spec.azureKeyVault: is not supported here"))
    );
    assert!(!format!("{:?}{:?}", set.problems, group).contains("hunter2"));
}

const INTERCEPTOR: &str = "\
---
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: r}
spec:
  target: {service: w, port: 80}
  rules:
  - {hosts: [A.example.com, '*.b.org'], paths: [{value: /x}, {value: y}], headers: [{name: X-Key, value: v}, {name: Y}]}
  - {hosts: ['*']}
  scalingMetric: {concurrency: {targetValue: 3}, requestRate: {targetValue: 4, window: 30s}}
  timeouts: {readiness: 10s, request: 0s, responseHeader: 5s}
  coldStart:
    maxPendingRequests: 7
    fallback: {service: {name: spare, port: 80}}
    placeholder: {response: {body: wait, headers: {retry-after: '1'}}}
  staticRoutes:
  - {rules: [{paths: [{value: /health}]}], response: {statusCode: 204}, responseMode: Always}
";

fn forward(route: &Route) -> &zeron_core::route::Forward {
    match &route.action {
        RouteAction::Forward(forward) => forward,
        RouteAction::Respond(_) => panic!("not forwarded"),
    }
}

fn deployment(name: &str) -> FunctionId {
    FunctionId::new("default", "Deployment", name)
}

#[test]
fn an_interceptor_route_is_what_its_trigger_counts() {
    let triggers = "  triggers: [{type: external-push, metadata: {scalerAddress: 'x:9090', interceptorRoute: r}}]\n";
    let set = read(&format!("{}{INTERCEPTOR}", scaled(triggers)));
    assert_eq!(set.problems, Vec::<String>::new());
    let (window, granularity) = (Duration::from_secs(30), Duration::from_secs(1));
    let targets = HttpTargets {
        concurrency: Some(3.0),
        request_rate: Some(RequestRate {
            target: 4.0,
            window,
            granularity,
        }),
    };
    assert_eq!(
        metric(&set.group.unwrap()).triggers[0].source,
        TriggerSource::Http(targets)
    );
}

#[test]
fn an_interceptor_route_routes() {
    let routing = read(INTERCEPTOR).route.unwrap().routing;
    assert_eq!(
        (routing.readiness, routing.max_pending),
        (Some(Duration::from_secs(10)), Some(7))
    );
    let routes = routing.routes(&deployment("w"), Some(&deployment("spare")));
    let paths: Vec<&str> = routes.iter().map(|r| r.path_prefix.as_str()).collect();
    assert_eq!(paths, ["/x", "/y", "/", "/health"]);
    let hosts = [
        HostPattern::Exact("a.example.com".into()),
        HostPattern::Wildcard("b.org".into()),
    ];
    assert_eq!(routes[0].hosts, hosts);
    assert_eq!(routes[2].hosts, [HostPattern::Any]);
    assert_eq!(routes[0].headers[0].name, "x-key");
    assert_eq!(routes[0].headers[1].value, None);
    let first = forward(&routes[0]);
    let timeouts = first.timeouts.unwrap();
    assert_eq!(
        (timeouts.request, timeouts.response_start),
        (None, Some(Duration::from_secs(5)))
    );
    assert_eq!(first.placeholder.as_ref().unwrap().status, 503);
    assert_eq!(first.fallback.as_ref(), Some(&deployment("spare")));
    assert!(matches!(&routes[3].action, RouteAction::Respond(r) if r.status == 204));
}

#[test]
fn an_interceptor_route_is_checked() {
    let metrics = "{concurrency: {targetValue: 3}, requestRate: {targetValue: 4, window: 30s}}";
    let cases = [
        (
            "port: 80}\n  rules",
            "port: 80, portName: web}\n  rules",
            "portName: must not stand beside port",
        ),
        (metrics, "{}", "needs concurrency, requestRate or both"),
        (
            "targetValue: 3",
            "targetValue: 0",
            "0: must be an integer of at least 1",
        ),
        ("A.example.com", "a/b", "\"a/b\": must be a host"),
        (
            "statusCode: 204",
            "statusCode: 99",
            "99: must be an integer from 200 to 599",
        ),
        (
            "body: wait,",
            "bodyFromConfigMap: {name: none, key: k},",
            "ConfigMap default/none is not among the manifests",
        ),
    ];
    for (from, to, expected) in cases {
        let problems = read(&INTERCEPTOR.replace(from, to)).problems;
        assert_eq!(problems.len(), 1, "{expected}: {problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}\n{expected}");
    }
}

#[test]
fn an_http_scaled_object_scales_and_routes() {
    let text = "\
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: h}
spec:
  hosts: [h.example.com]
  pathPrefixes: [/a]
  scaleTargetRef: {name: w, kind: Deployment, apiVersion: apps/v1, service: w-svc, port: 8080}
  replicas: {min: 1, max: 5}
  scaledownPeriod: 20
  initialCooldownPeriod: 9
  scalingMetric: {requestRate: {targetValue: 50, window: 10s, granularity: 500ms}}
  coldStartTimeoutFailoverRef: {service: spare, port: 80}
  timeouts: {conditionWait: 5s, responseHeader: 6s}
";
    let set = read(text);
    assert_eq!(set.problems, Vec::<String>::new());
    let http = set.http.unwrap();
    assert_eq!(
        (http.target.name.as_str(), http.routing.target.name.as_str()),
        ("w", "w-svc")
    );
    assert_eq!(http.routing.readiness, Some(Duration::from_secs(30)));
    let group = http.group();
    assert_eq!((group.min, group.max), (1, Some(5)));
    let Scaling::Http(scaling) = &group.scaling else {
        panic!("not an HTTP group")
    };
    assert_eq!(
        (scaling.concurrency, scaling.cooldown),
        (None, Duration::from_secs(20))
    );
    let rate = scaling.request_rate.unwrap();
    assert_eq!((rate.target, rate.window), (50.0, Duration::from_secs(10)));
    assert_eq!(rate.granularity, Duration::from_millis(500));
    let routes = http.routing.routes(&deployment("w"), None);
    assert_eq!((routes.len(), routes[0].path_prefix.as_str()), (1, "/a"));
    let limit = forward(&routes[0]).timeouts.unwrap().response_start;
    assert_eq!(limit, Some(Duration::from_secs(6)));
}

#[test]
fn an_http_scaled_object_has_the_add_ons_defaults() {
    let text = "apiVersion: http.keda.sh/v1alpha1\nkind: HTTPScaledObject\nmetadata: {name: h}\nspec: {hosts: [h], scaleTargetRef: {name: w}}\n";
    let http = read(text).http.unwrap();
    let group = http.group();
    let Scaling::Http(scaling) = &group.scaling else {
        panic!("not an HTTP group")
    };
    assert_eq!(
        (group.min, group.max, scaling.concurrency),
        (0, Some(100), Some(100.0))
    );
    assert_eq!(scaling.cooldown, Duration::from_secs(300));
    let both = text.replace(
        "hosts",
        "scalingMetric: {concurrency: {}, requestRate: {}}, hosts",
    );
    let problems = read(&both).problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("has both concurrency and requestRate"));
    let skip =
        "{name: h, annotations: {httpscaledobject.keda.sh/skip-scaledobject-creation: 'true'}}";
    assert!(
        !read(&text.replace("{name: h}", skip))
            .http
            .unwrap()
            .is_scaling
    );
}

const NAMES: [&str; 38] = [
    "scaleTargetRef",
    "name",
    "kind",
    "triggers",
    "type",
    "metadata",
    "authenticationRef",
    "advanced",
    "scalingModifiers",
    "formula",
    "target",
    "fallback",
    "replicas",
    "hosts",
    "paths",
    "value",
    "rules",
    "headers",
    "service",
    "port",
    "coldStart",
    "placeholder",
    "response",
    "scalingMetric",
    "concurrency",
    "requestRate",
    "window",
    "targetValue",
    "timeouts",
    "staticRoutes",
    "horizontalPodAutoscalerConfig",
    "behavior",
    "scaleUp",
    "policies",
    "tolerance",
    "podIdentity",
    "env",
    "secretTargetRef",
];

fn value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Map, Value, json};
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|f| json!(f)),
        "[a-z0-9.:/*%+?()\\[\\]-]{0,10}".prop_map(Value::from),
    ];
    let key = prop::sample::select(NAMES.to_vec());
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let pairs = prop::collection::vec((key.clone(), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            pairs.prop_map(|p| p
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #[test]
    fn no_manifest_panics(spec in value(), formula in "[ab0-9 +*/()?:!,\\[\\]'\".-]{0,40}") {
        let kinds = [
            ("keda.sh/v1alpha1", "ScaledObject"),
            ("keda.k8s.io/v1alpha1", "ScaledObject"),
            ("keda.sh/v1alpha1", "TriggerAuthentication"),
            ("http.keda.sh/v1alpha1", "HTTPScaledObject"),
            ("http.keda.sh/v1beta1", "InterceptorRoute"),
        ];
        for (api_version, kind) in kinds {
            let manifest = serde_json::json!({
                "apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec.clone(),
            });
            read(&manifest.to_string());
        }
        let formula = serde_json::Value::from(formula).to_string();
        let modifiers = format!("  advanced: {{scalingModifiers: {{formula: {formula}, target: '1'}}}}\n");
        read(&scaled(&format!("{modifiers}{TRIGGER}")));
    }
}

const VAULT: &str = "\
---
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: {name: ta}
spec:
  hashiCorpVault:
    address: https://vault:8200/
    authentication: token
    credential: {token: hunter2}
    secrets: [{parameter: password, path: secret/data/kafka, key: pass, type: secretV2}]
";

const VAULT_TRIGGERS: &str =
    "  triggers: [{type: kafka, authenticationRef: {name: ta}, metadata: {a: b}}]\n";

fn remote(text: &str) -> (Vec<RemoteParameters>, Vec<String>) {
    let set = read(&format!("{}{DEPLOYMENT}{text}", scaled(VAULT_TRIGGERS)));
    let group = set.group.unwrap();
    let TriggerSource::Scaler(spec) = &metric(&group).triggers[0].source else {
        panic!("not a scaler")
    };
    (spec.remote.clone(), set.problems)
}

#[test]
fn a_vault_is_read_when_the_trigger_is() {
    let (remote, problems) = remote(VAULT);
    let [RemoteParameters::Vault(vault)] = &remote[..] else {
        panic!("{remote:?}: {problems:?}")
    };
    assert_eq!(vault.address, "https://vault:8200");
    assert_eq!(vault.secrets[0].engine, VaultEngine::Second);
    assert!(!format!("{remote:?}").contains("hunter2"));
}

#[test]
fn what_a_vault_needs_is_said_all_at_once() {
    let broken = VAULT
        .replace("authentication: token", "authentication: kubernetes")
        .replace("path: secret/data/kafka, ", "")
        .replace("secretV2", "pki");
    let (remote, problems) = remote(&broken);
    assert!(remote.is_empty());
    for wanted in [
        "spec.hashiCorpVault.role: is missing",
        "spec.hashiCorpVault.secrets[0].path: is missing",
        "spec.hashiCorpVault.secrets[0].type: pki",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(wanted)),
            "{wanted}: {problems:?}"
        );
    }
}

#[test]
fn only_cluster_authentications_sign_in_to_a_vault_as_ourselves() {
    let ours = VAULT.replace(
        "authentication: token",
        "authentication: kubernetes\n    role: scaler",
    );
    let (refused, problems) = remote(&ours);
    assert!(refused.is_empty());
    assert!(
        problems
            .iter()
            .any(|it| it.contains("only a ClusterTriggerAuthentication"))
    );
    let cluster = ours.replace("kind: TriggerAuth", "kind: ClusterTriggerAuth");
    let triggers = VAULT_TRIGGERS.replace(
        "{name: ta}",
        "{name: ta, kind: ClusterTriggerAuthentication}",
    );
    let set = read(&format!("{}{DEPLOYMENT}{cluster}", scaled(&triggers)));
    let group = set.group.unwrap();
    let TriggerSource::Scaler(spec) = &metric(&group).triggers[0].source else {
        panic!("not a scaler")
    };
    assert_eq!(spec.remote.len(), 1, "{:?}", set.problems);
}

#[test]
fn only_cluster_authentications_read_files_and_only_below_the_folder() {
    let kinds = VAULT.split("  hashiCorpVault").next().unwrap();
    let (remote_files, problems) = remote(&format!("{kinds}  filePath: creds.json\n"));
    assert!(remote_files.is_empty());
    assert!(
        problems
            .iter()
            .any(|it| it.contains("only a ClusterTriggerAuthentication"))
    );
    let cluster = format!("{kinds}  filePath: PATH\n");
    let cluster = cluster.replace("kind: TriggerAuth", "kind: ClusterTriggerAuth");
    let triggers = VAULT_TRIGGERS.replace(
        "{name: ta}",
        "{name: ta, kind: ClusterTriggerAuthentication}",
    );
    let of = |path: &str| {
        let text = cluster.replace("PATH", path);
        let set = read(&format!("{}{DEPLOYMENT}{text}", scaled(&triggers)));
        let group = set.group.unwrap();
        let TriggerSource::Scaler(spec) = &metric(&group).triggers[0].source else {
            panic!("not a scaler")
        };
        (spec.remote.clone(), set.problems)
    };
    assert_eq!(
        of("a/b.json").0,
        [RemoteParameters::File {
            path: "a/b.json".to_owned()
        }]
    );
    let (refused, problems) = of("../b.json");
    assert!(refused.is_empty());
    assert!(
        problems.iter().any(|it| it.contains("must be relative")),
        "{problems:?}"
    );
}
