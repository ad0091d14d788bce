//! Whether a Knative Serving that runs here fits: its activator and autoscaler could be ours.

use clap::ValueEnum;
use kube::Client;
use serde_json::Value;

use super::finding::{Finding, Level};
use super::reader::{ReadError, Reader, Wish, named, text};

const AREA: &str = "knative";
/// Where it is, unless somebody moved it.
pub(crate) const NAMESPACE: &str = "knative-serving";
/// The account that its autoscaler runs under.
const ACCOUNT: &str = "controller";
/// Minor versions of Knative 1 whose objects and protocols are those that we speak.
const FITTING: std::ops::RangeInclusive<u32> = 15..=24;
/// Marks a Deployment that runs ours: what was there before, for the way back.
pub(crate) const REPLACED: &str = "zeron.dev/replaced";

/// A Deployment of Knative's that can be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Its data plane.
    Activator,
    /// What decides for PodAutoscalers of class kpa.
    Autoscaler,
}

impl Part {
    /// In the order in which they are replaced.
    pub(crate) const ALL: [Self; 2] = [Self::Autoscaler, Self::Activator];

    /// Its Deployment, its container, and the command of zeron that takes its place.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Activator => "activator",
            Self::Autoscaler => "autoscaler",
        }
    }
}

/// Whether a version of Knative is one of those that we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is.
    Fits(String),
    /// It is older or newer.
    Other(String),
    /// The Deployment does not say.
    Unknown(String),
}

impl Fit {
    /// By the label `app.kubernetes.io/version` of one of its Deployments, or of its controller's.
    pub(crate) fn of(deployment: &Value, controller: Option<&Value>) -> Self {
        let label = |of: &'_ Value| {
            let version = of["metadata"]["labels"]["app.kubernetes.io/version"].as_str();
            version.map(str::to_owned)
        };
        let version = label(deployment).or_else(|| label(controller?));
        let version = version.unwrap_or_default();
        let mut parts = version.trim_start_matches('v').split('.');
        let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
        match (number(), number()) {
            (Some(1), Some(minor)) if FITTING.contains(&minor) => Self::Fits(version),
            (Some(_), Some(_)) => Self::Other(version),
            _ => Self::Unknown(version),
        }
    }

    /// In words.
    pub(crate) fn message(&self) -> String {
        let (oldest, newest) = (FITTING.start(), FITTING.end());
        match self {
            Self::Fits(version) => {
                format!("Knative Serving {version}: its activator and autoscaler can be zeron's")
            }
            Self::Other(version) => format!(
                "Knative Serving {version} does not fit: zeron takes the place of parts of 1.{oldest} to 1.{newest}"
            ),
            Self::Unknown(version) => format!(
                "its label app.kubernetes.io/version is {version:?}: whether it fits is unknown; 1.{oldest} to 1.{newest} do"
            ),
        }
    }
}

/// The Deployment whose version is that of the installation.
pub(crate) const CONTROLLER: &str = "controller";

/// One of its Deployments; `None`: there is none.
///
/// # Errors
/// When it cannot be read.
pub(crate) async fn deployment(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<Value>, ReadError> {
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
    Reader::new(client.clone()).get(&path).await
}

/// What our autoscaler must be allowed beyond what Knative gives its own: counts are read and
/// written through `/scale`. Group, resource, verbs.
pub(crate) const SCALE: (&str, &str, [&str; 2]) = ("apps", "deployments/scale", ["get", "patch"]);

/// Whether the account that Knative's autoscaler runs under may read and write counts as ours does.
///
/// # Errors
/// When nobody says.
pub(crate) async fn may_scale(client: &Client, namespace: &str) -> Result<bool, ReadError> {
    let reader = Reader::new(client.clone());
    let (group, resource, verbs) = SCALE;
    for verb in verbs {
        let wish = Wish {
            account: Some((namespace, ACCOUNT)),
            verb,
            group,
            resource,
            namespace: "",
            name: None,
        };
        if !reader.allowed(&wish).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether there is a ClusterRole of this name.
///
/// # Errors
/// When nobody says.
pub(crate) async fn has_cluster_role(client: &Client, name: &str) -> Result<bool, ReadError> {
    let path = format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}");
    let found = Reader::new(client.clone()).get(&path).await?;
    Ok(found.is_some())
}

/// Before anything is replaced: each part of a Knative Serving that runs here, if any.
pub(super) async fn check(reader: &Reader, namespace: &str) -> Vec<Finding> {
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
    let deployments = match reader.list(&path).await {
        Ok(deployments) => deployments,
        Err(error) => return vec![Finding::unread(AREA, namespace, &error)],
    };
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/config-network");
    let network = match reader.get(&path).await {
        Ok(network) => network.unwrap_or_default(),
        Err(error) => return vec![Finding::unread(AREA, "config-network", &error)],
    };
    judge(&deployments, &network)
}

/// What stands in the way, or does not.
pub(super) fn judge(deployments: &[Value], network: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let named = |name: &str| {
        deployments
            .iter()
            .find(|d| text(d, "/metadata/name") == name)
    };
    for part in Part::ALL {
        if let Some(deployment) = named(part.name()) {
            findings.push(one(deployment, named(CONTROLLER), part));
        }
    }
    if !findings.is_empty() {
        findings.extend(encryption(network));
    }
    findings
}

fn one(deployment: &Value, controller: Option<&Value>, part: Part) -> Finding {
    let subject = named(deployment);
    if !deployment["metadata"]["annotations"][REPLACED].is_null() {
        let image = text(deployment, "/spec/template/spec/containers/0/image");
        let message = format!("is zeron's already ({image})");
        let back = format!(
            "zeron swap knative {} --back   # gives it back",
            part.name()
        );
        return Finding::new(Level::Note, AREA, subject, message).hint(back);
    }
    let fit = Fit::of(deployment, controller);
    let (level, hint) = match &fit {
        Fit::Fits(_) => (
            Level::Note,
            "zeron swap knative --dry-run   # says what would be done",
        ),
        Fit::Other(_) | Fit::Unknown(_) => (
            Level::Warning,
            "leave Knative's own parts in their place, or bring Knative to a version that fits",
        ),
    };
    Finding::new(level, AREA, subject, fit.message()).hint(hint)
}

/// Old and new spelling.
fn encryption(network: &Value) -> Option<Finding> {
    let is_on = |key: &str| {
        let value = network["data"][key].as_str().unwrap_or_default();
        value.eq_ignore_ascii_case("enabled") || value == "true"
    };
    (is_on("system-internal-tls") || is_on("internal-encryption")).then(|| {
        let message = "system-internal-tls is on: zeron's activator takes TLS from ingresses with \
                       routing-serving-certs";
        Finding::new(Level::Note, AREA, "config-network", message)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn deployment(name: &str, version: &str) -> Value {
        json!({
            "metadata": {
                "name": name, "namespace": NAMESPACE,
                "labels": { "app.kubernetes.io/version": version },
            },
            "spec": { "template": { "spec": { "containers": [{ "name": name, "image": "i:1" }] } } },
        })
    }

    fn fit(version: &str) -> Fit {
        Fit::of(&deployment("activator", version), None)
    }

    #[test]
    fn a_part_without_a_version_has_that_of_the_controller() {
        let bare = json!({ "metadata": { "name": "activator" } });
        let controller = deployment(CONTROLLER, "1.15.2");
        let fit = Fit::of(&bare, Some(&controller));
        assert_eq!(fit, Fit::Fits("1.15.2".to_owned()));
        assert_eq!(Fit::of(&bare, None), Fit::Unknown(String::new()));
    }

    #[test]
    fn versions_are_read_with_and_without_a_v() {
        for version in ["1.15.2", "v1.20.0", "1.24.0", "1.18"] {
            assert_eq!(fit(version), Fit::Fits(version.to_owned()));
        }
        for version in ["1.14.9", "1.25.0", "0.26.0", "v2.0.0"] {
            assert_eq!(fit(version), Fit::Other(version.to_owned()));
        }
        for version in ["devel", "", "20260801-abcdef"] {
            assert_eq!(fit(version), Fit::Unknown(version.to_owned()));
        }
    }

    #[test]
    fn a_cluster_without_knative_has_nothing_to_say() {
        assert_eq!(judge(&[], &Value::Null), []);
    }

    #[test]
    fn each_part_is_judged_by_itself() {
        let mut ours = deployment("activator", "1.15.2");
        ours["metadata"]["annotations"][REPLACED] = json!("{}");
        let theirs = deployment("autoscaler", "1.14.0");
        let findings = judge(&[ours, theirs], &Value::Null);
        let levels: Vec<_> = findings.iter().map(|f| f.level).collect();
        assert_eq!(levels, [Level::Warning, Level::Note]);
        assert!(findings[1].message.contains("zeron's already"));
    }

    #[test]
    fn encryption_is_mentioned_in_both_spellings() {
        for data in [
            json!({ "system-internal-tls": "Enabled" }),
            json!({ "internal-encryption": "true" }),
        ] {
            let found = judge(
                &[deployment("activator", "1.15.2")],
                &json!({ "data": data }),
            );
            assert_eq!(found.len(), 2, "{found:?}");
        }
    }
}
