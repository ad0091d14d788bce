//! What `zeron check` looks at in a cluster: each area reads a little and judges it by a pure function.

mod definitions;
mod finding;
mod installation;
pub(crate) mod knative;
mod mesh;
mod neighbours;
mod network;
mod reader;
mod rights;
mod secrets;
mod selector;
#[cfg(test)]
mod tests;
mod versions;
mod workloads;

use kube::Client;

pub(crate) use finding::{Finding, Level};
pub(crate) use reader::{ReadError, Reader, items, text};
use workloads::Workloads;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Namespace of zeron itself.
    pub(crate) zeron: String,
    /// Only functions of this namespace.
    pub(crate) namespace: Option<String>,
    /// Before it is installed.
    pub(crate) is_before: bool,
}

/// A text is no name of a namespace.
#[derive(Debug, thiserror::Error)]
#[error("not the name of a namespace: lower case letters, digits and '-', at most 63")]
pub(crate) struct NamespaceError;

/// Reads the name of a namespace (RFC 1123 label), which goes into paths.
///
/// # Errors
/// When it is none.
pub(crate) fn namespace(text: &str) -> Result<String, NamespaceError> {
    let is_fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = (1..=63).contains(&text.len())
        && text.chars().all(is_fit)
        && !text.starts_with('-')
        && !text.ends_with('-');
    match is_label {
        true => Ok(text.to_owned()),
        false => Err(NamespaceError),
    }
}

/// Looks at everything; `tell` hears what is looked at.
///
/// # Errors
/// When the API server cannot be reached at all: what may not be read is a finding.
pub(crate) async fn check(
    client: Client,
    question: &Question,
    tell: &dyn Fn(&str),
) -> Result<Vec<Finding>, ReadError> {
    let reader = Reader::new(client);
    tell("versions and clocks");
    let mut findings = versions::check(&reader).await?;
    tell("definitions");
    let definitions = reader.list(definitions::PATH).await;
    findings.extend(definitions::judge(definitions, question.is_before));
    tell("neighbours");
    findings.extend(neighbours::check(&reader, question.namespace.as_deref()).await);
    if question.is_before {
        tell("your rights");
        findings.extend(rights::before(&reader, &question.zeron).await);
        tell("Knative");
        findings.extend(knative::check(&reader, knative::NAMESPACE).await);
        return Ok(findings);
    }
    tell("the installation");
    findings.extend(installation::check(&reader, &question.zeron).await);
    tell("rights");
    findings.extend(rights::check(&reader, &question.zeron).await);
    tell("functions");
    let workloads = Workloads::read(&reader, question.namespace.as_deref()).await;
    findings.extend(secrets::check(&reader, &question.zeron, &workloads).await);
    findings.extend(rights::wake(&reader, &question.zeron, &workloads).await);
    tell("network policies");
    findings.extend(network::check(&reader, &question.zeron, &workloads).await);
    tell("meshes");
    findings.extend(mesh::check(&reader, &question.zeron, &workloads).await);
    Ok(findings)
}
