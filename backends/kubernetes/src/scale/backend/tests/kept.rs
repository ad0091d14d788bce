//! Claims about replicas that were to stop and stay after all.

use super::*;

/// Notes what stays, and counts that are said.
#[derive(Debug, Default)]
struct Notes {
    kept: Mutex<Vec<(String, Vec<EndpointId>)>>,
    counts: Mutex<Vec<(String, u32)>>,
}

impl EndpointSink for Notes {
    fn publish(&self, _: &FunctionId, _: Option<Arc<zeron_core::EndpointSnapshot>>) {}

    fn declared(&self, function: &FunctionId, replicas: u32) {
        let name = function.name().to_owned();
        self.counts.lock().push((name, replicas));
    }

    fn kept(&self, function: &FunctionId, replicas: &[EndpointId]) {
        let name = function.name().to_owned();
        self.kept.lock().push((name, replicas.to_vec()));
    }
}

impl Rig {
    fn notes(&self) -> Arc<Notes> {
        let notes = Arc::new(Notes::default());
        self.pods
            .subscribe(Arc::clone(&notes) as Arc<dyn EndpointSink>);
        notes
    }

    fn pod(&self, app: &str, name: &str) {
        self.pods.put(json!({
            "metadata": {"namespace": "ns", "name": name, "labels": {"app": app}, "uid": name},
            "status": {"phase": "Running", "podIP": "10.0.0.1",
                       "conditions": [{"type": "Ready", "status": "True"}]},
        }));
    }
}

impl Notes {
    fn kept(&self) -> Vec<(String, Vec<EndpointId>)> {
        std::mem::take(&mut self.kept.lock())
    }
}

const VICTIM: EndpointId = EndpointId(7);

fn kept(name: &str) -> Vec<(String, Vec<EndpointId>)> {
    vec![(name.to_owned(), vec![VICTIM])]
}

#[tokio::test(start_paused = true)]
async fn replicas_stay_where_somebody_else_raised_the_count() {
    let rig = rig(&[("a", 4)]);
    let notes = rig.notes();
    rig.scales.set("a", 6);
    rig.scale("a", 1, &[VICTIM]);
    rig.settle().await;
    assert_eq!((notes.kept(), rig.scales.count("a")), (kept("a"), Some(6)));
}

#[tokio::test(start_paused = true)]
async fn replicas_stay_where_more_are_wished_before_the_write() {
    let rig = rig(&[("a", 4)]);
    let notes = rig.notes();
    rig.scales.fail(vec![Fault::Broken; 3]);
    rig.scale("a", 1, &[VICTIM]);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(notes.kept(), [], "it is tried again");
    rig.scale("a", 4, &[]);
    assert_eq!(notes.kept(), kept("a"));
    rig.settle().await;
    assert_eq!(rig.scales.count("a"), Some(4));
}

#[tokio::test(start_paused = true)]
async fn replicas_stay_where_the_wish_is_withdrawn_unless_it_was_sent() {
    let rig = rig(&[("reads", 4), ("waits", 4), ("writes", 4), ("lost", 4)]);
    let (notes, moment) = (rig.notes(), Duration::from_millis(100));
    let scale = async |name: &str, faults: &[Fault]| {
        rig.scales.fail(faults.to_vec());
        rig.scale(name, 1, &[VICTIM]);
        tokio::time::sleep(moment).await;
    };
    scale("reads", &[Fault::Hung]).await;
    rig.backend.remove(&target("reads").id);
    rig.settle().await;
    assert_eq!(notes.kept(), kept("reads"));
    scale("waits", &[Fault::Status(500, Some(60))]).await;
    rig.backend.withdraw(&target("waits").id);
    assert_eq!(notes.kept(), kept("waits"));
    scale("writes", &[Fault::Pass, Fault::Slow(moment * 2)]).await;
    rig.backend.withdraw(&target("writes").id);
    rig.settle().await;
    assert_eq!(
        (notes.kept(), rig.scales.count("writes")),
        (Vec::new(), Some(1))
    );
    // Written, but nobody knows.
    scale("lost", &[Fault::Pass, Fault::AnswerLost, Fault::Hung]).await;
    rig.backend.remove(&target("lost").id);
    rig.settle().await;
    assert_eq!(
        (notes.kept(), rig.scales.count("lost")),
        (Vec::new(), Some(1))
    );
}

#[tokio::test(start_paused = true)]
async fn a_lower_count_that_is_refused_is_given_up_and_said() {
    let mut rig = rig(&[("a", 4)]);
    let notes = rig.notes();
    rig.scales.fail([Fault::Pass, Fault::Status(403, None)]);
    rig.scale("a", 1, &[VICTIM]);
    let ScaleEvent::Failed {
        failure, retry_in, ..
    } = rig.event().await
    else {
        panic!("no failure");
    };
    assert_eq!((failure.status, retry_in), (Some(403), REFUSED_FOR));
    assert_eq!((notes.kept(), rig.backend.waiting()), (kept("a"), 0));
    assert_eq!(*notes.counts.lock(), [("a".to_owned(), 4)]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((rig.scales.count("a"), rig.scales.patches()), (Some(4), 1));
}

#[tokio::test(start_paused = true)]
async fn of_more_victims_than_have_to_go_the_rest_stays() {
    let rig = rig(&[("a", 4)]);
    let notes = rig.notes();
    let names = ["a-1", "a-2", "a-3", "a-4"];
    for name in names {
        rig.pod("a", name);
    }
    let victims = names.map(endpoint_id);
    rig.scales.fail(vec![Fault::Broken; 3]);
    rig.scale("a", 2, &victims[..2]);
    rig.scale("a", 3, &[]);
    rig.settle().await;
    let marks = rig.scales.log();
    let marks: Vec<_> = marks.iter().filter(|call| call.contains("pods/")).collect();
    assert_eq!(marks.len(), 1, "{marks:?}");
    let kept = notes.kept();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(kept[0].1.len() == 1 && victims[..2].contains(&kept[0].1[0]));
}
