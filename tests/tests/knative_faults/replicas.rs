//! Replicas of parts, and the processes in pods.

use std::time::Duration;

use serde_json::Value;
use zeron_tests::cluster::Namespace;
use zeron_tests::knative::{Knative, NAMESPACE, Part, Revision, Template};
use zeron_tests::wait;

pub(crate) use zeron_tests::process::of_pod as process;

/// Requests a second that ask for [`STEADY`] replicas of a [`steady`] revision.
pub(crate) const RATE: u32 = 100;
pub(crate) const STEADY: usize = 2;
/// Over how long the load of a [`steady`] revision is averaged.
pub(crate) const WINDOW: Duration = Duration::from_secs(20);

/// A part with two replicas. One is left when this is dropped.
pub(crate) struct Two<'k> {
    knative: &'k Knative,
    part: Part,
}

impl<'k> Two<'k> {
    pub(crate) fn of(knative: &'k Knative, part: Part) -> Self {
        let two = Self { knative, part };
        knative.scale(part, 2);
        knative.wait_rolled_out(part);
        two
    }
}

impl Drop for Two<'_> {
    fn drop(&mut self) {
        self.knative.scale(self.part, 1);
    }
}

/// Begins with the replicas that [`RATE`] asks for: one takes 80 requests a second, so that two are right from 81 to 160. An
/// autoscaler that begins looks at its short window, and what it heard in a stall counts as one second's.
pub(crate) fn steady<'n>(knative: &Knative, namespace: &'n Namespace, name: &str) -> Revision<'n> {
    let template = Template::new()
        .scaling("metric", "rps")
        .scaling("target", "80")
        .scaling("target-utilization-percentage", "100")
        .scaling("window", &format!("{}s", WINDOW.as_secs()))
        .scaling("panic-window-percentage", "50")
        .scaling("initial-scale", &STEADY.to_string());
    knative.revision(namespace, name, &template).ready()
}

/// A text of an object; empty if it has none there.
pub(crate) fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// How often containers of a part's pods were started again.
pub(crate) fn restarts(knative: &Knative, part: Part) -> u64 {
    let pods = knative.pods(part);
    let counts = pods.iter().filter_map(|pod| {
        let restarts = pod.pointer("/status/containerStatuses/0/restartCount");
        restarts?.as_u64()
    });
    counts.sum()
}

/// Deletes a pod of Knative's namespace and does not wait for its end.
pub(crate) fn delete(knative: &Knative, pod: &Value, more: &[&str]) {
    let name = text(pod, "/metadata/name");
    let mut arguments = vec![
        "delete",
        "pod",
        name,
        "--namespace",
        NAMESPACE,
        "--wait=false",
    ];
    arguments.extend(more);
    knative.cluster().kubectl(&arguments);
}

/// Waits until a revision's public Service leads to these addresses and no others.
pub(crate) fn wait_led_to(namespace: &Namespace, revision: &Revision<'_>, wanted: &[&str]) {
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    namespace.wait("v1/Endpoints", revision.name(), "to lead there", |object| {
        let addresses = object.pointer("/subsets/0/addresses")?.as_array()?;
        let mut found: Vec<_> = addresses.iter().map(|it| text(it, "/ip")).collect();
        found.sort_unstable();
        (found == wanted).then_some(())
    });
}

/// Addresses of a part's pods that are ready, once there are so many.
pub(crate) fn ready_pods(knative: &Knative, part: Part, count: usize) -> Vec<Value> {
    wait::within(2 * wait::PATIENCE, "pods of the part to be ready", || {
        let pods = knative.pods(part);
        let is_ready = |pod: &Value| {
            pod.pointer("/status/containerStatuses/0/ready") == Some(&Value::Bool(true))
        };
        (pods.len() == count && pods.iter().all(is_ready)).then_some(pods)
    })
}
