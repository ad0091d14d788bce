//! What the projection must know of an object without reading it again: whom it concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use serde_json::Value;
use zeron_backend_kubernetes::LabelSelector;
use zeron_backend_kubernetes::target::failure_of_status;
use zeron_core::{FunctionId, StartFailure};

use super::few::Few;
use super::json::{annotation, at, at_json_path, items, labels, text};
use super::key::{ObjectKey, ObjectKind, TargetKind};
use crate::services::ACTIVE;
use crate::services::annotations::{SELECTOR, STATUS, parse_selector};

/// Labels, sorted.
pub(super) type Labels = Few<(Box<str>, Box<str>)>;

/// What an object says about others.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Facts {
    Scaled(ScaledFacts),
    Http(HttpFacts),
    Route(RouteFacts),
    Authentication(AuthenticationFacts),
    Service(ServiceFacts),
    Autoscaler(AutoscalerFacts),
    Target(Box<TargetFacts>),
    /// A ScaledJob: it is what it scales.
    Job(ScaledFacts),
    /// A Secret or ConfigMap: nothing.
    None,
}

/// Of a ScaledObject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ScaledFacts {
    pub(super) target: Option<FunctionId>,
    /// The container whose variables its triggers name.
    pub(super) container: Option<String>,
    /// Variables that its triggers name.
    pub(super) variables: BTreeSet<String>,
    /// HTTPScaledObjects and InterceptorRoutes that its triggers name.
    pub(super) http: Vec<ObjectKey>,
    pub(super) authentications: Vec<ObjectKey>,
}

/// Of an HTTPScaledObject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpFacts {
    pub(super) target: Option<FunctionId>,
    pub(super) service: Option<Arc<str>>,
    /// Number or name.
    pub(super) port: Option<Arc<str>>,
    pub(super) fallback: Option<Arc<str>>,
    /// It scales by itself, where no trigger names it.
    pub(super) is_scaling: bool,
}

/// Of an InterceptorRoute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RouteFacts {
    pub(super) service: Option<Arc<str>>,
    /// Number or name.
    pub(super) port: Option<Arc<str>>,
    pub(super) fallback: Option<Arc<str>>,
    pub(super) config_maps: BTreeSet<String>,
}

/// Of a TriggerAuthentication or ClusterTriggerAuthentication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AuthenticationFacts {
    pub(super) secrets: BTreeSet<String>,
    pub(super) config_maps: BTreeSet<String>,
    /// Container, where one is named, and variable.
    pub(super) variables: Vec<(Option<String>, String)>,
}

/// Of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServiceFacts {
    pub(super) selector: Labels,
    pub(super) is_opted: bool,
    /// Its callers come to the activators.
    pub(super) is_led: bool,
    /// Its address in the cluster; a headless one has none.
    pub(super) address: Option<IpAddr>,
    /// Numbers and names of its TCP ports, in their order.
    pub(super) ports: Box<[(NonZeroU16, Box<str>)]>,
}

/// Of a HorizontalPodAutoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AutoscalerFacts {
    pub(super) target: Option<FunctionId>,
    /// The ScaledObject for which KEDA made it.
    pub(super) owner: Option<String>,
    pub(super) is_keda: bool,
}

/// Of what holds replicas.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TargetFacts {
    pub(super) id: FunctionId,
    pub(super) kind: Arc<TargetKind>,
    pub(super) labels: Labels,
    pub(super) selector: Arc<LabelSelector>,
    pub(super) replicas: Option<u32>,
    pub(super) resource_version: Option<Arc<str>>,
    pub(super) failure: Option<StartFailure>,
    /// It belongs to another object with replicas: Services do not mean it.
    pub(super) is_part: bool,
}

impl Facts {
    /// Reads them from an object that was not trimmed yet.
    pub(super) fn read(key: &ObjectKey, object: &Value) -> Self {
        match &key.kind {
            ObjectKind::ScaledObject => Self::Scaled(scaled(&key.namespace, object)),
            ObjectKind::HttpScaledObject => Self::Http(http(&key.namespace, object)),
            ObjectKind::InterceptorRoute => Self::Route(route(object)),
            ObjectKind::TriggerAuthentication | ObjectKind::ClusterTriggerAuthentication => {
                Self::Authentication(authentication(object))
            }
            ObjectKind::Service => Self::Service(service(object)),
            ObjectKind::HorizontalPodAutoscaler => {
                Self::Autoscaler(autoscaler(&key.namespace, object))
            }
            ObjectKind::Target(kind) => Self::Target(Box::new(target(key, kind, object))),
            ObjectKind::ScaledJob => Self::Job(job(key, object)),
            ObjectKind::ConfigMap | ObjectKind::Secret => Self::None,
        }
    }

    /// The function that an object names as what it scales.
    pub(super) fn target(&self) -> Option<&FunctionId> {
        match self {
            Self::Scaled(facts) | Self::Job(facts) => facts.target.as_ref(),
            Self::Http(facts) => facts.target.as_ref(),
            Self::Autoscaler(facts) => facts.target.as_ref(),
            Self::Target(facts) => Some(&facts.id),
            Self::Route(_) | Self::Authentication(_) | Self::Service(_) | Self::None => None,
        }
    }

    /// The Service to which requests of the object go, and the one where they go instead.
    pub(super) fn services(&self) -> (Option<&Arc<str>>, Option<&Arc<str>>) {
        match self {
            Self::Http(facts) => (facts.service.as_ref(), facts.fallback.as_ref()),
            Self::Route(facts) => (facts.service.as_ref(), facts.fallback.as_ref()),
            Self::Scaled(_)
            | Self::Authentication(_)
            | Self::Service(_)
            | Self::Autoscaler(_)
            | Self::Target(_)
            | Self::Job(_)
            | Self::None => (None, None),
        }
    }

    /// The port of the Service to which requests of the object go, where it names one.
    pub(super) fn service_port(&self) -> Option<&Arc<str>> {
        match self {
            Self::Http(facts) => facts.port.as_ref(),
            Self::Route(facts) => facts.port.as_ref(),
            Self::Scaled(_)
            | Self::Authentication(_)
            | Self::Service(_)
            | Self::Autoscaler(_)
            | Self::Target(_)
            | Self::Job(_)
            | Self::None => None,
        }
    }

    /// The authentications that triggers of the object name.
    pub(super) fn authentications(&self) -> &[ObjectKey] {
        match self {
            Self::Scaled(facts) | Self::Job(facts) => &facts.authentications,
            Self::Http(_)
            | Self::Route(_)
            | Self::Authentication(_)
            | Self::Service(_)
            | Self::Autoscaler(_)
            | Self::Target(_)
            | Self::None => &[],
        }
    }
}

fn scaled(namespace: &Arc<str>, object: &Value) -> ScaledFacts {
    let reference = &["spec", "scaleTargetRef"];
    let mut facts = ScaledFacts {
        target: at(object, reference).and_then(|r| target_of(namespace, r)),
        container: text(
            object,
            &["spec", "scaleTargetRef", "envSourceContainerName"],
        )
        .map(str::to_owned),
        ..ScaledFacts::default()
    };
    for trigger in items(object, &["spec", "triggers"]) {
        let metadata = at(trigger, &["metadata"]).and_then(Value::as_object);
        for (key, value) in metadata.into_iter().flatten() {
            let Some(value) = value.as_str() else {
                continue;
            };
            if key.ends_with("FromEnv") {
                facts.variables.insert(value.to_owned());
            }
        }
        facts.http.extend(http_object(namespace, trigger));
    }
    facts.authentications = authentications(namespace, object);
    facts
}

/// Of a ScaledJob: its triggers name variables of the Job's pods.
fn job(key: &ObjectKey, object: &Value) -> ScaledFacts {
    let container = text(object, &["spec", "envSourceContainerName"]);
    ScaledFacts {
        target: Some(key.job()),
        container: container.map(str::to_owned),
        // Requests are no work for Jobs: such triggers are refused.
        http: Vec::new(),
        ..scaled(&key.namespace, object)
    }
}

fn authentications(namespace: &Arc<str>, object: &Value) -> Vec<ObjectKey> {
    let triggers = items(object, &["spec", "triggers"]).iter();
    let references = triggers.filter_map(|trigger| at(trigger, &["authenticationRef"]));
    references
        .filter_map(|reference| authentication_of(namespace, reference))
        .collect()
}

fn http_object(namespace: &Arc<str>, trigger: &Value) -> Option<ObjectKey> {
    text(trigger, &["type"]).filter(|kind| kind.starts_with("external"))?;
    let named = |field: &str, kind: ObjectKind| {
        let name = text(trigger, &["metadata", field])?;
        Some(ObjectKey::new(kind, namespace, name))
    };
    let route = named("interceptorRoute", ObjectKind::InterceptorRoute);
    route.or_else(|| named("httpScaledObject", ObjectKind::HttpScaledObject))
}

fn authentication_of(namespace: &Arc<str>, reference: &Value) -> Option<ObjectKey> {
    let name = text(reference, &["name"])?;
    Some(match text(reference, &["kind"]) {
        Some("ClusterTriggerAuthentication") => {
            ObjectKey::new(ObjectKind::ClusterTriggerAuthentication, "", name)
        }
        Some(_) | None => ObjectKey::new(ObjectKind::TriggerAuthentication, namespace, name),
    })
}

/// `apiVersion` and `kind` of what an object wants to scale.
pub(super) fn wanted_kind(object: &Value) -> Option<(String, String)> {
    let reference = at(object, &["spec", "scaleTargetRef"])?;
    let api_version = text(reference, &["apiVersion"]).unwrap_or("apps/v1");
    let kind = text(reference, &["kind"]).unwrap_or("Deployment");
    Some((api_version.to_owned(), kind.to_owned()))
}

fn target_of(namespace: &str, reference: &Value) -> Option<FunctionId> {
    let name = text(reference, &["name"]).or_else(|| text(reference, &["deployment"]))?;
    let api_version = text(reference, &["apiVersion"]).unwrap_or("apps/v1");
    let kind = text(reference, &["kind"]).unwrap_or("Deployment");
    Some(FunctionId::of(api_version, kind, namespace, name))
}

fn http(namespace: &Arc<str>, object: &Value) -> HttpFacts {
    let reference = at(object, &["spec", "scaleTargetRef"]);
    let service = reference.and_then(|r| text(r, &["service"]).or_else(|| text(r, &["name"])));
    let fallback = text(object, &["spec", "coldStartTimeoutFailoverRef", "service"]);
    let skip = annotation(
        object,
        "httpscaledobject.keda.sh/skip-scaledobject-creation",
    );
    HttpFacts {
        target: reference.and_then(|r| target_of(namespace, r)),
        service: service.map(Arc::from),
        port: reference.and_then(port),
        fallback: fallback.map(Arc::from),
        is_scaling: skip != Some("true"),
    }
}

fn route(object: &Value) -> RouteFacts {
    let body = |response: &Value| text(response, &["bodyFromConfigMap", "name"]).map(str::to_owned);
    let placeholder = at(object, &["spec", "coldStart", "placeholder", "response"]);
    let routes = items(object, &["spec", "staticRoutes"]).iter();
    let responses = routes.filter_map(|route| at(route, &["response"]));
    RouteFacts {
        service: text(object, &["spec", "target", "service"]).map(Arc::from),
        port: at(object, &["spec", "target"]).and_then(port),
        fallback: text(
            object,
            &["spec", "coldStart", "fallback", "service", "name"],
        )
        .map(Arc::from),
        config_maps: placeholder
            .into_iter()
            .chain(responses)
            .filter_map(body)
            .collect(),
    }
}

/// Number or name of a Service's port.
fn port(reference: &Value) -> Option<Arc<str>> {
    let number = at(reference, &["port"]).and_then(Value::as_u64);
    let number = number.map(|number| number.to_string());
    let name = || text(reference, &["portName"]).map(str::to_owned);
    number.or_else(name).map(Arc::from)
}

fn authentication(object: &Value) -> AuthenticationFacts {
    let names = |field: &str| {
        let references = items(object, &["spec", field]).iter();
        let names = references.filter_map(|r| text(r, &["name"]));
        names.map(str::to_owned).collect()
    };
    let variable = |item: &Value| {
        let container = text(item, &["containerName"]).map(str::to_owned);
        Some((container, text(item, &["name"])?.to_owned()))
    };
    AuthenticationFacts {
        secrets: names("secretTargetRef"),
        config_maps: names("configMapTargetRef"),
        variables: items(object, &["spec", "env"])
            .iter()
            .filter_map(variable)
            .collect(),
    }
}

fn service(object: &Value) -> ServiceFacts {
    let tcp = |port: &&Value| text(port, &["protocol"]).is_none_or(|it| it == "TCP");
    let port = |port: &Value| {
        let number = u16::try_from(at(port, &["port"])?.as_u64()?).ok()?;
        let name = text(port, &["name"]).unwrap_or_default();
        Some((NonZeroU16::new(number)?, name.into()))
    };
    ServiceFacts {
        address: text(object, &["spec", "clusterIP"]).and_then(|text| text.parse().ok()),
        ports: items(object, &["spec", "ports"])
            .iter()
            .filter(tcp)
            .filter_map(port)
            .collect(),
        selector: few(selector(object)),
        // On its way back it keeps its ports until nobody dials them any more.
        is_opted: annotation(object, "zeron.dev/activator") == Some("true")
            || (annotation(object, "zeron.dev/selector").is_some()
                && annotation(object, "zeron.dev/activator-ports").is_some()),
        is_led: is_led(object),
    }
}

/// Whether slices of activators have taken the place of its pods': the controller says so last, and
/// who goes back to its pods has a selector first.
fn is_led(object: &Value) -> bool {
    let is_selecting = !labels(object, &["spec", "selector"]).is_empty();
    !is_selecting && annotation(object, STATUS) == Some(ACTIVE)
}

/// The selector of a Service; one that has opted in has it in an annotation, as JSON.
pub(super) fn selector(service: &Value) -> BTreeMap<String, String> {
    let own = labels(service, &["spec", "selector"]);
    if !own.is_empty() {
        return own;
    }
    let kept = annotation(service, SELECTOR).and_then(parse_selector);
    kept.unwrap_or_default()
}

fn autoscaler(namespace: &str, object: &Value) -> AutoscalerFacts {
    let reference = at(object, &["spec", "scaleTargetRef"]);
    let owners = items(object, &["metadata", "ownerReferences"]).iter();
    let mut owners = owners.filter(|o| text(o, &["kind"]) == Some("ScaledObject"));
    let owner = owners.find_map(|o| text(o, &["name"])).map(str::to_owned);
    let managed_by = ["metadata", "labels", "app.kubernetes.io/managed-by"];
    let is_labelled = text(object, &managed_by) == Some("keda-operator");
    let name = text(object, &["metadata", "name"]).unwrap_or_default();
    AutoscalerFacts {
        target: reference.and_then(|r| target_of(namespace, r)),
        is_keda: owner.is_some() || is_labelled || name.starts_with("keda-hpa-"),
        owner,
    }
}

fn target(key: &ObjectKey, kind: &Arc<TargetKind>, object: &Value) -> TargetFacts {
    let template = labels(object, &["spec", "template", "metadata", "labels"]);
    let from_status = kind.selector_path.as_ref().and_then(|path| {
        let text = at_json_path(object, path)?.as_str()?;
        LabelSelector::parse(text).ok()
    });
    let selector = from_status.or_else(|| {
        let selector = at(object, &["spec", "selector"])?;
        LabelSelector::from_json(selector).ok()
    });
    let replicas = at_json_path(object, &kind.replicas_path).and_then(Value::as_u64);
    let owners = items(object, &["metadata", "ownerReferences"]).iter();
    let is_owned = owners
        .into_iter()
        .any(|o| at(o, &["controller"]) == Some(&Value::Bool(true)));
    TargetFacts {
        id: kind.function(&key.namespace, &key.name),
        labels: few(match template.is_empty() {
            true => labels(object, &["spec", "selector", "matchLabels"]),
            false => template,
        }),
        selector: Arc::new(selector.unwrap_or_default()),
        replicas: replicas.and_then(|n| u32::try_from(n).ok()),
        resource_version: text(object, &["metadata", "resourceVersion"]).map(Arc::from),
        failure: at(object, &["status"]).and_then(failure_of_status),
        is_part: &*kind.kind == "ReplicaSet" && is_owned,
        kind: kind.clone(),
    }
}

fn few(labels: BTreeMap<String, String>) -> Labels {
    let pair = |(key, value): (String, String)| (key.into_boxed_str(), value.into_boxed_str());
    labels.into_iter().map(pair).collect()
}
