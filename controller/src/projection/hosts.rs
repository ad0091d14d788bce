//! Who owns a host: its oldest claim's namespace; and of two equal rules the older one counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use zeron_core::route::HostPattern;
use zeron_core::{Route, Timestamp};

use super::changes::Conflict;
use super::key::ObjectKey;
use super::options::CatchAll;

/// The age of an object, then its name: of two claims the smaller one is first.
pub(super) type Rank = (Timestamp, ObjectKey);

/// All hosts that objects claim.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// By host: who claims it, with which rules.
    claims: HashMap<HostPattern, BTreeMap<Rank, BTreeSet<Rule>>>,
    /// By object: its rank and hosts.
    hosts_of: HashMap<ObjectKey, (Timestamp, BTreeSet<HostPattern>)>,
}

/// What a route matches besides its host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    path: Box<str>,
    headers: Vec<(Box<str>, Option<Box<str>>)>,
}

impl Rule {
    fn of(route: &Route) -> Self {
        let header = |h: &zeron_core::route::HeaderMatch| {
            (h.name.as_str().into(), h.value.as_deref().map(Box::from))
        };
        let mut headers: Vec<_> = route.headers.iter().map(header).collect();
        headers.sort();
        Self {
            path: route.path_prefix.as_str().into(),
            headers,
        }
    }
}

impl Hosts {
    /// Takes the claims of `object` as they are now. Returns everyone whose claims may fare
    /// differently by that.
    pub(super) fn claim<'r>(
        &mut self,
        object: &ObjectKey,
        created: Timestamp,
        routes: impl Iterator<Item = &'r Route>,
    ) -> BTreeSet<ObjectKey> {
        let mut wanted: BTreeMap<HostPattern, BTreeSet<Rule>> = BTreeMap::new();
        for route in routes.filter(|route| route.port.is_none()) {
            for host in &route.hosts {
                let rules = wanted.entry(host.clone()).or_default();
                rules.insert(Rule::of(route));
            }
        }
        let mut touched = BTreeSet::new();
        let old = self.hosts_of.remove(object);
        if let Some((rank, hosts)) = &old {
            for host in hosts {
                let is_kept = *rank == created && wanted.contains_key(host);
                if !is_kept {
                    self.withdraw(object, *rank, host, &mut touched);
                }
            }
        }
        for (host, rules) in &wanted {
            let claims = self.claims.entry(host.clone()).or_default();
            let key = (created, object.clone());
            if claims.get(&key) != Some(rules) {
                claims.insert(key, rules.clone());
                touched.extend(claims.keys().map(|(_, object)| object.clone()));
            }
        }
        if !wanted.is_empty() {
            let hosts = wanted.into_keys().collect();
            self.hosts_of.insert(object.clone(), (created, hosts));
        }
        touched.remove(object);
        touched
    }

    fn withdraw(
        &mut self,
        object: &ObjectKey,
        rank: Timestamp,
        host: &HostPattern,
        touched: &mut BTreeSet<ObjectKey>,
    ) {
        let Some(claims) = self.claims.get_mut(host) else {
            return;
        };
        claims.remove(&(rank, object.clone()));
        touched.extend(claims.keys().map(|(_, object)| object.clone()));
        if claims.is_empty() {
            self.claims.remove(host);
        }
    }

    /// The hosts of a route that are its own.
    pub(super) fn own(
        &self,
        object: &ObjectKey,
        route: &Route,
        catch_all: &CatchAll,
    ) -> Vec<HostPattern> {
        if route.port.is_some() {
            return route.hosts.clone();
        }
        let rule = Rule::of(route);
        let is_own = |host: &&HostPattern| {
            self.owner(object, host, &rule).is_none()
                && (**host != HostPattern::Any || catch_all.allows(&object.namespace))
        };
        route.hosts.iter().filter(is_own).cloned().collect()
    }

    /// The first host of `object` that it may not have, and why.
    pub(super) fn conflict(&self, object: &ObjectKey, catch_all: &CatchAll) -> Option<Conflict> {
        let (created, hosts) = self.hosts_of.get(object)?;
        let rank = (*created, object.clone());
        hosts.iter().find_map(|host| {
            if *host == HostPattern::Any && !catch_all.allows(&object.namespace) {
                return Some(Conflict::CatchAll);
            }
            let rules = self.claims.get(host)?.get(&rank)?;
            let owner = rules
                .iter()
                .find_map(|rule| self.owner(object, host, rule))?;
            Some(Conflict::Host {
                host: shown(host),
                owner: owner.clone(),
            })
        })
    }

    /// Who has a host, or that rule of it, rather than `object`.
    fn owner(&self, object: &ObjectKey, host: &HostPattern, rule: &Rule) -> Option<&ObjectKey> {
        let claims = self.claims.get(host)?;
        let (_, first) = claims.keys().next()?;
        if first.namespace != object.namespace {
            return Some(first);
        }
        // Of the owner's namespace: the oldest object with that rule.
        let same = |(key, rules): &(&Rank, &BTreeSet<Rule>)| {
            key.1.namespace == object.namespace && rules.contains(rule)
        };
        let (_, oldest) = claims.iter().find(same)?.0;
        Some(oldest).filter(|oldest| *oldest != object)
    }
}

fn shown(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Wildcard(suffix) => format!("*.{suffix}"),
        HostPattern::Any => "*".to_owned(),
    }
}
