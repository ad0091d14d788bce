//! What a swap writes into a Deployment, and what it keeps for the way back.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::check::knative::{Part, REPLACED};

/// Fields of the container that are replaced, and kept as they were.
const FIELDS: [&str; 3] = ["image", "command", "args"];
/// What makes ours speak Knative's protocols, as our manifests have it too.
const DIALECT: &str = "--dialect=knative";

/// A Deployment that cannot be changed.
#[derive(Debug, Error)]
pub(super) enum PatchError {
    /// It has other containers than Knative's.
    #[error("it has no container {0:?}")]
    NoContainer(&'static str),
    /// Its annotation is not what we wrote.
    #[error(
        "its annotation {REPLACED} cannot be read; restore the image and remove the annotation"
    )]
    Annotation(#[source] serde_json::Error),
    /// It runs ours, by manifests or somebody's hand, and nobody kept what was there.
    #[error("it runs zeron, and no annotation {REPLACED} says what was there; apply Knative's own")]
    NotKept,
}

/// What was replaced, in the annotation.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// The image that took the place.
    image: String,
    /// The fields as they were; one that is not here was not there.
    was: Map<String, Value>,
}

/// A strategic merge patch that makes the container run ours; `None`: it does already.
pub(super) fn forth(
    deployment: &Value,
    part: Part,
    image: &str,
) -> Result<Option<Value>, PatchError> {
    let container = container(deployment, part)?;
    let args = json!([part.name(), DIALECT]);
    if container["image"] == image && container["args"] == args {
        return Ok(None);
    }
    let was = match kept(deployment)? {
        // Ours already, perhaps another version of it.
        Some(kept) if is_ours(container, &kept) => Some(kept.was),
        // Ours by manifests: nothing here is Knative's, to be put back one day.
        None if runs_ours(container) => None,
        _ => Some(fields(container)),
    };
    let kept = |was| Kept {
        image: image.to_owned(),
        was,
    };
    let kept = was.map(|was| json!(kept(was)).to_string());
    let fields = json!({ "name": part.name(), "image": image, "args": args, "command": null });
    Ok(Some(patch(deployment, &json!(kept), &fields)))
}

/// A patch that puts back what was there; `None`: it is Knative's own.
pub(super) fn back(deployment: &Value, part: Part) -> Result<Option<Value>, PatchError> {
    let Some(mut kept) = kept(deployment)? else {
        return match container(deployment, part) {
            Ok(container) if runs_ours(container) => Err(PatchError::NotKept),
            Ok(_) | Err(_) => Ok(None),
        };
    };
    let container = container(deployment, part)?;
    if !is_ours(container, &kept) {
        // Somebody put another one there, such as a newer release: that stays.
        kept.was
            .insert("image".to_owned(), container["image"].clone());
    }
    let mut fields = json!({ "name": part.name() });
    for field in FIELDS {
        fields[field] = kept.was.remove(field).unwrap_or(Value::Null);
    }
    Ok(Some(patch(deployment, &Value::Null, &fields)))
}

fn patch(deployment: &Value, kept: &Value, container: &Value) -> Value {
    json!({
        "metadata": {
            // Nobody may have changed it since it was read.
            "resourceVersion": deployment["metadata"]["resourceVersion"],
            "annotations": { REPLACED: kept },
        },
        "spec": { "template": { "spec": { "containers": [container] } } },
    })
}

fn container(deployment: &Value, part: Part) -> Result<&Value, PatchError> {
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array();
    let mut containers = containers.into_iter().flatten();
    let found = containers.find(|container| container["name"] == part.name());
    found.ok_or(PatchError::NoContainer(part.name()))
}

fn fields(container: &Value) -> Map<String, Value> {
    let field = |name: &str| Some((name.to_owned(), container.get(name)?.clone()));
    FIELDS.into_iter().filter_map(field).collect()
}

fn kept(deployment: &Value) -> Result<Option<Kept>, PatchError> {
    let annotation = deployment["metadata"]["annotations"][REPLACED].as_str();
    let read = |text| serde_json::from_str(text).map_err(PatchError::Annotation);
    annotation.map(read).transpose()
}

/// By its arguments, whoever wrote them, and by its image: Knative's own passes over arguments that
/// stayed.
fn runs_ours(container: &Value) -> bool {
    let mut args = container["args"].as_array().into_iter().flatten();
    let image = repository(container["image"].as_str().unwrap_or_default());
    let name = image.rsplit('/').next().unwrap_or_default();
    name.contains("zeron") && args.any(|arg| arg == DIALECT)
}

/// The image is the one that was put there, or another version of it.
fn is_ours(container: &Value, kept: &Kept) -> bool {
    let image = container["image"].as_str().unwrap_or_default();
    repository(image) == repository(&kept.image)
}

/// Without tag and digest.
fn repository(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    match name.rsplit_once(':') {
        // A port is followed by a path.
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const OURS: &str = "r:5000/zeron:1";

    fn deployment(container: &Value) -> Value {
        json!({
            "metadata": { "resourceVersion": "7" },
            "spec": { "template": { "spec": { "containers": [container] } } },
        })
    }

    /// As the API server merges it: fields that are null are gone.
    fn apply(deployment: &mut Value, patch: &Value) {
        let annotation = &patch["metadata"]["annotations"][REPLACED];
        deployment["metadata"]["annotations"][REPLACED] = annotation.clone();
        let container = "/spec/template/spec/containers/0";
        let merged = deployment.pointer_mut(container).unwrap();
        for (name, value) in patch.pointer(container).unwrap().as_object().unwrap() {
            match value {
                Value::Null => drop(merged.as_object_mut().unwrap().remove(name)),
                value => merged[name] = value.clone(),
            }
        }
    }

    #[test]
    fn back_puts_exactly_that_there_which_was_there() {
        let original = json!({
            "name": "activator", "image": "k@sha256:1", "command": ["/ko-app/activator"], "env": [1],
        });
        let mut deployment = deployment(&original);
        for image in [OURS, "r:5000/zeron:2"] {
            let patch = forth(&deployment, Part::Activator, image).unwrap().unwrap();
            assert_eq!(patch["metadata"]["resourceVersion"], "7");
            apply(&mut deployment, &patch);
            let container = &deployment["spec"]["template"]["spec"]["containers"][0];
            assert_eq!(container["image"], image);
            assert_eq!(container["args"], json!(["activator", "--dialect=knative"]));
            assert_eq!(container["command"], Value::Null);
            assert!(
                forth(&deployment, Part::Activator, image)
                    .unwrap()
                    .is_none()
            );
        }
        let patch = back(&deployment, Part::Activator).unwrap().unwrap();
        apply(&mut deployment, &patch);
        assert_eq!(
            deployment["spec"]["template"]["spec"]["containers"][0],
            original
        );
        assert!(back(&deployment, Part::Activator).unwrap().is_none());
    }

    #[test]
    fn a_release_that_was_installed_over_ours_stays_on_the_way_back() {
        let mut deployment = deployment(&json!({ "name": "autoscaler", "image": "k:1" }));
        let patch = forth(&deployment, Part::Autoscaler, OURS).unwrap().unwrap();
        apply(&mut deployment, &patch);
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!("k:2");
        let patch = back(&deployment, Part::Autoscaler).unwrap().unwrap();
        apply(&mut deployment, &patch);
        assert_eq!(
            deployment["spec"]["template"]["spec"]["containers"][0],
            json!({ "name": "autoscaler", "image": "k:2" })
        );
    }

    #[test]
    fn what_manifests_put_there_is_not_kept_as_if_it_were_knatives() {
        let args = json!(["autoscaler", "--dialect=knative"]);
        let mut deployment =
            deployment(&json!({ "name": "autoscaler", "image": "own/zeron:1", "args": args }));
        let is_refused = |deployment: &Value| {
            matches!(back(deployment, Part::Autoscaler), Err(PatchError::NotKept))
        };
        assert!(is_refused(&deployment));
        let patch = forth(&deployment, Part::Autoscaler, OURS).unwrap().unwrap();
        assert_eq!(patch["metadata"]["annotations"][REPLACED], Value::Null);
        apply(&mut deployment, &patch);
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], OURS);
        assert!(is_refused(&deployment));
        // Knative's own manifests were applied over ours, which leaves the arguments.
        let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
        container["image"] = json!("k:1");
        assert!(back(&deployment, Part::Autoscaler).unwrap().is_none());
        let patch = forth(&deployment, Part::Autoscaler, OURS).unwrap().unwrap();
        apply(&mut deployment, &patch);
        assert!(back(&deployment, Part::Autoscaler).unwrap().is_some());
    }

    #[test]
    fn what_is_not_knatives_is_refused() {
        let other = deployment(&json!({ "name": "proxy", "image": "p" }));
        assert!(matches!(
            forth(&other, Part::Activator, OURS),
            Err(PatchError::NoContainer("activator"))
        ));
        let mut broken = deployment(&json!({ "name": "activator", "image": "k" }));
        broken["metadata"]["annotations"][REPLACED] = json!("?");
        assert!(matches!(
            back(&broken, Part::Activator),
            Err(PatchError::Annotation(_))
        ));
    }

    #[test]
    fn a_repository_is_an_image_without_tag_and_digest() {
        for image in [
            "r:5000/z",
            "r:5000/z:1",
            "r:5000/z@sha256:1",
            "r:5000/z:1@sha256:2",
        ] {
            assert_eq!(repository(image), "r:5000/z");
        }
    }
}
