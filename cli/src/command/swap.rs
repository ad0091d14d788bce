//! `swap`: puts ours in the place of parts of somebody else's installation, and puts theirs back.

mod patch;
mod rollout;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use kube::Client;
use serde::Serialize;
use serde_json::Value;
use zeron_backend_kubernetes::ClientOptions;

use super::Failure;
use super::takeover::REFUSED;
use crate::args::GlobalArgs;
use crate::check;
use crate::check::knative::{self, Fit, Part};
use crate::output::{clean, print, structured};
use rollout::Place;

/// Arguments of `swap`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SwapArgs {
    /// Whose parts
    #[arg(value_enum, value_name = "WHOSE")]
    pub(crate) whose: Whose,
    /// Only this one; both when none is given
    #[arg(value_enum, value_name = "PART")]
    pub(crate) part: Option<Part>,
    /// Put theirs back
    #[arg(long)]
    pub(crate) back: bool,
    /// The image of zeron
    #[arg(long, value_name = "IMAGE", default_value = IMAGE, conflicts_with = "back")]
    pub(crate) image: String,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Also where the installed version does not fit, or is unknown
    #[arg(long, conflicts_with = "back")]
    pub(crate) force: bool,
    /// Longest wait for new pods to be ready and old ones to end
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    /// Kubeconfig file [default: $KUBECONFIG or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

/// As our manifests have it.
const IMAGE: &str = concat!("dev.local/zeron:", env!("CARGO_PKG_VERSION"));

/// Whose installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Whose {
    /// Knative Serving's activator and autoscaler.
    Knative,
}

/// What is done, in this order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "step")]
enum Step {
    /// The account gets a right.
    Grant { manifest: Value },
    /// A Deployment is changed.
    Patch {
        deployment: &'static str,
        patch: Value,
        #[serde(skip)]
        part: Part,
        #[serde(skip)]
        words: String,
    },
    /// The right goes.
    Revoke { cluster_role: &'static str },
}

/// All that is to be done, or why nothing is.
#[derive(Debug, Default, Serialize)]
struct Plan {
    refusals: Vec<String>,
    notes: Vec<String>,
    steps: Vec<Step>,
}

pub(super) async fn run(global: &GlobalArgs, args: &SwapArgs) -> Result<ExitCode, Failure> {
    let Whose::Knative = args.whose;
    let namespace = global.namespace.as_deref().unwrap_or(knative::NAMESPACE);
    let place = Place {
        namespace: check::namespace(namespace).map_err(Failure::usage)?,
        patience: args.timeout,
    };
    let options = ClientOptions {
        kubeconfig: args.kubeconfig.clone(),
        context: args.context.clone(),
        ..ClientOptions::default()
    };
    let client = options.connect().await.map_err(Failure::usage)?;
    let plan = plan(&client, &place, args).await?;
    let text = match structured(global.output, &plan)? {
        Some(text) => text,
        None => sentences(&plan, args.dry_run),
    };
    print(&text).map_err(Failure::runtime)?;
    if !plan.refusals.is_empty() {
        return Ok(ExitCode::from(REFUSED));
    }
    if !args.dry_run {
        for step in &plan.steps {
            take(&client, &place, step).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn plan(client: &Client, place: &Place, args: &SwapArgs) -> Result<Plan, Failure> {
    let mut parts = args.part.map_or(Part::ALL.to_vec(), |part| vec![part]);
    if args.back {
        parts.reverse();
    }
    let mut plan = Plan::default();
    let deployment = async |name: &str| {
        let found = knative::deployment(client, &place.namespace, name).await;
        found.map_err(Failure::runtime)
    };
    let controller = deployment(knative::CONTROLLER).await?;
    for part in parts {
        let found = deployment(part.name()).await?;
        let change = plan.add(part, found.as_ref(), controller.as_ref(), args);
        if part != Part::Autoscaler {
            continue;
        }
        let has_right = match args.back {
            true => knative::has_cluster_role(client, rollout::ROLE).await,
            false => knative::may_scale(client, &place.namespace).await,
        };
        plan.settle_right(change, args.back, has_right.map_err(Failure::runtime)?);
    }
    Ok(plan)
}

/// What becomes of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Planned,
    /// It is as it should be.
    None,
    Refused,
}

impl Plan {
    /// The right that only our autoscaler needs: it comes before the pods that need it, and goes
    /// after them, also where the way back ended in between.
    fn settle_right(&mut self, change: Change, is_back: bool, has_right: bool) {
        match (change, is_back, has_right) {
            (Change::Planned | Change::None, true, true) => {
                let cluster_role = rollout::ROLE;
                self.steps.push(Step::Revoke { cluster_role });
            }
            (Change::Planned, false, false) => {
                let manifest = rollout::role();
                let before = self.steps.len() - 1;
                self.steps.insert(before, Step::Grant { manifest });
            }
            _ => {}
        }
    }

    /// Adds the change of a part.
    fn add(
        &mut self,
        part: Part,
        deployment: Option<&Value>,
        controller: Option<&Value>,
        args: &SwapArgs,
    ) -> Change {
        let name = part.name();
        let Some(deployment) = deployment else {
            self.refusals.push(format!("there is no Deployment {name}"));
            return Change::Refused;
        };
        let fit = Fit::of(deployment, controller);
        if !args.back && !args.force && !matches!(fit, Fit::Fits(_)) {
            self.refusals.push(fit.message());
            return Change::Refused;
        }
        let (patch, words, nothing) = match args.back {
            false => (
                patch::forth(deployment, part, &args.image),
                format!(
                    "{name} becomes `zeron {name} --dialect=knative` of {}",
                    args.image
                ),
                format!("{name} is {} already", args.image),
            ),
            true => (
                patch::back(deployment, part),
                format!("{name} becomes Knative's own again"),
                format!("{name} is Knative's own"),
            ),
        };
        match patch {
            Ok(Some(patch)) => {
                self.steps.push(Step::Patch {
                    deployment: name,
                    patch,
                    part,
                    words,
                });
                Change::Planned
            }
            Ok(None) => {
                self.notes.push(nothing);
                Change::None
            }
            Err(error) => {
                let error = zeron_core::Chain(&error);
                self.refusals.push(format!("Deployment {name}: {error}"));
                Change::Refused
            }
        }
    }
}

impl Step {
    fn words(&self) -> String {
        match self {
            Self::Grant { .. } => format!(
                "ClusterRole {} lets the autoscaler's account read and write deployments/scale",
                rollout::ROLE
            ),
            Self::Patch { words, .. } => words.clone(),
            Self::Revoke { cluster_role } => format!("ClusterRole {cluster_role} goes"),
        }
    }
}

fn sentences(plan: &Plan, is_dry: bool) -> String {
    let mut lines: Vec<String> = plan.notes.clone();
    let step = |(number, step): (usize, &Step)| format!("{}. {}", number + 1, step.words());
    lines.extend(plan.steps.iter().enumerate().map(step));
    lines.extend(plan.refusals.iter().map(|why| format!("refused: {why}")));
    match (plan.refusals.is_empty(), plan.steps.is_empty()) {
        (false, _) => lines.push("Nothing was changed.".to_owned()),
        (true, true) => lines.push("Nothing is left to do.".to_owned()),
        (true, false) if is_dry => {
            lines.push("Nothing was changed: without --dry-run it is done.".to_owned());
        }
        (true, false) => {}
    }
    lines
        .iter()
        .map(|line| format!("{}\n", clean(line)))
        .collect()
}

async fn take(client: &Client, place: &Place, step: &Step) -> Result<(), Failure> {
    eprintln!("{} ...", step.words());
    let taken = match step {
        Step::Grant { .. } => rollout::grant(client, place).await,
        Step::Patch { part, patch, .. } => rollout::roll(client, place, *part, patch).await,
        Step::Revoke { .. } => rollout::revoke(client).await,
    };
    taken.map_err(Failure::runtime)?;
    eprintln!("  done");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn args(is_back: bool, is_forced: bool) -> SwapArgs {
        SwapArgs {
            whose: Whose::Knative,
            part: None,
            back: is_back,
            image: "zeron:1".to_owned(),
            dry_run: false,
            force: is_forced,
            timeout: Duration::ZERO,
            kubeconfig: None,
            context: None,
        }
    }

    fn deployment(version: &str) -> Value {
        json!({
            "metadata": { "labels": { "app.kubernetes.io/version": version } },
            "spec": { "template": { "spec": { "containers": [
                { "name": "activator", "image": "k" },
            ] } } },
        })
    }

    fn plan(deployment: Option<&Value>, args: &SwapArgs) -> Plan {
        let mut plan = Plan::default();
        plan.add(Part::Activator, deployment, None, args);
        plan
    }

    #[test]
    fn a_version_that_does_not_fit_is_refused_unless_forced() {
        for version in ["1.14.0", "9.0.0", "devel"] {
            let found = deployment(version);
            assert_eq!(plan(Some(&found), &args(false, false)).refusals.len(), 1);
            assert_eq!(plan(Some(&found), &args(false, true)).steps.len(), 1);
        }
        let plan = plan(Some(&deployment("1.15.2")), &args(false, false));
        assert_eq!(
            sentences(&plan, true),
            "1. activator becomes `zeron activator --dialect=knative` of zeron:1\n\
             Nothing was changed: without --dry-run it is done.\n"
        );
    }

    #[test]
    fn a_way_back_that_ended_before_the_right_went_is_finished() {
        let own = deployment("devel");
        let mut plan = Plan::default();
        let change = plan.add(Part::Activator, Some(&own), None, &args(true, false));
        assert_eq!(change, Change::None);
        plan.settle_right(change, true, false);
        assert!(plan.steps.is_empty(), "there is nothing to take");
        plan.settle_right(change, true, true);
        assert_eq!(
            sentences(&plan, false),
            "activator is Knative's own\n1. ClusterRole zeron-knative-swap goes\n"
        );
        // Ours goes on, and needs it.
        let mut refused = Plan::default();
        refused.settle_right(Change::Refused, true, true);
        assert!(refused.steps.is_empty());
    }

    #[test]
    fn the_right_comes_before_the_pods_that_need_it() {
        for has_right in [false, true] {
            let mut plan = plan(Some(&deployment("1.15.2")), &args(false, false));
            plan.settle_right(Change::Planned, false, has_right);
            let is_granted = matches!(plan.steps[0], Step::Grant { .. });
            assert_eq!(
                (is_granted, plan.steps.len()),
                (!has_right, 2 - usize::from(has_right))
            );
            plan.steps.clear();
            plan.settle_right(Change::None, false, has_right);
            assert!(plan.steps.is_empty());
        }
    }

    /// The manifests in `deploy/knative-swap` and this command come to the same.
    #[test]
    fn manifests_have_the_arguments_and_the_rule_of_the_command() {
        let documents = |text: &str| -> Vec<Value> {
            let documents = text.split("\n---\n");
            let read = |it| serde_saphyr::from_str(it).expect("a manifest");
            documents.map(read).collect()
        };
        let autoscaler = include_str!("../../../deploy/knative-swap/autoscaler/autoscaler.yaml");
        let activator = include_str!("../../../deploy/knative-swap/activator/activator.yaml");
        let (autoscaler, activator) = (documents(autoscaler), documents(activator));
        assert_eq!(autoscaler.last(), Some(&rollout::role()));
        for (part, documents) in [(Part::Autoscaler, autoscaler), (Part::Activator, activator)] {
            assert_eq!(documents[0]["metadata"]["name"], part.name());
            assert_eq!(documents[0]["metadata"]["namespace"], knative::NAMESPACE);
            let patch = patch::forth(&documents[0], part, IMAGE);
            assert!(patch.expect("it is Knative's").is_none(), "{part:?}");
        }
    }

    #[test]
    fn nothing_is_done_where_there_is_nothing_to_do() {
        let own = plan(Some(&deployment("devel")), &args(true, false));
        assert_eq!(
            sentences(&own, false),
            "activator is Knative's own\nNothing is left to do.\n"
        );
        let missing = plan(None, &args(false, false));
        assert_eq!(
            sentences(&missing, false),
            "refused: there is no Deployment activator\nNothing was changed.\n"
        );
    }
}
