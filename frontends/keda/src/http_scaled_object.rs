//! http.keda.sh/v1alpha1 HTTPScaledObject.

use std::time::Duration;

use zeron_core::ObjectRef;
use zeron_core::function::Timeouts;
use zeron_core::policy::{Behavior, HttpScaling, HttpTargets, Scaling, TriggerGroup};
use zeron_manifest::{Fields, Header, Platform, Scope};

use crate::ours::Extras;
use crate::routing::{self, HttpRouting, RESPONSE_HEADER_TIMEOUT, ServiceRef};
use crate::rule::Rule;
use crate::target::{ScaleTarget, or_default};

const MOST: i64 = i32::MAX as i64;
/// The add-on's default target: requests, or requests per second, per replica.
const DEFAULT_TARGET: f64 = 100.0;
const DEFAULT_MAX: u32 = 100;

/// An HTTPScaledObject, read and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpScaledObject {
    /// Its requests.
    pub routing: HttpRouting,
    /// What it scales.
    pub target: ScaleTarget,
    /// What its annotations of ours say.
    pub extras: Extras,
    /// What one replica should carry.
    pub targets: HttpTargets,
    /// Whether it scales by itself; a ScaledObject's trigger may name it instead.
    pub is_scaling: bool,
    min: u32,
    max: u32,
    cooldown: Duration,
    initial_cooldown: Duration,
}

impl HttpScaledObject {
    /// Reads an HTTPScaledObject; `None`, with problems, when it has no target.
    pub fn read(scope: &Scope<'_>, header: &Header) -> Option<Self> {
        let is_scaling = annotations(scope, header);
        let extras = Extras::read(scope, header);
        let root = scope.root();
        let spec = root.fields("spec");
        if !spec.has("scaleTargetRef") {
            spec.error("scaleTargetRef", "is missing");
        }
        let target = spec
            .optional_fields("scaleTargetRef")
            .and_then(|f| target(&f));
        let replicas = spec.fields("replicas");
        let min = replicas.integer("min", 0..=MOST).unwrap_or(0);
        let max = replicas.integer("max", 1..=MOST).unwrap_or(DEFAULT_MAX);
        if min > max {
            replicas.error("min", format!("{min}: must not be above max ({max})"));
        }
        let routing = |target: ServiceRef| routing(&spec, &header.object, target);
        let targets = targets(&spec);
        let seconds = |name| spec.seconds(name, 0..=MOST);
        let cooldown = seconds("scaledownPeriod").unwrap_or(Duration::from_secs(300));
        let initial_cooldown = seconds("initialCooldownPeriod").unwrap_or(Duration::ZERO);
        let Some((target, service)) = target else {
            // Read what is left for its problems.
            routing(ServiceRef {
                name: String::new(),
                port: None,
                path: String::new(),
            });
            return None;
        };
        Some(Self {
            routing: routing(service),
            target,
            extras,
            targets,
            is_scaling,
            min,
            max,
            cooldown,
            initial_cooldown,
        })
    }

    /// Its trigger group.
    pub fn group(&self) -> TriggerGroup {
        TriggerGroup {
            source: self.routing.object.clone(),
            min: self.min,
            max: Some(self.max),
            scaling: Scaling::Http(HttpScaling {
                concurrency: self.targets.concurrency,
                request_rate: self.targets.request_rate,
                cooldown: self.cooldown,
                initial_cooldown: self.initial_cooldown,
                behavior: Behavior::default(),
            }),
        }
    }
}

/// Whether it scales by itself.
fn annotations(scope: &Scope<'_>, header: &Header) -> bool {
    const PREFIX: &str = "httpscaledobject.keda.sh/";
    let mut is_scaling = true;
    for (key, value) in &header.meta.annotations {
        match key.strip_prefix(PREFIX) {
            Some("skip-scaledobject-creation") => is_scaling = value != "true",
            Some("orphan-scaledobject") | None => {}
            Some(_) => scope.without_effect(
                &format!("metadata.annotations[{key}]"),
                "unknown annotation",
            ),
        }
    }
    is_scaling
}

/// The target and the Service before it, which is the target itself where none is named.
fn target(fields: &Fields<'_>) -> Option<(ScaleTarget, ServiceRef)> {
    let (kind, version) = (fields.string("kind"), fields.string("apiVersion"));
    if fields.scope().platform() == Platform::Machine {
        if kind.is_some_and(|kind| kind != "Deployment") {
            fields.error("kind", "only Deployment can be scaled here");
        }
        if version.is_some_and(|version| version != "apps/v1") {
            fields.error("apiVersion", "only apps/v1 can be scaled here");
        }
    }
    // The field's name in the add-on's first versions.
    let name_field = match fields.has("deployment") && !fields.has("name") {
        true => "deployment",
        false => "name",
    };
    fields.accept(&["deployment"]);
    let name = fields.required_string(name_field);
    let service = match fields.has("service") {
        true => ServiceRef::read(fields, "service"),
        false => {
            fields.accept(&["service"]);
            ServiceRef::read(fields, name_field)
        }
    };
    let target = ScaleTarget {
        api_version: or_default(version, "apps/v1"),
        kind: or_default(kind, "Deployment"),
        name: name?.to_owned(),
        container: None,
    };
    Some((target, service?))
}

fn targets(spec: &Fields<'_>) -> HttpTargets {
    let deprecated = spec
        .integer::<u32>("targetPendingRequests", 1..=MOST)
        .map(f64::from);
    let metric = spec.optional_fields("scalingMetric");
    if metric
        .as_ref()
        .is_some_and(|m| m.has("concurrency") && m.has("requestRate"))
    {
        spec.error(
            "scalingMetric",
            "has both concurrency and requestRate: only one is allowed",
        );
    }
    let found = metric.map(|f| routing::targets(&f, Some(DEFAULT_TARGET)));
    let is_given = |t: &HttpTargets| t.concurrency.is_some() || t.request_rate.is_some();
    found.filter(is_given).unwrap_or(HttpTargets {
        concurrency: Some(deprecated.unwrap_or(DEFAULT_TARGET)),
        request_rate: None,
    })
}

fn routing(spec: &Fields<'_>, object: &ObjectRef, target: ServiceRef) -> HttpRouting {
    let timeouts = spec.fields("timeouts");
    let wait = timeouts.duration("conditionWait").filter(|d| !d.is_zero());
    let response_header = timeouts.duration("responseHeader");
    let failover = spec.optional_fields("coldStartTimeoutFailoverRef");
    let fallback_wait = failover.as_ref().map(|f| {
        f.seconds("timeoutSeconds", 1..=MOST)
            .unwrap_or(Duration::from_secs(30))
    });
    HttpRouting {
        object: object.clone(),
        target,
        fallback: failover.and_then(|f| ServiceRef::read(&f, "service")),
        readiness: fallback_wait.or(wait),
        max_pending: None,
        rules: vec![Rule::read_flat(spec)],
        timeouts: response_header.map(|limit| Timeouts {
            request: None,
            response_start: Some(limit).filter(|d| !d.is_zero()),
            idle: None,
        }),
        placeholder: None,
        static_routes: Vec::new(),
    }
}

/// Time limits of a Deployment that the add-on's objects lead to.
pub(crate) const DEFAULT_TIMEOUTS: Timeouts = Timeouts {
    request: None,
    response_start: Some(RESPONSE_HEADER_TIMEOUT),
    idle: None,
};
