//! The reconciler: looks at a Service, does the next write, looks again.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::{Stream, StreamExt, stream};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::reflector::Store;
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use zeron_core::Chain;

use super::activators::{ActivatorPod, Activators};
use super::apply::{ServiceError, SliceApi};
use super::behind::Behind;
use super::ledger::Ledger;
use super::observed::{Observed, Refusal};
use super::plan::{ACTIVE, Next, Step, World, next};
use super::reach::{Accepts, Reach};
use super::slices::{MANAGED_BY, MANAGED_BY_LABEL};
use super::watched::WatchedService;

/// Services worked on at a time.
const CONCURRENCY: u16 = 16;
/// Writes for one Service in a row; there are never more steps than that on the way in or out.
const MOST_STEPS: usize = 8;
/// After a write that met a newer version: its watch event is on its way.
const AFTER_CHANGE: Duration = Duration::from_millis(200);
/// After a refusal of the API server.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Services without a function are looked at again for one.
const LOOK_FOR_FUNCTION: Duration = Duration::from_secs(15);
/// The platform may have written slices of pods while it lost sight of the selector.
const SETTLE: Duration = Duration::from_secs(5);
/// Switched Services are looked at again for slices that somebody else wrote.
const RESYNC: Duration = Duration::from_secs(600);

/// kube-proxy and other readers of slices follow within seconds.
pub const LINGER: Duration = Duration::from_secs(10);

/// How the reconciler works.
#[derive(Clone, Debug)]
pub struct ServicesOptions {
    /// Only these namespaces; all of them when empty.
    pub namespaces: Vec<String>,
    /// Name of this process in events.
    pub instance: String,
    /// How long activators keep a Service's port after its callers were led back; [`LINGER`].
    pub linger: Duration,
}

/// What all reconciliations share.
pub(super) struct Shared {
    slices: SliceApi,
    recorder: Recorder,
    behind: Arc<dyn Behind>,
    asked: Arc<dyn Accepts>,
    activators: watch::Receiver<Option<Arc<Activators>>>,
    reach: Reach,
    ledger: Mutex<Option<Ledger>>,
    stores: Vec<Store<WatchedService>>,
    /// When slices of ours were gone, by UID.
    led_back: Mutex<HashMap<String, Instant>>,
    linger: Duration,
}

/// Keeps opted-in Services where they should be until `end`.
pub async fn run(
    client: Client,
    options: ServicesOptions,
    activators: watch::Receiver<Option<Arc<Activators>>>,
    behind: Arc<dyn Behind>,
    asked: Arc<dyn Accepts>,
    end: CancellationToken,
) {
    let apis: Vec<(Api<WatchedService>, Api<EndpointSlice>)> = match options.namespaces.is_empty() {
        true => vec![(Api::all(client.clone()), Api::all(client.clone()))],
        false => {
            let both = |n: &String| {
                let services = Api::namespaced(client.clone(), n);
                (services, Api::namespaced(client.clone(), n))
            };
            options.namespaces.iter().map(both).collect()
        }
    };
    let controllers: Vec<_> = apis
        .into_iter()
        .map(|(services, slices)| controller(services, slices, &activators, &end))
        .collect();
    let mut shared = Shared::new(client, &options, activators, behind, asked);
    shared.stores = controllers.iter().map(Controller::store).collect();
    let shared = Arc::new(shared);
    let runs = controllers.into_iter().map(|controller| {
        controller
            .run(reconcile, after_error, Arc::clone(&shared))
            .for_each(|_| std::future::ready(()))
    });
    join_all(runs).await;
}

fn controller(
    services: Api<WatchedService>,
    slices: Api<EndpointSlice>,
    activators: &watch::Receiver<Option<Arc<Activators>>>,
    end: &CancellationToken,
) -> Controller<WatchedService> {
    let ours = format!("{MANAGED_BY_LABEL}={MANAGED_BY}");
    let config = kube::runtime::controller::Config::default().concurrency(CONCURRENCY);
    Controller::new(services, watcher::Config::default())
        .owns(slices, watcher::Config::default().labels(&ours))
        .reconcile_all_on(changes(activators.clone()))
        .with_config(config)
        .graceful_shutdown_on(end.clone().cancelled_owned())
}

fn changes(
    activators: watch::Receiver<Option<Arc<Activators>>>,
) -> impl Stream<Item = ()> + Send + 'static {
    stream::unfold(activators, |mut activators| async move {
        activators.changed().await.ok()?;
        Some(((), activators))
    })
}

fn after_error(_: Arc<WatchedService>, error: &ServiceError, _: Arc<Shared>) -> Action {
    match error {
        ServiceError::Changed { .. } | ServiceError::Waiting { .. } => {
            Action::requeue(AFTER_CHANGE)
        }
        ServiceError::Api { .. } => {
            warn!(error = %Chain(error), "a Service cannot be led to the activators, or back");
            Action::requeue(AFTER_FAILURE)
        }
    }
}

/// Boxed: the futures of many Services are alive at once, most of them for a moment.
fn reconcile(
    service: Arc<WatchedService>,
    shared: Arc<Shared>,
) -> BoxFuture<'static, Result<Action, ServiceError>> {
    Box::pin(async move {
        if !service.is_marked() || service.meta.deletion_timestamp.is_some() {
            return Ok(Action::await_change());
        }
        shared.steps(&service, MOST_STEPS).await
    })
}

impl Shared {
    pub(super) fn new(
        client: Client,
        options: &ServicesOptions,
        activators: watch::Receiver<Option<Arc<Activators>>>,
        behind: Arc<dyn Behind>,
        asked: Arc<dyn Accepts>,
    ) -> Self {
        let reporter = Reporter {
            controller: "zeron-controller".to_owned(),
            instance: Some(options.instance.clone()),
        };
        Self {
            slices: SliceApi::new(client.clone()),
            recorder: Recorder::new(client, reporter),
            behind,
            asked,
            activators,
            reach: Reach::default(),
            ledger: Mutex::new(None),
            stores: Vec::new(),
            led_back: Mutex::default(),
            linger: options.linger,
        }
    }

    /// At most `most` steps, one after the other.
    pub(super) async fn steps(
        &self,
        service: &WatchedService,
        most: usize,
    ) -> Result<Action, ServiceError> {
        let mut service = service.clone();
        let mut is_fresh = false;
        for _ in 0..most {
            let seen = self.observe(&service).await?;
            let step = match self.decide(&seen, &service).await? {
                Next::Do(step) => step,
                Next::Wait(time, why) => {
                    info!(service = %format_args!("{}/{}", seen.namespace, seen.name), why, "waiting");
                    return Ok(Action::requeue(time));
                }
                Next::Rest => return Ok(rest(&seen, is_fresh)),
            };
            self.slices.perform(&seen, &step).await?;
            is_fresh = true;
            self.announce(&service, &step).await;
            let (namespace, name) = (&seen.namespace, &seen.name);
            let read = self.slices.service(namespace, name).await;
            match read.map_err(|source| api_error(&seen, "read the Service", source))? {
                Some(now) => service = now,
                None => return Ok(Action::await_change()),
            }
        }
        Ok(Action::requeue(AFTER_CHANGE))
    }

    async fn observe(&self, service: &WatchedService) -> Result<Observed, ServiceError> {
        let seen = Observed::new(service, Vec::new());
        let slices = self.slices.list(&seen.namespace, &seen.name).await;
        let slices =
            slices.map_err(|source| api_error(&seen, "list the EndpointSlices", source))?;
        Ok(Observed::new(service, slices))
    }

    async fn decide(
        &self,
        seen: &Observed,
        service: &WatchedService,
    ) -> Result<Next, ServiceError> {
        let linger = self.linger(seen);
        let mut world = World {
            accepting: Vec::new(),
            is_pending: false,
            ports: Ok(seen.ports.clone()),
            has_function: true,
            linger,
        };
        if !seen.is_opted {
            return Ok(next(seen, &world));
        }
        world.has_function = self.has_function(seen).await?;
        if world.has_function {
            world.ports = self.allot(seen, service).await;
        }
        let activators = self.activators.borrow().clone();
        let Some(activators) = activators else {
            return Ok(Next::Wait(AFTER_CHANGE, "the activators are not known yet"));
        };
        if let Ok(ports) = world.ports.clone() {
            self.reach.retain(&activators);
            let usable = activators.usable();
            let mut accepting = Vec::new();
            for pod in &usable {
                let ports = ports.values().copied();
                if self.reach.accepts(&*self.asked, pod, ports).await {
                    accepting.push(*pod);
                }
            }
            world.is_pending = accepting.len() < usable.len();
            if accepting.is_empty() {
                accepting = usable.into_iter().filter(|p| is_in(seen, p)).collect();
            }
            world.accepting = accepting;
            return Ok(next(seen, &world));
        }
        Ok(next(seen, &world))
    }

    fn linger(&self, seen: &Observed) -> Duration {
        let mut led_back = self.led_back.lock();
        let is_led_back = seen.ours.is_empty() && seen.selector.is_some();
        if seen.is_opted || !is_led_back {
            led_back.remove(&seen.uid);
            return self.linger;
        }
        let now = Instant::now();
        let since = *led_back.entry(seen.uid.clone()).or_insert(now);
        self.linger
            .saturating_sub(now.saturating_duration_since(since))
    }

    /// Asked only before callers are led away from the pods.
    async fn has_function(&self, seen: &Observed) -> Result<bool, ServiceError> {
        let Some(selector) = seen
            .selector
            .as_ref()
            .filter(|_| seen.kept_selector.is_none())
        else {
            return Ok(true);
        };
        let found = self.behind.has_function(&seen.namespace, selector).await;
        found.map_err(|source| api_error(seen, "look for the function", source))
    }

    async fn allot(
        &self,
        seen: &Observed,
        service: &WatchedService,
    ) -> Result<super::annotations::Ports, Refusal> {
        for store in &self.stores {
            // Fails only when the watch has ended, and we with it.
            store.wait_until_ready().await.ok();
        }
        let uid = service.meta.uid.as_deref().unwrap_or_default();
        let mut ledger = self.ledger.lock();
        let ledger = ledger.get_or_insert_with(|| self.read_ledger());
        let wanted = seen.wanted_ports();
        if wanted.iter().any(|port| !seen.ports.contains_key(port)) {
            let alive: BTreeSet<String> = self
                .services()
                .iter()
                .filter_map(|s| s.meta.uid.clone())
                .collect();
            ledger.retain(|owner| alive.contains(owner));
        }
        let settled = ledger.settle(uid, &wanted, &seen.ports);
        settled.map_err(Refusal::NoPortLeft)
    }

    fn services(&self) -> Vec<Arc<WatchedService>> {
        self.stores.iter().flat_map(Store::state).collect()
    }

    /// The oldest first: a port that two claim is the older one's.
    fn read_ledger(&self) -> Ledger {
        let mut services = self.services();
        services.retain(|service| service.is_marked());
        let age = |s: &WatchedService| {
            let created = s.meta.creation_timestamp.as_ref().map(|t| t.0);
            (created, s.meta.uid.clone())
        };
        services.sort_by_key(|service| age(service));
        let mut ledger = Ledger::default();
        for service in services {
            let seen = Observed::new(&service, Vec::new());
            ledger.book(&seen.uid, &seen.ports);
        }
        ledger
    }

    async fn announce(&self, service: &WatchedService, step: &Step) {
        let Some(event) = event(step) else {
            return;
        };
        let reference = service.object_ref(&());
        if let Err(error) = self.recorder.publish(&event, &reference).await {
            warn!(%error, "cannot write an event");
        }
    }
}

fn rest(seen: &Observed, is_fresh: bool) -> Action {
    match seen.status.as_deref() {
        Some(ACTIVE) if is_fresh => Action::requeue(SETTLE),
        Some(ACTIVE) => Action::requeue(RESYNC),
        Some(status) if status == format!("Refused: {}", Refusal::NoFunction) => {
            Action::requeue(LOOK_FOR_FUNCTION)
        }
        Some(_) | None => Action::await_change(),
    }
}

fn is_in(seen: &Observed, pod: &ActivatorPod) -> bool {
    let endpoints = seen.ours.iter().flat_map(|slice| &slice.endpoints);
    let mut addresses = endpoints.flat_map(|endpoint| &endpoint.addresses);
    addresses.any(|found| pod.addresses.iter().any(|a| a.to_string() == *found))
}

fn api_error(seen: &Observed, action: &'static str, source: kube::Error) -> ServiceError {
    ServiceError::Api {
        action,
        namespace: seen.namespace.clone(),
        name: seen.name.clone(),
        source: Box::new(source),
    }
}

fn event(step: &Step) -> Option<Event> {
    let (type_, reason, action, note) = match step {
        Step::Say(status) if status == ACTIVE => (
            EventType::Normal,
            "ActivatorInPath",
            "Switch",
            "callers go through the activators now".to_owned(),
        ),
        Step::Say(status) => (
            EventType::Warning,
            "ActivatorRefused",
            "Check",
            status.clone(),
        ),
        Step::GiveSelector => (
            EventType::Normal,
            "ActivatorLeft",
            "SwitchBack",
            "the selector is back: callers go to the pods again".to_owned(),
        ),
        Step::Allot(_)
        | Step::WriteSlices(_)
        | Step::TakeSelector
        | Step::DropPlatformSlices(_)
        | Step::DropSlices(_)
        | Step::Unmark => return None,
    };
    Some(Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note),
        action: action.to_owned(),
        secondary: None,
    })
}
