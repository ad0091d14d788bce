//! The five calls, answered from memory.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::{StreamExt, once, unfold};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use zeron_autoscaler::{EngineHandle, RequestWatch};
use zeron_core::FunctionId;
use zeron_external_scaler_proto::server::ExternalScaler;
use zeron_external_scaler_proto::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, ScaledObjectRef,
};

use super::MOST_STREAMS;
use super::ask::{Ask, incomplete};
use super::told::{Now, Step, Told};

type Reply<T> = Result<Response<T>, Status>;
type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Which functions there are.
pub(super) trait Directory: Send + Sync + fmt::Debug + 'static {
    /// Whether a function is declared; `None` while not all that is declared was seen.
    fn is_declared(&self, function: &FunctionId) -> Option<bool>;
}

/// Answers about our functions.
#[derive(Debug)]
pub(super) struct Service {
    engine: EngineHandle,
    directory: Arc<dyn Directory>,
    room: Arc<Semaphore>,
    stopped: CancellationToken,
}

impl Service {
    /// Answers until `stopped`.
    pub(super) fn new(
        engine: EngineHandle,
        directory: Arc<dyn Directory>,
        stopped: CancellationToken,
    ) -> Self {
        Self {
            engine,
            directory,
            room: Arc::new(Semaphore::new(MOST_STREAMS)),
            stopped,
        }
    }

    /// What is asked for, of a function that there is.
    fn ask(&self, object: &ScaledObjectRef) -> Result<Ask, Status> {
        let ask = Ask::read(object)?;
        match self.directory.is_declared(&ask.function) {
            Some(true) => Ok(ask),
            Some(false) => Err(Status::not_found(format!(
                "{}: nothing that Zeron acts on leads to it or scales it",
                ask.function
            ))),
            None => Err(Status::unavailable(
                "not all declared objects were seen yet",
            )),
        }
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Status> {
        let place = Arc::clone(&self.room).try_acquire_owned();
        place.map_err(|_| Status::resource_exhausted("there are too many streams"))
    }
}

#[tonic::async_trait]
impl ExternalScaler for Service {
    type StreamIsActiveStream = Replies<IsActiveResponse>;
    type StreamMetricSpecStream = Replies<GetMetricSpecResponse>;

    async fn is_active(&self, request: Request<ScaledObjectRef>) -> Reply<IsActiveResponse> {
        let ask = self.ask(request.get_ref())?;
        let requests = self.engine.requests(&ask.function);
        let result = ask.is_active(&requests).ok_or_else(incomplete)?;
        Ok(Response::new(IsActiveResponse { result }))
    }

    /// A function that is not there yet, or not any more, has no requests: the stream stays, because
    /// KEDA comes back only after up to a minute. The other calls say that it is not there.
    async fn stream_is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Reply<Self::StreamIsActiveStream> {
        let ask = Ask::read(request.get_ref())?;
        let following = Following {
            watch: self.engine.follow_requests(&ask.function),
            told: Told::default(),
            engine: self.engine.clone(),
            stopped: self.stopped.clone(),
            _place: self.place()?,
            ask,
        };
        let answers = unfold(following, |mut following| async move {
            let result = following.next().await?;
            Some((Ok(IsActiveResponse { result }), following))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn get_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Reply<GetMetricSpecResponse> {
        let ask = self.ask(request.get_ref())?;
        Ok(Response::new(specs(&ask)))
    }

    async fn get_metrics(&self, request: Request<GetMetricsRequest>) -> Reply<GetMetricsResponse> {
        let request = request.into_inner();
        let object = request.scaled_object_ref.unwrap_or_default();
        let ask = self.ask(&object)?;
        let requests = self.engine.requests(&ask.function);
        let value = ask.value(&request.metric_name, &requests)?;
        Ok(Response::new(GetMetricsResponse {
            metric_values: vec![value],
        }))
    }

    /// The metadata alone says what the specs are: they never change while the stream is open.
    async fn stream_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Reply<Self::StreamMetricSpecStream> {
        let answer = specs(&Ask::read(request.get_ref())?);
        let (place, stopped) = (self.place()?, self.stopped.clone());
        let end = once(async move {
            stopped.cancelled().await;
            drop(place);
        });
        let first = once(async { Some(Ok(answer)) });
        let answers = first
            .chain(end.map(|()| None))
            .filter_map(std::future::ready);
        Ok(Response::new(Box::pin(answers)))
    }
}

fn specs(ask: &Ask) -> GetMetricSpecResponse {
    GetMetricSpecResponse {
        metric_specs: vec![ask.spec()],
    }
}

/// One stream of activity.
struct Following {
    ask: Ask,
    watch: RequestWatch,
    told: Told,
    engine: EngineHandle,
    stopped: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Following {
    /// What is to be told next, when it is time; `None` at the end.
    async fn next(&mut self) -> Option<bool> {
        loop {
            let wakes = self.watch.wakes();
            let requests = self.engine.requests(&self.ask.function);
            let step = self.told.step(Now {
                at: Instant::now(),
                is_active: self.ask.is_active(&requests),
                is_waiting: requests.queued > 0 && requests.in_flight == 0,
                wakes,
            });
            let at = match step {
                Step::Tell(is_active) => return Some(is_active),
                Step::LookAgain(at) => at,
            };
            tokio::select! {
                () = self.stopped.cancelled() => return None,
                () = self.watch.changed() => {}
                () = sleep_until(at) => {}
            }
        }
    }
}
