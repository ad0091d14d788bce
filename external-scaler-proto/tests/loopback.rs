//! All five calls over a real connection, and the numbers of the fields on the wire.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::codegen::tokio_stream::{self, Stream};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use zeron_external_scaler_proto::client::ExternalScalerClient;
use zeron_external_scaler_proto::server::{ExternalScaler, ExternalScalerServer};
use zeron_external_scaler_proto::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec,
    MetricValue, ScaledObjectRef,
};

type Reply<T> = Result<Response<T>, Status>;
type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers with what it was asked, so that the test sees that everything arrived.
struct Echo;

#[tonic::async_trait]
impl ExternalScaler for Echo {
    type StreamIsActiveStream = Replies<IsActiveResponse>;
    type StreamMetricSpecStream = Replies<GetMetricSpecResponse>;

    async fn is_active(&self, request: Request<ScaledObjectRef>) -> Reply<IsActiveResponse> {
        let result = request.into_inner().scaler_metadata.contains_key("active");
        Ok(Response::new(IsActiveResponse { result }))
    }

    async fn stream_is_active(
        &self,
        _: Request<ScaledObjectRef>,
    ) -> Reply<Self::StreamIsActiveStream> {
        let answers = [true, false].map(|result| Ok(IsActiveResponse { result }));
        Ok(Response::new(Box::pin(tokio_stream::iter(answers))))
    }

    async fn get_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Reply<GetMetricSpecResponse> {
        Ok(Response::new(spec_of(&request.into_inner())))
    }

    async fn get_metrics(&self, request: Request<GetMetricsRequest>) -> Reply<GetMetricsResponse> {
        let metric_name = request.into_inner().metric_name;
        let value = MetricValue {
            metric_name,
            metric_value: 3,
            metric_value_float: 2.5,
        };
        Ok(Response::new(GetMetricsResponse {
            metric_values: vec![value],
        }))
    }

    async fn stream_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Reply<Self::StreamMetricSpecStream> {
        let answer = Ok(spec_of(&request.into_inner()));
        Ok(Response::new(Box::pin(tokio_stream::iter([answer]))))
    }
}

fn spec_of(object: &ScaledObjectRef) -> GetMetricSpecResponse {
    let metric_name = format!("{}/{}", object.namespace, object.name);
    let spec = MetricSpec {
        metric_name,
        target_size: 7,
        target_size_float: 0.0,
    };
    GetMetricSpecResponse {
        metric_specs: vec![spec],
    }
}

fn object() -> ScaledObjectRef {
    ScaledObjectRef {
        name: "orders".to_owned(),
        namespace: "shop".to_owned(),
        scaler_metadata: HashMap::from([("active".to_owned(), "yes".to_owned())]),
    }
}

async fn connect() -> (ExternalScalerClient<Channel>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        Server::builder()
            .add_service(ExternalScalerServer::new(Echo))
            .serve_with_incoming(TcpIncoming::from(listener))
            .await
            .unwrap();
    });
    let client = ExternalScalerClient::connect(format!("http://{address}"))
        .await
        .unwrap();
    (client, server)
}

#[tokio::test]
async fn all_five_calls_round_trip() {
    timeout(Duration::from_secs(30), round_trip())
        .await
        .unwrap();
}

async fn round_trip() {
    let (mut client, server) = connect().await;

    assert!(
        client
            .is_active(object())
            .await
            .unwrap()
            .into_inner()
            .result
    );

    let specs = client
        .get_metric_spec(object())
        .await
        .unwrap()
        .into_inner()
        .metric_specs;
    assert_eq!(specs[0].metric_name, "shop/orders");
    assert_eq!(specs[0].target(), 7.0);

    let request = GetMetricsRequest {
        scaled_object_ref: Some(object()),
        metric_name: "lag".to_owned(),
    };
    let values = client
        .get_metrics(request)
        .await
        .unwrap()
        .into_inner()
        .metric_values;
    assert_eq!(values[0].metric_name, "lag");
    assert_eq!(values[0].value(), 2.5);

    let mut active = client
        .stream_is_active(object())
        .await
        .unwrap()
        .into_inner();
    assert!(active.message().await.unwrap().unwrap().result);
    assert!(!active.message().await.unwrap().unwrap().result);
    assert!(active.message().await.unwrap().is_none());

    let mut specs = client
        .stream_metric_spec(object())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        specs.message().await.unwrap().unwrap().metric_specs.len(),
        1
    );

    server.abort();
}

#[test]
fn field_numbers_and_types_are_those_of_keda() {
    let spec = MetricSpec {
        metric_name: "m".to_owned(),
        target_size: 1,
        target_size_float: 1.0,
    };
    let mut expected = vec![0x0a, 1, b'm', 0x10, 1, 0x19];
    expected.extend(1.0_f64.to_le_bytes());
    assert_eq!(spec.encode_to_vec(), expected);

    let value = MetricValue {
        metric_name: "m".to_owned(),
        metric_value: 1,
        metric_value_float: 1.0,
    };
    assert_eq!(value.encode_to_vec(), expected);

    let object = ScaledObjectRef {
        name: "n".to_owned(),
        namespace: "s".to_owned(),
        scaler_metadata: HashMap::from([("k".to_owned(), "v".to_owned())]),
    };
    let map = [0x1a, 6, 0x0a, 1, b'k', 0x12, 1, b'v'];
    let expected = [&[0x0a, 1, b'n', 0x12, 1, b's'][..], &map].concat();
    assert_eq!(object.encode_to_vec(), expected);

    let request = GetMetricsRequest {
        scaled_object_ref: Some(object),
        metric_name: "m".to_owned(),
    };
    let expected = [&[0x0a, 14][..], &expected, &[0x12, 1, b'm']].concat();
    assert_eq!(request.encode_to_vec(), expected);
}
