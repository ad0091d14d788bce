//! CustomResourceDefinitions: whether they are there, and whose.

use serde_json::Value;

use super::finding::{Finding, Level};
use super::reader::{ReadError, items, text};

const AREA: &str = "definitions";
pub(super) const PATH: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Name, version that is read, whether anything works without it.
const NEEDED: [(&str, &str, bool); 6] = [
    ("scaledobjects.keda.sh", "v1alpha1", true),
    ("triggerauthentications.keda.sh", "v1alpha1", true),
    ("clustertriggerauthentications.keda.sh", "v1alpha1", true),
    ("scaledjobs.keda.sh", "v1alpha1", false),
    ("httpscaledobjects.http.keda.sh", "v1alpha1", false),
    ("interceptorroutes.http.keda.sh", "v1beta1", false),
];

pub(super) fn judge(found: Result<Vec<Value>, ReadError>, is_before: bool) -> Vec<Finding> {
    let found = match found {
        Ok(found) => found,
        Err(error) => return vec![Finding::unread(AREA, "CustomResourceDefinitions", &error)],
    };
    let judge = |(name, version, is_vital): &(&str, &str, bool)| {
        let definition = found.iter().find(|d| text(d, "/metadata/name") == *name);
        match definition {
            Some(definition) => present(name, version, definition),
            None => missing(name, *is_vital, is_before),
        }
    };
    NEEDED.iter().map(judge).collect()
}

fn present(name: &str, version: &str, definition: &Value) -> Finding {
    let mut versions = items(definition, "/spec/versions").iter();
    let is_served = versions.any(|v| v["name"] == version && v["served"] == true);
    if !is_served {
        let message = format!("the definition does not serve {version}");
        return Finding::new(Level::Wrong, AREA, name, message).hint(format!(
            "zeron crds --name {name} | kubectl apply --server-side -f -"
        ));
    }
    let conditions = items(definition, "/status/conditions").iter();
    let mut established = conditions.filter(|c| c["type"] == "Established");
    if established.any(|c| c["status"] != "True") {
        return Finding::new(
            Level::Wrong,
            AREA,
            name,
            "the definition is not established",
        )
        .hint(format!("kubectl describe crd {name}"));
    }
    let owner = owner(definition);
    Finding::new(Level::Ok, AREA, name, format!("installed, {owner}"))
}

fn owner(definition: &Value) -> String {
    let release = text(
        definition,
        "/metadata/annotations/meta.helm.sh~1release-name",
    );
    let part_of = text(definition, "/metadata/labels/app.kubernetes.io~1part-of");
    let name = text(definition, "/metadata/labels/app.kubernetes.io~1name");
    match (release, part_of, name) {
        ("", "zeron", _) | ("", _, "zeron") => "zeron's".to_owned(),
        ("", "", "") => "of unknown origin".to_owned(),
        ("", "", name) => format!("{name}'s"),
        ("", part_of, _) => format!("{part_of}'s"),
        (release, _, _) => {
            format!("owned by the Helm release {release}: removing it deletes every object")
        }
    }
}

fn missing(name: &str, is_vital: bool, is_before: bool) -> Finding {
    let command = format!("zeron crds --name {name} | kubectl apply --server-side -f -");
    match (is_before, is_vital) {
        (true, _) => Finding::new(Level::Note, AREA, name, "not installed yet"),
        (false, true) => Finding::new(Level::Wrong, AREA, name, "not installed").hint(command),
        (false, false) => {
            let message = "not installed: objects of this kind cannot be made";
            Finding::new(Level::Warning, AREA, name, message).hint(command)
        }
    }
}
