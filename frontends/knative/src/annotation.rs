//! `autoscaling.knative.dev/*` annotations of a revision: ranges, spellings, translation.

use std::collections::BTreeMap;
use std::time::Duration;

use zeron_core::path::RequestPath;
use zeron_core::policy::{Aggregation, KnativeMetric, KnativeScaling};
use zeron_manifest::parse_duration;

use crate::config::{AutoscalerConfig, KPA_CLASS, TARGET_MIN, WINDOW_MAX, WINDOW_MIN};

/// All keys of the group begin so.
pub(crate) const PREFIX: &str = "autoscaling.knative.dev/";
/// How long the initial scale may take.
pub(crate) const PROGRESS_DEADLINE: &str = "serving.knative.dev/progress-deadline";

/// Dashed spelling, which wins, and camelCase twin.
type Key = (&'static str, &'static str);

const CLASS: Key = ("class", "class");
const METRIC: Key = ("metric", "metric");
const TARGET: Key = ("target", "target");
const UTILIZATION: Key = (
    "target-utilization-percentage",
    "targetUtilizationPercentage",
);
const BURST: Key = ("target-burst-capacity", "targetBurstCapacity");
const MIN: Key = ("min-scale", "minScale");
const MAX: Key = ("max-scale", "maxScale");
const INITIAL: Key = ("initial-scale", "initialScale");
const ACTIVATION: Key = ("activation-scale", "activation-scale");
const DELAY: Key = ("scale-down-delay", "scaleDownDelay");
const WINDOW: Key = ("window", "window");
const PANIC_WINDOW: Key = ("panic-window-percentage", "panicWindowPercentage");
const PANIC_THRESHOLD: Key = ("panic-threshold-percentage", "panicThresholdPercentage");
const RETENTION: Key = (
    "scale-to-zero-pod-retention-period",
    "scaleToZeroPodRetentionPeriod",
);
const AGGREGATION: Key = ("metric-aggregation-algorithm", "metricAggregationAlgorithm");

const KEYS: [Key; 15] = [
    CLASS,
    METRIC,
    TARGET,
    UTILIZATION,
    BURST,
    MIN,
    MAX,
    INITIAL,
    ACTIVATION,
    DELAY,
    WINDOW,
    PANIC_WINDOW,
    PANIC_THRESHOLD,
    RETENTION,
    AGGREGATION,
];

/// What is wrong with one annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnnotationProblem {
    /// The full key.
    pub(crate) key: String,
    /// The value and what is allowed.
    pub(crate) message: String,
    /// How bad it is.
    pub(crate) fault: Fault,
}

/// How bad an annotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its value is not allowed.
    Refused,
    /// Knative knows it; it has no effect here.
    WithoutEffect,
    /// Nobody knows it; Knative lets it pass.
    Unknown,
}

/// The annotations of one revision as far as they parse.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ScaleAnnotations {
    metric: Option<KnativeMetric>,
    target: Option<f64>,
    utilization: Option<f64>,
    burst: Option<f64>,
    pub(crate) min: Option<u32>,
    pub(crate) max: Option<u32>,
    initial: Option<u32>,
    activation: Option<u32>,
    delay: Option<Duration>,
    window: Option<Duration>,
    panic_window: Option<f64>,
    panic_threshold: Option<f64>,
    retention: Option<Duration>,
    aggregation: Option<Aggregation>,
    progress_deadline: Option<Duration>,
}

impl ScaleAnnotations {
    /// Reads annotations, with all that is wrong with them. What does not parse counts as absent.
    pub(crate) fn read(annotations: &BTreeMap<String, String>) -> (Self, Vec<AnnotationProblem>) {
        let mut source = Source {
            annotations,
            problems: Vec::new(),
        };
        let is_kpa = source.class();
        let found = Self {
            metric: source.metric(is_kpa),
            target: source.float(TARGET, |x| x >= TARGET_MIN, "must be at least 0.01"),
            utilization: source.float(
                UTILIZATION,
                |x| (1.0..=100.0).contains(&x),
                "must be from 1 to 100",
            ),
            burst: source.float(BURST, |x| x == -1.0 || x >= 0.0, "must be -1, 0 or more"),
            min: source.count(MIN, 0),
            max: source.count(MAX, 0),
            initial: source.count(INITIAL, 0),
            activation: source.count(ACTIVATION, 2),
            delay: source.seconds(DELAY, Duration::ZERO),
            window: source.seconds(WINDOW, WINDOW_MIN),
            panic_window: source.float(
                PANIC_WINDOW,
                |x| (1.0..=100.0).contains(&x),
                "must be from 1 to 100",
            ),
            panic_threshold: source.float(
                PANIC_THRESHOLD,
                |x| (110.0..=1_000.0).contains(&x),
                "must be from 110 to 1000",
            ),
            retention: source.retention(),
            aggregation: source.aggregation(),
            progress_deadline: source.progress_deadline(),
        };
        source.unknown_keys();
        (found, source.problems)
    }

    /// What is wrong with them together, and with the configuration.
    pub(crate) fn check(&self, config: &AutoscalerConfig) -> Vec<AnnotationProblem> {
        let mut problems = Vec::new();
        let mut refuse = |key: Key, message: String| {
            problems.push(AnnotationProblem {
                key: full(key.0),
                message,
                fault: Fault::Refused,
            });
        };
        let (min, max) = (
            self.min.unwrap_or(config.min_scale),
            self.max.unwrap_or(config.max_scale),
        );
        if self.max.or(self.min).is_some() && max > 0 && min > max {
            refuse(MIN, format!("{min}: must not be above max-scale ({max})"));
        }
        let limit = config.max_scale_limit;
        if let Some(max) = self
            .max
            .filter(|max| limit > 0 && !(1..=limit).contains(max))
        {
            refuse(
                MAX,
                format!("{max}: must be from 1 to max-scale-limit of config-autoscaler ({limit})"),
            );
        }
        if self.initial == Some(0) && !config.allow_zero_initial_scale {
            refuse(INITIAL, "0: must be at least 1 unless allow-zero-initial-scale of config-autoscaler is true".to_owned());
        }
        if let Some(scale) = self
            .activation
            .filter(|a| *a < min || (max > 0 && *a > max))
        {
            refuse(
                ACTIVATION,
                format!("{scale}: must lie between min-scale ({min}) and max-scale ({max})"),
            );
        }
        problems
    }

    /// Joined with the configuration. `limit` is `containerConcurrency`; 0: none.
    pub(crate) fn scaling(&self, limit: u32, config: &AutoscalerConfig) -> KnativeScaling {
        let metric = self.metric.unwrap_or(KnativeMetric::Concurrency);
        let (total, default_utilization) = match metric {
            KnativeMetric::Concurrency => (
                self.concurrency_total(limit, config),
                config.target_utilization,
            ),
            // RPS has a utilization of its own, which no key changes.
            KnativeMetric::Rps => (self.target.unwrap_or(config.rps_target_default), 0.7),
        };
        let utilization = self
            .utilization
            .map_or(default_utilization, |percent| percent / 100.0);
        let stable_window = self.window.unwrap_or(config.stable_window);
        let panic_percentage = self.panic_window.unwrap_or(config.panic_window_percentage);
        let may_start_at = |scale: &u32| *scale > 0 || config.allow_zero_initial_scale;
        KnativeScaling {
            metric,
            total,
            target: (total * utilization).max(TARGET_MIN),
            target_burst_capacity: self.burst.unwrap_or(config.target_burst_capacity),
            activator_capacity: config.activator_capacity,
            panic_threshold: self
                .panic_threshold
                .unwrap_or(config.panic_threshold_percentage)
                / 100.0,
            stable_window,
            panic_window: panic_window(stable_window, panic_percentage),
            aggregation: self.aggregation.unwrap_or(Aggregation::Linear),
            scale_down_delay: self.delay.unwrap_or(config.scale_down_delay),
            max_scale_up_rate: config.max_scale_up_rate,
            max_scale_down_rate: config.max_scale_down_rate,
            initial_scale: self
                .initial
                .filter(may_start_at)
                .unwrap_or(config.initial_scale),
            activation_scale: self.activation.unwrap_or(0),
            is_scale_to_zero_enabled: config.enable_scale_to_zero,
            scale_to_zero_grace: config.scale_to_zero_grace_period,
            retention: self.retention.unwrap_or(config.pod_retention_period),
            progress_deadline: self.progress_deadline(),
            path: RequestPath::Activator,
        }
    }

    /// How long the initial scale may take.
    pub(crate) fn progress_deadline(&self) -> Duration {
        self.progress_deadline.unwrap_or(Duration::from_secs(600))
    }

    /// The same, unless it is left to the cluster's configuration.
    pub(crate) fn declared_progress_deadline(&self) -> Option<Duration> {
        self.progress_deadline
    }

    /// A declared target cannot exceed the hard limit.
    fn concurrency_total(&self, limit: u32, config: &AutoscalerConfig) -> f64 {
        match (limit, self.target) {
            (0, target) => target.unwrap_or(config.concurrency_target_default),
            (limit, Some(target)) => target.min(f64::from(limit)),
            (limit, None) => f64::from(limit),
        }
    }
}

/// A share of the stable window, rounded to whole seconds, at least one.
fn panic_window(stable: Duration, percentage: f64) -> Duration {
    let seconds = (stable.as_secs_f64() * percentage / 100.0).round();
    Duration::from_secs_f64(seconds.max(1.0))
}

fn full(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// Reads values and collects what is wrong with them.
struct Source<'a> {
    annotations: &'a BTreeMap<String, String>,
    problems: Vec<AnnotationProblem>,
}

impl<'a> Source<'a> {
    /// The value under the dashed spelling, else under its twin.
    fn get(&self, key: Key) -> Option<(String, &'a str)> {
        let found = |name: &str| {
            let name = full(name);
            self.annotations
                .get(&name)
                .map(|value| (name, value.as_str()))
        };
        found(key.0).or_else(|| found(key.1))
    }

    fn report(&mut self, key: String, message: String, fault: Fault) {
        self.problems.push(AnnotationProblem {
            key,
            message,
            fault,
        });
    }

    fn parsed<T>(
        &mut self,
        key: Key,
        parse: impl Fn(&str) -> Option<T>,
        allowed: &str,
    ) -> Option<T> {
        let (name, text) = self.get(key)?;
        let value = parse(text);
        if value.is_none() {
            self.report(name, format!("{text:?}: {allowed}"), Fault::Refused);
        }
        value
    }

    fn float(&mut self, key: Key, is_allowed: impl Fn(f64) -> bool, allowed: &str) -> Option<f64> {
        let parse = |text: &str| {
            text.parse()
                .ok()
                .filter(|x: &f64| x.is_finite() && is_allowed(*x))
        };
        self.parsed(key, parse, allowed)
    }

    fn count(&mut self, key: Key, least: u32) -> Option<u32> {
        let parse = |text: &str| {
            u32::try_from(text.parse::<i32>().ok()?)
                .ok()
                .filter(|n| *n >= least)
        };
        self.parsed(
            key,
            parse,
            &format!("must be an integer of at least {least}"),
        )
    }

    fn seconds(&mut self, key: Key, least: Duration) -> Option<Duration> {
        let is_allowed = |d: &Duration| (least..=WINDOW_MAX).contains(d) && d.subsec_nanos() == 0;
        let parse = |text: &str| parse_duration(text).ok().filter(is_allowed);
        self.parsed(
            key,
            parse,
            &format!("must be whole seconds from {}s to 1h", least.as_secs()),
        )
    }

    fn retention(&mut self) -> Option<Duration> {
        let parse = |text: &str| parse_duration(text).ok().filter(|d| *d <= WINDOW_MAX);
        self.parsed(RETENTION, parse, "must be a duration from 0s to 1h")
    }

    fn progress_deadline(&mut self) -> Option<Duration> {
        let text = self.annotations.get(PROGRESS_DEADLINE)?;
        let is_allowed = |d: &Duration| !d.is_zero() && d.subsec_nanos() == 0;
        let found = parse_duration(text).ok().filter(is_allowed);
        if found.is_none() {
            self.report(
                PROGRESS_DEADLINE.to_owned(),
                format!("{text:?}: must be whole seconds above 0s"),
                Fault::Refused,
            );
        }
        found
    }

    /// Whether the class is KPA, which it is treated as in any case.
    fn class(&mut self) -> bool {
        match self.get(CLASS) {
            Some((key, class)) if class != KPA_CLASS => {
                let message = format!("{class:?} is not supported here: {KPA_CLASS} is used");
                self.report(key, message, Fault::WithoutEffect);
                false
            }
            _ => true,
        }
    }

    fn metric(&mut self, is_kpa: bool) -> Option<KnativeMetric> {
        let (key, metric) = self.get(METRIC)?;
        match metric {
            "concurrency" => return Some(KnativeMetric::Concurrency),
            "rps" => return Some(KnativeMetric::Rps),
            _ if is_kpa => {
                self.report(
                    key,
                    format!("{metric:?}: must be concurrency or rps"),
                    Fault::Refused,
                );
            }
            _ => {
                let message = format!("{metric:?} is not supported here: concurrency is used");
                self.report(key, message, Fault::WithoutEffect);
            }
        }
        None
    }

    fn aggregation(&mut self) -> Option<Aggregation> {
        let parse = |text: &str| match text {
            "linear" => Some(Aggregation::Linear),
            "weighted-exponential" | "weightedExponential" => {
                Some(Aggregation::WeightedExponential)
            }
            _ => None,
        };
        self.parsed(AGGREGATION, parse, "must be linear or weighted-exponential")
    }

    fn unknown_keys(&mut self) {
        let is_known = |name: &str| KEYS.iter().any(|key| key.0 == name || key.1 == name);
        let names = self
            .annotations
            .keys()
            .filter_map(|key| key.strip_prefix(PREFIX));
        let unknown: Vec<String> = names.filter(|name| !is_known(name)).map(full).collect();
        for key in unknown {
            self.report(key, "unknown annotation".to_owned(), Fault::Unknown);
        }
    }
}
