//! What `import` and `handback` share: read, plan, show, and do.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use zeron_backend_kubernetes::ClientOptions;
use zeron_controller::takeover::{
    Finding, Level, ObjectName, Options, Origin, Performer, Places, Plan, Progress, Reader, Step,
    Survey,
};

use super::Failure;
use crate::args::GlobalArgs;
use crate::output::{Style, Tone, clean, print, structured};

/// Exit code of a take-over that is refused: nothing was changed.
pub(crate) const REFUSED: u8 = 2;
/// Objects may appear while we work: so often it is planned again.
const ROUNDS: usize = 3;
/// Names printed of a group; the rest is counted.
const NAMES: usize = 4;

/// Where the cluster is and how long to wait for it.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterOptions {
    /// Longest wait for one condition, such as KEDA's end
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    /// Namespace of zeron itself
    #[arg(long, value_name = "NAMESPACE", default_value = "zeron-system")]
    pub(crate) zeron_namespace: String,
    /// Only the KEDA of this namespace, where there are several
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) keda_namespace: Option<String>,
    /// Kubeconfig file [default: $KUBECONFIG or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

/// Whose objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Whose {
    /// KEDA's, with those of its HTTP add-on.
    Keda,
    /// The HTTP add-on's and the ScaledObjects of its routes.
    HttpAddOn,
}

impl From<Whose> for Origin {
    fn from(whose: Whose) -> Self {
        match whose {
            Whose::Keda => Self::Keda,
            Whose::HttpAddOn => Self::HttpAddOn,
        }
    }
}

/// There, or back.
pub(super) struct Direction<'a> {
    /// The command.
    pub(super) verb: &'static str,
    /// What holds once it is done.
    pub(super) done: &'static str,
    pub(super) plan: &'a dyn Fn(&Survey) -> Plan,
    pub(super) scales_parts: bool,
    pub(super) is_beside: bool,
}

impl Direction<'_> {
    /// Shows the plan, and with `is_applied` does it, until nothing is left to do.
    pub(super) async fn run(
        &self,
        global: &GlobalArgs,
        cluster: &ClusterOptions,
        is_applied: bool,
    ) -> Result<ExitCode, Failure> {
        let options = ClientOptions {
            kubeconfig: cluster.kubeconfig.clone(),
            context: cluster.context.clone(),
            ..ClientOptions::default()
        };
        let client = options.connect().await.map_err(Failure::usage)?;
        let places = Places {
            zeron: cluster.zeron_namespace.clone(),
            keda: cluster.keda_namespace.clone(),
        };
        let mut reader = Reader::new(client.clone(), places.clone());
        let survey = if is_applied {
            reader.survey_with_proof().await
        } else {
            reader.survey().await
        };
        let mut plan = (self.plan)(&survey.map_err(Failure::runtime)?);
        self.show(global, &plan, is_applied)?;
        if !plan.refusals.is_empty() {
            return Ok(ExitCode::from(REFUSED));
        }
        if !is_applied {
            return Ok(ExitCode::SUCCESS);
        }
        let mut performer = Performer::new(
            client,
            Options {
                places,
                timeout: cluster.timeout,
                scales_parts: self.scales_parts,
                is_beside: self.is_beside,
            },
        );
        for _ in 0..ROUNDS {
            performer
                .run(&plan.steps, &tell)
                .await
                .map_err(Failure::runtime)?;
            plan = (self.plan)(&reader.survey().await.map_err(Failure::runtime)?);
            if !plan.steps.iter().any(is_left) {
                break;
            }
        }
        eprintln!("done: {}", self.done);
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, global: &GlobalArgs, plan: &Plan, is_applied: bool) -> Result<(), Failure> {
        let text = match structured(global.output, &View::of(plan))? {
            Some(text) => text,
            None => self.sentences(plan, is_applied, Style::new(global.color)),
        };
        print(&text).map_err(Failure::runtime)
    }

    fn sentences(&self, plan: &Plan, is_applied: bool, style: Style) -> String {
        let mut text = String::new();
        for (finding, objects) in grouped(&plan.findings) {
            let tone = match finding.level {
                Level::Note => Tone::Faint,
                Level::Differs => Tone::Busy,
                Level::Warning => Tone::Bad,
            };
            let level = style.paint(tone, finding.level.as_str());
            line(&mut text, &format!("{level}: {}", clean(&finding.text)));
            if !objects.is_empty() {
                line(&mut text, &format!("    {}", names(&objects)));
            }
        }
        let blocks = plan.steps.chunk_by(is_alike);
        if !plan.steps.is_empty() {
            line(&mut text, &style.strong("Steps:"));
        }
        for (number, block) in blocks.enumerate() {
            let more = match block.len() {
                1 => String::new(),
                count => format!(", and {} more like it", count - 1),
            };
            line(&mut text, &format!("{:>3}. {}{more}", number + 1, block[0]));
        }
        for refusal in &plan.refusals {
            let refused = style.paint(Tone::Bad, "refused");
            line(&mut text, &format!("{refused}: {refusal}"));
        }
        if plan.refusals.is_empty() && !is_applied {
            let verdict = if plan.steps.iter().any(is_left) {
                format!(
                    "Nothing was changed: `zeron {} ... --apply` does it.",
                    self.verb
                )
            } else {
                "Nothing is left to do.".to_owned()
            };
            line(&mut text, &verdict);
        }
        text
    }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes any text");
}

fn is_alike(a: &Step, b: &Step) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// Writes that a finished take-over has no more of; waking what interceptors hold goes on as long
/// as they run.
fn is_left(step: &Step) -> bool {
    step.is_write() && !matches!(step, Step::WakeHeld { .. })
}

fn tell(progress: Progress) {
    match progress {
        Progress::Begins(step) => eprintln!("{step}"),
        Progress::Waits(what) => eprintln!("  ... {}", clean(&what)),
        Progress::Notes(what) => eprintln!("  {}", clean(&what)),
    }
}

/// Findings of the same words, with all the objects that they are about; warnings first.
fn grouped(findings: &[Finding]) -> Vec<(&Finding, Vec<&ObjectName>)> {
    let mut groups: Vec<(&Finding, Vec<&ObjectName>)> = Vec::new();
    for finding in findings {
        let is_same = |group: &&mut (&Finding, Vec<&ObjectName>)| {
            group.0.topic == finding.topic && group.0.text == finding.text
        };
        match groups.iter_mut().find(is_same) {
            Some((_, objects)) => objects.extend(&finding.object),
            None => groups.push((finding, finding.object.iter().collect())),
        }
    }
    groups.sort_by_key(|(finding, _)| std::cmp::Reverse(finding.level));
    groups
}

fn names(objects: &[&ObjectName]) -> String {
    let shown = objects.iter().take(NAMES).map(|o| clean(&o.to_string()));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match objects.len().saturating_sub(NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more (all of them: -o json)"),
    }
}

/// A plan as JSON or YAML.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    refusals: Vec<String>,
    findings: Vec<FindingView<'a>>,
    steps: Vec<StepView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingView<'a> {
    level: &'static str,
    topic: &'static str,
    object: Option<ObjectView<'a>>,
    message: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectView<'a> {
    kind: String,
    namespace: &'a str,
    name: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StepView {
    message: String,
    is_write: bool,
}

impl<'a> View<'a> {
    fn of(plan: &'a Plan) -> Self {
        let finding = |finding: &'a Finding| FindingView {
            level: finding.level.as_str(),
            topic: finding.topic,
            object: finding.object.as_ref().map(|object| ObjectView {
                kind: object.kind.to_string(),
                namespace: &object.namespace,
                name: &object.name,
            }),
            message: &finding.text,
        };
        let step = |step: &Step| StepView {
            message: step.to_string(),
            is_write: step.is_write(),
        };
        Self {
            refusals: plan.refusals.iter().map(ToString::to_string).collect(),
            findings: plan.findings.iter().map(finding).collect(),
            steps: plan.steps.iter().map(step).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use zeron_controller::takeover::{Kind, Refusal};

    use super::*;

    fn plan() -> Plan {
        let name = |name: &str| ObjectName::new(Kind::ScaledObject, "shop", name);
        let differs = |n| Finding::about(name(n), Level::Differs, "one-step", "one step");
        Plan {
            findings: vec![
                differs("a"),
                differs("b"),
                Finding::general(Level::Warning, "x", "a danger"),
            ],
            refusals: Vec::new(),
            steps: vec![
                Step::Hold { object: name("a") },
                Step::Hold { object: name("b") },
                Step::GiveBack { object: name("a") },
            ],
        }
    }

    fn direction(plan: &dyn Fn(&Survey) -> Plan) -> Direction<'_> {
        Direction {
            verb: "import",
            done: "",
            plan,
            scales_parts: false,
            is_beside: false,
        }
    }

    #[test]
    fn findings_of_the_same_words_and_steps_of_the_same_kind_share_a_line() {
        let make = |_: &Survey| plan();
        let text = direction(&make).sentences(&plan(), false, Style::default());
        assert_eq!(
            text,
            "warning: a danger\n\
             differs: one step\n    ScaledObject shop/a, ScaledObject shop/b\n\
             Steps:\n  1. take no replica of ScaledObject shop/a away any more, and 1 more like it\n  \
             2. give ScaledObject shop/a back\n\
             Nothing was changed: `zeron import ... --apply` does it.\n"
        );
    }

    #[test]
    fn a_refusal_is_the_last_word() {
        let make = |_: &Survey| plan();
        let refused = Plan {
            refusals: vec![Refusal::NoAutoscaler],
            ..plan()
        };
        let text = direction(&make).sentences(&refused, false, Style::default());
        assert!(
            text.lines()
                .last()
                .unwrap()
                .starts_with("refused: no running zeron")
        );
    }
}
