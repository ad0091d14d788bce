//! One Lease, one leader.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};
use zeron_core::Timestamp;

use super::hold::Hold;
use crate::api::Caller;
use crate::counters::Counters;
use crate::pods::wall;

/// Which Lease, and how fast.
#[derive(Clone, Debug)]
pub struct LeaseConfig {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who we are; unique, such as the pod's name.
    pub holder: Arc<str>,
    /// How long a leader that is gone blocks the others; whole seconds.
    pub duration: Duration,
    /// How often the leader renews.
    pub renew: Duration,
    /// How often the others look.
    pub retry: Duration,
    /// A leader that could not renew for so long gives up; `None`: shortly before `duration` ends.
    pub deadline: Option<Duration>,
}

impl LeaseConfig {
    /// The usual timing: 4 s, renewed each second, looked at twice a second.
    pub fn new(namespace: &str, name: &str, holder: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            holder: holder.into(),
            duration: Duration::from_secs(4),
            renew: Duration::from_secs(1),
            retry: Duration::from_millis(500),
            deadline: None,
        }
    }
}

/// Who leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// We do.
    pub is_leader: bool,
    /// Since when that is so.
    pub since: Timestamp,
    /// Who does, as far as is known.
    pub holder: Option<Arc<str>>,
}

/// Elections.
#[derive(Debug)]
pub struct Lease;

/// Taking part in an election; ends when dropped, without a word to the others.
#[derive(Debug)]
pub struct Campaign {
    leadership: watch::Receiver<Leadership>,
    look: Arc<Notify>,
    resign: Option<oneshot::Sender<()>>,
    task: AbortOnDropHandle<()>,
}

impl Lease {
    /// Takes part in the election of `config`'s Lease.
    pub fn campaign(client: Client, config: LeaseConfig, counters: Arc<Counters>) -> Campaign {
        let (sender, leadership) = watch::channel(Leadership::default());
        let (resign, resigned) = oneshot::channel();
        // One slow answer must not cost what is held: there is time to ask again.
        let patience = match config.deadline {
            Some(deadline) => deadline / 4,
            None => config.duration / 2,
        };
        let caller = Caller::new(client, counters, patience);
        let hold = Hold::new(
            caller,
            &config.namespace,
            config.name.clone(),
            Arc::clone(&config.holder),
            config.duration,
        );
        let hold = match config.deadline {
            Some(deadline) => hold.with_deadline(deadline),
            None => hold,
        };
        let look = Arc::new(Notify::new());
        let candidate = Candidate {
            hold,
            config,
            sender,
            look: Arc::clone(&look),
        };
        Campaign {
            leadership,
            look,
            resign: Some(resign),
            task: AbortOnDropHandle::new(tokio::spawn(candidate.run(resigned))),
        }
    }
}

impl Campaign {
    /// Who leads, from now on.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// The Lease is said to have changed: looks at it now.
    pub fn look(&self) {
        self.look.notify_one();
    }

    /// Leaves the election; a Lease that is ours is given back, so that a successor need not wait.
    pub async fn resign(mut self) {
        if let Some(resign) = self.resign.take() {
            // An error: it had ended already.
            resign.send(()).ok();
            (&mut self.task).await.ok();
        }
    }
}

struct Candidate {
    hold: Hold,
    config: LeaseConfig,
    sender: watch::Sender<Leadership>,
    look: Arc<Notify>,
}

impl Candidate {
    async fn run(mut self, mut resigned: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                biased;
                _ = &mut resigned => break,
                () = self.step() => {}
            }
            self.publish();
            let next = self.next_at();
            tokio::select! {
                _ = &mut resigned => break,
                () = sleep_until(next) => {}
                () = self.look.notified() => {}
            }
            // The hold may have ended while we slept.
            self.publish();
        }
        self.sender.send_modify(|now| {
            now.is_leader = false;
            now.since = wall();
        });
        if let Err(error) = self.hold.release().await {
            debug!(lease = self.hold.name(), %error, "could not give the lease back");
        }
    }

    async fn step(&mut self) {
        let now = Instant::now();
        let result = if self.hold.is_held(now) {
            self.hold.renew().await
        } else {
            match self.hold.read().await {
                Ok(()) if self.hold.is_free(Instant::now()) => self.hold.write().await,
                result => result,
            }
        };
        match result {
            Ok(()) => {}
            Err(error) if error.status() == Some(409) => {
                debug!(lease = self.hold.name(), "somebody was faster");
            }
            Err(error) => warn!(lease = self.hold.name(), %error, "cannot reach the lease"),
        }
    }

    fn publish(&self) {
        let is_leader = self.hold.is_held(Instant::now());
        let holder = self.hold.holder();
        let is_own = holder == Some(&self.config.holder);
        self.sender.send_if_modified(|now| {
            let is_turn = now.is_leader != is_leader;
            if is_turn {
                info!(lease = self.hold.name(), is_leader, "leadership changed");
                now.is_leader = is_leader;
                now.since = wall();
            }
            // Our own name in a Lease that we cannot renew proves nothing.
            let holder = holder.filter(|_| is_leader || !is_own);
            let is_other = now.holder.as_deref() != holder;
            if is_other {
                now.holder = holder.map(Arc::from);
            }
            is_turn || is_other
        });
    }

    fn next_at(&self) -> Instant {
        let now = Instant::now();
        match self.hold.held_until().filter(|until| *until > now) {
            Some(until) => {
                let renewed = self.hold.renewed.unwrap_or(now);
                let next = (renewed + self.config.renew).max(now + self.config.retry / 2);
                next.min(until)
            }
            // The moment it expires, if that comes first.
            None => match self.hold.expires() {
                Some(at) if at > now => at.min(now + self.config.retry),
                _ => now + self.config.retry,
            },
        }
    }
}

#[cfg(test)]
mod tests;
