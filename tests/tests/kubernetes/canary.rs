//! A value of a Secret comes out nowhere: not in conditions, events, logs, metrics or answers.

use serde_json::{Value, json};
use zeron_tests::canary::{self, CANARY};
use zeron_tests::cluster::{Cluster, Installation, Namespace, Role, Roles};

use super::declare::{Scaled, function};
use super::site::{SCALED, Site, topic};

/// A Deployment whose containers have the value, and credentials with it.
fn declare(namespace: &Namespace, name: &str) {
    namespace.apply(&format!(
        "
apiVersion: v1
kind: Secret
metadata: {{ name: {name} }}
stringData: {{ value: {CANARY} }}
---
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: {{ name: {name} }}
spec:
  secretTargetRef:
    - {{ parameter: username, name: {name}, key: value }}
  env:
    - {{ parameter: password, name: CANARY }}
"
    ));
    function(namespace, name, 0);
    let from = json!([{ "name": "CANARY", "valueFrom": { "secretKeyRef": { "name": name, "key": "value" } } }]);
    let container = json!([{ "name": "function", "env": from }]);
    let template = json!({ "spec": { "template": { "spec": { "containers": container } } } });
    let patch = template.to_string();
    namespace.kubectl(&["patch", "deployment", name, "-p", &patch]);
}

fn condition(object: &Value) -> Option<Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    let ready = conditions.iter().find(|c| c["type"] == "Ready")?;
    Some(ready.clone())
}

/// Waits until the object is said not to be ready for this reason, and returns the condition.
fn failed(namespace: &Namespace, name: &str, reason: &str) -> Value {
    let what = format!("to be said to fail ({reason})");
    namespace.wait(SCALED, name, &what, |object| {
        condition(object).filter(|it| it["reason"] == reason)
    })
}

/// All that anybody can read of it without a right to the Secret.
fn shown(namespace: &Namespace, roles: &Installation, names: &[&str]) -> Vec<(String, String)> {
    let what = "so,ta,httpso,events,deployments";
    let mut shown = vec![(
        "objects".to_owned(),
        namespace.kubectl(&["get", what, "-o", "yaml"]),
    )];
    let all = [&roles.activators, &roles.autoscalers, &roles.controllers];
    for (number, role) in all.into_iter().flatten().enumerate() {
        shown.push((format!("log {number}"), role.log()));
        shown.push((format!("metrics {number}"), metrics(role)));
    }
    let api = roles.folder().join("autoscaler-0.api");
    let admin = format!("unix:{}", api.display());
    let ask = |arguments: &[&str]| {
        let address = ["--admin", &admin, "-n", namespace.name()];
        let all: Vec<&str> = arguments.iter().copied().chain(address).collect();
        let output = zeron_tests::command(&all, |_| ());
        (all.join(" "), format!("{}{}", output.stdout, output.stderr))
    };
    shown.push(ask(&["ls", "-a", "-o", "json"]));
    for name in names {
        for verb in ["describe", "why", "timeline"] {
            shown.push(ask(&[verb, name]));
            shown.push(ask(&[verb, name, "-o", "json"]));
        }
    }
    shown
}

/// Fails where anything shows it; `what` is what brought that out.
fn assert_hidden(shown: &[(String, String)]) {
    for (what, text) in shown {
        let line = text.lines().find(|line| line.contains(CANARY));
        assert_eq!(line, None, "{what} shows it");
    }
}

fn metrics(role: &Role) -> String {
    let answer = role.ask("/metrics").unwrap();
    String::from_utf8_lossy(&answer.body).into_owned()
}

#[test]
fn a_value_of_a_secret_comes_out_nowhere() {
    let Some((site, broker)) = Site::with_kafka("a_value_of_a_secret_comes_out_nowhere") else {
        return;
    };
    let namespace = &site.namespace;
    let names = ["canary-wrong", "canary-refused"];
    for name in names {
        declare(namespace, name);
        let _topic = topic(broker, name, 1);
    }
    // A number, a word and a switch that are none of these.
    let wrong = Scaled::new(names[0], broker).yaml();
    let wrong = wrong
        .replace("lagThreshold: '10'", "lagThresholdFromEnv: CANARY")
        .replace(
            "allowIdleConsumers: 'true'",
            "allowIdleConsumersFromEnv: CANARY",
        )
        .replace(
            "offsetResetPolicy: earliest",
            "offsetResetPolicyFromEnv: CANARY",
        );
    assert_eq!(wrong.matches("CANARY").count(), 3);
    namespace.apply(&wrong);
    // Credentials that the broker refuses, from the Secret and from the environment.
    let refused = Scaled::at(names[1], &broker.ports().sasl.to_string()).yaml();
    let refused = refused.trim_end();
    let reference = names[1];
    namespace.apply(&format!(
        "{refused}\n        sasl: plaintext\n      authenticationRef: {{ name: {reference} }}\n"
    ));

    let said = failed(namespace, names[0], "ScaledObjectCheckFailed");
    let message = said["message"].as_str().unwrap();
    assert!(message.contains("lagThreshold"), "{message}");
    assert!(message.contains("of the environment"), "{message}");
    failed(namespace, names[1], "TriggerError");
    assert_hidden(&shown(namespace, &site.roles, &names));
}

#[test]
fn a_credential_of_a_trigger_comes_out_nowhere_whatever_its_type() {
    const TEST: &str = "a_credential_of_a_trigger_comes_out_nowhere_whatever_its_type";
    let Some(cluster) = Cluster::get(&format!("kubernetes::{TEST}")) else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("kubernetes-canary");
    let mut roles = Roles::of(&namespace);
    for name in ["activator-0", "autoscaler-0", "controller-0"] {
        let talkative = ("ZERON_LOG".to_owned(), "debug,zeron=trace".to_owned());
        roles = roles.environment(name, vec![talkative]);
    }
    let roles = roles.start();
    let cases = canary::cases();
    for case in &cases {
        namespace.apply(&case.manifest("{name: main, image: none}"));
    }
    for case in &cases {
        let reason = match case.is_wrong {
            true => "ScaledObjectCheckFailed",
            false => "TriggerError",
        };
        failed(&namespace, &case.name, reason);
    }
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_hidden(&shown(&namespace, &roles, &names));
}
