//! A Kafka trigger as its parameters declare it.

use std::collections::BTreeSet;

use zeron_core::policy::TriggerSpec;
use zeron_core::roles::TriggerProblem;

use super::lag::{LagRules, OffsetReset};
use super::security::SourceKey;
use crate::parameters::{Parameters, Place};

/// A Kafka trigger as its parameters declare it.
#[derive(Clone, Debug)]
pub(crate) struct KafkaTrigger {
    /// The cluster and the credentials for it.
    pub(crate) source: SourceKey,
    /// Whose lag.
    pub(crate) group: String,
    /// Lag of which topics; empty: all for which the group committed offsets.
    pub(crate) topics: Vec<String>,
    /// Only these partitions of the topics; `None`: all.
    pub(crate) partitions: Option<BTreeSet<i32>>,
    /// How lag becomes a number.
    pub(crate) rules: LagRules,
    /// Active above this lag.
    pub(crate) activation_threshold: u64,
    /// The metric's name.
    pub(crate) metric: String,
}

impl KafkaTrigger {
    /// The trigger, unless something is wrong with it, and everything that was noticed.
    pub(crate) fn parse(spec: &TriggerSpec) -> (Option<Self>, Vec<TriggerProblem>) {
        let mut parameters = Parameters::new(spec);
        let trigger = Self::read(&mut parameters, spec.kind == "apache-kafka");
        let problems = parameters.finish();
        let is_valid = problems.iter().all(|problem| problem.is_warning);
        (is_valid.then_some(trigger), problems)
    }

    fn read(parameters: &mut Parameters<'_>, is_apache: bool) -> Self {
        let group = parameters
            .required("consumerGroup", Place::Metadata)
            .to_owned();
        let topics = if is_apache {
            parameters.list("topic")
        } else {
            parameters
                .text("topic", Place::Metadata)
                .map(str::to_owned)
                .into_iter()
                .collect()
        };
        let rules = read_rules(parameters);
        check_limit(parameters, &rules, !topics.is_empty(), is_apache);
        // Given without a topic it is ignored, as in KEDA.
        let partitions = parameters
            .integers("partitionLimitation")
            .filter(|_| !topics.is_empty());
        // librdkafka agrees on versions with the broker, and keeps metadata of all topics.
        for accepted in ["version", "fullMetadata"] {
            parameters.accept(accepted);
        }
        Self {
            source: SourceKey::parse(parameters),
            metric: metric_name(&group, &topics),
            group,
            topics,
            partitions,
            rules,
            activation_threshold: number(parameters, "activationLagThreshold", 0, 0),
        }
    }
}

fn read_rules(parameters: &mut Parameters<'_>) -> LagRules {
    let resets = [
        ("latest", OffsetReset::Latest),
        ("earliest", OffsetReset::Earliest),
    ];
    LagRules {
        threshold: number(parameters, "lagThreshold", 1, 10),
        reset: parameters.choice(
            "offsetResetPolicy",
            Place::Metadata,
            &resets,
            OffsetReset::Latest,
        ),
        is_zero_on_invalid_offset: parameters.flag("scaleToZeroOnInvalidOffset"),
        is_idle_allowed: parameters.flag("allowIdleConsumers"),
        is_limited_to_lagging: parameters.flag("limitToPartitionsWithLag"),
        is_even: parameters.flag("ensureEvenDistributionOfPartitions"),
        is_persistent_excluded: parameters.flag("excludePersistentLag"),
    }
}

/// What `limitToPartitionsWithLag` needs and excludes.
fn check_limit(parameters: &mut Parameters<'_>, rules: &LagRules, has_topic: bool, apache: bool) {
    const NAME: &str = "limitToPartitionsWithLag";
    if !rules.is_limited_to_lagging {
        return;
    }
    if !has_topic {
        parameters.problem(NAME, format!("{NAME} needs topic"));
    }
    if rules.is_idle_allowed {
        parameters.problem(
            NAME,
            format!("{NAME} and allowIdleConsumers exclude each other"),
        );
    }
    if rules.is_even && !apache {
        parameters.problem(
            NAME,
            format!("{NAME} and ensureEvenDistributionOfPartitions exclude each other"),
        );
    }
}

fn number(parameters: &mut Parameters<'_>, name: &'static str, min: i64, default: i64) -> u64 {
    u64::try_from(parameters.integer(name, min, default))
        .expect("the minimum of every number here is not negative")
}

/// KEDA's name of the metric, with the characters that it replaces.
fn metric_name(group: &str, topics: &[String]) -> String {
    let name = if topics.is_empty() {
        format!("kafka-{group}-topics")
    } else {
        format!("kafka-{}", topics.join(","))
    };
    name.replace(['/', '.', ':', '%', '(', ')'], "-")
}

#[cfg(test)]
mod tests;
