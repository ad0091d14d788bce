//! Which pods are watched, and how patiently.

use std::time::Duration;

use super::trouble::Patience;

/// Settings of the pod watch.
#[derive(Clone, Debug)]
pub struct PodsConfig {
    /// Only these namespaces, each by a watch of its own; empty: all, by one.
    pub namespaces: Vec<String>,
    /// Only pods with such labels, by a selector; `None`: all.
    pub labels: Option<String>,
    /// When transient troubles of a start become final.
    pub patience: Patience,
    /// First pause after a failed list or watch; doubles, with jitter.
    pub back_off: Duration,
    /// Longest such pause.
    pub max_back_off: Duration,
}

impl Default for PodsConfig {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            labels: None,
            patience: Patience::default(),
            back_off: Duration::from_millis(100),
            max_back_off: Duration::from_secs(5),
        }
    }
}
