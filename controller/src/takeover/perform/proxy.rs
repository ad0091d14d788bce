//! The Service of the HTTP add-on's interceptors: to our activators and back.
//!
//! Callers reach somebody at every moment. There: the selector goes and is kept, the slices stay; the
//! controller, which sees the kept selector, writes ours beside them; then the old ones go. Back: the
//! selector comes, its own slices follow, then the mark and ours go; routes stay until kube-proxy and
//! other readers of slices have followed.

use kube::api::DeleteParams;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::parts::{is_ready, selector};
use super::{Listener, Performer, Progress, State, is_missing};
use crate::services::LINGER;
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
        if service.has("/spec/selector") {
            self.take_selector(&service).await?;
        }
        let reached = self
            .until(step, listener, || self.has_slices(name, true))
            .await;
        if let Err(error) = reached {
            // Nobody keeps its slices up now: better to lead to the interceptors again.
            self.return_selector(name).await?;
            return Err(error);
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
        let before = kept_selector(&service)?;
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
        self.drop_slices(name, true).await?;
        listener(Progress::Waits(format!(
            "{step}: callers may be led to activators for {} s more",
            LINGER.as_secs()
        )));
        sleep(LINGER).await;
        Ok(())
    }

    /// Keeps the selector and takes it away in one write, of the very version that was read. The
    /// slices that there are stay as they are.
    async fn take_selector(&self, service: &Object) -> Result<(), TakeoverError> {
        let annotations = json!({
            ADOPTED_FROM: Origin::HttpAddOn.as_str(),
            SELECTOR_BEFORE: service.value["spec"]["selector"].to_string(),
        });
        let metadata = json!({
            "resourceVersion": service.text("/metadata/resourceVersion"),
            "annotations": annotations,
        });
        let patch = json!({ "metadata": metadata, "spec": { "selector": null } });
        self.patch(&service.id(), patch).await
    }

    async fn return_selector(&self, name: &ObjectName) -> Result<(), TakeoverError> {
        let Some(service) = self.cluster.get(name).await? else {
            return Ok(());
        };
        let selector = kept_selector(&service)?;
        let annotations = json!({ ADOPTED_FROM: null, SELECTOR_BEFORE: null });
        let metadata = json!({ "annotations": annotations });
        let patch = json!({ "metadata": metadata, "spec": { "selector": selector } });
        self.patch(name, patch).await
    }

    /// Those that callers inside the cluster use by their own names. The first that cannot be given
    /// back ends it: what it leads to must go on being routed.
    pub(super) async fn return_services(
        &self,
        namespace: Option<&str>,
        listener: Listener<'_>,
    ) -> Result<(), TakeoverError> {
        let client = self.cluster.0.clone();
        let services = crate::services::hand_back(client, namespace).await;
        for service in services.map_err(TakeoverError::list(Kind::Service))? {
            let name = ObjectName::new(Kind::Service, &service.namespace, &service.name);
            match service.outcome {
                Ok(()) => listener(Progress::Notes(format!("{name} has its own pods again"))),
                Err(source) => {
                    return Err(TakeoverError::Service {
                        service: name,
                        source: Box::new(source),
                    });
                }
            }
        }
        Ok(())
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

fn kept_selector(service: &Object) -> Result<Value, TakeoverError> {
    let kept = service.annotation(SELECTOR_BEFORE).unwrap_or("{}");
    let unreadable =
        |error| TakeoverError::Encoding(format!("selector of {}", service.id()), error);
    serde_json::from_str(kept).map_err(unreadable)
}
