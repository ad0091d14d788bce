//! Kinds that objects want to scale and that are not built in: found by discovery when they are
//! wanted.

use kube::Client;
use kube::api::ApiResource;
use kube::core::GroupVersionKind;
use kube::{Api, discovery};
use serde_json::Value;
use tracing::warn;

use super::driver::{Context, Message};
use super::raw::Raw;
use super::resource::Resource;
use crate::projection::TargetKind;

/// Looks for a kind until there is one, then says so.
pub(super) async fn find(context: Context, api_version: String, kind: String) {
    let stop = context.stop.clone();
    let work = async {
        loop {
            if let Some(found) = look(&context.client, &api_version, &kind).await {
                let message = Message::Found(Box::new(Resource::target(found)));
                // An error means that nobody follows any more.
                return context.events.send(message).await.unwrap_or_default();
            }
            tokio::time::sleep(context.options.retry_missing).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

async fn look(client: &Client, api_version: &str, kind: &str) -> Option<TargetKind> {
    if api_version.starts_with("apps/") && kind == "ReplicaSet" {
        return Some(TargetKind::replica_set());
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let resource = match discovery::pinned_kind(client, &gvk).await {
        Ok((resource, _)) => resource,
        Err(error) => {
            warn!(api_version, kind, error = %error, "this kind is not in the cluster");
            return None;
        }
    };
    let paths = scale_paths(client, &resource).await;
    Some(TargetKind {
        api_version: api_version.into(),
        kind: kind.into(),
        plural: resource.plural.as_str().into(),
        replicas_path: paths
            .0
            .unwrap_or_else(|| ".spec.replicas".to_owned())
            .into(),
        selector_path: paths.1.map(Into::into),
    })
}

/// Where the kind's definition says that the count and the selector are.
async fn scale_paths(client: &Client, resource: &ApiResource) -> (Option<String>, Option<String>) {
    let definitions = ApiResource {
        group: "apiextensions.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "apiextensions.k8s.io/v1".to_owned(),
        kind: "CustomResourceDefinition".to_owned(),
        plural: "customresourcedefinitions".to_owned(),
    };
    let api: Api<Raw> = Api::all_with(client.clone(), &definitions);
    let name = format!("{}.{}", resource.plural, resource.group);
    match api.get_opt(&name).await {
        Ok(Some(definition)) => paths_of(&definition.value, &resource.version),
        Ok(None) => (None, None),
        Err(error) => {
            warn!(definition = name, error = %error, "not read: the usual fields are assumed");
            (None, None)
        }
    }
}

/// `scale.specReplicasPath` and `scale.labelSelectorPath` of a version.
pub(super) fn paths_of(definition: &Value, version: &str) -> (Option<String>, Option<String>) {
    let versions = definition
        .pointer("/spec/versions")
        .and_then(Value::as_array);
    let is_it = |v: &&Value| v.get("name").and_then(Value::as_str) == Some(version);
    let scale = versions
        .and_then(|versions| versions.iter().find(is_it))
        .and_then(|v| v.pointer("/subresources/scale"));
    let path = |name: &str| Some(scale?.get(name)?.as_str()?.to_owned());
    (path("specReplicasPath"), path("labelSelectorPath"))
}
