//! Admission on a real API server, which must reach this process.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use support::{Place, deployment, in_cluster, scaled_object, skip};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use zeron_controller::webhook::{self, WebhookOptions};

const CONFIGURATIONS: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// An address of this machine that the API server reaches: the one that it has itself.
fn address(place: &Place) -> Option<SocketAddr> {
    let host: IpAddr = place.host.parse().ok()?;
    TcpListener::bind((host, 0)).ok()?.local_addr().ok()
}

/// Our configuration, for the place's namespace alone and without a Service.
fn configuration(place: &Place, address: SocketAddr) -> Value {
    let mut configuration = webhook::configuration(&place.namespace, &place.namespace, "none");
    for webhook in configuration["webhooks"].as_array_mut().unwrap() {
        webhook["clientConfig"] = json!({ "url": format!("https://{address}/validate") });
        webhook["namespaceSelector"] = json!({ "matchLabels": {
            "kubernetes.io/metadata.name": place.namespace,
        }});
    }
    configuration
}

#[tokio::test]
async fn the_api_server_refuses_what_the_rules_refuse_and_passes_warnings_on() {
    let name = "the_api_server_refuses_what_the_rules_refuse_and_passes_warnings_on";
    in_cluster(name, |place| async move {
        let Some(address) = address(&place) else {
            return skip(name, "the API server is not on this machine");
        };
        let configuration = configuration(&place, address);
        place.create(CONFIGURATIONS, &configuration).await.unwrap();
        let options = WebhookOptions {
            names: vec![address.ip().to_string()],
            configuration: place.namespace.clone(),
            ..WebhookOptions::new(address, &place.namespace)
        };
        let end = CancellationToken::new();
        let (shown, is_shown) = oneshot::channel();
        let is_serving = move || shown.send(()).unwrap();
        let running = webhook::run(place.client.clone(), options, is_serving, end.clone());
        let running = tokio::spawn(running);
        is_shown.await.unwrap();
        let path = format!("{CONFIGURATIONS}/{}", place.namespace);
        let named = place.get(&path).await.unwrap();
        let authority = &named["webhooks"][0]["clientConfig"]["caBundle"];
        assert!(authority.is_string(), "serving, and nobody could trust it");
        let outcome = tokio::spawn(rules(place.clone())).await;
        end.cancel();
        running.await.unwrap().unwrap();
        place
            .send(Method::DELETE, &path, "json", &json!({}))
            .await
            .unwrap();
        outcome.unwrap();
    })
    .await;
}

async fn rules(place: Place) {
    let all = place.scaled_objects();
    place
        .create(&all, &scaled_object("first", "app"))
        .await
        .unwrap();
    // As long as nobody answers everything passes: wait until the rules hold.
    let refusal = place
        .until("a second ScaledObject is refused", || async {
            let second = scaled_object("second", "app");
            let refusal = place.create(&all, &second).await.err();
            if refusal.is_none() {
                place.delete(&format!("{all}/second")).await;
            }
            refusal
        })
        .await;
    assert!(
        refusal.contains("ScaledObject first scales Deployment app"),
        "{refusal}"
    );
    let deployments = place.path("apps/v1", "deployments");
    place
        .create(&deployments, &deployment("web"))
        .await
        .unwrap();
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "theirs"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "taken"},
            "maxReplicas": 2,
        },
    });
    let autoscalers = place.path("autoscaling/v2", "horizontalpodautoscalers");
    place.create(&autoscalers, &autoscaler).await.unwrap();
    // The webhook reads what is cached, which lags a little.
    let foreign = place
        .until("a foreign autoscaler is seen", || async {
            let refusal = place
                .create(&all, &scaled_object("third", "taken"))
                .await
                .err();
            if refusal.is_none() {
                place.delete(&format!("{all}/third")).await;
            }
            refusal
        })
        .await;
    assert!(
        foreign.contains("HorizontalPodAutoscaler theirs"),
        "{foreign}"
    );
    let mut by_cpu = scaled_object("fourth", "web");
    by_cpu["spec"]["minReplicaCount"] = json!(1);
    by_cpu["spec"]["triggers"] =
        json!([{"type": "cpu", "metricType": "Utilization", "metadata": {"value": "50"}}]);
    let without = place.create(&all, &by_cpu).await.unwrap_err();
    assert!(without.contains("cpu request"), "{without}");
    answers_in_milliseconds(&place, &all).await;
}

/// The whole way through the API server, storage included.
async fn answers_in_milliseconds(place: &Place, all: &str) {
    let mut times = Vec::new();
    for n in 0..20 {
        let object = scaled_object(&format!("many-{n}"), &format!("target-{n}"));
        let start = std::time::Instant::now();
        place.create(all, &object).await.unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    eprintln!(
        "creation with admission: median {:?}, longest {:?}",
        times[10], times[19]
    );
    assert!(times[10] < Duration::from_millis(500), "{times:?}");
}
