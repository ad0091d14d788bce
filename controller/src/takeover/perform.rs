//! Does the steps of a plan, one kind after the other.

mod parts;
mod proxy;
mod requests;
mod waiting;

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::error::TakeoverError;
use super::liveness::Life;
use super::marks::{ADOPTED_FROM, GIVEN_BACK, HANDED_BACK, HANDING_BACK, MANAGE_LABEL};
use super::object::{Kind, Object, ObjectName};
use super::read::{Cluster, Places, Reader, is_missing};
use super::step::Step;

/// The field manager of our writes.
const WRITER: &str = "zeron";
/// Objects that are written at once.
const AT_ONCE: usize = 16;
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How often a wait says that it still waits.
const SAY: Duration = Duration::from_secs(5);

/// How steps are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the leases are.
    pub places: Places,
    /// The longest wait for one condition.
    pub timeout: Duration,
    /// Their Deployments may be scaled by us: then a lease whose holder's pod is gone is released.
    pub scales_parts: bool,
    /// KEDA lives on.
    pub is_beside: bool,
}

/// What is told on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A step begins.
    Begins(Step),
    /// It still waits, for this.
    Waits(String),
    /// Something that does not stop it.
    Notes(String),
}

/// Hears what goes on.
pub type Listener<'a> = &'a (dyn Fn(Progress) + Sync);

/// Does steps in a cluster.
#[derive(Debug)]
pub struct Performer {
    cluster: Cluster,
    reader: Reader,
    options: Options,
}

impl Performer {
    /// Works through `client`.
    pub fn new(client: Client, options: Options) -> Self {
        let reader = Reader::new(client, options.places.clone());
        Self {
            cluster: reader.cluster.clone(),
            reader,
            options,
        }
    }

    /// Does `steps` in their order; neighbours that do the same to different objects go together.
    ///
    /// # Errors
    /// At the first step that fails or whose condition does not come; what was done stays done.
    pub async fn run(
        &mut self,
        steps: &[Step],
        listener: Listener<'_>,
    ) -> Result<(), TakeoverError> {
        let is_alike = |a: &Step, b: &Step| std::mem::discriminant(a) == std::mem::discriminant(b);
        for alike in steps.chunk_by(is_alike) {
            if matches!(alike[0], Step::Release { .. } | Step::Switch { .. }) {
                self.refuse_if_back().await?;
            }
            if is_independent(&alike[0]) {
                self.run_together(alike, listener).await?;
                continue;
            }
            for step in alike {
                listener(Progress::Begins(step.clone()));
                self.run_alone(step, listener).await?;
            }
        }
        Ok(())
    }

    async fn run_together(
        &self,
        steps: &[Step],
        listener: Listener<'_>,
    ) -> Result<(), TakeoverError> {
        let work = steps.iter().map(|step| async move {
            listener(Progress::Begins(step.clone()));
            self.perform(step, listener).await
        });
        stream::iter(work)
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await
    }

    async fn run_alone(
        &mut self,
        step: &Step,
        listener: Listener<'_>,
    ) -> Result<(), TakeoverError> {
        match step {
            Step::AwaitGone { lease, .. } => self.await_gone(lease, step, listener).await,
            Step::AwaitKeda { .. } => self.await_keda(step, listener).await,
            _ => self.perform(step, listener).await,
        }
    }

    async fn perform(&self, step: &Step, listener: Listener<'_>) -> Result<(), TakeoverError> {
        match step {
            Step::Adopt {
                object,
                origin,
                is_labelled,
            } => {
                let mut metadata = json!({
                    "annotations": { ADOPTED_FROM: origin.as_str(), GIVEN_BACK: null },
                });
                if *is_labelled {
                    metadata["labels"] = json!({ MANAGE_LABEL: "true" });
                }
                self.patch(object, json!({ "metadata": metadata })).await
            }
            Step::Hold { object } => {
                let annotations = json!({ GIVEN_BACK: HANDING_BACK });
                let patch = json!({ "metadata": { "annotations": annotations } });
                self.patch(object, patch).await
            }
            Step::GiveBack { object } => self.give_back(object).await,
            Step::ReturnServices { namespace } => {
                self.return_services(namespace.as_deref(), listener).await
            }
            Step::AwaitAnswered { namespace } => {
                self.await_answered(namespace.as_deref(), step, listener)
                    .await
            }
            Step::Release {
                autoscaler, uid, ..
            } => self.release(autoscaler, uid.as_deref()).await,
            Step::Stop {
                deployment,
                replicas,
                ..
            } => self.stop(deployment, *replicas).await,
            Step::Start {
                deployment,
                replicas,
                ..
            } => self.start(deployment, *replicas).await,
            Step::AwaitReady { deployment } => {
                self.until(step, listener, || self.is_available(deployment))
                    .await
            }
            Step::AwaitManaged { object } => {
                self.until(step, listener, || self.is_managed(object)).await
            }
            Step::AwaitAutoscaler { scaled } => {
                self.until(step, listener, || self.has_autoscaler(scaled))
                    .await
            }
            Step::WakeHeld { interceptor } => self.wake_held(interceptor, listener).await.map(drop),
            Step::AwaitDrained { interceptor } => {
                self.await_drained(interceptor, step, listener).await
            }
            Step::Switch { service } => self.switch(service, step, listener).await,
            Step::SwitchBack { service } => self.switch_back(service, step, listener).await,
            // Waits that need the leases' history: `run_alone`.
            Step::AwaitGone { .. } | Step::AwaitKeda { .. } => Ok(()),
        }
    }

    /// A merge patch; objects that are gone need none.
    async fn patch(&self, object: &ObjectName, patch: Value) -> Result<(), TakeoverError> {
        let api = self.cluster.api(object.kind, &object.namespace);
        let params = PatchParams {
            field_manager: Some(WRITER.to_owned()),
            ..PatchParams::default()
        };
        match api.patch(&object.name, &params, &Patch::Merge(patch)).await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(TakeoverError::object("patch", object)(error)),
        }
    }

    async fn give_back(&self, object: &ObjectName) -> Result<(), TakeoverError> {
        let annotations = json!({ ADOPTED_FROM: null, GIVEN_BACK: HANDED_BACK });
        // With our label, a KEDA that excludes it would leave the object alone.
        let labels = json!({ MANAGE_LABEL: null });
        let metadata = json!({ "annotations": annotations, "labels": labels });
        self.patch(object, json!({ "metadata": metadata })).await
    }

    /// Deleting an HPA leaves the replicas of its target as they are.
    async fn release(
        &self,
        autoscaler: &ObjectName,
        uid: Option<&str>,
    ) -> Result<(), TakeoverError> {
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Orphan),
            preconditions: uid.map(|uid| Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let api = self.cluster.api(autoscaler.kind, &autoscaler.namespace);
        match api.delete(&autoscaler.name, &params).await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(TakeoverError::object("delete", autoscaler)(error)),
        }
    }

    /// Whether our autoscaler has written the object's status since it is ours: its field manager
    /// says so. Gone, or not scaled by itself: nothing to wait for.
    async fn is_managed(&self, name: &ObjectName) -> Result<State, TakeoverError> {
        let Some(object) = self.cluster.get(name).await? else {
            return Ok(State::Done);
        };
        let is_ours = |entry: &Value| {
            let manager = entry["manager"].as_str().unwrap_or_default();
            entry["subresource"] == "status" && manager.starts_with(WRITER)
        };
        if object.list("/metadata/managedFields").iter().any(is_ours) {
            return Ok(State::Done);
        }
        Ok(State::Waits("no status of ours yet".to_owned()))
    }

    async fn has_autoscaler(&self, scaled: &ObjectName) -> Result<State, TakeoverError> {
        let Some(object) = self.cluster.get(scaled).await? else {
            return Ok(State::Done);
        };
        let named = object
            .text("/status/hpaName")
            .filter(|name| !name.is_empty());
        let default = format!("keda-hpa-{}", scaled.name);
        let configured = object.text("/spec/advanced/horizontalPodAutoscalerConfig/name");
        for name in [named, configured, Some(default.as_str())]
            .into_iter()
            .flatten()
        {
            let hpa = ObjectName::new(Kind::HorizontalPodAutoscaler, &scaled.namespace, name);
            let found = self.cluster.get(&hpa).await?;
            if found.is_some_and(|hpa| hpa.is_owned_by(Kind::ScaledObject, &scaled.name)) {
                return Ok(State::Done);
            }
        }
        Ok(State::Waits(why_not_ready(&object)))
    }

    /// Looks again and again, at most for the timeout.
    async fn until<F>(
        &self,
        step: &Step,
        listener: Listener<'_>,
        look: impl Fn() -> F,
    ) -> Result<(), TakeoverError>
    where
        F: Future<Output = Result<State, TakeoverError>>,
    {
        let mut patience = Patience::new(self.options.timeout);
        loop {
            match look().await? {
                State::Done => return Ok(()),
                State::Waits(state) => patience.wait(step, state, listener).await?,
            }
        }
    }

    async fn await_gone(
        &mut self,
        lease: &ObjectName,
        step: &Step,
        listener: Listener<'_>,
    ) -> Result<(), TakeoverError> {
        let mut patience = Patience::new(self.options.timeout);
        loop {
            let life = self.life(lease).await?;
            if life.is_over() || self.options.scales_parts && self.release_lease(lease).await? {
                return Ok(());
            }
            patience.wait(step, described(&life), listener).await?;
        }
    }

    async fn await_keda(
        &mut self,
        step: &Step,
        listener: Listener<'_>,
    ) -> Result<(), TakeoverError> {
        let mut patience = Patience::new(self.options.timeout);
        loop {
            let leases = self.reader.leases().await?;
            let mut keda = leases
                .iter()
                .filter(|(name, _)| name.name == super::marks::KEDA_LEASE);
            if keda.any(|(_, life)| life.is_proven()) {
                return Ok(());
            }
            let state = "nobody renews it yet: start KEDA's operator".to_owned();
            patience.wait(step, state, listener).await?;
        }
    }

    async fn life(&mut self, lease: &ObjectName) -> Result<Life, TakeoverError> {
        let leases = self.reader.leases().await?;
        let found = leases.into_iter().find(|(name, _)| name == lease);
        Ok(found.map_or(Life::Absent, |(_, life)| life))
    }

    /// From its end on KEDA must stay away: two writers are worse than none.
    async fn refuse_if_back(&mut self) -> Result<(), TakeoverError> {
        if self.options.is_beside {
            return Ok(());
        }
        for (lease, life) in self.reader.leases().await? {
            if let Life::Renewed { holder } = life {
                return Err(TakeoverError::CameBack { lease, holder });
            }
        }
        Ok(())
    }
}

/// Whether neighbours of its kind may run at once.
fn is_independent(step: &Step) -> bool {
    matches!(
        step,
        Step::Adopt { .. }
            | Step::Hold { .. }
            | Step::GiveBack { .. }
            | Step::Release { .. }
            | Step::AwaitManaged { .. }
            | Step::AwaitAutoscaler { .. }
    )
}

/// What a look at a condition found.
#[derive(Debug)]
enum State {
    Done,
    Waits(String),
}

/// One bounded wait that says from time to time what it waits for.
#[derive(Debug)]
struct Patience {
    began: Instant,
    said: Option<Instant>,
    most: Duration,
}

impl Patience {
    fn new(most: Duration) -> Self {
        Self {
            began: Instant::now(),
            said: None,
            most,
        }
    }

    async fn wait(
        &mut self,
        step: &Step,
        state: String,
        listener: Listener<'_>,
    ) -> Result<(), TakeoverError> {
        if self.began.elapsed() >= self.most {
            return Err(TakeoverError::TimedOut {
                what: step.to_string(),
                waited: self.most,
                state,
            });
        }
        if self.said.is_none_or(|said| said.elapsed() >= SAY) {
            self.said = Some(Instant::now());
            listener(Progress::Waits(format!("{step}: {state}")));
        }
        sleep(LOOK).await;
        Ok(())
    }
}

fn described(life: &Life) -> String {
    match life {
        Life::Absent => "no lease".to_owned(),
        Life::Released => "let go".to_owned(),
        Life::Held { holder, stale_in } => {
            format!(
                "held by {holder}, stale in {} s without a renewal",
                stale_in.as_secs()
            )
        }
        Life::Renewed { holder } => format!("{holder} renews it: KEDA is alive"),
        Life::Stale { holder } => format!("{holder} is gone"),
    }
}

fn why_not_ready(scaled: &Object) -> String {
    let conditions = scaled.list("/status/conditions");
    let ready = conditions.iter().find(|c| c["type"] == "Ready");
    let message = ready.and_then(|ready| ready["message"].as_str());
    message.map_or_else(
        || "KEDA has said nothing yet".to_owned(),
        |message| format!("KEDA says: {message}"),
    )
}
