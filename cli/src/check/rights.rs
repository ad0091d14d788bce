//! Who may do what: our accounts, and whoever installs us.

use super::finding::{Finding, Level};
use super::reader::{Reader, Wish};
use super::workloads::Workloads;

const AREA: &str = "rights";
const GRANT: &str =
    "apply the manifests again: kubectl apply --server-side -k deploy/kustomize/base";

/// Verb, group, resource (with subresource), name.
type Need = (
    &'static str,
    &'static str,
    &'static str,
    Option<&'static str>,
);

const READ: [Need; 11] = [
    ("watch", "", "pods", None),
    ("watch", "", "services", None),
    ("get", "", "configmaps", None),
    (
        "get",
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        None,
    ),
    ("watch", "apps", "deployments", None),
    ("watch", "apps", "replicasets", None),
    ("watch", "apps", "statefulsets", None),
    ("watch", "autoscaling", "horizontalpodautoscalers", None),
    ("watch", "keda.sh", "scaledobjects", None),
    ("watch", "http.keda.sh", "httpscaledobjects", None),
    ("watch", "http.keda.sh", "interceptorroutes", None),
];

const AUTOSCALER: [Need; 14] = [
    ("patch", "apps", "deployments/scale", None),
    ("patch", "apps", "statefulsets/scale", None),
    ("patch", "", "pods", None),
    ("watch", "keda.sh", "scaledjobs", None),
    ("patch", "keda.sh", "scaledjobs/status", None),
    ("watch", "batch", "jobs", None),
    ("create", "batch", "jobs", None),
    ("delete", "batch", "jobs", None),
    ("watch", "keda.sh", "triggerauthentications", None),
    ("patch", "keda.sh", "scaledobjects/status", None),
    ("patch", "keda.sh", "triggerauthentications/status", None),
    ("patch", "http.keda.sh", "httpscaledobjects/status", None),
    ("create", "authentication.k8s.io", "tokenreviews", None),
    ("create", "events.k8s.io", "events", None),
];

const CONTROLLER: [Need; 8] = [
    ("patch", "keda.sh", "scaledobjects", None),
    ("create", "keda.sh", "scaledobjects", None),
    ("patch", "http.keda.sh", "httpscaledobjects", None),
    ("patch", "", "services", None),
    ("create", "discovery.k8s.io", "endpointslices", None),
    ("delete", "", "endpoints", None),
    ("list", "", "limitranges", None),
    (
        "patch",
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
        Some("zeron"),
    ),
];

/// What whoever installs must be allowed to.
const INSTALL: [Need; 8] = [
    ("create", "", "namespaces", None),
    (
        "create",
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        None,
    ),
    ("create", "rbac.authorization.k8s.io", "clusterroles", None),
    (
        "create",
        "rbac.authorization.k8s.io",
        "clusterrolebindings",
        None,
    ),
    (
        "escalate",
        "rbac.authorization.k8s.io",
        "clusterroles",
        None,
    ),
    (
        "create",
        "admissionregistration.k8s.io",
        "validatingadmissionpolicies",
        None,
    ),
    (
        "create",
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
        None,
    ),
    ("create", "apps", "deployments", None),
];

/// Whether our accounts may do what they have to.
pub(super) async fn check(reader: &Reader, zeron: &str) -> Vec<Finding> {
    let accounts: [(&str, &[Need]); 3] = [
        ("zeron-activator", &[]),
        ("zeron-autoscaler", &AUTOSCALER),
        ("zeron-controller", &CONTROLLER),
    ];
    let mut findings = Vec::new();
    for (account, own) in accounts {
        let needs: Vec<&Need> = READ.iter().chain(own).collect();
        let missing = missing(reader, Some((zeron, account)), &needs, "").await;
        let mut found = match missing {
            Ok(missing) => refused(account, &missing, GRANT),
            Err(error) => vec![Finding::unread(AREA, account, &error)],
        };
        if found.is_empty() {
            let message = "may do all that it needs";
            found.push(Finding::new(Level::Ok, AREA, account, message));
        }
        findings.extend(found);
    }
    findings
}

/// Whether the caller may install.
pub(super) async fn before(reader: &Reader, zeron: &str) -> Vec<Finding> {
    let needs: Vec<&Need> = INSTALL.iter().collect();
    let hint = "install with an account that may, such as cluster-admin";
    let subject = "you";
    match missing(reader, None, &needs, zeron).await {
        Ok(missing) if missing.is_empty() => {
            vec![Finding::new(Level::Ok, AREA, subject, "may install")]
        }
        Ok(missing) => refused(subject, &missing, hint),
        Err(error) => vec![Finding::unread(AREA, subject, &error)],
    }
}

/// Whether activators may wake by themselves, where there are functions.
pub(super) async fn wake(reader: &Reader, zeron: &str, workloads: &Workloads) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (namespace, (group, plural)) in workloads.places() {
        let resource = format!("{plural}/scale");
        let wish = Wish {
            account: Some((zeron, "zeron-activator")),
            verb: "patch",
            group,
            resource: &resource,
            namespace,
            name: None,
        };
        match reader.allowed(&wish).await {
            Ok(true) => {}
            Ok(false) => {
                let message = "activators may not wake functions here by themselves: without an \
                               autoscaler, cold requests wait";
                let finding = Finding::new(
                    Level::Warning,
                    AREA,
                    format!("namespace {namespace}"),
                    message,
                );
                findings.push(finding.hint(format!("zeron grant {namespace} --wake --apply")));
            }
            Err(error) => findings.push(Finding::unread(AREA, namespace, &error)),
        }
    }
    findings
}

async fn missing<'n>(
    reader: &Reader,
    account: Option<(&str, &str)>,
    needs: &[&'n Need],
    namespace: &str,
) -> Result<Vec<&'n Need>, super::ReadError> {
    let mut missing = Vec::new();
    for need in needs {
        let (verb, group, resource, name) = *need;
        let wish = Wish {
            account,
            verb,
            group,
            resource,
            namespace,
            name: *name,
        };
        if !reader.allowed(&wish).await? {
            missing.push(*need);
        }
    }
    Ok(missing)
}

/// One finding for all that an account may not.
pub(super) fn refused(account: &str, missing: &[&Need], hint: &str) -> Vec<Finding> {
    let said = |(verb, group, resource, name): &&Need| {
        let dot = if group.is_empty() { "" } else { "." };
        let name = name.map_or(String::new(), |name| format!(" {name}"));
        format!("{verb} {resource}{dot}{group}{name}")
    };
    if missing.is_empty() {
        return Vec::new();
    }
    let wishes: Vec<String> = missing.iter().map(said).collect();
    let message = format!("may not {}", wishes.join(", "));
    vec![Finding::new(Level::Wrong, AREA, account, message).hint(hint)]
}
