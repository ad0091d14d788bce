//! A KEDA that asks over real connections, and an activator that reports.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use zeron_autoscaler::{Engine, EngineConfig, MonotonicClock};
use zeron_core::endpoint::EndpointId;
use zeron_core::{Backend, EndpointSink, Function, Stat, Timestamp};
use zeron_external_scaler_proto::client::ExternalScalerClient;
use zeron_external_scaler_proto::{GetMetricsRequest, IsActiveResponse, ScaledObjectRef};
use zeron_wire::{ActivatorLink, ToAutoscaler, Wake};

use super::*;
use crate::cluster::health::Gate;

/// Nothing runs: counts are not what this is about.
#[derive(Debug)]
struct NoBackend;

impl Backend for NoBackend {
    fn apply(&self, _: Arc<Function>) {}
    fn remove(&self, _: &FunctionId) {}
    fn scale(&self, _: &FunctionId, _: u32, _: &[EndpointId]) {}
    fn subscribe(&self, _: Arc<dyn EndpointSink>) {}
}

#[derive(Debug)]
struct Known(BTreeSet<FunctionId>);

impl Directory for Known {
    fn is_declared(&self, function: &FunctionId) -> Option<bool> {
        Some(self.0.contains(function))
    }
}

/// An autoscaler, what reports to it, and where it answers.
struct Rig {
    activator: ActivatorLink,
    engine: EngineHandle,
    address: SocketAddr,
    gate: Gate,
    stopped: CancellationToken,
    serving: tokio::task::JoinHandle<anyhow::Result<()>>,
}

fn id(name: &str) -> FunctionId {
    FunctionId::new("shop", "Deployment", name)
}

fn object(metadata: &[(&str, &str)]) -> ScaledObjectRef {
    let metadata = metadata.iter();
    ScaledObjectRef {
        name: "so".to_owned(),
        namespace: "shop".to_owned(),
        scaler_metadata: metadata
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<HashMap<_, _>>(),
    }
}

impl Rig {
    async fn start() -> Self {
        let args = ExternalScalerArgs {
            external_scaler_listen: Some("127.0.0.1:0".parse().unwrap()),
            external_scaler_cert: None,
            external_scaler_key: None,
            external_scaler_client_ca: None,
        };
        Self::start_with(&args).await
    }

    async fn start_with(args: &ExternalScalerArgs) -> Self {
        let (activator, link) = zeron_wire::link();
        let scalers = zeron_scalers::Registry::builtin(zeron_scalers::AddressPolicy::MACHINE);
        let engine = Engine::start(
            EngineConfig::default(),
            Arc::new(NoBackend),
            Arc::new(scalers),
            link,
            Arc::new(MonotonicClock::new()),
        );
        let engine = engine.unwrap();
        let listener = listen(args).await.unwrap().unwrap();
        let address = listener.listener.local_addr().unwrap();
        let gate = Gate::new(&["the pods"]);
        let stopped = CancellationToken::new();
        let known = Known((0..20).map(|n| id(&format!("f{n}"))).collect());
        let service = Service::new(engine.clone(), Arc::new(known), stopped.clone());
        let serving =
            tokio::spawn(listener.serve(service, Arc::new(gate.clone()), stopped.clone()));
        Self {
            activator,
            engine,
            address,
            gate,
            stopped,
            serving,
        }
    }

    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    async fn client(&self) -> ExternalScalerClient<Channel> {
        ExternalScalerClient::new(self.channel().await)
    }

    /// A report with this function's requests, which the engine has taken in afterwards.
    async fn report(&self, name: &str, requests: f64, in_flight: u32, queued: u32) {
        let stat = Stat {
            function: id(name),
            at: Timestamp::EPOCH,
            average_concurrency: 0.0,
            request_count: requests,
            in_flight,
            queued,
            busy: Vec::new(),
        };
        self.say(ToAutoscaler::Stats(vec![stat])).await;
        self.until(
            |requests| {
                requests.is_complete && (requests.in_flight, requests.queued) == (in_flight, queued)
            },
            name,
        )
        .await;
    }

    async fn say(&self, message: ToAutoscaler) {
        self.activator.sender.send(message).await.unwrap();
    }

    async fn wake(&self, name: &str) {
        let function = id(name);
        self.say(ToAutoscaler::Wake(Wake {
            function,
            in_flight: 0,
            queued: 1,
        }))
        .await;
    }

    async fn until(&self, look: impl Fn(zeron_autoscaler::Requests) -> bool, name: &str) {
        let begin = Instant::now();
        while !look(self.engine.requests(&id(name))) {
            assert!(begin.elapsed() < Duration::from_secs(10), "{name}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn next(stream: &mut Streaming<IsActiveResponse>) -> Option<bool> {
    let message = tokio::time::timeout(Duration::from_secs(10), stream.message()).await;
    let message = message.expect("something is said in time").unwrap();
    message.map(|it| it.result)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_three_calls_of_a_poll_are_answered_from_memory() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    let asked = object(&[
        ("function", "f1"),
        ("metric", "concurrency"),
        ("target", "2.5"),
    ]);
    let request = GetMetricsRequest {
        scaled_object_ref: Some(asked.clone()),
        metric_name: "zeron-concurrency-deployment-f1".to_owned(),
    };
    // Nobody has reported: that is no zero.
    let error = client.get_metrics(request.clone()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    let error = client.is_active(asked.clone()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);

    rig.report("f1", 7.0, 3, 1).await;
    let specs = client
        .get_metric_spec(asked.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(specs.metric_specs.len(), 1);
    let spec = &specs.metric_specs[0];
    assert_eq!((spec.target_size, spec.target_size_float), (3, 2.5));
    assert_eq!(spec.metric_name, request.metric_name);
    let values = client
        .get_metrics(request)
        .await
        .unwrap()
        .into_inner()
        .metric_values;
    assert_eq!(values.len(), 1);
    assert_eq!(
        (values[0].metric_value, values[0].metric_value_float),
        (4, 4.0)
    );
    assert!(
        client
            .is_active(asked.clone())
            .await
            .unwrap()
            .into_inner()
            .result
    );

    rig.say(ToAutoscaler::Stats(Vec::new())).await;
    rig.until(|requests| requests.in_flight == 0, "f1").await;
    assert!(
        !client
            .is_active(object(&[("function", "f2")]))
            .await
            .unwrap()
            .into_inner()
            .result
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_functions_and_unknown_ones_are_refused_by_their_own_codes() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    for (function, code) in [
        ("other/Deployment/f1", Code::PermissionDenied),
        ("StatefulSet/f1", Code::NotFound),
        ("nobody", Code::NotFound),
        ("", Code::InvalidArgument),
    ] {
        let asked = object(&[("function", function)]);
        let error = client.get_metric_spec(asked.clone()).await.unwrap_err();
        assert_eq!(error.code(), code, "{function}");
        let error = client.is_active(asked).await.unwrap_err();
        assert_eq!(error.code(), code, "{function}");
    }
    let asked = object(&[("function", "other/Deployment/f1")]);
    let error = client.stream_is_active(asked).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    // Without an object there is no namespace either.
    let error = client
        .get_metrics(GetMetricsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_leaves_within_ten_milliseconds_of_the_first_waiter() {
    let rig = Rig::start().await;
    rig.report("f0", 1.0, 0, 0).await;
    let mut client = rig.client().await;
    let mut fastest = Duration::MAX;
    for name in (0..20).map(|n| format!("f{n}")) {
        let asked = object(&[("function", &name)]);
        let mut stream = client.stream_is_active(asked).await.unwrap().into_inner();
        assert_eq!(
            next(&mut stream).await,
            Some(false),
            "what is so is said first"
        );
        let begin = Instant::now();
        rig.wake(&name).await;
        assert_eq!(next(&mut stream).await, Some(true));
        fastest = fastest.min(begin.elapsed());
    }
    // The machine may have much else to do; what is built in shows in the best of twenty.
    assert!(fastest < Duration::from_millis(10), "{fastest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_share_a_connection_and_all_end_in_order() {
    let mut rig = Rig::start().await;
    rig.report("f0", 1.0, 0, 0).await;
    let mut client = rig.client().await;
    let mut streams = Vec::new();
    // More than HTTP/2 servers allow by default.
    for n in 0..300 {
        let asked = object(&[("function", &format!("f{}", n % 20))]);
        let specs = client.stream_metric_spec(asked.clone()).await.unwrap();
        let mut specs = specs.into_inner();
        assert!(specs.message().await.unwrap().is_some());
        let activity = client.stream_is_active(asked).await.unwrap();
        streams.push((specs, activity.into_inner()));
    }
    assert!(
        client
            .get_metric_spec(object(&[("function", "f1")]))
            .await
            .is_ok()
    );
    let begin = Instant::now();
    rig.stopped.cancel();
    for (mut specs, mut activity) in streams {
        assert!(specs.message().await.unwrap().is_none(), "OK is the end");
        while activity.message().await.unwrap().is_some() {}
    }
    drop(client);
    (&mut rig.serving).await.unwrap().unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_follows_readiness() {
    let rig = Rig::start().await;
    let mut health = HealthClient::new(rig.channel().await);
    let service = "externalscaler.ExternalScaler".to_owned();
    let mut watched = health
        .watch(HealthCheckRequest { service })
        .await
        .unwrap()
        .into_inner();
    let mut seen = Vec::new();
    while seen.last() != Some(&2) {
        seen.push(watched.message().await.unwrap().unwrap().status);
    }
    rig.gate.done("the pods");
    assert_eq!(
        watched.message().await.unwrap().unwrap().status,
        1,
        "{seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_are_told_the_protocol() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let rig = Rig::start().await;
    let mut client = ServerReflectionClient::new(rig.channel().await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = futures_util::stream::iter([request]);
    let mut answers = client
        .server_reflection_info(requests)
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(services)) = answer.message_response else {
        panic!("no list")
    };
    let names: Vec<_> = services.service.iter().map(|it| &*it.name).collect();
    for name in ["externalscaler.ExternalScaler", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutual_tls_keeps_everybody_else_out() {
    let ours = Certificates::new();
    let args = ExternalScalerArgs {
        external_scaler_listen: Some("127.0.0.1:0".parse().unwrap()),
        external_scaler_cert: Some(ours.path("server.crt")),
        external_scaler_key: Some(ours.path("server.key")),
        external_scaler_client_ca: Some(ours.path("ca.crt")),
    };
    let rig = Rig::start_with(&args).await;
    rig.report("f1", 1.0, 1, 0).await;
    let ask = async |tls: ClientTlsConfig| {
        let endpoint = Endpoint::from_shared(format!("https://{}", rig.address)).unwrap();
        let channel = endpoint.tls_config(tls).unwrap().connect().await;
        let mut client = ExternalScalerClient::new(channel.ok()?);
        let answer = client.is_active(object(&[("function", "f1")])).await;
        Some(answer.ok()?.into_inner().result)
    };
    let trusting = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(ours.read("ca.crt")))
        .domain_name("localhost");
    let of = |from: &Certificates| {
        let identity = Identity::from_pem(from.read("client.crt"), from.read("client.key"));
        trusting.clone().identity(identity)
    };
    assert_eq!(ask(of(&ours)).await, Some(true));
    assert_eq!(ask(trusting.clone()).await, None, "without a certificate");
    assert_eq!(
        ask(of(&Certificates::new())).await,
        None,
        "of another authority"
    );
    let plaintext = Endpoint::from_shared(format!("http://{}", rig.address)).unwrap();
    let mut client = ExternalScalerClient::new(plaintext.connect().await.unwrap());
    assert!(
        client
            .is_active(object(&[("function", "f1")]))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_said_at_the_start() {
    let ours = Certificates::new();
    let args = ExternalScalerArgs {
        external_scaler_listen: Some("127.0.0.1:0".parse().unwrap()),
        external_scaler_cert: Some(ours.path("server.crt")),
        external_scaler_key: Some(ours.path("client.key")),
        external_scaler_client_ca: None,
    };
    assert!(listen(&args).await.is_err());
}

/// An authority and what both ends show.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn new() -> Self {
        use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(authority, key).unwrap();
        let folder = tempfile::TempDir::new().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("ca.crt", &authority.pem());
        for (name, subject) in [("server", "localhost"), ("client", "keda-operator")] {
            let key = KeyPair::generate().unwrap();
            let leaf = CertificateParams::new(vec![subject.to_owned()]).unwrap();
            let leaf = leaf.signed_by(&key, &authority).unwrap();
            write(&format!("{name}.crt"), &leaf.pem());
            write(&format!("{name}.key"), &key.serialize_pem());
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}
