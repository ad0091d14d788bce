//! A Revision as an activator needs it.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::IgnoredAny;
use zeron_backend_kubernetes::RevisionTarget;
use zeron_core::function::{AdmissionPolicy, Protocol, Timeouts};
use zeron_core::route::RoutedFunction;
use zeron_core::workload::{Port, ReadinessProbe, ResourceAmounts};
use zeron_core::{Function, FunctionId, ObjectRef, ScalePolicy, Workload};

/// The kind of a Revision's id, and of the object.
const KIND: &str = "Revision";
const GROUP: &str = "serving.knative.dev";
const VERSION: &str = "v1";

/// `revision-timeout-seconds`, where a Revision was never defaulted.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The parts of a Revision that are read; the rest is skipped while parsing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawRevision {
    metadata: ObjectMeta,
    spec: RawSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawSpec {
    container_concurrency: Option<i64>,
    timeout_seconds: Option<u64>,
    response_start_timeout_seconds: Option<u64>,
    idle_timeout_seconds: Option<u64>,
    containers: Vec<RawContainer>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawContainer {
    ports: Vec<RawPort>,
    readiness_probe: Option<RawProbe>,
    startup_probe: Option<Present>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RawPort {
    name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RawProbe {
    exec: Option<Present>,
}

/// Something of which only the presence counts.
#[derive(Clone, Debug, Deserialize)]
struct Present(#[allow(dead_code, reason = "only its presence counts")] IgnoredAny);

impl kube::Resource for RawRevision {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "revisions".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl RawRevision {
    pub(super) fn id(&self) -> Option<FunctionId> {
        let namespace = self.metadata.namespace.as_deref()?;
        Some(FunctionId::new(
            namespace,
            KIND,
            self.metadata.name.as_deref()?,
        ))
    }

    /// What a data plane admits and forwards by.
    pub(super) fn routed(&self) -> Option<RoutedFunction> {
        let id = self.id()?;
        let seconds = |seconds: Option<u64>| {
            let given = seconds.filter(|seconds| *seconds > 0);
            given.map(Duration::from_secs)
        };
        let request = seconds(self.spec.timeout_seconds).unwrap_or(TIMEOUT);
        let function = Function {
            owner: self.owner(&id),
            workload: workload(),
            protocol: match self.is_http2() {
                true => Protocol::H2c,
                false => Protocol::Http1,
            },
            concurrency_limit: self.limit(),
            timeouts: Timeouts {
                request: Some(request),
                response_start: seconds(self.spec.response_start_timeout_seconds),
                idle: seconds(self.spec.idle_timeout_seconds),
            },
            // Others decide how many replicas there are.
            scale: ScalePolicy::default(),
            admission: AdmissionPolicy {
                max_wait: request,
                ..AdmissionPolicy::default()
            },
            id,
        };
        Some(RoutedFunction {
            function: Arc::new(function),
            is_wake_allowed: true,
            wake_count: 1,
        })
    }

    /// What is to be known to find its replicas.
    pub(super) fn target(&self) -> Option<RevisionTarget> {
        let main = self.main();
        let is_exec = main
            .and_then(|it| it.readiness_probe.as_ref())
            .is_some_and(|probe| probe.exec.is_some());
        let mut containers = self.spec.containers.iter();
        let has_startup = containers.any(|it| it.startup_probe.is_some());
        Some(RevisionTarget {
            id: self.id()?,
            is_http2: self.is_http2(),
            has_limit: self.limit().is_some(),
            is_probe_enough: !is_exec && !has_startup,
        })
    }

    fn limit(&self) -> Option<NonZeroU32> {
        let limit = u32::try_from(self.spec.container_concurrency?).ok();
        limit.and_then(NonZeroU32::new)
    }

    /// The container that serves: the only one, or the one with a port.
    fn main(&self) -> Option<&RawContainer> {
        match &self.spec.containers[..] {
            [only] => Some(only),
            all => all.iter().find(|it| !it.ports.is_empty()),
        }
    }

    fn is_http2(&self) -> bool {
        let port = self.main().and_then(|it| it.ports.first());
        port.is_some_and(|port| port.name.as_deref() == Some("h2c"))
    }

    /// Its Service, else its Configuration.
    fn owner(&self, id: &FunctionId) -> ObjectRef {
        let labels = self.metadata.labels.as_ref();
        let label = |name: &str| labels?.get(&format!("{GROUP}/{name}"));
        let named = [("Service", "service"), ("Configuration", "configuration")];
        let mut named = named.into_iter();
        let owner = named.find_map(|(kind, name)| Some((kind, label(name)?.as_str())));
        let (kind, name) = owner.unwrap_or((KIND, id.name()));
        ObjectRef {
            api_version: format!("{GROUP}/{VERSION}"),
            kind: kind.to_owned(),
            namespace: id.namespace().to_owned(),
            name: name.to_owned(),
        }
    }
}

/// What a replica runs is Knative's own business.
fn workload() -> Workload {
    Workload {
        command: Vec::new(),
        args: Vec::new(),
        env: Vec::new(),
        working_dir: None,
        image: None,
        port: Some(Port::Assigned),
        readiness: ReadinessProbe::default(),
        limits: ResourceAmounts::default(),
        requests: ResourceAmounts::default(),
        termination_grace: TIMEOUT,
        start_deadline: TIMEOUT,
    }
}
