//! The table of source types: picks the source of a trigger by the name of its type.

use std::collections::BTreeMap;
use std::fmt;
#[cfg(feature = "http")]
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, ScalerRegistry, TriggerProblem};

use crate::address::AddressPolicy;
#[cfg(feature = "http")]
use crate::credentials::{self, Credentials};
use crate::known;
use crate::parameters::Parameter;

/// One kind of event source: reads parameters and keeps the clients that its triggers share.
pub trait SourceType: Send + Sync + fmt::Debug {
    /// The trigger types that it serves, with all their parameters.
    fn types(&self) -> Vec<TriggerType>;

    /// Everything that is wrong with the parameters, without connecting.
    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem>;

    /// Binds a trigger to the client of its server and credentials, made on first use.
    ///
    /// # Errors
    /// [`Unknown`] of kind `Configuration` where a parameter is wrong.
    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown>;
}

/// A trigger type that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerType {
    /// KEDA's name of it.
    #[serde(rename = "type")]
    pub name: &'static str,
    /// What it measures, in one line.
    pub about: &'static str,
    /// All its parameters, in the order in which they should be shown.
    pub parameters: &'static [Parameter],
}

/// The sources themselves, by the types that they serve.
#[derive(Debug, Default)]
pub(crate) struct Builtin {
    sources: Vec<Box<dyn SourceType>>,
    by_kind: BTreeMap<&'static str, (usize, TriggerType)>,
}

/// All event sources that are built in.
#[derive(Debug)]
pub struct Registry {
    sources: Arc<Builtin>,
    #[cfg(feature = "http")]
    credentials: Credentials,
}

impl Registry {
    /// The sources that this build contains, which may dial what `addresses` allows.
    pub fn builtin(addresses: AddressPolicy) -> Self {
        let registry = Self {
            sources: Arc::default(),
            #[cfg(feature = "http")]
            credentials: Credentials::new(addresses.clone(), None),
        };
        let registry = registry
            .with(Box::new(crate::kubernetes::Elsewhere))
            .with(Box::new(crate::resources::Unmeasured));
        #[cfg(feature = "kafka")]
        let registry = registry.with(Box::new(crate::kafka::Kafka::new(addresses.clone())));
        #[cfg(feature = "amqp")]
        let registry = registry.with(Box::new(crate::rabbitmq::RabbitMq::new(addresses.clone())));
        #[cfg(feature = "cron")]
        let registry = registry.with(Box::new(crate::cron::Cron::default()));
        #[cfg(feature = "external")]
        let registry = registry.with(Box::new(crate::external::External::new(addresses.clone())));
        #[cfg(feature = "http")]
        let registry = registry
            .with(Box::new(crate::metrics_api::MetricsApi::new(
                addresses.clone(),
            )))
            .with(Box::new(crate::nats_jetstream::JetStream::new(
                addresses.clone(),
            )))
            .with(Box::new(crate::prometheus::Prometheus::new(
                addresses.clone(),
            )));
        #[cfg(feature = "redis")]
        let registry = registry.with(Box::new(crate::redis::Redis::new(addresses.clone())));
        #[cfg(feature = "sql")]
        let registry = registry
            .with(Box::new(crate::mysql::Mysql::new(addresses.clone())))
            .with(Box::new(crate::postgresql::Postgresql::new(addresses)));
        registry
    }

    /// With the folder of files that a ClusterTriggerAuthentication's `filePath` may name.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn with_file_root(self, addresses: AddressPolicy, root: Option<PathBuf>) -> Self {
        Self {
            credentials: Credentials::new(addresses, root),
            ..self
        }
    }

    /// With the endpoints of a cluster's Services, for `aggregateFromKubeServiceEndpoints`.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn with_endpoints(
        self,
        addresses: AddressPolicy,
        endpoints: Arc<dyn crate::EndpointLookup>,
    ) -> Self {
        let source = crate::metrics_api::MetricsApi::new(addresses).with_endpoints(endpoints);
        self.with(Box::new(source))
    }

    /// The trigger types that this build contains, sorted by name.
    pub fn types(&self) -> impl Iterator<Item = &TriggerType> {
        self.sources.by_kind.values().map(|(_, it)| it)
    }

    /// The trigger types of KEDA that this build does not contain, sorted.
    pub fn others(&self) -> impl Iterator<Item = &'static str> {
        known::all().filter(|name| !self.sources.by_kind.contains_key(name))
    }

    /// With a further source, such as one that only a platform can serve.
    #[must_use]
    pub fn with(mut self, source: Box<dyn SourceType>) -> Self {
        let table = Arc::get_mut(&mut self.sources).expect("no trigger is bound yet");
        table.add(source);
        self
    }
}

impl Builtin {
    /// Takes a source in.
    fn add(&mut self, source: Box<dyn SourceType>) {
        let index = self.sources.len();
        let types = source.types().into_iter();
        self.by_kind.extend(types.map(|it| (it.name, (index, it))));
        self.sources.push(source);
    }

    /// These sources alone.
    #[cfg(all(test, feature = "http"))]
    pub(crate) fn of(sources: Vec<Box<dyn SourceType>>) -> Self {
        let mut table = Self::default();
        sources.into_iter().for_each(|source| table.add(source));
        table
    }

    /// Binds a trigger all of whose parameters are there.
    pub(crate) fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        match self.source(&trigger.kind) {
            Ok(source) => source.bind(trigger),
            Err(problem) => Err(configuration(&[problem])),
        }
    }

    fn source(&self, kind: &str) -> Result<&dyn SourceType, TriggerProblem> {
        match self.by_kind.get(kind) {
            Some((index, _)) => Ok(self.sources[*index].as_ref()),
            None => Err(self.no_source(kind)),
        }
    }

    fn no_source(&self, kind: &str) -> TriggerProblem {
        let built_in: Vec<_> = self.by_kind.keys().copied().collect();
        let built_in = built_in.join(", ");
        let message = if known::is_known(kind) {
            format!(
                "trigger type {kind} is not built in (built in: {built_in}); an external scaler may serve it"
            )
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
        let problems = match self.sources.source(&trigger.kind) {
            Ok(source) => source.validate(trigger),
            Err(problem) => vec![problem],
        };
        #[cfg(feature = "http")]
        let problems = credentials::without_remote(trigger, problems);
        problems
    }

    fn is_built_in(&self, kind: &str) -> bool {
        self.sources.by_kind.contains_key(kind)
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        #[cfg(feature = "http")]
        if !trigger.remote.is_empty() && self.is_built_in(&trigger.kind) {
            return Ok(self.credentials.bind(&self.sources, trigger));
        }
        self.sources.bind(trigger)
    }
}

/// Why a trigger cannot be bound: all its errors in one line.
pub fn configuration(problems: &[TriggerProblem]) -> Unknown {
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

    use super::*;

    fn trigger(kind: &str) -> TriggerSpec {
        crate::testkit::spec(kind, &[], &[])
    }

    #[test]
    fn unknown_type_is_called_unknown() {
        let error = Registry::builtin(AddressPolicy::MACHINE)
            .bind(&trigger("kafak"))
            .unwrap_err();
        assert_eq!(error.kind, UnknownKind::Configuration);
        assert!(
            error.message.starts_with("unknown trigger type \"kafak\""),
            "{}",
            error.message
        );
    }

    #[test]
    fn known_type_that_is_not_built_in_is_named() {
        let problems = Registry::builtin(AddressPolicy::MACHINE).validate(&trigger("arangodb"));
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0]
                .message
                .starts_with("trigger type arangodb is not built in")
        );
        assert!(!problems[0].is_warning);
    }

    #[test]
    fn every_type_is_one_of_keda_and_says_what_it_takes() {
        let registry = Registry::builtin(AddressPolicy::MACHINE);
        for it in registry.types() {
            assert!(known::is_known(it.name), "{}", it.name);
            assert!(
                !it.about.is_empty() && !it.parameters.is_empty(),
                "{}",
                it.name
            );
            let mut names: Vec<_> = it.parameters.iter().map(|it| it.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(
                names.len(),
                it.parameters.len(),
                "{}: a name twice",
                it.name
            );
            assert!(
                it.parameters.iter().all(|it| !it.about.is_empty()),
                "{}",
                it.name
            );
        }
        assert!(registry.others().all(known::is_known));
    }

    #[test]
    fn defaults_are_values_that_are_allowed() {
        for it in Registry::builtin(AddressPolicy::MACHINE).types() {
            for parameter in it.parameters {
                assert!(
                    parameter.is_default_allowed(),
                    "{}: {}",
                    it.name,
                    parameter.name
                );
            }
        }
    }
}
