//! The manifests themselves: generated files in step, hardening, no right too many. No cluster needed.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::chart::{documents, files, folder, is_in_step, name, objects, rendered};

const NAMESPACE: &str = "zeron-system";
const HEAD: &str = "# Generated from deploy/helm/zeron: do not edit.\n";

fn defaults() -> Vec<Value> {
    objects(&json!({}), NAMESPACE)
}

fn of_kind(objects: &[Value], kind: &str) -> Vec<Value> {
    objects
        .iter()
        .filter(|o| o["kind"] == kind)
        .cloned()
        .collect()
}

/// One file for each template that makes anything with the defaults.
#[test]
fn the_kustomize_base_is_the_chart_with_its_defaults() {
    let rendered = rendered(&json!({}), NAMESPACE);
    let made: Vec<_> = rendered
        .iter()
        .filter(|(_, text)| !documents(text).is_empty())
        .collect();
    for (name, text) in &made {
        let text = format!("{HEAD}{}\n", text.trim().trim_start_matches("---\n"));
        is_in_step(&folder("kustomize/base").join(name), &text);
    }
    let listed = kustomization("kustomize/base")["resources"].clone();
    let listed: BTreeSet<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_str().unwrap())
        .collect();
    let mut wanted: BTreeSet<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
    wanted.insert("namespace.yaml");
    assert_eq!(listed, wanted);
}

#[test]
fn the_components_are_the_chart_with_their_values() {
    let monitoring = rendered(&json!({ "monitoring": { "enabled": true } }), NAMESPACE);
    let wanted = format!("{HEAD}{}\n", monitoring["monitoring.yaml"].trim());
    is_in_step(
        &folder("kustomize/components/monitoring/monitoring.yaml"),
        &wanted,
    );
    let scaler = rendered(&json!({ "externalScaler": { "enabled": true } }), NAMESPACE);
    let wanted = format!("{HEAD}{}\n", scaler["external-scaler.yaml"].trim());
    is_in_step(
        &folder("kustomize/components/external-scaler/external-scaler.yaml"),
        &wanted,
    );
}

#[test]
fn keda_asks_over_mutual_tls_where_there_is_a_secret_for_it() {
    let values = json!({ "externalScaler": { "enabled": true, "tlsSecret": "keda-tls" } });
    let all = of_kind(&objects(&values, NAMESPACE), "Deployment");
    let autoscaler = all
        .iter()
        .find(|d| d["metadata"]["name"] == "zeron-autoscaler");
    let pod = &autoscaler.unwrap()["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["secret"]["secretName"], "keda-tls");
    let container = &pod["containers"][0];
    assert_eq!(container["volumeMounts"][0]["name"], "external-scaler");
    let arguments = container["args"].as_array().unwrap();
    let help = zeron_tests::command(&["autoscaler", "--help"], |_| ()).stdout;
    for option in ["listen", "cert", "key", "client-ca"] {
        let option = format!("--external-scaler-{option}");
        let is_it = |argument: &&Value| argument.as_str().unwrap().starts_with(&option);
        assert!(arguments.iter().any(|it| is_it(&it)), "{option}");
        assert!(help.contains(&option), "{option}");
    }
}

#[test]
fn what_triggers_may_reach_is_the_operators_choice() {
    let arguments = |values: &Value| {
        let all = of_kind(&objects(values, NAMESPACE), "Deployment");
        let is_it = |it: &&Value| it["metadata"]["name"] == "zeron-autoscaler";
        let autoscaler = all.iter().find(is_it).unwrap().clone();
        autoscaler["spec"]["template"]["spec"]["containers"][0]["args"].to_string()
    };
    assert!(!arguments(&json!({})).contains("--trigger-addresses"));
    let strict = json!({ "autoscaler": {
        "triggerAddresses": "own-namespace",
        "triggerAddressesOf": ["brokers", "vault"],
    } });
    let strict = arguments(&strict);
    let help = zeron_tests::command(&["autoscaler", "--help"], |_| ()).stdout;
    for option in [
        "--trigger-addresses=own-namespace",
        "--trigger-addresses-of=brokers,vault",
    ] {
        assert!(strict.contains(option), "{strict}");
        assert!(help.contains(option.split('=').next().unwrap()), "{help}");
    }
}

#[test]
fn eventing_may_read_what_is_addressable() {
    let roles = of_kind(&objects(&json!({}), NAMESPACE), "ClusterRole");
    let is_it = |it: &&Value| it["metadata"]["labels"]["duck.knative.dev/addressable"] == "true";
    let role = roles.iter().find(is_it).unwrap();
    assert_eq!(role["rules"][0]["apiGroups"], json!(["http.keda.sh"]));
    assert_eq!(role["rules"][0]["verbs"], json!(["get", "list", "watch"]));
}

#[test]
fn the_definitions_are_those_that_zeron_prints() {
    let printed = zeron_tests::command(&["crds"], |_| ()).stdout;
    let printed: Vec<&str> = printed
        .split("---\n")
        .filter(|text| !text.is_empty())
        .collect();
    for text in &printed {
        let name = documents(text)[0]["metadata"]["name"]
            .as_str()
            .unwrap()
            .to_owned();
        let text = format!("# Generated by `zeron crds`: do not edit.\n{text}");
        let file = format!("{name}.yaml");
        is_in_step(&folder("helm/zeron/crds").join(&file), &text);
        is_in_step(&folder("kustomize/crds").join(&file), &text);
    }
    assert_eq!(files(&folder("helm/zeron/crds")).len(), printed.len());
    let listed = kustomization("kustomize/crds")["resources"].clone();
    assert_eq!(listed.as_array().unwrap().len(), printed.len());
}

fn kustomization(path: &str) -> Value {
    let text = std::fs::read_to_string(folder(path).join("kustomization.yaml")).unwrap();
    documents(&text).remove(0)
}

#[test]
fn every_file_that_a_kustomization_names_is_there() {
    for path in [
        "base",
        "crds",
        "default",
        "components/external-scaler",
        "components/monitoring",
        "components/wake-per-namespace",
        "components/http-add-on-aliases",
        "components/kubelet-metrics",
    ] {
        let path = format!("kustomize/{path}");
        let made = kustomization(&path);
        for resource in made["resources"].as_array().into_iter().flatten() {
            let file = folder(&path).join(resource.as_str().unwrap());
            assert!(file.exists(), "{}", file.display());
        }
    }
}

#[test]
fn no_object_is_made_twice() {
    let names: Vec<String> = defaults().iter().map(name).collect();
    let unique: BTreeSet<&String> = names.iter().collect();
    assert_eq!(names.len(), unique.len());
}

#[test]
fn every_value_of_the_chart_is_in_its_schema() {
    let schema: Value = serde_json::from_str(
        &std::fs::read_to_string(folder("helm/zeron/values.schema.json")).unwrap(),
    )
    .unwrap();
    let values = std::fs::read_to_string(folder("helm/zeron/values.yaml")).unwrap();
    covered(&documents(&values)[0], &schema, "values");
}

fn covered(value: &Value, schema: &Value, path: &str) {
    let (Some(value), Some(properties)) = (value.as_object(), schema["properties"].as_object())
    else {
        return;
    };
    for (key, inner) in value {
        let path = format!("{path}.{key}");
        let schema = properties
            .get(key)
            .unwrap_or_else(|| panic!("{path} is in no schema"));
        covered(inner, schema, &path);
    }
}

#[test]
fn pods_are_restricted_and_bounded() {
    for deployment in of_kind(&defaults(), "Deployment") {
        let pod = &deployment["spec"]["template"]["spec"];
        let place = name(&deployment);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{place}");
        assert_eq!(pod["securityContext"]["runAsUser"], 65532, "{place}");
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
            "{place}"
        );
        let container = &pod["containers"][0];
        let security = &container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true, "{place}");
        assert_eq!(security["allowPrivilegeEscalation"], false, "{place}");
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]), "{place}");
        assert!(
            container["resources"]["requests"]["memory"].is_string(),
            "{place}"
        );
        assert!(
            container["resources"]["limits"]["memory"].is_string(),
            "{place}"
        );
        assert_eq!(
            container["readinessProbe"]["httpGet"]["path"], "/readyz",
            "{place}"
        );
        assert_eq!(
            container["livenessProbe"]["httpGet"]["path"], "/healthz",
            "{place}"
        );
        let update = &deployment["spec"]["strategy"]["rollingUpdate"];
        assert_eq!(
            (&update["maxUnavailable"], &update["maxSurge"]),
            (&json!(0), &json!(1))
        );
    }
}

#[test]
fn every_deployment_may_be_drained_one_pod_at_a_time() {
    let all = defaults();
    let budgets = of_kind(&all, "PodDisruptionBudget");
    for deployment in of_kind(&all, "Deployment") {
        let labels = &deployment["spec"]["selector"];
        let budget = budgets
            .iter()
            .find(|b| b["spec"]["selector"] == *labels)
            .unwrap();
        assert_eq!(budget["spec"]["maxUnavailable"], 1);
    }
}

#[test]
fn an_activator_has_longer_to_end_than_its_requests() {
    let deployments = of_kind(
        &objects(&json!({ "activator": { "drainSeconds": 60 } }), NAMESPACE),
        "Deployment",
    );
    let activator = deployments
        .iter()
        .find(|d| d["metadata"]["name"] == "zeron-activator")
        .unwrap();
    let pod = &activator["spec"]["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 90);
    let arguments = pod["containers"][0]["args"].as_array().unwrap();
    assert!(arguments.contains(&json!("--drain-grace=60s")));
}

#[test]
fn nobody_reads_secrets_of_the_cluster() {
    for role in of_kind(&defaults(), "ClusterRole") {
        for rule in role["rules"].as_array().unwrap() {
            let resources = rule["resources"].as_array().unwrap();
            let is_core = rule["apiGroups"]
                .as_array()
                .unwrap()
                .iter()
                .any(|g| g == "" || g == "*");
            let names = |wanted: &str| resources.iter().any(|r| r == wanted);
            assert!(
                !(is_core && (names("secrets") || names("*"))),
                "{}",
                name(&role)
            );
            let verbs = rule["verbs"].as_array().unwrap();
            assert!(!verbs.contains(&json!("*")), "{}", name(&role));
        }
    }
}

/// Whoever may reach the autoscalers' API sees all functions: an administrator says who.
#[test]
fn the_role_for_people_reaches_pods_and_is_bound_to_nobody() {
    let all = defaults();
    let is_it = |role: &&Value| role["metadata"]["name"] == "zeron-inspect";
    let roles = of_kind(&all, "ClusterRole");
    let role = roles.iter().find(is_it).unwrap();
    let rules = json!([
        { "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"] },
        { "apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"] },
    ]);
    assert_eq!(role["rules"], rules);
    for binding in ["ClusterRoleBinding", "RoleBinding"] {
        for bound in of_kind(&all, binding) {
            assert_ne!(
                bound["roleRef"]["name"],
                "zeron-inspect",
                "{}",
                name(&bound)
            );
        }
    }
}

#[test]
fn secrets_are_granted_by_namespace_and_name() {
    let values = json!({ "secretNamespaces": [
        { "namespace": "shop", "names": ["kafka"] }, { "namespace": "all" },
    ] });
    let roles = of_kind(&objects(&values, NAMESPACE), "Role");
    let granted: Vec<_> = roles
        .iter()
        .filter(|r| r["metadata"]["name"] == "zeron-secrets")
        .collect();
    assert_eq!(granted.len(), 2);
    assert_eq!(granted[0]["metadata"]["namespace"], "shop");
    assert_eq!(granted[0]["rules"][0]["resourceNames"], json!(["kafka"]));
    assert_eq!(granted[0]["rules"][0]["verbs"], json!(["get"]));
    assert!(granted[1]["rules"][0].get("resourceNames").is_none());
}

#[test]
fn activators_write_by_namespace_where_that_is_asked_for() {
    let values = json!({ "wake": { "mode": "namespaces", "namespaces": ["shop"] } });
    let all = objects(&values, NAMESPACE);
    let names: Vec<String> = all.iter().map(name).collect();
    assert!(names.contains(&"RoleBinding shop/zeron-wake".to_owned()));
    assert!(!names.contains(&"ClusterRoleBinding /zeron-wake".to_owned()));
    assert!(!names.contains(&"ValidatingAdmissionPolicy /zeron-wake".to_owned()));
}

#[test]
fn what_is_switched_off_is_not_made() {
    let values =
        json!({ "webhook": { "enabled": false }, "networkPolicies": { "enabled": false } });
    let all = objects(&values, NAMESPACE);
    assert!(of_kind(&all, "ValidatingWebhookConfiguration").is_empty());
    assert!(of_kind(&all, "NetworkPolicy").is_empty());
    assert!(of_kind(&defaults(), "PodMonitor").is_empty());
}

#[test]
fn the_arguments_are_options_of_the_program() {
    for deployment in of_kind(&defaults(), "Deployment") {
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let arguments: Vec<&str> = container["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|a| a.as_str().unwrap())
            .collect();
        let help = zeron_tests::command(&[arguments[0], "--help"], |_| ()).stdout;
        for argument in &arguments[1..] {
            let option = argument
                .split_once('=')
                .map_or(*argument, |(option, _)| option);
            assert!(
                help.contains(option),
                "zeron {} has no {option}",
                arguments[0]
            );
        }
    }
}
