//! One `zeron up` with all sources, and what must hold of it under a fault.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use zeron_tests::servers::proxy::{FaultProxy, Mode};
use zeron_tests::wait::{last, throughout, within};
use zeron_tests::{Setup, Zeron};

use crate::co_trigger::CoTrigger;
use crate::source::{Fault, Source};
use crate::sources;

/// For as long as a fault is looked at: several intervals of a second.
const LOOKED_AT: Duration = Duration::from_secs(4);
/// For conditions, with ten servers and some fifty processes on a small machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a flapping way goes down, and for how long.
const FLAPS: usize = 8;
const FLAP: Duration = Duration::from_millis(400);

/// The units of work in `many`, and what its second trigger asks for during a fault.
const MANY: u32 = 3;
const MORE: u32 = 5;
/// What the second trigger of `none` asks for during a fault.
const SOME: u32 = 2;

struct Watched {
    source: Box<dyn Source>,
    way: FaultProxy,
}

impl Watched {
    fn many(&self) -> String {
        format!("{}-many", self.source.name())
    }

    fn none(&self) -> String {
        format!("{}-none", self.source.name())
    }
}

pub(crate) struct Matrix {
    watched: Vec<Watched>,
    co: CoTrigger,
    zeron: Zeron,
}

impl Matrix {
    /// Starts every server that can run here; `test` names what is skipped for the others.
    pub(crate) fn up(test: &str) -> Self {
        let mut watched = Vec::new();
        for mut source in sources::all(test) {
            source.set("many", MANY);
            source.set("none", 0);
            let way = source.way();
            watched.push(Watched { source, way });
        }
        let co = CoTrigger::start();
        let mut setup = Setup::new();
        for it in &watched {
            setup = setup.manifest(&file(it), &manifest(it, &co, true));
        }
        let zeron = setup.up();
        let matrix = Self { watched, co, zeron };
        matrix.rests("at first");
        matrix
    }

    /// Lets `fault` come upon all sources that know it, looks, and heals it.
    pub(crate) fn holds(&mut self, fault: Fault) {
        let hit = self.strike(fault);
        let hit: Vec<&Watched> = hit.iter().map(|index| &self.watched[*index]).collect();
        if fault.makes_unknown() {
            for it in &hit {
                self.says_why(it, fault);
            }
        }
        let asked = |name: &str| self.co.asked(name);
        let before: Vec<_> = hit.iter().map(|it| asked(&it.many())).collect();
        throughout(
            LOOKED_AT,
            &format!("{fault:?}: nothing goes down, nothing wakes"),
            || hit.iter().all(|it| self.is_kept(it, fault)),
        );
        for (it, before) in hit.iter().zip(before) {
            let polls = asked(&it.many()) - before;
            assert!(
                polls >= 2,
                "{fault:?} of {}: the other trigger was read {polls} times",
                it.source.kind()
            );
            self.co.set(&it.many(), MORE);
            self.co.set(&it.none(), SOME);
        }
        for it in &hit {
            self.reaches(
                &it.many(),
                MORE,
                &format!("{fault:?}: by its other trigger"),
            );
            self.reaches(
                &it.none(),
                SOME,
                &format!("{fault:?}: by its other trigger"),
            );
        }
        self.heal(fault);
        self.rests(&format!("after {fault:?}"));
    }

    /// No work is a zero that is known, whatever is deleted with it.
    pub(crate) fn empty_is_zero_where_the_original_says_so(&mut self) {
        for it in &mut self.watched {
            it.source.set("many", 0);
        }
        for it in &self.watched {
            self.reaches(&it.many(), 0, "without work");
        }
    }

    /// The places of the sources that the fault came upon.
    fn strike(&mut self, fault: Fault) -> Vec<usize> {
        let mut hit = Vec::new();
        for index in 0..self.watched.len() {
            let it = &mut self.watched[index];
            let is_hit = match fault {
                Fault::Way(mode) => {
                    it.way.set(mode);
                    true
                }
                Fault::Flapping => true,
                Fault::WrongCredentials => {
                    let wrong = manifest(it, &self.co, false);
                    let has_any = !it.source.credentials(false).is_empty();
                    has_any
                        .then(|| self.zeron.edit(&file(it), &wrong))
                        .is_some()
                }
                Fault::Poison(poison) => {
                    it.source.poison("many", poison) && it.source.poison("none", poison)
                }
                Fault::Removed => it.source.remove("many") && it.source.remove("none"),
                Fault::Killed => it.source.kill(),
            };
            if is_hit {
                hit.push(index);
            }
        }
        assert!(!hit.is_empty(), "{fault:?} comes upon nobody");
        if fault == Fault::Flapping {
            self.flap();
        }
        hit
    }

    fn flap(&self) {
        for _ in 0..FLAPS {
            for mode in [Mode::Down, Mode::Pass] {
                self.watched.iter().for_each(|it| it.way.set(mode));
                throughout(FLAP, "flapping: nothing goes down, nothing wakes", || {
                    self.watched
                        .iter()
                        .all(|it| self.is_kept(it, Fault::Flapping))
                });
            }
        }
    }

    fn heal(&mut self, fault: Fault) {
        for it in &mut self.watched {
            it.way.set(Mode::Pass);
            match fault {
                Fault::WrongCredentials => {
                    self.zeron.edit(&file(it), &manifest(it, &self.co, true));
                }
                Fault::Killed => it.source.restart(),
                Fault::Way(_) | Fault::Flapping | Fault::Poison(_) | Fault::Removed => {}
            }
            it.source.set("many", MANY);
            it.source.set("none", 0);
            self.co.set(&it.many(), 0);
            self.co.set(&it.none(), 0);
        }
    }

    fn rests(&self, when: &str) {
        for it in &self.watched {
            self.reaches(&it.many(), MANY, when);
            self.reaches(&it.none(), 0, when);
        }
    }

    fn reaches(&self, function: &str, replicas: u32, when: &str) {
        let wanted = usize::try_from(replicas).unwrap();
        let what = format!("{function} to have {replicas} replicas, {when}");
        within(PATIENCE, &what, || {
            let found = self.zeron.replicas(function).len();
            if found != wanted {
                // So that a failure shows how it looks, at a bearable rate.
                last(Duration::from_millis(50));
            }
            (found == wanted).then_some(())
        });
    }

    fn is_kept(&self, it: &Watched, fault: Fault) -> bool {
        let (many, none) = (
            self.zeron.replicas(&it.many()),
            self.zeron.replicas(&it.none()),
        );
        let is_kept = many.len() >= usize::try_from(MANY).unwrap() && none.is_empty();
        if !is_kept {
            let why = self.zeron.run(&["why", &it.many()]).stdout;
            eprintln!(
                "{fault:?} of {}: {} and {} replicas\n{why}",
                it.source.kind(),
                many.len(),
                none.len()
            );
        }
        is_kept
    }

    /// The value is unknown, with a reason in the status, in words, and in the metrics.
    fn says_why(&self, it: &Watched, fault: Fault) {
        for function in [it.many(), it.none()] {
            let what = format!("{fault:?}: {function}, and why, to say why its source is unknown");
            // The reason may be another one the next time that it is asked for.
            let why = within(PATIENCE, &what, || {
                let reason = reason(&self.zeron.function(&function)?, it.source.kind())?;
                let why = self.zeron.run(&["why", &function]).stdout;
                let words: String = reason.chars().take(30).collect();
                let is_said = !words.is_empty() && why.contains(&words);
                if !is_said {
                    eprintln!("{function}: {reason}, and why says:\n{why}");
                }
                is_said.then_some(why)
            });
            for (_, secret) in it
                .source
                .credentials(true)
                .iter()
                .chain(&it.source.credentials(false))
            {
                assert!(
                    !why.contains(secret.as_str()),
                    "{function}: a secret in why"
                );
            }
        }
        let metrics = self.zeron.admin("GET", "/metrics", "").unwrap().text();
        let is_said = metrics.lines().any(|line| {
            line.starts_with("zeron_autoscaler_trigger_is_unknown")
                && line.contains(&it.many())
                && line.ends_with(" 1.0")
        });
        assert!(
            is_said,
            "{fault:?}: no metric says that {} is unknown",
            it.many()
        );
    }
}

/// Why the trigger of this type has no value now.
fn reason(function: &Value, kind: &str) -> Option<String> {
    let triggers = function["triggers"].as_array()?;
    let ours = triggers.iter().find(|it| it["kind"] == kind)?;
    let reason = &ours["value"]["unknown"]["reason"];
    // A trigger that was bound anew is about to be read.
    let is_read = reason["kind"] != "notRead";
    let message = reason["message"].as_str().filter(|_| is_read);
    message.map(str::to_owned)
}

fn file(it: &Watched) -> String {
    format!("{}.yaml", it.source.name())
}

fn manifest(it: &Watched, co: &CoTrigger, is_right: bool) -> String {
    let (kind, name) = (it.source.kind(), it.source.name());
    let credentials = it.source.credentials(is_right);
    let mut text = String::new();
    if !credentials.is_empty() {
        write!(
            text,
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData:\n"
        )
        .unwrap();
        for (parameter, value) in &credentials {
            writeln!(text, "  {parameter}: {}", Value::from(value.as_str())).unwrap();
        }
        write!(text, "---\napiVersion: keda.sh/v1alpha1\nkind: TriggerAuthentication\nmetadata: {{name: {name}}}\nspec:\n  secretTargetRef:\n").unwrap();
        for (parameter, _) in &credentials {
            writeln!(
                text,
                "    - {{parameter: {parameter}, name: {name}, key: {parameter}}}"
            )
            .unwrap();
        }
        text.push_str("---\n");
    }
    let reference = if credentials.is_empty() {
        String::new()
    } else {
        format!("\n      authenticationRef: {{name: {name}}}")
    };
    for (thing, function) in [("many", it.many()), ("none", it.none())] {
        let metadata = it.source.metadata(thing, it.way.address());
        let co = co.metadata(&function);
        write!(
            text,
            "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {function}}}
spec:
  selector: {{matchLabels: {{app: {function}}}}}
  template:
    metadata: {{labels: {{app: {function}}}}}
    spec:
      containers: [{{name: main, command: [sleep, \"3600\"]}}]
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: {function}}}
spec:
  scaleTargetRef: {{name: {function}}}
  pollingInterval: 1
  cooldownPeriod: 1
  maxReplicaCount: 9
  advanced: {{horizontalPodAutoscalerConfig: {{behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}}}}}
  triggers:
    - type: {kind}
      metadata: {metadata}{reference}
    - type: metrics-api
      metadata: {co}
---
"
        )
        .unwrap();
    }
    text
}
