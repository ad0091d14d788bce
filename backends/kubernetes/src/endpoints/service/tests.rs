//! How often a Service that is not there is asked for.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU32, Ordering};

use kube::client::Body;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;
use zeron_core::EndpointSnapshot;

use super::*;
use crate::counters::Counters;
use crate::endpoints::State;
use crate::endpoints::table::Table;

/// An API server that has the Service from the question of this number on.
fn server(found_from: u32) -> (Client, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let service = tower::service_fn(move |_: Request<Body>| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        let (status, body) = match number >= found_from {
            true => (
                200,
                json!({"apiVersion": "v1", "kind": "Service", "spec": {
                    "clusterIP": "10.9.0.1", "ports": [{"name": "http", "port": 80}],
                }}),
            ),
            false => (
                404,
                json!({"kind": "Status", "code": 404, "reason": "NotFound"}),
            ),
        };
        let answer = http::Response::builder().status(status);
        let answer = answer.body(Body::from(body.to_string().into_bytes()));
        async move { Ok::<_, std::io::Error>(answer.unwrap()) }
    });
    (Client::new(service, "default"), asked)
}

/// What is known of one revision whose Service is wanted.
fn shared(config: &EndpointsConfig, id: &FunctionId) -> Arc<Shared> {
    let mut table = Table::new(config);
    table.declare(RevisionTarget {
        id: id.clone(),
        is_http2: false,
        has_limit: true,
        is_probe_enough: true,
    });
    let object = json!({
        "metadata": {"namespace": "ns", "name": "rev-private", "labels": {
            "serving.knative.dev/revision": "rev",
            "networking.internal.knative.dev/serviceType": "Private",
        }},
        "subsets": [{
            "addresses": [{"ip": "10.1.0.1", "targetRef": {"kind": "Pod", "uid": "u"}}],
            "ports": [{"name": "http", "port": 8012}],
        }],
    });
    table.apply(&serde_json::from_value(object).unwrap(), 1);
    Arc::new(Shared {
        state: Mutex::new(State {
            table,
            sinks: Vec::new(),
            outbox: Vec::new(),
            is_publishing: false,
            is_synced: true,
            refused: std::collections::BTreeSet::new(),
        }),
        synced: watch::Sender::new(true),
        doubt: Notify::new(),
        counters: Arc::new(Counters::default()),
    })
}

fn address(shared: &Shared, id: &FunctionId) -> Option<SocketAddr> {
    let published = shared.state.lock().table.published();
    let (_, snapshot) = published.into_iter().find(|(of, _)| of == id)?;
    let snapshot: Arc<EndpointSnapshot> = snapshot?;
    snapshot.endpoints.first()?.address
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_found_is_asked_for_ever_more_seldom() {
    let config = EndpointsConfig {
        mesh: MeshCompatibility::Enabled,
        ..EndpointsConfig::new([10, 0, 0, 2].into())
    };
    let id = FunctionId::new("ns", "Revision", "rev");
    let shared = shared(&config, &id);
    let (client, asked) = server(16);
    let task = tokio::spawn(run(client, config, Arc::clone(&shared)));
    let _task = AbortOnDropHandle::new(task);
    let begin = Instant::now();
    shared.change(|_| {});
    let found = timeout(Duration::from_secs(120), async {
        while address(&shared, &id).is_none() {
            // Whatever else happens to revisions makes nobody ask earlier.
            shared.change(|_| {});
            sleep(Duration::from_millis(50)).await;
        }
    });
    found.await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 16);
    // 0.2, 0.4, 0.8, 1.6, 3.2, then 5 s each.
    let taken = begin.elapsed();
    assert!(taken > Duration::from_secs(56), "{taken:?}");
    assert!(taken < Duration::from_secs(62), "{taken:?}");
}

#[test]
fn a_pause_is_forgotten_with_the_wish() {
    let mut pauses = Pauses::default();
    let (id, now) = (FunctionId::new("ns", "Revision", "rev"), Instant::now());
    pauses.begin(id, now);
    assert_eq!(pauses.end(), Some(now + PAUSE));
    assert!(pauses.due(Vec::new(), now).is_empty());
    assert_eq!(pauses.end(), None);
}
