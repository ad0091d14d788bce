//! Knative's manifests: read from Go's cache of modules and made fit for a small cluster without a registry.

use std::fs;
use std::hash::Hasher;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::images;
use crate::cluster::go;

/// The modules with manifests, and where in each.
const SOURCES: [(&str, &str); 3] = [
    ("knative.dev/serving", "config/core"),
    ("knative.dev/networking", "config"),
    ("knative.dev/caching", "config"),
];

/// How its manifests name what an image is made of.
const PACKAGES: &str = "ko://knative.dev/serving/cmd/";

/// Beside the sidecar's image in `config-deployment`: a revision that cannot start is given up within a test's time, and
/// the node's 250 pods find room.
const SETTINGS: &str = "  progress-deadline: 120s\n  queue-sidecar-cpu-request: 5m\n";

/// First in `config-leader-election`: what a replica held that was killed is free within a test's time.
const ELECTION: &str = "data:\n  lease-duration: 15s\n  renew-deadline: 10s\n  retry-period: 2s\n";

/// Everything that is applied, by the step in which it is.
#[derive(Debug, Default)]
pub(super) struct Manifests {
    /// Definitions of kinds.
    pub(super) definitions: String,
    /// All that is in no other step.
    pub(super) base: String,
    /// Objects of its own kinds, which go with the definitions.
    pub(super) objects: String,
    /// Deployments.
    pub(super) parts: String,
    /// Configurations of webhooks.
    pub(super) webhooks: String,
    /// Knative's release, such as 1.15.2.
    pub(super) version: String,
    /// The tag of its images.
    pub(super) tag: String,
}

impl Manifests {
    /// A name for exactly these: others have another.
    pub(super) fn stamp(&self) -> String {
        let mut hash = go::Fnv::default();
        let steps = [
            &self.definitions,
            &self.base,
            &self.objects,
            &self.parts,
            &self.webhooks,
        ];
        for step in steps {
            hash.write(step.as_bytes());
        }
        format!("{:016x}", hash.finish())
    }

    fn add(&mut self, document: &str) {
        let step = match field(document, "kind:") {
            "CustomResourceDefinition" => &mut self.definitions,
            "Deployment" => &mut self.parts,
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => &mut self.webhooks,
            // There are no metrics of pods here: it could only complain.
            "HorizontalPodAutoscaler" | "" => return,
            _ if field(document, "apiVersion:").contains(".knative.dev/") => &mut self.objects,
            _ => &mut self.base,
        };
        step.push_str("---\n");
        step.push_str(document);
    }
}

/// Reads all of them, with images of this tag.
pub(super) fn read(tag: &str) -> anyhow::Result<Manifests> {
    let mut manifests = Manifests {
        tag: tag.to_owned(),
        ..Manifests::default()
    };
    let (_, version) = go::KNATIVE.required("knative.dev/serving")?;
    manifests.version = release(&version)?;
    for folder in folders()? {
        let mut files = Vec::new();
        collect(&folder, &mut files)?;
        files.sort();
        for file in files {
            let text = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let text = fitted(&text, &manifests.version, tag);
            ensure!(
                !text.contains(PACKAGES),
                "{} names a program that is not built",
                file.display()
            );
            documents(&text)
                .iter()
                .for_each(|document| manifests.add(document));
        }
    }
    ensure!(
        [SETTINGS, ELECTION]
            .iter()
            .all(|it| manifests.base.contains(it)),
        "Knative's config-deployment or config-leader-election is not as it was"
    );
    Ok(manifests)
}

/// Where its definitions of kinds are.
pub(super) fn folders_of_definitions() -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = folders()?;
    if let Some(serving) = folders.first_mut() {
        serving.push("300-resources");
    }
    Ok(folders)
}

fn folders() -> anyhow::Result<Vec<PathBuf>> {
    let folder = |(module, part)| Ok(go::KNATIVE.required(module)?.0.join(part));
    SOURCES.into_iter().map(folder).collect()
}

/// The release that a version of the module is: they are 27 minor versions apart.
fn release(version: &str) -> anyhow::Result<String> {
    let parse = || {
        let mut parts = version.strip_prefix("v0.")?.split('.');
        let minor: u32 = parts.next()?.parse().ok()?;
        Some(format!("1.{}.{}", minor.checked_sub(27)?, parts.next()?))
    };
    parse().with_context(|| format!("{version} is no version of Knative Serving"))
}

/// Our images, the release's version instead of a developer's, our settings.
fn fitted(text: &str, version: &str, tag: &str) -> String {
    let mut text = text.replace(
        "app.kubernetes.io/version: devel",
        &format!("app.kubernetes.io/version: \"{version}\""),
    );
    for program in go::KNATIVE.programs() {
        let (package, image) = (
            format!("{PACKAGES}{program}\n"),
            format!("{}\n", images::name(program, tag)),
        );
        text = text.replace(&package, &image);
    }
    let sidecar = format!("  queue-sidecar-image: {}\n", images::name("queue", tag));
    let text = text.replace(&sidecar, &format!("{sidecar}{SETTINGS}"));
    match text.contains("name: config-leader-election\n") {
        true => text.replacen("\ndata:\n", &format!("\n{ELECTION}"), 1),
        false => text,
    }
}

/// The documents of a file, each ended by a line's end.
fn documents(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" {
            documents.push(String::new());
        } else if let Some(document) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    documents
}

/// A field of the document itself.
fn field<'a>(document: &'a str, name: &str) -> &'a str {
    document
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default()
        .trim()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "yaml") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_of_the_module_is_a_release() {
        assert_eq!(release("v0.42.2").unwrap(), "1.15.2");
        assert!(release("v1.0.0").is_err());
        assert!(release("v0.1.0").is_err());
    }

    #[test]
    fn images_version_and_settings_are_filled_in() {
        let text = "app.kubernetes.io/version: devel\n  queue-sidecar-image: ko://knative.dev/serving/cmd/queue\n";
        let expected = format!(
            "app.kubernetes.io/version: \"1.2.3\"\n  queue-sidecar-image: kind.local/knative-queue:t\n{SETTINGS}"
        );
        assert_eq!(fitted(text, "1.2.3", "t"), expected);
    }

    #[test]
    fn a_program_that_only_begins_like_one_of_ours_is_left() {
        let text = "image: ko://knative.dev/serving/cmd/autoscaler-hpa\n";
        assert_eq!(fitted(text, "1.2.3", "t"), text);
    }

    #[test]
    fn documents_go_to_their_steps_and_autoscalers_of_pods_to_none() {
        let text = "# words\n---\nkind: Deployment\n--- \nkind: ConfigMap\ndata: {x: '---'}\n---\nkind: HorizontalPodAutoscaler\n";
        let mut manifests = Manifests::default();
        documents(text)
            .iter()
            .for_each(|document| manifests.add(document));
        assert_eq!(manifests.parts, "---\nkind: Deployment\n");
        assert_eq!(manifests.base, "---\nkind: ConfigMap\ndata: {x: '---'}\n");
        assert_eq!(manifests.definitions, "");
    }

    #[test]
    fn objects_of_its_own_kinds_are_told_from_others() {
        let own = "apiVersion: caching.internal.knative.dev/v1alpha1\nkind: Image\n";
        let mut manifests = Manifests::default();
        manifests.add(own);
        assert_eq!(manifests.objects, format!("---\n{own}"));
        assert_eq!(manifests.base, "");
    }
}
