//! Requests that wait at our own activators.

use std::time::Duration;

use super::parts::is_ready;
use super::requests::question;
use super::{Listener, Patience, Performer, Progress};
use crate::takeover::error::TakeoverError;
use crate::takeover::object::{Kind, Object};
use crate::takeover::read::Select;
use crate::takeover::step::Step;

/// The pods of our activators, by the labels that our manifests give them.
const ACTIVATORS: &str = "app.kubernetes.io/name=zeron,app.kubernetes.io/component=activator";
/// Where they are asked, unless their pods name another port.
const HEALTH: (&str, u64) = ("health", 8081);
/// Their count of requests that wait, of functions for which any does.
const METRIC: &str = "zeron_activator_waiting_requests{";
/// They must have had none for so long: one may be on its way from another.
const CALM: Duration = Duration::from_secs(1);

impl Performer {
    /// Waits until none does, at most for the timeout: a function that cannot start must not keep all
    /// others. An activator that does not say what it holds is not waited for.
    pub(super) async fn await_answered(
        &self,
        namespace: Option<&str>,
        step: &Step,
        listener: Listener<'_>,
    ) -> Result<(), TakeoverError> {
        let mut patience = Patience::new(self.options.timeout);
        let mut calm_since = None;
        loop {
            let now = tokio::time::Instant::now();
            let (waiting, silent) = self.waiting(namespace).await?;
            if waiting > 0 {
                calm_since = None;
            } else if now - *calm_since.get_or_insert(now) >= CALM {
                silent
                    .into_iter()
                    .for_each(|it| listener(Progress::Notes(it)));
                return Ok(());
            }
            let state = format!("{waiting} wait");
            match patience.wait(step, state, listener).await {
                Err(TakeoverError::TimedOut { state, .. }) => {
                    listener(Progress::Notes(format!("{state} still: they are refused")));
                    return Ok(());
                }
                waited => waited?,
            }
        }
    }

    /// How many wait at all activators, and those that do not say.
    async fn waiting(&self, namespace: Option<&str>) -> Result<(u64, Vec<String>), TakeoverError> {
        let select = Select::LabelledIn(&self.options.places.zeron, ACTIVATORS);
        let pods = self.cluster.list(Kind::Pod, select).await?;
        let (mut sum, mut silent) = (0, Vec::new());
        for pod in pods.iter().filter(|pod| is_ready(pod)) {
            match self.metrics_of(pod).await {
                Ok(text) => sum += count(&text, namespace),
                Err(error) => {
                    silent.push(format!(
                        "{} does not say what waits there: {error}",
                        pod.id()
                    ));
                }
            }
        }
        Ok((sum, silent))
    }

    async fn metrics_of(&self, pod: &Object) -> Result<String, kube::Error> {
        let request = question(pod, HEALTH, "metrics")?;
        self.cluster.0.request_text(request).await
    }
}

/// The sum over functions, of one namespace or of all, in a page of metrics.
fn count(text: &str, namespace: Option<&str>) -> u64 {
    let label = namespace.map(|name| format!("namespace=\"{name}\""));
    let counts = text.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix(METRIC)?.rsplit_once("} ")?;
        let is_meant = |label: &String| labels.split(',').any(|it| it == label);
        let is_meant = label.as_ref().is_none_or(is_meant);
        is_meant.then(|| value.trim().parse::<u64>().ok())?
    });
    counts.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# TYPE zeron_activator_waiting_requests gauge\n\
        zeron_activator_waiting_requests{namespace=\"shop\",kind=\"Deployment\",name=\"web\"} 2\n\
        zeron_activator_waiting_requests{namespace=\"bank\",kind=\"Deployment\",name=\"shop\"} 3\n\
        zeron_activator_queued_bytes 7\n";

    #[test]
    fn those_of_a_namespace_are_told_from_all() {
        assert_eq!(count(PAGE, None), 5);
        assert_eq!(count(PAGE, Some("shop")), 2);
        assert_eq!(count(PAGE, Some("nobody")), 0);
        assert_eq!(count("", None), 0);
    }
}
