//! The activator's side: what it counts, to whichever autoscaler answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::sync::watch;
use tokio::time::sleep;
use zeron_core::{Chain, FunctionId};

use super::dial::{self, Source, converse, dial};
use super::proto::{WireStatMessage, WireStatMessages};
use super::rules::Rules;
use crate::client::outgoing::{Next, Outgoing};
use crate::link::{ActivatorLink, AutoscalerLink, link};
use crate::message::ToAutoscaler;
use crate::socket::Ended;

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Pauses between attempts.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const GROWTH: f64 = 1.3;
/// Messages of the activator taken in one turn.
const BATCH: usize = 256;
/// Statistics in one message: far below what the other side takes, whatever their names.
const CHUNK: usize = 4_096;

/// How an activator reaches the autoscalers.
#[derive(Clone, Debug)]
pub struct StatClientConfig {
    /// This activator's pod, which signs what it counts.
    pub pod: String,
    /// `host:port` of a Service before all autoscalers, resolved anew for each attempt. Whichever
    /// answers passes on what is not its own.
    pub address: String,
}

impl StatClientConfig {
    /// As Knative's activator does it: `autoscaler.<namespace>.svc.<cluster domain>:8080`.
    pub fn new(pod: &str, address: &str) -> Self {
        Self {
            pod: pod.to_owned(),
            address: address.to_owned(),
        }
    }
}

/// How the connection fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatConnection {
    /// It stands.
    pub is_reachable: bool,
    /// Attempts that failed, and connections that broke.
    pub errors: u64,
}

/// A connection that is kept for as long as the activator lives.
#[derive(Debug)]
pub struct StatClient {
    /// The activator's end. Nothing comes back on it: this protocol has no answers.
    pub link: ActivatorLink,
    /// How the connection fares.
    pub state: watch::Receiver<StatConnection>,
}

impl StatClient {
    /// Dials and dials again, in tasks of the current runtime. It ends when the link's sender is
    /// dropped, or after `ToAutoscaler::Goodbye`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(config: StatClientConfig) -> Self {
        let (activator, inner) = link();
        let (sender, state) = watch::channel(StatConnection::default());
        let (current, outgoing) = watch::channel(None);
        let reporter = Reporter {
            rules: Rules::new(&config.pod),
            link: inner,
            outgoing,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = reporter.run() => {}
                () = keep(&config.address, &sender, &current) => {}
            }
        });
        Self {
            link: activator,
            state,
        }
    }
}

/// Keeps the connection until its last message is written.
async fn keep(
    address: &str,
    state: &watch::Sender<StatConnection>,
    current: &watch::Sender<Option<Arc<Outgoing>>>,
) {
    let mut pause = SHORTEST_PAUSE;
    let mut last_error = String::new();
    loop {
        let ended = match dial(address, CONNECT_WITHIN).await {
            Ok(socket) => {
                pause = SHORTEST_PAUSE;
                last_error.clear();
                tracing::info!(address, "statistics reach an autoscaler");
                let outgoing = Arc::new(Outgoing::default());
                state.send_modify(|it| it.is_reachable = true);
                current.send_replace(Some(Arc::clone(&outgoing)));
                let ended = converse(socket, &*outgoing).await;
                current.send_replace(None);
                ended
            }
            Err(error) => error,
        };
        state.send_modify(|it| {
            it.is_reachable = false;
            it.errors += u64::from(!matches!(ended, Ended::Done));
        });
        if matches!(ended, Ended::Done) {
            return;
        }
        let error = Chain(&ended).to_string();
        if error != last_error {
            tracing::warn!(address, error, "statistics reach no autoscaler");
            last_error = error;
        }
        sleep(pause).await;
        pause = pause.mul_f64(GROWTH).min(LONGEST_PAUSE);
    }
}

impl Source for Outgoing {
    async fn next(&self) -> dial::Next {
        match self.take().await {
            Next::Frame(message) => dial::Next::Message(message),
            Next::Goodbye(_) => dial::Next::Done,
            Next::Behind => dial::Next::Behind,
        }
    }
}

/// Makes messages of what the activator says.
struct Reporter {
    rules: Rules,
    link: AutoscalerLink,
    /// Where they go, while there is a connection.
    outgoing: watch::Receiver<Option<Arc<Outgoing>>>,
}

impl Reporter {
    /// Runs until the activator is done and that is written.
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                changed = self.outgoing.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.catch_up();
                }
                count = self.link.receiver.recv_many(&mut batch, BATCH) => {
                    let is_over = count == 0
                        || batch.iter().any(|it| matches!(it, ToAutoscaler::Goodbye));
                    self.tell(&mut batch);
                    if is_over {
                        return self.part().await;
                    }
                }
            }
        }
    }

    fn current(&self) -> Option<Arc<Outgoing>> {
        self.outgoing.borrow().clone()
    }

    /// A new connection: first what nobody heard yet.
    fn catch_up(&mut self) {
        let current = self.outgoing.borrow_and_update().clone();
        if let Some(outgoing) = current {
            for (function, message) in self.rules.untold() {
                outgoing.wake(&function, encode(vec![message]));
            }
        }
    }

    fn tell(&mut self, batch: &mut Vec<ToAutoscaler>) {
        let outgoing = self.current();
        for message in batch.drain(..) {
            match message {
                ToAutoscaler::Wake(wake) => self.wake(&wake.function, outgoing.as_deref()),
                ToAutoscaler::Stats(stats) => {
                    let messages = self.rules.report(&stats, outgoing.is_some());
                    if let Some(outgoing) = outgoing.as_deref().filter(|_| !messages.is_empty()) {
                        let chunks = messages.chunks(CHUNK);
                        outgoing.report(chunks.map(|it| encode(it.to_vec())).collect());
                    }
                }
                // Nothing of the kind is known to this protocol.
                ToAutoscaler::Samples(_)
                | ToAutoscaler::Drained(_)
                | ToAutoscaler::Coverage(_)
                | ToAutoscaler::Goodbye => {}
            }
        }
    }

    fn wake(&mut self, function: &FunctionId, outgoing: Option<&Outgoing>) {
        let message = self.rules.wake(function, outgoing.is_some());
        if let Some((message, outgoing)) = message.zip(outgoing) {
            outgoing.wake(function, encode(vec![message]));
        }
    }

    /// What waits is written, then the connection is closed and this task is over.
    async fn part(mut self) {
        let Some(outgoing) = self.current() else {
            return;
        };
        outgoing.goodbye(Bytes::new());
        let closed = self.outgoing.wait_for(Option::is_none);
        if tokio::time::timeout(dial::SILENCE, closed).await.is_err() {
            tracing::debug!("the last statistics may be lost");
        }
    }
}

fn encode(messages: Vec<WireStatMessage>) -> Bytes {
    WireStatMessages { messages }.encode_to_vec().into()
}
