//! What a function's replicas are written to, as its object says it now.

use std::sync::Arc;

use zeron_backend_kubernetes::jobs::JobObject;
use zeron_backend_kubernetes::{ScaleTarget, TargetPort};
use zeron_core::FunctionId;
use zeron_frontend_keda::JobTemplate;

use super::Projection;
use super::changes::Changes;
use super::facts::{Facts, TargetFacts};
use super::key::ObjectKey;

impl Projection {
    /// Takes over what changed of an object with replicas when nothing must be compiled.
    pub(super) fn retarget(&mut self, id: &FunctionId, changes: &mut Changes) {
        let Some(state) = self.functions.get(id) else {
            return;
        };
        let port = state.declared.target.port.clone();
        let Some(target) = self
            .index
            .holder(id)
            .cloned()
            .and_then(|key| self.target(&key, port))
        else {
            return;
        };
        if let Some(state) = self.functions.get_mut(id)
            && *state.declared.target != target
        {
            state.declared.target = Arc::new(target);
            changes.applied.push(state.declared.clone());
        }
    }

    pub(super) fn target(&self, holder: &ObjectKey, port: TargetPort) -> Option<ScaleTarget> {
        let entry = self.index.get(holder)?;
        let facts = match &entry.facts {
            Facts::Target(facts) => facts,
            Facts::Job(_) => return Some(self.job_target(holder)),
            _ => return None,
        };
        let TargetFacts {
            id,
            kind,
            selector,
            replicas,
            resource_version,
            failure,
            labels: _,
            is_part: _,
        } = facts.as_ref();
        Some(ScaleTarget {
            id: id.clone(),
            api_version: Arc::clone(&kind.api_version),
            kind: Arc::clone(&kind.kind),
            plural: Arc::clone(&kind.plural),
            name: Arc::clone(&holder.name),
            namespace: Arc::clone(&holder.namespace),
            uid: Some(Arc::clone(&entry.uid)).filter(|uid| !uid.is_empty()),
            resource_version: resource_version.clone(),
            selector: Arc::clone(selector),
            replicas: *replicas,
            port,
            failure: failure.clone(),
            is_deleting: entry.is_deleting,
        })
    }

    /// A ScaledJob has no count that is written, and no pods of its own.
    fn job_target(&self, holder: &ObjectKey) -> ScaleTarget {
        let (api_version, kind) = holder.kind.api();
        let entry = self.index.get(holder);
        let uid = entry.map(|entry| Arc::clone(&entry.uid));
        ScaleTarget {
            id: holder.job(),
            api_version: api_version.into(),
            kind: kind.into(),
            plural: "scaledjobs".into(),
            name: Arc::clone(&holder.name),
            namespace: Arc::clone(&holder.namespace),
            uid: uid.filter(|uid| !uid.is_empty()),
            resource_version: None,
            selector: Arc::default(),
            replicas: None,
            port: TargetPort::None,
            failure: None,
            is_deleting: entry.is_some_and(|entry| entry.is_deleting),
        }
    }

    /// What the Jobs of a ScaledJob are made of.
    pub(super) fn job(
        &self,
        holder: &ObjectKey,
        template: Option<&JobTemplate>,
    ) -> Option<Arc<JobObject>> {
        let (entry, template) = (self.index.get(holder)?, template?);
        let mut template = template.clone();
        let spec = std::mem::take(&mut template.spec);
        Some(Arc::new(JobObject {
            id: holder.job(),
            namespace: Arc::clone(&holder.namespace),
            name: Arc::clone(&holder.name),
            uid: Arc::clone(&entry.uid),
            generation: template.generation,
            labels: template.labels,
            annotations: template.annotations,
            spec,
            kept_succeeded: template.history.0,
            kept_failed: template.history.1,
            is_rolled_out_at_once: template.is_rolled_out_at_once,
            is_deleted_in_foreground: template.is_deleted_in_foreground,
            pending_pod_conditions: template.pending_pod_conditions,
        }))
    }
}
