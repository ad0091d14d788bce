//! The way by a Service: finding its address, and whether it answers where pods do not.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::Request;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};
use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info};
use zeron_core::FunctionId;
use zeron_core::workload::ProbeCheck;

use super::Shared;
use super::config::{EndpointsConfig, MeshCompatibility, RevisionTarget};

/// Services that are looked at together.
const AT_ONCE: usize = 16;
/// Until a Service that was not found is asked for again, at first, and the least time between two
/// rounds.
const PAUSE: Duration = Duration::from_millis(200);
/// The same, at last: each time it is twice as long.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Until the API server has answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of a probe's answer.
const MAX_BODY: usize = 1024;

/// Why a Service is no way to a revision.
#[derive(Debug, Error)]
enum NoWay {
    #[error("the service cannot be read")]
    Read(#[source] kube::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("the service has no address, or no port of that name")]
    Address,
    #[error("the question cannot be asked")]
    Question(#[source] http::Error),
    #[error("the service cannot be reached")]
    Reach(#[source] legacy::Error),
    #[error("it answered {0}")]
    Status(u16),
    #[error("something else answered in its place")]
    Stranger,
}

/// What is to be found out about a revision's Service.
enum Task {
    /// Where it is.
    Find(RevisionTarget),
    /// Where it is, and whether it answers.
    Try(RevisionTarget),
}

/// Looks whenever something is in doubt, until it is dropped.
pub(super) async fn run(client: Client, config: EndpointsConfig, shared: Arc<Shared>) {
    let mut pauses = Pauses::default();
    loop {
        match pauses.end() {
            Some(end) => tokio::select! {
                () = shared.doubt.notified() => {}
                () = sleep_until(end) => {}
            },
            None => shared.doubt.notified().await,
        }
        let tasks = shared.tasks(&config, &mut pauses);
        let looks = tasks
            .into_iter()
            .map(|task| look(&client, &config, &shared, task));
        let looks = stream::iter(looks).buffer_unordered(AT_ONCE);
        let missed: Vec<_> = looks.filter_map(std::future::ready).collect().await;
        for id in missed {
            pauses.begin(id, Instant::now());
        }
        sleep(PAUSE).await;
    }
}

/// Revisions whose Service was not found, and when it is asked for again.
#[derive(Debug, Default)]
struct Pauses(HashMap<FunctionId, Pause>);

#[derive(Clone, Copy, Debug)]
struct Pause {
    length: Duration,
    end: Instant,
}

impl Pauses {
    /// Those of the wanted that are asked for now. What is wanted no longer is forgotten.
    fn due(&mut self, wanted: Vec<RevisionTarget>, now: Instant) -> Vec<RevisionTarget> {
        let mut before = std::mem::take(&mut self.0);
        for target in &wanted {
            self.0.extend(before.remove_entry(&target.id));
        }
        let is_due =
            |target: &RevisionTarget| self.0.get(&target.id).is_none_or(|it| it.end <= now);
        wanted.into_iter().filter(is_due).collect()
    }

    /// Its Service was not found.
    fn begin(&mut self, id: FunctionId, now: Instant) {
        let before = self.0.get(&id).map(|it| it.length);
        let length = before.map_or(PAUSE, |before| LONGEST_PAUSE.min(before * 2));
        let end = now + length;
        self.0.insert(id, Pause { length, end });
    }

    /// When the first of them ends.
    fn end(&self) -> Option<Instant> {
        self.0.values().map(|it| it.end).min()
    }
}

impl Shared {
    fn tasks(&self, config: &EndpointsConfig, pauses: &mut Pauses) -> Vec<Task> {
        let mut state = self.state.lock();
        let refused = std::mem::take(&mut state.refused);
        let find = pauses.due(state.table.addresses_wanted(), Instant::now());
        let find = find.into_iter().map(Task::Find);
        let may_fall_back = config.mesh == MeshCompatibility::Auto && !config.has_passthrough;
        let refused = refused.iter().filter(|_| may_fall_back);
        let refused = refused.filter_map(|id| Some(Task::Try(state.table.target(id)?.clone())));
        find.chain(refused).collect()
    }
}

/// Returns the revision if its Service must be asked for again.
async fn look(
    client: &Client,
    config: &EndpointsConfig,
    shared: &Shared,
    task: Task,
) -> Option<FunctionId> {
    let (target, is_tried) = match &task {
        Task::Find(target) => (target, false),
        Task::Try(target) => (target, true),
    };
    let found = async {
        let address = address(client, target).await?;
        if is_tried {
            ask(config, &target.id, address).await?;
            info!(revision = %target.id, %address, "pods cannot be reached: by their service");
        }
        Ok::<_, NoWay>(address)
    };
    match found.await {
        Ok(address) => {
            shared.change(|state| state.table.reach_by_service(&target.id, address));
            None
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            debug!(revision = %target.id, error, "its service is no way to it");
            // Who is refused says so again.
            (!is_tried).then(|| target.id.clone())
        }
    }
}

/// Where the private Service of a revision is.
async fn address(client: &Client, target: &RevisionTarget) -> Result<SocketAddr, NoWay> {
    let api: Api<Service> = Api::namespaced(client.clone(), target.id.namespace());
    let name = format!("{}-private", target.id.name());
    let service = timeout(ANSWER_WITHIN, api.get(&name)).await;
    let service = service.map_err(|_| NoWay::Timeout)?.map_err(NoWay::Read)?;
    let spec = service.spec.ok_or(NoWay::Address)?;
    let address = spec.cluster_ip.as_deref();
    let address: Option<IpAddr> = address.and_then(|address| address.parse().ok());
    let mut ports = spec.ports.iter().flatten();
    let port = ports.find(|port| port.name.as_deref() == Some(target.port_name()));
    let port = port.and_then(|port| u16::try_from(port.port).ok());
    let (address, port) = address.zip(port).ok_or(NoWay::Address)?;
    Ok(SocketAddr::new(address, port))
}

/// Whether a queue-proxy answers behind the Service.
async fn ask(config: &EndpointsConfig, id: &FunctionId, address: SocketAddr) -> Result<(), NoWay> {
    let probe = config.probe(id);
    let ProbeCheck::HttpBody {
        path,
        headers,
        body,
    } = probe.check
    else {
        return Ok(());
    };
    let mut question = Request::get(format!("http://{address}{path}"));
    for (name, value) in headers {
        question = question.header(name, value);
    }
    let question = question
        .body(Empty::<Bytes>::new())
        .map_err(NoWay::Question)?;
    let client = legacy::Client::builder(TokioExecutor::new()).build_http();
    let answer = timeout(probe.timeout, client.request(question)).await;
    let answer = answer.map_err(|_| NoWay::Timeout)?.map_err(NoWay::Reach)?;
    match answer.status().as_u16() {
        200 => {}
        status => return Err(NoWay::Status(status)),
    }
    let told = Limited::new(answer.into_body(), MAX_BODY).collect();
    let told = timeout(probe.timeout, told)
        .await
        .map_err(|_| NoWay::Timeout)?;
    let is_queue = told.is_ok_and(|told| told.to_bytes() == body);
    is_queue.then_some(()).ok_or(NoWay::Stranger)
}
