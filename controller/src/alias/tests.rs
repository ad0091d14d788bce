#![allow(clippy::unwrap_used)]

use std::num::NonZeroU16;

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::names::{ALIASES, ActivatorPorts};
use super::reconcile::{AliasOptions, Keeper};
use super::standing::{LABEL, Standing, slices};
use crate::services::annotations::SELECTOR;
use crate::services::tests::cluster::in_cluster;
use crate::services::{ActivatorPod, SliceApi};

fn service(labels: &Value, annotations: &Value, selector: &Value) -> Service {
    serde_json::from_value(json!({
        "metadata": {
            "name": ALIASES[0].name, "namespace": "keda", "uid": "u",
            "labels": labels, "annotations": annotations,
        },
        "spec": {
            "selector": selector, "ipFamilies": ["IPv4"],
            "ports": [{ "name": "proxy", "port": 8080, "targetPort": "proxy" }],
        },
    }))
    .unwrap()
}

fn ports() -> ActivatorPorts {
    let port = |number| NonZeroU16::new(number).unwrap();
    ActivatorPorts {
        http: port(8080),
        https: None,
        health: port(8081),
    }
}

fn pod() -> ActivatorPod {
    ActivatorPod {
        name: "a".to_owned(),
        uid: "a".to_owned(),
        node: None,
        addresses: vec!["10.0.0.1".parse().unwrap()],
        is_ready: true,
        is_ending: false,
    }
}

#[test]
fn only_services_made_here_are_ours() {
    let nothing = || json!({});
    let ours = service(&json!({ LABEL: "true" }), &nothing(), &Value::Null);
    assert_eq!(Standing::of(Some(&ours)), Standing::Ours);
    let foreign = service(&nothing(), &nothing(), &json!({ "app": "interceptor" }));
    assert_eq!(Standing::of(Some(&foreign)), Standing::Foreign);
    let bare = service(&nothing(), &nothing(), &Value::Null);
    assert_eq!(Standing::of(Some(&bare)), Standing::Foreign);
    assert_eq!(Standing::of(None), Standing::Missing);
}

#[test]
fn a_service_that_was_taken_over_is_led_until_its_selector_is_back() {
    let kept = json!({ SELECTOR: r#"{"app":"interceptor"}"# });
    let taken = service(&json!({}), &kept, &Value::Null);
    assert!(Standing::of(Some(&taken)).is_led());
    let back = service(&json!({}), &kept, &json!({ "app": "interceptor" }));
    assert_eq!(Standing::of(Some(&back)), Standing::Foreign);
}

#[test]
fn slices_have_the_names_that_the_services_ports_have() {
    let found = service(&json!({ LABEL: "true" }), &json!({}), &Value::Null);
    let pod = pod();
    let slices = slices(&ALIASES[0], &found, &ports(), &[&pod]);
    let port = &slices[0].ports.as_ref().unwrap()[0];
    assert_eq!(
        (port.name.as_deref(), port.port),
        (Some("proxy"), Some(8080))
    );
    assert_eq!(slices[0].endpoints[0].addresses, ["10.0.0.1"]);
}

#[tokio::test]
async fn aliases_are_made_and_removed_and_those_of_others_stay() {
    in_cluster(
        "aliases_are_made_and_removed_and_those_of_others_stay",
        |place| async move {
            let api: Api<Service> = Api::namespaced(place.client.clone(), &place.namespace);
            let foreign = json!({
                "metadata": { "name": ALIASES[1].name },
                "spec": { "selector": { "app": "interceptor" }, "ports": [{ "port": 9090 }] },
            });
            let foreign = serde_json::from_value(foreign).unwrap();
            api.create(&PostParams::default(), &foreign).await.unwrap();
            let mut options = AliasOptions {
                namespace: Some(place.namespace.clone()),
                namespaces: vec![place.namespace.clone()],
                http: ports().http,
                https: None,
                health: ports().health,
                instance: "test".to_owned(),
            };
            let keeper = Keeper::new(place.client.clone(), options.clone());
            for _ in 0..2 {
                assert!(keeper.once(&place.namespace, &[&pod()]).await);
            }
            let slices = SliceApi::new(place.client.clone());
            let made = slices
                .list(&place.namespace, ALIASES[0].name)
                .await
                .unwrap();
            assert_eq!(made.len(), 1);
            assert_eq!(made[0].endpoints[0].addresses, ["10.0.0.1"]);
            let left = api.get(ALIASES[1].name).await.unwrap();
            assert_eq!(Standing::of(Some(&left)), Standing::Foreign);
            let of_left = slices
                .list(&place.namespace, ALIASES[1].name)
                .await
                .unwrap();
            assert!(of_left.iter().all(|s| s.endpoints.is_empty()));

            options.namespace = None;
            let keeper = Keeper::new(place.client.clone(), options);
            keeper.remove_former().await.unwrap();
            assert!(api.get_opt(ALIASES[0].name).await.unwrap().is_none());
            assert!(api.get_opt(ALIASES[1].name).await.unwrap().is_some());
        },
    )
    .await;
}
