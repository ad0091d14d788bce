//! A scaler in this process that does what a test says.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use futures_util::stream::{Stream, StreamExt, unfold};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::broadcast;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use zeron_external_scaler_proto::server::{ExternalScaler, ExternalScalerServer};
use zeron_external_scaler_proto::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec,
    MetricValue, ScaledObjectRef,
};

type Reply<T> = Result<Response<T>, Status>;
type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Pushed<T> = Option<T>;

/// What it answers, and what it was asked.
struct State {
    specs: Mutex<Vec<MetricSpec>>,
    values: Mutex<HashMap<String, MetricValue>>,
    is_active: AtomicBool,
    failure: Mutex<Option<Status>>,
    hung: Mutex<HashSet<String>>,
    seen: Mutex<Vec<ScaledObjectRef>>,
    streams: AtomicU32,
    spec_streams: AtomicU32,
    is_old: AtomicBool,
    /// `None` breaks the streams.
    activity: broadcast::Sender<Pushed<bool>>,
    pushed_specs: broadcast::Sender<Pushed<Vec<MetricSpec>>>,
}

/// A running one. It ends with its value.
pub(super) struct Fake {
    state: Arc<State>,
    address: String,
    /// Its own, so that its connections end with it.
    runtime: Option<Runtime>,
}

fn specs(all: &[(&str, i64, f64)]) -> Vec<MetricSpec> {
    let each = all.iter().map(|(name, whole, float)| MetricSpec {
        metric_name: (*name).to_owned(),
        target_size: *whole,
        target_size_float: *float,
    });
    each.collect()
}

impl Fake {
    pub(super) async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    pub(super) async fn start_at(address: &str) -> Self {
        Self::serve(TcpListener::bind(address).await.unwrap())
    }

    /// Where another was until a moment ago.
    pub(super) async fn start_again(address: &str) -> Self {
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => return Self::serve(listener),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
    }

    pub(super) fn serve(listener: TcpListener) -> Self {
        let state = Arc::new(State {
            specs: Mutex::new(specs(&[("depth", 1, 0.0)])),
            values: Mutex::default(),
            is_active: AtomicBool::default(),
            failure: Mutex::default(),
            hung: Mutex::default(),
            seen: Mutex::default(),
            streams: AtomicU32::default(),
            spec_streams: AtomicU32::default(),
            is_old: AtomicBool::default(),
            activity: broadcast::channel(64).0,
            pushed_specs: broadcast::channel(64).0,
        });
        let address = listener.local_addr().unwrap().to_string();
        let service = Service(Arc::clone(&state));
        let listener = listener.into_std().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            Server::builder()
                .add_service(ExternalScalerServer::new(service))
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
                .unwrap();
        });
        Self {
            state,
            address,
            runtime: Some(runtime),
        }
    }

    /// Ends it, with its connections.
    pub(super) fn stop(self) {
        drop(self);
    }

    pub(super) fn address(&self) -> String {
        self.address.clone()
    }

    pub(super) fn specs(&self, all: &[(&str, i64, f64)]) {
        *self.state.specs.lock() = specs(all);
    }

    pub(super) fn value(&self, metric: &str, metric_value: i64, metric_value_float: f64) {
        let value = MetricValue {
            metric_name: metric.to_owned(),
            metric_value,
            metric_value_float,
        };
        self.state.values.lock().insert(metric.to_owned(), value);
    }

    pub(super) fn active(&self, is_active: bool) {
        self.state.is_active.store(is_active, Ordering::Relaxed);
    }

    pub(super) fn fail(&self, status: Option<Status>) {
        *self.state.failure.lock() = status;
    }

    /// Calls about the object of this name are never answered.
    pub(super) fn hang(&self, name: &str) {
        self.state.hung.lock().insert(name.to_owned());
    }

    pub(super) fn is_old(&self) {
        self.state.is_old.store(true, Ordering::Relaxed);
    }

    pub(super) fn push(&self, is_active: bool) {
        self.state.activity.send(Some(is_active)).ok();
    }

    pub(super) fn push_specs(&self, all: &[(&str, i64, f64)]) {
        self.state.pushed_specs.send(Some(specs(all))).ok();
    }

    pub(super) fn break_streams(&self) {
        self.state.activity.send(None).ok();
        self.state.pushed_specs.send(None).ok();
    }

    /// Streams of activity opened so far.
    pub(super) fn streams(&self) -> u32 {
        self.state.streams.load(Ordering::Relaxed)
    }

    /// Those that are open.
    pub(super) fn listeners(&self) -> usize {
        self.state.activity.receiver_count()
    }

    /// Streams of specs asked for so far.
    pub(super) fn spec_streams(&self) -> u32 {
        self.state.spec_streams.load(Ordering::Relaxed)
    }

    /// The objects of all calls so far.
    pub(super) fn seen(&self) -> Vec<ScaledObjectRef> {
        self.state.seen.lock().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Service(Arc<State>);

impl Service {
    async fn take(&self, object: ScaledObjectRef) -> Result<(), Status> {
        let is_hung = self.0.hung.lock().contains(&object.name);
        self.0.seen.lock().push(object);
        if is_hung {
            std::future::pending::<()>().await;
        }
        let failure = self.0.failure.lock().clone();
        failure.map_or(Ok(()), Err)
    }
}

fn replies<T, M>(
    receiver: broadcast::Receiver<Pushed<T>>,
    message: impl Fn(T) -> M + Send + 'static,
) -> Replies<M>
where
    T: Clone + Send + 'static,
    M: Send + 'static,
{
    let next = |mut receiver: broadcast::Receiver<Pushed<T>>| async move {
        loop {
            match receiver.recv().await {
                Ok(Some(pushed)) => return Some((Ok(pushed), receiver)),
                Ok(None) => return Some((Err(Status::unavailable("broken")), receiver)),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    };
    Box::pin(unfold(receiver, next).map(move |pushed| pushed.map(&message)))
}

#[tonic::async_trait]
impl ExternalScaler for Service {
    type StreamIsActiveStream = Replies<IsActiveResponse>;
    type StreamMetricSpecStream = Replies<GetMetricSpecResponse>;

    async fn is_active(&self, request: Request<ScaledObjectRef>) -> Reply<IsActiveResponse> {
        self.take(request.into_inner()).await?;
        let result = self.0.is_active.load(Ordering::Relaxed);
        Ok(Response::new(IsActiveResponse { result }))
    }

    async fn stream_is_active(
        &self,
        _: Request<ScaledObjectRef>,
    ) -> Reply<Self::StreamIsActiveStream> {
        let receiver = self.0.activity.subscribe();
        self.0.streams.fetch_add(1, Ordering::Relaxed);
        let message = |result| IsActiveResponse { result };
        Ok(Response::new(replies(receiver, message)))
    }

    async fn get_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Reply<GetMetricSpecResponse> {
        self.take(request.into_inner()).await?;
        let metric_specs = self.0.specs.lock().clone();
        Ok(Response::new(GetMetricSpecResponse { metric_specs }))
    }

    async fn get_metrics(&self, request: Request<GetMetricsRequest>) -> Reply<GetMetricsResponse> {
        let request = request.into_inner();
        self.take(request.scaled_object_ref.unwrap()).await?;
        let known = self.0.values.lock().get(&request.metric_name).cloned();
        let value = known.unwrap_or_else(|| MetricValue {
            metric_name: request.metric_name,
            ..MetricValue::default()
        });
        Ok(Response::new(GetMetricsResponse {
            metric_values: vec![value],
        }))
    }

    async fn stream_metric_spec(
        &self,
        _: Request<ScaledObjectRef>,
    ) -> Reply<Self::StreamMetricSpecStream> {
        self.0.spec_streams.fetch_add(1, Ordering::Relaxed);
        if self.0.is_old.load(Ordering::Relaxed) {
            return Err(Status::unimplemented("unknown method StreamMetricSpec"));
        }
        let receiver = self.0.pushed_specs.subscribe();
        let message = |metric_specs| GetMetricSpecResponse { metric_specs };
        Ok(Response::new(replies(receiver, message)))
    }
}
