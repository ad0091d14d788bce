//! What an autoscaler's metrics say of a revision.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::{Knative, Part, Revision};
use crate::Raw;

/// Where Knative's parts serve their metrics.
const METRICS: u16 = 9090;

/// A revision by its autoscaler's newest decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Pods that it wants.
    pub desired: f64,
    /// Requests at once, averaged over the stable window.
    pub stable: f64,
    /// The same over the panic window.
    pub panic: f64,
    /// Whether it is in panic mode.
    pub is_panicking: bool,
}

impl Knative {
    /// What is said of these revisions at one moment; `None` while something is missing.
    pub fn figures<const N: usize>(&self, revisions: [&Revision<'_>; N]) -> Option<[Figures; N]> {
        let pods = self.pods(Part::Autoscaler);
        let text: String = pods.iter().filter_map(metrics).collect();
        let read = |revision: &Revision<'_>| {
            Figures::read(&text, revision.namespace().name(), revision.name())
        };
        let found: Option<Vec<_>> = revisions.into_iter().map(read).collect();
        found?.try_into().ok()
    }
}

impl Figures {
    fn read(metrics: &str, namespace: &str, revision: &str) -> Option<Self> {
        let labels = [
            format!("namespace_name=\"{namespace}\""),
            format!("revision_name=\"{revision}\""),
        ];
        let figure = |name: &str| -> Option<f64> {
            let is_it = |line: &&str| {
                line.starts_with(name) && labels.iter().all(|label| line.contains(label))
            };
            let line = metrics.lines().find(is_it)?;
            line.rsplit(' ').next()?.parse().ok()
        };
        Some(Self {
            desired: figure("autoscaler_desired_pods{")?,
            stable: figure("autoscaler_stable_request_concurrency{")?,
            panic: figure("autoscaler_panic_request_concurrency{")?,
            is_panicking: figure("autoscaler_panic_mode{")? > 0.0,
        })
    }
}

/// One that is not up yet says nothing.
fn metrics(pod: &Value) -> Option<String> {
    let ip: IpAddr = pod["status"]["podIP"].as_str()?.parse().ok()?;
    let mut connection = Raw::try_connect(SocketAddr::new(ip, METRICS)).ok()?;
    let answer = connection.get("autoscaler", "/metrics").try_response();
    Some(answer.ok()?.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_revision() {
        let of = |namespace: &str, name: &str, [desired, stable, panic, mode]: [&str; 4]| {
            let labels = format!("{{namespace_name=\"{namespace}\",revision_name=\"{name}\"}}");
            format!(
                "autoscaler_desired_pods{labels} {desired}\n\
                 autoscaler_stable_request_concurrency{labels} {stable}\n\
                 autoscaler_panic_request_concurrency{labels} {panic}\n\
                 autoscaler_panic_mode{labels} {mode}\n"
            )
        };
        let nines = ["9", "9", "9", "0"];
        let rev = of("ns", "rev", ["2", "1.5", "30", "1"]);
        let metrics = of("ns", "other", nines) + &of("other", "rev", nines) + &rev;
        let figures = Figures::read(&metrics, "ns", "rev").unwrap();
        assert_eq!(figures.desired, 2.0);
        assert_eq!((figures.stable, figures.panic), (1.5, 30.0));
        assert!(figures.is_panicking);
        assert_eq!(Figures::read(&metrics, "ns", "re"), None);
        let missing = metrics.replace("autoscaler_panic_mode", "other");
        assert_eq!(Figures::read(&missing, "ns", "rev"), None);
    }
}
