//! Buckets by number: a StatefulSet's replicas own one each, without Leases.

use std::sync::Arc;

use zeron_core::{BucketSet, Holder, Owner, Ownership};

use super::config::BucketsConfig;

/// Which replica of which StatefulSet this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordinals {
    /// Our number, from 0.
    pub own: u32,
    /// The StatefulSet's name.
    pub set: String,
    /// The headless Service that names its pods.
    pub service: String,
    /// Where its pods take statistics.
    pub port: String,
    /// How buckets' names begin; part of what is hashed.
    pub protocol: String,
}

impl Ordinals {
    /// As Knative's replicas read them: `STATEFUL_CONTROLLER_ORDINAL` (`<set>-<number>`),
    /// `STATEFUL_SERVICE_NAME`, `STATEFUL_SERVICE_PORT`, `STATEFUL_SERVICE_PROTOCOL`. `None`
    /// without the first two.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let id = var("STATEFUL_CONTROLLER_ORDINAL")?;
        let (set, own) = id.rsplit_once('-')?;
        let or = |name, default: &str| var(name).unwrap_or_else(|| default.to_owned());
        Some(Self {
            own: own.parse().ok()?,
            set: set.to_owned(),
            service: var("STATEFUL_SERVICE_NAME")?,
            port: or("STATEFUL_SERVICE_PORT", "80"),
            protocol: or("STATEFUL_SERVICE_PROTOCOL", "http"),
        })
    }

    /// Who owns what, for ever.
    pub(super) fn ownership(&self, config: &BucketsConfig) -> Ownership {
        let address = |index: u32| {
            format!(
                "{}-{index}.{}.{}.svc.{}:{}",
                self.set, self.service, config.namespace, config.cluster_domain, self.port
            )
        };
        let name = |index| format!("{}://{}", self.protocol, address(index));
        let buckets = Arc::new(BucketSet::new((0..config.count).map(name)));
        let own = usize::try_from(self.own).ok();
        let owner = |index| match Some(index) == own {
            true => Owner::Us,
            false => {
                let name = Arc::clone(&buckets.names()[index]);
                let address = name.split_once("://").map_or(&*name, |(_, it)| it);
                Owner::Other(Holder {
                    addresses: [address.to_owned()].into(),
                    name,
                })
            }
        };
        Ownership::new(Arc::clone(&buckets), owner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use zeron_core::FunctionId;

    use super::*;

    fn var(name: &str) -> Option<String> {
        let value = match name {
            "STATEFUL_CONTROLLER_ORDINAL" => "auto-scaler-1",
            "STATEFUL_SERVICE_NAME" => "autoscaler",
            "STATEFUL_SERVICE_PORT" => "8080",
            "STATEFUL_SERVICE_PROTOCOL" => "ws",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn the_bucket_of_our_number_is_ours_and_others_are_found_by_name() {
        let ordinals = Ordinals::from_vars(var).unwrap();
        let mut config = BucketsConfig::new("ns", "auto-scaler-1", "10.0.0.1".parse().unwrap());
        config.count = 3;
        let ownership = ordinals.ownership(&config);
        let own = "ws://auto-scaler-1.autoscaler.ns.svc.cluster.local:8080";
        assert!(ownership.held().map(|it| &**it).eq([own]));
        let first = own.replace("scaler-1", "scaler-0");
        let Some(Owner::Other(holder)) = ownership.owner(&first) else {
            panic!("{ownership:?}");
        };
        assert_eq!(
            *holder.addresses,
            [first.trim_start_matches("ws://").to_owned()]
        );
        let all = (0..100).map(|index| FunctionId::new("ns", "Revision", &format!("f{index}")));
        let ours = all.filter(|function| ownership.owns(function)).count();
        assert!((10..60).contains(&ours), "{ours}");
    }

    #[test]
    fn without_its_variables_there_is_no_number() {
        for missing in ["STATEFUL_CONTROLLER_ORDINAL", "STATEFUL_SERVICE_NAME"] {
            let read = Ordinals::from_vars(|name| var(name).filter(|_| name != missing));
            assert_eq!(read, None);
        }
    }
}
