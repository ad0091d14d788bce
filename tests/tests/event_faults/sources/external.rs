//! A scaler of somebody else's, in this process, behind KEDA's protocol: it measures what a trigger's metadata names, and
//! says by itself when there is work, where it is asked as `external-push`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::{Pending, unfold};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use zeron_external_scaler_proto::server::{ExternalScaler, ExternalScalerServer};
use zeron_external_scaler_proto::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec,
    MetricValue, ScaledObjectRef,
};
use zeron_tests::until;

use super::Started;
use crate::source::{Poison, Source};

const METRIC: &str = "work";

/// What is measured, by thing.
type Numbers = Arc<watch::Sender<BTreeMap<String, f64>>>;

struct Foreign {
    address: SocketAddr,
    numbers: Numbers,
    is_push: bool,
    /// Its own, so that its connections end with it; none while it is down.
    runtime: Option<Runtime>,
}

pub(super) fn start() -> Started {
    start_as(false)
}

pub(super) fn start_push() -> Started {
    start_as(true)
}

fn start_as(is_push: bool) -> Started {
    let mut foreign = Foreign {
        address: zeron_tests::free_address(),
        numbers: Numbers::default(),
        is_push,
        runtime: None,
    };
    foreign.restart();
    Ok(Box::new(foreign))
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Source for Foreign {
    fn kind(&self) -> &'static str {
        if self.is_push {
            "external-push"
        } else {
            "external"
        }
    }

    fn server(&self) -> SocketAddr {
        self.address
    }

    fn metadata(&self, thing: &str, address: SocketAddr) -> String {
        format!("{{scalerAddress: \"{address}\", thing: {thing}}}")
    }

    fn set(&mut self, thing: &str, work: u32) {
        self.numbers.send_modify(|numbers| {
            numbers.insert(thing.to_owned(), f64::from(work));
        });
    }

    fn poison(&mut self, thing: &str, poison: Poison) -> bool {
        let number = match poison {
            Poison::NotANumber => f64::NAN,
            Poison::Infinite => f64::INFINITY,
            Poison::Negative => -5.0,
        };
        self.numbers.send_modify(|numbers| {
            numbers.insert(thing.to_owned(), number);
        });
        true
    }

    fn remove(&mut self, thing: &str) -> bool {
        self.numbers.send_modify(|numbers| {
            numbers.remove(thing);
        });
        true
    }

    fn kill(&mut self) -> bool {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        true
    }

    fn restart(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let address = self.address;
        let listener = until("the address to be free", || {
            runtime.block_on(TcpListener::bind(address)).ok()
        });
        let service = Service(Arc::clone(&self.numbers));
        runtime.spawn(async move {
            Server::builder()
                .add_service(ExternalScalerServer::new(service))
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
                .unwrap();
        });
        self.runtime = Some(runtime);
    }
}

struct Service(Numbers);

impl Service {
    fn measure(&self, object: Option<&ScaledObjectRef>) -> Result<f64, Status> {
        measure(&self.0.borrow(), object)
    }
}

fn measure(
    numbers: &BTreeMap<String, f64>,
    object: Option<&ScaledObjectRef>,
) -> Result<f64, Status> {
    let thing = object.and_then(|it| it.scaler_metadata.get("thing"));
    let thing = thing.ok_or_else(|| Status::invalid_argument("no thing"))?;
    let number = numbers.get(thing).copied();
    number.ok_or_else(|| Status::not_found("no such thing"))
}

type Activity = Pin<Box<dyn Stream<Item = Result<IsActiveResponse, Status>> + Send>>;

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ExternalScaler for Service {
    type StreamIsActiveStream = Activity;
    type StreamMetricSpecStream = Pending<Result<GetMetricSpecResponse, Status>>;

    async fn is_active(&self, request: Request<ScaledObjectRef>) -> Reply<IsActiveResponse> {
        let result = self.measure(Some(request.get_ref()))? > 0.0;
        Ok(Response::new(IsActiveResponse { result }))
    }

    async fn stream_is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Reply<Self::StreamIsActiveStream> {
        let mut numbers = self.0.subscribe();
        numbers.mark_changed();
        let state = (numbers, request.into_inner());
        let activity = unfold(state, |(mut numbers, object)| async {
            numbers.changed().await.ok()?;
            let measured = measure(&numbers.borrow_and_update(), Some(&object));
            // It knows of work, or it does not: a value that counts nothing is none.
            let said = measured.map(|it| IsActiveResponse {
                result: it.is_finite() && it > 0.0,
            });
            Some((said, (numbers, object)))
        });
        Ok(Response::new(Box::pin(activity)))
    }

    async fn get_metric_spec(&self, _: Request<ScaledObjectRef>) -> Reply<GetMetricSpecResponse> {
        let spec = MetricSpec {
            metric_name: METRIC.to_owned(),
            target_size: 1,
            target_size_float: 1.0,
        };
        let metric_specs = vec![spec];
        Ok(Response::new(GetMetricSpecResponse { metric_specs }))
    }

    async fn get_metrics(&self, request: Request<GetMetricsRequest>) -> Reply<GetMetricsResponse> {
        let request = request.into_inner();
        let value = MetricValue {
            metric_value_float: self.measure(request.scaled_object_ref.as_ref())?,
            metric_value: 0,
            metric_name: request.metric_name,
        };
        let metric_values = vec![value];
        Ok(Response::new(GetMetricsResponse { metric_values }))
    }

    async fn stream_metric_spec(
        &self,
        _: Request<ScaledObjectRef>,
    ) -> Reply<Self::StreamMetricSpecStream> {
        Err(Status::unimplemented("its metrics never change"))
    }
}
