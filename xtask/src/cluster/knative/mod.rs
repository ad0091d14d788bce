//! Knative Serving itself on the test cluster, for tests and measurements inside it.
//!
//! Its programs are built from its Go module; its manifests are read from there when it is installed, and nothing of them
//! is kept here. No implementation of its Ingresses is installed: there is none among the modules that it brings.

mod images;
mod installed;
mod manifests;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;

use super::kubectl::Kubectl;
use super::state::State;
use super::wait::until;
use super::{Place, go};
use manifests::Manifests;

/// Names the folder of Knative's programs to tests; set, it says that Knative can be installed here.
pub(crate) const PROGRAMS: &str = "ZERON_TEST_KNATIVE";

/// Where its own parts run.
const NAMESPACE: &str = "knative-serving";

/// How long its parts may take to be ready, or to be gone, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// What can be done with Knative.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Builds its programs and prints where they and its definitions of kinds are.
    Build,
    /// Installs it in the running cluster, unless it is, and waits until it serves.
    Install {
        /// Puts its own parts back where others stand.
        #[arg(long)]
        put_back: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Removes it, and every object of its kinds.
    Remove {
        #[command(flatten)]
        place: Place,
    },
}

/// Does what was asked for.
pub(crate) fn run(action: &Action) -> anyhow::Result<()> {
    match action {
        Action::Build => {
            println!("{PROGRAMS}={}", build()?.display());
            for folder in manifests::folders_of_definitions()? {
                println!("ZERON_TEST_KNATIVE_CRDS={}", folder.display());
            }
            Ok(())
        }
        Action::Install { put_back, place } => install(&place.open()?, *put_back),
        Action::Remove { place } => {
            let state = place.open()?;
            let lock = state.lock()?;
            installed::remove(&Kubectl::of(&state), &manifests::read(&tag()?)?)?;
            println!("== Knative is removed");
            drop(lock);
            Ok(())
        }
    }
}

/// Builds the programs, unless they are, and returns their folder.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    go::KNATIVE.build()
}

/// The tag of the images: another build has another.
fn tag() -> anyhow::Result<String> {
    Ok(format!("{:016x}", go::KNATIVE.key()?))
}

fn install(state: &State, puts_back: bool) -> anyhow::Result<()> {
    let programs = build()?;
    let manifests = manifests::read(&tag()?)?;
    let kubectl = Kubectl::of(state);
    let lock = state.lock()?;
    images::load(state, &programs, &manifests.tag)?;
    match installed::found(&kubectl, &manifests)? {
        installed::Found::Whole => {
            println!("== Knative {} is installed already", manifests.version)
        }
        installed::Found::Replaced(parts) if !puts_back => {
            println!(
                "== Knative {} is installed already; others stand for its {} (--put-back)",
                manifests.version,
                parts.join(", ")
            );
            return Ok(());
        }
        installed::Found::Replaced(parts) => {
            println!("== Knative's own {} put back", parts.join(", "));
            installed::delete_deployments(&kubectl, &parts)?;
            kubectl.apply(&manifests.parts)?;
        }
        installed::Found::Other => {
            installed::remove(&kubectl, &manifests)?;
            apply(&kubectl, &manifests)?;
        }
    }
    until(PATIENCE, "Knative's parts to be ready", || {
        installed::is_ready(&kubectl, &manifests)
    })?;
    until(PATIENCE, "Knative's webhook to answer", || {
        Ok(installed::admits(&kubectl).then_some(()))
    })?;
    installed::mark(&kubectl, &manifests)?;
    println!("== Knative Serving {} serves", manifests.version);
    drop(lock);
    Ok(())
}

/// Kinds first, then all that needs none of them or is not asked about, then the webhooks that ask about the rest.
fn apply(kubectl: &Kubectl, manifests: &Manifests) -> anyhow::Result<()> {
    kubectl
        .apply(&manifests.definitions)
        .context("Knative's definitions of kinds")?;
    until(PATIENCE, "Knative's kinds to be served", || {
        Ok(installed::serves_kinds(kubectl).then_some(()))
    })?;
    kubectl
        .apply(&manifests.base)
        .context("Knative's accounts and settings")?;
    kubectl
        .apply(&manifests.objects)
        .context("objects of Knative's own kinds")?;
    kubectl
        .apply(&manifests.parts)
        .context("Knative's Deployments")?;
    kubectl
        .apply(&manifests.webhooks)
        .context("Knative's webhooks")
}
