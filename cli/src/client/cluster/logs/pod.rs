//! The log of one pod.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Request;
use kube::client::Body;
use serde_json::Value;
use zeron_core::Chain;

use super::super::forward::message;
use super::super::lines::{Cutter, Shown, split};
use super::super::{container, escape, items, text};
use super::{Cluster, ClusterError, LogWish, Said, Sender, note};
use crate::check::ReadError;
use crate::check::Reader;

/// How long a log that is not followed may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);
/// Until a log that ended is looked at again, while following.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the rights come from that Kubernetes itself has.
const HINT: &str =
    "the built-in role `view` allows it (verbs get and list of pods, get of pods/log)";

/// How following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The pod does not exist any more.
    Gone,
    /// It has done its work, or failed: nothing more will be written.
    Done,
}

/// One pod's log, on its way to whoever shows it.
pub(super) struct PodLog {
    client: kube::Client,
    reader: Reader,
    namespace: String,
    pod: String,
    has_prefix: bool,
    has_times: bool,
    wanted: Option<String>,
    sender: Sender,
    shown: Shown,
    /// The last remark: the same is not made twice.
    told: Option<String>,
}

/// Why a log did not open.
enum Closed {
    /// There is no such pod.
    Gone,
    /// For now: such as while its container waits to start.
    NotNow(String),
    /// Nothing helps.
    Forbidden(ClusterError),
}

impl PodLog {
    pub(super) fn new(
        cluster: &Cluster,
        namespace: &str,
        pod: &str,
        wish: &LogWish,
        sender: &Sender,
    ) -> Self {
        Self {
            client: cluster.client.clone(),
            reader: cluster.reader.clone(),
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            has_prefix: wish.replica.is_none(),
            has_times: wish.timestamps,
            wanted: wish.container.clone(),
            sender: sender.clone(),
            shown: Shown::default(),
            told: None,
        }
    }

    /// Everything that there is.
    pub(super) async fn read_once(mut self, tail: Option<u32>) -> Result<(), ClusterError> {
        let Some(pod) = self.look().await? else {
            self.tell("it is gone".to_owned()).await;
            return Ok(());
        };
        self.check_container(&pod)?;
        let opening = self.open(&pod, false, tail);
        let opened = tokio::time::timeout(PATIENCE, opening).await;
        match opened.unwrap_or_else(|_| Err(Closed::NotNow(format!("no answer in {PATIENCE:?}")))) {
            Ok(body) => self
                .show(body)
                .await
                .map_err(|message| self.failed(message)),
            Err(Closed::Gone) => Ok(()),
            Err(Closed::NotNow(message)) if is_waiting(&pod) => {
                self.tell(message).await;
                Ok(())
            }
            Err(Closed::NotNow(message)) => Err(self.failed(message)),
            Err(Closed::Forbidden(error)) => Err(error),
        }
    }

    /// Whatever is written, from one container to the next, until the pod is gone.
    pub(super) async fn follow(
        mut self,
        mut tail: Option<u32>,
    ) -> Result<(String, End), ClusterError> {
        loop {
            let pod = match self.look().await {
                Ok(Some(pod)) => pod,
                Ok(None) => return Ok((self.pod, End::Gone)),
                Err(error @ ClusterError::Forbidden { .. }) => return Err(error),
                // An API server that is away for a while ends nothing.
                Err(error) => {
                    let said = Chain(&error).to_string();
                    self.tell(said).await;
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            self.check_container(&pod)?;
            let is_done = matches!(text(&pod, "/status/phase"), "Succeeded" | "Failed");
            match self.open(&pod, true, tail).await {
                Ok(body) => {
                    self.told = None;
                    if let Err(message) = self.show(body).await {
                        self.tell(format!("the log broke off: {message}")).await;
                    }
                    // Only what was there in the beginning is cut short; from then on the last line says where to go on.
                    tail = tail.filter(|_| self.shown.is_nothing());
                }
                Err(Closed::Gone) => return Ok((self.pod, End::Gone)),
                Err(Closed::NotNow(message)) => self.tell(message).await,
                Err(Closed::Forbidden(error)) => return Err(error),
            }
            if is_done {
                return Ok((self.pod, End::Done));
            }
            // A container that ended may be started again, a connection that broke may come back.
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The container that was named must be there: nothing else would ever be shown.
    fn check_container(&self, pod: &Value) -> Result<(), ClusterError> {
        let wanted = self.wanted.as_deref();
        let message = wanted.and_then(|wanted| no_container(pod, wanted));
        message.map_or(Ok(()), |message| Err(self.failed(message)))
    }

    /// The pod itself. `None`: it is gone.
    async fn look(&self) -> Result<Option<Value>, ClusterError> {
        let (namespace, pod) = (escape(&self.namespace), escape(&self.pod));
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
        let read = self.reader.get(&path).await;
        read.map_err(|error| unread(&self.namespace, "get pods", error))
    }

    async fn open(&mut self, pod: &Value, follow: bool, tail: Option<u32>) -> Result<Body, Closed> {
        let request = self.request(pod, follow, tail);
        let sent = self.client.send(request).await;
        let response = sent.map_err(|error| Closed::NotNow(error.to_string()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let message = message(response).await;
        let message = message.unwrap_or_else(|| format!("the API server answered {status}"));
        Err(match status.as_u16() {
            404 => Closed::Gone,
            401 | 403 => Closed::Forbidden(forbidden(&self.namespace, "read the logs of pods")),
            _ => Closed::NotNow(message),
        })
    }

    /// Times are always asked for: they tell what was shown before.
    fn request(&mut self, pod: &Value, follow: bool, tail: Option<u32>) -> Request<Body> {
        let (namespace, name) = (escape(&self.namespace), escape(&self.pod));
        let mut path = format!("/api/v1/namespaces/{namespace}/pods/{name}/log?timestamps=true");
        if let Some(container) = self.wanted.as_deref().or_else(|| container(pod)) {
            path.push_str(&format!("&container={}", escape(container)));
        }
        if follow {
            path.push_str("&follow=true");
        }
        if let Some(lines) = tail {
            path.push_str(&format!("&tailLines={lines}"));
        }
        if let Some(time) = self.shown.reopen() {
            // To the second is all that the API server understands.
            let second = jiff::Timestamp::from_second(time.as_second()).unwrap_or(time);
            path.push_str(&format!("&sinceTime={}", escape(&second.to_string())));
        }
        Request::get(path)
            .body(Body::empty())
            .expect("escaped names are part of a URI")
    }

    /// Sends on what comes, until the stream ends. An error says why that was too early.
    async fn show(&mut self, mut body: Body) -> Result<(), String> {
        let mut cutter = Cutter::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| error.to_string())?;
            let Some(chunk) = frame.data_ref() else {
                continue;
            };
            let mut lines = Vec::new();
            cutter.push(chunk, |line| self.write(line, &mut lines));
            self.send(lines).await;
        }
        let mut lines = Vec::new();
        cutter.end(|line| self.write(line, &mut lines));
        self.send(lines).await;
        Ok(())
    }

    /// Writes a line as people see it, unless it was shown before.
    fn write(&mut self, line: &[u8], lines: &mut Vec<u8>) {
        let (stamp, rest) = split(line);
        if let Some((_, time)) = stamp
            && !self.shown.is_new(time)
        {
            return;
        }
        if self.has_prefix {
            lines.extend_from_slice(format!("[{}] ", self.pod).as_bytes());
        }
        if let Some((stamp, _)) = stamp.filter(|_| self.has_times) {
            lines.extend_from_slice(format!("{stamp} ").as_bytes());
        }
        lines.extend_from_slice(rest);
        lines.push(b'\n');
    }

    async fn send(&self, lines: Vec<u8>) {
        if !lines.is_empty() {
            // An error: nobody reads any more, which ends all this.
            self.sender.send(Said::Lines(lines)).await.ok();
        }
    }

    async fn tell(&mut self, text: String) {
        if self.told.as_deref() != Some(&text) {
            note(&self.sender, format!("{}: {text}", self.pod)).await;
            self.told = Some(text);
        }
    }

    fn failed(&self, message: String) -> ClusterError {
        ClusterError::Log {
            pod: self.pod.clone(),
            message,
        }
    }
}

/// Whether its containers have not begun yet, so that no lines are no failure.
fn is_waiting(pod: &Value) -> bool {
    text(pod, "/status/phase") == "Pending"
}

/// What to say where the pod has no container of that name.
fn no_container(pod: &Value, wanted: &str) -> Option<String> {
    let lists = [
        "/spec/containers",
        "/spec/initContainers",
        "/spec/ephemeralContainers",
    ];
    let all = lists.into_iter().flat_map(|list| items(pod, list));
    let names: Vec<&str> = all.map(|it| text(it, "/name")).collect();
    let known = names.join(", ");
    (!names.contains(&wanted))
        .then(|| format!("no container is called {wanted:?}; there are: {known}"))
}

/// Something about pods could not be read.
pub(super) fn unread(namespace: &str, what: &'static str, error: ReadError) -> ClusterError {
    match error.is_forbidden() {
        true => forbidden(namespace, what),
        false => ClusterError::Read(what, error),
    }
}

fn forbidden(namespace: &str, what: &'static str) -> ClusterError {
    ClusterError::Forbidden {
        what,
        namespace: namespace.to_owned(),
        hint: HINT.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_is_one_of_any_kind_that_the_pod_has() {
        let named = |name: &str| json!({ "name": name });
        let pod = json!({"spec": {
            "containers": [named("web"), named("proxy")],
            "initContainers": [named("migrate")],
            "ephemeralContainers": [named("debugger")],
        }});
        for name in ["web", "proxy", "migrate", "debugger"] {
            assert_eq!(no_container(&pod, name), None, "{name}");
        }
        assert_eq!(
            no_container(&pod, "nosuch").as_deref(),
            Some("no container is called \"nosuch\"; there are: web, proxy, migrate, debugger")
        );
    }
}
