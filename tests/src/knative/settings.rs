//! Knative's config maps.

use serde_json::{Value, json};

use super::{Knative, NAMESPACE};

const CONFIG_MAP: &str = "v1/ConfigMap";

/// A config map that a test changed. What was there before is put back when this is dropped.
#[derive(Debug)]
pub struct Setting<'k> {
    knative: &'k Knative,
    map: String,
    before: Value,
}

impl Knative {
    /// Changes keys of a config map such as `config-autoscaler`. A test that does so takes Knative for itself.
    ///
    /// # Panics
    /// When Knative's webhook refuses a value.
    pub fn configure(&self, map: &str, keys: &[(&str, &str)]) -> Setting<'_> {
        let found = self.cluster.get_in(Some(NAMESPACE), CONFIG_MAP, map);
        let found = found.unwrap_or_else(|| panic!("Knative has no {map}"));
        let before = keys
            .iter()
            .map(|(key, _)| ((*key).to_owned(), found["data"][key].clone()));
        let setting = Setting {
            knative: self,
            map: map.to_owned(),
            before: Value::Object(before.collect()),
        };
        let wanted = keys
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)));
        setting.set(&Value::Object(wanted.collect()));
        setting
    }

    /// What tests take for granted. Pods go six seconds after their revision was given up, not thirty; a revision may begin
    /// without any.
    pub(super) fn hurry(&self) {
        let keys =
            json!({ "scale-to-zero-grace-period": "6s", "allow-zero-initial-scale": "true" });
        self.cluster.patch_in(
            Some(NAMESPACE),
            CONFIG_MAP,
            "config-autoscaler",
            None,
            &json!({ "data": keys }),
        );
    }
}

impl Setting<'_> {
    fn set(&self, keys: &Value) {
        let patch = json!({ "data": keys });
        self.knative
            .cluster
            .patch_in(Some(NAMESPACE), CONFIG_MAP, &self.map, None, &patch);
    }
}

impl Drop for Setting<'_> {
    fn drop(&mut self) {
        self.set(&self.before);
    }
}
