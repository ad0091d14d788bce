//! `/metrics`: every metric of this process as OpenMetrics text.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::problem::ApiProblem;
use super::server::AdminParts;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn metrics(State(parts): State<AdminParts>) -> Response {
    exposition(&parts.metrics)
}

pub(super) fn exposition(registry: &Registry) -> Response {
    let mut text = String::new();
    match encode(&mut text, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            ApiProblem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "metrics cannot be encoded",
            )
            .into_response()
        }
    }
}
