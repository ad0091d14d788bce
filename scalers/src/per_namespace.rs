//! A registry for each namespace whose triggers may reach something else than those of others.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use zeron_core::metric::Unknown;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{
    BoundTrigger, BoxFuture, Scaler, ScalerRegistry, TriggerHandle, TriggerProblem,
};

use crate::registry::Registry;
use crate::source::{OnChange, Readings};

/// Sources that act on behalf of the namespace of a trigger: no client, and nothing that was read,
/// is shared by two namespaces. As many registries as namespaces that have triggers: what is bound
/// keeps its own, and it goes with the last of them.
pub struct PerNamespace {
    make: Box<dyn Fn(&str) -> Registry + Send + Sync>,
    /// What is the same for all: types and their parameters.
    common: Registry,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    registries: HashMap<String, Weak<Own>>,
    /// Registries made so far.
    made: u64,
}

/// A namespace's own registry.
#[derive(Debug)]
struct Own {
    /// Unlike that of any other, also of an earlier one of this namespace: answers to triggers of
    /// that one are none to ours.
    name: String,
    registry: Registry,
}

/// A source, with the registry that it belongs to.
#[derive(Debug)]
struct Kept {
    scaler: Arc<dyn Scaler>,
    _own: Arc<Own>,
}

impl fmt::Debug for PerNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerNamespace")
            .field("namespaces", &self.state.lock().registries.len())
            .finish_non_exhaustive()
    }
}

impl PerNamespace {
    /// `make` makes the registry of a namespace; `common` knows the types.
    pub fn new(common: Registry, make: impl Fn(&str) -> Registry + Send + Sync + 'static) -> Self {
        Self {
            make: Box::new(make),
            common,
            state: Mutex::default(),
        }
    }

    fn of(&self, namespace: &str) -> Arc<Own> {
        let mut state = self.state.lock();
        if let Some(found) = state.registries.get(namespace).and_then(Weak::upgrade) {
            return found;
        }
        state.registries.retain(|_, own| own.strong_count() > 0);
        state.made += 1;
        let own = Arc::new(Own {
            name: format!("{namespace}.{}", state.made),
            registry: (self.make)(namespace),
        });
        let kept = Arc::downgrade(&own);
        state.registries.insert(namespace.to_owned(), kept);
        own
    }
}

/// What the platform measures by itself: nothing is reached on behalf of a namespace.
fn is_of_the_platform(kind: &str) -> bool {
    matches!(kind, "cpu" | "memory")
}

impl ScalerRegistry for PerNamespace {
    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        self.common.validate(trigger)
    }

    fn is_built_in(&self, kind: &str) -> bool {
        self.common.is_built_in(kind)
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        if is_of_the_platform(&trigger.kind) {
            return self.common.bind(trigger);
        }
        let own = self.of(&trigger.object.namespace);
        let bound = own.registry.bind(trigger)?;
        Ok(BoundTrigger {
            // Two registries may call their sources the same, and those are not to be read together.
            source: format!("{}/{}", own.name, bound.source).into(),
            scaler: Arc::new(Kept {
                scaler: bound.scaler,
                _own: own,
            }),
            handle: bound.handle,
        })
    }
}

impl Scaler for Kept {
    fn evaluate<'a>(
        &'a self,
        triggers: &'a [TriggerHandle],
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<Readings>> {
        self.scaler.evaluate(triggers, timeout)
    }

    fn watch(&self, trigger: TriggerHandle, on_change: OnChange) -> bool {
        self.scaler.watch(trigger, on_change)
    }

    fn push_trouble(&self, trigger: TriggerHandle) -> Option<String> {
        self.scaler.push_trouble(trigger)
    }

    fn release(&self, trigger: TriggerHandle) {
        self.scaler.release(trigger);
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    #![allow(clippy::unwrap_used)]

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

    fn registry() -> PerNamespace {
        let make = |_: &str| Registry::builtin(AddressPolicy::CLUSTER);
        PerNamespace::new(make(""), make)
    }

    fn bind(registry: &PerNamespace, namespace: &str) -> BoundTrigger {
        registry.bind(&trigger(namespace)).unwrap()
    }

    fn release(bound: BoundTrigger) {
        bound.scaler.release(bound.handle);
        drop(bound);
    }

    /// Namespaces whose registries live.
    fn living(registry: &PerNamespace) -> Vec<String> {
        let state = registry.state.lock();
        let living = state.registries.iter();
        let living = living.filter(|(_, own)| own.strong_count() > 0);
        let mut names: Vec<_> = living.map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn namespaces_share_no_client_and_triggers_of_one_do() {
        let registry = registry();
        assert!(registry.is_built_in("metrics-api"));
        assert_eq!(registry.validate(&trigger("shop")), []);
        let (first, second) = (bind(&registry, "shop"), bind(&registry, "shop"));
        let other = bind(&registry, "mail");
        assert_eq!(first.source, second.source);
        // One client's triggers differ by their handles.
        assert_ne!(first.handle, second.handle);
        assert_ne!(first.source, other.source);
        assert_eq!(first.handle, other.handle);
    }

    #[tokio::test]
    async fn a_namespaces_registry_goes_with_its_last_trigger() {
        let registry = registry();
        let (first, second) = (bind(&registry, "shop"), bind(&registry, "shop"));
        let other = bind(&registry, "mail");
        assert_eq!(living(&registry), ["mail", "shop"]);
        let source = Arc::clone(&first.source);
        release(first);
        // What is left is read as before, and new ones join it.
        let third = bind(&registry, "shop");
        assert_eq!((&third.source, &second.source), (&source, &source));
        release(second);
        release(third);
        assert_eq!(living(&registry), ["mail"]);
        release(other);
        assert!(living(&registry).is_empty());
        // One made anew is another source, though its triggers have the same handles.
        let again = bind(&registry, "shop");
        assert_ne!(again.source, source);
        assert_eq!(living(&registry), ["shop"]);
    }

    #[test]
    fn namespaces_without_triggers_are_not_kept() {
        let registry = registry();
        for number in 0..100 {
            release(bind(&registry, &format!("shop-{number}")));
        }
        let mut wrong = trigger("shop");
        wrong.metadata.remove("url");
        assert!(registry.bind(&wrong).is_err());
        let kept = registry.state.lock().registries.len();
        assert!(kept <= 1, "{kept}");
    }

    #[tokio::test]
    async fn a_read_that_is_under_way_ends_with_what_it_began() {
        let registry = registry();
        let bound = bind(&registry, "shop");
        let (scaler, handles) = (Arc::clone(&bound.scaler), [bound.handle]);
        release(bound);
        let within = Duration::from_secs(5);
        let answers = scaler.evaluate(&handles, within).await;
        assert_eq!(answers.len(), 1);
        let released = answers[0].as_ref().unwrap_err();
        assert_eq!(released.message, "the trigger was released");
        drop(scaler);
        assert!(living(&registry).is_empty());
    }
}
