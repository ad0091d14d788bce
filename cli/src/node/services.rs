//! From the catalog to a plan: each Service's revisions become functions and routes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zeron_core::policy::{KnativeScaling, Scaling};
use zeron_core::{Function, FunctionId, ObjectRef};
use zeron_frontend_knative::{AutoscalerConfig, Service};

use super::plan::Plan;
use super::revisions::{Revision, RevisionError, Revisions};
use crate::control::{Problem, Severity};
use crate::store::{Store, StoreError};
use zeron_catalog::Catalog;

/// Annotations that say how many replicas a new revision begins with.
const INITIAL_SCALE: [&str; 2] = [
    "autoscaling.knative.dev/initial-scale",
    "autoscaling.knative.dev/initialScale",
];

/// Namespace and name.
type ServiceName = (String, String);

/// The revisions of every Service, kept in the store.
#[derive(Debug)]
pub(crate) struct Services {
    store: Arc<Store>,
    known: BTreeMap<ServiceName, Revisions>,
}

/// What should run, and what it waits for.
#[derive(Debug, Default)]
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    /// New revisions and how many ready replicas each must show before it gets traffic.
    pub(crate) awaited: Vec<(FunctionId, u32)>,
    /// Services whose newest manifest cannot be followed.
    pub(crate) problems: Vec<Problem>,
    /// Share of its Service's traffic, by revision.
    pub(crate) shares: BTreeMap<FunctionId, u32>,
}

impl Services {
    /// Reads what the store remembers.
    pub(crate) fn load(store: Arc<Store>) -> Result<Self, StoreError> {
        let known = store.services()?.into_iter().collect();
        Ok(Self { store, known })
    }

    /// A new revision reached its initial scale.
    pub(crate) fn mark_ready(&mut self, function: &FunctionId) {
        for ((namespace, _), revisions) in &mut self.known {
            if namespace == function.namespace() && revisions.get(function.name()).is_some() {
                revisions.mark_ready(function.name());
            }
        }
    }

    /// Follows the catalog: makes revisions where templates changed, and plans them all.
    pub(crate) fn plan(&mut self, catalog: &Catalog) -> Planned {
        let before = self.known.clone();
        let mut planned = Planned::default();
        for function in &catalog.functions {
            planned
                .plan
                .functions
                .insert(function.id.clone(), Arc::new(function.clone()));
        }
        planned.plan.routes.clone_from(&catalog.routes);
        let mut versions: BTreeMap<ServiceName, Vec<&Service>> = BTreeMap::new();
        for service in &catalog.services {
            versions
                .entry(name_of(&service.object))
                .or_default()
                .push(service);
        }
        self.known.retain(|name, _| versions.contains_key(name));
        for (name, versions) in versions {
            self.follow(&name, &versions, &mut planned.problems);
            if let Some(service) = versions.last() {
                self.plan_service(&name, service, catalog, &mut planned);
            }
        }
        self.keep(&before);
        planned
    }

    /// Makes revisions where templates are new.
    fn follow(&mut self, name: &ServiceName, versions: &[&Service], problems: &mut Vec<Problem>) {
        let revisions = self.known.entry(name.clone()).or_default();
        let templates: Vec<_> = versions.iter().map(|s| &s.template).collect();
        let errors = revisions.follow_all(&name.1, &templates);
        if let Some(service) = versions.last() {
            let field = "spec.template.metadata.name";
            problems.extend(errors.iter().map(|e| problem(&service.object, field, e)));
        }
    }

    fn plan_service(
        &mut self,
        name: &ServiceName,
        service: &Service,
        catalog: &Catalog,
        planned: &mut Planned,
    ) {
        let Some(revisions) = self.known.get_mut(name) else {
            return;
        };
        begin_new_ones(revisions, service, &catalog.config, planned);
        let (mut targets, error) = revisions.direct(&service.traffic);
        let error = error.map(|e| problem(&service.object, "spec.traffic", &e));
        planned.problems.extend(error);
        revisions.collect(&targets);
        let routed: BTreeSet<String> = targets.iter().map(|t| t.revision.clone()).collect();
        for revision in revisions.iter() {
            let mut function = function_of(service, revision, &catalog.config, revisions);
            let is_awaited = is_newest(revisions, revision) && !revision.is_ready;
            function.scale.is_reachable = is_awaited || routed.contains(&revision.name);
            if revisions
                .latest_ready()
                .is_some_and(|r| r.name == revision.name)
            {
                catalog.bind_triggers(&service.object, &mut function);
            }
            // Template names are the author's: two Services may choose the same one.
            if let Some(other) = planned.plan.functions.get(&function.id) {
                let taken =
                    RevisionError::OtherService(revision.name.clone(), other.owner.name.clone());
                let field = "spec.template.metadata.name";
                planned
                    .problems
                    .push(problem(&service.object, field, &taken));
                targets.retain(|t| t.revision != revision.name);
                continue;
            }
            planned
                .plan
                .functions
                .insert(function.id.clone(), Arc::new(function));
        }
        for target in &targets {
            let id = FunctionId::new(&name.0, "Revision", &target.revision);
            *planned.shares.entry(id).or_default() += target.percent;
        }
        planned
            .plan
            .routes
            .extend(service.routes(&catalog.domain, &targets));
    }

    /// Writes what changed, at once. A store that fails costs the memory of revisions, not service.
    fn keep(&self, before: &BTreeMap<ServiceName, Revisions>) {
        let changed = self
            .known
            .iter()
            .filter(|(name, r)| before.get(*name) != Some(*r));
        let records: Vec<_> = changed
            .map(|((ns, name), r)| (ns.as_str(), name.as_str(), r))
            .collect();
        let gone: Vec<_> = before
            .keys()
            .filter(|n| !self.known.contains_key(*n))
            .collect();
        let written = self.store.put_services(&records);
        let deleted = gone
            .iter()
            .try_for_each(|n| self.store.delete_service(&n.0, &n.1).map(drop));
        if let Err(error) = written.and(deleted) {
            tracing::warn!(error = %zeron_core::Chain(&error), "revisions were not stored");
        }
    }
}

/// Revisions that need no replica are ready at once; others are awaited.
fn begin_new_ones(
    revisions: &mut Revisions,
    service: &Service,
    config: &AutoscalerConfig,
    planned: &mut Planned,
) {
    let Some(newest) = revisions.latest().filter(|r| !r.is_ready).cloned() else {
        return;
    };
    let function = function_of(service, &newest, config, revisions);
    let initial = knative(&function).map_or(0, |k| k.initial_scale);
    let needed = initial.max(
        function
            .scale
            .groups
            .iter()
            .map(|g| g.min)
            .max()
            .unwrap_or(0),
    );
    if needed == 0 {
        revisions.mark_ready(&newest.name);
    } else {
        planned.awaited.push((function.id, needed));
    }
}

/// Nothing serves before the first revision.
fn is_first(revisions: &Revisions, revision: &Revision) -> bool {
    let first = revisions.iter().next();
    first.is_some_and(|first| first.name == revision.name)
}

fn is_newest(revisions: &Revisions, revision: &Revision) -> bool {
    let newest = revisions.latest();
    newest.is_some_and(|newest| newest.name == revision.name)
}

/// The function of one revision. Its initial scale holds until it was reached once, or until a newer
/// one took its place; the first revision of a Service has none unless somebody asked for it.
fn function_of(
    service: &Service,
    revision: &Revision,
    config: &AutoscalerConfig,
    revisions: &Revisions,
) -> Function {
    let mut function = revision
        .template
        .function(&service.object, &revision.name, config);
    let is_asked_for = INITIAL_SCALE
        .iter()
        .any(|key| revision.template.annotations.contains_key(*key))
        || config.initial_scale != AutoscalerConfig::default().initial_scale;
    let is_past = revision.is_ready || !is_newest(revisions, revision);
    if is_past || (is_first(revisions, revision) && !is_asked_for) {
        for group in &mut function.scale.groups {
            if let Scaling::Knative(knative) = &mut group.scaling {
                knative.initial_scale = 0;
            }
        }
    }
    function
}

fn knative(function: &Function) -> Option<&KnativeScaling> {
    function
        .scale
        .groups
        .iter()
        .find_map(|group| match &group.scaling {
            Scaling::Knative(knative) => Some(knative),
            Scaling::Http(_) | Scaling::Metric(_) => None,
        })
}

fn name_of(object: &ObjectRef) -> ServiceName {
    (object.namespace.clone(), object.name.clone())
}

fn problem(object: &ObjectRef, field: &str, error: &RevisionError) -> Problem {
    Problem {
        severity: Severity::Error,
        file: None,
        line: None,
        column: None,
        object: Some(object.to_string()),
        field: Some(field.to_owned()),
        message: error.to_string(),
    }
}
