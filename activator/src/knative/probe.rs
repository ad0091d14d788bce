//! Answers to the probes of Knative and of the kubelet, with their exact bodies.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::body::AnswerBody;

const NETWORK_PROBE: HeaderName = HeaderName::from_static("k-network-probe");
const NETWORK_HASH: HeaderName = HeaderName::from_static("k-network-hash");
const KUBELET_PROBE: HeaderName = HeaderName::from_static("k-kubelet-probe");

/// What begins the user agent of the kubelet's probes.
const KUBELET: &[u8] = b"kube-probe/";

/// What we answer to those who ask whether an activator is in the path.
const ACTIVATOR: &[u8] = b"activator";

/// The answer, when this is a probe: the kubelet's about our `health`, a gateway's that looks for
/// its own configuration, or the autoscaler's that looks for an activator.
pub(super) fn answer(
    headers: &HeaderMap,
    health: Result<(), &'static str>,
) -> Option<Response<AnswerBody>> {
    if is_of_kubelet(headers) {
        return Some(match health {
            Ok(()) => Response::new(AnswerBody::empty()),
            Err(why) => error(StatusCode::INTERNAL_SERVER_ERROR, why),
        });
    }
    let probe = headers.get(NETWORK_PROBE).filter(|it| !it.is_empty())?;
    Some(match probe.as_bytes() {
        b"probe" => echo(headers.get(NETWORK_HASH).filter(|hash| !hash.is_empty())),
        ACTIVATOR => {
            let mut answer = Response::new(AnswerBody::full(Bytes::from_static(ACTIVATOR)));
            plain(&mut answer);
            answer
        }
        other => {
            let other = escape(&String::from_utf8_lossy(other));
            let text = format!("unexpected probe header value: {other}");
            error(StatusCode::BAD_REQUEST, &text)
        }
    })
}

fn is_of_kubelet(headers: &HeaderMap) -> bool {
    let is_kubelet = |agent: &HeaderValue| agent.as_bytes().starts_with(KUBELET);
    headers.get(USER_AGENT).is_some_and(is_kubelet)
        || headers.get(KUBELET_PROBE).is_some_and(|it| !it.is_empty())
}

fn echo(hash: Option<&HeaderValue>) -> Response<AnswerBody> {
    let Some(hash) = hash else {
        let text = "a probe request must contain a non-empty \"K-Network-Hash\" header";
        return error(StatusCode::BAD_REQUEST, text);
    };
    let mut answer = Response::new(AnswerBody::empty());
    answer.headers_mut().insert(NETWORK_HASH, hash.clone());
    answer
}

fn error(status: StatusCode, text: &str) -> Response<AnswerBody> {
    let mut answer = Response::new(AnswerBody::full(Bytes::from(format!("{text}\n"))));
    *answer.status_mut() = status;
    plain(&mut answer);
    let no_sniffing = HeaderValue::from_static("nosniff");
    answer
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, no_sniffing);
    answer
}

fn plain(answer: &mut Response<AnswerBody>) {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
}

/// In quotes, and fit for HTML, as the original says it.
fn escape(text: &str) -> String {
    let mut escaped = String::from("\"");
    for letter in text.chars() {
        match letter {
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '&' => escaped += "&amp;",
            '"' => escaped += "&#34;",
            '\'' => escaped += "&#39;",
            letter => escaped.push(letter),
        }
    }
    escaped.push('"');
    escaped
}
