//! Compiling a snapshot and finding the rule of a request.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use zeron_core::function::Protocol;
use zeron_core::route::{Forward, HostPattern, Route, RouteAction, RouteSnapshot};
use zeron_core::{Function, FunctionId};

use super::{Action, Destination, Rule, Split};
use crate::config::{Dialect, Knative};
use crate::function::FunctionState;
use crate::knative::{self, REVISION, Revisions};

/// Longest host name that DNS allows; longer ones match no exact host.
const MAX_HOST: usize = 255;

type Functions<'a> = HashMap<&'a FunctionId, (Arc<FunctionState>, Arc<Function>)>;

/// All rules, by the port that they are kept for, and the functions that other activators may ask
/// for by name.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    shared: Hosts,
    ports: HashMap<NonZeroU16, Hosts>,
    limited: HashMap<FunctionId, Arc<Destination>>,
    /// Where requests name Revisions.
    revisions: Revisions,
    /// A snapshot was taken: what is not in here does not exist.
    is_compiled: bool,
}

/// All rules of one port, by host.
#[derive(Debug, Default)]
struct Hosts {
    exact: HashMap<Box<str>, Vec<Rule>>,
    /// By suffix, without the leading `*.`.
    wildcard: HashMap<Box<str>, Vec<Rule>>,
    any: Vec<Rule>,
}

impl RouteTable {
    /// Compiles `snapshot`; `state` gives a function's state, which outlives tables.
    pub(crate) fn compile(
        snapshot: &RouteSnapshot,
        dialect: &Dialect,
        mut state: impl FnMut(&FunctionId) -> Option<Arc<FunctionState>>,
    ) -> Self {
        let functions: Functions<'_> = snapshot
            .functions
            .iter()
            .filter(|routed| routed.function.protocol != Protocol::None)
            .filter_map(|routed| {
                let id = &routed.function.id;
                Some((id, (state(id)?, Arc::clone(&routed.function))))
            })
            .collect();
        let mut table = Self {
            is_compiled: true,
            ..Self::default()
        };
        if let Dialect::Knative(knative) = dialect {
            table.add_revisions(&functions, knative);
        }
        for route in &snapshot.routes {
            let hosts = match route.port {
                None => &mut table.shared,
                Some(port) => table.ports.entry(port).or_default(),
            };
            hosts.add(route, &functions);
        }
        for hosts in table.ports.values_mut().chain([&mut table.shared]) {
            hosts.sort();
        }
        let limited = functions.into_iter().filter_map(|(id, (state, function))| {
            function.concurrency_limit?;
            Some((id.clone(), Arc::new(Destination::plain(state, function))))
        });
        table.limited = limited.collect();
        table
    }

    fn add_revisions(&mut self, functions: &Functions<'_>, knative: &Knative) {
        let revisions = functions.iter().filter(|(id, _)| id.kind() == REVISION);
        for (state, function) in revisions.map(|(_, known)| known) {
            let (state, function) = (Arc::clone(state), Arc::clone(function));
            let passthrough = knative.has_passthrough;
            let destination = knative::destination(state, function, passthrough);
            self.revisions.insert(destination);
        }
    }

    /// A Revision, where requests name them.
    pub(crate) fn revision(&self, namespace: &str, name: &str) -> Option<&Arc<Destination>> {
        self.revisions.get(namespace, name)
    }

    pub(crate) fn revisions(&self) -> &Revisions {
        &self.revisions
    }

    /// A snapshot was taken: what is not in here does not exist.
    pub(crate) fn is_compiled(&self) -> bool {
        self.is_compiled
    }

    /// The action for a request that came to `port`, by the most specific host, then path, then
    /// headers.
    ///
    /// A host whose rules do not match leaves the request to less specific ones. A port of its own
    /// has its own rules only.
    pub(crate) fn find(
        &self,
        port: Option<NonZeroU16>,
        host: &str,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<&Arc<Action>> {
        match port {
            None => self.shared.find(host, path, headers),
            Some(port) => self.ports.get(&port)?.find(host, path, headers),
        }
    }

    /// A function with a limit, as other activators name it.
    pub(crate) fn limited(&self, function: &FunctionId) -> Option<&Arc<Destination>> {
        self.limited.get(function)
    }
}

impl Hosts {
    fn find(&self, host: &str, path: &str, headers: &HeaderMap) -> Option<&Arc<Action>> {
        let mut buffer = [0u8; MAX_HOST];
        let host = lower(host, &mut buffer).unwrap_or_default();
        if let Some(rules) = self.exact.get(host)
            && let Some(rule) = first(rules, path, headers)
        {
            return Some(&rule.action);
        }
        if !self.wildcard.is_empty() {
            // The longest suffix first; the name itself is no suffix of it.
            let mut rest = host;
            while let Some((_, suffix)) = rest.split_once('.') {
                if let Some(rules) = self.wildcard.get(suffix)
                    && let Some(rule) = first(rules, path, headers)
                {
                    return Some(&rule.action);
                }
                rest = suffix;
            }
        }
        first(&self.any, path, headers).map(|rule| &rule.action)
    }

    fn add(&mut self, route: &Route, functions: &Functions<'_>) {
        let action = Arc::new(match &route.action {
            RouteAction::Forward(forward) => Action::Forward(split(forward, functions)),
            RouteAction::Respond(response) => Action::Respond(Arc::new(response.clone())),
        });
        // A header that cannot be named cannot be sent either: such a rule never matches.
        let Some(headers) = header_matches(route) else {
            return;
        };
        for host in &route.hosts {
            let rules = match host {
                HostPattern::Exact(host) => self
                    .exact
                    .entry(host.to_ascii_lowercase().into())
                    .or_default(),
                HostPattern::Wildcard(suffix) => {
                    let suffix = suffix.trim_start_matches("*.").to_ascii_lowercase();
                    self.wildcard.entry(suffix.into()).or_default()
                }
                HostPattern::Any => &mut self.any,
            };
            rules.push(Rule {
                prefix: route.path_prefix.trim_end_matches('/').into(),
                headers: headers.clone(),
                action: Arc::clone(&action),
            });
        }
    }

    /// Longer prefixes first, then more headers; otherwise the order of the snapshot.
    fn sort(&mut self) {
        let all = self.exact.values_mut().chain(self.wildcard.values_mut());
        for rules in all.chain([&mut self.any]) {
            rules.sort_by_key(|rule| std::cmp::Reverse((rule.prefix.len(), rule.headers.len())));
            rules.shrink_to_fit();
        }
    }
}

fn first<'a>(rules: &'a [Rule], path: &str, headers: &HeaderMap) -> Option<&'a Rule> {
    rules.iter().find(|rule| rule.matches(path, headers))
}

type HeaderMatches = Vec<(HeaderName, Option<Box<[u8]>>)>;

fn header_matches(route: &Route) -> Option<HeaderMatches> {
    let named = route.headers.iter().map(|wanted| {
        let name = HeaderName::from_bytes(wanted.name.as_bytes()).ok()?;
        Some((
            name,
            wanted.value.as_ref().map(|value| value.as_bytes().into()),
        ))
    });
    named.collect()
}

fn split(forward: &Forward, functions: &Functions<'_>) -> Split {
    let fallback = forward.fallback.as_ref().and_then(|id| {
        let (state, function) = functions.get(id)?;
        let (state, function) = (Arc::clone(state), Arc::clone(function));
        Some(Arc::new(Destination::plain(state, function)))
    });
    let placeholder = forward.placeholder.clone().map(Arc::new);
    let mut total = 0;
    let weighted = forward.targets.iter().filter(|target| target.weight > 0);
    let destinations = weighted.filter_map(|target| {
        let (state, function) = functions.get(&target.function)?;
        total += u64::from(target.weight);
        let destination = Destination {
            timeouts: forward.timeouts.unwrap_or(function.timeouts),
            placeholder: placeholder.clone(),
            is_placeholder_silent: forward.is_placeholder_silent,
            fallback: fallback.clone(),
            says_cold_start: forward.cold_start_header,
            ..Destination::plain(Arc::clone(state), Arc::clone(function))
        };
        Some((total, Arc::new(destination)))
    });
    Split {
        destinations: destinations.collect(),
    }
}

/// `host` in lower case, copied only where it must be. `None` when it is too long for a name.
fn lower<'a>(host: &'a str, buffer: &'a mut [u8; MAX_HOST]) -> Option<&'a str> {
    if !host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(host);
    }
    let copy = buffer.get_mut(..host.len())?;
    copy.copy_from_slice(host.as_bytes());
    copy.make_ascii_lowercase();
    std::str::from_utf8(copy).ok()
}
