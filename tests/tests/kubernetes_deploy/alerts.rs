//! Alert rules ask for what the processes say of themselves.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use zeron_tests::cluster::{Cluster, Installation, Roles};
use zeron_tests::until;

use super::chart::objects;

/// What is ours, in front of every name.
const OURS: &str = "zeron_";
/// Labels whose values are all said from the start, so that those that rules ask for can be looked up.
const COMPLETE: [&str; 3] = ["cause", "outcome", "phase"];

/// Name and expression of every alert.
fn alerts() -> Vec<(String, String)> {
    let monitored = json!({ "monitoring": { "enabled": true } });
    let objects = objects(&monitored, "zeron-system");
    let rules = objects
        .iter()
        .filter(|it| it["kind"] == "PrometheusRule")
        .flat_map(|it| it["spec"]["groups"].as_array().unwrap())
        .flat_map(|group| group["rules"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().trim().to_owned();
    rules
        .map(|rule| (text(&rule["alert"]), text(&rule["expr"])))
        .collect()
}

/// Names of our metrics in an expression, each with what stands in its braces.
fn asked(expression: &str) -> Vec<(String, String)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = expression.match_indices(OURS).map(|(at, _)| at);
    let whole = starts.filter(|at| !expression[..*at].ends_with(is_name));
    let name = |at: usize| {
        let rest = &expression[at..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let braces = rest[end..].strip_prefix('{').unwrap_or_default();
        let within = braces.split('}').next().unwrap_or_default();
        (rest[..end].to_owned(), within.to_owned())
    };
    whole.map(name).collect()
}

/// Names of samples that an exposition may have, by its types.
fn exposed(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names = types.filter_map(|line| {
        let (name, kind) = line.split_once(' ')?;
        let endings: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        Some(endings.iter().map(move |ending| format!("{name}{ending}")))
    });
    names.flatten().collect()
}

/// Values that matchers of a label want, those of alternatives each.
fn values<'e>(braces: &'e str, label: &str) -> Vec<&'e str> {
    let matchers = braces.split(',');
    let of_label = matchers.filter_map(|it| it.trim().strip_prefix(label));
    let quoted = of_label.filter_map(|it| it.split('"').nth(1));
    quoted.flat_map(|it| it.split('|')).collect()
}

fn expositions(roles: &Installation) -> String {
    let all = roles.activators.iter().chain(&roles.autoscalers);
    let all = all.chain(&roles.controllers);
    all.map(|role| role.ask("/metrics").unwrap().text())
        .collect()
}

#[test]
fn every_metric_of_the_alert_rules_is_one_that_the_processes_have() {
    let Some(cluster) = Cluster::get("kubernetes_deploy::every_metric_of_the_alert_rules") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("deploy-alerts");
    let roles = Roles::of(&namespace)
        .autoscaler_args(&["--shards", "3"])
        .start();
    let text = expositions(&roles);
    let exposed = exposed(&text);
    let alerts = alerts();
    assert!(alerts.len() >= 12, "{alerts:#?}");
    for (alert, expression) in alerts {
        for (name, braces) in asked(&expression) {
            assert!(exposed.contains(&name), "{alert}: nobody has {name}");
            let samples: Vec<_> = text.lines().filter(|it| it.starts_with(&name)).collect();
            for label in COMPLETE {
                for value in values(&braces, label) {
                    let sample = format!("{label}=\"{value}\"");
                    let is_said = samples.iter().any(|it| it.contains(&sample));
                    assert!(is_said, "{alert}: no {name} with {sample}");
                }
            }
        }
    }
    until("all shards to be held, and said to be", || {
        let text = expositions(&roles);
        let has = |line: &str| text.lines().any(|it| it == line);
        (has("zeron_autoscaler_shards 3") && has("zeron_autoscaler_shards_held 3")).then_some(())
    });
}

#[test]
fn names_and_labels_are_found_in_an_expression() {
    let rate = r#"sum(rate(zeron_a_total{cause=~"x|y", phase="z"}[5m])) / my_zeron_b > zeron_c"#;
    let names: Vec<_> = asked(rate).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["zeron_a_total", "zeron_c"]);
    let braces = &asked(rate)[0].1;
    assert_eq!(values(braces, "cause"), ["x", "y"]);
    assert_eq!(values(braces, "phase"), ["z"]);
    let text = "# HELP a b\n# TYPE a counter\n# TYPE b gauge\n# TYPE c histogram\n";
    let names = exposed(text);
    assert!(
        ["a_total", "b", "c_bucket"]
            .iter()
            .all(|it| names.contains(*it))
    );
    assert!(!names.contains("a"));
}
