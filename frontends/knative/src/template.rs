//! A Service's revision template: what one revision runs, and the function that it becomes.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeron_core::function::{AdmissionPolicy, Protocol, Timeouts};
use zeron_core::policy::{ScalePolicy, Scaling, TriggerGroup};
use zeron_core::workload::{EnvVar, Port};
use zeron_core::{Function, FunctionId, ObjectRef, Workload};
use zeron_manifest::{ConfigSet, Fields, PodSpec, dns1035_label};

use crate::annotation::{Fault, PREFIX, PROGRESS_DEADLINE, ScaleAnnotations};
use crate::config::AutoscalerConfig;

/// Knative's `revision-timeout-seconds` and `max-revision-timeout-seconds`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);
const MAX_TIMEOUT_SECONDS: i64 = 600;
/// Knative's `container-concurrency-max-limit`.
const MAX_CONCURRENCY: i64 = 1_000;
/// Ports that Knative's own sidecar takes on a cluster.
const RESERVED_PORTS: [u16; 6] = [8008, 8012, 8013, 8022, 9090, 9091];
const RESERVED_VARIABLES: [&str; 4] = ["PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"];

/// What one revision runs. Two templates are equal when an edit makes no new revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevisionTemplate {
    /// A name that the author chose for the revision.
    pub name: Option<String>,
    /// Labels of the revision.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the revision.
    pub annotations: BTreeMap<String, String>,
    /// The program of one replica.
    pub workload: Workload,
    /// What it speaks.
    pub protocol: Protocol,
    /// Requests that one replica may serve at once; 0: unlimited.
    pub container_concurrency: u32,
    /// How long its callers wait.
    pub timeouts: Timeouts,
}

impl RevisionTemplate {
    /// Reads `spec.template`. `None`, with problems, when nothing could run.
    pub(crate) fn read(
        fields: &Fields<'_>,
        service: &ObjectRef,
        config_set: &ConfigSet,
        config: &AutoscalerConfig,
    ) -> Option<Self> {
        let metadata = fields.fields("metadata");
        metadata.accept(&["creationTimestamp", "namespace"]);
        let name = metadata.string("name").filter(|name| !name.is_empty());
        if let Some(name) = name {
            check_name(&metadata, name, &service.name);
        }
        let (labels, annotations) = (
            metadata.string_map("labels"),
            metadata.string_map("annotations"),
        );
        let scale = check_annotations(&metadata, &annotations, config);
        let spec = fields.fields("spec");
        let container_concurrency = spec
            .integer("containerConcurrency", 0..=MAX_CONCURRENCY)
            .unwrap_or(0);
        let timeouts = timeouts(&spec);
        let pod = PodSpec::read(&spec, &service.namespace, config_set)?;
        check_pod(&spec, &pod);
        let folder = spec.scope().document().folder.clone();
        let mut workload = pod.workload(Some(Port::Assigned), &folder, scale.progress_deadline());
        if pod.termination_grace.is_none() {
            workload.termination_grace = timeouts.request.unwrap_or(DEFAULT_TIMEOUT);
        }
        Some(Self {
            name: name.map(str::to_owned),
            labels,
            annotations,
            workload,
            protocol: protocol(&spec, &pod),
            container_concurrency,
            timeouts,
        })
    }

    /// The function of the revision `revision` of `service`.
    pub fn function(
        &self,
        service: &ObjectRef,
        revision: &str,
        config: &AutoscalerConfig,
    ) -> Function {
        let (annotations, _) = ScaleAnnotations::read(&self.annotations);
        let max = annotations.max.unwrap_or(config.max_scale);
        let source = ObjectRef {
            kind: "Revision".to_owned(),
            name: revision.to_owned(),
            ..service.clone()
        };
        let group = TriggerGroup {
            source,
            min: annotations.min.unwrap_or(config.min_scale),
            max: Some(max).filter(|max| *max > 0),
            scaling: Scaling::Knative(annotations.scaling(self.container_concurrency, config)),
        };
        let mut workload = self.workload.clone();
        let names = [
            ("K_SERVICE", &service.name),
            ("K_CONFIGURATION", &service.name),
        ];
        let given = names.map(|(name, value)| EnvVar {
            name: name.to_owned(),
            value: value.clone(),
        });
        workload.env.extend(given);
        workload.env.push(EnvVar {
            name: "K_REVISION".to_owned(),
            value: revision.to_owned(),
        });
        Function {
            id: FunctionId::new(&service.namespace, "Revision", revision),
            owner: service.clone(),
            workload,
            protocol: self.protocol,
            concurrency_limit: NonZeroU32::new(self.container_concurrency),
            timeouts: self.timeouts,
            scale: ScalePolicy {
                groups: vec![group],
                ..ScalePolicy::default()
            },
            admission: AdmissionPolicy {
                max_wait: self.timeouts.request.unwrap_or(DEFAULT_TIMEOUT),
                ..AdmissionPolicy::default()
            },
        }
    }
}

fn check_name(metadata: &Fields<'_>, name: &str, service: &str) {
    if let Err(error) = dns1035_label(name) {
        metadata.error("name", format!("{name:?}: {error}"));
    }
    if !name
        .strip_prefix(service)
        .is_some_and(|rest| rest.len() > 1 && rest.starts_with('-'))
    {
        metadata.error("name", format!("{name:?}: must begin with \"{service}-\""));
    }
}

fn check_annotations(
    metadata: &Fields<'_>,
    annotations: &BTreeMap<String, String>,
    config: &AutoscalerConfig,
) -> ScaleAnnotations {
    let at = |key: &str| format!("{}[{key}]", metadata.at("annotations"));
    let (scale, mut problems) = ScaleAnnotations::read(annotations);
    problems.extend(scale.check(config));
    for problem in problems {
        let path = at(&problem.key);
        match problem.fault {
            Fault::Refused => metadata.scope().error(&path, problem.message),
            Fault::WithoutEffect => metadata.scope().without_effect(&path, problem.message),
            Fault::Unknown => metadata.scope().warn(&path, problem.message),
        }
    }
    for key in annotations.keys() {
        let is_knatives = key
            .split('/')
            .next()
            .is_some_and(|group| group.ends_with("knative.dev"));
        if is_knatives
            && !key.starts_with(PREFIX)
            && key != PROGRESS_DEADLINE
            && !is_bookkeeping(key)
        {
            metadata
                .scope()
                .without_effect(&at(key), "is not supported here and has no effect");
        }
    }
    scale
}

/// Annotations that Knative and its client write for themselves.
pub(crate) fn is_bookkeeping(key: &str) -> bool {
    let names = [
        "serving.knative.dev/creator",
        "serving.knative.dev/lastModifier",
    ];
    names.contains(&key) || key.starts_with("client.knative.dev/")
}

fn timeouts(spec: &Fields<'_>) -> Timeouts {
    let seconds = |name| {
        spec.seconds(name, 0..=MAX_TIMEOUT_SECONDS)
            .filter(|d| !d.is_zero())
    };
    let request = seconds("timeoutSeconds").unwrap_or(DEFAULT_TIMEOUT);
    let within = |name| {
        let found = seconds(name);
        if let Some(value) = found.filter(|value| *value > request) {
            let message = format!(
                "{}: must not be above timeoutSeconds ({})",
                value.as_secs(),
                request.as_secs()
            );
            spec.error(name, message);
        }
        found
    };
    Timeouts {
        request: Some(request),
        response_start: within("responseStartTimeoutSeconds"),
        idle: within("idleTimeoutSeconds"),
    }
}

fn check_pod(spec: &Fields<'_>, pod: &PodSpec) {
    let scope = spec.scope();
    let with_port = pod
        .containers
        .iter()
        .filter(|c| !c.ports.is_empty())
        .count();
    if with_port > 1 || pod.main().ports.len() > 1 {
        spec.error(
            "containers",
            "have more than one port: exactly one is allowed",
        );
    }
    for container in &pod.containers {
        for (index, port) in container.ports.iter().enumerate() {
            if RESERVED_PORTS.contains(&port.number.get()) {
                let path = format!("{}.ports[{index}].containerPort", container.path);
                scope.error(
                    &path,
                    format!("{}: this port is reserved by Knative", port.number),
                );
            }
        }
        if container.name == "queue-proxy" {
            scope.error(
                &format!("{}.name", container.path),
                "\"queue-proxy\": this name is reserved by Knative",
            );
        }
    }
    let main = pod.main();
    for variable in main
        .env
        .iter()
        .filter(|v| RESERVED_VARIABLES.contains(&v.name.as_str()))
    {
        let message = format!(
            "{:?}: this variable is set by Knative and must not be given",
            variable.name
        );
        scope.error(&format!("{}.env", main.path), message);
    }
}

fn protocol(spec: &Fields<'_>, pod: &PodSpec) -> Protocol {
    let main = pod.main();
    match main.ports.first().and_then(|port| port.name.as_deref()) {
        None | Some("http1") => Protocol::Http1,
        Some("h2c") => Protocol::H2c,
        Some(other) => {
            let path = format!("{}.ports[0].name", main.path);
            spec.scope().error(
                &path,
                format!("{other:?}: must be http1 or h2c, or be left out"),
            );
            Protocol::Http1
        }
    }
}
