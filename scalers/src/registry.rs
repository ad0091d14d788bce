//! The table of source types: picks the source of a trigger by the name of its type.

use std::collections::BTreeMap;
use std::fmt;

use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, ScalerRegistry, TriggerProblem};

use crate::known;

/// One kind of event source: reads parameters and keeps the clients that its triggers share.
pub(crate) trait SourceType: Send + Sync + fmt::Debug {
    /// The trigger types that it serves.
    fn kinds(&self) -> &'static [&'static str];

    /// Everything that is wrong with the parameters, without connecting.
    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem>;

    /// Binds a trigger to the client of its server and credentials, made on first use.
    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown>;
}

/// All event sources that are built in.
#[derive(Debug, Default)]
pub struct Registry {
    sources: Vec<Box<dyn SourceType>>,
    by_kind: BTreeMap<&'static str, usize>,
}

impl Registry {
    /// The sources that this build contains.
    pub fn builtin() -> Self {
        let registry = Self::default();
        #[cfg(feature = "kafka")]
        let registry = registry.with(Box::new(crate::kafka::Kafka::default()));
        registry
    }

    /// The trigger types that this build contains, sorted.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.by_kind.keys().copied().collect()
    }

    // A build without any source has nothing to add.
    #[cfg_attr(not(feature = "kafka"), allow(dead_code))]
    fn with(mut self, source: Box<dyn SourceType>) -> Self {
        let index = self.sources.len();
        self.by_kind
            .extend(source.kinds().iter().map(|kind| (*kind, index)));
        self.sources.push(source);
        self
    }

    fn source(&self, kind: &str) -> Result<&dyn SourceType, TriggerProblem> {
        match self.by_kind.get(kind) {
            Some(index) => Ok(self.sources[*index].as_ref()),
            None => Err(self.no_source(kind)),
        }
    }

    fn no_source(&self, kind: &str) -> TriggerProblem {
        let built_in = self.kinds().join(", ");
        let message = if known::is_known(kind) {
            format!("trigger type {kind} is not built in (built in: {built_in})")
        } else {
            format!("unknown trigger type {kind:?} (built in: {built_in})")
        };
        TriggerProblem {
            parameter: None,
            message,
            is_warning: false,
        }
    }
}

impl ScalerRegistry for Registry {
    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        match self.source(&trigger.kind) {
            Ok(source) => source.validate(trigger),
            Err(problem) => vec![problem],
        }
    }

    fn is_built_in(&self, kind: &str) -> bool {
        self.by_kind.contains_key(kind)
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        match self.source(&trigger.kind) {
            Ok(source) => source.bind(trigger),
            Err(problem) => Err(configuration(&[problem])),
        }
    }
}

/// Why a trigger cannot be bound: all its errors in one line.
pub(crate) fn configuration(problems: &[TriggerProblem]) -> Unknown {
    let message = problems
        .iter()
        .filter(|problem| !problem.is_warning)
        .map(|problem| problem.message.as_str())
        .collect::<Vec<_>>()
        .join("; ");
    Unknown {
        kind: UnknownKind::Configuration,
        message,
    }
}

#[cfg(test)]
mod tests {
    use zeron_core::id::ObjectRef;

    use super::*;

    fn trigger(kind: &str) -> TriggerSpec {
        TriggerSpec {
            object: ObjectRef {
                api_version: "keda.sh/v1alpha1".to_owned(),
                kind: "ScaledObject".to_owned(),
                namespace: "default".to_owned(),
                name: "orders".to_owned(),
            },
            index: 0,
            kind: kind.to_owned(),
            metadata: BTreeMap::new(),
            from_environment: std::collections::BTreeSet::new(),
            auth: BTreeMap::new(),
        }
    }

    #[test]
    fn unknown_type_is_called_unknown() {
        let error = Registry::builtin().bind(&trigger("kafak")).unwrap_err();
        assert_eq!(error.kind, UnknownKind::Configuration);
        assert!(
            error.message.starts_with("unknown trigger type \"kafak\""),
            "{}",
            error.message
        );
    }

    #[test]
    fn known_type_that_is_not_built_in_is_named() {
        let problems = Registry::builtin().validate(&trigger("rabbitmq"));
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0]
                .message
                .starts_with("trigger type rabbitmq is not built in")
        );
        assert!(!problems[0].is_warning);
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn both_kafka_types_are_built_in() {
        assert_eq!(Registry::builtin().kinds(), ["apache-kafka", "kafka"]);
    }
}
