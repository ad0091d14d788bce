//! How soon a KEDA that stays is told of a request that waits: from before it is sent until the `true` on `StreamIsActive`.
//!
//! Each round has a function of its own at zero, which nobody starts: what is measured ends with the push.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};
use zeron_external_scaler_proto::client::ExternalScalerClient;
use zeron_external_scaler_proto::{IsActiveResponse, ScaledObjectRef};

use super::roles::Roles;
use super::{Cluster, MEASURE, Namespace, objects};
use crate::bench::{Bench, Csv};
use crate::figure::{Aim, Figure};
use crate::measures::cluster::namespace::Kind;
use crate::measures::cluster::request::millis;
use crate::measures::{PATIENCE, TINY_PATH};
use crate::stats::{Random, bootstrap, quantile};
use crate::subject::{free_port, loopback};

/// What a push may take.
const MOST_MS: f64 = 10.0;
/// Pushes that fill caches, and are dropped.
const WARM_UP: usize = 2;
/// Between two looks whether a function is declared.
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn run(bench: &mut Bench, cluster: &Cluster) -> Result<()> {
    let rounds = bench.rounds(100, 3) + WARM_UP;
    let namespace = Namespace::create(&cluster.api, "push")?;
    let scaler = loopback(free_port()?);
    let served = ["--external-scaler-listen", &scaler.to_string()];
    let roles = Roles::start_with(bench, &cluster.kubeconfig, &namespace, &served)?;
    let names: Vec<String> = (0..rounds).map(|round| format!("push-{round}")).collect();
    namespace.deploy(&names, &cluster.image)?;
    let services = names.iter().map(|it| (Kind::Service, objects::service(it)));
    let declared = names.iter().map(|it| {
        let object = externally_scaled(it);
        (Kind::HttpScaledObject, object)
    });
    namespace.create_all(services.chain(declared).collect())?;
    let pushes = push_all(&namespace, scaler, roles.activator.listen, &names);
    let mut took = cluster.api.block_on(pushes)?;
    took.drain(..WARM_UP);
    let mut csv = Csv::create(MEASURE, "push", "round,ms")?;
    for (round, took) in took.iter().enumerate() {
        csv.row(&[&round, took])?;
    }
    figures(bench, &took);
    csv.close()
}

/// Leads requests to a Deployment whose count somebody else writes.
fn externally_scaled(name: &str) -> Value {
    let mut object = objects::http_scaled_object(name);
    object["metadata"]["annotations"] = json!({"zeron.dev/scaling": "external"});
    object
}

/// In milliseconds, in the order of `names`.
async fn push_all(
    namespace: &Namespace,
    scaler: SocketAddr,
    activator: SocketAddr,
    names: &[String],
) -> Result<Vec<f64>> {
    let mut client = ExternalScalerClient::connect(format!("http://{scaler}")).await?;
    for name in names {
        wait_until_declared(&mut client, &object(namespace, name)).await?;
    }
    let mut random = Random::new(names.len() as u64);
    let mut all = Vec::new();
    for name in names {
        let stream = client.stream_is_active(object(namespace, name)).await?;
        let mut stream = stream.into_inner();
        let mut connection = TcpStream::connect(activator).await?;
        connection.set_nodelay(true)?;
        tokio::time::sleep(Duration::from_secs(1).mul_f64(random.unit())).await;
        let host = objects::host(name);
        let request = format!("GET {TINY_PATH} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let began = Instant::now();
        connection.write_all(request.as_bytes()).await?;
        let told = tokio::time::timeout(PATIENCE, until_active(&mut stream));
        told.await.with_context(|| format!("{name}: no push"))??;
        all.push(millis(began.elapsed()));
    }
    Ok(all)
}

/// What a KEDA would ask with.
fn object(namespace: &Namespace, name: &str) -> ScaledObjectRef {
    ScaledObjectRef {
        name: name.to_owned(),
        namespace: namespace.name.clone(),
        scaler_metadata: HashMap::from([("function".to_owned(), name.to_owned())]),
    }
}

async fn wait_until_declared(
    client: &mut ExternalScalerClient<Channel>,
    object: &ScaledObjectRef,
) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.is_active(object.clone()).await {
            Ok(answer) => {
                anyhow::ensure!(!answer.get_ref().result, "{} is not at rest", object.name);
                return Ok(());
            }
            Err(error) => {
                let is_early = matches!(error.code(), Code::NotFound | Code::Unavailable);
                anyhow::ensure!(is_early && Instant::now() < deadline, "{error}");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn until_active(stream: &mut Streaming<IsActiveResponse>) -> Result<()> {
    while let Some(told) = stream.message().await? {
        if told.result {
            return Ok(());
        }
    }
    anyhow::bail!("the stream ended")
}

fn figures(bench: &mut Bench, took: &[f64]) {
    let figure = |name: &str, q| {
        let name = format!("{MEASURE}/push/{name}");
        Figure::new(name, "ms", quantile(took, q), took.len()).with_spread(bootstrap(took, q))
    };
    bench.figure(figure("p50", 0.5));
    bench.figure(figure("p99", 0.99).with_aim(Aim::AtMost(MOST_MS)));
    bench.figure(figure("max", 1.0));
}
