//! One entry of `triggers`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use zeron_core::ObjectRef;
use zeron_core::policy::{
    HttpTargets, MetricType, RemoteParameters, Secret, Trigger, TriggerSource, TriggerSpec,
};
use zeron_manifest::{Fields, Node, Platform, Scope};

use crate::scaled_object::{Bindings, Environment, HttpObject};
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

/// The key of a trigger's metadata under which stands, in a cluster, what it refers to and what is
/// not there. Such a trigger must not be evaluated: what it would measure is unknown.
pub const UNRESOLVED: &str = "zeron.dev/unresolved";

/// The key of a cpu or memory trigger's metadata under which stands whose replicas are measured.
pub const FUNCTION: &str = "zeron.dev/function";
/// How its target counts, and whether no trigger of another type stands beside it (only then does
/// it keep the function active).
const METRIC_TYPE: &str = "zeron.dev/metricType";
const ALONE: &str = "zeron.dev/alone";
/// Of cpu and memory: one container of every pod.
const CONTAINER: &str = "containerName";

/// Whose trigger it is.
pub(crate) struct Owner<'o> {
    pub(crate) object: &'o ObjectRef,
    pub(crate) target: &'o ScaleTarget,
    pub(crate) is_resource_only: bool,
    pub(crate) has_formula: bool,
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
        let mut metric_type = fields.choice("metricType", &types);
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
        if is_resource {
            metric_type = resource_type(&fields, metric_type, &metadata);
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

    /// Whether it measures what replicas use.
    pub(crate) fn is_resource(&self) -> bool {
        self.kind == "cpu" || self.kind == "memory"
    }

    /// Finds what it refers to. Problems name what is missing, never a value.
    pub(crate) fn bind(
        &self,
        scope: &Scope<'_>,
        owner: &Owner<'_>,
        bindings: &Bindings<'_>,
    ) -> Option<Trigger> {
        let is_machine = scope.platform() == Platform::Machine;
        if self.is_resource() && is_machine && !self.is_measured(scope, owner, bindings) {
            return None;
        }
        let missing = Missing {
            scope,
            messages: RefCell::default(),
        };
        let http = self.http_object();
        let targets = http.and_then(|(kind, name)| {
            self.http_targets(&missing, owner.object, kind, name, bindings)
        });
        let source = match (http, targets) {
            (Some(_), None) if is_machine => return None,
            (Some(_), Some(targets)) => TriggerSource::Http(targets),
            (None | Some(_), _) => TriggerSource::Scaler(self.spec(&missing, owner, bindings)),
        };
        Some(Trigger {
            source,
            name: self.name.clone(),
            metric_type: self.metric_type,
        })
    }

    /// Whether one machine can measure it: what it names has to run here, and a share of what is
    /// requested needs a request, which in a cluster the webhook asks for.
    fn is_measured(&self, scope: &Scope<'_>, owner: &Owner<'_>, bindings: &Bindings<'_>) -> bool {
        let wanted = self.metadata.get(CONTAINER).filter(|it| !it.is_empty());
        // That of a Knative Service has no name here.
        let is_counted = |it: &&Environment| {
            wanted.is_none_or(|wanted| it.container.is_empty() || it.container == *wanted)
        };
        let counted = bindings.environments.iter().filter(is_counted);
        let counted: Vec<&Environment> = counted.collect();
        if self.metric_type == MetricType::Utilization {
            self.check_requests(scope, &counted);
        }
        let (Some(wanted), false) = (wanted, bindings.environments.is_empty()) else {
            return true;
        };
        let at = format!("{}.metadata.{CONTAINER}", self.path);
        match counted.first() {
            Some(found) if found.is_main => return true,
            Some(_) => {
                let message = format!("{wanted:?} does not run here: the trigger has no effect");
                scope.without_effect(&at, message);
            }
            None => {
                let (kind, name) = (&owner.target.kind, &owner.target.name);
                let message = format!("{wanted:?}: {kind} {name} has no such container");
                scope.error(&at, message);
            }
        }
        false
    }

    fn check_requests(&self, scope: &Scope<'_>, counted: &[&Environment]) {
        let amount = |it: &Environment| match self.kind.as_str() {
            "cpu" => it.requests.cpu_millis,
            _ => it.requests.memory_bytes,
        };
        let is_without = |it: &&&Environment| amount(it).is_none_or(|amount| amount == 0);
        let Some(without) = counted.iter().find(is_without) else {
            return;
        };
        let container = match without.container.as_str() {
            "" => "its container".to_owned(),
            name => format!("container {name}"),
        };
        let kind = &self.kind;
        let message =
            format!("a trigger of type {kind} needs a {kind} request (or limit) of {container}");
        scope.error(&format!("{}.type", self.path), message);
    }

    /// The parameters for a source of the `scalers` crate.
    fn spec(
        &self,
        missing: &Missing<'_>,
        owner: &Owner<'_>,
        bindings: &Bindings<'_>,
    ) -> TriggerSpec {
        let Resolved {
            mut metadata,
            from_environment,
        } = self.resolved_metadata(missing, owner.target, bindings);
        let (auth, remote) = self.parameters(missing, owner.object, owner.target, bindings);
        if self.is_resource() {
            let function = owner.target.function(&owner.object.namespace);
            let metric_type = match self.metric_type {
                MetricType::Utilization => "Utilization",
                MetricType::AverageValue => "AverageValue",
                MetricType::Value => "Value",
            };
            metadata.insert(FUNCTION.to_owned(), function.to_string());
            metadata.insert(METRIC_TYPE.to_owned(), metric_type.to_owned());
            metadata.insert(ALONE.to_owned(), owner.is_resource_only.to_string());
            if missing.scope.platform() == Platform::Machine {
                // One container of a pod runs: its use is that of the replica.
                metadata.remove(CONTAINER);
            }
        }
        let messages = missing.messages.borrow().join("; ");
        if !messages.is_empty() && missing.scope.platform() == Platform::Cluster {
            metadata.insert(UNRESOLVED.to_owned(), messages);
        }
        TriggerSpec {
            object: owner.object.clone(),
            index: self.index,
            kind: self.kind.clone(),
            metadata,
            from_environment,
            auth,
            remote,
            is_formula_input: owner.has_formula,
        }
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
        missing: &Missing<'_>,
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
            let absent = missing.scope.platform().absent();
            missing.report(
                &path,
                format!("{kind} {}/{name} {absent}", object.namespace),
            );
        }
        found
    }

    /// `metadata` with the variables that it names filled in.
    fn resolved_metadata(
        &self,
        missing: &Missing<'_>,
        target: &ScaleTarget,
        bindings: &Bindings<'_>,
    ) -> Resolved {
        let variable = |name: &str| bindings.variable(target.container.as_deref(), name);
        let mut resolved = Resolved::default();
        for (key, value) in &self.metadata {
            match key.strip_suffix("FromEnv").filter(|bare| !bare.is_empty()) {
                None => match self.old_form(key, value, variable) {
                    Some(found) => resolved.insert_secret(key.clone(), found),
                    None => resolved.insert(key.clone(), value),
                },
                Some(bare) => match variable(value) {
                    Some(found) => {
                        // External scalers are given the key as it is written.
                        let is_external = self.kind.starts_with("external");
                        let key = if is_external {
                            key.clone()
                        } else {
                            bare.to_owned()
                        };
                        resolved.insert_secret(key, found);
                    }
                    None => {
                        let path = format!("{}.metadata.{key}", self.path);
                        missing.report(&path, missing_variable(value, target));
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
        missing: &Missing<'_>,
        object: &ObjectRef,
        target: &ScaleTarget,
        bindings: &Bindings<'_>,
    ) -> Authenticated {
        let Some(reference) = &self.authentication else {
            return Authenticated::default();
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
            let absent = missing.scope.platform().absent();
            missing.report(&path, format!("{kind} {} {absent}", reference.name));
            return Authenticated::default();
        };
        let variable = |container: Option<&str>, name: &str| {
            bindings.variable(container.or(target.container.as_deref()), name)
        };
        for fault in found.faults() {
            missing.messages.borrow_mut().push(fault.clone());
        }
        let parameters = found.parameters(variable, |name| {
            missing.report(&path, missing_variable(name, target));
        });
        (parameters, found.remote().to_vec())
    }
}

/// What an authentication gives at once, and what is read later.
type Authenticated = (BTreeMap<String, Secret>, Vec<RemoteParameters>);

/// Metadata with the variables that it names filled in.
#[derive(Default)]
struct Resolved {
    metadata: BTreeMap<String, String>,
    from_environment: BTreeSet<String>,
}

impl Resolved {
    fn insert(&mut self, key: String, value: &str) {
        self.metadata.insert(key, value.to_owned());
    }

    /// A value of a variable, which may come from a Secret.
    fn insert_secret(&mut self, key: String, value: &str) {
        self.from_environment.insert(key.clone());
        self.metadata.insert(key, value.to_owned());
    }
}

/// Collects what a trigger refers to and what is not there.
struct Missing<'s> {
    scope: &'s Scope<'s>,
    messages: RefCell<Vec<String>>,
}

impl Missing<'_> {
    fn report(&self, path: &str, message: String) {
        self.messages.borrow_mut().push(message.clone());
        self.scope.partial(path, message);
    }
}

/// How the target of a cpu or memory trigger counts: `metricType`, or `metadata.type` as it once was.
fn resource_type(
    fields: &Fields<'_>,
    given: Option<MetricType>,
    metadata: &BTreeMap<String, String>,
) -> Option<MetricType> {
    let old = match metadata.get("type").map(String::as_str) {
        Some("Utilization") => Some(MetricType::Utilization),
        Some("AverageValue") => Some(MetricType::AverageValue),
        Some(_) | None => None,
    };
    let found = given.or(old).filter(|kind| *kind != MetricType::Value);
    if found.is_none() {
        fields.error("metricType", "must be Utilization or AverageValue");
    }
    found
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
