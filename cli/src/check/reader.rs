//! Reads a cluster, as JSON.

use std::time::Duration;

use hyper::Request;
use hyper::header::DATE;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::timeout;

const TIMEOUT: Duration = Duration::from_secs(15);
/// Objects of one page, and pages of one list.
const PAGE: usize = 500;
const PAGES: usize = 200;

/// Something could not be read.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    /// It may not be, or the request makes no sense there.
    #[error("the API server refuses it")]
    Refused(#[source] Box<kube::Error>),
    /// The API server cannot be reached.
    #[error("cannot reach the API server")]
    Unreachable(#[source] Box<kube::Error>),
    /// No answer in time.
    #[error("the API server did not answer within {TIMEOUT:?}")]
    Timeout,
    /// A list that never ends.
    #[error("there are more than {} objects", PAGE * PAGES)]
    TooMany,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Reader {
    client: Client,
}

/// A question of [`Reader::allowed`].
#[derive(Clone, Debug)]
pub(super) struct Wish<'w> {
    /// Whose; `None`: one's own.
    pub(super) account: Option<(&'w str, &'w str)>,
    pub(super) verb: &'w str,
    pub(super) group: &'w str,
    /// With a subresource after `/`.
    pub(super) resource: &'w str,
    /// Empty: everywhere.
    pub(super) namespace: &'w str,
    pub(super) name: Option<&'w str>,
}

impl ReadError {
    /// Whether rights are missing.
    pub(crate) fn is_forbidden(&self) -> bool {
        let Self::Refused(error) = self else {
            return false;
        };
        matches!(&**error, kube::Error::Api(status) if matches!(status.code, 401 | 403))
    }
}

impl Reader {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// `None`: there is no such thing.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Value>, ReadError> {
        let request = Request::get(path).body(Vec::new()).expect("paths are URIs");
        self.ask(request).await
    }

    /// All objects; none of a kind that does not exist. The path may have a query.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>, ReadError> {
        let mut items = Vec::new();
        let mut token = String::new();
        let joint = if path.contains('?') { '&' } else { '?' };
        for _ in 0..PAGES {
            let page = format!("{path}{joint}limit={PAGE}&continue={token}");
            let Some(mut list) = self.get(&page).await? else {
                return Ok(items);
            };
            if let Value::Array(found) = list["items"].take() {
                items.extend(found);
            }
            match list["metadata"]["continue"].as_str() {
                Some(next) if !next.is_empty() => token = next.to_owned(),
                _ => return Ok(items),
            }
        }
        Err(ReadError::TooMany)
    }

    /// Whether the account may.
    pub(super) async fn allowed(&self, wish: &Wish<'_>) -> Result<bool, ReadError> {
        let (resource, subresource) = wish.resource.split_once('/').unwrap_or((wish.resource, ""));
        let attributes = json!({
            "verb": wish.verb, "group": wish.group, "resource": resource,
            "subresource": subresource, "namespace": wish.namespace, "name": wish.name,
        });
        let (kind, plural, spec) = match wish.account {
            None => (
                "SelfSubjectAccessReview",
                "selfsubjectaccessreviews",
                json!({ "resourceAttributes": attributes }),
            ),
            Some((namespace, name)) => (
                "SubjectAccessReview",
                "subjectaccessreviews",
                json!({
                    "resourceAttributes": attributes,
                    "user": format!("system:serviceaccount:{namespace}:{name}"),
                    "groups": [
                        "system:serviceaccounts",
                        format!("system:serviceaccounts:{namespace}"),
                        "system:authenticated",
                    ],
                }),
            ),
        };
        let review = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec });
        let request = Request::post(format!("/apis/authorization.k8s.io/v1/{plural}"))
            .header("content-type", "application/json")
            .body(review.to_string().into_bytes())
            .expect("paths are URIs");
        let answer = self.ask(request).await?.unwrap_or_default();
        Ok(answer["status"]["allowed"] == true)
    }

    /// The API server's clock, to the second.
    pub(super) async fn date(&self) -> Result<Option<String>, ReadError> {
        let request = Request::get("/version")
            .body(Body::empty())
            .expect("paths are URIs");
        let answer = timeout(TIMEOUT, self.client.send(request)).await;
        let answer = answer.map_err(|_| ReadError::Timeout)?;
        let answer = answer.map_err(|error| ReadError::Unreachable(Box::new(error)))?;
        let date = answer
            .headers()
            .get(DATE)
            .and_then(|date| date.to_str().ok());
        Ok(date.map(str::to_owned))
    }

    async fn ask(&self, request: Request<Vec<u8>>) -> Result<Option<Value>, ReadError> {
        let answer = timeout(TIMEOUT, self.client.request::<Value>(request)).await;
        match answer.map_err(|_| ReadError::Timeout)? {
            Ok(value) => Ok(Some(value)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error @ kube::Error::Api(_)) => Err(ReadError::Refused(Box::new(error))),
            Err(error) => Err(ReadError::Unreachable(Box::new(error))),
        }
    }
}

/// A field that is a text.
pub(crate) fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A field that is a list.
pub(crate) fn items<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    let list = value.pointer(path).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// `namespace/name`.
pub(super) fn named(value: &Value) -> String {
    let (namespace, name) = (
        text(value, "/metadata/namespace"),
        text(value, "/metadata/name"),
    );
    match namespace.is_empty() {
        true => name.to_owned(),
        false => format!("{namespace}/{name}"),
    }
}
