//! Sets of manifests: what they join to, and what is wrong between their objects.
#![allow(clippy::unwrap_used)]

mod faults;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zeron_core::function::Protocol;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::{Scaling, TriggerSource, TriggerSpec};
use zeron_core::roles::{BoundTrigger, TriggerProblem};
use zeron_core::route::RouteAction;
use zeron_core::workload::Port;
use zeron_core::{Function, ScalerRegistry};

use super::{Catalog, CompileOptions, compile};

/// Knows `kafka`, which needs a `topic`, a `queue`, whose credentials need a `password`, and `cpu`.
#[derive(Debug)]
struct FakeScalers;

impl ScalerRegistry for FakeScalers {
    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        let problem = |parameter: Option<&str>, message: &str, is_warning| TriggerProblem {
            parameter: parameter.map(str::to_owned),
            message: message.to_owned(),
            is_warning,
        };
        let mut problems = Vec::new();
        if trigger.kind == "cpu" {
            return problems;
        }
        if trigger.kind != "kafka" {
            problems.push(problem(None, "unknown trigger type", false));
        } else if !trigger.metadata.contains_key("topic") {
            problems.push(problem(Some("topic"), "is missing", false));
        }
        if trigger.metadata.contains_key("odd") {
            problems.push(problem(Some("odd"), "unknown parameter", true));
        }
        problems
    }

    fn bind(&self, _: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        Err(Unknown {
            kind: UnknownKind::Configuration,
            message: String::new(),
        })
    }
}

fn read_files(files: &[(&str, &str)], is_strict: bool) -> (Catalog, Vec<String>) {
    let mut documents = Vec::new();
    for (name, text) in files {
        let folder = Arc::new(PathBuf::from("/folder"));
        let (found, faults) = zeron_manifest::parse(&Arc::from(*name), &folder, text);
        assert_eq!(faults, []);
        documents.extend(found);
    }
    let options = CompileOptions {
        is_strict,
        ..CompileOptions::default()
    };
    let (catalog, problems) = compile(&documents, &FakeScalers, &options);
    (catalog, problems.iter().map(ToString::to_string).collect())
}

fn read(parts: &[&str]) -> (Catalog, Vec<String>) {
    read_files(&[("a.yaml", &parts.join("---\n"))], false)
}

/// Reads a set that has nothing wrong with it.
fn good(parts: &[&str]) -> Catalog {
    let (catalog, problems) = read(parts);
    assert_eq!(problems, Vec::<String>::new());
    catalog
}

/// Reads a set that has exactly one thing wrong with it.
fn fault(parts: &[&str]) -> String {
    let (_, mut problems) = read(parts);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.remove(0)
}

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: w}
spec:
  replicas: 2
  selector: {matchLabels: {app: w}}
  template:
    metadata: {labels: {app: w}}
    spec:
      containers:
      - {name: main, command: [./w, $(PORT)], env: [{name: TOPIC, value: t}]}
";

const SCALED: &str = "\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: so}
spec:
  scaleTargetRef: {name: w}
  maxReplicaCount: 5
  triggers: [{type: kafka, metadata: {topicFromEnv: TOPIC}}]
";

const HTTP: &str = "\
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: h}
spec:
  hosts: [h.example.com]
  scaleTargetRef: {name: w, service: svc, port: 80}
  replicas: {max: 7}
";

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: svc}
spec:
  selector: {app: w}
  ports: [{port: 80, targetPort: web, appProtocol: kubernetes.io/h2c}]
";

const INTERCEPTOR: &str = "\
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: r}
spec:
  target: {service: svc, port: 80}
  rules: [{hosts: [r.example.com]}]
  scalingMetric: {concurrency: {targetValue: 3}}
  timeouts: {readiness: 9s}
  coldStart: {maxPendingRequests: 4}
";

const KNATIVE: &str = "\
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: k}
spec:
  template:
    spec:
      containers: [{command: [./k], env: [{name: TOPIC, value: t}]}]
";

fn only(catalog: &Catalog) -> &Function {
    assert_eq!(catalog.functions.len(), 1);
    &catalog.functions[0]
}

#[test]
fn a_deployment_without_triggers_runs_its_replicas() {
    let catalog = good(&[DEPLOYMENT]);
    let function = only(&catalog);
    assert_eq!(function.id.to_string(), "default/Deployment/w");
    assert!(function.scale.groups.is_empty());
    assert_eq!(function.scale.replicas, 2);
    assert_eq!(function.workload.port, Some(Port::Assigned));
}

#[test]
fn triggers_of_all_objects_are_joined_on_their_deployment() {
    let catalog = good(&[SCALED, HTTP, SERVICE, DEPLOYMENT]);
    let function = only(&catalog);
    let sources: Vec<String> = function
        .scale
        .groups
        .iter()
        .map(|g| g.source.to_string())
        .collect();
    assert_eq!(
        sources,
        ["ScaledObject default/so", "HTTPScaledObject default/h"]
    );
    let Scaling::Metric(metric) = &function.scale.groups[0].scaling else {
        panic!("not metric")
    };
    let TriggerSource::Scaler(spec) = &metric.triggers[0].source else {
        panic!("not a scaler")
    };
    assert_eq!(spec.metadata["topic"], "t");
    assert_eq!(function.protocol, Protocol::H2c);
    assert_eq!(
        function.timeouts.response_start,
        Some(Duration::from_secs(300))
    );
    assert_eq!((catalog.routes.len(), catalog.objects.len()), (1, 4));
    let RouteAction::Forward(forward) = &catalog.routes[0].action else {
        panic!("not forwarded")
    };
    assert_eq!(forward.targets[0].function, function.id);
}

#[test]
fn an_http_scaled_object_that_a_trigger_names_does_not_scale_twice() {
    let named = SCALED.replace(
        "[{type: kafka, metadata: {topicFromEnv: TOPIC}}]",
        "[{type: external-push, metadata: {scalerAddress: x, httpScaledObject: h}}]",
    );
    let catalog = good(&[&named, HTTP, SERVICE, DEPLOYMENT]);
    let function = only(&catalog);
    assert_eq!(function.scale.groups.len(), 1);
    let Scaling::Metric(metric) = &function.scale.groups[0].scaling else {
        panic!("not metric")
    };
    let TriggerSource::Http(targets) = &metric.triggers[0].source else {
        panic!("not HTTP")
    };
    assert_eq!(targets.concurrency, Some(100.0));
}

#[test]
fn an_interceptor_route_limits_waiting_and_scales_nothing() {
    let catalog = good(&[INTERCEPTOR, SERVICE, DEPLOYMENT]);
    let function = only(&catalog);
    assert!(function.scale.groups.is_empty());
    assert_eq!(function.admission.max_wait, Duration::from_secs(9));
    assert_eq!(function.admission.max_queued, 4);
    assert_eq!(catalog.routes.len(), 1);
}

#[test]
fn a_route_may_name_a_deployment_without_a_service() {
    let catalog = good(&[
        &INTERCEPTOR.replace("service: svc", "service: w"),
        DEPLOYMENT,
    ]);
    assert_eq!(catalog.routes.len(), 1);
    assert_eq!(only(&catalog).protocol, Protocol::Http1);
}

#[test]
fn ports_follow_what_is_declared_and_what_leads_there() {
    let silent = DEPLOYMENT.replace(", $(PORT)", "");
    assert_eq!(only(&good(&[&silent])).workload.port, None);
    assert_eq!(only(&good(&[&silent])).protocol, Protocol::None);
    assert_eq!(
        only(&good(&[&silent, HTTP, SERVICE])).workload.port,
        Some(Port::Assigned)
    );

    let fixed = silent.replace(
        "name: main,",
        "name: main, ports: [{containerPort: 1}, {containerPort: 2, name: web}],",
    );
    let one = HTTP.replace("max: 7", "max: 1");
    let catalog = good(&[&fixed, &one, SERVICE]);
    assert_eq!(
        only(&catalog).workload.port,
        Some(Port::Fixed(2.try_into().unwrap()))
    );
    let message = fault(&[&fixed, HTTP, SERVICE]);
    assert!(
        message.contains("ports[0].containerPort: 2: up to 7 replicas cannot share one port"),
        "{message}"
    );
    assert!(message.contains("$(PORT)"), "{message}");
    assert!(fault(&[&fixed]).contains("1: up to 2 replicas"));
}

#[test]
fn a_scaled_object_may_target_a_knative_service() {
    let target = "scaleTargetRef: {name: k, kind: Service, apiVersion: serving.knative.dev/v1}";
    let paused = "metadata: {name: so, annotations: {autoscaling.keda.sh/paused-replicas: '2'}}";
    let scaled = SCALED
        .replace("scaleTargetRef: {name: w}", target)
        .replace("metadata: {name: so}", paused);
    let catalog = good(&[&scaled, KNATIVE]);
    let service = &catalog.services[0];
    let mut function = service.function("k-00001", &catalog.config);
    catalog.bind_triggers(&service.object, &mut function);
    assert_eq!(function.scale.groups.len(), 2);
    assert_eq!(function.scale.pause.at, Some(2));
}

#[test]
fn what_a_service_uses_is_measured_of_its_revision() {
    let target = "scaleTargetRef: {name: k, kind: Service, apiVersion: serving.knative.dev/v1}";
    let share = "[{type: cpu, metricType: Utilization, metadata: {value: '50'}}]";
    let scaled = SCALED
        .replace("scaleTargetRef: {name: w}", target)
        .replace("[{type: kafka, metadata: {topicFromEnv: TOPIC}}]", share);
    let message = fault(&[&scaled, KNATIVE]);
    let expected = "a trigger of type cpu needs a cpu request (or limit) of its container";
    assert!(message.ends_with(expected), "{message}");
    let requests = "command: [./k], resources: {requests: {cpu: 1}},";
    let service = KNATIVE.replace("command: [./k],", requests);
    let catalog = good(&[&scaled, &service]);
    let service = &catalog.services[0];
    let mut function = service.function("k-00001", &catalog.config);
    assert_eq!(function.workload.requests.cpu_millis, Some(1000));
    catalog.bind_triggers(&service.object, &mut function);
    let Scaling::Metric(metric) = &function.scale.groups[1].scaling else {
        panic!("not metric")
    };
    let TriggerSource::Scaler(spec) = &metric.triggers[0].source else {
        panic!("not a scaler")
    };
    assert_eq!(spec.metadata["zeron.dev/function"], function.id.to_string());
    assert!(function.id.to_string().ends_with("/k-00001"));
}

#[test]
fn what_is_missing_is_named() {
    let cases: [(&[&str], &str); 6] = [
        (
            &[SCALED],
            "a.yaml:5:3: error: ScaledObject default/so: spec.scaleTargetRef: Deployment default/w is not among the manifests",
        ),
        (
            &[HTTP, SERVICE],
            "spec.scaleTargetRef: Deployment default/w is not among the manifests",
        ),
        (
            &[INTERCEPTOR],
            "spec.target: neither a Service nor a Deployment default/svc is among the manifests",
        ),
        (
            &[INTERCEPTOR, SERVICE],
            "spec.target: Service default/svc selects no Deployment",
        ),
        (
            &[
                &INTERCEPTOR.replace("port: 80", "port: 81"),
                SERVICE,
                DEPLOYMENT,
            ],
            "Service default/svc has no port 81",
        ),
        (
            &[&INTERCEPTOR.replace("service: svc", "service: k"), KNATIVE],
            "k is a Knative Service, which has routes of its own",
        ),
    ];
    for (parts, expected) in cases {
        let message = fault(parts);
        assert!(message.contains(expected), "{message}\n{expected}");
        assert!(message.contains(": error: "));
    }
}

#[test]
fn what_refers_to_a_broken_object_is_not_at_fault() {
    let broken = DEPLOYMENT.replace("command: [./w, $(PORT)], ", "image: w, ");
    assert!(fault(&[&broken, SCALED, HTTP, SERVICE]).contains("command: is missing"));
}

#[test]
fn one_target_has_one_scaled_object() {
    let message = fault(&[
        DEPLOYMENT,
        SCALED,
        &SCALED.replace("name: so", "name: other"),
    ]);
    assert!(message.contains("ScaledObject default/other: spec.scaleTargetRef: Deployment w is scaled by ScaledObject default/so already"), "{message}");
}

#[test]
fn an_object_is_declared_once_but_a_knative_service_may_be_edited_in_its_file() {
    let message = fault(&[DEPLOYMENT, DEPLOYMENT]);
    assert!(
        message.contains("Deployment default/w: metadata.name: is declared already at a.yaml:3:12"),
        "{message}"
    );
    let edit = KNATIVE.replace("./k", "./k2");
    assert_eq!(good(&[KNATIVE, &edit]).services.len(), 2);
    let (_, problems) = read_files(&[("a.yaml", KNATIVE), ("b.yaml", &edit)], false);
    assert!(problems[0].contains("b.yaml:3:12: error: Service default/k: metadata.name: is declared already at a.yaml:3:12"), "{problems:?}");
}

#[test]
fn parameters_are_checked_by_their_source() {
    let message = fault(&[
        DEPLOYMENT,
        &SCALED.replace("topicFromEnv: TOPIC", "group: g"),
    ]);
    let expected =
        "a.yaml:19:28: error: ScaledObject default/so: spec.triggers[0].metadata.topic: is missing";
    assert_eq!(message, expected);
    let message = fault(&[
        DEPLOYMENT,
        &SCALED.replace("topicFromEnv: TOPIC", "topic: t, odd: x"),
    ]);
    assert!(
        message.contains(
            "warning: ScaledObject default/so: spec.triggers[0].metadata.odd: unknown parameter"
        ),
        "{message}"
    );
    let message = fault(&[DEPLOYMENT, &SCALED.replace("type: kafka", "type: none")]);
    assert!(
        message.contains("spec.triggers[0].type: unknown trigger type"),
        "{message}"
    );
}

#[test]
fn settings_come_from_config_autoscaler() {
    let map = |name: &str, data: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: knative-serving}}\ndata: {{{data}}}\n"
        )
    };
    let catalog = good(&[
        &map("config-autoscaler", "stable-window: 20s, max-scale: '3'"),
        KNATIVE,
    ]);
    assert_eq!(
        (catalog.config.stable_window, catalog.config.max_scale),
        (Duration::from_secs(20), 3)
    );
    assert!(fault(&[&map("config-autoscaler", "stable-window: 2s")]).contains("error: ConfigMap knative-serving/config-autoscaler: data.stable-window: 2s: must be whole seconds from 6s to 1h"));
    assert!(fault(&[&map("config-autoscaler", "colour: red")]).contains(
        "warning: ConfigMap knative-serving/config-autoscaler: data.colour: unknown key"
    ));
    assert!(fault(&[&map("config-network", "")]).contains("config-network is not supported here"));
}

#[test]
fn kinds_that_are_not_read_are_named() {
    let object = |version: &str, kind: &str| {
        format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n")
    };
    let message = fault(&[&object("networking.k8s.io/v1", "Ingress")]);
    assert_eq!(
        message,
        "a.yaml:2:1: warning: Ingress default/x: kind: networking.k8s.io/v1 Ingress is not supported here and has no effect"
    );
    assert!(
        fault(&[&object("apps/v1beta1", "Deployment")])
            .contains("error: Deployment default/x: apiVersion: \"apps/v1beta1\": must be apps/v1")
    );
    assert_eq!(read(&[&object("v1", "Namespace")]).1, Vec::<String>::new());
    let (_, problems) = read_files(&[("a.yaml", &object("batch/v1", "Job"))], true);
    assert!(problems[0].contains(": error: "), "{problems:?}");
}

#[test]
fn problems_of_all_files_come_at_once() {
    let files = [
        ("a.yaml", DEPLOYMENT.replace("replicas: 2", "replicas: x")),
        ("b.yaml", SCALED.replace("name: w", "name: nobody")),
        ("c.yaml", KNATIVE.replace("command: [./k], ", "")),
        ("d.yaml", "kind: Secret\n".to_owned()),
    ];
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let (_, problems) = read_files(&files, false);
    let names: Vec<&str> = problems
        .iter()
        .map(|p| p.split(':').next().unwrap())
        .collect();
    assert_eq!(
        names,
        ["a.yaml", "b.yaml", "c.yaml", "d.yaml", "d.yaml"],
        "{problems:#?}"
    );
}

#[test]
fn a_scaled_job_on_one_machine_says_that_it_needs_kubernetes() {
    let job = "apiVersion: keda.sh/v1alpha1\nkind: ScaledJob\nmetadata: { name: j }\nspec: { jobTargetRef: {} }\n";
    let said = fault(&[job]);
    assert!(said.contains("a ScaledJob needs Kubernetes"), "{said}");
    assert!(said.contains("warning"), "{said}");
}
