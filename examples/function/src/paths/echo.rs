//! What this origin parsed, so that a test can compare it with what was sent.

use std::io;

use crate::body::Body;
use crate::record::Record;
use crate::request::Request;
use crate::response::Response;
use crate::text::{base64, json_string, latin1};

/// Of a body, so much is echoed.
const MAX_BODY: u64 = 4 << 20;

/// The request as JSON: method, target, headers in order, the raw head and the body (both base64), trailers.
pub(super) fn echo(request: &Request, body: &mut Body<'_>) -> io::Result<Response> {
    let bytes = body.collect(MAX_BODY)?;
    let headers: Vec<String> = request
        .headers
        .iter()
        .map(|(name, value)| format!("[{},{}]", json_string(name), json_string(value)))
        .collect();
    let trailers: Vec<String> = body.trailers.iter().map(|line| json_string(line)).collect();
    Ok(Response::json(format!(
        "{{\"method\":{},\"target\":{},\"version\":{},\"headers\":[{}],\"trailers\":[{}],\"head\":{},\"body\":{},\"text\":{},\"pid\":{}}}\n",
        json_string(&request.method),
        json_string(&request.target),
        json_string(&request.version),
        headers.join(","),
        trailers.join(","),
        json_string(&base64(&request.raw)),
        json_string(&base64(&bytes)),
        json_string(&latin1(&bytes)),
        std::process::id(),
    )))
}

/// The newest request lines as JSON, oldest first, each with the number of its connection.
pub(super) fn seen(record: &Record) -> Response {
    let lines: Vec<String> = record
        .heads()
        .iter()
        .map(|head| format!("[{},{}]", head.connection, json_string(&head.request_line)))
        .collect();
    Response::json(format!("[{}]\n", lines.join(",")))
}
