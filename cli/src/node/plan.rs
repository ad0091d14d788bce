//! What should run and what leads to it: the outcome of reconciling, and how two of them differ.

use std::collections::BTreeMap;
use std::sync::Arc;

use zeron_core::policy::{Scaling, TriggerSource};
use zeron_core::route::RoutedFunction;
use zeron_core::{Function, FunctionId, Route, RouteSnapshot, ScalePolicy};

/// Every function and route of this machine at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) functions: BTreeMap<FunctionId, Arc<Function>>,
    pub(crate) routes: Vec<Route>,
}

/// What must be told to the parts to get from one plan to the next.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// New or changed functions.
    pub(crate) applied: Vec<Arc<Function>>,
    /// Functions that are gone.
    pub(crate) removed: Vec<FunctionId>,
}

impl Plan {
    /// The steps from `self` to `next`.
    pub(crate) fn difference(&self, next: &Self) -> Difference {
        let is_new = |f: &&Arc<Function>| self.functions.get(&f.id) != Some(*f);
        let is_gone = |id: &&FunctionId| !next.functions.contains_key(*id);
        Difference {
            applied: next.functions.values().filter(is_new).cloned().collect(),
            removed: self.functions.keys().filter(is_gone).cloned().collect(),
        }
    }

    /// What the data plane needs to know.
    pub(crate) fn snapshot(&self) -> RouteSnapshot {
        let functions = self.functions.values().map(|function| RoutedFunction {
            is_wake_allowed: is_wake_allowed(&function.scale),
            wake_count: wake_count(&function.scale),
            function: Arc::clone(function),
        });
        RouteSnapshot {
            routes: self.routes.clone(),
            functions: functions.collect(),
        }
    }
}

/// A request may wake a function that scales on requests and is not paused.
fn is_wake_allowed(policy: &ScalePolicy) -> bool {
    let pause = policy.pause;
    let scales_on_requests = policy.groups.iter().any(|group| match &group.scaling {
        Scaling::Knative(_) | Scaling::Http(_) => true,
        Scaling::Metric(metric) => metric
            .triggers
            .iter()
            .any(|t| matches!(t.source, TriggerSource::Http(_))),
    });
    scales_on_requests && !pause.is_frozen && pause.at.is_none() && !pause.scale_out
}

/// What a wake-up asks for at least: min, activation scale, one.
fn wake_count(policy: &ScalePolicy) -> u32 {
    let ask = |group: &zeron_core::policy::TriggerGroup| match &group.scaling {
        Scaling::Knative(knative) => group.min.max(knative.activation_scale),
        Scaling::Http(_) | Scaling::Metric(_) => group.min,
    };
    policy.groups.iter().map(ask).max().unwrap_or(0).max(1)
}
