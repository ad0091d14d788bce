//! All routes and functions, for the data plane.

use std::sync::Arc;

use zeron_core::policy::{MetricScaling, Scaling, TriggerSource, Writer};
use zeron_core::route::RoutedFunction;
use zeron_core::{Function, Route, RouteSnapshot, ScalePolicy};

use super::Projection;
use super::json::annotation;
use super::key::ObjectKey;

/// Who writes the count.
const SCALING: &str = "zeron.dev/scaling";

impl Projection {
    /// The routes that hold: without hosts that belong to others.
    pub(super) fn snapshot(&mut self) -> RouteSnapshot {
        for function in std::mem::take(&mut self.rerouted) {
            let Some(state) = self.functions.get_mut(&function) else {
                continue;
            };
            let own = |(object, route): &(ObjectKey, Arc<Route>)| {
                let hosts = self.hosts.own(object, route, &self.options.catch_all);
                if hosts == route.hosts {
                    return Some(Arc::clone(route));
                }
                let rest = Route {
                    hosts,
                    ..Route::clone(route)
                };
                Some(Arc::new(rest)).filter(|route| !route.hosts.is_empty())
            };
            state.own = state.routes.iter().filter_map(own).collect();
        }
        let mut snapshot = RouteSnapshot::default();
        for state in self.functions.values() {
            let own = state.own.iter().map(|route| Route::clone(route));
            snapshot.routes.extend(own);
            let declared = &state.declared;
            snapshot.functions.push(RoutedFunction {
                function: Arc::clone(&declared.function),
                is_wake_allowed: declared.is_wake_allowed,
                wake_count: declared.wake_count,
            });
        }
        snapshot
    }
}

impl Projection {
    /// Whether an object hands a function to somebody else who scales it by what we count
    /// (`zeron.dev/scaling: external`): then its requests are held and told of, and its count is not
    /// written. Of a function that merely nobody scales they would wait in vain.
    pub(super) fn is_scaled_elsewhere(&self, function: &Function, objects: &[ObjectKey]) -> bool {
        let scale = &function.scale;
        let is_declared = |key: &ObjectKey| {
            let object = self.object(key);
            let scaling = object.as_ref().and_then(|it| annotation(it, SCALING));
            scaling == Some("external")
        };
        scale.writer == Writer::External && !is_paused(scale) && objects.iter().any(is_declared)
    }
}

fn is_paused(scale: &ScalePolicy) -> bool {
    let pause = scale.pause;
    pause.is_frozen || pause.at.is_some() || pause.scale_out
}

/// Whether a request may wake a function: objects scale it by its requests, we write its count, and
/// nobody has paused it.
pub(super) fn is_wake_allowed(function: &Function) -> bool {
    function.scale.writer == Writer::Zeron && is_woken_by_requests(&function.scale)
}

/// The same, whoever writes its count.
pub(super) fn is_woken_by_requests(scale: &ScalePolicy) -> bool {
    !is_paused(scale)
        && scale
            .groups
            .iter()
            .any(|group| counts_requests(&group.scaling))
}

fn counts_requests(scaling: &Scaling) -> bool {
    match scaling {
        Scaling::Knative(_) | Scaling::Http(_) => true,
        Scaling::Metric(MetricScaling { triggers, .. }) => triggers
            .iter()
            .any(|trigger| matches!(trigger.source, TriggerSource::Http(_))),
    }
}

/// How many replicas a wake-up asks for: the largest of the minimum, the activation scale and 1; no
/// more than the maximum. None, where somebody else writes the count.
pub(super) fn wake_count(function: &Function) -> u32 {
    if function.scale.writer == Writer::External {
        return 0;
    }
    let groups = &function.scale.groups;
    let activation = groups.iter().map(|group| match &group.scaling {
        Scaling::Knative(knative) => knative.activation_scale,
        Scaling::Http(_) | Scaling::Metric(_) => 0,
    });
    let mins = groups.iter().map(|group| group.min);
    let wanted = mins.chain(activation).max().unwrap_or(0).max(1);
    let max = groups.iter().filter_map(|group| group.max).min();
    max.map_or(wanted, |max| wanted.min(max))
}
