//! The watches of what is reconciled.

use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, controller, watcher};
use kube::{Api, Client};

use crate::projection::ObjectKind;

/// Kinds that may have a finalizer of ours.
pub(super) const KINDS: [ObjectKind; 5] = [
    ObjectKind::ScaledObject,
    ObjectKind::ScaledJob,
    ObjectKind::TriggerAuthentication,
    ObjectKind::ClusterTriggerAuthentication,
    ObjectKind::HttpScaledObject,
];

/// Objects of a kind that are looked at at a time.
const CONCURRENCY: u16 = 8;

pub(super) fn apis(
    client: &Client,
    kind: &ObjectKind,
    namespaces: &[String],
) -> Vec<Api<DynamicObject>> {
    let resource = resource(kind);
    let is_cluster_scoped = *kind == ObjectKind::ClusterTriggerAuthentication;
    if namespaces.is_empty() || is_cluster_scoped {
        return vec![Api::all_with(client.clone(), &resource)];
    }
    let api = |n: &String| Api::namespaced_with(client.clone(), n, &resource);
    namespaces.iter().map(api).collect()
}

fn resource(kind: &ObjectKind) -> ApiResource {
    let (api_version, kind) = kind.api();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let plural = format!("{}s", kind.to_lowercase());
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), &plural)
}

pub(super) fn controller(api: Api<DynamicObject>, kind: &ObjectKind) -> Controller<DynamicObject> {
    let config = controller::Config::default().concurrency(CONCURRENCY);
    Controller::new_with(api, watcher::Config::default(), resource(kind)).with_config(config)
}

/// Looks at every HTTPScaledObject whose target a ScaledObject of its namespace scales, or that a
/// ScaledObject has the name of.
pub(super) fn with_children(
    controller: Controller<DynamicObject>,
    client: &Client,
    api: &Api<DynamicObject>,
) -> Controller<DynamicObject> {
    let store = controller.store();
    let kind = ObjectKind::ScaledObject;
    let scaled_objects = resource(&kind);
    let siblings = match api.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &scaled_objects),
        None => Api::all_with(client.clone(), &scaled_objects),
    };
    let parents = move |changed: DynamicObject| {
        let all = store.state();
        let concerned: Vec<ObjectRef<DynamicObject>> = all
            .iter()
            .filter(|parent| is_concerned(parent, &changed))
            .map(|parent| {
                ObjectRef::from_obj_with(&**parent, resource(&ObjectKind::HttpScaledObject))
            })
            .collect();
        concerned
    };
    controller.watches_with(
        siblings,
        scaled_objects,
        watcher::Config::default(),
        parents,
    )
}

fn is_concerned(parent: &DynamicObject, changed: &DynamicObject) -> bool {
    let (a, b) = (&parent.metadata, &changed.metadata);
    let name = |object: &DynamicObject, field: &str| {
        let target = &object.data["spec"]["scaleTargetRef"][field];
        target.as_str().map(str::to_owned)
    };
    let target = name(parent, "name").or_else(|| name(parent, "deployment"));
    a.namespace == b.namespace && (a.name == b.name || target == name(changed, "name"))
}
