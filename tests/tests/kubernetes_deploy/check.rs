//! `zeron check` on a real cluster.

use serde_json::{Value, json};
use zeron_tests::Output;
use zeron_tests::cluster::Cluster;

use super::cluster::{installed, may, until};

fn check(arguments: &[&str]) -> (Output, Vec<Value>) {
    let arguments: Vec<&str> = ["check", "-o", "json"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    let output = zeron_tests::command(&arguments, |command| {
        command.env(
            "KUBECONFIG",
            std::env::var_os("ZERON_TEST_KUBECONFIG").unwrap_or_default(),
        );
    });
    let said: Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{}", output.stderr));
    let findings = said["findings"].as_array().unwrap().clone();
    (output, findings)
}

fn of<'f>(findings: &'f [Value], area: &str, subject: &str) -> &'f Value {
    let is = |f: &&Value| f["area"] == area && f["subject"] == subject;
    findings
        .iter()
        .find(is)
        .unwrap_or_else(|| panic!("no {area} of {subject}: {findings:?}"))
}

#[tokio::test]
async fn check_names_what_is_wrong_and_what_to_do() {
    let name = "check_names_what_is_wrong_and_what_to_do";
    if let Some(cluster) = tokio::task::spawn_blocking(move || Cluster::get(name))
        .await
        .unwrap()
    {
        tokio::task::spawn_blocking(|| cluster.install_crds())
            .await
            .unwrap();
    }
    installed(name, json!({}), |here| async move {
        let (namespace, tenant) = (here.namespace.as_str(), here.tenant.as_str());
        let in_tenant = |mut object: Value| {
            object["metadata"] = json!({ "name": "web", "namespace": tenant });
            object
        };
        let app = json!({ "app": "web" });
        for object in [
            json!({ "apiVersion": "apps/v1", "kind": "Deployment", "spec": {
                "replicas": 0, "selector": { "matchLabels": app },
                "template": { "metadata": { "labels": app }, "spec": {
                    "containers": [{ "name": "c", "image": "dev.local/none:x" }] } } } }),
            json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": {
                "podSelector": {}, "policyTypes": ["Ingress"] } }),
            json!({ "apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication", "spec": {
                "secretTargetRef": [{ "parameter": "password", "name": "kafka", "key": "p" }] } }),
            json!({ "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "spec": {
                "scaleTargetRef": { "name": "web" },
                "triggers": [{ "type": "cron", "metadata": { "timezone": "UTC", "start": "0 1 * * *",
                    "end": "0 2 * * *", "desiredReplicas": "1" } }] } }),
            json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "spec": {
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
                "maxReplicas": 2 } }),
        ] {
            here.make(in_tenant(object)).await;
        }
        let autoscaler = here.account("autoscaler");
        until("the rights are in force", || may(&autoscaler, "", "watch /pods")).await;

        let (output, findings) = check(&["-n", tenant, "--zeron-namespace", namespace]);
        assert_eq!(output.code, Some(1));
        for account in ["zeron-activator", "zeron-autoscaler"] {
            assert_eq!(of(&findings, "rights", account)["level"], "ok", "{account}");
        }
        let network = of(&findings, "network", &format!("namespace {tenant}"));
        assert_eq!(network["level"], "wrong");
        assert!(network["hint"].as_str().unwrap().contains("kind: NetworkPolicy"));
        let secret = of(&findings, "secrets", &format!("{tenant}/kafka"));
        let grant = format!("zeron grant {tenant} --secret kafka --apply");
        assert_eq!(secret["hint"], grant);
        let hpa = of(&findings, "neighbours", &format!("{tenant}/web"));
        assert_eq!(hpa["level"], "wrong");
        here
    })
    .await;
}

#[test]
fn a_cluster_that_is_fit_passes_the_check_before() {
    if Cluster::api("kubernetes_deploy::a_cluster_that_is_fit_passes_the_check_before").is_none() {
        return;
    }
    let (output, findings) = check(&["--pre"]);
    assert_eq!(of(&findings, "versions", "API server")["level"], "ok");
    assert_eq!(of(&findings, "rights", "you")["level"], "ok");
    // Other tests have objects of their own here: foreign HPAs and the like are not this one's.
    assert!(output.code.is_some());
}
