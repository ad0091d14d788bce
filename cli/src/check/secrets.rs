//! Secrets that triggers need: whether the autoscaler may read them.

use super::finding::{Finding, Level};
use super::reader::{Reader, Wish};
use super::workloads::Workloads;

const AREA: &str = "secrets";
/// Questions asked of the API server; more of them say nothing new.
const MOST: usize = 500;

pub(super) async fn check(reader: &Reader, zeron: &str, workloads: &Workloads) -> Vec<Finding> {
    let mut findings: Vec<Finding> = workloads
        .errors
        .iter()
        .map(|(what, error)| Finding::unread("functions", what, error))
        .collect();
    for ((namespace, name), by) in workloads.secrets.iter().take(MOST) {
        let wish = Wish {
            account: Some((zeron, "zeron-autoscaler")),
            verb: "get",
            group: "",
            resource: "secrets",
            namespace,
            name: Some(name),
        };
        let subject = format!("{namespace}/{name}");
        findings.push(match reader.allowed(&wish).await {
            Ok(true) => Finding::new(Level::Ok, AREA, subject, "the autoscaler may read it"),
            Ok(false) => {
                let message = format!(
                    "TriggerAuthentication {by} needs it, but the autoscaler may not read it"
                );
                Finding::new(Level::Wrong, AREA, subject, message)
                    .hint(format!("zeron grant {namespace} --secret {name} --apply"))
            }
            Err(error) => Finding::unread(AREA, &subject, &error),
        });
    }
    findings
}
