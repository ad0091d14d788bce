//! What the admin API answers, path by path.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router, middleware};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use zeron_core::{Decision, FunctionId};

use super::auth::{Guard, check};
use super::logs::{LogQuery, stream};
use super::metrics::metrics;
use super::problem::ApiProblem;
use super::server::AdminParts;
use crate::control::{
    ApplyReport, ApplyRequest, FunctionView, ObjectName, Problem, Readiness, Shards, SourceText,
};
use crate::resolve::{FunctionName, ResolveError};

/// Largest body of `/v1/apply`, in bytes.
const MAX_BODY: usize = 16 << 20;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a change may take.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);

/// `GET /v1/functions`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FunctionList {
    pub(crate) functions: Vec<FunctionView>,
    /// Of an autoscaler in a cluster: what part of all functions these are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shards: Option<Shards>,
}

/// `GET /v1/functions/{namespace}/{name}/decisions`, oldest first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DecisionList {
    pub(crate) decisions: Vec<Arc<Decision>>,
}

/// `GET /v1/problems`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProblemList {
    pub(crate) problems: Vec<Problem>,
}

#[derive(Debug, Default, Deserialize)]
struct Selection {
    namespace: Option<String>,
    kind: Option<String>,
}

type Answer<T> = Result<Json<T>, ApiProblem>;

/// Every route behind the guard.
pub(super) fn router(parts: AdminParts, guard: Guard, stop: CancellationToken) -> Router {
    let logs = move |state, path, kind, query| logs(state, path, kind, query, stop.clone());
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/functions", get(list))
        .route("/v1/functions/{namespace}/{name}", get(function))
        .route("/v1/functions/{namespace}/{name}/decisions", get(decisions))
        .route("/v1/functions/{namespace}/{name}/logs", get(logs))
        .route("/v1/problems", get(problems))
        .route("/v1/apply", post(apply))
        .route("/v1/objects/{namespace}/{kind}/{name}", delete(remove))
        .fallback(|| async { ApiProblem::new(StatusCode::NOT_FOUND, "no such path") })
        .method_not_allowed_fallback(|| async {
            ApiProblem::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method")
        })
        .layer(middleware::from_fn_with_state(guard, check))
        .with_state(parts)
}

async fn readyz(State(parts): State<AdminParts>) -> (StatusCode, Json<Readiness>) {
    let readiness = parts.control.readiness();
    let status = match readiness.is_ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(readiness))
}

async fn list(
    State(parts): State<AdminParts>,
    Query(selection): Query<Selection>,
) -> Json<FunctionList> {
    let before = parts.control.shards();
    let mut functions = parts.control.list();
    if let Some(namespace) = selection.namespace {
        functions.retain(|view| view.status.id.namespace() == namespace);
    }
    // A shard that changes hands meanwhile is nobody's: its functions may be missing.
    let shards = before.zip(parts.control.shards());
    let shards = shards.map(|(before, after)| Shards {
        count: after.count,
        held: &before.held & &after.held,
    });
    Json(FunctionList { functions, shards })
}

async fn function(
    State(parts): State<AdminParts>,
    Path(path): Path<(String, String)>,
    Query(selection): Query<Selection>,
) -> Answer<FunctionView> {
    Ok(Json(find(&parts, path, selection)?))
}

async fn decisions(
    State(parts): State<AdminParts>,
    Path(path): Path<(String, String)>,
    Query(selection): Query<Selection>,
) -> Answer<DecisionList> {
    let id = find(&parts, path, selection)?.status.id;
    Ok(Json(DecisionList {
        decisions: parts.control.decisions(&id),
    }))
}

async fn logs(
    State(parts): State<AdminParts>,
    Path(path): Path<(String, String)>,
    Query(selection): Query<Selection>,
    Query(query): Query<LogQuery>,
    stop: CancellationToken,
) -> Result<Response, ApiProblem> {
    let id = find(&parts, path, selection)?.status.id;
    let body = Body::from_stream(stream(parts.control, id, query, stop));
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

async fn problems(State(parts): State<AdminParts>) -> Json<ProblemList> {
    Json(ProblemList {
        problems: parts.control.problems(),
    })
}

async fn apply(
    State(parts): State<AdminParts>,
    headers: HeaderMap,
    body: Body,
) -> Answer<ApplyReport> {
    let too_large = || {
        let message = format!(
            "the body was cut off, or is larger than {} MiB",
            MAX_BODY >> 20
        );
        ApiProblem::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    // A length that is declared is believed at once.
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(too_large());
    }
    let bytes = limited(
        BODY_TIMEOUT,
        "the body did not arrive in time",
        to_bytes(body, MAX_BODY),
    );
    let bytes = bytes.await?.map_err(|_| too_large())?;
    let request = read_apply(&headers, &bytes)?;
    let change = parts.control.apply(request);
    let report = limited(CHANGE_TIMEOUT, "the change is taking too long", change).await??;
    Ok(Json(report))
}

/// Reads manifests: as an [`ApplyRequest`], or as plain YAML.
fn read_apply(headers: &HeaderMap, body: &[u8]) -> Result<ApplyRequest, ApiProblem> {
    let bad = |message: String| ApiProblem::new(StatusCode::BAD_REQUEST, message);
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let media_type = content_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    match media_type.trim() {
        "application/json" => serde_json::from_slice(body).map_err(|e| bad(e.to_string())),
        "application/yaml" | "application/x-yaml" | "text/yaml" => {
            let text = std::str::from_utf8(body)
                .map_err(|e| bad(e.to_string()))?
                .to_owned();
            let source = SourceText {
                name: "request".to_owned(),
                folder: PathBuf::from("/"),
                text,
            };
            Ok(ApplyRequest {
                sources: vec![source],
                is_strict: false,
            })
        }
        _ => Err(ApiProblem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send application/yaml or application/json",
        )),
    }
}

async fn remove(
    State(parts): State<AdminParts>,
    Path((namespace, kind, name)): Path<(String, String, String)>,
) -> Result<StatusCode, ApiProblem> {
    let change = parts.control.delete(ObjectName {
        kind,
        namespace,
        name,
    });
    limited(CHANGE_TIMEOUT, "the change is taking too long", change).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// The one function that a path means.
fn find(
    parts: &AdminParts,
    (namespace, name): (String, String),
    selection: Selection,
) -> Result<FunctionView, ApiProblem> {
    // With its own kind it is named exactly: no need to look through all of them.
    if let Some(kind) = &selection.kind
        && let Some(view) = parts.control.get(&FunctionId::new(&namespace, kind, &name))
    {
        return Ok(view);
    }
    let wanted = FunctionName {
        kind: selection.kind,
        name,
        namespace: Some(namespace),
    };
    let found = wanted.resolve(&parts.control.list()).cloned();
    found.map_err(|error| {
        let status = match error {
            ResolveError::NotFound(..) => StatusCode::NOT_FOUND,
            ResolveError::Ambiguous { .. } => StatusCode::CONFLICT,
        };
        ApiProblem::new(status, error.to_string())
    })
}

async fn limited<T>(
    limit: Duration,
    message: &str,
    work: impl Future<Output = T>,
) -> Result<T, ApiProblem> {
    let late = |_| ApiProblem::new(StatusCode::REQUEST_TIMEOUT, message);
    tokio::time::timeout(limit, work).await.map_err(late)
}
