//! Answers that need no function.

use zeron_core::route::StaticResponse;
use zeron_manifest::{ConfigSet, Fields, Platform};

/// Longest body, in bytes.
const MAX_BODY: usize = 32_768;

/// Reads a `StaticResponse`; `status` is its default.
pub(crate) fn read(
    fields: &Fields<'_>,
    status: u16,
    namespace: &str,
    config: &ConfigSet,
) -> Option<StaticResponse> {
    let status = fields.get("statusCode").map_or(Some(status), |node| {
        u16::try_from(node.integer(200..=599)?).ok()
    });
    let headers = fields.string_map("headers").into_iter().collect();
    let inline = fields.string("body").map(str::to_owned);
    let from_map = fields
        .optional_fields("bodyFromConfigMap")
        .map(|f| body(&f, namespace, config));
    if inline.is_some() && from_map.is_some() {
        fields.error("bodyFromConfigMap", "must not stand beside body");
    }
    let body = match (inline, from_map) {
        (Some(body), _) => body,
        (None, Some(Some(body))) => body,
        // As in the original, an answer whose body is missing is an error of the server.
        (None, Some(None)) if fields.scope().platform() == Platform::Cluster => {
            return Some(StaticResponse {
                status: 500,
                headers: Vec::new(),
                body: String::new(),
            });
        }
        (None, Some(None)) => return None,
        (None, None) => String::new(),
    };
    if body.len() > MAX_BODY {
        fields.error(
            "body",
            format!("has {} bytes: at most {MAX_BODY} are allowed", body.len()),
        );
        return None;
    }
    Some(StaticResponse {
        status: status?,
        headers,
        body,
    })
}

/// A body from a ConfigMap. Without a key the original goes by the request's path; here it is
/// `index.html`.
fn body(fields: &Fields<'_>, namespace: &str, config: &ConfigSet) -> Option<String> {
    let key = fields.string("key").unwrap_or_else(|| {
        fields.scope().without_effect(
            fields.path(),
            "bodies by request path are not supported here: index.html is used",
        );
        "index.html"
    });
    match config.config_map(namespace, fields.required_string("name")?, key) {
        Ok(body) => Some(body.to_owned()),
        Err(error) => {
            fields.scope().partial(fields.path(), error.to_string());
            None
        }
    }
}
