//! What a scaler says by itself: that there is work, and which metrics it has.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tonic::{Code, Request, Status, Streaming};

use super::error;
use super::link::Link;
use super::reading::Specs;
use super::trigger::ExternalTrigger;

/// The first pause before a stream is opened again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A stream that lasted so long was a healthy one, even if it said nothing.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// What a scaler says faster than this is heard at this pace, so that it cannot keep us busy.
const PACE: Duration = Duration::from_millis(100);

/// The streams of one trigger. They end with their value.
#[derive(Debug)]
pub(super) struct Streams(Vec<JoinHandle<()>>);

impl Drop for Streams {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It worked.
    Healthy,
    /// It never did.
    Failed,
    /// The scaler has no such stream, and never will.
    Unimplemented,
}

/// Follows what the scaler says about `trigger`. Within a runtime.
pub(super) fn follow(
    link: &Arc<Link>,
    trigger: &Arc<ExternalTrigger>,
    on_active: impl Fn() + Send + Sync + 'static,
) -> Streams {
    let activity = Follower::new(link, trigger);
    let metrics = Follower::new(link, trigger);
    Streams(vec![
        tokio::spawn(async move { activity.follow_activity(&on_active).await }),
        tokio::spawn(async move { metrics.follow_metrics().await }),
    ])
}

struct Follower {
    link: Arc<Link>,
    trigger: Arc<ExternalTrigger>,
    pause: Duration,
}

impl Follower {
    fn new(link: &Arc<Link>, trigger: &Arc<ExternalTrigger>) -> Self {
        Self {
            link: Arc::clone(link),
            trigger: Arc::clone(trigger),
            pause: FIRST_PAUSE,
        }
    }

    async fn follow_activity(mut self, on_active: &(impl Fn() + Sync)) {
        loop {
            let end = self.hear_activity(on_active).await;
            // A scaler that was replaced by a newer one may have it then.
            self.rest(end).await;
        }
    }

    async fn follow_metrics(mut self) {
        loop {
            let end = self.hear_metrics().await;
            // From now on each evaluation asks.
            *self.trigger.streamed.lock() = None;
            if end == End::Unimplemented {
                return;
            }
            self.rest(end).await;
        }
    }

    async fn hear_activity(&self, on_active: &(impl Fn() + Sync)) -> End {
        let object = self.trigger.object.clone();
        let Ok(mut stub) = self.link.stub() else {
            return End::Failed;
        };
        let open = async move { stub.stream_is_active(Request::new(object)).await };
        let hear = |answer: zeron_external_scaler_proto::IsActiveResponse| {
            if answer.result {
                on_active();
            }
        };
        self.hear(open, hear).await
    }

    async fn hear_metrics(&self) -> End {
        let object = self.trigger.object.clone();
        let Ok(mut stub) = self.link.stub() else {
            return End::Failed;
        };
        let open = async move { stub.stream_metric_spec(Request::new(object)).await };
        let hear = |answer| {
            // What cannot be understood is found again, and told, by the next evaluation.
            *self.trigger.streamed.lock() = Specs::read(answer).ok().map(Arc::new);
        };
        self.hear(open, hear).await
    }

    /// One stream from its beginning to its end. Some servers answer with the first message only, so
    /// that a stream that nobody seems to have opened is no fault.
    async fn hear<T>(
        &self,
        open: impl Future<Output = Result<tonic::Response<Streaming<T>>, Status>> + Send,
        mut hear: impl FnMut(T) + Send,
    ) -> End {
        let begin = Instant::now();
        let mut is_healthy = false;
        let ended = {
            let listen = std::pin::pin!(async {
                let mut stream = open.await?.into_inner();
                while let Some(message) = stream.message().await? {
                    is_healthy = true;
                    hear(message);
                    sleep(PACE).await;
                }
                // Ended in order.
                is_healthy = true;
                Ok::<(), Status>(())
            });
            let given_up = std::pin::pin!(self.link.given_up());
            match select(listen, given_up).await {
                Either::Left((ended, _)) => ended,
                Either::Right(_) => Ok(()),
            }
        };
        match ended {
            Err(status) if status.code() == Code::Unimplemented => return End::Unimplemented,
            Err(status) => {
                let reason = error::of_status(&status, &self.link, &self.trigger);
                tracing::debug!(trigger = ?self.trigger, reason = reason.message, "a stream ended");
            }
            Ok(()) => {}
        }
        if is_healthy || begin.elapsed() >= HEALTHY_AFTER {
            End::Healthy
        } else {
            End::Failed
        }
    }

    /// Waits before the next attempt: a share less for each, so that not all come back at once.
    async fn rest(&mut self, end: End) {
        if end == End::Healthy {
            self.pause = FIRST_PAUSE;
        }
        sleep(self.pause.mul_f64(share(&self.trigger))).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// Between a half and one, the same for the same object.
fn share(trigger: &ExternalTrigger) -> f64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (&trigger.object.namespace, &trigger.object.name).hash(&mut hasher);
    1.0 - (hasher.finish() % 1_000) as f64 / 2_000.0
}
