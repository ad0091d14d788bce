//! The few threads on which one cluster's blocking calls run, so that a hung broker blocks no others.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// Calls of one cluster that may block at the same time.
const THREADS: usize = 4;

/// Calls of one cluster that may wait for a thread.
const MAX_WAITING: usize = 1_024;

/// librdkafka does its own work on its own threads; a call needs little.
const STACK_BYTES: usize = 512 << 10;

type Job = Box<dyn FnOnce() + Send>;

/// The threads of one cluster. They end when this is dropped and its last job is done.
#[derive(Debug)]
pub(crate) struct Lane {
    jobs: SyncSender<Job>,
}

/// Why a call gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaneError {
    /// Too many calls wait.
    Full,
    /// No answer by the deadline; the call itself ends later.
    Late,
}

impl Lane {
    /// Starts the threads.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, waiting) = sync_channel::<Job>(MAX_WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..THREADS {
            let waiting = Arc::clone(&waiting);
            thread::Builder::new()
                .name("zeron-kafka".to_owned())
                .stack_size(STACK_BYTES)
                .spawn(move || work(&waiting))?;
        }
        Ok(Self { jobs })
    }

    /// Runs `call` on a thread and waits for its answer until `deadline`.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LaneError> {
        let (sender, answer) = oneshot::channel();
        let job = move || {
            if !sender.is_closed() {
                // The asker may have given up meanwhile; then nobody needs the answer.
                drop(sender.send(call()));
            }
        };
        if !self.submit(job) {
            return Err(LaneError::Full);
        }
        match timeout_at(deadline, answer).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) | Err(_) => Err(LaneError::Late),
        }
    }

    /// Runs `job` on a thread when one is free; `false` when too many wait.
    pub(crate) fn submit(&self, job: impl FnOnce() + Send + 'static) -> bool {
        match self.jobs.try_send(Box::new(job)) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is held while waiting: the others wait for it instead of for a job.
        let job = waiting.lock().recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn answers_come_back() {
        let lane = Lane::start().unwrap();
        assert_eq!(lane.run(soon(), || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_late_and_leaves_the_other_threads_free() {
        let lane = Lane::start().unwrap();
        let (release, hang) = sync_channel::<()>(0);
        let late = lane.run(Instant::now(), move || hang.recv()).await;
        assert_eq!(late, Err(LaneError::Late));
        assert_eq!(lane.run(soon(), || 7).await, Ok(7));
        drop(release);
    }

    #[tokio::test]
    async fn full_queue_is_refused_at_once() {
        let lane = Lane::start().unwrap();
        let (release, hang) = sync_channel::<()>(0);
        let hang = Arc::new(Mutex::new(hang));
        let mut accepted = 0;
        while accepted <= THREADS + MAX_WAITING {
            let hang = Arc::clone(&hang);
            if !lane.submit(move || assert!(hang.lock().recv().is_err())) {
                break;
            }
            accepted += 1;
        }
        assert!((MAX_WAITING..=THREADS + MAX_WAITING).contains(&accepted));
        assert_eq!(lane.run(soon(), || 7).await, Err(LaneError::Full));
        drop(release);
    }
}
