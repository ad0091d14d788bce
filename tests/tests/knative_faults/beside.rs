//! Two of ours and two of Knative's own of each part, at once.

use serde_json::{Value, json};
use zeron_tests::knative::{Knative, NAMESPACE, Part, Side, Template};
use zeron_tests::wait::last;

use super::replicas::{RATE, STEADY, Two, WINDOW, ready_pods, steady};

/// Two more replicas of a part, as it is now, behind the same Services. They go when this is dropped.
struct Beside<'k> {
    knative: &'k Knative,
    name: String,
}

impl<'k> Beside<'k> {
    fn of(knative: &'k Knative, part: Part) -> Self {
        let cluster = knative.cluster();
        let output = ["--namespace", NAMESPACE, "--output", "json"];
        let get = ["get", "deployment", part.name()];
        let found = cluster.kubectl(&[&get[..], &output[..]].concat());
        let found: Value = serde_json::from_str(&found).unwrap();
        let name = format!("{}-beside", part.name());
        let mut spec = found["spec"].clone();
        spec["replicas"] = json!(2);
        spec["selector"]["matchLabels"]["beside"] = json!("true");
        spec["template"]["metadata"]["labels"]["beside"] = json!("true");
        let beside = Self { knative, name };
        cluster.apply(
            &json!({
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": { "name": beside.name, "namespace": NAMESPACE },
                "spec": spec,
            })
            .to_string(),
        );
        beside
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "deployment", &self.name, "--namespace", NAMESPACE];
        let deleted = self.knative.cluster().try_kubectl(&delete);
        if let Err(complaint) = deleted {
            eprintln!("{}: {complaint}", self.name);
        }
    }
}

#[test]
fn two_of_each_at_once_serve_from_zero_and_lose_nothing_under_load() {
    const TEST: &str = "two_of_each_at_once_serve_from_zero_and_lose_nothing_under_load";
    let Some(knative) = Knative::alone(TEST, Side::Knatives) else {
        return;
    };
    let _theirs = Part::ALL.map(|part| Beside::of(&knative, part));
    for part in Part::ALL {
        knative.swap(part, Side::Ours);
    }
    let _ours = Part::ALL.map(|part| Two::of(&knative, part));
    for part in Part::ALL {
        ready_pods(&knative, part, 4);
    }
    let namespace = knative.cluster().namespace("kn-f-beside");
    let warm = steady(&knative, &namespace, "warm");
    let load = warm.load(RATE);
    warm.wait_pods(STEADY);
    // A window without load is over.
    last(WINDOW);
    let history = warm.history();
    let at_zero = Template::new().scaling("initial-scale", "0");
    for number in 0..4 {
        let name = format!("cold{number}");
        let cold = knative.revision(&namespace, &name, &at_zero).ready();
        let answer = cold.request().send("/").unwrap();
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }
    let counts = history.end();
    let outcome = load.end();
    println!("replicas {counts:?}");
    outcome.assert_all_answered("two of each");
    assert_eq!(counts, [STEADY as u64]);
}
