//! Requests that the HTTP add-on's interceptors still have.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::{ApiResource, Patch, PatchParams, PostParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::{Api, discovery};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{Listener, Patience, Performer, Progress, is_missing};
use crate::takeover::error::TakeoverError;
use crate::takeover::object::{Kind, Object, ObjectName};
use crate::takeover::read::Select;
use crate::takeover::step::Step;

use super::parts::is_ready;

/// Where interceptors say what they hold, unless their pods name another port.
const ADMIN_PORT: u64 = 9090;
/// So long interceptors must have had nothing, for connections that are between two requests.
const QUIET: Duration = Duration::from_secs(3);
/// After so long, new requests come on connections that callers keep open.
const KEPT_OPEN: Duration = Duration::from_secs(30);

/// What an interceptor says of one route.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Count {
    #[serde(default)]
    concurrency: u64,
    /// All that it ever had.
    #[serde(default)]
    request_count: u64,
}

/// What interceptors have, and had.
#[derive(Debug, Default)]
pub(super) struct Held {
    in_flight: BTreeMap<String, u64>,
    ever: u64,
    /// An interceptor that did not say, and may have any: which, and why.
    silent: Option<String>,
}

/// A scale target: API version, kind, namespace, name.
type Target = (String, String, String, String);

impl Performer {
    /// Wakes what is at zero and has requests waiting at an interceptor: KEDA does not any more,
    /// and we do not see them. Returns what interceptors have.
    pub(super) async fn wake_held(
        &self,
        interceptor: &ObjectName,
        listener: Listener<'_>,
    ) -> Result<Held, TakeoverError> {
        let held = self.held(interceptor).await?;
        for (route, count) in held.in_flight.iter().filter(|(_, count)| **count > 0) {
            let Some((target, scaled)) = self.target_of(route).await? else {
                continue;
            };
            if self.wake(&target).await? {
                // Without it the cooldown is counted from our own first decision.
                if let Some(scaled) = scaled
                    && let Err(error) = self.note_active(&scaled).await
                {
                    listener(Progress::Notes(error.to_string()));
                }
                let (_, kind, namespace, name) = &target;
                let text = format!("woke {kind} {namespace}/{name}: {count} requests wait for it");
                listener(Progress::Notes(text));
            }
        }
        Ok(held)
    }

    pub(super) async fn await_drained(
        &self,
        interceptor: &ObjectName,
        step: &Step,
        listener: Listener<'_>,
    ) -> Result<(), TakeoverError> {
        let mut patience = Patience::new(self.options.timeout);
        let began = Instant::now();
        let mut last: Option<(u64, Instant)> = None;
        loop {
            let held = self.wake_held(interceptor, listener).await?;
            let in_flight: u64 = held.in_flight.values().sum();
            let is_calm = |(ever, _): &(u64, Instant)| {
                *ever == held.ever && in_flight == 0 && held.silent.is_none()
            };
            let (_, since) =
                *last.insert(last.filter(is_calm).unwrap_or((held.ever, Instant::now())));
            let is_quiet = since.elapsed() >= QUIET;
            // Connections that callers keep open end gracefully with their interceptor.
            if in_flight == 0 && (is_quiet || began.elapsed() >= KEPT_OPEN) {
                return Ok(());
            }
            let state = held
                .silent
                .unwrap_or_else(|| format!("{in_flight} in flight"));
            patience.wait(step, state, listener).await?;
        }
    }

    /// Requests in flight by route (`namespace/name`), over all interceptor pods.
    async fn held(&self, interceptor: &ObjectName) -> Result<Held, TakeoverError> {
        let mut held = Held::default();
        let Some(deployment) = self.cluster.get(interceptor).await? else {
            return Ok(held);
        };
        let pods = self.pods_of(&deployment).await?;
        for pod in pods.iter().filter(|pod| is_ready(pod)) {
            match self.counts_of(pod).await {
                Ok(counts) => {
                    for (route, count) in counts {
                        *held.in_flight.entry(route).or_default() += count.concurrency;
                        held.ever += count.request_count;
                    }
                }
                // An interceptor that does not answer must not stop the take-over.
                Err(error) => {
                    let text = format!("{} does not say what it holds: {error}", pod.id());
                    held.silent = Some(text);
                }
            }
        }
        Ok(held)
    }

    async fn counts_of(&self, pod: &Object) -> Result<BTreeMap<String, Count>, kube::Error> {
        let request = question(pod, ("admin", ADMIN_PORT), "queue")?;
        self.cluster.0.request(request).await
    }

    /// As KEDA notes what it wakes: from then on the cooldown counts, ours and later KEDA's again.
    async fn note_active(&self, scaled: &ObjectName) -> Result<(), TakeoverError> {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let patch = Patch::Merge(json!({ "status": { "lastActiveTime": now.to_string() } }));
        let api = self.cluster.api(scaled.kind, &scaled.namespace);
        let params = PatchParams::default();
        match api.patch_status(&scaled.name, &params, &patch).await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(TakeoverError::object("write the status of", scaled)(error)),
        }
    }

    /// What scales behind a route, and the ScaledObject that does it: the one whose trigger names the
    /// InterceptorRoute or the HTTPScaledObject. Without any it is the target of the HTTPScaledObject.
    async fn target_of(
        &self,
        route: &str,
    ) -> Result<Option<(Target, Option<ObjectName>)>, TakeoverError> {
        let Some((namespace, name)) = route.split_once('/') else {
            return Ok(None);
        };
        let scaled = self
            .cluster
            .list(Kind::ScaledObject, Select::In(namespace))
            .await?;
        let names_it = |scaled: &&Object| {
            scaled.list("/spec/triggers").iter().any(|trigger| {
                let metadata = &trigger["metadata"];
                metadata["interceptorRoute"] == name || metadata["httpScaledObject"] == name
            })
        };
        if let Some(scaled) = scaled.iter().find(names_it) {
            return Ok(target(scaled).map(|target| (target, Some(scaled.id()))));
        }
        let object = ObjectName::new(Kind::HttpScaledObject, namespace, name);
        let object = self.cluster.get(&object).await?;
        Ok(object
            .as_ref()
            .and_then(target)
            .map(|target| (target, None)))
    }

    /// One replica where there is none; never fewer than there are. True when it wrote.
    async fn wake(&self, target: &Target) -> Result<bool, TakeoverError> {
        let (api_version, kind, namespace, name) = target;
        let failed = |verb| {
            let object = ObjectName::new(Kind::Deployment, namespace, name);
            move |source| TakeoverError::object(verb, &object)(source)
        };
        let resource = self
            .resource(api_version, kind)
            .await
            .map_err(failed("find"))?;
        let client = self.cluster.0.clone();
        let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
        let mut scale = match api.get_scale(name).await {
            Ok(scale) => scale,
            Err(error) if is_missing(&error) => return Ok(false),
            Err(error) => return Err(failed("read the scale of")(error)),
        };
        let mut spec = scale.spec.take().unwrap_or_default();
        if spec.replicas.unwrap_or(0) > 0 {
            return Ok(false);
        }
        spec.replicas = Some(1);
        scale.spec = Some(spec);
        // It carries the version that was read: a write in between makes it fail.
        match api
            .replace_scale(name, &PostParams::default(), &scale)
            .await
        {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(failed("scale")(error)),
        }
    }

    async fn resource(&self, api_version: &str, kind: &str) -> Result<ApiResource, kube::Error> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        match (api_version, kind) {
            ("apps/v1", "Deployment") => Ok(Kind::Deployment.resource()),
            _ => discovery::oneshot::pinned_kind(&self.cluster.0, &gvk)
                .await
                .map(|(resource, _)| resource),
        }
    }
}

/// A GET to a port of a pod, through the API server: the port of this name, or else of this number.
pub(super) fn question(
    pod: &Object,
    (name, number): (&str, u64),
    path: &str,
) -> Result<http::Request<Vec<u8>>, kube::Error> {
    let ports = pod.list("/spec/containers").iter();
    let mut ports = ports.flat_map(|c| c["ports"].as_array().into_iter().flatten());
    let named = ports.find(|port| port["name"] == name);
    let port = named
        .and_then(|port| port["containerPort"].as_u64())
        .unwrap_or(number);
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}:{port}/proxy/{path}",
        pod.namespace(),
        pod.name()
    );
    let request = http::Request::get(path).body(Vec::new());
    request.map_err(kube::Error::HttpError)
}

fn target(object: &Object) -> Option<Target> {
    let of = |key: &str| object.text(&format!("/spec/scaleTargetRef/{key}"));
    Some((
        of("apiVersion").unwrap_or("apps/v1").to_owned(),
        of("kind").unwrap_or("Deployment").to_owned(),
        object.namespace().to_owned(),
        of("name")?.to_owned(),
    ))
}
