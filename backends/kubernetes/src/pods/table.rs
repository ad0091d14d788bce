//! All pods and all targets, joined by an index of label pairs: never pods times functions.

mod addresses;
mod count;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use zeron_core::{EndpointSnapshot, FunctionId, Timestamp};

use super::interner::{Interner, Symbol};
use super::pod::Pod;
use super::raw::RawPod;
use super::shape::Shape;
use super::snapshot;
use super::trouble::Patience;
use crate::target::ScaleTarget;

use addresses::Addresses;
pub(crate) use count::CountChange;
use count::{Count, Told};

/// A pod's place.
type Slot = u32;
/// Namespace, label, value.
type Pair = (Symbol, Symbol, Symbol);

/// What a sink is told.
pub(crate) type Publication = (FunctionId, Option<Arc<EndpointSnapshot>>);

/// The pods of the cluster and the functions that they belong to.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) names: Interner,
    patience: Patience,
    pods: Vec<Option<Pod>>,
    free: Vec<Slot>,
    by_name: HashMap<(Symbol, Arc<str>), Slot>,
    by_label: HashMap<Pair, Vec<Slot>>,
    /// Kept from the first question on: most processes never ask.
    by_address: Option<Addresses>,
    shapes: HashSet<Arc<Shape>>,
    targets: HashMap<FunctionId, Entry>,
    targets_by_label: HashMap<Pair, Vec<FunctionId>>,
    /// Targets whose selectors name no label pair.
    unindexed: HashMap<Symbol, Vec<FunctionId>>,
    /// Functions whose snapshot may have changed.
    dirty: BTreeSet<FunctionId>,
    /// When a snapshot changes with time alone.
    rechecks: BTreeSet<(Timestamp, FunctionId)>,
}

/// One declared target.
#[derive(Debug)]
struct Entry {
    target: Arc<ScaleTarget>,
    /// Replicas asked for, as far as is known.
    wanted: Count,
    pods: Vec<Slot>,
    published: Option<Arc<EndpointSnapshot>>,
    recheck: Option<Timestamp>,
    namespace: Symbol,
    /// Where the index has it; empty: `unindexed`.
    pairs: Vec<Pair>,
}

impl Table {
    pub(crate) fn new(patience: Patience) -> Self {
        Self {
            names: Interner::default(),
            patience,
            pods: Vec::new(),
            free: Vec::new(),
            by_name: HashMap::new(),
            by_label: HashMap::new(),
            by_address: None,
            shapes: HashSet::new(),
            targets: HashMap::new(),
            targets_by_label: HashMap::new(),
            unindexed: HashMap::new(),
            dirty: BTreeSet::new(),
            rechecks: BTreeSet::new(),
        }
    }

    /// A pod as it is now. `seen` is the generation of the list or watch that says so.
    pub(crate) fn apply(&mut self, raw: &RawPod, seen: u64, now: Timestamp) {
        let shape = self.shared_shape(raw);
        let old = self.find(raw).and_then(|slot| self.take(slot));
        let previous = old.as_ref().map(|(_, pod)| pod);
        let previous = previous.filter(|old| Some(&*old.uid) == raw.metadata.uid.as_deref());
        let pod = Pod::new(raw, shape, previous, &mut self.names, now);
        if let Some((slot, old)) = old {
            self.free.push(slot);
            self.forget_pod(&old);
        }
        if let Some(pod) = pod {
            self.insert(Pod { seen, ..pod });
        }
    }

    /// A pod that is gone.
    pub(crate) fn delete(&mut self, raw: &RawPod) {
        if let Some(slot) = self.find(raw) {
            self.drop_slot(slot);
        }
    }

    /// After a full list of `namespace` (`None`: of all): what it did not have is gone.
    pub(crate) fn sweep(&mut self, namespace: Option<&str>, seen: u64) {
        let scope = namespace.map(|namespace| self.names.get(namespace));
        let is_stale =
            |pod: &Pod| pod.seen < seen && scope.is_none_or(|scope| scope == Some(pod.namespace));
        let stale: Vec<Slot> = (0..)
            .zip(&self.pods)
            .filter(|(_, pod)| pod.as_ref().is_some_and(is_stale))
            .map(|(slot, _)| slot)
            .collect();
        for slot in stale {
            self.drop_slot(slot);
        }
    }

    /// Declares a target or replaces it. A count older than the known one is ignored; says
    /// whether it is another than was known of the same object.
    pub(crate) fn declare(
        &mut self,
        target: Arc<ScaleTarget>,
        now: Timestamp,
    ) -> Option<CountChange> {
        let id = target.id.clone();
        let told = Told::new(target.replicas, target.resource_version.as_deref());
        let old = self.targets.get_mut(&id);
        let is_same = |old: &&mut Entry| old.target.uid == target.uid;
        let (wanted, change) = match old.filter(is_same) {
            Some(old) => {
                let change = old.wanted.watch(told, now);
                (old.wanted, change)
            }
            None => (Count::new(told, now), None),
        };
        match self.targets.get_mut(&id) {
            Some(entry)
                if entry.target.selector == target.selector
                    && entry.target.namespace == target.namespace =>
            {
                entry.target = target;
                entry.wanted = wanted;
                self.dirty.insert(id);
            }
            _ => {
                self.unlink_target(&id);
                self.link_target(target, wanted);
            }
        }
        change
    }

    /// Forgets a target; says whether it was there.
    pub(crate) fn forget(&mut self, id: &FunctionId) -> bool {
        self.dirty.remove(id);
        self.unlink_target(id)
    }

    /// A request of the time `asked` was answered with this count.
    pub(crate) fn want(
        &mut self,
        id: &FunctionId,
        wanted: u32,
        version: Option<&str>,
        asked: Timestamp,
        now: Timestamp,
    ) {
        if let Some(entry) = self.targets.get_mut(id) {
            let told = Told::new(Some(wanted), version);
            entry.wanted.answer(told, asked, now);
            self.dirty.insert(id.clone());
        }
    }

    /// The count asked for, as far as is known.
    pub(crate) fn wanted(&self, id: &FunctionId) -> Option<u32> {
        self.targets.get(id)?.wanted.replicas()
    }

    /// Snapshots that changed, and when to ask again at the latest.
    pub(crate) fn publications(&mut self, now: Timestamp) -> (Vec<Publication>, Option<Timestamp>) {
        while let Some((at, _)) = self.rechecks.first()
            && *at <= now
            && let Some((_, id)) = self.rechecks.pop_first()
        {
            if let Some(entry) = self.targets.get_mut(&id) {
                entry.recheck = None;
            }
            self.dirty.insert(id);
        }
        let mut changed = Vec::new();
        for id in std::mem::take(&mut self.dirty) {
            changed.extend(self.refresh(&id, now).map(|snapshot| (id, Some(snapshot))));
        }
        (changed, self.rechecks.first().map(|(at, _)| *at))
    }

    /// All snapshots as last published.
    pub(crate) fn published(&self) -> Vec<Publication> {
        self.targets
            .iter()
            .filter_map(|(id, entry)| Some((id.clone(), Some(entry.published.clone()?))))
            .collect()
    }

    pub(crate) fn target(&self, id: &FunctionId) -> Option<&Arc<ScaleTarget>> {
        self.targets.get(id).map(|entry| &entry.target)
    }

    pub(crate) fn pods_of(&self, id: &FunctionId) -> impl Iterator<Item = &Pod> {
        let slots = self.targets.get(id).map(|entry| entry.pods.as_slice());
        slots
            .into_iter()
            .flatten()
            .filter_map(|slot| self.pod(*slot))
    }

    pub(crate) fn all_pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().flatten()
    }

    /// The namespaces of the pods at `address` that are not over, each once.
    pub(crate) fn namespaces_at(&mut self, address: IpAddr) -> Vec<Arc<str>> {
        let pods = &self.pods;
        let index = self.by_address.get_or_insert_with(|| {
            let mut index = Addresses::default();
            for (slot, pod) in (0..).zip(pods) {
                pod.iter().for_each(|pod| index.add(slot, pod));
            }
            index
        });
        let pods = index.at(address).iter();
        let pods = pods.filter_map(|slot| self.pods.get(*slot as usize)?.as_ref());
        let namespaces: BTreeSet<Symbol> = pods.map(|pod| pod.namespace).collect();
        let text = |it: Symbol| Arc::from(self.names.text(it));
        namespaces.into_iter().map(text).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    fn refresh(&mut self, id: &FunctionId, now: Timestamp) -> Option<Arc<EndpointSnapshot>> {
        self.targets.get_mut(id)?.wanted.settle(now);
        let entry = self.targets.get(id)?;
        let wanted = entry.wanted.replicas();
        let pods = entry.pods.iter().filter_map(|slot| self.pod(*slot));
        let (snapshot, recheck) = snapshot::of(&entry.target, wanted, pods, &self.patience, now);
        let recheck = [recheck, entry.wanted.recheck()]
            .into_iter()
            .flatten()
            .min();
        let entry = self.targets.get_mut(id)?;
        if entry.recheck != recheck {
            if let Some(old) = entry.recheck {
                self.rechecks.remove(&(old, id.clone()));
            }
            entry.recheck = recheck;
            self.rechecks.extend(recheck.map(|at| (at, id.clone())));
        }
        if entry.published.as_deref() == Some(&snapshot) {
            return None;
        }
        let snapshot = Arc::new(snapshot);
        entry.published = Some(Arc::clone(&snapshot));
        Some(snapshot)
    }

    fn pod(&self, slot: Slot) -> Option<&Pod> {
        self.pods.get(slot as usize)?.as_ref()
    }

    fn find(&self, raw: &RawPod) -> Option<Slot> {
        let namespace = self.names.get(raw.metadata.namespace.as_deref()?)?;
        let name: Arc<str> = raw.metadata.name.as_deref()?.into();
        self.by_name.get(&(namespace, name)).copied()
    }

    fn shared_shape(&mut self, raw: &RawPod) -> Arc<Shape> {
        let shape = Shape::of(raw);
        if let Some(known) = self.shapes.get(&shape) {
            return Arc::clone(known);
        }
        if self.shapes.len() >= 64 && self.shapes.len() > self.by_name.len() {
            self.shapes.retain(|shape| Arc::strong_count(shape) > 1);
        }
        let shape = Arc::new(shape);
        self.shapes.insert(Arc::clone(&shape));
        shape
    }

    fn insert(&mut self, mut pod: Pod) {
        pod.members_of = self.functions_of(&pod);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.pods.push(None);
            Slot::try_from(self.pods.len() - 1).expect("fewer than 2^32 pods")
        });
        for id in &pod.members_of {
            if let Some(entry) = self.targets.get_mut(id) {
                entry.pods.push(slot);
            }
            self.dirty.insert(id.clone());
        }
        for (key, value) in &pod.labels {
            let pair = (pod.namespace, *key, *value);
            self.by_label.entry(pair).or_default().push(slot);
        }
        self.by_name
            .insert((pod.namespace, Arc::clone(&pod.name)), slot);
        if let Some(index) = &mut self.by_address {
            index.add(slot, &pod);
        }
        self.pods[slot as usize] = Some(pod);
    }

    fn drop_slot(&mut self, slot: Slot) {
        if let Some((slot, pod)) = self.take(slot) {
            self.free.push(slot);
            self.forget_pod(&pod);
        }
    }

    /// Takes a pod out of all indexes; its strings are still held.
    fn take(&mut self, slot: Slot) -> Option<(Slot, Pod)> {
        let pod = self.pods.get_mut(slot as usize)?.take()?;
        self.by_name.remove(&(pod.namespace, Arc::clone(&pod.name)));
        for (key, value) in &pod.labels {
            remove_one(&mut self.by_label, &(pod.namespace, *key, *value), &slot);
        }
        if let Some(index) = &mut self.by_address {
            index.remove(slot, &pod);
        }
        for id in &pod.members_of {
            if let Some(entry) = self.targets.get_mut(id) {
                entry.pods.retain(|one| *one != slot);
            }
            self.dirty.insert(id.clone());
        }
        Some((slot, pod))
    }

    fn forget_pod(&mut self, pod: &Pod) {
        pod.release(&mut self.names);
    }

    fn functions_of(&self, pod: &Pod) -> Vec<FunctionId> {
        let pairs = pod.labels.iter();
        let indexed = pairs
            .filter_map(|(key, value)| self.targets_by_label.get(&(pod.namespace, *key, *value)));
        let loose = self.unindexed.get(&pod.namespace);
        let mut ids: Vec<FunctionId> = indexed
            .chain(loose)
            .flatten()
            .filter(|id| (self.targets.get(id)).is_some_and(|entry| self.takes(entry, pod)))
            .cloned()
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn takes(&self, entry: &Entry, pod: &Pod) -> bool {
        let selector = &entry.target.selector;
        entry.namespace == pod.namespace && selector.matches(|key| pod.label(key, &self.names))
    }

    fn link_target(&mut self, target: Arc<ScaleTarget>, wanted: Count) {
        let id = target.id.clone();
        let namespace = self.names.acquire(&target.namespace);
        let pairs = self.index_pairs(&target, namespace);
        for pair in &pairs {
            let bucket = self.targets_by_label.entry(*pair).or_default();
            bucket.push(id.clone());
        }
        if pairs.is_empty() {
            self.unindexed
                .entry(namespace)
                .or_default()
                .push(id.clone());
        }
        let mut entry = Entry {
            target,
            wanted,
            pods: Vec::new(),
            published: None,
            recheck: None,
            namespace,
            pairs,
        };
        entry.pods = self.pods_taken_by(&entry);
        for slot in &entry.pods {
            if let Some(pod) = self.pods[*slot as usize].as_mut() {
                pod.members_of.push(id.clone());
            }
        }
        self.dirty.insert(id.clone());
        self.targets.insert(id, entry);
    }

    /// The requirement whose label pairs the fewest others are indexed by.
    fn index_pairs(&mut self, target: &ScaleTarget, namespace: Symbol) -> Vec<Pair> {
        let crowd = |(key, values): &(&Arc<str>, &[Arc<str>])| -> usize {
            let bucket = |value: &Arc<str>| {
                let pair = (namespace, self.names.get(key)?, self.names.get(value)?);
                self.targets_by_label.get(&pair).map(Vec::len)
            };
            values.iter().filter_map(bucket).sum()
        };
        let Some((key, values)) = target.selector.pair_groups().min_by_key(crowd) else {
            return Vec::new();
        };
        values
            .iter()
            .map(|value| {
                (
                    namespace,
                    self.names.acquire(key),
                    self.names.acquire(value),
                )
            })
            .collect()
    }

    fn pods_taken_by(&self, entry: &Entry) -> Vec<Slot> {
        let all = (0..).zip(&self.pods).map(|(slot, _)| slot);
        let candidates: Vec<Slot> = match entry.pairs.is_empty() {
            true => all.collect(),
            false => {
                let pairs = entry.pairs.iter();
                pairs
                    .filter_map(|pair| self.by_label.get(pair))
                    .flatten()
                    .copied()
                    .collect()
            }
        };
        let is_taken = |slot: &Slot| self.pod(*slot).is_some_and(|pod| self.takes(entry, pod));
        candidates.into_iter().filter(is_taken).collect()
    }

    fn unlink_target(&mut self, id: &FunctionId) -> bool {
        let Some(entry) = self.targets.remove(id) else {
            return false;
        };
        for slot in &entry.pods {
            if let Some(pod) = self.pods[*slot as usize].as_mut() {
                pod.members_of.retain(|one| one != id);
            }
        }
        for pair in &entry.pairs {
            remove_one(&mut self.targets_by_label, pair, id);
            self.names.release(pair.1);
            self.names.release(pair.2);
        }
        if entry.pairs.is_empty() {
            remove_one(&mut self.unindexed, &entry.namespace, id);
        }
        if let Some(at) = entry.recheck {
            self.rechecks.remove(&(at, id.clone()));
        }
        self.names.release(entry.namespace);
        true
    }
}

/// Takes `item` out of the list under `key`, and the list when it is empty.
fn remove_one<K: std::hash::Hash + Eq, T: PartialEq>(
    map: &mut HashMap<K, Vec<T>>,
    key: &K,
    item: &T,
) {
    if let Some(list) = map.get_mut(key) {
        if let Some(at) = list.iter().position(|one| one == item) {
            list.swap_remove(at);
        }
        if list.is_empty() {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
