//! Writes the changes of a swap and waits until they are in force.

use std::time::Duration;

use hyper::Request;
use kube::Client;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};

use crate::check::ReadError;
use crate::check::knative::{self, Part, SCALE};

/// One request with its answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How often it is looked how far a roll-out is.
const EVERY: Duration = Duration::from_millis(500);
/// The right that Knative does not give the account of its autoscaler.
pub(super) const ROLE: &str = "zeron-knative-swap";

/// A swap that did not work out.
#[derive(Debug, Error)]
pub(super) enum RolloutError {
    /// The API server does not take it.
    #[error("cannot write {what}")]
    Refused {
        /// Kind and name.
        what: String,
        /// Its words.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("the API server did not answer within {TIMEOUT:?}")]
    Timeout,
    /// It cannot be read how far it is.
    #[error("cannot see how far it is")]
    Read(#[from] ReadError),
    /// Somebody deleted it meanwhile.
    #[error("the Deployment {0} is gone")]
    Gone(&'static str),
    /// The new pods do not get ready.
    #[error(
        "the new pods of {name} are not ready after {after:?} ({state}); look at them, or go back with --back"
    )]
    Unready {
        /// The Deployment.
        name: &'static str,
        /// How long was waited.
        after: Duration,
        /// How far it is.
        state: String,
    },
    /// The account has not got its right.
    #[error(
        "the account that Knative's autoscaler runs under did not get the rights of ClusterRole {ROLE}"
    )]
    NoRight,
}

/// Where it is written, and how long it may take.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) namespace: String,
    pub(super) patience: Duration,
}

/// Changes the Deployment of a part and waits until only new pods are left.
pub(super) async fn roll(
    client: &Client,
    place: &Place,
    part: Part,
    patch: &Value,
) -> Result<(), RolloutError> {
    let (name, namespace) = (part.name(), &place.namespace);
    let path =
        format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}?fieldManager=zeron-swap");
    let request = Request::patch(path)
        .header("content-type", "application/strategic-merge-patch+json")
        .body(patch.to_string().into_bytes())
        .expect("a namespace that was checked is part of a URI");
    send(client, &format!("Deployment {name}"), request).await?;
    let begin = Instant::now();
    loop {
        let found = knative::deployment(client, namespace, name).await?;
        let Some(state) = lag(&found.ok_or(RolloutError::Gone(name))?) else {
            return Ok(());
        };
        if begin.elapsed() > place.patience {
            return Err(RolloutError::Unready {
                name,
                after: place.patience,
                state,
            });
        }
        sleep(EVERY).await;
    }
}

/// How far a roll-out is; `None`: it is complete.
fn lag(deployment: &Value) -> Option<String> {
    let count = |path: &str| deployment.pointer(path).and_then(Value::as_u64);
    let wanted = count("/spec/replicas").unwrap_or(1);
    let seen = count("/status/observedGeneration").unwrap_or(0);
    let status = |name: &str| count(&format!("/status/{name}")).unwrap_or(0);
    let (updated, available) = (status("updatedReplicas"), status("availableReplicas"));
    let is_seen = seen >= count("/metadata/generation").unwrap_or(0);
    let is_done = is_seen
        && updated >= wanted
        && available >= wanted
        && status("replicas") == updated
        && status("unavailableReplicas") == 0;
    (!is_done).then(|| format!("{updated} of {wanted} are new, {available} available"))
}

/// Gives the account the right to write counts through `/scale`, and waits until it has it.
pub(super) async fn grant(client: &Client, place: &Place) -> Result<(), RolloutError> {
    let path = format!("{}?fieldManager=zeron-swap&force=true", role_path());
    let request = Request::patch(path)
        .header("content-type", "application/apply-patch+yaml")
        .body(role().to_string().into_bytes())
        .expect("it is a URI");
    send(client, &format!("ClusterRole {ROLE}"), request).await?;
    let begin = Instant::now();
    while !knative::may_scale(client, &place.namespace).await? {
        if begin.elapsed() > place.patience {
            return Err(RolloutError::NoRight);
        }
        sleep(EVERY).await;
    }
    Ok(())
}

/// Takes it back, if it was given.
pub(super) async fn revoke(client: &Client) -> Result<(), RolloutError> {
    let request = Request::delete(role_path())
        .body(Vec::new())
        .expect("it is a URI");
    match send(client, &format!("ClusterRole {ROLE}"), request).await {
        Err(RolloutError::Refused { source, .. }) if is_missing(&source) => Ok(()),
        done => done,
    }
}

fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn role_path() -> String {
    format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{ROLE}")
}

/// Part of Knative's own aggregated role by its label.
pub(super) fn role() -> Value {
    let (group, resource, verbs) = SCALE;
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {
            "name": ROLE,
            "labels": {
                "serving.knative.dev/controller": "true",
                "app.kubernetes.io/name": "zeron",
                "app.kubernetes.io/part-of": "zeron",
            },
        },
        "rules": [{ "apiGroups": [group], "resources": [resource], "verbs": verbs }],
    })
}

async fn send(client: &Client, what: &str, request: Request<Vec<u8>>) -> Result<(), RolloutError> {
    let answer = timeout(TIMEOUT, client.request::<Value>(request)).await;
    let refused = |source| RolloutError::Refused {
        what: what.to_owned(),
        source: Box::new(source),
    };
    answer
        .map_err(|_| RolloutError::Timeout)?
        .map(drop)
        .map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(status: &Value) -> Value {
        json!({ "metadata": { "generation": 2 }, "spec": { "replicas": 2 }, "status": status })
    }

    #[test]
    fn a_roll_out_is_complete_when_only_new_pods_are_left() {
        let done = json!({
            "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2,
        });
        assert_eq!(lag(&deployment(&done)), None);
        for (field, value) in [
            ("observedGeneration", 1),
            ("replicas", 3),
            ("updatedReplicas", 1),
            ("availableReplicas", 1),
            ("unavailableReplicas", 1),
        ] {
            let mut status = done.clone();
            status[field] = json!(value);
            assert!(lag(&deployment(&status)).is_some(), "{field}");
        }
    }
}
