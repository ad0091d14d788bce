//! Which way replicas are reached, as real listeners answer.
#![allow(clippy::unwrap_used)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use zeron_core::workload::ReadinessProbe;
use zeron_core::{Endpoint, EndpointId};

use super::ask::QUESTION;
use super::*;

/// More than any test sends on.
const ROOM: usize = 64;

/// What is sent on.
#[derive(Debug)]
struct Seen(mpsc::Sender<Option<Arc<EndpointSnapshot>>>);

impl EndpointSink for Seen {
    fn publish(&self, _: &FunctionId, snapshot: Option<Arc<EndpointSnapshot>>) {
        self.0.try_send(snapshot).unwrap();
    }
}

struct Rig {
    reach: Reach,
    seen: mpsc::Receiver<Option<Arc<EndpointSnapshot>>>,
    switched: mpsc::Receiver<FunctionId>,
}

fn id() -> FunctionId {
    FunctionId::new("shop", "Deployment", "web")
}

impl Rig {
    /// The function is declared so already.
    fn new(mode: MeshMode, service: Option<SocketAddr>) -> Self {
        let (sender, seen) = mpsc::channel(ROOM);
        let (switch, switched) = mpsc::channel(ROOM);
        let on_switch = move |id: &FunctionId| switch.try_send(id.clone()).unwrap();
        let reach = Reach::new(mode, Arc::new(Seen(sender)), on_switch);
        reach.change(&id(), |way| way.declare(mode, service));
        Self {
            reach,
            seen,
            switched,
        }
    }

    fn publish(&self, endpoints: Vec<Endpoint>) {
        let snapshot = EndpointSnapshot {
            endpoints,
            ..EndpointSnapshot::default()
        };
        self.reach.publish(&id(), Some(Arc::new(snapshot)));
    }

    async fn next(&mut self) -> Arc<EndpointSnapshot> {
        let within = Duration::from_secs(20);
        let seen = tokio::time::timeout(within, self.seen.recv()).await;
        seen.expect("a snapshot is sent on").unwrap().unwrap()
    }
}

/// A replica that the platform calls ready; only it can say so.
fn replica(number: u64, address: SocketAddr) -> Endpoint {
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

/// Somebody who answers every request so, or only closes.
async fn listener(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                give(&mut stream, answer).await;
            });
        }
    });
    address
}

/// Hears the question out: what is left unread would take the answer with it.
async fn give(stream: &mut TcpStream, answer: &[u8]) {
    let mut question = vec![0; QUESTION.len()];
    stream.read_exact(&mut question).await.unwrap();
    stream.write_all(answer).await.unwrap();
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
const UNREACHED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\r\n";

fn readiness(snapshot: &EndpointSnapshot) -> Vec<(u64, bool)> {
    let endpoints = snapshot.endpoints.iter();
    endpoints.map(|it| (it.id.0, it.is_ready)).collect()
}

#[tokio::test]
async fn pods_that_refuse_are_reached_through_a_service_that_answers() {
    for refusal in [UNREACHED, b""] {
        let (pod, service) = (listener(refusal).await, listener(OK).await);
        let mut rig = Rig::new(MeshMode::Auto, Some(service));
        rig.publish(vec![replica(1, pod), replica(2, pod)]);
        let held = readiness(&*rig.next().await);
        assert_eq!(
            held,
            [(1, false), (2, false)],
            "nothing is sent to them yet"
        );
        let together = rig.next().await;
        assert_eq!(together.endpoints.len(), 1);
        assert_eq!(together.endpoints[0].address, Some(service));
        assert_eq!(together.endpoints[0].replicas, 2);
        assert!(together.endpoints[0].is_ready);
        assert_eq!(rig.switched.recv().await, Some(id()));
        assert!(rig.reach.is_through_service(&id()));
        rig.publish(vec![replica(1, pod), replica(2, pod), replica(3, pod)]);
        assert_eq!(rig.next().await.endpoints[0].replicas, 3);
        rig.publish(Vec::new());
        assert!(rig.next().await.endpoints.is_empty());
        assert!(
            rig.reach.is_through_service(&id()),
            "the next ones are, too"
        );
    }
}

#[tokio::test]
async fn pods_that_answer_are_reached_by_themselves() {
    let (pod, service) = (listener(OK).await, listener(OK).await);
    let mut rig = Rig::new(MeshMode::Auto, Some(service));
    rig.publish(vec![replica(1, pod)]);
    assert_eq!(readiness(&*rig.next().await), [(1, false)]);
    assert_eq!(readiness(&*rig.next().await), [(1, true)]);
    assert!(!rig.reach.is_through_service(&id()));
    rig.publish(vec![replica(1, pod), replica(2, pod)]);
    let later = readiness(&*rig.next().await);
    assert_eq!(later, [(1, true), (2, true)], "nobody is asked again");
}

#[tokio::test]
async fn a_service_that_leads_to_them_a_moment_later_is_waited_for() {
    let pod = listener(UNREACHED).await;
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = service.local_addr().unwrap();
    let mut rig = Rig::new(MeshMode::Auto, Some(address));
    rig.publish(vec![replica(1, pod)]);
    assert_eq!(readiness(&*rig.next().await), [(1, false)]);
    for answer in [UNREACHED, UNREACHED, OK] {
        let (mut stream, _) = service.accept().await.unwrap();
        give(&mut stream, answer).await;
    }
    assert_eq!(rig.next().await.endpoints[0].address, Some(address));
}

#[tokio::test]
async fn a_service_that_refuses_too_changes_nothing() {
    let (pod, service) = (listener(UNREACHED).await, listener(UNREACHED).await);
    let mut rig = Rig::new(MeshMode::Auto, Some(service));
    rig.publish(vec![replica(1, pod)]);
    assert_eq!(readiness(&*rig.next().await), [(1, false)]);
    assert_eq!(readiness(&*rig.next().await), [(1, true)]);
}

#[tokio::test]
async fn pods_that_we_probe_ourselves_are_never_held_nor_asked() {
    let (pod, service) = (listener(b"").await, listener(OK).await);
    let mut rig = Rig::new(MeshMode::Auto, Some(service));
    let probed = Endpoint {
        probe: Some(Arc::new(ReadinessProbe::default())),
        ..replica(1, pod)
    };
    rig.publish(vec![probed]);
    assert_eq!(readiness(&*rig.next().await), [(1, true)]);
    assert!(!rig.reach.is_through_service(&id()));
}

#[tokio::test]
async fn a_mode_that_is_given_needs_no_answer() {
    let nobody = "192.0.2.1:80".parse().unwrap();
    let mut never = Rig::new(MeshMode::Disabled, Some(nobody));
    never.publish(vec![replica(1, nobody)]);
    assert_eq!(readiness(&*never.next().await), [(1, true)]);
    let mut always = Rig::new(MeshMode::Enabled, Some(nobody));
    let starting = Endpoint {
        is_ready: false,
        ..replica(2, nobody)
    };
    always.publish(vec![starting.clone()]);
    assert!(!always.next().await.endpoints[0].is_ready);
    always.publish(vec![replica(1, nobody), starting]);
    let together = always.next().await;
    let one = &together.endpoints[0];
    assert_eq!((one.is_ready, one.replicas, together.pending), (true, 1, 1));
    let mut without = Rig::new(MeshMode::Enabled, None);
    without.publish(vec![replica(1, nobody)]);
    assert_eq!(readiness(&*without.next().await), [(1, true)]);
}

#[tokio::test]
async fn a_function_that_is_gone_leaves_nothing() {
    let (pod, service) = (listener(b"").await, listener(OK).await);
    let mut rig = Rig::new(MeshMode::Auto, Some(service));
    rig.publish(vec![replica(1, pod)]);
    assert_eq!(readiness(&*rig.next().await), [(1, false)]);
    let removed = Changes {
        removed: vec![id()],
        ..Changes::default()
    };
    rig.reach.declare(&removed);
    assert_eq!(readiness(&*rig.next().await), [(1, true)]);
    rig.reach.publish(&id(), None);
    assert_eq!(rig.seen.recv().await, Some(None));
    assert!(rig.reach.0.ways.lock().is_empty());
}
