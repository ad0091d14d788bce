//! A registry for each namespace whose triggers may reach something else than those of others.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use zeron_core::metric::Unknown;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, ScalerRegistry, TriggerProblem};

use crate::registry::Registry;

/// Sources that act on behalf of the namespace of a trigger: no client, and nothing that was read,
/// is shared by two namespaces. As many registries as namespaces that had triggers.
pub struct PerNamespace {
    make: Box<dyn Fn(&str) -> Registry + Send + Sync>,
    /// What is the same for all: types and their parameters.
    common: Registry,
    registries: Mutex<HashMap<String, Arc<Registry>>>,
}

impl fmt::Debug for PerNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerNamespace")
            .field("namespaces", &self.registries.lock().len())
            .finish_non_exhaustive()
    }
}

impl PerNamespace {
    /// `make` makes the registry of a namespace; `common` knows the types.
    pub fn new(common: Registry, make: impl Fn(&str) -> Registry + Send + Sync + 'static) -> Self {
        Self {
            make: Box::new(make),
            common,
            registries: Mutex::default(),
        }
    }

    fn of(&self, namespace: &str) -> Arc<Registry> {
        let mut registries = self.registries.lock();
        if let Some(found) = registries.get(namespace) {
            return Arc::clone(found);
        }
        let made = Arc::new((self.make)(namespace));
        registries.insert(namespace.to_owned(), Arc::clone(&made));
        made
    }
}

impl ScalerRegistry for PerNamespace {
    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        self.common.validate(trigger)
    }

    fn is_built_in(&self, kind: &str) -> bool {
        self.common.is_built_in(kind)
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let namespace = &trigger.object.namespace;
        let bound = self.of(namespace).bind(trigger)?;
        // Two registries may call their sources the same, and those are not to be read together.
        Ok(BoundTrigger {
            source: format!("{namespace}/{}", bound.source).into(),
            ..bound
        })
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {

    use super::*;
    use crate::address::AddressPolicy;

    fn trigger(namespace: &str) -> TriggerSpec {
        let metadata = [
            ("url", "http://stats.shop/"),
            ("valueLocation", "jobs"),
            ("targetValue", "1"),
        ];
        let mut trigger = crate::testkit::spec("metrics-api", &metadata, &[]);
        trigger.object.namespace = namespace.to_owned();
        trigger
    }

    #[test]
    fn namespaces_share_no_client_and_triggers_of_one_do() {
        let make = |_: &str| Registry::builtin(AddressPolicy::CLUSTER);
        let registry = PerNamespace::new(make(""), make);
        assert!(registry.is_built_in("metrics-api"));
        assert_eq!(registry.validate(&trigger("shop")), []);
        let bind = |namespace| registry.bind(&trigger(namespace)).unwrap();
        let (first, second, other) = (bind("shop"), bind("shop"), bind("mail"));
        assert_eq!(first.source, second.source);
        assert!(Arc::ptr_eq(&first.scaler, &second.scaler));
        assert_ne!(first.source, other.source);
        assert!(!Arc::ptr_eq(&first.scaler, &other.scaler));
    }
}
