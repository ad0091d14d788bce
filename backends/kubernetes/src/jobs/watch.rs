//! The watches of Jobs and of their pods: list, follow, reconnect.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, SelectAll, Stream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::Shared;
use super::object::NAME;
use super::raw::{RawJob, RawJobPod};
use crate::back_off::BackOff;

/// Objects of one page of a list.
const PAGE: u32 = 500;

/// Something that is watched: a namespace, or everything.
struct Place {
    namespace: Option<Arc<str>>,
    list: u64,
    is_listed: bool,
}

/// Follows Jobs and their pods until it is dropped.
pub(super) async fn run(client: Client, namespaces: Vec<String>, shared: Arc<Shared>) {
    let jobs = follow::<RawJob>(&client, &namespaces, Arc::clone(&shared));
    let pods = follow::<RawJobPod>(&client, &namespaces, shared);
    tokio::join!(jobs, pods);
}

/// A kind that is followed.
pub(super) trait Followed:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + DeserializeOwned
    + Clone
    + Debug
    + Send
    + 'static
{
    /// A list begins.
    fn begin(shared: &Shared, namespace: Option<&Arc<str>>, list: u64);
    /// It is there.
    fn put(&self, shared: &Shared, list: u64);
    /// It is gone.
    fn remove(&self, shared: &Shared);
    /// What the list did not show is gone.
    fn sweep(shared: &Shared, namespace: Option<&str>, list: u64);
    /// All lists are complete.
    fn listed(shared: &Shared);
}

async fn follow<K: Followed>(client: &Client, namespaces: &[String], shared: Arc<Shared>) {
    let mut places: Vec<Place> = match namespaces {
        [] => vec![Place::new(None)],
        names => names.iter().map(|it| Place::new(Some(it))).collect(),
    };
    let mut events: SelectAll<BoxStream<'static, (usize, Event<K>)>> = places
        .iter()
        .enumerate()
        .map(|(index, place)| {
            let api: Api<K> = match &place.namespace {
                Some(namespace) => Api::namespaced(client.clone(), namespace),
                None => Api::all(client.clone()),
            };
            let events = resilient(api, Arc::clone(&shared));
            events.map(move |event| (index, event)).boxed()
        })
        .collect();
    let mut lists = 0;
    while let Some((index, event)) = events.next().await {
        let is_done = places[index].take(event, &shared, &mut lists);
        if is_done && places.iter().all(|place| place.is_listed) {
            K::listed(&shared);
        }
    }
}

impl Place {
    fn new(namespace: Option<&String>) -> Self {
        Self {
            namespace: namespace.map(|it| it.as_str().into()),
            list: 0,
            is_listed: false,
        }
    }

    /// Whether that completed a list.
    fn take<K: Followed>(&mut self, event: Event<K>, shared: &Shared, lists: &mut u64) -> bool {
        match event {
            Event::Init => {
                *lists += 1;
                self.list = *lists;
                shared.counters.relists.inc();
                K::begin(shared, self.namespace.as_ref(), self.list);
            }
            Event::InitApply(object) | Event::Apply(object) => object.put(shared, self.list),
            Event::Delete(object) => object.remove(shared),
            Event::InitDone => {
                self.is_listed = true;
                K::sweep(shared, self.namespace.as_deref(), self.list);
                return true;
            }
        }
        false
    }
}

impl Followed for RawJob {
    fn begin(shared: &Shared, namespace: Option<&Arc<str>>, list: u64) {
        shared.list_begins(namespace, list);
    }

    fn put(&self, shared: &Shared, list: u64) {
        shared.put_job(self, list);
    }

    fn remove(&self, shared: &Shared) {
        shared.remove_job(self);
    }

    fn sweep(shared: &Shared, namespace: Option<&str>, list: u64) {
        shared.sweep(namespace, |set| set.sweep_jobs(list));
    }

    fn listed(shared: &Shared) {
        shared.listed(|state| state.has_jobs = true);
    }
}

impl Followed for RawJobPod {
    fn begin(_: &Shared, _: Option<&Arc<str>>, _: u64) {}

    fn put(&self, shared: &Shared, list: u64) {
        shared.put_pod(self, list);
    }

    fn remove(&self, shared: &Shared) {
        shared.remove_pod(self);
    }

    fn sweep(shared: &Shared, namespace: Option<&str>, list: u64) {
        shared.sweep(namespace, |set| set.sweep_pods(list));
    }

    fn listed(shared: &Shared) {
        shared.listed(|state| state.has_pods = true);
    }
}

/// The watcher, with pauses after errors. An expired watch (410) lists again by itself.
fn resilient<K: Followed>(
    api: Api<K>,
    shared: Arc<Shared>,
) -> impl Stream<Item = Event<K>> + Send + use<K> {
    let only = watcher::Config::default().labels(NAME).page_size(PAGE);
    let watcher = watcher::watcher(api, only).boxed();
    let back_off = BackOff::new(Duration::from_millis(100), Duration::from_secs(5));
    stream::unfold(
        (watcher, back_off, shared),
        |(mut watcher, mut back_off, shared)| async move {
            loop {
                match watcher.next().await? {
                    Ok(event) => {
                        // A list that only began proves nothing.
                        if !matches!(event, Event::Init) {
                            back_off.reset();
                        }
                        return Some((event, (watcher, back_off, shared)));
                    }
                    Err(error) => {
                        shared.counters.watch_errors.inc();
                        let pause = back_off.next();
                        report::<K>(&error, back_off.failures(), pause);
                        sleep(pause).await;
                    }
                }
            }
        },
    )
}

fn report<K: Followed>(error: &watcher::Error, failures: u32, pause: Duration) {
    let kind = K::kind(&());
    let error = error as &dyn std::error::Error;
    // A connection that ends is daily business; one that does not come back is not.
    match failures {
        0..=2 => debug!(%kind, error, ?pause, "the watch of Jobs was interrupted"),
        _ => warn!(%kind, error, ?pause, failures, "the watch of Jobs fails"),
    }
}
