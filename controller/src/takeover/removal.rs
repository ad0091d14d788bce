//! What removing KEDA's own manifests would take along.

use super::finding::{Finding, Level};
use super::object::{Kind, Object};
use super::survey::Survey;

/// Dangers of the day after: to be read before KEDA is removed.
pub(super) fn all(survey: &Survey) -> Vec<Finding> {
    let mut findings: Vec<Finding> = survey
        .definitions
        .iter()
        .map(|definition| of_definition(survey, definition))
        .collect();
    findings.extend(survey.registrations.iter().filter_map(of_registration));
    findings.extend(hanging(survey));
    findings
}

/// Deleting a definition deletes all objects of its kind.
fn of_definition(survey: &Survey, definition: &Object) -> Finding {
    let group = definition.text("/spec/group").unwrap_or_default();
    let kind = definition.text("/spec/names/kind").unwrap_or_default();
    let is_of = |o: &&Object| {
        let (api_version, name, _) = o.kind.names();
        name == kind && api_version.split('/').next() == Some(group)
    };
    let count = survey.objects.iter().filter(is_of).count();
    let lost = format!("deleting it deletes all objects of its kind ({count} now)");
    let release = definition.annotation("meta.helm.sh/release-name");
    let is_kept = definition.annotation("helm.sh/resource-policy") == Some("keep");
    let (level, advice) = match release {
        Some(release) => (Level::Warning, helm(definition, release, is_kept)),
        None if definition.label("app.kubernetes.io/managed-by") == Some("zeron") => {
            (Level::Note, "it is zeron's own".to_owned())
        }
        None => (
            Level::Warning,
            "never `kubectl delete -f` KEDA's manifests whole: delete Deployments, Services and \
             roles by name, and leave this"
                .to_owned(),
        ),
    };
    Finding::about(
        definition.id(),
        level,
        "definition",
        format!("{lost}; {advice}"),
    )
}

/// `helm uninstall` reads the policy from the release, `helm upgrade` from the object itself.
fn helm(definition: &Object, release: &str, is_kept: bool) -> String {
    let namespace = definition
        .annotation("meta.helm.sh/release-namespace")
        .unwrap_or("default");
    let name = definition.name();
    let first = if is_kept {
        "it has helm.sh/resource-policy: keep; ".to_owned()
    } else {
        format!("first `kubectl annotate crd {name} helm.sh/resource-policy=keep`, ")
    };
    format!(
        "it belongs to the Helm release {namespace}/{release}: {first}then `helm upgrade {release} \
         -n {namespace} --reuse-values --set crds.install=false` so that the release forgets it, \
         and only then `helm uninstall`, which does not read the annotation of the object"
    )
}

fn of_registration(registration: &Object) -> Option<Finding> {
    let text = match registration.kind {
        Kind::ApiService => {
            "delete it together with KEDA's metrics server: without one behind it the API server's \
             discovery fails, and no namespace can be deleted any more"
        }
        Kind::ValidatingWebhookConfiguration if is_ignoring(registration) => {
            "harmless while KEDA's webhooks run or their Service is gone (failurePolicy Ignore): \
             delete it with them"
        }
        Kind::ValidatingWebhookConfiguration => {
            "its failurePolicy is Fail: delete it before KEDA's webhooks, or nobody can change a \
             ScaledObject"
        }
        _ => return None,
    };
    let level =
        if registration.kind == Kind::ValidatingWebhookConfiguration && is_ignoring(registration) {
            Level::Note
        } else {
            Level::Warning
        };
    Some(Finding::about(
        registration.id(),
        level,
        "registration",
        text,
    ))
}

fn is_ignoring(configuration: &Object) -> bool {
    configuration
        .list("/webhooks")
        .iter()
        .all(|webhook| webhook["failurePolicy"] == "Ignore")
}

/// Objects whose finalizer nobody takes off once KEDA is gone; zeron takes off those of the kinds
/// that it serves.
fn hanging(survey: &Survey) -> impl Iterator<Item = Finding> {
    let sources = survey.objects.iter().filter(|o| {
        matches!(
            o.kind,
            Kind::CloudEventSource | Kind::ClusterCloudEventSource
        ) && o.finalizers().any(|f| f == "finalizer.keda.sh")
    });
    sources.map(|object| {
        Finding::about(
            object.id(),
            Level::Warning,
            "finalizer",
            "zeron emits no CloudEvents and does not take off its finalizer: delete it while KEDA \
             still runs, or its deletion hangs",
        )
    })
}
