//! An activator with one test as its back end and autoscaler, and origins that it forwards to.
#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::expect_used
)]

pub mod knative;
pub mod origin;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zeron_activator::{Activator, ActivatorHandle, Config, Peer};
use zeron_core::endpoint::StartFailure;
use zeron_core::function::Protocol;
use zeron_core::route::{
    Forward, HostPattern, Route, RouteAction, RouteSnapshot, RoutedFunction, WeightedTarget,
};
use zeron_core::{
    Endpoint, EndpointId, EndpointSnapshot, Function, FunctionId, ObjectRef, Workload,
};
use zeron_wire::{AutoscalerLink, ToAutoscaler, Wake};

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Requests of others that make up a pause: connections are spread over the workers.
const TURNS: u32 = 16;

pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it happens in time")
}

pub struct Stage {
    pub activator: ActivatorHandle,
    pub autoscaler: AutoscalerLink,
}

/// Two activators of one platform, `a` and `b`. Of replicas 1 to 11 `b` owns 1, 5, 8, 9 and 10.
pub struct Pair {
    pub a: Stage,
    pub b: Stage,
}

impl Pair {
    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: Config) -> Self {
        let config = Config {
            peer_listener: Some("127.0.0.1:0".parse().unwrap()),
            ..config
        };
        let pair = Self {
            a: Stage::with(config.clone()),
            b: Stage::with(config),
        };
        pair.a.activator.set_peers("a", vec![pair.b.peer("b")]);
        pair.b.activator.set_peers("b", vec![pair.a.peer("a")]);
        pair
    }

    pub fn declare(&self, functions: &[Function]) {
        for stage in [&self.a, &self.b] {
            stage.declare(functions.to_vec());
        }
    }

    pub fn replicas(&self, function: &FunctionId, endpoints: &[Endpoint]) {
        for stage in [&self.a, &self.b] {
            stage.replicas(function, endpoints);
        }
    }
}

pub fn config() -> Config {
    Config {
        listeners: vec!["127.0.0.1:0".parse().unwrap()],
        workers: 2.try_into().unwrap(),
        ..Config::default()
    }
}

impl Stage {
    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: Config) -> Self {
        let (link, autoscaler) = zeron_wire::link();
        Self {
            activator: Activator::start(config, link).unwrap(),
            autoscaler,
        }
    }

    /// This activator, as others are told of it.
    pub fn peer(&self, name: &str) -> Peer {
        Peer {
            name: name.to_owned(),
            address: self.activator.peer_address().unwrap(),
        }
    }

    /// Declares `functions`, each routed at `NAME.test`.
    pub fn declare(&self, functions: Vec<Function>) {
        let routes = functions.iter().map(|f| route(&f.id)).collect();
        self.publish(routes, functions);
    }

    pub fn publish(&self, routes: Vec<Route>, functions: Vec<Function>) {
        let functions = functions
            .into_iter()
            .map(|function| RoutedFunction {
                function: Arc::new(function),
                is_wake_allowed: true,
                wake_count: 1,
            })
            .collect();
        let snapshot = RouteSnapshot { routes, functions };
        self.activator.publish(Arc::new(snapshot));
    }

    pub fn replicas(&self, function: &FunctionId, endpoints: &[Endpoint]) {
        self.observe(
            function,
            EndpointSnapshot {
                endpoints: endpoints.to_vec(),
                pending: 0,
                share: None,
                failure: None,
            },
        );
    }

    pub fn failure(&self, function: &FunctionId, failure: StartFailure) {
        self.observe(
            function,
            EndpointSnapshot {
                endpoints: Vec::new(),
                pending: 1,
                share: None,
                failure: Some(failure),
            },
        );
    }

    pub fn observe(&self, function: &FunctionId, snapshot: EndpointSnapshot) {
        self.activator
            .sink()
            .publish(function, Some(Arc::new(snapshot)));
    }

    /// The next wake-up.
    pub async fn woken(&mut self) -> Wake {
        loop {
            match soon(self.autoscaler.receiver.recv()).await.unwrap() {
                ToAutoscaler::Wake(wake) => return wake,
                ToAutoscaler::Stats(_)
                | ToAutoscaler::Samples(_)
                | ToAutoscaler::Drained(_)
                | ToAutoscaler::Coverage(_)
                | ToAutoscaler::Goodbye => {}
            }
        }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.activator.addresses()[0])
            .await
            .unwrap()
    }

    /// Sends `request` as it is and reads until the connection closes.
    pub async fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.unwrap();
        rest(&mut stream).await
    }

    pub async fn get(&self, host: &str) -> String {
        self.raw(format!(
            "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
        ))
        .await
    }

    /// Others are served meanwhile, by every worker: whatever was about to happen here has had its turns.
    pub async fn pass(&self) {
        for _ in 0..TURNS {
            let answer = self.get("nowhere.test").await;
            assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        }
    }

    /// Whether nothing is said on `stream`, although others are served meanwhile.
    pub async fn says_nothing(&self, stream: &TcpStream) -> bool {
        self.pass().await;
        let read = stream.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Its metrics, as they are scraped.
    pub fn metrics(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        self.activator.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    /// Waits until the load of `function` is this.
    pub async fn until_load(&self, function: &FunctionId, in_flight: u32, queued: u32) {
        soon(async {
            loop {
                let load = self.activator.load(function).unwrap();
                if (load.in_flight, load.queued) == (in_flight, queued) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

pub async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset after the answer is an end too.
    soon(stream.read_to_end(&mut all)).await.ok();
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads until `end` was seen.
pub async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    soon(async {
        while !String::from_utf8_lossy(&seen).contains(end) {
            let length = stream.read(&mut buffer).await.unwrap();
            assert!(
                length > 0,
                "closed after {:?}",
                String::from_utf8_lossy(&seen)
            );
            seen.extend_from_slice(&buffer[..length]);
        }
    })
    .await;
    String::from_utf8_lossy(&seen).into_owned()
}

pub fn id(name: &str) -> FunctionId {
    FunctionId::new("default", "Deployment", name)
}

pub fn object(name: &str) -> ObjectRef {
    ObjectRef {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
    }
}

pub fn function(name: &str, limit: u32) -> Function {
    Function {
        workload: Workload {
            start_deadline: Duration::from_secs(30),
            ..Workload::default()
        },
        concurrency_limit: NonZeroU32::new(limit),
        ..Function::new(id(name), object(name), Protocol::Http1)
    }
}

pub fn route(function: &FunctionId) -> Route {
    Route {
        source: object(function.name()),
        hosts: vec![HostPattern::Exact(format!("{}.test", function.name()))],
        path_prefix: "/".to_owned(),
        port: None,
        headers: Vec::new(),
        action: RouteAction::Forward(Forward {
            targets: vec![WeightedTarget {
                function: function.clone(),
                weight: 1,
            }],
            ..Forward::default()
        }),
        tag: None,
    }
}

pub fn replica(number: u64, address: std::net::SocketAddr) -> Endpoint {
    Endpoint {
        id: EndpointId(number),
        address: Some(address),
        is_ready: true,
        is_draining: false,
        probe: None,
        is_probe_needed: false,
        replicas: 1,
        shared_by: 1,
    }
}
