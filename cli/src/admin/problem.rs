//! Errors as `application/problem+json` (RFC 9457).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use zeron_core::Chain;

use crate::control::{ChangeError, Problem};

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ApiProblem {
    /// The status code.
    pub(crate) status: u16,
    /// The status in words.
    pub(crate) title: String,
    /// What is wrong and, where that helps, what to do.
    pub(crate) detail: String,
    /// What is wrong with the manifests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) problems: Vec<Problem>,
}

impl ApiProblem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("error").to_owned(),
            detail: detail.into(),
            problems: Vec::new(),
        }
    }
}

impl IntoResponse for ApiProblem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, content_type, body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = header::HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<ChangeError> for ApiProblem {
    fn from(error: ChangeError) -> Self {
        let status = match &error {
            ChangeError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ChangeError::NotFound(_) => StatusCode::NOT_FOUND,
            ChangeError::FromFile { .. } => StatusCode::CONFLICT,
            ChangeError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            ChangeError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            ChangeError::InCluster => StatusCode::METHOD_NOT_ALLOWED,
        };
        let detail = Chain(&error).to_string();
        let problems = match error {
            ChangeError::Invalid(problems) => problems,
            ChangeError::NotFound(_)
            | ChangeError::FromFile { .. }
            | ChangeError::Store(_)
            | ChangeError::Stopping
            | ChangeError::InCluster => Vec::new(),
        };
        Self {
            problems,
            ..Self::new(status, detail)
        }
    }
}
