//! Programs that objects name, and whether functions of this machine find them.

use std::path::Path;

use serde_json::Value;
use zeron_manifest::{Document, Problem, Severity};

use crate::applet;

/// The example consumer brings librdkafka, which is built from source: nobody shall have to wait for that who does not want it.
const BUILT_APART: &str = "zeron-example-consumer";

/// Whether functions find `program`: by its path, beside this program, in it, or on the `PATH`.
pub(crate) fn is_found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Path::new(program).is_absolute() && Path::new(program).exists()
        || applet::NAMES.contains(&program)
        || beside(program).is_some_and(|file| file.is_file())
        || std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn beside(program: &str) -> Option<std::path::PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.join(program))
}

/// A notice for each container whose program is not there: its function is declared, and cannot start yet.
pub(crate) fn missing(documents: &[Document]) -> Vec<Problem> {
    documents.iter().flat_map(missing_in).collect()
}

fn missing_in(document: &Document) -> Vec<Problem> {
    const CONTAINERS: &str = "/spec/template/spec/containers";
    let containers = document.value.pointer(CONTAINERS).and_then(Value::as_array);
    let containers = containers.into_iter().flatten().enumerate();
    containers
        .filter_map(|(index, container)| {
            let program = looked_up(container).filter(|program| !is_found(program))?;
            let field = format!("spec.template.spec.containers[{index}].command[0]");
            Some(Problem {
                severity: Severity::Warning,
                location: document.location(&field),
                object: None,
                field,
                message: format!(
                    "{program} is not on the PATH: no replica can start{}",
                    hint(program)
                ),
            })
        })
        .collect()
}

/// The first word of its command, where the `PATH` that we give says what it is.
fn looked_up(container: &Value) -> Option<&str> {
    let env = container["env"].as_array().map_or(&[][..], Vec::as_slice);
    if env.iter().any(|variable| variable["name"] == "PATH") {
        return None;
    }
    let program = container["command"].get(0)?.as_str()?;
    (!program.contains(['/', '$'])).then_some(program)
}

fn hint(program: &str) -> String {
    if program != BUILT_APART {
        return String::new();
    }
    let folder = beside("").filter(|folder| folder.ends_with("release"));
    let profile = folder.map_or("", |_| " --release");
    format!("; `cargo build{profile} -p {BUILT_APART}` makes it")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;

    fn notices(container: &str) -> Vec<Problem> {
        let text = format!(
            "kind: Deployment\nmetadata:\n  name: a\nspec:\n  template:\n    spec:\n      containers:\n        - {container}\n"
        );
        let (documents, problems) =
            zeron_manifest::parse(&Arc::from("a.yaml"), &Arc::new(PathBuf::new()), &text);
        assert!(problems.is_empty(), "{problems:?}");
        missing(&documents)
    }

    #[test]
    fn a_command_that_is_nowhere_is_told_with_its_line() {
        let found = notices("{name: a, command: [no-such-program, x]}");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].location.line, 8);
        assert!(!found[0].is_error());
        assert_eq!(
            found[0].message,
            "no-such-program is not on the PATH: no replica can start"
        );
    }

    #[test]
    fn how_to_build_the_consumer_is_told() {
        let found = hint(BUILT_APART);
        assert!(found.contains("cargo build"), "{found}");
        assert!(
            found.ends_with("-p zeron-example-consumer` makes it"),
            "{found}"
        );
    }

    #[test]
    fn what_is_there_or_cannot_be_known_is_not_told() {
        for container in [
            "{name: a, command: [sh, -c, x]}",
            "{name: a, command: [zeron-example-function]}",
            "{name: a, image: b}",
            "{name: a, command: [./no-such-program]}",
            "{name: a, command: [$(PROGRAM)]}",
            "{name: a, command: [no-such-program], env: [{name: PATH, value: /opt}]}",
        ] {
            assert_eq!(notices(container).len(), 0, "{container}");
        }
    }
}
