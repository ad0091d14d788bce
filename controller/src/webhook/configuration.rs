//! Our ValidatingWebhookConfiguration.

use serde_json::{Value, json};

/// The configuration, without a certificate: the controller fills that in. Objects of keda.sh are
/// stored all the same while nobody answers (`Ignore`); kube-system is left alone.
pub fn configuration(name: &str, namespace: &str, service: &str) -> Value {
    let plurals = [
        "scaledobjects",
        "scaledjobs",
        "triggerauthentications",
        "clustertriggerauthentications",
    ];
    let webhook = |plural: &&str| {
        json!({
            "name": format!("{plural}.keda.zeron.dev"),
            "admissionReviewVersions": ["v1"],
            "clientConfig": {
                "service": { "name": service, "namespace": namespace, "path": "/validate", "port": 443 },
            },
            "failurePolicy": "Ignore",
            "matchPolicy": "Equivalent",
            "sideEffects": "None",
            "timeoutSeconds": 3,
            "namespaceSelector": { "matchExpressions": [{
                "key": "kubernetes.io/metadata.name",
                "operator": "NotIn",
                "values": ["kube-system"],
            }]},
            "rules": [{
                "apiGroups": ["keda.sh"],
                "apiVersions": ["v1alpha1"],
                "operations": ["CREATE", "UPDATE"],
                "resources": [plural],
                "scope": "*",
            }],
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {
            "name": name,
            "labels": { "app.kubernetes.io/name": "zeron", "app.kubernetes.io/component": "controller" },
        },
        "webhooks": plurals.iter().map(webhook).collect::<Vec<_>>(),
    })
}

/// The patch that names `bundle` in every webhook of a configuration; `None`: it is named already.
pub(super) fn named(configuration: &Value, bundle: &str) -> Option<Value> {
    let webhooks = configuration["webhooks"].as_array()?;
    let mut patch = vec![json!({
        "op": "test",
        "path": "/metadata/resourceVersion",
        "value": configuration["metadata"]["resourceVersion"],
    })];
    for (index, webhook) in webhooks.iter().enumerate() {
        if webhook["clientConfig"]["caBundle"] != bundle {
            patch.push(json!({
                "op": "add",
                "path": format!("/webhooks/{index}/clientConfig/caBundle"),
                "value": bundle,
            }));
        }
    }
    (patch.len() > 1).then_some(Value::Array(patch))
}
