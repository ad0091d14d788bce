//! Who owns a host: its first namespace; and Knative's hosts belong to its Services.

use std::collections::{BTreeMap, BTreeSet};

use zeron_core::route::HostPattern;
use zeron_core::{ObjectRef, Route};
use zeron_manifest::{Document, Scope};

use super::inventory::Inventory;

/// Reports hosts that several namespaces claim, and routes that are the same.
pub(super) fn check(inventory: &Inventory<'_>, routes: &[(&Document, Route)], domain: &str) {
    let knative = knative_hosts(inventory, domain);
    let mut owners: BTreeMap<&HostPattern, &ObjectRef> = BTreeMap::new();
    let mut rules: BTreeMap<String, &ObjectRef> = BTreeMap::new();
    let mut reported: BTreeSet<(&ObjectRef, &HostPattern)> = BTreeSet::new();
    for (document, route) in routes {
        let scope = Scope::new(document, inventory.problems, Some(route.source.clone()));
        for host in &route.hosts {
            let owner = *owners.entry(host).or_insert(&route.source);
            let message = match host {
                HostPattern::Exact(name) if knative.contains_key(name) => {
                    format!("host {name} belongs to {}", knative[name])
                }
                _ if owner.namespace != route.source.namespace => {
                    format!(
                        "host {} belongs to {owner}, of another namespace",
                        shown(host)
                    )
                }
                _ => {
                    check_rule(&scope, route, host, &mut rules);
                    continue;
                }
            };
            if reported.insert((&route.source, host)) {
                scope.error("spec", message);
            }
        }
    }
}

/// Two routes that match the same requests: nobody could say which one counts.
fn check_rule<'r>(
    scope: &Scope<'_>,
    route: &'r Route,
    host: &HostPattern,
    rules: &mut BTreeMap<String, &'r ObjectRef>,
) {
    let mut headers = route.headers.clone();
    headers.sort_by(|a, b| (&a.name, &a.value).cmp(&(&b.name, &b.value)));
    let key = format!("{host:?} {} {headers:?}", route.path_prefix);
    let owner = *rules.entry(key).or_insert(&route.source);
    if *owner != route.source {
        let message = format!(
            "host {} with path {} leads elsewhere already, by {owner}",
            shown(host),
            route.path_prefix
        );
        scope.error("spec", message);
    }
}

/// The hosts of all Knative Services, with the Service.
fn knative_hosts<'i>(
    inventory: &'i Inventory<'_>,
    domain: &str,
) -> BTreeMap<String, &'i ObjectRef> {
    let mut hosts = BTreeMap::new();
    for read in &inventory.services {
        let tags = read
            .value
            .traffic
            .iter()
            .filter_map(|target| target.tag.as_deref());
        let prefixes = tags.map(|tag| format!("{tag}-{}", read.object.name));
        for name in prefixes.chain([read.object.name.clone()]) {
            let base = format!("{name}.{}", read.object.namespace);
            for end in [domain, "svc", "svc.cluster.local"] {
                hosts.insert(format!("{base}.{end}"), &read.object);
            }
            hosts.insert(base, &read.object);
        }
    }
    hosts
}

fn shown(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Wildcard(suffix) => format!("*.{suffix}"),
        HostPattern::Any => "*".to_owned(),
    }
}
