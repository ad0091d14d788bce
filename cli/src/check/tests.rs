#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::finding::{Finding, Level};
use super::workloads::{Labels, Workload, Workloads};
use super::{
    definitions, installation, mesh, neighbours, network, rights, selector, versions, workloads,
};

fn labels(value: &Value) -> Labels {
    value.as_object().cloned().unwrap()
}

fn shop() -> Workloads {
    Workloads {
        all: vec![Workload {
            namespace: "shop".to_owned(),
            subject: "shop/web".to_owned(),
            resource: ("apps", "deployments"),
            labels: labels(&json!({ "app": "web" })),
            annotations: Labels::new(),
        }],
        namespaces: [
            ("shop".to_owned(), labels(&json!({}))),
            (
                "zeron-system".to_owned(),
                labels(&json!({ "team": "platform" })),
            ),
        ]
        .into(),
        ..Workloads::default()
    }
}

fn policy(spec: &Value) -> Value {
    json!({ "metadata": { "namespace": "shop", "name": "default-deny" }, "spec": spec })
}

fn network(spec: &Value) -> Finding {
    network::judge("zeron-system", &shop(), &[policy(spec)]).remove(0)
}

#[test]
fn a_default_deny_is_named_with_the_policy_to_add() {
    let finding = network(&json!({ "podSelector": {}, "policyTypes": ["Ingress"] }));
    assert_eq!(finding.level, Level::Wrong);
    assert!(
        finding.message.starts_with("default-deny keep"),
        "{}",
        finding.message
    );
    let hint = finding.hint.unwrap();
    assert!(hint.contains("namespace: shop") && hint.contains("metadata.name: zeron-system"));
}

#[test]
fn the_policy_that_is_advised_lets_activators_in() {
    let hint = network(&json!({ "podSelector": {} })).hint.unwrap();
    let (_, yaml) = hint.split_once('\n').unwrap();
    let advised: Value = serde_saphyr::from_str(yaml).unwrap();
    let deny = policy(&json!({ "podSelector": {}, "policyTypes": ["Ingress"] }));
    let findings = network::judge("zeron-system", &shop(), &[deny, advised]);
    assert_eq!(findings[0].level, Level::Ok);
}

#[test]
fn policies_that_do_not_select_the_pods_or_let_us_in_are_well() {
    let rule = |from: Value| json!({ "podSelector": {}, "ingress": [{ "from": from }] });
    let ours = json!([{ "namespaceSelector": { "matchLabels": { "team": "platform" } } }]);
    for spec in [
        json!({ "podSelector": { "matchLabels": { "app": "other" } } }),
        json!({ "podSelector": {}, "policyTypes": ["Egress"] }),
        json!({ "podSelector": {}, "ingress": [{}] }),
        rule(ours),
        rule(json!([{ "ipBlock": { "cidr": "10.0.0.0/8" } }])),
    ] {
        assert_eq!(network(&spec).level, Level::Ok, "{spec}");
    }
    let others = json!([{ "podSelector": { "matchLabels": { "app": "front" } } }]);
    assert_eq!(network(&rule(others)).level, Level::Wrong);
}

#[test]
fn selectors_match_as_kubernetes_says() {
    let found = labels(&json!({ "app": "web", "tier": "front" }));
    let expression = |operator: &str, values: Value| json!({ "matchExpressions": [{ "key": "tier", "operator": operator, "values": values }] });
    assert!(selector::matches(&json!({}), &found));
    assert!(selector::matches(
        &expression("In", json!(["front", "back"])),
        &found
    ));
    assert!(!selector::matches(
        &expression("NotIn", json!(["front"])),
        &found
    ));
    assert!(selector::matches(&expression("Exists", json!([])), &found));
    assert!(!selector::matches(
        &expression("DoesNotExist", json!([])),
        &found
    ));
    assert!(!selector::matches(
        &json!({ "matchLabels": { "app": "x" } }),
        &found
    ));
}

#[test]
fn a_strict_mesh_without_us_is_wrong_and_says_what_to_do() {
    let mut shop = shop();
    shop.namespaces.insert(
        "shop".to_owned(),
        labels(&json!({ "istio-injection": "enabled" })),
    );
    let strict = json!({
        "metadata": { "namespace": "istio-system", "name": "default" },
        "spec": { "mtls": { "mode": "STRICT" } },
    });
    let finding = mesh::judge("zeron-system", &shop, std::slice::from_ref(&strict)).remove(0);
    assert_eq!(finding.level, Level::Wrong);
    assert!(
        finding
            .hint
            .unwrap()
            .contains("label namespace zeron-system")
    );
    assert_eq!(
        mesh::judge("zeron-system", &shop, &[]).remove(0).level,
        Level::Note
    );
    let ours = labels(&json!({ "istio-injection": "enabled" }));
    shop.namespaces.insert("zeron-system".to_owned(), ours);
    assert_eq!(
        mesh::judge("zeron-system", &shop, &[strict])
            .remove(0)
            .level,
        Level::Ok
    );
}

#[test]
fn old_servers_are_wrong_and_odd_versions_are_no_reason_to_stop() {
    assert_eq!(versions::judge_version("v1.34.4+k3s1").level, Level::Ok);
    assert_eq!(versions::judge_version("v1.32.0").level, Level::Wrong);
    assert_eq!(versions::judge_version("odd").level, Level::Warning);
}

#[test]
fn clocks_are_compared_to_the_second() {
    let now: jiff::Timestamp = "2026-11-21T15:00:10Z".parse().unwrap();
    let judge = |date: &str| versions::judge_clock(date, now).unwrap();
    assert_eq!(judge("Sat, 21 Nov 2026 15:00:09 GMT").level, Level::Ok);
    let behind = judge("Sat, 21 Nov 2026 15:01:10 GMT");
    assert_eq!(behind.level, Level::Warning);
    assert!(behind.message.contains("60 s behind"));
}

#[test]
fn definitions_say_whose_they_are_and_what_is_missing() {
    let of_keda = json!({
        "metadata": {
            "name": "scaledobjects.keda.sh",
            "annotations": { "meta.helm.sh/release-name": "keda" },
        },
        "spec": { "versions": [{ "name": "v1alpha1", "served": true }] },
        "status": { "conditions": [{ "type": "Established", "status": "True" }] },
    });
    let findings = definitions::judge(Ok(vec![of_keda]), false);
    assert!(findings[0].message.contains("Helm release keda"));
    assert_eq!(findings[1].level, Level::Wrong);
    assert!(
        findings[1]
            .hint
            .as_ref()
            .unwrap()
            .starts_with("zeron crds --name triggerauth")
    );
    let before = definitions::judge(Ok(Vec::new()), true);
    assert!(before.iter().all(|f| f.level == Level::Note));
}

#[test]
fn keda_and_foreign_hpas_are_named() {
    let operator =
        json!({ "metadata": { "namespace": "keda", "name": "keda-operator" }, "spec": {} });
    let findings = neighbours::operators(std::slice::from_ref(&operator));
    assert_eq!(findings[0].subject, "keda/keda-operator");
    let mut stopped = operator;
    stopped["spec"]["replicas"] = json!(0);
    assert_eq!(neighbours::operators(&[stopped])[0].level, Level::Ok);

    let scaled = json!({
        "metadata": { "namespace": "shop", "name": "web" },
        "spec": { "scaleTargetRef": { "name": "web" } },
    });
    let hpa = |owners: Value| {
        json!({
            "metadata": { "namespace": "shop", "name": "cpu", "ownerReferences": owners },
            "spec": { "scaleTargetRef": { "kind": "Deployment", "name": "web" } },
        })
    };
    let scaled = [scaled];
    let findings = neighbours::foreign(&scaled, &[hpa(json!([]))]);
    assert_eq!(findings[0].level, Level::Wrong);
    assert_eq!(
        findings[0].hint.as_deref(),
        Some("kubectl -n shop delete hpa cpu")
    );
    let of_keda = hpa(json!([{ "kind": "ScaledObject" }]));
    assert!(neighbours::foreign(&scaled, &[of_keda]).is_empty());
}

#[test]
fn processes_that_are_missing_or_not_ready_are_named() {
    let autoscaler = json!({
        "metadata": { "name": "zeron-autoscaler" },
        "spec": { "replicas": 2, "template": { "spec": { "containers": [{ "image": "x:0.0.1" }] } } },
        "status": { "readyReplicas": 1 },
    });
    let findings = installation::judge(&[autoscaler], "zeron-system");
    let levels: Vec<Level> = findings.iter().map(|f| f.level).collect();
    assert_eq!(levels, [Level::Wrong, Level::Warning, Level::Wrong]);
}

#[test]
fn a_webhook_without_authority_is_a_warning() {
    let hooks = |bundle: &str| json!({ "webhooks": [{ "clientConfig": { "caBundle": bundle } }] });
    assert_eq!(
        installation::webhook(Some(&hooks(""))).unwrap().level,
        Level::Warning
    );
    assert_eq!(
        installation::webhook(Some(&hooks("x"))).unwrap().level,
        Level::Ok
    );
    assert!(installation::webhook(None).is_none());
}

#[test]
fn what_is_missing_is_said_as_kubectl_would() {
    let need = ("patch", "apps", "deployments/scale", None);
    let finding = rights::refused("zeron-autoscaler", &[&need], "hint").remove(0);
    assert_eq!(finding.message, "may not patch deployments/scale.apps");
}

#[test]
fn targets_and_secrets_of_objects_are_found() {
    let of =
        |spec: Value| json!({ "metadata": { "namespace": "shop", "name": "o" }, "spec": spec });
    let old = of(json!({ "scaleTargetRef": { "deployment": "web" } }));
    let set = of(json!({ "scaleTargetRef": { "kind": "StatefulSet", "name": "db" } }));
    let found = workloads::targets(&[old, set]);
    let owned = |kind: &str, name: &str| ("shop".to_owned(), kind.to_owned(), name.to_owned());
    assert!(
        found.contains(&owned("Deployment", "web")) && found.contains(&owned("StatefulSet", "db"))
    );
    let secrets = workloads::secrets(&[of(json!({ "secretTargetRef": [{ "name": "kafka" }] }))]);
    assert!(secrets.contains_key(&("shop".to_owned(), "kafka".to_owned())));
}

#[test]
fn names_of_namespaces_are_checked_before_they_go_into_paths() {
    assert!(super::namespace("shop-2").is_ok());
    for text in ["", "a/b", "-a", "A", "a?b"] {
        assert!(super::namespace(text).is_err(), "{text}");
    }
}
