//! What the admin API needs to know of the plan: addresses, shares, problems.

use std::collections::BTreeMap;

use zeron_core::FunctionId;
use zeron_core::route::{HostPattern, RouteAction};

use super::services::Planned;
use crate::control::Problem;

/// The newest plan as people see it.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Where each function is reached, in the order of its routes.
    pub(crate) hosts: BTreeMap<FunctionId, Vec<String>>,
    /// Share of its Service's traffic, by revision.
    pub(crate) shares: BTreeMap<FunctionId, u32>,
    /// How many functions there are.
    pub(crate) functions: usize,
    /// What is wrong with the manifests as they are now.
    pub(crate) problems: Vec<Problem>,
}

impl View {
    pub(crate) fn new(planned: &Planned, mut problems: Vec<Problem>) -> Self {
        problems.extend(planned.problems.iter().cloned());
        let mut hosts: BTreeMap<FunctionId, Vec<String>> = BTreeMap::new();
        for route in &planned.plan.routes {
            let RouteAction::Forward(forward) = &route.action else {
                continue;
            };
            let Some(host) = route.hosts.first().map(host_text) else {
                continue;
            };
            let address = match route.path_prefix.as_str() {
                "/" => host,
                prefix => format!("{host}{prefix}"),
            };
            for target in &forward.targets {
                let known = hosts.entry(target.function.clone()).or_default();
                if !known.contains(&address) {
                    known.push(address.clone());
                }
            }
        }
        let functions = planned.plan.functions.len();
        Self {
            hosts,
            shares: planned.shares.clone(),
            functions,
            problems,
        }
    }
}

/// A host as it stands in an address; `*` stands for any.
fn host_text(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Exact(host) => host.clone(),
        HostPattern::Wildcard(suffix) => format!("*.{suffix}"),
        HostPattern::Any => "*".to_owned(),
    }
}
