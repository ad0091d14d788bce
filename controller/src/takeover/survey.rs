//! All that a take-over has to know about a cluster, at one moment.

use std::collections::BTreeMap;

use super::liveness::Life;
use super::marks::{
    ADOPTED_FROM, GIVEN_BACK, HANDED_BACK, KEDA_NAME_LABEL, MANAGE_LABEL, SELECTOR_BEFORE,
};
use super::object::{Kind, Object, ObjectName};

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Objects of `keda.sh`, `eventing.keda.sh` and `http.keda.sh`, of all namespaces.
    pub objects: Vec<Object>,
    /// HorizontalPodAutoscalers of all namespaces.
    pub autoscalers: Vec<Object>,
    /// Deployments of KEDA and of the HTTP add-on.
    pub parts: Vec<Object>,
    /// Services through which the HTTP add-on's interceptors are called.
    pub proxies: Vec<Object>,
    /// Those of them that have no selector any more and still lead to interceptors.
    pub leftovers: Vec<ObjectName>,
    /// Services of other names that lead requests to interceptors.
    pub strays: Vec<ObjectName>,
    /// Services that have opted in to our activators.
    pub opted: Vec<ObjectName>,
    /// Leases of KEDA and of the HTTP add-on, and what is known of their holders.
    pub leases: Vec<(ObjectName, Life)>,
    /// The leases of our own autoscalers' shards.
    pub shards: Vec<(ObjectName, Life)>,
    /// CustomResourceDefinitions of their groups.
    pub definitions: Vec<Object>,
    /// ValidatingWebhookConfigurations and APIServices of theirs.
    pub registrations: Vec<Object>,
}

/// What a Deployment of theirs does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// KEDA's operator: scales 0 to 1 and makes HorizontalPodAutoscalers.
    Operator,
    /// The HTTP add-on's operator: makes ScaledObjects.
    HttpOperator,
    /// The HTTP add-on's scaler.
    HttpScaler,
    /// The HTTP add-on's proxy.
    Interceptor,
}

impl Part {
    /// What the Deployment `object` does; `None` for those that may run on.
    pub fn of(object: &Object) -> Option<Self> {
        let name = object.name();
        if let Some(rest) = name.strip_prefix("keda-add-ons-http-") {
            return match rest {
                "interceptor" => Some(Self::Interceptor),
                "external-scaler" | "scaler" => Some(Self::HttpScaler),
                "controller-manager" | "operator" => Some(Self::HttpOperator),
                _ => None,
            };
        }
        let is_operator = name == "keda-operator"
            || object.label("app.kubernetes.io/name") == Some("keda-operator")
                && object.label("app.kubernetes.io/component") == Some("operator");
        is_operator.then_some(Self::Operator)
    }
}

impl Survey {
    /// The objects of `kind`.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(move |o| o.kind == kind)
    }

    /// The object called `name`.
    pub fn get(&self, name: &ObjectName) -> Option<&Object> {
        self.objects.iter().find(|o| o.id() == *name)
    }

    /// The Deployments that do `part`.
    pub fn parts_of(&self, part: Part) -> impl Iterator<Item = &Object> {
        self.parts.iter().filter(move |o| Part::of(o) == Some(part))
    }

    /// The HorizontalPodAutoscaler that KEDA made for a ScaledObject: it is its owner.
    pub fn autoscaler_of(&self, scaled: &Object) -> Option<&Object> {
        self.autoscalers.iter().find(|hpa| {
            hpa.namespace() == scaled.namespace()
                && hpa.is_owned_by(Kind::ScaledObject, scaled.name())
        })
    }

    /// A HorizontalPodAutoscaler on the ScaledObject's target that is not KEDA's.
    pub fn foreign_autoscaler(&self, scaled: &Object) -> Option<&Object> {
        let (kind, name) = target(scaled);
        self.autoscalers.iter().find(|hpa| {
            hpa.namespace() == scaled.namespace()
                && hpa.label(KEDA_NAME_LABEL).is_none()
                && !hpa.is_owned_by(Kind::ScaledObject, scaled.name())
                && hpa.text("/spec/scaleTargetRef/name") == Some(name)
                && hpa.text("/spec/scaleTargetRef/kind") == Some(kind)
        })
    }

    /// A Service that leads to our activators, and to nobody else.
    pub(super) fn is_switched(&self, service: &Object) -> bool {
        has_begun_to_switch(service)
            && !service.has("/spec/selector")
            && !self.leftovers.contains(&service.id())
    }

    /// Whether our autoscalers share all functions among them and live.
    pub fn are_shards_held(&self, is_proof_needed: bool) -> bool {
        let is_held = |life: &Life| match life {
            Life::Renewed { .. } => true,
            Life::Held { .. } => !is_proof_needed,
            Life::Absent | Life::Released | Life::Stale { .. } => false,
        };
        let mut sets: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
        for (name, life) in &self.shards {
            let Some((_, count)) = name.name.rsplit_once("-of-") else {
                continue;
            };
            let set = sets.entry((&name.namespace, count)).or_default();
            set.0 += usize::from(is_held(life));
            set.1 = count.parse().unwrap_or(usize::MAX);
        }
        sets.values()
            .any(|(held, wanted)| held >= wanted && *wanted > 0)
    }
}

/// Kind and name of a ScaledObject's target, with KEDA's defaults.
pub(super) fn target(scaled: &Object) -> (&str, &str) {
    (
        scaled
            .text("/spec/scaleTargetRef/kind")
            .unwrap_or("Deployment"),
        scaled
            .text("/spec/scaleTargetRef/name")
            .or_else(|| scaled.text("/spec/scaleTargetRef/deployment"))
            .unwrap_or_default(),
    )
}

/// It was taken over, and not given back since.
pub(super) fn is_adopted(object: &Object) -> bool {
    object.annotation(ADOPTED_FROM).is_some() && object.annotation(GIVEN_BACK).is_none()
}

/// It was given back to the end.
pub(super) fn is_given_back(object: &Object) -> bool {
    object.annotation(GIVEN_BACK) == Some(HANDED_BACK)
}

/// It is ours beside a live KEDA too.
pub(super) fn is_labelled(object: &Object) -> bool {
    object.label(MANAGE_LABEL) == Some("true")
}

/// The way of a Service to our activators has begun: its selector is kept.
pub(super) fn has_begun_to_switch(service: &Object) -> bool {
    service.annotation(SELECTOR_BEFORE).is_some()
}

/// The replicas that a Deployment asks for.
pub(super) fn replicas(deployment: &Object) -> u64 {
    deployment.number("/spec/replicas").unwrap_or(1)
}
