//! Objects that need a program which this machine may lack: `zeron.dev/requires: PROGRAM`.

use zeron_manifest::{Document, Problem, Severity};

use crate::programs;

/// The annotation that names the program.
const ANNOTATION: &str = "zeron.dev/requires";

/// Splits off the objects whose program is not on the `PATH`, each with a notice.
pub(crate) fn without_missing(documents: Vec<Document>) -> (Vec<Document>, Vec<Problem>) {
    let mut notices = Vec::new();
    let (kept, skipped): (Vec<_>, Vec<_>) = documents
        .into_iter()
        .partition(|document| required(document).is_none_or(programs::is_found));
    notices.extend(skipped.iter().filter_map(notice));
    (kept, notices)
}

fn required(document: &Document) -> Option<&str> {
    document
        .value
        .get("metadata")?
        .get("annotations")?
        .get(ANNOTATION)?
        .as_str()
}

fn notice(document: &Document) -> Option<Problem> {
    let program = required(document)?;
    let field = format!("metadata.annotations[{ANNOTATION}]");
    let name = document.value["metadata"]["name"]
        .as_str()
        .unwrap_or_default();
    let kind = document.value["kind"].as_str().unwrap_or("object");
    Some(Problem {
        severity: Severity::Warning,
        location: document.location(&field),
        object: None,
        field,
        message: format!("{kind} {name} is skipped: {program} is not on the PATH"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;

    fn document(program: &str) -> Document {
        let text = format!(
            "kind: Service\nmetadata:\n  name: a\n  annotations:\n    {ANNOTATION}: {program}\n"
        );
        zeron_manifest::parse(&Arc::from("a.yaml"), &Arc::new(PathBuf::new()), &text)
            .0
            .remove(0)
    }

    #[test]
    fn an_object_whose_program_is_missing_is_skipped_with_a_notice() {
        let (kept, notices) = without_missing(vec![document("sh"), document("no-such-program")]);
        assert_eq!(kept.len(), 1);
        assert_eq!(notices.len(), 1);
        assert_eq!(notices[0].location.line, 5);
        assert!(
            notices[0]
                .message
                .contains("no-such-program is not on the PATH")
        );
    }
}
