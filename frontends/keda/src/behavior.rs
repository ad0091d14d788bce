//! `autoscaling/v2` behavior.

use zeron_core::policy::{Behavior, MaxChange, ScalingLimit, ScalingRules, SelectPolicy};
use zeron_manifest::{Fields, Node};

/// Reads `behavior` over our defaults: out at once, in after 300 s.
pub(crate) fn read(fields: &Fields<'_>) -> Behavior {
    let mut behavior = Behavior::default();
    if let Some(rules) = fields.optional_fields("scaleUp") {
        rules_over(&rules, &mut behavior.scale_up);
    }
    if let Some(rules) = fields.optional_fields("scaleDown") {
        rules_over(&rules, &mut behavior.scale_down);
    }
    behavior
}

fn rules_over(fields: &Fields<'_>, rules: &mut ScalingRules) {
    if let Some(window) = fields.seconds("stabilizationWindowSeconds", 0..=3_600) {
        rules.stabilization = window;
    }
    let choices = [
        ("Max", SelectPolicy::Max),
        ("Min", SelectPolicy::Min),
        ("Disabled", SelectPolicy::Disabled),
    ];
    if let Some(select) = fields.choice("selectPolicy", &choices) {
        rules.select = select;
    }
    rules.policies = fields.items("policies").iter().filter_map(limit).collect();
    if let Some(tolerance) = fields.get("tolerance").and_then(|node| tolerance(&node)) {
        rules.tolerance = tolerance;
    }
}

fn limit(node: &Node<'_>) -> Option<ScalingLimit> {
    let fields = node.fields();
    for name in ["type", "value", "periodSeconds"] {
        if !fields.has(name) {
            fields.error(name, "is missing");
        }
    }
    let is_percent = fields.choice("type", &[("Pods", false), ("Percent", true)]);
    let value = fields.integer("value", 1..=i64::from(i32::MAX));
    let period = fields.seconds("periodSeconds", 1..=1_800);
    let value = value?;
    let change = if is_percent? {
        MaxChange::Percent(value)
    } else {
        MaxChange::Replicas(value)
    };
    Some(ScalingLimit {
        change,
        period: period?,
    })
}

/// A quantity such as `0.05` or `50m`.
fn tolerance(node: &Node<'_>) -> Option<f64> {
    let text = node
        .value()
        .as_str()
        .map_or_else(|| node.value().to_string(), str::to_owned);
    let millis = text
        .parse::<zeron_manifest::Quantity>()
        .ok()
        .map(zeron_manifest::Quantity::millis);
    let found = millis
        .and_then(|m| u32::try_from(m).ok())
        .map(|m| f64::from(m) / 1_000.0);
    if found.is_none() {
        node.refuse("must be a quantity such as 0.05");
    }
    found
}
