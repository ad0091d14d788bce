//! A Kafka trigger as its parameters declare it.

use std::collections::BTreeSet;

use zeron_core::policy::TriggerSpec;
use zeron_core::roles::TriggerProblem;

use super::lag::{LagRules, OffsetReset};
use super::security::SourceKey;
use super::table;
use crate::parameters::{Parameter, Parameters};

/// Longest text of the protocol.
const MAX_GROUP: usize = 32_767;

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
        let group = parameters.required(&table::CONSUMER_GROUP).to_owned();
        if group.len() > MAX_GROUP {
            let message = format!("longer than {MAX_GROUP} bytes, which no broker takes");
            parameters.problem(&table::CONSUMER_GROUP, message);
        }
        let topics = if is_apache {
            parameters.list(&table::TOPICS)
        } else {
            let topic = parameters.text(&table::TOPIC);
            topic.map(str::to_owned).into_iter().collect()
        };
        let rules = read_rules(parameters);
        check_limit(parameters, &rules, !topics.is_empty(), is_apache);
        // Given without a topic it is ignored, as in KEDA.
        let partitions = parameters
            .integers(&table::PARTITION_LIMITATION)
            .filter(|_| !topics.is_empty());
        // Versions are agreed with the broker, and metadata is read of the topics that are wanted.
        parameters.accept(&table::VERSION);
        parameters.accept(&table::FULL_METADATA);
        Self {
            source: SourceKey::parse(parameters),
            metric: metric_name(&group, &topics),
            group,
            topics,
            partitions,
            rules,
            activation_threshold: parameters.count(&table::ACTIVATION_LAG_THRESHOLD),
        }
    }
}

fn read_rules(parameters: &mut Parameters<'_>) -> LagRules {
    LagRules {
        threshold: parameters.count(&table::LAG_THRESHOLD),
        reset: match parameters.choice(&table::OFFSET_RESET_POLICY) {
            Some("earliest") => OffsetReset::Earliest,
            _ => OffsetReset::Latest,
        },
        is_zero_on_invalid_offset: parameters.flag(&table::SCALE_TO_ZERO_ON_INVALID_OFFSET),
        is_idle_allowed: parameters.flag(&table::ALLOW_IDLE_CONSUMERS),
        is_limited_to_lagging: parameters.flag(&table::LIMIT_TO_PARTITIONS_WITH_LAG),
        is_even: parameters.flag(&table::ENSURE_EVEN_DISTRIBUTION),
        is_persistent_excluded: parameters.flag(&table::EXCLUDE_PERSISTENT_LAG),
    }
}

/// What `limitToPartitionsWithLag` needs and excludes.
fn check_limit(parameters: &mut Parameters<'_>, rules: &LagRules, has_topic: bool, apache: bool) {
    const LIMIT: Parameter = table::LIMIT_TO_PARTITIONS_WITH_LAG;
    let name = LIMIT.name;
    if !rules.is_limited_to_lagging {
        return;
    }
    if !has_topic {
        parameters.problem(&LIMIT, format!("{name} needs topic"));
    }
    if rules.is_idle_allowed {
        parameters.problem(
            &LIMIT,
            format!("{name} and allowIdleConsumers exclude each other"),
        );
    }
    if rules.is_even && !apache {
        parameters.problem(
            &LIMIT,
            format!("{name} and ensureEvenDistributionOfPartitions exclude each other"),
        );
    }
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
pub(crate) mod tests;
