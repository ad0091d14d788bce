//! One AdmissionReview: the question as the API server asks it, the answer as it wants it.

use serde_json::{Value, json};

use super::neighbours::LookUp;
use super::{authentication, rules};

/// Longest question, in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// Warnings of one answer, and their length: what the API server passes on.
const MAX_WARNINGS: usize = 8;
const MAX_WARNING: usize = 250;

/// What is asked.
#[derive(Debug)]
pub(super) struct Question<'q> {
    pub(super) object: &'q Value,
    pub(super) kind: &'q str,
    pub(super) namespace: &'q str,
    pub(super) is_dry_run: bool,
}

/// What is found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Answers an AdmissionReview; `None`: it is none.
///
/// Objects that are being deleted pass, and so does a change that touches neither spec nor
/// annotations: who takes a finalizer away must not be held up.
pub async fn review<L: LookUp>(question: &Value, look_up: &L) -> Option<Value> {
    let request = question.get("request")?;
    let uid = request["uid"].as_str()?;
    let object = &request["object"];
    let mut findings = Findings::default();
    if !passes(request) {
        let asked = Question {
            object,
            kind: request["kind"]["kind"].as_str()?,
            namespace: request["namespace"].as_str().unwrap_or_default(),
            is_dry_run: request["dryRun"] == true,
        };
        findings = find(&asked, look_up).await;
    }
    Some(answer(uid, &findings))
}

fn passes(request: &Value) -> bool {
    let (object, old) = (&request["object"], &request["oldObject"]);
    let is_asked = matches!(request["operation"].as_str(), Some("CREATE" | "UPDATE"));
    let is_same = |path: &str| object.pointer(path) == old.pointer(path);
    let is_untouched = old.is_object() && is_same("/spec") && is_same("/metadata/annotations");
    !is_asked || object["metadata"]["deletionTimestamp"].is_string() || is_untouched
}

async fn find<L: LookUp>(asked: &Question<'_>, look_up: &L) -> Findings {
    match asked.kind {
        "ScaledObject" => match look_up.neighbours(asked.namespace, asked.object).await {
            Ok(neighbours) => rules::scaled_object(asked, &neighbours),
            Err(unknown) => {
                let mut findings = rules::scaled_object_alone(asked);
                findings.warnings.push(unknown.to_string());
                findings
            }
        },
        "ScaledJob" => rules::scaled_job(asked),
        "TriggerAuthentication" | "ClusterTriggerAuthentication" => authentication::check(asked),
        _ => Findings::default(),
    }
}

fn answer(uid: &str, findings: &Findings) -> Value {
    let mut response = json!({ "uid": uid, "allowed": findings.errors.is_empty() });
    if !findings.errors.is_empty() {
        response["status"] = json!({
            "code": 403,
            "reason": "Forbidden",
            "message": findings.errors.join("; "),
        });
    }
    let warnings = findings.warnings.iter().take(MAX_WARNINGS).map(|w| cut(w));
    let warnings: Vec<&str> = warnings.collect();
    if !warnings.is_empty() {
        response["warnings"] = json!(warnings);
    }
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": response,
    })
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_WARNING)]
}
