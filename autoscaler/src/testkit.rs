//! Settings with every default of the originals, for tests.

use std::time::Duration;

use zeron_core::id::ObjectRef;
use zeron_core::policy::{
    Aggregation, Behavior, HttpScaling, KnativeMetric, KnativeScaling, MetricScaling, MetricType,
    Scaling, Trigger, TriggerGroup, TriggerSource, TriggerSpec,
};

/// `config-autoscaler` without any change, unlimited concurrency.
pub(crate) fn knative() -> KnativeScaling {
    KnativeScaling {
        metric: KnativeMetric::Concurrency,
        total: 100.0,
        target: 70.0,
        target_burst_capacity: 211.0,
        activator_capacity: 100.0,
        panic_threshold: 2.0,
        stable_window: Duration::from_secs(60),
        panic_window: Duration::from_secs(6),
        aggregation: Aggregation::Linear,
        scale_down_delay: Duration::ZERO,
        max_scale_up_rate: 1_000.0,
        max_scale_down_rate: 2.0,
        initial_scale: 1,
        activation_scale: 0,
        is_scale_to_zero_enabled: true,
        scale_to_zero_grace: Duration::from_secs(30),
        retention: Duration::ZERO,
        progress_deadline: Duration::from_secs(600),
        path: Default::default(),
    }
}

/// An HTTPScaledObject with a target of `concurrency`.
pub(crate) fn http(concurrency: f64) -> HttpScaling {
    HttpScaling {
        concurrency: Some(concurrency),
        request_rate: None,
        cooldown: Duration::from_secs(300),
        initial_cooldown: Duration::ZERO,
        behavior: Behavior::default(),
    }
}

/// A ScaledObject with so many triggers of the type `kafka`, without names.
pub(crate) fn metric(triggers: usize) -> MetricScaling {
    MetricScaling {
        triggers: (0..triggers).map(trigger).collect(),
        polling_interval: Duration::from_secs(30),
        cooldown: Duration::from_secs(300),
        initial_cooldown: Duration::ZERO,
        idle: None,
        fallback: None,
        formula: None,
        behavior: Behavior::default(),
        is_forced_active: false,
    }
}

fn trigger(index: usize) -> Trigger {
    Trigger {
        source: TriggerSource::Scaler(TriggerSpec {
            object: source("ScaledObject"),
            index,
            kind: "kafka".to_owned(),
            metadata: [("topic".to_owned(), format!("t{index}"))].into(),
            from_environment: Default::default(),
            remote: Vec::new(),
            is_formula_input: false,
            auth: Default::default(),
        }),
        name: None,
        metric_type: MetricType::AverageValue,
    }
}

/// Some object.
pub(crate) fn source(kind: &str) -> ObjectRef {
    ObjectRef {
        api_version: "v1".to_owned(),
        kind: kind.to_owned(),
        namespace: "default".to_owned(),
        name: "hello".to_owned(),
    }
}

/// A group of one object, from zero to `max`.
pub(crate) fn group(scaling: Scaling, max: Option<u32>) -> TriggerGroup {
    TriggerGroup {
        source: source("Object"),
        min: 0,
        max,
        scaling,
    }
}
