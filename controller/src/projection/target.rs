//! What a function's replicas are written to, as its object says it now.

use std::sync::Arc;

use zeron_backend_kubernetes::{ScaleTarget, TargetPort};
use zeron_core::FunctionId;

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
        let Facts::Target(facts) = &entry.facts else {
            return None;
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
}
