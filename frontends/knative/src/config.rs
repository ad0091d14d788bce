//! The ConfigMap `config-autoscaler` of namespace `knative-serving`: settings of all revisions.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeron_manifest::{format_duration, parse_duration};

/// `config-autoscaler` after defaults. Field names follow its keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AutoscalerConfig {
    /// Share of its capacity that a replica should get; `container-concurrency-target-percentage`.
    pub target_utilization: f64,
    /// What a replica without a hard limit can take.
    pub concurrency_target_default: f64,
    /// Requests per second that a replica can take.
    pub rps_target_default: f64,
    /// -1, 0 or more.
    pub target_burst_capacity: f64,
    /// Window of the stable average.
    pub stable_window: Duration,
    /// 1 to 100.
    pub panic_window_percentage: f64,
    /// Percent.
    pub panic_threshold_percentage: f64,
    /// Above 1.
    pub max_scale_up_rate: f64,
    /// Above 1.
    pub max_scale_down_rate: f64,
    /// Whether the last replica may go.
    pub enable_scale_to_zero: bool,
    /// Above zero.
    pub scale_to_zero_grace_period: Duration,
    /// How long the last replica stays at least.
    pub pod_retention_period: Duration,
    /// At least 1.
    pub activator_capacity: f64,
    /// Replicas of a new revision.
    pub initial_scale: u32,
    /// Whether `initial-scale` may be 0.
    pub allow_zero_initial_scale: bool,
    /// Lower bound of revisions that declare none.
    pub min_scale: u32,
    /// Upper bound of revisions that declare none; 0: none.
    pub max_scale: u32,
    /// Largest `max-scale` that a revision may declare; 0: any.
    pub max_scale_limit: u32,
    /// How long a higher wish is held.
    pub scale_down_delay: Duration,
}

impl Default for AutoscalerConfig {
    fn default() -> Self {
        Self {
            target_utilization: 0.7,
            concurrency_target_default: 100.0,
            rps_target_default: 200.0,
            target_burst_capacity: 211.0,
            stable_window: Duration::from_secs(60),
            panic_window_percentage: 10.0,
            panic_threshold_percentage: 200.0,
            max_scale_up_rate: 1_000.0,
            max_scale_down_rate: 2.0,
            enable_scale_to_zero: true,
            scale_to_zero_grace_period: Duration::from_secs(30),
            pod_retention_period: Duration::ZERO,
            activator_capacity: 100.0,
            initial_scale: 1,
            allow_zero_initial_scale: false,
            min_scale: 0,
            max_scale: 0,
            max_scale_limit: 0,
            scale_down_delay: Duration::ZERO,
        }
    }
}

/// What is wrong with one key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigProblem {
    /// The key.
    pub key: String,
    /// The value and what is allowed.
    pub message: String,
    /// The key has no effect here; the rest holds.
    pub is_without_effect: bool,
}

/// Longest and shortest windows.
pub(crate) const WINDOW_MIN: Duration = Duration::from_secs(6);
pub(crate) const WINDOW_MAX: Duration = Duration::from_secs(3_600);
/// Smallest target.
pub(crate) const TARGET_MIN: f64 = 0.01;
pub(crate) const KPA_CLASS: &str = "kpa.autoscaling.knative.dev";

const KNOWN: [&str; 20] = [
    "activator-capacity",
    "allow-zero-initial-scale",
    "container-concurrency-target-default",
    "container-concurrency-target-percentage",
    "enable-scale-to-zero",
    "initial-scale",
    "max-scale",
    "max-scale-down-rate",
    "max-scale-limit",
    "max-scale-up-rate",
    "min-scale",
    "panic-threshold-percentage",
    "panic-window-percentage",
    "pod-autoscaler-class",
    "requests-per-second-target-default",
    "scale-down-delay",
    "scale-to-zero-grace-period",
    "scale-to-zero-pod-retention-period",
    "stable-window",
    "target-burst-capacity",
];

impl AutoscalerConfig {
    /// Reads the ConfigMap's data over the defaults, with all that is wrong with it.
    pub fn parse(data: &BTreeMap<String, String>) -> (Self, Vec<ConfigProblem>) {
        let mut values = Values {
            data,
            problems: Vec::new(),
        };
        let mut config = Self::default();
        values.targets(&mut config);
        values.windows(&mut config);
        values.zero(&mut config);
        values.bounds(&mut config);
        values.foreign_keys();
        (config, values.problems)
    }
}

/// Reads values and collects what is wrong with them.
struct Values<'d> {
    data: &'d BTreeMap<String, String>,
    problems: Vec<ConfigProblem>,
}

impl Values<'_> {
    fn targets(&mut self, config: &mut AutoscalerConfig) {
        let above_one = |x: f64| x > 1.0;
        let mut percentage = config.target_utilization * 100.0;
        let key = "container-concurrency-target-percentage";
        self.float(
            key,
            &mut percentage,
            |x| x > 0.0 && x <= 100.0,
            "must be above 0 and at most 100",
        );
        if self.data.contains_key(key) {
            // At most 1 is a fraction already.
            config.target_utilization = if percentage > 1.0 {
                percentage / 100.0
            } else {
                percentage
            };
        }
        let at_least_min = |x: f64| x >= TARGET_MIN;
        let message = "must be at least 0.01";
        self.float(
            "container-concurrency-target-default",
            &mut config.concurrency_target_default,
            at_least_min,
            message,
        );
        self.float(
            "requests-per-second-target-default",
            &mut config.rps_target_default,
            at_least_min,
            message,
        );
        let burst = |x: f64| x == -1.0 || x >= 0.0;
        self.float(
            "target-burst-capacity",
            &mut config.target_burst_capacity,
            burst,
            "must be -1, 0 or more",
        );
        self.float(
            "max-scale-up-rate",
            &mut config.max_scale_up_rate,
            above_one,
            "must be above 1",
        );
        self.float(
            "max-scale-down-rate",
            &mut config.max_scale_down_rate,
            above_one,
            "must be above 1",
        );
        self.float(
            "activator-capacity",
            &mut config.activator_capacity,
            |x| x >= 1.0,
            "must be at least 1",
        );
    }

    fn windows(&mut self, config: &mut AutoscalerConfig) {
        let is_window =
            |d: Duration| (WINDOW_MIN..=WINDOW_MAX).contains(&d) && d.subsec_nanos() == 0;
        self.duration(
            "stable-window",
            &mut config.stable_window,
            is_window,
            "must be whole seconds from 6s to 1h",
        );
        let percent = |x: f64| (1.0..=100.0).contains(&x);
        self.float(
            "panic-window-percentage",
            &mut config.panic_window_percentage,
            percent,
            "must be from 1 to 100",
        );
        let threshold = |x: f64| x > 0.0;
        self.float(
            "panic-threshold-percentage",
            &mut config.panic_threshold_percentage,
            threshold,
            "must be above 0",
        );
        let is_delay = |d: Duration| d <= WINDOW_MAX && d.subsec_nanos() == 0;
        self.duration(
            "scale-down-delay",
            &mut config.scale_down_delay,
            is_delay,
            "must be whole seconds from 0s to 1h",
        );
    }

    fn zero(&mut self, config: &mut AutoscalerConfig) {
        self.boolean("enable-scale-to-zero", &mut config.enable_scale_to_zero);
        let grace = &mut config.scale_to_zero_grace_period;
        self.duration(
            "scale-to-zero-grace-period",
            grace,
            |d| !d.is_zero(),
            "must be above 0s",
        );
        let retention = &mut config.pod_retention_period;
        self.duration(
            "scale-to-zero-pod-retention-period",
            retention,
            |_| true,
            "must be 0s or more",
        );
    }

    fn bounds(&mut self, config: &mut AutoscalerConfig) {
        self.boolean(
            "allow-zero-initial-scale",
            &mut config.allow_zero_initial_scale,
        );
        self.count("initial-scale", &mut config.initial_scale);
        self.count("min-scale", &mut config.min_scale);
        self.count("max-scale", &mut config.max_scale);
        self.count("max-scale-limit", &mut config.max_scale_limit);
        if config.initial_scale == 0 && !config.allow_zero_initial_scale {
            self.refuse(
                "initial-scale",
                "0: must be at least 1 unless allow-zero-initial-scale is true".to_owned(),
            );
        }
        let (min, max, limit) = (config.min_scale, config.max_scale, config.max_scale_limit);
        if max > 0 && min > max {
            self.refuse(
                "min-scale",
                format!("{min}: must not be above max-scale ({max})"),
            );
        }
        if limit > 0 && !(1..=limit).contains(&max) {
            self.refuse(
                "max-scale",
                format!("{max}: must be from 1 to max-scale-limit ({limit})"),
            );
        }
    }

    fn foreign_keys(&mut self) {
        if let Some(class) = self
            .data
            .get("pod-autoscaler-class")
            .filter(|c| *c != KPA_CLASS)
        {
            self.note(
                "pod-autoscaler-class",
                format!("{class:?} is not supported here: {KPA_CLASS} is used"),
            );
        }
        for key in self.data.keys() {
            if !KNOWN.contains(&key.as_str()) && key != "_example" {
                self.note(key, "unknown key".to_owned());
            }
        }
    }

    fn refuse(&mut self, key: &str, message: String) {
        self.problems.push(ConfigProblem {
            key: key.to_owned(),
            message,
            is_without_effect: false,
        });
    }

    fn note(&mut self, key: &str, message: String) {
        self.problems.push(ConfigProblem {
            key: key.to_owned(),
            message,
            is_without_effect: true,
        });
    }

    fn float(
        &mut self,
        key: &str,
        target: &mut f64,
        is_allowed: impl Fn(f64) -> bool,
        allowed: &str,
    ) {
        let Some(text) = self.data.get(key) else {
            return;
        };
        match text.trim().parse::<f64>() {
            Ok(value) if value.is_finite() && is_allowed(value) => *target = value,
            _ => self.refuse(key, format!("{text:?}: {allowed}")),
        }
    }

    fn count(&mut self, key: &str, target: &mut u32) {
        let Some(text) = self.data.get(key) else {
            return;
        };
        match text
            .trim()
            .parse::<i32>()
            .ok()
            .and_then(|n| u32::try_from(n).ok())
        {
            Some(value) => *target = value,
            None => self.refuse(key, format!("{text:?}: must be an integer of at least 0")),
        }
    }

    fn boolean(&mut self, key: &str, target: &mut bool) {
        let Some(text) = self.data.get(key) else {
            return;
        };
        match text.trim() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => *target = true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => *target = false,
            _ => self.refuse(key, format!("{text:?}: must be true or false")),
        }
    }

    fn duration(
        &mut self,
        key: &str,
        target: &mut Duration,
        is_allowed: impl Fn(Duration) -> bool,
        allowed: &str,
    ) {
        let Some(text) = self.data.get(key) else {
            return;
        };
        match parse_duration(text.trim()) {
            Ok(value) if is_allowed(value) => *target = value,
            Ok(value) => self.refuse(key, format!("{}: {allowed}", format_duration(value))),
            Err(error) => self.refuse(key, format!("{text:?}: {error}")),
        }
    }
}
