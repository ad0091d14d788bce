//! The hub's task: one event at a time, what the engine is to know in order.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::state::State;
use super::{Event, Expected, Mail};
use crate::link::ActivatorLink;
use crate::message::{Coverage, ToAutoscaler};
use crate::seconds::Ticks;

pub(super) struct Task {
    state: State,
    engine: ActivatorLink,
    events: mpsc::Receiver<Event>,
    mail: Arc<Mail>,
    expected: Option<watch::Receiver<Expected>>,
    coverage: watch::Sender<Coverage>,
}

impl Task {
    pub(super) fn new(
        state: State,
        engine: ActivatorLink,
        events: mpsc::Receiver<Event>,
        mail: Arc<Mail>,
        coverage: watch::Sender<Coverage>,
    ) -> Self {
        Self {
            state,
            engine,
            events,
            mail,
            expected: None,
            coverage,
        }
    }

    /// Merges load at every tick, until the engine has ended.
    pub(super) async fn run(mut self, mut ticks: Ticks) {
        let _visible = EndsVisibly;
        while self.forward().await {
            tokio::select! {
                Some(event) = self.events.recv() => self.hear(event),
                order = self.engine.receiver.recv() => match order {
                    Some(order) => {
                        // Victims are chosen among the endpoints of now.
                        self.open();
                        self.state.order(order, Instant::now());
                    }
                    None => return,
                },
                () = self.mail.arrived.notified() => self.open(),
                () = changed(&mut self.expected) => self.expect(),
                () = ticks.tick() => {
                    self.open();
                    self.state.tick(Instant::now());
                }
            }
        }
    }

    /// Tells the engine; false when it has ended. A report that has no room is dropped.
    async fn forward(&mut self) -> bool {
        for message in self.state.take() {
            let sender = &self.engine.sender;
            let is_gone = match message {
                ToAutoscaler::Stats(_) => {
                    let sent = sender.try_send(message);
                    matches!(sent, Err(mpsc::error::TrySendError::Closed(_)))
                }
                message => sender.send(message).await.is_err(),
            };
            if is_gone {
                return false;
            }
        }
        let now = self.state.coverage();
        self.coverage.send_if_modified(|told| {
            let is_new = told != now;
            if is_new {
                told.clone_from(now);
            }
            is_new
        });
        true
    }

    fn hear(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Join(joining) => {
                let joined = self.state.join(&joining.name, joining.identity, now);
                if let Err(Ok((seat, _))) = joining.reply.send(joined) {
                    // It did not wait for the answer.
                    self.state.left(seat, now);
                }
            }
            Event::Said(seat, said) => {
                self.open();
                self.state.said(seat, said, now);
            }
            Event::Left(seat) => self.state.left(seat, now),
        }
    }

    fn open(&mut self) {
        let expected = self.mail.expected.lock().take();
        if expected.is_some() {
            self.expected = expected;
            self.expect();
        }
        let endpoints = std::mem::take(&mut *self.mail.endpoints.lock());
        for (function, snapshot) in endpoints {
            self.state.endpoints(function, snapshot);
        }
        let kept = std::mem::take(&mut *self.mail.kept.lock());
        for (function, replicas) in kept {
            self.state.kept(&function, &replicas);
        }
    }

    fn expect(&mut self) {
        if let Some(expected) = &mut self.expected {
            let names = expected.borrow_and_update().clone();
            self.state.expect(names, Instant::now());
        }
    }
}

/// Waits for another set of names; for ever when nobody says any.
async fn changed(expected: &mut Option<watch::Receiver<Expected>>) {
    if let Some(receiver) = expected {
        if receiver.changed().await.is_ok() {
            return;
        }
        // What was said last holds.
        *expected = None;
    }
    std::future::pending().await
}

/// Without its hub an autoscaler hears nobody: if this task panics, the process ends rather than
/// hold everything as it is for ever.
struct EndsVisibly;

impl Drop for EndsVisibly {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the hub panicked");
            std::process::abort();
        }
    }
}
