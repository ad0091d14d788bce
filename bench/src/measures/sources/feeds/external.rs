//! An external scaler of this process: each function has its own activity.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::time::SystemTime;

use anyhow::Result;
use futures_util::stream::{self, Stream, StreamExt};
use serde_json::{Value, json};
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
use zeron_tests::broker::Unavailable;

use super::Feed;

type Reply<T> = Result<Response<T>, Status>;
type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
/// Names of the objects that have work.
type Busy = BTreeSet<String>;

struct ScalerFeed {
    address: SocketAddr,
    busy: watch::Sender<Busy>,
    _runtime: Runtime,
}

pub(super) fn activities() -> Result<Box<dyn Feed>, Unavailable> {
    let feed = serve().map_err(Unavailable::Failed)?;
    Ok(Box::new(feed))
}

fn serve() -> Result<ScalerFeed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let address = listener.local_addr()?;
    let busy = watch::Sender::new(Busy::new());
    let service = ExternalScalerServer::new(Service { busy: busy.clone() });
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    // It ends with its runtime.
    drop(
        runtime.spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming),
        ),
    );
    Ok(ScalerFeed {
        address,
        busy,
        _runtime: runtime,
    })
}

impl Feed for ScalerFeed {
    fn kind(&self, is_pushed: bool) -> &'static str {
        if is_pushed {
            "external-push"
        } else {
            "external"
        }
    }

    fn metadata(&self, _: &str, _: bool) -> Value {
        json!({"scalerAddress": self.address.to_string()})
    }

    fn can_push(&self) -> bool {
        true
    }

    fn emit(&mut self, thing: &str) -> Result<SystemTime> {
        let began = SystemTime::now();
        self.busy.send_modify(|busy| {
            busy.insert(thing.to_owned());
        });
        Ok(began)
    }
}

struct Service {
    busy: watch::Sender<Busy>,
}

impl Service {
    fn is_busy(&self, object: &ScaledObjectRef) -> bool {
        self.busy.borrow().contains(&object.name)
    }
}

#[tonic::async_trait]
impl ExternalScaler for Service {
    type StreamIsActiveStream = Replies<IsActiveResponse>;
    type StreamMetricSpecStream = Replies<GetMetricSpecResponse>;

    async fn is_active(&self, request: Request<ScaledObjectRef>) -> Reply<IsActiveResponse> {
        let result = self.is_busy(request.get_ref());
        Ok(Response::new(IsActiveResponse { result }))
    }

    /// Tells once that there is work.
    async fn stream_is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Reply<Self::StreamIsActiveStream> {
        let (mut busy, object) = (self.busy.subscribe(), request.into_inner());
        let first = stream::once(async move {
            let found = busy.wait_for(|busy| busy.contains(&object.name)).await;
            found.map(|_| IsActiveResponse { result: true })
        });
        let answers = first.map(|told| told.map_err(|_| Status::unavailable("it ends")));
        Ok(Response::new(Box::pin(answers.chain(stream::pending()))))
    }

    async fn get_metric_spec(&self, _: Request<ScaledObjectRef>) -> Reply<GetMetricSpecResponse> {
        let spec = MetricSpec {
            metric_name: "work".to_owned(),
            target_size: 1,
            target_size_float: 1.0,
        };
        Ok(Response::new(GetMetricSpecResponse {
            metric_specs: vec![spec],
        }))
    }

    async fn get_metrics(&self, request: Request<GetMetricsRequest>) -> Reply<GetMetricsResponse> {
        let request = request.into_inner();
        let object = request.scaled_object_ref.unwrap_or_default();
        let value = MetricValue {
            metric_name: request.metric_name,
            metric_value: i64::from(self.is_busy(&object)),
            metric_value_float: f64::from(u8::from(self.is_busy(&object))),
        };
        Ok(Response::new(GetMetricsResponse {
            metric_values: vec![value],
        }))
    }

    async fn stream_metric_spec(
        &self,
        _: Request<ScaledObjectRef>,
    ) -> Reply<Self::StreamMetricSpecStream> {
        Err(Status::unimplemented("its specs never change"))
    }
}
