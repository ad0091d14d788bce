//! One Lease and our hold on it: take, renew, release.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::record::{LeaseObject, Metadata, Observed, Spec, micro_time};
use crate::api::{CallError, Caller, Content, FIELD_MANAGER, JSON};
use crate::counters::Verb;

/// See the module. Held only until [`held_until`](Self::held_until), which lies before others may
/// take over.
#[derive(Debug)]
pub(crate) struct Hold {
    caller: Caller,
    collection: Arc<str>,
    name: String,
    labels: BTreeMap<String, String>,
    holder: Arc<str>,
    duration: Duration,
    /// How much earlier than others think we give up.
    margin: Duration,
    pub(crate) observed: Option<Observed>,
    held_until: Option<Instant>,
    pub(crate) renewed: Option<Instant>,
}

impl Hold {
    pub(crate) fn new(
        caller: Caller,
        namespace: &str,
        name: String,
        holder: Arc<str>,
        duration: Duration,
    ) -> Self {
        Self {
            caller,
            collection: collection(namespace).into(),
            name,
            labels: BTreeMap::new(),
            holder,
            duration,
            margin: duration / 8,
            observed: None,
            held_until: None,
            renewed: None,
        }
    }

    /// Labels of the object, where it is ours to create.
    pub(crate) fn with_labels(mut self, labels: &[(&str, &str)]) -> Self {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        self.labels = labels.iter().map(owned).collect();
        self
    }

    /// Gives up when it could not be renewed for so long, instead of shortly before others may
    /// take it.
    pub(crate) fn with_deadline(mut self, deadline: Duration) -> Self {
        self.margin = self.duration.saturating_sub(deadline).max(self.margin);
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Until when it is ours, if it is.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    pub(crate) fn is_held(&self, now: Instant) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }

    /// Reads the Lease; a missing one is free.
    pub(crate) async fn read(&mut self) -> Result<(), CallError> {
        let path = format!("{}/{}", self.collection, self.name);
        match self.caller.get(&path).await {
            Ok(object) => self.see(Some(object)),
            Err(error) if error.status() == Some(404) => self.see(None),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The Lease as somebody read it now; `None`: there is none.
    pub(crate) fn see(&mut self, object: Option<LeaseObject>) {
        let now = Instant::now();
        let is_ours = object.as_ref().and_then(LeaseObject::holder) == Some(&self.holder);
        if !is_ours {
            self.held_until = None;
        }
        match (&mut self.observed, object) {
            (Some(observed), Some(object)) => observed.update(object, now),
            (observed, object) => *observed = object.map(|object| Observed::new(object, now)),
        }
    }

    /// What a watch shows, unless more is known already.
    pub(crate) fn show(&mut self, object: LeaseObject) {
        let known = self.observed.as_ref();
        if known.is_none_or(|known| !object.is_older_than(&known.object)) {
            self.see(Some(object));
        }
    }

    /// A watch shows that it is gone; `object` is its end.
    pub(crate) fn gone(&mut self, object: &LeaseObject) {
        let known = self.observed.as_ref();
        if known.is_none_or(|known| !object.is_older_than(&known.object)) {
            self.see(None);
        }
    }

    /// It is not held any more, whatever the record says.
    pub(crate) fn lapse(&mut self) {
        self.held_until = None;
    }

    /// When it is to be renewed, if that happens so often.
    pub(crate) fn due(&self, every: Duration) -> Option<Instant> {
        Some(self.renewed? + every)
    }

    /// Whether it may be taken: missing, released, expired, or ours from before.
    pub(crate) fn is_free(&self, now: Instant) -> bool {
        self.observed.as_ref().is_none_or(|observed| {
            observed.object.holder() == Some(&self.holder) || observed.is_free(self.duration, now)
        })
    }

    /// When it may be taken, if somebody else holds it.
    pub(crate) fn expires(&self) -> Option<Instant> {
        self.observed.as_ref()?.expires(self.duration)
    }

    pub(crate) fn holder(&self) -> Option<&str> {
        self.observed.as_ref()?.object.holder()
    }

    /// Takes or renews it. The API server refuses when it changed since it was read.
    pub(crate) async fn write(&mut self) -> Result<(), CallError> {
        let sent = Instant::now();
        let object = self.next();
        let content = Content::new(JSON, &object);
        let manager = format!("?fieldManager={FIELD_MANAGER}");
        let answer = match &self.observed {
            None => {
                let path = format!("{}{manager}", self.collection);
                self.caller.call(Verb::create, &path, Some(content)).await
            }
            Some(_) => {
                let path = format!("{}/{}{manager}", self.collection, self.name);
                self.caller.call(Verb::update, &path, Some(content)).await
            }
        };
        self.see(Some(answer?));
        self.held_until = Some(sent + self.duration - self.margin);
        self.renewed = Some(sent);
        Ok(())
    }

    /// Renews it, but only while that may help: an answer after the end of the hold is none, and
    /// ends it.
    pub(crate) async fn renew(&mut self) -> Result<(), CallError> {
        let Some(until) = self.held_until else {
            return self.write().await;
        };
        let renewed = timeout_at(until, self.write_again()).await;
        if Instant::now() >= until {
            self.lapse();
            return Err(CallError::Timeout(self.duration));
        }
        renewed.unwrap_or(Err(CallError::Timeout(self.duration)))
    }

    async fn write_again(&mut self) -> Result<(), CallError> {
        match self.write().await {
            Err(error) if matches!(error.status(), Some(404 | 409)) => {
                // Somebody else wrote it: a person, or a successor that saw us too late.
                self.read().await?;
                match self.holder() == Some(&self.holder) && self.is_held(Instant::now()) {
                    true => self.write().await,
                    false => Err(error),
                }
            }
            result => result,
        }
    }

    /// Gives it back, so that a successor need not wait.
    pub(crate) async fn release(&mut self) -> Result<(), CallError> {
        if self.held_until.take().is_none() {
            return Ok(());
        }
        match self.give_back().await {
            // A renewal of ours that was not waited for came first.
            Err(error) if error.status() == Some(409) => {
                self.read().await?;
                self.give_back().await
            }
            given => given,
        }
    }

    async fn give_back(&mut self) -> Result<(), CallError> {
        let observed = self.observed.as_ref();
        let ours = observed.filter(|it| it.object.holder() == Some(&self.holder));
        let Some(observed) = ours else {
            return Ok(());
        };
        let mut object = observed.object.clone();
        object.spec.holder_identity = Some(String::new());
        object.spec.renew_time = Some(micro_time());
        let path = format!("{}/{}", self.collection, self.name);
        let content = Content::new(JSON, &object);
        let answer = self.caller.call(Verb::update, &path, Some(content)).await;
        self.see(Some(answer?));
        Ok(())
    }

    /// Removes the object.
    pub(crate) async fn delete(&mut self) -> Result<(), CallError> {
        self.held_until = None;
        let path = format!("{}/{}", self.collection, self.name);
        self.caller.call_bytes(Verb::delete, &path, None).await?;
        self.observed = None;
        Ok(())
    }

    /// The record that makes it ours from now on.
    fn next(&self) -> LeaseObject {
        let now = micro_time();
        let old = self.observed.as_ref().map(|observed| &observed.object);
        let is_ours = old.and_then(LeaseObject::holder) == Some(&self.holder);
        let transitions = old.and_then(|old| old.spec.lease_transitions).unwrap_or(0);
        let acquired = old.and_then(|old| old.spec.acquire_time.clone());
        let seconds = u32::try_from(self.duration.as_secs()).unwrap_or(u32::MAX);
        LeaseObject {
            api_version: "coordination.k8s.io/v1".to_owned(),
            kind: "Lease".to_owned(),
            metadata: Metadata {
                name: self.name.clone(),
                resource_version: old.and_then(|old| old.metadata.resource_version.clone()),
                labels: match old {
                    Some(old) if !old.metadata.labels.is_empty() => old.metadata.labels.clone(),
                    _ => self.labels.clone(),
                },
                annotations: old
                    .map(|old| old.metadata.annotations.clone())
                    .unwrap_or_default(),
            },
            spec: Spec {
                holder_identity: Some(self.holder.to_string()),
                lease_duration_seconds: Some(seconds.max(1)),
                acquire_time: acquired.filter(|_| is_ours).or_else(|| Some(now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(transitions + u32::from(!is_ours && old.is_some())),
            },
        }
    }
}

/// Where Leases of a namespace are.
pub(crate) fn collection(namespace: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")
}
