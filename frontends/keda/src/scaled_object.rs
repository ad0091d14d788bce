//! ScaledObject, in the form of KEDA 2 and of KEDA 1.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use zeron_core::ObjectRef;
use zeron_core::policy::{
    Behavior, Fallback, FallbackBehavior, Formula, HttpTargets, MetricScaling, Pause, Scaling,
    TriggerGroup,
};
use zeron_core::workload::{EnvVar, ResourceAmounts};
use zeron_manifest::{Fields, Header, Scope};

use crate::authentication::Authentications;
use crate::ours::Extras;
use crate::target::{Dialect, ScaleTarget};
use crate::trigger::{Owner, TriggerDraft};
use crate::{behavior, formula, pause};

/// KEDA's `maxReplicaCount` where none is given.
const DEFAULT_MAX: u32 = 100;
const MOST: i64 = i32::MAX as i64;

/// A ScaledObject, read and checked; [`bind`](Self::bind) finds what it refers to.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaledObject {
    /// Which object it is.
    pub object: ObjectRef,
    /// What it scales.
    pub target: ScaleTarget,
    /// At least so many replicas.
    pub min: u32,
    /// At most so many.
    pub max: u32,
    /// Whether people stopped scaling.
    pub pause: Pause,
    /// What its annotations of ours say.
    pub extras: Extras,
    is_forced_active: bool,
    triggers: Vec<TriggerDraft>,
    polling_interval: Duration,
    cooldown: Duration,
    initial_cooldown: Duration,
    idle: Option<u32>,
    fallback: Option<Fallback>,
    formula: Option<Formula>,
    behavior: Behavior,
}

/// What triggers refer to.
#[derive(Clone, Copy, Debug)]
pub struct Bindings<'b> {
    /// All TriggerAuthentications.
    pub authentications: &'b Authentications,
    /// The scale target's containers, in their order.
    pub environments: &'b [Environment],
    /// What InterceptorRoutes and HTTPScaledObjects want per replica.
    pub http_targets: &'b BTreeMap<HttpObject, HttpTargets>,
}

/// A container of the scale target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    /// The container's name.
    pub container: String,
    /// Its variables; the last one of a name counts.
    pub variables: Vec<EnvVar>,
    /// What it requests.
    pub requests: ResourceAmounts,
    /// It is the one that runs where one container of a pod does.
    pub is_main: bool,
}

/// An HTTP object of the HTTP add-on: kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HttpObject {
    /// `InterceptorRoute` or `HTTPScaledObject`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl<'b> Bindings<'b> {
    /// A variable of a container; of the first without one.
    pub(crate) fn variable(&self, container: Option<&str>, name: &str) -> Option<&'b str> {
        let is_it = |e: &&Environment| container.is_none_or(|wanted| e.container == wanted);
        let environment = self.environments.iter().find(is_it)?;
        let found = environment
            .variables
            .iter()
            .rev()
            .find(|v| v.name == name)?;
        Some(&found.value)
    }
}

impl ScaledObject {
    /// Reads a ScaledObject; `None`, with problems, when it scales nothing.
    pub fn read(scope: &Scope<'_>, header: &Header, dialect: Dialect) -> Option<Self> {
        let annotations = pause::read(scope, header);
        check_name(scope, header);
        let root = scope.root();
        let spec = root.fields("spec");
        if dialect == Dialect::Keda1 {
            check_scale_type(&spec);
        }
        if !spec.has("scaleTargetRef") {
            spec.error("scaleTargetRef", "is missing");
        }
        let target = spec
            .optional_fields("scaleTargetRef")
            .and_then(|f| ScaleTarget::read(&f, dialect));
        let triggers = triggers(&spec, dialect);
        let (min, max, idle) = bounds(&spec);
        let names: Vec<&str> = triggers.iter().filter_map(|t| t.name.as_deref()).collect();
        let advanced = spec.fields("advanced");
        // Without the ScaledObject the Deployment's own `replicas` hold, whatever this says.
        advanced.accept(&["restoreToOriginalReplicaCount"]);
        let formula = advanced
            .optional_fields("scalingModifiers")
            .and_then(|f| formula::read(&f, &names));
        let has_formula = advanced.has("scalingModifiers");
        let found = Self {
            object: header.object.clone(),
            min,
            max,
            pause: annotations.pause,
            extras: Extras::read(scope, header),
            is_forced_active: annotations.is_forced_active,
            polling_interval: spec
                .seconds("pollingInterval", 1..=MOST)
                .unwrap_or(Duration::from_secs(30)),
            cooldown: spec
                .seconds("cooldownPeriod", 0..=MOST)
                .unwrap_or(Duration::from_secs(300)),
            initial_cooldown: spec
                .seconds("initialCooldownPeriod", 0..=MOST)
                .unwrap_or(Duration::ZERO),
            idle,
            fallback: spec
                .optional_fields("fallback")
                .and_then(|f| fallback(&f, has_formula, &triggers)),
            formula,
            behavior: hpa_behavior(&advanced),
            triggers,
            target: target?,
        };
        if found.min > 0 && found.idle.is_none() && spec.has("cooldownPeriod") {
            spec.warn(
                "cooldownPeriod",
                "has no effect: minReplicaCount is above 0 and there is no idleReplicaCount",
            );
        }
        Some(found)
    }

    /// The types of its triggers, in their order.
    pub fn trigger_types(&self) -> impl Iterator<Item = &str> {
        self.triggers.iter().map(|trigger| trigger.kind.as_str())
    }

    /// The HTTPScaledObjects that its triggers name.
    pub fn http_scaled_objects(&self) -> impl Iterator<Item = &str> {
        let named = self.triggers.iter().filter_map(TriggerDraft::http_object);
        named
            .filter(|(kind, _)| *kind == "HTTPScaledObject")
            .map(|(_, name)| name)
    }

    /// The trigger group, with everything found that its triggers refer to.
    pub fn bind(&self, scope: &Scope<'_>, bindings: &Bindings<'_>) -> TriggerGroup {
        // In KEDA, what scales by cpu or memory alone never goes to zero.
        let is_resource_only = self.triggers.iter().all(TriggerDraft::is_resource);
        let owner = Owner {
            object: &self.object,
            target: &self.target,
            is_resource_only,
            has_formula: self.formula.is_some(),
        };
        let bound = |t: &TriggerDraft| t.bind(scope, &owner, bindings);
        let triggers = self.triggers.iter().filter_map(bound).collect();
        TriggerGroup {
            source: self.object.clone(),
            min: if is_resource_only {
                self.min.max(1)
            } else {
                self.min
            },
            max: Some(self.max),
            scaling: Scaling::Metric(MetricScaling {
                triggers,
                polling_interval: self.polling_interval,
                cooldown: self.cooldown,
                initial_cooldown: self.initial_cooldown,
                idle: self.idle,
                fallback: self.fallback,
                formula: self.formula.clone(),
                behavior: self.behavior.clone(),
                is_forced_active: self.is_forced_active,
            }),
        }
    }
}

pub(crate) fn check_name(scope: &Scope<'_>, header: &Header) {
    let name = &header.object.name;
    if name.len() > 63 {
        scope.error(
            "metadata.name",
            format!("{name:?}: must be at most 63 characters"),
        );
    }
}

fn check_scale_type(spec: &Fields<'_>) {
    if spec
        .string("scaleType")
        .is_some_and(|kind| kind != "deployment")
    {
        spec.error("scaleType", "only deployment is supported here");
    }
    spec.unsupported(&["jobTargetRef"]);
}

fn triggers(spec: &Fields<'_>, dialect: Dialect) -> Vec<TriggerDraft> {
    let nodes = spec.items("triggers");
    if nodes.is_empty() {
        spec.error("triggers", "are missing: at least one is needed");
    }
    let mut names = BTreeSet::new();
    let mut triggers = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let trigger = TriggerDraft::read(node, index, dialect);
        if let Some(name) = trigger.as_ref().and_then(|t| t.name.clone())
            && !names.insert(name.clone())
        {
            node.error(format!(
                "name {name:?}: another trigger has this name; names must be unique"
            ));
        }
        triggers.extend(trigger);
    }
    triggers
}

/// Minimum, maximum and idle count.
fn bounds(spec: &Fields<'_>) -> (u32, u32, Option<u32>) {
    let min = spec.integer("minReplicaCount", 0..=MOST).unwrap_or(0);
    let max = spec
        .integer("maxReplicaCount", 1..=MOST)
        .unwrap_or(DEFAULT_MAX);
    let idle = spec.integer("idleReplicaCount", 0..=MOST);
    if min > max {
        spec.error(
            "minReplicaCount",
            format!("{min}: must not be above maxReplicaCount ({max})"),
        );
    }
    if let Some(idle) = idle.filter(|idle| *idle >= min) {
        spec.error(
            "idleReplicaCount",
            format!("{idle}: must be below minReplicaCount ({min})"),
        );
    }
    (min, max, idle)
}

fn fallback(fields: &Fields<'_>, has_formula: bool, triggers: &[TriggerDraft]) -> Option<Fallback> {
    for name in ["failureThreshold", "replicas"] {
        if !fields.has(name) {
            fields.error(name, "is missing");
        }
    }
    let behaviors = [
        ("static", FallbackBehavior::Static),
        ("currentReplicas", FallbackBehavior::CurrentReplicas),
        (
            "currentReplicasIfHigher",
            FallbackBehavior::CurrentReplicasIfHigher,
        ),
        (
            "currentReplicasIfLower",
            FallbackBehavior::CurrentReplicasIfLower,
        ),
        ("scalingModifiers", FallbackBehavior::ScalingModifiers),
    ];
    let behavior = fields
        .choice("behavior", &behaviors)
        .unwrap_or(FallbackBehavior::Static);
    if behavior == FallbackBehavior::ScalingModifiers && !has_formula {
        fields.error(
            "behavior",
            "scalingModifiers: needs advanced.scalingModifiers.formula",
        );
    }
    if !has_formula && triggers.iter().all(TriggerDraft::is_resource) {
        let message = "needs a trigger of another type than cpu and memory";
        fields.scope().error(fields.path(), message);
    }
    let (threshold, replicas) = (
        fields.integer("failureThreshold", 0..=MOST),
        fields.integer("replicas", 0..=MOST),
    );
    Some(Fallback {
        failure_threshold: threshold?,
        replicas: replicas?,
        behavior,
    })
}

fn hpa_behavior(advanced: &Fields<'_>) -> Behavior {
    let Some(config) = advanced.optional_fields("horizontalPodAutoscalerConfig") else {
        return Behavior::default();
    };
    config.unsupported(&["name"]);
    config
        .optional_fields("behavior")
        .map(|f| behavior::read(&f))
        .unwrap_or_default()
}
