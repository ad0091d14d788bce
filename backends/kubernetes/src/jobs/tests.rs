//! Jobs against an API server that makes them, refuses, or does not answer; and the sets alone.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use zeron_core::JobCounts;

use super::object::example;
use super::*;

// === an API server that knows Jobs only ===

#[derive(Debug, Default)]
struct Server {
    state: Mutex<ServerState>,
}

#[derive(Debug, Default)]
struct ServerState {
    jobs: BTreeMap<String, Value>,
    deleted: Vec<String>,
    creations: usize,
    most_at_once: usize,
    under_way: usize,
    quota: Option<usize>,
    /// So many answers to creations are lost.
    lost: usize,
    /// So many lists fail.
    broken_lists: usize,
}

impl Server {
    fn client(self: &Arc<Self>) -> Client {
        let own = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<Body>| {
            let own = Arc::clone(&own);
            async move { own.answer(request).await }
        });
        Client::new(service, "default")
    }

    fn count(&self) -> usize {
        self.state.lock().jobs.len()
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, tower::BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        self.state.lock().under_way += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut state = self.state.lock();
        state.most_at_once = state.most_at_once.max(state.under_way);
        state.under_way -= 1;
        let last = head.uri.path().rsplit('/').next().unwrap_or_default();
        let answer = match head.method {
            Method::POST => create(&mut state, &serde_json::from_slice(&body)?),
            Method::GET if last == "jobs" && state.broken_lists > 0 => {
                state.broken_lists -= 1;
                (500, json!({}))
            }
            Method::GET if last == "jobs" => {
                let items: Vec<_> = state.jobs.values().collect();
                (200, json!({ "items": items }))
            }
            Method::GET => found(&state, last),
            Method::DELETE => {
                state.deleted.push(last.to_owned());
                state.jobs.remove(last);
                (200, json!({}))
            }
            _ => (405, json!({})),
        };
        if head.method == Method::POST && answer.0 == 201 && state.lost > 0 {
            state.lost -= 1;
            return Err("connection reset by peer".into());
        }
        let mut response = Response::new(Body::from(answer.1.to_string().into_bytes()));
        *response.status_mut() = StatusCode::from_u16(answer.0)?;
        Ok(response)
    }
}

fn create(state: &mut ServerState, job: &Value) -> (u16, Value) {
    state.creations += 1;
    let name = job["metadata"]["name"].as_str().unwrap().to_owned();
    if state.jobs.contains_key(&name) {
        return (409, json!({ "reason": "AlreadyExists", "message": name }));
    }
    if state.quota.is_some_and(|quota| state.jobs.len() >= quota) {
        let message = format!("jobs.batch {name:?} is forbidden: exceeded quota: q");
        return (403, json!({ "reason": "Forbidden", "message": message }));
    }
    let mut job = job.clone();
    job["metadata"]["uid"] = json!(format!("uid-{name}"));
    state.jobs.insert(name, job.clone());
    (201, job)
}

fn found(state: &ServerState, name: &str) -> (u16, Value) {
    match state.jobs.get(name) {
        Some(job) => (200, job.clone()),
        None => (404, json!({ "reason": "NotFound", "message": name })),
    }
}

/// What a sink was told.
#[derive(Debug, Default)]
struct Told {
    counts: Mutex<Option<JobCounts>>,
    failure: Mutex<Option<StartFailure>>,
}

impl EndpointSink for Told {
    fn publish(&self, _: &FunctionId, snapshot: Option<Arc<EndpointSnapshot>>) {
        *self.failure.lock() = snapshot.and_then(|it| it.failure.clone());
    }

    fn jobs(&self, _: &FunctionId, counts: JobCounts) {
        *self.counts.lock() = Some(counts);
    }
}

/// The parts without a watch: what it shows is put in by hand.
struct Rig {
    server: Arc<Server>,
    jobs: Jobs,
    told: Arc<Told>,
    events: broadcast::Receiver<JobEvent>,
}

impl Rig {
    fn new() -> Self {
        Self::at(Arc::default())
    }

    fn at(server: Arc<Server>) -> Self {
        let counters = Arc::new(Counters::new());
        let caller = Caller::new(server.client(), counters, Duration::from_secs(1));
        let shared = Arc::new(Shared::new(caller));
        shared.listed(|state| (state.has_jobs, state.has_pods) = (true, true));
        let working = tokio::spawn(writer::run(Arc::clone(&shared)));
        let told = Arc::new(Told::default());
        let jobs = Jobs {
            _tasks: Arc::new([
                AbortOnDropHandle::new(tokio::spawn(std::future::pending())),
                AbortOnDropHandle::new(working),
            ]),
            shared,
        };
        jobs.subscribe(Arc::clone(&told) as Arc<dyn EndpointSink>);
        Self {
            server,
            events: jobs.events(),
            jobs,
            told,
        }
    }

    fn declare(&self, change: impl FnOnce(&mut JobObject)) -> FunctionId {
        let mut object = example("orders");
        change(&mut object);
        let id = object.id.clone();
        self.jobs.declare(Arc::new(object));
        id
    }

    fn counts(&self) -> JobCounts {
        self.told.counts.lock().unwrap_or_default()
    }

    /// The watch shows a Job of the server, changed.
    fn show(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut job = self.server.state.lock().jobs[name].clone();
        change(&mut job);
        self.jobs
            .shared
            .put_job(&serde_json::from_value(job).unwrap(), 1);
    }

    fn names(&self) -> Vec<String> {
        self.server.state.lock().jobs.keys().cloned().collect()
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not so: {what}");
}

#[tokio::test(start_paused = true)]
async fn what_is_ordered_is_counted_at_once_and_made_in_parallel() {
    let mut rig = Rig::new();
    let id = rig.declare(|_| {});
    until("nothing is there", || rig.told.counts.lock().is_some()).await;
    assert_eq!(rig.counts(), JobCounts::default());
    rig.jobs.create(&id, 40);
    until("all are made", || rig.server.count() == 40).await;
    until("all are counted", || rig.counts().begun == 40).await;
    let most = rig.server.state.lock().most_at_once;
    assert!((2..=16).contains(&most), "{most} at once");
    let counts = rig.counts();
    assert_eq!((counts.running, counts.pending), (40, 40));
    let created = rig.events.recv().await.unwrap();
    assert_eq!(created, JobEvent::Created { id, count: 40 });
}

#[tokio::test(start_paused = true)]
async fn a_new_owner_counts_what_the_watch_does_not_show_yet() {
    let before = Rig::new();
    let id = before.declare(|_| {});
    before.jobs.create(&id, 3);
    until("all are made", || before.server.count() == 3).await;
    let after = Rig::at(Arc::clone(&before.server));
    after.server.state.lock().broken_lists = 2;
    after.declare(|_| {});
    assert_eq!(*after.told.counts.lock(), None, "not known, so not zero");
    until("they are known", || after.told.counts.lock().is_some()).await;
    assert_eq!((after.counts().running, after.counts().begun), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn the_same_order_twice_makes_nothing_twice() {
    let rig = Rig::new();
    let id = rig.declare(|_| {});
    rig.jobs.create(&id, 5);
    rig.jobs.create(&id, 5);
    until("five are made", || rig.server.count() == 5).await;
    rig.jobs.create(&id, 5);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.server.count(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_makes_no_second_job() {
    let rig = Rig::new();
    let id = rig.declare(|_| {});
    rig.server.state.lock().lost = 2;
    rig.jobs.create(&id, 2);
    until("both are known", || {
        let counts = rig.counts();
        counts.begun == 2 && rig.server.state.lock().creations >= 4
    })
    .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.server.count(), 2);
    assert_eq!(rig.counts().running, 2);
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_said_and_tried_again_with_growing_pauses() {
    let mut rig = Rig::new();
    rig.server.state.lock().quota = Some(2);
    let id = rig.declare(|_| {});
    rig.jobs.create(&id, 4);
    until("it is said", || rig.told.failure.lock().is_some()).await;
    let failure = rig.told.failure.lock().clone().unwrap();
    assert_eq!(failure.reason, "FailedCreate");
    let tried = rig.server.state.lock().creations;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let more = rig.server.state.lock().creations - tried;
    assert!((5..=30).contains(&more), "{more} tries in ten minutes");
    rig.server.state.lock().quota = None;
    until("the rest is made", || rig.server.count() == 4).await;
    until("nothing is said any more", || {
        rig.told.failure.lock().is_none()
    })
    .await;
    let mut is_told = false;
    while let Ok(event) = rig.events.try_recv() {
        is_told |= matches!(event, JobEvent::CreateFailed { .. });
    }
    assert!(is_told);
    assert_eq!(rig.counts().running, 4);
}

#[tokio::test(start_paused = true)]
async fn an_order_for_nothing_takes_back_what_could_not_be_made() {
    let rig = Rig::new();
    rig.server.state.lock().quota = Some(0);
    let id = rig.declare(|_| {});
    rig.jobs.create(&id, 3);
    until("it is said", || rig.told.failure.lock().is_some()).await;
    rig.jobs.create(&id, rig.counts().begun);
    rig.server.state.lock().quota = None;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(rig.server.count(), 0);
    assert!(rig.told.failure.lock().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_job_counts_until_it_is_finished_and_is_pending_until_its_pod_runs() {
    let rig = Rig::new();
    let id = rig.declare(|_| {});
    rig.jobs.create(&id, 2);
    until("both are made", || rig.server.count() == 2).await;
    until("both are known", || rig.counts().pending == 2).await;
    let names = rig.names();
    let pod = json!({
        "metadata": {
            "name": "p", "namespace": "shop", "uid": "p", "labels": { "scaledjob.keda.sh/name": "orders" },
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "Job", "name": names[0],
                "uid": format!("uid-{}", names[0]), "controller": true,
            }],
        },
        "status": { "phase": "Running" },
    });
    rig.jobs
        .shared
        .put_pod(&serde_json::from_value(pod).unwrap(), 1);
    assert_eq!((rig.counts().running, rig.counts().pending), (2, 1));
    // Made by somebody else: its own status says that a pod is ready.
    rig.show(&names[1], |job| job["status"] = json!({ "ready": 1 }));
    assert_eq!(rig.counts().pending, 0);
    rig.show(&names[1], |job| {
        job["status"] = json!({ "conditions": [{ "type": "Complete", "status": "True" }] });
    });
    assert_eq!((rig.counts().running, rig.counts().begun), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn pending_ends_with_the_conditions_that_were_asked_for() {
    let rig = Rig::new();
    let id = rig.declare(|it| it.pending_pod_conditions = vec!["Ready".to_owned()]);
    rig.jobs.create(&id, 1);
    until("it is made", || rig.server.count() == 1).await;
    let name = rig.names().remove(0);
    rig.show(&name, |job| job["status"] = json!({ "ready": 1 }));
    assert_eq!(rig.counts().pending, 1);
}

#[tokio::test(start_paused = true)]
async fn finished_jobs_beyond_the_limits_go_the_oldest_first() {
    let mut rig = Rig::new();
    let id = rig.declare(|it| (it.kept_succeeded, it.kept_failed) = (1, 0));
    rig.jobs.create(&id, 4);
    until("all are made", || rig.server.count() == 4).await;
    let names = rig.names();
    for (index, (name, kind)) in names
        .iter()
        .zip(["Complete", "Complete", "Failed", ""])
        .enumerate()
    {
        let at = format!("2026-01-01T00:00:0{index}Z");
        let conditions = json!([{ "type": kind, "status": "True", "lastTransitionTime": at }]);
        rig.show(name, |job| {
            job["status"] = json!({ "conditions": conditions })
        });
    }
    until("they are gone", || {
        rig.server.state.lock().deleted.len() == 2
    })
    .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut deleted = rig.server.state.lock().deleted.clone();
    deleted.sort();
    assert_eq!(deleted, [names[0].clone(), names[2].clone()]);
    assert_eq!(rig.counts().running, 1);
    assert!(rig.events.try_recv().is_ok());
}

#[tokio::test(start_paused = true)]
async fn jobs_of_older_generations_go_at_once_or_stay() {
    for (is_at_once, left) in [(true, 1), (false, 3)] {
        let rig = Rig::new();
        let id = rig.declare(|_| {});
        rig.jobs.create(&id, 2);
        until("both are made", || rig.server.count() == 2).await;
        until("both are known", || rig.counts().running == 2).await;
        rig.declare(|it| (it.generation, it.is_rolled_out_at_once) = (4, is_at_once));
        rig.jobs.create(&id, 3);
        until("it is as wanted", || rig.server.count() == left).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(rig.server.count(), left);
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_of_another_owner_are_never_deleted() {
    let rig = Rig::new();
    let id = rig.declare(|it| it.kept_succeeded = 0);
    rig.jobs.create(&id, 1);
    until("it is made", || rig.server.count() == 1).await;
    let name = rig.names().remove(0);
    rig.show(&name, |job| {
        job["metadata"]["uid"] = json!("other");
        job["metadata"]["ownerReferences"][0]["uid"] = json!("somebody");
        job["status"] = json!({ "conditions": [{ "type": "Complete", "status": "True" }] });
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(rig.server.state.lock().deleted.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_makes_nothing_more_and_is_settled() {
    let rig = Rig::new();
    rig.server.state.lock().quota = Some(1);
    let id = rig.declare(|_| {});
    rig.jobs.create(&id, 30);
    until("one is made", || rig.server.count() == 1).await;
    rig.jobs.forget(&id);
    rig.jobs.settled().await;
    rig.server.state.lock().quota = None;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(rig.server.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_end_was_seen_before_its_answer_does_not_come_back() {
    let mut set = JobSet::default();
    set.declare(Arc::new(example("orders")));
    set.order(1);
    assert!(set.begin(Instant::now()).is_some());
    let raw = json!({ "metadata": { "name": "a", "uid": "1", "namespace": "shop" } });
    let (uid, job) = Job::read(&serde_json::from_value(raw).unwrap(), 1).unwrap();
    set.put(Arc::clone(&uid), job.clone());
    set.remove(&uid);
    set.made(uid, job);
    assert_eq!(set.counts().running, 0);
}

#[tokio::test(start_paused = true)]
async fn a_list_takes_away_what_it_does_not_show_but_for_what_was_just_made() {
    let mut set = JobSet::default();
    let of = |name: &str, seen| {
        let raw = json!({ "metadata": { "name": name, "uid": name, "namespace": "shop" } });
        Job::read(&serde_json::from_value(raw).unwrap(), seen).unwrap()
    };
    for (name, seen) in [("old", 1), ("listed", 2), ("made", 2)] {
        let (uid, job) = of(name, seen);
        set.put(uid, job);
    }
    set.sweep_jobs(2);
    assert_eq!(set.counts().running, 2);
}
