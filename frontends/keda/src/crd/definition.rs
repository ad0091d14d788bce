//! Names, columns and schemas of all kinds, ready to be made into CustomResourceDefinitions.

use schemars::JsonSchema;
use serde_json::{Value, json};

use super::authentication::{TriggerAuthenticationSpec, TriggerAuthenticationStatus};
use super::http_scaled_object::{HttpScaledObjectSpec, HttpScaledObjectStatus};
use super::interceptor_route::{InterceptorRouteSpec, InterceptorRouteStatus};
use super::scaled_job::{ScaledJobSpec, ScaledJobStatus};
use super::scaled_object::{ScaledObjectSpec, ScaledObjectStatus};
use super::schema;

/// A kind as a CustomResourceDefinition describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Its API group.
    pub group: &'static str,
    /// Its only version, served and stored.
    pub version: &'static str,
    /// Its name in manifests.
    pub kind: &'static str,
    /// Its name in paths.
    pub plural: &'static str,
    /// What `kubectl get` takes besides.
    pub short_names: &'static [&'static str],
    /// Whether its objects live in namespaces.
    pub is_namespaced: bool,
    /// What `kubectl get` prints.
    pub columns: Vec<Column>,
    /// Its structural schema (`openAPIV3Schema`).
    pub schema: Value,
}

/// A column of `kubectl get`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its head.
    pub name: &'static str,
    /// `string`, `integer` or `date`.
    pub kind: &'static str,
    /// Where its value is.
    pub path: &'static str,
    /// Whether only `-o wide` shows it.
    pub is_wide: bool,
}

impl Definition {
    /// The name of its CustomResourceDefinition.
    pub fn name(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    /// Its group and version.
    pub fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }
}

/// All kinds, those of keda.sh first.
pub fn definitions() -> Vec<Definition> {
    vec![
        scaled_object(),
        scaled_job(),
        trigger_authentication(),
        cluster_trigger_authentication(),
        http_scaled_object(),
        interceptor_route(),
    ]
}

const KEDA: (&str, &str) = ("keda.sh", "v1alpha1");

const READY: &str = r#".status.conditions[?(@.type=="Ready")].status"#;
const ACTIVE: &str = r#".status.conditions[?(@.type=="Active")].status"#;
const FALLBACK: &str = r#".status.conditions[?(@.type=="Fallback")].status"#;
const PAUSED: &str = r#".status.conditions[?(@.type=="Paused")].status"#;

fn scaled_object() -> Definition {
    Definition {
        group: KEDA.0,
        version: KEDA.1,
        kind: "ScaledObject",
        plural: "scaledobjects",
        short_names: &["so"],
        is_namespaced: true,
        columns: vec![
            text("ScaleTargetKind", ".status.scaleTargetKind"),
            text("ScaleTargetName", ".spec.scaleTargetRef.name"),
            integer("Min", ".spec.minReplicaCount"),
            integer("Max", ".spec.maxReplicaCount"),
            text("Ready", READY),
            text("Active", ACTIVE),
            text("Fallback", FALLBACK),
            text("Paused", PAUSED),
            text("Triggers", ".status.triggersTypes"),
            text("Authentications", ".status.authenticationsTypes"),
            age(),
        ],
        schema: root::<ScaledObjectSpec, ScaledObjectStatus>(
            "Scales an object by event sources, from zero up.",
            &["spec"],
        ),
    }
}

fn scaled_job() -> Definition {
    Definition {
        group: KEDA.0,
        version: KEDA.1,
        kind: "ScaledJob",
        plural: "scaledjobs",
        short_names: &["sj"],
        is_namespaced: true,
        columns: vec![
            integer("Min", ".spec.minReplicaCount"),
            integer("Max", ".spec.maxReplicaCount"),
            text("Ready", READY),
            text("Active", ACTIVE),
            text("Paused", PAUSED),
            text("Triggers", ".status.triggersTypes"),
            text("Authentications", ".status.authenticationsTypes"),
            age(),
        ],
        schema: root::<ScaledJobSpec, ScaledJobStatus>(
            "Makes Jobs by event sources. Stored and checked here; Jobs are not run yet.",
            &[],
        ),
    }
}

fn trigger_authentication() -> Definition {
    Definition {
        group: KEDA.0,
        version: KEDA.1,
        kind: "TriggerAuthentication",
        plural: "triggerauthentications",
        short_names: &["ta", "triggerauth"],
        is_namespaced: true,
        columns: authentication_columns(&[]),
        schema: root::<TriggerAuthenticationSpec, TriggerAuthenticationStatus>(
            "Says where secret parameters of triggers in this namespace come from.",
            &["spec"],
        ),
    }
}

fn cluster_trigger_authentication() -> Definition {
    Definition {
        group: KEDA.0,
        version: KEDA.1,
        kind: "ClusterTriggerAuthentication",
        plural: "clustertriggerauthentications",
        short_names: &["cta", "clustertriggerauth"],
        is_namespaced: false,
        columns: authentication_columns(&[text("FilePath", ".spec.filePath")]),
        schema: root::<TriggerAuthenticationSpec, TriggerAuthenticationStatus>(
            "Says where secret parameters of triggers in any namespace come from.",
            &["spec"],
        ),
    }
}

fn authentication_columns(more: &[Column]) -> Vec<Column> {
    let mut columns = vec![
        text("PodIdentity", ".spec.podIdentity.provider"),
        text("Secret", ".spec.secretTargetRef[*].name"),
        text("Env", ".spec.env[*].name"),
    ];
    columns.extend_from_slice(more);
    columns.push(text("VaultAddress", ".spec.hashiCorpVault.address"));
    let wide = |name, path| Column {
        is_wide: true,
        ..text(name, path)
    };
    columns.extend([
        wide("ScaledObjects", ".status.scaledobjects"),
        wide("ScaledJobs", ".status.scaledjobs"),
    ]);
    columns
}

fn http_scaled_object() -> Definition {
    Definition {
        group: "http.keda.sh",
        version: "v1alpha1",
        kind: "HTTPScaledObject",
        plural: "httpscaledobjects",
        short_names: &["httpso"],
        is_namespaced: true,
        columns: vec![
            text("TargetWorkload", ".status.targetWorkload"),
            text("TargetService", ".status.targetService"),
            integer("MinReplicas", ".spec.replicas.min"),
            integer("MaxReplicas", ".spec.replicas.max"),
            age(),
            text("Ready", READY),
        ],
        schema: root::<HttpScaledObjectSpec, HttpScaledObjectStatus>(
            "Routes requests to a Service and scales its workload by them, from zero up.",
            &[],
        ),
    }
}

fn interceptor_route() -> Definition {
    Definition {
        group: "http.keda.sh",
        version: "v1beta1",
        kind: "InterceptorRoute",
        plural: "interceptorroutes",
        short_names: &[],
        is_namespaced: true,
        columns: vec![
            text("TargetService", ".spec.target.service"),
            text("Ready", READY),
            age(),
        ],
        schema: root::<InterceptorRouteSpec, InterceptorRouteStatus>(
            "Routes requests to a Service; a ScaledObject's trigger names it to scale by them.",
            &["metadata", "spec"],
        ),
    }
}

fn text(name: &'static str, path: &'static str) -> Column {
    Column {
        name,
        kind: "string",
        path,
        is_wide: false,
    }
}

fn integer(name: &'static str, path: &'static str) -> Column {
    Column {
        kind: "integer",
        ..text(name, path)
    }
}

fn age() -> Column {
    Column {
        kind: "date",
        ..text("Age", ".metadata.creationTimestamp")
    }
}

/// A whole object's schema.
fn root<Spec: JsonSchema, Status: JsonSchema>(description: &str, required: &[&str]) -> Value {
    let mut root = json!({
        "description": description,
        "type": "object",
        "properties": {
            "apiVersion": { "type": "string", "description": "Group and version of the object." },
            "kind": { "type": "string", "description": "Kind of the object." },
            "metadata": { "type": "object" },
            "spec": schema::of::<Spec>(),
            "status": schema::of::<Status>(),
        },
    });
    if !required.is_empty() {
        root["required"] = json!(required);
    }
    root
}
