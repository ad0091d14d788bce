//! The cluster of a test run: given, found running, or brought up for the run and taken down after it.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::background::{Building, Queue};
use super::programs::{self, Programs};
use super::state::{self, State};
use super::{HELM, KUBECONFIG, Mode, SCALER, go, keda, knative, node};
use crate::skipped::Report;
use crate::{apt, cargo, image};

/// Tells tests why there is no cluster.
const MISSING: &str = "ZERON_TEST_NO_CLUSTER";
/// The tag of the function's image in tests: `dev.local/zeron-example-function:test`.
const IMAGE_TAG: &str = "test";

/// What tests say that ask for the cluster before it is up.
const NOT_YET: &str = "the cluster is not up yet";

/// What Go builds in the background, while cargo builds ours and tests run that need none of it.
#[derive(Debug)]
pub(crate) struct Preparation {
    scaler: Option<Building<PathBuf>>,
    cluster: Source,
    others: Vec<Other>,
    variables: Variables,
}

/// Variables by which tests find things.
type Variables = Vec<(&'static str, OsString)>;

/// A system beside or below which tests run ours.
#[derive(Debug)]
struct Other {
    /// Its name in the report of skips.
    name: &'static str,
    /// Names its program, or the folder of its programs, to tests.
    variable: &'static str,
    build: Building<PathBuf>,
}

#[derive(Debug)]
enum Source {
    /// A cluster is there already.
    Found(PathBuf),
    /// Go builds in the background.
    Building(Mode, Building<Programs>),
}

impl Preparation {
    /// Looks for a cluster, and begins to build one when there is none; the others after it.
    ///
    /// # Errors
    /// When the kubeconfig that was given cannot be read.
    pub(crate) fn begin() -> anyhow::Result<Self> {
        let mut builds = Queue::default();
        // The smallest first: tests that need no cluster call it.
        let scaler = Some(builds.add(|| Ok(go::SCALER.build()?.join("scaler"))));
        let cluster = Source::find(&mut builds)?;
        let others = match cluster {
            // Their tests need a node.
            Source::Building(Mode::ApiOnly, _) => Vec::new(),
            _ => others(&mut builds),
        };
        builds.begin();
        Ok(Self {
            scaler,
            cluster,
            others,
            variables: Vec::new(),
        })
    }

    /// What tests find while there is no cluster yet.
    pub(crate) fn early(&mut self) -> Variables {
        // Without it tests of it skip themselves, by name.
        let scaler = self.scaler.take().and_then(|build| build.wait().ok());
        self.variables
            .extend(scaler.map(|program| (SCALER, program.into())));
        let mut variables = self.variables.clone();
        variables.push((MISSING, NOT_YET.into()));
        variables
    }

    /// Brings the cluster up. What cannot be had here is entered into the report of skips.
    pub(crate) fn up(self, report: &Report) -> anyhow::Result<Session> {
        let mut session = self.cluster.up(report)?;
        session.variables.extend(self.variables);
        give_test_image()?;
        for other in self.others {
            match other.build.wait() {
                Ok(built) => session.variables.push((other.variable, built.into())),
                Err(error) => report.add(other.name, &in_short(&error))?,
            }
        }
        match keda::originals() {
            Ok(originals) => session.variables.extend(originals),
            Err(error) => report.add("what KEDA says of itself", &in_short(&error))?,
        }
        Ok(session)
    }
}

/// Whether a test asked for the cluster before it was up.
pub(crate) fn is_too_early(report: &Report) -> std::io::Result<bool> {
    Ok(report.summary()?.contains(NOT_YET))
}

fn others(builds: &mut Queue) -> Vec<Other> {
    let mut other = |name, variable, build: fn() -> anyhow::Result<PathBuf>| Other {
        name,
        variable,
        build: builds.add(build),
    };
    vec![
        other("KEDA's operator", keda::OPERATOR, keda::operator),
        other("KEDA's HTTP add-on", keda::HTTP_ADD_ON, keda::http_add_on),
        other("Knative Serving", knative::PROGRAMS, knative::build),
        other("Helm", HELM, super::helm),
    ]
}

/// Gives the node of this machine the image that tests of crates start pods of: the function of the examples
/// as this run built it.
fn give_test_image() -> anyhow::Result<()> {
    let Some(state) = state::claimed().filter(State::is_running) else {
        return Ok(());
    };
    let archive = image::run(&image::Order {
        program: image::Program::Function,
        binary: Some(cargo::target().join("debug/zeron-example-function")),
        output: None,
        tag: Some(IMAGE_TAG.to_owned()),
    })?;
    node::load(&state, &archive)
}

impl Source {
    fn find(builds: &mut Queue) -> anyhow::Result<Self> {
        if let Some(given) = std::env::var_os(KUBECONFIG) {
            let given = PathBuf::from(given);
            super::ensure_readable(&given)?;
            println!("== the cluster of {} is used", given.display());
            return Ok(Self::Found(given));
        }
        if let Some(state) = state::claimed().filter(State::is_running) {
            println!(
                "== the cluster that is up in {} is used, and left up",
                state.root().display()
            );
            return Ok(Self::Found(state.path("kubeconfig")));
        }
        let mode = if apt::is_root() {
            Mode::Full
        } else {
            Mode::ApiOnly
        };
        programs::install(mode);
        let building = builds.add(move || Programs::build(mode));
        Ok(Self::Building(mode, building))
    }

    fn up(self, report: &Report) -> anyhow::Result<Session> {
        let (mode, building) = match self {
            Self::Found(kubeconfig) => return Ok(Session::of(kubeconfig, None)),
            Self::Building(mode, building) => (mode, building),
        };
        if mode == Mode::ApiOnly {
            report.add("the node of the test cluster", "not root")?;
        }
        if let Err(error) = building.wait() {
            return Session::missing(report, &error);
        }
        let state = State::open(&super::default_folder())?;
        match super::up(&state, mode, false) {
            Ok(kubeconfig) => Ok(Session::of(kubeconfig, Some(state))),
            Err(error) if mode == Mode::Full => {
                println!("== no node can be had here: {error:#}");
                crate::interrupt::check()?;
                report.add("the node of the test cluster", &in_short(&error))?;
                match super::up(&state, Mode::ApiOnly, false) {
                    Ok(kubeconfig) => Ok(Session::of(kubeconfig, Some(state))),
                    Err(error) => Session::missing(report, &error),
                }
            }
            Err(error) => Session::missing(report, &error),
        }
    }
}

/// A cluster that tests use, or the reason why there is none.
#[derive(Debug)]
pub(crate) struct Session {
    own: Option<State>,
    variables: Variables,
}

impl Session {
    fn of(kubeconfig: PathBuf, own: Option<State>) -> Self {
        Self {
            own,
            variables: vec![(KUBECONFIG, kubeconfig.into())],
        }
    }

    fn missing(report: &Report, error: &anyhow::Error) -> anyhow::Result<Self> {
        println!("== no test cluster: {error:#}");
        let reason = in_short(error);
        report.add("the test cluster", &reason)?;
        Ok(Self {
            own: None,
            variables: vec![(MISSING, reason.into())],
        })
    }

    /// What tests find it by.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &OsStr)> {
        self.variables
            .iter()
            .map(|(name, value)| (*name, value.as_os_str()))
    }

    /// Takes it down, when it was brought up for this run.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        match self.own {
            Some(state) => {
                let lock = state.lock()?;
                super::down(&state)?;
                drop(lock);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// What failed and, where the end of a log follows, the last that was said there.
fn in_short(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    match lines.next_back() {
        Some(last) => format!("{first} {last}"),
        None => first.to_owned(),
    }
}
