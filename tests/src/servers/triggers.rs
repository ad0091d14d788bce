//! Triggers of sources, evaluated as the engine does it, without an engine.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use zeron_core::id::ObjectRef;
use zeron_core::metric::{MetricReading, Unknown};
use zeron_core::policy::{Secret, TriggerSpec};
use zeron_core::roles::{BoundTrigger, ScalerRegistry};
use zeron_scalers::{AddressPolicy, Registry};

use crate::wait::until;

/// What an evaluation is given unless a test says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// What an answer may take longer than it was given on a machine that is busy. One without a limit takes for ever.
pub const SLACK: Duration = Duration::from_secs(5);

/// What a trigger's evaluation gives.
pub type Answer = Result<MetricReading, Unknown>;

/// A trigger of `kind`; `auth` is what a TriggerAuthentication would give.
pub fn spec(kind: &str, metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> TriggerSpec {
    TriggerSpec {
        object: ObjectRef {
            api_version: "keda.sh/v1alpha1".to_owned(),
            kind: "ScaledObject".to_owned(),
            namespace: "default".to_owned(),
            name: "orders".to_owned(),
        },
        index: 0,
        kind: kind.to_owned(),
        metadata: metadata
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        from_environment: BTreeSet::new(),
        auth: auth
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Secret::new(*value)))
            .collect(),
        remote: Vec::new(),
        is_formula_input: false,
    }
}

/// All sources, and a runtime that their connections live on.
#[derive(Debug)]
pub struct Sources {
    registry: Registry,
    runtime: Runtime,
}

impl Default for Sources {
    fn default() -> Self {
        Self::new(AddressPolicy::MACHINE)
    }
}

impl Sources {
    /// Sources that may dial what `addresses` allows.
    ///
    /// # Panics
    /// When there is no runtime.
    pub fn new(addresses: AddressPolicy) -> Self {
        Self::of(Registry::builtin(addresses))
    }

    /// These sources.
    ///
    /// # Panics
    /// When there is no runtime.
    pub fn of(registry: Registry) -> Self {
        Self {
            registry,
            runtime: Runtime::new().expect("there is a runtime"),
        }
    }

    /// Binds a trigger.
    ///
    /// # Panics
    /// When something is wrong with it.
    pub fn bind(&self, spec: &TriggerSpec) -> BoundTrigger {
        self.registry.bind(spec).expect("the trigger is valid")
    }

    /// Evaluates triggers of one source together.
    ///
    /// # Panics
    /// When one gives other than one metric.
    pub fn evaluate(&self, triggers: &[&BoundTrigger], timeout: Duration) -> Vec<Answer> {
        let first = triggers.first().expect("at least one trigger");
        assert!(triggers.iter().all(|it| it.source == first.source));
        let handles: Vec<_> = triggers.iter().map(|it| it.handle).collect();
        let answers = self
            .runtime
            .block_on(first.scaler.evaluate(&handles, timeout));
        assert_eq!(answers.len(), triggers.len());
        let one = |answer: Result<Vec<MetricReading>, Unknown>| {
            let mut readings = answer?;
            assert_eq!(readings.len(), 1, "{readings:?}");
            Ok(readings.remove(0))
        };
        answers.into_iter().map(one).collect()
    }

    /// Evaluates one trigger.
    pub fn read(&self, trigger: &BoundTrigger) -> Answer {
        self.evaluate(&[trigger], TIMEOUT).remove(0)
    }

    /// Binds a trigger, evaluates and releases it.
    pub fn read_once(&self, spec: &TriggerSpec) -> Answer {
        let trigger = self.bind(spec);
        let answer = self.read(&trigger);
        trigger.scaler.release(trigger.handle);
        answer
    }

    /// Evaluates one trigger, and says how long it took.
    pub fn timed(&self, trigger: &BoundTrigger, timeout: Duration) -> (Answer, Duration) {
        let began = Instant::now();
        let answer = self.evaluate(&[trigger], timeout).remove(0);
        (answer, began.elapsed())
    }

    /// Evaluates a trigger until its value is `wanted`.
    ///
    /// # Panics
    /// When it does not become so.
    pub fn until_value(&self, trigger: &BoundTrigger, wanted: f64) {
        let mut last = None;
        until(&format!("the value to be {wanted}"), || {
            let answer = self.read(trigger);
            let is_there = answer.as_ref().is_ok_and(|it| it.value == wanted);
            if !is_there && last.as_ref() != Some(&answer) {
                eprintln!("still {answer:?}");
                last = Some(answer);
            }
            is_there.then_some(())
        });
    }
}
