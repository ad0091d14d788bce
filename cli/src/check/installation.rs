//! Our own processes: whether they run, ready, and of one version.

use serde_json::Value;

use super::finding::{Finding, Level};
use super::reader::{Reader, text};

const AREA: &str = "installation";
const PARTS: [&str; 3] = ["activator", "autoscaler", "controller"];

pub(super) async fn check(reader: &Reader, namespace: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
    match reader.list(&path).await {
        Ok(deployments) => findings.extend(judge(&deployments, namespace)),
        Err(error) => findings.push(Finding::unread(AREA, namespace, &error)),
    }
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/zeron";
    match reader.get(path).await {
        Ok(found) => findings.extend(webhook(found.as_ref())),
        Err(error) => findings.push(Finding::unread(AREA, "webhooks", &error)),
    }
    findings
}

pub(super) fn judge(deployments: &[Value], namespace: &str) -> Vec<Finding> {
    let judge = |part: &&str| {
        let name = format!("zeron-{part}");
        let found = deployments
            .iter()
            .find(|d| text(d, "/metadata/name") == name);
        let subject = format!("{namespace}/{name}");
        match found {
            Some(deployment) => one(subject, deployment, namespace),
            None => Finding::new(Level::Wrong, AREA, subject, "not installed")
                .hint("kubectl apply --server-side -k deploy/kustomize/default"),
        }
    };
    PARTS.iter().map(judge).collect()
}

fn one(subject: String, deployment: &Value, namespace: &str) -> Finding {
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    let ready = deployment["status"]["readyReplicas"].as_u64().unwrap_or(0);
    let name = text(deployment, "/metadata/name");
    let look = format!("kubectl -n {namespace} describe deployment {name}");
    let image = text(deployment, "/spec/template/spec/containers/0/image");
    let (level, message) = match (ready, wanted) {
        (_, 0) => (Level::Wrong, "scaled to 0".to_owned()),
        (0, _) => (Level::Wrong, format!("none of {wanted} is ready")),
        (ready, wanted) if ready < wanted => {
            (Level::Warning, format!("{ready} of {wanted} are ready"))
        }
        _ => return other_version(subject, image, ready),
    };
    Finding::new(level, AREA, subject, message).hint(look)
}

fn other_version(subject: String, image: &str, ready: u64) -> Finding {
    let ours = env!("CARGO_PKG_VERSION");
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    match tag.trim_start_matches('v') == ours {
        true => Finding::new(
            Level::Ok,
            AREA,
            subject,
            format!("{ready} ready, version {ours}"),
        ),
        false => Finding::new(
            Level::Note,
            AREA,
            subject,
            format!("{ready} ready; its image is {image}, this program is {ours}"),
        ),
    }
}

pub(super) fn webhook(found: Option<&Value>) -> Option<Finding> {
    let hooks = found?["webhooks"].as_array()?;
    let has_authority = |hook: &Value| !text(hook, "/clientConfig/caBundle").is_empty();
    let subject = "ValidatingWebhookConfiguration zeron";
    Some(match hooks.iter().all(has_authority) {
        true => Finding::new(Level::Ok, AREA, subject, "has the controller's authority"),
        false => Finding::new(
            Level::Warning,
            AREA,
            subject,
            "has no authority yet: objects are accepted without admission checks",
        )
        .hint("the leading controller fills it in: see its log"),
    })
}
