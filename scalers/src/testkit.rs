//! Triggers for tests.

use std::collections::BTreeSet;

use zeron_core::ObjectRef;
use zeron_core::policy::{Secret, TriggerSpec};

/// The first trigger of a ScaledObject; `auth` is what a TriggerAuthentication would give.
pub(crate) fn spec<'a>(
    kind: &str,
    metadata: impl IntoIterator<Item = &'a (&'a str, &'a str)>,
    auth: &[(&str, &str)],
) -> TriggerSpec {
    TriggerSpec {
        object: ObjectRef {
            api_version: "keda.sh/v1alpha1".to_owned(),
            kind: "ScaledObject".to_owned(),
            namespace: "default".to_owned(),
            name: "orders".to_owned(),
        },
        index: 0,
        kind: kind.to_owned(),
        metadata: metadata
            .into_iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        from_environment: BTreeSet::new(),
        auth: auth
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Secret::new(*value)))
            .collect(),
        remote: Vec::new(),
        is_formula_input: false,
    }
}
