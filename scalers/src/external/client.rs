//! Asks one scaler for its triggers' metrics: all triggers at once, each with its own fate.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join, try_join_all};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::{Request, Status};
use zeron_core::metric::{MetricReading, Unknown};
use zeron_core::roles::{BoxFuture, TriggerHandle};
use zeron_external_scaler_proto::GetMetricsRequest;

use super::error;
use super::link::{Link, LinkKey, Stub};
use super::reading::{Spec, Specs};
use super::stream::{self, Streams};
use super::trigger::ExternalTrigger;
use crate::AddressPolicy;
use crate::source::{Client, OnChange, Readings};

/// Evaluations of one scaler at once.
const AT_ONCE: usize = 64;
/// Added to the time that a scaler is told it has.
const SLACK: Duration = Duration::from_secs(1);

/// All that is asked of one scaler.
#[derive(Debug)]
pub(super) struct ScalerClient {
    link: Arc<Link>,
    room: Semaphore,
    streams: Mutex<HashMap<TriggerHandle, Streams>>,
}

impl ScalerClient {
    /// Not connected yet.
    pub(super) fn new(key: &LinkKey, policy: AddressPolicy) -> Self {
        Self {
            link: Arc::new(Link::new(key, policy)),
            room: Semaphore::new(AT_ONCE),
            streams: Mutex::default(),
        }
    }

    async fn evaluate(&self, trigger: &ExternalTrigger, timeout: Duration) -> Readings {
        let deadline = Instant::now() + timeout;
        let read = async {
            let _alone = trigger.evaluating.lock().await;
            // It is never closed.
            let _place = self.room.acquire().await.ok();
            self.ask(trigger, deadline).await
        };
        match tokio::time::timeout_at(deadline, read).await {
            Ok(readings) => {
                self.link.answered();
                readings
            }
            Err(_) => {
                self.link.timed_out();
                Err(error::too_late(&self.link, timeout))
            }
        }
    }

    async fn ask(&self, trigger: &ExternalTrigger, deadline: Instant) -> Readings {
        let call = Call {
            stub: self.link.stub()?,
            link: &self.link,
            trigger,
            deadline,
        };
        let streamed = trigger.streamed.lock().clone();
        let specs = match streamed {
            Some(specs) => specs,
            None => Arc::new(call.specs().await?),
        };
        let values = try_join_all(specs.0.iter().map(|spec| call.value(spec)));
        let (values, is_active) = try_join(values, call.is_active()).await?;
        let each = specs.0.iter().zip(values);
        Ok(each
            .map(|(spec, value)| MetricReading {
                metric: error::without_secrets(&spec.metric, trigger),
                ..spec.reading(value, is_active)
            })
            .collect())
    }
}

impl Client for ScalerClient {
    type Trigger = ExternalTrigger;

    fn read<'a>(
        &'a self,
        triggers: &'a [Arc<ExternalTrigger>],
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<Readings>> {
        let each = triggers.iter().map(move |it| self.evaluate(it, timeout));
        Box::pin(join_all(each))
    }

    fn watch(
        &self,
        handle: TriggerHandle,
        trigger: &Arc<ExternalTrigger>,
        on_change: OnChange,
    ) -> bool {
        if trigger.is_push {
            let streams = stream::follow(&self.link, trigger, move || on_change(handle));
            self.streams.lock().insert(handle, streams);
        }
        trigger.is_push
    }

    fn forget(&self, handle: TriggerHandle, _: &ExternalTrigger) {
        self.streams.lock().remove(&handle);
    }
}

/// The calls of one evaluation.
struct Call<'c> {
    stub: Stub,
    link: &'c Link,
    trigger: &'c ExternalTrigger,
    deadline: Instant,
}

impl Call<'_> {
    /// With the time that is left, so that the scaler does not work for nobody. We ourselves give up
    /// first: then it is known why.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let left = self.deadline.saturating_duration_since(Instant::now());
        request.set_timeout(left + SLACK);
        request
    }

    fn failed(&self, status: &Status) -> Unknown {
        error::of_status(status, self.link, self.trigger)
    }

    async fn specs(&self) -> Result<Specs, Unknown> {
        let request = self.request(self.trigger.object.clone());
        let answer = self.stub.clone().get_metric_spec(request).await;
        Specs::read(answer.map_err(|status| self.failed(&status))?.into_inner())
    }

    async fn value(&self, spec: &Spec) -> Result<f64, Unknown> {
        let request = self.request(GetMetricsRequest {
            scaled_object_ref: Some(self.trigger.object.clone()),
            metric_name: spec.metric.clone(),
        });
        let answer = self.stub.clone().get_metrics(request).await;
        spec.value(answer.map_err(|status| self.failed(&status))?.get_ref())
    }

    async fn is_active(&self) -> Result<bool, Unknown> {
        let request = self.request(self.trigger.object.clone());
        let answer = self.stub.clone().is_active(request).await;
        let answer = answer.map_err(|status| self.failed(&status))?;
        Ok(answer.into_inner().result)
    }
}
