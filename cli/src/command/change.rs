//! Commands that change a running zeron: `apply` and `delete`.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use zeron_core::Chain;
use zeron_manifest::{Header, Problems, Sources};

use super::{Failure, client};
use crate::args::{ApplyArgs, DeleteArgs, GlobalArgs};
use crate::client::{Client, ClientError};
use crate::control::{ApplyAction, ApplyRequest, ObjectName, Problem, SourceText};
use crate::output::{print, structured};

/// Most that is read from standard input, in bytes.
const MAX_STDIN: u64 = 8 << 20;

pub(super) async fn apply(global: &GlobalArgs, args: &ApplyArgs) -> Result<(), Failure> {
    let (sources, _) = read(&args.filenames)?;
    let request = ApplyRequest {
        sources,
        is_strict: args.strict,
    };
    let report = match client(global)?.apply(&request).await {
        Ok(report) => report,
        Err(error) => {
            show(problems_of(&error));
            return Err(error.into());
        }
    };
    show(&report.warnings);
    let lines = report.objects.iter().map(|applied| {
        let action = match applied.action {
            ApplyAction::Created => "created",
            ApplyAction::Configured => "configured",
            ApplyAction::Unchanged => "unchanged",
        };
        let object = &applied.object;
        format!("{}/{} {action}\n", object.kind.to_lowercase(), object.name)
    });
    let text = structured(global.output, &report)?.unwrap_or_else(|| lines.collect());
    print(&text).map_err(Failure::runtime)
}

/// What `delete` did, as JSON or YAML.
#[derive(Serialize)]
struct Deleted {
    deleted: Vec<ObjectName>,
}

pub(super) async fn delete(global: &GlobalArgs, args: &DeleteArgs) -> Result<(), Failure> {
    let objects = match (&args.kind, &args.name) {
        (Some(kind), Some(name)) => vec![ObjectName {
            kind: kind_of(kind),
            namespace: global
                .namespace
                .clone()
                .unwrap_or_else(|| "default".to_owned()),
            name: name.clone(),
        }],
        _ => read(&args.filenames)?.1,
    };
    let (deleted, mut failures) = delete_all(&client(global)?, objects).await;
    // The last is told in the end.
    let failure = failures.pop();
    for earlier in &failures {
        show(problems_of(earlier));
        eprintln!("error: {}", Chain(earlier));
    }
    let list = Deleted { deleted };
    let text = structured(global.output, &list)?.unwrap_or_else(|| {
        let line = |o: &ObjectName| format!("{}/{} deleted\n", o.kind.to_lowercase(), o.name);
        list.deleted.iter().map(line).collect()
    });
    print(&text).map_err(Failure::runtime)?;
    failure.map_or(Ok(()), |error| {
        show(problems_of(&error));
        Err(error.into())
    })
}

/// Deletes what can be deleted. What is refused because another object needs it is tried again
/// after that one went, so that the order does not matter.
async fn delete_all(
    client: &Client,
    mut objects: Vec<ObjectName>,
) -> (Vec<ObjectName>, Vec<ClientError>) {
    let mut deleted = Vec::new();
    let mut failures = Vec::new();
    loop {
        let mut refused = Vec::new();
        let count = objects.len();
        for object in objects {
            match client.delete(&object).await {
                Ok(()) => deleted.push(object),
                Err(error) if problems_of(&error).is_empty() => failures.push(error),
                Err(error) => refused.push((object, error)),
            }
        }
        if refused.is_empty() || refused.len() == count {
            failures.extend(refused.into_iter().map(|(_, error)| error));
            return (deleted, failures);
        }
        objects = refused.into_iter().map(|(object, _)| object).collect();
    }
}

/// What was wrong with the manifests, when that was the reason.
fn problems_of(error: &ClientError) -> &[Problem] {
    match error {
        ClientError::Refused(refusal) => &refusal.problems,
        _ => &[],
    }
}

/// The kind that a plural, a short name or `KIND.GROUP` means.
fn kind_of(text: &str) -> String {
    let word = text.split('.').next().unwrap_or(text).to_lowercase();
    let kind = match word.as_str() {
        "service" | "services" | "svc" | "ksvc" | "kservice" => "Service",
        "deployment" | "deployments" | "deploy" => "Deployment",
        "scaledobject" | "scaledobjects" | "so" => "ScaledObject",
        "triggerauthentication" | "triggerauthentications" | "ta" | "triggerauth" => {
            "TriggerAuthentication"
        }
        "clustertriggerauthentication" | "clustertriggerauthentications" | "cta" => {
            "ClusterTriggerAuthentication"
        }
        "httpscaledobject" | "httpscaledobjects" | "httpso" | "hso" => "HTTPScaledObject",
        "interceptorroute" | "interceptorroutes" => "InterceptorRoute",
        "secret" | "secrets" => "Secret",
        "configmap" | "configmaps" | "cm" => "ConfigMap",
        _ => return text.to_owned(),
    };
    kind.to_owned()
}

/// Reads manifests: their texts, and the objects that they declare.
fn read(paths: &[PathBuf]) -> Result<(Vec<SourceText>, Vec<ObjectName>), Failure> {
    let (stdin, files): (Vec<PathBuf>, Vec<PathBuf>) = paths
        .iter()
        .cloned()
        .partition(|path| path.as_os_str() == "-");
    let read = zeron_manifest::read_paths(&files);
    let problems = Problems::new(false);
    let mut objects = objects(&read, &problems);
    let mut texts = Vec::new();
    for file in &read.files {
        texts.push(file_text(file)?);
    }
    if !stdin.is_empty() {
        let source = stdin_text()?;
        let (documents, faults) = zeron_manifest::parse(
            &source.name.as_str().into(),
            &source.folder.clone().into(),
            &source.text,
        );
        let parsed = Sources {
            documents,
            problems: faults,
            files: Vec::new(),
        };
        objects.extend(self::objects(&parsed, &problems));
        texts.push(source);
    }
    let problems: Vec<Problem> = problems.into_sorted().iter().map(Problem::from).collect();
    show(&problems);
    if problems
        .iter()
        .any(|p| p.severity == crate::control::Severity::Error)
    {
        return Err(Failure::usage(anyhow::anyhow!(
            "the manifests have problems"
        )));
    }
    Ok((texts, objects))
}

fn objects(sources: &Sources, problems: &Problems) -> Vec<ObjectName> {
    sources
        .problems
        .iter()
        .for_each(|problem| problems.push(problem.clone()));
    let headers = sources
        .documents
        .iter()
        .filter_map(|d| Header::read(d, problems));
    headers
        .map(|header| ObjectName {
            kind: header.object.kind,
            namespace: header.object.namespace,
            name: header.object.name,
        })
        .collect()
}

fn file_text(path: &Path) -> Result<SourceText, Failure> {
    let cannot_read = || format!("{} cannot be read", path.display());
    let text = std::fs::read_to_string(path)
        .with_context(cannot_read)
        .map_err(Failure::Usage)?;
    let whole = std::fs::canonicalize(path)
        .with_context(cannot_read)
        .map_err(Failure::Usage)?;
    let folder = whole.parent().unwrap_or(Path::new("/")).to_owned();
    Ok(SourceText {
        name: path.to_string_lossy().into_owned(),
        folder,
        text,
    })
}

fn stdin_text() -> Result<SourceText, Failure> {
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(MAX_STDIN + 1)
        .read_to_string(&mut text);
    read.context("standard input cannot be read")
        .map_err(Failure::Usage)?;
    if text.len() as u64 > MAX_STDIN {
        return Err(Failure::usage(anyhow::anyhow!(
            "standard input is larger than 8 MiB"
        )));
    }
    let folder = std::env::current_dir().context("the current folder is gone")?;
    Ok(SourceText {
        name: "stdin".to_owned(),
        folder,
        text,
    })
}

/// Problems go to standard error: standard output is for what was asked for.
fn show(problems: &[Problem]) {
    for problem in problems {
        eprintln!("{problem}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_their_short_names_and_groups() {
        assert_eq!(kind_of("ksvc"), "Service");
        assert_eq!(kind_of("services.serving.knative.dev"), "Service");
        assert_eq!(kind_of("ScaledObject"), "ScaledObject");
        assert_eq!(kind_of("Other"), "Other");
    }
}
