//! The Service of the HTTP add-on's interceptors: to our activators and back.
//!
//! Callers reach somebody at every moment. There: our EndpointSlices are written beside the old
//! ones (by the controller, because the Service is marked), then the selector goes, then the old
//! slices. Back: the selector comes, its own slices follow, then the mark and ours go.

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::parts::{is_ready, selector};
use super::{Listener, Performer, State, is_missing};
use crate::takeover::error::TakeoverError;
use crate::takeover::marks::{ADOPTED_FROM, SELECTOR_BEFORE};
use crate::takeover::object::{Kind, Object, ObjectName};
use crate::takeover::read::Select;
use crate::takeover::step::{Origin, Step};

impl Performer {
    pub(super) async fn switch(
        &self,
        name: &ObjectName,
        step: &Step,
        listener: Listener<'_>,
    ) -> Result<(), TakeoverError> {
        let Some(service) = self.cluster.get(name).await? else {
            return Ok(());
        };
        let selector = service.value.pointer("/spec/selector").cloned();
        if let Some(selector) = &selector {
            let annotations = json!({
                ADOPTED_FROM: Origin::HttpAddOn.as_str(),
                SELECTOR_BEFORE: selector.to_string(),
            });
            let patch = json!({ "metadata": { "annotations": annotations } });
            self.patch(name, patch).await?;
        }
        self.until(step, listener, || self.has_slices(name, true))
            .await?;
        if let Some(selector) = selector {
            self.drop_selector(name, &selector).await?;
        }
        self.drop_slices(name, false).await?;
        // Without a selector, Endpoints that were left would be mirrored into slices again.
        let endpoints = ObjectName::new(Kind::Endpoints, &name.namespace, &name.name);
        self.delete(&endpoints).await
    }

    pub(super) async fn switch_back(
        &self,
        name: &ObjectName,
        step: &Step,
        listener: Listener<'_>,
    ) -> Result<(), TakeoverError> {
        let Some(service) = self.cluster.get(name).await? else {
            return Ok(());
        };
        let before = service.annotation(SELECTOR_BEFORE).unwrap_or("{}");
        let before: Value = serde_json::from_str(before)
            .map_err(|error| TakeoverError::Encoding(format!("selector of {name}"), error))?;
        let wanted = Object::new(Kind::Service, json!({ "selector": before }));
        let labels = selector(&wanted, "/selector");
        self.until(step, listener, || self.has_ready_pods(name, &labels))
            .await?;
        self.patch(name, json!({ "spec": { "selector": before } }))
            .await?;
        self.until(step, listener, || self.has_slices(name, false))
            .await?;
        let annotations = json!({ ADOPTED_FROM: null, SELECTOR_BEFORE: null });
        self.patch(name, json!({ "metadata": { "annotations": annotations } }))
            .await?;
        self.drop_slices(name, true).await
    }

    /// Guarded by what was read: a selector that somebody changed meanwhile stays.
    async fn drop_selector(
        &self,
        name: &ObjectName,
        selector: &Value,
    ) -> Result<(), TakeoverError> {
        let patch: kube::core::params::Patch<Value> = Patch::Json(
            serde_json::from_value(json!([
                { "op": "test", "path": "/spec/selector", "value": selector },
                { "op": "remove", "path": "/spec/selector" },
            ]))
            .map_err(|error| TakeoverError::Encoding(format!("patch of {name}"), error))?,
        );
        let api = self.cluster.api(name.kind, &name.namespace);
        let patched = api.patch(&name.name, &PatchParams::default(), &patch).await;
        patched
            .map(drop)
            .map_err(TakeoverError::object("patch", name))
    }

    async fn has_ready_pods(
        &self,
        name: &ObjectName,
        labels: &str,
    ) -> Result<State, TakeoverError> {
        let select = Select::LabelledIn(&name.namespace, labels);
        let pods = self.cluster.list(Kind::Pod, select).await?;
        if pods.iter().any(is_ready) {
            return Ok(State::Done);
        }
        Ok(State::Waits(format!(
            "no ready pod with {labels}: start the interceptors"
        )))
    }

    /// Whether a slice of ours, or of the cluster's own controller, has a ready endpoint.
    async fn has_slices(&self, name: &ObjectName, is_ours: bool) -> Result<State, TakeoverError> {
        let slices = self.cluster.slices(name, is_ours).await?;
        let is_serving = |slice: &Object| {
            let endpoints = slice.list("/endpoints").iter();
            let mut ready = endpoints.filter(|e| e["conditions"]["ready"] != false);
            ready.next().is_some()
        };
        if slices.iter().any(is_serving) {
            return Ok(State::Done);
        }
        let whose = if is_ours {
            "no address of an activator yet: does `zeron controller` run with --alias-namespace, \
             and are activators ready?"
        } else {
            "no address of an interceptor yet"
        };
        Ok(State::Waits(whose.to_owned()))
    }

    async fn drop_slices(&self, name: &ObjectName, are_ours: bool) -> Result<(), TakeoverError> {
        for slice in self.cluster.slices(name, are_ours).await? {
            self.delete(&slice.id()).await?;
        }
        Ok(())
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), TakeoverError> {
        let api = self.cluster.api(name.kind, &name.namespace);
        match api.delete(&name.name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(TakeoverError::object("delete", name)(error)),
        }
    }
}
