//! Reads a survey from a cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use zeron_backend_kubernetes::shards::member_lease;

use super::error::TakeoverError;
use super::liveness::{LeaseWatch, Life};
use super::marks::{HTTP_ADD_ON_LEASE, KEDA_LEASE};
use super::object::{Kind, Object, ObjectName};
use super::survey::{Part, Survey};
use crate::services::annotations::{ACTIVATOR, PORTS};

/// Objects per page of a list.
const PAGE: u32 = 500;
/// How often leases are looked at.
pub(super) const LOOK: Duration = Duration::from_millis(500);
/// Our own leases are renewed every other second; no longer than this is waited to see it, or them.
const PROOF: Duration = Duration::from_secs(6);

const DECLARED: [Kind; 8] = [
    Kind::ScaledObject,
    Kind::ScaledJob,
    Kind::TriggerAuthentication,
    Kind::ClusterTriggerAuthentication,
    Kind::CloudEventSource,
    Kind::ClusterCloudEventSource,
    Kind::HttpScaledObject,
    Kind::InterceptorRoute,
];
const PART_NAMES: [&str; 6] = [
    "keda-operator",
    "keda-add-ons-http-controller-manager",
    "keda-add-ons-http-operator",
    "keda-add-ons-http-external-scaler",
    "keda-add-ons-http-scaler",
    "keda-add-ons-http-interceptor",
];
const PROXY_NAME: &str = "keda-add-ons-http-interceptor-proxy";
const DEFINITIONS: [&str; 8] = [
    "scaledobjects.keda.sh",
    "scaledjobs.keda.sh",
    "triggerauthentications.keda.sh",
    "clustertriggerauthentications.keda.sh",
    "cloudeventsources.eventing.keda.sh",
    "clustercloudeventsources.eventing.keda.sh",
    "httpscaledobjects.http.keda.sh",
    "interceptorroutes.http.keda.sh",
];

/// Label of an EndpointSlice: whose Service.
const SERVICE: &str = "kubernetes.io/service-name";
/// Label of an EndpointSlice: who writes it.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The namespace of our own leases.
    pub zeron: String,
    /// Only the KEDA of this namespace; all that there are when it is not given.
    pub keda: Option<String>,
}

/// Reads surveys, and remembers what leases looked like before.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) cluster: Cluster,
    places: Places,
    watches: BTreeMap<ObjectName, LeaseWatch>,
}

impl Reader {
    /// Reads from `client`'s cluster.
    pub fn new(client: Client, places: Places) -> Self {
        Self {
            cluster: Cluster(client),
            places,
            watches: BTreeMap::new(),
        }
    }

    /// All that a plan needs, with the leases as they look now.
    ///
    /// # Errors
    /// When something cannot be read. Kinds that the cluster does not have are no error.
    pub async fn survey(&mut self) -> Result<Survey, TakeoverError> {
        let mut survey = Survey::default();
        for kind in DECLARED {
            survey
                .objects
                .extend(self.cluster.list(kind, Select::All).await?);
        }
        survey.autoscalers = self
            .cluster
            .list(Kind::HorizontalPodAutoscaler, Select::All)
            .await?;
        survey.parts = self.parts().await?;
        (survey.proxies, survey.strays) = self.proxies(&survey).await?;
        survey.leftovers = self.leftovers(&survey.proxies).await?;
        survey.opted = self.opted().await?;
        for name in DEFINITIONS {
            let name = ObjectName::new(Kind::CustomResourceDefinition, "", name);
            survey.definitions.extend(self.cluster.get(&name).await?);
        }
        survey.registrations = self.registrations().await?;
        survey.leases = self.leases().await?;
        survey.shards = self.shards().await?;
        Ok(survey)
    }

    /// The same, having seen our own autoscalers renew their leases if they do.
    ///
    /// # Errors
    /// As [`Self::survey`].
    pub async fn survey_with_proof(&mut self) -> Result<Survey, TakeoverError> {
        let until = Instant::now() + PROOF;
        while Instant::now() < until {
            let shards = self.shards().await?;
            // They may have started a moment ago, and hold none or some of their leases yet.
            let seen = Survey {
                shards,
                ..Survey::default()
            };
            if seen.are_shards_held(true) {
                break;
            }
            sleep(LOOK).await;
        }
        self.survey().await
    }

    /// KEDA's leases, and the HTTP add-on's.
    pub(super) async fn leases(&mut self) -> Result<Vec<(ObjectName, Life)>, TakeoverError> {
        let mut leases = Vec::new();
        for name in [KEDA_LEASE, HTTP_ADD_ON_LEASE] {
            leases.extend(self.cluster.list(Kind::Lease, Select::Named(name)).await?);
        }
        if let Some(namespace) = &self.places.keda {
            leases.retain(|lease| lease.namespace() == namespace);
        }
        Ok(self.observed(&leases))
    }

    async fn shards(&mut self) -> Result<Vec<(ObjectName, Life)>, TakeoverError> {
        let namespace = self.places.zeron.clone();
        let mut leases = self
            .cluster
            .list(Kind::Lease, Select::In(&namespace))
            .await?;
        leases.retain(|lease| lease.name().starts_with("zeron-autoscaler-"));
        Ok(with_their_holders(self.observed(&leases)))
    }

    fn observed(&mut self, leases: &[Object]) -> Vec<(ObjectName, Life)> {
        let now = Instant::now();
        let mut lives = Vec::with_capacity(leases.len());
        for lease in leases {
            let watch = self.watches.entry(lease.id()).or_default();
            lives.push((lease.id(), watch.observe(Some(lease), now)));
        }
        lives
    }

    async fn parts(&self) -> Result<Vec<Object>, TakeoverError> {
        let labelled = Select::Labelled("app.kubernetes.io/part-of=keda-operator");
        let mut parts = self.cluster.list(Kind::Deployment, labelled).await?;
        for name in PART_NAMES {
            parts.extend(
                self.cluster
                    .list(Kind::Deployment, Select::Named(name))
                    .await?,
            );
        }
        parts.sort_by_key(Object::id);
        parts.dedup_by_key(|part| part.id());
        if let Some(namespace) = &self.places.keda {
            parts.retain(|part| part.namespace() == namespace);
        }
        Ok(parts)
    }

    /// The add-on's Service of its name, but for those that zeron made by itself; and others that
    /// select interceptors for requests.
    async fn proxies(
        &self,
        survey: &Survey,
    ) -> Result<(Vec<Object>, Vec<ObjectName>), TakeoverError> {
        let mut proxies = self
            .cluster
            .list(Kind::Service, Select::Named(PROXY_NAME))
            .await?;
        proxies.retain(|service| {
            let is_here = |keda: &String| service.namespace() == keda;
            self.places.keda.as_ref().is_none_or(is_here) && !is_our_own(service)
        });
        let mut strays = Vec::new();
        for part in survey.parts_of(Part::Interceptor) {
            let select = Select::In(part.namespace());
            let services = self.cluster.list(Kind::Service, select).await?;
            let others = services
                .iter()
                .filter(|s| s.name() != PROXY_NAME && is_proxy(s, part));
            strays.extend(others.map(Object::id));
        }
        Ok((proxies, strays))
    }

    /// Services without a selector that still lead to their own pods.
    async fn leftovers(&self, proxies: &[Object]) -> Result<Vec<ObjectName>, TakeoverError> {
        let mut leftovers = Vec::new();
        for service in proxies.iter().filter(|s| !s.has("/spec/selector")) {
            let name = service.id();
            if !self.cluster.slices(&name, false).await?.is_empty() {
                leftovers.push(name);
            }
        }
        Ok(leftovers)
    }

    async fn opted(&self) -> Result<Vec<ObjectName>, TakeoverError> {
        let services = self.cluster.list(Kind::Service, Select::All).await?;
        let is_opted = |service: &&Object| {
            let marks = [ACTIVATOR, PORTS];
            marks.iter().any(|mark| service.annotation(mark).is_some())
        };
        Ok(services.iter().filter(is_opted).map(Object::id).collect())
    }

    async fn registrations(&self) -> Result<Vec<Object>, TakeoverError> {
        let mut found = Vec::new();
        let webhook = ObjectName::new(Kind::ValidatingWebhookConfiguration, "", "keda-admission");
        found.extend(self.cluster.get(&webhook).await?);
        let metrics = ObjectName::new(Kind::ApiService, "", "v1beta1.external.metrics.k8s.io");
        let metrics = self.cluster.get(&metrics).await?.filter(|service| {
            let behind = service.text("/spec/service/name").unwrap_or_default();
            behind.starts_with("keda")
        });
        found.extend(metrics);
        Ok(found)
    }
}

fn is_our_own(service: &Object) -> bool {
    service.label(crate::alias::LABEL) == Some("true")
}

/// Whether a Service leads requests, not an administrator, to pods of `part`.
fn is_proxy(service: &Object, part: &Object) -> bool {
    let labels = part.value.pointer("/spec/template/metadata/labels");
    let selector = service
        .value
        .pointer("/spec/selector")
        .and_then(Value::as_object);
    let (Some(labels), Some(selector)) = (labels, selector) else {
        return false;
    };
    let is_of_requests = |port: &Value| {
        let target = &port["targetPort"];
        target == "proxy" || target == "proxy-tls" || target == 8080 || target == 8443
    };
    !selector.is_empty()
        && selector
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
        && service.list("/spec/ports").iter().any(is_of_requests)
}

/// Which objects of a kind.
#[derive(Clone, Copy, Debug)]
pub(super) enum Select<'a> {
    All,
    In(&'a str),
    Named(&'a str),
    Labelled(&'a str),
    LabelledIn(&'a str, &'a str),
}

/// Objects of any kind, by name.
#[derive(Clone)]
pub(super) struct Cluster(pub(super) Client);

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cluster")
    }
}

impl Cluster {
    pub(super) fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        let resource = kind.resource();
        if namespace.is_empty() {
            Api::all_with(self.0.clone(), &resource)
        } else {
            Api::namespaced_with(self.0.clone(), namespace, &resource)
        }
    }

    /// All that are selected; none when the cluster does not know the kind.
    pub(super) async fn list(
        &self,
        kind: Kind,
        select: Select<'_>,
    ) -> Result<Vec<Object>, TakeoverError> {
        let base = ListParams::default().limit(PAGE);
        let (namespace, mut params) = match select {
            Select::All => ("", base),
            Select::In(namespace) => (namespace, base),
            Select::Named(name) => ("", base.fields(&format!("metadata.name={name}"))),
            Select::Labelled(labels) => ("", base.labels(labels)),
            Select::LabelledIn(namespace, labels) => (namespace, base.labels(labels)),
        };
        let api = self.api(kind, namespace);
        let mut objects = Vec::new();
        loop {
            let page = match api.list(&params).await {
                Ok(page) => page,
                Err(error) if is_missing(&error) => return Ok(objects),
                Err(error) => return Err(TakeoverError::list(kind)(error)),
            };
            for item in page.items {
                objects.push(decoded(kind, &item)?);
            }
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                return Ok(objects);
            }
        }
    }

    /// The EndpointSlices of a Service that we write, or those that others do.
    pub(super) async fn slices(
        &self,
        service: &ObjectName,
        are_ours: bool,
    ) -> Result<Vec<Object>, TakeoverError> {
        let labels = format!("{SERVICE}={}", service.name);
        let select = Select::LabelledIn(&service.namespace, &labels);
        let mut slices = self.list(Kind::EndpointSlice, select).await?;
        slices.retain(|slice| {
            let writer = slice.label(MANAGED_BY).unwrap_or_default();
            writer.contains("zeron") == are_ours
        });
        Ok(slices)
    }

    /// One object, if it is there.
    pub(super) async fn get(&self, name: &ObjectName) -> Result<Option<Object>, TakeoverError> {
        match self.api(name.kind, &name.namespace).get(&name.name).await {
            Ok(object) => decoded(name.kind, &object).map(Some),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(TakeoverError::object("read", name)(error)),
        }
    }
}

/// 404, for an object and for a kind.
pub(super) fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

pub(super) fn decoded(kind: Kind, object: &DynamicObject) -> Result<Object, TakeoverError> {
    let value = serde_json::to_value(object).map_err(|error| {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        TakeoverError::Encoding(format!("{kind} {name}"), error)
    })?;
    Ok(Object::new(kind, value))
}

/// Shards, each as alive as its holder: a shard's lease only says whose it is, and its holder's
/// own lease is the one that is renewed.
fn with_their_holders(leases: Vec<(ObjectName, Life)>) -> Vec<(ObjectName, Life)> {
    let (shards, members): (Vec<_>, Vec<_>) = leases
        .into_iter()
        .partition(|(lease, _)| lease.name.contains("-of-"));
    let of_holder = |life: Life| {
        let (Life::Held { holder, .. } | Life::Renewed { holder }) = &life else {
            return life;
        };
        let name = member_lease(holder);
        let member = members.iter().find(|(lease, _)| lease.name == name);
        member.map_or(Life::Absent, |(_, life)| life.clone())
    };
    let shards = shards.into_iter();
    shards
        .map(|(lease, life)| (lease, of_holder(life)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(name: &str, life: Life) -> (ObjectName, Life) {
        (ObjectName::new(Kind::Lease, "zeron-system", name), life)
    }

    #[test]
    fn a_shard_is_held_by_whoever_shows_that_it_lives() {
        let held = |holder: &str| Life::Held {
            holder: holder.to_owned(),
            stale_in: Duration::from_secs(900),
        };
        let renewed = || Life::Renewed {
            holder: "a".to_owned(),
        };
        let lives = with_their_holders(vec![
            lease("zeron-autoscaler-00-of-3", held("a")),
            lease("zeron-autoscaler-01-of-3", held("gone")),
            lease("zeron-autoscaler-02-of-3", Life::Released),
            lease("zeron-autoscaler-member-a", renewed()),
        ]);
        let lives: Vec<Life> = lives.into_iter().map(|(_, life)| life).collect();
        assert_eq!(lives, [renewed(), Life::Absent, Life::Released]);
    }
}
