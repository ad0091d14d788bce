//! What holds for any manifest.

use super::*;

const NAMES: [&str; 38] = [
    "scaleTargetRef",
    "name",
    "kind",
    "triggers",
    "type",
    "metadata",
    "authenticationRef",
    "advanced",
    "scalingModifiers",
    "formula",
    "target",
    "fallback",
    "replicas",
    "hosts",
    "paths",
    "value",
    "rules",
    "headers",
    "service",
    "port",
    "coldStart",
    "placeholder",
    "response",
    "scalingMetric",
    "concurrency",
    "requestRate",
    "window",
    "targetValue",
    "timeouts",
    "staticRoutes",
    "horizontalPodAutoscalerConfig",
    "behavior",
    "scaleUp",
    "policies",
    "tolerance",
    "podIdentity",
    "env",
    "secretTargetRef",
];

fn value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Map, Value, json};
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|f| json!(f)),
        "[a-z0-9.:/*%+?()\\[\\]-]{0,10}".prop_map(Value::from),
    ];
    let key = prop::sample::select(NAMES.to_vec());
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let pairs = prop::collection::vec((key.clone(), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            pairs.prop_map(|p| p
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #[test]
    fn no_manifest_panics(spec in value(), formula in "[ab0-9 +*/()?:!,\\[\\]'\".-]{0,40}") {
        let kinds = [
            ("keda.sh/v1alpha1", "ScaledObject"),
            ("keda.k8s.io/v1alpha1", "ScaledObject"),
            ("keda.sh/v1alpha1", "TriggerAuthentication"),
            ("http.keda.sh/v1alpha1", "HTTPScaledObject"),
            ("http.keda.sh/v1beta1", "InterceptorRoute"),
        ];
        for (api_version, kind) in kinds {
            let manifest = serde_json::json!({
                "apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec.clone(),
            });
            read(&manifest.to_string());
        }
        let formula = serde_json::Value::from(formula).to_string();
        let modifiers = format!("  advanced: {{scalingModifiers: {{formula: {formula}, target: '1'}}}}\n");
        read(&scaled(&format!("{modifiers}{TRIGGER}")));
    }
}
