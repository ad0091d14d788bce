//! An optional limit on requests per second.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tower::{Layer, Service};

/// Delays requests above a rate (generic cell rate algorithm).
#[derive(Clone, Debug)]
pub(crate) struct ThrottleLayer(Arc<Throttle>);

#[derive(Debug)]
struct Throttle {
    interval: Duration,
    tolerance: Duration,
    /// When the next request would be due at an even rate.
    due: Mutex<Instant>,
}

/// See [`ThrottleLayer`].
#[derive(Clone, Debug)]
pub(crate) struct Throttled<S> {
    inner: S,
    throttle: Arc<Throttle>,
}

impl ThrottleLayer {
    pub(crate) fn new(qps: NonZeroU32, burst: NonZeroU32) -> Self {
        let interval = Duration::from_secs(1) / qps.get();
        Self(Arc::new(Throttle {
            interval,
            tolerance: interval * (burst.get() - 1),
            due: Mutex::new(Instant::now()),
        }))
    }
}

impl Throttle {
    /// How long a request that comes now waits.
    fn delay(&self, now: Instant) -> Duration {
        let mut due = self.due.lock();
        let at = (*due).max(now);
        *due = at + self.interval;
        at.saturating_duration_since(now + self.tolerance)
    }
}

impl<S> Layer<S> for ThrottleLayer {
    type Service = Throttled<S>;

    fn layer(&self, inner: S) -> Throttled<S> {
        Throttled {
            inner,
            throttle: Arc::clone(&self.0),
        }
    }
}

impl<S, R> Service<R> for Throttled<S>
where
    S: Service<R> + Clone + Send + 'static,
    S::Future: Send,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let delay = self.throttle.delay(Instant::now());
        // The one that is ready is used; the clone takes its place.
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            ready.call(request).await
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_the_rest_keeps_the_rate() {
        let layer = ThrottleLayer::new(NonZeroU32::new(10).unwrap(), NonZeroU32::new(3).unwrap());
        let now = Instant::now();
        let delays: Vec<_> = (0..5).map(|_| layer.0.delay(now).as_millis()).collect();
        assert_eq!(delays, [0, 0, 0, 100, 200]);
        let later = now + Duration::from_secs(10);
        assert_eq!(layer.0.delay(later), Duration::ZERO);
    }
}
