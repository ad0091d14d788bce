//! The way by a Service: finding its address, and whether it answers where pods do not.

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
use tokio::time::{sleep, timeout};
use tracing::{debug, info};
use zeron_core::FunctionId;
use zeron_core::workload::ProbeCheck;

use super::Shared;
use super::config::{EndpointsConfig, MeshCompatibility, RevisionTarget};

/// Services that are looked at together.
const AT_ONCE: usize = 16;
/// Until something that failed is looked at again, and the least time between two rounds.
const PAUSE: Duration = Duration::from_millis(200);
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
    loop {
        shared.doubt.notified().await;
        let tasks = shared.tasks(&config);
        let looks = tasks
            .into_iter()
            .map(|task| look(&client, &config, &shared, task));
        let looks = stream::iter(looks).buffer_unordered(AT_ONCE);
        let is_done = looks.fold(true, async |all, is_done| all && is_done).await;
        sleep(PAUSE).await;
        if !is_done {
            shared.doubt.notify_one();
        }
    }
}

impl Shared {
    fn tasks(&self, config: &EndpointsConfig) -> Vec<Task> {
        let mut state = self.state.lock();
        let refused = std::mem::take(&mut state.refused);
        let find = state.table.addresses_wanted().into_iter().map(Task::Find);
        let may_fall_back = config.mesh == MeshCompatibility::Auto && !config.has_passthrough;
        let refused = refused.iter().filter(|_| may_fall_back);
        let refused = refused.filter_map(|id| Some(Task::Try(state.table.target(id)?.clone())));
        find.chain(refused).collect()
    }
}

/// Whether nothing is left to do.
async fn look(client: &Client, config: &EndpointsConfig, shared: &Shared, task: Task) -> bool {
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
            true
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            debug!(revision = %target.id, error, "its service is no way to it");
            // Who is refused says so again.
            is_tried
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
