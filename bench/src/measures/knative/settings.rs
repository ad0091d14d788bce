//! Knative's config maps.

use anyhow::Result;
use serde_json::{Value, json};

use super::installation::{Installation, NAMESPACE};
use crate::bench::note;
use crate::measures::cluster::api::Api;

/// Keys of a config map that are what they were again when this is dropped.
#[derive(Debug)]
pub(super) struct Setting<'i> {
    api: &'i Api,
    path: String,
    before: Value,
}

impl Installation {
    /// Revisions may begin at zero.
    pub(super) fn allow_zero(&self) -> Result<Setting<'_>> {
        self.configure("config-autoscaler", "allow-zero-initial-scale", "true")
    }

    /// Pods of revisions without requests go as soon as Knative allows.
    pub(super) fn hurry(&self) -> Result<Setting<'_>> {
        self.configure("config-autoscaler", "scale-to-zero-grace-period", "6s")
    }

    fn configure(&self, map: &str, key: &str, value: &str) -> Result<Setting<'_>> {
        let api = &self.cluster.api;
        let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{map}");
        let found = api.block_on(api.get(&path))?;
        let setting = Setting {
            api,
            path,
            before: json!({"data": {key: found["data"][key]}}),
        };
        api.block_on(api.patch(&setting.path, &json!({"data": {key: value}})))?;
        Ok(setting)
    }
}

impl Drop for Setting<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.api.block_on(self.api.patch(&self.path, &self.before)) {
            note(format_args!("{} is not what it was: {error:#}", self.path));
        }
    }
}
