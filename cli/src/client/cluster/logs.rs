//! What the replicas of a function wrote, from the API server's logs of their pods.

mod pod;

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use zeron_core::{Chain, FunctionId};

use super::{Cluster, ClusterError, escape, text};
use crate::client::source::Listing;
use crate::control::FunctionView;
use pod::{End, PodLog};

/// Chunks that may wait for a slow reader.
const QUEUE: usize = 32;
/// How often it is asked for new replicas while following.
const EVERY: Duration = Duration::from_secs(2);
/// The label of pods that work for a ScaledJob, whose replicas are no state of anybody's.
const JOB_LABEL: &str = "scaledjob.keda.sh/name";

/// Which lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogWish {
    /// Go on with what is written from now on.
    pub(crate) follow: bool,
    /// Only the last lines of each replica.
    pub(crate) tail: Option<u32>,
    /// Only this replica: its name, or what is at its end. Otherwise lines begin with `[NAME] `.
    pub(crate) replica: Option<String>,
    /// Begin lines with the time they were written.
    pub(crate) timestamps: bool,
    /// Of this container.
    pub(crate) container: Option<String>,
}

/// What there is to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Whole lines.
    Lines(Vec<u8>),
    /// A remark that is no line of a log.
    Note(String),
}

type Sender = mpsc::Sender<Said>;

impl LogWish {
    fn is_wanted(&self, replica: &str) -> bool {
        self.replica.as_deref().is_none_or(|wanted| {
            let is_end = |rest: &str| rest.ends_with('-');
            replica == wanted || replica.strip_suffix(wanted).is_some_and(is_end)
        })
    }

    /// Those of `names` that are wanted; all are, unless one was named.
    fn choose(&self, names: Vec<String>) -> Result<Vec<String>, ClusterError> {
        let known = names.join(", ");
        let wanted: Vec<String> = names.into_iter().filter(|it| self.is_wanted(it)).collect();
        match &self.replica {
            Some(name) if wanted.is_empty() && !self.follow => Err(ClusterError::NoReplica {
                name: name.clone(),
                known: if known.is_empty() {
                    "none".into()
                } else {
                    known
                },
            }),
            _ => Ok(wanted),
        }
    }
}

impl Cluster {
    /// Hands all lines to `show`, until the end; with `follow` until the function is gone. `absence`
    /// says why there are none, where it has no replica.
    ///
    /// # Errors
    /// When lines cannot be read or shown.
    pub(crate) async fn logs(
        &self,
        listing: Listing,
        id: &FunctionId,
        wish: &LogWish,
        absence: &str,
        mut show: impl FnMut(Said) -> io::Result<()>,
    ) -> Result<(), ClusterError> {
        let (sender, mut receiver) = mpsc::channel(QUEUE);
        let mut showing = std::pin::pin!(async move {
            while let Some(said) = receiver.recv().await {
                show(said).map_err(ClusterError::Write)?;
            }
            Ok(())
        });
        let reading = self.read(listing, id, wish, absence, sender);
        tokio::select! {
            shown = &mut showing => shown,
            read = reading => {
                // What was read before something failed is shown too.
                showing.await?;
                read
            }
        }
    }

    async fn read(
        &self,
        mut listing: Listing,
        id: &FunctionId,
        wish: &LogWish,
        absence: &str,
        sender: Sender,
    ) -> Result<(), ClusterError> {
        let Some(view) = listing.get(id).cloned() else {
            return Ok(());
        };
        let names = self.replicas(&view).await?;
        if names.is_empty() {
            note(&sender, absence.to_owned()).await;
        }
        if !wish.follow {
            return match names.is_empty() {
                true => Ok(()),
                false => self.each(&view, wish.choose(names)?, wish, sender).await,
            };
        }
        let mut followed = Followed::new(self, &view, wish, sender);
        followed.begin(wish.choose(names)?, wish.tail);
        while let Some(view) = followed.wait(&mut listing, id).await? {
            let names = self.replicas(&view).await?;
            // Those that are new while following are read from their beginning.
            followed.begin(wish.choose(names)?, None);
        }
        followed.finish().await
    }

    /// One after the other, so that nothing has to be kept.
    async fn each(
        &self,
        view: &FunctionView,
        names: Vec<String>,
        wish: &LogWish,
        sender: Sender,
    ) -> Result<(), ClusterError> {
        let mut failed = None;
        for name in names {
            let log = PodLog::new(self, view.status.id.namespace(), &name, wish, &sender);
            // The last is the command's own error.
            if let Err(error) = log.read_once(wish.tail).await
                && let Some(earlier) = failed.replace(error)
            {
                note(&sender, Chain(&earlier).to_string()).await;
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The names of a function's pods.
    async fn replicas(&self, view: &FunctionView) -> Result<Vec<String>, ClusterError> {
        let id = &view.status.id;
        if !view.is_of_jobs() {
            return Ok(view.replicas.iter().map(|it| it.name.clone()).collect());
        }
        let path = format!(
            "/api/v1/namespaces/{}/pods?labelSelector={}",
            escape(id.namespace()),
            escape(&format!("{JOB_LABEL}={}", id.name()))
        );
        let pods = self.reader.list(&path).await;
        let pods = pods.map_err(|error| pod::unread(id.namespace(), "list pods", error))?;
        Ok(oldest_first(&pods))
    }
}

/// Names of pods in the order of their making: the end of a ScaledJob's lines is the newest.
fn oldest_first(pods: &[Value]) -> Vec<String> {
    let key = |pod| {
        (
            text(pod, "/metadata/creationTimestamp"),
            text(pod, "/metadata/name"),
        )
    };
    let mut keys: Vec<_> = pods.iter().map(key).collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, name)| name.to_owned()).collect()
}

async fn note(sender: &Sender, text: String) {
    // An error: nobody reads any more, which ends all this.
    sender.send(Said::Note(text)).await.ok();
}

/// Replicas whose lines are followed, each by a task of its own.
struct Followed<'f> {
    cluster: &'f Cluster,
    namespace: String,
    wish: &'f LogWish,
    sender: Sender,
    tasks: JoinSet<Result<(String, End), ClusterError>>,
    known: BTreeSet<String>,
    /// It was said that nobody answers.
    is_told: bool,
}

impl<'f> Followed<'f> {
    fn new(cluster: &'f Cluster, view: &FunctionView, wish: &'f LogWish, sender: Sender) -> Self {
        Self {
            cluster,
            namespace: view.status.id.namespace().to_owned(),
            wish,
            sender,
            tasks: JoinSet::new(),
            known: BTreeSet::new(),
            is_told: false,
        }
    }

    /// Follows those that are not followed yet.
    fn begin(&mut self, names: Vec<String>, tail: Option<u32>) {
        for name in names {
            if !self.known.insert(name.clone()) {
                continue;
            }
            let (cluster, wish) = (self.cluster, self.wish);
            let log = PodLog::new(cluster, &self.namespace, &name, wish, &self.sender);
            self.tasks.spawn(log.follow(tail));
        }
    }

    /// Waits a while, and gives the function as it is then. `None`: it is gone.
    async fn wait(
        &mut self,
        listing: &mut Listing,
        id: &FunctionId,
    ) -> Result<Option<FunctionView>, ClusterError> {
        loop {
            let mut pause = std::pin::pin!(tokio::time::sleep(EVERY));
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Some(ended) = self.tasks.join_next() => self.ended(ended)?,
                }
            }
            match self.cluster.refresh(listing, id).await {
                Ok(view) => {
                    self.is_told = false;
                    return Ok(view);
                }
                // Lines go on without autoscalers; new replicas are not seen meanwhile.
                Err(error) if !std::mem::replace(&mut self.is_told, true) => {
                    let text = format!("new replicas are not seen for now: {}", Chain(&error));
                    note(&self.sender, text).await;
                }
                Err(_) => {}
            }
        }
    }

    fn ended(
        &mut self,
        ended: Result<Result<(String, End), ClusterError>, tokio::task::JoinError>,
    ) -> Result<(), ClusterError> {
        // A task that panicked has said so; the others go on.
        let Ok(ended) = ended else { return Ok(()) };
        // Another pod may get the name, as those of StatefulSets do.
        if let (name, End::Gone) = ended? {
            self.known.remove(&name);
        }
        Ok(())
    }

    /// Waits for what the last replicas write.
    async fn finish(mut self) -> Result<(), ClusterError> {
        while let Some(ended) = self.tasks.join_next().await {
            self.ended(ended)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn names() -> Vec<String> {
        ["web-7d4-abcde", "web-7d4-fghij"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn a_replica_is_meant_by_its_name_or_its_end() {
        let choose = |replica: Option<&str>| {
            let replica = replica.map(str::to_owned);
            LogWish {
                replica,
                ..LogWish::default()
            }
            .choose(names())
        };
        assert_eq!(choose(None).unwrap(), names());
        assert_eq!(choose(Some("fghij")).unwrap(), ["web-7d4-fghij"]);
        assert_eq!(choose(Some("web-7d4-abcde")).unwrap(), ["web-7d4-abcde"]);
        let error = choose(Some("ghij")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no replica is called \"ghij\"; there are: web-7d4-abcde, web-7d4-fghij"
        );
    }

    #[test]
    fn pods_of_jobs_speak_in_the_order_of_their_making() {
        let pod = |name: &str, second: u8| {
            let made = format!("2026-01-01T00:00:0{second}Z");
            serde_json::json!({ "metadata": { "name": name, "creationTimestamp": made } })
        };
        let pods = [pod("b", 1), pod("a", 2), pod("c", 0), pod("a0", 1)];
        assert_eq!(oldest_first(&pods), ["c", "a0", "b", "a"]);
    }

    #[test]
    fn a_replica_may_come_while_following() {
        let wish = LogWish {
            follow: true,
            replica: Some("later".to_owned()),
            ..LogWish::default()
        };
        assert!(wish.choose(names()).unwrap().is_empty());
    }
}
