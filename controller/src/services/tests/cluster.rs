//! Against a real API server with its controllers: `ZERON_TEST_KUBECONFIG`.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, ready};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::way::activator;
use crate::services::annotations::{ACTIVATOR, HANDED_BACK, PORTS, SELECTOR, STATUS};
use crate::services::reconcile::Shared;
use crate::services::{Accepts, Activators, ServicesOptions, SliceApi, Workloads, hand_back, run};

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// A namespace of its own, deleted at the end.
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

/// Runs `test` in a namespace of its own, or says that it was skipped.
pub(crate) async fn in_cluster<F: Future<Output = ()>>(
    name: &str,
    test: impl FnOnce(Arc<Place>) -> F,
) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let Some(file) = std::env::var_os("ZERON_TEST_KUBECONFIG") else {
        return skip(name, "ZERON_TEST_KUBECONFIG names no cluster");
    };
    let kubeconfig = Kubeconfig::read_from(file).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    let client = Client::try_from(config).unwrap();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let namespace = format!("zeron-services-{}-{number}", std::process::id());
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let made = serde_json::from_value(json!({ "metadata": { "name": namespace } })).unwrap();
    namespaces
        .create(&PostParams::default(), &made)
        .await
        .unwrap();
    let place = Arc::new(Place {
        client,
        namespace: namespace.clone(),
    });
    let outcome = std::panic::AssertUnwindSafe(test(place))
        .catch_unwind()
        .await;
    let deleted = namespaces
        .delete(&namespace, &DeleteParams::default())
        .await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
    deleted.unwrap();
}

fn skip(name: &str, why: &str) {
    let line = format!("SKIPPED: {name}: {why}\n");
    eprint!("{line}");
    if let Some(report) = std::env::var_os("ZERON_SKIP_REPORT") {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(report)
            .unwrap();
        std::io::Write::write_all(&mut file, line.as_bytes()).unwrap();
    }
}

struct AlwaysAccepts;

impl Accepts for AlwaysAccepts {
    fn accepts(&self, _: SocketAddr) -> BoxFuture<'_, bool> {
        ready(true).boxed()
    }
}

impl Place {
    fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn make(&self, opted: bool) {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        let deployment = serde_json::from_value(json!({
            "metadata": { "name": "web" },
            "spec": {
                "replicas": 0,
                "selector": { "matchLabels": { "app": "web" } },
                "template": {
                    "metadata": { "labels": { "app": "web" } },
                    "spec": { "containers": [{ "name": "c", "image": "dev.local/none:x" }] },
                },
            },
        }));
        let params = PostParams::default();
        deployments
            .create(&params, &deployment.unwrap())
            .await
            .unwrap();
        let mut service = json!({
            "metadata": { "name": "web" },
            "spec": {
                "selector": { "app": "web" },
                "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }],
            },
        });
        if opted {
            service["metadata"]["annotations"] = json!({ ACTIVATOR: "true" });
        }
        let service = serde_json::from_value(service).unwrap();
        self.services().create(&params, &service).await.unwrap();
    }

    async fn annotate(&self, key: &str, value: Option<&str>) {
        let change = json!({ "metadata": { "annotations": { key: value } } });
        let params = PatchParams::default();
        self.services()
            .patch("web", &params, &Patch::Merge(&change))
            .await
            .unwrap();
    }

    async fn service(&self) -> Service {
        self.services().get("web").await.unwrap()
    }

    fn options(&self) -> ServicesOptions {
        ServicesOptions {
            namespaces: vec![self.namespace.clone()],
            instance: "test".to_owned(),
            linger: Duration::from_millis(50),
        }
    }

    fn shared(&self, activators: &watch::Sender<Option<Arc<Activators>>>) -> Shared {
        let behind = Arc::new(Workloads::new(self.client.clone()));
        Shared::new(
            self.client.clone(),
            &self.options(),
            activators.subscribe(),
            behind,
            Arc::new(AlwaysAccepts),
        )
    }

    /// A controller at work until the token is cancelled.
    fn controller(&self, activators: &watch::Sender<Option<Arc<Activators>>>) -> CancellationToken {
        let end = CancellationToken::new();
        let options = self.options();
        let behind = Arc::new(Workloads::new(self.client.clone()));
        let (client, activators) = (self.client.clone(), activators.subscribe());
        tokio::spawn(run(
            client,
            options,
            activators,
            behind,
            Arc::new(AlwaysAccepts),
            end.clone(),
        ));
        end
    }

    async fn until(&self, what: &str, holds: impl Fn(&Service) -> bool) -> Service {
        let end = Instant::now() + PATIENCE;
        loop {
            let service = self.service().await;
            if holds(&service) {
                return service;
            }
            assert!(Instant::now() < end, "waited in vain: {what}: {service:?}");
            sleep(LOOK).await;
        }
    }

    /// Addresses in slices, and the controllers that wrote those.
    async fn endpoints(&self) -> (Vec<String>, Vec<String>) {
        let slices = SliceApi::new(self.client.clone())
            .list(&self.namespace, "web")
            .await
            .unwrap();
        let mut addresses: Vec<String> = slices
            .iter()
            .flat_map(|slice| &slice.endpoints)
            .flat_map(|endpoint| endpoint.addresses.clone())
            .collect();
        addresses.sort();
        let label = "endpointslice.kubernetes.io/managed-by";
        let managers = slices
            .iter()
            .filter_map(|s| s.metadata.labels.as_ref()?.get(label).cloned());
        (addresses, managers.collect())
    }

    /// Waits until they are these: Kubernetes' own controller may write once more.
    async fn until_endpoints(&self, addresses: &[String], managers: &[String]) {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = self.endpoints().await;
            if found.0 == addresses && found.1 == managers {
                return;
            }
            assert!(Instant::now() < until, "{found:?}, not {addresses:?}");
            sleep(LOOK).await;
        }
    }
}

fn said<'s>(service: &'s Service, key: &str) -> Option<&'s str> {
    service
        .metadata
        .annotations
        .as_ref()?
        .get(key)
        .map(String::as_str)
}

fn selector(service: &Service) -> Option<&str> {
    service
        .spec
        .as_ref()?
        .selector
        .as_ref()?
        .get("app")
        .map(String::as_str)
}

fn is_active(service: &Service) -> bool {
    said(service, STATUS) == Some("Active") && selector(service).is_none()
}

fn is_back(service: &Service) -> bool {
    selector(service) == Some("web")
        && said(service, PORTS).is_none()
        && said(service, SELECTOR).is_none()
}

fn activators(numbers: &[u8]) -> Option<Arc<Activators>> {
    Some(Arc::new(
        numbers.iter().map(|number| activator(*number)).collect(),
    ))
}

#[tokio::test]
async fn an_opted_in_service_leads_to_activators_and_back() {
    in_cluster(
        "an_opted_in_service_leads_to_activators_and_back",
        |place| async move {
            place.make(true).await;
            let (sender, _keep) = watch::channel(activators(&[1, 2]));
            let end = place.controller(&sender);
            place.until("in", is_active).await;
            let ours = vec!["zeron.dev".to_owned()];
            let first = vec!["10.0.0.1".to_owned(), "10.0.0.2".to_owned()];
            place.until_endpoints(&first, &ours).await;

            sender.send_replace(activators(&[2, 3]));
            let moved = vec!["10.0.0.2".to_owned(), "10.0.0.3".to_owned()];
            place.until_endpoints(&moved, &ours).await;

            place.annotate(ACTIVATOR, None).await;
            place.until("back", is_back).await;
            let theirs = vec!["endpointslice-controller.k8s.io".to_owned()];
            place.until_endpoints(&[], &theirs).await;
            end.cancel();
        },
    )
    .await;
}

#[tokio::test]
async fn a_controller_killed_after_any_write_is_gone_on_with() {
    in_cluster(
        "a_controller_killed_after_any_write_is_gone_on_with",
        |place| async move {
            place.make(false).await;
            let (sender, _keep) = watch::channel(activators(&[1]));
            for writes in 0..5 {
                place.annotate(ACTIVATOR, Some("true")).await;
                place.take_steps(&sender, writes).await;
                let end = place.controller(&sender);
                place.until("in", is_active).await;
                assert_eq!(place.endpoints().await.0, ["10.0.0.1"]);
                end.cancel();

                place.annotate(ACTIVATOR, None).await;
                place.take_steps(&sender, writes).await;
                let end = place.controller(&sender);
                place.until("back", is_back).await;
                end.cancel();
            }
        },
    )
    .await;
}

impl Place {
    /// Makes the first writes of a controller that is killed after them.
    async fn take_steps(&self, activators: &watch::Sender<Option<Arc<Activators>>>, most: usize) {
        let service = self.service().await.into();
        // Refused by a version that moved: as good a point to be killed as any.
        self.shared(activators).steps(&service, most).await.ok();
    }
}

#[tokio::test]
async fn a_selector_that_is_applied_again_is_taken_again() {
    in_cluster(
        "a_selector_that_is_applied_again_is_taken_again",
        |place| async move {
            place.make(true).await;
            let (sender, _keep) = watch::channel(activators(&[1]));
            let end = place.controller(&sender);
            place.until("in", is_active).await;
            let change = json!({ "spec": { "selector": { "app": "newer" } } });
            let params = PatchParams::default();
            place
                .services()
                .patch("web", &params, &Patch::Merge(&change))
                .await
                .unwrap();
            let taken =
                |s: &Service| is_active(s) && said(s, SELECTOR) == Some(r#"{"app":"newer"}"#);
            place.until("taken again", taken).await;
            end.cancel();
        },
    )
    .await;
}

#[tokio::test]
async fn handing_back_needs_no_controller() {
    in_cluster("handing_back_needs_no_controller", |place| async move {
        place.make(true).await;
        let (sender, _keep) = watch::channel(activators(&[1]));
        let end = place.controller(&sender);
        place.until("in", is_active).await;
        end.cancel();
        let done = hand_back(place.client.clone(), Some(&place.namespace))
            .await
            .unwrap();
        assert!(done.iter().all(|d| d.outcome.is_ok()), "{done:?}");
        let service = place.service().await;
        assert!(is_back(&service), "{service:?}");
        assert_eq!(said(&service, HANDED_BACK), Some("true"));
    })
    .await;
}

#[tokio::test]
async fn ports_are_unique_in_the_cluster() {
    in_cluster("ports_are_unique_in_the_cluster", |place| async move {
        place.make(true).await;
        let copy = json!({
            "metadata": { "name": "copy", "annotations": { ACTIVATOR: "true", PORTS: "80=20000" } },
            "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": 8080 }] },
        });
        let (sender, _keep) = watch::channel(activators(&[1]));
        let end = place.controller(&sender);
        let first = place.until("in", is_active).await;
        let mut made: Service = serde_json::from_value(copy).unwrap();
        let port = said(&first, PORTS).unwrap().to_owned();
        let annotations = made.metadata.annotations.as_mut().unwrap();
        annotations.insert(PORTS.to_owned(), port.clone());
        place
            .services()
            .create(&PostParams::default(), &made)
            .await
            .unwrap();
        let until = Instant::now() + PATIENCE;
        let copied = loop {
            let copy = place.services().get("copy").await.unwrap();
            if is_active(&copy) {
                break copy;
            }
            assert!(Instant::now() < until, "the copy is not led");
            sleep(LOOK).await;
        };
        assert_ne!(said(&copied, PORTS), Some(port.as_str()));
        assert_eq!(said(&place.service().await, PORTS), Some(port.as_str()));
        end.cancel();
    })
    .await;
}

#[tokio::test]
async fn a_service_without_a_function_gets_an_event() {
    in_cluster(
        "a_service_without_a_function_gets_an_event",
        |place| async move {
            let service = json!({
                "metadata": { "name": "web", "annotations": { ACTIVATOR: "true" } },
                "spec": { "selector": { "app": "nobody" }, "ports": [{ "port": 80 }] },
            });
            let service = serde_json::from_value(service).unwrap();
            place
                .services()
                .create(&PostParams::default(), &service)
                .await
                .unwrap();
            let (sender, _keep) = watch::channel(activators(&[1]));
            let end = place.controller(&sender);
            let refused = |s: &Service| said(s, STATUS).is_some_and(|t| t.contains("no function"));
            let service = place.until("refused", refused).await;
            assert_eq!(selector(&service), Some("nobody"));
            type Event = k8s_openapi::api::events::v1::Event;
            let events: Api<Event> = Api::namespaced(place.client.clone(), &place.namespace);
            let until = Instant::now() + PATIENCE;
            loop {
                let listed = events.list(&Default::default()).await.unwrap();
                let is_said = |e: &Event| e.reason.as_deref() == Some("ActivatorRefused");
                if listed.items.iter().any(is_said) {
                    break;
                }
                assert!(Instant::now() < until, "no event");
                sleep(LOOK).await;
            }
            end.cancel();
        },
    )
    .await;
}
