//! Who owns a host: its oldest claim's namespace; and of two equal rules the older one counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use zeron_core::route::HostPattern;
use zeron_core::{Route, Timestamp};

use super::changes::Conflict;
use super::few::Few;
use super::key::ObjectKey;
use super::options::CatchAll;

/// The age of an object, then its name: of two claims the smaller one is first.
pub(super) type Rank = (Timestamp, ObjectKey);

/// All hosts that objects claim.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// By host: who claims it, with which rules.
    claims: HashMap<HostPattern, Few<Claim>>,
    /// By object: its rank and hosts.
    hosts_of: HashMap<ObjectKey, (Timestamp, Few<HostPattern>)>,
}

/// Who claims a host, with which rules; the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    rank: Rank,
    rules: Few<Rule>,
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
        catch_all: &CatchAll,
    ) -> BTreeSet<ObjectKey> {
        let mut wanted: BTreeMap<HostPattern, Few<Rule>> = BTreeMap::new();
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
                let claim = self.claim_of(host, &(*rank, object.clone()));
                let is_kept = *rank == created && wanted.get(host) == claim.map(|c| &c.rules);
                if !is_kept {
                    self.withdraw(object, *rank, host, &mut touched);
                }
            }
        }
        for (host, rules) in &wanted {
            // What is not allowed stands in nobody's way.
            if *host == HostPattern::Any && !catch_all.allows(&object.namespace) {
                continue;
            }
            let claims = self.claims.entry(host.clone()).or_default();
            let claim = Claim {
                rank: (created, object.clone()),
                rules: rules.clone(),
            };
            let owner = owning_namespace(claims);
            if claims.insert(claim.clone()) {
                affected(claims, owner.as_ref(), &claim, &mut touched);
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
        let owner = owning_namespace(claims);
        let is_its = |claim: &&Claim| claim.rank.0 == rank && claim.rank.1 == *object;
        let Some(claim) = claims.iter().find(is_its).cloned() else {
            return;
        };
        claims.remove(&claim);
        affected(claims, owner.as_ref(), &claim, touched);
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
            let claim = self.claim_of(host, &rank)?;
            let owner = claim
                .rules
                .iter()
                .find_map(|rule| self.owner(object, host, rule))?;
            Some(Conflict::Host {
                host: shown(host),
                owner: owner.clone(),
            })
        })
    }

    fn claim_of(&self, host: &HostPattern, rank: &Rank) -> Option<&Claim> {
        let claims = self.claims.get(host)?;
        claims.iter().find(|claim| claim.rank == *rank)
    }

    /// Who has a host, or that rule of it, rather than `object`.
    fn owner(&self, object: &ObjectKey, host: &HostPattern, rule: &Rule) -> Option<&ObjectKey> {
        let claims = self.claims.get(host)?;
        let first = &claims.iter().next()?.rank.1;
        if first.namespace != object.namespace {
            return Some(first);
        }
        // Of the owner's namespace: the oldest object with that rule.
        let same = |claim: &&Claim| {
            claim.rank.1.namespace == object.namespace && claim.rules.contains(rule)
        };
        let oldest = &claims.iter().find(same)?.rank.1;
        Some(oldest).filter(|oldest| *oldest != object)
    }
}

/// The namespace of the oldest claim.
fn owning_namespace(claims: &Few<Claim>) -> Option<Arc<str>> {
    let first = claims.iter().next()?;
    Some(Arc::clone(&first.rank.1.namespace))
}

/// Whoever fares differently because `claim` came or went: all, where the host has another owner;
/// else the younger ones of the namespace that have one of its rules.
fn affected(
    claims: &Few<Claim>,
    owner_before: Option<&Arc<str>>,
    claim: &Claim,
    touched: &mut BTreeSet<ObjectKey>,
) {
    let is_other_owner = owning_namespace(claims).as_ref() != owner_before;
    let is_rival = |other: &&Claim| {
        other.rank > claim.rank
            && other.rank.1.namespace == claim.rank.1.namespace
            && other.rules.iter().any(|rule| claim.rules.contains(rule))
    };
    let found = claims
        .iter()
        .filter(|other| is_other_owner || is_rival(other));
    touched.extend(found.map(|other| other.rank.1.clone()));
}

fn shown(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Wildcard(suffix) => format!("*.{suffix}"),
        HostPattern::Any => "*".to_owned(),
    }
}
