//! One entry of `triggers`.

use std::collections::BTreeMap;

use zeron_core::ObjectRef;
use zeron_core::policy::{HttpTargets, MetricType, Secret, Trigger, TriggerSource, TriggerSpec};
use zeron_manifest::{Fields, Node, Scope};

use crate::scaled_object::{Bindings, HttpObject};
use crate::target::{Dialect, ScaleTarget};

/// A trigger as it is written; what it refers to is found by [`TriggerDraft::bind`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TriggerDraft {
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
    pub(crate) authentication: Option<AuthenticationRef>,
    metadata: BTreeMap<String, String>,
    metric_type: MetricType,
    index: usize,
    path: String,
    dialect: Dialect,
}

/// `authenticationRef`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticationRef {
    /// Whether it is a ClusterTriggerAuthentication.
    pub is_cluster: bool,
    /// Its name.
    pub name: String,
}

/// Metadata keys whose value named an environment variable in KEDA 1.
const NAMED_VARIABLES: [&str; 12] = [
    "address",
    "apiKey",
    "awsAccessKeyID",
    "awsSecretAccessKey",
    "connection",
    "connectionString",
    "credentials",
    "host",
    "password",
    "saslPassword",
    "storageConnection",
    "username",
];

impl TriggerDraft {
    /// Reads a trigger; `None`, with problems, when it has no type.
    pub(crate) fn read(node: &Node<'_>, index: usize, dialect: Dialect) -> Option<Self> {
        let fields = node.fields();
        let kind = fields.required_string("type");
        let name = fields.string("name").filter(|name| !name.is_empty());
        let metadata = fields.string_map("metadata");
        let types = [
            ("AverageValue", MetricType::AverageValue),
            ("Value", MetricType::Value),
            ("Utilization", MetricType::Utilization),
        ];
        let metric_type = fields.choice("metricType", &types);
        let is_resource = matches!(kind, Some("cpu" | "memory"));
        if metric_type == Some(MetricType::Utilization) && !is_resource {
            fields.error(
                "metricType",
                "Utilization: only triggers of type cpu and memory take it",
            );
        }
        if fields.boolean("useCachedMetrics") == Some(true)
            && matches!(kind, Some("cpu" | "memory" | "cron"))
        {
            fields.error(
                "useCachedMetrics",
                "true: triggers of type cpu, memory and cron do not take it",
            );
        }
        let authentication = fields
            .optional_fields("authenticationRef")
            .and_then(|f| authentication(&f));
        Some(Self {
            kind: kind?.to_owned(),
            name: name.map(str::to_owned),
            metric_type: metric_type.unwrap_or(MetricType::AverageValue),
            path: node.path().to_owned(),
            metadata,
            authentication,
            index,
            dialect,
        })
    }

    /// Whether it measures what only a cluster's metrics server knows.
    pub(crate) fn is_resource(&self) -> bool {
        self.kind == "cpu" || self.kind == "memory"
    }

    /// Finds what it refers to. Problems name what is missing, never a value.
    pub(crate) fn bind(
        &self,
        scope: &Scope<'_>,
        object: &ObjectRef,
        target: &ScaleTarget,
        bindings: &Bindings<'_>,
    ) -> Option<Trigger> {
        if self.is_resource() {
            let message = format!(
                "triggers of type {} are not supported here yet and have no effect",
                self.kind
            );
            scope.without_effect(&format!("{}.type", self.path), message);
            return None;
        }
        let source = match self.http_object() {
            Some((kind, name)) => {
                TriggerSource::Http(self.http_targets(scope, object, kind, name, bindings)?)
            }
            None => TriggerSource::Scaler(TriggerSpec {
                object: object.clone(),
                index: self.index,
                kind: self.kind.clone(),
                metadata: self.resolved_metadata(scope, target, bindings),
                auth: self.parameters(scope, object, target, bindings),
            }),
        };
        Some(Trigger {
            source,
            name: self.name.clone(),
            metric_type: self.metric_type,
        })
    }

    /// The HTTP object that an `external-push` trigger of the HTTP add-on names.
    pub(crate) fn http_object(&self) -> Option<(&'static str, &str)> {
        if self.kind != "external-push" && self.kind != "external" {
            return None;
        }
        let named = |key: &str| self.metadata.get(key).map(String::as_str);
        let route = named("interceptorRoute").map(|name| ("InterceptorRoute", name));
        route.or_else(|| named("httpScaledObject").map(|name| ("HTTPScaledObject", name)))
    }

    fn http_targets(
        &self,
        scope: &Scope<'_>,
        object: &ObjectRef,
        kind: &str,
        name: &str,
        bindings: &Bindings<'_>,
    ) -> Option<HttpTargets> {
        let key = HttpObject {
            kind: kind.to_owned(),
            namespace: object.namespace.clone(),
            name: name.to_owned(),
        };
        let found = bindings.http_targets.get(&key).copied();
        if found.is_none() {
            let path = format!("{}.metadata", self.path);
            scope.error(
                &path,
                format!(
                    "{kind} {}/{name} is not among the manifests",
                    object.namespace
                ),
            );
        }
        found
    }

    /// `metadata` with the variables that it names filled in.
    fn resolved_metadata(
        &self,
        scope: &Scope<'_>,
        target: &ScaleTarget,
        bindings: &Bindings<'_>,
    ) -> BTreeMap<String, String> {
        let variable = |name: &str| bindings.variable(target.container.as_deref(), name);
        let mut resolved = BTreeMap::new();
        for (key, value) in &self.metadata {
            match key.strip_suffix("FromEnv").filter(|bare| !bare.is_empty()) {
                None => {
                    let value = self.old_form(key, value, variable).unwrap_or(value);
                    resolved.insert(key.clone(), value.to_owned());
                }
                Some(bare) => match variable(value) {
                    Some(found) => {
                        // External scalers are given the key as it is written.
                        let is_external = self.kind.starts_with("external");
                        let key = if is_external {
                            key.clone()
                        } else {
                            bare.to_owned()
                        };
                        resolved.insert(key, found.to_owned());
                    }
                    None => {
                        let path = format!("{}.metadata.{key}", self.path);
                        scope.error(&path, missing_variable(value, target));
                    }
                },
            }
        }
        resolved
    }

    /// In KEDA 1 some values were names of variables.
    fn old_form<'c>(
        &self,
        key: &str,
        value: &str,
        variable: impl Fn(&str) -> Option<&'c str>,
    ) -> Option<&'c str> {
        let is_old = self.dialect == Dialect::Keda1 && NAMED_VARIABLES.contains(&key);
        Some(value).filter(|_| is_old).and_then(variable)
    }

    fn parameters(
        &self,
        scope: &Scope<'_>,
        object: &ObjectRef,
        target: &ScaleTarget,
        bindings: &Bindings<'_>,
    ) -> BTreeMap<String, Secret> {
        let Some(reference) = &self.authentication else {
            return BTreeMap::new();
        };
        let path = format!("{}.authenticationRef", self.path);
        let found =
            bindings
                .authentications
                .get(reference.is_cluster, &object.namespace, &reference.name);
        let Some(found) = found else {
            let kind = if reference.is_cluster {
                "ClusterTriggerAuthentication"
            } else {
                "TriggerAuthentication"
            };
            scope.error(
                &path,
                format!("{kind} {} is not among the manifests", reference.name),
            );
            return BTreeMap::new();
        };
        let variable = |container: Option<&str>, name: &str| {
            bindings.variable(container.or(target.container.as_deref()), name)
        };
        found.parameters(variable, |name| {
            scope.error(&path, missing_variable(name, target))
        })
    }
}

fn missing_variable(name: &str, target: &ScaleTarget) -> String {
    format!(
        "variable {name:?} is not in the environment of {} {}",
        target.kind, target.name
    )
}

fn authentication(fields: &Fields<'_>) -> Option<AuthenticationRef> {
    let kinds = [
        ("TriggerAuthentication", false),
        ("ClusterTriggerAuthentication", true),
    ];
    let is_cluster = fields.choice("kind", &kinds).unwrap_or(false);
    let name = fields.required_string("name")?;
    Some(AuthenticationRef {
        is_cluster,
        name: name.to_owned(),
    })
}
