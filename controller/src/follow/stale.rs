//! Kinds that were read before and cannot be read any more: what was last seen of them stays.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// A gauge by kind: lists and watches of it, each of a namespace or of all, that fail so.
#[derive(Clone, Debug, Default)]
pub(super) struct StaleKinds(Family<KindLabel, Gauge>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: String,
}

impl StaleKinds {
    pub(super) fn of(&self, kind: &str) -> Gauge {
        let kind = kind.to_owned();
        self.0.get_or_create_owned(&KindLabel { kind })
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "zeron_declared_kind_is_stale",
            "Whether objects of this kind stay as they were last read, because it is missing or forbidden",
            self.0.clone(),
        );
    }
}
