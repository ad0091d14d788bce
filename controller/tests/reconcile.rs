//! Finalizers, children and statuses on a real API server.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use support::{Place, deployment, http_scaled_object, in_cluster, scaled_object};
use tokio_util::sync::{CancellationToken, DropGuard};
use zeron_controller::events::{EventWriter, EventWriterOptions};
use zeron_controller::finalizer::{HTTP, KEDA};
use zeron_controller::projection::{ObjectKey, ObjectKind};
use zeron_controller::reconcile::{self, ReconcileOptions};
use zeron_controller::status::{StatusWriter, StatusWriterOptions};

/// Reconciles the place's namespace until it is dropped.
fn reconciled(place: &Place, is_labelled_only: bool) -> DropGuard {
    let end = CancellationToken::new();
    let options = ReconcileOptions {
        namespaces: vec![place.namespace.clone()],
        scaler_address: ReconcileOptions::SCALER_ADDRESS.to_owned(),
        is_labelled_only: Arc::new(move || is_labelled_only),
    };
    let named = EventWriterOptions {
        controller: "zeron-controller".to_owned(),
        instance: Some("test".to_owned()),
    };
    let events = EventWriter::start(place.client.clone(), named);
    let work = reconcile::run(place.client.clone(), options, events, end.clone());
    tokio::spawn(work);
    end.drop_guard()
}

async fn until_finalized(place: &Place, path: &str, finalizer: &str) {
    let what = format!("{path} has {finalizer}");
    place
        .until(&what, || async {
            let object = place.get(path).await?;
            let all = object["metadata"]["finalizers"].as_array()?.clone();
            all.iter().any(|f| f == finalizer).then_some(())
        })
        .await;
}

#[tokio::test]
async fn an_http_scaled_object_has_a_child_from_its_creation_to_its_end() {
    let name = "an_http_scaled_object_has_a_child_from_its_creation_to_its_end";
    in_cluster(name, |place| async move {
        let _running = reconciled(&place, false);
        let (parents, children) = (place.http_scaled_objects(), place.scaled_objects());
        let (parent, child) = (format!("{parents}/web"), format!("{children}/web"));
        place
            .create(&parents, &http_scaled_object("web", "app"))
            .await
            .unwrap();
        until_finalized(&place, &parent, HTTP).await;
        until_finalized(&place, &child, KEDA).await;
        let made = place.get(&child).await.unwrap();
        assert_eq!(made["metadata"]["labels"]["team"], "a");
        assert_eq!(made["spec"]["maxReplicaCount"], 3);
        place
            .merge(&parent, &json!({"spec": {"replicas": {"max": 7}}}))
            .await;
        place
            .until("the child follows", || async {
                let child = place.get(&child).await?;
                (child["spec"]["maxReplicaCount"] == 7).then_some(())
            })
            .await;
        let cleared = json!({"spec": {"replicas": null}, "metadata": {"labels": {"team": null}}});
        place.merge(&parent, &cleared).await;
        place
            .until("what the parent drops leaves the child", || async {
                let child = place.get(&child).await?;
                let is_gone = child["spec"].get("maxReplicaCount").is_none();
                (is_gone && child["metadata"].get("labels").is_none()).then_some(())
            })
            .await;
        place.delete(&parent).await;
        place.until_gone(&parent).await;
        place.until_gone(&child).await;
    })
    .await;
}

#[tokio::test]
async fn a_child_makes_way_for_a_scaled_object_of_the_users() {
    let name = "a_child_makes_way_for_a_scaled_object_of_the_users";
    in_cluster(name, |place| async move {
        let _running = reconciled(&place, false);
        let (parents, children) = (place.http_scaled_objects(), place.scaled_objects());
        let child = format!("{children}/web");
        place
            .create(&parents, &http_scaled_object("web", "app"))
            .await
            .unwrap();
        place
            .until("the child is there", || place.get(&child))
            .await;
        place
            .create(&children, &scaled_object("mine", "app"))
            .await
            .unwrap();
        place.until_gone(&child).await;
        place.delete(&format!("{children}/mine")).await;
        place.until("the child is back", || place.get(&child)).await;
    })
    .await;
}

#[tokio::test]
async fn a_deleted_scaled_object_restores_the_replicas_of_before() {
    let name = "a_deleted_scaled_object_restores_the_replicas_of_before";
    in_cluster(name, |place| async move {
        let deployments = place.path("apps/v1", "deployments");
        place.create(&deployments, &deployment("app")).await.unwrap();
        let path = format!("{}/orders", place.scaled_objects());
        let mut object = scaled_object("orders", "app");
        object["spec"]["advanced"] = json!({"restoreToOriginalReplicaCount": true});
        place.create(&place.scaled_objects(), &object).await.unwrap();
        let writer = StatusWriter::start(place.client.clone(), StatusWriterOptions::default());
        let key = ObjectKey::new(ObjectKind::ScaledObject, &place.namespace, "orders");
        let target = json!({"group": "apps", "version": "v1", "kind": "Deployment", "resource": "deployments"});
        let status = json!({"originalReplicaCount": 2, "scaleTargetGVKR": target});
        writer.publish(key, Some(json!({ "status": status })));
        place
            .until("the status is written", || async {
                let object = place.get(&path).await?;
                (object["status"]["originalReplicaCount"] == 2).then_some(())
            })
            .await;
        let _running = reconciled(&place, false);
        until_finalized(&place, &path, KEDA).await;
        place.delete(&path).await;
        place.until_gone(&path).await;
        let target = place.get(&format!("{deployments}/app")).await.unwrap();
        assert_eq!(target["spec"]["replicas"], 2);
    })
    .await;
}

#[tokio::test]
async fn a_deletion_ends_though_the_target_is_gone_and_the_namespace_too() {
    let name = "a_deletion_ends_though_the_target_is_gone_and_the_namespace_too";
    in_cluster(name, |place| async move {
        let _running = reconciled(&place, false);
        let (parents, children) = (place.http_scaled_objects(), place.scaled_objects());
        let (parent, child) = (format!("{parents}/web"), format!("{children}/web"));
        place
            .create(&parents, &http_scaled_object("web", "no-such"))
            .await
            .unwrap();
        until_finalized(&place, &child, KEDA).await;
        let namespace = format!("/api/v1/namespaces/{}", place.namespace);
        place.delete(&namespace).await;
        place.until_gone(&parent).await;
        place.until_gone(&child).await;
        // It looks again after longer and longer pauses.
        place
            .until_gone_within(Duration::from_secs(180), &namespace)
            .await;
    })
    .await;
}

#[tokio::test]
async fn what_is_not_ours_keeps_its_finalizer_and_gets_none() {
    let name = "what_is_not_ours_keeps_its_finalizer_and_gets_none";
    in_cluster(name, |place| async move {
        let _running = reconciled(&place, true);
        let all = place.scaled_objects();
        let mut theirs = scaled_object("theirs", "a");
        theirs["metadata"]["finalizers"] = json!([KEDA]);
        place.create(&all, &theirs).await.unwrap();
        place.delete(&format!("{all}/theirs")).await;
        place
            .create(&all, &scaled_object("free", "b"))
            .await
            .unwrap();
        // Ours comes later in the same watch: when it is done the others were looked at.
        let mut ours = scaled_object("ours", "c");
        ours["metadata"]["labels"] = json!({"zeron.dev/manage": "true"});
        place.create(&all, &ours).await.unwrap();
        until_finalized(&place, &format!("{all}/ours"), KEDA).await;
        let theirs = place.get(&format!("{all}/theirs")).await.unwrap();
        assert_eq!(theirs["metadata"]["finalizers"], json!([KEDA]));
        let free = place.get(&format!("{all}/free")).await.unwrap();
        assert!(free["metadata"].get("finalizers").is_none());
        // Nobody else would ever end it.
        let ended = json!({"metadata": {"finalizers": null}});
        place.merge(&format!("{all}/theirs"), &ended).await;
        place.delete(&format!("{all}/ours")).await;
        place.until_gone(&format!("{all}/ours")).await;
    })
    .await;
}
