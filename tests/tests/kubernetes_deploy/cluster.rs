//! A copy of what is installed, under names of its own, on the cluster that `ZERON_TEST_KUBECONFIG` names.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use serde_json::{Value, json};

use super::chart::objects;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The installed copy.
pub(crate) struct Installed {
    pub(crate) admin: Client,
    config: Config,
    /// Where the processes of the copy live.
    pub(crate) namespace: String,
    /// A namespace of somebody else.
    pub(crate) tenant: String,
    made: Vec<Value>,
}

/// Runs `test` with a copy of the chart's objects, or says that it was skipped.
pub(crate) async fn installed<F: Future<Output = Installed>>(
    name: &str,
    values: Value,
    test: impl FnOnce(Installed) -> F,
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
    let admin = Client::try_from(config.clone()).unwrap();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let suffix = format!("{}-{number}", std::process::id());
    let namespace = format!("zeron-deploy-{suffix}");
    let mut made = vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": namespace, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } }),
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": format!("zeron-tenant-{suffix}") } }),
    ];
    let wanted = objects(&values, &namespace)
        .into_iter()
        .map(|object| renamed(object, &suffix));
    // Webhooks and definitions would be everybody's.
    made.extend(wanted.filter(|object| object["kind"] != "ValidatingWebhookConfiguration"));
    let installed = Installed {
        admin,
        config,
        tenant: format!("zeron-tenant-{suffix}"),
        namespace,
        made,
    };
    let made = installed.made.clone();
    let admin = installed.admin.clone();
    let work = async {
        for object in &installed.made {
            apply(&installed.admin, object).await;
        }
        test(installed).await
    };
    let outcome = std::panic::AssertUnwindSafe(work).catch_unwind().await;
    for object in made.iter().rev() {
        delete(&admin, object).await;
    }
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

pub(crate) fn skip(name: &str, why: &str) {
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

/// Objects of the whole cluster get a name of their own, and so do references to them.
fn renamed(mut object: Value, suffix: &str) -> Value {
    if object["metadata"]["namespace"].is_null() {
        extend(&mut object["metadata"]["name"], suffix);
    }
    if object["roleRef"]["kind"] == "ClusterRole" {
        extend(&mut object["roleRef"]["name"], suffix);
    }
    if object["spec"]["policyName"].is_string() {
        extend(&mut object["spec"]["policyName"], suffix);
    }
    object
}

fn extend(name: &mut Value, suffix: &str) {
    *name = json!(format!("{}-{suffix}", name.as_str().unwrap()));
}

async fn api(client: &Client, object: &Value) -> Option<Api<DynamicObject>> {
    let text = |key: &str| object[key].as_str().unwrap();
    let (group, version) = text("apiVersion")
        .split_once('/')
        .unwrap_or(("", text("apiVersion")));
    let kind = GroupVersionKind::gvk(group, version, text("kind"));
    let (resource, _) = kube::discovery::pinned_kind(client, &kind).await.ok()?;
    Some(match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    })
}

async fn apply(client: &Client, object: &Value) {
    let name = object["metadata"]["name"].as_str().unwrap();
    let params = PatchParams::apply("zeron-test").force();
    let api = api(client, object)
        .await
        .expect("the API has all kinds of the chart");
    let applied = api.patch(name, &params, &Patch::Apply(object)).await;
    applied.unwrap_or_else(|error| panic!("{}: {error}", super::chart::name(object)));
}

async fn delete(client: &Client, object: &Value) {
    let name = object["metadata"]["name"].as_str().unwrap();
    if let Some(api) = api(client, object).await {
        // What its namespace took with it is gone already.
        api.delete(name, &DeleteParams::background()).await.ok();
    }
}

impl Installed {
    /// A client as the account of one of our processes.
    pub(crate) fn account(&self, component: &str) -> Client {
        self.user(&format!(
            "system:serviceaccount:{}:zeron-{component}",
            self.namespace
        ))
    }

    /// A client as somebody.
    pub(crate) fn user(&self, name: &str) -> Client {
        let mut config = self.config.clone();
        config.auth_info.impersonate = Some(name.to_owned());
        Client::try_from(config).unwrap()
    }

    /// Makes an object as the administrator.
    pub(crate) async fn make(&self, object: Value) {
        apply(&self.admin, &object).await;
    }
}

/// `VERB GROUP/RESOURCE[/SUBRESOURCE] [NAME]`, in a namespace or in all (empty).
pub(crate) async fn may(client: &Client, namespace: &str, wish: &str) -> bool {
    let mut words = wish.split(' ');
    let (verb, resource) = (words.next().unwrap(), words.next().unwrap());
    let mut parts = resource.splitn(3, '/');
    let owned = |part: Option<&str>| part.map(str::to_owned);
    let review = SelfSubjectAccessReview {
        spec: k8s_openapi::api::authorization::v1::SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                group: owned(parts.next()),
                resource: owned(parts.next()),
                subresource: owned(parts.next()),
                name: owned(words.next()),
                namespace: Some(namespace.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..Default::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await.unwrap();
    answer.status.is_some_and(|status| status.allowed)
}

/// Tries until the outcome is as wanted: policies and roles need a moment to take effect.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < end, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
