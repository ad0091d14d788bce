//! Which Revision a request is for, and finding it.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use crate::route::Destination;

const NAMESPACE: HeaderName = HeaderName::from_static("knative-serving-namespace");
const NAME: HeaderName = HeaderName::from_static("knative-serving-revision");

/// Namespace and name of the Revision: by the two headers that gateways set, else by a host of the
/// form `name.namespace.svc.DOMAIN`. Both empty where neither names one.
pub(super) fn named<'a>(
    headers: &'a HeaderMap,
    host: &'a str,
    cluster_domain: &str,
) -> (&'a str, &'a str) {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let (namespace, name) = (
        text(&NAMESPACE).unwrap_or_default(),
        text(&NAME).unwrap_or_default(),
    );
    if !namespace.is_empty() && !name.is_empty() {
        return (namespace, name);
    }
    in_host(host, cluster_domain).unwrap_or((namespace, name))
}

fn in_host<'a>(host: &'a str, cluster_domain: &str) -> Option<(&'a str, &'a str)> {
    let mut labels = host.splitn(4, '.');
    let (name, namespace) = (labels.next()?, labels.next()?);
    let is_service = labels.next()? == "svc";
    let domain = labels.next()?;
    let domain = domain.split_once(':').map_or(domain, |(domain, _)| domain);
    (is_service && domain == cluster_domain).then_some((namespace, name))
}

/// All Revisions, by namespace and name.
#[derive(Debug, Default)]
pub(crate) struct Revisions(HashMap<Box<str>, HashMap<Box<str>, Arc<Destination>>>);

impl Revisions {
    pub(crate) fn insert(&mut self, destination: Destination) {
        let id = &destination.state.id;
        let (namespace, name) = (id.namespace().into(), id.name().into());
        let of_namespace = self.0.entry(namespace).or_default();
        of_namespace.insert(name, Arc::new(destination));
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Destination>> {
        self.0.get(namespace)?.get(name)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Destination>> {
        self.0.values().flat_map(HashMap::values)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of_host(host: &str) -> (&str, &str) {
        let found = in_host(host, "cluster.local");
        found.unwrap_or_default()
    }

    #[test]
    fn a_host_of_the_cluster_names_its_revision() {
        assert_eq!(of_host("rev.ns.svc.cluster.local"), ("ns", "rev"));
        assert_eq!(of_host("rev.ns.svc.cluster.local:8012"), ("ns", "rev"));
        for other in [
            "rev.ns.svc.cluster.locals",
            "rev.ns.svc.cluster.local.",
            "rev.ns.svc",
            "rev.ns.pod.cluster.local",
            "example.com",
            "",
        ] {
            assert_eq!(of_host(other), ("", ""), "{other}");
        }
    }

    #[test]
    fn headers_win_when_both_are_there() {
        let mut headers = HeaderMap::new();
        headers.insert(NAME, HeaderValue::from_static("other"));
        let host = "rev.ns.svc.cluster.local";
        assert_eq!(named(&headers, host, "cluster.local"), ("ns", "rev"));
        headers.insert(NAMESPACE, HeaderValue::from_static("elsewhere"));
        let by_headers = ("elsewhere", "other");
        assert_eq!(named(&headers, host, "cluster.local"), by_headers);
    }
}
