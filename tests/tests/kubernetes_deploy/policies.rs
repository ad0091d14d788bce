//! Admission policies and pod security, on a real API server.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Error};
use serde_json::{Value, json};

use super::cluster::{Installed, installed, until};

fn workload(kind: &str, namespace: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": { "name": "web", "namespace": namespace },
        "spec": {
            "replicas": replicas,
            "serviceName": "web",
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": {
                    "schedulingGates": [{ "name": "zeron.dev/never" }],
                    "containers": [{ "name": "c", "image": "dev.local/none:x" }],
                },
            },
        },
    })
}

fn target(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind));
    Api::namespaced_with(client.clone(), namespace, &kind)
}

/// Writes a count on `/scale`.
async fn scale(client: &Client, namespace: &str, kind: &str, replicas: u32) -> Result<(), String> {
    let change = json!({ "spec": { "replicas": replicas } });
    let params = PatchParams::default();
    let api = target(client, namespace, kind);
    let outcome = api
        .patch_scale("web", &params, &Patch::Merge(&change))
        .await;
    outcome.map(|_| ()).map_err(said)
}

fn said(error: Error) -> String {
    match error {
        Error::Api(status) => status.message,
        other => other.to_string(),
    }
}

#[tokio::test]
async fn an_activator_only_raises_what_is_at_zero() {
    installed(
        "an_activator_only_raises_what_is_at_zero",
        json!({}),
        |here| async move {
            for kind in ["Deployment", "StatefulSet"] {
                only_raises(&here, kind).await;
            }
            here
        },
    )
    .await;
}

async fn only_raises(here: &Installed, kind: &str) {
    let tenant = here.tenant.as_str();
    let mut object = workload(kind, tenant, 1);
    if kind == "Deployment" {
        object["spec"]
            .as_object_mut()
            .unwrap()
            .remove("serviceName");
    }
    here.make(object).await;
    let activator = here.account("activator");
    let admin = &here.admin;
    // A write that changes nothing is refused too, once the policy is in force.
    until("the policy is in force", || async {
        matches!(scale(&activator, tenant, kind, 1).await, Err(message) if message.contains("only wakes"))
    })
    .await;
    let refused = scale(&activator, tenant, kind, 0).await.unwrap_err();
    assert!(refused.contains("only wakes what is at 0"), "{refused}");
    assert!(scale(&activator, tenant, kind, 2).await.is_err());

    scale(admin, tenant, kind, 0).await.unwrap();
    let refused = scale(&activator, tenant, kind, 1_001).await.unwrap_err();
    assert!(refused.contains("at most 1000"), "{refused}");
    assert!(scale(&activator, tenant, kind, 0).await.is_err());
    scale(&activator, tenant, kind, 3).await.unwrap();
    assert!(scale(&activator, tenant, kind, 1).await.is_err());

    // The same write that a wake-up makes.
    scale(admin, tenant, kind, 0).await.unwrap();
    // `/scale` shows no count at 0.
    let patch = json!([
        { "op": "test", "path": "/spec", "value": {} },
        { "op": "add", "path": "/spec/replicas", "value": 1 },
    ]);
    let plural = format!("{}s", kind.to_lowercase());
    let path = format!("/apis/apps/v1/namespaces/{tenant}/{plural}/web/scale");
    let request = http::Request::patch(path).header("content-type", "application/json-patch+json");
    let request = request.body(serde_json::to_vec(&patch).unwrap()).unwrap();
    activator.request_text(request).await.unwrap();
}

#[tokio::test]
async fn others_are_not_held_to_the_activators_policy() {
    installed(
        "others_are_not_held_to_the_activators_policy",
        json!({}),
        |here| async move {
            let mut object = workload("Deployment", &here.tenant, 3);
            object["spec"]
                .as_object_mut()
                .unwrap()
                .remove("serviceName");
            here.make(object).await;
            let autoscaler = here.account("autoscaler");
            until("the rights are in force", || async {
                scale(&autoscaler, &here.tenant, "Deployment", 1)
                    .await
                    .is_ok()
            })
            .await;
            scale(&autoscaler, &here.tenant, "Deployment", 0)
                .await
                .unwrap();
            here
        },
    )
    .await;
}

#[tokio::test]
async fn an_autoscaler_says_which_pod_goes_first_and_changes_nothing_else() {
    let name = "an_autoscaler_says_which_pod_goes_first_and_changes_nothing_else";
    installed(name, json!({}), |here| async move {
        here.make(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "web", "namespace": here.tenant, "labels": { "app": "web" },
                "annotations": { "theirs": "1" },
            },
            "spec": {
                "schedulingGates": [{ "name": "zeron.dev/never" }],
                "containers": [{ "name": "c", "image": "dev.local/none:x" }],
            },
        }))
        .await;
        let pods: Api<Pod> = Api::namespaced(here.account("autoscaler"), &here.tenant);
        let patch = |change: Value| {
            let pods = pods.clone();
            async move {
                let outcome = pods
                    .patch("web", &PatchParams::default(), &Patch::Merge(&change))
                    .await;
                outcome.map(|_| ()).map_err(said)
            }
        };
        let label = json!({ "metadata": { "labels": { "app": "other" } } });
        // A dry run: one that was allowed would leave nothing to change for the next.
        let dry = PatchParams::default().dry_run();
        let label = Patch::Merge(&label);
        until("the policy is in force", || async {
            let outcome = pods.patch("web", &dry, &label).await;
            outcome
                .map_err(said)
                .is_err_and(|message| message.contains("whose a pod is"))
        })
        .await;
        let cost = "controller.kubernetes.io/pod-deletion-cost";
        patch(json!({ "metadata": { "annotations": { cost: "-1000" } } }))
            .await
            .unwrap();
        patch(json!({ "metadata": { "annotations": { cost: "-900" } } }))
            .await
            .unwrap();
        patch(json!({ "metadata": { "annotations": { cost: null } } }))
            .await
            .unwrap();
        for change in [
            json!({ "metadata": { "annotations": { "theirs": "2" } } }),
            json!({ "metadata": { "annotations": { "theirs": null } } }),
            json!({ "metadata": { "annotations": { "new": "1" } } }),
            json!({ "metadata": { "ownerReferences": [
                { "apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "x" } ] } }),
            json!({ "spec": { "containers": [{ "name": "c", "image": "dev.local/other:x" }] } }),
        ] {
            assert!(patch(change.clone()).await.is_err(), "{change}");
        }
        here
    })
    .await;
}

#[tokio::test]
async fn a_tenant_cannot_take_somebody_elses_activator_port() {
    let name = "a_tenant_cannot_take_somebody_elses_activator_port";
    installed(name, json!({}), |here| async move {
        here.make(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": "tenant", "namespace": here.tenant },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "tenant" }],
        }))
        .await;
        let service = |name: &str, annotations: Value| -> Service {
            serde_json::from_value(json!({
                "metadata": { "name": name, "annotations": annotations },
                "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80 }] },
            }))
            .unwrap()
        };
        let tenant: Api<Service> = Api::namespaced(here.user("tenant"), &here.tenant);
        let params = PostParams::default();
        let claim = || json!({ "zeron.dev/activator-ports": "80=20000" });
        let stolen = service("stolen", claim());
        until("the policy is in force", || async {
            let dry = PostParams { dry_run: true, ..PostParams::default() };
            let outcome = tenant.create(&dry, &stolen).await;
            outcome.map_err(said).is_err_and(|m| m.contains("controller alone"))
        })
        .await;
        let own = service("own", json!({ "zeron.dev/activator": "true" }));
        tenant.create(&params, &own).await.unwrap();

        let change = json!({ "metadata": { "annotations": claim() } });
        let patch = PatchParams::default();
        assert!(tenant.patch("own", &patch, &Patch::Merge(&change)).await.is_err());
        let controller: Api<Service> = Api::namespaced(here.account("controller"), &here.tenant);
        controller.patch("own", &patch, &Patch::Merge(&change)).await.unwrap();

        // What is allotted may be kept in an edit of something else, and taken away.
        let edit = json!({ "metadata": { "labels": { "a": "b" } } });
        tenant.patch("own", &patch, &Patch::Merge(&edit)).await.unwrap();
        let other = json!({ "metadata": { "annotations": { "zeron.dev/activator-ports": "80=20001" } } });
        assert!(tenant.patch("own", &patch, &Patch::Merge(&other)).await.is_err());
        let gone = json!({ "metadata": { "annotations": { "zeron.dev/activator-ports": null } } });
        tenant.patch("own", &patch, &Patch::Merge(&gone)).await.unwrap();
        here
    })
    .await;
}

#[tokio::test]
async fn pods_of_ours_are_admitted_where_pod_security_is_restricted() {
    let name = "pods_of_ours_are_admitted_where_pod_security_is_restricted";
    let values = json!({ "image": { "repository": "dev.local/none", "pullPolicy": "Never" } });
    installed(name, values, |here| async move {
        let pods: Api<Pod> = Api::namespaced(here.admin.clone(), &here.namespace);
        for component in ["activator", "autoscaler", "controller"] {
            let labels = format!("app.kubernetes.io/component={component}");
            let of = ListParams::default().labels(&labels);
            until("two pods of each are admitted", || async {
                pods.list(&of).await.unwrap().items.len() >= 2
            })
            .await;
        }
        here
    })
    .await;
}

#[tokio::test]
async fn an_autoscaler_makes_jobs_of_scaled_jobs_alone() {
    let name = "an_autoscaler_makes_jobs_of_scaled_jobs_alone";
    installed(name, json!({}), |here| async move {
        let jobs: Api<Job> = Api::namespaced(here.account("autoscaler"), &here.tenant);
        let create = |jobs: &Api<Job>, owners: Value| {
            let (jobs, job) = (jobs.clone(), job(&owners));
            let dry = PostParams {
                dry_run: true,
                ..PostParams::default()
            };
            async move { jobs.create(&dry, &job).await.map(|_| ()).map_err(said) }
        };
        let owner = json!([{
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledJob", "name": "s", "controller": true,
            "blockOwnerDeletion": true, "uid": "00000000-0000-0000-0000-000000000001",
        }]);
        until("the policy is in force", || async {
            let refused = create(&jobs, json!([])).await;
            refused.is_err_and(|message| message.contains("of ScaledJobs alone"))
        })
        .await;
        create(&jobs, owner.clone()).await.unwrap();
        let platform: Api<Job> = Api::namespaced(here.account("autoscaler"), "kube-system");
        let refused = create(&platform, owner).await.unwrap_err();
        assert!(refused.contains("platform's namespaces"), "{refused}");
        here
    })
    .await;
}

fn job(owners: &Value) -> Job {
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "generateName": "work-", "ownerReferences": owners },
        "spec": { "template": { "spec": {
            "restartPolicy": "Never",
            "containers": [{ "name": "c", "image": "dev.local/none:x" }],
        } } },
    });
    serde_json::from_value(job).unwrap()
}
