//! Who decides for which functions where several autoscalers share them by Knative's buckets.

use std::sync::Arc;

use crate::id::FunctionId;

/// Angles of the circle on which buckets lie.
const UNIVERSE: u64 = 1 << 11;
/// What is hashed behind a key to find where on the circle it begins to look.
const START_SALT: &str = "start-angle-salt";

/// Buckets by name, and Knative's rule (`ChooseSubset` of its `pkg/hash`, for a subset of one) by
/// which a key falls into one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSet {
    /// In textual order, on which the rule depends.
    names: Box<[Arc<str>]>,
}

impl BucketSet {
    /// The buckets of Knative's autoscaler: `autoscaler-bucket-II-of-NN`.
    pub fn of_autoscaler(count: u32) -> Self {
        let name = |index| format!("autoscaler-bucket-{index:02}-of-{count:02}");
        Self::new((0..count).map(name))
    }

    /// Buckets of these names, whatever their order.
    pub fn new(names: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Self {
        let mut names: Vec<Arc<str>> = names.into_iter().map(Into::into).collect();
        names.sort();
        names.dedup();
        Self {
            names: names.into(),
        }
    }

    /// Their names, in textual order.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Which bucket the key `namespace/name` falls into: an index into [`names`](Self::names),
    /// 0 where there are none.
    pub fn bucket_of(&self, namespace: &str, name: &str) -> usize {
        if self.names.len() < 2 {
            return 0;
        }
        let key = [namespace, "/", name];
        let start = fnv(fnv_all(OFFSET, &key), START_SALT) % UNIVERSE;
        let mut taken: Vec<u64> = Vec::with_capacity(self.names.len());
        for bucket in &self.names {
            let mut hash = fnv_all(fnv(OFFSET, bucket), &key);
            // Two at one angle: the later one moves on, salted with its own hash.
            while taken.contains(&(hash % UNIVERSE)) {
                hash = fnv(hash, &format!("{hash:x}"));
            }
            taken.push(hash % UNIVERSE);
        }
        let distance = |angle: &u64| (angle + UNIVERSE - start) % UNIVERSE;
        let nearest = taken.iter().enumerate().min_by_key(|(_, it)| distance(it));
        nearest.map_or(0, |(index, _)| index)
    }
}

/// FNV-1a of 64 bits: what it begins with.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// Goes on hashing where `hash` stopped.
fn fnv(hash: u64, text: &str) -> u64 {
    text.bytes().fold(hash, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn fnv_all(hash: u64, texts: &[&str]) -> u64 {
    texts.iter().fold(hash, |hash, text| fnv(hash, text))
}

/// Another autoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// As it calls itself, unique among the living: `<pod name>_<pod address>`.
    pub name: Arc<str>,
    /// Where it takes stats, `host:port`, in the order in which they are to be tried.
    pub addresses: Arc<[String]>,
}

/// Who decides for a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nobody, as far as is known.
    Nobody,
    /// This process.
    Us,
    /// Somebody else.
    Other(Holder),
}

/// Who owns which bucket at one moment. Immutable; a change publishes a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    buckets: Arc<BucketSet>,
    owners: Box<[Owner]>,
}

impl Ownership {
    /// Nothing is known yet.
    pub fn unknown(buckets: Arc<BucketSet>) -> Self {
        Self::new(buckets, |_| Owner::Nobody)
    }

    /// With the owner of each bucket, by its index.
    pub fn new(buckets: Arc<BucketSet>, owner: impl FnMut(usize) -> Owner) -> Self {
        let owners = (0..buckets.names().len()).map(owner).collect();
        Self { buckets, owners }
    }

    /// The same, when this process has given up what was its own.
    #[must_use]
    pub fn without_us(&self) -> Self {
        Self::new(Arc::clone(&self.buckets), |index| {
            match &self.owners[index] {
                Owner::Us | Owner::Nobody => Owner::Nobody,
                other @ Owner::Other(_) => other.clone(),
            }
        })
    }

    /// The bucket of a function, and who owns it; `None` without buckets. The function's kind does
    /// not count: a Revision and the objects named like it are one.
    pub fn owner_of(&self, function: &FunctionId) -> Option<(&Arc<str>, &Owner)> {
        let index = self
            .buckets
            .bucket_of(function.namespace(), function.name());
        Some((self.buckets.names().get(index)?, self.owners.get(index)?))
    }

    /// Whether this process decides for the function.
    pub fn owns(&self, function: &FunctionId) -> bool {
        matches!(self.owner_of(function), Some((_, Owner::Us)))
    }

    /// Who owns the bucket of that name; `None`: there is no such bucket.
    pub fn owner(&self, bucket: &str) -> Option<&Owner> {
        let mut all = self.buckets.names().iter().zip(&self.owners);
        all.find_map(|(name, owner)| (**name == *bucket).then_some(owner))
    }

    /// Whether this process owns the bucket of that name.
    pub fn leads(&self, bucket: &str) -> bool {
        self.owner(bucket) == Some(&Owner::Us)
    }

    /// The buckets of this process.
    pub fn held(&self) -> impl Iterator<Item = &Arc<str>> {
        let all = self.buckets.names().iter().zip(&self.owners);
        all.filter_map(|(name, owner)| (*owner == Owner::Us).then_some(name))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::Value;

    use super::*;

    #[test]
    fn keys_fall_into_the_buckets_of_the_original() {
        let file: Value =
            serde_json::from_str(include_str!("../tests/vectors/bucket-owners.json")).unwrap();
        let sets: Vec<BucketSet> = (1..=10).map(BucketSet::of_autoscaler).collect();
        for (set, names) in sets.iter().zip(file["bucket_names"].as_array().unwrap()) {
            let names = names.as_array().unwrap().iter().map(|it| it.as_str());
            assert!(names.eq(set.names().iter().map(|it| Some(&**it))));
        }
        let cases = file["owners"].as_array().unwrap();
        assert_eq!(cases.len(), 150);
        for case in cases {
            let (namespace, name) = case["key"].as_str().unwrap().split_once('/').unwrap();
            let found = sets.iter().map(|set| set.bucket_of(namespace, name) as u64);
            let wanted = case["owner"].as_array().unwrap().iter();
            assert!(
                wanted.map(|it| it.as_u64().unwrap()).eq(found),
                "{namespace}/{name}"
            );
        }
    }

    #[test]
    fn a_function_is_owned_with_its_bucket_whatever_its_kind() {
        let buckets = Arc::new(BucketSet::of_autoscaler(3));
        let (mine, other) = (
            FunctionId::new("k", "Revision", "x"),
            FunctionId::new("default", "Revision", "f"),
        );
        let holder = Holder {
            name: "a_10.0.0.1".into(),
            addresses: ["10.0.0.1:8080".to_owned()].into(),
        };
        let ownership = Ownership::new(buckets, |index| match index {
            1 => Owner::Us,
            0 => Owner::Other(holder.clone()),
            _ => Owner::Nobody,
        });
        assert!(ownership.owns(&mine) && ownership.owns(&FunctionId::new("k", "Metric", "x")));
        assert!(ownership.leads("autoscaler-bucket-01-of-03"));
        assert!(!ownership.leads("autoscaler-bucket-00-of-03"));
        let (bucket, owner) = ownership.owner_of(&other).unwrap();
        assert_eq!(&**bucket, "autoscaler-bucket-00-of-03");
        assert_eq!(owner, &Owner::Other(holder));
    }
}
