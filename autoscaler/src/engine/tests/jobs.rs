//! Functions whose work is done by Jobs: when they are ordered, and on what.

use std::time::Duration;

use parking_lot::Mutex;
use zeron_core::JobCounts;
use zeron_core::function::Protocol;
use zeron_core::job::{JobCalculation, JobScaling, JobStrategy};
use zeron_core::metric::UnknownKind;
use zeron_core::policy::{MetricScaling, Scaling};
use zeron_core::{EndpointId, EndpointSink};

use super::fakes::{FakeRegistry, function, id, settle};
use super::second;
use crate::engine::*;
use crate::testkit::{group, metric};

/// A platform that makes every Job at once and keeps it until it is finished.
#[derive(Debug, Default)]
struct Platform {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sink: Option<Arc<dyn EndpointSink>>,
    counts: JobCounts,
    orders: usize,
}

impl Platform {
    /// The watch shows so many.
    fn show(&self, running: u32, pending: u32) {
        let mut state = self.state.lock();
        state.counts.running = running;
        state.counts.pending = pending;
        state.tell();
    }

    fn begun(&self) -> u64 {
        self.state.lock().counts.begun
    }

    fn orders(&self) -> usize {
        self.state.lock().orders
    }
}

impl State {
    fn tell(&self) {
        let sink = self.sink.as_ref().unwrap();
        sink.jobs(&id("work"), self.counts);
    }
}

impl Backend for Platform {
    fn apply(&self, _: Arc<Function>) {}

    fn remove(&self, _: &FunctionId) {}

    fn scale(&self, _: &FunctionId, _: u32, _: &[EndpointId]) {
        panic!("Jobs have no count that is written");
    }

    fn create_jobs(&self, _: &FunctionId, begun: u64) {
        let mut state = self.state.lock();
        state.orders += 1;
        let more = begun.saturating_sub(state.counts.begun);
        let more = u32::try_from(more).unwrap();
        state.counts.begun += u64::from(more);
        state.counts.running += more;
        state.counts.pending += more;
        state.tell();
    }

    fn subscribe(&self, sink: Arc<dyn EndpointSink>) {
        self.state.lock().sink = Some(sink);
    }
}

struct Work {
    handle: EngineHandle,
    platform: Arc<Platform>,
    registry: Arc<FakeRegistry>,
    _link: zeron_wire::ActivatorLink,
}

impl Work {
    fn new() -> Self {
        let (link, engine_link) = zeron_wire::link();
        let platform = Arc::new(Platform::default());
        let registry = Arc::new(FakeRegistry::default());
        let (handle, run) = Engine::prepare(
            &EngineConfig::default(),
            Arc::clone(&platform) as Arc<dyn Backend>,
            Arc::clone(&registry) as Arc<dyn ScalerRegistry>,
            engine_link,
            Arc::new(MonotonicClock::new()),
        );
        tokio::spawn(run);
        Self {
            handle,
            platform,
            registry,
            _link: link,
        }
    }

    /// Found, as an autoscaler of a cluster does. Ten messages are one Job.
    fn apply(&self, jobs: JobScaling, triggers: usize, interval: Duration) {
        let scaling = MetricScaling {
            polling_interval: interval,
            ..metric(triggers)
        };
        let mut work = function("work", vec![group(Scaling::Metric(scaling), Some(20))]);
        work.protocol = Protocol::None;
        work.scale.jobs = Some(jobs);
        self.handle.apply_found(Arc::new(work), Found::default());
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_before_the_jobs_that_there_are_are_known() {
    let work = Work::new();
    work.registry.answer("t0", Ok(30.0));
    work.apply(JobScaling::default(), 1, second());
    tokio::time::sleep(second() * 5).await;
    assert_eq!(work.platform.orders(), 0);
    assert!(work.registry.batches().is_empty());
    work.platform.show(2, 0);
    settle().await;
    assert_eq!(work.platform.begun(), 1, "three are wanted, two are there");
}

#[tokio::test(start_paused = true)]
async fn each_answer_orders_once_and_what_is_made_counts_at_once() {
    let work = Work::new();
    work.registry.answer("t0", Ok(50.0));
    work.platform.show(0, 0);
    work.apply(JobScaling::default(), 1, second());
    settle().await;
    assert_eq!(work.platform.begun(), 5);
    let status = work.handle.status(&id("work")).unwrap();
    assert_eq!((status.ready, status.starting), (0, 5));
    // Jobs that come and go order nothing between two answers.
    work.platform.show(5, 0);
    work.platform.show(0, 0);
    settle().await;
    assert_eq!((work.platform.begun(), work.platform.orders()), (5, 1));
    work.registry.answer("t0", Ok(20.0));
    tokio::time::sleep(second() + Duration::from_millis(1)).await;
    assert_eq!(work.platform.begun(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_push_makes_the_next_evaluation_come_at_once() {
    let work = Work::new();
    work.registry.answer("t0", Ok(0.0));
    work.registry.answer("t1", Ok(0.0));
    work.platform.show(0, 0);
    let sum = JobScaling {
        calculation: JobCalculation::Sum,
        ..JobScaling::default()
    };
    work.apply(sum, 2, Duration::from_secs(300));
    settle().await;
    assert_eq!(work.platform.begun(), 0);
    tokio::time::sleep(second()).await;
    work.registry.answer("t0", Ok(10.0));
    work.registry.answer("t1", Ok(20.0));
    work.registry.push("t1");
    settle().await;
    assert_eq!(work.platform.begun(), 3, "both were read");
    // Too soon after the last: read as soon as may be.
    work.registry.answer("t0", Ok(40.0));
    work.registry.push("t0");
    settle().await;
    assert_eq!(work.platform.begun(), 3);
    tokio::time::sleep(second()).await;
    settle().await;
    assert_eq!(work.platform.begun(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_question_older_than_the_last_order_is_not_used() {
    let work = Work::new();
    work.registry.answer("t0", Ok(50.0));
    work.platform.show(0, 0);
    let eager = JobScaling {
        strategy: JobStrategy::Eager,
        ..JobScaling::default()
    };
    work.apply(eager, 1, Duration::from_secs(300));
    settle().await;
    assert_eq!(work.platform.begun(), 5);
    // Two pushes in one turn are one read.
    tokio::time::sleep(second() * 2).await;
    work.registry.push("t0");
    work.registry.push("t0");
    settle().await;
    assert_eq!(work.platform.begun(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_orders_nothing_and_keeps_nobody_waiting() {
    let work = Work::new();
    work.registry
        .answer("t0", Err((UnknownKind::Transport, "broker is gone")));
    work.registry.answer("t1", Ok(20.0));
    work.platform.show(0, 0);
    work.apply(JobScaling::default(), 2, second());
    settle().await;
    assert_eq!(work.platform.begun(), 2);
    let status = work.handle.status(&id("work")).unwrap();
    assert_eq!(status.message.as_deref(), Some("broker is gone"));
    work.registry.hang("t0");
    work.registry.answer("t1", Ok(50.0));
    tokio::time::sleep(second() * 3).await;
    assert_eq!(work.platform.begun(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_bound_counts_as_failing() {
    let work = Work::new();
    work.registry.refuse(true);
    work.platform.show(0, 0);
    work.apply(JobScaling::default(), 1, second());
    settle().await;
    assert_eq!((work.platform.begun(), work.platform.orders()), (0, 1));
    work.registry.refuse(false);
    work.registry.answer("t0", Ok(10.0));
    tokio::time::sleep(second() * 2).await;
    assert_eq!(work.platform.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn triggers_of_jobs_are_read_in_the_batches_of_their_source() {
    let work = Work::new();
    work.registry.share_source();
    work.platform.show(0, 0);
    work.apply(JobScaling::default(), 2, second());
    let scaling = MetricScaling {
        polling_interval: second(),
        ..metric(2)
    };
    let consumer = function("consumer", vec![group(Scaling::Metric(scaling), None)]);
    work.handle.apply(Arc::new(consumer));
    tokio::time::sleep(second() + Duration::from_millis(1)).await;
    assert!(
        work.registry.batches().contains(&4),
        "{:?}",
        work.registry.batches()
    );
}

#[tokio::test(start_paused = true)]
async fn a_function_that_is_removed_orders_nothing_more() {
    let work = Work::new();
    work.registry.answer("t0", Ok(0.0));
    work.platform.show(0, 0);
    work.apply(JobScaling::default(), 1, second());
    settle().await;
    work.handle.remove(id("work"));
    work.registry.answer("t0", Ok(50.0));
    work.registry.push("t0");
    tokio::time::sleep(second() * 3).await;
    assert_eq!(work.platform.begun(), 0);
    assert_eq!(work.handle.status(&id("work")), None);
}
